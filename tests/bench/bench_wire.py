"""How well lines are used: ``python -m tests.bench.bench_wire [rtu] [dead]``.

``rtu``: the share of wire time that is necessary (characters, silences, the unit's own latency), at 9600 to 115200
baud. The unit is a process of its own on a pseudo-terminal that takes wire time to a tenth of a millisecond.
``dead``: 500 devices on Modbus TCP each second, none or a tenth of them dead: how late the others are read.
A busy machine wakes both ends late, so for ``rtu`` the quickest tenth of the readings counts; for ``dead`` the ratio.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import select
import struct
import subprocess
import sys
import time
import tty
from datetime import timedelta
from typing import Any, NamedTuple

import numpy as np
import uvloop

from devices.batch import Batch
from devices.forecast import forecast
from devices.kinds import KINDS, open_sources
from devices.modbus_frame import crc16
from devices.plan import silence
from devices.source import Source
from tests.bench.stand import free_ports

BAUDS = (9600, 19200, 38400, 57600, 115200)
LATENCY = 0.005  # s that the unit takes by itself
CHAR_BITS = 10  # 8N1


def unit(baud: int) -> None:
    """The far end, until its pipe closes: answers every question when the wire would have carried it."""
    master, slave = os.openpty()
    tty.setraw(slave)
    print(os.ttyname(slave), flush=True)
    char, heard = CHAR_BITS / baud, b""
    while True:
        ready, _, _ = select.select([master, sys.stdin], [], [])
        if sys.stdin in ready:
            return
        heard += os.read(master, 256)
        at = time.monotonic()
        if len(heard) < 8:
            continue
        number, code, _, count = struct.unpack(">BBHH", heard[:6])
        heard = b""
        body = struct.pack(">BBB", number, code, 2 * count) + bytes(2 * count)
        due = at + (8 + len(body) + 2) * char + silence(baud, CHAR_BITS) + LATENCY
        while (left := due - time.monotonic()) > 0:
            time.sleep(max(0.0, left - 3e-4))
        os.write(master, body + crc16(body).to_bytes(2, "little"))


def sixty_floats() -> dict[str, dict[str, Any]]:
    """A power meter: 60 floats in 24 runs, holes of 1 to 3 registers within and wide gaps between."""
    at, points = 0, {}
    wide = iter((40, 60, 40, 80, 100, 0))
    for n, run in enumerate([3] * 12 + [2] * 12):
        for _ in range(run):
            points[f"m/r{at}"] = {"address": at, "type": "f32", "table": "input"}
            at += 2
        at += next(wide) if n % 4 == 3 else 1 + n % 3
    return points


class Use(NamedTuple):
    """How the map is read without a pause: share of wire time that is necessary, and what one reading takes, in s.

    ``cpu`` is ours for one request, in s; ``predicted`` is what the planner says with the unit's true latency.
    """

    share: float
    reading: float
    requests: int
    predicted: float
    cpu: float


def wire_use(baud: int, seconds: float) -> Use:
    """Read the map for so long."""
    words = [sys.executable, "-m", "tests.bench.bench_wire", "--unit", str(baud)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as far:
        assert far.stdout is not None
        path = far.stdout.readline().strip()
        kind = KINDS["modbus-rtu"]
        line = kind.line.model_validate({"kind": "modbus-rtu", "port": path, "baud": baud})
        device = {"line": "l", "period": timedelta(milliseconds=1), "points": sixty_floats()}
        [source] = open_sources({"l": line}, {"m": kind.device.model_validate(device)})
        before = time.process_time()
        times = uvloop.run(read_for([source], seconds))["m"]
        cpu = time.process_time() - before
        [plan] = forecast([source])
        far.communicate()
    poll, char, gap = plan.polls[0], CHAR_BITS / baud, silence(baud, CHAR_BITS)
    necessary = sum(13 * char + 2 * r.registers * char + 2 * gap + LATENCY for r in poll.requests)
    each = float(np.quantile(np.diff(times), 0.1))
    asked = len(poll.requests)
    return Use(necessary / each, each, asked, poll.seconds, cpu / len(times) / asked)


async def read_for(sources: list[Source], seconds: float) -> dict[str, list[float]]:
    """When each device was read, in s, with a value."""
    found: dict[str, list[float]] = {}

    def emit(batch: Batch, done: object = None) -> bool:
        if batch.values[-1] == 1.0:
            found.setdefault(batch.signals.source, []).append(batch.time / 1e9)
        return True

    tasks = [asyncio.create_task(source.run(emit)) for source in sources]
    await asyncio.sleep(seconds)
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    return found


def lateness(dead: float, devices: int, seconds: float) -> tuple[float, float, int]:
    """(median, 99th percentile of how late the living are read, in s; how many readings)."""
    port = free_ports(devices)
    words = ["bench", "--base-port", port, "--ports", devices, "--devices", devices, "--dead", dead]
    command = [sys.executable, "-m", "simulators", *map(str, words)]
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as farm:
        assert farm.stdout is not None
        assert json.loads(farm.stdout.readline())["ready"]
        kind = KINDS["modbus-tcp"]
        points = {f"r{n}": {"address": n, "table": "input"} for n in range(100)}
        lines, forms = {}, {}
        for n in range(devices):
            lines[f"l{n}"] = kind.line.model_validate(
                {"kind": "modbus-tcp", "host": "127.0.0.1", "port": port + n}
            )
            mine = {f"m{n}/{name}": point for name, point in points.items()}
            forms[f"d{n}"] = kind.device.model_validate({"line": f"l{n}", "points": mine})
        found = uvloop.run(read_for(open_sources(lines, forms), seconds))
        farm.terminate()
    late = []
    for times in found.values():
        settled = np.array(times[10:])  # the dead are found and parked in the first seconds
        if len(settled) > 3:
            off = settled - np.round(settled - settled[0])
            late.append(off - off.min())
    every = np.concatenate(late)
    return float(np.median(every)), float(np.quantile(every, 0.99)), len(every)


def main() -> None:
    """Print the figures as lines of BENCHMARKS.md."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", nargs="?", choices=["all", "rtu", "dead"], default="all")
    parser.add_argument("--unit", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--seconds", type=float, default=30.0, help="of `dead`")
    options = parser.parse_args()
    if options.unit:
        unit(options.unit)
        return
    if options.what != "dead":
        for baud in BAUDS:
            use = wire_use(baud, 12.0 if baud < 20_000 else 8.0)
            print(
                f"| P9 at {baud} baud | 60 floats in {use.requests} requests, unit latency "
                f"{LATENCY * 1e3:.0f} ms, wire time that is necessary | >= 90 % | {use.share:.1%}; one reading "
                f"{use.reading:.3f} s, predicted {use.predicted:.3f} s, our CPU {use.cpu * 1e3:.2f} ms a request |"
            )
    if options.what != "rtu":
        for dead in (0.0, 0.1):
            median, late, readings = lateness(dead, 500, options.seconds)
            print(
                f"| D dead {dead:.0%} of 500 | lateness of the others, TCP, 1 s, {readings:,} readings | "
                f"p99 <= 20 ms | p99 {late * 1e3:.1f} ms, median {median * 1e3:.2f} ms |"
            )


if __name__ == "__main__":
    main()
