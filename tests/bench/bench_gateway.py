"""The whole daemon against its bars: ``python -m tests.bench.bench_gateway [flat-out 500-devices …] [--write]``.

Plant, daemon and InfluxDB are processes of their own; CPU and memory are those of the daemon's process alone.
``--write`` puts the figures into BENCHMARKS.md.
"""

from __future__ import annotations

import argparse
import datetime
import os
import platform
import re
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from tests.bench import bench_mqtt, bench_storage
from tests.bench.latency import Relay, Watch
from tests.bench.stand import (
    CLASS,
    Load,
    free_ports,
    high_limits,
    influxdb,
    measure,
    plant,
    running,
    write_site,
)
from tests.soak.outage import outage

BENCHMARKS = Path(__file__).parents[2] / "BENCHMARKS.md"
BEGIN, END = "<!-- bench_gateway begins -->", "<!-- bench_gateway ends -->"


@dataclass(frozen=True)
class Figure:
    """One line of the table; a ratio of 1 or more reaches the bar."""

    name: str
    what: str
    bar: str
    found: str
    ratio: float

    def row(self, when: str) -> str:
        """As a line of BENCHMARKS.md."""
        reached = "reached" if self.ratio >= 1 else "**not reached**"
        return f"| {self.name} | {self.what} | {self.bar} | {self.found} | {self.ratio:.2f}, {reached} | {when} |"


def flat_out(folder: Path, _store: str) -> list[Figure]:
    """P1: as fast as keeping, judging and storing keep up; asked faster, the history falls behind."""
    load = Load(devices=16, registers=125, period="4ms", port=free_ports(16))
    load = replace(load, rules=high_limits(load))
    with plant(load), running(write_site(folder / "site", load)) as daemon:
        time.sleep(5)
        span = measure(daemon, 20)
    what = f"flat out, 16 devices x 125 registers, rules on, {span.load:.0%} of a core"
    rate = span.per_cpu_second
    return [Figure("P1", what, ">= 1.2 M points per CPU s", f"{rate / 1e6:.2f} M", rate / 1.2e6)]


def many_devices(folder: Path, store: str) -> list[Figure]:
    """P2: 500 devices of 100 registers every second, 50 000 rules, spool on."""
    body = f'kind = "{store}"'
    with ExitStack() as stack:
        if store == "influxdb":
            body += f'\nurl = "{stack.enter_context(influxdb(folder)).url}"\ndatabase = "bench"'
        found = _steady(folder / "site", 500, store=body)
    what = f"500 devices x 100 registers @1 s, a rule on each signal, store {store}, "
    return [
        Figure("P2 CPU", f"{what}CPU of a core", "<= 15 %", f"{found.share:.1%}", 0.15 / found.share),
        Figure("P2 memory", f"{what}RSS", "<= 110 MiB", f"{found.rss:.0f} MiB", 110 / found.rss),
        _schedule("P2 schedule", f"{what}slots read", found),
    ]


def two_thousand(folder: Path, _store: str) -> list[Figure]:
    """P3: 2 000 devices of 100 registers every second, beside 500 of them."""
    few = _steady(folder / "few", 500, each=10)
    many = _steady(folder / "many", 2000, each=10)
    each = (many.rss - few.rss) * 1024 / 1500
    grown = many.share / few.share
    what = "2 000 devices x 100 registers @1 s, a rule on each tenth signal, "
    return [
        Figure("P3 CPU", f"{what}CPU of a core", "<= 35 %", f"{many.share:.1%}", 0.35 / many.share),
        Figure("P3 growth", f"{what}CPU beside that of 500", "< 4 x", f"{grown:.2f} x", 4 / grown),
        Figure("P3 memory", f"{what}RSS", "<= 150 MiB", f"{many.rss:.0f} MiB", 150 / many.rss),
        Figure("P3 device", f"{what}more RSS a device", "<= 25 KiB", f"{each:.0f} KiB", 25 / each),
        _schedule("P3 schedule", f"{what}slots read", many),
    ]


@dataclass(frozen=True)
class Steady:
    """A daemon at its steady work: share of a core, MiB at most, share of the schedule in the worst 10 s."""

    share: float
    rss: float
    schedule: float


def _steady(site: Path, devices: int, store: str = 'kind = "local"', each: int = 1) -> Steady:
    """``devices`` of 100 registers every second, with a rule on one of ``each`` signals."""
    load = Load(devices=devices, registers=100, port=free_ports(devices))
    load = replace(load, rules=high_limits(load, each))
    with plant(load), running(write_site(site, load, store)) as daemon:
        time.sleep(20)
        spans, rss = [], []
        for _ in range(6):
            spans.append(measure(daemon, 10))
            rss.append(daemon.rss())
    share = sum(span.cpu for span in spans) / sum(span.seconds for span in spans)
    return Steady(share, max(rss), min(span.schedule for span in spans))


def _schedule(name: str, what: str, found: Steady) -> Figure:
    return Figure(name, what, "100 %", f"{found.schedule:.2%} in the worst 10 s", found.schedule)


def drained(folder: Path, _store: str) -> list[Figure]:
    """P8: a full spool into InfluxDB, beside bare posts of the same lines; no wires and no rules."""
    groups = bench_storage.entries(bench_storage.batches(100, 50, 400))
    with influxdb(folder) as influxd:
        found = bench_storage.share_of_influxdb(groups, influxd.url)
    what = "2 M points out of the spool into InfluxDB, "
    rates = f"{found.share:.0%} ({found.ours / 1e3:.0f} k of {found.bare / 1e3:.0f} k points/s)"
    return [
        Figure(
            "P8", f"{what}share of what bare posts of its lines reach", ">= 90 %", rates, found.share / 0.9
        ),
        Figure(
            "P8 memory", f"{what}RSS more", "bounded (32 MiB)", f"{found.grown:.0f} MiB", 32 / found.grown
        ),
    ]


def latency(folder: Path, _store: str) -> list[Figure]:
    """P6: a hundred machines cross a limit one after another, again and again; both stores."""
    load = Load(devices=100, registers=100, port=free_ports(100))
    crossing = (
        f'[rule.crossing]\nfailure_mode = "VIB"\nscope = {{ class = "{CLASS}" }}\nsignal = "q000"\nabove = 102\n'
        "severity = 4\nclear = { deadband = 1 }\n"
    )
    load = replace(load, rules=high_limits(load) + crossing)
    with influxdb(folder) as influxd, Relay(influxd.url).serving() as relay, plant(load):
        store = f'kind = "influxdb"\nurl = "{relay.url}"\ndatabase = "bench"'
        durable, with_influxdb = _watch(write_site(folder / "influxdb", load, store))
        _, with_history = _watch(write_site(folder / "local", load))
    stored = _p99(relay.ages)
    kept = f"durable after {_p99(durable) * 1e3:.0f} ms, in InfluxDB after {stored * 1e3:.0f} ms"
    what = "sample -> work order committed, beyond the group commit, p99 of"
    return [
        Figure("P6 stored", "sample -> stored, p99, 10 000 samples/s", "<= 300 ms", kept, 0.3 / stored),
        _order("P6 order", f"{what} {len(with_history)} alarms, store local", with_history),
        _order("P6 order, InfluxDB", f"{what} {len(with_influxdb)} alarms, store influxdb", with_influxdb),
    ]


def _watch(site: Path) -> tuple[list[float], list[float]]:
    with running(site):
        time.sleep(5)
        with Watch(site / "state").looking() as watch:
            time.sleep(32)
    return watch.commits()


def _order(name: str, what: str, beyond: list[float]) -> Figure:
    p99, p50 = _p99(beyond), float(np.median(beyond))
    return Figure(name, what, "<= 20 ms", f"{p99 * 1e3:.0f} ms (median {p50 * 1e3:.0f})", 0.02 / p99)


def store_away(folder: Path, _store: str) -> list[Figure]:
    """P7: InfluxDB is gone for a minute."""
    load = Load(devices=100, registers=100, port=free_ports(100))
    with influxdb(folder) as influxd:
        found = outage(folder, influxd, replace(load, rules=high_limits(load)), 60.0)
    what = f"InfluxDB away 60 s at {found.live:,.0f} samples/s, "
    grown = max(found.rss_most - found.rss_before, 0.1)
    return [
        Figure("P7 lost", f"{what}samples missing", "0", f"{found.missing}", float(found.missing == 0)),
        Figure("P7 memory", f"{what}RSS more", "<= 32 MiB", f"{grown:.0f} MiB", 32 / grown),
        Figure("P7 drain", f"{what}backlog drains", ">= 5 x live", f"{found.drain:.0f} x", found.drain / 5),
    ]


def mqtt(folder: Path, _store: str) -> list[Figure]:
    """P5: 50 publishers' messages at QoS 1, acknowledged after the commit; the CPU is that of each message."""
    found = bench_mqtt.measured(folder)
    what = f"MQTT QoS 1, {found.sent:,} messages of two values, rules on, "
    whole = found.lost == found.repeated == 0
    share = found.per_message * 20_000
    return [
        Figure("P5 kept", f"{what}lost, doubled", "0, 0", f"{found.lost}, {found.repeated}", float(whole)),
        Figure("P5 CPU", f"{what}CPU of a core at 20 000/s", "<= 45 %", f"{share:.0%}", 0.45 / share),
    ]


BENCHES: dict[str, Callable[[Path, str], list[Figure]]] = {
    "mqtt": mqtt,
    "flat-out": flat_out,
    "500-devices": many_devices,
    "2000-devices": two_thousand,
    "latency": latency,
    "store-away": store_away,
    "store-share": drained,
}


def _p99(seconds: list[float]) -> float:
    assert seconds, "nothing was measured"
    return float(np.percentile(seconds, 99))


def machine() -> str:
    """What the figures were measured on, and how busy it was."""
    model = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    name = model[1] if model else platform.processor()
    busy = os.getloadavg()[0]
    return f"{name}, {os.cpu_count()} cores, Python {platform.python_version()}, load average {busy:.1f}"


def write(figures: list[Figure]) -> None:
    """Put the figures into the table of BENCHMARKS.md; lines of benches that did not run stay."""
    when = f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d %H:%M} UTC, {machine()}"
    text = BENCHMARKS.read_text()
    head, _, rest = text.partition(BEGIN)
    table, _, tail = rest.partition(END)
    rows = {row.split("|")[1].strip(): row for row in table.splitlines() if row.startswith("| P")}
    rows |= {figure.name: figure.row(when) for figure in figures}
    top = "| # | what | bar | found | found / bar | measured |\n|---|---|---|---|---|---|"
    lines = "\n".join(rows[name] for name in sorted(rows))
    BENCHMARKS.write_text(f"{head}{BEGIN}\n{top}\n{lines}\n{END}{tail}")


def main() -> None:
    """Run the named benches (all of them without a name) and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("benches", nargs="*", metavar="|".join(BENCHES), help="all of them if absent")
    parser.add_argument("--write", action="store_true", help="put the figures into BENCHMARKS.md")
    parser.add_argument("--store", choices=("local", "influxdb"), default="local", help="for 500-devices")
    options = parser.parse_args()
    if unknown := set(options.benches) - BENCHES.keys():
        parser.error(f"there is no bench {', '.join(unknown)}")
    print(machine(), flush=True)
    figures = []
    for name in options.benches or BENCHES:
        with tempfile.TemporaryDirectory(prefix="bench-") as folder:
            for figure in BENCHES[name](Path(folder), options.store):
                print(
                    f"{figure.name:12} {figure.what}: {figure.found} ({figure.bar}): {figure.ratio:.2f}",
                    flush=True,
                )
                figures.append(figure)
    if options.write:
        write(figures)


if __name__ == "__main__":
    main()
