"""Gateways that share a database: what they say waits while it is away, arrives once, and makes one order."""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from tests.ticketing.scene import ASSETS, LEAD, T0, TECHNICIAN, raised
from ticketing import Asset, Branch, Desk, OrderPolicy, RuleStep, StorageError, timers
from ticketing.errors import NameTakenError

AT_ONCE = OrderPolicy(min_active={2: 0, 4: 0})


@pytest.fixture
def own(tmp_path: Path, sqlite_template: Path) -> Iterator[list[Desk]]:
    """What two gateways of one site have of their own."""
    files = [Path(shutil.copy(sqlite_template, tmp_path / f"{name}.db")) for name in ("one", "two")]
    desks = [Desk.open(file, site="demo") for file in files]
    yield desks
    for desk in desks:
        desk.close()


@pytest.fixture
def gateways(own: list[Desk], desk: Desk) -> list[Branch]:
    """Their ends of one core."""
    return [Branch(each, desk) for each in own]


def say(gateway: Branch, episode: str, cursor: int = 1) -> None:
    """A whole episode, with the judge's state."""
    with gateway.transaction() as tx:
        assert tx.alarm_raised(raised(episode, severity=2, policy=AT_ONCE)).kind == "forwarded"
        tx.severity_raised(episode, 4, T0 + 60_000, {"value": 9.5})
        tx.alarm_reactivated(episode, 1, T0 + 90_000)
        tx.alarm_cleared(episode, T0 + 120_000)
        tx.machine_runs("pump-1", T0 + 180_000, running=False)
        tx.counter("pump-1", "hours", 12, T0 + 180_000)
        tx.save_state("judge", cursor, b"x")


def test_what_was_said_arrives_as_it_was_said(gateways: list[Branch], desk: Desk) -> None:
    one, _ = gateways
    say(one, "e1")
    assert one.waiting() == 6
    assert [d.kind for d in one.relay()] == ["opened", "escalated"]
    assert one.waiting() == 0
    with desk.read() as read:
        (order,) = read.orders()
        (alarm,) = read.alarms()
        assert (order.priority, order.opened_at, alarm.severity) == (1, T0, 4)
        assert (alarm.reactivations, alarm.cleared_at) == (1, T0 + 120_000)
        assert alarm.policy == AT_ONCE
        assert [e.body for e in read.evidence(order.number)] == [{"value": 5.0, "limit": 4.5}, {"value": 9.5}]
        assert read.asset("pump-1").running is False
    with one.read() as kept:
        state = kept.load_state("judge")
        assert state is not None
        assert state.cursor == 1


def test_two_gateways_seeing_one_fault_open_one_order(gateways: list[Branch], desk: Desk) -> None:
    for name, gateway in zip(("e1", "e2"), gateways, strict=True):
        say(gateway, name)
        gateway.relay()
    with desk.read() as read:
        (order,) = read.orders()
        assert order.occurrence_count == 2


def test_gateways_that_tell_the_same_faults_at_once_open_one_order_each(
    gateways: list[Branch], desk: Desk
) -> None:
    faults = range(8)
    for name, gateway in zip("ab", gateways, strict=True):
        with gateway.transaction() as tx:
            for n in faults:  # far enough from each other not to be taken for one
                at, mode = T0 + n * 700_000, f"mode-{n}"
                tx.alarm_raised(raised(f"{name}-{n}", at, failure_mode=mode, policy=AT_ONCE))

    def tell(gateway: Branch) -> None:
        while gateway.waiting():
            gateway.relay(limit=1)

    with ThreadPoolExecutor() as pool:
        list(pool.map(tell, gateways))
    with desk.read() as read:
        assert [order.occurrence_count for order in read.orders()] == [2 for _ in faults]
        assert read.verify().broken is None


class DiedError(Exception):
    """A test's own."""


def test_told_twice_is_told_once(gateways: list[Branch], desk: Desk) -> None:
    """The gateway died after the shared commit and before its own."""
    one, _ = gateways

    def die() -> None:
        raise DiedError

    with one.transaction() as tx:
        tx.machine_runs("pump-1", T0 - 60_000, running=True)
    say(one, "e1")
    with pytest.raises(DiedError):
        one.relay(told=die)
    with desk.transaction() as tx:  # some running to verify a repair, while the machine stands
        timers.start(tx, "verify", "WO-2026-000001", at=T0 + 200_000, ms=1000, asset="pump-1")
    with desk.read() as read:
        before = read.export()
    assert one.waiting() == 7
    one.relay()
    assert one.waiting() == 0
    with desk.transaction() as tx:
        assert tx.export() == before
        tx.machine_runs("pump-1", T0 + 300_000, running=True)
        assert timers.pop_due(tx, T0 + 300_999) is None
        assert timers.pop_due(tx, T0 + 301_000) is not None


def told(folder: Path, template: Path, chance: random.Random | None) -> str:
    """What a core knows of five faults; with ``chance`` the gateway dies and the core is away now and then."""
    files = [Path(shutil.copy(template, folder / f"{name}-{chance is None}.db")) for name in ("own", "core")]
    own, core = (Desk.open(file, site="demo") for file in files)
    with core.transaction() as tx:
        tx.sync_assets(ASSETS)
    course = random.Random(11)
    gateway = Branch(own, core)

    def die() -> None:
        if chance is not None and chance.random() < 0.4:
            raise DiedError

    at = T0
    for n in range(5):
        asset = course.choice(ASSETS).code
        policy = OrderPolicy(min_active={2: course.choice([0, 50_000])}, self_clear=True)
        for step in range(4):
            at += course.choice([1000, 40_000, 900_000])
            with gateway.transaction() as tx:
                if step == 0:
                    tx.alarm_raised(raised(f"e{n}", at, asset=asset, severity=2, policy=policy))
                elif step == 1:
                    tx.severity_raised(f"e{n}", 3, at, {"value": 1.0, "earlier_orders": []})
                elif step == 2:
                    tx.machine_runs(asset, at, running=course.random() < 0.5)
                else:
                    tx.alarm_cleared(f"e{n}", at)
                tx.tick(at)
            if chance is None or chance.random() < 0.5:  # else the core is away
                with suppress(DiedError):
                    gateway.relay(limit=3, told=die)
    while gateway.waiting():
        with suppress(DiedError):
            gateway.relay(limit=3, told=die)
    with core.transaction() as tx:
        tx.tick(at)
        known = tx.export() + str(tx.alarms(limit=None)) + str(tx.assets())
    own.close()
    core.close()
    return known


@pytest.mark.parametrize("seed", range(4))
def test_however_often_gateway_and_core_fail_the_core_knows_the_same(
    tmp_path: Path, sqlite_template: Path, seed: int
) -> None:
    quietly = told(tmp_path, sqlite_template, None)
    assert quietly.count('"number"') >= 2
    assert told(tmp_path, sqlite_template, random.Random(seed)) == quietly


def test_while_the_shared_database_is_away_everything_waits(
    gateways: list[Branch], desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, _ = gateways
    say(one, "e1")

    def away() -> None:
        raise StorageError("connection refused")

    with monkeypatch.context() as patch:
        patch.setattr(desk, "transaction", away)
        with pytest.raises(StorageError):
            one.relay()
    say(one, "e2", cursor=2)
    assert one.waiting() == 12
    while one.waiting():
        one.relay(limit=5)
    with desk.read() as read:
        (order,) = read.orders()
        assert order.occurrence_count == 2


def test_the_cores_timers_go_on_by_the_engines_time_when_all_has_arrived(
    gateways: list[Branch], desk: Desk
) -> None:
    heard: list[int] = []
    one, two = gateways
    one.heard = lambda: heard.append(1)
    with one.transaction() as tx:
        tx.alarm_raised(raised("e1", policy=OrderPolicy(min_active={4: 60_000})))
        tx.tick(T0)
    one.relay()
    assert one.relay() == [], "nothing new, nothing due"
    assert heard == [1]
    with two.transaction() as tx:
        tx.alarm_raised(raised("e2", T0 + 1000, asset="fan-1", severity=2))
        tx.tick(T0 + 70_000)
    assert two.relay(limit=1)[0].kind == "waiting"
    with desk.read() as read:
        assert read.orders() == [], "as much arrived as there was room for: there may be more"
    assert [d.kind for d in two.relay(limit=1)] == ["opened", "escalated"]
    with desk.read() as read:
        assert [order.opened_at for order in read.orders()] == [T0 + 60_000]


def test_the_core_adds_what_only_it_knows(gateways: list[Branch], desk: Desk) -> None:
    one, _ = gateways
    with desk.transaction() as tx:
        earlier = tx.open_order(TECHNICIAN, at=T0 - 1000, asset="pump-1", title="漏油")
        order = tx.move(earlier.number, "assign", LEAD, earlier.version, T0 - 900, assignee="li")
        tx.move(order.number, "start", TECHNICIAN, order.version, T0 - 800)
    with one.transaction() as tx:
        place = {"value": 5.0, "earlier_orders": []}
        tx.alarm_raised(raised("e1", silent_at_work=True, evidence=place))
        tx.alarm_raised(raised("e2", rule_id="other", evidence=place))
    one.relay()
    with desk.read() as read:
        assert read.alarm("e1").suppression == "by_design"
        (order,) = (o for o in read.orders() if o.number != earlier.number)
        (evidence,) = read.evidence(order.number)
        assert [e["number"] for e in evidence.body["earlier_orders"]] == [earlier.number]


def test_what_the_core_refuses_for_good_keeps_nothing_else_from_arriving(
    gateways: list[Branch], desk: Desk
) -> None:
    one, _ = gateways
    with one.transaction() as tx:
        tx.alarm_raised(raised("e1", asset="never-heard-of"))
        tx.alarm_raised(raised("e2"))
    found = []
    while one.waiting():
        found += one.relay()
    assert [d.kind for d in found][:2] == ["refused", "opened"]
    assert "never-heard-of" in found[0].why
    with desk.read() as read:
        assert read.verify().broken is None


def test_the_rules_steps_are_remembered_while_the_core_is_away(
    gateways: list[Branch], desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, _ = gateways
    assert one.ask()
    with one.read() as kept:
        assert kept.rule_stages() == {}
    step = RuleStep("vib", "h1", "canary", T0, "first", assets=("pump-1",))
    engineer = replace(LEAD, roles=frozenset({"engineer"}))
    with desk.transaction() as tx:
        said = tx.take_rule_step(engineer, step, "{}")
    assert one.ask()
    assert not one.ask()
    monkeypatch.setattr(desk, "read", None)
    with one.read() as kept:
        assert kept.rule_stages() == {"vib": said}


def test_two_gateways_of_one_name_do_not_mix(gateways: list[Branch]) -> None:
    one, two = gateways
    one.sign("gateway", T0)
    two.sign("two", T0)
    with pytest.raises(NameTakenError, match="is called 'gateway' too"):
        two.sign("gateway", T0 + 20_000)
    one.sign("gateway", T0 + 20_000)
    two.sign("gateway", T0 + 60_000)  # the box was replaced
    with pytest.raises(NameTakenError):
        one.sign("gateway", T0 + 60_001)


@pytest.mark.needs("postgresql")
def test_a_gateway_that_vanished_in_a_transaction_gives_the_site_free(postgresql: str) -> None:
    desk = Desk.open(postgresql % "template_desk", site="demo")
    with desk.read() as read:
        assert read.connection.exec_driver_sql("SHOW idle_in_transaction_session_timeout").scalar() == "1min"
    desk.close()


def test_what_another_gateway_names_is_not_retired(desk: Desk) -> None:
    shared, mine = ASSETS[1], Asset("fan-2", "fan", "二号风机", "Fan 2")

    def sync(gateway: str, *assets: Asset) -> set[str]:
        with desk.transaction() as tx:
            tx.sync_assets(assets, gateway=gateway)
            return {asset.code for asset in tx.assets()}

    assert sync("gateway", *ASSETS) == {asset.code for asset in ASSETS}
    assert sync("two", shared, mine) == {"fan-2", *(asset.code for asset in ASSETS)}
    assert sync("gateway", ASSETS[0]) == {"line-1", "pump-1", "fan-2"}
    assert sync("two", mine) == {"line-1", "fan-2"}


def test_a_desk_that_opens_later_opens_when_its_database_is_there(
    tmp_path: Path, sqlite_template: Path
) -> None:
    desk = Desk.open(tmp_path / "not" / "there" / "core.db", site="demo", later=True)
    with pytest.raises(StorageError, match="does not answer"), desk.read():
        pass
    (tmp_path / "not" / "there").mkdir(parents=True)
    shutil.copy(sqlite_template, tmp_path / "not" / "there" / "core.db")
    with desk.transaction() as tx:
        tx.sync_assets(ASSETS)
    desk.close()
