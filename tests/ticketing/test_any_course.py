"""Whatever happens in whatever order: the promises hold, and nothing but a refusal is raised."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.ticketing.scene import ASSETS, LEAD, T0, TECHNICIAN, raised
from ticketing import MOVES, Actor, Asset, Desk, OrderPolicy, TicketingError, Tx
from ticketing.reading import decoded
from ticketing.tables import work_order

MANAGER = Actor("sun", frozenset({"manager", "lead"}))
PEOPLE = (LEAD, TECHNICIAN, MANAGER)
MACHINES = [asset.code for asset in ASSETS]
FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "assignee": st.sampled_from(["li", "zhao"]),
    "hold_reason": st.sampled_from(["parts", "approval"]),
    "outcome": st.sampled_from(["worked", "false_alarm", "no_fault_found"]),
    "stop_kind": st.just("full"),
    "stars": st.integers(1, 5),
    "cancel_reason": st.sampled_from(["duplicate", "false_alarm", "not_needed"]),
    "duplicate_of": st.just("WO-2026-000001"),
    "mute_days": st.integers(1, 30),
    "priority": st.integers(1, 4),
    "symptom": st.just("VIB"),
    "mechanism": st.just("wear"),
    "remedy": st.just("replace"),
    "est_cost_fen": st.sampled_from([0, 100_00, 5_000_00, 50_000_00]),
    "cost_fen": st.sampled_from([10_00, 3_000_00]),
    "cost_kind": st.just("part"),
    "minutes": st.integers(0, 100),
    "task": st.integers(1, 2),
    "expected_resume": st.just(T0),
    "decision": st.sampled_from(["approved", "rejected"]),
    "other": st.integers(1, 6).map(lambda n: f"WO-2026-{n:06d}"),
    "cause": st.just("ageing"),
    "detection": st.just("inspection"),
}
HUMAN = [name for name, move in MOVES.items() if set(move.who) - {"engine", "timer"}]


@st.composite
def human_move(draw: st.DrawFn) -> tuple[str, dict[str, Any]]:
    """A move that a person asks for, sensible or not."""
    name = draw(st.sampled_from(HUMAN))
    optional = draw(st.sets(st.sampled_from(MOVES[name].may))) if MOVES[name].may else set()
    given = [*MOVES[name].needs, *sorted(optional)]
    return name, {field: draw(FIELDS.get(field, st.just("text"))) for field in given}


ALARM = st.tuples(
    st.sampled_from(MACHINES),
    st.sampled_from(["VIB", "OHE"]),
    st.integers(1, 4),
    st.sampled_from(["live", "live", "live", "shadow"]),
    st.sampled_from(["none", "none", "none", "by_design", "shelved"]),
    st.booleans(),
)
ACTION = st.one_of(
    st.tuples(st.just("raise"), ALARM),
    st.tuples(st.just("clear"), st.integers(0, 9)),
    st.tuples(st.just("severity"), st.integers(0, 9), st.integers(2, 4)),
    st.tuples(st.just("runs"), st.sampled_from(MACHINES), st.booleans()),
    st.tuples(st.just("report"), st.sampled_from(MACHINES), st.sampled_from([None, "VIB"])),
    st.tuples(st.just("tick")),
    st.tuples(st.just("move"), st.integers(1, 6), st.sampled_from(PEOPLE), human_move()),
    st.tuples(st.just("move"), st.integers(1, 6), st.sampled_from(PEOPLE), human_move()),
    st.tuples(st.just("repair"), st.integers(1, 6)),
)
COURSE = st.lists(st.tuples(st.sampled_from([0, 60, 700, 7_200, 90_000, 700_000]), ACTION), max_size=40)


class Play:
    """One course of events at a desk; time only goes forward."""

    def __init__(self, desk: Desk) -> None:
        self.desk, self.at, self.episodes = desk, T0, 0
        self.refused: Counter[str] = Counter()

    def run(self, course: list[tuple[int, Any]]) -> None:
        for seconds, (what, *arguments) in course:
            self.at += seconds * 1000
            try:
                with self.desk.transaction() as tx:
                    getattr(self, what)(tx, *arguments)
            except TicketingError as error:
                self.refused[type(error).__name__] += 1

    def _raise(self, tx: Tx, asset: str, mode: str, severity: int, *how: Any) -> None:
        live, suppression, from_model = how
        policy = OrderPolicy(min_active={2: 60_000}, self_clear=severity < 3, verify=3_600_000)
        more = {"mode": live, "suppression": suppression, "from_model": from_model, "policy": policy}
        name = f"e{self.episodes}"
        self.episodes += 1
        tx.alarm_raised(raised(name, self.at, asset=asset, failure_mode=mode, severity=severity, **more))

    def clear(self, tx: Tx, episode: int) -> None:
        tx.alarm_cleared(f"e{episode}", self.at)

    def severity(self, tx: Tx, episode: int, to: int) -> None:
        tx.severity_raised(f"e{episode}", to, self.at, {"value": to})

    def runs(self, tx: Tx, asset: str, running: bool) -> None:
        tx.machine_runs(asset, self.at, running=running)

    def report(self, tx: Tx, asset: str, mode: str | None) -> None:
        tx.open_order(TECHNICIAN, at=self.at, asset=asset, title="seen", failure_mode=mode)

    def tick(self, tx: Tx) -> None:
        tx.tick(self.at)

    def move(self, tx: Tx, short: int, who: Actor, move: tuple[str, dict[str, Any]]) -> None:
        number = f"WO-2026-{short:06d}"
        tx.move(number, move[0], who, tx.order(number).version, self.at, **move[1])

    def repair(self, tx: Tx, short: int) -> None:
        """The usual way, as far as it goes from here."""
        number = f"WO-2026-{short:06d}"
        done = {"symptom": "VIB", "mechanism": "wear", "remedy": "replace"}
        signed = {"stars": 4, "override_reason": "x"}
        for name, who, fields in (
            ("assign", LEAD, {"assignee": "li"}),
            ("start", TECHNICIAN, {}),
            ("resolve", TECHNICIAN, done),
            ("sign_off", LEAD, signed),
        ):
            order = tx.order(number)
            if order.state in MOVES[name].from_:
                tx.move(number, name, who, order.version, self.at, **fields)


setattr(Play, "raise", lambda self, tx, alarm: self._raise(tx, *alarm))


@pytest.fixture(scope="module")
def template(sqlite_template: Path) -> Path:
    """An empty desk with its machines, to copy."""
    path = sqlite_template.with_name("course.db")
    shutil.copy(sqlite_template, path)
    desk = Desk.open(path, site="demo")
    with desk.transaction() as tx:
        tx.sync_assets([*ASSETS, Asset("fan-2", "fan", "二号风机", "Fan 2")])
    desk.close()
    return path


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(course=COURSE)
def test_the_promises_hold_on_any_course(
    template: Path, tmp_path: Path, course: list[tuple[int, Any]]
) -> None:
    path = tmp_path / "core.db"
    for old in tmp_path.glob("core.db*"):
        old.unlink()
    shutil.copy(template, path)
    desk = Desk.open(path, site="demo")
    Play(desk).run(course)
    with desk.read() as read:
        orders = read.orders(limit=1000)
        assert read.verify().broken is None
        open_keys = Counter(order.fault_key for order in orders if order.open and order.fault_key)
        assert all(count == 1 for count in open_keys.values())
        columns = {column.name for column in work_order.c} - {"site", "number"}
        for order in orders:
            total: dict[str, Any] = dict.fromkeys(columns)
            history = read.timeline(order.number)
            for event in history:
                total.update(event.payload.get("set", {}))
            assert {**total, **decoded(total)} == {name: getattr(order, name) for name in columns}
            moves = [event.type for event in history]
            assert set(moves) <= {*MOVES, *NOTES}
            assert order.open == (order.closed_at is None)
            assert (order.state == "resolved") <= (order.resolved_at is not None)
            assert order.severity_max <= 4
            if order.origin == "alarm":
                assert read.evidence(order.number), "every automatic order has evidence"
        for alarm in read.alarms(limit=None):
            assert alarm.decision != "undecided"
        shares = next(kpi for kpi in read.kpis(T0, T0 + 10**11) if kpi.name == "time_in_state").figure
        if shares.value:
            assert sum(value or 0 for value in shares.more.values()) == pytest.approx(100)
    desk.close()


NOTES = {
    "open",
    "occurrence",
    "severity_raised",
    "signal_normal",
    "verified",
    "frozen",
    "thawed",
    "task_added",
    "merged",
    "unmerged",
    "suggested",
    "sealed",
    "article_drafted",
}
