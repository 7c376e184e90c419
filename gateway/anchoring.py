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


async def keep_anchoring(desk: Desk, folder: Path, now: Callable[[], int]) -> None:
    """Once an hour, for ever; ``now`` is UTC in ns. A full disk is logged and tried again."""
    while True:
        try:
            await asyncio.to_thread(anchor, desk, folder, now() // 1_000_000)
        except (OSError, TicketingError) as error:
            log.warning("the head of the audit chain could not be kept: %s", error)
        await asyncio.sleep(EVERY)
