"""Whether a machine runs, told by one of its signals: verify windows and figures count running time by it.

It is judged like any rule, so delays, gaps and restarts are the same: one pair of rules that raise nothing for people.
A signal that is away changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, FiniteFloat

from rules import Bound, Rule, RuleSettings, Transition, bind
from rules.duration import Duration

if TYPE_CHECKING:
    from gateway.site import Site

RUNS, STANDS = "@runs", "@stands"  # no rule of a site can be called so


class RunningSettings(BaseModel):
    """``running`` of a class or an asset: it runs once ``signal`` was ``above`` the number for ``settle``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    signal: str
    above: FiniteFloat
    settle: Duration = timedelta(seconds=10)


def watched(site: Site) -> Iterator[Bound]:
    """The pair for each asset that says how it is told."""
    made: dict[tuple[RunningSettings, str], Rule] = {}
    for asset in site.assets:
        told = site.running_of(asset)
        if told is None:
            continue
        for name in (RUNS, STANDS):
            rule = made.setdefault((told, name), _rule(name, told))
            yield bind(rule, asset, {told.signal: None}, mode="live")


def _rule(name: str, told: RunningSettings) -> Rule:
    limit = {"severity": 1, "expr": f"value {'>' if name == RUNS else '<='} above", "on_delay": told.settle}
    form = {
        "failure_mode": "OTH",
        "scope": {"assets": ["every"]},
        "signals": {"value": told.signal},
        "params": {"above": told.above},
        "when": [limit],
    }
    return Rule(name, RuleSettings.model_validate(form))


def runs(happened: Transition) -> bool | None:
    """Whether the machine runs from now on; None: nothing changes. When nobody tells any more, it counts as running."""
    if happened.kind == "raised":
        return happened.rule == RUNS
    return True if happened.kind == "withdrawn" and happened.rule == STANDS else None


def tells(rule: str) -> bool:
    """Whether this is one of the pair, and not a rule whose alarms are for people."""
    return rule in {RUNS, STANDS}
