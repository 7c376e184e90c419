"""Recordings: what the plant would have said, labelled, fast."""

from __future__ import annotations

import csv
import io
import json
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from simulators import faults, plant
from simulators.cli import app
from simulators.recording import Recording, labels_beside

START = 1_767_571_200.0  # 2026-01-05T00:00:00Z


def test_a_recording_holds_what_the_plant_says(tmp_path: Path) -> None:
    out = tmp_path / "pump.csv"
    struck = [faults.fault("pump-1", "bearing_wear", START + 60, 60)]
    portions: list[int] = []
    Recording("pump-1", START, 0.5, 400, struck, seed=9).write(out, portions.append)
    table = pd.read_csv(out)
    assert list(table) == ["time", *plant.signals("pump-1", START), "label"]
    assert sum(portions) == len(table) == 400
    assert table["time"][0] == "2026-01-05T00:00:00.000Z"
    assert table["time"][399] == "2026-01-05T00:03:19.500Z"
    t = START + 0.5 * np.arange(400)
    for quantity, values in plant.signals("pump-1", t, struck, 9).items():
        assert table[quantity].to_numpy() == pytest.approx(values, abs=0.051)
    assert (table["label"] == (t >= START + 60)).all()


def test_text_is_what_pythons_own_formatting_gives(tmp_path: Path) -> None:
    out = tmp_path / "c.csv"
    times = np.array([0.0, 86_399.999, 951_782_400, START + 0.001])  # a leap day among them
    for t in times:
        Recording("compressor-1", float(t), 1, 3).write(out)
        with out.open(newline="") as file:
            rows = list(csv.DictReader(file))
        values = plant.signals("compressor-1", t + np.arange(3.0))
        for i, row in enumerate(rows):
            assert row["oil_pressure"] == f"{values['oil_pressure'][i]:.3f}"
            assert row["speed"] == f"{values['speed'][i]:.1f}"
            assert np.datetime64(row["time"].rstrip("Z")) == np.datetime64(round((t + i) * 1000), "ms")


def test_labels_stand_beside_with_onset_failure_and_mode(tmp_path: Path) -> None:
    out = tmp_path / "fan.csv"
    words = ["csv", "clogged_filter", "--hours", "1", "--period", "1s", "--onset", "0.25", "--ramp", "600"]
    ended = CliRunner().invoke(app, [*words, "--start", "2026-01-05T00:00:00Z", "--out", str(out)])
    assert ended.exit_code == 0, ended.output
    assert "3600 rows of 6 signals" in ended.stderr
    (label,) = csv.DictReader(io.StringIO(labels_beside(out).read_text()))
    assert label == {
        "file": "fan.csv",
        "event_id": "1",
        "credit_from": "2026-01-05T00:15:00.000Z",
        "start": "2026-01-05T00:15:00.000Z",
        "end": "2026-01-05T00:59:59.000Z",
        "kind": "interval",
        "note": "clogged filter",
        "asset": "fan-1",
        "scenario": "clogged_filter",
        "failure_mode": "PLU",
        "failure": "2026-01-05T00:28:00.000Z",
    }


def test_a_healthy_recording_has_no_labels_and_ends_now(tmp_path: Path) -> None:
    out = tmp_path / "motor.csv"
    words = ["csv", "healthy", "--asset", "motor-1", "--hours", "0.1", "--out", str(out)]
    assert CliRunner().invoke(app, words).exit_code == 0
    table = pd.read_csv(out, parse_dates=["time"])
    assert not table["label"].any()
    assert abs(table["time"].iloc[-1].timestamp() - time.time()) < 10
    assert len(labels_beside(out).read_text().splitlines()) == 1
    again = tmp_path / "again.csv"
    begin = table["time"][0].isoformat()
    CliRunner().invoke(app, [*words[:-1], str(again), "--start", begin])
    assert again.read_bytes() == out.read_bytes()


def test_missing_samples_are_empty_cells(tmp_path: Path) -> None:
    out = tmp_path / "p.csv"
    cut = faults.fault("pump-1", "cable_cut", START + 2)
    Recording("pump-1", START, 1, 4, [cut]).write(out)
    lines = out.read_text().splitlines()
    assert lines[4] == "2026-01-05T00:00:03.000Z,,,,,,,1"
    assert json.loads(f"[{lines[2].split(',', 1)[1]}]")


def test_a_million_samples_take_less_than_a_cpu_second(tmp_path: Path) -> None:
    recording = Recording(
        "pump-1", START, 1, 170_000, [faults.fault("pump-1", "bearing_wear", START, 90_000)]
    )
    began = time.process_time()
    recording.write(tmp_path / "fast.csv")
    assert time.process_time() - began < 1.0
