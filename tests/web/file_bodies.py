"""For Schemathesis: a file is sent as the bytes it has. The command line loads this by ``SCHEMATHESIS_HOOKS``."""

from __future__ import annotations

from typing import Any

import schemathesis

from ticketing.attachments import BEGINS


@schemathesis.serializer(*BEGINS, "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet")
def as_it_is(context: Any, value: Any) -> dict[str, Any]:
    return {"data": value if isinstance(value, bytes) else str(value).encode()}
