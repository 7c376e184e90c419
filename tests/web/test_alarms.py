"""The page of alarms, and signing an order with a drawn signature or a PIN, as the pages' forms send them."""

from __future__ import annotations

import base64

import pytest
from starlette.testclient import TestClient

from tests.web.people import SAME_ORIGIN, add, sign_in
from tests.web.scene import LEAD, now_ms
from ticketing import Desk, Policy, signing

PNG = b"\x89PNG\r\n\x1a\n" + b"a signature"


def post(client: TestClient, path: str, **given: str) -> int:
    return client.post(path, data=given, headers=SAME_ORIGIN, follow_redirects=False).status_code


def test_an_alarm_is_seen_shelved_and_heard_again(client: TestClient, week: Desk) -> None:
    with week.read() as read:
        episode = read.alarms(standing=True, asset="pump-1")[0].episode
    assert "高于上限 4.5 mm/s" in client.get("/alarms").text
    assert post(client, "/alarms/ack", episode=episode, note="去看看") == 303
    page = client.get("/alarms").text
    assert "去看看" in page
    assert post(client, "/alarms/shelve", asset="pump-1", hours="2", reason="试车") == 303
    page = client.get("/alarms").text
    assert "试车" in page
    assert post(client, "/alarms/unshelve", asset="pump-1") == 303
    assert "试车" not in client.get("/alarms").text


@pytest.mark.parametrize(
    ("path", "given", "status"),
    [
        ("ack", {"episode": "nothing"}, 404),
        ("shelve", {"asset": "pump-1", "hours": "9", "reason": "x"}, 422),
        ("shelve", {"asset": "pump-1", "hours": "1", "reason": " "}, 422),
        ("shelve", {"asset": "pump-9", "hours": "1", "reason": "x"}, 404),
    ],
)
def test_what_cannot_be_done_stands_above_the_page(
    client: TestClient, week: Desk, path: str, given: dict[str, str], status: int
) -> None:
    answer = client.post(f"/alarms/{path}", data=given, headers=SAME_ORIGIN)
    assert answer.status_code == status
    assert 'role="alert"' in answer.text


def test_an_order_is_signed_by_hand_or_pin(
    client: TestClient, week: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(signing.Reading, "policy_of", lambda read, order: Policy(signed=(1, 2, 3, 4)))
    with week.read() as read:
        order = read.orders(state="resolved")[0]
    moves = f"/orders/{order.number}/moves"
    given = {"move": "sign_off", "version": str(order.version), "stars": "5", "override_reason": "运行正常"}
    assert "data-sign" in client.get(f"/orders/{order.number}").text
    assert post(client, moves, **given) == 422
    assert post(client, moves, **given, drawn="data:text/html;base64,AAAA") == 422
    assert (
        post(client, moves, **given, drawn="data:image/png;base64," + base64.b64encode(b"no").decode()) == 422
    )
    assert (
        post(client, moves, **given, drawn="data:image/png;base64," + base64.b64encode(PNG).decode()) == 303
    )
    with week.read() as read:
        assert read.seal(order.number)["method"] == "drawn"


def test_a_pin_is_set_on_the_account_page(client: TestClient, week: Desk) -> None:
    add(week, "wang", at=now_ms())
    sign_in(client, "wang")
    assert post(client, "/account/pin", pin="1111") == 422
    assert post(client, "/account/pin", pin="2580") == 303
    with week.read() as read:
        order = read.orders(state="resolved")[0]
    with week.transaction() as tx:
        fields = {"stars": 5, "override_reason": "运行正常", "pin": "2580"}
        tx.move(order.number, "sign_off", LEAD, order.version, now_ms(), **fields)
    with week.read() as read:
        assert read.seal(order.number)["method"] == "pin"
