"""Device profiles: each shipped one is sound, and a site's devices take their points from them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError
from pymodbus.client import ModbusTcpClient
from typer.testing import CliRunner

from devices.modbus_map import ModbusDevice
from devices.modbus_pdu import Question
from devices.plan import Cost, plan
from devices.profile import SHIPPED, load, named, names
from devices.register import Decoder
from gateway.commands import app
from gateway.config import load_site
from gateway.mistakes import ConfigError
from gateway.site import UNITS
from gateway.trial import _held, _number
from simulators.image import Image, encode

EXAMPLE = Path(__file__).parents[2] / "examples" / "demo"


def a_device(**more: Any) -> ModbusDevice:
    return ModbusDevice.model_validate({"line": "bus"} | more)


def test_there_are_profiles_for_every_kind_of_thing() -> None:
    found = [load(path) for path in names().values()]
    assert len(found) >= 12
    kinds = {"energy meter", "drive", "compressor", "vibration", "temperature", "flow", "environment"}
    assert {profile.category for profile in found} == kinds


@pytest.mark.parametrize("name", sorted(names()))
def test_a_shipped_profile_names_its_source_and_units_that_sites_know(name: str) -> None:
    profile = named(name)
    assert len(profile.source) > 30
    assert {point.unit for point in profile.points.values()} <= UNITS


@pytest.mark.parametrize("name", sorted(names()))
def test_every_number_that_a_device_holds_is_read_as_it_is(name: str) -> None:
    """The simulated device encodes by itself; only addresses, types and orders are shared."""
    profile = named(name)
    device = a_device(profile=name, asset="trial")
    numbers = {point: _number(profile, point, n) for n, point in enumerate(profile.points)}
    image = Image([_held(device, point, raw) for point, raw in numbers.items()])
    registers = [point.register() for point in device.points.values()]
    blocks = plan(registers, Cost.rtu(9600), device.max_registers)
    data = b"".join(Question(block).data(image.answer(Question(block).pdu)) for block in blocks)
    values, quality = np.empty(len(registers)), np.zeros(len(registers), dtype=np.uint8)
    Decoder(registers, blocks).decode(data, values, quality)
    held = [raw * r.scale + r.offset for raw, r in zip(numbers.values(), registers, strict=True)]
    assert not quality.any()
    assert values == pytest.approx(held, rel=1e-6)


@pytest.mark.parametrize("type_", ["i16", "u16", "i32", "u32", "i64", "u64", "f32", "f64"])
def test_the_simulated_device_encodes_as_pymodbus_does(type_: str) -> None:
    kind = {"i": "INT", "u": "UINT", "f": "FLOAT"}[type_[0]] + type_[1:]
    number = 21.5 if type_[0] == "f" else 12_345
    datatype = ModbusTcpClient.DATATYPE[kind]
    assert list(encode(type_, "ABCD", number)) == ModbusTcpClient.convert_to_registers(number, datatype)
    swapped = ModbusTcpClient.convert_to_registers(number, datatype, word_order="little")
    assert list(encode(type_, "CDAB", number)) == swapped


def test_points_are_chosen_renamed_and_changed() -> None:
    device = a_device(
        profile="eastron-sdm630",
        unit_id=7,
        points={
            "pump-1/current": "current_l1",
            "pump-1/power": {"point": "power", "scale": 0.001, "unit": "kW"},
            "pump-1/own": {"address": 900},
        },
    )
    assert device.signals() == ("pump-1/current", "pump-1/power", "pump-1/own")
    assert device.points["pump-1/current"].register().span == ("input", 6, 8)
    assert device.points["pump-1/power"].scale == 0.001
    assert device.points["pump-1/own"].table == "holding"
    assert device.units() == {"pump-1/current": "A", "pump-1/power": "kW"}
    assert (device.unit_id, device.max_registers) == (7, 80)  # its own, and the profile's


def test_an_asset_takes_all_points_or_some() -> None:
    assert len(a_device(profile="eastron-sdm120", asset="meter").points) == 13
    some = a_device(profile="eastron-sdm120", asset="meter", only=["power", "energy"])
    assert some.signals() == ("meter/power", "meter/energy")
    assert a_device(profile="cryomech-cpa", asset="c").unit_id == 16


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"profile": "eastron-sdm63"}, "no profile 'eastron-sdm63'; did you mean 'eastron-sdm630'"),
        ({"profile": "eastron-sdm630"}, "which points"),
        (
            {"profile": "xy-md02", "asset": "a", "only": ["temperatur"]},
            "no point 'temperatur'; did you mean 'temperature'",
        ),
        ({"profile": "xy-md02", "points": {"a/b": "hum"}}, "no point 'hum'; there are temperature, humidity"),
        ({"profile": "xy-md02", "only": ["humidity"]}, "only needs asset"),
        ({"asset": "a", "points": {"a/b": {"address": 1}}}, "name one, such as"),
    ],
)
def test_a_mistake_says_what_would_do(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        a_device(**settings)


def a_site(folder: Path, point: str) -> Path:
    for file in EXAMPLE.glob("*.toml"):
        (folder / file.name).write_text(file.read_text())
    (folder / "profiles").mkdir()
    (folder / "profiles" / "ours.toml").write_text(
        'title = "Our sensor"\ncategory = "vibration"\nsource = "our own drawing 4711"\n'
        '[points]\nspeed = { address = 4, unit = "rpm" }\nvib = { address = 6, unit = "mm/s" }\n'
    )
    text = (EXAMPLE / "devices.toml").read_text()
    start, end = text.index("[device.motor-monitor]"), text.index("[device.compressor-panel]")
    device = f'[device.motor-monitor]\nline = "field-bus"\nprofile = "ours"\n{point}\n\n'
    (folder / "devices.toml").write_text(text[:start] + device + text[end:])
    return folder


def test_a_site_has_profiles_of_its_own(tmp_path: Path) -> None:
    site = load_site(a_site(tmp_path, 'points = { "motor-1/speed" = "speed" }'))
    assert site.devices["motor-monitor"].signals() == ("motor-1/speed",)


def test_a_profiles_unit_must_be_the_signals(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"rpm where the signal is in A") as raised:
        load_site(a_site(tmp_path, 'points = { "motor-1/current" = "speed" }'))
    assert len(raised.value.mistakes) == 1


def test_the_commands_list_show_and_try(tmp_path: Path) -> None:
    def run(*words: str) -> Any:
        return CliRunner().invoke(app, ["profiles", *words])

    assert "eastron-sdm630" in run("list").output
    shown = run("show", "witmotion-wtvb01")
    assert "user manual v2.5-05-06" in shown.output
    assert "unit_id = 80" in shown.output
    assert run("show", "nothing").exit_code == 2
    tried = run("test", "carlo-gavazzi-em24")
    assert tried.exit_code == 0, tried.output
    assert "modbus-rtu  17 of 17 points right" in tried.output
    wrong = tmp_path / "wrong.toml"
    wrong.write_text((SHIPPED / "xy-md02.toml").read_text().replace("address = 2", "address = 70000"))
    assert "less than or equal to 65535" in run("test", str(wrong)).output
