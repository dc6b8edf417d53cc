"""Reasoning told apart from answers: every form, balanced or not, and texts that only talk about tags."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.pipelines.stages.tokenise.config import STYLES
from headrace.pipelines.stages.tokenise.reasoning.traces import FORMS, trace, written
from headrace.pipelines.stages.traits.form import OPEN

FENCE = "```"


@pytest.mark.parametrize(
    ("text", "form", "reasoning", "answer"),
    [
        ("<think>\nhm\n</think>\n\nyes", "think", "\nhm\n", "\n\nyes"),
        ("\n<THINK>hm</THINK>yes", "think", "hm", "yes"),
        ("<seed:think>hm</seed:think>yes", "think", "hm", "yes"),
        ("<thinking>hm</thinking> yes", "thinking", "hm", " yes"),
        ("<reasoning>hm</reasoning>yes", "reasoning", "hm", "yes"),
        ("<think> a short one </think> and so it is", "think", " a short one ", " and so it is"),
        ("<Thought>hm</Thought>yes", "thought", "hm", "yes"),
        ("<thoughts>hm</thoughts>yes", "thought", "hm", "yes"),
        ("<|begin_of_thought|>hm<|end_of_thought|>yes", "thought", "hm", "yes"),
        ("[THINK]hm[/THINK]yes", "mistral", "hm", "yes"),
        ("<|channel|>analysis<|message|>hm<|end|><|channel|>final<|message|>yes", "channel", "hm", "yes"),
        (
            "<|start|>assistant<|channel|>analysis<|message|>hm<|end|><|start|>assistant<|channel|>final"
            "<|message|>yes<|return|>",
            "channel",
            "hm",
            "yes<|return|>",
        ),
        ("<think>\n\n</think>\n\nyes", "think", "\n\n", "\n\nyes"),
    ],
)
def test_every_form(text: str, form: str, reasoning: str, answer: str) -> None:
    found = trace(text)
    assert found is not None
    assert (found.form, found.reasoning, found.answer) == (form, reasoning, answer)
    assert (found.balanced, found.clear, found.empty) == (True, True, not reasoning.strip())


@pytest.mark.parametrize(
    ("text", "clear", "answer"),
    [
        ("hm\n</think>\n\nyes", True, "\n\nyes"),
        ("hm.</think>\n\nyes", True, "\n\nyes"),
        ("<think>hm</thinking>yes", True, "yes"),
        ("<Thought>hm\n<Output>yes</Output>", True, "\n<Output>yes</Output>"),
        ("<think>\nhm and no end", False, ""),
        ("<think>a<think>b</think>c", False, "c"),
        ("<think>a</think>b</think>c", False, "b</think>c"),
        ("<think>a</think>b<think>c</think>d", False, "b<think>c</think>d"),
    ],
)
def test_what_is_not_balanced(text: str, clear: bool, answer: str) -> None:
    found = trace(text)
    assert found is not None
    assert (found.balanced, found.clear, found.answer) == (False, clear, answer)


@pytest.mark.parametrize(
    "text",
    [
        "as a word, <think> opens and </think> closes it",
        "<think> opens a block and </think> closes it",
        "<think> und </think> sind Marken",
        "<think>, </think>: two tags",
        "write </think> to end it",
        "it ends with `</think>`\n\nand then the answer comes",
        "`<think>` begins a block",
        f"{FENCE}\n<think>\nhm\n</think>\nyes\n{FENCE}",
        f"so:\n{FENCE}xml\nhm\n</think>\n{FENCE}\n",
        "<html>a</html>",
        "the <reasoning> element and its </reasoning> are XML",
        "<thinker>hm</thinker>",
        "",
    ],
)
def test_texts_that_talk_about_tags_stay(text: str) -> None:
    assert trace(text) is None


@pytest.mark.parametrize(
    ("text", "form", "wanted"),
    [
        ("<Thought>\nhm\n</Thought>\n<Output>\nyes\n</Output>", "think", "<think>\nhm\n</think>\n\nyes"),
        ("<thinking>hm</thinking> yes", "mistral", "[THINK]\nhm\n[/THINK]\n\n yes"),
        (
            "<|channel|>analysis<|message|>hm<|end|><|channel|>final<|message|>yes<|return|>",
            "think",
            "<think>\nhm\n</think>\n\nyes",
        ),
        ("<Thought>hm</Thought>yes <Output> no", "think", "<think>\nhm\n</think>\n\nyes <Output> no"),
    ],
)
def test_written_in_another_form(text: str, form: str, wanted: str) -> None:
    found = trace(text)
    assert found is not None
    assert written(found, form) == wanted


WORDS = st.text(st.sampled_from("ab .\n漢"), min_size=1).filter(lambda text: bool(text.strip()))


@given(
    reasoning=WORDS,
    answer=WORDS,
    form=st.sampled_from([f for f in FORMS if f != "channel"]),
    to=st.sampled_from([f for f in FORMS if f != "channel"]),
)
def test_no_word_is_lost(reasoning: str, answer: str, form: str, to: str) -> None:
    begins, ends = FORMS[form]
    found = trace(f"{begins}\n{reasoning}\n{ends}\n\n{answer}")
    assert found is not None
    again = trace(written(found, to))
    assert again is not None
    assert (again.form, again.reasoning.strip("\n"), again.answer.lstrip("\n")) == (
        to,
        reasoning.strip("\n"),
        answer.lstrip("\n"),
    )


def test_the_forms_have_the_same_names_everywhere() -> None:
    assert list(FORMS) == list(OPEN) == list(STYLES)
