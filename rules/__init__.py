"""Rules: when a signal becomes an alarm.

Pure: time is an argument, and nothing here reads a clock, a file or a wire; no other room is imported.
``settings`` is the form of rules.toml and ``grammar`` its small language; ``rule`` binds a rule to an asset;
``episode`` is the life of one alarm, ``panel`` many of them live, ``replay`` one over history (``past`` its windows,
``walk`` where it swings), ``tradeoff`` what another number would have done, ``cases`` tests as data. ``packs`` holds
starter rules, and README.md is for engineers who write rules and need not read Python.
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
