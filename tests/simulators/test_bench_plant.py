"""The bench plant answers what ``raw`` says, and costs little."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from simulators.bench import GENERATIONS, Connection, Farm, Layout, raw

ROOT = Path(__file__).parents[2]


def request(unit_id: int, address: int, count: int, function: int = 4) -> bytes:
    return struct.pack(">HHHBBHH", 5, 0, 6, unit_id, function, address, count)


class Wire(asyncio.Transport):
    """Keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.closed = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += bytes(data)

    def close(self) -> None:
        self.closed = True


def talk(layout: Layout, *pieces: bytes, port: int = 0) -> tuple[Farm, Wire]:
    farm, wire = Farm(layout), Wire()
    connection = Connection(farm, port)
    connection.connection_made(wire)
    for piece in pieces:
        connection.data_received(piece)
    return farm, wire


def test_an_answer_holds_the_devices_registers() -> None:
    farm, wire = talk(Layout(3, 100, 1), request(2, 10, 50))
    expected = raw(1, 100, 0)[10:60].astype(">u2").tobytes()
    assert wire.written == struct.pack(">HHHBBB", 5, 0, 103, 2, 4, 100) + expected
    assert farm.requests == 1
    _, wire = talk(Layout(3, 100, 1, kind="f32"), request(1, 0, 4))
    assert struct.unpack(">2f", wire.written[9:]) == tuple(raw(0, 100, 0, "f32")[:2])


def test_values_move_each_second_and_differ_between_devices() -> None:
    images = [raw(device, 100, second) for device in range(3) for second in range(GENERATIONS)]
    assert len({image.tobytes() for image in images}) == len(images)
    assert np.array_equal(raw(1, 100, 3), raw(1, 100, 3 + GENERATIONS))


def test_crumbs_and_several_requests_at_once_are_answered() -> None:
    whole = request(1, 0, 2) + request(1, 2, 3)
    _, together = talk(Layout(1, 10, 1), whole)
    _, crumbs = talk(Layout(1, 10, 1), *(whole[i : i + 1] for i in range(len(whole))))
    assert together.written == crumbs.written
    assert len(together.written) == 9 + 4 + 9 + 6
    assert talk(Layout(1, 10, 1), b"GET / HTTP/1.1\r\n")[1].closed


def test_what_is_not_there_is_refused_and_writes_are_counted() -> None:
    for asked, code in ((request(1, 199, 2), 2), (request(1, 0, 0), 3), (request(1, 0, 126), 3)):
        assert talk(Layout(1, 200, 1), asked)[1].written[7:] == bytes((0x84, code))
    farm, wire = talk(Layout(1, 10, 1), request(1, 0, 1, function=6))
    assert wire.written[7:] == bytes((0x86, 1))
    assert farm.writes == 1


def test_devices_spread_over_ports_and_a_share_is_dead() -> None:
    layout = Layout(500, 10, 1, ports=500, dead=0.1)
    assert [layout.device(port, 1) for port in range(500)] == list(range(500))
    assert sum(map(layout.is_dead, range(500))) == 50
    assert talk(layout, request(1, 0, 1), port=9)[1].written == b""
    assert talk(layout, request(1, 0, 1), port=8)[1].written
    shared = Layout(20, 10, 1, ports=4)
    assert {shared.device(port, unit) for port in range(4) for unit in range(1, 6)} == set(range(20))


def test_the_server_answers_thirty_thousand_requests_per_cpu_second() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    words = ("bench", "--base-port", str(port), "--devices", "20")
    pipe = subprocess.PIPE
    with subprocess.Popen(
        [sys.executable, "-m", "simulators", *words], cwd=ROOT, stdout=pipe, stderr=pipe, text=True
    ) as process:
        try:
            assert process.stdout
            assert json.loads(process.stdout.readline())["ready"]
            sockets = [socket.create_connection(("127.0.0.1", port)) for _ in range(20)]
            asked = request(1, 0, 100)
            end = time.monotonic() + 1.5
            while time.monotonic() < end:
                second = int(time.time())
                for connection in sockets:
                    connection.sendall(asked)
                answers = {connection.recv(1024)[9:] for connection in sockets}
                # The image turns at the full second, give or take a moment.
                shown = {raw(0, 100, s).astype(">u2").tobytes() for s in (second - 1, second, second + 1)}
                assert answers <= shown
            for connection in sockets:
                connection.close()
            process.terminate()
            _, errors = process.communicate(timeout=10)
        finally:
            process.kill()
    counts = json.loads(errors)
    assert counts["requests"] > 1000
    assert counts["requests_per_cpu_s"] >= 30_000
