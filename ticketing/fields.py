"""The fields that people fill in: what each may hold, and whether it is a column of the order.

One dictionary for forms, checks, labels and exports.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ticketing.codes import CAUSES, DETECTIONS, FAILURE_MODES, MECHANISMS, REMEDIES

TEXT_LIMIT = 4000  # characters


@dataclass(frozen=True, slots=True)
class Field:
    """What a field holds: one of ``choices``, a whole number in ``span``, names with ``values``, or text."""

    choices: tuple[str, ...] = ()
    span: tuple[int, int] | None = None
    values: bool = False
    column: bool = False  # kept on the order itself, not only in its history
    secret: bool = False  # looked at once and kept nowhere

    def problem(self, value: object) -> str | None:
        """What is wrong with ``value``, or None."""
        if self.span is not None:
            low, high = self.span
            fits = isinstance(value, int) and not isinstance(value, bool) and low <= value <= high
            return None if fits else f"must be a whole number {low} to {high}"
        if self.values:
            fits = isinstance(value, dict) and all(isinstance(name, str) for name in value)
            return None if fits else "must be an object of names and values"
        if not isinstance(value, str):
            return "must be text"
        if self.choices and value not in self.choices:
            return f"must be one of {', '.join(self.choices)}; got {value!r}"
        if "\0" in value:
            return "holds a NUL, which is no text"
        return None if len(value) <= TEXT_LIMIT else f"is longer than {TEXT_LIMIT} characters"


FAR = 2**53 - 1  # the largest whole number that JSON carries everywhere

FIELDS: Mapping[str, Field] = {
    "assignee": Field(column=True),
    "reason": Field(),
    "comment": Field(),
    "override_reason": Field(),
    "hold_reason": Field(("parts", "access", "approval", "vendor", "production"), column=True),
    "expected_resume": Field(span=(0, FAR)),
    "symptom": Field(tuple(FAILURE_MODES), column=True),
    "mechanism": Field(tuple(MECHANISMS), column=True),
    "cause": Field(tuple(CAUSES), column=True),
    "remedy": Field(tuple(REMEDIES), column=True),
    "detection": Field(tuple(DETECTIONS), column=True),
    "outcome": Field(("worked", "false_alarm", "no_fault_found"), column=True),
    "stop_kind": Field(("none", "partial", "full"), column=True),
    "stars": Field(span=(1, 5), column=True),
    "cancel_reason": Field(("duplicate", "false_alarm", "not_needed", "merged")),
    "mute_days": Field(span=(1, 30)),
    "duplicate_of": Field(),
    "priority": Field(span=(1, 4), column=True),
    "step": Field(),
    "task": Field(span=(1, 999)),
    "value": Field(),
    "est_cost_fen": Field(span=(0, FAR), column=True),
    "decision": Field(("approved", "rejected")),
    "cost_kind": Field(("labour", "part", "external")),
    "cost_fen": Field(span=(0, FAR)),
    "minutes": Field(span=(0, 100_000)),
    "part_no": Field(),
    "other": Field(),
    "link_kind": Field(("duplicate_of", "caused_by", "blocks")),
    "custom": Field(values=True),
    "downtime_start": Field(span=(0, FAR), column=True),
    "downtime_end": Field(span=(0, FAR), column=True),
    "pin": Field(secret=True),
    "signature": Field(),
    "text": Field(),
    "task_kind": Field(("check", "number", "text", "photo", "meter")),
    "unit": Field(),
}
