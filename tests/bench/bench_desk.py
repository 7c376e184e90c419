"""The ticket core against its bars: ``python -m tests.bench.bench_desk [import load knowledge] [--scale 0.1]``.

The pages' server is a process of its own (`watchkeeper web`, SQLite); the questions come from threads of this one.
"""

from __future__ import annotations

import argparse
import csv
import datetime
import http.client
import io
import json
import os
import platform
import random
import resource
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from gateway.building import maintained
from gateway.config import load_site
from tests.bench.labelled import labelled
from tests.bench.stand import free_ports
from ticketing import Actor, Desk, exchange
from ticketing.knowledge.evaluation import evaluate
from ticketing.records import DAY

ROOT = Path(__file__).parents[2]
CLERK = Actor("clerk", frozenset({"lead"}))
ORDERS, READS, THREADS = 12_000, 120_000, 8
ROWS, BAD = 20_000, 37
WHEN = 1_767_225_600_000  # 2026-01-01 UTC


def demo_site(folder: Path, port: int) -> Path:
    """The demo's files with a free port."""
    shutil.copytree(ROOT / "examples" / "demo", folder, ignore=shutil.ignore_patterns("state"))
    text = (folder / "site.toml").read_text()
    (folder / "site.toml").write_text(text.replace("port = 8080", f"port = {port}"))
    return folder


def old_orders(rows: int, bad: int) -> tuple[bytes, set[int]]:
    """A sheet with so many rows, and the numbers of the bad ones."""
    out, planted = io.StringIO(), set(random.Random(3).sample(range(1, rows + 1), bad))
    writer = csv.writer(out)
    writer.writerow(exchange.template(())[0])
    spoilt = [(1, "pump-9"), (2, ""), (3, "2025-02-30"), (7, "P7"), (8, "LOUD"), (13, "6"), (15, "much")]
    for n in range(1, rows + 1):
        row = [*exchange.TEMPLATE]
        row[0] = f"A-{n}"
        if n in planted:
            column, cell = spoilt[n % len(spoilt)]
            row[column] = cell
        writer.writerow(row)
    return out.getvalue().encode(), planted


def bench_import(folder: Path, scale: float) -> None:
    """20 000 rows with 37 bad ones, twice, in a process of its own."""
    site = demo_site(folder / "site", 8080)
    sheet, planted = old_orders(round(ROWS * scale), BAD)
    file = folder / "old.csv"
    file.write_bytes(sheet)
    command = [sys.executable, "-m", "gateway.cli", "import", "history", str(file), "--json"]
    for run in ("first", "second"):
        begun, before = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
        said = subprocess.run(
            command,
            env={**os.environ, "WATCHKEEPER_SITE": str(site)},
            capture_output=True,
            text=True,
            check=False,
        )
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        found = json.loads(said.stdout)
        cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        right = {each["row"] for each in found["rejects"]} == planted and len(found["rejects"]) == len(
            planted
        )
        took, memory = time.monotonic() - begun, after.ru_maxrss / 1024
        print(
            f"import, {run}: {found['rows']} rows, {found['added']} added, {found['known']} known, exact: {right}; "
            f"{took:.1f} s, {cpu:.1f} s CPU, {memory:.0f} MiB (bars: 120 s, 1024 MiB)"
        )


def bench_load(folder: Path, scale: float) -> None:
    """Orders opened and read over HTTP, while 12 000 are in the database already."""
    port = free_ports(1)
    folder = demo_site(folder / "site", port)
    site = load_site(folder)
    site.state.mkdir()
    desk = Desk.open(site.core, site=site.site.id)
    with desk.transaction() as tx:
        tx.sync_assets(maintained(site))
    found = exchange.read_sheet(
        "old.csv", old_orders(ORDERS, 1)[0], exchange.Mapped(), list(maintained(site))
    )
    exchange.keep(desk, CLERK, found.good)
    desk.close()
    server = subprocess.Popen(
        [sys.executable, "-m", "gateway.cli", "web", str(folder)], stderr=subprocess.DEVNULL
    )
    try:
        _answering(site.web.port, server)
        _ask(site.web.port, round(ORDERS * scale), round(READS * scale))
    finally:
        server.terminate()
        server.wait(30)


def _answering(port: int, server: subprocess.Popen[bytes]) -> None:
    while server.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.1)
    raise SystemExit("the server did not start")


def _ask(port: int, orders: int, reads: int) -> None:
    spans: dict[str, list[float]] = {"write": [], "read": []}
    errors: list[str] = []
    numbers = [f"WO-2025-{n:06d}" for n in range(1, ORDERS)]
    lock = threading.Lock()

    def client(seed: int) -> None:
        dice = random.Random(seed)
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        mine: dict[str, list[float]] = {"write": [], "read": []}
        for _ in range((orders + reads) // THREADS):
            writing = dice.random() < orders / (orders + reads)
            if writing:
                body = json.dumps({"asset": "pump-1", "title": "泵有异响", "priority": 3})
                headers = {"Content-Type": "application/json", "Idempotency-Key": f"{seed}:{dice.random()}"}
                asked = ("POST", "/api/work-orders", body, headers)
            else:
                number = dice.choice(numbers)
                path = dice.choice(
                    (
                        "?state=open",
                        "?state=closed&page=40",
                        "?q=泵",
                        f"/{number}",
                        f"/{number}",
                        f"/{number}/timeline",
                    )
                )
                asked = ("GET", "/api/work-orders" + path.replace("泵", "%E6%B3%B5"), "", {})
            begun = time.perf_counter()
            connection.request(asked[0], asked[1], asked[2] or None, asked[3])
            answer = connection.getresponse()
            answer.read()
            mine["write" if writing else "read"].append(time.perf_counter() - begun)
            if answer.status not in (200, 201):
                errors.append(f"{answer.status} {asked[1]}")
        with lock:
            for kind, found in mine.items():
                spans[kind] += found

    begun = time.monotonic()
    threads = [threading.Thread(target=client, args=(seed,)) for seed in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    took = time.monotonic() - begun
    for kind, found in spans.items():
        cuts = statistics.quantiles(found, n=100)
        print(
            f"load, {kind}: {len(found)}, p50 {cuts[49] * 1000:.0f} ms, p95 {cuts[94] * 1000:.0f} ms, "
            f"p99 {cuts[98] * 1000:.0f} ms, most {max(found) * 1000:.0f} ms (bars: p95 800, p99 1500)"
        )
    print(
        f"load: {THREADS} clients at once, {took:.0f} s, {len(errors)} errors (bar: 0) {sorted(set(errors))[:3]}"
    )


def bench_knowledge(folder: Path, scale: float) -> None:
    """hit@3 over the second year of a labelled history; articles were written at the end of the first."""
    made = labelled(round(2000 * scale) or 200, WHEN, 2 * 365 * DAY)
    desk = Desk.open(folder / "kb.db", site="demo")
    with desk.transaction() as tx:
        tx.sync_assets(made.assets)
        tx.import_history(CLERK, made.past)
        for article in made.articles:
            kept = tx.save_article(CLERK, article, at=WHEN + 360 * DAY, reason="written")
            tx.set_article_status(CLERK, kept.id, kept.version, "published", at=WHEN + 360 * DAY)
    with desk.read() as read:
        found = evaluate(read, start=WHEN + 365 * DAY)
    desk.close()
    worst = sorted(found.by_failure_mode.items(), key=lambda pair: pair[1].share or 0)
    told = ", ".join(f"{name} {score.share:.0f} %" for name, score in worst)
    print(
        f"knowledge, {found.together.asked} orders: hit@3 of the fixes {found.fixes.share:.1f} %, of the articles "
        f"{found.articles.share:.1f} %, either {found.together.share:.1f} % ({told})"
    )


def main() -> None:
    """The benches that were asked for, all without a name."""
    benches = {"import": bench_import, "load": bench_load, "knowledge": bench_knowledge}
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("which", nargs="*", choices=[*benches, []], default=[])
    parser.add_argument("--scale", type=float, default=1.0, help="so much of the full load")
    asked = parser.parse_args()
    now = datetime.datetime.now(datetime.UTC)
    machine = f"{os.cpu_count()} cores, Python {platform.python_version()}, load {os.getloadavg()[0]:.1f}"
    print(f"{now:%Y-%m-%d %H:%M} UTC, {machine}, scale {asked.scale}")
    for name in asked.which or benches:
        with tempfile.TemporaryDirectory() as folder:
            benches[name](Path(folder), asked.scale)


if __name__ == "__main__":
    main()
