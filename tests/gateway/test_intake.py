"""Late, future and repeated batches, as they come from wires and brokers."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from devices.batch import BAD, GOOD, Batch, Reason, SignalSet, bad, signal_set, uncertain
from gateway.intake import FUTURE, Intake

NOW = 1_800_000_000_000_000_000
FAN = signal_set("fan-sensor", ("fan-1/vib_rms", "fan-sensor/online"))


class Log:
    """A spool in memory that can be full."""

    def __init__(self) -> None:
        self.taken: list[Batch] = []
        self.room = True
        self.stored = 0

    def offer(self, batch: Batch, done: Callable[[], None] | None = None) -> bool:
        if self.room:
            self.taken.append(batch)
            if done is not None:
                done()
        return self.room

    def last_time(self, signals: SignalSet) -> int:
        return self.stored


def batch(time: int, arrival: int = NOW, quality: int = GOOD) -> Batch:
    values = np.array([np.nan if quality & BAD else 2.0, 1.0])
    return Batch(FAN, time, arrival, values, np.array([quality, GOOD], np.uint8))


def test_batches_in_order_pass_untouched() -> None:
    log = Log()
    intake = Intake(log)
    given = [batch(NOW + i) for i in range(3)]
    assert all(intake(one) for one in given)
    assert log.taken == given
    assert intake.counts == {"accepted": 3}


def test_an_older_batch_is_kept_and_flagged_and_keeps_its_bad_qualities() -> None:
    log = Log()
    intake = Intake(log)
    intake(batch(NOW))
    intake(batch(NOW - 5, quality=bad(Reason.COMM_LOST)))
    assert log.taken[-1].quality.tolist() == [bad(Reason.COMM_LOST), uncertain(Reason.LATE)]
    intake(batch(NOW + 1))
    assert log.taken[-1].quality.tolist() == [GOOD, GOOD]


def test_what_a_broker_delivers_again_is_acknowledged_and_dropped() -> None:
    log = Log()
    intake = Intake(log)
    acknowledged: list[int] = []
    for i in (1, 2, 3):
        intake(batch(NOW + i), lambda i=i: acknowledged.append(i))
    intake(batch(NOW + 2), lambda: acknowledged.append(22))
    assert len(log.taken) == 3
    assert acknowledged == [1, 2, 3, 22]
    assert intake.counts["repeated"] == 1


def test_after_a_restart_repetitions_are_known_from_the_log() -> None:
    log = Log()
    log.stored = NOW + 3
    intake = Intake(log)
    intake.remember([batch(NOW + i) for i in (1, 2, 3)])
    acknowledged: list[int] = []
    intake(batch(NOW + 2), lambda: acknowledged.append(2))
    assert log.taken == []
    assert acknowledged == [2]


def test_one_message_from_the_future_does_not_make_what_follows_late() -> None:
    log = Log()
    intake = Intake(log)
    intake(batch(NOW + FUTURE + 1))
    intake(batch(NOW + 1))
    assert [one.quality[0] for one in log.taken] == [uncertain(Reason.FUTURE), GOOD]


def test_a_stored_future_does_not_outlive_a_restart() -> None:
    log = Log()
    log.stored = NOW + 10 * FUTURE
    intake = Intake(log)
    intake(batch(NOW + 1))
    assert log.taken[0].quality[0] == GOOD


def test_without_room_nothing_is_acknowledged_and_the_same_batch_may_come_again() -> None:
    log = Log()
    log.room = False
    intake = Intake(log)
    acknowledged: list[int] = []
    assert not intake(batch(NOW), lambda: acknowledged.append(1))
    log.room = True
    assert intake(batch(NOW), lambda: acknowledged.append(2))
    assert acknowledged == [2]


def test_a_score_that_was_stored_is_not_stored_again() -> None:
    log = Log()
    intake = Intake(log)
    assert intake.derived(batch(NOW))
    assert intake.derived(batch(NOW))
    assert intake.derived(batch(NOW - 1))
    assert len(log.taken) == 1
