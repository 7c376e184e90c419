"""Alarms by API: listed, acknowledged, shelved; refused to those who may not."""

from __future__ import annotations

from typing import Any

import pytest
from starlette.testclient import TestClient

from tests.web.scene import now_ms
from ticketing import Desk

HOUR = 3_600_000


def standing(client: TestClient, **wanted: Any) -> list[dict[str, Any]]:
    answer = client.get("/api/alarms", params=wanted)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()
    return found


def test_an_alarm_is_acknowledged_once_and_the_first_one_counts(client: TestClient, week: Desk) -> None:
    (alarm,) = standing(client, asset="pump-1")
    path = f"/api/alarms/{alarm['episode']}/ack"
    first = client.post(path, json={"note": "我去看"}).json()["alarm"]
    again = client.post(path, json={"note": "too late"}).json()["alarm"]
    assert first["acked_at"] is not None
    assert (again["acked_at"], again["ack_note"]) == (first["acked_at"], "我去看")
    journal = client.get("/api/alarms/journal", params={"asset": "pump-1"}).json()
    assert [event["kind"] for event in journal] == ["raised", "acked"]
    assert client.post("/api/alarms/no/such/one/ack", json={}).status_code == 404


def test_shelved_for_at_most_eight_hours(client: TestClient, week: Desk) -> None:
    body = {"asset": "pump-1", "until": now_ms() + HOUR, "reason": "试车"}
    (shelf,) = client.post("/api/alarms/shelve", json=body).json()["shelves"]
    assert (shelf["asset"], shelf["reason"]) == ("pump-1", "试车")
    assert client.get("/api/alarms/shelves").json()["shelves"] == [shelf]
    too_long = client.post("/api/alarms/shelve", json={**body, "until": now_ms() + 9 * HOUR})
    assert (too_long.status_code, too_long.json()["fields"]) == (422, ["until"])
    assert client.post("/api/alarms/shelve", json={**body, "asset": "pump-9"}).status_code == 404
    assert client.post("/api/alarms/unshelve", json={"asset": "pump-1"}).json() == {"shelves": []}


@pytest.mark.parametrize(("verb", "who"), [("shelve", "li"), ("unshelve", "li")])
def test_a_technician_shelves_nothing(client: TestClient, week: Desk, verb: str, who: str) -> None:
    client.cookies.set("who", who)
    body = (
        {"asset": "pump-1", "until": now_ms() + HOUR, "reason": "x"}
        if verb == "shelve"
        else {"asset": "pump-1"}
    )
    assert client.post(f"/api/alarms/{verb}", json=body).status_code == 403
