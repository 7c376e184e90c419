"""From an alarm to the ticket core: fault key, priority, evidence, title. The only way to an automatic order."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from gateway import lookback, running
from gateway.evidence import Witness
from gateway.lookback import Lookback, Question
from gateway.tree import Above
from rules import Decision, Rule, Transition
from ticketing import Branch, Desk, Forwarding, OrderPolicy, RaisedAlarm, RuleStep, Tx

log = logging.getLogger(__name__)

_MS = 1_000_000
TICK_EVERY = 5_000_000_000  # ns of log time between two looks at the ticket core's timers
_SOFT = ("anomaly", "rul")


class Dispatch:
    """Carries transitions into the ticket core (our end of it, where it is shared), with the judge's state."""

    def __init__(
        self,
        core: Desk | Branch,
        rules: Mapping[str, Rule],
        witness: Witness,
        above: Above = lambda *_: (),
        lookback: Lookback | None = None,
    ) -> None:
        """Without a ``lookback`` the evidence has no series of the time before."""
        self._lookback = lookback or Lookback(None)
        self._core, self._rules, self._witness, self._above = core, rules, witness, above
        self._ticked = 0
        self._alarmed: set[tuple[str, str]] = set()  # asset, episode

    def use(self, rules: Mapping[str, Rule], witness: Witness, above: Above) -> None:
        """Go on with these; what former rules have raised can still be cleared."""
        self._rules, self._witness, self._above = {**self._rules, **rules}, witness, above

    def resume(self, active: Iterable[tuple[str, str]]) -> None:
        """Go on with these alarms: asset and episode."""
        self._alarmed = {
            (asset, episode) for asset, episode in active if not running.tells(episode.partition("/")[0])
        }
        with self._core.read() as reading:
            self._lookback.resume(reading.load_state(lookback.NAME))

    def due(self, now: int) -> bool:
        """Whether the ticket core's timers want a look (waiting alarms, verifying), or there is more evidence."""
        return self._lookback.answered or now - self._ticked >= TICK_EVERY

    def alarmed(self, asset: str) -> bool:
        """Whether an alarm of the asset is active: its models learn nothing then."""
        return any(asset == other for other, _ in self._alarmed)

    def stages(self) -> Mapping[str, RuleStep]:
        """Which steps the rules' versions have taken: shadow, canary, live, retired."""
        with self._core.read() as reading:
            return reading.rule_stages()

    def load(self, name: str) -> tuple[int, bytes] | None:
        """What ``keep`` saved last under this name: the log position and the bytes."""
        with self._core.read() as reading:
            found = reading.load_state(name)
        return (found.cursor, found.blob) if found else None

    @contextmanager
    def transaction(self, now: int, transitions: Iterable[Transition] = ()) -> Iterator[Tx | Forwarding]:
        """One transaction of the ticket core at log time ``now`` (ns): alarms, orders, timers, and what the block adds.

        The store is asked for the time before the alarms after it.
        """
        told = [(happened, self._evidence(happened)) for happened in transitions]
        with self._core.transaction() as tx:
            for happened, evidence in told:
                self._act(tx, happened, evidence)
            kept = self._lookback.keep(tx, [_question(happened) for happened, evidence in told if evidence])
            yield tx
            tx.tick(now // _MS)
            decisions = tx.decisions
        self._ticked = now
        self._lookback.kept(kept)
        for happened, _ in told:
            self._remember(happened)
        for decision in decisions:
            if decision.kind == "opened":
                log.info("work order %s opened: %s", decision.number, decision.why)

    def _evidence(self, happened: Transition) -> dict[str, Any] | None:
        if happened.kind not in {"raised", "severity_raised"} or running.tells(happened.rule):
            return None
        return self._witness.document(self._rules[happened.rule], happened)

    def _act(self, tx: Tx | Forwarding, happened: Transition, evidence: dict[str, Any] | None) -> None:
        """Tell the ticket core."""
        at = happened.time // _MS
        if running.tells(happened.rule):
            if (runs := running.runs(happened)) is not None:
                tx.machine_runs(happened.asset, at, running=runs)
        elif happened.kind == "raised" and evidence is not None:
            tx.alarm_raised(self._alarm(happened, evidence))
        elif happened.kind == "severity_raised":
            tx.severity_raised(happened.episode, happened.severity, at, evidence)
        elif happened.kind == "reactivated":
            tx.alarm_reactivated(happened.episode, happened.reactivations, at)
        elif happened.kind in {"cleared", "withdrawn"}:
            tx.alarm_cleared(happened.episode, at)

    def _remember(self, happened: Transition) -> None:
        """Which assets have an active alarm."""
        if running.tells(happened.rule):
            return
        if happened.kind == "raised":
            self._alarmed.add((happened.asset, happened.episode))
        elif happened.kind in {"cleared", "withdrawn"}:
            self._alarmed.discard((happened.asset, happened.episode))

    def _alarm(self, happened: Transition, evidence: dict[str, Any]) -> RaisedAlarm:
        """The alarm as the ticket core takes it."""
        rule = self._rules[happened.rule]
        settings = rule.settings
        assert happened.decision is not None
        delay = timedelta(microseconds=happened.decision.on_delay / 1000)
        return RaisedAlarm(
            episode=happened.episode,
            asset=happened.asset,
            failure_mode=happened.failure_mode,
            severity=happened.severity,
            at=happened.time // _MS,
            since=happened.since // _MS - _ms_of(delay),
            rule_id=rule.id,
            rule_hash=happened.rule_hash,
            rule_body=settings.model_dump_json(by_alias=True),
            title_zh=settings.title_zh or settings.title_en or rule.id,
            title_en=settings.title_en or rule.id,
            evidence=evidence,
            policy=_policy(settings.work_order),
            mode=happened.mode,
            silent_at_work=settings.suppress_during_work,
            from_model=happened.decision.signal.endswith(_SOFT),
            kind=_kind(happened.decision),
            latch=settings.latch,
            inhibits=settings.inhibiting,
            above=self._above(happened.asset, happened.inputs),
        )


def _question(happened: Transition) -> Question:
    assert happened.decision is not None
    return Question(happened.episode, happened.severity, happened.decision.signal, happened.time)


def _kind(decision: Decision) -> str:
    """What was seen: the machine's own process, a silent or stuck sensor, or what a model says."""
    if decision.function == "age":
        return "no_data"
    if decision.function == "spread" and decision.operator == "==":
        return "frozen"
    return "model" if decision.signal.endswith(_SOFT) else "process"


def _policy(settings: Any) -> OrderPolicy:
    waits = {severity: settings.wait(severity) for severity in range(1, 5)}
    return OrderPolicy(
        key=settings.key,
        min_active={severity: _ms_of(wait) for severity, wait in waits.items() if wait is not None},
        verify=_ms_of(settings.verify),
        self_clear=settings.self_clear,
    )


def _ms_of(duration: timedelta) -> int:
    return duration // timedelta(milliseconds=1)
