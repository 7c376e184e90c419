"""The soft sensors on the simulated plant: ``python -m tests.bench.bench_plant [--write]``.

Each machine's models are commissioned on healthy days, run a healthy month, and then meet every fault that the plant
can play, at its natural pace. Beside each stands when the demo's kind of threshold rule would have spoken: the
documented limit of the fault's principal signal, held for a minute. ``--write`` puts the tables into docs/models.md.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import numpy as np
from pydantic import TypeAdapter

from models import LIMIT, ModelSettings, SoftSensor
from simulators import plant
from simulators.faults import SCENARIOS, Fault, fault
from simulators.machines import machine_of
from simulators.plant import DEMO_ASSETS

EVERY = 10  # s
HOLD = 6  # rows: a rule's on-delay of a minute
DAY = 86_400
START = 1_767_571_200.0  # 2026-01-05 00:00 UTC, a Monday
COMMISSIONING, MONTH = 2 * DAY, 30 * DAY
KINDS: dict[str, dict[str, object]] = {
    "t2": {"kind": "t2", "every": timedelta(seconds=EVERY), "commissioning": timedelta(days=2)},
    "plausible": {"kind": "plausible", "every": timedelta(seconds=EVERY), "commissioning": timedelta(days=2)},
    "machine": {"kind": "machine", "every": timedelta(seconds=60), "commissioning": timedelta(days=2)},
}
BEGIN, END = "<!-- bench_plant begins -->", "<!-- bench_plant ends -->"


@dataclass
class Watched:
    """One model on one machine, commissioned, as bytes; ``false`` alarms in the healthy month."""

    asset: str
    name: str
    state: bytes
    false: int


def sensor(name: str, asset: str) -> SoftSensor:
    adapter: TypeAdapter[ModelSettings] = TypeAdapter(ModelSettings)
    settings = adapter.validate_python(KINDS[name] | {"scope": {"assets": [asset]}})
    return SoftSensor(settings, asset, list(machine_of(asset).quantities))


def rows(
    asset: str, first: float, seconds: float, every: int, faults: list[Fault]
) -> tuple[np.ndarray, np.ndarray]:
    t = np.arange(first, first + seconds, every)
    found = plant.signals(asset, t, faults)
    decimals = [quantity.decimals for quantity in machine_of(asset).quantities.values()]
    columns = zip(found.values(), decimals, strict=True)
    return t, np.column_stack([np.round(column, places + 1) for column, places in columns])


def alarms(model: SoftSensor, t: np.ndarray, values: np.ndarray) -> list[float]:
    """When an alarm would have been raised: a minute at or over the limit; again once it was clear for five."""
    every = model.settings.every.total_seconds()
    hold, clear = max(1, round(60 / every)), max(1, round(300 / every))
    found, above, below, active = [], 0, 0, False
    for time, row in zip(t.tolist(), values, strict=True):
        score = float(np.nanmax(model.step(int(time * 1e9), row)))
        above, below = (above + 1, 0) if score >= LIMIT else (0, below + 1)
        if not active and above >= hold:
            active = True
            found.append(time)
        active = active and below < clear
    return found


def commissioned(name: str, asset: str) -> Watched:
    model = sensor(name, asset)
    every = round(model.settings.every.total_seconds())
    t, values = rows(asset, START, 2.5 * COMMISSIONING, every, [])  # it may begin anew while a signal trends
    alarms(model, t, values)
    state = model.dump()
    assert model.detector.ready, (name, asset, model.trouble)
    t, values = rows(asset, START + 2.5 * COMMISSIONING, MONTH, every, [])
    return Watched(asset, name, state, len(alarms(model, t, values)))


def lead(watched: Watched, struck: Fault) -> float | None:
    """Seconds from the onset of a fault to the model's alarm; None if there is none by its failure."""
    model = sensor(watched.name, watched.asset)
    model.load(watched.state)
    every = round(model.settings.every.total_seconds())
    first = START + 2.5 * COMMISSIONING
    t, values = rows(watched.asset, first, struck.onset - first + 2 * struck.ramp + 7200, every, [struck])
    found = [time for time in alarms(model, t, values) if time >= struck.onset]
    return found[0] - struck.onset if found else None


def rule(struck: Fault) -> float | None:
    """Seconds from the onset to the threshold rule's alarm, None where no limit is crossed."""
    limit = SCENARIOS[struck.scenario].limits[machine_of(struck.asset).kind]
    if limit is None:
        return None
    _, values = rows(struck.asset, struck.onset, 3 * struck.ramp, 1, [struck])
    column = values[:, list(machine_of(struck.asset).quantities).index(limit.quantity)]
    beyond = column > limit.value if limit.above else column < limit.value
    run = np.convolve(beyond, np.ones(60), "valid") >= 60
    return float(np.argmax(run) + 59) if run.any() else None


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--write", action="store_true", help="put the table into docs/models.md")
    chosen = parser.parse_args()
    lines = list(table())
    if chosen.write:
        page = Path(__file__).parents[2] / "docs" / "models.md"
        before, _, rest = page.read_text(encoding="utf-8").partition(BEGIN)
        _, _, after = rest.partition(END)
        page.write_text("\n".join([before + BEGIN, *lines, END + after]), encoding="utf-8")
    return 0


def table() -> Iterator[str]:
    """The lines of the table, printed as they come."""

    def told(line: str) -> str:
        print(line, flush=True)
        return line

    names = list(KINDS)
    yield told(f"| machine | fault | threshold rule | {' | '.join(f'`{name}`' for name in names)} |")
    yield told("|---|---|---|" + "---|" * len(names))
    for asset in DEMO_ASSETS:
        watched = [commissioned(name, asset) for name in names]
        quiet = " | ".join(str(one.false) for one in watched)
        yield told(f"| {asset} | healthy month: false alarms | | {quiet} |")
        for scenario in SCENARIOS.values():
            if machine_of(asset).kind not in scenario.limits or scenario.name == "cable_cut":
                continue
            struck = fault(asset, scenario.name, START + 2.5 * COMMISSIONING + 4 * 3600)
            found = " | ".join(minutes(lead(one, struck)) for one in watched)
            yield told(f"| | {scenario.name} | {minutes(rule(struck))} | {found} |")


def minutes(seconds: float | None) -> str:
    return "–" if seconds is None else f"{seconds / 60:.0f} min"


if __name__ == "__main__":
    raise SystemExit(main())
