"""Blocks of vibration samples out of files or messages, and what they say of a machine's bearings."""

from __future__ import annotations

import wave
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from devices.mqtt_payload import PayloadError
from devices.mqtt_waveform import Features
from models.promise import Array, ModelError
from models.settings import BearingSettings
from models.vibration import Bearing, block_features


def read_block(path: Path) -> tuple[Array, float | None]:
    """The samples of a .wav (its first channel), a .npy or a text file of one column; and their rate if it says so."""
    try:
        match path.suffix.lower():
            case ".wav":
                with wave.open(str(path)) as file:
                    if file.getsampwidth() != 2:
                        raise ModelError(f"{path}: 16 bits a sample would do, not {8 * file.getsampwidth()}")
                    raw = np.frombuffer(file.readframes(file.getnframes()), "<i2")
                    return raw[:: file.getnchannels()] / 32768.0, float(file.getframerate())
            case ".npy":
                return np.load(path, allow_pickle=False).astype(float), None
            case _:
                return np.loadtxt(path, ndmin=1), None
    except (OSError, ValueError, EOFError, wave.Error) as error:
        raise ModelError(f"{path} holds no block of samples: {error}") from error


def analysis(
    block: Array, rate: float, bearings: Mapping[str, BearingSettings], speed: float | None
) -> dict[str, dict[str, float]]:
    """Features of the block, and the prominence of each bearing's lines. ModelError if it cannot be analysed."""
    found = {"block": block_features(block, rate)}
    for name, settings in bearings.items():
        orders = Bearing(**settings.model_dump()).orders()
        told = block_features(block, rate, orders, speed)
        found[name] = {key: value for key, value in told.items() if key.startswith("env_")}
    return found


def block_reader(bearings_of: Callable[[str], Mapping[str, BearingSettings]]) -> Features:
    """What a line asks when a message carries samples: ``analysis``, with the asset's own bearings."""

    def features(asset: str, block: Array, rate: float, speed: float | None) -> Mapping[str, object]:
        try:
            return analysis(block, rate, bearings_of(asset), speed)
        except ModelError as error:
            raise PayloadError(str(error)) from error

    return features
