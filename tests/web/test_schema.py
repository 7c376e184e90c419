"""Schemathesis asks every operation, as every role and as nobody: no error of ours, no answer that is not described.

``make fuzz-api`` asks the same for long, over a real server (``tests/soak/api.py``).
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from fastapi import FastAPI
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import Case, GenerationMode
from schemathesis.specs.openapi import checks

from gateway.history import History
from gateway.site import Site
from gateway.web import daemon as web_daemon
from gateway.web.app import create_app
from gateway.web.daemon import Daemon
from tests.web import file_bodies  # noqa: F401  (teaches Schemathesis)
from tests.web.people import add, token
from tests.web.scene import furnish, now_ms
from ticketing import MOVES, ROLES, Desk

EXAMPLES = 1  # right one of each operation
SHARE = 2  # of the limits, this run asks one in so many
CHECKS = [
    checks.status_code_conformance,  # 500 is described nowhere
    checks.content_type_conformance,
    checks.response_schema_conformance,
]


@dataclass(frozen=True)
class Gateway:
    """A gateway after a week of work, and what it is asked."""

    app: FastAPI
    headers: dict[str, dict[str, str]]
    right: list[Case]
    limits: list[Case]


@pytest.fixture(scope="module")
def gateway(
    site: Site, history: History, empty_core: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Gateway]:
    folder = tmp_path_factory.mktemp("schema")
    shutil.copy(empty_core, folder / "core.db")
    desk = Desk.open(folder / "core.db", site=site.site.id)
    furnish(desk, site, now_ms())
    app = create_app(site, desk, history, Daemon(folder / "control.sock"))
    headers: dict[str, dict[str, str]] = {"nobody": {}}
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
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(web_daemon, "MOST_LISTENERS", 0)  # a live stream would never end
        patch.setattr(web_daemon, "PATIENCE", 0.2)
        yield Gateway(app, headers, *drawn(app, known))
    desk.close()


def drawn(app: FastAPI, known: dict[str, list[Any]]) -> tuple[list[Case], list[Case]]:
    """Right requests, most of whose names lead to something, and those at and beyond each limit: the same each time."""
    schema = schemathesis.openapi.from_dict(app.openapi())
    right, limits = [], []
    for found in schema.get_all_operations():
        operation = found.ok()
        right += examples(request(operation.as_strategy(), known))
        limits += schema.iter_coverage_cases(
            operation, generation_modes=list(GenerationMode), generation_config=schema.config.generation
        )
    return right, limits


@st.composite
def request(draw: st.DrawFn, right: st.SearchStrategy[Case], known: dict[str, list[Any]]) -> Case:
    case = draw(right)
    body = case.body if isinstance(case.body, dict) else {}
    for part in (case.path_parameters, case.query, body):
        for name in sorted((part or {}).keys() & known.keys()):
            if draw(st.integers(0, 3)):
                part[name] = draw(st.sampled_from(known[name]))
    return case


def examples(strategy: st.SearchStrategy[Case]) -> list[Case]:
    found: list[Case] = []

    @settings(
        max_examples=EXAMPLES,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def collect(each: Case) -> None:
        found.append(each)

    collect()
    return found


@pytest.mark.parametrize("role", [*ROLES, "nobody"])
def test_no_request_breaks_the_gateway_or_gets_an_answer_that_is_not_described(
    gateway: Gateway, role: str
) -> None:
    seen: Counter[int] = Counter()
    turn = list(gateway.headers).index(role)  # each role asks its share of the limits
    for case in [*gateway.right, *gateway.limits[turn :: SHARE * len(gateway.headers)]]:
        answer = case.call(base_url="http://localhost", app=gateway.app, headers=gateway.headers[role])
        case.validate_response(answer, checks=CHECKS)
        seen[answer.status_code] += 1
    if role == "nobody":
        assert set(seen) <= {401, 405}
    else:
        assert seen[200] > 10
