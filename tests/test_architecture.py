"""Two guards: who may import whom (lazy imports too), and that nobody else ships our room names."""

from __future__ import annotations

import ast
from functools import cache
from importlib.metadata import distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ROOMS = {"devices", "gateway", "models", "rules", "simulators", "ticketing"}
MAY_SEE = {
    "devices": set(),
    "models": set(),
    "rules": set(),
    "ticketing": set(),
    "simulators": set(),
    "gateway": {"devices", "models", "rules", "ticketing"},
}
# A library is seen only where it is listed: a folder, or a single file.
ONLY_IN = {
    "aiomqtt": ("devices/mqtt_session.py", "simulators"),
    "paho": ("devices/mqtt_session.py", "simulators"),
    "pymodbus": ("simulators",),
    "serial": ("devices", "simulators"),
    "influxdb_client": ("gateway/influx.py",),
    "sqlalchemy": ("ticketing",),
    "alembic": ("ticketing",),
    "fastapi": ("gateway/web",),
    "starlette": ("gateway/web",),
    "jinja2": ("gateway/web", "gateway/workbench/page.py"),
    "uvicorn": ("gateway/web",),
    "typer": ("gateway/commands", "simulators"),
    "argon2": ("ticketing/passwords.py",),
    "zxcvbn": ("ticketing/passwords.py",),
    "openpyxl": ("ticketing/sheets.py",),
    "typst": ("ticketing/printing/typeset.py", "gateway/picture.py"),
    "prometheus_client": ("gateway/metrics.py",),
}
NO_CLOCK = ("rules", "models", "ticketing")


def sources(room: str) -> list[Path]:
    return [p for p in sorted((ROOT / room).rglob("*.py")) if "node_modules" not in p.parts]


@cache
def used(path: Path) -> tuple[set[str], set[str]]:
    """Every module that ``path`` imports, inside functions too, and every bare name that it calls."""
    modules: set[str] = set()
    calls: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        match node:
            case ast.Import(names=names):
                modules.update(alias.name for alias in names)
            case ast.ImportFrom(module=str(module), level=0):
                modules.add(module)
            case ast.Call(func=ast.Name(id=name)):
                calls.add(name)
    return modules, calls


def imported(path: Path) -> set[str]:
    return used(path)[0]


@pytest.mark.parametrize("room", sorted(ROOMS))
def test_a_room_has_doors_only_where_the_floor_plan_shows_them(room: str) -> None:
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in sources(room)
        for name in imported(path)
        if (top := name.split(".")[0]) in ROOMS and top != room and top not in MAY_SEE[room]
    ]
    assert wrong == []


@pytest.mark.parametrize("library", sorted(ONLY_IN))
def test_a_library_is_seen_only_where_it_belongs(library: str) -> None:
    allowed = ONLY_IN[library]
    wrong = [
        str(path.relative_to(ROOT))
        for room in sorted(ROOMS)
        for path in sources(room)
        if any(name.split(".")[0] == library for name in imported(path))
        and not any(path.relative_to(ROOT).is_relative_to(place) for place in allowed)
    ]
    assert wrong == []


@pytest.mark.parametrize("room", NO_CLOCK)
def test_the_pure_rooms_have_neither_clock_nor_network(room: str) -> None:
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in sources(room)
        for name in imported(path)
        if name.split(".")[0] in {"time", "socket", "asyncio", "requests", "httpx2", "urllib3"}
    ]
    assert wrong == []


def test_nothing_imports_pickle_or_evaluates_text() -> None:
    wrong = [
        f"{path.relative_to(ROOT)} uses {what}"
        for room in sorted(ROOMS)
        for path in sources(room)
        for what in loaders(path)
    ]
    assert wrong == []


def loaders(path: Path) -> list[str]:
    modules, calls = used(path)
    stores = {"pickle", "joblib", "shelve", "marshal"}
    return [*calls & {"eval", "exec"}, *(name for name in modules if name.split(".")[0] in stores)]


def test_nobody_else_ships_our_room_names() -> None:
    others = {
        f"{dist.metadata['Name']} ships {file}"
        for dist in distributions()
        if dist.metadata["Name"] != "watchkeeper"
        for file in dist.files or ()
        if file.parts[0].removesuffix(".py") in ROOMS
    }
    assert others == set()


def test_the_hall_stays_under_two_fifths_of_the_code() -> None:
    lines = {room: sum(len(p.read_text().splitlines()) for p in sources(room)) for room in ROOMS}
    share = lines["gateway"] / sum(lines.values())
    assert share < 0.42, f"gateway/ is {share:.0%} of the code: {lines}"
