"""Rules: when a signal becomes an alarm.

Pure: time is an argument, and nothing here reads a clock, a file or a wire; no other room is imported.
``settings`` is the form of rules.toml, ``expression`` its small language, ``episode`` the life of one alarm,
``panel`` many of them at once. README.md here is for engineers who write rules.
"""

from rules.episode import Phase, State, step
from rules.failure_modes import FAILURE_MODES
from rules.grammar import ExpressionError
from rules.panel import Panel, View
from rules.rule import Bound, Rule, RuleError, bind
from rules.settings import RuleSettings
from rules.transition import Decision, Transition, report

__all__ = [
    "FAILURE_MODES", "Bound", "Decision", "ExpressionError", "Panel", "Phase", "Rule", "RuleError",
    "RuleSettings", "State", "Transition", "View", "bind", "report", "step",
]  # fmt: skip
