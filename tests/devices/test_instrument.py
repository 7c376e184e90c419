"""ASCII instruments by configuration, on pseudo-terminals; and the sentences without a wire."""

from __future__ import annotations

import asyncio
import math
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from devices.batch import Reason, bad
from devices.instrument import InstrumentDevice, SerialAsciiLine, TextLines
from devices.kinds import open_sources
from devices.sentence import Checksum, Sentence
from devices.source import Source

LOST = bad(Reason.COMM_LOST)
DEMO = {
    "line": "panel",
    "period": timedelta(milliseconds=50),
    "timeout": timedelta(milliseconds=100),
    "retries": 0,
    "request": "MEAS?\r\n",
    "pattern": r"P=(?P<P>\S+) T=(?P<T>\S+)",
    "checksum": "xor",
    "points": {"c/p": {"field": "P"}, "c/t": {"field": "T", "scale": 10, "range": [0, 1000]}},
}


def a_source(path: str, **changes: Any) -> Source:
    line = SerialAsciiLine.model_validate({"kind": "serial-ascii", "port": path})
    device = InstrumentDevice.model_validate({k: v for k, v in (DEMO | changes).items() if v is not None})
    [source] = open_sources({"panel": line}, {"box": device})
    return source


def signed(text: str) -> bytes:
    total = 0
    for byte in text.encode():
        total ^= byte
    return f"{text}*{total:02X}\r\n".encode()


@pytest.mark.anyio
async def test_an_instrument_is_asked_and_its_answer_read(pty: Any, inbox: Any, running: Any) -> None:
    heard = []
    pty.hear = lambda data: (heard.append(data), pty.say(signed("P=7.02 T=8.13")))
    async with running(a_source(pty.path), inbox):
        batch = (await inbox.wait(2))[-1]
    assert heard[0] == b"MEAS?\r\n"
    assert batch.signals.names == ("c/p", "c/t", "box/online")
    assert batch.values.tolist() == [7.02, pytest.approx(81.3), 1.0]
    assert batch.quality.tolist() == [0, 0, 0]


@pytest.mark.anyio
async def test_an_echo_is_passed_over_and_slices_are_joined(pty: Any, inbox: Any, running: Any) -> None:
    def answer(data: bytes) -> None:
        for n, part in enumerate((data, signed("P=7.02 T=8.13")[:9], signed("P=7.02 T=8.13")[9:])):
            asyncio.get_running_loop().call_later(0.003 * n, pty.say, part)

    pty.hear = answer
    async with running(a_source(pty.path), inbox):
        batch = (await inbox.wait(2))[-1]
    assert batch.values.tolist() == [7.02, pytest.approx(81.3), 1.0]


@pytest.mark.anyio
async def test_a_wrong_checksum_is_no_value_and_is_named(pty: Any, inbox: Any, running: Any) -> None:
    pty.hear = lambda _: pty.say(b"P=7.02 T=8.13*00\r\n")
    source = a_source(pty.path)
    async with running(source, inbox):
        await inbox.wait(1)
        assert source.status().devices[0].detail == "checksum wrong in 'P=7.02 T=8.13*00'"
    assert {tuple(batch.quality) for batch in inbox.batches} == {(LOST, LOST, 0)}


@pytest.mark.anyio
async def test_a_late_answer_is_never_the_next_ones(pty: Any, inbox: Any, running: Any) -> None:
    count = 0

    def answer(_: bytes) -> None:
        nonlocal count
        count += 1
        asyncio.get_running_loop().call_later(0.15 if count == 3 else 0, pty.say, signed(f"P={count} T=1"))

    pty.hear = answer
    async with running(a_source(pty.path), inbox):
        await inbox.until(lambda _: count > 8)
    seen = [batch.values[0] for batch in inbox.batches if batch.quality[0] == 0]
    assert 3.0 not in seen
    assert seen == sorted(set(seen))


@pytest.mark.anyio
async def test_an_instrument_that_speaks_by_itself_is_listened_to(pty: Any, inbox: Any, running: Any) -> None:
    source = a_source(pty.path, request=None, checksum=None)
    async with running(source, inbox):
        await inbox.until(lambda _: source.status().up and source.status().counts.get("opened", 0) == 1)
        for n in range(4):
            pty.say(b"noise\r\nP=%d T=2\r\n" % n)
            await inbox.until(lambda batches, n=n: batches and batches[-1].values[0] == n)
    assert source.status().counts["garbled"] == 4


def test_a_field_that_is_no_number_is_bad_and_alone() -> None:
    sentence = Sentence(r"(?P<a>\S+) (?P<b>\S+)(?: (?P<c>\S+))?", None, ["a", "b", "c"])
    assert sentence.fault(b"1,5 ERR") is None
    a, b, c = sentence.numbers(b"1,5 ERR")
    assert a == 1.5
    assert math.isnan(b)
    assert math.isnan(c)


@pytest.mark.parametrize(
    ("checksum", "line"),
    [
        ({"kind": "xor", "start": "$"}, b"$GPGLL,5300.97914,N,00259.98174,E,125926,A*28"),  # NMEA 0183
        ({"kind": "crc16-ccitt"}, b"123456789*29B1"),  # the check values of the CRC catalogue
        ({"kind": "crc16-xmodem"}, b"123456789*31C3"),
        ({"kind": "crc16-modbus"}, b"123456789*4B37"),
        ({"kind": "sum8", "separator": ""}, b"123456789DD"),
        ({"kind": "lrc", "separator": ":"}, b"123456789:23"),
    ],
)
def test_checksums_as_the_world_reckons_them(checksum: dict[str, str], line: bytes) -> None:
    check = Checksum.model_validate(checksum)
    assert check.strip(line) is not None
    broken = line.replace(b"3", b"4", 1) if b"3" in line[:-4] else line[:1] + b"X" + line[2:]
    assert check.strip(broken) is None


@given(st.binary(max_size=80))
def test_no_line_of_bytes_breaks_a_sentence(line: bytes) -> None:
    for checksum in (None, Checksum(kind="xor"), Checksum(kind="crc16-modbus", separator="")):
        sentence = Sentence(r"(?P<a>[^*]*)", checksum, ["a"])
        if sentence.fault(line) is None:
            sentence.numbers(line)


@given(st.lists(st.binary(min_size=1, max_size=20)), st.integers(1, 5))
def test_lines_come_out_whole_however_they_are_sliced(lines: list[bytes], size: int) -> None:
    lines = [line.replace(b"\n", b"").strip() for line in lines]
    stream = b"".join(line + b"\n" for line in lines)
    cutter = TextLines(b"\n")
    found = [line for at in range(0, len(stream), size) for line in cutter.take(stream[at : at + size])]
    assert found == [line for line in lines if line]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"pattern": "(?P<P>"}, "no regular expression"),
        ({"pattern": "P=(.*)"}, "names no field"),
        ({"points": {"c/p": {"field": "Q"}}}, "no field 'Q' in the pattern; it has P, T"),
        ({"period": timedelta()}, "above zero"),
        ({"checksum": "md5"}, "xor"),
    ],
)
def test_a_wrong_setting_says_what_would_do(change: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        InstrumentDevice.model_validate(DEMO | change)
