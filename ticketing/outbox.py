"""What is to be told outside, kept with what happened: at least once, each with its own key, never in a storm.

The hall delivers; this decides what, when, and in how many messages.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import bindparam, func, select, update

from ticketing.events import canonical
from ticketing.policy import Channel
from ticketing.reading import Reading
from ticketing.records import MINUTE, Delivery
from ticketing.statements import Once
from ticketing.tables import outbox, same, work_order
from ticketing.writing import Writing

ABOUT = Once(
    select(work_order.c.priority, work_order.c.asset, work_order.c.title_zh, work_order.c.title_en).where(
        same(work_order, "number")
    )
)
DUE = Once(
    select(outbox.c.key, outbox.c.channel, outbox.c.payload)
    .where(same(outbox), outbox.c.state == "waiting", outbox.c.next_at <= bindparam("now"))
    .order_by(outbox.c.channel, outbox.c.created_at, outbox.c.key)
)
FIRST_WAIT = 10_000  # ms; doubled with each failure
LONGEST_WAIT = 60 * MINUTE
FALLBACK = ">"  # in the key of what another channel could not deliver
DIGEST_LIMIT = 200  # lines in one message


def post(tx: Writing, key: str, channel: str, payload: Mapping[str, Any], at: int) -> None:
    """Have ``payload`` delivered; a second post with the same key is the same post."""
    row = {"channel": channel, "payload": canonical(payload), "created_at": at}
    tx.add_once(outbox, key=key, state="waiting", tries=0, next_at=at, **row)


def tell(tx: Writing, lines: Iterable[Mapping[str, Any]]) -> None:
    """Post the history's new lines to every channel that wants them."""
    for channel in tx.policy.channels:
        for line in lines:
            if line["type"] in channel.events:
                _tell(tx, channel, line)


def _tell(tx: Writing, channel: Channel, line: Mapping[str, Any]) -> None:
    (order,) = tx.rows(ABOUT, tx.of(number=line["number"]))
    if order.priority not in channel.priorities:
        return
    payload = {
        **{name: line[name] for name in ("site", "seq", "number", "at", "actor", "type")},
        "fields": json.loads(line["payload"]).get("fields", {}),
        **order._asdict(),
    }
    post(tx, f"{line['number']}:{line['seq']}:{channel.name}", channel.name, payload, line["at"])


def deliveries(read: Reading, now: int) -> list[Delivery]:
    """The messages to send now; beyond a channel's rate the rest becomes one digest.

    A storm on an asset is one message a minute. Escalations are for others to read, and each comes once anyway.
    """
    due = read.rows(DUE, {**read.of(), "now": now})
    found: list[Delivery] = []
    for name in sorted({row.channel for row in due}):
        mine = [(row.key, json.loads(row.payload)) for row in due if row.channel == name]
        told = _told_lately(read, name, now)
        groups = _by_subject(each for each in mine if _subject(*each) not in told)
        found += _bundled(name, groups, _channel(read, name).per_minute - _sent_lately(read, name, now))
    return found


def _by_subject(due: Iterable[tuple[str, Any]]) -> list[list[tuple[str, Any]]]:
    """What is about one thing together."""
    groups: dict[str, list[tuple[str, Any]]] = {}
    for key, body in due:
        groups.setdefault(_subject(key, body), []).append((key, body))
    return list(groups.values())


def _subject(key: str, body: Mapping[str, Any]) -> str:
    """The asset that a message is about; itself, where there is none, or where it is for other readers."""
    alone = FALLBACK in key or body.get("type") == "escalate"
    return key if alone else body.get("asset") or body.get("number") or key


def take(tx: Writing, now: int, lease: int) -> list[Delivery]:
    """What is due, for one who sends it now; for ``lease`` ms nobody else gets it, then it is due again."""
    found = deliveries(tx, now)
    keys = [key for delivery in found for key in delivery.keys]
    if keys:
        mine = tx.here(outbox) & outbox.c.key.in_(keys)
        tx.connection.execute(update(outbox).where(mine).values(next_at=now + lease))
    return found


def counts(read: Reading) -> dict[tuple[str, str], int]:
    """How many messages each channel has in each state: waiting, delivered, given_up."""
    counted = select(outbox.c.channel, outbox.c.state, func.count()).where(read.here(outbox))
    rows = read.connection.execute(counted.group_by(outbox.c.channel, outbox.c.state))
    return {(channel, state): count for channel, state, count in rows}


def _bundled(channel: str, due: list[list[tuple[str, Any]]], room: int) -> list[Delivery]:
    if room <= 0:
        return []
    messages = due if len(due) <= room else due[: room - 1]
    if rest := [each for group in due[len(messages) :] for each in group]:
        messages = [*messages, rest[:DIGEST_LIMIT]]
    return [
        Delivery(channel, tuple(key for key, _ in each), tuple(body for _, body in each)) for each in messages
    ]


def delivered(tx: Writing, delivery: Delivery, at: int) -> None:
    """It arrived."""
    done = {"state": "delivered", "delivered_at": at, "delivery": delivery.keys[0], "error": None}
    mine = tx.here(outbox) & outbox.c.key.in_(delivery.keys)
    tx.connection.execute(update(outbox).where(mine).values(**done))


def failed(tx: Writing, delivery: Delivery, at: int, error: str) -> None:
    """It did not arrive: try again later, each time twice as late; in the end by the fallback channel."""
    channel = _channel(tx, delivery.channel)
    for key, payload in zip(delivery.keys, delivery.payloads, strict=True):
        here = tx.here(outbox, key=key)
        tries = 1 + (tx.connection.scalar(select(outbox.c.tries).where(here)) or 0)
        wait = min(FIRST_WAIT * 2 ** (tries - 1), LONGEST_WAIT)
        state = "waiting" if tries < channel.tries else "given_up"
        change = {"tries": tries, "next_at": at + wait, "state": state, "error": error[:500]}
        tx.connection.execute(update(outbox).where(here).values(**change))
        if state == "given_up" and channel.fallback:
            post(tx, f"{key}{FALLBACK}{channel.fallback}", channel.fallback, payload, at)


def _channel(read: Reading, name: str) -> Channel:
    return next((each for each in read.policy.channels if each.name == name), Channel(name, events=()))


def _told_lately(read: Reading, channel: str, now: int) -> set[str]:
    """What messages were about within the last minute."""
    sent = select(outbox.c.key, outbox.c.payload).where(
        read.here(outbox, channel=channel), outbox.c.delivered_at > now - MINUTE
    )
    return {_subject(key, json.loads(body)) for key, body in read.connection.execute(sent)}


def _sent_lately(read: Reading, channel: str, now: int) -> int:
    count = select(func.count(outbox.c.delivery.distinct())).where(
        read.here(outbox, channel=channel), outbox.c.delivered_at > now - MINUTE
    )
    return read.connection.scalar(count) or 0
