"""Phrases of whole words: the fast search finds what the plain one finds."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.kernels import terms

PHRASES = ["he", "she", "old man", "old", "an old man of the sea", "Mädchen", "女人", "grand mother", "a_b"]
PIECES = [
    *PHRASES,
    "HE",
    "ÄÖ",
    "MÄDCHEN",
    " ",
    "-",
    "’",
    "“",
    "\u00a0",
    "s",
    "man",
    "sea",
    "x_",
    "。",
    "é",
    "😀",
    "×",
]


def found(text: str, phrases: list[str] = PHRASES) -> list[tuple[str, str]]:
    """(phrase, what stands in the text) of each that is found."""
    table, data = terms.terms(phrases), text.encode()
    got = terms.find([text], table)
    return [
        (phrases[code], data[a:b].decode())
        for a, b, code in zip(got.starts, got.stops, got.codes, strict=True)
    ]


@given(st.lists(st.lists(st.sampled_from(PIECES), max_size=30).map("".join), max_size=6))
def test_fast_equals_plain(texts: list[str]) -> None:
    table = terms.terms(PHRASES)
    fast, plain = (terms.find(texts, table, implementation=how) for how in ("cpu", "reference"))
    for one, other in zip(fast, plain, strict=True):
        np.testing.assert_array_equal(one, other)


@given(st.lists(st.text(max_size=40), max_size=5))
def test_any_text_can_be_searched(texts: list[str]) -> None:
    table = terms.terms(["a", "0", "é"])
    fast, plain = (terms.find(texts, table, implementation=how) for how in ("cpu", "reference"))
    assert [f.tolist() for f in fast] == [p.tolist() for p in plain]


@given(
    st.lists(
        st.tuples(st.integers(0, 2), st.lists(st.sampled_from(PIECES), max_size=20).map("".join)), max_size=8
    )
)
def test_two_tables_in_one_walk_are_two_walks(texts: list[tuple[int, str]]) -> None:
    owners = np.cumsum([step for step, _ in texts], dtype=np.int64)
    given = (
        [text for _, text in texts],
        owners,
        terms.terms(["he", "old man"]),
        terms.terms(["man", "sea", "x_"]),
    )
    fast, plain = (terms.find_beside(*given, implementation=how) for how in ("cpu", "reference"))
    for one, other in zip((*fast[0], *fast[1]), (*plain[0], *plain[1]), strict=True):
        np.testing.assert_array_equal(one, other)


def test_the_second_table_is_asked_of_owners_of_the_first() -> None:
    texts, owners = ["the sea", "he " * 3000, "sea " * 3000, "old sea", ""], np.array([1, 2, 2, 5, 7])
    first, second = terms.find_beside(texts, owners, terms.terms(["he"]), terms.terms(["sea"]))
    assert (len(first.rows), set(first.rows.tolist())) == (3000, {1})
    assert (len(second.rows), set(second.rows.tolist())) == (3000, {2})


def test_whole_words_of_any_case() -> None:
    assert found("The HE-man, he's here; sheep. “She”") == [("he", "HE"), ("he", "he"), ("she", "She")]
    assert found("MÄDCHEN und mädchen") == [("Mädchen", "MÄDCHEN"), ("Mädchen", "mädchen")]


def test_the_longest_phrase_is_taken_and_the_search_goes_on_behind_it() -> None:
    assert found("an old man of the sea, old man, old") == [
        ("an old man of the sea", "an old man of the sea"),
        ("old man", "old man"),
        ("old", "old"),
    ]


def test_many_finds_in_one_text_and_none_in_a_null() -> None:
    got = terms.find([None, "he " * 5000, ""], terms.terms(PHRASES))
    assert got.rows.tolist() == [1] * 5000
    assert got.starts.tolist() == list(range(0, 15000, 3))


@pytest.mark.parametrize("phrases", [["--"], ["a b c d e f g h i"], ["He", "he"]])
def test_what_is_no_phrase_is_refused(phrases: list[str]) -> None:
    with pytest.raises(ValueError, match="phrase"):
        terms.terms(phrases)
