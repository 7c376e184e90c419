"""How a machine's signals move together: dynamic PCA residuals and T², smoothed at several speeds."""

from __future__ import annotations

from statistics import NormalDist

import numpy as np

from models.calibrate import shrunk_covariance
from models.promise import Array

_LAGS = 2
_KEPT = 0.9
_SPEEDS = np.array([[0.05], [0.02]])
_T2_SPEED = 0.1
_FOLDS = 10
_CLIP = 8.0
_WARM = 20
_FADE = 0.95
_FILLS = 5
_SPREADS = np.array([0.91, 0.91, 0.91, 0.91, 1.36])
_ARRAYS = ("centre", "scale", "axes", "root", "limits", "typical", "history", "square", "mean", "fast")


class Dynamic:
    """Squared prediction error of a dynamic PCA, its spread and its mean, and T², each against its own limit.

    DPCA: W. Ku, R. H. Storer, C. Georgakis, Chemometrics 30(1), 1995, two lags, 90 % of the variance. Of the
    residual both the smoothed square (EWMA of Q: more scatter) and the squared smoothed vector (MEWMA: a shift)
    are watched at two speeds, and beside them a MEWMA T² (Lowry 1992) on a Ledoit–Wolf covariance. Limits come
    from commissioning rows each of which was held out once (ten folds in time): mean + k σ of the statistic's
    logarithm, k from the stated share of rows. A missing value is what the other signals say it is, by the same
    axes (P. R. C. Nelson, P. A. Taylor, J. F. MacGregor, Chemometrics 35(1), 1996). Parameters were chosen on
    ``tep`` of the development data.
    """

    def __init__(self, width: int, rate: float = 0.005) -> None:
        self._sigmas = _SPREADS * -NormalDist().inv_cdf(min(0.25, rate))
        wide = width * (_LAGS + 1)
        self.centre, self.scale = np.zeros(width), np.ones(width)
        self.axes, self.root = np.zeros((1, wide)), np.eye(width)
        self.limits, self.typical = np.zeros(len(_SPREADS)), np.ones(wide)
        self.restart()

    def restart(self) -> None:
        """Forget what is remembered."""
        self.history = np.zeros((_LAGS + 1, len(self.centre)))
        self.square = np.tile(self.typical, (len(_SPEEDS), 1))
        self.mean = np.zeros((len(_SPEEDS), len(self.typical)))
        self.fast = np.zeros(len(self.centre))

    def fit(self, rows: Array) -> None:
        """Learn from ``rows`` (k, width)."""
        residuals, whitened = self._held_out(rows)
        self.typical = (residuals**2).mean(axis=0)
        self.restart()
        seen = np.array([self._smooth(r, w) for r, w in zip(residuals, whitened, strict=True)])[_WARM:]
        self.limits = seen.mean(axis=0) + self._sigmas * seen.std(axis=0)
        self.centre, self.scale, self.axes, self.root = _learn(rows)
        self.restart()

    def step(self, row: Array) -> float:
        """The greatest statistic over its limit after ``row`` (width,), NaN where missing."""
        away = (row - self.centre) / self.scale
        missing = np.flatnonzero(np.isnan(away))
        self.history[1:] = self.history[:-1]
        away[missing] = _FADE * self.history[0][missing]
        np.clip(away, -_CLIP, _CLIP, out=self.history[0])
        stacked, z = self.history.reshape(-1), self.history[0]
        for _ in range(_FILLS if len(missing) else 0):
            stacked[missing] = ((self.axes @ stacked) @ self.axes)[missing]
        residual = stacked - (self.axes @ stacked) @ self.axes
        return float(np.exp((self._smooth(residual, z @ self.root) - self.limits).max() / 2))

    def follow(self) -> None:
        """What is normal stands, once learned."""

    def parts(self) -> tuple[Array, Array]:
        """Each signal's share of the residual (unscaled), and how far it stands in sigmas."""
        shape = (len(_SPEEDS), _LAGS + 1, len(self.centre))
        excess = np.maximum(self.square - self.typical, 0.0) / self.typical.sum()
        shift = self.mean**2 * (2 - _SPEEDS) / _SPEEDS / self.typical.sum()
        share = (excess + shift).reshape(shape).sum(axis=(0, 1))
        return share, self.history[0] if not self.fast.any() else self.fast @ np.linalg.pinv(self.root)

    def arrays(self) -> dict[str, Array]:
        """Learned and remembered."""
        return {name: np.asarray(getattr(self, name)) for name in _ARRAYS}

    def take(self, arrays: dict[str, Array]) -> None:
        """Take up what ``arrays`` gave."""
        for name in _ARRAYS:
            setattr(self, name, arrays[name])

    def _smooth(self, residual: Array, whitened: Array) -> Array:
        """Move the smoothed residual and return the logarithms of the five statistics."""
        self.square += _SPEEDS * (residual * residual - self.square)
        self.mean += _SPEEDS * (residual - self.mean)
        self.fast += _T2_SPEED * (whitened - self.fast)
        found = np.empty(len(_SPREADS))
        found[:2] = self.square.sum(axis=1)
        found[2:4] = np.einsum("ij,ij->i", self.mean, self.mean)
        found[4] = self.fast @ self.fast
        return np.asarray(np.log(found + 1e-12))

    @staticmethod
    def _held_out(rows: Array) -> tuple[Array, Array]:
        """Residuals (k, wide) and whitened rows (k, width), each from a model that did not see that row."""
        residuals, whitened = [], []
        for block in np.array_split(np.arange(len(rows)), _FOLDS):
            centre, scale, axes, root = _learn(np.delete(rows, block, axis=0))
            z = np.clip((rows - centre) / scale, -_CLIP, _CLIP)
            stacked = _lagged(z)[block]
            residuals.append(stacked - (stacked @ axes.T) @ axes)
            whitened.append(z[block] @ root)
        return np.vstack(residuals), np.vstack(whitened)


def _learn(rows: Array) -> tuple[Array, Array, Array, Array]:
    """Centre, scale, principal axes (k, wide) and a root of the precision (width, width)."""
    centre, scale = rows.mean(axis=0), np.maximum(rows.std(axis=0), 1e-12)
    z = (rows - centre) / scale
    _, spread, axes = np.linalg.svd(_lagged(z), full_matrices=False)
    share = np.cumsum(spread**2) / np.sum(spread**2)
    kept = axes[: int(np.searchsorted(share, _KEPT)) + 1]
    return centre, scale, kept, np.linalg.cholesky(np.linalg.inv(shrunk_covariance(z)))


def _lagged(z: Array) -> Array:
    """Each row (k, width) beside the ones before it: (k, width · (lags + 1)), newest first."""
    back = [np.vstack([np.repeat(z[:1], lag, axis=0), z[: len(z) - lag]]) for lag in range(_LAGS + 1)]
    return np.hstack(back)
