"""The MQTT source on a real mosquitto: nothing is acknowledged before it is safe, and nothing is lost."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import aiomqtt
import numpy as np
import pytest

from devices.batch import Batch, describe
from devices.line import Time
from devices.mqtt import MqttDevice, MqttLine, MqttSource

pytestmark = [pytest.mark.needs("mosquitto"), pytest.mark.anyio]

ROOT = Path(__file__).parents[2]
TOPIC = "plant/fan-1/state"
NOW = 1_700_000_000_000  # ms
FAN = MqttDevice.model_validate(
    {"line": "broker", "topic": TOPIC, "points": {"fan-1/vib_rms": {"path": "vib"}}, "time_path": "ts"}
)
CHILD = """
import asyncio, os, sys
from devices.mqtt import MqttDevice, MqttLine, MqttSource

port, version, path = int(sys.argv[1]), sys.argv[2], sys.argv[3]
line = MqttLine(kind="mqtt", host="127.0.0.1", port=port, client_id="wk-test", version=version)
points = {"fan-1/vib_rms": {"path": "vib"}}
device = MqttDevice(line="broker", topic="plant/fan-1/state", points=points, time_path="ts")
source = MqttSource("broker", line, {"fan-sensor": device})
received = 0

def emit(batch, done=None):
    global received
    received += 1
    if received <= 10:  # committed, then acknowledged
        os.write(kept, f"{batch.values[0]}\\n".encode())
        os.fsync(kept)
        done()
    if received == 30:
        asyncio.get_running_loop().call_later(0.2, os.write, kept, b"received 30\\n")
    return True

async def main():
    global kept
    running = asyncio.create_task(source.run(emit))
    while not source.status().up:
        await asyncio.sleep(0.01)
    kept = os.open(path, os.O_CREAT | os.O_WRONLY)
    await running

asyncio.run(main())
"""


class Hall:
    """An ``emit`` that may have no room, and says ``done`` when told."""

    def __init__(self, *, safe: bool = True) -> None:
        self.batches: list[Batch] = []
        self.room = True
        self.safe = safe
        self.waiting: list[Callable[[], None]] = []

    def __call__(self, batch: Batch, done: Callable[[], None] | None = None) -> bool:
        if not self.room:
            return False
        self.batches.append(batch)
        if done is not None:
            self.waiting.append(done)
            if self.safe:
                self.commit()
        return True

    def commit(self) -> None:
        for done in self.waiting:
            done()
        self.waiting.clear()

    def values(self, name: str) -> list[float]:
        return [
            float(batch.values[batch.signals.names.index(name)])
            for batch in self.batches
            if name in batch.signals.names
        ]


class Profile:
    """The broker profile that we ship, with this test's certificates and passwords in place of the plant's."""

    def __init__(self, start: Callable[[str], Any], folder: Path) -> None:
        self.folder = self.passwords = folder
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.tls_port = probe.getsockname()[1]
        ask = "openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes"
        sign = "openssl x509 -req -in broker.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 2 -out broker.crt"
        for command in (
            f"{ask} -x509 -keyout ca.key -out ca.crt -subj /CN=plant -days 2",
            f"{ask} -keyout broker.key -out broker.csr -subj /CN=broker -addext subjectAltName=IP:127.0.0.1",
            f"{sign} -copy_extensions copyall",
            "mosquitto_passwd -b -c passwd watchkeeper secret",
            "mosquitto_passwd -b passwd fan-1 fan",
            "mosquitto_passwd -b passwd fan-2 fan",
        ):
            subprocess.run(command.split(), cwd=folder, check=True, capture_output=True)
        (folder / "watchkeeper").write_text("secret\n")
        text = (ROOT / "systemd/mosquitto-watchkeeper.conf").read_text()
        for theirs, own in {
            "/etc/mosquitto/ca_certificates/plant.crt": f"{folder}/ca.crt",
            "/etc/mosquitto/certs": str(folder),
            "/etc/mosquitto/watchkeeper.passwd": f"{folder}/passwd",
            "/etc/mosquitto/watchkeeper.acl": str(ROOT / "systemd/mosquitto-watchkeeper.acl"),
            "listener 1883 127.0.0.1": "listener @PORT@ 127.0.0.1",
            "listener 8883": f"listener {self.tls_port} 127.0.0.1",
        }.items():
            assert theirs in text
            text = text.replace(theirs, own)
        self.broker = start(text)


@pytest.fixture
def profile(broker: Callable[[str], Any], tmp_path: Path) -> Profile:
    return Profile(broker, tmp_path)


async def until(met: Callable[[], object], within: float = 10.0) -> None:
    async with asyncio.timeout(within):
        while not met():
            await asyncio.sleep(0.005)


@asynccontextmanager
async def running(source: MqttSource, hall: Hall, *, up: bool = True) -> AsyncIterator[MqttSource]:
    task = asyncio.create_task(source.run(hall))
    try:
        if up:
            await until(lambda: source.status().up or task.done())
        yield source
        assert not task.done(), task.exception()
    finally:
        task.cancel()
        await asyncio.wait([task])


async def publish(
    port: int, topic: str, payloads: Iterable[object], *, retain: bool = False, qos: int = 1, **user: str
) -> None:
    async with aiomqtt.Client("127.0.0.1", port, **user) as client:  # type: ignore[arg-type]
        for payload in payloads:
            text = payload if isinstance(payload, str | bytes) else json.dumps(payload)
            await client.publish(topic, text, qos=qos, retain=retain)


def vib(*numbers: float) -> list[dict[str, float]]:
    return [{"ts": NOW + 1000 * n, "vib": number} for n, number in enumerate(numbers)]


def source(port: int, device: MqttDevice = FAN, *, letters: Any = None, **settings: Any) -> MqttSource:
    """A source that waits at most 0.2 s between attempts."""
    line = {"kind": "mqtt", "host": "127.0.0.1", "port": port, "client_id": "wk-test", **settings}
    clock = Time(sleep=lambda seconds: asyncio.sleep(min(seconds, 0.2)))
    return MqttSource(
        "broker", MqttLine.model_validate(line), {"fan-sensor": device}, dead_letter=letters, clock=clock
    )


def device(**settings: Any) -> MqttDevice:
    return MqttDevice.model_validate({"line": "broker", **settings})


@pytest.mark.parametrize("version", ["5", "3.1.1"])
async def test_a_message_becomes_a_batch(broker: Any, version: str) -> None:
    port, hall = broker().port, Hall()
    async with running(source(port, version=version), hall):
        await publish(port, TOPIC, vib(2.5))
        await until(lambda: hall.batches)
    batch = hall.batches[0]
    assert batch.signals.names == ("fan-1/vib_rms", "fan-sensor/online")
    assert batch.values.tolist() == [2.5, 1.0]
    assert batch.quality.tolist() == [0, 0]
    assert batch.time == NOW * 1_000_000


@pytest.mark.parametrize("version", ["5", "3.1.1"])
async def test_what_was_not_committed_comes_again(broker: Any, version: str) -> None:
    port, forgetful, hall = broker().port, Hall(safe=False), Hall()
    async with running(source(port, version=version), forgetful):
        await publish(port, TOPIC, vib(*range(20)))
        await until(lambda: len(forgetful.batches) == 20)
        for done in forgetful.waiting[5:10]:  # in any order
            done()
        await asyncio.sleep(0)  # acknowledgements of one pass of the loop go out together
    async with running(source(port, version=version), hall) as again:
        await until(lambda: len(hall.batches) == 15)
        assert again.status().counts["again"] == 15
    assert hall.values("fan-1/vib_rms") == [*range(5), *range(10, 20)]


@pytest.mark.parametrize("version", ["5", "3.1.1"])
async def test_killed_between_receipt_and_commit_nothing_is_lost(
    broker: Any, tmp_path: Path, version: str
) -> None:
    port, hall = broker().port, Hall()
    kept = tmp_path / "kept"
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-c", CHILD, str(port), version, kept, cwd=ROOT
    )
    try:
        await until(kept.exists)
        await publish(port, TOPIC, vib(*range(30)))
        await until(lambda: kept.read_text().endswith("received 30\n"))
    finally:
        child.kill()
        await child.wait()
    committed = [float(line) for line in kept.read_text().split() if line.replace(".", "").isdigit()][:-1]
    assert len(committed) == 10
    async with running(source(port, version=version), hall):
        await until(lambda: len(hall.batches) >= 20)
    assert sorted({*committed, *hall.values("fan-1/vib_rms")}) == [*range(30)]


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize("version", ["5", "3.1.1"])
async def test_broker_with_the_shipped_profile_ends_and_nothing_is_lost(
    profile: Any, how: signal.Signals, version: str
) -> None:
    ours = {"username": "watchkeeper", "password_file": profile.passwords / "watchkeeper", "version": version}
    hall = Hall()
    async with running(source(profile.broker.port, **ours), hall):
        pass
    await publish(profile.broker.port, TOPIC, vib(*range(50)), username="fan-1", password="fan")
    await asyncio.sleep(0.2)  # mosquitto writes its file after the pass of its loop that acknowledged
    profile.broker.end(how)
    profile.broker.start()
    async with running(source(profile.broker.port, **ours), hall):
        await until(lambda: len(hall.batches) >= 50)
    assert hall.values("fan-1/vib_rms") == [*range(50)]


async def test_a_broker_that_forgot_us_is_subscribed_to_again(
    broker: Any, caplog: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.INFO, "devices")
    monkeypatch.setattr("devices.mqtt._STEADY", 0.2)
    forgetful = broker("listener @PORT@ 127.0.0.1\nallow_anonymous true\npersistence false\n")
    port, hall = forgetful.port, Hall()
    async with running(source(port), hall) as src:
        forgetful.end(signal.SIGKILL)
        await until(lambda: not src.status().up)
        await asyncio.sleep(1)  # several attempts
        forgetful.start()
        await until(lambda: src.status().up)
        await publish(port, TOPIC, vib(7))
        await until(lambda: hall.batches)
        await until(lambda: "is back after" in caplog.text)
        assert src.status().counts["sessions_lost"] == 1
    lines = [record.getMessage().removeprefix("line broker") for record in caplog.records]
    assert len(lines) == 4
    assert lines[0].startswith(
        f": the broker at 127.0.0.1:{port} (MQTT 5) keeps messages for 168 h while we are away"
    )
    assert lines[1].startswith(f" is down: 127.0.0.1:{port} is away: the connection broke")
    assert lines[2] == ": the broker forgot our session, and what it kept for us is lost"
    assert re.fullmatch(r" is back after \d+ failed attempts", lines[3])


async def test_who_refuses_us_is_named_once_and_asked_again(profile: Any, caplog: Any) -> None:
    secret = profile.passwords / "ours"
    secret.write_text("wrong")
    hall = Hall()
    src = source(profile.broker.port, username="watchkeeper", password_file=secret)
    async with running(src, hall, up=False):
        await until(lambda: "refuses" in src.status().detail)
        await asyncio.sleep(0.5)  # asked again and refused again
        secret.write_text("secret\n")
        await until(lambda: src.status().up)
    refusals = [record.getMessage() for record in caplog.records if "refuses" in record.getMessage()]
    assert len(refusals) == 1
    assert "Not authorized (reason code 135); check username, password_file" in refusals[0]


async def test_a_password_file_that_is_missing_is_one_line(broker: Any, tmp_path: Path, caplog: Any) -> None:
    src = source(broker().port, username="u", password_file=tmp_path / "absent")
    async with running(src, Hall(), up=False):
        await until(lambda: src.status().detail.endswith("absent: No such file or directory"))
        await asyncio.sleep(0.5)
    assert len(caplog.records) == 1


@pytest.mark.parametrize("version", ["5", "3.1.1"])
async def test_a_hall_without_room_brakes_and_loses_nothing(broker: Any, version: str) -> None:
    port, hall = broker().port, Hall()
    hall.room = False
    async with running(source(port, version=version, receive_maximum=5), hall) as src:
        await publish(port, TOPIC, vib(*range(40)))
        await until(lambda: src.status().counts["held"] >= 5)
        if version == "5":
            assert src.status().counts["held"] == 5, "Receive Maximum is the brake"
        hall.room = True
        await until(lambda: len(hall.batches) == 40)
        assert src.status().counts["held"] == 0
    assert hall.values("fan-1/vib_rms") == [*range(40)], "in their order"


async def test_held_messages_come_once_after_a_reconnect(broker: Any) -> None:
    real, hall = broker(), Hall()
    hall.room = False
    async with running(source(real.port), hall) as src:
        await publish(real.port, TOPIC, vib(*range(10)))
        await until(lambda: src.status().counts["held"] == 10)
        real.end()
        real.start()
        await until(lambda: src.status().counts.get("again") == 10)
        hall.room = True
        await until(lambda: len(hall.batches) >= 10)
        await asyncio.sleep(0.3)
    assert hall.values("fan-1/vib_rms") == [*range(10)]


async def test_held_messages_outlive_a_broker_that_lost_them(broker: Any) -> None:
    real, hall = broker("listener @PORT@ 127.0.0.1\nallow_anonymous true\npersistence false\n"), Hall()
    hall.room = False
    async with running(source(real.port), hall) as src:
        await publish(real.port, TOPIC, vib(*range(10)))
        await until(lambda: src.status().counts["held"] == 10)
        real.end(signal.SIGKILL)
        real.start()
        await until(lambda: src.status().counts.get("sessions_lost") == 1)
        await publish(real.port, TOPIC, vib(*range(10, 15)))
        await until(lambda: src.status().counts["held"] == 15)
        hall.room = True
        await until(lambda: len(hall.batches) == 15)
    assert hall.values("fan-1/vib_rms") == [*range(15)]


async def test_qos_0_without_room_is_counted_as_lost(broker: Any) -> None:
    port, hall = broker().port, Hall()
    hall.room = False
    async with running(source(port), hall) as src:
        await publish(port, TOPIC, vib(1), qos=0)
        await until(lambda: src.status().devices[0].tally.refused == 1)
        assert src.status().counts["held"] == 0


async def test_a_publisher_at_qos_2_is_received_at_1(broker: Any) -> None:
    port, hall = broker().port, Hall()
    async with running(source(port), hall):
        await publish(port, TOPIC, vib(1, 2), qos=2)
        await until(lambda: len(hall.batches) == 2)
        assert len(hall.waiting) == 0


async def test_what_waits_at_qos_2_for_an_older_program_is_taken_and_finished(broker: Any) -> None:
    port, hall = broker().port, Hall()
    async with aiomqtt.Client("127.0.0.1", port, identifier="wk-test", clean_session=False) as older:
        await older.subscribe(TOPIC, qos=2)
    await publish(port, TOPIC, vib(1, 2), qos=2)
    async with running(source(port, version="3.1.1"), hall):
        await until(lambda: len(hall.batches) == 2)
    async with running(source(port, version="3.1.1"), hall):
        await publish(port, TOPIC, vib(3))
        await until(lambda: len(hall.batches) == 3)
    assert hall.values("fan-1/vib_rms") == [1.0, 2.0, 3.0]


@pytest.mark.parametrize("version", ["5", "3.1.1"])
async def test_a_retained_message_is_uncertain_and_no_sign_of_life(broker: Any, version: str) -> None:
    port, hall = broker().port, Hall()
    await publish(port, TOPIC, vib(4), retain=True)
    async with running(source(port, version=version), hall) as src:
        await until(lambda: hall.batches)
        await publish(port, TOPIC, vib(5))
        await until(lambda: len(hall.batches) == 2)
        assert src.status().counts["retained"] == 1
    assert [describe(q) for q in hall.batches[0].quality] == ["uncertain:retained", "good"]
    assert [describe(q) for q in hall.batches[1].quality] == ["good", "good"]


async def test_poison_is_kept_aside_acknowledged_and_does_not_block(broker: Any, caplog: Any) -> None:
    port, hall = broker().port, Hall()
    letters: list[tuple[str, bytes, str]] = []
    poison = [b"{", b"\xff\xfe", b"[" * 50_000, b'{"vib": "' + b"x" * 3_000_000 + b'"}', b""]
    src = source(port, letters=lambda *letter: letters.append(letter), receive_maximum=2)
    async with running(src, hall):
        await publish(port, TOPIC, [*poison, *vib(1)])
        await until(lambda: len(hall.batches) == 6)
        assert src.status().counts["dead_letters"] == 5
        tally = src.status().devices[0].tally
        assert (tally.expected, tally.read, tally.failed) == (6, 1, 5)
    assert [describe(batch.quality[0]) for batch in hall.batches] == ["bad:decode"] * 5 + ["good"]
    assert [(topic, payload[:9]) for topic, payload, _ in letters] == [(TOPIC, each[:9]) for each in poison]
    assert letters[3][2] == "longer than 65536 bytes"
    assert sum("cannot read" in record.getMessage() for record in caplog.records) == 1
    async with running(source(port), hall):
        pass
    assert len(hall.batches) == 6, "what was acknowledged does not come again"


async def test_silence_is_a_batch_per_period_and_one_line(broker: Any, caplog: Any) -> None:
    caplog.set_level(logging.INFO, "devices")
    port, hall = broker().port, Hall()
    quiet = FAN.model_copy(update={"silence": timedelta(seconds=0.3)})
    async with running(source(port, quiet), hall) as src:
        await until(lambda: len(hall.batches) >= 2)
        assert src.status().devices[0].state == "parked"
        await publish(port, TOPIC, vib(1))
        await until(lambda: any(batch.values[-1] == 1.0 for batch in hall.batches))
        assert src.status().devices[0].state == "healthy"
    first = hall.batches[0]
    assert np.isnan(first.values[0])
    assert first.values[-1] == 0.0
    assert [describe(q) for q in first.quality] == ["bad:comm_lost", "good"]
    lines = [record.getMessage() for record in caplog.records]
    assert lines.count("fan-sensor stopped answering: no message on plant/fan-1/state for 0.3 s") == 1
    assert lines.count("fan-sensor is back") == 1


async def test_wildcards_name_the_asset(broker: Any) -> None:
    port, hall = broker().port, Hall()
    fans = device(topic="plant/+/state", points={"{1}/vib_rms": {"path": "vib"}})
    async with running(source(port, fans), hall) as src:
        await publish(port, "plant/fan-1/state", vib(1))
        await publish(port, "plant/fan-2/state", vib(2))
        await publish(port, "plant/no asset/state", vib(3))
        await until(lambda: src.status().counts.get("dead_letters") == 1 and len(hall.batches) == 2)
    assert [batch.signals.names for batch in hall.batches] == [
        ("fan-1/vib_rms", "fan-sensor/online"),
        ("fan-2/vib_rms", "fan-sensor/online"),
    ]


async def test_what_an_older_subscription_sends_is_acknowledged_and_ended(broker: Any, caplog: Any) -> None:
    port, hall = broker().port, Hall()
    other = FAN.model_copy(update={"topic": "plant/fan-9/state"})
    async with running(source(port, other), hall):
        pass
    async with running(source(port), hall) as src:
        await publish(port, "plant/fan-9/state", vib(1))
        await until(lambda: src.status().counts.get("strangers") == 1)
        await publish(port, "plant/fan-9/state", vib(2))
        await publish(port, TOPIC, vib(3))
        await until(lambda: hall.batches)
        assert src.status().counts["strangers"] == 1
    assert hall.values("fan-1/vib_rms") == [3.0]


async def test_the_gateway_says_when_it_comes_and_goes(broker: Any) -> None:
    real = broker()
    heard: list[str] = []

    async def listen() -> None:
        async with aiomqtt.Client("127.0.0.1", real.port) as client:
            await client.subscribe("watchkeeper/wk-test/status", qos=1)
            async for message in client.messages:
                heard.append(str(message.payload, "utf-8"))  # noqa: PERF401  # endless

    listener = asyncio.create_task(listen())
    async with running(source(real.port), Hall()):
        await until(lambda: heard[-1:] == ["online"])
    await until(lambda: heard[-1:] == ["offline"])
    listener.cancel()
    await asyncio.wait([listener])


async def test_two_clients_of_one_name_do_not_chase_each_other(broker: Any, caplog: Any) -> None:
    port = broker().port
    async with running(source(port), Hall()) as first, running(source(port), Hall()):
        await until(lambda: "does another client have the client_id wk-test?" in first.status().detail)


# paho leaves it to the garbage collector to close a connection whose certificate is wrong.
@pytest.mark.filterwarnings("ignore:unclosed <ssl.SSLSocket:ResourceWarning")
@pytest.mark.filterwarnings(
    "ignore:Exception ignored in. <ssl.SSLSocket:pytest.PytestUnraisableExceptionWarning"
)
async def test_tls_with_certificates_on_both_sides(profile: Any, caplog: Any) -> None:
    port, hall = profile.tls_port, Hall()
    ours = {"username": "watchkeeper", "password_file": profile.passwords / "watchkeeper"}
    keys = {"cert_file": profile.folder / "broker.crt", "key_file": profile.folder / "broker.key"}
    async with running(source(port, ca_file=profile.folder / "ca.crt", **keys, **ours), hall):
        await publish(profile.broker.port, TOPIC, vib(1), username="fan-1", password="fan")
        await until(lambda: hall.batches)
    stranger = source(port, tls=True, **ours)  # the system does not know the plant's authority
    async with running(stranger, hall, up=False):
        await until(lambda: "certificate verify failed" in stranger.status().detail)


async def test_a_device_may_not_speak_for_another(profile: Any) -> None:
    ours = {"username": "watchkeeper", "password_file": profile.passwords / "watchkeeper"}
    hall = Hall()
    async with running(source(profile.broker.port, **ours), hall):
        await publish(profile.broker.port, TOPIC, vib(1), username="fan-2", password="fan")
        await publish(profile.broker.port, TOPIC, vib(2), username="fan-1", password="fan")
        await until(lambda: hall.batches)
    assert hall.values("fan-1/vib_rms") == [2.0]


async def test_a_fault_of_our_own_ends_the_source(broker: Any) -> None:
    port = broker().port

    def faulty(batch: Batch, done: object = None) -> bool:
        raise ZeroDivisionError

    src = source(port)
    task = asyncio.create_task(src.run(faulty))
    await until(lambda: src.status().up)
    await publish(port, TOPIC, vib(1))
    with pytest.raises(ExceptionGroup) as caught:
        await task
    assert caught.group_contains(ZeroDivisionError)
