"""Each turn learned once, behind what the model is given when it answers."""

from typing import Any

import pytest

from headrace.pipelines import schema, structure
from headrace.pipelines.stages.tokenise import stage as tokenise
from headrace.pipelines.stages.tokenise import whole
from headrace.pipelines.stages.tokenise.tokenizer import Tokenizer
from tests.builders import Turn, table
from tests.pipelines.stages.tokenise import zoo
from tests.pipelines.stages.tokenise.zoo import FAMILIES, PROMPT, ROLES, STRIPPED, THINKING, Family


def mused(n: int) -> Turn:
    return "assistant", f"<think>\nmuse {n}\n</think>\n\nsay {n}"


CHAT: list[Turn] = [
    *(("system", "be terse."), ("user", "ask 1"), mused(1), ("user", "ask 2"), ("assistant", "say 2")),
    *(("user", "ask 3"), mused(3)),
]
# No special token stands between its turns: one stretch of text holds several.
PLAIN = Family(
    THINKING
    + ROLES
    + "{% if m.role == 'assistant' %}ASSISTANT:"
    + STRIPPED
    + "{% if mused and loop.index0 > ns.last %} <think>\n{{ mused }}\n</think>\n\n{% endif %} {{ text }}\n"
    "{% else %}USER: {{ m.content }}\n{% endif %}" + PROMPT + "ASSISTANT:{% endif %}",
    (),
    "",
    "</s>",
)
NAMES = ("qwen3", "r1_distill", "harmony", "kimi", "nemotron", "seed", "plain")


@pytest.fixture(scope="module")
def chats(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Tokenizer]:
    family = {**FAMILIES, "plain": PLAIN}
    made = {n: zoo.build(tmp_path_factory.mktemp("zoo"), family[n], earlier="by_turn") for n in NAMES}
    made["keep"] = zoo.build(tmp_path_factory.mktemp("zoo"), FAMILIES["qwen3"])
    return made


def run(
    chat: Tokenizer, *rows: list[Turn], loss: str = "assistant", **config: Any
) -> tuple[list[tuple[str, str]], dict[str, int], list[dict[str, Any]]]:
    """Whole text and learned text of each sample; what was counted; the marked rows."""
    marked, samples = tokenise.apply(table(*rows), tokenise.Config(**config), chat, {"s": loss})
    changes = schema.changes(marked)
    told = dict(zip(changes["kind"].to_pylist(), changes["n"].to_pylist(), strict=True))
    texts = [
        (chat.decode(s["input_ids"]), chat.decode([t for t in s["labels"] if t >= 0]))
        for s in samples.to_pylist()
    ]
    return texts, {k.partition(".")[2]: n for k, n in told.items()}, marked.to_pylist()


def prompt(chat: Tokenizer, rows: list[Turn]) -> str:
    """What the model is given."""
    assert chat.template is not None
    plain = [{"role": str(role), "content": str(content)} for role, content in rows]
    return chat.template.render(whole.spoken(plain, chat).messages(), generation=True)


@pytest.mark.parametrize("name", NAMES)
def test_every_turn_is_learned_once_behind_its_prompt(chats: dict[str, Tokenizer], name: str) -> None:
    chat = chats[name]
    samples, told, _ = run(chat, CHAT)
    learned = [text for _, text in samples]
    for words in ("muse 1", "say 1", "say 2", "muse 3", "say 3"):
        assert sum(text.count(words) for text in learned) == 1, words
    assert not any(f"ask {n}" in text for text in learned for n in (1, 2, 3))
    assert len(samples) == (1 if name == "seed" else 2)
    last, _ = samples[-1]
    asked = prompt(chat, CHAT[:-1])
    assert ("muse 1" in last) == ("muse 1" in asked) == (name == "seed")
    assert told["reasoning_kept"] == 2
    assert "reasoning_behind" not in told
    assert "reasoning_lost" not in told


def test_turns_behind_reasoning_that_is_not_there_are_counted(chats: dict[str, Tokenizer]) -> None:
    samples, told, _ = run(chats["keep"], CHAT)
    assert len(samples) == 1
    assert told == {"reasoning_behind": 2, "reasoning_kept": 2}
    assert run(chats["keep"], CHAT[:3])[1] == {"reasoning_kept": 1}


def test_rows_beside_each_other_do_not_matter(chats: dict[str, Tokenizer]) -> None:
    chat, bare = chats["qwen3"], [("user", "ask"), ("assistant", "say")]
    rows = [CHAT, bare, [("text", "a text")], [*CHAT, ("user", "ask 4")], [("user", "ask"), mused(1)]]
    apart = [sample for row in rows for sample in run(chat, row)[0]]
    assert run(chat, *rows)[0] == apart
    assert len(apart) == 2 + 1 + 1 + 3 + 1  # of the fourth, its last turn ends no sample


def test_calls_in_one_exchange_see_their_reasoning(chats: dict[str, Tokenizer]) -> None:
    call = {"id": "abcdefgh1", "type": "function", "function": {"name": "look", "arguments": {"at": "x"}}}
    calling = str(structure.sealed("<think>\nmuse 1\n</think>\n\n", {"tool_calls": [call]}))
    row: list[Turn] = [
        *(("user", "ask 1"), ("assistant", calling), ("tool", str(structure.sealed("20", {"name": "look"})))),
        *(mused(2), ("user", "ask 3"), mused(3)),
    ]
    samples, told, _ = run(chats["qwen3"], row)
    (first, of_first), (second, of_second) = samples
    assert [n for n in (1, 2, 3) if f"muse {n}" in of_first] == [1, 2]
    assert "look" in of_first
    assert [n for n in (1, 2, 3) if f"muse {n}" in second] == [3]
    assert [n for n in (1, 2, 3) if f"muse {n}" in of_second] == [3]
    assert "say 2" in of_first
    assert "say 2" not in of_second
    assert "ask 3" not in first
    assert told["reasoning_kept"] == 3


@pytest.mark.parametrize("overlong", ["split", "drop", "truncate"])
def test_a_sample_that_is_too_long(chats: dict[str, Tokenizer], overlong: str) -> None:
    row: list[Turn] = [("user", "ask 1"), mused(1), ("user", "ask 2 " + "word " * 60), mused(2)]
    row += [("user", "ask 3"), mused(3)]
    samples, _, (marked,) = run(chats["qwen3"], row, max_length=64, overlong=overlong)
    learned = "".join(text for _, text in samples)
    assert [n for n in (1, 2, 3) if f"muse {n}" in learned] == ([1, 3] if overlong == "split" else [1])
    assert marked["shortened"]
    assert marked["drop"] is None


def test_loss_on_all_learns_each_message_once(chats: dict[str, Tokenizer]) -> None:
    samples, _, _ = run(chats["qwen3"], CHAT, loss="all")
    learned = "".join(text for _, text in samples)
    for words in ("be terse.", "ask 1", "muse 1", "say 1", "ask 2", "say 2", "ask 3", "muse 3", "say 3"):
        assert learned.count(words) == 1, words


def test_the_words_of_the_recipe() -> None:
    assert tokenise.Config(reasoning="by_turn").reasoning.earlier == "by_turn"  # type: ignore[arg-type]
    assert tokenise.Config().reasoning.model_dump() == {"earlier": "keep", "style": "as_written"}
