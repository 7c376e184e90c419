"""The chaos proxy does what it says, as often as it says, by seed."""

from __future__ import annotations

import asyncio
import struct
from collections import Counter
from itertools import pairwise
from pathlib import Path
from random import Random

import pytest
import serial
from pymodbus.client import AsyncModbusTcpClient
from pymodbus.exceptions import ModbusException

from simulators import chaos_plant
from simulators.chaos import (
    TROUBLES,
    Framing,
    Mischief,
    RtuProxy,
    Send,
    TcpProxy,
    Trouble,
    split_rtu,
    split_tcp,
)
from simulators.modbus import crc16
from simulators.serve import Rig, Wiring
from simulators.stand import Device, Stand


def tcp_frame(transaction: int, words: int = 4) -> bytes:
    return struct.pack(">HHHBBB", transaction, 0, 3 + 2 * words, 1, 4, 2 * words) + bytes(range(2 * words))


def rtu_frame(unit_id: int = 1, words: int = 4) -> bytes:
    body = bytes((unit_id, 4, 2 * words)) + bytes(range(2 * words))
    return body + struct.pack("<H", crc16(body))


def treated(trouble: str, framing: Framing, *frames: bytes, seed: int = 1) -> list[list[Send]]:
    chances: dict[str, float] = {trouble: 1.0}
    mischief = Mischief(Trouble(**chances), framing, Random(seed), Counter())
    return [mischief.treat(frame) for frame in frames]


def turned_bits(a: bytes, b: bytes) -> list[int]:
    return [
        8 * i + k for i, (x, y) in enumerate(zip(a, b, strict=True)) for k in range(8) if (x ^ y) >> k & 1
    ]


def test_each_trouble_does_what_its_name_says() -> None:
    frame = rtu_frame()
    ((late,),) = treated("late", "rtu", frame)
    assert late == Send(1.0, frame)
    ((delayed,),) = treated("delay", "rtu", frame)
    assert 0 < delayed.after < 0.05
    assert treated("drop", "rtu", frame) == [[]]
    ((cut,),) = treated("cut", "rtu", frame)
    assert cut.hang_up
    assert frame.startswith(cut.data)
    assert len(cut.data) < len(frame)
    (crumbs,) = treated("slice", "rtu", frame)
    assert b"".join(send.data for send in crumbs) == frame
    assert [send.after for send in crumbs] == sorted(send.after for send in crumbs)
    assert len(crumbs) > 2
    (twice,) = treated("repeat", "rtu", frame)
    assert [send.data for send in twice] == [frame, frame]
    ((noisy,),) = treated("noise", "rtu", frame)
    assert noisy.data.endswith(frame)
    assert len(noisy.data) > len(frame)
    ((collided,),) = treated("collide", "rtu", frame)
    assert crc16(collided.data[:-2]) != int.from_bytes(collided.data[-2:], "little")


def test_a_swapped_answer_comes_after_the_next() -> None:
    mischief = Mischief(Trouble(swap=0.5), "rtu", Random(0), Counter())
    sent = [mischief.treat(rtu_frame(n)) for n in range(1, 100)]
    for n, (before, after) in enumerate(pairwise(sent), 2):
        if not before and after[:1] == [Send(0, rtu_frame(n))]:  # held, and the next was not
            assert after[1:] == [Send(0, rtu_frame(n - 1))]
    everything = [send.data for sends in sent for send in sends]
    assert len(everything) >= 98
    assert everything != sorted(everything)
    assert sorted(everything) == [rtu_frame(n) for n in range(1, len(everything) + 1)]


def test_a_stranger_is_a_whole_answer_of_somebody_else() -> None:
    (sends,) = treated("stranger", "rtu", rtu_frame(1))
    assert sends[0].data == rtu_frame(2)
    assert sends[1].data == rtu_frame(1)
    (sends,) = treated("stranger", "tcp", tcp_frame(0xFFFE))
    assert sends[0].data == tcp_frame(5)


@pytest.mark.parametrize("seed", range(30))
def test_a_turned_bit_is_where_a_client_can_notice(seed: int) -> None:
    ((rtu,),) = treated("flip", "rtu", rtu_frame(), seed=seed)
    assert len(turned_bits(rtu.data, rtu_frame())) == 1
    ((tcp,),) = treated("flip", "tcp", tcp_frame(9), seed=seed)
    (bit,) = turned_bits(tcp.data, tcp_frame(9))
    assert bit < 9 * 8
    ((data,),) = treated("flip_data", "tcp", tcp_frame(9), seed=seed)
    (bit,) = turned_bits(data.data, tcp_frame(9))
    assert bit >= 9 * 8


def test_troubles_come_as_often_as_asked_and_the_same_by_seed() -> None:
    def counts(seed: int) -> Counter[str]:
        counted: Counter[str] = Counter()
        mischief = Mischief(Trouble(late=0.1, flip=0.05, drop=0.02), "rtu", Random(seed), counted)
        for _ in range(20_000):
            mischief.treat(rtu_frame())
        return counted

    counted = counts(3)
    assert counted == counts(3) != counts(4)
    assert set(counted) == {"answers", "late", "flip", "drop"}
    assert counted["late"] == pytest.approx(2000, rel=0.1)
    assert counted["flip"] == pytest.approx(1000, rel=0.15)
    assert counted["drop"] == pytest.approx(400, rel=0.2)


def test_probabilities_that_are_none_are_refused() -> None:
    with pytest.raises(ValueError, match="at most 1"):
        Trouble(late=0.6, drop=0.6)
    with pytest.raises(ValueError, match="at most 1"):
        Trouble(late=-0.1)


def test_frames_are_told_apart() -> None:
    a, b = tcp_frame(1), tcp_frame(2, 9)
    assert split_tcp(a + b + a[:7]) == ([a, b], a[:7])
    c, refusal = rtu_frame(1), bytes((1, 0x84, 2, 0, 0))
    assert split_rtu(c + refusal + c[:4]) == ([c, refusal], c[:4])
    assert split_rtu(bytes((1, 0x2B, 9, 9, 9, 9, 9))) == ([bytes((1, 0x2B, 9, 9, 9, 9, 9))], b"")


def test_a_tcp_client_lives_through_every_trouble() -> None:
    async def run() -> None:
        rig = Rig(Stand())
        await rig.open(Wiring(tcp=0))
        upstream = rig.endpoints["tcp"]["port"]
        assert isinstance(upstream, int)
        some = dict.fromkeys(set(TROUBLES) - {"noise", "collide"}, 0.05)
        proxy = TcpProxy(("127.0.0.1", upstream), Trouble(**some, late_seconds=0.08), seed=2)
        port = await proxy.start()
        answered = failed = 0
        async with asyncio.timeout(60):
            client = AsyncModbusTcpClient("127.0.0.1", port=port, timeout=0.05, retries=0, reconnect_delay=0)
            for _ in range(250):
                if not client.connected:
                    await client.connect()
                try:
                    answer = await client.read_input_registers(0, count=12, device_id=1)
                    answered += not answer.isError()
                except ModbusException:
                    failed += 1
            client.close()
        await proxy.stop()
        await rig.close()
        assert answered > 60
        assert failed > 12
        assert proxy.counts["answers"] > 120
        assert all(proxy.counts[name] for name in some)

    asyncio.run(run())


def test_a_clean_proxy_passes_everything(tmp_path: Path) -> None:
    body = struct.pack(">BBHH", 1, 4, 0, 5)
    request = body + struct.pack("<H", crc16(body))

    def ask() -> list[bytes]:
        with serial.Serial(str(tmp_path / "near"), 19_200, timeout=1) as port:
            answers = []
            for _ in range(20):
                port.write(request)
                answers.append(bytes(port.read(15)))
            return answers

    async def run() -> None:
        rig = Rig(Stand())
        await rig.open(Wiring(rtu=tmp_path / "far"))
        for trouble, whole in ((Trouble(), 20), (Trouble(flip=1.0), 0)):
            proxy = RtuProxy(tmp_path / "far", trouble)
            proxy.start(tmp_path / "near")
            answers = await asyncio.to_thread(ask)
            good = [a for a in answers if len(a) == 15 and crc16(a[:-2]) == int.from_bytes(a[-2:], "little")]
            assert len(good) == whole
            assert proxy.counts["answers"] == 20
            proxy.stop()
        await rig.close()

    asyncio.run(run())
    assert list(tmp_path.iterdir()) == []


def test_a_proxy_is_silent_when_its_device_has_gone(tmp_path: Path) -> None:
    def ask() -> bytes:
        with serial.Serial(str(tmp_path / "near"), 19_200, timeout=0.2) as port:
            port.write(b"anyone?")
            return bytes(port.read(1))

    async def run() -> list[dict[str, object]]:
        wrong: list[dict[str, object]] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: wrong.append(context))
        rig = Rig(Stand())
        await rig.open(Wiring(rtu=tmp_path / "far"))
        proxy = RtuProxy(tmp_path / "far", Trouble())
        proxy.start(tmp_path / "near")
        await rig.close()
        assert await asyncio.to_thread(ask) == b""
        proxy.stop()
        return wrong

    assert asyncio.run(run()) == []


def test_a_plant_in_trouble_answers_right_or_not_at_all_and_counts_its_troubles(tmp_path: Path) -> None:
    async def run() -> None:
        rig = Rig(Stand(seed=3))
        await rig.open(Wiring(tcp=0, rtu=tmp_path / "rtu", chaos=1.0))
        try:
            assert set(rig.endpoints) == {"tcp", "rtu"}
            client = AsyncModbusTcpClient(
                "127.0.0.1", port=rig.endpoints["tcp"]["port"], timeout=0.1, retries=0
            )  # type: ignore[arg-type]
            answered = 0
            for _ in range(40):
                if not client.connected:
                    await client.connect()
                try:
                    answer = await client.read_input_registers(0, count=12, device_id=1)
                    answered += not answer.isError()
                except ModbusException:
                    client.close()
            client.close()
            assert 0 < answered < 40
            counts = rig.counts()
            assert len(counts["troubles"]) > 3  # type: ignore[arg-type]
            assert counts["writes"] == 0
        finally:
            await rig.close()

    asyncio.run(run())


def test_devices_of_a_plant_in_trouble_misbehave_for_a_while(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(chaos_plant, "_CALM", (0.01, 0.02))
    monkeypatch.setattr(chaos_plant, "_SPELL", (0.01, 0.02))

    async def run() -> None:
        device = Device(Stand(seed=3), "pump-1")
        chaos = chaos_plant.ChaosPlant(0.1, 3)
        chaos.unsettle({"pump-1": device})
        seen: set[str] = set()
        async with asyncio.timeout(20):
            while len(seen) < 4 or "well" not in seen:
                await asyncio.sleep(0.002)
                seen.add(device.mood)
        await chaos.close()
        assert chaos.counts()["moods"].keys() >= seen - {"well"}  # type: ignore[attr-defined]

    asyncio.run(run())
    assert '"device": "pump-1"' in capsys.readouterr().err
