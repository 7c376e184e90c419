"""How long a sample takes to the store and to a work order, watched from outside the daemon."""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

from gateway import sqlite
from gateway.spool_log import SpoolLog

POLL = 0.001  # s between two looks: what is seen may be that much younger than it looks


class Relay:
    """Stands between the daemon and InfluxDB and notes, for each line, its age when the server had taken it."""

    def __init__(self, upstream: str) -> None:
        self.ages: list[float] = []  # s
        relay, address = self, urlsplit(upstream)

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                upstream = http.client.HTTPConnection(address.hostname or "", address.port)
                upstream.request(self.command, self.path, body or None, dict(self.headers))
                answer = upstream.getresponse()
                content = answer.read()
                now = time.time_ns()
                if self.command == "POST" and answer.status < 300 and "/write" in self.path:
                    lines = body.splitlines()
                    relay.ages += [(now - int(line.rpartition(b" ")[2])) / 1e9 for line in lines]
                self.send_response(answer.status)
                for name, value in answer.getheaders():
                    if name.lower() not in {"transfer-encoding", "content-length", "connection"}:
                        self.send_header(name, value)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)
                upstream.close()

            do_GET = do_POST  # noqa: N815  (the names that the library calls)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    @contextmanager
    def serving(self) -> Iterator[Relay]:
        """For the length of a block."""
        thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            thread.join()
            self._server.server_close()


class Watch:
    """Notes when each spool entry and each alarm's decision can first be seen by another process."""

    def __init__(self, state: Path) -> None:
        self._state = state
        self.entries: dict[int, int] = {}  # id → UTC ns
        self.alarms: list[tuple[str, int, str, int]] = []  # asset, sample's UTC ms, decision, UTC ns

    @contextmanager
    def looking(self) -> Iterator[Watch]:
        """For the length of a block."""
        over = threading.Event()
        thread = threading.Thread(target=self._look, args=(over,), daemon=True)
        thread.start()
        try:
            yield self
        finally:
            over.set()
            thread.join()

    def _look(self, over: threading.Event) -> None:
        spool = sqlite.reading(max((self._state / "spool").glob("spool-*.db")))
        core = sqlite.reading(self._state / "core.db")
        newest, known = _newest(spool), {row[0] for row in core.execute("SELECT episode FROM alarm")}
        versions = [0, 0]
        while not over.wait(POLL):
            seen = [int(each.execute("PRAGMA data_version").fetchone()[0]) for each in (spool, core)]
            if seen[0] != versions[0]:
                first, newest = newest + 1, _newest(spool)
                self.entries.update(dict.fromkeys(range(first, newest + 1), time.time_ns()))
            if seen[1] != versions[1]:
                rows = core.execute("SELECT episode, asset, raised_at, decision FROM alarm").fetchall()
                now = time.time_ns()
                for episode, *alarm in rows:
                    if episode not in known:
                        known.add(episode)
                        self.alarms.append((*alarm, now))
            versions = seen
        spool.close()
        core.close()

    def commits(self) -> tuple[list[float], list[float]]:
        """Ages in s: of every batch when it was durable, and of every decided alarm beyond its batch's commit."""
        log = SpoolLog(self._state / "spool", (), max_bytes=1 << 40, file_bytes=1 << 30, ballast_bytes=0)
        log.open()
        durable: dict[tuple[str, int], int] = {}
        ages = []
        for entry in log.read(0, 1_000_000):
            if entry.id not in self.entries:
                continue
            for batch in entry.batches:
                ages.append((self.entries[entry.id] - batch.time) / 1e9)
                asset = batch.signals.names[0].partition("/")[0]
                durable[asset, batch.time // 1_000_000] = self.entries[entry.id]
        log.abandon()
        beyond = [
            (seen - durable[asset, at]) / 1e9
            for asset, at, decision, seen in self.alarms
            if (asset, at) in durable
            and decision in {"opened", "attached", "correlated", "flood", "recurred"}
        ]
        return ages, beyond


def _newest(spool: sqlite.Connection) -> int:
    return int(spool.execute("SELECT max(id) FROM entry").fetchone()[0] or 0)
