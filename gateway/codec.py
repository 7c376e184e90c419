"""Batches as compact bytes and back, by column: encoding a group is a few NumPy calls.

Layout before compression (little endian): ``u32 batches, u32 flags``, then for each batch its signal set's
number (u64), its time (i64, as the difference to the batch before) and arrival − time (i64); then all values
(f64, as byte planes) and, when any is not good, all qualities (u8).
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from typing import cast

import numpy as np
from isal import igzip_lib, isal_zlib
from numpy.typing import NDArray

from devices.batch import Batch, SignalSet

CODEC = 1

_UNREADABLE = (cast("type[Exception]", igzip_lib.IsalError), ValueError, struct.error)
_HEAD = struct.Struct("<II")
_WITH_QUALITY = 1


class CodecError(Exception):
    """These bytes are not what ``encode`` made, or they name a signal set nobody knows."""


def encode(batches: Sequence[Batch], numbers: Sequence[int]) -> bytes:
    """One compressed body for ``batches``; ``numbers`` are those of their signal sets."""
    count = len(batches)
    time = np.fromiter((batch.time for batch in batches), np.int64, count)
    delay = np.fromiter((batch.arrival for batch in batches), np.int64, count) - time
    values = np.concatenate([batch.values for batch in batches])
    quality = np.concatenate([batch.quality for batch in batches])
    flags = _WITH_QUALITY if quality.any() else 0
    parts = [
        _HEAD.pack(count, flags),
        np.array(numbers, np.uint64).tobytes(),
        np.diff(time, prepend=np.int64(0)).tobytes(),
        delay.tobytes(),
        planes(values),
    ]
    if flags:
        parts.append(quality.tobytes())
    return isal_zlib.compress(b"".join(parts), 1)


def decode(body: bytes, sets: Mapping[int, SignalSet]) -> tuple[Batch, ...]:
    """The batches in ``body``, their arrays read-only; ``sets`` tells the signal set of each number."""
    try:
        raw = isal_zlib.decompress(body)
        count, flags = _HEAD.unpack_from(raw)
        at = _HEAD.size
        numbers = np.frombuffer(raw, np.uint64, count, at)
        signals = [sets[number] for number in numbers.tolist()]
        time = np.cumsum(np.frombuffer(raw, np.int64, count, at + 8 * count))
        arrival = time + np.frombuffer(raw, np.int64, count, at + 16 * count)
        at += 24 * count
        ends = np.cumsum([len(each.names) for each in signals]).tolist()
        total = ends[-1] if ends else 0
        values = from_planes(raw, at, total)
        quality = np.frombuffer(raw, np.uint8, total, at + 8 * total) if flags else np.zeros(total, np.uint8)
    except _UNREADABLE as error:
        raise CodecError(f"unreadable body: {error}") from error
    except KeyError as error:
        raise CodecError(f"unknown signal set {error}") from error
    values.flags.writeable = quality.flags.writeable = False
    starts = [0, *ends[:-1]]
    return tuple(
        Batch(each, t, a, values[start:end], quality[start:end])
        for each, t, a, start, end in zip(signals, time.tolist(), arrival.tolist(), starts, ends, strict=True)
    )


def planes(values: NDArray[np.float64]) -> bytes:
    """``values`` with their first bytes together, then their second bytes …, which compresses better."""
    return values.view(np.uint8).reshape(-1, 8).T.tobytes()


def from_planes(raw: bytes, offset: int, count: int, part: slice = slice(None)) -> NDArray[np.float64]:
    """The ``count`` values that ``planes`` wrote at ``offset``, or a ``part`` of them."""
    bytes_ = np.frombuffer(raw, np.uint8, 8 * count, offset).reshape(8, count)[:, part]
    return np.ascontiguousarray(bytes_.T).view(np.float64).reshape(-1)
