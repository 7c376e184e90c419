"""Knowledge, figures and plans by API."""

from __future__ import annotations

from typing import Any

import pytest
from starlette.testclient import TestClient

from tests.web.scene import now_ms
from ticketing import Desk
from ticketing.records import DAY

ARTICLES = "/api/articles"
DRAFT = {
    "asset_class": "pump",
    "failure_mode": "NOI",
    "title_zh": "轴承磨损引起的异响",
    "title_en": "Noise from a worn bearing",
    "body_zh": "更换轴承并重新对中。",
    "body_en": "Replace the bearing and align.",
    "mechanism": "wear",
    "remedy": "replace",
    "reason": "first written",
}


@pytest.fixture
def published(client: TestClient, week: Desk) -> dict[str, Any]:
    """An article on noisy pumps that everybody finds."""
    client.cookies.set("who", "wang")
    draft = client.post(ARTICLES, json=DRAFT)
    assert (draft.status_code, draft.json()["status"]) == (201, "draft")
    path = draft.headers["location"]
    answer = client.post(
        f"{path}/status", json={"status": "published"}, headers={"If-Match": draft.headers["etag"]}
    )
    assert answer.status_code == 200, answer.text
    article: dict[str, Any] = answer.json()
    return article


@pytest.mark.parametrize("words", ["轴承", "bearings", "异响 更换"])
def test_an_article_is_found_in_both_languages(
    client: TestClient, published: dict[str, Any], words: str
) -> None:
    assert [each["id"] for each in client.get(ARTICLES, params={"q": words}).json()] == [published["id"]]
    assert client.get(ARTICLES, params={"q": "传动带"}).json() == []


def test_each_version_is_kept_and_a_stale_one_refused(client: TestClient, published: dict[str, Any]) -> None:
    path = f"{ARTICLES}/{published['id']}"
    better = {
        **DRAFT,
        "body_zh": "测频谱,再换轴承。",
        "reason": "spectrum first",
        "version": published["version"],
    }
    assert client.put(path, json=better).json()["version"] == published["version"] + 1
    assert client.put(path, json=better).status_code == 409
    reasons = [each["reason"] for each in client.get(f"{path}/versions").json()]
    assert reasons == ["spectrum first", "published", "first written"]
    client.cookies.set("who", "li")
    late = {**better, "version": published["version"] + 1}
    assert client.put(path, json=late).status_code == 403


def test_an_article_is_suggested_with_its_reasons_and_learns_from_feedback(
    client: TestClient, published: dict[str, Any]
) -> None:
    order = client.post(
        "/api/work-orders", json={"asset": "pump-1", "title": "泵异响", "failure_mode": "NOI"}
    ).json()["order"]
    path = f"/api/work-orders/{order['number']}"
    (before,) = [s for s in client.get(f"{path}/suggestions").json() if s["kind"] == "article"]
    assert before["ref"] == published["id"]
    assert before["reasons"]["same_failure_mode"] == 4
    assert (
        client.post(f"{path}/feedback", json={"article": published["id"], "helped": True}).status_code == 204
    )
    assert client.post(f"{path}/feedback", json={"article": "KB-000099", "helped": True}).status_code == 404
    (after,) = [s for s in client.get(f"{path}/suggestions").json() if s["kind"] == "article"]
    assert after["score"] > before["score"]


def test_the_figures_come_with_goal_and_comparison(client: TestClient, week: Desk) -> None:
    board = client.get("/api/kpis", params={"start": now_ms() - 14 * DAY}).json()
    figures = {each["name"]: each for each in board["figures"]}
    shares = figures["time_in_state"]["figure"]["more"]
    assert sum(value or 0 for value in shares.values()) == pytest.approx(100)
    assert figures["satisfaction"]["light"] == "green"
    assert figures["satisfaction"]["before"] is None
    assert client.get("/api/kpis", params={"start": 2, "end": 1}).status_code == 422


def test_a_plan_is_kept_and_checked(client: TestClient, week: Desk) -> None:
    plan = {
        "asset": "pump-1",
        "title_zh": "润滑",
        "title_en": "Grease",
        "every_ms": 30 * DAY,
        "next_due": now_ms() + DAY,
        "tasks": [{"text_zh": "加脂", "text_en": "grease"}],
    }
    client.cookies.set("who", "li")
    assert client.put("/api/plans/grease-1", json=plan).status_code == 403
    client.cookies.set("who", "wang")
    assert client.put("/api/plans/grease-1", json=plan).status_code == 200
    assert client.put("/api/plans/grease-2", json={**plan, "asset": "pump-9"}).status_code == 404
    both = client.put("/api/plans/grease-2", json={**plan, "every_count": 5})
    assert (both.status_code, both.json()["fields"]) == (422, ["every_ms", "every_count"])
    (kept,) = client.get("/api/plans", params={"asset": "pump-1"}).json()
    assert (kept["id"], kept["tasks"][0]["text_zh"]) == ("grease-1", "加脂")
    assert client.get("/api/plans/grease-1/dues").json() == []
