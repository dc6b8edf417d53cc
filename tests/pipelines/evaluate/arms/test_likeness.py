"""Which texts are like another: by rare words, in an order that never changes."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.pipelines.evaluate.arms import likeness

TEXTS = ["the cat sat", "the dog sat", "the dog and the cat", "a bird"]
WORDS = st.lists(st.sampled_from(["the", "cat", "dog", "sat", "a", "bird", "東"]), max_size=6).map(" ".join)


def bm25(query: str, text: str, texts: list[str]) -> float:
    """The definition, word by word."""
    mean = sum(len(t.split()) for t in texts) / len(texts)
    score = 0.0
    for word in set(query.split()):
        n, often = sum(word in t.split() for t in texts), text.split().count(word)
        weight = math.log(1 + (len(texts) - n + 0.5) / (n + 0.5))
        long = 1 - likeness.B + likeness.B * len(text.split()) / max(1.0, mean)
        score += weight * often * (likeness.K1 + 1) / (often + likeness.K1 * long)
    return score


def test_rare_words_count_most_and_equal_texts_keep_their_order() -> None:
    assert list(likeness.nearest(["a cat", "the", "nothing here"], TEXTS, 2)) == [[3, 0], [2, 0], [0, 1]]


def test_case_and_punctuation_are_no_difference() -> None:
    assert list(likeness.nearest(["BIRD?!"], TEXTS, 1)) == [[3]]


def test_of_no_texts_none_is_near() -> None:
    assert list(likeness.nearest(["a", "b"], [], 3)) == [[], []]
    assert list(likeness.nearest([], TEXTS, 3)) == []


@given(st.lists(WORDS, min_size=1, max_size=8), WORDS)
def test_it_is_bm25(texts: list[str], query: str) -> None:
    (found,) = likeness.nearest([query], texts, len(texts))
    scores = [bm25(query, text, texts) for text in texts]
    assert sorted(found) == list(range(len(texts)))
    assert [scores[at] for at in found] == pytest.approx(sorted(scores, reverse=True))


def test_many_queries_are_answered_like_one() -> None:
    queries = [TEXTS[n % 4] for n in range(likeness.AT_ONCE + 3)]
    found = list(likeness.nearest(queries, TEXTS, 4))
    assert found == [next(likeness.nearest([query], TEXTS, 4)) for query in queries]
