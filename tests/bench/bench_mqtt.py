"""P5: publishers at QoS 1 through a real mosquitto into the whole daemon, which acknowledges after its commit.

``python -m tests.bench.bench_mqtt [MESSAGES] [RATE]`` prints the figures; ``publish`` as first word is the publisher.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from devices.mqtt_packets import PacketReader
from gateway.ledger_file import statements
from tests.bench.stand import running
from tests.conftest import Broker, find

FANS = 50
BROKER = """
listener @PORT@ 127.0.0.1
allow_anonymous true
max_queued_messages 0
max_inflight_messages 30000
"""
PUBACK = 0x40
WINDOW = 4000  # messages that the publisher lets the broker owe


@dataclass(frozen=True)
class Found:
    """What came of a run: ``cpu`` seconds of the daemon's process, ``seconds`` from the first message to the last."""

    sent: int
    stored: int
    repeated: int
    cpu: float
    seconds: float

    @property
    def lost(self) -> int:
        return self.sent - self.stored

    @property
    def per_message(self) -> float:
        """CPU seconds."""
        return self.cpu / self.sent


def write_site(folder: Path, port: int) -> Path:
    """A site of FANS machines with two signals each, all judged."""
    folder.mkdir(parents=True)
    (folder / "site.toml").write_text('[site]\nid = "bench"\nname = "Bench"\n')
    assets = "\n".join(f'[asset.fan-{n}]\nclass = "fan"' for n in range(FANS))
    signals = '[class.fan.signals]\nvib = { unit = "mm/s" }\ntemp = { unit = "degC" }\n'
    (folder / "assets.toml").write_text(signals + assets)
    line = f'[line.broker]\nkind = "mqtt"\nhost = "127.0.0.1"\nport = {port}\nclient_id = "bench"\n'
    more = (
        'receive_maximum = 20000\n[device.fans]\nline = "broker"\ntopic = "plant/+/state"\ntime_path = "ts"\n'
    )
    points = '[device.fans.points]\n"{1}/vib" = { path = "vib" }\n"{1}/temp" = { path = "temp" }\n'
    (folder / "devices.toml").write_text(line + more + points)
    rule = '[rule.high]\nfailure_mode = "VIB"\nscope = { class = "fan" }\nsignal = "vib"\nabove = 90\nseverity = 3\n'
    (folder / "rules.toml").write_text(rule)
    return folder


def publish(port: int, messages: int, rate: float) -> None:
    """Publish at QoS 1, ``rate`` a second, and wait until the broker has acknowledged all."""
    with socket.create_connection(("127.0.0.1", port)) as sock:
        sock.sendall(b"\x10\x11\x00\x04MQTT\x04\x02\x00\x3c\x00\x05press")
        assert sock.recv(4)[3] == 0
        sock.setblocking(False)
        reader, acked, sent, began = PacketReader(), 0, 0, time.monotonic()
        now_ms = time.time_ns() // 1_000_000
        buffer = b""
        while acked < messages:
            due = min(messages, int((time.monotonic() - began) * rate), acked + WINDOW)
            buffer += b"".join(_packet(n, now_ms) for n in range(sent, due))
            sent = max(sent, due)
            with suppress(BlockingIOError):
                buffer = buffer[sock.send(buffer) :] if buffer else b""
            try:
                acked += sum(packet.kind == PUBACK for packet in reader.feed(sock.recv(1 << 16)))
            except BlockingIOError:
                time.sleep(0.002)
    print(json.dumps({"sent": sent, "acked": acked, "seconds": time.monotonic() - began}))


def _packet(n: int, start: int) -> bytes:
    """One message; each machine's times rise by a millisecond."""
    topic = f"plant/fan-{n % FANS}/state".encode()
    payload = b'{"ts":%d,"vib":%.2f,"temp":%.1f}' % (start + n // FANS, 2 + n % 7 / 10, 60 + n % 11 / 10)
    body = struct.pack(">H", len(topic)) + topic + struct.pack(">H", n % 65535 + 1) + payload
    assert len(body) < 128
    return bytes((0x32, len(body))) + body


@contextmanager
def broker(folder: Path) -> Iterator[int]:
    """A mosquitto for the length of a block; its port."""
    executable = find("mosquitto")
    if executable is None:
        sys.exit("mosquitto is missing: apt-get install mosquitto")
    folder.mkdir()
    started = Broker(executable, folder, BROKER)
    started.start()
    try:
        yield started.port
    finally:
        started.end(signal.SIGKILL)


def measured(folder: Path, messages: int = 200_000, rate: float = 20_000.0) -> Found:
    """Send them all through and count what is in the ledger."""
    with broker(folder / "broker") as port:
        site = write_site(folder / "site", port)
        with running(site) as daemon:
            _until(lambda: daemon.health()["sources"][0]["up"])
            time.sleep(1)
            cpu, began = daemon.cpu(), time.monotonic()
            words = [
                sys.executable,
                "-m",
                "tests.bench.bench_mqtt",
                "publish",
                str(port),
                str(messages),
                str(rate),
            ]
            subprocess.run(words, check=True, stdout=subprocess.DEVNULL)
            _until(lambda: daemon.health()["sources"][0]["devices"][0]["tally"]["read"] >= messages)
            _until(lambda: daemon.health()["judge"]["lag"] == 0)
            found = daemon.cpu() - cpu, time.monotonic() - began
        fans = [hour["devices"]["fans"] for hour in statements(site / "state" / "ledger.db", 0)]
    repeated = sum(row["skipped"].get("repeated", 0) for row in fans)
    return Found(messages, sum(row["good"] for row in fans), repeated, *found)


def _until(ready: object, seconds: float = 120.0) -> None:
    deadline = time.monotonic() + seconds
    while not ready():  # type: ignore[operator]
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.2)


def main() -> None:
    """Print the figures."""
    if sys.argv[1:2] == ["publish"]:
        publish(int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4]))
        return
    messages, rate = int((sys.argv[1:2] or ["200000"])[0]), float((sys.argv[2:3] or ["20000"])[0])
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        found = measured(Path(folder), messages, rate)
    share, load = found.per_message * 20_000, os.getloadavg()[0]
    print(
        f"P5 {found.sent} messages at QoS 1 in {found.seconds:.1f} s: {found.lost} lost, {found.repeated} repeated"
    )
    print(
        f"{found.per_message * 1e6:.1f} us CPU a message, {share:.0%} of a core at 20 000/s; load {load:.0f}"
    )


if __name__ == "__main__":
    main()
