"""Keeping the head of the audit chain outside the database, once an hour."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path

from ticketing import Desk, TicketingError
from ticketing.anchors import anchor

log = logging.getLogger(__name__)
EVERY = 3600.0  # s
AGAIN = 60.0  # s after a failure


async def keep_anchoring(desk: Desk, folder: Path, now: Callable[[], int]) -> None:
    """Once an hour, for ever; ``now`` is UTC in ns. A full disk, a core that is away: logged once, and tried again."""
    failed = False
    while True:
        try:
            await asyncio.to_thread(anchor, desk, folder, now() // 1_000_000)
            failed = False
        except (OSError, TicketingError) as error:
            if not failed:
                log.warning("the head of the audit chain could not be kept: %s", error)
            failed = True
        await asyncio.sleep(AGAIN if failed else EVERY)
