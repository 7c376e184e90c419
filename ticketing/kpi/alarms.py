"""Figures of alarms after ISA-18.2 and EEMUA 191: how many came, how bunched, which rules cry and which ones help.

Alarms of shadow rules and suppressed ones reached nobody: they are counted beside, never in a rate. Times in ms, rates
per hour, shares from 0 to 1; None where there is nothing to divide by.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from statistics import median

from sqlalchemy import and_, select

from ticketing.reading import Reading
from ticketing.records import DAY, HOUR, MINUTE
from ticketing.tables import alarm, alarm_event, wo_alarm, work_order

BIN = 10 * MINUTE
FLOOD_START, FLOOD_END = 10, 5  # alarms within ten minutes
FLEETING = 10_000  # an alarm that was over so soon
STALE = DAY  # one that is still active after so long
SETTLED = 14 * DAY  # before that nobody can say whether an alarm led to work
BEFORE_FAILURE = 7 * DAY  # an alarm so long before a failure announced it


@dataclass(frozen=True, slots=True)
class AlarmFigures:
    """All alarms of [start, end) that reached somebody.

    Targets for each operator: ``per_hour`` at most 6, ``most_in_10_min`` 10, ``time_in_flood`` and ``busy_share`` (of
    ten minutes with more than ten) below 1 %, ``top_ten_share`` below 5 %, ``stale`` below 5, ``chattering`` none.
    ``missed`` is the share of failures that people reported and no alarm had announced in the week before.
    """

    start: int
    end: int
    alarms: int
    suppressed: int
    shadow: int
    per_hour: float | None
    most_in_10_min: int
    busy_share: float | None
    time_in_flood: float | None
    top_ten_share: float | None
    chattering: int  # rules on an asset that did
    fleeting: int
    stale: int
    time_to_ack: float | None  # median, ms
    failures: int
    missed: float | None


@dataclass(frozen=True, slots=True)
class RuleFigures:
    """What one rule did in [start, end).

    ``work_yield``: of the alarms raised at least 14 days before the end, those on an order that led to work.
    ``false_share``: false alarms among those whose order was decided. ``nuisance``: alarms that were called false or
    without a fault, cleared by themselves, were muted, fleeting, or chattered, among all. ``lead_time``: from the alarm
    to the stop of the machine or the end of the repair, median over orders that led to work, ms.
    """

    rule_id: str
    alarms: int
    suppressed: int
    shadow: int
    orders: int
    chattering: int  # minutes in which it did
    fleeting: int
    stale: int
    work_yield: float | None
    false_share: float | None
    nuisance: float | None
    lead_time: float | None


@dataclass(frozen=True, slots=True)
class AlarmOutcome:
    """What became of one alarm of a rule.

    ``verdict``: helped (it led to work, done at ``helped_at``), needless, or unknown: its order is not decided yet
    or it was silent.
    """

    asset: str
    raised_at: int
    cleared_at: int | None
    verdict: str
    helped_at: int | None


@dataclass(frozen=True, slots=True)
class _Raised:
    """An alarm with what became of it; ``outcomes`` and ``helped`` of the orders that hold it."""

    episode: str
    rule_id: str
    asset: str
    raised_at: int
    cleared_at: int | None
    acked_at: int | None
    heard: bool
    shadow: bool
    muted: bool
    orders: frozenset[str]
    outcomes: frozenset[str]
    helped_at: int | None

    @property
    def verdict(self) -> str:
        if "worked" in self.outcomes:
            return "helped"
        undecided = self.orders and not self.outcomes
        return "unknown" if undecided or not self.heard else "needless"

    def lasted(self, end: int) -> int:
        return (self.cleared_at or end) - self.raised_at


def site_figures(
    read: Reading, start: int, end: int, *, monitored: Collection[str] | None = None
) -> AlarmFigures:
    """The figures of all alarms of [start, end); ``monitored``: assets with rules, None for all."""
    every = _raised(read, start, end)
    heard = [each for each in every if each.heard]
    times = sorted(each.raised_at for each in heard)
    bins = Counter((at - start) // BIN for at in times)
    worst = Counter((each.rule_id, each.asset) for each in heard)
    failures, missed = _failures(read, start, end, monitored)
    return AlarmFigures(
        start,
        end,
        alarms=len(heard),
        suppressed=sum(not each.heard and not each.shadow for each in every),
        shadow=sum(each.shadow for each in every),
        per_hour=_part(len(heard) * HOUR, end - start),
        most_in_10_min=_most_within(times, BIN),
        busy_share=_part(sum(n > FLOOD_START for n in bins.values()), -(-(end - start) // BIN)),
        time_in_flood=_part(_flooded(times, end), end - start),
        top_ten_share=_part(sum(n for _, n in worst.most_common(10)), len(heard)),
        chattering=len({(rule, asset) for rule, asset, _, _ in _chatter(read, start, end)}),
        fleeting=sum(_fleeting(each, end) for each in heard),
        stale=sum(each.lasted(end) > STALE for each in heard),
        time_to_ack=_median(each.acked_at - each.raised_at for each in heard if each.acked_at is not None),
        failures=failures,
        missed=_part(missed, failures),
    )


def rule_figures(
    read: Reading, start: int, end: int, *, rule_id: str | None = None, sha256: str | None = None
) -> list[RuleFigures]:
    """What each rule did in [start, end), the one with the most alarms first; or one rule, one version of it."""
    every = _raised(read, start, end, rule_id, sha256)
    chatter = _chatter(read, start, end)
    of_rule: dict[str, list[_Raised]] = {}
    for each in every:
        of_rule.setdefault(each.rule_id, []).append(each)
    found = [_rule(name, mine, chatter, end) for name, mine in of_rule.items()]
    return sorted(found, key=lambda figures: (-figures.alarms, figures.rule_id))


def outcomes(read: Reading, start: int, end: int, rule_id: str) -> list[AlarmOutcome]:
    """What became of each alarm that a rule raised in [start, end), the oldest first."""
    return [
        AlarmOutcome(each.asset, each.raised_at, each.cleared_at, each.verdict, each.helped_at)
        for each in _raised(read, start, end, rule_id)
    ]


def _rule(rule_id: str, every: Sequence[_Raised], chatter: Iterable[_Chatter], end: int) -> RuleFigures:
    heard = [each for each in every if each.heard]
    noisy = {episode for rule, _, episode, _ in chatter if rule == rule_id}
    settled = [each for each in heard if each.raised_at < end - SETTLED]
    decided = [each for each in heard if each.outcomes & {"worked", "false_alarm", "no_fault_found"}]
    nuisance = sum(
        bool(each.outcomes & {"false_alarm", "no_fault_found", "self_cleared"})
        or each.muted
        or each.episode in noisy
        or _fleeting(each, end)
        for each in heard
    )
    return RuleFigures(
        rule_id,
        alarms=len(heard),
        suppressed=sum(not each.heard and not each.shadow for each in every),
        shadow=sum(each.shadow for each in every),
        orders=len(frozenset().union(*(each.orders for each in heard))),
        chattering=sum(rule == rule_id for rule, *_ in chatter),
        fleeting=sum(_fleeting(each, end) for each in heard),
        stale=sum(each.lasted(end) > STALE for each in heard),
        work_yield=_part(sum("worked" in each.outcomes for each in settled), len(settled)),
        false_share=_part(sum("false_alarm" in each.outcomes for each in decided), len(decided)),
        nuisance=_part(nuisance, len(heard)),
        lead_time=_median(each.helped_at - each.raised_at for each in heard if each.helped_at is not None),
    )


def _raised(
    read: Reading, start: int, end: int, rule_id: str | None = None, sha256: str | None = None
) -> list[_Raised]:
    """Every alarm of the window with the outcomes of its orders."""
    window = and_(read.here(alarm), alarm.c.raised_at >= start, alarm.c.raised_at < end)
    if rule_id is not None:
        window = and_(window, alarm.c.rule_id == rule_id)
    if sha256 is not None:
        window = and_(window, alarm.c.rule_hash == sha256)
    order = work_order.c
    outcomes = (
        select(wo_alarm.c.episode, order.number, order.outcome, order.resolved_at, order.downtime_start)
        .select_from(wo_alarm)
        .join(work_order, and_(order.site == wo_alarm.c.site, order.number == wo_alarm.c.number))
        .join(alarm, and_(alarm.c.site == wo_alarm.c.site, alarm.c.episode == wo_alarm.c.episode))
        .where(window)
    )
    of_alarm: dict[str, list[tuple[str, str | None, int | None]]] = {}
    for row in read.connection.execute(outcomes):
        helped = (row.downtime_start or row.resolved_at) if row.outcome == "worked" else None
        of_alarm.setdefault(row.episode, []).append((row.number, row.outcome, helped))
    columns = (
        "episode",
        "rule_id",
        "asset",
        "raised_at",
        "cleared_at",
        "acked_at",
        "mode",
        "suppression",
        "decision",
    )
    alarms = (
        select(*(alarm.c[name] for name in columns))
        .where(window)
        .order_by(alarm.c.raised_at, alarm.c.episode)
    )
    found = []
    for row in read.connection.execute(alarms):
        mine = of_alarm.get(row.episode, [])
        found.append(
            _Raised(
                row.episode,
                row.rule_id,
                row.asset,
                row.raised_at,
                row.cleared_at,
                row.acked_at,
                heard=row.mode == "live" and row.suppression == "none",
                shadow=row.mode != "live",
                muted=row.decision == "muted",
                orders=frozenset(number for number, _, _ in mine),
                outcomes=frozenset(outcome for _, outcome, _ in mine if outcome),
                helped_at=max((at for _, _, at in mine if at is not None), default=None),
            )
        )
    return found


_Chatter = tuple[str, str, str, int]  # rule, asset, episode, time


def _chatter(read: Reading, start: int, end: int) -> list[_Chatter]:
    event = alarm_event.c
    lines = select(event.rule_id, event.asset, event.episode, event.at).where(
        read.here(alarm_event, kind="chatters"), event.at >= start, event.at < end
    )
    return [tuple(row) for row in read.connection.execute(lines)]


def _failures(read: Reading, start: int, end: int, monitored: Collection[str] | None) -> tuple[int, int]:
    """Machines that stopped, as people reported; and how many of these no live alarm had announced."""
    order = work_order.c
    reported = select(order.asset, order.failure_mode, order.opened_at).where(
        read.here(work_order, origin="person", outcome="worked"),
        order.stop_kind.is_not(None),
        order.stop_kind != "none",
        order.opened_at >= start,
        order.opened_at < end,
    )
    failures = [
        row for row in read.connection.execute(reported) if monitored is None or row.asset in monitored
    ]
    return len(failures), sum(not _announced(read, *row) for row in failures)


def _announced(read: Reading, asset: str, failure_mode: str | None, at: int) -> bool:
    """Whether a live alarm was raised on the asset (of that failure mode, where it is known) in the week before."""
    before = and_(
        read.here(alarm, asset=asset, mode="live"),
        alarm.c.raised_at >= at - BEFORE_FAILURE,
        alarm.c.raised_at <= at,
    )
    if failure_mode is not None:
        before = and_(before, alarm.c.failure_mode == failure_mode)
    return read.connection.scalar(select(alarm.c.episode).where(before).limit(1)) is not None


def _fleeting(each: _Raised, end: int) -> bool:
    return each.cleared_at is not None and each.lasted(end) < FLEETING and "worked" not in each.outcomes


def _most_within(times: Sequence[int], span: int) -> int:
    """The most of ``times`` within ``span``."""
    most = first = 0
    for last, at in enumerate(times):
        while times[first] <= at - span:
            first += 1
        most = max(most, last - first + 1)
    return most


def _flooded(times: Sequence[int], end: int) -> int:
    """How long a flood lasted: it begins with ten alarms within ten minutes and ends when they are fewer than five."""
    changes = sorted([(at, 1) for at in times] + [(at + BIN, -1) for at in times])
    total = count = 0
    began: int | None = None
    for at, change in changes:
        count += change
        if began is None and count >= FLOOD_START:
            began = at
        elif began is not None and count < FLOOD_END:
            total += min(at, end) - began
            began = None
    return total


def _part(part: float, whole: float) -> float | None:
    return part / whole if whole else None


def _median(values: Iterable[int]) -> float | None:
    found = list(values)
    return float(median(found)) if found else None
