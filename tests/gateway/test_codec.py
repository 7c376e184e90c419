"""Batches to bytes and back."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from devices.batch import BAD, Batch, Reason, bad, signal_set
from gateway.codec import CodecError, decode, encode

INT64 = st.integers(-(2**63), 2**63 - 1)


@st.composite
def batches(draw: st.DrawFn) -> Batch:
    width = draw(st.integers(0, 12))
    signals = signal_set(draw(st.sampled_from(["a", "b", "泵"])), tuple(f"p/{i}" for i in range(width)))
    quality = draw(npst.arrays(np.uint8, width, elements=st.sampled_from([0, 0x40, bad(Reason.COMM_LOST)])))
    values = draw(npst.arrays(np.float64, width))
    return Batch(signals, draw(INT64), draw(INT64), np.where(quality & BAD, np.nan, values), quality)


def bits(batch: Batch) -> tuple[object, ...]:
    return batch.signals, batch.time, batch.arrival, batch.values.tobytes(), batch.quality.tobytes()


@given(st.lists(batches(), min_size=1, max_size=20))
def test_what_was_encoded_comes_back_bit_for_bit(group: list[Batch]) -> None:
    numbers = {batch.signals: (7 << 32) + i for i, batch in enumerate(group)}
    body = encode(group, [numbers[batch.signals] for batch in group])
    sets = {number: signals for signals, number in numbers.items()}
    assert list(map(bits, decode(body, sets))) == list(map(bits, group))


@given(st.binary(max_size=200))
def test_foreign_bytes_are_refused(body: bytes) -> None:
    with pytest.raises(CodecError):
        decode(body, {})


def test_an_unknown_signal_set_is_refused() -> None:
    signals = signal_set("a", ("p/x",))
    body = encode([Batch(signals, 1, 2, np.zeros(1), np.zeros(1, np.uint8))], [5])
    with pytest.raises(CodecError, match="5"):
        decode(body, {4: signals})


def test_decoded_arrays_are_read_only() -> None:
    signals = signal_set("a", ("p/x",))
    body = encode([Batch(signals, 1, 2, np.zeros(1), np.zeros(1, np.uint8))], [5])
    (batch,) = decode(body, {5: signals})
    assert not batch.values.flags.writeable
    assert not batch.quality.flags.writeable
