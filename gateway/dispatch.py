"""From an alarm to the ticket core: fault key, priority, evidence, title. The only way to an automatic order."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from gateway.evidence import Witness
from rules import Rule, Transition
from ticketing import Desk, OrderPolicy, RaisedAlarm, Tx

log = logging.getLogger(__name__)

_MS = 1_000_000
TICK_EVERY = 5_000_000_000  # ns of log time between two looks at the ticket core's timers
_ALL = 1_000_000
_SOFT = ("anomaly", "rul")


class Dispatch:
    """Carries transitions into the ticket core, in one transaction with the judge's state."""

    def __init__(self, desk: Desk, rules: Mapping[str, Rule], witness: Witness) -> None:
        self._desk, self._rules, self._witness = desk, rules, witness
        self._ticked = 0
        with desk.read() as reading:
            self._alarmed = {
                (alarm.asset, alarm.episode) for alarm in reading.alarms(active=True, limit=_ALL)
            }

    def due(self, now: int) -> bool:
        """Whether the ticket core's timers (waiting alarms, self-clearing, verifying) want a look."""
        return now - self._ticked >= TICK_EVERY

    def alarmed(self, asset: str) -> bool:
        """Whether an alarm of the asset is active: its models learn nothing then."""
        return any(asset == other for other, _ in self._alarmed)

    def load(self, name: str) -> tuple[int, bytes] | None:
        """What ``keep`` saved last under this name: the log position and the bytes."""
        with self._desk.read() as reading:
            found = reading.load_state(name)
        return (found.cursor, found.blob) if found else None

    @contextmanager
    def transaction(self, now: int) -> Iterator[Case]:
        """One transaction of the ticket core at log time ``now`` (ns): alarms, orders, timers and state together."""
        with self._desk.transaction() as tx:
            case = Case(self, tx)
            yield case
            tx.tick(now // _MS)
            decisions = tx.decisions
        self._ticked = now
        self._alarmed = (self._alarmed | case.raised) - case.cleared
        for decision in decisions:
            if decision.kind == "opened":
                log.info("work order %s opened: %s", decision.number, decision.why)

    def alarm(self, tx: Tx, happened: Transition) -> RaisedAlarm:
        """The alarm as the ticket core takes it, with its evidence."""
        rule = self._rules[happened.rule]
        settings = rule.settings
        assert happened.decision is not None
        quantity = happened.decision.signal.rpartition("/")[2]
        return RaisedAlarm(
            episode=happened.episode,
            asset=happened.asset,
            failure_mode=happened.failure_mode,
            severity=happened.severity,
            at=happened.time // _MS,
            since=happened.since // _MS - _ms_of(timedelta(microseconds=happened.decision.on_delay / 1000)),
            rule_id=rule.id,
            rule_hash=happened.rule_hash,
            rule_body=settings.model_dump_json(by_alias=True),
            title_zh=settings.title_zh or settings.title_en or rule.id,
            title_en=settings.title_en or rule.id,
            evidence=self.evidence(tx, happened),
            policy=_policy(settings.work_order),
            mode=happened.mode,
            suppression=self._suppression(tx, happened),
            from_model=quantity.endswith(_SOFT),
        )

    def evidence(self, tx: Tx, happened: Transition) -> dict[str, Any]:
        """Why, as it is now."""
        earlier = [
            {
                "number": o.number,
                "title_zh": o.title_zh,
                "title_en": o.title_en,
                "state": o.state,
                "opened_at": o.opened_at,
            }
            for o in tx.orders(asset=happened.asset, limit=3)
        ]
        return self._witness.document(self._rules[happened.rule], happened, earlier)

    def _suppression(self, tx: Tx, happened: Transition) -> str:
        """``by_design`` while somebody works on the asset and the rule falls silent for that."""
        if self._rules[happened.rule].settings.suppress_during_work:
            working = tx.orders(state="in_progress", asset=happened.asset, limit=1)
            if working:
                return "by_design"
        return "none"


class Case:
    """What one transaction does; called with each transition."""

    def __init__(self, dispatch: Dispatch, tx: Tx) -> None:
        self._dispatch, self._tx = dispatch, tx
        self.raised: set[tuple[str, str]] = set()
        self.cleared: set[tuple[str, str]] = set()

    def act(self, happened: Transition) -> None:
        """Tell the ticket core."""
        tx, name = self._tx, (happened.asset, happened.episode)
        if happened.kind == "raised":
            tx.alarm_raised(self._dispatch.alarm(tx, happened))
            self.raised.add(name)
        elif happened.kind == "severity_raised":
            evidence = self._dispatch.evidence(tx, happened)
            at = happened.time // _MS
            tx.severity_raised(happened.episode, happened.severity, at, evidence)
        elif happened.kind in {"cleared", "withdrawn"}:
            tx.alarm_cleared(happened.episode, happened.time // _MS)
            self.cleared.add(name)

    def keep(self, name: str, cursor: int, state: bytes) -> None:
        """Save the judge's state with everything else."""
        self._tx.save_state(name, cursor, state)


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
