"""Remaining life learned from failure histories of the same kind of machine (ten or more). Needs scikit-learn."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from models.promise import Array, ModelError

_FEWEST = 10
_CAP = 125.0
_WINDOW, _LONG = 10, 30
_COVER = 0.94  # nominal: held-out units are more like the learned ones than the next will be
_FOLDS = 5
_NEAREST = 400
_TELLING = 0.1


class Histories:
    """Gradient boosting, extremely randomised trees and a support vector machine, averaged, with an interval.

    The target is capped at 125 (piecewise linear, F. O. Heimes, PHM 2008); features are means, slopes and
    scatter of standardised signals over 10 and 30 rows and their distance from the unit's own beginning. The interval
    is split-conformal over units held out in five folds, its width taken among held-out predictions near
    this one (G. Shafer, V. Vovk, JMLR 9, 2008; local as in J. Lei et al., JASA 113, 2018).
    """

    def __init__(self, seed: int = 0) -> None:
        self._seed = seed

    def fit(self, units: Sequence[Array]) -> None:
        """``units``: each (rows, signals) from new to failure. ModelError for fewer than ten."""
        if len(units) < _FEWEST:
            raise ModelError(f"{len(units)} failure histories are too few: at least {_FEWEST} are needed")
        whole = np.vstack(units)
        self._centre, self._scale = whole.mean(axis=0), whole.std(axis=0)
        left = [np.minimum(np.arange(len(unit))[::-1], _CAP) for unit in units]
        self._used = self._telling(whole, np.concatenate(left))
        features = [self._features(unit) for unit in units]
        order = np.random.default_rng(self._seed).permutation(len(units))
        held, errors = [], []
        for fold in np.array_split(order, min(_FOLDS, len(units))):
            others = [i for i in order if i not in set(fold.tolist())]
            models = self._grow([features[i] for i in others], [left[i] for i in others])
            for i in fold:
                guess = _mean(models, features[i][_LONG::3])
                held.append(guess)
                errors.append(left[i][_LONG::3] - guess)
        self._held, self._errors = np.concatenate(held), np.concatenate(errors)
        self._models = self._grow(features, left)

    def predict(self, unit: Array) -> tuple[float, float, float]:
        """Rows left after the last of ``unit`` (rows, signals), and the 90 % interval."""
        guess = float(_mean(self._models, self._features(unit)[-1:])[0])
        near = np.argsort(np.abs(self._held - guess), kind="stable")[:_NEAREST]
        low, high = np.quantile(self._errors[near], [(1 - _COVER) / 2, (1 + _COVER) / 2])
        return guess, max(0.0, guess + float(low)), min(_CAP, guess + float(high))

    def _features(self, unit: Array) -> Array:
        """(rows, features): age, and for each signal that moves means, slope, scatter and drift."""
        z = ((unit - self._centre) / np.maximum(self._scale, 1e-300))[:, self._used]
        count = np.arange(1, len(z) + 1)[:, None]
        short, long = _means(z, _WINDOW), _means(z, _LONG)
        scatter = np.sqrt(np.maximum(_means(z * z, _LONG) - long * long, 0.0))
        early = np.cumsum(z, axis=0) / count
        early[20:] = early[min(19, len(z) - 1)]
        return np.hstack([count, short, long, short - _back(short, 15), scatter, long - early])

    def _telling(self, whole: Array, left: Array) -> NDArray[np.bool_]:
        """Which signals move with the life that is left: a correlation of at least 0.1."""
        moves = self._scale > 1e-9 * np.maximum(1.0, np.abs(self._centre))
        away = (whole - self._centre) / np.where(moves, self._scale, 1.0)
        life = (left - left.mean()) / left.std()
        telling = moves & (np.abs(away.T @ life) / len(left) >= _TELLING)
        if not telling.any():
            raise ModelError("no signal moves with the life that is left")
        return np.asarray(telling)

    def _grow(self, features: list[Array], left: list[Array]) -> list[object]:
        from sklearn.ensemble import ExtraTreesRegressor, HistGradientBoostingRegressor
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler
        from sklearn.svm import SVR

        x = np.vstack([f[::3] for f in features])
        y = np.concatenate([target[::3] for target in left])
        boosted = HistGradientBoostingRegressor(
            max_iter=120, learning_rate=0.07, max_leaf_nodes=12, min_samples_leaf=30, random_state=self._seed
        )
        trees = ExtraTreesRegressor(60, min_samples_leaf=4, max_features=0.4, random_state=self._seed)
        smooth = make_pipeline(StandardScaler(), SVR(C=30.0, epsilon=5.0, gamma=0.003))
        return [boosted.fit(x, y), trees.fit(x, y), smooth.fit(x, y)]


def _mean(models: list[object], features: Array) -> Array:
    guesses = [model.predict(features) for model in models]  # type: ignore[attr-defined]
    return np.asarray(np.mean(guesses, axis=0))


def _means(z: Array, window: int) -> Array:
    """Trailing means (rows, n) over at most ``window`` rows."""
    total = np.vstack([np.zeros((1, z.shape[1])), np.cumsum(z, axis=0)])
    start = np.maximum(np.arange(len(z)) + 1 - window, 0)
    stop = np.arange(len(z)) + 1
    return np.asarray((total[stop] - total[start]) / (stop - start)[:, None])


def _back(z: Array, rows: int) -> Array:
    return z[np.maximum(np.arange(len(z)) - rows, 0)]
