"""Features of a vibration block or spectrum: how strong, how spiky, and whether a bearing's own frequencies speak.

Sources: R. B. Randall, J. Antoni, "Rolling element bearing diagnostics: a tutorial", Mech. Syst. Signal Process.
25(2), 2011 (bearing frequencies, envelope analysis, 1 to 2 % of slip); J. Antoni, "Fast computation of the kurtogram",
ibid. 21(1), 2007 (the band in which to demodulate); ISO 13373-3:2015 (which features for which machine); ISO
20816-1:2016 (velocity rms).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from models.promise import Array, ModelError

_SLIP = 0.02  # rollers slip: a line is looked for so far to either side
_HARMONICS = 3
_LEVELS = (2, 4, 8)  # bands that the spectrum is cut into when the demodulation band is looked for
_LEAST = 256


@dataclass(frozen=True, slots=True)
class Bearing:
    """A rolling bearing's geometry; diameters in one unit, contact angle in degrees."""

    rollers: int
    roller_diameter: float
    pitch_diameter: float
    contact_angle: float = 0.0

    def __post_init__(self) -> None:
        if self.rollers < 3 or not 0 < self.roller_diameter < self.pitch_diameter:
            raise ModelError("a bearing has three rollers or more, each smaller than the pitch circle")

    def orders(self) -> dict[str, float]:
        """Its frequencies as multiples of shaft speed, the outer ring standing.

        ``ftf`` the cage, ``bsf`` a roller, ``bpfo`` rollers over a spot of the outer ring, ``bpfi`` of the inner ring.
        """
        ratio = self.roller_diameter / self.pitch_diameter * np.cos(np.radians(self.contact_angle))
        return {
            "bpfo": float(self.rollers / 2 * (1 - ratio)),
            "bpfi": float(self.rollers / 2 * (1 + ratio)),
            "bsf": float(self.pitch_diameter / (2 * self.roller_diameter) * (1 - ratio**2)),
            "ftf": float((1 - ratio) / 2),
        }


def block_features(
    block: Array, rate: float, orders: Mapping[str, float] | None = None, speed: float | None = None
) -> dict[str, float]:
    """Features of ``block`` (k,), evenly sampled at ``rate`` Hz; in the block's unit where they have one.

    ``rms``, ``peak``, ``crest`` (peak over rms) and ``kurtosis`` (3 for noise) always; with a bearing's ``orders`` and
    the shaft's ``speed`` in r/min also ``env_<name>``: how far that line and its harmonics stand out of the
    envelope spectrum's floor (1 is not at all). ModelError where the block is too short or holds a gap.
    """
    if block.ndim != 1 or len(block) < _LEAST or not np.isfinite(block).all():
        raise ModelError(f"a block is one row of at least {_LEAST} numbers without a gap")
    if not rate > 0:
        raise ModelError("the sampling rate is more than 0 Hz")
    x = block - block.mean()
    rms = float(np.sqrt(np.mean(x * x)))
    peak = float(np.abs(x).max())
    still = rms <= 1e-12 * max(1.0, float(np.abs(block).max()))
    found = {
        "rms": 0.0 if still else rms,
        "peak": 0.0 if still else peak,
        "crest": 0.0 if still else peak / rms,
        "kurtosis": 0.0 if still else float(np.mean(x**4) / rms**4),
    }
    if orders is None or speed is None or not speed > 0 or still:
        return found
    frequency, amplitude = envelope_spectrum(x, rate)
    return found | {
        f"env_{name}": _prominence(frequency, amplitude, order * speed / 60) for name, order in orders.items()
    }


def spectrum_features(
    frequency: Array, amplitude: Array, bands: Mapping[str, tuple[float, float]]
) -> dict[str, float]:
    """``rms`` of a spectrum of peak amplitudes (k,) over ``frequency`` (k,) in Hz, and of each of ``bands``."""
    if frequency.shape != amplitude.shape or not (np.diff(frequency) > 0).all():
        raise ModelError("a spectrum has one amplitude a frequency, and frequencies that rise")

    def rms(low: float, high: float) -> float:
        inside = amplitude[(frequency >= low) & (frequency < high)]
        return float(np.sqrt(np.sum(inside**2) / 2))

    return {"rms": rms(0.0, np.inf)} | {f"band_{name}": rms(*band) for name, band in bands.items()}


def envelope_spectrum(x: Array, rate: float) -> tuple[Array, Array]:
    """Frequencies (Hz) and amplitudes of the envelope of ``x`` (k,) in its most impulsive band."""
    spectrum = np.fft.fft(x)
    spikiest, envelope = 0.0, np.abs(x)
    for count in _LEVELS:
        edges = np.linspace(0, len(x) // 2, count + 1).astype(int)
        for low, high in pairwise(edges.tolist()):
            found = _envelope(spectrum, max(1, low), high)
            power = found * found
            spiky = float((power * power).mean()) / max(float(power.mean()) ** 2, 1e-300)  # noise has 2
            if spiky > spikiest:
                spikiest, envelope = spiky, found
    lines = np.abs(np.fft.rfft((envelope - envelope.mean()) * np.hanning(len(envelope)))) * 4 / len(envelope)
    return np.asarray(np.fft.rfftfreq(len(envelope), 1 / rate), np.float64), np.asarray(lines)


def _envelope(spectrum: NDArray[np.complex128], low: int, high: int) -> Array:
    """Magnitude of the analytic signal of the band between two bins."""
    kept = np.zeros_like(spectrum)
    kept[low:high] = 2 * spectrum[low:high]
    return np.abs(np.fft.ifft(kept))


def _prominence(frequency: Array, amplitude: Array, line: float) -> float:
    """The mean over harmonics of the line's peak over the floor around it; 1 where none can be looked at."""
    step = float(frequency[1])
    found = []
    for harmonic in range(1, _HARMONICS + 1):
        centre = harmonic * line
        reach = max(_SLIP * centre, 1.5 * step)
        near = np.abs(frequency - centre) <= reach
        around = (np.abs(frequency - centre) <= max(8 * reach, 12 * step)) & ~near & (frequency > 2 * step)
        if centre > frequency[-1] or not near.any() or around.sum() < 8:
            break
        floor = float(np.quantile(amplitude[around], 0.9))  # the floor's own peaks, so noise stays near 1
        found.append(float(amplitude[near].max()) / max(floor, 1e-300))
    return float(np.mean(found)) if found else 1.0
