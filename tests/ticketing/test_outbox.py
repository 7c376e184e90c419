"""Telling the outside: each line once per channel, within the rate, again after failures, in the end elsewhere."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.ticketing.scene import ASSETS, LEAD, T0, raised
from ticketing import Channel, Delivery, Desk, OrderPolicy, Policy
from ticketing.records import HOUR, MINUTE

CHANNELS = (
    Channel("wecom", per_minute=3, tries=3, fallback="mail"),
    Channel("mail", events=("escalate",), priorities=(1,)),
)


@pytest.fixture
def desk(url: str) -> Iterator[Desk]:
    desk = Desk.open(url, site="demo", policy=Policy(channels=CHANNELS))
    with desk.transaction() as tx:
        tx.sync_assets(ASSETS)
    yield desk
    desk.close()


def waiting(desk: Desk, now: int) -> list[Delivery]:
    with desk.read() as read:
        return read.deliveries(now)


def several(desk: Desk, count: int) -> None:
    with desk.transaction() as tx:
        for n in range(count):
            tx.post(f"k{n}", "wecom", {"n": n}, T0)


def test_what_happens_goes_to_the_channels_that_want_it(desk: Desk) -> None:
    with desk.transaction() as tx:
        tx.alarm_raised(raised("e1"))
        tx.alarm_raised(raised("e2", asset="fan-1"))
        tx.tick(T0)
        tx.verify()  # looking does not lose anything
    found = waiting(desk, T0)
    assert [(each.channel, each.keys) for each in found] == [
        ("mail", ("WO-2026-000001:3:mail",)),
        ("wecom", ("WO-2026-000001:1:wecom",)),
        ("wecom", ("WO-2026-000001:3:wecom",)),
        ("wecom", ("WO-2026-000002:4:wecom",)),
    ]
    (told,) = found[1].payloads
    assert told == {
        "site": "demo",
        "seq": 1,
        "number": "WO-2026-000001",
        "at": T0,
        "actor": "engine",
        "type": "open",
        "fields": {},
        "priority": 1,
        "asset": "pump-1",
        "title_zh": "振动过高",
        "title_en": "vibration too high",
    }
    assert found[0].payloads[0]["fields"] == {"step": "p1_opened"}


def test_nothing_is_told_of_what_was_not_committed(desk: Desk) -> None:
    def fail() -> None:
        with desk.transaction() as tx:
            tx.alarm_raised(raised("e1"))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert waiting(desk, T0 + HOUR) == []


def test_a_replay_tells_nothing_again(desk: Desk) -> None:
    for _ in range(2):
        with desk.transaction() as tx:
            tx.alarm_raised(raised("e1", asset="fan-1"))
            tx.post("mine", "wecom", {"n": 1}, T0)
    assert [each.keys for each in waiting(desk, T0)] == [("WO-2026-000001:1:wecom",), ("mine",)]


def test_beyond_the_rate_the_rest_is_one_digest(desk: Desk) -> None:
    several(desk, 9)
    first = waiting(desk, T0)
    assert [each.keys for each in first] == [("k0",), ("k1",), ("k2", "k3", "k4", "k5", "k6", "k7", "k8")]
    with desk.transaction() as tx:
        for each in first:
            tx.delivered(each, T0)
        tx.post("late", "wecom", {}, T0)
    assert waiting(desk, T0 + 59_999) == []
    assert [each.keys for each in waiting(desk, T0 + MINUTE)] == [("late",)]


def test_a_failed_message_is_tried_later_and_later_and_then_elsewhere(desk: Desk) -> None:
    several(desk, 1)
    now = T0
    for wait in (10_000, 20_000):
        (delivery,) = waiting(desk, now)
        with desk.transaction() as tx:
            tx.failed(delivery, now, "refused")
        assert waiting(desk, now + wait - 1) == []
        now += wait
    (delivery,) = waiting(desk, now)
    with desk.transaction() as tx:
        tx.failed(delivery, now, "refused")
    (elsewhere,) = waiting(desk, now)
    assert (elsewhere.channel, elsewhere.keys, elsewhere.payloads) == ("mail", ("k0>mail",), ({"n": 0},))


def test_what_was_delivered_is_not_sent_again_over_restarts(url: str, desk: Desk) -> None:
    several(desk, 2)
    first, _ = waiting(desk, T0)
    with desk.transaction() as tx:
        tx.delivered(first, T0)
    desk.close()
    again = Desk.open(url, site="demo", policy=Policy(channels=CHANNELS))
    assert [each.keys for each in waiting(again, T0)] == [("k1",)]
    again.close()


def test_comments_are_nobodys_news_unless_a_channel_asks(desk: Desk) -> None:
    with desk.transaction() as tx:
        order = tx.open_order(LEAD, at=T0, asset="pump-1", title="x")
    with desk.transaction() as tx:
        tx.move(order.number, "comment", LEAD, 1, T0, comment="y")
    assert [each.payloads[0]["type"] for each in waiting(desk, T0)] == ["open"]


def test_a_storm_on_one_asset_is_one_message_a_minute(url: str, desk: Desk) -> None:
    """Orders of its own for each rule; what comes within the minute waits and goes together."""
    rule_by_rule = OrderPolicy(key="rule_asset")

    def happens(seconds: int, *rules: str) -> list[tuple[str, ...]]:
        now = T0 + seconds * 1000
        with desk.transaction() as tx:
            for rule in rules:
                tx.alarm_raised(raised(rule, now, asset="fan-1", rule_id=rule, policy=rule_by_rule))
        with desk.transaction() as tx:
            found = [each for each in tx.deliveries(now) if each.channel == "wecom"]
            for each in found:
                tx.delivered(each, now)
            return [tuple(body["number"][-1] for body in each.payloads) for each in found]

    desk = Desk.open(url, site="demo", policy=Policy(channels=CHANNELS, correlation_window=0))
    assert happens(0, "a") == [("1",)]
    assert happens(20, "b") == []
    assert happens(21, "c") == []
    assert happens(59) == []
    assert happens(60) == [("2", "3")]
    desk.close()
