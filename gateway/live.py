"""The newest value of every signal, for the pages: a read of what the judge saw last."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from devices.batch import Batch, SignalSet, describe

Latest = Mapping[SignalSet, Batch]


def values(latest: Latest, since: int = 0) -> dict[str, dict[str, Any]]:
    """``{signal: {"value": number or None, "quality": word, "time": UTC ns}}`` of all that arrived after ``since``."""
    found = {}
    for signals, batch in list(latest.items()):
        if batch.arrival <= since:
            continue
        for name, value, quality in zip(
            signals.names, batch.values.tolist(), batch.quality.tolist(), strict=True
        ):
            found[name] = {
                "value": value if math.isfinite(value) else None,
                "quality": describe(quality),
                "time": batch.time,
            }
    return found
