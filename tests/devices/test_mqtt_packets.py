"""The broker's byte stream, however it is sliced and whatever is in it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from paho.mqtt import _packet
from paho.mqtt.client import MQTTv5, MQTTv311

from devices.mqtt_packets import LONGEST, Message, Packet, PacketReader, ProtocolError, message, pubacks


def publish(topic: str, payload: bytes, packet_id: int = 0, *, v5: bool = False, flags: int = 0) -> bytes:
    body = len(topic.encode()).to_bytes(2, "big") + topic.encode()
    if packet_id:
        body += packet_id.to_bytes(2, "big")
        flags |= 0x02
    return packet(0x30 | flags, body + (b"\x00" if v5 else b"") + payload)


def packet(kind: int, body: bytes) -> bytes:
    length, header = len(body), bytes([kind])
    while True:
        header += bytes([length % 128 | (0x80 if length >= 128 else 0)])
        length //= 128
        if not length:
            return header + body


@given(st.lists(st.tuples(st.integers(0, 255), st.binary(max_size=300))), st.data())
def test_slicing_changes_nothing(packets: list[tuple[int, bytes]], data: st.DataObject) -> None:
    stream = b"".join(packet(*each) for each in packets)
    reader, found = PacketReader(), []
    while stream:
        size = data.draw(st.integers(1, len(stream)))
        found += reader.feed(stream[:size])
        stream = stream[size:]
    assert found == [Packet(kind, len(body), body) for kind, body in packets]


@given(st.binary(max_size=2000))
def test_any_bytes_are_packets_or_a_protocol_error(stream: bytes) -> None:
    try:
        for each in PacketReader().feed(stream):
            message(each, v5=bool(len(stream) % 2))
    except ProtocolError:
        pass


@pytest.mark.parametrize("slice_size", [1000, 65_536, 10_000_000])
def test_a_giant_is_cut_its_memory_bounded_and_what_follows_is_whole(slice_size: int) -> None:
    stream = publish("t", b"x" * 5_000_000, 7) + publish("t", b"1", 8)
    reader, found = PacketReader(), []
    for at in range(0, len(stream), slice_size):
        found += reader.feed(stream[at : at + slice_size])
        assert len(reader._rest) <= LONGEST + slice_size
    giant, small = (message(each, v5=False) for each in found)
    assert (giant.cut, giant.packet_id, len(giant.payload)) == (True, 7, LONGEST - 5)
    assert small == Message("t", b"1", 8)


@given(
    topic=st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=40),
    payload=st.binary(max_size=200),
    packet_id=st.integers(0, 65535),
    flags=st.sampled_from([0, 1, 8, 9]),
    v5=st.booleans(),
)
def test_messages_are_what_paho_reads(
    topic: str, payload: bytes, packet_id: int, flags: int, v5: bool
) -> None:
    if not packet_id:
        flags &= 1  # DUP has no meaning at QoS 0
    (found,) = PacketReader().feed(publish(topic, payload, packet_id, v5=v5, flags=flags))
    theirs = _packet.decode_publish(found.kind, bytearray(found.body), MQTTv5 if v5 else MQTTv311)
    assert message(found, v5=v5) == Message(
        theirs.topic.decode(), bytes(theirs.payload), theirs.mid or 0, bool(theirs.retain), bool(theirs.dup)
    )


def test_properties_are_passed_over() -> None:
    body = b"\x00\x01t\x00\x05" + b"\x05\x02\x00\x00\x00\x3c" + b"payload"  # message expiry 60 s
    (found,) = PacketReader().feed(packet(0x32, body))
    assert message(found, v5=True) == Message("t", b"payload", 5)


def test_acknowledgements_are_joined() -> None:
    assert pubacks([1, 65535]) == b"\x40\x02\x00\x01\x40\x02\xff\xff"
