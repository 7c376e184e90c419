"""A block of vibration samples in an MQTT message: its features stand in the document before the points are picked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, PositiveFloat, model_validator

from devices.mqtt_payload import PayloadError, compile_path, number, pick
from devices.settings import Settings

Features: TypeAlias = Callable[[str, NDArray[np.float64], float, float | None], Mapping[str, object]]
"""What a block says, of its asset, samples (k,), their rate in Hz and the shaft's speed in r/min; or PayloadError."""


class Waveform(Settings):
    """Where the samples stand, how fast they were taken, and how fast the shaft turns."""

    path: str = Field(default="samples", description="of the array of samples")
    rate: PositiveFloat | None = Field(default=None, description="samples a second, Hz")
    rate_path: str | None = Field(default=None, description="where the message says it")
    speed: PositiveFloat | None = Field(
        default=None, description="of the shaft, r/min; for the bearings' lines"
    )
    speed_path: str | None = Field(default=None, description="where the message says it")

    @model_validator(mode="after")
    def _all_can_be_read(self) -> Waveform:
        if (self.rate is None) == (self.rate_path is None):
            raise ValueError("say either rate, in Hz, or rate_path")
        if self.speed is not None and self.speed_path is not None:
            raise ValueError("say speed, in r/min, or speed_path, not both")
        for path in (self.path, self.rate_path, self.speed_path):
            if path is not None:
                compile_path(path)
        return self

    def told(self, document: object, asset: str, features: Features | None) -> object:
        """``document`` with what its samples say of ``asset``. PayloadError if they say nothing."""
        if features is None or not isinstance(document, dict):
            raise PayloadError("no object with samples" if features else "nobody here reads waveforms")
        samples = pick(document, compile_path(self.path))
        try:
            block: NDArray[Any] = np.asarray(samples, np.float64)
        except (TypeError, ValueError) as error:
            raise PayloadError(f"{self.path} is no array of numbers") from error
        rate, speed = (
            _value(document, self.rate, self.rate_path),
            _value(document, self.speed, self.speed_path),
        )
        if rate is None:
            raise PayloadError(f"{self.rate_path} is no rate in Hz")
        return {**document, **features(asset, block, rate, speed)}


def _value(document: object, said: float | None, path: str | None) -> float | None:
    """What the settings say, or else a positive number of the document."""
    if path is None:
        return said
    found = number(pick(document, compile_path(path)))
    return found if found > 0 else None
