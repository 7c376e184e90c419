"""Taking up a changed site folder while running: what differs is shown and applied, what does not runs on.

A line whose settings or devices changed is closed and opened anew; the others are not touched. Rules, models and assets
are exchanged between two entries of the log; where one is as before, its state goes on. What the process was built on
(state folder, spool, store, core) asks for a restart, and then nothing is applied. If anything fails on the way, all is
as it was.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from pydantic import BaseModel

from gateway import failpoints
from gateway.building import build_rules, judged_by, sensor_slots
from gateway.config import load_site
from gateway.evidence import Witness
from gateway.mistakes import ConfigError
from gateway.sensors import Slot
from gateway.site import Site
from gateway.tree import standing_above
from rules import Bound, Rule

if TYPE_CHECKING:
    from gateway.daemon import Daemon

log = logging.getLogger(__name__)

_TABLES: Final = {  # of the site, and what its tables are called in the files
    "lines": "line",
    "devices": "device",
    "classes": "class",
    "assets": "asset",
    "rules": "rule",
    "models": "model",
    "people": "person",
    "shifts": "shift",
}
_BUILT_ON: Final = {  # what the process was built on; of ``site`` these keys
    "site": ("id", "state", "core", "gateway"),
    "spool": None,
    "judge": None,
    "store": None,
    "orders": None,
    "channels": None,
}
_TAKEN_UP: Final = "taken-up"  # in the state folder
_LONGEST: Final = 60  # characters of a value that is shown


def take_up(site: Site) -> None:
    """Let the pages, which are another process, know that the site folder as it is now holds."""
    with suppress(OSError):
        (site.state / _TAKEN_UP).touch()


def taken_up_at(site: Site) -> int:
    """When that was last (UTC in ns); 0: never."""
    try:
        return (site.state / _TAKEN_UP).stat().st_mtime_ns
    except OSError:
        return 0


@dataclass(frozen=True)
class Difference:
    """What another word of the site folder changes: ``changes`` for people, ``lines`` to be opened anew or closed.

    ``restart`` are the changes that only a restart takes up.
    """

    changes: tuple[str, ...]
    lines: frozenset[str]
    restart: tuple[str, ...]


def difference(old: Site, new: Site) -> Difference:
    """From ``old`` to ``new``."""
    changes = [
        change
        for field, table in _TABLES.items()
        for change in _table(table, getattr(old, field), getattr(new, field))
    ]
    restart: list[str] = []
    for table, keys in _BUILT_ON.items():
        for key, before, after in _leaves(getattr(old, table), getattr(new, table)):
            change = f"~ {table}.{key}: {_short(before)} → {_short(after)}"
            (restart if keys is None or key in keys else changes).append(change)
    changes += [
        f"~ web.{key}: {_short(a)} → {_short(b)} (restart the pages)"
        for key, a, b in _leaves(old.web, new.web)
    ]
    lines = {name for name in {*old.lines, *new.lines} if _wiring(old, name) != _wiring(new, name)}
    return Difference((*changes, *restart), frozenset(lines), tuple(restart))


def _table(name: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    for key in sorted({*old, *new}):
        if key not in old:
            yield f"+ {name}.{key}"
        elif key not in new:
            yield f"- {name}.{key}"
        else:
            for leaf, before, after in _leaves(old[key], new[key]):
                yield f"~ {name}.{key}.{leaf}: {_short(before)} → {_short(after)}"


def _leaves(old: Any, new: Any, path: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Where two tables differ: the key, what stood there and what stands there; None for nothing."""
    if old == new:
        return
    before, after = _entries(old), _entries(new)
    if before is None or after is None:
        yield path, old, new
        return
    for key in dict.fromkeys([*before, *after]):
        yield from _leaves(before.get(key), after.get(key), f"{path}.{key}" if path else key)


def _entries(value: Any) -> Mapping[str, Any] | None:
    if isinstance(value, BaseModel):
        return {name: getattr(value, name) for name in type(value).model_fields}
    return value if isinstance(value, Mapping) else None


def _short(value: Any) -> str:
    if isinstance(value, timedelta):
        return f"{value.total_seconds():g} s"
    text = "nothing" if value is None else str(value)
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


def _wiring(site: Site, line: str) -> tuple[Any, Any]:
    """All that the reading of a line depends on."""
    return site.lines.get(line), {name: d for name, d in site.devices.items() if d.line == line}


class _Judging(NamedTuple):
    """What the judge works with, made before anything is exchanged."""

    rules: Mapping[str, Rule]
    bounds: list[Bound]
    slots: list[Slot]
    witness: Witness


class Reload:
    """Reloads the site folder of a running daemon; one reload at a time."""

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon
        self._turn = asyncio.Lock()
        self._hangup: asyncio.Task[None] | None = None

    async def answer(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """``{"changes", "applied"}``, with ``mistakes`` or ``error`` when nothing was applied; ``look``: only show."""
        async with self._turn:
            return await self._answer(look=bool(request.get("look")))

    def on_hangup(self) -> None:
        """The same on SIGHUP; what comes of it is in the log."""
        self._hangup = asyncio.get_running_loop().create_task(self._log_what_comes(), name="reload")

    async def _log_what_comes(self) -> None:
        found = await self.answer({})
        for problem in [*found.get("mistakes", ()), *([found["error"]] if "error" in found else ())]:
            log.error("reload: %s", problem)

    async def _answer(self, *, look: bool) -> dict[str, Any]:
        old = self._daemon.site
        try:
            new = await asyncio.to_thread(load_site, old.folder)
        except ConfigError as error:
            return {"changes": [], "applied": False, "mistakes": [str(mistake) for mistake in error.mistakes]}
        found = difference(old, new)
        told: dict[str, Any] = {
            "changes": list(found.changes),
            "lines": sorted(found.lines),
            "applied": False,
        }
        if found.restart:
            return {**told, "error": f"only a restart takes up: {'; '.join(found.restart)}"}
        if look or not found.changes:
            return told
        try:
            await self._apply(old, new, found)
        except Exception as error:  # noqa: BLE001  # whatever it was: the gateway goes on as before, and says why
            log.error("reload failed, all is as it was: %s", error)
            return {**told, "error": f"{error}; all is as it was"}
        for change in found.changes:
            log.info("reload: %s", change)
        return {**told, "applied": True}

    async def _apply(self, old: Site, new: Site, found: Difference) -> None:
        """First all that can fail, then the exchange, which cannot."""
        daemon = self._daemon
        fresh = daemon.lines.made(new.lines, new.devices, [n for n in new.lines if n in found.lines])
        judging = await asyncio.to_thread(self._prepared, new)
        try:
            await asyncio.to_thread(self._daemon.announce, new)
            failpoints.hit("reload.told")
        except Exception:
            await asyncio.to_thread(self._daemon.announce, old)
            raise
        await daemon.lines.end(found.lines)
        self._count_what_goes(old, found)
        daemon.lines.run(fresh)
        self._judge_by(new, judging)
        take_up(new)

    def _prepared(self, site: Site) -> _Judging:
        daemon = self._daemon
        rules = build_rules(site)
        witness = Witness(site, daemon.sensors)
        bounds = judged_by(site, rules, daemon.dispatch.stages())
        return _Judging(rules, bounds, sensor_slots(site), witness)

    def _judge_by(self, site: Site, judging: _Judging) -> None:
        daemon = self._daemon
        daemon.site = site
        daemon.store.learn_classes(site.class_of)
        daemon.sensors.renew(judging.slots)
        daemon.dispatch.use(judging.rules, judging.witness, standing_above(site))
        daemon.pipeline.rebind(judging.bounds)

    def _count_what_goes(self, old: Site, found: Difference) -> None:
        """The lines that have ended are no more; what they counted is in the ledger."""
        daemon = self._daemon
        gone = {name for name, device in old.devices.items() if device.line in found.lines}
        daemon.ledger.look()
        daemon.ledger.forget(gone | found.lines)
        daemon.lines.forget(found.lines)
        latest = daemon.pipeline.progress.latest
        for signals in [signals for signals in latest if signals.source in gone]:
            del latest[signals]
