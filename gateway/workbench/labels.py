"""Labelled stretches of the past: what was wrong, from when to when. From files, or from the simulated plant."""

from __future__ import annotations

import csv
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from gateway.site import Site
from gateway.workbench.recorded import CsvPast, Past, PastError, moment
from gateway.workbench.stretch import Stretch
from rules.tradeoff import Fault

_MONDAY = "2026-01-05T00:00:00Z"  # of every simulated recording: the same words give the same figures
_PERIOD = "10s"


@dataclass(frozen=True, slots=True)
class Lesson:
    """A past of one asset with what is known of its faults, UTC ns; alarms in ``unknown`` count neither way."""

    name: str
    asset: str
    past: Past
    start: int
    end: int
    faults: tuple[Fault, ...]
    unknown: tuple[tuple[int, int], ...] = ()


def from_files(site: Site, files: Sequence[Path], asset: str | None) -> list[Lesson]:
    """Each file is a lesson: its faults stand in ``<name>.labels.csv`` beside it, or in its column ``label`` (0, 1)."""
    found = []
    for file in files:
        past = CsvPast(site, [file], asset)
        start, end = past.span()
        assets = {signal.partition("/")[0] for signal in past.signals}
        if len(assets) > 1:
            raise PastError(f"{file.name} holds several assets; tuning wants a file for each")
        beside = file.with_suffix(".labels.csv")
        faults = list(_beside(beside)) if beside.is_file() else list(_column(past))
        found.append(Lesson(file.stem, assets.pop(), past, start, end, tuple(faults)))
    return found


def from_stretch(asset: str, stretch: Stretch, file: Path) -> Lesson:
    """A stretch of the site's own history, with the faults of ``asset`` that a labels file names; raises PastError."""
    if not file.is_file():
        raise PastError(f"{file} is no file")
    known = [fault for fault in _beside(file, asset) if stretch.start <= fault.onset < stretch.end]
    return Lesson(stretch.past.name, asset, stretch.past, stretch.start, stretch.end, tuple(known))


def from_plant(
    site: Site, asset: str, scenarios: Sequence[str], *, repeats: int, healthy_days: float, folder: Path
) -> Iterator[Lesson]:
    """Simulated recordings into ``folder``: a healthy stretch, and a day with each scenario in ``repeats`` variants."""
    healthy = record(site, asset, "healthy", folder, ["--hours", f"{24 * healthy_days:g}"])
    yield replace(healthy, name=f"{healthy_days:g} healthy days")
    for scenario in scenarios:
        for seed in range(1, repeats + 1):
            lesson = record(site, asset, scenario, folder, ["--hours", "24", "--seed", str(seed)])
            yield replace(lesson, name=f"{scenario} {seed}")


def record(site: Site, asset: str, scenario: str, folder: Path, words: Sequence[str]) -> Lesson:
    """A recording of the simulated plant's machine of the asset's class, as one of ``asset``; raises PastError."""
    out = folder / f"{'-'.join([scenario, *words[1::2]])}.csv"
    kind = f"{site.class_of(asset)}-1"
    told = [
        "csv",
        scenario,
        "--asset",
        kind,
        "--out",
        str(out),
        "--period",
        _PERIOD,
        "--start",
        _MONDAY,
        *words,
    ]
    done = subprocess.run(
        [sys.executable, "-m", "simulators", *told], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise PastError(done.stderr.strip().splitlines()[-1])
    (lesson,) = from_files(site, [out], asset)
    return lesson


def _beside(file: Path, asset: str = "") -> Iterator[Fault]:
    """The faults of a labels file; only those of ``asset`` where it names assets."""
    with file.open(newline="", encoding="utf-8") as lines:
        for row in csv.DictReader(lines):
            if asset and row.get("asset", asset) != asset:
                continue
            try:
                onset, end = moment(row["start"], 0), moment(row["end"], 0)
                failure = moment(row["failure"], 0) if row.get("failure") else end
            except KeyError as error:
                raise PastError(
                    f'{file.name}: labels have columns "start" and "end"; {error} is missing'
                ) from error
            yield Fault(
                onset, end, failure if failure > onset else end
            )  # lost at once: found at any time is found


def _column(past: CsvPast) -> Iterator[Fault]:
    """Every stretch of ones."""
    track = past.label
    if track is None:
        raise PastError(
            f'{past.name} is not labelled: a column "label", or {past.name} with .labels.csv beside it'
        )
    marked = np.diff(np.concatenate(([0], (track.values > 0.5).astype(np.int8), [0])))
    for first, after in zip(np.flatnonzero(marked == 1), np.flatnonzero(marked == -1), strict=True):
        end = int(track.times[after - 1])
        yield Fault(int(track.times[first]), end, end)
