"""Sample answers: no mark of a template is shown, and wins, losses and surprises are told apart."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.pipelines.report import answers


@pytest.mark.parametrize(
    ("prompt", "turns"),
    [
        (
            "<|im_start|>system\nBe short.<|im_end|>\n"
            "<|im_start|>user\nHello <b>\n<|im_end|>\n<|im_start|>assistant\n",
            [("system", "Be short."), ("user", "Hello <b>")],
        ),
        (
            "<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|>"
            "<|start_header_id|>assistant<|end_header_id|>\n\n",
            [("user", "Hi")],
        ),
        ("<bos><start_of_turn>user\nHi<end_of_turn>\n<start_of_turn>model\n", [("user", "Hi")]),
        (
            "<|user|>\nHi<|end|>\n<|assistant|>\nHo<|end|>\n<|user|>\nBye<|end|>",
            [("user", "Hi"), ("assistant", "Ho"), ("user", "Bye")],
        ),
        ("<s>[INST] Hi [/INST]", [("user", "Hi")]),
        ("Question: Hi\nAnswer:", [("prompt", "Question: Hi\nAnswer:")]),
        ("a list[INSTANCE] and x < y |> z", [("prompt", "a list[INSTANCE] and x < y |> z")]),
    ],
)
def test_a_prompt_is_shown_as_its_turns(prompt: str, turns: list[tuple[str, str]]) -> None:
    assert [tuple(turn) for turn in answers.turns(prompt)] == turns


@given(st.text(alphabet="ab<|>_/[]\n imstarendINSTus", max_size=80))
def test_no_mark_is_left_whatever_the_text(text: str) -> None:
    shown = answers.turns(f"<|im_start|>user\n{text}<|im_end|>")
    assert all("<|im_end|>" not in turn.text and "<|im_start|>" not in turn.text for turn in shown)


def sample(reference: str, base: str, tuned: str) -> dict[str, str]:
    return {"prompt": "p", "reference": reference, "base": base, "tuned": tuned}


def test_wins_losses_and_surprises_are_told_apart() -> None:
    found = answers.view(
        {
            "samples": [
                sample("delivery late", "no idea", "delivery late"),
                sample("delivery late", "delivery late", "refund"),
                sample("delivery late", "x", "the moon is made of cheese"),
                sample("delivery late", "delivery late", "delivery late"),
                *[sample("a b c", "d", "a b c")] * 4,
            ]
        }
    )
    assert found is not None
    assert [(kind, many, len(shown)) for kind, _, shown, many in found["kinds"]] == [
        ("won", 5, 3),
        ("lost", 1, 1),
        ("surprise", 1, 1),
        ("even", 1, 1),
    ]
    assert found["kept"] == 8
    assert [one.times for _, _, shown, _ in found["kinds"] for one in shown] == [2, 4, 4, 1, 1, 2]
    assert answers.view({}) is None


def test_long_texts_are_cut_and_say_so() -> None:
    assert answers.cut("x" * 1300) == "x" * 1200 + " … 100 characters more"
