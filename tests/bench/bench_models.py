"""The models on labelled recordings and against the clock: ``python tests/bench/bench_models.py [DATA]``.

DATA is a folder of the bench's layout (manifest.csv, labels.csv, series/, rul/) with ``score.py`` beside it; it
may also be named by WATCHKEEPER_BENCH_DATA. Every series goes through ``models.folder``, the way ``watchkeeper models
score-folder`` does; controls that read no sensor stand beside. Without data only the speed is measured.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd

from models.folder import score_folder
from models.machine import MachineWatch
from models.signals import SignalWatch
from models.t2 import MachineT2

SECOND = 1_000_000_000

GATES = (
    ("skab_shift", "event_f1_early", "≥ 0.82", "0.71"),
    ("skab_shift", "false_alarms_per_10k_rows", "≤ 2", "4.6"),
    ("skab_shift", "vus_pr", "≥ 0.95", "0.94"),
    ("skab", "point_f1", "≥ 0.87", "0.845"),
    ("skab", "far_pct", "≤ 13", "15.0"),
    ("skab", "mar_pct", "≤ 14", "17.3"),
    ("nab", "nab_standard_at_flags", "≥ 63", "58.8"),
    ("nab", "event_f1", "≥ 0.62", "0.48"),
    ("nab", "false_alarms_per_day", "≤ 0.05", ""),
    ("tep", "mean_of_ordinary_faults", "≥ 96.5", "96.0"),
    ("tep", "mean_of_all_faults", "≥ 84", "83.3"),
    ("tep", "far_pct", "≤ 0.5", ""),
    ("tep", "event_recall", "1.0", ""),
    ("tep", "median_delay_min", "≤ 42", "54"),
    ("cmapss_fd001", "rmse", "≤ 12.2", "12.9"),
    ("cmapss_fd001", "rmse_capped_125", "", ""),
    ("cmapss_fd001", "nasa_score", "≤ 220 for 100 units", "239 for 100 units"),
    ("cmapss_fd001", "interval_coverage", "0.88–0.94", "0.85"),
    ("smap", "vus_pr", "≥ 0.56", "0.44–0.52"),
    ("msl", "vus_pr", "≥ 0.56", "0.44–0.52"),
)
"""Data set, figure, goal, and what the study reached."""

_HARD = ("fault03", "fault09", "fault15")
"""Tennessee Eastman's three faults that hardly move the process."""


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", nargs="?", type=Path, default=os.environ.get("WATCHKEEPER_BENCH_DATA"))
    parser.add_argument("--only", nargs="*", default=[], help="data sets; all unless named")
    chosen = parser.parse_args()
    speed()
    if chosen.data is None:
        print("no recordings named (DATA=folder, or WATCHKEEPER_BENCH_DATA): only the speed was measured")
        return 0
    data = Path(chosen.data)
    for needed in (data / "manifest.csv", data / "labels.csv", data.parent / "score.py"):
        if not needed.is_file():
            print(
                f"{needed} is missing: a folder of recordings has manifest.csv and labels.csv, score.py beside it"
            )
            return 2
    recordings(data, frozenset(chosen.only))
    return 0


def speed() -> None:
    """Points and rows a second of one core, and the memory a signal takes."""
    rng = np.random.default_rng(0)
    wide = SignalWatch([f"s{i}" for i in range(2000)], every=SECOND, rows=100)
    rows = rng.normal(size=(400, 2000))
    spent = _run(wide, rows, 300)
    print(f"per-signal set, score and learn: {100 * 2000 / spent:12,.0f} points/s of one core (≥ 100 000)")
    print(f"per-signal set, state:           {len(wide.dump()) / 2000 / 1000:12.2f} kB a signal (≤ 4)")
    for name, machine in (
        ("T²", MachineT2([f"s{i}" for i in range(8)], asset="m", every=SECOND)),
        ("workhorse, settled", MachineWatch([f"s{i}" for i in range(8)], asset="m", every=SECOND)),
    ):
        spent = _run(machine, rng.normal(size=(5600, 8)), 600)
        print(f"{name + ', 8 signals:':32s} {5000 / spent:12,.0f} rows/s of one core (≥ 10 000)")


def _run(detector: SignalWatch | MachineT2 | MachineWatch, rows: np.ndarray, train: int) -> float:
    """CPU seconds for the rows after ``train``."""
    for i in range(train):
        detector.learn(i * SECOND, rows[i])
    detector.fit()
    start = time.process_time()
    for i in range(train, len(rows)):
        detector.score(i * SECOND, rows[i])
        detector.learn(i * SECOND, rows[i])
    return time.process_time() - start


def recordings(data: Path, only: frozenset[str]) -> None:
    """Score every recording and print the gates, with the controls beside them."""
    scorer = _scorer(data.parent / "score.py")
    with tempfile.TemporaryDirectory() as folder:
        own = Path(folder)
        for name in score_folder(data, own / "own", only):
            print(f"\r\033[K{name}", end="", file=sys.stderr, flush=True)
        print("\r\033[K", end="", file=sys.stderr)
        found = {"own": figures(scorer, data, own / "own", only)}
        for control, score in CONTROLS.items():
            write_control(data, own / control, score, only)
            found[control] = figures(scorer, data, own / control, only)
    print(f"\n{'data set':14s}{'figure':28s}{'goal':>22s}{'study':>20s}{'reached':>10s}", end="")
    print("".join(f"{name:>12s}" for name in CONTROLS))
    for dataset, figure, goal, study in GATES:
        if dataset in found["own"]:
            print(f"{dataset:14s}{figure:28s}{goal:>22s}{study:>20s}", end="")
            print(f"{found['own'][dataset].get(figure, np.nan):10.3f}", end="")
            print("".join(f"{found[c].get(dataset, {}).get(figure, np.nan):12.3f}" for c in CONTROLS))


def figures(scorer: ModuleType, data: Path, own: Path, only: frozenset[str]) -> dict[str, dict[str, Any]]:
    """The scorer's figures by data set."""
    manifest, labels = pd.read_csv(data / "manifest.csv"), pd.read_csv(data / "labels.csv")
    result: dict[str, dict[str, Any]] = {}
    for dataset, entries in manifest.groupby("dataset", sort=False):
        if only and dataset not in only:
            continue
        parts = {
            row.file: scorer.score_file(*scorer.load_file(data, own, row, labels), row, 10, 3)
            for row in entries.itertuples()
        }
        result[str(dataset)] = scorer.total(list(parts.values()))
        if dataset == "tep":
            result["tep"] |= _tep(parts)
    if (own / "rul.csv").exists():
        result |= scorer.score_rul(data, own / "rul.csv")
    return result


def _tep(parts: dict[str, dict[str, Any]]) -> dict[str, float]:
    found = {
        Path(name).stem: 100.0 * part["tp"] / (part["tp"] + part["fn"])
        for name, part in parts.items()
        if part["tp"] + part["fn"]
    }
    delays = [part["delays"][0] / 60 for part in parts.values() if part["delays"]]
    return {
        "mean_of_ordinary_faults": float(np.mean([v for name, v in found.items() if name not in _HARD])),
        "mean_of_all_faults": float(np.mean(list(found.values()))),
        "median_delay_min": float(np.median(delays)) if delays else np.nan,
    }


def _always(rows: int) -> np.ndarray:
    return np.ones(rows)


def _clock(rows: int) -> np.ndarray:
    """Alarms after the half of every recording, whatever it holds."""
    return np.arange(rows) / rows


def _chance(rows: int) -> np.ndarray:
    return np.random.default_rng(rows).random(rows) ** 0.5


CONTROLS: dict[str, Callable[[int], np.ndarray]] = {"always on": _always, "clock": _clock, "chance": _chance}


def write_control(data: Path, out: Path, score: Callable[[int], np.ndarray], only: frozenset[str]) -> None:
    """Predictions that read no sensor."""
    for entry in pd.read_csv(data / "manifest.csv").itertuples():
        if only and entry.dataset not in only:
            continue
        frame = pd.read_csv(data / "series" / str(entry.file), usecols=["timestamp"])
        frame["score"] = score(len(frame))
        frame["flag"] = (frame["score"] >= 0.5).astype(int)
        target = out / str(entry.file)
        target.parent.mkdir(parents=True, exist_ok=True)
        frame.to_csv(target, index=False)


def _scorer(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("score", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


if __name__ == "__main__":
    raise SystemExit(main())
