"""What a machine's detector learns from its commissioning rows: scales, covariance, limit."""

from __future__ import annotations

from statistics import NormalDist

import numpy as np

from models.promise import Array

_TREND = 2.5
_MOST_MISSING = 0.5


def robust_scale(signals: tuple[str, ...], fit: Array, held: Array) -> tuple[Array, Array, dict[str, str]]:
    """Centre (n,) and scale (n,) of ``fit`` (k, n); NaN scale where a signal is left out, and why."""
    centre, scale = np.zeros(fit.shape[1]), np.full(fit.shape[1], np.nan)
    left_out: dict[str, str] = {}
    for i, name in enumerate(signals):
        column, later = (part[np.isfinite(part[:, i]), i] for part in (fit, held))
        if len(column) < _MOST_MISSING * len(fit) or len(later) < _MOST_MISSING * len(held):
            left_out[name] = "mostly missing in commissioning"
            continue
        middle, spread = np.median(column), np.std(column)
        if spread <= 1e-9 * max(1.0, abs(middle)):
            left_out[name] = "constant in commissioning"
            continue
        if trends(np.concatenate([column, later])):
            left_out[name] = "still trending at the end of commissioning"
            continue
        centre[i], scale[i] = middle, spread
    return centre, scale, left_out


def trends(column: Array) -> bool:
    """Whether the means of the quarters of ``column`` (k,) all go one way, and far more than a quarter scatters."""
    quarters = np.array_split(column, 4)
    means = np.array([quarter.mean() for quarter in quarters])
    moves = np.diff(means)
    scatter = np.mean([np.std(quarter) for quarter in quarters])
    one_way = bool((moves > 0).all() or (moves < 0).all())
    return one_way and bool(abs(means[-1] - means[0]) > _TREND * max(scatter, 1e-300))


def shrunk_covariance(away: Array) -> Array:
    """Ledoit–Wolf covariance (n, n) of standardised rows (k, n), shrunk to a scaled identity.

    NaN counts as the centre here. A column without scale (all NaN) gets unit variance and no covariance.
    """
    x = np.nan_to_num(away)
    x = x - x.mean(axis=0)
    count, width = x.shape
    sample = x.T @ x / count
    mean_var = np.trace(sample) / width
    target = mean_var * np.eye(width)
    distance = float(((sample - target) ** 2).sum())
    noise = float(((x**2).T @ (x**2) / count - sample**2).sum()) / count
    share = 1.0 if distance == 0 else min(1.0, noise / distance)
    shrunk = (1.0 - share) * sample + share * target
    dead = ~np.isfinite(away).any(axis=0)
    shrunk[dead, :] = shrunk[:, dead] = 0.0
    shrunk[dead, dead] = 1.0
    return np.asarray(shrunk)


def limit_for(statistic: Array, rate: float) -> float:
    """The limit a ``statistic`` (k,), the root of a sum of squares, passes at ``rate`` (share of normal rows).

    Far fewer rows are at hand than 1/rate, so a tail is followed, never under the peak: the cube root of a sum of
    squares is nearly normal, whatever its degrees of freedom (E. B. Wilson, M. M. Hilferty, PNAS 17, 1931).
    """
    root = np.maximum(statistic, 0.0) ** (2 / 3)
    sigmas = -NormalDist().inv_cdf(min(0.25, rate))
    return float(max((root.mean() + sigmas * root.std()) ** 1.5, 1.05 * statistic.max()))


def independent(column: Array) -> float:
    """How many independent samples ``column`` (k,) amounts to: k over its integrated autocorrelation time.

    The sum over the autocorrelation stops where it falls below 0.05 (A. Sokal, "Monte Carlo Methods in Statistical
    Mechanics", 1997, in spirit). NaN counts as the mean.
    """
    x = np.nan_to_num(column - np.nanmean(column))
    variance = float(x @ x)
    if variance <= 0:
        return 1.0
    spectrum = np.fft.rfft(x, 2 * len(x))
    correlation = np.fft.irfft(spectrum * np.conj(spectrum))[1 : len(x) // 2] / variance
    below = np.flatnonzero(correlation < 0.05)
    reach = below[0] if len(below) else len(correlation)
    return float(len(x) / (1.0 + 2.0 * correlation[:reach].sum()))
