"""The daemon empties the outbox: it holds the site's lock, has the core open and runs always, so nothing is sent twice
by two of us and nothing waits for somebody to open a page.

A message is taken (nobody else takes it for a while), sent, and marked. If we die in between it goes out again with the
same key: at least once.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping

from gateway.channels import ChannelSettings
from gateway.notices import Notice, tell
from gateway.outbound import OutboundError
from gateway.site import Site
from ticketing import Delivery, Desk, Step, outbox, people

log = logging.getLogger(__name__)

BEAT = 2.0  # s between two looks into the outbox
TAKEN = 120_000  # ms that a message is ours
MS = 1_000_000  # ns
Tell = Callable[[ChannelSettings, Notice, Iterable[str]], None]


class Notifier:
    """Sends what is due by the site's channels. ``now`` is UTC in ns."""

    def __init__(self, site: Site, desk: Desk, now: Callable[[], int], send: Tell = tell) -> None:
        self._site, self._desk, self._now, self._send = site, desk, now, send
        self._silent: dict[str, str] = {}  # channel → why it could not be told, said once
        self._away = False

    async def run(self) -> None:
        """Until cancelled; a site without channels has nothing to do."""
        while self._site.channels:
            try:
                await asyncio.to_thread(self.once)
                self._away = False
            except Exception as error:  # noqa: BLE001 - a shared core may be away: the messages wait in it
                if not self._away:
                    log.error("the outbox cannot be read, its messages wait: %s", error)
                self._away = True
            await asyncio.sleep(BEAT)

    def once(self) -> int:
        """Send what is due now; how many messages went out."""
        now = self._now() // MS
        with self._desk.read() as read:
            if not read.deliveries(now):
                return 0
        with self._desk.transaction() as tx:
            due = outbox.take(tx, now, TAKEN)
            addresses = _addresses(people.listed(tx))
        sent, broken = 0, dict[str, str]()
        for each in due:
            error = broken.get(each.channel) or self._deliver(each, now, addresses)
            with self._desk.transaction() as tx:
                if error is None:
                    tx.delivered(each, now)
                    sent += 1
                else:
                    tx.failed(each, now, error)
                    broken[each.channel] = error  # the others of this channel need not try
        return sent

    def _deliver(self, delivery: Delivery, now: int, addresses: Mapping[str, set[str]]) -> str | None:
        """Why it did not arrive, or None."""
        name = delivery.channel
        settings = self._site.channels.get(name)
        if settings is None:
            return f"site.toml has no [notify.{name}] any more"
        roles = {*getattr(settings, "roles", ()), *_names(delivery, self._desk.policy.steps)}
        readers = sorted({address for role in roles for address in addresses.get(role, ())})
        try:
            self._send(settings, self.notice(settings, delivery, now), readers)
        except OutboundError as error:
            if self._silent.get(name) != str(error):
                log.warning("channel %s cannot be told: %s", name, error)
            self._silent[name] = str(error)
            return str(error)
        if self._silent.pop(name, None):
            log.info("channel %s is told again", name)
        return None

    def notice(self, settings: ChannelSettings, delivery: Delivery, now: int) -> Notice:
        """The message for this channel's readers."""
        names = self._site.web.names
        return Notice(
            self._site.site.id,
            delivery.keys[0],
            delivery.payloads,
            now,
            settings.language or self._site.site.language,
            f"https://{names[0]}" if names else "",
        )


def _addresses(everybody: Iterable[people.Person]) -> dict[str, set[str]]:
    """Role → e-mail addresses of those who have it."""
    found: dict[str, set[str]] = {}
    for person in everybody:
        for role in person.roles if person.email else ():
            found.setdefault(role, set()).add(person.email)
    return found


def _names(delivery: Delivery, steps: Iterable[Step]) -> set[str]:
    """The roles that the delivery's escalations name."""
    taken = {each["fields"].get("step") for each in delivery.payloads if each.get("type") == "escalate"}
    return {step.role for step in steps if step.name in taken}
