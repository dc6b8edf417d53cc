"""Pairs of prompts by the words that count: those that any two of them make, found without comparing all."""

from itertools import combinations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.pipelines.examine.contradictions import apart, bags, coded, near

WORDS = ("river", "rivver", "lamp", "garden", "please", "the", "isn't", "not", "seven", "stone", "of", "roof")


def pairs(texts: list[str]) -> set[tuple[int, int]]:
    """Pairs by words alone of prompts without numbers."""
    found, numbers = coded.words(pa.array(texts, pa.large_string())), np.zeros(len(texts), np.uint64)
    used = np.zeros(bags.SLOTS, np.int32)
    counts = bags.counted(found)
    used[counts["slot"].to_numpy()] = counts["count"].to_numpy()
    every = np.arange(len(texts))
    postings = bags.postings(found, every, numbers, apart.marks(found), used)
    bag = bags.bags(found, numbers)
    made = near.united([], [bags.pairs(postings), bags.equal(bag[bag > 0], every[bag > 0])])
    kept = made.prompts[bags.agreed(found, made.prompts, made.letters)]
    return {(int(a), int(b)) for a, b in kept}


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


def test_under_a_word_of_many_prompts_the_shortest_meet(monkeypatch: pytest.MonkeyPatch) -> None:
    lamps = ["lamp roof", "lamp roof garden", "garden roof lamp", "roof lamp garden"]
    assert pairs(lamps) == {(1, 2), (1, 3), (2, 3)}
    monkeypatch.setattr(bags, "MOST", 2)
    assert pairs(lamps) == {(1, 2), (1, 3)}, "equal bags meet the first of them"
    assert pairs([]) == pairs([""]) == pairs(["the", "please"]) == set()


def test_a_word_of_one_prompt_brings_nobody_together() -> None:
    found = coded.words(pa.array(["lamp roof", "lamp garden", "river"], pa.large_string()))
    counts = bags.counted(found)
    assert sorted(counts["count"].to_pylist()) == [1, 1, 1, 2]
    used = np.zeros(bags.SLOTS, np.int32)
    used[counts["slot"].to_numpy()] = counts["count"].to_numpy()
    made = bags.postings(found, np.arange(3), np.zeros(3, np.uint64), apart.marks(found), used)
    assert made.prompt.tolist() == [0, 1], "lamp alone"
    assert made.size.tolist() == [2, 2]
    assert made.before.tolist() == [1, 1], "the word of one prompt is the rarest"


def test_long_prompts_have_no_postings() -> None:
    text = " ".join(f"word{chr(97 + k % 26)}{chr(97 + k // 26)}" for k in range(bags.LONGEST + 1))
    found = coded.words(pa.array([text, text], pa.large_string()))
    assert bags.bags(found, np.zeros(2, np.uint64)).tolist() == [0, 0]
    assert bags.counted(found).num_rows == 0
