"""The door: who is asked to sign in, what a session is, and how it ends."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from argon2 import PasswordHasher
from fastapi import FastAPI
from pydantic import ValidationError
from starlette.testclient import TestClient

from gateway.history import History
from gateway.site import Site
from gateway.web.app import create_app, furnished
from gateway.web.daemon import Daemon
from gateway.web.settings import WebSettings
from tests.web.people import ADMIN, PASSWORD, SAME_ORIGIN, add, sign_in, token
from ticketing import Desk, Person, door, passwords, people
from ticketing.records import HOUR, MINUTE

T0 = 1_767_225_600_000
OUTSIDE = WebSettings(names=("wk.plant.example",))


class Clock:
    def __init__(self) -> None:
        self.now = T0

    def __call__(self) -> int:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(autouse=True)
def _cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passwords, "HASHER", PasswordHasher(time_cost=1, memory_cost=9, parallelism=1))


@pytest.fixture
def client(app: FastAPI, site: Site, desk: Desk, history: History, clock: Clock) -> Iterator[TestClient]:
    """A browser at a gateway where wang (lead) and li (technician) have accounts."""
    app.state.house = furnished(site, desk, history, Daemon(Path("none.sock")), clock)
    add(desk, "wang", at=T0)
    add(desk, "li", at=T0)
    with TestClient(app, base_url="http://localhost", headers={"Accept-Language": "en"}) as opened:
        yield opened


def bring(client: TestClient, secret: str) -> None:
    """The browser has this session's cookie and no other."""
    client.cookies.clear()
    client.cookies.set("session", secret)


def events(desk: Desk) -> list[tuple[str, str]]:
    with desk.read() as read:
        return [(line.type, line.name) for line in reversed(door.listed(read))]


def test_without_accounts_the_pages_of_this_machine_are_open(
    site: Site, desk: Desk, history: History, tmp_path: Path
) -> None:
    app = create_app(site, desk, history, Daemon(tmp_path / "control.sock"))
    with TestClient(app, base_url="http://localhost") as client:
        assert client.get("/orders").status_code == 200
        assert client.get("/sign-in?next=/live", follow_redirects=False).headers["location"] == "/live"
        add(desk, "wang", at=T0)
        assert client.get("/api/work-orders").status_code == 401


def test_beyond_this_machine_nobody_comes_in_unknown(
    site: Site, desk: Desk, history: History, tmp_path: Path
) -> None:
    app = create_app(replace(site, web=OUTSIDE), desk, history, Daemon(tmp_path / "control.sock"))
    with TestClient(app, base_url="http://wk.plant.example") as client:
        assert client.get("/api/work-orders").status_code == 401
        page = client.get("/orders", headers={"Accept-Language": "en"})
        assert "Nobody can sign in yet" in page.text
        assert "watchkeeper people add" in page.text


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"host": "0.0.0.0"}, "names, certificate and key"),
        ({"host": "0.0.0.0", "names": ["a.example"]}, "names, certificate and key"),
        ({"certificate": "c.pem"}, "belong together"),
        ({"host": "plant"}, "host is an address"),
        ({"idle": "P1D"}, "idle is at most"),
    ],
)
def test_settings_that_would_leave_the_door_open_are_refused(settings: dict[str, Any], why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        WebSettings.model_validate(settings)


def test_a_page_leads_to_the_door_and_back(client: TestClient) -> None:
    answer = client.get("/orders?state=new", follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (303, "/sign-in?next=/orders%3Fstate%3Dnew")
    page = client.get(answer.headers["location"])
    assert 'value="/orders?state=new"' in page.text
    assert "data-gateway" not in page.text
    answer = sign_in(client, "wang", next="/orders?state=new")
    assert (answer.status_code, answer.headers["location"]) == (303, "/orders?state=new")
    assert "Signed in as wang" in client.get("/orders").text


@pytest.mark.parametrize("target", ["https://evil.example/", "//evil.example", "/\\evil.example"])
def test_the_way_back_stays_inside(client: TestClient, target: str) -> None:
    assert 'name="next" value="/"' in client.get("/sign-in", params={"next": target}).text
    assert sign_in(client, "wang", next=target).headers["location"] == "/"


def test_htmx_is_sent_to_the_door_as_a_whole_page(client: TestClient) -> None:
    answer = client.get("/orders", headers={"HX-Request": "true"}, follow_redirects=False)
    assert (answer.status_code, answer.headers["hx-redirect"]) == (401, "/sign-in?next=/orders")


def test_the_sign_in_page_is_bilingual(client: TestClient) -> None:
    assert "登录" in client.get("/sign-in", headers={"Accept-Language": "zh-CN"}).text
    english = client.get("/sign-in").text
    assert "Sign in" in english
    assert 'autocomplete="current-password"' in english


def test_the_cookie_is_for_us_alone(client: TestClient) -> None:
    cookie = sign_in(client, "wang").headers["set-cookie"]
    assert re.match(r"session=[\w-]{43}; HttpOnly; Path=/; SameSite=strict$", cookie)


def test_beyond_this_machine_the_cookie_keeps_to_https(
    site: Site, desk: Desk, history: History, tmp_path: Path
) -> None:
    app = create_app(replace(site, web=OUTSIDE), desk, history, Daemon(tmp_path / "control.sock"))
    add(desk, "wang", at=T0)
    with TestClient(app, base_url="https://wk.plant.example") as client:
        given = {"name": "wang", "password": PASSWORD}
        own = {"Origin": "https://wk.plant.example"}
        answer = client.post("/sign-in", data=given, headers=own, follow_redirects=False)
        cookie = answer.headers["set-cookie"]
        assert cookie.startswith("__Host-session=")
        for flag in ("Secure", "HttpOnly", "Path=/", "SameSite=strict"):
            assert flag in cookie
        assert "Domain" not in cookie
        page = client.get("/orders")
        assert page.status_code == 200
        assert page.headers["strict-transport-security"] == "max-age=86400"


def test_each_sign_in_has_a_session_of_its_own_and_ends_the_one_before(client: TestClient) -> None:
    first = sign_in(client, "wang").cookies["session"]
    second = sign_in(client, "wang").cookies["session"]
    assert first != second
    bring(client, first)
    assert client.get("/api/work-orders").status_code == 401
    bring(client, second)
    assert client.get("/api/work-orders").status_code == 200


def test_a_session_that_somebody_brought_along_is_not_taken_up(client: TestClient) -> None:
    bring(client, "fixed-by-an-attacker")
    assert sign_in(client, "wang").cookies["session"] != "fixed-by-an-attacker"


@pytest.mark.parametrize("name", ["wang", "nobody", "", "WANG ", "' OR 1=1 --"])
def test_a_wrong_password_or_name_says_no_more_than_that(client: TestClient, name: str) -> None:
    answer = sign_in(client, name, "wrong")
    assert answer.status_code == 401
    assert "Name or password is not right." in answer.text
    assert "set-cookie" not in answer.headers


def test_a_name_is_written_in_any_case(client: TestClient) -> None:
    assert sign_in(client, " Wang ").status_code == 303


def test_guessing_is_slowed_down_and_the_right_password_waits_too(
    client: TestClient, clock: Clock, desk: Desk
) -> None:
    for _ in range(5):
        assert sign_in(client, "wang", "wrong").status_code == 401
    answer = sign_in(client, "wang")
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "4")
    assert "Please wait 4 s" in answer.text
    clock.now += 4_000
    assert sign_in(client, "wang").status_code == 303
    assert events(desk)[-6:] == [("sign_in_failed", "wang")] * 5 + [("signed_in", "wang")]


def test_an_old_hash_is_made_anew_at_the_next_sign_in(client: TestClient, desk: Desk) -> None:
    assert sign_in(client, "wang").status_code == 303
    with desk.read() as read:
        from ticketing import accounts

        assert (accounts.password_of(read, "wang") or "").startswith("$argon2id$v=19$m=9,")
    assert sign_in(client, "wang").status_code == 303


def test_signing_out_ends_the_session_in_the_core(client: TestClient, desk: Desk) -> None:
    secret = sign_in(client, "wang").cookies["session"]
    answer = client.post("/sign-out", headers=SAME_ORIGIN, follow_redirects=False)
    assert answer.headers["location"] == "/sign-in"
    assert 'session="";' in answer.headers["set-cookie"]
    bring(client, secret)
    assert client.get("/api/work-orders").status_code == 401
    assert events(desk)[-1] == ("signed_out", "wang")


def test_a_session_ends_when_nobody_uses_it(client: TestClient, clock: Clock) -> None:
    sign_in(client, "wang")
    for _ in range(3):
        clock.now += 20 * MINUTE
        assert client.get("/api/work-orders").status_code == 200
    clock.now += 30 * MINUTE
    assert client.get("/api/work-orders").status_code == 401


def test_an_open_page_keeps_nobody_signed_in(client: TestClient, clock: Clock) -> None:
    sign_in(client, "wang")
    clock.now += 20 * MINUTE
    assert client.get("/api/pulse").status_code == 200
    clock.now += 20 * MINUTE
    assert client.get("/api/pulse").status_code == 401


def test_the_longest_session_is_a_shift(client: TestClient, clock: Clock) -> None:
    sign_in(client, "wang")
    while clock.now < T0 + 12 * HOUR - 20 * MINUTE:
        clock.now += 20 * MINUTE
        assert client.get("/api/work-orders").status_code == 200
    clock.now += 20 * MINUTE
    assert client.get("/api/work-orders").status_code == 401


def test_another_role_ends_the_session_and_counts_at_once(client: TestClient, desk: Desk) -> None:
    add(desk, "zhao", "lead", at=T0)
    sign_in(client, "zhao")
    assert client.get("/api/work-orders").status_code == 200
    with desk.transaction() as tx:
        people.save(tx, ADMIN, Person("zhao", "Zhao", ("viewer",)), T0)
    assert client.get("/api/work-orders").status_code == 401


def test_a_change_that_does_not_say_where_it_comes_from_is_refused(
    client: TestClient, caplog: pytest.LogCaptureFixture
) -> None:
    sign_in(client, "wang")
    body = {"type": "comment", "version": 1, "fields": {"comment": "x"}}
    assert client.post("/api/work-orders/WO-1/events", json=body).status_code == 403
    assert client.post("/api/work-orders/WO-1/events", json=body, headers=SAME_ORIGIN).status_code == 404
    assert "refused somebody: POST /api/work-orders/WO-1/events: a browser says" in caplog.text
    foreign = {"Origin": "http://evil.example"}
    assert client.post("/api/work-orders/WO-1/events", json=body, headers=foreign).status_code == 403


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"])
def test_a_change_by_api_is_json(client: TestClient, desk: Desk, kind: str) -> None:
    headers = token(desk, "wang", at=T0) | {"Content-Type": kind}
    body = '{"type": "comment", "version": 1, "fields": {"comment": "x"}}'
    assert client.post("/api/work-orders/WO-1/events", content=body, headers=headers).status_code == 422


def test_nobody_says_who_they_are_where_people_sign_in(client: TestClient) -> None:
    client.cookies.set("who", "wang")
    assert client.get("/api/work-orders").status_code == 401
    answer = client.post("/preferences", data={"who": "wang"}, headers=SAME_ORIGIN, follow_redirects=False)
    assert "set-cookie" not in answer.headers


# Programs


def test_a_program_comes_in_by_its_token_alone(client: TestClient, desk: Desk, clock: Clock) -> None:
    header = token(desk, "wang", at=T0)
    assert client.get("/api/work-orders", headers=header).status_code == 200
    text = header["Authorization"].removeprefix("Bearer ")
    for wrong in (
        {"Authorization": ""},
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer "},
        {"Authorization": text},
        {"Authorization": f"Basic {text}"},
        {"Authorization": f"Bearer {text[:-1]}"},
        {"Authorization": f"Bearer {text}x"},
        {"Authorization": "Bearer watchkeeper__"},
    ):
        answer = client.get("/api/work-orders", headers=wrong)
        assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer"), wrong
    for place in ("token", "access_token", "authorization"):
        assert client.get("/api/work-orders", params={place: text}).status_code == 401
    clock.now += 24 * HOUR
    assert client.get("/api/work-orders", headers=header).status_code == 401


def test_a_wrong_token_is_not_saved_by_a_right_cookie(client: TestClient) -> None:
    sign_in(client, "wang")
    answer = client.get("/api/work-orders", headers={"Authorization": "Bearer watchkeeper_x_y"})
    assert answer.status_code == 401


def test_a_tokens_scope_narrows_its_owners_roles(client: TestClient, desk: Desk, site: Site) -> None:
    from gateway.building import maintained

    with desk.transaction() as tx:
        tx.sync_assets(maintained(site))
        order = tx.open_order(ADMIN, at=T0, asset="fan-1", title="x")
    move = {"type": "assign", "version": order.version, "fields": {"assignee": "li"}}
    where = f"/api/work-orders/{order.number}/events"
    reading = token(desk, "wang", "order.read", at=T0)
    assert client.get("/api/work-orders", headers=reading).status_code == 200
    assert client.post(where, json=move, headers=reading).status_code == 403
    assert client.get("/api/series?signal=fan-1/flow&start=0&end=1", headers=reading).status_code == 403
    assert client.get(f"/api/work-orders/{order.number}", headers=reading).json()["moves"] == []
    working = token(desk, "wang", "order.*", at=T0)
    assert client.post(where, json=move, headers=working).status_code == 200
    beyond = token(desk, "li", "order.*", at=T0)
    move = {"type": "set_priority", "version": 2, "fields": {"priority": 1, "reason": "x"}}
    assert client.post(where, json=move, headers=beyond).status_code == 403


# One's own account


def test_the_account_page_shows_where_one_is_signed_in(client: TestClient, desk: Desk) -> None:
    sign_in(client, "wang")
    token(desk, "wang", "kpi.read", at=T0)
    page = client.get("/account", headers={"Accept-Language": "zh"}).text
    assert "本设备" in page
    assert "testclient" in page
    assert "kpi.read" in page


def test_a_new_password_wants_the_old_one_and_ends_other_sessions(client: TestClient) -> None:
    other = sign_in(client, "wang").cookies["session"]
    client.cookies.clear()
    sign_in(client, "wang")
    new = "another walk by the river"

    def change(old: str, new: str) -> int:
        given = {"old": old, "new": new}
        return client.post(
            "/account/password", data=given, headers=SAME_ORIGIN, follow_redirects=False
        ).status_code

    assert change("wrong", new) == 422
    assert change(PASSWORD, "short") == 422
    assert change(PASSWORD, "watchkeeper12") == 422
    assert change(PASSWORD, new) == 303
    assert client.get("/api/work-orders").status_code == 200
    bring(client, other)
    assert client.get("/api/work-orders").status_code == 401
    assert sign_in(client, "wang").status_code == 401
    assert sign_in(client, "wang", new).status_code == 303


def test_signing_out_everywhere(client: TestClient) -> None:
    secret = sign_in(client, "wang").cookies["session"]
    client.post("/account/sign-out-everywhere", headers=SAME_ORIGIN)
    bring(client, secret)
    assert client.get("/api/work-orders").status_code == 401


def test_few_passwords_are_checked_at_once(client: TestClient) -> None:
    gate = client.app.state.house.door  # type: ignore[attr-defined]
    held = [gate._room.acquire(blocking=False) for _ in range(8)]
    assert all(held)
    answer = sign_in(client, "wang")
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "5")
    for _ in held:
        gate._room.release()
    assert sign_in(client, "wang").status_code == 303
