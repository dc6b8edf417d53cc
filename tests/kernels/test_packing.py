"""Packing: best-fit decreasing to the letter, and near to full bins."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.kernels import pack


def test_by_hand() -> None:
    # 7 opens 0, 6 opens 1, 4 fills 1, 3 fills 0, 3 opens 2, 2 and 0 follow where the room is least.
    assert pack([3, 7, 4, 6, 3, 2, 0], 10).tolist() == [0, 0, 1, 1, 2, 2, 0]
    assert pack([], 5).tolist() == []
    assert pack([5, 5, 5], 5).tolist() == [0, 1, 2]


@given(st.sampled_from([1, 2, 63, 64, 65, 4096, 5000, 300_000]), st.data())
def test_equals_reference_and_fits(capacity: int, data: st.DataObject) -> None:
    lengths = np.array(data.draw(st.lists(st.integers(0, capacity), max_size=60)), np.int64)
    bins = pack(lengths, capacity)
    np.testing.assert_array_equal(bins, pack(lengths, capacity, implementation="reference"))
    if len(bins):
        assert np.bincount(bins, lengths).max() <= capacity
        assert set(bins.tolist()) == set(range(bins.max() + 1))


def test_many_lengths_like_those_of_samples() -> None:
    rng = np.random.default_rng(11)
    lengths = np.minimum(rng.lognormal(5.5, 1, 3000).astype(np.int64), 2048)
    bins = pack(lengths, 2048)
    np.testing.assert_array_equal(bins, pack(lengths, 2048, implementation="reference"))
    assert lengths.sum() / (2048 * (bins.max() + 1)) > 0.99


@pytest.mark.parametrize(
    ("lengths", "capacity", "said"),
    [
        ([1, 9, 10], 8, "item 1 has length 9.*1 more"),
        ([-1], 8, "item 0"),
        ([1], 0, "capacity"),
        ([[1]], 8, "shape"),
    ],
)
def test_refuses(lengths: list[int], capacity: int, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        pack(lengths, capacity)
