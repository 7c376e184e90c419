"""What judging costs (bar P4), and backtests (bar P11): ``python -m tests.bench.bench_rules [--write]``.

Everything is CPU time of this one process, which a busy neighbour hardly moves.
"""

from __future__ import annotations

import argparse
import datetime
import math
import tempfile
import time
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import numpy as np

from devices.batch import Batch, signal_set
from gateway.history import History
from gateway.history_reader import HistoryReader
from gateway.site import Asset, AssetClass, Signal, Site, SiteSettings
from gateway.spool import Entry
from gateway.workbench.recorded import Past, StoredPast, Track
from gateway.workbench.stretch import Stretch
from gateway.workbench.trial import Trial, judged, play
from rules import Panel, Rule, RuleSettings, bind
from tests.bench.bench_gateway import BENCHMARKS, Figure, machine

SECOND = 1_000_000_000
START = 1_790_000_000 * SECOND
BEGIN, END = "<!-- bench_rules begins -->", "<!-- bench_rules ends -->"


def rule(number: int, kind: str) -> Rule:
    """Ten rules per signal with two severities each; ``two`` also asks whether the machine runs, ``mean`` averages."""
    running = " and n > 300" if kind == "two" else ""
    v = "mean(v, '10m')" if kind == "mean" else "v"
    form = {
        "failure_mode": "VIB",
        "scope": {"class": "pump"},
        "signals": {"v": f"q{number // 10}"} | ({"n": "speed"} if kind == "two" else {}),
        "params": {"warn": 8.0 + number % 10 / 10, "high": 9.0},
        "when": [
            {"severity": 2, "expr": f"{v} > warn{running}", "on_delay": "10s"},
            {"severity": 4, "expr": f"{v} > high{running}", "on_delay": "3s"},
        ],
        "clear": {"deadband": 0.3, "off_delay": "5s"},
    }
    return Rule(f"r{number}", RuleSettings.model_validate(form))


def measure(signals: int, seconds: int, *, width: int, per_signal: int, kind: str, crossing: float) -> float:
    """CPU % of judging one sample a second on ``signals`` signals, read ``width`` at a time."""
    names = [f"q{i}" for i in range(width - 1)] + ["speed"]
    rules = [rule(10 * q + r, kind) for q in range(width - 1) for r in range(per_signal)]
    assets = [f"a{i}" for i in range(signals // width)]
    spans = dict.fromkeys(names)
    panel = Panel(bind(one, asset, spans) for asset in assets for one in rules)
    views = [panel.view([f"{asset}/{name}" for name in names]) for asset in assets]
    chance = np.random.default_rng(0)
    batches = [2 + chance.random((len(assets), width)) for _ in range(seconds)]
    for batch in batches:
        batch[:, -1] = 1480.0
        batch[:, :-1][chance.random((len(assets), width - 1)) < crossing] = 9.5
    quality = np.zeros(width, np.uint8)
    began = time.process_time()
    for second, batch in enumerate(batches):
        at = (second + 1) * SECOND
        for view, values in zip(views, batch, strict=True):
            panel.judge(view, at, values, quality)
    used = time.process_time() - began
    return 100 * used / seconds


class Synthetic:
    """A slow load cycle with noise on every signal, at 1 Hz, crossing its limit now and then."""

    name = "synthetic"

    def __init__(self, seconds: int, noise: float) -> None:
        self._times = START + np.arange(seconds, dtype=np.int64) * SECOND
        cycle = 6.5 + 2 * np.sin(np.arange(seconds) / 7e3)
        self._values = cycle + noise * np.random.default_rng(0).standard_normal(seconds)

    def span(self) -> tuple[int, int]:
        return START, int(self._times[-1]) + 1

    def track(self, signal: str, start: int, end: int) -> Track:
        return Track(self._times, self._values)


def site(assets: int) -> Site:
    """Machines with one signal each."""
    return Site(
        Path(),
        SiteSettings(id="bench", name="bench"),
        classes={"pump": AssetClass(signals={"q0": Signal(unit="mm/s")})},
        assets={f"a{i}": Asset.model_validate({"class": "pump"}) for i in range(assets)},
    )


def backtest(past: Past, assets: int, kind: str = "one") -> tuple[float, Trial]:
    """CPU s of a whole backtest, orders included: one rule with two limits on each signal."""
    bounds = [bind(rule(0, kind), f"a{i}", {"q0": None}) for i in range(assets)]
    start, end = past.span() or (START, START)
    began = time.process_time()
    trial = play(site(assets), bounds, Stretch(past, start, end))
    return time.process_time() - began, trial


class Kept(StoredPast):
    """What a local history holds, with its ends."""

    def __init__(self, path: Path, seconds: int) -> None:
        super().__init__(HistoryReader(path), "local history")
        self._seconds = seconds

    def span(self) -> tuple[int, int]:  # type: ignore[override]
        return START, START + self._seconds * SECOND


def kept(folder: Path, signals: int, seconds: int, width: int) -> Kept:
    """A local history of ``signals`` at 1 Hz, read ``width`` at a time."""
    path = folder / f"history-{signals}.db"
    history = History(path)
    chance = np.random.default_rng(0)
    sets = [
        signal_set(f"d{first}", tuple(f"a{i}/q0" for i in range(first, first + width)))
        for first in range(0, signals, width)
    ]
    good = np.zeros(width, np.uint8)
    for second in range(seconds):
        at = START + second * SECOND
        rows = np.round(2 + 0.1 * chance.standard_normal((len(sets), width)), 2)
        batches = tuple(Batch(each, at, at, row, good) for each, row in zip(sets, rows, strict=True))
        history.write([Entry(second + 1, batches, signals, 0, at)])
    history.close()
    return Kept(path, seconds)


def judging(signals: int, seconds: int) -> Iterator[Figure]:
    """P4."""
    for title, kind, crossing in (
        ("quiet", "one", 0.0),
        ("each over two signals, quiet", "two", 0.0),
        ("1 in 10 000 samples crosses", "one", 1e-4),
    ):
        found = measure(signals, seconds, width=100, per_signal=10, kind=kind, crossing=crossing)
        what = f"10 rules x {signals} signals @1 s, batches of 100, {title}: judging adds"
        yield Figure("P4", what, "<= 5 points of CPU", f"{found:.2f} points", 5 / found)
    found = measure(signals, seconds, width=100, per_signal=1, kind="mean", crossing=0.0)
    what = f"1 mean of ten minutes on each of {signals} signals @1 s: judging adds"
    yield Figure("P4 windows", what, "none set", f"{found:.1f} points", math.nan)


def backtests() -> Iterator[Figure]:
    """P11."""
    month = 30 * 86_400
    quiet = Synthetic(month, 0.05)
    bound = bind(rule(0, "one"), "a0", {"q0": None})
    began = time.process_time()
    judged(bound, [quiet.track("a0/q0", 0, 0)])
    used = time.process_time() - began
    yield Figure(
        "P11 month",
        "a month of a signal at 1 Hz in memory, judged",
        "<= 2 s of CPU",
        f"{used:.2f} s",
        2 / used,
    )
    used, trial = backtest(quiet, 1)
    what = f"the same, with {len(trial.orders)} work orders opened and explained"
    yield Figure("P11 orders", what, "<= 2 s of CPU", f"{used:.2f} s", 2 / used)
    for name, title, noise, kind in (
        ("P11 rough", "the signal rough at its limit", 0.5, "one"),
        ("P11 mean", "a mean of ten minutes", 0.05, "mean"),
    ):
        used, trial = backtest(Synthetic(month, noise), 1, kind)
        yield Figure(
            name, f"the same, {title}, {len(trial.alarms)} alarms", "none set", f"{used:.1f} s", math.nan
        )
    with tempfile.TemporaryDirectory(prefix="bench-rules-") as folder:
        one = kept(Path(folder), 1, 86_400, 1)
        used, _ = backtest(one, 1)
        what = "a day of a signal at 1 Hz out of the local history, orders included"
        yield Figure("P11 kept", what, "none set", f"{used:.2f} s", math.nan)
        hours = 2
        many = kept(Path(folder), 1000, hours * 3600, 100)
        used, trial = backtest(many, 1000)
        day = used * 24 / hours
        what = f"1 000 signals x a day at 1 Hz out of the local history (12 x {hours} h)"
        yield Figure("P11 fleet", what, "<= 60 s of CPU", f"{day:.0f} s", 60 / day)


def main() -> None:
    """Print one line per figure, and put them into BENCHMARKS.md if asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--signals", type=int, default=50_000)
    parser.add_argument("--seconds", type=int, default=20)
    parser.add_argument("--write", action="store_true", help="put the figures into BENCHMARKS.md")
    options = parser.parse_args()
    figures = []
    for figure in chain(judging(options.signals, options.seconds), backtests()):
        figures.append(figure)
        print(f"{figure.name:12} {figure.what}: {figure.found} ({figure.bar})", flush=True)
    if options.write:
        write(figures)


def write(figures: list[Figure]) -> None:
    """Replace our part of BENCHMARKS.md."""
    head = "| # | what | bar | found | reached |\n|---|---|---|---|---|"
    rows = [
        f"| {each.name} | {each.what} | {each.bar} | {each.found} | {_reached(each.ratio)} |"
        for each in figures
    ]
    when = f"CPU time of one process, {datetime.datetime.now(datetime.UTC):%Y-%m-%d %H:%M} UTC, {machine()}."
    before, _, rest = BENCHMARKS.read_text(encoding="utf-8").partition(BEGIN)
    table = "\n".join([BEGIN, when, "", head, *rows, END])
    BENCHMARKS.write_text(before + table + rest.partition(END)[2], encoding="utf-8")


def _reached(ratio: float) -> str:
    return "" if math.isnan(ratio) else f"{ratio:.1f}, " + ("reached" if ratio >= 1 else "**not reached**")


if __name__ == "__main__":
    main()
