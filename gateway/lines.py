"""The lines that are read: a task for each, so that one can be replaced while the others run on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping

from devices.batch import Emit
from devices.settings import DeviceSettings, LineSettings
from devices.source import Source

Opener = Callable[[Mapping[str, LineSettings], Mapping[str, DeviceSettings]], list[Source]]


class Lines:
    """Runs sources. ``opener`` makes those of some lines; nothing is opened before their task begins."""

    def __init__(self, opener: Opener, emit: Emit) -> None:
        self.sources: list[Source] = []
        self._opener, self._emit = opener, emit
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._group: asyncio.TaskGroup | None = None

    def made(
        self, lines: Mapping[str, LineSettings], devices: Mapping[str, DeviceSettings], names: Iterable[str]
    ) -> list[Source]:
        """The sources of the lines ``names``; they do not run yet."""
        return self._opener({name: lines[name] for name in names}, devices)

    def run(self, sources: Iterable[Source]) -> None:
        """Read these too, at once or as soon as ``start`` is called."""
        for source in sources:
            self.sources.append(source)
            if self._group is not None:
                task = self._group.create_task(source.run(self._emit), name=source.name)
                self._tasks[source.name] = task

    def start(self, group: asyncio.TaskGroup) -> None:
        """Begin to read."""
        self._group = group
        waiting, self.sources = self.sources, []
        self.run(waiting)

    async def end(self, names: Iterable[str] | None = None) -> None:
        """Stop reading these lines, or all of them; returns when they have let go of their wires."""
        gone = set(self._tasks if names is None else names)
        tasks = [self._tasks.pop(name) for name in gone & self._tasks.keys()]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    def forget(self, names: Iterable[str]) -> None:
        """These lines, which have ended, are no more."""
        gone = set(names)
        self.sources = [source for source in self.sources if source.name not in gone]
