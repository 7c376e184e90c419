"""Every parser of what comes from outside, as a function of bytes that raises for our own bugs only.

Each is tried with good texts (``seeds``), in the everyday suite and as the beginning of ``make fuzz``.
"""

from __future__ import annotations

import asyncio
import tempfile
import tomllib
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from unittest.mock import patch

import numpy as np

from devices.batch import BAD, DeviceError
from devices.instrument import InstrumentDevice, TextLines, sentence
from devices.modbus_frame import AsciiFraming, RtuFraming
from devices.modbus_pdu import Question, identification
from devices.modbus_wire import Framing, SharedWire, TcpWire
from devices.mqtt_device import MqttDevice
from devices.mqtt_packets import LONGEST, Message, Packet, PacketReader, ProtocolError, message
from devices.mqtt_topics import Reading, Topics
from devices.register import Block, Register, compile_decoder
from devices.sparkplug_node import SparkplugDevice, SparkplugTopics
from devices.wire import GarbledError
from gateway.config import load_site
from gateway.mistakes import ConfigError
from rules.grammar import ExpressionError, parse

SITE = Path(__file__).with_name("site")
FILES = sorted(path.name for path in SITE.glob("*.toml"))
ARRIVAL = 1_800_000_000_000_000_000


@dataclass(frozen=True)
class Parser:
    """``read`` raises only for a bug; ``seeds`` are what it should be able to read."""

    read: Callable[[bytes], None]
    seeds: tuple[bytes, ...]


# Modbus. What carries a checksum is tried as it came, and as the body of a frame whose checksum is right.

MAP = (
    Register(0, "f32"), Register(2, "i16", scale=0.1, sentinel=(0x8000,)), Register(3, "bit", bit=9),
    Register(4, "bcd32"), Register(6, "u64", order="DCBA"), Register(10, "f64", range=(-1e6, 1e6)),
)  # fmt: skip
BLOCK = Block("holding", 0, 14)
QUESTION = Question(BLOCK)
ANSWER = b"\x03\x1c" + bytes(range(28))
IDENTITY = b"\x2b\x0e\x01\x01\x00\x00\x02\x00\x04Acme\x01\x03P-1"
PDUS = (ANSWER, b"\x83\x02", IDENTITY, b"\x01\x02\xcd\x01", b"\x04\x02\x12\x34")


def pdu(data: bytes) -> None:
    """An answer below any framing."""
    try:
        registers = QUESTION.data(data)
    except DeviceError:
        pass
    else:
        values, quality = np.zeros(len(MAP)), np.zeros(len(MAP), np.uint8)
        compile_decoder(MAP, (BLOCK,)).decode(registers, values, quality)
        _promised(values, quality)
    with suppress(DeviceError):
        identification(data)


def _promised(values: np.ndarray, quality: np.ndarray) -> None:
    """A value is absent exactly where its quality is bad."""
    assert (np.isnan(values) == (quality >= BAD)).all(), (values, quality)
    assert not np.isinf(values).any(), values


class Transport(asyncio.Transport):
    """A connection to nobody."""

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Nobody reads it."""

    def abort(self) -> None:
        """Nobody hangs up."""


@cache
def _loop() -> asyncio.AbstractEventLoop:
    return asyncio.new_event_loop()


def _waits(wire: TcpWire | SharedWire) -> asyncio.Future[bytes]:
    wire._transport = Transport()
    wire._waiting = future = _loop().create_future()
    return future


def _answer(waiting: asyncio.Future[bytes]) -> bytes | None:
    return waiting.result() if waiting.done() and waiting.exception() is None else None


def _pieces(data: bytes) -> Iterator[bytes]:
    """``data`` as a network may slice it."""
    step = 1 + (data[0] % 16 if data else 0)
    for at in range(0, len(data), step):
        yield data[at : at + step]


async def _nowhere(protocol: asyncio.Protocol) -> None:
    pass


def tcp(data: bytes) -> None:
    """A stream of Modbus TCP frames, in one piece and sliced."""
    for pieces in ((data,), _pieces(data)):
        wire = TcpWire("there", _nowhere)
        wire._transaction, wire._unit_id = 0x0102, 3
        waiting = _waits(wire)
        for piece in pieces:
            wire.data_received(piece)
        if (answer := _answer(waiting)) is not None:
            assert b"\x01\x02\x00\x00" in data
            pdu(answer)


def _shared(framing: Framing) -> Callable[[bytes], None]:
    def read(data: bytes) -> None:
        for stream in (data, framing.wrap(3, data[:253])):
            buffer = bytearray(stream)
            try:
                while (frame := framing.take(buffer)) is not None:
                    pdu(frame.pdu)
            except GarbledError:
                pass
            wire = SharedWire("there", _nowhere, framing, gap=0.0, char=0.0, quarantine=0.0)
            wire._unit_id, wire._code, wire._size = 3, 3, len(ANSWER)
            waiting = _waits(wire)
            for piece in _pieces(stream):
                wire.data_received(piece)
            if (answer := _answer(waiting)) is not None:
                pdu(answer)

    return read


# Instruments that speak text

INSTRUMENTS = [
    InstrumentDevice.model_validate(
        {"line": "l", "pattern": pattern, "checksum": checksum, "points": {"a/x": {"field": "x"}}}
    )
    for pattern, checksum in [
        (r"(?P<x>[-+\d.,eE_]+)( \w+)?", None),
        (r"GP[A-Z]+,(?P<x>[^,]*)(,.*)?", {"kind": "xor", "start": "$"}),
        (r"(?P<x>.*)", {"kind": "crc16-modbus", "separator": ""}),
    ]
]


def instrument(data: bytes) -> None:
    """Lines of text, with and without checksums."""
    lines = TextLines(b"\r\n")
    found = [line for piece in _pieces(data) for line in lines.take(piece)]
    for settings in INSTRUMENTS:
        form = sentence(settings)
        for line in (*found, data):
            if form.fault(line) is None:
                form.numbers(line)


# What publishers say


def packets(data: bytes) -> None:
    """A broker's bytes: the same packets however they are sliced, and whatever length is kept of each."""
    for longest in (LONGEST, 16):
        with patch("devices.mqtt_packets.LONGEST", longest):
            whole, sliced = _packets([data]), _packets(_pieces(data))
        assert whole == sliced
        for packet in whole or ():
            for v5 in (True, False):
                with suppress(ProtocolError):
                    message(packet, v5=v5)


def _packets(pieces: Iterable[bytes]) -> list[Packet] | None:
    """None if this is not MQTT: the connection ends, and what was not acknowledged comes again."""
    reader = PacketReader()
    try:
        return [packet for piece in pieces for packet in reader.feed(piece)]
    except ProtocolError:
        return None


def _reading(found: Reading) -> None:
    for batch in (*found.more, *([found.batch] if found.batch else [])):
        assert len(batch.signals.names) == len(batch.values) == len(batch.quality)
        assert isinstance(batch.time, int)
        assert 0 < batch.time < 2**63, batch.time
        _promised(batch.values, batch.quality)


def _topics(**settings: object) -> Callable[[bytes], None]:
    device = MqttDevice.model_validate({"line": "l", "topic": "t", **settings})

    def read(data: bytes) -> None:
        topics = Topics("d", device, 0.0)
        _reading(topics.read(topics.routes["t"], Message("t", data), ARRIVAL))

    return read


JSON = _topics(
    points={
        "a/vib": {"scale": 2.0, "range": [0, 1e300]},
        "a/deep": {"path": "motor.phases[1].current"},
        "a/word": {"sentinel": [-999], "path": "temp"},
    },
    time_path="ts",
    partial=True,
)
CSV = _topics(
    payload="csv", columns=["ts", "vib", "temp"], points={"a/vib": {}, "a/temp": {}}, time_path="ts"
)
PLAIN = _topics(payload="plain", points={"a/vib": {}})

NODE = SparkplugDevice.model_validate(
    {
        "line": "l",
        "group": "g",
        "node": "n",
        "points": {"a/t": {"metric": "Temp"}, "a/v": {"metric": "Volt", "device": "d", "scale": 2}},
    }
)
KINDS = ("NBIRTH/n", "NDATA/n", "NDEATH/n", "DBIRTH/n/d", "DDATA/n/d", "DDEATH/n/d", "NCMD/n")
BIRTH = bytes.fromhex(
    "0880a0f1c2b13412120a0562645365711880a0f1c2b13420045807121a0a144e6f646520436f6e74726f6c2f5265626972746820"
    "0b700012160a0454656d70100118fb9ff1c2b1342009650000764212130a04566f6c741002200a690000000000c46cc0"
)
HISTORY = bytes.fromhex("0880a0f1c2b134120d1001280118fb9ff1c2b1346500007642")


def sparkplug(data: bytes) -> None:
    """Two messages of a node whose birth is known; the first byte says of which kind and how long the first is."""
    topics = SparkplugTopics("d", NODE, 0.0)
    route = next(iter(topics.routes.values()))
    first, cut = (data[0], data[0] // len(KINDS) * 4) if data else (0, 0)
    pieces = [("NBIRTH/n", BIRTH), (KINDS[first % len(KINDS)], data[1:]), ("DDATA/n/d", data[1 + cut :])]
    for kind, body in pieces:
        topic = "spBv1.0/g/" + kind
        if topics.bind(topic, 1.0) is not None:
            _reading(topics.read(route, Message(topic, body), ARRIVAL))


# What engineers write


def rule(data: bytes) -> None:
    """An expression."""
    try:
        parse(data.decode(errors="replace"), {"v", "n"}, {"limit"})
    except ExpressionError as error:
        _one_line(error)


def _one_line(said: object) -> None:
    assert "\n" not in str(said), said


@cache
def _folder() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="watchkeeper-fuzz-"))
    for file in FILES:
        (folder / file).write_bytes(_small(file))
    return folder


def _small(file: str) -> bytes:
    return (SITE / file).read_bytes()


def config(data: bytes) -> None:
    """One file of a small site, which the first byte chooses."""
    try:
        tomllib.loads(data[1:].decode())
    except ValueError:
        return  # by far the most, and told before anything else is looked at
    except RecursionError:
        pass  # ours to tell
    file = FILES[data[0] % len(FILES) if data else 0]
    (_folder() / file).write_bytes(data[1:])
    try:
        load_site(_folder())
    except ConfigError as error:
        for mistake in error.mistakes:
            _one_line(mistake)
    finally:
        (_folder() / file).write_bytes(_small(file))


def _mbap(body: bytes) -> bytes:
    return b"\x01\x02\x00\x00" + (len(body) + 1).to_bytes(2) + b"\x03" + body


EXPRESSIONS = (
    "v > limit", "not (v > 1 and n <= 2.5e3) or v == -1", "mean(v, '5m') / max(n, 1, limit) >= 0.5", "abs(v - n) > 1",
    "slope(v, '1h') > limit", "stale(v)", "frozen(v, '10m') and n != 0", "1 < v < 5",
)  # fmt: skip

PARSERS = {
    "modbus-pdu": Parser(pdu, PDUS),
    "modbus-rtu": Parser(_shared(RtuFraming()), (*PDUS, *(RtuFraming().wrap(3, each) for each in PDUS))),
    "modbus-ascii": Parser(
        _shared(AsciiFraming()), (*PDUS, *(AsciiFraming().wrap(3, each) for each in PDUS))
    ),
    "modbus-tcp": Parser(tcp, tuple(_mbap(each) for each in (*PDUS, ANSWER + _mbap(ANSWER)))),
    "instrument": Parser(
        instrument, (b"+12.5 bar\r\n", b"1,25\r\nERR\r\n", b"$GPX,7.5,m*4C", b"48.7E6AC\r\n")
    ),
    "mqtt-packets": Parser(
        packets,
        (b"\x32\x0c\x00\x03a/b\x00\x07\x00{}12", b"\x30\x05\x00\x01a\x00{\x40\x02\x00\x07", b"\xd0\x00" * 3),
    ),
    "mqtt-json": Parser(
        JSON,
        (
            b'{"ts": 1700000000000, "vib": 2.1, "temp": -999, "motor": {"phases": [1, {"current": 4}]}}',
            b'{"ts": "2026-01-31T12:00:00.5+08:00", "vib": "1e3", "temp": null}',
            b'[{"vib": true}]',
        ),
    ),
    "mqtt-csv": Parser(CSV, (b"1700000000,2.5,60", b'"2026-01-31T12:00:00Z", "1e3" ,-1\r\n')),
    "mqtt-plain": Parser(PLAIN, (b"48.7", b" -1e-3\n", b"on", b"\xff")),
    "sparkplug": Parser(
        sparkplug, tuple(bytes([kind]) + body for kind in range(len(KINDS)) for body in (BIRTH, HISTORY))
    ),
    "rule": Parser(rule, tuple(text.encode() for text in EXPRESSIONS)),
    "config": Parser(config, tuple(bytes([n]) + _small(file) for n, file in enumerate(FILES))),
}
