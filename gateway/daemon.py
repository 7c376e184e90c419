"""The daemon: who runs, in which order, and how it all ends.

Started in the order of dependence (lock, core, spool, store, judge, forwarder, socket, lines) and ended in the
reverse: no new batches, the last ones committed and judged, the state saved.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, suppress
from functools import partial
from typing import Any

import uvloop

from devices.kinds import open_sources
from devices.line import Time
from devices.memory import Memory
from devices.prober import Prober
from devices.source import Source
from gateway import live, logs, recording, sqlite
from gateway.anchoring import keep_anchoring
from gateway.apart import apart
from gateway.blocks import block_reader
from gateway.building import (
    announce,
    build_panel,
    build_rules,
    build_sensors,
    build_store,
    judged_by,
    sensor_slots,
)
from gateway.channels import policy_of
from gateway.clock import Clock
from gateway.control import ControlServer
from gateway.dispatch import Dispatch
from gateway.evidence import Witness
from gateway.forwarder import Forwarder
from gateway.health import report
from gateway.heartbeat import beat
from gateway.intake import Intake
from gateway.ledger import FOLLOWER, Ledger
from gateway.ledger_file import Item
from gateway.lines import Lines
from gateway.lookback import Lookback
from gateway.notifying import Notifier
from gateway.own import GATEWAY, OwnSignals, certificates
from gateway.pipeline import Pipeline
from gateway.relaying import Relay
from gateway.reload import Reload, take_up
from gateway.site import Site
from gateway.spool import Spool, SpoolFailed
from gateway.store import Store
from gateway.supervisor import StateLock, allow_many_files, notify, watchdog_seconds
from gateway.tree import standing_above
from ticketing import Branch, Desk, StorageError

log = logging.getLogger(__name__)

REMEMBERED = 200  # entries that are looked through for what a broker may deliver again
STUCK = 30.0  # s without a beat of the writer, or behind with judging: systemd may start us again
PATIENCE = 5.0  # s for the judge to finish what was committed when we are asked to stop


class DiskFailedError(Exception):
    """The state folder cannot be read or written any more."""


def main_loop(site: Site) -> None:
    """Run until SIGTERM or SIGINT. Raises AlreadyRunningError, DiskFailedError."""
    logs.set_up()
    allow_many_files()
    os.chdir(site.folder)  # paths in the site's files are relative to it
    try:
        with StateLock(site.state):
            apart(_prepare, site)
            uvloop.run(serve(site))
    except Exception as error:
        if (why := _from_the_disk(error)) is None:
            raise
        raise DiskFailedError(f"{site.state}: {why}") from error


def _from_the_disk(error: BaseException) -> str | None:
    """What storage said, if that is why."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, (SpoolFailed, StorageError, OSError, sqlite.DatabaseError)):
            return getattr(cause, "strerror", None) or str(cause)
        cause = cause.__cause__
    return None


def _prepare(site: Site) -> None:
    """Make the ticket core, or bring it up to date: its tools weigh 12 MB that nothing else needs."""
    if site.shared:  # by the relay, when it is there
        _own_desk(site).close()
    else:
        Desk.open(site.core, site=site.site.id, policy=policy_of(site)).close()


def _own_desk(site: Site) -> Desk:
    """What a gateway that shares its ticket core keeps of its own: the judge's state, and what waits."""
    return Desk.open(site.state / "gateway.db", site=site.site.id)


async def serve(site: Site) -> None:
    """One gateway from start to end."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with AsyncExitStack() as stack:
        daemon = await Daemon.open(site, stack)
        loop.add_signal_handler(signal.SIGHUP, daemon.reload.on_hangup)
        await daemon.run(stop)
    log.info("stopped")


class Daemon:
    """The parts of one running gateway, and what it says about itself."""

    def __init__(self, site: Site, desk: Desk, own: Desk | None, spool: Spool, store: Store) -> None:
        self.site, self.desk, self.spool, self.store = site, desk, spool, store
        newest = spool.recent(1)
        self.clock = Clock(floor=newest[-1].time if newest else 0)
        self.started = self.clock.now()
        self.intake = Intake(spool, site.judge.ns)
        self.sensors = build_sensors(site)
        branch = Branch(own, desk) if own is not None else None
        self.relay = Relay(site, branch, desk, self.clock.now, self._rebind) if branch is not None else None
        witness, self.lookback = Witness(site, self.sensors), Lookback(store)
        self.dispatch = Dispatch(
            branch or desk, build_rules(site), witness, standing_above(site), self.lookback
        )
        panel = build_panel(site, self.dispatch.stages())
        self.pipeline = Pipeline(
            spool, panel, self.sensors, self.dispatch, self.intake, lateness=site.judge.ns
        )
        self.forwarder = Forwarder(spool, store)
        self.notifier = Notifier(site, desk, self.clock.now)
        self.ledger = Ledger(
            site.state / "ledger.db", spool, self.clock.now, lambda: self.sources, self._counters
        )
        self.own = OwnSignals(
            self._state, lambda: self.site.watched_lines, site.state, self.clock.now, site.gateway
        )
        self.prober = Prober(lambda: self.site, lambda: self.sources)
        opener = partial(
            open_sources,
            clock=Time(wall=self.clock.now),
            dead_letter=logs.dead_letters(site.state / "dead-letters.log"),
            memory=Memory(site.state / "devices.json"),
            features=block_reader(lambda asset: self.site.bearings_of(asset)),  # noqa: PLW0108  # a reload makes another site
        )
        self.lines = Lines(opener, self.intake)
        self.lines.run(self.lines.made(site.lines, site.devices, site.lines))
        self.reload = Reload(self)

    @property
    def sources(self) -> list[Source]:
        """The lines that are read now."""
        return self.lines.sources

    @classmethod
    async def open(cls, site: Site, stack: AsyncExitStack) -> Daemon:
        """Open what is on disk; ``stack`` closes it."""
        desk = await asyncio.to_thread(
            Desk.open, site.core, site=site.site.id, policy=policy_of(site), later=site.shared
        )
        stack.callback(desk.close)
        own = _own_desk(site) if site.shared else None
        if own is None:
            announce(desk, site, time.time_ns() // 1_000_000)
        else:
            stack.callback(own.close)
        store = build_store(site)
        stack.callback(store.close)
        spool = Spool(site.state / "spool", site.spool, followers=("judge", FOLLOWER, store.name))
        spool.start()
        stack.callback(spool.close)
        daemon = cls(site, desk, own, spool, store)
        stack.callback(daemon.lookback.close)
        take_up(site)
        for entry in spool.recent(REMEMBERED):
            daemon.intake.remember(entry.batches)
        return daemon

    async def run(self, stop: asyncio.Event) -> None:
        """Everything at once until ``stop``; then the sources end first and the judge last."""
        control = ControlServer(self.site.state / "control.sock", self._answers(), self._streams())
        async with asyncio.TaskGroup() as group:
            judge = group.create_task(self.pipeline.run(), name="judge")
            services = [
                group.create_task(self.forwarder.run(), name="forwarder"),
                group.create_task(self.ledger.run(), name="ledger"),
                group.create_task(control.run(), name="control"),
                group.create_task(self.own.run(self.intake), name="own signals"),
                group.create_task(self.spool.watch(), name="spool"),
                group.create_task(self._watchdog(), name="watchdog"),
                group.create_task(beat(self.intake, self.clock.now), name="heartbeat"),
                group.create_task(self.notifier.run(), name="notifier"),
                group.create_task(keep_anchoring(self.desk, self.site.state, self.clock.now), name="audit"),
            ]
            if self.relay is not None:
                services.append(group.create_task(self.relay.run(), name="relay"))
            self.lines.start(group)
            notify("READY=1")
            log.info("watching %d devices on %d lines", len(self.site.devices), len(self.sources))
            await stop.wait()
            notify("STOPPING=1")
            await self.lines.end()
            await self._finish_judging()
            for task in (judge, *services):
                task.cancel()

    async def _finish_judging(self) -> None:
        """What was accepted becomes durable and judged, within patience."""
        with suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE):
                await asyncio.to_thread(self.spool.flush)
                while self.pipeline.progress.cursor < self.spool.newest_id():
                    await asyncio.sleep(0.02)

    async def _watchdog(self) -> None:
        """Tell systemd that we live, but only if the writer and the judge have moved."""
        seconds = watchdog_seconds()
        while True:
            await asyncio.sleep(seconds or 3600)
            waits = self.pipeline.progress.trouble  # to start anew would not bring the ticket core back
            if self.spool.alive() and (waits or self._judge_lag() < STUCK):
                notify("WATCHDOG=1")

    def health(self) -> dict[str, Any]:
        """The health report (see ``gateway.health``)."""
        return report(**self._state())

    def _state(self) -> dict[str, Any]:
        """What the report is made of."""
        progress = self.pipeline.progress
        return {
            "site": self.site.site.id,
            "now": self.clock.now(),
            "started": self.started,
            "sources": [source.status() for source in self.sources],
            "spool": self.spool.status(),
            "judge": {
                "cursor": progress.cursor,
                "lag": self._judge_lag(),
                "samples": progress.samples,
                "transitions": progress.transitions,
                "trouble": progress.trouble,
            },
            "core": self.relay.status() if self.relay is not None else {"waiting": 0, "trouble": ""},
            "store": self.forwarder.status(),
            "models": self.sensors.status(),
            "intake": self.intake.counts,
            "clock_behind": self.clock.behind,
            "certificates": certificates(self.site, self.clock.now() / 1e9),
        }

    def _counters(self) -> dict[Item, int]:
        """What the hall counts for the ledger."""
        spool, store = self.spool.status(), self.forwarder.status()
        hall = {
            "accepted": spool["accepted"],
            "shed": spool["shed"],
            "stored": store["sent"],
            "refused_by_store": store["refused"],
        }
        repeated = {Item(device, "skipped", "repeated"): n for device, n in self.intake.repeated.items()}
        return {Item(GATEWAY, "gateway", what): n for what, n in hall.items()} | repeated

    def announce(self, site: Site) -> None:
        """Let the ticket core know the machines and people of ``site``; a shared one as soon as it answers."""
        if self.relay is None:
            announce(self.desk, site, self.clock.now() // 1_000_000)
        else:
            self.relay.announce(site)

    def _rebind(self) -> None:
        """Judge by the rules as they stand now."""
        self.pipeline.rebind(judged_by(self.site, build_rules(self.site), self.dispatch.stages()))

    def _judge_lag(self) -> float:
        """Seconds between the newest committed entry and the newest judged one."""
        if self.pipeline.progress.cursor >= self.spool.newest_id():
            return 0.0
        return max(0.0, (self.clock.now() - self.pipeline.progress.time) / 1e9)

    def _answers(self) -> dict[str, Any]:
        async def health(_: dict[str, Any]) -> Any:
            return self.health()

        async def values(_: dict[str, Any]) -> Any:
            return {"time": self.clock.now(), "signals": live.values(self.pipeline.progress.latest)}

        async def metrics(_: dict[str, Any]) -> Any:
            from gateway.metrics import exposition

            return exposition(self.health())

        async def tail(request: dict[str, Any]) -> Any:
            return self.store.tail(request["signal"], request.get("start", 0)).to_json()

        async def demo(_: dict[str, Any]) -> Any:
            path = self.site.state / "demo.json"
            return json.loads(path.read_text()) if path.is_file() else {}

        async def models(_: dict[str, Any]) -> Any:
            self.sensors.renew(await asyncio.to_thread(sensor_slots, self.site))
            return self.sensors.status()

        async def rules(_: dict[str, Any]) -> Any:
            if self.relay is not None:
                await asyncio.to_thread(self.relay.ask)
            await asyncio.to_thread(self._rebind)
            return {"rules": len(self.site.rules)}

        async def ledger(_: dict[str, Any]) -> Any:
            await self.ledger.save()  # who asks reads the file
            return {"saved": True}

        return {
            "health": health,
            "live": values,
            "metrics": metrics,
            "tail": tail,
            "demo": demo,
            "ledger": ledger,
            "reload": self.reload.answer,
            "rules": rules,
            "models": models,
        }

    def _streams(self) -> dict[str, Any]:
        return {"watch": self._watch, "record": self._record, **self.prober.streams()}

    def _record(self, _: dict[str, Any]) -> AsyncIterator[Any]:
        return recording.live(self.spool)

    async def _watch(self, _: dict[str, Any]) -> AsyncIterator[Any]:
        seen = 0
        while True:
            newest = max((b.arrival for b in self.pipeline.progress.latest.values()), default=seen)
            yield {"time": self.clock.now(), "signals": live.values(self.pipeline.progress.latest, seen)}
            seen = newest
            await asyncio.sleep(1.0)
