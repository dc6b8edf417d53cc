"""Words of a prompt's sentences, found by what is there: what its patterns say over the whole of it."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.pipelines.examine.contradictions import asking, synonyms

PARTS = (
    *(
        "would you please tell me",
        "please",
        "plaese",
        "thanks a lot",
        "in advance",
        "give me",
        "the answer to",
    ),
    *("isn't", "won't", "can't", "cannot", "what's", "i'm", "they're", "cats' s", "find out", "say", "state"),
    *(
        "tell/answer",
        "please=3",
        "3.5",
        "1,000",
        "-5",
        "5-3",
        "a-b",
        "$5",
        "50%",
        "river",
        "in total",
        "how many",
    ),
    *("请问", "灯", "“hi”", "été", "İ", "s'il vous plaît", "Danke", "x_1", "so kind as to", "i want to know"),
    *("quick question", "for what reason", "what number of", "is", "of", "many"),
)
BETWEEN = (" ", " ", " ", "  ", ", ", ". ", "? ", "\n", "-", "/", "'", "\t", "。")
PROMPTS = st.lists(st.tuples(st.sampled_from(PARTS), st.sampled_from(BETWEEN)), max_size=8).map(
    lambda parts: "".join(word + mark for word, mark in parts)
)


def by_patterns(text: str) -> list[list[str]]:
    """Sentences, each pattern over the whole text."""
    whole = asking.APOSTROPHE.sub(" ", text.casefold())
    for _, pattern, apart in asking.APART:
        whole = pattern.sub(apart, whole)
    lines = asking.OTHERS.sub(" ", asking.SENTENCE.sub("\n", whole)).split("\n")
    folded = "\n".join(" ".join(map(asking._mended, line.split())) for line in lines)
    folded = asking.POLITE.sub(" ", folded)
    asked = re.compile(asking.ASKED_FOR.pattern.replace(r"\A", "^"), re.M).sub(" ", folded)
    said = [[w for w in synonyms.put(line.split()) if w not in asking.ARTICLES] for line in asked.split("\n")]
    return sorted(filter(None, said))


@given(PROMPTS)
def test_sentences_are_what_the_patterns_say_of_the_whole(text: str) -> None:
    assert asking._sentences(text) == by_patterns(text)


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("Could you please tell me what the price is?", [["which", "cost", "is"]]),
        ("Bitte/please 3.5 or -5.", [["/", "3.5", "or", "5"]]),
        ("Find out why. Isn't it 1,000?", [["is", "not", "it", "1,000"], ["why"]]),
        ("", []),
    ],
)
def test_sentences(text: str, sentences: list[list[str]]) -> None:
    assert asking._sentences(text) == sentences


SENTENCES = (
    "Tom has 3 pears. ",
    "Please tell me. ",
    "The old tower leans! ",
    "It isn't safe; ",
    "Which car did Tom buy? ",
    "which car did Tom prchase? ",
    "Who built it:\n",
    "A) the ice\n",
    "e.g. a lamp ",
    "no end",
)


@given(
    *(st.lists(st.sampled_from(SENTENCES), max_size=2).map("".join) for _ in range(4)),
    st.lists(st.sampled_from(SENTENCES), max_size=4).map("".join),
)
def test_sentences_that_both_prompts_have_are_left_out(
    begin: str, end: str, one: str, other: str, more: str
) -> None:
    a, b = begin + one + more + end, begin + other + more + end
    rest = asking._unshared(a, b)
    assert a.endswith(end)
    assert len(a) - len(rest[0]) == len(b) - len(rest[1])
    if asking._other_rest(*rest):
        assert not asking.same_question(a, b)


def test_of_long_prompts_the_question_decides() -> None:
    passage = "The tower was built by Ann, and it leans to the north. " * 6
    assert asking._unshared(f"{passage}Who built it? Think.", f"{passage}Why? Think.") == (
        "Who built it? ",
        "Why? ",
    )
    assert asking.same_question(f"{passage}Who built the towwer?", f"{passage}who built the tower?")
    assert not asking.same_question(f"{passage}Who built the tower?", f"{passage}Who sold the tower?")
    assert asking.same_question(f"Who built it? {passage}", f"{passage}Who built it?")
