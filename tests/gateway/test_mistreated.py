"""Soft sensors trained from a spoilt file and fed badly: a clear state, never a wild score, never a crash."""

from __future__ import annotations

import textwrap
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from devices.batch import GOOD, Batch, Reason, bad, signal_set
from gateway.building import build_sensors
from gateway.commands import app
from gateway.config import load_site
from gateway.sensors import Sensors

S = 1_000_000_000
STEP, HOUR, WEEK = 10 * S, 3600 * S, 604_800 * S
NOW = 1_800_000_000 * S
NAMES = ("vib_rms", "bearing_temp", "flow", "spare")
PLC = signal_set("plc-1", tuple(f"pump-1/{name}" for name in NAMES))
MODEL = '[model.{0}]\nkind = "{0}"\nscope = {{ class = "pump" }}\nevery = "10s"\ncommissioning = "1h"\n'
MISSING = bad(Reason.COMM_LOST)


def healthy(rows: int, seed: int = 1) -> np.ndarray:
    """Rows of a pump; its spare input is wired to nothing."""
    found = np.random.default_rng(seed).normal([2.0, 60.0, 50.0, 7.0], [0.05, 0.4, 2.0, 0.0], (rows, 4))
    return np.asarray(found)


class Plant:
    """Feeds the site's promoted models and keeps what they said last."""

    def __init__(self, sensors: Sensors) -> None:
        self.sensors, self.now = sensors, NOW

    def feed(self, rows: np.ndarray, quality: int = GOOD) -> dict[str, float]:
        """The highest score of each soft signal while ``rows`` came."""
        highest: dict[str, float] = {}
        for row in rows:
            self.now += STEP
            batch = Batch(PLC, self.now, self.now, row, np.full(4, quality, np.uint8))
            for told in self.sensors.step(batch, lambda _: True):
                for name, score, how in zip(told.signals.names, told.values, told.quality, strict=True):
                    assert np.isnan(score) == (how != GOOD)
                    if "rul" not in name:
                        assert 0 <= score <= 1
                        highest[name] = max(highest.get(name, 0.0), float(score))
        return highest

    def states(self) -> set[object]:
        return {told["state"] for told in self.sensors.status()}


@pytest.fixture
def pump(tmp_path: Path) -> Plant:
    """Models trained by the command from a file with gaps, lost cells, a week's pause and a clock set back."""
    (tmp_path / "site.toml").write_text('[site]\nid = "works"\nname = "Works"\n')
    signals = "".join(f'{name} = {{ unit = "1" }}\n' for name in NAMES)
    (tmp_path / "assets.toml").write_text(f'[class.pump.signals]\n{signals}[asset.pump-1]\nclass = "pump"\n')
    life = '[model.life]\nkind = "life"\nscope = { class = "pump" }\nsignals = ["vib_rms"]\nlimit = 9.0\n'
    (tmp_path / "models.toml").write_text(
        textwrap.dedent(MODEL.format("t2") + MODEL.format("plausible") + life)
    )
    rows = healthy(1000)
    rows[np.random.default_rng(2).random(rows.shape) < 0.05] = np.nan
    rows[300:320] = np.nan
    times = NOW - 3 * WEEK + np.arange(1000) * STEP
    times[500:] += WEEK
    times[800:] -= HOUR
    cells = np.where(np.isfinite(rows), rows.astype("U24"), "")
    lines = [f"{time / 1e9:.0f},{','.join(row)}" for time, row in zip(times.tolist(), cells, strict=True)]
    (tmp_path / "past.csv").write_text("\n".join([f"time,{','.join(NAMES)}", *lines]))
    for words in (
        ("train", "t2", "--asset", "pump-1", "--csv", str(tmp_path / "past.csv")),
        ("promote", "t2/pump-1/1"),
        ("train", "plausible", "--asset", "pump-1", "--csv", str(tmp_path / "past.csv")),
        ("promote", "plausible/pump-1/1"),
    ):
        told = CliRunner().invoke(app, ["models", *words, "--site", str(tmp_path)])
        assert told.exit_code == 0, told.output
        if words[:2] == ("train", "t2"):
            assert "left out: pump-1/spare (constant in commissioning)" in told.output
    return Plant(build_sensors(load_site(tmp_path)))


def test_what_lacks_or_jumps_in_time_is_no_fault_and_another_unit_is(pump: Plant) -> None:
    assert max(pump.feed(healthy(200)).values()) < 0.5
    lacking = healthy(60)
    lacking[:, 1], lacking[30:, 0] = np.nan, np.inf  # and yet said to be good
    assert max(pump.feed(lacking).values()) < 0.5
    pump.feed(healthy(10), MISSING)
    assert pump.states() == {"blind"}
    assert max(pump.feed(healthy(60)).values()) < 0.5
    pump.now -= HOUR
    assert max(pump.feed(healthy(400)).values(), default=0.0) < 0.5
    pump.now += WEEK
    assert max(pump.feed(healthy(60)).values()) < 0.5
    fahrenheit = healthy(30)
    fahrenheit[:, 1] = fahrenheit[:, 1] * 1.8 + 32
    found = pump.feed(fahrenheit)
    assert found["pump-1/anomaly"] > 0.9
    assert found["pump-1/bearing_temp_suspect"] > 0.9
    pump.feed(healthy(100))
    stuck = healthy(100)
    stuck[:, 2] = 50.0
    assert pump.feed(stuck)["pump-1/flow_suspect"] > 0.5
