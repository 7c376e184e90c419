"""A trace: what happens at the desk line by line, and what must come of it.

::

    0s   raise a pump-1 VIB 2            | waiting
    10m  tick                            | opened 1
    11m  order 1                         | new P3 x1

Before the bar: time since T0, verb, arguments (``key=value`` for the rarer ones). After it: the decisions
(kind and the order's short number), or how the order stands (state, priority, number of occurrences).
"""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

from tests.ticketing.scene import ASSETS, LEAD, T0, TECHNICIAN, raised
from ticketing import Actor, Asset, Decision, Desk, MoveRefusedError, OrderPolicy, Tx

UNITS = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
PEOPLE = {"lead": LEAD, "tech": TECHNICIAN, "zhao": Actor("zhao", frozenset({"technician"}))}


def ms(text: str) -> int:
    """``"1d2h30m"`` in ms."""
    return sum(int(n) * UNITS[unit] for n, unit in re.findall(r"(\d+)([smhd])", text))


RULE: dict[str, Any] = {"occurrences": int, "window": ms, "verify": ms, "key": str}


def play(desk: Desk, trace: str) -> None:
    """Play every line in a transaction of its own and compare."""
    for number, line in enumerate(trace.strip().splitlines(), 1):
        if not line.strip():
            continue
        before, _, expected = line.partition("|")
        time, verb, *words = before.split()
        options = dict(word.split("=", 1) for word in words if "=" in word)
        with desk.transaction() as tx:
            got = VERBS[verb](tx, T0 + ms(time), *[w for w in words if "=" not in w], **options)
        assert got == expected.strip(), f"line {number}: {line.strip()}\n  came out as: {got}"


def _say(*decisions: Decision) -> str:
    told = [d for d in decisions if d.kind != "escalated"]  # has its own verb
    return ", ".join(f"{d.kind} {int(d.number[-6:])}" if d.number else d.kind for d in told)


def _number(short: str) -> str:
    return f"WO-2026-{int(short):06d}"


def _raise(tx: Tx, at: int, episode: str, *what: str, **more: Any) -> str:
    asset, failure_mode, severity = what
    policy: dict[str, Any] = {name: RULE[name](more.pop(name)) for name in list(more) if name in RULE}
    policy["self_clear"] = bool(more.pop("self_clear", False))
    policy["min_active"] = {int(severity): ms(more.pop("min_active"))} if "min_active" in more else {}
    more["from_model"] = bool(more.pop("from_model", False))
    known = {
        "asset": asset,
        "failure_mode": failure_mode,
        "severity": int(severity),
        "policy": OrderPolicy(**policy),
    }
    return _say(tx.alarm_raised(raised(episode, at, **known, **more)))


def _order(tx: Tx, _at: int, short: str) -> str:
    order = tx.order(_number(short))
    marks = [f"r{order.reopen_count}"] * bool(order.reopen_count) + ["chronic"] * order.chronic
    marks += ["verified"] * (order.verified_at is not None)
    return " ".join([order.state, f"P{order.priority}", f"x{order.occurrence_count}", *marks])


def _move(tx: Tx, at: int, short: str, move: str, by: str, **fields: Any) -> str:
    given = {name: int(value) if value.isdigit() else value for name, value in fields.items()}
    order = tx.order(_number(short))
    try:
        return tx.move(order.number, move, PEOPLE[by], order.version, at, **given).state
    except MoveRefusedError as refusal:
        return f"refused: {refusal.why}"


def _repair(tx: Tx, at: int, short: str, **fields: Any) -> str:
    """Assign, start and resolve by the technician, all at once."""
    if tx.order(_number(short)).state == "new":
        _move(tx, at, short, "assign", "lead", assignee=TECHNICIAN.name)
    _move(tx, at, short, "start", "tech")
    codes = {"symptom": "VIB", "mechanism": "wear", "remedy": "replace"}
    return _move(tx, at, short, "resolve", "tech", **{**codes, **fields})


def _clear(tx: Tx, at: int, episode: str) -> str:
    before = len(tx.decisions)
    tx.alarm_cleared(episode, at)
    return _say(*tx.decisions[before:])


def _runs(tx: Tx, at: int, asset: str, running: str) -> str:
    tx.machine_runs(asset, at, running=running == "on")
    return _say(*tx.decisions)


def _report(tx: Tx, at: int, asset: str, mode: str) -> str:
    order = tx.open_order(LEAD, at=at, asset=asset, title="seen", failure_mode=mode)
    return f"{order.state} {int(order.number[-6:])}"


def _flood(tx: Tx, at: int, count: str) -> str:
    """New faults on as many machines that have nothing to do with each other; the decisions counted."""
    machines = [Asset(f"m-{at}-{n}", "fan", "风机", "Fan") for n in range(int(count))]
    tx.sync_assets([*ASSETS, *machines])
    alarms = [raised(m.code, at, asset=m.code) for m in machines]
    kinds = Counter(tx.alarm_raised(alarm).kind for alarm in alarms)
    return ", ".join(f"{n} {kind}" for kind, n in sorted(kinds.items()))


def _close(tx: Tx, at: int, short: str) -> str:
    """Repair and sign."""
    for alarm in tx.alarms(number=_number(short), active=True):
        tx.alarm_cleared(alarm.episode, at)
    _repair(tx, at, short)
    return _move(tx, at, short, "sign_off", "lead", stars="5", override_reason="tested")


def _due(tx: Tx, _at: int, short: str) -> str:
    order = tx.order(_number(short))
    return f"ack {_since(order.due_ack_at)} resolve {_since(order.due_resolve_at)}"


def _since(at: int) -> str:
    days, minutes = divmod((at - T0) // 60_000, 24 * 60)
    parts = (f"{days}d", f"{minutes // 60}h", f"{minutes % 60}m")
    return "".join(part for part in parts if part[0] != "0")


VERBS: dict[str, Any] = {
    "steps": lambda tx, at: ", ".join(
        f"{d.why.partition(':')[0]} {int((d.number or '')[-6:])}"
        for d in tx.tick(at)
        if d.kind == "escalated"
    ),
    "raise": _raise,
    "severity": lambda tx, at, episode, to: _say(tx.severity_raised(episode, int(to), at)),
    "clear": _clear,
    "runs": _runs,
    "tick": lambda tx, at: _say(*tx.tick(at)),
    "order": _order,
    "links": lambda tx, _at, short: ", ".join(
        f"{link.kind} {int(link.other[-6:])}"
        for link in tx.links(_number(short))
        if link.number == _number(short)
    ),
    "tasks": lambda tx, _at, short: str(len(tx.tasks(_number(short)))),
    "move": _move,
    "repair": _repair,
    "close": _close,
    "report": _report,
    "flood": _flood,
    "accepted": lambda tx, _at, short: "yes" if tx.order(_number(short)).accepted_at else "no",
    "due": _due,
}
