"""Whether a machine runs: told by a signal, kept by the ticket core, and never an alarm for anybody."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from gateway.building import build_panel, build_rules, judged_by, maintained
from gateway.config import load_site
from gateway.dispatch import Dispatch
from gateway.mistakes import ConfigError
from gateway.site import Site
from gateway.workbench.desk import trial_desk
from rules import Panel
from tests.ticketing.scene import LEAD, TECHNICIAN
from ticketing import Desk

S, MINUTE, HOUR = 1_000_000_000, 60_000_000_000, 3_600_000_000_000
T0 = 1_800_000_000 * S
SIGNALS = ("pump-1/speed", "pump-1/vib_rms")
ASSETS = """
[class.pump]
running = { signal = "speed", above = 100, settle = "5s" }
[class.pump.signals]
vib_rms = { unit = "mm/s" }
speed = { unit = "rpm" }
[asset.pump-1]
class = "pump"
[asset.pump-2]
class = "pump"
running = { signal = "vib_rms", above = 0.5 }
"""
RULES = """
[rule.vibration]
failure_mode = "VIB"
scope = { assets = ["pump-1"] }
signal = "vib_rms"
above = 4.5
work_order = { verify = "2h", min_active = { 3 = "0s" } }
"""


def site(folder: Path, assets: str = ASSETS) -> Site:
    (folder / "site.toml").write_text('[site]\nid = "works"\nname = "Works"\n')
    (folder / "assets.toml").write_text(assets)
    (folder / "rules.toml").write_text(RULES)
    return load_site(folder)


class House:
    """The judge and the ticket core of a site, by samples of one pump."""

    def __init__(self, site: Site, panel: Panel, desk: Desk, dispatch: Dispatch) -> None:
        self.site, self.panel, self.desk, self.dispatch = site, panel, desk, dispatch
        self.view, self.at = panel.view(SIGNALS), T0

    def live(self, length: int, speed: float, vibration: float = 1.0, *, quality: int = 0) -> None:
        """Both signals stay so for ``length`` ns, one sample a second or (in the long) a minute."""
        step = S if length <= 5 * MINUTE else MINUTE
        for at in range(self.at + step, self.at + length + step, step):
            values, flags = np.array([speed, vibration]), np.array([quality, 0], np.uint8)
            said = self.panel.judge(self.view, at, values, flags)
            with self.dispatch.transaction(at, said):
                pass
        self.at += length

    @property
    def running(self) -> bool | None:
        with self.desk.read() as read:
            return read.asset("pump-1").running


@contextmanager
def house(site: Site) -> Iterator[House]:
    with trial_desk(site, build_rules(site), maintained(site)) as (desk, dispatch):
        yield House(site, build_panel(site), desk, dispatch)


def test_a_machine_runs_and_stands_once_its_signal_has_settled(tmp_path: Path) -> None:
    with house(site(tmp_path)) as it:
        assert it.running is None
        it.live(4 * S, 0)
        assert it.running is None  # not for five seconds yet
        it.live(4 * S, 0)
        assert it.running is False
        it.live(3 * S, 1480)
        it.live(1 * S, 0)
        it.live(3 * S, 1480)
        assert it.running is False  # it only twitched
        it.live(10 * S, 1480)
        assert it.running is True
        it.live(MINUTE, 0, quality=0x80)
        assert it.running is True  # a sensor that is away says nothing
        with it.desk.read() as read:
            assert read.alarms() == []
        assert not it.dispatch.alarmed("pump-1")
        it.dispatch.resume(it.panel.active())  # after a restart
        assert not it.dispatch.alarmed("pump-1")


def test_the_verify_window_counts_running_hours(tmp_path: Path) -> None:
    with house(site(tmp_path)) as it:
        it.live(MINUTE, 1480)
        it.live(MINUTE, 1480, 6.0)
        it.live(MINUTE, 1480)
        now = it.at // 1_000_000
        with it.desk.transaction() as tx:
            (order,) = tx.orders()
            assert tx.evidence(order.number)[0].body["running"] is True
            done = {"symptom": "VIB", "mechanism": "wear", "remedy": "replace"}
            for n, (move, who, fields) in enumerate(
                [
                    ("assign", LEAD, {"assignee": TECHNICIAN.name}),
                    ("start", TECHNICIAN, {}),
                    ("resolve", TECHNICIAN, done),
                ]
            ):
                tx.move(order.number, move, who, order.version + n, now, **fields)
        it.live(HOUR, 1480)
        it.live(5 * HOUR, 0)
        assert verified(it, order.number) is None  # an hour of running in six
        it.live(2 * HOUR, 1480)
        found = verified(it, order.number)
        assert found is not None
        assert found - now == pytest.approx(7 * 3_600_000, abs=60_000)


def verified(it: House, number: str) -> int | None:
    with it.desk.read() as read:
        return read.order(number).verified_at


def test_when_nobody_tells_any_more_it_counts_as_running(tmp_path: Path) -> None:
    with house(site(tmp_path)) as it:
        it.live(10 * S, 0)
        assert it.running is False
        bare = site(tmp_path, ASSETS.replace("running = { signal", "# "))
        with it.dispatch.transaction(it.at, it.panel.rebind(judged_by(bare, build_rules(bare)))):
            pass
        assert it.running is True


def test_an_asset_may_be_told_by_another_signal(tmp_path: Path) -> None:
    told = site(tmp_path).running_of("pump-2")
    assert (told.signal if told else None) == "vib_rms"


def test_a_signal_that_the_class_has_not_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as error:
        site(tmp_path, ASSETS.replace('signal = "speed"', 'signal = "sped"'))
    assert any(
        "class.pump.running.signal" in str(each) and "speed" in str(each) for each in error.value.mistakes
    )
