"""Every form of chat template with conversations of agents: several calls, loops, reasoning before a call."""

from pathlib import Path
from typing import Any

import pytest

from headrace.pipelines.stages.tokenise.tokenizer import Tokenizer
from tests.pipelines.stages.tokenise import zoo
from tests.pipelines.stages.tokenise.chats import spans
from tests.pipelines.stages.tokenise.zoo import Family, build
from tests.pipelines.stages.tokenise.zoo_others import OTHERS
from tests.pipelines.stages.tokenise.zoo_recent import RECENT
from tests.pipelines.stages.tokenise.zoo_rows import TOOLS, marked_of, rendered, same, tokenised

FAMILIES = {**zoo.FAMILIES, **OTHERS, **RECENT}
OTHERS_WORDS = ("is it warm?", "21 degrees", "3 below", "12:00", "sure?", "and oslo?", "tells it", "be terse")


@pytest.fixture(scope="module")
def families(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Tokenizer]:
    return {name: build(tmp_path_factory.mktemp("zoo"), family) for name, family in FAMILIES.items()}


def call(number: int, name: str, **arguments: Any) -> dict[str, Any]:
    function = {"name": name, "arguments": arguments}
    return {"id": f"abcdefgh{number}", "type": "function", "function": function}


def said(text: str, *calls: dict[str, Any], mused: str = "") -> dict[str, Any]:
    more = {"tool_calls": list(calls)} if calls else {}
    return {"role": "assistant", "content": text, **more, **({"reasoning_content": mused} if mused else {})}


def result(number: int, name: str, text: str) -> dict[str, Any]:
    return {"role": "tool", "name": name, "tool_call_id": f"abcdefgh{number}", "content": text}


def asked(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


ROME, OSLO = call(1, "weather", city="Rome", days=2), call(2, "weather", city="Oslo", days=3)
NOON, NOW = call(3, "clock", zone="utc"), call(4, "clock")
LOOKED = [asked("is it warm?"), said("", ROME), result(1, "weather", "21 degrees")]
CHATS = {
    "loop": [*LOOKED, said("", NOON), result(3, "clock", "12:00"), said("it is warm by day.")],
    "parallel": [
        asked("is it warm?"),
        said("", ROME, OSLO),
        result(1, "weather", "21 degrees"),
        result(2, "weather", "3 below"),
        said("rome is warmer."),
    ],
    "with words": [asked("is it warm?"), said("let me look.", ROME), LOOKED[2], said("it is warm.")],
    "and on": [*LOOKED, said("it is warm."), asked("sure?"), said("quite sure.")],
    "at the end": LOOKED[:2],
    "twice": [
        *LOOKED,
        said("it is warm."),
        asked("and oslo?"),
        said("", OSLO),
        result(2, "weather", "3 below"),
        said("it is cold."),
    ],
    "told": [{"role": "system", "content": "be terse."}, *LOOKED, said("it is warm.")],
    "without arguments": [
        asked("is it warm?"),
        said("", NOW),
        result(4, "clock", "12:00"),
        said("it is day."),
    ],
}


def learned_of_others(learned: list[str]) -> list[str]:
    text = "".join(learned).casefold()
    return [words for words in OTHERS_WORDS if words in text]


def ends_as(family: Family, messages: list[dict[str, Any]], number: int) -> tuple[str, ...]:
    """What the turn `number` of the assistant may end with."""
    turns = [m for m in messages if m["role"] == "assistant"]
    calls, last = bool(turns[number].get("tool_calls")), number + 1 == len(turns)
    if not calls:
        return (family.ends[last].strip(),)
    called = family.called or family.end.strip()
    return (called, family.ends[1].strip(), "</s>", "</call>") if last else (called,)


@pytest.mark.parametrize("kind", CHATS)
@pytest.mark.parametrize("name", FAMILIES)
def test_calls_are_learned_with_their_end_and_what_is_lost_is_told(
    families: dict[str, Tokenizer], name: str, kind: str
) -> None:
    chat, family, messages = families[name], FAMILIES[name], CHATS[kind]
    wanted = rendered(chat, messages, TOOLS)
    sample, told = tokenised(chat, messages, TOOLS)
    turns = [m for m in messages if m["role"] == "assistant"]
    if sample is None:
        assert wanted is None or told["calls_lost"] == sum(len(m.get("tool_calls", ())) for m in turns)
        return
    assert wanted is None or same(chat, sample, wanted)
    learned = spans(chat, sample)
    text = "".join(learned).casefold()
    assert learned_of_others(learned) == []
    words = [m["content"] for m in messages if m["role"] in ("assistant", "system") and m["content"]]
    there = chat.decode(sample["input_ids"]).casefold()
    assert told.get("texts_lost", 0) == sum(one not in there for one in words)
    assert all(m["content"] in text for m in turns) or told.get("texts_lost")
    cities = [a for m in turns for c in m.get("tool_calls", ()) for a in c["function"]["arguments"].values()]
    found = sum(str(value).casefold() in text for value in cities)
    assert found == len(cities) or told["calls_lost"]
    if not told.get("calls_lost"):
        assert len(learned) == len(turns)
        for number, span in enumerate(learned):
            assert span.rstrip().endswith(ends_as(family, messages, number)), span


MUSED = [
    asked("is it warm?"),
    said("", ROME, mused="i must ask."),
    LOOKED[2],
    said("it is warm.", mused="that is a lot."),
]


@pytest.mark.parametrize("more", [[], [asked("sure?"), said("quite sure.", mused="i saw it.")]])
@pytest.mark.parametrize("name", FAMILIES)
def test_reasoning_before_a_call_is_learned(
    families: dict[str, Tokenizer], name: str, more: list[dict[str, Any]]
) -> None:
    chat, messages = families[name], [*MUSED, *more]
    sample, told = tokenised(chat, messages, TOOLS)
    if sample is None:
        assert rendered(chat, messages, TOOLS) is None
        return
    learned = spans(chat, sample)
    text = "".join(learned).casefold()
    assert learned_of_others(learned) == []
    places = [text.index(m["reasoning_content"]) for m in messages if "reasoning_content" in m]
    assert places == sorted(places)
    assert (told["reasoning_kept"], told.get("reasoning_lost", 0)) == (len(places), 0)
    if not told.get("calls_lost"):
        assert len(learned) == len(places)
        assert places[0] < text.index("rome") < places[1]


@pytest.mark.parametrize("unlearned", [0, 1])
@pytest.mark.parametrize("between", [[asked("sure?")], []])
@pytest.mark.parametrize("name", FAMILIES)
def test_a_turn_that_is_not_learned_leaves_the_next_as_it_is(
    families: dict[str, Tokenizer], name: str, between: list[dict[str, Any]], unlearned: int
) -> None:
    chat = families[name]
    turns = [said("first words."), said("second words.")]
    wanted, _ = tokenised(chat, [asked("hello?"), turns[0], *between, turns[1]])
    turns[unlearned]["weight"] = 0
    sample, _ = tokenised(chat, [asked("hello?"), turns[0], *between, turns[1]])
    if wanted is None or (name == "inline_results" and not between):  # two turns are one there
        assert (sample is None) == (wanted is None)
        return
    assert sample is not None
    assert sample["input_ids"] == wanted["input_ids"]
    whole = "".join(spans(chat, wanted))
    (learned,) = spans(chat, sample)
    kept, gone = ("second", "first") if unlearned == 0 else ("first", "second")
    assert kept in learned.casefold()
    assert gone not in learned.casefold()
    assert learned in whole
    if unlearned == 0:
        alone, _ = tokenised(chat, [asked("hello?"), turns[1]])
        assert alone is not None
        assert learned == spans(chat, alone)[0]


def test_turns_whose_text_the_template_leaves_out_are_counted(tmp_path: Path) -> None:
    deaf = Family(
        "{% for m in messages if m.role != 'system' %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n"
        "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}",
        zoo.CHATML,
        "<|im_end|>",
    )
    chat = build(tmp_path, deaf)
    plain = [{"role": "system", "content": "be terse."}, asked("hello?"), said("good day.")]
    sample, told = tokenised(chat, plain)
    assert sample is not None
    assert told == {"texts_lost": 1}
    _, told = tokenised(chat, plain[1:])
    assert told == {}


def test_rows_that_hold_calls_alone_have_a_reason_of_their_own(families: dict[str, Tokenizer]) -> None:
    chat = families["chatml"]  # it has no form for calls
    marked, samples = marked_of(chat, LOOKED[:2])
    assert (marked["drop"].to_pylist(), samples.num_rows) == (["tokenise.only_calls"], 0)
    marked, samples = marked_of(chat, CHATS["with words"])
    assert (marked["drop"].to_pylist(), samples.num_rows) == ([None], 1)
    marked, _ = marked_of(chat, [asked("hello?")])
    assert marked["drop"].to_pylist() == ["tokenise.no_target"]
