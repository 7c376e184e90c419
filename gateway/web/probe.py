"""Probing and scanning lines, for programs: what registers mean, who answers, what can be read."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

from fastapi import APIRouter, HTTPException
from starlette.responses import StreamingResponse

from devices.prober import ProbeForm, RegistersForm, UnitsForm
from gateway.web.daemon import DaemonAwayError
from gateway.web.house import Hall, House

router = APIRouter(prefix="/api")


@router.post("/probe")
async def probe(house: Hall, form: ProbeForm) -> dict[str, Any]:
    """Every type and byte order of the registers around an address, the likeliest first; takes about a second."""
    async for item in house.daemon.stream("probe", **form.model_dump(mode="json")):
        if "error" in item:
            raise HTTPException(422, item["error"])
        found: dict[str, Any] = item
    return found


@router.post("/scan/units")
async def scan_units(house: Hall, form: UnitsForm) -> StreamingResponse:
    """A line of JSON for each unit id, as they are asked; the last one has ``done`` or ``error``."""
    return await _lines(house, "scan-units", form)


@router.post("/scan/registers")
async def scan_registers(house: Hall, form: RegistersForm) -> StreamingResponse:
    """A line of JSON for each few registers, as they are read; the last one has ``done`` or ``error``."""
    return await _lines(house, "scan-registers", form)


async def _lines(house: House, op: str, form: UnitsForm | RegistersForm) -> StreamingResponse:
    """A daemon that is away is a refusal before the answer begins, and a last line after."""
    items = house.daemon.stream(op, **form.model_dump(mode="json"))
    first = await anext(items)

    async def lines() -> AsyncIterator[bytes]:
        yield json.dumps(first).encode() + b"\n"
        try:
            async for item in items:
                yield json.dumps(item).encode() + b"\n"
        except DaemonAwayError as error:
            yield json.dumps({"error": str(error)}).encode() + b"\n"

    return StreamingResponse(lines(), media_type="application/x-ndjson")
