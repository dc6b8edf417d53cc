"""Damage: what machines leave in texts, told from what people write there."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.pipelines.stages.traits import damage
from headrace.pipelines.stages.traits import stage as traits
from headrace.pipelines.stages.traits.config import Config
from tests.builders import story, table, text_table

DATA = "iVBORw0KGgoAAAANSUhEUgAAAAUA7Qx9" * 8
DAMAGED = [
    ("nan", "missing"),
    (" NaN\n", "missing"),
    ("[object Object]", "missing"),
    ("#REF!", "missing"),
    ("#N/A", "missing"),
    ("[deleted]", "missing"),
    ("Question: why?\nContext: nan\nAnswer:", "missing"),
    ("Name: undefined", "missing"),
    ("First this.\\nThen that.\\nAnd more", "escaped"),
    (r"It costs twice as much as it did in the year before\nThat is all there is to say.", "escaped"),
    (r"Caf\u00e9 and na\u00efve", "escaped"),
    ("Dear {name}, we thank you.", "placeholder"),
    ("Your order {{ order_number }} is on its way", "placeholder"),
    ("Hello {{Customer Name}}!", "placeholder"),
    ("Best regards,\n[Your Name]", "placeholder"),
    ("It begins on [Insert Date Here].", "placeholder"),
    ("It is done.<|im_end|>", "markers"),
    ("[INST] why [/INST]", "markers"),
    ("It is done.</s>", "markers"),
    ("So<pad><pad><pad>", "markers"),
    ("Ok<start_of_turn>user", "markers"),
    ("<｜begin▁of▁sentence｜>Ok", "markers"),
    ("ĠHelloĠthereĠyou", "markers"),
    ("the caf\ufffd is closed", "lost_letters"),
    ("the caf?s and the na?ve cr?me br?l?e", "lost_letters"),
    ("ét?é et no?ël", "lost_letters"),
    ("an ex-\nample of words that are bro-\nken in two", "broken_words"),
    (f"see {DATA} here", "unbroken"),
    ("So:\npython\nCopy code\nprint(1)", "pasted"),
    ("It is tall【4†source】 and old.", "pasted"),
    ("It is tall【12:0†towers.pdf】.", "pasted"),
    ("It is old. citeturn0search0turn1view2", "pasted"),
    ("It is old. \ue200cite\ue202turn0search0\ue201", "pasted"),
    ("So.\nRegenerate response", "pasted"),
    ("<image>\nWhat is on it?", "media"),
    ("Look at <image_2>.", "media"),
    ("It is so.\n\nUser: And then?\nAssistant: Then", "next_turn"),
    ("It is so.\n### Instruction:\nTell a joke", "next_turn"),
    ("It is so.\n**Human:** And then?", "next_turn"),
    ("b'It is so.'", "printed"),
    ("['It is so, and nobody minds that.']", "printed"),
    ("<app.Answer object at 0x7f2a>", "printed"),
]
WHOLE = [
    "Nan came to tea.",
    "My gran, or nan",
    "Allergies: None",
    "The result is undefined",
    "She said: never mind!",
    'print("a\\nb\\nc")',
    "def f():\n    return '\\n'.join(x)",
    r"the gradient \nabla f \neq 0 and \nu and \theta, as the books have it in every chapter",
    r"C:\new\users and \\nas01\share\notes with all the files of the last year in them",
    '{"text": "one\\nTwo\\nThree"}',
    'print(f"Hello {name}")',
    "awk '{ print }' file\nfor (x of y) { z }",
    "{a, b, c} is a set",
    r"\frac{alpha}{beta}",
    "const x = {name};\n",
    "see [the docs](http://x.y) and [Smith et al.]",
    "[Verse 1]\nla la",
    "[NAME] met [NAME]",
    "a <b> and <strong>c</strong>",
    "<div class='x'>y</div>",
    "really?yes",
    "http://x.y/a?b=c&d?e=f",
    "colou?r",
    "‘what?’ and ‘who?’ they ask",
    "well-\nknown",
    "- one\n- two-\n- three",
    "_" * 300,
    "ACGT" * 80,
    "https://example.org/" + "abc/" * 80,
    "User: is a word",
    "Our users:\nthey wait",
    "['a', 'b', 'c']",
    "b is a letter'",
    "Is it so? Or so? Who knows?",
    "ŁĄKA, Ċ and Ġ",
    "<video src='x'>",
    "Copy code from there.",
    "Regenerate responses with care\nChatGPT said that it is so.",
    "He died in 1912† and 【so】 on; cite their turns, citeturns and more",
    "Was this so?",
]


def flags(text: str, *, answer: bool = True) -> list[str]:
    seen = damage.look(pa.array([text], pa.large_string()), np.array([answer]))
    return [name for name, found in zip(damage.NAMES, seen, strict=True) if found[0]]


@pytest.mark.parametrize(("text", "flag"), DAMAGED)
def test_what_a_machine_left(text: str, flag: str) -> None:
    assert flags(text) == [flag]


@pytest.mark.parametrize("text", WHOLE)
def test_what_people_write(text: str) -> None:
    assert flags(text) == []


@pytest.mark.parametrize("text", ["It is so.\nUser: And then?", "b'It is so.'"])
def test_what_only_an_answer_should_not_hold(text: str) -> None:
    assert flags(text, answer=False) == []


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.one_of(
            st.sampled_from([text for text, _ in DAMAGED] + WHOLE),
            st.text("nau{}[]<>|\\\n:-? é\ufffdĠ▁b'Y", max_size=40),
            st.none(),
        ),
        max_size=8,
    )
)
def test_a_text_is_told_by_itself(texts: list[str | None]) -> None:
    every = damage.look(pa.array(texts, pa.large_string()), np.ones(len(texts), np.bool_))
    alone = [flags(text or "") for text in texts]
    for at, own in enumerate(alone):
        assert [name for name, found in zip(damage.NAMES, every, strict=True) if found[at]] == own


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 1000), st.integers(1, 60), st.sampled_from([text for text, _ in DAMAGED]))
def test_text_without_signs_is_whole(seed: int, words: int, text: str) -> None:
    assert flags(story(seed, words)) == []
    assert flags(f"{story(seed, words)}. {text.strip()}"[:0] + story(seed, words)) == []


LONG = "I am sorry, I could not do that."


@pytest.mark.parametrize(
    ("said", "repeated"),
    [
        (["Why?", LONG, "Again?", LONG], True),
        (["Why?", LONG, "Again?", LONG.upper()], False),
        (["Why?", "No.", "Again?", "No."], False),
        ([f"{LONG} Why?", "Well.", "Please do so for me now.", "Please do so for me now."], True),
        (["Please do so for me now.", "Well.", "Please do so for me now.", "Yes."], False),
        (["Why?", LONG], False),
    ],
)
def test_an_answer_that_was_given_before(said: list[str], repeated: bool) -> None:
    turns = [(("user", "assistant")[at % 2], text) for at, text in enumerate(said)]
    other = [("user", "Why?"), ("assistant", LONG)]
    found = traits.apply(table(other, turns, other), Config())["traits"].to_pylist()
    assert ["repeated_turn" in row["flags"] for row in found] == [False, repeated, False]


@pytest.mark.parametrize(
    ("answer", "own"),
    [
        ("Hello! I'm Claude, made by Anthropic.", True),
        ("我是ChatGPT，很高兴认识你。", True),
        ("As a model trained by OpenAI, I do.", True),
        ("OpenAI made ChatGPT, and Anthropic made Claude.", False),
        ("My name is Claudette.", False),
    ],
)
def test_an_answer_that_says_whose_model_it_is(answer: str, own: bool) -> None:
    found = traits.apply(table([("user", "Who are you?"), ("assistant", answer)]), Config())
    assert ("identity" in found["traits"][0].as_py()["flags"]) == own


def test_markup_of_a_page_is_no_placeholder() -> None:
    page = "The town {{citation needed}} is old, as {{Infobox town}} says."
    assert traits.apply(text_table([page]), Config())["traits"][0].as_py()["flags"] == []
    assert flags(page) == ["placeholder"]


def test_rows_are_flagged_by_any_turn_but_what_tools_say() -> None:
    rows = [
        [("user", "Dear {name}, why?"), ("assistant", "So.")],
        [
            ("user", "Why?"),
            ("assistant", "It is so.\nUser: And then?"),
            ("user", "Go on"),
            ("assistant", "No."),
        ],
        [("user", "Why?\nUser: me"), ("assistant", "It is so, and long.")],
        [("user", "Why?"), ("tool", "nan"), ("assistant", "It is so, and long.")],
        [("user", "Why?"), ("assistant", "Error: Rate limit reached for this model. Try again in 6ms.")],
        [("user", "What is a rate limit?"), ("assistant", "A rate limit is " + story(1, 80))],
    ]
    found = traits.apply(table(*rows), Config())["traits"].to_pylist()
    told = [[flag for flag in row["flags"] if flag in (*damage.NAMES, "error")] for row in found]
    assert told == [["placeholder"], ["next_turn"], [], [], ["error"], []]
