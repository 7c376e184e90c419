"""What devices taught us, kept over restarts: a small JSON file, or nothing at all."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

log = logging.getLogger(__name__)

_SELDOM = 60.0  # seconds between writes of what may be lost


class Memory:
    """A note for each device: latency, size limit, refused addresses. It is forgotten when the device moves.

    What a device refused is written at once; latencies when a minute has passed, since they are soon measured again.
    """

    def __init__(self, path: Path | None = None, now: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._now = now
        self._notes: dict[str, dict[str, Any]] = _read(path)
        self._written = float("-inf")

    def of(self, device: str, where: str) -> Mapping[str, Any]:
        """The note about a device that is still ``where`` it was; empty if there is none."""
        note = self._notes.get(device, {})
        return note if note.get("where") == where else {}

    def keep(self, device: str, where: str, note: Mapping[str, Any], *, at_once: bool = False) -> None:
        """Replace the note about a device."""
        found = {"where": where, **note}
        if self._notes.get(device) == found:
            return
        self._notes[device] = found
        if at_once or self._now() - self._written > _SELDOM:
            self._write()

    def _write(self) -> None:
        if self._path is None:
            return
        fresh = self._path.with_suffix(".new")
        try:
            fresh.write_text(json.dumps(self._notes, indent=1) + "\n")
            fresh.replace(self._path)
        except OSError as error:
            log.warning("what devices refuse is not kept over a restart: %s", error)
        self._written = self._now()


def _read(path: Path | None) -> dict[str, dict[str, Any]]:
    if path is None or not path.is_file():
        return {}
    try:
        notes = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        log.warning("%s cannot be read (%s): what devices refuse is learned anew", path, error)
        return {}
    return notes if isinstance(notes, dict) else {}
