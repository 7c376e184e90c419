"""A million questions through the chaos proxy, half on Modbus RTU and half on TCP: no wrong value.

Run ``python -m tests.soak.chaos --transactions 1000000``. Each kind is a process of its own, with many lines at once:
a simulated device, a proxy that makes trouble with about one answer in eight, and our wire. Every value that is
accepted must be the one that this register holds.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import random
import resource
import struct
import sys
import tempfile
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import uvloop

from devices.batch import DeviceError
from devices.modbus_frame import RtuFraming
from devices.modbus_pdu import Question
from devices.modbus_wire import SharedWire, TcpWire
from devices.register import Block
from devices.serial_line import SerialLine, serial_opener
from devices.wire import tcp_opener
from simulators.chaos import RtuProxy, TcpProxy, Trouble
from simulators.image import Image, ImageStation
from simulators.modbus import RtuSlaves, serve_tcp
from simulators.terminal import Terminal

UNITS, REGISTERS = (1, 2), 100
PATIENCE, LATE = 0.2, 0.3  # s: how long we wait, and when a late answer comes
QUARANTINE = 0.5  # s: longer than any answer takes, on a busy machine too; that is what ``latency`` promises
TROUBLE = Trouble(
    delay=0.02, late=0.01, drop=0.005, slice=0.03, repeat=0.02, flip=0.01, swap=0.01, stranger=0.02, noise=0.01,
    delay_seconds=0.02, late_seconds=LATE,
)  # fmt: skip
# Torn TCP frames apart from late ones: the bytes of one connection stay in order.
TCP_TROUBLES = (
    replace(TROUBLE, slice=0.0, cut=0.003),
    Trouble(delay=0.02, slice=0.2, drop=0.005, cut=0.005, delay_seconds=0.02),
)


def held(unit_id: int, address: int) -> int:
    """What each register holds: a number that tells which one it is."""
    return (unit_id * 4099 + address * 257 + 17) & 0xFFFF


def station() -> ImageStation:
    """Both units."""
    return ImageStation(
        {
            unit: Image(
                [
                    {"table": "holding", "address": a, "type": "u16", "order": "ABCD", "raw": held(unit, a)}
                    for a in range(REGISTERS)
                ]
            )
            for unit in UNITS
        }
    )


async def interrogate(wire: TcpWire | SharedWire, transactions: int, seed: int) -> Counter[str]:
    """Ask at random; what came of each question."""
    draw, outcome = random.Random(seed), Counter[str]()
    questions = [
        Question(Block("holding", start, count)) for start in range(0, 90, 3) for count in (1, 2, 2, 2, 7)
    ]
    for _ in range(transactions):
        unit_id, question = draw.choice(UNITS), draw.choice(questions)
        block = question.block
        try:
            if not wire.is_open:
                await wire.open()
            data = question.data(await wire.ask(unit_id, question.pdu, PATIENCE))
        except DeviceError as error:
            outcome[type(error).__name__] += 1
            continue
        right = tuple(held(unit_id, address) for address in range(block.start, block.start + block.count))
        outcome["right" if struct.unpack(f">{block.count}H", data) == right else "WRONG"] += 1
    wire.close()
    return outcome


async def tcp_line(number: int, transactions: int, _folder: Path) -> Counter[str]:
    """One connection through the proxy."""
    port, stop = await serve_tcp(station(), 0, "127.0.0.1")
    proxy = TcpProxy(("127.0.0.1", port), TCP_TROUBLES[number % 2], seed=number)
    wire = TcpWire("chaos", tcp_opener("127.0.0.1", await proxy.start(), 5.0))
    outcome = await interrogate(wire, transactions, number)
    await proxy.stop()
    stop()
    return outcome + labelled(wire.counts, proxy.counts)


async def rtu_line(number: int, transactions: int, folder: Path) -> Counter[str]:
    """One serial line through the proxy."""
    device, ours = folder / f"device-{number}", folder / f"ours-{number}"
    terminal = Terminal(device)
    RtuSlaves(station(), terminal)
    proxy = RtuProxy(device, TROUBLE, seed=number)
    proxy.start(ours)
    line = SerialLine(kind="soak", port=str(ours), baud=115200)
    wire = SharedWire(
        "chaos", serial_opener(line), RtuFraming(), gap=0.00175, char=0.0, quarantine=QUARANTINE
    )
    outcome = await interrogate(wire, transactions, number)
    proxy.stop()
    terminal.close()
    return outcome + labelled(wire.counts, proxy.counts)


def labelled(ours: Counter[str], proxys: Counter[str]) -> Counter[str]:
    """Both sides' counts, told apart."""
    return Counter({f"seen {k}": n for k, n in ours.items()} | {f"made {k}": n for k, n in proxys.items()})


async def many(kind: str, lines: int, transactions: int) -> Counter[str]:
    """``transactions`` over so many lines at once."""
    line = {"tcp": tcp_line, "rtu": rtu_line}[kind]
    each = -(-transactions // lines)
    with tempfile.TemporaryDirectory(prefix="soak-chaos-") as folder:
        found = await asyncio.gather(*(line(n, each, Path(folder)) for n in range(lines)))
    return sum(found, Counter())


def soak(kind: str, lines: int, transactions: int) -> tuple[str, Counter[str], float]:
    """One kind in this process."""
    began = time.monotonic()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        counts = runner.run(many(kind, lines, transactions))
    return kind, counts, time.monotonic() - began


def told(counts: Counter[str], prefix: str) -> str:
    """Counts with this prefix, the largest first."""
    found = {k.removeprefix(prefix): n for k, n in counts.most_common() if k.startswith(prefix)}
    return ", ".join(f"{name} {n:,}" for name, n in found.items())


def main() -> None:
    """Print the figures; exit 1 when a value was wrong, or nothing was tried."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--transactions", type=int, default=1_000_000)
    parser.add_argument("--lines", type=int, default=200, help="of each kind at once")
    options = parser.parse_args()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # six files a line
    half = options.transactions // 2
    wrong = 0
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        for kind, counts, seconds in pool.starmap(
            soak, [("rtu", options.lines, half), ("tcp", options.lines, half)]
        ):
            failed = {k: n for k, n in counts.items() if k.endswith("Error")}
            done = counts["right"] + counts["WRONG"] + sum(failed.values())
            wrong += counts["WRONG"] + (counts["right"] < done // 2)
            print(f"{kind}: {done:,} transactions in {seconds:.0f} s: {counts['WRONG']} wrong values")
            print(f"  {counts['right']:,} right, without a value {sum(failed.values()):,} {failed}")
            print(f"  made by the proxy: {told(counts, 'made ')}")
            print(f"  noticed by us: {told(counts, 'seen ')}")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
