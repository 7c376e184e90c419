"""What can be said about lines and devices before anything opens."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from devices.kinds import KINDS, clashes, overloads
from devices.modbus import ModbusTcpLine
from devices.modbus_map import ModbusDevice

SECOND = timedelta(seconds=1)


def a_device(points: dict[str, Any], **more: Any) -> ModbusDevice:
    return ModbusDevice.model_validate({"line": "bus", "period": SECOND, "points": points} | more)


@pytest.mark.parametrize(
    ("points", "words"),
    [
        ({"p/a": {"address": 65536}}, "less than or equal to 65535"),
        ({"p/a": {"address": 65535, "type": "f32"}}, "ends beyond 65535"),
        ({"p/a": {"address": 0, "order": "ACBD"}}, "'ABCD', 'CDAB', 'BADC'"),
        ({"p/a": {"address": 0, "type": "f32", "order": "ABCDEFGH"}}, "does not suit f32; one of ABCD, CDAB"),
        ({"p/a": {"address": 0, "type": "string"}}, "'f32'"),
        ({"p/a": {"address": 0, "type": "bit"}}, "bit = 0..15 belong together"),
        ({"p/a": {"address": 0, "table": "coil", "type": "u16"}}, "a coil is one bit by itself"),
        ({"p/a": {"address": 0, "range": [5, 1]}}, r"\[5, 1\] is empty"),
        ({"p/a": {"address": 0, "scael": 2}}, "scael"),
        ({"p": {"address": 0}}, "pattern"),
        ({}, "at least 1"),
        (
            {"p/a": {"address": 0, "type": "f32"}, "p/b": {"address": 1}},
            r"p/a \(holding 0..1\) and p/b \(holding 1\) overlap: correct an address or a type",
        ),
    ],
)
def test_a_wrong_point_says_what_was_found_and_what_would_do(points: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        a_device(points)


def test_one_register_may_be_two_signals_and_its_bits() -> None:
    word = {"address": 4, "type": "u16"}
    device = a_device(
        {"p/a": word, "p/b": word | {"scale": 2.0}, "p/c": {"address": 4, "type": "bit", "bit": 3}}
    )
    assert device.signals() == ("p/a", "p/b", "p/c")
    assert a_device({"p/a": {"address": 4}, "p/b": {"address": 4, "table": "input"}})


def test_devices_of_one_type_hold_their_map_once() -> None:
    one, two = (a_device({f"{name}/a": {"address": 7, "type": "f32"}}) for name in "pq")
    assert one.points["p/a"] is two.points["q/a"]


def test_points_with_periods_of_their_own_are_polled_apart() -> None:
    device = a_device({"p/a": {"address": 0}, "p/b": {"address": 1, "period": timedelta(milliseconds=100)}})
    assert [(period.total_seconds(), list(points)) for period, points in device.groups().items()] == [
        (0.1, ["p/b"]),
        (1.0, ["p/a"]),
    ]


def rtu(**more: Any) -> Any:
    return KINDS["modbus-rtu"].line.model_validate({"kind": "modbus-rtu", "port": "/dev/ttyS0"} | more)


def test_a_period_that_the_wire_cannot_give_is_told() -> None:
    points = {f"p/r{n}": {"address": 40 * n, "type": "f32"} for n in range(60)}
    [clash] = overloads(
        {"bus": rtu(baud=9600)}, {"slow": a_device(points), "quick": a_device({"q/a": {"address": 0}})}
    )
    assert clash.key == "line.bus"
    assert "% of the line's time is asked for, most by slow" in clash.found
    assert overloads({"bus": rtu(baud=9600)}, {"slow": a_device(points, period=10 * SECOND)}) == []
    assert overloads({"bus": ModbusTcpLine(kind="modbus-tcp", host="h")}, {"slow": a_device(points)}) == []


def test_one_port_is_one_line() -> None:
    [clash] = clashes({"one": rtu(), "two": rtu()}, {})
    assert (clash.key, clash.found) == ("line.two.port", "/dev/ttyS0, which is line one")


def test_who_is_listened_to_has_the_line_for_itself() -> None:
    kind = KINDS["serial-ascii"]
    line = kind.line.model_validate({"kind": "serial-ascii", "port": "/dev/ttyS1"})
    common = {"line": "panel", "pattern": "(?P<v>.*)"}
    devices = {
        "asked": kind.device.model_validate(common | {"request": "?", "points": {"a/v": {"field": "v"}}}),
        "heard": kind.device.model_validate(common | {"points": {"b/v": {"field": "v"}}}),
    }
    assert [clash.key for clash in clashes({"panel": line}, devices)] == ["device.heard.request"]
    assert clashes({"panel": line}, {"heard": devices["heard"]}) == []
