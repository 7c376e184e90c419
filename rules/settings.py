"""A rule as an engineer writes it: the TOML form, checked, with the defaults filled in."""

from __future__ import annotations

import hashlib
import json
import re
from datetime import timedelta
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, field_validator, model_validator

from rules.duration import Duration, LastingDuration
from rules.expression import Comparison, Condition, Windowed, windowed
from rules.failure_modes import FAILURE_MODES
from rules.grammar import GREATEST, RESERVED, parse

MINUTE = timedelta(minutes=1)
MOST_WINDOWS = 8
_ALIAS = re.compile(r"[A-Za-z_][A-Za-z_0-9]{0,31}")
_QUANTITY = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}")
_PERCENT = re.compile(r"(\d{1,2}(?:\.\d+)?) ?%")

Severity = Annotated[int, Field(ge=1, le=4)]
PER_ASSET = "per asset"
Param = Annotated[FiniteFloat, Field(ge=-GREATEST, le=GREATEST)] | Literal["per asset"]


class _Form(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class Scope(_Form):
    """Which assets a rule watches: one class, or assets by name."""

    asset_class: str | None = Field(default=None, alias="class")
    assets: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _one_of_both(self) -> Scope:
        if (self.asset_class is None) == (not self.assets):
            raise ValueError('a scope is either { class = "pump" } or { assets = ["pump-1"] }')
        return self

    def covers(self, asset: str, asset_class: str) -> bool:
        """Whether the rule watches ``asset`` of class ``asset_class``."""
        return asset in self.assets if self.assets else asset_class == self.asset_class


class When(_Form):
    """One limit: the alarm has ``severity`` once ``expr`` has held for ``on_delay``."""

    severity: Severity
    expr: str
    on_delay: Duration = timedelta(0)


Deadband = Annotated[float, Field(ge=0, allow_inf_nan=False)] | str


class Clear(_Form):
    """The way back: inside by ``deadband`` for ``off_delay``.

    A deadband is a number, a parameter, or a share of the signal's span ("2%"); it eases every comparison, or, as
    ``{ v = 0.3, n = 20 }``, those that begin with these signals.
    """

    deadband: Deadband | dict[str, Deadband] = 0.0
    off_delay: Duration = timedelta(0)

    def deadband_of(self, alias: str) -> float | str:
        """The deadband of comparisons that begin with ``alias``, as written."""
        return self.deadband.get(alias, 0.0) if isinstance(self.deadband, dict) else self.deadband


class Quality(_Form):
    """A gap longer than ``max_gap`` between samples freezes timers; an input older than that is not good."""

    max_gap: LastingDuration = 5 * MINUTE


class WorkOrder(_Form):
    """When an alarm deserves a work order, and which one open order it belongs to."""

    key: Literal["asset_failure_mode", "asset", "rule_asset"] = "asset_failure_mode"
    min_active: dict[Severity, Duration] = Field(default_factory=dict)
    verify: Duration = timedelta(hours=24)
    self_clear: bool = True

    def wait(self, severity: int) -> timedelta | None:
        """How long an alarm must be active before it opens an order; None: it never does by itself."""
        usual = {2: 10 * MINUTE, 3: MINUTE, 4: timedelta(0)}
        return self.min_active.get(severity, usual.get(severity))


class RuleSettings(_Form):
    """``[rule.<id>]`` of rules.toml. rules/README.md explains every key with examples."""

    failure_mode: str
    scope: Scope
    signals: Annotated[dict[str, str], Field(min_length=1, max_length=16)]
    params: Annotated[dict[str, Param], Field(max_length=32)] = Field(default_factory=dict)
    when: Annotated[tuple[When, ...], Field(min_length=1, max_length=8)]
    clear: Clear = Clear()
    quality: Quality = Quality()
    work_order: WorkOrder = WorkOrder()
    suppress_during_work: bool = True
    latch: bool = False
    inhibits: bool | None = None
    mode: Literal["live", "shadow", "off"] = "live"
    title_en: str = ""
    title_zh: str = ""
    note: str = ""

    @model_validator(mode="before")
    @classmethod
    def _plain_threshold(cls, form: object) -> object:
        """``signal = "vib_rms"`` with ``above`` or ``below`` is short for a rule of one signal."""
        if not isinstance(form, dict) or "signal" not in form:
            return form
        if clash := [key for key in ("signals", "when") if key in form]:
            raise ValueError(f'"signal" is the short form and "{clash[0]}" the long one; use one of them')
        rest = {
            key: found
            for key, found in form.items()
            if key not in {"signal", "above", "below", "severity", "on_delay"}
        }
        limits = {key: form[key] for key in ("above", "below") if key in form}
        if not limits:
            raise ValueError('"signal" needs "above" or "below"')
        more = {key: form[key] for key in ("on_delay",) if key in form}
        signs = {"above": ">", "below": "<"}
        when = [
            {"severity": form.get("severity", 3), "expr": f"value {signs[key]} {key}", **more}
            for key in limits
        ]
        return rest | {
            "signals": {"value": form["signal"]},
            "params": form.get("params", {}) | limits,
            "when": when,
        }

    @field_validator("failure_mode")
    @classmethod
    def _known_mode(cls, found: str) -> str:
        if found not in FAILURE_MODES:
            raise ValueError(f'"{found}" is no failure mode; one of {", ".join(FAILURE_MODES)}')
        return found

    @field_validator("signals", "params")
    @classmethod
    def _names(cls, found: dict[str, object]) -> dict[str, object]:
        for alias, quantity in found.items():
            if not _ALIAS.fullmatch(alias) or alias in RESERVED:
                raise ValueError(f'"{alias}" cannot be a name in an expression; use letters, digits and _')
            if isinstance(quantity, str) and quantity != PER_ASSET and not _QUANTITY.fullmatch(quantity):
                raise ValueError(f'"{quantity}" is no quantity of an asset, such as "vib_rms"')
        return found

    @model_validator(mode="after")
    def _expressions(self) -> RuleSettings:
        if both := self.signals.keys() & self.params.keys():
            raise ValueError(f'"{min(both)}" is a signal and a parameter; give them different names')
        windows = {
            found for when in self.when for found in _windows(parse(when.expr, self.signals, self.params))
        }
        if len(windows) > MOST_WINDOWS:
            raise ValueError(f"a rule has at most {MOST_WINDOWS} time windows, this one has {len(windows)}")
        return self

    @model_validator(mode="after")
    def _deadbands(self) -> RuleSettings:
        written = self.clear.deadband
        if isinstance(written, dict) and (unknown := sorted(written.keys() - self.signals.keys())):
            raise ValueError(
                f'clear.deadband: "{unknown[0]}" is no signal of the rule; it has {", ".join(self.signals)}'
            )
        for found in written.values() if isinstance(written, dict) else (written,):
            if isinstance(found, str) and found not in self.params and share(found) is None:
                raise ValueError(f'clear.deadband: "{found}" is neither a parameter nor a share such as "2%"')
        return self

    @property
    def reads_span(self) -> bool:
        """Whether a deadband is a share of a signal's span."""
        return any(share(self.clear.deadband_of(alias)) is not None for alias in self.signals)

    @property
    def inhibiting(self) -> bool:
        """Whether its alarm silences those under it; a device that does not answer does, unless said otherwise."""
        return self.failure_mode == "COM" if self.inhibits is None else self.inhibits

    @property
    def content_hash(self) -> str:
        """SHA-256 of everything that decides; titles, notes and the mode may change without making a new version."""
        content = self.model_dump(
            mode="json", by_alias=True, exclude={"title_en", "title_zh", "note", "mode"}
        )
        return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _windows(condition: Condition) -> set[Windowed]:
    if isinstance(condition, Comparison):
        return {*windowed(condition.left), *windowed(condition.right)}
    return {found for part in condition.parts for found in _windows(part)}


def share(deadband: float | str) -> float | None:
    """``"2%"`` → 0.02; None for anything else."""
    found = _PERCENT.fullmatch(deadband) if isinstance(deadband, str) else None
    return float(found[1]) / 100 if found else None
