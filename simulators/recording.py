"""Recordings of the plant: CSV faster than real time, and a file of labels beside it."""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from simulators import plant
from simulators.faults import Fault
from simulators.machines import machine_of
from simulators.noise import Array

LABEL_FIELDS = (
    *("file", "event_id", "credit_from", "start", "end", "kind", "note"),
    *("asset", "scenario", "failure_mode", "failure"),
)
CHUNK = 100_000  # rows


@dataclass(frozen=True, slots=True)
class Recording:
    """What to record: ``rows`` readings of an asset, ``period`` s apart; ``start`` is s since the epoch."""

    asset: str
    start: float
    period: float
    rows: int
    faults: Sequence[Fault] = ()
    seed: int = 0

    def write(self, out: Path, progress: Callable[[int], object] = int) -> None:
        """Write ``time, quantities …, label`` to ``out`` and the labels beside it.

        Time is ISO 8601 UTC in ms, a cell is empty where the sensor says nothing, label is 1 from the onset
        of a fault to its repair. ``progress`` is told the rows of each portion written.
        """
        quantities = machine_of(self.asset).quantities
        with out.open("wb") as file:
            file.write(",".join(("time", *quantities, "label")).encode() + b"\n")
            for first in range(0, self.rows, CHUNK):
                t = self.start + self.period * np.arange(
                    first, min(first + CHUNK, self.rows), dtype=np.float64
                )
                values = plant.signals(self.asset, t, self.faults, self.seed)
                columns = [_text_of_times(t)]
                columns += [
                    _text(values[name], quantity.decimals + 1) for name, quantity in quantities.items()
                ]
                columns += [_text(self._label(t), 0)]
                file.write(_lines(columns))
                progress(t.size)
        self._write_labels(out)

    def _label(self, t: Array) -> Array:
        label = np.zeros(t.size)
        for fault in self.faults:
            if fault.asset == self.asset:
                label[fault.progress(t) >= 0] = 1
        return label

    def _write_labels(self, out: Path) -> None:
        last = self.start + self.period * (self.rows - 1)
        with labels_beside(out).open("w", newline="") as file:
            table = csv.writer(file)
            table.writerow(LABEL_FIELDS)
            for number, fault in enumerate(self.faults, 1):
                onset, end = _iso(fault.onset), _iso(min(fault.end, last))
                failure = _iso(fault.failure) if fault.failure <= min(fault.end, last) else ""
                event = (out.name, number, onset, onset, end, "interval", fault.scenario.replace("_", " "))
                table.writerow((*event, fault.asset, fault.scenario, fault.failure_mode, failure))


def labels_beside(out: Path) -> Path:
    """``pump.csv`` → ``pump.labels.csv``."""
    return out.with_suffix(".labels.csv")


def _iso(t: float) -> str:
    return f"{np.datetime64(round(t * 1000), 'ms')}Z"


Text = tuple[NDArray[np.uint8], NDArray[np.bool_]]
"""A column as characters (width, rows), and which of them belong to the text.

Formatting one number after the other would be most of the work.
"""


def _text(values: Array, decimals: int) -> Text:
    """Fixed-point text; empty for NaN."""
    present = ~np.isnan(values)
    rest = np.rint(np.where(present, np.abs(values), 0) * 10**decimals).astype(np.int64)
    whole = len(str(int(rest.max(initial=0)) // 10**decimals))
    rows: list[Text] = []
    for position in range(decimals + whole):
        if position == decimals and decimals:
            rows.append((np.full(values.size, ord("."), np.uint8), present))
        shown = present if position <= decimals else present & (rest > 0)
        rest, digit = np.divmod(rest, 10)
        rows.append(((digit + ord("0")).astype(np.uint8), shown))
    rows.append((np.full(values.size, ord("-"), np.uint8), values < 0))
    rows.reverse()
    return np.stack([characters for characters, _ in rows]), np.stack([shown for _, shown in rows])


def _text_of_times(t: Array) -> Text:
    """``2026-01-05T00:00:00.000Z``."""
    days, ms = np.divmod(np.rint(t * 1000).astype(np.int64), 86_400_000)
    first = int(days.min())
    dates = np.arange(first, int(days.max()) + 1).astype("datetime64[D]").astype("S10")
    characters = np.empty((24, t.size), np.uint8)
    characters[:10] = dates.view(np.uint8).reshape(-1, 10)[days - first].T
    for position, character in ((10, "T"), (13, ":"), (16, ":"), (19, "."), (23, "Z")):
        characters[position] = ord(character)
    rest = ms.astype(np.int32)
    for position, base in (
        (22, 10),
        (21, 10),
        (20, 10),
        (18, 10),
        (17, 6),
        (15, 10),
        (14, 6),
        (12, 10),
        (11, 10),
    ):
        rest, digit = np.divmod(rest, base)
        characters[position] = digit + ord("0")
    return characters, np.ones(characters.shape, np.bool_)


def _lines(columns: Sequence[Text]) -> bytes:
    """The columns side by side, with commas between and a line feed after."""
    rows = columns[0][0].shape[1]
    characters: list[NDArray[np.uint8]] = []
    shown: list[NDArray[np.bool_]] = []
    for number, (text, belongs) in enumerate(columns, 1):
        stop = "\n" if number == len(columns) else ","
        characters += [text, np.full((1, rows), ord(stop), np.uint8)]
        shown += [belongs, np.ones((1, rows), np.bool_)]
    return np.vstack(characters).T[np.vstack(shown).T].tobytes()
