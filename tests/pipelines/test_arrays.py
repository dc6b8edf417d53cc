"""Offsets, values put among rows, and the end of a hash."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.pipelines import arrays


@given(st.lists(st.integers(0, 9)))
def test_offsets_cut_what_lies_end_to_end_into_its_lists(lengths: list[int]) -> None:
    ends = arrays.offsets(lengths)
    assert ends.dtype == np.int64
    assert (ends[0], ends[-1]) == (0, sum(lengths))
    assert np.diff(ends).tolist() == lengths


def test_offsets_of_small_types_do_not_run_over() -> None:
    assert arrays.offsets(np.full(4, 100, np.uint8)).tolist() == [0, 100, 200, 300, 400]
    assert arrays.offsets(np.array([2.0, 3.0])).tolist() == [0, 2, 5]  # what np.bincount gives with weights


@given(st.lists(st.booleans()))
def test_values_are_spread_by_a_mask_as_by_numbers(mask: list[bool]) -> None:
    chosen = np.array(mask, np.bool_)
    values = np.arange(1, chosen.sum() + 1)
    whole = arrays.spread(values, chosen, len(mask))
    assert whole[chosen].tolist() == values.tolist()
    assert not whole[~chosen].any()
    assert arrays.spread(values, np.flatnonzero(chosen), len(mask)).tolist() == whole.tolist()


def test_the_last_place_of_each_owner() -> None:
    owners = np.array([0, 0, 2, 2, 2])
    assert arrays.last(owners, np.array([0, 1, 3]), 4).tolist() == [1, -1, 3, -1]
    assert arrays.last(owners, np.array([3, 1, 0]), 4).tolist() == [
        0,
        -1,
        3,
        -1,
    ]  # the first, of places reversed
    assert arrays.last(owners, np.zeros(0, np.int64), 1).tolist() == [-1]


def test_texts_are_put_where_they_belong() -> None:
    texts = pa.array(["a", None, "c"], pa.large_string())
    assert arrays.put(texts, [1, 2], pa.array(["x", None], pa.large_string())).to_pylist() == ["a", "x", None]
    assert arrays.put(texts, [2, 0], pa.array(["x", "y"], pa.large_string())).to_pylist() == ["y", None, "x"]
    assert arrays.put(texts, [], pa.array([], pa.large_string())) is texts


@pytest.mark.parametrize(
    ("state", "value"),
    # The first numbers of SplitMix64 from the seed 1234567. Source: https://rosettacode.org/wiki/Pseudo-random_numbers/Splitmix64
    [(1, 6457827717110365317), (2, 3203168211198807973), (3, 9817491932198370423)],
)
def test_the_finaliser_is_that_of_splitmix64(state: int, value: int) -> None:
    given = (1234567 + state * 0x9E3779B97F4A7C15) % 2**64
    assert arrays.finalised(np.array([given], np.uint64)).tolist() == [value]


@given(st.lists(st.integers(0, 9)), st.lists(st.integers(0, 9)).map(sorted))
def test_values_are_among_those_that_are_known_as_a_set_says_it(values: list[int], known: list[int]) -> None:
    found = arrays.among(np.array(values, np.uint64), np.array(known, np.uint64))
    assert found.tolist() == [value in set(known) for value in values]
