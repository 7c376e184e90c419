"""The ledger for programs: what became of every reading that was due."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import Annotated, Any

from fastapi import APIRouter, Query
from starlette.concurrency import run_in_threadpool

from gateway.ledger_file import HOUR, statements
from gateway.web.daemon import DaemonAwayError
from gateway.web.house import Hall

router = APIRouter()


@router.get("/api/ledger")
async def ledger(
    house: Hall,
    hours: Annotated[int, Query(ge=1, le=168)] = 24,
    device: Annotated[str | None, Query(max_length=64)] = None,
) -> dict[str, Any]:
    """A statement for each hour: of a device ``expected = good + bad + skipped``; ``start`` is UTC in ns."""
    with suppress(DaemonAwayError):  # then: what it saved last
        await house.daemon.ask("ledger")
    since = time.time_ns() - hours * HOUR
    return {"hours": await run_in_threadpool(statements, house.site.state / "ledger.db", since, device)}
