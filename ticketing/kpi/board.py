"""The board: every figure with its goal, its light, and how it stood in the period before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import and_, func, select

from ticketing.kpi.formulas import FORMULAS, Figure, Window
from ticketing.kpi.stories import Story, stories
from ticketing.reading import Reading
from ticketing.tables import asset, pm_due, pm_plan, run_log


@dataclass(frozen=True, slots=True)
class Goal:
    """What is good (green) and what is bearable (amber); beyond that it is red. Hours or per cent."""

    green: float
    amber: float

    @property
    def less_is_better(self) -> bool:
        return self.green < self.amber


GOALS: Mapping[str, Goal] = {
    "first_response": Goal(1, 4),
    "time_to_accept": Goal(1, 8),
    "time_to_resolve": Goal(24, 72),
    "repair_time": Goal(4, 8),
    "fixed_at_once": Goal(90, 80),
    "satisfaction": Goal(90, 80),
    "accepted_in_time": Goal(95, 85),
    "resolved_in_time": Goal(95, 85),
    "planned_in_time": Goal(95, 85),
}


@dataclass(frozen=True, slots=True)
class Kpi:
    """A figure of the window, with the one before it: ``change`` is in per cent of that."""

    name: str
    figure: Figure
    goal: Goal | None
    light: str | None  # green | amber | red; None without a goal or a value
    before: float | None
    change: float | None


def board(
    read: Reading,
    start: int,
    end: int,
    *,
    asset_class: str | None = None,
    imported: bool = False,
) -> list[Kpi]:
    """All figures between two times, for the site or one class of assets; imported history apart."""
    goals = {**GOALS, **{name: Goal(*figures) for name, figures in read.policy.goals.items()}}
    length = end - start
    told = stories(read, start - length, end, imported=imported)
    if asset_class is not None:
        told = [story for story in told if story.asset_class == asset_class]
    now, then = (_window(read, since, since + length, asset_class) for since in (start, start - length))
    return [_kpi(name, told, now, then, goals.get(name)) for name in FORMULAS]


def _window(read: Reading, start: int, end: int, asset_class: str | None) -> Window:
    skipped = select(func.count()).select_from(
        pm_due.join(pm_plan, and_(pm_plan.c.site == pm_due.c.site, pm_plan.c.id == pm_due.c.plan)).join(
            asset, and_(asset.c.site == pm_plan.c.site, asset.c.code == pm_plan.c.asset)
        )
    )
    skipped = skipped.where(read.here(pm_due, number=None), pm_due.c.at >= start, pm_due.c.at < end)
    if asset_class is not None:
        skipped = skipped.where(asset.c.asset_class == asset_class)
    return Window(
        start,
        end,
        read.policy.pausing,
        running_ms(read, start, end, asset_class),
        read.connection.scalar(skipped) or 0,
    )


def _kpi(name: str, told: Sequence[Story], now: Window, then: Window, goal: Goal | None) -> Kpi:
    figure, before = FORMULAS[name](told, now), FORMULAS[name](told, then).value
    change = None
    if figure.value is not None and before:
        change = 100 * (figure.value - before) / before
    return Kpi(name, figure, goal, _light(figure.value, goal), before, change)


def _light(value: float | None, goal: Goal | None) -> str | None:
    if value is None or goal is None:
        return None
    sign = 1 if goal.less_is_better else -1
    if sign * value <= sign * goal.green:
        return "green"
    return "amber" if sign * value <= sign * goal.amber else "red"


def running_ms(read: Reading, start: int, end: int, asset_class: str | None = None) -> int:
    """How long the machines ran, summed over them; a machine that never said counts as running."""
    wanted = read.here(asset) if asset_class is None else read.here(asset, asset_class=asset_class)
    codes = read.connection.scalars(select(asset.c.code).where(wanted, asset.c.retired.is_(False))).all()
    rows = read.connection.execute(
        select(run_log.c.asset, run_log.c.at, run_log.c.running)
        .where(read.here(run_log), run_log.c.at < end)
        .order_by(run_log.c.asset, run_log.c.at)
    ).all()
    log: dict[str, list[tuple[int, bool]]] = {code: [] for code in codes}
    for row in rows:
        if row.asset in log:
            log[row.asset].append((row.at, row.running))
    return sum(_ran(marks, start, end) for marks in log.values())


def _ran(marks: Sequence[tuple[int, bool]], start: int, end: int) -> int:
    total, since, running = 0, start, True
    for at, runs in marks:
        if running:
            total += max(0, at - since)
        since, running = max(at, start), runs
    return total + (max(0, end - since) if running else 0)
