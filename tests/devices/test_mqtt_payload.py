"""What payloads say: paths, numbers, times."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices.mqtt_payload import PayloadError, column_path, compile_path, number, parser, pick, time_ns

DOCUMENT = {"vib": 2.5, "motor": {"phases": [{"current": 4}, {"current": 5}], "a.b": "7"}, "list": [[1, 2]]}


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("vib", 2.5),
        ("motor.phases[1].current", 5),
        ('motor["a.b"]', "7"),
        ("list[0][1]", 2),
        ("motor.phases[2].current", None),
        ("vib.deeper", None),
        ("vib[0]", None),
        ("list.vib", None),
        ("absent", None),
    ],
)
def test_a_path_finds_its_place(path: str, found: object) -> None:
    assert pick(DOCUMENT, compile_path(path)) == found


def test_a_text_is_not_a_list_of_characters() -> None:
    assert pick({"vib": "25"}, compile_path("vib[0]")) is None


@pytest.mark.parametrize("path", [".a", "a..b", "a[", "a[x]", "a[-1]", 'a["b', "a."])
def test_what_is_no_path_is_refused(path: str) -> None:
    with pytest.raises(ValueError, match="is not a path like"):
        compile_path(path)


def test_a_column_is_named_or_counted() -> None:
    assert column_path("vib", ("ts", "vib")) == (1,)
    assert column_path("[3]", ("ts", "vib")) == (3,)
    with pytest.raises(ValueError, match=r"neither one of columns"):
        column_path("flow", ("ts", "vib"))


@pytest.mark.parametrize(
    ("value", "expected"),
    [(2, 2.0), (True, 1.0), (False, 0.0), ("2.5", 2.5), (" -1e3 ", -1000.0)],
)
def test_numbers(value: object, expected: float) -> None:
    assert number(value) == expected


@pytest.mark.parametrize("value", [None, "", "on", "1_0", "nan", "inf", "1,5", [], {}, 10**400, float("inf")])
def test_what_is_no_finite_number_is_nan(value: object) -> None:
    assert math.isnan(number(value))


SECOND = 1_700_000_000_000_000_000


@pytest.mark.parametrize(
    "value",
    [
        1_700_000_000,
        1_700_000_000_000,
        1_700_000_000_000_000,
        SECOND,
        1_700_000_000.0,
        "1700000000",
        " 1700000000000 ",
        "1.7e9",
        "2023-11-14T22:13:20Z",
        "2023-11-14T22:13:20",
        "2023-11-15T06:13:20+08:00",
    ],
)
def test_a_time_is_told_from_its_size(value: object) -> None:
    assert time_ns(value, None) == SECOND


def test_a_time_unit_can_be_said() -> None:
    assert time_ns(1000, "ms") == 1_000_000_000
    assert time_ns(1_700_000_000.123, "s") == 1_700_000_000_123_000_000


@pytest.mark.parametrize(
    "value", [None, True, "yesterday", "", -5, 0, math.nan, math.inf, 10**30, [], "0001-01-01T"]
)
def test_what_is_no_time_is_none(value: object) -> None:
    assert time_ns(value, None) is None


@pytest.mark.parametrize(
    ("kind", "payload"),
    [
        ("json", b"{"),
        ("json", b""),
        ("json", b'"\xff"'),
        ("json", b"[" * 100_000),
        ("plain", b"\xff"),
        ("csv", b"1,2\n3,4"),
        ("csv", b""),
        ("csv", b'"1,2'),
    ],
)
def test_poison_is_a_payload_error(kind: str, payload: bytes) -> None:
    with pytest.raises(PayloadError):
        parser(kind, ",")(payload)  # type: ignore[arg-type]


def test_csv_and_plain() -> None:
    assert parser("csv", ";")(b'1.5; 2 ;"a;b"\r\n') == ["1.5", "2", "a;b"]
    assert parser("plain", ",")(b" 12.5\n") == "12.5"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=4),
    max_leaves=12,
)


@given(json_values, st.sampled_from(["a", "a.b[0]", "[1].c", "b"]))
def test_any_json_gives_a_number_or_nan_and_a_time_or_none(document: object, path: str) -> None:
    found = pick(parser("json", ",")(json.dumps(document).encode()), compile_path(path))
    assert isinstance(number(found), float)
    assert isinstance(time_ns(found, None), int | None)


@given(st.binary(max_size=300), st.sampled_from(["json", "csv", "plain"]))
def test_any_bytes_are_a_document_or_a_payload_error(payload: bytes, kind: str) -> None:
    try:
        document = parser(kind, ",")(payload)  # type: ignore[arg-type]
    except PayloadError:
        return
    number(pick(document, (0,)))
    number(pick(document, ()))
    time_ns(pick(document, ()), None)


@given(st.text(max_size=30))
def test_any_text_is_a_path_or_refused(text: str) -> None:
    try:
        path = compile_path(text)
    except ValueError:
        return
    assert all(isinstance(step, int | str) for step in path)
