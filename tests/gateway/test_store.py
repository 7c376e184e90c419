"""A signal over time: pieces, buckets and the way over the socket."""

import json

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from gateway.store import Series, frame_of, joined

SAMPLES = st.dictionaries(st.integers(0, 10_000), st.floats(-1e6, 1e6), min_size=1, max_size=60)


def series_of(samples: dict[int, float], quality: int = 0) -> Series:
    time = np.array(list(samples), np.int64)
    return Series.of_samples(
        "p/x", time, np.array(list(samples.values())), np.full(len(time), quality, np.uint8)
    )


@given(SAMPLES, st.integers(1, 50))
def test_buckets_keep_every_extreme_and_every_sample(samples: dict[int, float], points: int) -> None:
    bucketed = series_of(samples).at_most(points, 0, 10_001)
    assert len(bucketed) <= points or len(bucketed) == len(samples)
    assert bucketed.min.min() == min(samples.values())
    assert bucketed.max.max() == max(samples.values())
    assert bucketed.count.sum() == len(samples)
    np.testing.assert_allclose((bucketed.mean * bucketed.count).sum(), sum(samples.values()), atol=1e-3)
    assert (bucketed.min <= bucketed.mean + 1e-9).all()
    assert (bucketed.mean <= bucketed.max + 1e-9).all()
    assert (np.diff(bucketed.time) > 0).all()


@given(SAMPLES, st.integers(0, 10_000), st.integers(1, 5))
def test_pieces_come_together_whole(samples: dict[int, float], cut: int, overlap: int) -> None:
    whole = series_of(samples)
    again = joined("p/x", [whole.between(0, cut + overlap), whole.between(cut, 20_000)])
    assert again.time.tolist() == sorted(samples)
    assert again.mean.tolist() == [samples[time] for time in sorted(samples)]


@given(SAMPLES, st.integers(1, 50))
def test_a_series_goes_through_json_unchanged(samples: dict[int, float], points: int) -> None:
    for series in (
        series_of(samples, 0x40),
        series_of(samples).at_most(points, 0, 10_001),
        Series.empty("p/x"),
    ):
        back = Series.from_json(json.loads(json.dumps(series.to_json())))
        for column in ("time", "min", "mean", "max", "quality", "count"):
            there, here = getattr(back, column), getattr(series, column)
            assert there.tolist() == here.tolist()
            assert there.dtype == here.dtype
        assert (back.signal, back.step) == (series.signal, series.step)


def test_the_worst_quality_of_a_bucket_is_shown() -> None:
    mixed = joined("p/x", [series_of({1: 1.0}), series_of({2: 2.0}, 0x44), series_of({3: 3.0}, 0x41)])
    assert mixed.buckets(0, 10).quality.tolist() == [0x44]


def test_a_frame_of_nothing_has_its_columns() -> None:
    frame = frame_of([Series.empty("p/y"), series_of({5: 1.0})])
    assert frame.columns.tolist() == ["p/y", "p/x"]
    assert frame["p/x"].tolist() == [1.0]
    assert frame["p/y"].isna().all()
