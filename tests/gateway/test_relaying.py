"""The relay of a gateway whose core is shared: what it says when, and what holds up nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from gateway import relaying
from gateway.config import load_site
from gateway.relaying import Relay
from gateway.site import Site
from tests.ticketing.scene import T0, raised
from ticketing import Actor, Branch, Desk, FieldError, OrderPolicy, RuleStep, TicketingError

ROOT = Path(__file__).parents[2]
ENGINEER = Actor("zhao", frozenset({"engineer"}))


@pytest.fixture
def core(tmp_path: Path) -> Iterator[Desk]:
    """A core that is away: its folder is not there yet."""
    desk = Desk.open(tmp_path / "server" / "core.db", site="demo", later=True)
    yield desk
    desk.close()


@pytest.fixture
def branch(tmp_path: Path, core: Desk) -> Iterator[Branch]:
    """A gateway's end of it, with an alarm that waits."""
    own = Desk.open(tmp_path / "gateway.db", site="demo")
    end = Branch(own, core)
    with end.transaction() as tx:
        tx.alarm_raised(raised("e1", policy=OrderPolicy(min_active={4: 0})))
    yield end
    own.close()


@pytest.fixture
def site() -> Site:
    return load_site(ROOT / "examples" / "demo")


def test_it_says_why_alarms_wait_and_tells_them_when_the_core_is_there(
    site: Site, branch: Branch, core: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relaying, "BEAT", 0.01)
    changes: list[int] = []
    relay = Relay(site, branch, core, lambda: T0 * 1_000_000, lambda: changes.append(1))

    async def until(wanted: bool) -> None:
        async with asyncio.timeout(30):
            while bool(relay.trouble) is not wanted or (relay.waiting == 1) is not wanted:
                await asyncio.sleep(0.01)

    async def story() -> None:
        async with asyncio.TaskGroup() as group:
            running = group.create_task(relay.run())
            await until(wanted=True)
            (tmp_path / "server").mkdir()
            await until(wanted=False)
            running.cancel()

    asyncio.run(story())
    with core.read() as read:
        assert [order.asset for order in read.orders()] == ["pump-1"], "the core knew the machine before"
        assert read.asset("gateway").asset_class == "gateway"
    assert changes == [1], "the first answer is news"


def test_a_second_gateway_of_the_same_name_says_so_and_waits(
    site: Site, branch: Branch, core: Desk, tmp_path: Path
) -> None:
    (tmp_path / "server").mkdir()
    other = Desk.open(tmp_path / "other.db", site="demo")
    Relay(site, Branch(other, core), core, lambda: T0 * 1_000_000, lambda: None).once()
    other.close()
    relay = Relay(site, branch, core, lambda: (T0 + 1000) * 1_000_000, lambda: None)
    with pytest.raises(TicketingError, match="called 'gateway' too"):
        relay.once()
    assert relay.status()["waiting"] == branch.waiting() == 1


def test_people_that_the_core_does_not_take_hold_up_no_alarm(
    site: Site, branch: Branch, core: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise FieldError(["roles"], "wang is the last admin who can sign in")

    monkeypatch.setattr("gateway.building.introduce", refuse)
    (tmp_path / "server").mkdir()
    Relay(site, branch, core, lambda: T0 * 1_000_000, lambda: None).once()
    assert branch.waiting() == 0


def test_a_step_that_a_rule_took_elsewhere_is_heard(
    site: Site, branch: Branch, core: Desk, tmp_path: Path
) -> None:
    (tmp_path / "server").mkdir()
    changes: list[int] = []
    relay = Relay(site, branch, core, lambda: T0 * 1_000_000, lambda: changes.append(1))
    relay.once()
    step = RuleStep("vib", "h1", "live", T0, "quiet for a month")
    with core.transaction() as tx:
        tx.take_rule_step(ENGINEER, step, "{}")
    relay.once()
    assert changes == [1], "it does not ask all the time"
    relay.ask()
    relay.ask()
    assert changes == [1, 1]
    with branch.read() as kept:
        assert kept.rule_stages() == {"vib": replace(step, author="zhao", seq=1)}
