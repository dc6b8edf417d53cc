"""Codes of words: each word once, in order, and what no word like others is."""

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from headrace.pipelines.examine.contradictions import apart, asking, coded


def codes(text: str) -> list[int]:
    return [int(code) for code in coded.words(pa.array([text], pa.large_string())).codes]


def test_a_word_counts_unless_it_is_one_of_politeness_or_a_slip_of_one() -> None:
    assert sum(code & 1 for code in codes("river please the plaese tell")) == 1
    assert [code & 1 for code in codes("river")] == [1]
    assert codes("buys") == codes("gets")
    assert codes("River, RIVER") == [codes("river")[0] | int(coded.SEVERAL)]


@given(st.lists(st.integers(0, 400), max_size=300), st.integers(1, 5))
def test_words_of_a_text_are_sorted_and_stand_once(numbers: list[int], often: int) -> None:
    words = [f"w{n}" for n in numbers] * often
    found = codes(" ".join(words))
    assert found == sorted(found)
    once = {codes(f"w{n}")[0]: words.count(f"w{n}") for n in set(numbers)}
    assert found == sorted(code | 2 * (n > 1) for code, n in once.items())


def test_more_words_than_there_are_buckets_to_sort_them_in() -> None:
    n = 2 * coded.BUCKETS + 7
    found = np.array(codes(" ".join(f"x{k}" for k in range(n))), np.uint64)
    assert len(found) == n
    assert (found[1:] > found[:-1]).all()


@given(st.text("abcdeoy", min_size=1, max_size=7))
def test_slips_are_all_words_that_are_one_with_a_slip(word: str) -> None:
    letters = "abcdefghijklmnopqrstuvwxyz"
    tried = {word[:at] + word[at + 1 :] for at in range(len(word))}
    tried |= {word[:at] + word[at : at + 2][::-1] + word[at + 2 :] for at in range(len(word))}
    tried |= {word[:at] + c + word[at + n :] for at in range(len(word) + 1) for n in (0, 1) for c in letters}
    want = sorted(other for other in tried - {word, ""} if asking.is_slip(other, word, long=True))
    assert asking.slips(word) == want


def test_no_slip_of_a_number_or_into_one() -> None:
    assert asking.slips("three") == []
    assert "three" not in asking.slips("tree")
    assert asking.slips("ab") == asking.slips("a1bc") == []


def test_pairs_are_parted_so_that_a_part_has_so_many_words() -> None:
    counts = np.array([3, 3, 3, 9])
    pairs = np.array([[0, 1], [0, 2], [1, 2], [0, 3], [1, 3]])
    assert apart.passes(counts, pairs, 9).tolist() == [0, 0, 0, 1, 2]
    assert apart.passes(counts, pairs, 15).tolist() == [0, 0, 0, 1, 1]
    assert apart.passes(counts, pairs, 100).tolist() == [0] * 5
    assert apart.passes(counts, pairs[:0], 9).tolist() == []
