"""Every cell of the permission matrix asked over the API: 200 (or what a wrong request deserves), or 403."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute, iter_route_contexts
from sqlalchemy import text
from starlette.testclient import TestClient

from gateway.building import maintained
from gateway.history import History
from gateway.site import Site
from gateway.web import daemon as web_daemon
from gateway.web.app import create_app, furnished
from gateway.web.daemon import Daemon
from tests.web.people import ADMIN, add, sign_in, token
from ticketing import MOVES, PERMISSIONS, ROLES, Desk, matrix

T0 = 1_767_225_600_000
CELLS = {(cell.permission, cell.role): cell.answer for cell in matrix()}
# Nobody is known there yet, or each sees only what is their own.
OPEN = {"/sign-in", "/sign-out", "/preferences"}
OWN = {"/account", "/account/password", "/account/pin", "/account/sign-out-everywhere"}
# These are used on the gateway itself; the day a route asks for one, the table below has it.
BY_COMMAND = {"policy.write", "backup.make"}


@pytest.fixture(scope="module")
def plain(site: Site, history: History, empty_core: Path) -> Iterator[FastAPI]:
    """An application of our own: other tests add routes to theirs."""
    desk = Desk.open(empty_core.with_name("permissions.db"), site=site.site.id)
    yield create_app(site, desk, history, Daemon(empty_core.with_name("none.sock")))
    desk.close()


@pytest.fixture
def app(plain: FastAPI, site: Site, desk: Desk, history: History, monkeypatch: pytest.MonkeyPatch) -> FastAPI:
    monkeypatch.setattr(web_daemon, "MOST_LISTENERS", 0)  # a live stream would never end
    plain.state.house = furnished(site, desk, history, Daemon(Path("none.sock")), lambda: T0)
    return plain


@pytest.fixture
def client(app: FastAPI, desk: Desk, site: Site) -> Iterator[TestClient]:
    """A gateway with one person of each role, called like it."""
    with desk.transaction() as tx:
        tx.sync_assets(maintained(site))
    for role in ROLES:
        add(desk, role, role, at=T0)
    with TestClient(app, base_url="http://localhost", headers={"Accept-Language": "en"}) as opened:
        yield opened


def asked(dependant: Dependant) -> list[str]:
    """The permissions that a route asks for, wherever they stand."""
    own = getattr(dependant.call, "permission", None)
    return ([own] if own else []) + [each for part in dependant.dependencies for each in asked(part)]


def routes(app: FastAPI) -> list[tuple[str, str, list[str]]]:
    """Method, path with something in its places, and permissions of each route."""
    found = []
    for context in iter_route_contexts(app.routes):
        if isinstance(context.original_route, APIRoute):
            path = re.sub(r"\{[^}]*\}", "x", context.path)
            found += [(method, path, asked(context.dependant)) for method in sorted(context.methods)]
    return found


def test_every_route_asks_for_a_permission_or_is_known_to_ask_for_none(app: FastAPI) -> None:
    found = routes(app)
    assert len(found) > 60
    assert {path for _, path, needs in found if not needs} == OPEN | OWN
    unknown = {each for _, _, needs in found for each in needs} - PERMISSIONS.keys()
    assert unknown == set()


def test_every_permission_is_asked_for_by_a_route(app: FastAPI) -> None:
    used = {each for _, _, needs in routes(app) for each in needs}
    assert PERMISSIONS.keys() - used == BY_COMMAND


def test_without_a_name_every_route_leads_to_the_door(client: TestClient, app: FastAPI) -> None:
    for method, path, needs in routes(app):
        if needs or path in OWN:
            answer = client.request(method, path, follow_redirects=False)
            at_the_door = answer.headers.get("location", "").startswith("/sign-in")
            assert answer.status_code == 401 or at_the_door, (method, path, answer.status_code)


@pytest.mark.parametrize("role", ROLES)
def test_each_cell_of_the_table_holds_over_every_route(
    client: TestClient, app: FastAPI, desk: Desk, role: str
) -> None:
    header = token(desk, role, at=T0)
    wrong = []
    for method, path, needs in routes(app):
        if not needs:
            continue
        answer = client.request(method, path, headers=header, follow_redirects=False)
        expected = all(CELLS[need, role] == "yes" for need in needs)
        if (answer.status_code != 403) is not expected or answer.status_code == 401:
            wrong.append((method, path, needs, answer.status_code))
    assert wrong == []


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("standing", ["nobody", "assignee", "requester"])
def test_each_cell_of_the_moves_holds(client: TestClient, desk: Desk, role: str, standing: str) -> None:
    """Asked with a version that is too old: 403 for who may not, else "stale" (409), so that nothing moves."""
    with desk.transaction() as tx:
        order = tx.open_order(ADMIN, at=T0, asset="fan-1", title="x")
    header = token(desk, role, at=T0)
    places = {place: role if standing == place else "somebody" for place in ("assignee", "requester")}
    wrong = []
    for name, move in MOVES.items():
        state = next(each for each in move.from_ if each != "closed").value
        with desk.transaction() as tx:
            change = text(
                "UPDATE work_order SET state = :state, assignee = :assignee, requester = :requester"
            )
            tx.connection.execute(change, {"state": state, **places})
        body = {"type": name, "version": 0, "fields": {}}
        answer = client.post(f"/api/work-orders/{order.number}/events", json=body, headers=header)
        cell = CELLS[f"order.{name}", role]
        expected = (409, "stale") if cell == "yes" or standing in cell else (403, "role")
        if (answer.status_code, answer.json()["why"]) != expected:
            wrong.append((name, cell, answer.status_code, answer.json()))
        if expected[0] == 409:
            assert (answer.json()["state"], answer.json()["version"]) == (state, order.version)
    assert wrong == []


@pytest.mark.parametrize("role", ["viewer", "admin"])
def test_a_browser_may_what_a_token_may(client: TestClient, app: FastAPI, role: str) -> None:
    assert sign_in(client, role).status_code == 303
    for method, path, needs in routes(app):
        if needs and method == "GET" and not path.startswith("/api/live"):
            expected = all(CELLS[need, role] == "yes" for need in needs)
            answer = client.request(method, path, follow_redirects=False)
            assert (answer.status_code != 403) is expected, (path, needs, answer.status_code)


def test_two_roles_are_both_held(client: TestClient, desk: Desk) -> None:
    add(desk, "both", "admin", "technician", at=T0)
    header = token(desk, "both", at=T0)
    assert client.get("/api/audit", headers=header).status_code == 200
    assert client.post("/api/articles", json={}, headers=header).status_code == 422
    assert client.get("/api/export/work-orders", headers=token(desk, "technician", at=T0)).status_code == 403


def test_people_are_changed_soon_after_signing_in_only(
    site: Site, desk: Desk, history: History, tmp_path: Path
) -> None:
    now = [T0]
    app = create_app(site, desk, history, Daemon(tmp_path / "control.sock"), now=lambda: now[0])
    add(desk, "root", "admin", at=T0)
    wanted = {"title": "赵敏", "roles": ["technician"], "skills": ["VIB"]}
    own = {"Origin": "http://localhost"}
    with TestClient(app, base_url="http://localhost") as client:
        sign_in(client, "root")
        answer = client.put("/api/people/zhao", json=wanted, headers=own)
        assert (answer.status_code, answer.json()["skills"]) == (200, ["VIB"])
        assert client.put("/api/people/wang", json=wanted, headers=own).status_code == 422
        assert client.put("/api/people/Zhao", json=wanted, headers=own).status_code == 422
        assert client.put("/api/people/zhao", json=wanted | {"roles": ["x"]}, headers=own).json()[
            "fields"
        ] == ["roles"]
        now[0] += 300_001
        assert client.put("/api/people/zhao", json=wanted, headers=own).status_code == 403
        names = [each["name"] for each in client.get("/api/people").json()]
        assert names == ["li", "meyer", "root", "wang", "zhao"]
        books = client.get("/api/audit").json()
        assert (books["orders"]["broken"], books["door"]["broken"]) == (None, None)
        assert client.get("/api/audit/door?limit=1").json()[0]["type"] == "person_added"
