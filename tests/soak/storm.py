"""A storm: every signal of a plant crosses its limit at once, again and again. Who is told, and how often?

Run ``python -m tests.soak.storm --times 100``. The judge, the dispatch and the ticket core are the daemon's; only the
wires are missing. At most one order an asset, and at most one message a minute about it.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gateway.building import build_panel, build_rules, maintained
from gateway.config import load_site
from gateway.dispatch import Dispatch
from gateway.evidence import Witness
from gateway.sensors import Sensors
from gateway.site import Site
from ticketing import Channel, Desk, Policy

S = 1_000_000_000
T0 = 1_800_000_000 * S
UP, PERIOD = 20, 60  # s beyond the limit, of every crossing


@dataclass
class Storm:
    """What came of it."""

    signals: int
    assets: int
    alarms: int = 0
    orders: int = 0
    messages: int = 0
    most_a_minute: int = 0  # messages about one asset
    seconds: float = 0.0

    @property
    def calm(self) -> bool:
        return self.alarms > 0 and self.orders <= self.assets and self.most_a_minute <= 1


def plant(folder: Path, assets: int, signals: int) -> Site:
    """A site of many pumps with many signals, each with a rule of its own that opens an order at once."""
    names = [f"q{n}" for n in range(signals)]
    classes = "[class.pump.signals]\n" + "".join(f'{name} = {{ unit = "mm/s" }}\n' for name in names)
    pumps = "".join(f'[asset.p-{n}]\nclass = "pump"\n' for n in range(assets))
    modes = ("VIB", "OHE", "PDE", "ERO", "LOO")
    rules = "".join(
        f'[rule.{name}]\nfailure_mode = "{modes[n % len(modes)]}"\nscope = {{ class = "pump" }}\n'
        f'signal = "{name}"\nabove = 5\nseverity = 4\n'
        for n, name in enumerate(names)
    )
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "site.toml").write_text('[site]\nid = "storm"\nname = "Storm"\n')
    (folder / "assets.toml").write_text(classes + pumps)
    (folder / "rules.toml").write_text(rules)
    return load_site(folder)


def storm(folder: Path, assets: int, signals: int, times: int) -> Storm:
    """All signals cross at once, ``times`` times, a minute apart."""
    began = time.monotonic()
    site = plant(folder, assets, signals)
    desk = Desk.open(folder / "core.db", site="storm", policy=Policy(channels=(Channel("mail"),)))
    with desk.transaction() as tx:
        tx.sync_assets(maintained(site))
    dispatch = Dispatch(desk, build_rules(site), Witness(site, Sensors([])))
    panel = build_panel(site)
    names = [f"p-{n}/q{m}" for n in range(assets) for m in range(signals)]
    view, good = panel.view(names), np.zeros(len(names), np.uint8)
    found, sent = Storm(len(names), assets), Counter[tuple[str, int]]()
    for second in range(0, times * PERIOD, UP):
        now = T0 + second * S
        value = 9.0 if second % PERIOD == UP else 1.0
        said = panel.judge(view, now, np.full(len(names), value), good)
        with dispatch.transaction(now, said):
            pass
        sent += told(desk, now // 1_000_000)
    with desk.read() as read:
        found.alarms = len(read.alarms(limit=None))
        found.orders = read.count_orders()
    desk.close()
    found.messages = sent.total()
    found.most_a_minute = max(sent.values(), default=0)
    found.seconds = time.monotonic() - began
    return found


def told(desk: Desk, now: int) -> Counter[tuple[str, int]]:
    """Send what is due; how many news of which asset in which minute (an escalation is for others, and comes once)."""
    sent: Counter[tuple[str, int]] = Counter()
    with desk.transaction() as tx:
        for delivery in tx.deliveries(now):
            tx.delivered(delivery, now)
            news = {
                body["asset"] or body["number"] for body in delivery.payloads if body["type"] != "escalate"
            }
            sent.update((subject, now // 60_000) for subject in news)
    return sent


def main() -> None:
    """Print what happened; exit 1 when it was too much for anybody."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--assets", type=int, default=100)
    parser.add_argument("--signals", type=int, default=10, help="of each asset")
    parser.add_argument("--times", type=int, default=100)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = storm(Path(folder), options.assets, options.signals, options.times)
    print(
        f"{found.signals:,} signals of {found.assets} assets crossed {options.times} times in {found.seconds:.0f} s: "
        f"{found.alarms:,} alarms, {found.orders} orders, {found.messages} messages, "
        f"at most {found.most_a_minute} a minute about one asset"
    )
    sys.exit(not found.calm)


if __name__ == "__main__":
    main()
