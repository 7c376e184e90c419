"""Old orders from a sheet: every bad cell named, every good row kept once, apart from our own figures."""

from __future__ import annotations

from typing import Any

import pytest

from tests.ticketing.scene import ASSETS, LEAD, T0, TECHNICIAN, raised
from ticketing import Desk, ForbiddenError
from ticketing.history import PastOrder, Reject, read_rows
from ticketing.reading import decoded
from ticketing.records import DAY

COLUMNS = {
    "id": "工单号",
    "asset": "设备",
    "title": "故障描述",
    "opened": "报修时间",
    "resolved": "完成时间",
    "closed": "关闭时间",
    "priority": "优先级",
    "failure_mode": "故障模式",
    "mechanism": "机理",
    "remedy": "处理",
    "stars": "评分",
    "assignee": "维修人",
    "cost_fen": "费用(元)",
}
GOOD = {
    "工单号": "A-1",
    "设备": "pump-1",
    "故障描述": "泵振动大",
    "报修时间": "2025-03-01 08:30",
    "完成时间": "2025/03/01 11:00",
    "关闭时间": "2025-03-02",
    "优先级": "P2",
    "故障模式": "振动",
    "机理": "Wear",
    "处理": "replace",
    "评分": "5",
    "维修人": "li",
    "费用(元)": "¥1,250.50",
}
BAD_CELLS = [
    ("工单号", "", "something"),
    ("设备", "pump-9", "an asset of the site"),
    ("故障描述", "", "something"),
    ("报修时间", "last week", "a time such as"),
    ("报修时间", "2025-02-30 08:00", "a time such as"),
    ("关闭时间", "2025-02-01", "a time after 完成时间"),
    ("完成时间", "2025-02-01", "a time after 报修时间"),
    ("优先级", "5", "a whole number 1 to 4"),
    ("故障模式", "loud", "a code such as"),
    ("评分", "six", "a whole number 1 to 5"),
    ("费用(元)", "-3", "not negative"),
    ("费用(元)", "1.005", "at most two decimals"),
    ("费用(元)", "NaN", "at most two decimals"),
    ("费用(元)", "many", "an amount in yuan such as"),
]


def read(*rows: dict[str, str]) -> tuple[list[PastOrder], list[Reject]]:
    return read_rows(rows, columns=COLUMNS, zone="Asia/Shanghai", assets={asset.code for asset in ASSETS})


def test_a_good_row_is_understood() -> None:
    good, rejects = read(GOOD)
    assert rejects == []
    opened = T0 - 306 * DAY + 30 * 60_000  # 2025-03-01 00:30 UTC
    assert good == [
        PastOrder(
            id="A-1",
            asset="pump-1",
            title="泵振动大",
            opened=opened,
            resolved=opened + 150 * 60_000,
            closed=opened + 930 * 60_000,
            priority=2,
            failure_mode="VIB",
            mechanism="wear",
            remedy="replace",
            stars=5,
            assignee="li",
            cost_fen=1_250_50,
        )
    ]


def test_a_time_that_says_its_zone_is_taken_as_it_says() -> None:
    """So our own export can be read."""
    (here,), _ = read(GOOD)
    (told,), _ = read({**GOOD, "报修时间": "2025-03-01T00:30:00Z"})
    assert told == here


@pytest.mark.parametrize(("column", "cell", "wanted"), BAD_CELLS)
def test_a_bad_cell_is_named(column: str, cell: str, wanted: str) -> None:
    good, (reject,) = read({**GOOD, column: cell})
    assert good == []
    assert (reject.row, reject.column, reject.found) == (1, column, cell)
    assert wanted in reject.wanted


def test_an_id_that_comes_twice_is_refused() -> None:
    good, rejects = read(GOOD, GOOD)
    assert len(good) == 1
    assert [(r.row, r.column) for r in rejects] == [(2, "工单号")]


def sheet(rows: int, bad: int) -> tuple[list[dict[str, str]], set[tuple[int, str]]]:
    """So many rows, ``bad`` of them with one planted bad cell each."""
    made = [{**GOOD, "工单号": f"A-{n}", "设备": ASSETS[1 + n % 3].code} for n in range(1, rows + 1)]
    planted = set()
    for n in range(bad):
        row = 1 + n * (rows // bad)
        column, cell, _ = BAD_CELLS[n % len(BAD_CELLS)]
        made[row - 1][column] = cell
        planted.add((row, column))
    return made, planted


def test_the_report_is_exactly_the_planted_cells_and_a_second_run_adds_nothing(desk: Desk) -> None:
    rows, planted = sheet(1200, 37)
    good, rejects = read(*rows)
    assert {(reject.row, reject.column) for reject in rejects} == planted
    assert len(rejects) == 37
    for expected in ((1163, 0), (0, 1163)):
        with desk.transaction() as tx:
            report = tx.import_history(LEAD, good)
        assert (report.added, report.known) == expected
    with desk.read() as read_desk:
        assert read_desk.count_orders(state="closed") == 1163
        assert read_desk.verify().broken is None
        assert read_desk.orders(limit=1)[0].cost_fen == 1_250_50


def test_imported_orders_are_the_sum_of_their_history_and_stand_apart(desk: Desk) -> None:
    good, _ = read(GOOD)
    with desk.transaction() as tx:
        tx.import_history(LEAD, good)
        (order,) = tx.orders()
        total: dict[str, Any] = {}
        for event in tx.timeline(order.number):
            total.update(event.payload["set"])
        assert {name: getattr(order, name) for name in total} == {**total, **decoded(total)}
        assert (order.number, order.origin, order.state) == ("WO-2025-000001", "import", "closed")
        start, end = order.opened_at, order.closed_at + 1 if order.closed_at else 0
        ours = {kpi.name: kpi.figure for kpi in tx.kpis(start, end)}
        theirs = {kpi.name: kpi.figure for kpi in tx.kpis(start, end, imported=True)}
    assert ours["time_to_resolve"].n == 0
    assert (theirs["time_to_resolve"].value, theirs["satisfaction"].value) == (2.5, 100.0)
    assert theirs["first_response"].value is None


def test_an_old_repair_that_held_is_offered_today(desk: Desk) -> None:
    good, _ = read(GOOD)
    with desk.transaction() as tx:
        tx.import_history(LEAD, good)
        number = tx.alarm_raised(raised("e1")).number or ""
        assert [fix.ref for fix in tx.suggestions(number, T0)] == ["WO-2025-000001"]
        assert [(link.kind, link.other) for link in tx.links(number)] == [("recurrence_of", "WO-2025-000001")]


def test_importing_is_for_those_who_may(desk: Desk) -> None:
    good, _ = read(GOOD)
    with pytest.raises(ForbiddenError), desk.transaction() as tx:
        tx.import_history(TECHNICIAN, good)
