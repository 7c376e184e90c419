"""Where each rule stands: what its file says, or the step that its present version has taken since."""

from __future__ import annotations

from collections.abc import Mapping

from rules import Rule
from ticketing import RuleStep
from ticketing.stages import mode_of

Steps = Mapping[str, RuleStep]


def standing(rule: Rule, steps: Steps) -> RuleStep | None:
    """The step that holds for the rule as it is now; None: none does, and its file says."""
    step = steps.get(rule.id)
    return step if step is not None and step.sha256 == rule.hash else None


def mode(rule: Rule, asset: str, steps: Steps) -> str:
    """live, shadow or off, on this asset."""
    step = standing(rule, steps)
    return rule.settings.mode if step is None else mode_of(step, asset)


def stage(rule: Rule, steps: Steps) -> str:
    """In a word: a stage of the life of versions, or the file's mode."""
    step = standing(rule, steps)
    return rule.settings.mode if step is None else step.stage
