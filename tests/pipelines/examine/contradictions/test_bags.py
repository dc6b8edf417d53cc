"""Pairs of prompts by the words that count: those that any two of them make, found without comparing all."""

from itertools import combinations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.pipelines.examine.contradictions import apart, bags, coded

WORDS = ("river", "rivver", "lamp", "garden", "please", "the", "isn't", "not", "seven", "stone", "of", "roof")


def pairs(texts: list[str]) -> set[tuple[int, int]]:
    found = coded.words(pa.array(texts, pa.large_string()))
    return {
        (int(a), int(b))
        for a, b in bags.pairs(
            found.offsets, found.codes, np.zeros(len(texts), np.uint64), apart.marks(found)
        )
    }


def counted(text: str) -> set[int]:
    codes = coded.words(pa.array([text], pa.large_string())).codes
    return {int(code & ~coded.SEVERAL) for code in codes if code & coded.COUNTS}


@given(st.lists(st.lists(st.sampled_from(WORDS), max_size=8).map(" ".join), max_size=8))
def test_pairs_are_those_that_share_half_of_their_words(texts: list[str]) -> None:
    of = [counted(text) for text in texts]
    found = pairs(texts)
    for a, b in combinations(range(len(texts)), 2):
        alike = of[a] and of[b] and len(of[a] & of[b]) >= bags.LEAST * len(of[a] | of[b])
        both = coded.words(pa.array([texts[a], texts[b]], pa.large_string()))
        told = apart.told_apart(both, np.array([[0, 1]]))[0]
        if (a, b) in found:
            assert alike
        elif alike and of[a] != of[b]:
            assert told


def test_order_politeness_slips_and_words_that_mean_the_same() -> None:
    texts = [
        "Which garden has seven stone lamps?",
        "Seven stone lamps: what garden owns?",
        "please, could you tell me which gardne has seven stone lamps",
        "Which river has three iron boats?",
    ]
    assert pairs(texts) == {(0, 1), (0, 2), (1, 2)}


def test_a_word_of_many_prompts_is_asked_of_equal_ones_alone() -> None:
    texts = ["where is the lamp"] * (bags.MOST + 1) + ["where is the lamp, Ann"]
    assert pairs(texts) == {(0, at) for at in range(1, bags.MOST + 1)}
    assert pairs([]) == pairs([""]) == pairs(["the", "please"]) == set()


def test_where_words_are_too_many_the_longest_prompts_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    counts = np.array([0, 3, 3, 5, 200, 9], np.int32)
    assert bags.longest(counts) == bags.LONGEST
    monkeypatch.setattr(bags, "AT_ONCE", 11)
    assert bags.longest(counts) == 8, "those of nine words would be twenty together"
    monkeypatch.setattr(bags, "AT_ONCE", 0)
    assert bags.longest(counts) == 2
    monkeypatch.undo()
    assert bags.longest(np.array([2, 1], np.int32)) == bags.LONGEST, "nothing is left out"


def test_prompts_of_the_same_numbers_are_looked_at_in_one_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bags, "AT_ONCE", 160)
    draw = np.random.default_rng(0)
    counts = np.array([50, 50, 50, 60, 0, *[2] * 200], np.int32)
    numbers = np.array([0, 0, 0, 0, 0, *draw.integers(1, 41, 200)], np.uint64)
    passes = bags.passes(counts, numbers)
    assert len(passes.places) == 1 + 1 + 2 * 400 // 160
    assert passes.places[0].tolist() == [0, 1, 2], "the longest without a number is one too many"
    of = {int(place): number for number, places in enumerate(passes.places) for place in places}
    assert len(of) == sum(len(places) for places in passes.places)
    for number in set(numbers.tolist()):
        assert len({of[at] for at in np.flatnonzero(numbers == number) if at in of}) == 1
