"""A device's topics: what may be said in the site file, and how a message becomes a batch."""

from __future__ import annotations

import json
import math
import re
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from pydantic import ValidationError

from devices.batch import BAD, Batch, Reason, describe
from devices.kinds import clashes
from devices.line import Time
from devices.mqtt import MqttLine
from devices.mqtt_device import MqttDevice
from devices.mqtt_packets import Message
from devices.mqtt_payload import PayloadError
from devices.mqtt_reception import Reception
from devices.mqtt_topics import MAX_SHAPES, Reading, Route, Topics

NOW = 1_700_000_000_000_000_000
VIB: dict[str, Any] = {"fan-1/vib": {}}


def device(**settings: Any) -> MqttDevice:
    return MqttDevice.model_validate({"line": "broker", "topic": "t", "points": VIB, **settings})


def topics(**settings: Any) -> tuple[Topics, Route]:
    made = Topics("fan-sensor", device(**settings), 0.0)
    return made, made.routes[made.device.topic]


def read(sent: bytes, *, retained: bool = False, **settings: Any) -> dict[str, tuple[float, str]]:
    made, route = topics(**settings)
    batch, *_ = made.read(route, Message("t", sent, 1, retained), NOW)
    assert batch
    quality = [describe(q) for q in batch.quality]
    return {
        name: (value, q) for name, value, q in zip(batch.signals.names, batch.values, quality, strict=True)
    }


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"topic": "$SYS/x"}, "is no device's topic"),
        ({"topic": ""}, "is no device's topic"),
        ({"topic": "plant/fan+/state"}, "a + must be a whole level"),
        ({"topic": "plant/#/state"}, "a # the last"),
        ({"topic": "plant/+/state"}, "wants {1} in the name of each point; found 'fan-1/vib'"),
        ({"points": {"{1}/vib": {}}}, "wants no {n} in the name"),
        ({"points": {"vib": {}}}, 'a point is called "<asset>/<quantity>"'),
        ({"points": {}}, "at least 1"),
        ({"points": {"fan-1/vib": {"path": "a..b"}}}, "is not a path"),
        ({"points": {"fan-1/vib": {"range": [5, 1]}}}, "is empty"),
        ({"topic": "plant/#", "points": {"{1}": {}}}, "say the path of '{1}'"),
        ({"waveform": {}}, "say either rate, in Hz, or rate_path"),
        ({"waveform": {"rate": 1, "speed": 1, "speed_path": "n"}}, "say speed, in r/min, or speed_path"),
        ({"waveform": {"rate": 1}, "payload": "csv"}, "an array in a JSON payload"),
        ({"payload": "csv"}, "neither one of columns"),
        ({"payload": "plain", "time_path": "ts"}, "one point and no time_path"),
        ({"payload": "plain", "points": {"a/b": {}, "a/c": {}}}, "one point and no time_path"),
        ({"silence": "0s"}, "silence"),
        ({"tpic": "t"}, "tpic"),
    ],
)
def test_mistakes_are_named(settings: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValidationError, match=re.escape(complaint)):
        device(**settings)


def test_a_path_is_the_quantity_unless_said() -> None:
    assert read(b'{"vib": 3}')["fan-1/vib"] == (3.0, "good")
    assert read(b'{"a": [3]}', points={"fan-1/vib": {"path": "a[0]"}})["fan-1/vib"] == (3.0, "good")


def test_csv_and_plain_payloads() -> None:
    found = read(b"5;2.5", payload="csv", columns=["x", "vib"], separator=";")
    assert found["fan-1/vib"] == (2.5, "good")
    assert read(b"2.5\n", payload="plain")["fan-1/vib"] == (2.5, "good")


def test_scale_offset_sentinel_and_range() -> None:
    points: dict[str, Any] = {
        "f/a": {"scale": 0.1, "offset": 1},
        "f/b": {"sentinel": [-32768]},
        "f/c": {"range": [0, 10]},
    }
    found = read(b'{"a": 20, "b": -32768, "c": 11}', points=points)
    assert found["f/a"] == (3.0, "good")
    assert [found[name][1] for name in ("f/b", "f/c")] == ["bad:sentinel", "bad:out_of_range"]
    assert math.isnan(found["f/b"][0])


def test_what_lacks_is_bad_unless_messages_are_partial() -> None:
    points: dict[str, Any] = {"f/a": {}, "f/b": {}}
    assert read(b'{"a": 1}', points=points)["f/b"][1] == "bad:decode"
    assert read(b'{"b": 2}', points=points, partial=True) == {
        "f/b": (2.0, "good"),
        "fan-sensor/online": (1.0, "good"),
    }
    made, route = topics(points=points, partial=True)
    assert made.read(route, Message("t", b'{"other": 1}'), NOW) == Reading(None)


def test_shapes_of_partial_messages_are_bounded() -> None:
    names = [f"q{n}" for n in range(9)]
    made, route = topics(points={f"f/{name}": {} for name in names}, partial=True)
    for mask in range(1, 2**9):
        text = ",".join(f'"{name}":1' for n, name in enumerate(names) if mask >> n & 1)
        made.read(route, Message("t", b"{%b}" % text.encode()), NOW)
    assert len(route.shapes) == MAX_SHAPES


@pytest.mark.parametrize(
    ("payload", "time", "quality"),
    [
        (b'{"vib": 1, "ts": 1699999990000}', NOW - 10_000_000_000, "good"),
        (b'{"vib": 1, "ts": 12}', NOW, "uncertain:time_uncertain"),
        (b'{"vib": 1, "ts": 1700001000000}', NOW, "uncertain:time_uncertain"),
        (b'{"vib": 1}', NOW, "uncertain:time_uncertain"),
        (b'{"vib": 1, "ts": "soon"}', NOW, "uncertain:time_uncertain"),
    ],
)
def test_a_payloads_time_is_taken_when_it_is_sane(payload: bytes, time: int, quality: str) -> None:
    made, route = topics(time_path="ts")
    batch, *_ = made.read(route, Message("t", payload), NOW)
    assert batch
    assert (batch.time, batch.arrival, describe(batch.quality[0])) == (time, NOW, quality)


def test_retained_is_uncertain_but_what_is_bad_stays_bad() -> None:
    found = read(b'{"a": 1, "b": "x"}', retained=True, points={"f/a": {}, "f/b": {}})
    assert [quality for _, quality in found.values()] == ["uncertain:retained", "bad:decode", "good"]


@pytest.mark.parametrize("payload", [b"{", b'{"other": 1}', b'{"vib": "off"}', b"[]", b"5"])
def test_unreadable_is_both_a_bad_batch_and_a_complaint(payload: bytes) -> None:
    made, route = topics()
    batch, complaint, *_ = made.read(route, Message("t", payload), NOW)
    assert complaint
    assert batch
    assert describe(batch.quality[0]) == "bad:decode"


def test_wildcards_bind_each_topic_once() -> None:
    made = Topics("fans", device(topic="+/+/state/#", points={"{1}.{2}/{3}": {"path": "v"}}), 0.0)
    route = made.bind("hall-2/fan-1/state/vib", 5.0)
    assert route
    assert route.signals.names == ("hall-2.fan-1/vib", "fans/online")
    assert made.bind("hall-2/fan-1/other/vib", 5.0) is None
    assert list(made.routes) == ["hall-2/fan-1/state/vib"], "the filter itself waits no longer"


def test_a_rest_of_levels_can_be_the_whole_name() -> None:
    made = Topics("all", device(topic="plant/#", payload="plain", points={"{1}": {}}), 0.0)
    route = made.bind("plant/fan-1/vib", 0.0)
    assert route
    assert route.signals.names[0] == "fan-1/vib"


@pytest.mark.parametrize("level", ["", "..", "a b", "风机", "a'b", "x" * 65, "{1}"])
def test_a_level_that_is_no_name_is_refused(level: str) -> None:
    made = Topics("fans", device(topic="plant/+/state", points={"{1}/vib": {}}), 0.0)
    with pytest.raises(PayloadError, match="is no"):
        made.bind(f"plant/{level}/state", 0.0)


def test_topics_are_bounded() -> None:
    made = Topics("fans", device(topic="plant/+", points={"{1}/vib": {}}, max_topics=2), 0.0)
    assert made.bind("plant/a", 0.0)
    assert made.bind("plant/b", 0.0)
    with pytest.raises(PayloadError, match="more than max_topics = 2"):
        made.bind("plant/c", 0.0)


def test_online_means_that_no_topic_is_silent() -> None:
    made = Topics("fans", device(topic="plant/+", points={"{1}/vib": {}}, silence="PT10S"), 0.0)
    assert list(made.overdue(10.0)) == ["plant/+"], "nobody has ever said anything"
    assert not made.online
    a, b = made.bind("plant/a", 11.0), made.bind("plant/b", 12.0)
    assert a
    assert b
    assert made.online
    made.heard(a, 20.0)
    assert list(made.overdue(22.0)) == ["plant/b"]
    assert made.overdue(23.0) == {}, "once a period"
    assert not made.online
    silent = made.absent(b, NOW, Reason.COMM_LOST)
    assert silent.values[-1] == 0.0
    assert silent.quality[0] == BAD | Reason.COMM_LOST
    assert not made.heard(a, 24.0)
    assert made.heard(b, 25.0), "this one makes it whole again"
    assert made.online


@given(st.text(max_size=40))
def test_any_topic_is_bound_refused_or_somebody_elses(topic: str) -> None:
    made = Topics("fans", device(topic="plant/+/#", points={"{1}/{2}": {"path": "v"}}), 0.0)
    try:
        route = made.bind(f"plant/{topic}", 0.0)
    except PayloadError:
        return
    assert route is None or len(route.signals.names) == 2


def test_two_devices_cannot_share_a_topic() -> None:
    line = MqttLine(kind="mqtt", host="h")
    (clash,) = clashes({"broker": line}, {"a": device(), "b": device(), "c": device(topic="other")})
    assert clash == ("device.b.topic", "t, which is a's", "its points in a")


@given(
    st.lists(st.floats(-1e6, 1e6) | st.just(math.nan), min_size=2, max_size=2),
    st.sampled_from([{}, {"scale": 0.1}, {"scale": -3.0, "offset": 7.5, "range": [-1e3, 1e3]}]),
)
def test_a_few_values_are_conditioned_as_many_are(raw: list[float], more: dict[str, Any]) -> None:
    points = {"f/a": {"path": "a", **more}, "f/b": {"path": "b"}}
    made = Topics("d", MqttDevice.model_validate({"line": "b", "topic": "t", "points": points}), 0.0)
    quick, (values, quality) = made._quickly(raw), made._conditioned(raw)
    if quick is None:
        assert quality.any()
    else:
        assert quick.tolist() == values.tolist()
        assert not quality.any()


def test_while_the_broker_is_away_nobody_knows_whether_its_publishers_live() -> None:
    now = 0.0
    device = MqttDevice.model_validate({"line": "b", "topic": "t", "points": {"f/a": {}}, "silence": 10})
    reception = Reception({"fan": device}, Time(now=lambda: now, wall=lambda: NOW), None)
    said: list[str] = []

    def emit(batch: Batch, done: object = None) -> bool:
        said.append(describe(int(batch.quality[-1])))
        return True

    for listening in (False, True):
        reception.listening = listening
        now += 11
        reception._say_silent(reception.listeners[0], emit)
    assert said == ["bad:comm_lost", "good"], "the line is reported, then the publisher"


WAVES: dict[str, Any] = {
    "waveform": {"rate_path": "hz", "speed": 1480},
    "points": {"fan-1/crest": {"path": "block.crest"}},
}


def listened(sent: bytes, **settings: Any) -> Reading:
    def features(
        asset: str, block: NDArray[np.float64], rate: float, speed: float | None
    ) -> dict[str, object]:
        assert (asset, rate, speed) == ("fan-1", 5120.0, 1480.0)
        return {"block": {"crest": float(np.abs(block).max())}}

    made = Topics("fan-sensor", device(**(WAVES | settings)), 0.0, features)
    return made.read(made.routes["t"], Message("t", sent, 1), NOW)


def test_of_a_block_of_samples_the_points_pick_the_features() -> None:
    batch = listened(b'{"hz": 5120, "samples": [1, -3, 2.5]}').batch
    assert batch is not None
    assert batch.values[0] == 3.0
    assert batch.quality[0] == 0


@pytest.mark.parametrize(
    ("sent", "complaint"),
    [
        (b'{"hz": 5120, "samples": "loud"}', "samples is no array of numbers"),
        (b'{"hz": 5120, "samples": [[1], [2, 3]]}', "samples is no array of numbers"),
        (b'{"hz": 0, "samples": [1, 2]}', "hz is no rate in Hz"),
        (b"[1, 2]", "no object with samples"),
    ],
)
def test_a_block_that_cannot_be_read_is_bad_and_kept_as_a_dead_letter(sent: bytes, complaint: str) -> None:
    reading = listened(sent)
    assert reading.complaint == complaint
    assert reading.batch is not None
    assert describe(reading.batch.quality[0]) == "bad:decode"


def test_what_moves_faster_than_its_slope_is_doubted_on_each_topic_by_itself() -> None:
    made = Topics(
        "fans", device(topic="p/+", points={"{1}/vib": {"slope": 1.0}}, time_path="ts", partial=True), 0.0
    )
    start = NOW // 1_000_000

    def said(fan: str, second: int, vib: float) -> str:
        route = made.routes.get(f"p/{fan}") or made.bind(f"p/{fan}", 0.0)
        assert route
        sent = b'{"ts": %d, "vib": %.1f}' % (start + 1000 * second, vib)
        batch = made.read(route, Message(f"p/{fan}", sent), NOW).batch
        assert batch
        return describe(int(batch.quality[0]))

    assert [said("fan-1", n, vib) for n, vib in enumerate([2.0, 2.5, 40.0, 3.0])] == [
        "good", "good", "uncertain:slope", "good",
    ]  # fmt: skip
    assert said("fan-2", 3, 40.0) == "good", "another fan's first word"
    assert said("fan-1", 1, 2.6) == "good", "late, and as it was"
    assert said("fan-1", 60, 40.0) == "good", "it had a minute for that"


def test_only_what_changed_is_reported_and_once_in_a_while_all_the_same() -> None:
    points = {"fan-1/vib": {"deadband": 0.5}, "fan-1/temp": {}}
    made, route = topics(points=points, longest_silence="PT1M", time_path="ts")
    start = NOW // 1_000_000

    def said(second: int, vib: float | None, temp: float = 60.0) -> str:
        sent = json.dumps({"ts": start + 1000 * second, "vib": vib, "temp": temp}).encode()
        reading = made.read(route, Message("t", sent), NOW)
        assert reading.unchanged == (reading.batch is None)
        return "-" if reading.unchanged else "r"

    told = [said(0, 2.0), said(1, 2.4), said(2, 2.5), said(3, 2.6), said(4, 2.6, 61), said(5, 2.6, 61)]
    assert "".join(told) == "r--rr-"
    assert said(63, 2.6, 61) == "-"
    assert said(65, 2.6, 61) == "r", "a minute of silence"
    assert said(66, None, 61) == "r", "its quality changed"
    assert said(67, None, 61) == "-"
    made.absent(route, NOW, Reason.COMM_LOST)
    assert said(68, None, 61) == "r", "the topic was silent in between"


def test_what_is_not_worth_a_report_is_acknowledged_and_counted() -> None:
    acknowledged: list[int] = []
    session: Any = SimpleNamespace(ack=acknowledged.append)
    reception = Reception({"fan": device(longest_silence="PT1M")}, Time(wall=lambda: NOW), None)
    taken: list[Batch] = []

    def emit(batch: Batch, done: Any = None) -> bool:
        taken.append(batch)
        return True  # it is durable later, and acknowledged then

    reception.take(session, [Message("t", b'{"vib": 2.5}', n) for n in (1, 2, 3)], emit)
    tally = reception.listeners[0].tally
    assert (len(taken), acknowledged) == (1, [2, 3])
    assert (tally.expected, tally.read, tally.skipped) == (3, 1, {"unchanged": 2})


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"points": {"fan-1/vib": {"deadband": 1}}}, "the device needs longest_silence"),
        ({"partial": True, "longest_silence": "PT1M"}, "carries what changed already"),
    ],
)
def test_reports_that_contradict_each_other_are_mistakes(settings: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValidationError, match=complaint):
        device(**settings)
