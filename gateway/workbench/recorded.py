"""The past as the bench reads it: the site's own store, or CSV files, one signal at a time."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from devices.batch import SignalSet
from gateway.recording import RecordingError, read
from gateway.site import Site
from gateway.store import Readable

if TYPE_CHECKING:
    import pandas as pd

LABEL = "label"


class PastError(Exception):
    """What was named cannot be read as the past; one line says what would do."""


@dataclass(frozen=True, slots=True)
class Track:
    """One signal over a stretch: (n,) UTC ns, rising, and (n,) values, NaN where not good.

    ``condensed`` points stand for several samples: there only a minute's mean is left.
    """

    times: NDArray[np.int64]
    values: NDArray[np.float64]
    condensed: int = 0

    def __len__(self) -> int:
        return self.times.size


class Past(Protocol):
    """Somewhere that samples were kept."""

    name: str

    def span(self) -> tuple[int, int] | None:
        """First and last time (UTC ns), where the past knows its own ends."""
        ...

    def track(self, signal: str, start: int, end: int) -> Track:
        """``signal`` from ``start`` to before ``end``; empty where nothing is known. Raises StoreError."""
        ...


class StoredPast:
    """The local history or InfluxDB. Samples that were not good are not kept there: they show as gaps."""

    def __init__(self, reader: Readable, name: str) -> None:
        self._reader, self.name = reader, name

    def span(self) -> None:
        return None

    def track(self, signal: str, start: int, end: int) -> Track:
        series = self._reader.series(signal, start, end)
        return Track(series.time, series.mean, int(np.count_nonzero(series.count > 1)))


class HeldPast:
    """A past held in memory, signal by signal."""

    def __init__(self, name: str, tracks: Mapping[str, Track]) -> None:
        if not any(len(track) for track in tracks.values()):
            raise PastError(f"{name} holds no samples")
        self.name, self._tracks = name, tracks

    @property
    def signals(self) -> list[str]:
        return list(self._tracks)

    def span(self) -> tuple[int, int]:
        held = [track.times for track in self._tracks.values() if len(track)]
        return min(int(times[0]) for times in held), max(int(times[-1]) for times in held) + 1

    def track(self, signal: str, start: int, end: int) -> Track:
        found = self._tracks.get(signal)
        if found is None:
            return Track(np.empty(0, np.int64), np.empty(0))
        first, last = np.searchsorted(found.times, [start, end])
        return Track(found.times[first:last], found.values[first:last])


class CsvPast(HeldPast):
    """CSV files: a column ``time`` (ISO 8601, or s since 1970) and one for each signal.

    A column is ``asset/quantity``, or a quantity of the asset that the option, the labels beside the file
    or the file's own name tells. An empty cell is a sample that was not good.
    """

    def __init__(self, site: Site, files: Sequence[Path], asset: str | None = None) -> None:
        tracks: dict[str, Track] = {}
        self.label: Track | None = None  # the column of that name: what was known to be wrong
        for file in files:
            for signal, track in _read(site, file, asset).items():
                if signal == LABEL:
                    self.label = track
                elif signal in tracks:
                    raise PastError(f"{file.name}: {signal} is in another file too")
                else:
                    tracks[signal] = track
        super().__init__(", ".join(file.name for file in files), tracks)


def recording(site: Site, file: Path) -> HeldPast:
    """What ``watchkeeper record`` wrote, whole; raises PastError."""
    times: dict[SignalSet, list[int]] = {}
    rows: dict[SignalSet, list[NDArray[np.float64]]] = {}
    try:
        for entry in read(file, site.site.id):
            for batch in entry.batches:
                times.setdefault(batch.signals, []).append(batch.time)
                rows.setdefault(batch.signals, []).append(np.where(batch.quality == 0, batch.values, np.nan))
    except RecordingError as error:
        raise PastError(str(error)) from error
    tracks: dict[str, Track] = {}
    for signals, each in times.items():
        order, first = np.unique(np.array(each, np.int64), return_index=True)
        columns = np.stack(rows[signals])[first].T
        tracks |= {name: Track(order, column) for name, column in zip(signals.names, columns, strict=True)}
    return HeldPast(file.name, tracks)


def _read(site: Site, file: Path, asset: str | None) -> dict[str, Track]:
    import pandas as pd

    try:
        table = pd.read_csv(file, low_memory=False)
    except (OSError, ValueError) as error:  # pandas' own errors are ValueErrors
        raise PastError(f"{file} cannot be read: {error}") from error
    if "time" not in table:
        raise PastError(
            f'{file.name} has no column "time"; its columns: {", ".join(map(str, table.columns))}'
        )
    times = _times(file, table["time"])
    times, order = np.unique(times, return_index=True)
    columns = [name for name in map(str, table.columns) if name != "time"]
    return {
        _signal_of(site, file, column, asset): Track(times, _numbers(file, table, column)[order])
        for column in columns
    }


def _signal_of(site: Site, file: Path, column: str, asset: str | None) -> str:
    if "/" in column or column == LABEL:
        return column
    of = asset or _asset_beside(file) or file.name.partition(".")[0]
    if of not in site.assets:
        known = ", ".join(list(site.assets)[:5])
        raise PastError(f"{file.name}: whose is the column {column}? say --asset, one of {known}")
    return f"{of}/{column}"


def _asset_beside(file: Path) -> str | None:
    """The asset that the labels beside a simulated recording name."""
    labels = file.with_suffix(".labels.csv")
    if not labels.is_file():
        return None
    with labels.open(newline="") as lines:
        return next((row.get("asset") for row in csv.DictReader(lines)), None)


def _times(file: Path, column: pd.Series[str] | pd.Series[float]) -> NDArray[np.int64]:
    import pandas as pd

    if pd.api.types.is_numeric_dtype(column):
        return np.rint(column.to_numpy(np.float64) * 1000).astype(np.int64) * 1_000_000
    try:
        found = pd.to_datetime(column, utc=True, format="ISO8601")
    except ValueError as error:
        raise PastError(f"{file.name}: a time is ISO 8601 or seconds since 1970: {error}") from error
    return pd.DatetimeIndex(found).as_unit("ns").asi8


def _numbers(file: Path, table: pd.DataFrame, column: str) -> NDArray[np.float64]:
    try:
        return table[column].to_numpy(np.float64)
    except ValueError as error:
        raise PastError(f"{file.name}: column {column} is no number: {error}") from error


def moment(text: str, now: int) -> int:
    """``"7d"`` before ``now``, or an ISO time (UTC unless it says otherwise), as UTC ns; raises PastError."""
    from rules.duration import nanoseconds, parse_duration

    try:
        return now - nanoseconds(parse_duration(text))
    except ValueError:
        pass
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise PastError(f'a time is "7d" (ago) or 2026-01-05T00:00, not {text!r}') from None
    aware = found if found.tzinfo else found.replace(tzinfo=UTC)
    return round(aware.timestamp() * 1000) * 1_000_000
