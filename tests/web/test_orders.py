"""Work orders over HTTP: what a page shows, what a button does, how a refusal reads."""

from __future__ import annotations

import csv
import io

import pytest
from starlette.testclient import TestClient

from tests.web.scene import LEAD, FakePlant
from ticketing import Desk, State


def number_of(desk: Desk, asset: str, state: str = "open") -> str:
    with desk.read() as reading:
        return reading.orders(asset=asset, state=state)[0].number


def version_of(desk: Desk, number: str) -> int:
    with desk.read() as reading:
        return reading.order(number).version


def press(client: TestClient, number: str, move: str, version: int, **fields: str):  # type: ignore[no-untyped-def]
    data = {"move": move, "version": str(version), **fields}
    return client.post(f"/orders/{number}/moves", data=data, follow_redirects=False)


def test_the_front_page_is_the_list_of_orders(client: TestClient, week: Desk) -> None:
    page = client.get("/")
    assert page.url.path == "/orders"
    assert "1 号循环泵：振动速度有效值 4.82 mm/s" in page.text
    assert "工单" in page.text


def test_an_empty_list_says_what_would_fill_it(client: TestClient, desk: Desk) -> None:
    assert "还没有工单" in client.get("/orders").text
    assert "自动开单" in client.get("/orders").text


def test_a_filter_without_a_match_offers_the_way_back(client: TestClient, week: Desk) -> None:
    page = client.get("/orders", params={"q": "no such thing"}).text
    assert "没有符合条件的工单" in page
    assert 'href="/orders?state=all"' in page


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({}, 5),
        ({"state": "all"}, 7),
        ({"state": "closed"}, 1),
        ({"state": "at_work"}, 3),
        ({"priority": "1"}, 2),
        ({"asset": "motor-1"}, 2),
        ({"q": "滤网"}, 1),
        ({"q": "filter", "state": "on_hold"}, 1),
        ({"page": "2"}, 0),
    ],
)
def test_filters_of_the_page_and_of_the_api_agree(
    client: TestClient, week: Desk, query: dict[str, str], found: int
) -> None:
    answer = client.get("/api/work-orders", params=query).json()
    assert len(answer["orders"]) == found
    assert client.get("/orders", params=query).text.count('class="order rank-') == found


def test_a_filter_that_makes_no_sense_is_named(client: TestClient, week: Desk) -> None:
    answer = client.get("/api/work-orders", params={"state": "lost"})
    assert answer.status_code == 422
    assert "state" in answer.json()["error"]
    assert client.get("/orders", params={"priority": "9"}).status_code == 422


def test_an_order_page_begins_with_the_sentence_in_the_readers_language(
    client: TestClient, week: Desk
) -> None:
    number = number_of(week, "pump-1")
    zh = client.get(f"/orders/{number}").text
    en = client.get(f"/orders/{number}", headers={"Accept-Language": "en"}).text
    assert "已持续 60 s。</h1>" in zh
    assert "for 60 s.</h1>" in en
    assert "为何开单" in zh
    assert "Why it opened" in en
    assert "data-chart" in zh


def test_the_button_of_each_state_leads_on(client: TestClient, week: Desk) -> None:
    """Assigned by the lead, done by the technician, signed off by the lead: each sees their own next step."""
    number = number_of(week, "pump-1")
    ways = [
        ("wang", "assign", {"assignee": "li"}, State.ASSIGNED),
        ("li", "start", {}, State.IN_PROGRESS),
        ("li", "hold", {"hold_reason": "parts", "reason": "等轴承"}, State.ON_HOLD),
        ("li", "resume", {}, State.IN_PROGRESS),
        ("li", "resolve", {"symptom": "VIB", "mechanism": "wear", "remedy": "replace"}, State.RESOLVED),
        ("wang", "sign_off", {"stars": "5", "override_reason": "已试车"}, State.CLOSED),
    ]
    for who, move, fields, state in ways:
        client.cookies.set("who", who)
        assert f'data-move="{move}"' in client.get(f"/orders/{number}").text
        answer = press(client, number, move, version_of(week, number), **fields)
        assert (answer.status_code, answer.headers.get("location")) == (303, f"/orders/{number}"), answer.text
        with week.read() as reading:
            assert reading.order(number).state is state
    page = client.get(f"/orders/{number}").text
    assert "等轴承" in page
    assert "李娜" in page
    assert "data-move" not in page


def test_who_came_too_late_is_told_so_and_sees_the_present_state(client: TestClient, week: Desk) -> None:
    number = number_of(week, "pump-1")
    stale = version_of(week, number)
    press(client, number, "set_priority", stale, priority="2", reason="备机运行")
    answer = press(client, number, "assign", stale, assignee="li")
    assert answer.status_code == 409
    assert "此工单刚被他人更改" in answer.text
    assert "P2" in answer.text


@pytest.mark.parametrize(
    ("pressed", "status", "told"),
    [
        ({"move": "assign"}, 422, "处理人"),
        ({"move": "no_such_move"}, 422, "操作"),
        ({"move": "resume"}, 409, "已无法执行"),
        ({"move": "set_priority", "priority": "x", "reason": "y"}, 422, "优先级"),
        ({"move": "assign", "assignee": "li", "version": "x"}, 409, "他人更改"),
        ({"move": "cancel", "cancel_reason": "not_needed", "who": "li"}, 403, "应由其他人完成"),
    ],
)
def test_a_refused_button_says_why(
    client: TestClient, week: Desk, pressed: dict[str, str], status: int, told: str
) -> None:
    number = number_of(week, "pump-1")
    client.cookies.set("who", pressed.get("who", "wang"))
    answer = client.post(f"/orders/{number}/moves", data={"version": str(version_of(week, number))} | pressed)
    assert answer.status_code == status
    assert told in answer.text
    with week.read() as reading:
        assert reading.order(number).state is State.NEW


def test_the_one_who_did_the_work_cannot_sign_it_off(client: TestClient, week: Desk) -> None:
    number = number_of(week, "motor-1", "resolved")
    answer = press(client, number, "sign_off", version_of(week, number), stars="5")
    assert answer.status_code == 409
    assert "信号尚未验证恢复正常" in answer.text


def test_the_api_moves_an_order_and_refuses_in_json(client: TestClient, week: Desk) -> None:
    number = number_of(week, "pump-1")
    events = f"/api/work-orders/{number}/events"
    version = version_of(week, number)
    done = client.post(events, json={"type": "assign", "version": version, "fields": {"assignee": "li"}})
    assert done.status_code == 200
    assert done.json()["order"]["state"] == "assigned"
    late = client.post(
        events, json={"type": "cancel", "version": version, "fields": {"cancel_reason": "merged"}}
    )
    assert late.status_code == 409
    assert late.json()["why"] == "stale"
    assert late.json()["version"] == version + 1
    assert client.post(events, json={"type": "cancel", "version": version + 1}).json()["fields"] == [
        "cancel_reason"
    ]
    assert client.post(events, json={"type": "start", "version": version + 1}).status_code == 403
    odd = {"type": "cancel", "version": version + 1, "fields": {"actor": "x"}}
    assert client.post(events, json=odd).status_code == 422
    assert (
        client.post("/api/work-orders/WO-1/events", json={"type": "start", "version": 1}).status_code == 404
    )
    assert client.post(events, json={"typo": 1}).status_code == 422


def test_the_api_gives_an_order_with_all_that_belongs_to_it(client: TestClient, week: Desk) -> None:
    number = number_of(week, "pump-1")
    body = client.get(f"/api/work-orders/{number}").json()
    assert body["order"]["number"] == number
    assert "assign" in body["moves"]
    assert body["evidence"][0]["body"]["condition"]["limit"] == 4.5
    assert body["timeline"][0]["type"] == "open"


def test_what_is_shown_can_be_taken_to_a_spreadsheet_without_formulas(client: TestClient, week: Desk) -> None:
    with week.transaction() as tx:
        tx.open_order(LEAD, at=tx.orders()[0].opened_at, asset="fan-1", title="=HYPERLINK(1)")
    answer = client.get("/orders.csv", params={"state": "all"})
    rows = list(csv.DictReader(io.StringIO(answer.text.removeprefix("\ufeff"))))
    assert len(rows) == 8
    assert "'=HYPERLINK(1)" in [row["title"] for row in rows]
    number = number_of(week, "pump-1")
    series = client.get(f"/orders/{number}/evidence.csv").text
    assert series.count("pump-1/vib_rms,mm/s,") == 301


def test_an_order_that_does_not_exist_is_a_page_that_says_so(client: TestClient, week: Desk) -> None:
    answer = client.get("/orders/WO-1999-000001")
    assert answer.status_code == 404
    assert "此地址没有内容" in answer.text
    assert (
        client.get("/api/work-orders/WO-1999-000001").json()["detail"]
        == "there is no work order WO-1999-000001"
    )


def test_the_pulse_tells_of_new_orders_and_of_the_demo(
    client: TestClient, week: Desk, daemon: FakePlant
) -> None:
    assert client.get("/api/pulse").json() == {"online": True, "orders": 7, "demo": None}
    daemon.demo = {"fault_at": 5_000_000_000, "asset": "pump-1", "scenario": "bearing_wear"}
    demo = client.get("/api/pulse").json()["demo"]
    assert demo == {"fault_at": 5_000, "asset": "pump-1", "order": number_of(week, "pump-1")}


def test_without_a_daemon_the_orders_are_there(client: TestClient, week: Desk) -> None:
    assert client.get("/api/pulse").json()["online"] is False
    assert client.get("/orders").status_code == 200


def test_the_list_says_why_each_order_was_opened(client: TestClient, week: Desk) -> None:
    with week.read() as reading:
        bodies = reading.reasons([number_of(week, "pump-1")])
    (body,) = bodies.values()
    page = client.get("/orders").text
    told = body["sentence"]["zh"].partition("：")[2]
    assert told.endswith("已持续 60 s。")
    assert f'<span class="order-reason">{told}</span>' in page
