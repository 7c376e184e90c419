"""A stretch of live traffic in a file: what the gateway took in, entry by entry, to be judged again as it was.

Gzipped JSON lines. The first says whose recording it is; ``{"set": n, "source", "names"}`` names signals that come
together; ``{"time": ns, "batches": [[set, time, arrival, values, quality], …]}`` is one entry of the log. Values that
are missing are null; ``quality`` is null where all are good. So a recording is plain text for any other program too.
"""

from __future__ import annotations

import gzip
import json
import math
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np

from devices.batch import Batch, SignalSet, signal_set
from gateway.spool import Entry

VERSION: Final = 1
Line = Mapping[str, Any]


class RecordingError(Exception):
    """A file that is no recording, or of another site; one line says which."""


class Log(Protocol):
    """The part of the spool that recording needs."""

    def newest_id(self) -> int: ...

    async def after(self, after_id: int, limit: int = 64) -> list[Entry]: ...


def lines(entries: Iterable[Entry], known: dict[SignalSet, int]) -> Iterator[Line]:
    """The lines of these entries; ``known`` numbers the signal sets that were named already, and grows."""
    for entry in entries:
        for batch in entry.batches:
            if batch.signals not in known:
                known[batch.signals] = len(known)
                names = list(batch.signals.names)
                yield {"set": known[batch.signals], "source": batch.signals.source, "names": names}
        yield {"time": entry.time, "batches": [_written(batch, known) for batch in entry.batches]}


def _written(batch: Batch, known: Mapping[SignalSet, int]) -> list[Any]:
    values = [value if math.isfinite(value) else None for value in batch.values.tolist()]
    quality = batch.quality.tolist() if batch.quality.any() else None
    return [known[batch.signals], batch.time, batch.arrival, values, quality]


async def live(log: Log) -> AsyncIterator[Line]:
    """All that is committed from now on."""
    known: dict[SignalSet, int] = {}
    at = log.newest_id()
    while True:
        entries = await log.after(at)
        for line in lines(entries, known):
            yield line
        at = entries[-1].id


def write(file: Path, site: str, told: Iterable[Line]) -> int:
    """Write a recording; returns how many samples it holds. What was written stays when ``told`` breaks off.

    RecordingError where the file cannot be written.
    """
    samples = 0
    try:
        file.touch()
    except OSError as error:
        raise RecordingError(f"{file} cannot be written: {error.strerror}") from error
    with gzip.open(file, "wt", encoding="utf-8", compresslevel=5) as out:
        out.write(json.dumps({"watchkeeper": VERSION, "site": site}) + "\n")
        for line in told:
            out.write(json.dumps(line, separators=(",", ":")) + "\n")
            samples += sum(len(batch[3]) for batch in line.get("batches", ()))
    return samples


def read(file: Path, site: str) -> Iterator[Entry]:
    """The entries of a recording, numbered from 1; RecordingError."""
    sets: dict[int, SignalSet] = {}
    seen = number = 0
    try:
        with gzip.open(file, "rt", encoding="utf-8") as text:
            _check(json.loads(text.readline()), file, site)
            for row in map(json.loads, text):
                if "set" in row:
                    sets[row["set"]] = signal_set(row["source"], tuple(row["names"]))
                    continue
                number += 1
                batches = tuple(_read(row, sets) for row in row["batches"])
                samples = sum(len(batch.values) for batch in batches)
                yield Entry(number, batches, samples, seen, row["time"])
                seen += samples
    except EOFError:
        return  # the recorder was killed: what was written counts
    except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
        raise RecordingError(f"{file} is no recording: {error}") from error


def _check(head: Mapping[str, Any], file: Path, site: str) -> None:
    if head.get("watchkeeper") != VERSION:
        raise RecordingError(f"{file} is no recording that this version reads")
    if head["site"] != site:
        raise RecordingError(f"{file} was recorded at the site {head['site']}, this one is {site}")


def _read(row: list[Any], sets: Mapping[int, SignalSet]) -> Batch:
    number, time, arrival, values, quality = row
    x = np.array([math.nan if value is None else value for value in values], np.float64)
    flags = np.zeros(len(values), np.uint8) if quality is None else np.array(quality, np.uint8)
    return Batch(sets[number], time, arrival, x, flags)
