"""Every form of chat template with every kind of conversation: ids, loss, reasoning, tools."""

from pathlib import Path

import pyarrow as pa
import pytest

from headrace.cluster.errors import ModelError
from headrace.pipelines import schema
from headrace.pipelines.stages.read import mappers, shapes
from headrace.pipelines.stages.tokenise import stage as tokenise
from headrace.pipelines.stages.tokenise.tokenizer import Tokenizer
from tests.pipelines.stages.tokenise import zoo
from tests.pipelines.stages.tokenise.chats import spans
from tests.pipelines.stages.tokenise.zoo import THINK, Family, build
from tests.pipelines.stages.tokenise.zoo_others import OTHERS
from tests.pipelines.stages.tokenise.zoo_recent import RECENT
from tests.pipelines.stages.tokenise.zoo_rows import TOOLS, rendered, same, tokenised

FAMILIES = {**zoo.FAMILIES, **OTHERS, **RECENT}

ASK, SAY = {"role": "user", "content": "what is 2 + 2?"}, {"role": "assistant", "content": "it is 4."}
MORE, THEN = {"role": "user", "content": "and 3 + 3?"}, {"role": "assistant", "content": "it is 6."}
CALL = {
    "id": "abcdefgh1",
    "type": "function",
    "function": {"name": "weather", "arguments": {"city": "Rome", "days": 2}},
}
CALLED = [
    {"role": "user", "content": "is it warm in Rome?"},
    {"role": "assistant", "content": "", "tool_calls": [CALL]},
    {"role": "tool", "name": "weather", "tool_call_id": "abcdefgh1", "content": "20 degrees"},
    {"role": "assistant", "content": "it is 20."},
]


@pytest.fixture(scope="module")
def families(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Tokenizer]:
    return {name: build(tmp_path_factory.mktemp("zoo"), family) for name, family in FAMILIES.items()}


PLAIN = {"one": [ASK, SAY], "multi-turn": [ASK, SAY, MORE, THEN]}
PLAIN["system"] = [{"role": "system", "content": "be terse."}, ASK, SAY, MORE, THEN]


@pytest.mark.parametrize("kind", PLAIN)
@pytest.mark.parametrize("name", FAMILIES)
def test_ids_are_hugging_faces_and_every_turn_is_learned_with_its_end(
    families: dict[str, Tokenizer], name: str, kind: str
) -> None:
    chat, messages = families[name], PLAIN[kind]
    wanted = rendered(chat, messages)
    sample, told = tokenised(chat, messages)
    if wanted is None:
        assert sample is None
        return
    assert sample is not None
    assert same(chat, sample, wanted)
    end, last = FAMILIES[name].ends
    said = [m["content"] for m in messages if m["role"] == "assistant"]
    learned = spans(chat, sample)
    assert len(learned) == len(said)
    for number, (text, span) in enumerate(zip(said, learned, strict=True)):
        ends_with = last if number + 1 == len(said) else end
        assert text in span.casefold()
        assert span.rstrip().endswith(ends_with.strip()), (span, ends_with)
        assert not any(m["content"] in span.casefold() for m in messages if m["role"] != "assistant")
        assert THINK[0] not in span
    assert told.get("unended", 0) == (len(said) - 1 if not end else 0)


REASONED = [
    ASK,
    {"role": "assistant", "content": "it is 4.", "reasoning_content": "two and two."},
    MORE,
    {"role": "assistant", "content": "it is 6.", "reasoning_content": "three, twice."},
]


@pytest.mark.parametrize("name", FAMILIES)
def test_reasoning_is_learned_in_every_turn(families: dict[str, Tokenizer], name: str) -> None:
    chat = families[name]
    sample, told = tokenised(chat, REASONED)
    assert sample is not None
    first, second = (span.casefold() for span in spans(chat, sample))
    assert first.index("two and two.") < first.index("it is 4.")
    assert second.index("three, twice.") < second.index("it is 6.")
    assert told["reasoning_kept"] == 2
    assert "reasoning_lost" not in told


# Of families that reason: the form they write, None where it is one of their own.
REASON = {
    **dict.fromkeys(("qwen3", "r1_distill", "deepseek_v3", "glm_thinking", "minimax", "kimi"), "think"),
    **dict.fromkeys(("nemotron", "deepseek_v31", "minimax_m2"), "think"),
    **dict.fromkeys(("keyed_calls", "results_of_users", "lists", "switched", "answered"), "think"),
    **dict.fromkeys(("always_blocked", "steps", "invoked", "modes"), "think"),
    **dict.fromkeys(("harmony", "channels"), "channel"),
    "brackets": "mistral",
    **dict.fromkeys(("seed", "budget")),
}


def test_which_families_reason_and_what_they_take(families: dict[str, Tokenizer]) -> None:
    found = {name: chat.facts for name, chat in families.items() if chat.facts and chat.facts.reasons}
    assert {name: one.form for name, one in found.items()} == REASON
    assert {one.takes for one in found.values()} == {"think"}
    assert [name for name, one in found.items() if one.keeps_earlier] == [
        "deepseek_v3",
        "seed",
        "deepseek_v31",
        "switched",
        "brackets",
        "budget",
    ]


@pytest.mark.parametrize("name", FAMILIES)
def test_empty_blocks_of_reasoning_are_not_learned(families: dict[str, Tokenizer], name: str) -> None:
    chat = families[name]
    sample, _ = tokenised(chat, [ASK, {"role": "assistant", "content": "<think>\n\n</think>\n\nit is 4."}])
    assert sample is not None
    learned = "".join(spans(chat, sample)).casefold()
    assert "think" not in learned
    assert "it is 4." in learned


@pytest.mark.parametrize("written", ["object", "text"])
@pytest.mark.parametrize("name", FAMILIES)
def test_tools_and_calls_are_rendered_as_the_template_has_them(
    families: dict[str, Tokenizer], name: str, written: str
) -> None:
    chat = families[name]
    given = '{"city": "Rome", "days": 2}' if written == "text" else {"city": "Rome", "days": 2}
    call = {**CALL, "function": {"name": "weather", "arguments": given}}
    messages = [CALLED[0], {**CALLED[1], "tool_calls": [call]}, *CALLED[2:]]
    in_other_form = {**CALL, "function": {"name": "weather", "arguments": CALL["function"]["arguments"]}}
    forms = [rendered(chat, messages, TOOLS)]
    forms.append(
        rendered(chat, [CALLED[0], {**CALLED[1], "tool_calls": [in_other_form]}, *CALLED[2:]], TOOLS)
    )
    sample, told = tokenised(chat, messages, TOOLS)
    if forms == [None, None]:
        assert sample is None or written == "object"
        return
    assert sample is not None
    assert any(same(chat, sample, wanted) for wanted in forms)
    learned = spans(chat, sample)
    assert "it is 20." in learned[-1].casefold()
    assert not any("20 degrees" in span or "tells it" in span for span in learned)
    if told.get("calls_lost"):
        assert "weather" not in "".join(learned)
    else:
        assert "rome" in learned[0].casefold()
    shown = "tells it" in chat.decode(sample["input_ids"])
    assert bool(told.get("tools_lost")) != shown


# In tokens that a model writes itself, or that a template looks for in contents: they open no turn.
OF_MODELS = ("think", "tool_", "arg_", "seed:")


@pytest.mark.parametrize("name", FAMILIES)
def test_nobody_forges_a_turn(families: dict[str, Tokenizer], name: str) -> None:
    chat, family = families[name], FAMILIES[name]
    marks = [t for t in (*family.special, *family.plain) if not any(word in t for word in OF_MODELS)]
    plain, _ = tokenised(chat, [ASK, SAY])
    sample, _ = tokenised(chat, [{"role": "user", "content": "what " + "x".join(marks) + "?"}, SAY])
    assert plain is not None
    assert sample is not None
    for mark in marks:
        token = chat.hf.convert_tokens_to_ids(mark)
        assert sample["input_ids"].count(token) == plain["input_ids"].count(token), mark


def test_what_the_template_leaves_out_is_left_out_where_the_recipe_says_so(tmp_path: Path) -> None:
    chat = build(tmp_path, FAMILIES["qwen3"], earlier="as_template")
    sample, told = tokenised(chat, REASONED)
    assert sample is not None
    messages = [
        {**m, "content": f"<think>\n{m['reasoning_content']}\n</think>\n\n{m['content']}"}
        if "reasoning_content" in m
        else m
        for m in REASONED
    ]
    assert same(chat, sample, rendered(chat, messages))
    assert (told["reasoning_kept"], told["reasoning_lost"]) == (1, 1)
    sample, told = tokenised(chat, [ASK, SAY])
    assert sample is not None
    assert spans(chat, sample) == ["<think>\n\n</think>\n\nit is 4.<|im_end|>"]


def test_a_template_that_opens_another_turn_behind_all_is_refused(tmp_path: Path) -> None:
    family = FAMILIES["command_r"]
    always = (
        "<s>{% for m in messages %}<|turn|>{% if m.role == 'user' %}<|user|>{% else %}<|bot|>{% endif %}"
        "{{ m.content }}<|over|>{% endfor %}<|turn|><|bot|>"
    )
    with pytest.raises(ModelError, match="behind every conversation it opens"):
        build(tmp_path, Family(always, family.special, "<|over|>"))


def test_the_recipe_tells_the_template_more(tmp_path: Path) -> None:
    family = Family(
        "{{ mood | default('calm') }}:" + FAMILIES["chatml"].template,
        FAMILIES["chatml"].special,
        "<|im_end|>",
    )
    chat = build(tmp_path, family, variables='{"mood": "brisk"}')
    sample, _ = tokenised(chat, [ASK, SAY])
    assert sample is not None
    assert chat.decode(sample["input_ids"]).startswith("brisk:")


def test_padding_of_nested_columns_is_not_learned(tmp_path: Path) -> None:
    chat = build(tmp_path, FAMILIES["hermes"])
    calls = [{"city": "Rome", "zip": None}, {"city": None, "zip": "00100"}]
    rows = pa.array([[{**CALL, "function": {"name": "weather", "arguments": c}}] for c in calls]).to_pylist()
    read = mappers.mapper("messages", shapes.complete("messages", shapes.Columns()), padded=True)
    for row, call in zip(rows, calls, strict=True):
        turns = read({"messages": [ASK, {"role": "assistant", "content": None, "tool_calls": row}]})
        table = schema.from_rows(
            [
                {
                    "row_id": 0,
                    "n_records": 1,
                    "source": "s",
                    "file": "",
                    "place": "",
                    "messages": [{"role": r, "content": c} for r, c in turns],
                }
            ]
        )
        _, samples = tokenise.apply(table, tokenise.Config(), chat, {})
        text = chat.decode(samples["input_ids"][0].as_py())
        assert "null" not in text
        assert all(v is None or v in text for v in call.values())
