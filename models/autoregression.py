"""The next value from the last eight, learned recursively, all signals at once."""

from __future__ import annotations

import numpy as np

from models.promise import Array

ORDER = 8
_FORGET = 0.999
_MOST = 1e4


class Autoregression:
    """AR(8) by recursive least squares with forgetting (L. Ljung, "System Identification", 2nd ed., 11.2).

    Columns are (n,); ``weights`` (n, 8), ``gain`` (n, 8, 8). Inputs are standardised values.
    """

    def __init__(self, width: int) -> None:
        self.weights = np.zeros((width, ORDER))
        self.weights[:, 0] = 1.0
        self.gain = np.tile(np.eye(ORDER) * 100.0, (width, 1, 1))
        self.variance = np.zeros(width)

    def residual(self, lags: Array, value: Array) -> Array:
        """What the last eight values (n, 8) do not explain of ``value``."""
        return np.asarray(value - np.einsum("ni,ni->n", self.weights, lags))

    def learn(self, lags: Array, residual: Array, rate: Array, known: Array) -> None:
        """One recursive step for the ``known`` signals; the residual is winsorised at four sigmas."""
        reach = np.where(self.variance > 0, 4.0 * np.sqrt(self.variance), np.inf)
        error = np.where(known, np.clip(residual, -reach, reach), 0.0)
        pushed = np.einsum("nij,nj->ni", self.gain, lags)
        step = pushed / (_FORGET + np.einsum("ni,ni->n", lags, pushed))[:, None]
        self.weights += step * error[:, None]
        gain = (self.gain - step[:, :, None] * pushed[:, None, :]) / _FORGET
        trace = np.einsum("nii->n", gain)
        gain *= np.where(trace > _MOST, _MOST / np.maximum(trace, 1e-300), 1.0)[:, None, None]
        self.gain = np.where(known[:, None, None], gain, self.gain)
        self.variance += np.where(known, rate * (error * error - self.variance), 0.0)
