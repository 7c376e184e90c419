"""Scores a folder of labelled recordings through the shipped detectors: what ``make bench-models`` runs.

The layout is that of the bench: ``manifest.csv`` (dataset, file, period_s, n_channels, train_rows …), ``series/<file>``
(timestamp, then one column a channel), ``rul_truth.csv`` and ``rul/<dataset>/{train,test}.csv``; where a folder has no
``train.csv``, that of the folder beside it is taken. Labels are not read.
Needs pandas; nothing the daemon runs imports this.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from models.histories import Histories
from models.machine import MOST_ROWS, MachineWatch
from models.onset import Mask, latch
from models.promise import LIMIT, Array, ModelError
from models.signals import SignalWatch

if TYPE_CHECKING:
    import pandas as pd

_NOT_SIGNALS = ("unit", "cycle")


def score_folder(data: Path, out: Path, only: frozenset[str] = frozenset()) -> Iterator[str]:
    """Write ``out/<file>`` (timestamp, score, flag) for every series, ``out/rul.csv`` where there are lives.

    Yields the name of each file when it is done. One channel goes to the per-signal set, several to the machine's
    workhorse, each with its defaults.
    """
    import pandas as pd

    for entry in pd.read_csv(data / "manifest.csv").itertuples():
        if only and entry.dataset not in only:
            continue
        frame = pd.read_csv(data / "series" / str(entry.file))
        rows = frame.drop(columns="timestamp").apply(pd.to_numeric, errors="coerce").to_numpy(dtype=float)
        rows = np.where(np.isfinite(rows), rows, np.nan)
        scores, flags = judge(rows, int(str(entry.train_rows)), round(float(str(entry.period_s)) * 1e9))
        target = out / str(entry.file)
        target.parent.mkdir(parents=True, exist_ok=True)
        table = {"timestamp": frame["timestamp"], "score": scores, "flag": flags.astype(int)}
        pd.DataFrame(table).to_csv(target, index=False)
        yield str(entry.file)
    if not only and (data / "rul").is_dir():
        score_lives(data, out / "rul.csv")
        yield "rul.csv"


def judge(rows: Array, train: int, every: int) -> tuple[Array, Mask]:
    """Scores and alarms (k,) of one recording (k, channels) whose first ``train`` rows are commissioning.

    Time is counted in rows, ``every`` ns each: a recording's gaps are not the gaps of a plant. Where there is nothing
    to learn from, nothing is said.
    """
    names = [f"channel-{i}" for i in range(rows.shape[1])]
    watch: MachineWatch | SignalWatch
    if rows.shape[1] > 1:
        watch = MachineWatch(names, asset="machine", every=every)
    else:
        watch = SignalWatch(names, every=every, rows=int(0.8 * train))
    for i in range(max(0, train - MOST_ROWS), train):
        watch.learn(i * every, rows[i])
    scores = np.zeros(len(rows))
    try:
        watch.fit()
    except ModelError:
        return scores, scores >= LIMIT
    for i in range(train, len(rows)):
        scores[i] = watch.score(i * every, rows[i]).max()
        watch.learn(i * every, rows[i])
    return scores, latch(scores) if rows.shape[1] > 1 else scores >= LIMIT


def score_lives(data: Path, out: Path) -> None:
    """Remaining life of every test unit of ``rul/``, learned from ``train.csv`` of the same data set.

    ModelError where no failure histories of it lie there, or in a folder beside ``data``.
    """
    import pandas as pd

    found = []
    for folder in sorted(path for path in (data / "rul").iterdir() if (path / "test.csv").exists()):
        beside = sorted(data.resolve().parent.glob(f"*/rul/{folder.name}/train.csv"))
        histories = [path for path in (folder / "train.csv", *beside) if path.exists()]
        if not histories:
            raise ModelError(f"{folder} has no train.csv to learn from, nor has a folder beside {data}")
        train, test = (_units(pd.read_csv(path)) for path in (histories[0], folder / "test.csv"))
        lives = Histories()
        lives.fit(list(train.values()))
        for unit, rows in test.items():
            left, low, high = lives.predict(rows)
            found.append({"dataset": folder.name, "unit": unit, "rul": left, "lo": low, "hi": high})
    out.parent.mkdir(parents=True, exist_ok=True)
    pd.DataFrame(found).to_csv(out, index=False)


def _units(frame: pd.DataFrame) -> dict[str, Array]:
    signals = [name for name in frame.columns if name not in _NOT_SIGNALS]
    return {str(unit): rows[signals].to_numpy(dtype=float) for unit, rows in frame.groupby("unit")}
