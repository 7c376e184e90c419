"""The way to a core that several gateways share: what the judge said arrives there in its order, as soon as it answers.

While it is away nothing here waits: devices are read, samples kept and judged, and the alarms wait in the gateway's
own database (``ticketing.relay``).
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Any

from gateway import failpoints
from gateway.building import announce
from gateway.site import Site
from ticketing import Branch, Desk, FieldError

log = logging.getLogger(__name__)

BEAT = 2.0  # s between two looks when there is no news, and between two tries
ASK_EVERY = 10.0  # s between two signatures, and two questions for the steps that rules took on any gateway


class Relay:
    """Tells the shared ``core`` what waits at our ``branch``. ``now`` is UTC in ns.

    ``trouble`` says why it cannot be told, "" while it can; ``changed`` is called when rules have taken steps there.
    """

    def __init__(
        self,
        site: Site,
        branch: Branch,
        core: Desk,
        now: Callable[[], int],
        changed: Callable[[], None],
    ) -> None:
        self._branch, self._core, self._now, self._changed = branch, core, now, changed
        self._name, self._news = site.gateway, asyncio.Event()
        self._asked = float("-inf")
        self.trouble, self.waiting = "", branch.waiting()
        self.announce(site)

    def announce(self, site: Site) -> None:
        """Before anything else the core shall know the machines and people of ``site``."""
        self._unknown: Site | None = site
        self._news.set()

    def status(self) -> dict[str, Any]:
        """For the health report."""
        return {"waiting": self.waiting, "trouble": self.trouble}

    async def run(self) -> None:
        """Until cancelled."""
        loop = asyncio.get_running_loop()

        def heard() -> None:
            loop.call_soon_threadsafe(self._news.set)

        self._branch.heard = heard
        while True:
            self._news.clear()
            try:
                await asyncio.to_thread(self.once)
            except Exception as error:  # noqa: BLE001 - whatever a server says: here all is safe, and tried again
                if not self.trouble:
                    log.error("alarms wait here: %s", error)
                self.trouble = str(error)
                await asyncio.sleep(BEAT)
                continue
            if self.trouble:
                log.info("the ticket core answers again, and knows what waited")
                self.trouble = ""
            try:
                async with asyncio.timeout(BEAT):
                    await self._news.wait()
            except TimeoutError:
                pass

    def once(self) -> None:
        """All that waits; then ask what people have decided meanwhile."""
        self.waiting = self._branch.waiting()
        due = time.monotonic() - self._asked >= ASK_EVERY
        if due:
            self._branch.sign(self._name, self._now() // 1_000_000)
        if (site := self._unknown) is not None:
            try:
                announce(self._core, site, self._now() // 1_000_000)
            except FieldError as error:  # of people; no alarm waits for that
                log.error("the ticket core does not take people.toml: %s", error)
            if self._unknown is site:
                self._unknown = None
        while True:
            for decision in self._branch.relay(told=lambda: failpoints.hit("relay.told")):
                if decision.kind == "opened":
                    log.info("work order %s opened: %s", decision.number, decision.why)
                elif decision.kind == "refused":
                    log.error("the ticket core refuses what was said: %s", decision.why)
            self.waiting = self._branch.waiting()
            if not self.waiting:
                break
        if due:
            self.ask()

    def ask(self) -> None:
        """Ask which steps the rules have taken now."""
        if self._branch.ask():
            self._changed()
        self._asked = time.monotonic()
