"""Why an alarm was raised, as it was then: one JSON document that the ticket core keeps unchanged.

Its shape (times are UTC ms, durations seconds)::

    {"sentence": {"zh", "en"}, "counterfactual": {"zh", "en"},
     "asset", "failure_mode", "severity",
     "rule": {"id", "hash", "title": {"zh", "en"}, "mode"}, "parameters": {name: number},
     "condition": {"text", "signal", "operator", "value", "limit", "margin", "deadband", "unit"},
     "timers": {"since", "raised", "on_delay"},
     "inputs": [{"signal", "value", "unit"}],
     "series": {"signal", "unit", "time": [...], "min": [...], "mean": [...], "max": [...]},   # last 30 min, ≤ 300 points
     "statistics": {"1h" | "24h" | "7d": {"n", "min", "mean", "max"}},
     "model": {"contributions": [{"signal", "share", "sigmas"}]} or null,
     "earlier_orders": [{"number", "title_zh", "title_en", "state", "opened_at"}]}
"""

from __future__ import annotations
