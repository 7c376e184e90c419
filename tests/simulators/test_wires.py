"""Real clients read on each wire what the plant says, and devices misbehave as told."""

from __future__ import annotations

import asyncio
import json
import math
import socket
import struct
import subprocess
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import reduce
from operator import xor
from pathlib import Path

import paho.mqtt.client as mqtt
import pytest
import serial
from paho.mqtt.enums import CallbackAPIVersion
from pymodbus.client import AsyncModbusSerialClient, AsyncModbusTcpClient
from pymodbus.exceptions import ModbusException
from pymodbus.framer import FramerRTU

from simulators import plant
from simulators.machines import machine_of
from simulators.modbus import MOTOR_MAP, PUMP_MAP, crc16
from simulators.publisher import BrokerError, Publisher, message
from simulators.serve import Rig, Wiring
from simulators.stand import Device, Mood, Stand
from simulators.terminal import Terminal

NOON = 1_790_000_000_000_000_000


class Clock:
    """A wall clock that stands still unless told."""

    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> int:
        return self.now

    def pass_seconds(self, seconds: float) -> None:
        self.now += round(seconds * 1e9)


def on_rig(wiring: Wiring, test: Callable[[Rig, Clock], Awaitable[None]]) -> None:
    """Run ``test`` against a plant whose clock stands still."""

    async def run() -> None:
        clock = Clock()
        rig = Rig(Stand(seed=4, clock=clock))
        try:
            await rig.open(wiring)
            async with asyncio.timeout(20):
                await test(rig, clock)
        finally:
            await rig.close()

    asyncio.run(run())


def said(asset: str, now: int = NOON, **more: object) -> dict[str, float]:
    values = plant.signals(asset, now / 1e9, seed=4, **more)  # type: ignore[arg-type]
    return {quantity: float(value[0]) for quantity, value in values.items()}


def tcp_port(rig: Rig) -> int:
    port = rig.endpoints["tcp"]["port"]
    assert isinstance(port, int)
    return port


async def on_tcp(rig: Rig, patience: float = 3.0) -> AsyncModbusTcpClient:
    client = AsyncModbusTcpClient("127.0.0.1", port=tcp_port(rig), timeout=patience, retries=0)
    assert await client.connect()
    return client


def floats(registers: Sequence[int]) -> list[float]:
    return list(struct.unpack(f">{len(registers) // 2}f", struct.pack(f">{len(registers)}H", *registers)))


async def read_pump(client: AsyncModbusTcpClient, unit_id: int = 1) -> list[float]:
    return floats((await client.read_input_registers(0, count=12, device_id=unit_id)).registers)


def as_f32(values: dict[str, float]) -> list[float]:
    return list(struct.unpack("6f", struct.pack("6f", *(values[point.quantity] for point in PUMP_MAP))))


def test_modbus_tcp_shows_the_pumps() -> None:
    async def test(rig: Rig, clock: Clock) -> None:
        client = await on_tcp(rig)
        assert await read_pump(client) == as_f32(said("pump-1"))
        assert await read_pump(client, 2) == as_f32(said("pump-2"))
        part = await client.read_holding_registers(2, count=4, device_id=1)
        assert floats(part.registers) == as_f32(said("pump-1"))[1:3]
        clock.pass_seconds(0.05)
        assert await read_pump(client) == as_f32(said("pump-1"))
        clock.pass_seconds(0.05)
        assert await read_pump(client) == as_f32(said("pump-1", NOON + 100_000_000))
        client.close()

    on_rig(Wiring(tcp=0, pumps=2), test)


def test_plant_time_runs_at_the_speed_asked() -> None:
    clock = Clock()
    stand = Stand(speed=60, clock=clock)
    clock.pass_seconds(2)
    assert stand.plant_time(clock.now) == NOON / 1e9 + 120
    assert stand.wall_time(NOON / 1e9 + 120) == pytest.approx(clock.now, abs=1000)


def test_what_a_device_cannot_answer_it_refuses_by_exception() -> None:
    async def test(rig: Rig, clock: Clock) -> None:
        client = await on_tcp(rig)

        async def code(answer: Awaitable[object]) -> int:
            return int(getattr(await answer, "exception_code", 0))

        assert await code(client.read_input_registers(0, count=13, device_id=1)) == 2
        assert await code(client.read_input_registers(65_535, count=1, device_id=1)) == 2
        assert await code(client.read_input_registers(0, count=2, device_id=9)) == 11
        assert await code(client.read_coils(0, count=1, device_id=1)) == 1
        assert rig.counts()["writes"] == 0
        assert await code(client.write_register(0, 1, device_id=1)) == 1
        assert await code(client.write_registers(0, [1, 2], device_id=1)) == 1
        assert rig.counts()["writes"] == 2
        client.close()

    on_rig(Wiring(tcp=0), test)


def test_a_request_in_crumbs_and_two_in_one_are_answered() -> None:
    request = struct.pack(">HHHBBHH", 7, 0, 6, 1, 4, 0, 12)

    async def test(rig: Rig, clock: Clock) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", tcp_port(rig))
        for byte in request:
            writer.write(bytes((byte,)))
            await writer.drain()
            await asyncio.sleep(0)
        answer = await reader.readexactly(9 + 24)
        assert answer[:9] == struct.pack(">HHHBBB", 7, 0, 27, 1, 4, 24)
        writer.write(request + request)
        assert await reader.readexactly(2 * (9 + 24)) == answer + answer
        writer.write(b"GET / HTTP/1.1\r\n\r\n")
        assert await reader.read() == b""
        writer.close()

    on_rig(Wiring(tcp=0), test)


def test_devices_misbehave_as_told() -> None:
    async def test(rig: Rig, clock: Clock) -> None:
        client = await on_tcp(rig, 0.3)
        pump = rig.devices["pump-1"]
        before = await read_pump(client)

        pump.behave("frozen")
        clock.pass_seconds(60)
        assert await read_pump(client) == before
        pump.behave("slow", 0.1)
        began = time.monotonic()
        assert await read_pump(client) == as_f32(said("pump-1", clock.now))
        assert time.monotonic() - began >= 0.1
        pump.behave("swapped")
        assert struct.pack(">6f", *await read_pump(client))[3::-1] == struct.pack(
            ">f", said("pump-1", clock.now)["vib_rms"]
        )
        silent: tuple[Mood, ...] = ("dead", "late")
        for mood in silent:
            pump.behave(mood)
            with pytest.raises(ModbusException):
                await read_pump(client)
        assert await read_pump(client, 2)  # its neighbour is well
        client.close()

    on_rig(Wiring(tcp=0, pumps=2), test)


def test_a_rebooting_device_is_silent_then_zero_then_well() -> None:
    clock = Clock()
    device = Device(Stand(clock=clock), "pump-1")
    device.behave("rebooting", 5)
    clock.pass_seconds(4.9)
    assert device.delay() is None
    clock.pass_seconds(0.2)
    assert device.delay() == 0
    assert set(device.values().values()) == {0.0}
    clock.pass_seconds(5)
    assert device.values()["speed"] > 1000


def test_a_cut_cable_is_a_dead_device_until_it_is_healed() -> None:
    clock = Clock()
    stand = Stand(clock=clock)
    device = Device(stand, "fan-1")
    stand.strike("fan-1", "cable_cut")
    assert device.delay() is None
    clock.pass_seconds(1)
    assert stand.heal("fan-1") == 1
    assert device.delay() == 0
    assert stand.heal("fan-1") == 0


def test_modbus_rtu_shows_the_motors_at_any_baud_rate(tmp_path: Path) -> None:
    async def test(rig: Rig, clock: Clock) -> None:
        for baud in (9600, 115_200):  # open, close, open again
            client = AsyncModbusSerialClient(str(tmp_path / "rtu"), baudrate=baud, timeout=2, retries=0)
            assert await client.connect()
            for unit_id in (1, 3):
                answer = await client.read_input_registers(0, count=5, device_id=unit_id)
                values = said(f"motor-{unit_id}")
                assert answer.registers == [round(values[p.quantity] / p.scale) for p in MOTOR_MAP]
            client.close()
            await asyncio.sleep(0)

    on_rig(Wiring(rtu=tmp_path / "rtu", motors=3), test)


def test_an_rtu_slave_ignores_strangers_and_spoilt_frames(tmp_path: Path) -> None:
    def frame(unit_id: int) -> bytes:
        body = struct.pack(">BBHH", unit_id, 4, 0, 5)
        return body + struct.pack("<H", crc16(body))

    def ask(data: bytes, wait: float = 0.3) -> bytes:
        with serial.Serial(str(tmp_path / "rtu"), 19_200, timeout=wait) as port:
            port.write(data)
            return bytes(port.read(15))

    async def test(rig: Rig, clock: Clock) -> None:
        answer = await asyncio.to_thread(ask, frame(1))
        assert len(answer) == 15
        assert crc16(answer[:-2]) == int.from_bytes(answer[-2:], "little")
        assert await asyncio.to_thread(ask, frame(2)) == b""
        assert await asyncio.to_thread(ask, frame(1)[:-1] + b"\x00") == b""
        assert await asyncio.to_thread(ask, b"\xff\x00\x81" + frame(1)) == answer
        assert await asyncio.to_thread(ask, frame(2) + frame(1)) == answer
        unfinished = bytes((1, 16, 0, 0, 0, 64, 128))  # the rest of this write never comes
        assert await asyncio.to_thread(ask, unfinished) == b""
        assert await asyncio.to_thread(ask, frame(1)) == answer

    on_rig(Wiring(rtu=tmp_path / "rtu"), test)


def test_a_line_with_a_baud_rate_keeps_wire_time_and_babbles_at_any_other(tmp_path: Path) -> None:
    async def test(rig: Rig, clock: Clock) -> None:
        for baud, well in ((9600, True), (19_200, False)):
            client = AsyncModbusSerialClient(str(tmp_path / "rtu"), baudrate=baud, timeout=0.5, retries=0)
            assert await client.connect()
            began = time.monotonic()
            if well:
                assert (await client.read_input_registers(0, count=5, device_id=1)).registers
                assert time.monotonic() - began >= (8 + 3.5 + 15) * 11 / 9600
            else:
                with pytest.raises(ModbusException):
                    await client.read_input_registers(0, count=5, device_id=1)
            client.close()

    on_rig(Wiring(rtu=tmp_path / "rtu", baud=9600), test)


def test_the_checksum_of_rtu_is_pymodbus_own() -> None:
    for length in range(1, 40):
        data = bytes(range(7, 7 + length))
        assert struct.pack("<H", crc16(data)) == FramerRTU.compute_CRC(data).to_bytes(2, "big")


def test_the_ascii_instrument_answers_meas(tmp_path: Path) -> None:
    def ask(request: bytes) -> bytes:
        with serial.Serial(str(tmp_path / "ascii"), 9600, timeout=2) as port:
            port.write(request)
            return bytes(port.readline())

    async def test(rig: Rig, clock: Clock) -> None:
        v = said("compressor-1")
        text = (
            f"P={v['discharge_pressure']:.2f} T={v['oil_temp']:.1f} O={v['oil_pressure']:.2f}"
            f" V={v['vib_rms']:.2f} N={v['speed']:.0f}"
        )
        answer = await asyncio.to_thread(ask, b"MEAS?\r\n")
        assert answer == f"{text}*{reduce(xor, text.encode()):02X}\r\n".encode()
        assert await asyncio.to_thread(ask, b"MODE?\r\n") == b"ERR*45\r\n"
        assert rig.counts() == {"requests": 2, "writes": 0}
        assert await asyncio.to_thread(ask, b"ZERO\r\n") == b"ERR*45\r\n"
        assert rig.counts()["writes"] == 1
        rig.stand.strike("compressor-1/oil_temp", "sensor_dropout", ramp=1)
        clock.pass_seconds(3)
        assert b" T=--- " in await asyncio.to_thread(ask, b"MEAS?\r\n")

    on_rig(Wiring(ascii=tmp_path / "ascii"), test)


def test_a_terminal_replaces_a_stale_link_but_no_file(tmp_path: Path) -> None:
    link, file = tmp_path / "deep" / "link", tmp_path / "file"
    link.parent.mkdir()
    link.symlink_to("/dev/pts/9999")
    file.write_text("mine")
    terminal = Terminal(link)
    assert link.resolve().is_char_device()
    terminal.close()
    assert not link.is_symlink()
    with pytest.raises(FileExistsError, match="not a link"):
        Terminal(file)
    assert file.read_text() == "mine"


# --- MQTT, on a real broker


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def broker(executable: Path, port: int) -> Iterator[None]:
    with subprocess.Popen(
        [executable, "-p", str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        try:
            deadline = time.monotonic() + 10
            while True:
                try:
                    socket.create_connection(("127.0.0.1", port)).close()
                    break
                except OSError:
                    assert time.monotonic() < deadline, "the broker does not answer"
                    time.sleep(0.02)
            yield
        finally:
            process.terminate()


@contextmanager
def subscriber(port: int) -> Iterator[list[mqtt.MQTTMessage]]:
    messages: list[mqtt.MQTTMessage] = []
    client = mqtt.Client(CallbackAPIVersion.VERSION2)
    client.on_message = lambda _client, _data, message: messages.append(message)
    client.on_connect = lambda c, *_: c.subscribe("plant/+/state", 1)
    client.connect("127.0.0.1", port)
    client.loop_start()
    try:
        yield messages
    finally:
        client.disconnect()
        client.loop_stop()


async def until(condition: Callable[[], bool], seconds: float = 15) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.02)


@pytest.mark.needs("mosquitto")
def test_the_fan_publishes_what_the_plant_says_and_outlives_its_broker(part: Callable[[str], Path]) -> None:
    port = free_port()

    async def test() -> None:
        rig = Rig(Stand(seed=4))
        try:
            with broker(part("mosquitto"), port), subscriber(port) as messages:
                await rig.open(Wiring(mqtt=("127.0.0.1", port)))
                await until(lambda: len(messages) >= 2)
                decimals = {q: x.decimals + 1 for q, x in machine_of("fan-1").quantities.items()}
                for received in messages:
                    assert (received.topic, received.qos) == ("plant/fan-1/state", 1)
                    payload = json.loads(received.payload)
                    ts = payload.pop("ts")
                    expected = said("fan-1", ts * 1_000_000)
                    assert payload == {q: round(value, decimals[q]) for q, value in expected.items()}
            with broker(part("mosquitto"), port), subscriber(port) as messages:
                rig.stand.strike("fan-1", "sensor_dropout", 0.01)
                await until(lambda: any(json.loads(m.payload)["vib_rms"] is None for m in messages))
        finally:
            await rig.close()

    asyncio.run(test())


def test_a_broker_that_is_not_there_is_one_line() -> None:
    async def test() -> None:
        with pytest.raises(BrokerError, match=r"MQTT broker 127\.0\.0\.1:\d+: no answer"):
            await Publisher("127.0.0.1", free_port(), "x").connect(patience=0.2)

    asyncio.run(test())


def test_a_dead_device_publishes_nothing() -> None:
    async def test() -> None:
        published: list[str] = []
        stand = Stand()
        publisher = Publisher("127.0.0.1", 1, "x", period=20_000_000)
        publisher._client.publish = lambda topic, *_: published.append(topic)  # type: ignore[assignment, method-assign]
        dead, well = Device(stand, "fan-1"), Device(stand, "fan-2")
        dead.behave("dead")
        tasks = [asyncio.create_task(publisher.publish(device)) for device in (dead, well)]
        await until(lambda: len(published) >= 3)
        assert not any(task.done() for task in tasks)
        for task in tasks:
            task.cancel()
        assert set(published) == {"plant/fan-2/state"}

    asyncio.run(test())


def test_a_reading_without_a_sensor_is_null() -> None:
    clock = Clock()
    stand = Stand(clock=clock)
    stand.strike("fan-1/flow", "sensor_dropout", 0.1)
    clock.pass_seconds(1)
    device = Device(stand, "fan-1")
    text = json.loads(message(clock.now, device))
    assert text["flow"] is None
    assert text["ts"] == clock.now // 1_000_000
    assert not math.isnan(text["speed"])
