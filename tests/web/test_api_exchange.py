"""Import and export by API."""

from __future__ import annotations

import csv
import io
from typing import Any

import pytest
from starlette.testclient import TestClient

from ticketing import Desk

CSV = {"Content-Type": "text/csv"}
SHEET = "单号,设备,故障描述,报修时间,关闭时间\n1,pump-1,=漏油,2025-01-01,2025-01-02\n2,pump-9,x,2025-01-01,2025-01-02\n"


def send(client: TestClient, text: str = SHEET, **params: Any) -> dict[str, Any]:
    answer = client.post(
        "/api/imports", params={"name": "old.csv", **params}, content=text.encode(), headers=CSV
    )
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def test_a_sheet_is_checked_kept_and_kept_once(client: TestClient, week: Desk) -> None:
    checked = send(client, dry_run=True)
    assert (checked["rows"], checked["good"], checked["added"]) == (2, 1, 0)
    wanted = {"row": 2, "column": "设备", "found": "pump-9", "wanted": "an asset of the site"}
    assert checked["rejects"] == [wanted]
    assert (send(client)["added"], send(client)["known"]) == (1, 1)
    found = client.get("/api/export/work-orders", params={"state": "closed", "q": "漏油"})
    rows = list(csv.DictReader(io.StringIO(found.content.decode("utf-8-sig"))))
    assert [row["title_zh"] for row in rows] == ["'=漏油"]
    whole = client.get("/api/export/work-orders", params={"form": "json"}).json()
    assert len(whole["orders"]) == client.get("/api/work-orders", params={"state": "all"}).json()["total"]


@pytest.mark.parametrize(
    ("params", "text", "told"),
    [
        ({"name": "old.doc"}, SHEET, "a sheet is .csv or .xlsx"),
        ({"name": "old.xlsx"}, "no workbook", "XLSX|cannot be read"),
        ({"name": "old.csv", "mapping": "zone ="}, SHEET, "Invalid value"),
        ({"name": "old.csv", "mapping": '[columns]\nstars = "评分"'}, SHEET, "has no column"),
    ],
)
def test_what_is_no_sheet_is_refused(
    client: TestClient, week: Desk, params: dict[str, str], text: str, told: str
) -> None:
    answer = client.post("/api/imports", params=params, content=text.encode(), headers=CSV)
    assert answer.status_code == 422
    assert any(part in answer.json()["detail"] for part in told.split("|")), answer.text


def test_the_template_is_taken_as_it_is(client: TestClient, week: Desk) -> None:
    sheet = client.get("/api/imports/template").content.decode("utf-8-sig")
    assert send(client, sheet)["good"] == 1


def test_a_doubtful_paper_waits(client: TestClient, week: Desk) -> None:
    fields = {
        "id": "P-1",
        "asset": "pump-1",
        "title": "换机封",
        "opened": "2024-05-06",
        "closed": "2024-05-07",
    }
    read = {
        name: {"value": value, "confidence": 0.4 if name == "title" else 1} for name, value in fields.items()
    }
    taken = client.post("/api/reviews", json={"papers": [{"id": "scan-1", "fields": read}]}).json()
    assert taken == {"added": 0, "waiting": 1, "known": 0}
    (paper,) = client.get("/api/reviews").json()
    assert list(paper["doubts"]) == ["title"]
    assert client.post("/api/reviews/scan-1/accept", json={"fields": {"closed": "1999"}}).status_code == 422
    assert (
        client.post("/api/reviews/scan-1/accept", json={"fields": {"title": "更换机封"}}).status_code == 204
    )
    assert client.post("/api/reviews/scan-1/dismiss").status_code == 409
    assert client.post("/api/reviews/scan-9/dismiss").status_code == 404
    assert client.post("/api/reviews", content=b"{").status_code == 422
    assert client.get("/api/work-orders", params={"state": "closed", "q": "更换机封"}).json()["total"] == 1
