"""How a machine's signals move together: dynamic PCA residuals, T² and forecast errors, smoothed at several speeds."""

from __future__ import annotations

from statistics import NormalDist
from typing import NamedTuple

import numpy as np

from models.calibrate import shrunk_covariance
from models.promise import Array

_LAGS = 2
_KEPT = 0.9
_SPEEDS = np.array([[0.05], [0.02]])
_T2_SPEED = 0.1
_NEWS_SPEEDS = np.array([0.2, 0.05, 0.02])
_RIDGE = 0.3
_FOLDS = 10
_CLIP = 8.0
_WARM = 20
_FADE = 0.95
_FILLS = 5
_SPREADS = np.array([0.91, 0.91, 0.91, 0.91, 1.36, 1.36, 1.28, 1.1])
_LEARNED = ("centre", "scale", "axes", "root", "forecast", "news_root")
_ARRAYS = (*_LEARNED, "limits", "typical", "history", "square", "mean", "fast", "news")


class _Moves(NamedTuple):
    """What is learned of ``n`` signals: centre and scale (n,), principal axes (k, wide) of lagged rows, a root of the
    precision (n, n), the forecast of a row from the one before (n, n), and a root of its error's precision (n, n)."""

    centre: Array
    scale: Array
    axes: Array
    root: Array
    forecast: Array
    news_root: Array


class Dynamic:
    """Squared prediction error of a dynamic PCA, its spread and its mean, T², and the news, each against its own limit.

    DPCA: W. Ku, R. H. Storer, C. Georgakis, Chemometrics 30(1), 1995, two lags, 90 % of the variance. Of the
    residual both the smoothed square (EWMA of Q: more scatter) and the squared smoothed vector (MEWMA: a shift)
    are watched at two speeds; beside them a MEWMA T² (Lowry 1992) on a Ledoit–Wolf covariance, and the *news*: the
    smoothed T² of what a ridge vector autoregression does not foresee, at three speeds (T. J. Harris, W. H. Ross,
    Can. J. Chem. Eng. 69, 1991: forecast errors are charted, since they are independent). Limits come from
    commissioning rows each of which was held out once (ten folds in time): mean + k σ of the statistic's logarithm,
    k from the stated share of rows. A missing value is what the other signals say it is, by the same axes
    (P. R. C. Nelson, P. A. Taylor, J. F. MacGregor, Chemometrics 35(1), 1996). Parameters were chosen on ``tep`` of
    the development data.
    """

    def __init__(self, width: int, rate: float = 0.005) -> None:
        self._sigmas = _SPREADS * -NormalDist().inv_cdf(min(0.25, rate))
        wide = width * (_LAGS + 1)
        self.centre, self.scale = np.zeros(width), np.ones(width)
        self.axes, self.root = np.zeros((1, wide)), np.eye(width)
        self.forecast, self.news_root = np.zeros((width, width)), np.eye(width)
        self.limits, self.typical = np.zeros(len(_SPREADS)), np.ones(wide)
        self.restart()

    def restart(self) -> None:
        """Forget what is remembered."""
        self.history = np.zeros((_LAGS + 1, len(self.centre)))
        self.square = np.tile(self.typical, (len(_SPEEDS), 1))
        self.mean = np.zeros((len(_SPEEDS), len(self.typical)))
        self.fast = np.zeros(len(self.centre))
        self.news = np.full(len(_NEWS_SPEEDS), float(len(self.centre)))

    def fit(self, rows: Array) -> None:
        """Learn from ``rows`` (k, width)."""
        residuals, whitened, news = _held_out(rows)
        self.typical = (residuals**2).mean(axis=0)
        self.restart()
        seen = np.array([self._smooth(*found) for found in zip(residuals, whitened, news, strict=True)])[
            _WARM:
        ]
        self.limits = seen.mean(axis=0) + self._sigmas * seen.std(axis=0)
        for name, learned in zip(_LEARNED, _learn(rows), strict=True):
            setattr(self, name, learned)
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
        news = (z - self.history[1] @ self.forecast) @ self.news_root
        return float(np.exp((self._smooth(residual, z @ self.root, news) - self.limits).max() / 2))

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

    def _smooth(self, residual: Array, whitened: Array, news: Array) -> Array:
        """Move what is smoothed and return the logarithms of the eight statistics."""
        self.square += _SPEEDS * (residual * residual - self.square)
        self.mean += _SPEEDS * (residual - self.mean)
        self.fast += _T2_SPEED * (whitened - self.fast)
        self.news += _NEWS_SPEEDS * (news @ news - self.news)
        found = np.empty(len(_SPREADS))
        found[:2] = self.square.sum(axis=1)
        found[2:4] = np.einsum("ij,ij->i", self.mean, self.mean)
        found[4] = self.fast @ self.fast
        found[5:] = self.news
        return np.asarray(np.log(found + 1e-12))


def _held_out(rows: Array) -> tuple[Array, Array, Array]:
    """Residuals (k, wide), whitened rows and news (k, width), each by what was learned without that row."""
    residuals, whitened, news = [], [], []
    for block in np.array_split(np.arange(len(rows)), _FOLDS):
        moves = _learn(np.delete(rows, block, axis=0))
        z = np.clip((rows - moves.centre) / moves.scale, -_CLIP, _CLIP)
        stacked = _lagged(z)[block]
        residuals.append(stacked - (stacked @ moves.axes.T) @ moves.axes)
        whitened.append(z[block] @ moves.root)
        news.append((z[block] - z[np.maximum(block - 1, 0)] @ moves.forecast) @ moves.news_root)
    return np.vstack(residuals), np.vstack(whitened), np.vstack(news)


def _learn(rows: Array) -> _Moves:
    centre, scale = rows.mean(axis=0), np.maximum(rows.std(axis=0), 1e-12)
    z = (rows - centre) / scale
    _, spread, axes = np.linalg.svd(_lagged(z), full_matrices=False)
    share = np.cumsum(spread**2) / np.sum(spread**2)
    kept = axes[: int(np.searchsorted(share, _KEPT)) + 1]
    before, after = z[:-1], z[1:]
    ridge = _RIDGE * len(z) * np.eye(z.shape[1])
    forecast = np.linalg.solve(before.T @ before + ridge, before.T @ after)
    return _Moves(centre, scale, kept, _root(z), forecast, _root(after - before @ forecast))


def _root(x: Array) -> Array:
    """A root of the precision of rows (k, width)."""
    return np.asarray(np.linalg.cholesky(np.linalg.inv(shrunk_covariance(x))))


def _lagged(z: Array) -> Array:
    """Each row (k, width) beside the ones before it: (k, width · (lags + 1)), newest first."""
    back = [np.vstack([np.repeat(z[:1], lag, axis=0), z[: len(z) - lag]]) for lag in range(_LAGS + 1)]
    return np.hstack(back)
