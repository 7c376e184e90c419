"""The contract with aiomqtt and its private paho client, byte by byte, against a scripted broker.

Where this fails after an upgrade, one of the two has moved what ``devices/mqtt_session.py`` reaches for.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from devices.mqtt_line import MqttLine
from devices.mqtt_packets import Message, PacketReader
from devices.mqtt_session import BrokerError, Presence, Session, connected

pytestmark = pytest.mark.anyio

CONNECT, CONNACK, PUBACK, SUBACK, DISCONNECT = 0x10, 0x20, 0x40, 0x90, 0xE0


class ScriptedBroker:
    """Answers what a session must have answered, and records every packet; PUBLISHes when told."""

    def __init__(self, connack: bytes) -> None:
        self.connack = connack
        self.packets: list[tuple[int, bytes]] = []
        self.writer: asyncio.StreamWriter | None = None
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writer = writer
        packets = PacketReader()
        while data := await reader.read(4096):
            for kind, _, body in packets.feed(data):
                self.packets.append((kind & 0xF0, body))
                if kind == CONNECT:
                    writer.write(self.connack)
                elif kind & 0xF0 == 0x30:  # our birth, QoS 1
                    at = 2 + int.from_bytes(body[:2], "big")
                    writer.write(bytes([PUBACK, 2]) + body[at : at + 2])
                elif kind == 0x82:
                    writer.write(bytes([SUBACK, 4]) + body[:2] + b"\x00\x01")
        writer.close()

    def publish(self, packet_id: int, payload: bytes = b"7") -> None:
        assert self.writer
        body = b"\x00\x01t" + packet_id.to_bytes(2, "big") + b"\x00" + payload
        self.writer.write(bytes([0x32, len(body)]) + body)

    def acknowledged(self) -> list[int]:
        return [int.from_bytes(body[:2], "big") for kind, body in self.packets if kind == PUBACK]


OPEN = b"\x20\x06\x01\x00\x03\x21\x00\x14"  # session present, success, Receive Maximum 20
REFUSED = b"\x20\x03\x00\x87\x00"


@asynccontextmanager
async def scripted(connack: bytes = OPEN) -> AsyncIterator[ScriptedBroker]:
    broker = ScriptedBroker(connack)
    server = await asyncio.start_server(broker.serve, "127.0.0.1", 0)
    broker.port = server.sockets[0].getsockname()[1]
    try:
        yield broker
    finally:
        if broker.writer:
            broker.writer.close()
        server.close()
        await server.wait_closed()


def line(port: int) -> MqttLine:
    return MqttLine(kind="mqtt", host="127.0.0.1", port=port)


async def until(met: Callable[[], object]) -> None:
    async with asyncio.timeout(5):
        while not met():
            await asyncio.sleep(0.002)


async def test_nothing_is_acknowledged_but_by_ack() -> None:
    received: list[Message] = []

    def take(session: Session, messages: list[Message]) -> None:
        received.extend(messages)

    async with scripted() as broker:
        async with connected(line(broker.port), "us", Presence("us/status"), take) as session:
            assert session.resumed
            assert session.properties["ReceiveMaximum"] == 20
            assert await session.subscribe(["t"]) == {"t": 1}
            for packet_id in (11, 12, 13, 65535):
                broker.publish(packet_id)
            await until(lambda: len(received) == 4)
            await session.publish("us/status", "still here")  # a full turn with the broker
            assert broker.acknowledged() == []
            session.ack(13)
            session.ack(65535)
            await until(lambda: broker.acknowledged() == [13, 65535])
        await until(lambda: broker.packets[-1][0] == DISCONNECT)
    assert received[0] == Message("t", b"7", packet_id=11)


async def test_the_session_asks_to_outlive_the_connection_at_qos_1() -> None:
    def take(session: Session, messages: list[Message]) -> None: ...

    async with (
        scripted() as broker,
        connected(line(broker.port), "us", Presence("us/status"), take) as session,
    ):
        await session.subscribe(["t"])
    connect = broker.packets[0][1]
    assert connect[:7] == b"\x00\x04MQTT\x05"
    assert connect[7] & 0x02 == 0, "clean start"
    assert b"\x11" + (7 * 86400).to_bytes(4, "big") in connect, "session expiry"
    assert b"\x21" + (1000).to_bytes(2, "big") in connect, "receive maximum"
    assert connect.endswith(b"us/status\x00\x07offline"), "last will"
    (subscribe,) = [body for kind, body in broker.packets if kind == 0x80]
    assert subscribe.endswith(b"\x00\x01t" + bytes([0x01 | 1 << 4])), "QoS 1, retained only when new"


async def test_acknowledging_on_a_connection_that_is_over_does_nothing() -> None:
    taken: list[Session] = []

    def take(session: Session, messages: list[Message]) -> None:
        taken.append(session)

    async with scripted() as broker:
        async with connected(line(broker.port), "us", Presence("us/status"), take) as session:
            broker.publish(1)
            await until(lambda: taken)
            assert broker.writer
            broker.writer.close()
            with pytest.raises(BrokerError, match="the connection broke"):
                await session.lost()
        session.ack(1)
        await asyncio.sleep(0.01)
        assert broker.acknowledged() == []


async def test_a_refusal_says_why() -> None:
    def take(session: Session, messages: list[Message]) -> None: ...

    async with scripted(REFUSED) as broker:
        with pytest.raises(BrokerError, match=r"Not authorized \(reason code 135\)") as caught:
            async with connected(line(broker.port), "us", Presence("us/status"), take):
                pass
        assert caught.value.code == 0x87


async def test_a_broker_that_hangs_up_on_our_version_is_named_at_once() -> None:
    def take(session: Session, messages: list[Message]) -> None: ...

    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.close()

    server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
    async with server, asyncio.timeout(5):
        with pytest.raises(BrokerError, match="does it speak this MQTT"):
            async with connected(line(server.sockets[0].getsockname()[1]), "us", Presence("us/status"), take):
                pass


async def test_the_reason_of_a_disconnect_is_kept() -> None:
    def take(session: Session, messages: list[Message]) -> None: ...

    async with (
        scripted() as broker,
        connected(line(broker.port), "us", Presence("us/status"), take) as session,
    ):
        assert broker.writer
        broker.writer.write(bytes([DISCONNECT, 2, 0x8E, 0]))
        with pytest.raises(BrokerError, match="Session taken over") as caught:
            await session.lost()
        assert caught.value.code == 0x8E


@pytest.mark.parametrize(
    "garbage", [b"\x30\xff\xff\xff\xff\xff", b"\x32\x02\x00\x09", b"\xf0\x00", b"\x36\x02\x00\x00"]
)
async def test_what_is_not_mqtt_ends_the_connection(garbage: bytes) -> None:
    def take(session: Session, messages: list[Message]) -> None: ...

    async with (
        scripted() as broker,
        connected(line(broker.port), "us", Presence("us/status"), take) as session,
    ):
        assert broker.writer
        broker.writer.write(garbage)
        with pytest.raises(BrokerError):
            await session.lost()


async def test_a_fault_in_taking_is_not_hidden_as_a_lost_connection() -> None:
    def take(session: Session, messages: list[Message]) -> None:
        raise ZeroDivisionError

    async with (
        scripted() as broker,
        connected(line(broker.port), "us", Presence("us/status"), take) as session,
    ):
        broker.publish(1)
        with pytest.raises(ZeroDivisionError):
            await session.lost()
