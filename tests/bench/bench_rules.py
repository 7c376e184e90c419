"""How many evaluations a CPU second the panel makes (bar P4), its memory and its start, and backtests (bar P11).

Run ``python tests/bench/bench_rules.py``. An evaluation is one rule looking at one signal for one sample.
"""

from __future__ import annotations

import argparse
import resource
import time

import numpy as np

from rules import Panel, Rule, RuleSettings, bind
from rules.replay import replay, rows

SECOND = 1_000_000_000


def rule(number: int, kind: str) -> Rule:
    """Ten rules per signal with two severities each; ``two`` also asks whether the machine runs, ``mean`` averages."""
    running = " and n > 300" if kind == "two" else ""
    v = "mean(v, '10m')" if kind == "mean" else "v"
    form = {
        "failure_mode": "VIB",
        "scope": {"class": "pump"},
        "signals": {"v": f"q{number // 10}"} | ({"n": "speed"} if kind == "two" else {}),
        "params": {"warn": 8.0 + number % 10 / 10, "high": 9.0},
        "when": [
            {"severity": 2, "expr": f"{v} > warn{running}", "on_delay": "10s"},
            {"severity": 4, "expr": f"{v} > high{running}", "on_delay": "3s"},
        ],
        "clear": {"deadband": 0.3, "off_delay": "5s"},
    }
    return Rule(f"r{number}", RuleSettings.model_validate(form))


def measure(
    signals: int, seconds: int, *, width: int, per_signal: int, kind: str, crossing: float
) -> dict[str, float]:
    """Judge ``seconds`` of one sample a second on ``signals`` signals, read ``width`` at a time."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = time.process_time()
    names = [f"q{i}" for i in range(width - 1)] + ["speed"]
    rules = [rule(10 * q + r, kind) for q in range(width - 1) for r in range(per_signal)]
    assets = [f"a{i}" for i in range(signals // width)]
    spans = dict.fromkeys(names)
    panel = Panel(bind(one, asset, spans) for asset in assets for one in rules)
    views = [panel.view([f"{asset}/{name}" for name in names]) for asset in assets]
    start = time.process_time() - began
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    chance = np.random.default_rng(0)
    batches = [2 + chance.random((len(assets), width)) for _ in range(seconds)]
    for batch in batches:
        batch[:, -1] = 1480.0
        batch[:, :-1][chance.random((len(assets), width - 1)) < crossing] = 9.5
    quality = np.zeros(width, np.uint8)
    began = time.process_time()
    said = 0
    for second, batch in enumerate(batches):
        at = (second + 1) * SECOND
        for view, values in zip(views, batch, strict=True):
            said += len(panel.judge(view, at, values, quality))
    used = time.process_time() - began
    evaluations = seconds * len(assets) * len(rules)
    return {
        "evaluations per CPU s": evaluations / used,
        "CPU % at 1 s": 100 * used / seconds,
        "us per batch": 1e6 * used / (seconds * len(assets)),
        "start s": start,
        "RSS MiB": memory / 1024,
        "transitions": said,
    }


def backtest(days: float, noise: float, kind: str = "two") -> dict[str, float]:
    """One signal at 1 Hz with a slow load cycle and ``noise``, crossing its limit now and then (bar P11)."""
    chance = np.random.default_rng(0)
    count = int(days * 86_400)
    times = np.arange(count, dtype=np.int64) * SECOND
    vibration = 6.5 + 2 * np.sin(times / 7e12) + noise * chance.standard_normal(count)
    series = [(times, vibration), (times, np.full(count, 1480.0))]
    bound = bind(rule(0, kind), "a", {"q0": None, "speed": None})
    began = time.process_time()
    _, said = replay(bound, *rows(bound, series[: len(bound.inputs)]))
    used = time.process_time() - began
    return {"samples": count, "CPU s": used, "samples per CPU s": count / used, "transitions": len(said)}


def main() -> None:
    """Print one line per case; P4 is the first."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--signals", type=int, default=50_000)
    parser.add_argument("--seconds", type=int, default=20)
    options = parser.parse_args()
    cases = [
        ("10 rules a signal, quiet", 100, 10, "one", 0.0),
        ("10 rules over two signals, quiet", 100, 10, "two", 0.0),
        ("10 rules a signal, 1 in 10 000 samples crosses", 100, 10, "one", 1e-4),
        ("1 mean of ten minutes a signal, batches of 100", 100, 1, "mean", 0.0),
        ("1 rule a signal, batches of 10", 10, 1, "one", 0.0),
        ("1 rule a signal, batches of 10 000", 10_000, 1, "one", 0.0),
    ]
    for title, width, per_signal, kind, crossing in cases:
        found = measure(
            options.signals, options.seconds, width=width, per_signal=per_signal, kind=kind, crossing=crossing
        )
        show(title, found)
    show("backtest: a month of a signal at 1 Hz", backtest(30, 0.05))
    show("backtest: a month, the signal rough at its limit", backtest(30, 0.5))
    show("backtest: a month, mean of ten minutes", backtest(30, 0.5, "mean"))


def show(title: str, found: dict[str, float]) -> None:
    """One case, one line."""
    print(f"{title:48}", "  ".join(f"{name} {figure:,.2f}" for name, figure in found.items()), flush=True)


if __name__ == "__main__":
    main()
