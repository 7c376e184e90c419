"""The workhorse: one score for a machine from all its signals, by what its commissioning can support."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import numpy as np

from models.calibrate import independent
from models.dynamic import Dynamic
from models.followed import Followed
from models.pace import Pace, Step
from models.promise import Array, Contribution, ModelError
from models.state import expect, pack, unpack

MOST_ROWS = 4096
_FEWEST_ROWS = 100
_KNOWN = 20.0
_SETTLED = 0.9
_MOST_MISSING = 0.5


class MachineWatch:
    """Watches a machine's signals together.

    A signal is *known* when commissioning amounts to twenty independent samples of it. Where nine signals in ten are
    known the machine is **settled**: ``Dynamic`` (DPCA and T²) judges it against what stood then. Otherwise
    commissioning was too short for its slow movements, and ``Followed`` judges changes against a
    baseline that keeps following. Signals constant or mostly missing in commissioning are left out.
    """

    kind, version = "machine", 3

    def __init__(
        self,
        signals: Sequence[str],
        *,
        asset: str,
        every: int,
        false_alarm_share: float = 0.005,
        top: int = 3,
    ) -> None:
        """``false_alarm_share`` is the stated share of normal rows beyond the limit of a settled machine."""
        self.signals = tuple(signals)
        self.outputs: tuple[str, ...] = (f"{asset}/anomaly",)
        self.left_out: dict[str, str] = {}
        self._rate, self._top = false_alarm_share, top
        self._rows: deque[Array] = deque(maxlen=MOST_ROWS)
        self._used = np.zeros(len(self.signals), dtype=bool)
        self._judge: Followed | Dynamic | None = None
        self._pace = Pace(max(10 * every, 10_000_000_000))
        self._ratio = 0.0
        self._followed: int | None = None

    @property
    def ready(self) -> bool:
        """Whether ``fit`` has been through."""
        return self._judge is not None

    @property
    def settled(self) -> bool:
        """Whether commissioning was long enough to know how the signals move together."""
        return isinstance(self._judge, Dynamic)

    def learn(self, time: int, row: Array) -> None:
        """Before ``fit`` keep the row; after it let the baselines follow."""
        if self._judge is None:
            if self._pace.step(time) is not Step.LATE:
                self._rows.append(row.copy())
        elif self._observe(time, row) and self._followed != time:
            self._judge.follow()
            self._followed = time

    def fit(self) -> None:
        """Choose the signals and the way of judging, and learn from the rows."""
        rows = np.array(self._rows).reshape(-1, len(self.signals))
        if len(rows) < max(_FEWEST_ROWS, 2 * len(self.signals)):
            raise ModelError(f"{len(rows)} rows are too few to learn {len(self.signals)} signals from")
        self._choose(rows)
        used = rows[:, self._used]
        known = np.mean([independent(column) >= _KNOWN for column in used.T])
        judge: Followed | Dynamic
        if known >= _SETTLED and used.shape[1] > 1:
            judge = Dynamic(used.shape[1], self._rate)
            used = np.where(np.isfinite(used), used, np.nanmean(used, axis=0))
        else:
            judge = Followed(used.shape[1])
        judge.fit(used)
        self._judge, self._ratio = judge, 0.0
        self._rows.clear()

    def score(self, time: int, row: Array) -> Array:
        """The machine's statistic over its limit, as 0…1, (1,)."""
        if self._judge is None:
            return np.zeros(1)
        self._observe(time, row)
        return np.array([1.0 - 1.0 / (1.0 + self._ratio)])

    def why(self, output: int = 0) -> tuple[Contribution, ...]:
        """The signals that carry the last score."""
        assert output == 0, "a machine has one score"
        if self._judge is None:
            return ()
        parts, sigmas = self._judge.parts()
        names = [name for name, used in zip(self.signals, self._used, strict=True) if used]
        whole = float(parts.sum())
        if not whole > 0:
            return ()
        first = np.argsort(-parts, kind="stable")[: self._top]
        return tuple(Contribution(names[i], float(parts[i] / whole), float(sigmas[i])) for i in first)

    def dump(self) -> bytes:
        """Learned and remembered; the commissioning rows go with it until they are fitted."""
        judge = self._judge
        head = {
            "kind": self.kind,
            "version": self.version,
            "signals": self.signals,
            "time": self._pace.last,
            "followed": self._followed,
            "left_out": self.left_out,
            "judge": "" if judge is None else type(judge).__name__,
            "ratio": self._ratio,
        }
        own = {"rows": np.array(self._rows).reshape(-1, len(self.signals)), "used": self._used}
        return pack(head, own | ({} if judge is None else judge.arrays()))

    def load(self, data: bytes) -> None:
        """Take up a dump of the same signals."""
        head, arrays = unpack(data)
        expect(head, self.kind, self.version, self.signals)
        self._rows = deque(arrays.pop("rows"), maxlen=MOST_ROWS)
        self._used = arrays.pop("used")
        self._pace.last, self._followed = head["time"], head["followed"]
        self.left_out, self._ratio = head["left_out"], head["ratio"]
        width = int(self._used.sum())
        judges = {"": None, "Followed": Followed(width), "Dynamic": Dynamic(width, self._rate)}
        self._judge = judges[head["judge"]]
        if self._judge is not None:
            self._judge.take(arrays)

    def _observe(self, time: int, row: Array) -> bool:
        assert self._judge is not None
        step = self._pace.step(time)
        if step is Step.JUMP:
            self._judge.restart()
        if step in (Step.NEXT, Step.JUMP):
            used = row[self._used]
            known = np.isfinite(used)
            ratio = self._judge.step(used if known.all() else np.where(known, used, np.nan))
            self._ratio = ratio if known.any() else 0.0
        return step is not Step.LATE

    def _choose(self, rows: Array) -> None:
        self.left_out = {}
        for name, column in zip(self.signals, rows.T, strict=True):
            known = column[np.isfinite(column)]
            if len(known) < _MOST_MISSING * len(rows):
                self.left_out[name] = "mostly missing in commissioning"
            elif np.std(known) <= 1e-9 * max(1e-300, np.abs(known).max()):
                self.left_out[name] = "constant in commissioning"
        self._used = np.array([name not in self.left_out for name in self.signals])
        if not self._used.any():
            raise ModelError(f"no signal to learn from: {self.left_out}")
