"""Remaining life learned from failure histories of the same kind of machine (ten or more). Needs scikit-learn."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from models.promise import Array, ModelError

_FEWEST = 10
_CAP = 125.0
_SHORT, _LONG = 10, 30  # rows of the trailing means
_STEP = 3  # every third row is learned: neighbours say the same
_COVER = 0.92  # nominal: the next unit is less like the learned ones than they are like each other
_ASKED = 1.2  # caps of life left: nobody asks for the interval of a machine that is younger
_FOLDS = 5
_NEAREST = 300
_TELLING = 0.1
_SMOOTH_SHARE = 0.7


class Histories:
    """A support vector machine and gradient boosting, averaged 7 : 3, with a conformal interval.

    The target is capped at 125 (piecewise linear, F. O. Heimes, PHM 2008). Features (rows, f) are, of standardised
    signals that move with the life left, trailing means, slopes and scatter over 10 and 30 rows and the distance from
    the unit's own beginning; the same of one health index, their linear combination that follows the life left best
    (T. Wang et al., PHM 2008); and age, its root and its logarithm. The interval is split-conformal over units held
    out in five folds, its width taken among held-out predictions near this one (G. Shafer, V. Vovk, JMLR 9,
    2008; local as in J. Lei et al., JASA 113, 2018).
    """

    def __init__(self, seed: int = 0) -> None:
        self._seed = seed

    def fit(self, units: Sequence[Array]) -> None:
        """``units``: each (rows, signals) from new to failure. ModelError for fewer than ten."""
        if len(units) < _FEWEST:
            raise ModelError(f"{len(units)} failure histories are too few: at least {_FEWEST} are needed")
        whole = np.vstack(units)
        self._centre, self._scale = whole.mean(axis=0), whole.std(axis=0)
        left = [np.arange(len(unit))[::-1].astype(float) for unit in units]
        target = [np.minimum(rows, _CAP) for rows in left]
        self._used = self._telling(whole, np.concatenate(target))
        self._index = self._health(whole, np.concatenate(left))
        features = [self._features(unit) for unit in units]
        self._calibrate(features, left, target)
        self._models = self._grow(features, target)

    def _calibrate(self, features: list[Array], left: list[Array], target: list[Array]) -> None:
        """Predictions of units that were held out, and their errors: what the interval is made of."""
        order = np.random.default_rng(self._seed).permutation(len(features))
        held, errors = [], []
        for fold in np.array_split(order, _FOLDS):
            others = np.setdiff1d(order, fold)
            models = self._grow([features[i] for i in others], [target[i] for i in others])
            for i in fold:
                asked = np.flatnonzero(left[i] <= _ASKED * _CAP)[::_STEP]
                guess = _mean(models, features[i][asked])
                held.append(guess)
                errors.append(target[i][asked] - guess)
        self._held, self._errors = np.concatenate(held), np.concatenate(errors)

    def predict(self, unit: Array) -> tuple[float, float, float]:
        """Rows left after the last of ``unit`` (rows, signals), and the 90 % interval."""
        guess = float(_mean(self._models, self._features(unit)[-1:])[0])
        near = np.argsort(np.abs(self._held - guess), kind="stable")[:_NEAREST]
        low, high = np.quantile(self._errors[near], [(1 - _COVER) / 2, (1 + _COVER) / 2])
        return guess, max(0.0, guess + float(low)), min(_CAP, guess + float(high))

    def _standard(self, rows: Array) -> Array:
        """Rows (k, signals) in sigmas, of the signals that are used."""
        return np.asarray(((rows - self._centre) / np.maximum(self._scale, 1e-300))[:, self._used])

    def _health(self, whole: Array, left: Array) -> Array:
        """Weights (used,) of the health index: least squares on the life left, where wear shows."""
        worn = left < _CAP
        z = self._standard(whole[worn])
        return np.asarray(np.linalg.lstsq(z, left[worn] - left[worn].mean(), rcond=None)[0])

    def _features(self, unit: Array) -> Array:
        """(rows, features) of one unit (rows, signals)."""
        z = self._standard(unit)
        z = np.hstack([z, (z @ self._index)[:, None]])
        age = np.arange(1.0, len(z) + 1)[:, None]
        short, long = _means(z, _SHORT), _means(z, _LONG)
        scatter = np.sqrt(np.maximum(_means(z * z, _LONG) - long * long, 0.0))
        early = np.cumsum(z, axis=0) / age
        early[20:] = early[min(19, len(z) - 1)]
        slopes = [short - _back(short, 15), long - _back(long, 30)]
        return np.hstack([age, np.sqrt(age), np.log(age), short, long, *slopes, scatter, long - early])

    def _telling(self, whole: Array, left: Array) -> NDArray[np.bool_]:
        """Which signals move with the life that is left: a correlation of at least 0.1."""
        moves = self._scale > 1e-9 * np.maximum(1.0, np.abs(self._centre))
        away = (whole - self._centre) / np.where(moves, self._scale, 1.0)
        life = (left - left.mean()) / left.std()
        telling = moves & (np.abs(away.T @ life) / len(left) >= _TELLING)
        if not telling.any():
            raise ModelError("no signal moves with the life that is left")
        return np.asarray(telling)

    def _grow(self, features: list[Array], left: list[Array]) -> tuple[Any, Any]:
        from sklearn.ensemble import HistGradientBoostingRegressor
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler
        from sklearn.svm import SVR

        x = np.vstack([f[::_STEP] for f in features])
        y = np.concatenate([target[::_STEP] for target in left])
        smooth = make_pipeline(StandardScaler(), SVR(C=50.0, epsilon=5.0, gamma=0.007))
        boosted = HistGradientBoostingRegressor(
            max_iter=120, learning_rate=0.07, max_leaf_nodes=12, min_samples_leaf=30, random_state=self._seed
        )
        with _one_thread():
            return smooth.fit(x, y), boosted.fit(x, y)


def _one_thread() -> AbstractContextManager[object]:
    """For as little as is learned here, threads only wait for each other."""
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]  # comes with scikit-learn

    return cast("AbstractContextManager[object]", threadpool_limits(1))


def _mean(models: tuple[Any, Any], features: Array) -> Array:
    with _one_thread():
        smooth, boosted = (model.predict(features) for model in models)
    return np.asarray(_SMOOTH_SHARE * smooth + (1 - _SMOOTH_SHARE) * boosted)


def _means(z: Array, window: int) -> Array:
    """Trailing means (rows, n) over at most ``window`` rows."""
    total = np.vstack([np.zeros((1, z.shape[1])), np.cumsum(z, axis=0)])
    start = np.maximum(np.arange(len(z)) + 1 - window, 0)
    stop = np.arange(len(z)) + 1
    return np.asarray((total[stop] - total[start]) / (stop - start)[:, None])


def _back(z: Array, rows: int) -> Array:
    return z[np.maximum(np.arange(len(z)) - rows, 0)]
