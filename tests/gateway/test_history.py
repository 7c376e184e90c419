"""The embedded history: every sample once, minutes for the long view, small on disk."""

import json
from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from devices.batch import Batch, Reason, SignalSet, bad, signal_set, uncertain
from gateway import failpoints
from gateway.history import History, HistorySettings
from gateway.history_file import DAY, HOUR, MINUTE, Minutes
from gateway.spool import Entry
from gateway.store import Series, StoreUnavailableError

PUMP = signal_set("pump-1-plc", ("pump-1/vib_rms", "pump-1/flow", "pump-1-plc/online"))
T0 = 1_790_000_000_000_000_000 // DAY * DAY  # a midnight
SECOND = 1_000_000_000


def row(time: int, values: object, quality: object = (0, 0, 0), signals: SignalSet = PUMP) -> Batch:
    return Batch(signals, time, time, np.array(values, float), np.array(quality, np.uint8))


def entry(id_: int, *batches: Batch) -> Entry:
    return Entry(id_, batches, sum(len(b.values) for b in batches), 0, batches[-1].time)


def ramp(first: int, last: int, step: int = SECOND) -> list[Entry]:
    """One row a second: 0, 1, 2 …, half of it, 1."""
    return [entry(i + 1, row(T0 + i * step, (i, i / 2, 1))) for i in range(first, last)]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "history.db"


@pytest.fixture
def history(path: Path) -> Iterator[History]:
    history = History(path)
    yield history
    history.close()


def test_samples_are_readable_before_and_after_they_are_written(history: History) -> None:
    history.write(ramp(0, 100))
    held = history.series("pump-1/flow", T0, T0 + DAY)
    history.flush()
    written = history.series("pump-1/flow", T0, T0 + DAY)
    for series in (held, written):
        assert series.mean.tolist() == [i / 2 for i in range(100)]
        assert series.time.tolist() == [T0 + i * SECOND for i in range(100)]
        assert series.step == 0
    assert len(history.series("pump-1/flow", T0 + 10 * SECOND, T0 + 20 * SECOND)) == 10
    assert len(history.series("pump-1/unknown", T0, T0 + DAY)) == 0


def test_the_cursor_moves_only_past_what_is_in_the_file(history: History) -> None:
    assert history.write(ramp(0, 100)) == 0
    assert history.write(ramp(100, 700)) == 601  # the chunk closed with the row at 600 s, entry 601
    history.flush()
    assert history.write([]) == 0
    assert history.write(ramp(700, 701)) == 700


def test_what_comes_again_after_a_crash_is_there_once(path: Path) -> None:
    crashed = History(path)
    durable = crashed.write(ramp(0, 1000))
    assert 0 < durable < 1000
    again = History(path)
    again.write(ramp(0, 1000))
    assert len(again.series("pump-1/vib_rms", T0, T0 + DAY)) == 1000
    again.close()
    after = History(path)
    after.write(ramp(0, 1100))
    series = after.series("pump-1/vib_rms", T0, T0 + DAY)
    minutes = after.series("pump-1/vib_rms", T0, T0 + HOUR, points=60)
    assert series.mean.tolist() == list(range(1100))
    assert minutes.count.sum() == 1100
    after.close()
    crashed.close()


def test_a_spool_that_begins_anew_is_not_taken_for_a_repetition(path: Path) -> None:
    first = History(path)
    first.write(ramp(0, 100))
    first.close()
    second = History(path)
    second.write([entry(1, row(T0 + 5000 * SECOND, (1, 2, 3)))])
    assert len(second.series("pump-1/vib_rms", T0, T0 + DAY)) == 101
    second.close()


def test_a_failed_write_is_tried_again_without_doubling(history: History) -> None:
    entries = ramp(0, 700)
    with failpoints.armed("history.before_commit:1:full"), pytest.raises(StoreUnavailableError):
        history.write(entries)
    history.write(entries)
    history.flush()
    assert len(history.series("pump-1/vib_rms", T0, T0 + DAY)) == 700


def test_bad_values_are_absent_and_other_quality_is_kept(history: History) -> None:
    lost, odd = bad(Reason.COMM_LOST), uncertain(Reason.OUT_OF_RANGE)
    history.write(
        [
            entry(1, row(T0, (1, 2, 1))),
            entry(2, row(T0 + SECOND, (np.nan, np.nan, 0), (lost, lost, 0))),
            entry(3, row(T0 + 2 * SECOND, (3, 99, 1), (0, odd, 0))),
        ]
    )
    for _ in range(2):
        assert history.series("pump-1/vib_rms", T0, T0 + HOUR).mean.tolist() == [1, 3]
        flow = history.series("pump-1/flow", T0, T0 + HOUR)
        assert (flow.mean.tolist(), flow.quality.tolist()) == ([2, 99], [0, odd])
        assert history.series("pump-1-plc/online", T0, T0 + HOUR).mean.tolist() == [1, 0, 1]
        minutes = history.series("pump-1/flow", T0, T0 + HOUR, points=60)
        assert (minutes.count.tolist(), minutes.max.tolist(), minutes.quality.tolist()) == ([2], [99], [odd])
        history.flush()


def test_a_spike_survives_in_every_width(history: History) -> None:
    entries = ramp(0, 7200)
    spike = T0 + 3333 * SECOND
    entries[3333] = entry(3334, row(spike, (-1e6, 1e6, 1)))
    history.write(entries)
    for points in (None, 100_000, 2000, 200, 40, 2, 1):
        low = history.series("pump-1/vib_rms", T0, T0 + 2 * HOUR, points)
        high = history.series("pump-1/flow", T0, T0 + 2 * HOUR, points)
        assert low.min.min() == -1e6
        assert high.max.max() == 1e6
        assert high.count.sum() == 7200
        assert points is None or len(high) <= points


def test_late_samples_take_their_place(history: History) -> None:
    history.write(ramp(0, 700))
    late = [entry(701, row(T0 + SECOND // 2, (-5, 0, 1), (0x47, 0x47, 0x47)))]
    history.write(late)
    for _ in range(2):
        series = history.series("pump-1/vib_rms", T0, T0 + HOUR)
        assert series.mean[:3].tolist() == [0, -5, 1]
        assert len(series) == 701
        history.flush()


def test_days_are_put_together_and_read_as_before(path: Path) -> None:
    history = History(path)
    step = 10 * SECOND
    history.write(ramp(0, 3 * 8640, step))
    before = history.series("pump-1/vib_rms", T0, T0 + 3 * DAY, points=1440)
    for i in range(3 * 8640, 3 * 8640 + 10):
        history.write(ramp(i, i + 1, step))
    days = history._connection.execute("SELECT DISTINCT day FROM day").fetchall()
    assert [day for (day,) in days] == [T0 // DAY, T0 // DAY + 1, T0 // DAY + 2]
    after = history.series("pump-1/vib_rms", T0, T0 + 3 * DAY, points=1440)
    assert before.max.tolist() == after.max.tolist()
    assert before.count.tolist() == after.count.tolist()
    np.testing.assert_allclose(before.mean, after.mean, rtol=1e-7)
    assert after.step == 3 * MINUTE
    history.close()


def test_old_samples_go_and_their_minutes_stay(path: Path) -> None:
    history = History(path, HistorySettings(raw=timedelta(hours=2), minutes=timedelta(days=365)))
    step = 10 * SECOND
    history.write(ramp(0, 360 * 6, step))
    history.flush()
    history.purge()
    raw = history.series("pump-1/vib_rms", T0 + 4 * HOUR, T0 + 6 * HOUR)
    assert (raw.step, len(raw)) == (0, 720)
    whole = history.series("pump-1/vib_rms", T0, T0 + 6 * HOUR)
    assert whole.step == MINUTE
    assert whole.count.sum() == 360 * 6
    assert np.diff(whole.time).min() > 0
    history.close()


def test_a_clock_that_jumps_deletes_nothing(path: Path) -> None:
    history = History(path, HistorySettings(raw=timedelta(hours=2)))
    history.write(ramp(0, 3600))
    history.write([entry(5000, row(T0 + 400 * DAY, (1, 1, 1)))])
    history.flush()
    history.purge()
    assert len(history.series("pump-1/vib_rms", T0, T0 + HOUR)) == 3600
    history.close()


def test_memory_is_bounded_however_many_signals_there_are(path: Path) -> None:
    history = History(path, HistorySettings.model_validate({"open_bytes": 200_000}))
    wide = [signal_set(f"d{i}", tuple(f"a{i}/q{j}" for j in range(50))) for i in range(40)]
    for second in range(60):
        batches = [row(T0 + second * SECOND, np.full(50, second), np.zeros(50), each) for each in wide]
        history.write([entry(second + 1, *batches)])
        assert history._open_bytes <= 200_000 + 40 * 50 * 9 * 16
        assert history._open_bytes == sum(chunk.bytes for chunk in history._open.values())
    for each in (wide[0], wide[39]):
        assert history.series(each.names[49], T0, T0 + HOUR).mean.tolist() == list(range(60))
    history.close()


def test_another_process_reads_it_with_the_tail_of_the_writer(path: Path) -> None:
    reader = History.reader(path)
    assert len(reader.series("pump-1/vib_rms", T0, T0 + HOUR)) == 0
    history = History(path)
    history.write(ramp(0, 1000))

    def over_the_socket(signal: str, start: int) -> Series:
        return Series.from_json(json.loads(json.dumps(history.tail(signal, start).to_json())))

    assert len(reader.series("pump-1/vib_rms", T0, T0 + HOUR)) == 601
    whole = History.reader(path, tail=over_the_socket)
    assert whole.series("pump-1/vib_rms", T0, T0 + HOUR).mean.tolist() == list(range(1000))
    assert whole.series("pump-1/vib_rms", T0, T0 + 2 * DAY, points=1440).count.sum() == 1000
    assert whole.latest(["pump-1/vib_rms", "pump-9/none"])["pump-1/vib_rms"].value == 999
    assert reader.latest(["pump-1/vib_rms"])["pump-1/vib_rms"].value == 600
    for each in (reader, whole, history):
        each.close()


@pytest.mark.parametrize("start", [0, 4096])
def test_a_damaged_file_is_set_aside_and_a_new_one_begins(path: Path, start: int) -> None:
    first = History(path)
    first.write(ramp(0, 3000))
    first.close()
    content = bytearray(path.read_bytes())
    content[start : start + 8192] = bytes(range(256)) * 32
    path.write_bytes(content)
    second = History(path)
    for at in range(3000, 5000):
        with suppress(StoreUnavailableError):
            second.write(ramp(at, at + 1))
    second.flush()
    assert path.with_name("history.db.corrupt").exists()
    assert second.series("pump-1/vib_rms", T0 + 4000 * SECOND, T0 + DAY).mean.tolist() == list(
        range(4000, 5000)
    )
    second.close()


def test_a_frame_has_a_column_for_each_signal(history: History) -> None:
    fan = signal_set("fan", ("fan-1/speed",))
    history.write([*ramp(0, 3), entry(9, row(T0 + SECOND // 2, [7.0], [0], fan))])
    frame = history.frame(["pump-1/vib_rms", "fan-1/speed"], T0, T0 + HOUR)
    assert list(frame.columns) == ["pump-1/vib_rms", "fan-1/speed"]
    assert frame["fan-1/speed"].dropna().tolist() == [7.0]
    assert len(frame) == 4
    assert str(frame.index.tz) == "UTC"


VALUES = st.floats(-1e9, 1e9, allow_subnormal=False) | st.just(float("nan"))


@settings(deadline=None, max_examples=40)
@given(
    st.lists(st.tuples(st.integers(0, 600), VALUES, VALUES), min_size=1, max_size=40),
    st.integers(1, 39),
)
def test_minutes_are_the_same_whole_or_in_pieces(rows: list[tuple[int, float, float]], cut: int) -> None:
    rows.sort(key=lambda each: each[0])
    time = np.array([each[0] for each in rows]) * SECOND
    values = np.array([each[1:] for each in rows])
    quality = np.where(np.isnan(values), 0x81, 0x40).astype(np.uint8)
    whole = Minutes.of(time, values, quality)
    if cut < len(rows):
        parts = [Minutes.of(time[at], values[at], quality[at]) for at in (slice(cut), slice(cut, None))]
    else:
        parts = [whole]
    merged = Minutes.merged([Minutes.unpack(part.pack()) for part in parts])
    for column in (0, 1):
        expected = {}
        for minute in sorted({int(t) // MINUTE for t in time}):
            inside = values[time // MINUTE == minute, column]
            if len(inside := inside[~np.isnan(inside)]):
                expected[minute] = (len(inside), inside.min(), inside.max(), inside.mean())
        found = merged.column(column)
        assert found.minute.tolist() == list(expected)
        for at, (count, low, high, mean) in enumerate(expected.values()):
            assert (found.count[at, 0], found.min[at, 0], found.max[at, 0]) == (count, low, high)
            assert found.mean[at, 0] == pytest.approx(mean, rel=1e-6, abs=1e-300 + 1e-6 * max(-low, high))
