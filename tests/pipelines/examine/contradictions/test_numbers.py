"""Hashes of the numbers of prompts, held against the pattern that says what a number is."""

import re

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.pipelines.examine.contradictions.numbers import numbers

TEXTS = st.lists(st.text(st.sampled_from("0155% a_é.,灯\n"), max_size=14), max_size=6)


def by_pattern(text: str) -> list[str]:
    return sorted(re.sub(r"(?:\b50 ?%|[^0-9])+", " ", text, flags=re.ASCII).split())


def hashes(*texts: str) -> list[int]:
    return [int(x) for x in numbers(pa.array(texts, pa.large_string()))]


@given(TEXTS)
def test_texts_have_one_hash_where_they_have_the_same_numbers(texts: list[str]) -> None:
    said = [" ".join(by_pattern(text)) for text in texts]
    assert hashes(*texts) == hashes(*said)
    assert [found == 0 for found in hashes(*texts)] == [not one for one in said]


@pytest.mark.parametrize(
    ("a", "b", "same"),
    [
        ("5 plus 3", "3 plus 5", True),
        ("5 plus 3", "5 plus 4", False),
        ("12", "1 2", False),
        ("50% of 8", "half of 8", True),
        ("50 % of 8", "half of 8", True),
        ("é50% of 8", "half of 8", True),
        ("a50% of 8", "half of 8", False),
        ("150% of 8", "half of 8", False),
        ("50 of 8", "half of 8", False),
    ],
)
def test_which_are_the_same(a: str, b: str, same: bool) -> None:
    first, second = hashes(a, b)
    assert (first == second) is same


def test_a_slice_and_none() -> None:
    texts = pa.array(["1", "2", "no", "2"], pa.large_string())
    assert numbers(texts.slice(1)).tolist() == [hashes("2")[0], 0, hashes("2")[0]]
    assert numbers(pa.array([], pa.large_string())).dtype == np.uint64
