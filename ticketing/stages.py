"""The life of a rule's versions: shadow → canary (named assets) → live → retired, each step with who, why and what for.

A version is what its hash names. Whatever a step says holds for that version only: a rule that is changed afterwards
stands where its file says, until it takes a step of its own.
"""

from __future__ import annotations

import json

from sqlalchemy import RowMapping, func, select, update

from ticketing import timers
from ticketing.auto_open import decide
from ticketing.errors import FieldError, MissingFieldError
from ticketing.events import canonical
from ticketing.permissions import require
from ticketing.reading import Reading
from ticketing.records import Actor, RuleStep, RuleVersion
from ticketing.tables import alarm as alarms
from ticketing.tables import rule_step, rule_version
from ticketing.writing import Writing

STAGES = ("shadow", "canary", "live", "retired")


def mode_of(step: RuleStep, asset: str) -> str:
    """What the step makes of the rule on this asset: live, shadow or off."""
    if step.stage == "canary":
        return "live" if asset in step.assets else "shadow"
    return {"shadow": "shadow", "live": "live", "retired": "off"}[step.stage]


def take(tx: Writing, actor: Actor, step: RuleStep, body: str) -> RuleStep:
    """Write the step down (``seq`` and ``author`` are given here); active alarms of the version follow at once."""
    require(actor, "rule.write")
    _check(step)
    version = {"rule_id": step.rule_id, "sha256": step.sha256}
    tx.add_once(rule_version, **version, body=body, first_seen_at=step.at)
    last = select(func.max(rule_step.c.seq)).where(tx.here(rule_step, rule_id=step.rule_id))
    seq = (tx.connection.scalar(last) or 0) + 1
    tx.add(
        rule_step,
        **version,
        seq=seq,
        stage=step.stage,
        assets=canonical(list(step.assets)),
        at=step.at,
        author=actor.name,
        reason=step.reason,
        expected=step.expected,
        backtest=canonical(dict(step.backtest)),
    )
    _follow(tx, step)
    return latest(tx)[step.rule_id]


def _check(step: RuleStep) -> None:
    if not step.reason.strip():
        raise MissingFieldError("promote", ["reason"])
    if step.stage not in STAGES:
        raise FieldError(["stage"], f"a rule stands in {', '.join(STAGES)}; not in {step.stage!r}")
    if (step.stage == "canary") != bool(step.assets):
        raise FieldError(["assets"], "a canary names its assets, and only a canary does")


def _follow(tx: Writing, step: RuleStep) -> None:
    """Alarms raised in shadow and still active are decided about where the rule is live now; others fall silent."""
    concerned = tx.here(alarms, rule_id=step.rule_id, rule_hash=step.sha256, cleared_at=None)
    query = select(alarms.c.episode, alarms.c.asset, alarms.c.mode).where(concerned)
    for row in tx.connection.execute(query.order_by(alarms.c.raised_at, alarms.c.episode)).all():
        mode = "live" if mode_of(step, row.asset) == "live" else "shadow"
        if mode != row.mode:
            here = tx.here(alarms, episode=row.episode)
            tx.connection.execute(update(alarms).where(here).values(mode=mode))
            timers.stop(tx, "min_active", row.episode)
            order = next((order for order in tx.orders_of_alarm(row.episode) if order.open), None)
            if mode == "live" and order is not None:  # live before already: it is on its order still
                kept = {"decision": "attached", "why": "its order is open still", "decided_at": step.at}
                tx.connection.execute(update(alarms).where(here).values(kept))
            else:
                decide(tx, tx.alarm(row.episode), step.at)


def latest(read: Reading) -> dict[str, RuleStep]:
    """Where each rule stands that ever took a step."""
    query = select(rule_step).where(read.here(rule_step)).order_by(rule_step.c.seq)
    return {row["rule_id"]: _step(row) for row in read.connection.execute(query).mappings()}


def steps(read: Reading, rule_id: str) -> list[RuleStep]:
    """All steps of a rule, oldest first."""
    query = select(rule_step).where(read.here(rule_step, rule_id=rule_id)).order_by(rule_step.c.seq)
    return [_step(row) for row in read.connection.execute(query).mappings()]


def versions(read: Reading, rule_id: str) -> list[RuleVersion]:
    """The versions that raised an alarm or took a step, oldest first."""
    columns = (
        rule_version.c.rule_id,
        rule_version.c.sha256,
        rule_version.c.body,
        rule_version.c.first_seen_at,
    )
    query = select(*columns).where(read.here(rule_version, rule_id=rule_id))
    ordered = query.order_by(rule_version.c.first_seen_at, rule_version.c.sha256)
    return [RuleVersion(*row) for row in read.connection.execute(ordered)]


def _step(row: RowMapping) -> RuleStep:
    given = {name: row[name] for name in RuleStep.__dataclass_fields__}
    return RuleStep(
        **{**given, "assets": tuple(json.loads(row["assets"])), "backtest": json.loads(row["backtest"])}
    )
