"""A rule that cries too often: the least change of one of its numbers that takes the noise away and loses nothing.

What its alarms were worth stands in the ticket core: those that led to work must still come before that work was done;
those that nobody needed are noise. The rule is played over the same past with its limit, its deadband and its on-delay
moved outwards, and the number that leaves least noise is proposed.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from gateway.site import Site, overrides, scoped
from gateway.workbench.labels import Lesson
from gateway.workbench.page import Grid
from gateway.workbench.question import Played, Question, bound_with, compared, outcome_of
from gateway.workbench.recorded import PastError
from gateway.workbench.stretch import Stretch, as_live
from gateway.workbench.trial import Progress, silent
from gateway.workbench.tuning import Answer, mind
from rules import Rule
from rules.condition import Test
from rules.replay import by_the_clock
from rules.settings import When
from rules.tradeoff import DEADBAND, ENOUGH, ON_DELAY, Fault, Outcome, Point, beyond, quieter
from ticketing.kpi.alarms import AlarmOutcome

_MS = 1_000_000
_SLACK = 600_000_000_000  # ns: played over a store, an alarm may come that much sooner than it did
_MOST_ASSETS = 10
_LEAST = 3  # needless alarms and swings
_DELAYS = (10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1200.0, 1800.0)  # s
_BLIND = "none of its alarms led to work, so nothing says what a wider limit would miss"
_WIDER = (1.5, 2.0, 3.0, 4.0, 6.0, 8.0)
_SHARES = (0.01, 0.02, 0.03, 0.05, 0.08, 0.1)  # of the limit, where there is no deadband yet


@dataclass(frozen=True, slots=True)
class Proposal:
    """What would quiet a rule, and the trade-off it rests on; ``why`` says why nothing is proposed.

    ``of``: alarms that led to work; ``unknown``: alarms that were left out, since their orders are not decided or since
    they were silent.
    """

    rule: str
    past: str
    days: float
    of: int
    unknown: int
    answer: Answer | None = None
    mind: tuple[str, ...] = ()
    why: str = ""


def propose(
    site: Site, rule_id: str, told: Sequence[AlarmOutcome], stretch: Stretch, progress: Progress = silent
) -> Proposal:
    """What would quiet the rule, of whose alarms within the stretch ``told`` says what they were worth.

    Raises StoreError.
    """
    verdicts = Counter(each.verdict for each in told)
    days = (stretch.end - stretch.start) / 86_400e9
    found = Proposal(rule_id, stretch.past.name, days, verdicts["helped"], verdicts["unknown"])
    try:
        answer = _answer(site, as_live(site.rules, [rule_id])[rule_id], told, stretch, progress)
    except PastError as error:
        return replace(found, why=str(error))
    if answer.chosen is None:
        return replace(found, answer=answer, why=_why_none(answer))
    blind = () if verdicts["helped"] else (_BLIND,)
    return replace(found, answer=answer, mind=(*blind, *mind(site, answer)))


def _why_none(answer: Answer) -> str:
    if not answer.present.noise:
        return "played over the past it is quiet already: it was changed since, or the samples are gone"
    if answer.present.noise < _LEAST:
        return f"fewer than {_LEAST} needless alarms and swings: no reason to change anything"
    return (
        f"no limit, deadband or on-delay takes away {1 - ENOUGH:.0%} of the noise and keeps what led to work: "
        "look at the sensor and at what the rule looks at"
    )


def _answer(
    site: Site, rule: Rule, told: Sequence[AlarmOutcome], stretch: Stretch, progress: Progress
) -> Answer:
    alarmed = Counter(each.asset for each in told if each.asset in scoped(site, rule.settings.scope))
    if not alarmed:
        raise PastError("the stretch has no alarm of it on an asset that it watches now")
    worst = alarmed.most_common(1)[0][0]
    best: Answer | None = None
    loudest = _loudest(
        Played(site, _of_delay(rule, worst, rule.settings.when[0]), _lesson(worst, told, stretch))
    )
    for asked in _questions(site, rule, worst, loudest):
        together = [asset for asset, _ in alarmed.most_common() if _same_number(site, asked, asset)]
        played = []
        for n, asset in enumerate(together[:_MOST_ASSETS]):
            progress(f"{rule.id}: {asked.number} on {asset}", n / len(together))
            played.append(Played(site, replace(asked, asset=asset), _lesson(asset, told, stretch)))
        present = outcome_of(played, asked.present)
        values = _outwards(asked, played) if present.noise >= _LEAST else []
        points = tuple(Point(value, outcome_of(played, value)) for value in values)
        assets = tuple(each.lesson.name for each in played)
        answer = Answer(asked, points, quieter(points, present), present, assets)
        if best is None or _left(answer) < _left(best):
            best = answer
    assert best is not None  # every rule has an on-delay
    return best


def _left(answer: Answer) -> float:
    """The noise that the proposal leaves."""
    return math.inf if answer.chosen is None else answer.points[answer.chosen].outcome.noise


def _loudest(played: Played) -> When:
    """The limit that raised most of the needless alarms; the mildest where there is none."""
    asked = played.asked
    if by_the_clock(bound_with(played.site, asked, asked.present)):
        raise PastError("it asks stale(), which is judged by the clock: its duration is tuned by hand")
    raised = Counter(
        said.severity
        for said in played.said(asked.present)
        if said.kind == "raised" and not played.known(said)
    )
    limits = sorted(asked.rule.settings.when, key=lambda when: when.severity)
    return max(limits, key=lambda when: raised[when.severity])


def _questions(site: Site, rule: Rule, asset: str, limit: When) -> Iterator[Question]:
    """The numbers of that limit: what it compares with, the deadband, its on-delay."""
    settings = rule.settings
    own, deadband = overrides(site, asset, rule.id), settings.clear.deadband
    for number in settings.params:
        if compared(number, rule, limit.expr) or number == deadband:
            present = float(own.get(number, settings.params[number]))
            yield Question(rule, asset, number, limit.severity, present, number in own)
    if isinstance(deadband, float) and DEADBAND not in settings.params:
        yield Question(rule, asset, DEADBAND, limit.severity, deadband)
    yield _of_delay(rule, asset, limit)


def _of_delay(rule: Rule, asset: str, limit: When) -> Question:
    return Question(rule, asset, ON_DELAY, limit.severity, limit.on_delay.total_seconds())


def _same_number(site: Site, asked: Question, asset: str) -> bool:
    """Whether the number of the question is that of this asset too."""
    if asked.own:
        return asset == asked.asset
    return asked.number not in overrides(site, asset, asked.rule.id)


def _lesson(asset: str, told: Sequence[AlarmOutcome], stretch: Stretch) -> Lesson:
    """The stretch on one asset: what led to work is a fault, and what nobody has decided is not known."""
    faults: list[Fault] = []
    unknown = []
    for each in (each for each in told if each.asset == asset):
        raised = each.raised_at * _MS
        if each.verdict == "helped" and each.helped_at is not None:
            begin, end = raised - _SLACK, max(each.helped_at * _MS, raised + _SLACK)
            if faults and begin <= faults[-1].end:  # the same fault again
                begin, end = faults[-1].onset, max(end, faults.pop().end)
            faults.append(Fault(begin, end, end))
        elif each.verdict == "unknown":
            end = stretch.end if each.cleared_at is None else each.cleared_at * _MS
            unknown.append((raised - _SLACK, end))
    return Lesson(asset, asset, stretch.past, stretch.start, stretch.end, tuple(faults), tuple(unknown))


def _outwards(asked: Question, played: Sequence[Played]) -> list[float]:
    """Values that make the rule quieter, the nearest first."""
    if asked.number == ON_DELAY:
        return [delay for delay in _DELAYS if delay > asked.present]
    test = played[0].limited()
    if test is not None:
        upwards = test.operator in {">", ">="}
        further = beyond([peak for each in played for peak in _peaks(each, test)], upwards)
        return [value for value in further if (value > asked.present) is upwards]
    if asked.present:
        return [asked.present * factor for factor in _WIDER]
    limit = next((abs(test.right) for test in played[0].tests if isinstance(test.right, float)), 0.0)
    return [float(f"{limit * part:.2g}") for part in _SHARES] if limit else []


def _peaks(each: Played, test: Test) -> Iterator[float]:
    """How far the value that ``test`` limits went in each needless alarm."""
    for said in each.said(each.asked.present):
        decided = said.decision
        if said.kind != "cleared" or decided is None or decided.peak is None or each.known(said):
            continue
        if (decided.function, decided.length) == (test.function, test.length):
            yield decided.peak


# -------------------------------------------------------------------------------------- showing


def grid(found: Proposal) -> Grid:
    """The trade-off: each value, what it leaves and what it keeps; ``<-`` marks the proposal."""
    assert found.answer is not None
    answer = found.answer
    heads = [answer.question.number, "needless alarms", "swings", "led to work, kept", "later by", ""]
    lines = [_row(answer, point.value, point.outcome) for point in answer.points]
    if answer.chosen is not None:
        lines[answer.chosen][-1] = "<-"
    now = [*_row(answer, answer.question.present, answer.present)[:-1], "now"]
    return Grid(heads, [now, *lines], frozenset(range(5)))


def _row(answer: Answer, value: float, outcome: Outcome) -> list[object]:
    faults = len(outcome.delays) + outcome.missed
    kept = f"{len(outcome.delays)} of {faults}" if faults else "-"
    return [f"{value:g}", outcome.false_alarms, outcome.swings, kept, _later(answer, outcome), ""]


def _later(answer: Answer, outcome: Outcome) -> str:
    later = outcome.delay - answer.present.delay
    return "-" if math.isnan(later) else f"{later / 60e9:.1f} min"


def as_json(found: Proposal) -> dict[str, Any]:
    """The proposal with its trade-off as plain data; delays in s."""
    body: dict[str, Any] = {
        "rule": found.rule, "past": found.past, "days": found.days, "led_to_work": found.of,
        "unknown": found.unknown, "why": found.why, "mind": found.mind,
    }  # fmt: skip
    if found.answer is None:
        return body
    answer = found.answer
    chosen = None if answer.chosen is None else answer.points[answer.chosen].value
    points = [Point(answer.question.present, answer.present), *answer.points]
    return body | {
        "number": answer.question.number,
        "present": answer.question.present,
        "proposed": chosen,
        "assets": answer.lessons,
        "toml": answer.toml(),
        "trade_off": [{"value": point.value, **_plain(point.outcome)} for point in points],
    }


def _plain(outcome: Outcome) -> dict[str, Any]:
    kept = len(outcome.delays)
    return {
        "needless": outcome.false_alarms,
        "swings": outcome.swings,
        "kept": kept,
        "missed": outcome.missed,
    }
