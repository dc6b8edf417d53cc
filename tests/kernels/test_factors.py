"""Factors: the fast form equals trying every place."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernels.factors import factors

DIGITS = set(b"0123456789")
FACTOR = st.lists(st.frozensets(st.sampled_from(b"ab-1"), max_size=3), min_size=1, max_size=9)
GROUPS = st.lists(st.lists(FACTOR, max_size=20), max_size=4)


@given(texts=st.lists(st.one_of(st.none(), st.text("ab-12é", max_size=30)), max_size=8), groups=GROUPS)
@settings(max_examples=80, deadline=None)
def test_fast_equals_plain(texts: list[str | None], groups: list[list[list[frozenset[int]]]]) -> None:
    array = pa.array(texts, pa.string())
    np.testing.assert_array_equal(factors(array, groups), factors(array, groups, implementation="reference"))


def test_places_are_consecutive_and_texts_apart() -> None:
    found = factors(
        pa.array(["a1-2", "1a-2", "a1", "-2", None]), [[[DIGITS, b"-", DIGITS]], [[b"a", DIGITS]]]
    )
    assert found.tolist() == [[True, True], [False, False], [False, True], [False, False], [False, False]]


def test_long_factors_fill_words_of_their_own() -> None:
    groups = [[[b"a"] * 60], [[b"b"] * 60], [[b"c"]]]
    found = factors(pa.array(["a" * 59, "a" * 60 + "b" * 59, "b" * 60 + "c"]), groups)
    assert found.tolist() == [[False, False, False], [True, False, False], [False, True, True]]


@pytest.mark.parametrize("length", [0, 65])
def test_factors_of_no_or_too_many_classes_are_refused(length: int) -> None:
    with pytest.raises(ValueError, match=f"got {length}"):
        factors(pa.array(["a"]), [[[b"a"] * length]])


def test_a_group_is_held_by_any_of_its_factors_and_an_empty_one_by_none() -> None:
    found = factors(pa.array(["x", "y", "z"]), [[[b"x"], [b"y"]], []])
    assert found.tolist() == [[True, False], [True, False], [False, False]]
