"""Work orders by API: opened by hand, moved, signed, with their files; the same request twice is done once."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from ticketing import Desk
from ticketing.attachments import LIMIT
from ticketing.printing import original_in

PNG = b"\x89PNG\r\n\x1a\n" + b"picture"
ORDERS = "/api/work-orders"
REPORT = {"asset": "pump-1", "title": "机封漏油", "failure_mode": "ELU"}


@pytest.fixture
def reported(client: TestClient, week: Desk) -> dict[str, Any]:
    """A leak that somebody reported."""
    answer = client.post(ORDERS, json=REPORT)
    assert answer.status_code == 201, answer.text
    order: dict[str, Any] = answer.json()["order"]
    assert answer.headers["location"] == f"{ORDERS}/{order['number']}"
    return order


def move(
    client: TestClient, order: dict[str, Any], name: str, who: str = "", **fields: Any
) -> dict[str, Any]:
    """The order after a move that must be accepted."""
    if who:
        client.cookies.set("who", who)
    body = {"type": name, "version": order["version"], "fields": fields}
    answer = client.post(f"{ORDERS}/{order['number']}/events", json=body)
    assert answer.status_code == 200, answer.text
    moved: dict[str, Any] = answer.json()["order"]
    assert answer.headers["etag"] == f'"{moved["version"]}"'
    return moved


def test_from_report_to_signature(client: TestClient, reported: dict[str, Any]) -> None:
    order = move(client, reported, "assign", "wang", assignee="li")
    order = move(client, order, "add_task", "wang", text="复紧螺栓")
    order = move(client, order, "start", "li")
    order = move(client, order, "do_task", "li", task=1)
    order = move(client, order, "add_cost", "li", cost_kind="part", cost_fen=125_00, part_no="MS-40")
    order = move(client, order, "add_cost", "li", cost_kind="labour", cost_fen=80_00, minutes=60)
    order = move(client, order, "resolve", "li", symptom="ELU", mechanism="leakage", remedy="replace")
    order = move(client, order, "sign_off", "wang", stars=5)
    assert order["state"] == "closed"
    number = order["number"]
    costs = client.get(f"{ORDERS}/{number}/costs").json()
    assert (costs["part_fen"], costs["labour_fen"], costs["total_fen"], costs["minutes"]) == (
        12500,
        8000,
        20500,
        60,
    )
    whole = client.get(f"{ORDERS}/{number}").json()
    assert [task["text_zh"] for task in whole["tasks"]] == ["复紧螺栓"]
    assert whole["moves"] == []
    assert whole["timeline"] == client.get(f"{ORDERS}/{number}/timeline").json()
    assert number in [each["number"] for each in client.get("/api/assets/pump-1/history").json()]

    document = client.get(f"{ORDERS}/{number}/document.json")
    (seal,) = [event for event in whole["timeline"] if event["type"] == "sealed"]
    assert hashlib.sha256(document.content).hexdigest() == seal["payload"]["fields"]["document"]
    page = client.get(f"{ORDERS}/{number}/document.html").text
    assert seal["payload"]["fields"]["document"] in page
    assert "机封漏油" in page
    assert "<script" not in page


@pytest.mark.needs("fonts")
def test_the_pdf_carries_the_document(client: TestClient, reported: dict[str, Any]) -> None:
    address = f"{ORDERS}/{reported['number']}/document"
    pdf = client.get(f"{address}.pdf")
    assert pdf.headers["content-type"] == "application/pdf"
    assert original_in(pdf.content) == client.get(f"{address}.json").content


def test_a_fault_that_is_open_already_is_named(client: TestClient, reported: dict[str, Any]) -> None:
    answer = client.post(ORDERS, json=REPORT)
    assert answer.status_code == 409
    assert reported["number"] in answer.json()["detail"]


@pytest.mark.parametrize(
    ("body", "status", "named"),
    [
        ({"asset": "pump-1"}, 422, "title"),
        ({**REPORT, "title": " "}, 422, "title"),
        ({**REPORT, "failure_mode": "LOUD"}, 422, "symptom"),
        ({**REPORT, "asset": "pump-9"}, 404, "pump-9"),
        ({**REPORT, "priority": 7}, 422, "priority"),
        ({**REPORT, "colour": "red"}, 422, "colour"),
        ({**REPORT, "fields": {"meter": 1}}, 422, "meter"),
    ],
)
def test_a_report_that_cannot_be_taken_says_why(
    client: TestClient, week: Desk, body: dict[str, Any], status: int, named: str
) -> None:
    before = client.get(ORDERS, params={"state": "all"}).json()["total"]
    answer = client.post(ORDERS, json=body)
    assert answer.status_code == status
    assert named in answer.json()["detail"]
    assert client.get(ORDERS, params={"state": "all"}).json()["total"] == before


def test_the_same_key_gives_the_same_answer_and_one_order(client: TestClient, week: Desk) -> None:
    key = {"Idempotency-Key": "phone-1:17"}
    first, again = (client.post(ORDERS, json=REPORT, headers=key) for _ in range(2))
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.json() == again.json()
    other = client.post(ORDERS, json={**REPORT, "title": "something else"}, headers=key)
    assert other.status_code == 409
    events = f"{first.headers['location']}/events"
    comment = {"type": "comment", "version": first.json()["order"]["version"], "fields": {"comment": "hm"}}
    answers = [client.post(events, json=comment, headers={"Idempotency-Key": "c-1"}) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [200, 200]
    assert client.post(events, json=comment).status_code == 409
    timeline = client.get(f"{first.headers['location']}/timeline").json()
    assert [event["type"] for event in timeline].count("comment") == 1


def test_the_version_may_come_as_if_match(client: TestClient, reported: dict[str, Any]) -> None:
    events = f"{ORDERS}/{reported['number']}/events"
    tag = client.get(f"{ORDERS}/{reported['number']}").headers["etag"]
    body = {"type": "comment", "fields": {"comment": "seen"}}
    assert client.post(events, json=body).status_code == 422
    assert client.post(events, json=body, headers={"If-Match": "seven"}).status_code == 422
    assert client.post(events, json=body, headers={"If-Match": tag}).status_code == 200
    late = client.post(events, json=body, headers={"If-Match": tag})
    assert (late.status_code, late.json()["why"], late.json()["state"]) == (409, "stale", "new")


def test_a_merge_can_be_undone(client: TestClient, reported: dict[str, Any]) -> None:
    other = client.post(ORDERS, json={"asset": "pump-1", "title": "地上有油"}).json()["order"]
    kept = move(client, reported, "merge_in", other=other["number"])
    gone = client.get(f"{ORDERS}/{other['number']}").json()["order"]
    assert (gone["state"], gone["outcome"]) == ("cancelled", "merged")
    assert move(client, gone, "unmerge", reason="两处漏油")["state"] == "new"
    assert client.get(f"{ORDERS}/{kept['number']}").json()["links"] == []


def test_files_are_kept_once_and_come_back_as_downloads(client: TestClient, reported: dict[str, Any]) -> None:
    files = f"{ORDERS}/{reported['number']}/attachments"
    picture = {"params": {"name": "轴承 1.png"}, "content": PNG, "headers": {"Content-Type": "image/png"}}
    first, again = (client.post(files, **picture) for _ in range(2))  # type: ignore[arg-type]
    assert (first.status_code, again.json()) == (201, first.json())
    kept = client.get(f"{files}/{first.json()['sha256']}")
    assert kept.content == PNG
    assert kept.headers["content-type"] == "image/png"
    assert kept.headers["content-disposition"].startswith("attachment;")
    assert [each["name"] for each in client.get(files).json()] == ["轴承 1.png"]
    assert client.get(f"{files}/{'0' * 64}").status_code == 404


@pytest.mark.parametrize(
    ("name", "mime", "data", "status"),
    [
        ("a.svg", "image/svg+xml", b"<svg/>", 422),
        ("a.html", "text/html", b"<script>", 422),
        ("a.png", "image/png", b"<html>", 422),
        ("../a.png", "image/png", PNG, 422),
        ("", "image/png", PNG, 422),
        ("a.png", "image/png", PNG + bytes(LIMIT), 422),
        ("a.png", "image/png", PNG + bytes(16 << 20), 413),
    ],
)
def test_a_file_that_is_not_what_it_says_is_refused(
    client: TestClient, reported: dict[str, Any], *, name: str, mime: str, data: bytes, status: int
) -> None:
    files = f"{ORDERS}/{reported['number']}/attachments"
    answer = client.post(files, params={"name": name}, content=data, headers={"Content-Type": mime})
    assert answer.status_code == status
    assert client.get(files).json() == []


def test_a_pin_signs(client: TestClient, reported: dict[str, Any]) -> None:
    order = move(client, reported, "assign", "wang", assignee="li")
    order = move(client, order, "start", "li")
    order = move(client, order, "resolve", "li", symptom="ELU", mechanism="leakage", remedy="replace")
    client.cookies.set("who", "wang")
    assert client.put("/api/me/pin", json={"pin": "1111"}).status_code == 422
    assert client.put("/api/me/pin", json={"pin": "2580"}).status_code == 204
    body = {"type": "sign_off", "version": order["version"], "fields": {"stars": 5, "pin": "0000"}}
    wrong = client.post(f"{ORDERS}/{order['number']}/events", json=body)
    assert (wrong.status_code, wrong.json()["fields"]) == (422, ["pin"])
    assert move(client, order, "sign_off", stars=5, pin="2580")["state"] == "closed"


def test_every_api_route_says_in_the_description_how_it_refuses(app: FastAPI) -> None:
    paths = app.openapi()["paths"]
    ours = {
        (verb, path): operation
        for path, verbs in paths.items()
        for verb, operation in verbs.items()
        if {"Work orders", "Knowledge", "Figures", "Plans"} & set(operation.get("tags", []))
    }
    assert len(ours) >= 25
    for operation in ours.values():
        assert operation["summary"]
        assert operation["description"]
    for (verb, path), operation in ours.items():
        if path != "/api/dictionary":
            refusal = operation["responses"]["422"]["content"]["application/json"]["schema"]
            assert refusal == {"$ref": "#/components/schemas/Refusal"}, (verb, path)
