"""Questions, answers and frames without a wire; pymodbus is the oracle, and any bytes may come."""

from __future__ import annotations

import asyncio
import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymodbus.framer import FramerAscii, FramerRTU
from pymodbus.pdu import DecodePDU
from pymodbus.pdu.mei_message import ReadDeviceInformationResponse

from devices.batch import DeviceError
from devices.modbus_frame import AsciiFraming, Frame, RtuFraming, crc16
from devices.modbus_pdu import Question, RefusedError, answer_size, identification, is_reading
from devices.modbus_wire import SharedWire, TcpWire
from devices.register import Block
from devices.wire import GarbledError, tcp_opener

pdus = st.one_of(
    st.binary(min_size=2, max_size=250).map(
        lambda data: bytes((3, len(data) // 2 * 2)) + data[: len(data) // 2 * 2]
    ),
    st.sampled_from((1, 2, 3, 4)).flatmap(
        lambda code: st.integers(1, 11).map(lambda e: bytes((code | 0x80, e)))
    ),
)


@given(st.binary(max_size=260))
def test_the_crc_is_pymodbus_crc(data: bytes) -> None:
    assert crc16(data).to_bytes(2, "little") == FramerRTU.compute_CRC(data).to_bytes(2, "big")


@given(st.integers(1, 247), pdus)
def test_frames_are_those_of_pymodbus_and_come_back(unit_id: int, pdu: bytes) -> None:
    decoder = DecodePDU(False)
    for framing, oracle in ((RtuFraming(), FramerRTU(decoder)), (AsciiFraming(), FramerAscii(decoder))):
        frame = framing.wrap(unit_id, pdu)
        assert frame == oracle.encode(pdu, unit_id, 0)
        assert len(frame) == framing.characters(len(pdu))
        buffer = bytearray(frame)
        assert framing.take(buffer) == Frame(unit_id, pdu)
        assert not buffer


@given(st.integers(1, 247), pdus, st.binary(max_size=3))
def test_a_frame_cut_anywhere_is_waited_for(unit_id: int, pdu: bytes, noise: bytes) -> None:
    for framing in (RtuFraming(), AsciiFraming()):
        frame = framing.wrap(unit_id, pdu)
        for cut in range(len(frame)):
            assert framing.take(bytearray(frame[:cut])) is None
    assert (
        AsciiFraming().take(bytearray(noise.replace(b"\n", b"") + AsciiFraming().wrap(unit_id, pdu)))
        is not None
    )


@given(st.integers(1, 247), pdus, st.data())
def test_no_single_turned_bit_passes(unit_id: int, pdu: bytes, draw: st.DataObject) -> None:
    for framing in (RtuFraming(), AsciiFraming()):
        frame = bytearray(framing.wrap(unit_id, pdu))
        bit = draw.draw(st.integers(0, 8 * len(frame) - 1))
        frame[bit // 8] ^= 1 << bit % 8
        try:
            found = framing.take(frame)
        except GarbledError:
            found = None
        # Upper or lower case of a hexadecimal digit is the same digit.
        assert found is None or (isinstance(framing, AsciiFraming) and found == Frame(unit_id, pdu))


@given(st.lists(st.binary(max_size=300), max_size=6))
@settings(max_examples=300)
def test_no_bytes_break_a_wire(chunks: list[bytes]) -> None:
    async def feed() -> None:
        for framing in (RtuFraming(), AsciiFraming()):
            wire = SharedWire("fuzz", tcp_opener("", 0, 1.0), framing, gap=0.0, char=0.0, quarantine=0.0)
            tcp = TcpWire("fuzz", tcp_opener("", 0, 1.0))
            for each in (wire, tcp):
                each._waiting = asyncio.get_running_loop().create_future()
                for chunk in chunks:
                    each.data_received(chunk)
                if each._waiting.done():
                    each._waiting.exception()  # looked at, so that nobody misses it
            assert len(wire._buffer) < 900

    asyncio.run(feed())


@given(st.binary(max_size=260))
def test_any_answer_is_data_or_a_device_error(answer: bytes) -> None:
    assert answer_size(answer) in {None, *range(254)}
    for take in (Question(Block("holding", 0, 2)).data, identification):
        with contextlib.suppress(DeviceError):
            take(answer)


@given(st.binary(max_size=12))
def test_only_reading_is_reading(pdu: bytes) -> None:
    assert is_reading(pdu) == (
        (len(pdu) == 5 and pdu[0] in {1, 2, 3, 4}) or (len(pdu) == 4 and pdu[:2] == b"\x2b\x0e")
    )


def test_an_exception_is_named() -> None:
    with pytest.raises(RefusedError, match=r"exception 2 \(illegal address\)"):
        Question(Block("input", 0, 2)).data(b"\x84\x02")


def test_a_device_tells_who_it_is() -> None:
    answer = ReadDeviceInformationResponse(read_code=1, information={0: b"Acme", 1: b"P-7", 2: b"1.2"})
    pdu = b"\x2b" + answer.encode()
    assert identification(pdu) == {0: "Acme", 1: "P-7", 2: "1.2"}
    for cut in range(len(pdu)):
        assert answer_size(pdu[:cut]) != cut
