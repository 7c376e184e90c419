"""The work order's one flow, as a table: buttons, refusals, the diagram and half the tests come from it.

Pure: a move is judged by the order as it stands, who asks, and the fields given. To change the flow,
change the table.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ticketing.errors import FieldError, MissingFieldError, MoveRefusedError
from ticketing.fields import FIELDS
from ticketing.records import DAY, OPEN_STATES, Actor, Order, State

NEW, ASSIGNED, IN_PROGRESS, ON_HOLD = State.NEW, State.ASSIGNED, State.IN_PROGRESS, State.ON_HOLD
RESOLVED, CLOSED, CANCELLED = State.RESOLVED, State.CLOSED, State.CANCELLED

# Who may: a role, a place in this order (assignee, requester), anyone known, or one of our own hands.
TECHNICIAN, LEAD, ENGINEER = "technician", "lead", "engineer"
APPROVERS = (LEAD, "manager", "director")
ASSIGNEE, REQUESTER, PERSON, OUR_ENGINE, OUR_TIMER = "assignee", "requester", "person", "engine", "timer"


@dataclass(frozen=True, slots=True)
class Asked:
    """A move that somebody asks for, of the order at ``version``."""

    name: str
    actor: Actor
    version: int
    at: int
    fields: Mapping[str, Any]


Guard = Callable[[Order, Asked], str | None]


def approved_or_urgent(order: Order, _asked: Asked) -> str | None:
    if order.approvals_missing and order.priority > 1:
        return f"{order.approvals_missing} approvals of its estimated cost are missing"
    return None


def tasks_done(order: Order, _asked: Asked) -> str | None:
    return f"{order.open_tasks} mandatory tasks are not done" if order.open_tasks else None


def downtime_fits(order: Order, asked: Asked) -> str | None:
    start = asked.fields.get("downtime_start", order.downtime_start)
    end = asked.fields.get("downtime_end", order.downtime_end)
    if start is None:
        return None if end is None else "a downtime that ends has begun: give downtime_start too"
    if asked.name == "resolve" and end is None:
        return "its downtime goes on: say when it ended, with downtime_end"
    return "its downtime ends before it begins" if end is not None and end < start else None


def not_the_assignee(order: Order, asked: Asked) -> str | None:
    return "whoever did the work cannot sign it off" if asked.actor.name == order.assignee else None


def somebody_else(order: Order, asked: Asked) -> str | None:
    if asked.fields["assignee"] == order.barred:
        return f"{order.barred} did the work that is inspected again; choose somebody else"
    return None


def signal_verified(order: Order, asked: Asked) -> str | None:
    if order.alarms == 0 or order.verified_at is not None or asked.fields.get("override_reason"):
        return None
    return "the signal is not verified normal yet; sign off with an override_reason or wait"


def signals_normal(order: Order, _asked: Asked) -> str | None:
    return "the machine's signals are not all back to normal" if order.alarms_active else None


def merged_lately(order: Order, asked: Asked) -> str | None:
    if order.outcome != "merged":
        return "it was not merged into another"
    return None if asked.at <= (order.closed_at or 0) + DAY else "it was merged more than a day ago"


@dataclass(frozen=True, slots=True)
class Move:
    """One way from a state to another. ``to`` None: the order stays where it is.

    ``who`` needs one match; ``needs`` are fields that must be given, ``may`` those that can be.
    """

    from_: tuple[State, ...]
    to: State | None
    who: tuple[str, ...]
    needs: tuple[str, ...] = ()
    may: tuple[str, ...] = ()
    guards: tuple[Guard, ...] = ()


TO_DO = (NEW, ASSIGNED, IN_PROGRESS, ON_HOLD)
MOVES: Mapping[str, Move] = {
    "assign": Move((NEW,), ASSIGNED, (LEAD, OUR_ENGINE), ("assignee",), ("reason",), (somebody_else,)),
    "accept": Move((ASSIGNED, IN_PROGRESS, ON_HOLD), None, (ASSIGNEE,)),
    # The lead may take an order back from someone who is away.
    "decline": Move((ASSIGNED,), NEW, (ASSIGNEE, LEAD), ("reason",)),
    "start": Move((ASSIGNED,), IN_PROGRESS, (ASSIGNEE,), guards=(approved_or_urgent,)),
    "hold": Move((IN_PROGRESS,), ON_HOLD, (ASSIGNEE,), ("hold_reason",), ("reason", "expected_resume")),
    "resume": Move((ON_HOLD,), IN_PROGRESS, (ASSIGNEE,)),
    "resolve": Move(
        (IN_PROGRESS,),
        RESOLVED,
        (ASSIGNEE,),
        ("symptom", "mechanism", "remedy"),
        ("cause", "detection", "outcome", "stop_kind", "downtime_end", "comment"),
        (tasks_done, downtime_fits),
    ),
    "reject": Move((RESOLVED,), ASSIGNED, (REQUESTER, LEAD), ("reason",)),
    "recur": Move((RESOLVED,), ASSIGNED, (OUR_ENGINE, OUR_TIMER), ("reason",)),
    "sign_off": Move(
        (RESOLVED,),
        CLOSED,
        (REQUESTER, LEAD),
        ("stars",),
        ("comment", "override_reason", "pin", "signature"),
        (not_the_assignee, signal_verified),
    ),
    "auto_close": Move((RESOLVED,), CLOSED, (OUR_TIMER,), guards=(signal_verified,)),
    "cancel": Move(
        (NEW, ASSIGNED, ON_HOLD),
        CANCELLED,
        (LEAD,),
        ("cancel_reason",),
        ("reason", "mute_days", "duplicate_of"),
    ),
    "self_cleared": Move((NEW,), CANCELLED, (OUR_TIMER,), guards=(signals_normal,)),
    "unmerge": Move((CANCELLED,), NEW, (LEAD,), ("reason",), guards=(merged_lately,)),
    "escalate": Move(OPEN_STATES, None, (OUR_TIMER,), ("step",)),
    "comment": Move(OPEN_STATES, None, (PERSON,), ("comment",)),
    "set_priority": Move(OPEN_STATES, None, (LEAD,), ("priority", "reason")),
    "do_task": Move((IN_PROGRESS,), None, (ASSIGNEE,), ("task",), ("value",)),
    "estimate": Move(TO_DO, None, (ASSIGNEE, LEAD), ("est_cost_fen",), ("reason",)),
    "approve": Move(TO_DO, None, APPROVERS, ("decision",), ("comment",)),
    "add_cost": Move(
        (ASSIGNED, IN_PROGRESS, ON_HOLD, RESOLVED),
        None,
        (ASSIGNEE, LEAD),
        ("cost_kind", "cost_fen"),
        ("minutes", "part_no", "comment"),
    ),
    "add_task": Move(TO_DO, None, (ASSIGNEE, LEAD), ("text",), ("task_kind", "unit")),
    "downtime": Move(
        (ASSIGNED, IN_PROGRESS, ON_HOLD, RESOLVED),
        None,
        (ASSIGNEE, LEAD),
        ("downtime_start",),
        ("downtime_end", "stop_kind"),
        (downtime_fits,),
    ),
    "set_fields": Move(OPEN_STATES, None, (ASSIGNEE, REQUESTER, LEAD), ("custom",)),
    "link": Move(OPEN_STATES, None, (ASSIGNEE, LEAD, ENGINEER), ("link_kind", "other")),
    "unlink": Move(OPEN_STATES, None, (ASSIGNEE, LEAD, ENGINEER), ("link_kind", "other")),
    "merge_in": Move(TO_DO, None, (LEAD,), ("other",), ("reason",)),
    "watch": Move(OPEN_STATES, None, (PERSON,)),
}


def standing(order: Order, actor: Actor) -> frozenset[str]:
    """What ``actor`` is to this order: the roles, "person", and perhaps assignee or requester."""
    if actor.kind != "person":
        return frozenset({actor.kind})
    places = {
        ASSIGNEE: order.assignee == actor.name,
        REQUESTER: order.requester == actor.name,
    }
    return actor.roles | {PERSON} | {place for place, held in places.items() if held}


def legal_moves(order: Order, actor: Actor) -> list[str]:
    """The moves this actor could make now, in the table's order: the buttons. A guard may ask for more."""
    mine = standing(order, actor)
    return [
        name
        for name, move in MOVES.items()
        if order.state in move.from_ and mine.intersection(move.who) and actor.covers(f"order.{name}")
    ]


def check(order: Order, asked: Asked) -> Move:
    """The move, if it may be made now; otherwise the refusal, in the order that people understand it."""

    def refused(why: str, text: str) -> MoveRefusedError:
        return MoveRefusedError(order.number, order.state, order.version, why, text)

    name, fields = asked.name, asked.fields
    if name not in MOVES:
        raise FieldError(["move"], f"there is no move {name!r}; there are {', '.join(MOVES)}")
    move = MOVES[name]
    if order.state not in move.from_:
        raise refused("illegal", f"{name} starts from {' or '.join(move.from_)}")
    if not standing(order, asked.actor).intersection(move.who):
        raise refused("role", f"{name} is for {' or '.join(move.who)}")
    if not asked.actor.covers(f"order.{name}"):
        raise refused("role", f"this token is not for order.{name}")
    if asked.version != order.version:
        raise refused("stale", f"it was changed meanwhile (version {order.version}, yours {asked.version})")
    check_fields(name, move, fields)
    for guard in move.guards:
        if text := guard(order, asked):
            raise refused("guard", text)
    return move


def check_fields(name: str, move: Move, fields: Mapping[str, Any]) -> None:
    if missing := [n for n in move.needs if fields.get(n) in (None, "")]:
        raise MissingFieldError(name, missing)
    if unknown := sorted(set(fields) - set(move.needs) - set(move.may)):
        raise FieldError(unknown, f"{name} takes no {', '.join(unknown)}")
    for field, value in fields.items():
        if value is not None and (problem := FIELDS[field].problem(value)):
            raise FieldError([field], f"{field} {problem}")
