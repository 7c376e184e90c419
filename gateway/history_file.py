"""The embedded history on disk: chunks of samples, and minutes of them, by column.

``chunk`` and ``block`` hold samples: a chunk is some minutes of one signal set, its columns lie in blocks of a few
KiB, each compressed alone, so that one signal is read without the others. ``minute`` holds what a chunk comes to minute
by minute, for all columns together; when a day is over, ``day`` holds it signal by signal instead.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from isal import isal_zlib
from numpy.typing import NDArray

from gateway import sqlite
from gateway.codec import from_planes, planes
from gateway.store import Series

MINUTE = 60_000_000_000
HOUR = 60 * MINUTE
DAY = 24 * HOUR

SCHEMA = """
CREATE TABLE IF NOT EXISTS signal_set (id INTEGER PRIMARY KEY, source TEXT, names TEXT,
    through INTEGER NOT NULL, last_time INTEGER NOT NULL, UNIQUE (source, names));
CREATE TABLE IF NOT EXISTS signal (id INTEGER PRIMARY KEY, name TEXT UNIQUE);
CREATE TABLE IF NOT EXISTS place (signal_id INTEGER, set_id INTEGER, column INTEGER,
    PRIMARY KEY (signal_id, set_id)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS chunk (id INTEGER PRIMARY KEY, set_id INTEGER, start INTEGER, "end" INTEGER,
    width INTEGER, times BLOB);
CREATE INDEX IF NOT EXISTS chunk_of_set ON chunk (set_id, start, "end");
CREATE INDEX IF NOT EXISTS chunk_hour ON chunk ("end" / 3600000000000);
CREATE TABLE IF NOT EXISTS block (id INTEGER PRIMARY KEY, body BLOB);
CREATE TABLE IF NOT EXISTS minute (id INTEGER PRIMARY KEY, set_id INTEGER, day INTEGER, body BLOB);
CREATE INDEX IF NOT EXISTS minute_of_set ON minute (set_id, day);
CREATE TABLE IF NOT EXISTS day (signal_id INTEGER, day INTEGER, body BLOB, PRIMARY KEY (signal_id, day));
CREATE INDEX IF NOT EXISTS day_day ON day (day);
"""
BLOCK_BITS = 16  # a block's id is its chunk's × 2**16 + its place in the chunk
_BLOCK_BYTES = 32768  # of values before compression; smaller blocks read faster and are made slower
_WITH_QUALITY = 1
_HEAD = struct.Struct("<IIB")


def block_width(rows: int) -> int:
    """How many columns of ``rows`` samples share a block."""
    return max(1, _BLOCK_BYTES // (8 * max(rows, 1)))


def pack_times(time: NDArray[np.int64]) -> bytes:
    """Times of a chunk's rows."""
    return isal_zlib.compress(planes(np.diff(time, prepend=np.int64(0)).view(np.float64)), 1)


def unpack_times(body: bytes) -> NDArray[np.int64]:
    """What ``pack_times`` packed."""
    raw = isal_zlib.decompress(body)
    return np.cumsum(from_planes(raw, 0, len(raw) // 8).view(np.int64))


def pack_block(values: NDArray[np.float64], quality: NDArray[np.uint8]) -> bytes:
    """Columns of a chunk: ``values`` and ``quality`` (rows, columns)."""
    flags = _WITH_QUALITY if quality.any() else 0
    parts = [_HEAD.pack(*values.shape, flags), planes(np.ravel(values.T))]
    if flags:
        parts.append(quality.T.tobytes())
    return isal_zlib.compress(b"".join(parts), 1)


def unpack_column(body: bytes, column: int) -> tuple[NDArray[np.float64], NDArray[np.uint8]]:
    """One column of a block: values and quality."""
    raw = isal_zlib.decompress(body)
    rows, columns, flags = _HEAD.unpack_from(raw)
    here = slice(column * rows, (column + 1) * rows)
    values = from_planes(raw, _HEAD.size, rows * columns, here)
    if not flags:
        return values, np.zeros(rows, np.uint8)
    return values, np.frombuffer(raw, np.uint8, rows * columns, _HEAD.size + 8 * rows * columns)[here]


@dataclass(frozen=True, slots=True)
class Minutes:
    """Minute by minute (m,) what some columns (n,) came to; arrays are (m, n), and count only where ``count`` does."""

    minute: NDArray[np.int64]
    count: NDArray[np.int64]
    quality: NDArray[np.uint8]
    min: NDArray[np.float64]
    mean: NDArray[np.float64]
    max: NDArray[np.float64]

    @classmethod
    def of(cls, time: NDArray[np.int64], values: NDArray[np.float64], quality: NDArray[np.uint8]) -> Minutes:
        """What rising ``time`` (rows,) and ``values`` (rows, n; NaN where BAD) come to."""
        minute = time // MINUTE
        first = np.flatnonzero(np.diff(minute, prepend=minute[0] - 1))
        bad = np.isnan(values)
        if not bad.any():
            counted = np.diff(first, append=len(minute))[:, None]
            count = np.repeat(counted, values.shape[1], axis=1)
            total = np.add.reduceat(values, first, axis=0)
        else:
            count = np.add.reduceat((~bad).astype(np.int64), first, axis=0)
            total = np.add.reduceat(np.where(bad, 0.0, values), first, axis=0)
            quality = np.where(bad, np.uint8(0), quality)
        with np.errstate(invalid="ignore", divide="ignore"):
            return cls(
                minute[first],
                count,
                np.maximum.reduceat(quality, first, axis=0),
                np.fmin.reduceat(values, first, axis=0),
                total / count,
                np.fmax.reduceat(values, first, axis=0),
            )

    @classmethod
    def merged(cls, parts: Sequence[Minutes]) -> Minutes:
        """Several pieces as one; what shares a minute is joined."""
        minute = np.concatenate([part.minute for part in parts])
        order = np.argsort(minute, kind="stable")
        minute = minute[order]
        first = np.flatnonzero(np.diff(minute, prepend=minute[0] - 1))
        counts = np.concatenate([part.count for part in parts])[order]
        means = np.concatenate([part.mean for part in parts])[order]
        count = np.add.reduceat(counts, first, axis=0)
        total = np.add.reduceat(np.where(counts > 0, means * counts, 0.0), first, axis=0)
        with np.errstate(invalid="ignore", divide="ignore"):
            return cls(
                minute[first],
                count,
                np.maximum.reduceat(np.concatenate([part.quality for part in parts])[order], first, axis=0),
                np.fmin.reduceat(np.concatenate([part.min for part in parts])[order], first, axis=0),
                total / count,
                np.fmax.reduceat(np.concatenate([part.max for part in parts])[order], first, axis=0),
            )

    def days(self) -> list[tuple[int, Minutes]]:
        """The same cut at midnight UTC."""
        day = self.minute // 1440
        return [(int(each), self._rows(day == each)) for each in np.unique(day)]

    def _rows(self, which: NDArray[np.bool_]) -> Minutes:
        return Minutes(
            self.minute[which],
            self.count[which],
            self.quality[which],
            self.min[which],
            self.mean[which],
            self.max[which],
        )

    def column(self, column: int) -> Minutes:
        """One column, where it has samples; arrays stay (m, 1)."""
        here = slice(column, column + 1)
        some = self.count[:, column] > 0
        return Minutes(
            self.minute[some],
            self.count[some, here],
            self.quality[some, here],
            self.min[some, here],
            self.mean[some, here],
            self.max[some, here],
        )

    def series(self, signal: str) -> Series:
        """The one column as a series."""
        return Series(
            signal,
            self.minute * MINUTE,
            self.min[:, 0],
            self.mean[:, 0],
            self.max[:, 0],
            self.quality[:, 0],
            self.count[:, 0],
            MINUTE,
        )

    def pack(self) -> bytes:
        """As bytes. The mean keeps 24 bits of precision, ``min`` and ``max`` all."""
        rows, columns = self.count.shape
        rounded = (self.mean.view(np.uint64) + np.uint64(1 << 28)) & np.uint64(~((1 << 29) - 1) & (2**64 - 1))
        mean = rounded.view(np.float64)
        parts = [
            _HEAD.pack(rows, columns, 0),
            self.minute.tobytes(),
            self.count.T.astype(np.uint32).tobytes(),
            self.quality.T.tobytes(),
            *(planes(np.ravel(part.T)) for part in (self.min, mean, self.max)),
        ]
        return isal_zlib.compress(b"".join(parts), 1)

    @classmethod
    def unpack(cls, body: bytes) -> Minutes:
        """What ``pack`` packed."""
        raw = isal_zlib.decompress(body)
        rows, columns, _ = _HEAD.unpack_from(raw)
        size = rows * columns
        at = _HEAD.size
        minute = np.frombuffer(raw, np.int64, rows, at)
        count = np.frombuffer(raw, np.uint32, size, at + 8 * rows).reshape(columns, rows).T
        at += 8 * rows + 4 * size
        quality = np.frombuffer(raw, np.uint8, size, at).reshape(columns, rows).T
        at += size
        low, mean, high = (
            from_planes(raw, at + i * 8 * size, size).reshape(columns, rows).T for i in range(3)
        )
        return cls(minute, count.astype(np.int64), quality, low, mean, high)


def create(connection: sqlite.Connection) -> None:
    """Make the tables that are not there yet."""
    connection.execute("BEGIN IMMEDIATE")
    for statement in SCHEMA.split(";"):
        connection.execute(statement)
    connection.execute("COMMIT")
