"""Reasoning put into the model's own form, and what a template does with reasoning."""

import re
from pathlib import Path
from typing import Any

import pytest

from headrace.pipelines import structure
from headrace.pipelines.stages.tokenise import stage as tokenise
from headrace.pipelines.stages.tokenise.config import Reasoning
from headrace.pipelines.stages.tokenise.proof import prove
from headrace.pipelines.stages.tokenise.reasoning import style
from headrace.pipelines.stages.tokenise.reasoning.facts import Facts, facts
from headrace.pipelines.stages.tokenise.template import Template
from headrace.pipelines.stages.tokenise.tokenizer import Tokenizer
from tests.builders import table
from tests.pipelines.stages.tokenise import zoo
from tests.pipelines.stages.tokenise.zoo import FAMILIES

OWN = Reasoning(style="own")
NAMES = ("qwen3", "r1_distill", "harmony", "kimi", "seed", "chatml", "mistral_v3", "alpaca")
WRITTEN = {
    "think": "muse 1\n</think>\n\nsay 1",
    "thinking": "<thinking>muse 1</thinking>say 1",
    "reasoning": "<reasoning>\nmuse 1\n</reasoning>\nsay 1",
    "thought": "<Thought>\nmuse 1\n</Thought>\n<Output>\nsay 1\n</Output>",
    "mistral": "[THINK]muse 1[/THINK]say 1",
    "channel": "<|channel|>analysis<|message|>muse 1<|end|><|channel|>final<|message|>say 1<|return|>",
}
CANONICAL = "<think>\nmuse 1\n</think>\n\nsay 1"


@pytest.fixture(scope="module")
def families(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Tokenizer]:
    return {name: zoo.build(tmp_path_factory.mktemp("zoo"), FAMILIES[name]) for name in NAMES}


def run(chat: Tokenizer, *answers: str, **config: Any) -> tuple[list[Any], list[dict[str, int]]]:
    rows = table(*([("user", "ask"), ("assistant", answer)] for answer in answers))
    marked, samples = tokenise.apply(rows, tokenise.Config(**config), chat, {})
    told = [dict(one or ()) for one in marked["changed"].to_pylist()]
    return samples.to_pylist(), told


@pytest.mark.parametrize("name", NAMES)
def test_every_form_comes_out_as_the_models_own(families: dict[str, Tokenizer], name: str) -> None:
    chat = families[name]
    assert chat.facts is not None
    samples, told = run(chat, CANONICAL, *WRITTEN.values(), reasoning={"style": "own"})
    if not chat.facts.reasons:  # it has no form of its own: all stays
        assert not any(kind.startswith("tokenise.style") for one in told for kind in one)
        return
    for form, sample, counts in zip(WRITTEN, samples[1:], told[1:], strict=True):
        assert sample["input_ids"] == samples[0]["input_ids"], form
        assert sample["labels"] == samples[0]["labels"], form
        assert counts[f"tokenise.style_{form}"] == 1
        assert counts["tokenise.reasoning_kept"] == 1
    assert told[0] == {"tokenise.reasoning_kept": 1}


def test_nothing_is_converted_unless_the_recipe_says_so(families: dict[str, Tokenizer]) -> None:
    rows = table(*([("user", "ask"), ("assistant", answer)] for answer in WRITTEN.values()))
    assert style.apply(rows, Reasoning(), families["qwen3"].facts) == (rows, {})
    assert style.apply(rows, OWN, None) == (rows, {})


TALKS = (
    "as a word, <think> opens and </think> closes it",
    "```\n<thinking>\nhm\n</thinking>\nyes\n```",
    "write `</thinking>`\n\nto end it",
)
LEFT = (
    "<thinking>hm and no end",
    "<thinking>hm</thinking>yes<thinking>no</thinking>",
    "<thinking>it says <think></thinking>yes",
)


def test_what_stays_is_the_same_row_and_counted_where_it_is_reasoning(families: dict[str, Tokenizer]) -> None:
    turns = [*TALKS, *LEFT, "<think>\nhm\n</think>\n\nyes", "<think>no end", "plain"]
    rows = table(*([("user", text), ("assistant", text)] for text in turns), [("text", WRITTEN["thinking"])])
    after, counts = style.apply(rows, OWN, families["qwen3"].facts)
    assert after.equals(rows)
    told = {kind: n.tolist() for kind, n in counts.items() if n.any()}
    assert told == {"style_left": [0] * 3 + [1] * 3 + [0] * 4}


def test_users_words_nulls_and_calls_stay(families: dict[str, Tokenizer]) -> None:
    calls = {"tool_calls": [{"function": {"name": "look", "arguments": {}}}]}
    rows = table(
        None,
        [],
        [("user", WRITTEN["thinking"]), ("assistant", str(structure.sealed(WRITTEN["thinking"], calls)))],
        [("user", "ask"), ("assistant", None)],
    )
    after, counts = style.apply(rows, OWN, families["qwen3"].facts)
    assert counts["style_thinking"].tolist() == [0, 0, 1, 0]
    assert after["messages"].null_count == 1
    user, said = after["messages"][2].as_py()
    assert user["content"] == WRITTEN["thinking"]
    assert structure.unsealed("assistant", said["content"]) == (CANONICAL, calls)
    assert after.schema == rows.schema


def test_converted_rows_are_proved_as_they_come_out(tmp_path: Path) -> None:
    zoo.build(tmp_path, FAMILIES["qwen3"])
    rows = table(*([("user", "ask"), ("assistant", answer)] for answer in WRITTEN.values()))
    config = tokenise.Config(engine="tokenizers", reasoning=OWN)
    assert not prove(rows, str(tmp_path), config).checked


HEAD = "{% for m in messages %}<|{{ m.role }}|>"
TAIL = "{{ eos_token }}{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}"
STRIPS = (
    HEAD + "{% set c = m.content %}{% if m.role == 'assistant' and not loop.last and '</think>' in c %}"
    "{% set c = c.split('</think>')[-1] %}{% endif %}{{ c }}" + TAIL
)
FIELD = (
    HEAD
    + "{% if m.reasoning_content %}[THINK]{{ m.reasoning_content }}[/THINK]{% endif %}{{ m.content }}"
    + TAIL
)
OPENS = (
    HEAD + "{{ m.content.split('</think>')[-1] }}{{ eos_token }}{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|><think>\n{% endif %}"
)
LOOKS = HEAD + "{{ m.content.split('[/THINK]')[-1] if not loop.last else m.content }}" + TAIL
NONE = HEAD + "{{ m.content }}" + TAIL


@pytest.mark.parametrize(
    ("source", "special", "wanted"),
    [
        (STRIPS, (), Facts(True, "think", "think", False, False, False)),
        (FIELD, (), Facts(True, "mistral", "think", True, False, False)),
        (OPENS, (), Facts(True, "think", "think", False, True, False)),
        (LOOKS, (), Facts(True, "mistral", "mistral", False, False, False)),
        (LOOKS, ("[THINK]",), Facts(True, "mistral", None, False, False, False)),
        (NONE, (), Facts(False, None, None, True, False, False)),
    ],
)
def test_what_a_template_does_is_told_by_rendering_it(
    source: str, special: tuple[str, ...], wanted: Facts
) -> None:
    specials = re.compile("|".join([r"<\|[a-z]+\|>", *map(re.escape, special)]))
    assert facts(Template(source, {"eos_token": "<|end|>"}, specials, edges=False)) == wanted


def test_counts_reach_the_row(families: dict[str, Tokenizer]) -> None:
    _, told = run(families["qwen3"], WRITTEN["thinking"], LEFT[0], reasoning={"style": "own"})
    assert told == [
        {"tokenise.reasoning_kept": 1, "tokenise.style_thinking": 1},
        {"tokenise.reasoning_empty": 1, "tokenise.style_left": 1},
    ]
