"""Sparkplug B: payloads against bytes that Google's protobuf made, and the life of an edge node."""

from __future__ import annotations

import asyncio
import json
import math
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import aiomqtt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices.batch import Batch, describe
from devices.line import Time
from devices.mqtt_packets import Message
from devices.mqtt_payload import PayloadError
from devices.mqtt_topics import Reading
from devices.sparkplug import SparkplugDevice, SparkplugLine, SparkplugSource, open_nodes
from devices.sparkplug_node import SparkplugTopics
from devices.sparkplug_payload import REBIRTH, payload, rebirth

MS = 1_800_000_000_000
ARRIVAL = (MS + 5_000) * 1_000_000
# A birth with every kind of value, written by Google's protobuf 7.36 from Eclipse Tahu's message definition.
GOLDEN = bytes.fromhex(
    "0880a0f1c2b13412120a0562645365711880a0f1c2b13420045807121a0a144e6f646520436f6e74726f6c2f5265626972746820"
    "0b700012160a0454656d70100118fb9ff1c2b1342009650000764212130a04566f6c741002200a690000000000c46cc012100a04"
    "5472696d1003200250f4ffffff0f12160a05546f74616c100420085885808080808080808001120e0a05536d616c6c1005200150"
    "fd0112150a04446565701006200458f7ffffffffffffffff01120a0a024f6e1007200b700112290a03e5908d10ac02200c420742"
    "05776f7264734a100a075175616c6974791205080318c0017a026f6b120c0a044e6f6e65100920093801120f0a04426c6f62100a"
    "201182010200011800220175"
)
GOLDEN_REBIRTH = "0880a0f1c2b13412210a144e6f646520436f6e74726f6c2f526562697274681880a0f1c2b134200b7001"


def test_a_payload_reads_as_protobuf_wrote_it() -> None:
    said = payload(GOLDEN)
    assert (said.time, said.seq) == (MS, 0)
    assert {metric.name: metric.value for metric in said.metrics} == {
        "bdSeq": 7,
        REBIRTH: False,
        "Temp": 61.5,
        "Volt": -230.125,
        "Trim": -12,
        "Total": 2**63 + 5,
        "Small": -3,
        "Deep": -9,
        "On": True,
        "名": "ok",
        "None": None,
        "Blob": None,
    }
    temperature = said.metrics[2]
    assert (temperature.alias, temperature.time, temperature.datatype) == (1, MS - 5, 9)
    assert said.metrics[9].alias == 300


def test_the_request_for_a_birth_is_as_protobuf_writes_it() -> None:
    assert rebirth(MS).hex() == GOLDEN_REBIRTH


@given(st.binary(max_size=80) | st.builds(lambda at, byte: GOLDEN[:at] + byte + GOLDEN[at + 1 :],
                                          st.integers(0, len(GOLDEN)), st.binary(max_size=2)))  # fmt: skip
def test_no_bytes_do_more_than_be_refused(data: bytes) -> None:
    with suppress(PayloadError):
        payload(data)


# -- an edge node, played


def varint(value: int) -> bytes:
    found = b""
    while value > 0x7F:
        found, value = found + bytes((value & 0x7F | 0x80,)), value >> 7
    return found + bytes((value,))


def length(field: int, data: bytes) -> bytes:
    return bytes((field << 3 | 2,)) + varint(len(data)) + data


def metric(name: str = "", value: float | None = None, **more: int) -> bytes:
    fields = length(1, name.encode()) if name else b""
    for key, number in (("alias", 2), ("time", 3), ("historical", 5)):
        if key in more:
            fields += bytes((number << 3,)) + varint(more[key])
    if "bd_seq" in more:
        return fields + b"\x58" + varint(more["bd_seq"])
    return fields + (b"\x38\x01" if value is None else b"\x69" + struct.pack("<d", value))


def said(seq: int | None, *metrics: bytes, time: int = MS) -> bytes:
    end = b"" if seq is None else b"\x18" + varint(seq)
    return b"\x08" + varint(time) + b"".join(length(2, each) for each in metrics) + end


DEVICE = SparkplugDevice.model_validate(
    {
        "line": "broker",
        "group": "plant",
        "node": "edge-1",
        "points": {
            "pump-1/speed": {"metric": "Speed", "device": "drive"},
            "pump-1/bearing_temp": {"metric": "Bearing/Temp", "device": "drive", "scale": 0.1},
            "pump-1/flow": {"metric": "Flow"},
        },
    }
)
NBIRTH = (metric("bdSeq", bd_seq=3), metric("Flow", 180.0, alias=1), metric("Other", 9.0, alias=2))
DBIRTH = (metric("Speed", 1478.0, alias=11), metric("Bearing/Temp", 612.0, alias=12))


class Node:
    """The messages of edge-1 as the gateway reads them."""

    def __init__(self) -> None:
        self.topics = SparkplugTopics("edge", DEVICE, 0.0)
        self.seq = -1

    def say(self, kind: str, *metrics: bytes, device: str = "", counted: bool = True) -> Reading:
        self.seq = 0 if kind == "NBIRTH" else (self.seq + 1) % 256
        topic = f"spBv1.0/plant/{kind}/edge-1" + (f"/{device}" if device else "")
        route = self.topics.bind(topic, 1.0)
        assert route
        self.topics.heard(route, 1.0)
        return self.topics.read(route, Message(topic, said(self.seq if counted else None, *metrics)), ARRIVAL)

    def born(self) -> Node:
        self.say("NBIRTH", *NBIRTH)
        self.say("DBIRTH", *DBIRTH, device="drive")
        return self


def shown(batch: Batch | None) -> dict[str, tuple[float | None, str]]:
    assert batch
    return {
        name: (None if math.isnan(value) else value, describe(quality))
        for name, value, quality in zip(
            batch.signals.names, batch.values.tolist(), batch.quality.tolist(), strict=True
        )
    }


def test_births_name_the_metrics_and_data_carries_what_changed() -> None:
    node = Node()
    assert node.topics.wants_birth
    assert shown(node.say("NBIRTH", *NBIRTH).batch) == {
        "pump-1/speed": (None, "bad:stale"),
        "pump-1/bearing_temp": (None, "bad:stale"),
        "pump-1/flow": (180.0, "good"),
        "edge/online": (1.0, "good"),
    }
    node.say("DBIRTH", *DBIRTH, device="drive")
    batch = node.say("DDATA", metric(value=1466.0, alias=11, time=MS - 7), device="drive").batch
    assert shown(batch) == {
        "pump-1/speed": (1466.0, "good"),
        "pump-1/bearing_temp": (pytest.approx(61.2), "good"),
        "pump-1/flow": (180.0, "good"),
        "edge/online": (1.0, "good"),
    }
    assert batch is not None
    assert batch.time == (MS - 7) * 1_000_000
    assert not node.topics.wants_birth
    assert node.say("NDATA", metric(value=9.5, alias=2)).batch is None, "nobody's point"
    assert shown(node.say("NDATA", metric(alias=1)).batch)["pump-1/flow"] == (None, "bad:sentinel")


def test_a_gap_in_the_numbers_or_an_unknown_alias_asks_for_a_birth() -> None:
    node = Node().born()
    node.seq += 1  # one message was lost
    assert shown(node.say("NDATA", metric(value=175.0, alias=1)).batch)["pump-1/flow"] == (175.0, "good")
    assert node.topics.wants_birth
    node = Node().born()
    assert node.say("NDATA", metric(value=175.0, alias=77)).batch is None
    assert node.topics.wants_birth
    node.born()
    assert not node.topics.wants_birth
    for _ in range(600):
        node.say("NDATA", metric(value=1.0, alias=1))
    assert not node.topics.wants_birth, "the numbers go round at 256"


def test_a_death_takes_its_values_and_one_of_a_former_life_none() -> None:
    node = Node().born()
    assert node.say("NDEATH", metric("bdSeq", bd_seq=2), counted=False).batch is None
    node = Node().born()
    gone = node.say("NDEATH", metric("bdSeq", bd_seq=3), counted=False)
    assert gone.gone == "its death was told"
    assert set(shown(gone.batch).values()) == {(None, "bad:comm_lost"), (0.0, "good")}
    assert not node.topics.online
    assert node.topics.wants_birth
    assert shown(node.say("NBIRTH", *NBIRTH).batch)["edge/online"] == (1.0, "good")


def test_a_dead_device_takes_its_own_values_only() -> None:
    node = Node().born()
    found = shown(node.say("DDEATH", device="drive").batch)
    assert found["pump-1/speed"] == found["pump-1/bearing_temp"] == (None, "bad:comm_lost")
    assert found["pump-1/flow"] == (180.0, "good")
    assert shown(node.say("DBIRTH", *DBIRTH, device="drive").batch)["pump-1/speed"] == (1478.0, "good")


def test_a_metric_that_moves_too_fast_is_doubted_and_one_that_stands_still_is_not() -> None:
    points = {"pump-1/flow": {"metric": "Flow", "slope": 2.0}, "pump-1/speed": {"metric": "Other"}}
    node = Node()
    settings = {"line": "broker", "group": "plant", "node": "edge-1", "points": points}
    node.topics = SparkplugTopics("edge", SparkplugDevice.model_validate(settings), 0.0)
    node.say("NBIRTH", *NBIRTH)
    for ms, value, quality in (
        (1000, 181.0, "good"),
        (2000, 250.0, "uncertain:slope"),
        (3000, 182.0, "good"),
    ):
        found = shown(node.say("NDATA", metric(value=value, alias=1, time=MS + ms)).batch)
        assert found["pump-1/flow"] == (value, quality)
        assert found["pump-1/speed"] == (9.0, "good")


def test_what_the_node_had_kept_is_stored_at_its_own_times_and_not_judged() -> None:
    node = Node().born()
    kept = [metric(value=float(n), alias=1, time=MS - 1000 * n, historical=1) for n in (3, 2)]
    batch, _, more, *_ = node.say("NDATA", *kept, metric(value=181.0, alias=1))
    assert shown(batch)["pump-1/flow"] == (181.0, "good")
    assert [each.time for each in more] == [(MS - 3000) * 1_000_000, (MS - 2000) * 1_000_000]
    assert shown(more[0]) == {"pump-1/flow": (3.0, "uncertain:late"), "edge/online": (1.0, "uncertain:late")}


def test_broken_payloads_and_strange_topics_change_nothing() -> None:
    node = Node().born()
    route = node.topics.bind("spBv1.0/plant/NDATA/edge-1", 1.0)
    assert route
    reading = node.topics.read(route, Message("spBv1.0/plant/NDATA/edge-1", b"\xff\xff"), ARRIVAL)
    assert reading.complaint.startswith("no Sparkplug payload")
    assert node.topics.read(route, Message("spBv1.0/plant/NCMD/edge-1", b""), ARRIVAL) == Reading(None)
    assert node.topics.bind("spBv1.0/plant/NDATA/edge-2", 1.0) is None


# -- on a real broker


class EdgeNode:
    """An edge node of its own connection, which is born when it comes and whenever it is asked."""

    def __init__(self, client: aiomqtt.Client) -> None:
        self.client, self.births, self.seq = client, 0, 0

    async def say(self, kind: str, *metrics: bytes, device: str = "") -> None:
        self.seq = 0 if kind == "NBIRTH" else (self.seq + 1) % 256
        topic = f"spBv1.0/plant/{kind}/edge-1" + (f"/{device}" if device else "")
        await self.client.publish(topic, said(self.seq, *metrics))

    async def be_born(self) -> None:
        self.births += 1
        await self.say("NBIRTH", *NBIRTH)
        await self.say("DBIRTH", *DBIRTH, device="drive")

    async def obey(self) -> None:
        async for command in self.client.messages:
            assert isinstance(command.payload, bytes)
            names = {each.name: each.value for each in payload(command.payload).metrics}
            assert names == {REBIRTH: True}
            await self.be_born()


@asynccontextmanager
async def edge_node(port: int) -> AsyncIterator[EdgeNode]:
    will = aiomqtt.Will("spBv1.0/plant/NDEATH/edge-1", said(None, metric("bdSeq", bd_seq=3)), qos=1)
    async with aiomqtt.Client("127.0.0.1", port, will=will) as client:
        await client.subscribe("spBv1.0/plant/NCMD/edge-1")
        node = EdgeNode(client)
        task = asyncio.create_task(node.obey())
        try:
            yield node
        finally:
            task.cancel()
            await asyncio.wait([task])


def a_source(port: int, **more: Any) -> SparkplugSource:
    settings = {"kind": "sparkplug", "host": "127.0.0.1", "port": port, "client_id": "wk"}
    clock = Time(wall=lambda: ARRIVAL, sleep=lambda seconds: asyncio.sleep(min(seconds, 0.05)))
    return open_nodes("broker", SparkplugLine.model_validate(settings | more), {"edge": DEVICE}, clock, 0.0)


@pytest.mark.needs("mosquitto")
@pytest.mark.anyio
async def test_a_node_is_asked_for_its_birth_read_and_mourned(broker: Any, inbox: Any, running: Any) -> None:
    port = broker().port
    source = a_source(port)

    def last(name: str, value: float | None, quality: str) -> Any:
        return lambda batches: batches and shown(batches[-1]).get(name) == (value, quality)

    # The node was born before anybody listened, so the gateway has to ask.
    async with edge_node(port) as node, running(source, inbox):
        await inbox.until(last("pump-1/speed", 1478.0, "good"))
        births = node.births
        assert births
        await node.say("DDATA", metric(value=1500.5, alias=11), device="drive")
        await inbox.until(last("pump-1/speed", 1500.5, "good"))
        assert source.status().devices[0].state == "healthy"
        node.client._client._sock_close()  # it dies without a word, and the broker tells
        await inbox.until(last("edge/online", 0.0, "good"))
        assert shown(inbox.batches[-1])["pump-1/speed"] == (None, "bad:comm_lost")
        device = source.status().devices[0]
        assert (device.state, device.detail) == ("parked", "its death was told")
        assert node.births == births


@pytest.mark.needs("mosquitto")
@pytest.mark.anyio
async def test_nodes_see_whether_their_host_listens(broker: Any, inbox: Any, running: Any) -> None:
    port, topic = broker().port, "spBv1.0/STATE/watchkeeper"
    source = a_source(port, host_id="watchkeeper")
    told: list[tuple[bool, int]] = []

    async def follow(node: aiomqtt.Client) -> None:
        async for message in node.messages:
            assert isinstance(message.payload, bytes)
            said = json.loads(message.payload)
            told.append((said["online"], said["timestamp"]))

    async def until(*wanted: bool) -> None:
        async with asyncio.timeout(60):
            while [online for online, _ in told] != list(wanted):
                await asyncio.sleep(0.01)

    async with aiomqtt.Client("127.0.0.1", port) as node:
        await node.subscribe(topic, qos=1)
        task = asyncio.create_task(follow(node))
        async with running(source, inbox):
            await until(True)
            # What a broker publishes late for an earlier connection: the host is here all the same.
            await node.publish(topic, '{"online": false, "timestamp": 1}', qos=1, retain=True)
            await until(True, False, True)
            assert source.session is not None
            source.session._paho.socket().shutdown(socket.SHUT_RDWR)  # it vanishes and comes again
            await until(True, False, True, False, True)
        await until(True, False, True, False, True, False)
        task.cancel()
    assert {time for _, time in told} == {1, ARRIVAL // 1_000_000}
    assert source.status().counts.get("strangers", 0) == 0
