"""The starter packs on the simulated plant: which fault each finds, how late, and what it says of a healthy month."""

from __future__ import annotations

import math
import tempfile
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import rules
from gateway.site import Asset, AssetClass, Signal, Site, SiteSettings
from gateway.workbench.labels import Lesson, record
from gateway.workbench.page import Grid
from gateway.workbench.recorded import HeldPast
from gateway.workbench.trial import Progress, judged, silent
from rules import Bound, Rule, RuleSettings, Transition, bind
from rules.tradeoff import Outcome, judge

FOLDER = Path(rules.__file__).parent / "packs"
NAME_PLATES: Mapping[str, Mapping[str, float]] = {  # of the simulated plant: what its assets.toml would say
    "pump-low-pressure": {"duty": 6.2},
    "motor-overload": {"rated": 50.0},
    "fan-flow-low": {"duty_flow": 12_000.0, "duty_speed": 1180.0},
}
SCENARIOS: Mapping[str, Sequence[str]] = {
    "pump": ("bearing_wear", "imbalance", "cavitation", "overheating", "sensor_stuck"),
    "motor": ("bearing_wear", "imbalance", "overheating", "sensor_stuck"),
    "fan": ("bearing_wear", "imbalance", "clogged_filter", "overheating", "sensor_stuck"),
    "compressor": ("bearing_wear", "imbalance", "overheating", "oil_loss", "sensor_stuck"),
    "gearbox": ("bearing_wear", "imbalance", "overheating", "oil_loss", "sensor_stuck"),
}
MONTH = ("--hours", "720", "--period", "1m")
WEEK_AND_FAULT = (
    "--hours",
    "216",
    "--onset",
    "180",
    "--period",
    "1m",
)  # a week to learn what is usual comes first
_HOUR = 3600e9


@dataclass(frozen=True, slots=True)
class Pack:
    """Rules for one kind of machine; ``level`` is basic or advanced."""

    name: str
    kind: str
    level: str
    rules: tuple[Rule, ...]


def packs() -> list[Pack]:
    """All that is shipped."""
    return [_pack(path) for path in sorted(FOLDER.glob("*.toml"))]


def _pack(path: Path) -> Pack:
    forms = tomllib.loads(path.read_text(encoding="utf-8"))["rule"]
    kind, _, level = path.stem.partition("-")
    found = tuple(Rule(name, RuleSettings.model_validate(form)) for name, form in forms.items())
    return Pack(path.stem, kind, level or "basic", found)


def bound_to(pack: Pack, asset: str, quantities: Sequence[str]) -> list[Bound]:
    """The pack's rules on an asset of the simulated plant."""
    known = dict.fromkeys(quantities)
    return [bind(rule, asset, known, NAME_PLATES.get(rule.id)) for rule in pack.rules]


def table(kinds: Sequence[str] = (), progress: Progress = silent) -> Grid:
    """One line for each pack and fault: first rule and its delay, and the false alarms of a healthy month.

    Everything is sampled once a minute. Raises PastError.
    """
    heads = [
        "pack",
        "fault",
        "found by",
        "first after",
        "before function is lost",
        "false alarms in a healthy month",
    ]
    lines: list[list[object]] = []
    found = [pack for pack in packs() if pack.kind in kinds or not kinds]
    with tempfile.TemporaryDirectory(prefix="watchkeeper-packs-") as folder:
        for kind in dict.fromkeys(pack.kind for pack in found):
            of_kind = [pack for pack in found if pack.kind == kind]
            progress(f"a healthy month of a {kind}", found.index(of_kind[0]) / len(found))
            healthy = record(_site(kind), f"{kind}-1", "healthy", Path(folder), MONTH)
            false = {pack.name: _false_alarms(pack, healthy) for pack in of_kind}
            for scenario in SCENARIOS[kind]:
                progress(f"{scenario} of a {kind}", found.index(of_kind[0]) / len(found))
                lesson = record(_site(kind), f"{kind}-1", scenario, Path(folder), WEEK_AND_FAULT)
                lines += [_line(pack, lesson, scenario, false[pack.name]) for pack in of_kind]
    return Grid(heads, sorted(lines, key=lambda line: str(line[0])), frozenset({3, 4, 5}))


def _site(kind: str) -> Site:
    """A site with one simulated machine, for what reads recordings."""
    classes = {kind: AssetClass(signals={"vib_rms": Signal(unit="mm/s")})}
    assets = {f"{kind}-1": Asset.model_validate({"class": kind})}
    return Site(FOLDER, SiteSettings(id="packs", name="packs"), classes=classes, assets=assets)


def _said(pack: Pack, lesson: Lesson) -> Iterator[tuple[Rule, list[Transition]]]:
    assert isinstance(lesson.past, HeldPast)
    quantities = [signal.partition("/")[2] for signal in lesson.past.signals]
    for bound in bound_to(pack, lesson.asset, quantities):
        yield (
            bound.rule,
            judged(bound, [lesson.past.track(s, lesson.start, lesson.end) for s in bound.inputs]),
        )


def _false_alarms(pack: Pack, healthy: Lesson) -> int:
    return sum(transition.kind == "raised" for _, said in _said(pack, healthy) for transition in said)


def _line(pack: Pack, lesson: Lesson, scenario: str, false: int) -> list[object]:
    found: dict[str, Outcome] = {}
    for rule, said in _said(pack, lesson):
        outcome = judge(said, lesson.faults, lesson.start, lesson.end)
        if outcome.delays:
            found[rule.id] = outcome
    (fault,) = lesson.faults
    first = min((outcome.delay for outcome in found.values()), default=math.nan)
    names = ", ".join(sorted(found, key=lambda name: found[name].delay)) or "-"
    left = math.nan if fault.lost == fault.end else fault.lost - fault.onset - first
    return [pack.name, scenario, names, _length(first), _length(left), false]


def _length(ns: float) -> str:
    if math.isnan(ns):
        return "-"
    return f"{ns / _HOUR:.1f} h" if abs(ns) >= 2 * _HOUR else f"{ns / 60e9:.0f} min"


def markdown(grid: Grid) -> str:
    """The grid as a Markdown table."""
    rule = ["--:" if i in grid.numbers else "---" for i in range(len(grid.heads))]
    return "\n".join("| " + " | ".join(map(str, row)) + " |" for row in (grid.heads, rule, *grid.rows))
