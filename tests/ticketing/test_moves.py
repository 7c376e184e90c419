"""The move table against the specification, every illegal cell, and who may do what."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from tests.ticketing.scene import ASSETS, LEAD, T0, TECHNICIAN, raised
from ticketing import (
    ENGINE,
    FIELDS,
    MOVES,
    TIMER,
    Actor,
    Desk,
    FieldError,
    MissingFieldError,
    MoveRefusedError,
    Order,
    State,
    legal_moves,
)
from ticketing.moves import Asked, check

# The specification's own drawing, written down apart from the table. "." stays, "-" is refused.
DRAWING = """
              new        assigned    in_progress  on_hold      resolved  closed  cancelled
assign        assigned   -           -            -            -         -       -
accept        -          .           .            .            -         -       -
decline       -          new         -            -            -         -       -
start         -          in_progress -            -            -         -       -
hold          -          -           on_hold      -            -         -       -
resume        -          -           -            in_progress  -         -       -
resolve       -          -           resolved     -            -         -       -
reject        -          -           -            -            assigned  -       -
recur         -          -           -            -            assigned  -       -
sign_off      -          -           -            -            closed    -       -
auto_close    -          -           -            -            closed    -       -
cancel        cancelled  cancelled   -            cancelled    -         -       -
self_cleared  cancelled  -           -            -            -         -       -
escalate      .          .           .            .            .         -       -
comment       .          .           .            .            .         -       -
set_priority  .          .           .            .            .         -       -
do_task       -          -           .            -            -         -       -
estimate      .          .           .            .            -         -       -
approve       .          .           .            .            -         -       -
add_cost      -          .           .            .            .         -       -
add_task      .          .           .            .            -         -       -
downtime      -          .           .            .            .         -       -
set_fields    .          .           .            .            .         -       -
link          .          .           .            .            .         -       -
unlink        .          .           .            .            .         -       -
merge_in      .          .           .            .            -         -       -
unmerge       -          -           -            -            -         -       new
watch         .          .           .            .            .         -       -
"""
HEAD, *LINES = DRAWING.strip().splitlines()
CELLS = {
    (move, State(state)): to
    for move, *targets in (line.split() for line in LINES)
    for state, to in zip(HEAD.split(), targets, strict=True)
}
WHO = {
    "assign": {"lead", "engine"},
    "accept": {"assignee"},
    "decline": {"assignee", "lead"},
    "start": {"assignee"},
    "hold": {"assignee"},
    "resume": {"assignee"},
    "resolve": {"assignee"},
    "reject": {"requester", "lead"},
    "recur": {"engine", "timer"},
    "sign_off": {"requester", "lead"},
    "auto_close": {"timer"},
    "cancel": {"lead"},
    "self_cleared": {"timer"},
    "escalate": {"timer"},
    "comment": {"person"},
    "set_priority": {"lead"},
    "do_task": {"assignee"},
    "estimate": {"assignee", "lead"},
    "approve": {"lead", "manager", "director"},
    "add_cost": {"assignee", "lead"},
    "add_task": {"assignee", "lead"},
    "downtime": {"assignee", "lead"},
    "set_fields": {"assignee", "requester", "lead"},
    "link": {"assignee", "lead", "engineer"},
    "unlink": {"assignee", "lead", "engineer"},
    "merge_in": {"lead"},
    "unmerge": {"lead"},
    "watch": {"person"},
}
EXAMPLES: Mapping[str, Any] = {
    "assignee": "li",
    "reason": "because",
    "comment": "hm",
    "step": "not_accepted",
    "other": "WO-2026-000002",
    "text": "look at the coupling",
    "custom": {},
    **{name: field.choices[0] for name, field in FIELDS.items() if field.choices},
    **{name: field.span[1] for name, field in FIELDS.items() if field.span},
}
PEOPLE = {
    "lead": Actor("wang", frozenset({"lead"})),
    "assignee": Actor("li", frozenset({"technician"})),
    "requester": Actor("zhang", frozenset({"technician"})),
    "person": Actor("chen", frozenset({"viewer"})),
    "technician": Actor("qian", frozenset({"technician"})),
    "admin": Actor("root", frozenset({"admin", "viewer"})),
    "engineer": Actor("qiu", frozenset({"engineer"})),
    "manager": Actor("sun", frozenset({"manager"})),
    "director": Actor("zhou", frozenset({"director"})),
    "engine": ENGINE,
    "timer": TIMER,
}


@pytest.fixture(scope="module")
def order(tmp_path_factory: pytest.TempPathFactory) -> Order:
    """Some order of ``li``'s, asked for by ``zhang``; tests put it into any state."""
    desk = Desk.open(tmp_path_factory.mktemp("moves") / "core.db", site="demo")
    with desk.transaction() as tx:
        tx.sync_assets(ASSETS)
        made = tx.open_order(PEOPLE["requester"], at=T0, asset="pump-1", title="x")
    desk.close()
    return replace(made, assignee="li", version=7, outcome="merged", closed_at=T0)


def fields_of(move: str) -> dict[str, Any]:
    return {name: EXAMPLES[name] for name in MOVES[move].needs}


def someone_allowed(move: str) -> Actor:
    return PEOPLE[MOVES[move].who[0]]


def test_the_table_has_the_moves_of_the_specification_and_no_other() -> None:
    assert {move for move, _ in CELLS} == set(MOVES) == set(WHO)


@pytest.mark.parametrize(("move", "state"), CELLS, ids=str)
def test_each_cell_of_the_drawing(order: Order, move: str, state: State) -> None:
    here = replace(order, state=state)
    asked = Asked(move, someone_allowed(move), 7, T0, fields_of(move))
    to = CELLS[move, state]
    if to == "-":
        with pytest.raises(MoveRefusedError) as refusal:
            check(here, asked)
        assert (refusal.value.why, refusal.value.state, refusal.value.version) == ("illegal", state, 7)
        assert move not in legal_moves(here, someone_allowed(move))
    else:
        assert check(here, asked).to == (None if to == "." else State(to))
        assert move in legal_moves(here, someone_allowed(move))


@pytest.mark.parametrize("move", MOVES)
@pytest.mark.parametrize("who", PEOPLE)
def test_only_those_who_may(order: Order, move: str, who: str) -> None:
    here = replace(order, state=MOVES[move].from_[0])
    asked = Asked(move, PEOPLE[who], 7, T0, fields_of(move))
    is_person = PEOPLE[who].kind == "person"
    if who in WHO[move] or (is_person and "person" in WHO[move]):
        check(here, asked)
    else:
        with pytest.raises(MoveRefusedError) as refusal:
            check(here, asked)
        assert refusal.value.why == "role"


@pytest.mark.parametrize("move", [move for move in MOVES if MOVES[move].needs])
def test_missing_fields_are_named_all_at_once(order: Order, move: str) -> None:
    here = replace(order, state=MOVES[move].from_[0])
    with pytest.raises(MissingFieldError) as refusal:
        check(here, Asked(move, someone_allowed(move), 7, T0, {}))
    assert refusal.value.fields == MOVES[move].needs


@pytest.mark.parametrize("move", MOVES)
def test_a_stale_version_is_refused_whatever_the_move(order: Order, move: str) -> None:
    here = replace(order, state=MOVES[move].from_[0])
    for version in (6, 8):
        with pytest.raises(MoveRefusedError) as refusal:
            check(here, Asked(move, someone_allowed(move), version, T0, fields_of(move)))
        assert refusal.value.why == "stale"


@pytest.mark.parametrize(
    ("move", "fields", "named"),
    [
        ("comment", {"comment": "x" * 4001}, "comment"),
        ("comment", {"comment": 3}, "comment"),
        ("comment", {"comment": "x", "state": "closed"}, "state"),
        ("comment", {"comment": "x", "assignee": "li"}, "assignee"),
        ("set_priority", {"priority": 5, "reason": "x"}, "priority"),
        ("set_priority", {"priority": True, "reason": "x"}, "priority"),
        ("hold", {"hold_reason": "lunch"}, "hold_reason"),
        ("resolve", {"symptom": "VIB", "mechanism": "magic", "remedy": "replace"}, "mechanism"),
        ("sign_off", {"stars": 0}, "stars"),
        ("sign_off", {"stars": "5"}, "stars"),
        ("dance", {}, "move"),
    ],
)
def test_a_wrong_field_is_named(order: Order, move: str, fields: dict[str, Any], named: str) -> None:
    state = MOVES[move].from_[0] if move in MOVES else State.NEW
    actor = someone_allowed(move) if move in MOVES else LEAD
    with pytest.raises(FieldError) as refusal:
        check(replace(order, state=state), Asked(move, actor, 7, T0, fields))
    assert refusal.value.fields == (named,)


def test_who_did_the_work_does_not_sign_it_off(order: Order) -> None:
    own = Actor("li", frozenset({"technician", "lead"}))
    with pytest.raises(MoveRefusedError, match="did the work") as refusal:
        check(replace(order, state=State.RESOLVED), Asked("sign_off", own, 7, T0, {"stars": 5}))
    assert refusal.value.why == "guard"


def test_open_mandatory_tasks_hold_back_resolving(order: Order) -> None:
    here = replace(order, state=State.IN_PROGRESS, open_tasks=2)
    with pytest.raises(MoveRefusedError, match="2 mandatory tasks"):
        check(here, Asked("resolve", PEOPLE["assignee"], 7, T0, fields_of("resolve")))


def test_the_whole_way_from_alarm_to_signature(desk: Desk) -> None:
    with desk.transaction() as tx:
        number = tx.alarm_raised(raised("e1")).number
        assert number
        order = tx.order(number)
        steps: list[tuple[str, Actor, dict[str, Any]]] = [
            ("assign", LEAD, {"assignee": "li"}),
            ("accept", TECHNICIAN, {}),
            ("start", TECHNICIAN, {}),
            ("hold", TECHNICIAN, {"hold_reason": "parts"}),
            ("resume", TECHNICIAN, {}),
            ("resolve", TECHNICIAN, {"symptom": "VIB", "mechanism": "wear", "remedy": "replace"}),
            ("reject", LEAD, {"reason": "still loud"}),
            ("start", TECHNICIAN, {}),
            ("resolve", TECHNICIAN, {"symptom": "VIB", "mechanism": "looseness", "remedy": "adjust"}),
            ("sign_off", LEAD, {"stars": 5, "override_reason": "measured by hand"}),
        ]
        for minute, (move, actor, fields) in enumerate(steps, 1):
            order = tx.move(number, move, actor, order.version, T0 + minute * 60_000, **fields)
    with desk.read() as read:
        order = read.order(number)
        assert (order.state, order.mechanism, order.outcome) == (State.CLOSED, "looseness", "worked")
        assert (order.reopen_count, order.stars, order.version) == (1, 5, 11)
        assert order.closed_at == T0 + 600_000
        assert order.hold_reason is None
        assert [event.type for event in read.timeline(number)] == [
            "open",
            "occurrence",
            *[move for move, _, _ in steps],
            "sealed",
        ]


def test_a_report_of_a_known_fault_points_to_its_order(desk: Desk) -> None:
    with desk.transaction() as tx:
        number = tx.alarm_raised(raised("e1")).number
    with pytest.raises(MoveRefusedError) as refusal, desk.transaction() as tx:
        tx.open_order(TECHNICIAN, at=T0, asset="pump-1", title="shakes", failure_mode="VIB")
    assert refusal.value.number == number


def test_a_report_sent_twice_from_a_phone_is_one_order(desk: Desk) -> None:
    numbers = set()
    for _ in range(2):
        with desk.transaction() as tx:
            order = tx.open_order(TECHNICIAN, at=T0, asset="pump-1", title="漏油", key="phone-1:17")
            numbers.add(order.number)
    assert len(numbers) == 1


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"title": " "}, MissingFieldError),
        ({"title": "x", "failure_mode": "LOUD"}, FieldError),
        ({"title": "x", "priority": 0}, FieldError),
    ],
)
def test_a_report_is_checked(desk: Desk, fields: dict[str, Any], error: type[FieldError]) -> None:
    with pytest.raises(error), desk.transaction() as tx:
        tx.open_order(TECHNICIAN, at=T0, asset="pump-1", **fields)


def test_a_refused_move_leaves_no_trace(desk: Desk) -> None:
    with desk.transaction() as tx:
        number = tx.alarm_raised(raised("e1")).number
        assert number
    with desk.read() as read:
        before = read.export()
    with pytest.raises(MoveRefusedError), desk.transaction() as tx:
        tx.move(number, "start", TECHNICIAN, 1, T0)
    with desk.read() as read:
        assert read.export() == before
