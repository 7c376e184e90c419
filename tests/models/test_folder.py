"""Scoring a folder: the files it writes, and that a row's score rests on that row and earlier ones only."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from models import ModelError
from models.folder import judge, score_folder

SECOND = 1_000_000_000


def recording(channels: int, seed: int = 1) -> np.ndarray:
    rows = np.random.default_rng(seed).normal(size=(900, channels))
    rows[700:, 0] += 12.0
    return rows


@pytest.mark.parametrize("channels", [1, 3])
def test_a_fault_raises_one_alarm_and_only_after_it_began(channels: int) -> None:
    scores, flags = judge(recording(channels), train=500, every=SECOND)
    assert not flags[:700].any()
    assert flags[700:720].any()
    assert (scores[:500] == 0).all()


@pytest.mark.parametrize("channels", [1, 3])
def test_scores_look_at_no_later_row(channels: int) -> None:
    rows = recording(channels)
    whole, _ = judge(rows, train=500, every=SECOND)
    part, _ = judge(rows[:760], train=500, every=SECOND)
    np.testing.assert_array_equal(whole[:760], part)


def test_a_folder_gets_one_file_of_predictions_for_each_series(tmp_path: Path) -> None:
    entries = []
    for name, channels in (("one/a.csv", 1), ("many/b.csv", 3)):
        rows = recording(channels)
        path = tmp_path / "data" / "series" / name
        path.parent.mkdir(parents=True)
        frame = pd.DataFrame(rows, columns=[f"c{i}" for i in range(channels)])
        frame.insert(0, "timestamp", pd.date_range("2026-01-01", periods=len(rows), freq="s"))
        frame.to_csv(path, index=False)
        entries.append({"dataset": name.split("/")[0], "file": name, "period_s": 1.0, "train_rows": 500})
    pd.DataFrame(entries).to_csv(tmp_path / "data" / "manifest.csv", index=False)
    done = list(score_folder(tmp_path / "data", tmp_path / "out"))
    assert done == ["one/a.csv", "many/b.csv"]
    for entry in entries:
        found = pd.read_csv(tmp_path / "out" / entry["file"])
        assert list(found.columns) == ["timestamp", "score", "flag"]
        assert len(found) == 900
        assert found["flag"].max() == 1


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("train", [3, 60, 500])
def test_whatever_a_recording_lacks_it_gets_its_rows_and_no_wild_score(channels: int, train: int) -> None:
    rows = recording(channels)
    rows[:, -1] = 5.0  # stuck from the beginning
    rows[600:650] = np.nan
    rows[np.random.default_rng(2).random(rows.shape) < 0.2] = np.nan
    scores, flags = judge(rows, train=train, every=SECOND)
    assert scores.shape == flags.shape == (900,)
    assert np.isfinite(scores).all()
    assert not flags[:train].any()


def test_lives_without_their_own_histories_take_those_of_the_folder_beside(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)

    def units(count: int, whole: bool) -> pd.DataFrame:
        found = []
        for unit in range(count):
            life = int(rng.integers(80, 120))
            wear = np.linspace(0, 1, life) ** 2
            rows = life if whole else life // 2
            table = {"unit": unit, "cycle": np.arange(rows), "s1": (wear + rng.normal(0, 0.02, life))[:rows]}
            found.append(pd.DataFrame(table))
        return pd.concat(found)

    for folder, part, table in (("dev", "train", units(12, True)), ("unseen", "test", units(3, False))):
        place = tmp_path / folder / "rul" / "engines"
        place.mkdir(parents=True)
        table.to_csv(place / f"{part}.csv", index=False)
    pd.DataFrame(columns=["dataset", "file", "period_s", "train_rows"]).to_csv(
        tmp_path / "unseen" / "manifest.csv", index=False
    )
    assert list(score_folder(tmp_path / "unseen", tmp_path / "out")) == ["rul.csv"]
    found = pd.read_csv(tmp_path / "out" / "rul.csv")
    assert found["unit"].tolist() == [0, 1, 2]
    assert ((found["lo"] <= found["rul"]) & (found["rul"] <= found["hi"])).all()
    (tmp_path / "dev" / "rul" / "engines" / "train.csv").unlink()
    with pytest.raises(ModelError, match="to learn from"):
        list(score_folder(tmp_path / "unseen", tmp_path / "out"))
