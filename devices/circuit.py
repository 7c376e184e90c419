"""When a unit that does not answer is asked again, and what is logged. Pure: time is an argument (s)."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

FIRST_DELAY = 1.0
LONGEST_DELAY = 10.0
PATIENCE = 60.0  # seconds after which a probe that never fitted between two slots may disturb them
FAILURES_TO_PARK = 3
SUCCESSES_TO_BE_BACK = 2  # in the log; a flapping unit is one outage


class State(StrEnum):
    """Where a unit stands: asked at its slots, asked without retries, or only probed."""

    HEALTHY = "healthy"
    SUSPECT = "suspect"
    PARKED = "parked"


@dataclass(slots=True)
class Budget:
    """Line time that failing units may use together: ``share`` of all time, saved up to ``most`` seconds."""

    most: float
    share: float = 0.1
    saved: float = field(init=False)
    _at: float | None = None

    def __post_init__(self) -> None:
        self.saved = self.most

    def left(self, now: float) -> bool:
        """May a unit that is failing use the line?"""
        if self._at is not None:
            self.saved = min(self.most, self.saved + self.share * (now - self._at))
        self._at = now
        return self.saved > 0

    def spend(self, seconds: float) -> None:
        """Line time went into an attempt that failed."""
        self.saved -= seconds


@dataclass(slots=True)
class Circuit:
    """One unit: healthy, after a failure suspect, after three (or once the budget is spent) parked.

    ``jitter`` draws from 0 to 1 and spreads the probes of many units. Success ends every state; the delay
    shrinks only step by step, so that a unit which answers now and then does not eat the line.
    """

    state: State = State.HEALTHY
    probe_at: float = 0.0
    _failures: int = 0
    _delay: float = FIRST_DELAY

    @property
    def is_calm(self) -> bool:
        """Would one more success change nothing?"""
        return not self._failures and self._delay <= FIRST_DELAY

    def succeeded(self) -> None:
        """The unit answered."""
        if self._failures:
            self._failures = 0
            self.state = State.HEALTHY
        elif self._delay > FIRST_DELAY:
            self._delay = max(FIRST_DELAY, self._delay / 2)

    def failed(self, now: float, budget_left: bool, jitter: float) -> None:
        """The unit did not answer, or not to the question."""
        self._failures += 1
        if self.state is not State.PARKED and self._failures < FAILURES_TO_PARK and budget_left:
            self.state = State.SUSPECT
            return
        self.state = State.PARKED
        self.probe_at = now + self._delay * (0.75 + 0.5 * jitter)
        self._delay = min(LONGEST_DELAY, self._delay * 2)

    def is_overdue(self, now: float) -> bool:
        """Did its probe find no room for so long that it may disturb others?"""
        return self.state is State.PARKED and now >= self.probe_at + PATIENCE

    def wants_probe(self, now: float) -> bool:
        """Is it time for a probe between the slots?"""
        return self.state is State.PARKED and now >= self.probe_at


@dataclass(slots=True)
class Outage:
    """Two log lines for one outage, however long and however much it flaps."""

    attempts: int = 0
    _streak: int = 0

    def failed(self) -> bool:
        """Count a failed attempt; True if this is the news."""
        self._streak = 0
        self.attempts += 1
        return self.attempts == 1

    def succeeded(self) -> int:
        """Failed attempts of the outage that is over with this success; 0 if there is no news."""
        if not self.attempts:
            return 0
        self._streak += 1
        if self._streak < SUCCESSES_TO_BE_BACK:
            return 0
        over, self.attempts = self.attempts, 0
        return over
