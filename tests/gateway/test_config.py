"""The site folder: every mistake at once, each with file, key, what was found and what would do."""

from __future__ import annotations

import json
import shutil
import tomllib
from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings, strategies

from gateway.config import load_site
from gateway.mistakes import ConfigError

EXAMPLE = Path(__file__).parents[2] / "examples" / "demo"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(EXAMPLE, tmp_path / "site"))


def change(folder: Path, file: str, old: str, new: str) -> None:
    text = (folder / file).read_text()
    assert old in text
    (folder / file).write_text(text.replace(old, new, 1))


def mistakes(folder: Path) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load_site(folder)
    return [str(mistake) for mistake in caught.value.mistakes]


def test_the_example_is_right(folder: Path) -> None:
    site = load_site(folder)
    assert list(site.assets) == ["pump-1", "motor-1", "compressor-1", "fan-1"]
    assert site.spool.interval == timedelta(milliseconds=250)
    assert site.signal("pump-1/vib_rms").unit == "mm/s"  # type: ignore[union-attr]


# file, what stands there, what somebody wrote, what the line must say
SLIPS = [
    ("site.toml", 'id = "demo"', 'id = "Demo Plant"', ["site.toml: site.id", "'Demo Plant'"]),
    (
        "site.toml",
        'name = "Demo plant',
        'nmae = "Demo plant',
        ["site.toml: site.nmae", "did you mean 'name'?"],
    ),
    ("site.toml", 'interval = "250ms"', 'interval = "quick"', ["spool.interval", "'quick'", '"500ms"']),
    ("site.toml", 'host = "127.0.0.1"', 'host = "0.0.0.0"', ["site.toml: web", "names, certificate and key"]),
    (
        "site.toml",
        'id = "demo"',
        'core = "postgres://wk:pw@db/wk"\nid = "demo"',
        ["site.toml: site.core: found no PostgreSQL address; postgresql://user@host/database"],
    ),
    ("site.toml", 'state = "state"', 'gateway = "two words"', ["site.toml: site.gateway", "'two words'"]),
    ("site.toml", "[web]", "[wbe]", ["site.toml: wbe", "did you mean 'web'?"]),
    ("site.toml", "[web]", "[web", ["site.toml: found", "valid TOML"]),
    (
        "assets.toml",
        'unit = "mm/s"',
        'unit = "mm/sec"',
        ["class.pump.signals.vib_rms.unit", "did you mean 'mm/s'?"],
    ),
    ("assets.toml", 'class = "pump"', 'class = "pmup"', ["asset.pump-1.class", "did you mean 'pump'?"]),
    ("assets.toml", 'criticality = "A"', 'criticality = "Z"', ["asset.pump-1.criticality", "'Z'"]),
    ("assets.toml", 'criticality = "A"', 'parent = "pump-1"', ["asset.pump-1.parent", "below itself"]),
    (
        "assets.toml",
        'criticality = "A"',
        "params = { vibrato = { high = 5 } }",
        ["did you mean 'vibration'?"],
    ),
    (
        "assets.toml",
        'criticality = "A"',
        "params = { vibration = { hihg = 5 } }",
        ["vibration", "no parameter hihg", "high"],
    ),
    ("devices.toml", 'kind = "modbus-tcp"', 'kind = "modbus"', ["line.plc.kind", "'modbus'", "modbus-tcp"]),
    ("devices.toml", 'line = "plc"', 'line = "plcc"', ["device.plc-1.line", "did you mean 'plc'?"]),
    ("devices.toml", 'type = "f32" }', 'type = "float" }', ["plc-1.points.pump-1/vib_rms.type", "'float'"]),
    ("devices.toml", '"pump-1/vib_rms"', '"pump-1/vib_rmss"', ["pump-1/vib_rmss", "did you mean 'vib_rms'"]),
    ("devices.toml", '"pump-1/vib_rms"', '"pump-9/vib_rms"', ["no such asset", "did you mean 'pump-1'?"]),
    ("devices.toml", '"motor-1/vib_rms"', '"pump-1/vib_rms"', ["read by plc-1 too"]),
    ("rules.toml", "v > warn and", "v > wran and", ["rule.vibration", "wran"]),
    ("rules.toml", 'failure_mode = "VIB"', 'failure_mode = "SHAKE"', ["failure_mode", "SHAKE", "VIB"]),
    (
        "rules.toml",
        'scope = { class = "fan" }',
        'scope = { class = "van" }',
        ["scope.class", "did you mean 'fan'?"],
    ),
    (
        "rules.toml",
        'dp = "filter_dp"',
        'dp = "filter"',
        ["rule.filter-clogged.signals", "did you mean 'filter_dp'?"],
    ),
    ("models.toml", 'kind = "t2"', 'kind = "t3"', ["model.machine.kind", "'t3'", "t2"]),
    (
        "models.toml",
        'signals = ["vib_rms"]',
        'signals = ["vib"]',
        ["model.vibration.signals", "did you mean 'vib_rms'?"],
    ),
    ("models.toml", 'kind = "ewma"', 'kind = "t2"', ["model.vibration", "which model machine writes too"]),
    ("people.toml", 'role = "lead"', 'role = "boss"', ["person.wang.role", "'boss'"]),
]


@pytest.mark.parametrize(("file", "old", "new", "words"), SLIPS, ids=[slip[2] for slip in SLIPS])
def test_a_slip_is_named_with_file_key_and_remedy(
    folder: Path, file: str, old: str, new: str, words: list[str]
) -> None:
    change(folder, file, old, new)
    said = mistakes(folder)
    assert any(line.startswith(file) and all(word in line for word in words) for line in said), said


def test_a_device_is_not_named_like_an_asset(folder: Path) -> None:
    path = folder / "devices.toml"
    path.write_text(path.read_text().replace("device.plc-1", "device.pump-1"))
    said = "devices.toml: device.pump-1: found 'pump-1'; an asset has this name; give the device another"
    assert said in mistakes(folder)


def test_all_mistakes_come_at_once_and_none_that_only_follow_from_another(folder: Path) -> None:
    change(folder, "site.toml", 'interval = "250ms"', 'interval = "quick"')
    change(folder, "assets.toml", 'unit = "mm/s"', 'unit = "mm/sec"')  # of the class that pump-1 is of
    change(folder, "assets.toml", "range", "rnge")
    change(folder, "devices.toml", '"pump-1/flow"', '"pump-7/flow"')
    change(folder, "models.toml", 'kind = "ewma"', 'kind = "emwa"')
    change(folder, "people.toml", 'role = "lead"', 'role = "boss"')
    keys = [line.split(": ")[1] for line in mistakes(folder)]
    assert sorted(keys) == [
        "class.pump.signals.vib_rms.rnge",
        "class.pump.signals.vib_rms.unit",
        'device.plc-1.points."pump-7/flow"',
        "model.vibration.kind",
        "person.wang.role",
        "spool.interval",
    ]


NONSENSE = [
    0,
    -1,
    10**19,
    1e308,
    float("nan"),
    "",
    "5s",
    "\x00",
    "a/b/c",
    "é" * 5000,
    [],
    [1],
    ["a"],
    {},
    {"a": 1},
    True,
]
NONSENSE += [{"env": "NOPE"}, {"file": "."}, {"kind": "mqtt"}, [[{}]], "{asset}/x", "vib_rms > 1"]


def places(tree: Any) -> Iterator[tuple[Any, Any]]:
    """Every container within ``tree`` with each of its keys."""
    for key, value in tree.items() if isinstance(tree, dict) else enumerate(tree):
        yield tree, key
        if isinstance(value, dict | list):
            yield from places(value)


def toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(key)} = {toml(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    return json.dumps(value).lower() if isinstance(value, bool | float) else json.dumps(value)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(random=strategies.randoms(use_true_random=False))
def test_nonsense_anywhere_is_a_mistake_and_no_crash(folder: Path, random: Random) -> None:
    for _ in range(random.randint(1, 3)):
        file = random.choice(sorted(EXAMPLE.glob("*.toml")))
        tree = tomllib.loads(file.read_text())
        holder, key = random.choice(list(places(tree)))
        holder[key] = random.choice(NONSENSE)
        lines = [f"{json.dumps(name)} = {toml(value)}\n" for name, value in tree.items()]
        (folder / file.name).write_text("".join(lines))
    with suppress(ConfigError):
        load_site(folder)


@pytest.mark.parametrize("file", ["secret", "$CREDENTIALS_DIRECTORY/secret"])
def test_a_secret_comes_from_a_file_or_the_environment(
    folder: Path, monkeypatch: pytest.MonkeyPatch, file: str
) -> None:
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(folder))
    (folder / "secret").write_text("s3cret\n")
    path = folder / "site.toml"
    head, _, rest = path.read_text().partition("[store]")
    store = ['[store]\nkind = "influxdb"', 'url = "http://127.0.0.1:8086"', 'database = "plant"']
    secrets = [f'password = {{ file = "{file}" }}', 'token = { env = "WK_TOKEN" }']
    path.write_text("\n".join([head, *store, *secrets, "[web]" + rest.partition("[web]")[2]]))
    monkeypatch.setenv("WK_TOKEN", "t0ken")
    store_settings = load_site(folder).store
    assert store_settings.password.get_secret_value() == "s3cret"  # type: ignore[union-attr]
    assert store_settings.token.get_secret_value() == "t0ken"  # type: ignore[union-attr]
    monkeypatch.delenv("WK_TOKEN")
    assert "WK_TOKEN unset" in mistakes(folder)[0]


def test_a_folder_without_a_site_is_one_line(tmp_path: Path) -> None:
    assert mistakes(tmp_path) == [
        f"{tmp_path}: found no site.toml there; name a site folder, such as examples/demo"
    ]
