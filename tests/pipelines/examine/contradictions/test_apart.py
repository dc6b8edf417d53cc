"""Prompts that are told apart by hashes of words: only such as do not ask the same."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from headrace.pipelines.examine.contradictions import apart, asking, coded

WORDS = (
    *("would", "wuold", "would you tell me", "please", "plaese"),
    *("isn't", "is not", "is", "isn", "not", "n't", "t"),
    *("ran t", "can't", "cannot", "won't", "will", "what's", "the", "teh", "to", "lamp", "lmap", "lampp"),
    *(
        "river",
        "rivver",
        "rver",
        "rivers",
        "a/b",
        "a",
        "x_1",
        "3",
        "Ann",
        "ANN",
        "three",
        "tree",
        "thank you",
    ),
    *("thnak you", "give me the answer to", "compute", "noot", "cann", "willl", "fluß", "灯", "请问"),
    *(
        "flüsse",
        "flüse",
        "FLÜSSE",
        "été",
        "ÉTÉ",
        "İzmir",
        "όμως",
        "όμωσ",
        "река",
        "Река",
        "рекка",
        "ran’t",
        "“lamp”",
    ),
    *("buys", "gets", "geets", "purchase", "spent", "speent"),
    *("straße", "strasse", "📎", "日本", "ラ", "한국", "e\u0301", "𝒳"),
)
BETWEEN = (" ", " ", " ", "  ", ", ", ". ", "? ", "\n", "-", "'")
PROMPTS = st.lists(st.tuples(st.sampled_from(WORDS), st.sampled_from(BETWEEN)), max_size=6).map(
    lambda parts: "".join(word + mark for word, mark in parts)
)


def told_apart(a: str, b: str) -> bool:
    found = coded.words(pa.array([a, b], pa.large_string()))
    return bool(apart.told_apart(found, np.array([[0, 1]]))[0])


@given(PROMPTS, PROMPTS)
@example("isn't the lamp", "is not lamp")
@example("which car Ann buys for 3 friends", "which car Ann geets for 3 friends")
@example("what the old red lamp costs Ann per hour", "what the old red lamp costts Ann per hour")
@example("how much he has spent on all those limes", "how much he has speent on all those limes")
@example("is the lamp", "isn't lamp")
@example("is noot", "isn't")
@example("cann noot", "cannot")
@example("would", "wuold")
@example("ran t", "ra not")
def test_what_asks_the_same_is_never_told_apart(a: str, b: str) -> None:
    if asking.same_question(a, b):
        assert not told_apart(a, b)


@given(PROMPTS)
def test_nor_is_a_prompt_from_itself_with_slips(a: str) -> None:
    slips = a.replace("would", "wuold").replace("lamp", "lammp").replace("river", "rivver")
    if asking.same_question(a, slips):
        assert not told_apart(a, slips)
        assert not told_apart(slips, a)


@pytest.mark.parametrize(
    ("a", "b", "apart_"),
    [
        ("Where is the river?", "Where is the lamp?", True),
        ("Where is the river?", "Where is it?", True),
        ("Where is the river?", "Please, where's a rivver?", False),
        ("Where is the river?", "Where is the ridge?", False),  # as long, but for a letter, and begins alike
        ("Is it red?", "Is it not red?", False),  # a word that contractions hold: `asking` says it
        ("灯在哪里？", "河在哪里？", False),
        ("Où est la rivière ?", "Où est la lampe ?", True),
        ("Où est l’été “là” ?", "OÙ EST L'ÉTÉ - là 📎", False),
        ("Где река?", "Где лампа?", True),
        ("Wo ist der große Fluss?", "Wo ist der kleine Fluss?", False),  # "ß" is two letters in capitals
        ("", "", False),
        ("", "river", True),
    ],
)
def test_a_word_that_only_one_has_tells_apart(a: str, b: str, apart_: bool) -> None:
    assert told_apart(a, b) is apart_
    assert told_apart(b, a) is apart_


def test_a_slice_and_no_texts() -> None:
    texts = pa.array(["far away", "the red lamp", "the red river", "a red lamp"], pa.large_string())
    pairs = np.array([[0, 1], [0, 2]])
    assert apart.told_apart(coded.words(texts.slice(1)), pairs).tolist() == [True, False]
    assert coded.words(texts.slice(4)).codes.tolist() == []
    assert coded.words(pa.array([], pa.large_string())).offsets.tolist() == [0]


@given(PROMPTS, PROMPTS)
@example("", "river")
@example("fluß", "river")
@example("is", "it")
def test_marks_tell_nothing_apart_that_words_do_not(a: str, b: str) -> None:
    found = coded.words(pa.array([a, b], pa.large_string()))
    if apart.marked_apart(apart.marks(found), np.array([[0, 1]]))[0]:
        assert told_apart(a, b)


def test_marks_tell_apart_what_has_a_short_or_a_long_word_alone() -> None:
    prompts = ["Is B red?", "Is C red?", "Is it a river?", "Is it a rivver?", "Is it red, 灯?"]
    found = coded.words(pa.array(prompts, pa.large_string()))
    pairs = np.array([[0, 1], [0, 2], [2, 3], [0, 4], [4, 0]])
    assert apart.marked_apart(apart.marks(found), pairs).tolist() == [True, True, False, False, False]


@pytest.mark.parametrize(
    ("a", "b", "apart_"),
    [
        ("red lamp", "red lamp lamp", True),  # as often
        ("red lamp lamp", "red lamp lammp", False),  # a slip begins as its word does
        ("rose lake lamp", "rose lamp", True),
        ("rose lake lamp", "rose rock lamp", True),
        ("rose lake lamp like", "rose lamp", False),  # "I would like to know": "like" does not count
        ("rose", "rose ripe red roof rock", False),  # four more are as many as none
        ("rose 灯", "rose lamp", False),
        ("ran t red lamp", "red lamp", False),  # "ran t" may be "ra not"
    ],
)
def test_words_are_tallied_by_their_first_letters(a: str, b: str, apart_: bool) -> None:
    tally = coded.words(pa.array([a, b], pa.large_string())).tally
    assert apart.counts_apart(*tally[0], *tally[1]) is apart_
    assert apart.counts_apart(*tally[1], *tally[0]) is apart_
