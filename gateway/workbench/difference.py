"""Two sets of rules over the same past: which work orders differ, and by how much time."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from pathlib import Path

from pydantic import ValidationError

from gateway.building import bound_rules, build_rules
from gateway.site import Site
from gateway.stages import Steps
from gateway.workbench.page import Grid
from gateway.workbench.recorded import PastError
from gateway.workbench.report import moment
from gateway.workbench.stretch import Stretch, as_live
from gateway.workbench.trial import Opened, Progress, play, silent
from rules import Bound, RuleError, RuleSettings

Fault = tuple[str, str]  # asset, failure mode: what may have one open order
_MS = 1_000_000


@dataclass(frozen=True, slots=True)
class Difference:
    """One fault's orders side by side; None where that side opened none."""

    fault: Fault
    live: Opened | None
    other: Opened | None

    @property
    def earlier(self) -> float | None:
        """By how many s the other side's order came earlier; None where one side has none."""
        if self.live is None or self.other is None:
            return None
        return (self.live.order.opened_at - self.other.order.opened_at) / 1000


def read_rules(file: Path) -> dict[str, RuleSettings]:
    """The rules of another rules.toml, or of the site folder it stands in; raises PastError."""
    file = file / "rules.toml" if file.is_dir() else file
    try:
        forms = tomllib.loads(file.read_text(encoding="utf-8")).get("rule", {})
        return {name: RuleSettings.model_validate(form) for name, form in forms.items()}
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise PastError(f"{file} cannot be read: {error}") from error
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise PastError(f"{file}: {where}: {first['msg'].removeprefix('Value error, ')}") from error


def compare(
    site: Site,
    stretch: Stretch,
    others: Mapping[str, RuleSettings] | None,
    steps: Steps,
    progress: Progress = silent,
) -> tuple[list[Difference], int]:
    """What differs, and how many orders are the same. The live rules against ``others``, or against those in shadow.

    Live and shadow are as ``steps`` say, and else the file. Shadow rules are held against the live rules for the same
    faults alone. Raises PastError, StoreError.
    """
    standing = bound_rules(site, build_rules(site), steps)
    live = [bound for bound in standing if bound.mode == "live"]
    if others is None:
        other = [replace(bound, mode="live") for bound in standing if bound.mode == "shadow"]
        if not other:
            raise PastError(
                "no rule is in shadow: promote one --to shadow, or name another rules.toml by --against"
            )
        faults = {_fault(bound) for bound in other}
        live = [bound for bound in live if _fault(bound) in faults]
    else:
        other = _bind(site, {name: found for name, found in others.items() if found.mode != "off"})
    left = _by_fault(play(site, live, stretch, progress).orders)
    right = _by_fault(play(site, other, stretch, progress).orders)
    pairs = [
        Difference(fault, one, two)
        for fault in dict.fromkeys([*left, *right])
        for one, two in zip_longest(left.get(fault, []), right.get(fault, []))
    ]
    different = [pair for pair in pairs if pair.earlier != 0]
    return different, len(pairs) - len(different)


def _bind(site: Site, settings: Mapping[str, RuleSettings]) -> list[Bound]:
    try:
        return bound_rules(site, as_live(settings))
    except RuleError as error:
        raise PastError(str(error)) from error


def _fault(bound: Bound) -> Fault:
    return bound.asset, bound.rule.settings.failure_mode


def _by_fault(orders: Iterable[Opened]) -> dict[Fault, list[Opened]]:
    found: dict[Fault, list[Opened]] = {}
    for opened in orders:
        found.setdefault((opened.order.asset or "", opened.order.failure_mode or ""), []).append(opened)
    return found


def grid(found: Sequence[Difference], name: str) -> Grid:
    """One line a difference; ``name`` is what the other side is called."""
    rows = [[*pair.fault, _told(pair.live), _told(pair.other), _verdict(pair, name)] for pair in found]
    return Grid(["asset", "failure mode", "live", name, ""], rows)


def _told(opened: Opened | None) -> str:
    if opened is None:
        return "no order"
    rules = ", ".join(dict.fromkeys(alarm.rule_id for alarm in opened.alarms))
    return f"{moment(opened.order.opened_at * _MS)} {rules}"


def _verdict(pair: Difference, name: str) -> str:
    if pair.earlier is None:
        return f"only {'live' if pair.live else name}"
    hours = abs(pair.earlier) / 3600
    length = f"{hours:.1f} h" if hours >= 1 else f"{hours * 60:.1f} min"
    return f"{name} {length} {'earlier' if pair.earlier > 0 else 'later'}"
