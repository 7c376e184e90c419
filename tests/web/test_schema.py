"""Every operation, by every role, with right and wrong requests: no error of ours, no answer undescribed."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from starlette.testclient import TestClient

from gateway.config import Site
from gateway.history import History
from gateway.web import daemon as web_daemon
from gateway.web.app import create_app
from gateway.web.daemon import Daemon
from tests.web.people import add, token
from tests.web.scene import furnish, now_ms
from tests.web.schema import requests
from ticketing import MOVES, ROLES, Desk

EXAMPLES = 2  # of each operation and role
METHODS = ("get", "post", "put", "patch", "delete")
REFUSED = {401, 403, 404, 409, 422, 429}


@pytest.fixture(scope="module")
def gateway(
    site: Site, history: History, empty_core: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[TestClient, dict[str, Any], dict[str, dict[str, str]], dict[str, list[Any]]]]:
    """A gateway after a week of work: client, description, each role's header, names that lead somewhere."""
    folder = tmp_path_factory.mktemp("schema")
    shutil.copy(empty_core, folder / "core.db")
    desk = Desk.open(folder / "core.db", site=site.site.id)
    furnish(desk, site, now_ms())
    app = create_app(site, desk, history, Daemon(folder / "control.sock"))
    headers = {}
    for role in ROLES:
        add(desk, role, role, at=now_ms())
        headers[role] = token(desk, role, at=now_ms())
    with desk.read() as read:
        numbers = [order.number for order in read.orders()]
        episodes = [alarm.episode for alarm in read.alarms()]
    known: dict[str, list[Any]] = {
        "number": numbers,
        "other": numbers,
        "asset": list(site.assets),
        "episode": episodes,
        "type": list(MOVES),
        "version": [1, 2, 3, 4],
        "signal": ["pump-1/vib_rms", "fan-1/filter_dp"],
        "assignee": ["technician", "li"],
        "name": ["wang", "zhao"],
        "roles": [["technician"], ["lead", "admin"]],
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(web_daemon, "MOST_LISTENERS", 0)  # a live stream would never end
        patch.setattr(web_daemon, "PATIENCE", 0.2)
        with TestClient(app, base_url="http://localhost", raise_server_exceptions=False) as client:
            yield client, app.openapi(), headers, known
    desk.close()


@pytest.mark.parametrize("role", [*ROLES, "anonymous"])
def test_no_request_breaks_the_gateway_or_gets_an_answer_that_is_not_described(
    gateway: Any, role: str
) -> None:
    client, description, headers, known = gateway
    parts, wrong, seen = description["components"]["schemas"], [], Counter[int]()
    for path, operations in description["paths"].items():
        for method in operations.keys() & set(METHODS):
            for asked in drawn(requests(path.replace(":path}", "}"), operations[method], parts, known)):
                where, head = asked.pop("path"), {**asked.pop("headers"), **headers.get(role, {})}
                answer = client.request(method.upper(), where, headers=head, follow_redirects=False, **asked)
                seen[answer.status_code] += 1
                if problem := undescribed(answer, operations[method]):
                    wrong.append((method, where, asked, problem))
    assert wrong == []
    if role == "anonymous":
        assert set(seen) == {401}
    else:
        assert seen[200] > 20


def drawn(strategy: st.SearchStrategy[dict[str, Any]]) -> list[dict[str, Any]]:
    """The same examples each time."""
    found: list[dict[str, Any]] = []

    @settings(
        max_examples=EXAMPLES,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def collect(each: dict[str, Any]) -> None:
        found.append(each)

    collect()
    return found


def undescribed(answer: Any, operation: dict[str, Any]) -> str | None:
    """What is wrong with the answer; None if the description has it."""
    status, kind = answer.status_code, answer.headers.get("content-type", "").partition(";")[0]
    described = operation["responses"].get(str(status))
    if described is None:
        return f"{status} is not described: {answer.text[:200]}"
    if status >= 500 and status != 503:
        return f"{status}: {answer.text[:200]}"
    kinds = described.get("content", {})
    if kinds and kind not in kinds:
        return f"{status} comes as {kind!r}, described is {list(kinds)}"
    if status in REFUSED and not (answer.json()["error"] and "detail" in answer.json()):
        return f"{status} does not say why: {answer.text[:200]}"
    return None
