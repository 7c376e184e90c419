"""What every answer carries and what no request may do."""

from __future__ import annotations

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from ticketing import Desk

PAGES = (
    "/orders",
    "/orders/WO-1",
    "/live",
    "/health",
    "/assets/pump-1",
    "/api/work-orders",
    "/nothing",
    "/api/pulse",
)


@pytest.mark.parametrize("path", PAGES)
def test_every_answer_forbids_inline_scripts_framing_and_sniffing(client: TestClient, path: str) -> None:
    answer = client.get(path)
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "no-" in answer.headers["cache-control"]


def test_no_page_has_inline_script_or_style(client: TestClient, week: Desk) -> None:
    for path in ("/orders", "/live", "/health", "/assets/pump-1"):
        page = client.get(path).text
        assert " style=" not in page
        assert "<style" not in page
        assert " onclick=" not in page
        assert page.count("<script>") == 0


@pytest.mark.parametrize(
    "host", ["evil.example", "localhost.evil.example", "127.0.0.2", "", "localhost@evil.example"]
)
def test_a_foreign_host_name_is_turned_away(client: TestClient, host: str) -> None:
    assert client.get("/orders", headers={"Host": host}).status_code == 421


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:8080", "127.0.0.1:1", "[::1]:8080"])
def test_loopback_by_any_of_its_names_is_let_in(client: TestClient, host: str) -> None:
    assert client.get("/health", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Origin": "http://localhost:99"},
    ],
)
def test_a_change_from_another_site_is_refused(
    client: TestClient, week: Desk, headers: dict[str, str]
) -> None:
    answer = client.post("/preferences", data={"lang": "en"}, headers=headers)
    assert answer.status_code == 403
    assert "set-cookie" not in answer.headers


def test_a_change_from_our_own_page_passes(client: TestClient) -> None:
    headers = {"Origin": "http://localhost", "Sec-Fetch-Site": "same-origin"}
    answer = client.post(
        "/preferences", data={"lang": "en", "back": "/live"}, headers=headers, follow_redirects=False
    )
    assert (answer.status_code, answer.headers["location"]) == (303, "/live")
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie


@pytest.mark.parametrize(
    "back", ["https://evil.example/", "//evil.example", "/\\evil.example", "javascript:alert(1)"]
)
def test_the_way_back_stays_inside(client: TestClient, back: str) -> None:
    answer = client.post("/preferences", data={"lang": "zh", "back": back}, follow_redirects=False)
    assert answer.headers["location"] == "/"


def test_an_unknown_person_or_language_is_not_kept(client: TestClient) -> None:
    answer = client.post("/preferences", data={"lang": "xx", "who": "admin"}, follow_redirects=False)
    assert "set-cookie" not in answer.headers


def test_a_huge_change_is_not_read(client: TestClient) -> None:
    assert client.post("/preferences", content=b"x" * (1 << 20) + b"x").status_code == 413


def chunks():  # type: ignore[no-untyped-def]
    yield b"lang=en"


def test_a_change_of_unknown_length_is_not_read(client: TestClient) -> None:
    assert client.post("/preferences", content=chunks()).status_code == 411


@pytest.mark.parametrize(
    "path",
    [
        "/static/../app.py",
        "/static/%2e%2e/app.py",
        "/static/..%2fapp.py",
        "/static/dist/../../app.py",
        "/static//etc/passwd",
    ],
)
def test_static_files_end_at_their_folder(client: TestClient, path: str) -> None:
    assert client.get(path).status_code == 404


def test_text_from_outside_stays_text(client: TestClient, desk: Desk, week: Desk) -> None:
    from tests.web.scene import LEAD, now_ms

    with week.transaction() as tx:
        order = tx.open_order(
            LEAD, at=now_ms(), asset="fan-1", title="<script>alert(1)</script>", description="<img src=x>"
        )
    for path in ("/orders", f"/orders/{order.number}", "/assets/fan-1"):
        page = client.get(path).text
        assert "<script>alert" not in page
        assert "<img src=x>" not in page
    assert "&lt;script&gt;" in client.get("/orders").text
    hostile = client.get("/orders", params={"q": '"><script>alert(1)</script>'}).text
    assert "<script>alert" not in hostile


def test_static_files_come_compressed_and_are_kept(client: TestClient) -> None:
    page = client.get("/orders").text
    address = next(part for part in page.split('"') if part.startswith("/static/dist/tabler.css?v="))
    answer = client.get(address)
    assert answer.headers["content-encoding"] == "gzip"
    assert "immutable" in answer.headers["cache-control"]
    assert answer.headers["content-type"].startswith("text/css")
    assert int(answer.headers["content-length"]) < 90_000
    plain = client.get(address, headers={"Accept-Encoding": "identity"})
    assert "content-encoding" not in plain.headers
    assert plain.content == answer.content
    assert client.get("/static/app.css").headers["cache-control"] == "no-cache"


def test_a_fault_of_ours_shows_a_number_and_no_trace(app: FastAPI, caplog: pytest.LogCaptureFixture) -> None:
    @app.get("/broken")
    def broken() -> None:
        raise ZeroDivisionError("secret")

    with TestClient(app, base_url="http://localhost", raise_server_exceptions=False) as client:
        answer = client.get("/broken", headers={"Accept-Language": "en"})
    assert answer.status_code == 500
    assert "report error" in answer.text
    assert "secret" not in answer.text
    assert "ZeroDivisionError" in caplog.text
    assert "default-src 'none'" in answer.headers["content-security-policy"]
