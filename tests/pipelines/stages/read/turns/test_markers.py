"""Conversations that lie in one text: parted by markers, told by `init` and `check`, never cut short."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from headrace.cluster.errors import RecipeError
from headrace.pipelines import recipe as recipes
from headrace.pipelines.commands import init
from headrace.pipelines.stages.read import inputs
from headrace.pipelines.stages.read.files import notes
from headrace.pipelines.stages.read.mappers import mapper
from headrace.pipelines.stages.read.records import ReadError
from headrace.pipelines.stages.read.shapes import Columns, complete
from headrace.pipelines.stages.read.source import Source
from headrace.pipelines.stages.read.turns import markers

SAID = [("user", "Where is it?"), ("assistant", "On the left.\n\nBehind the door."), ("user", "And then?")]
TOLD = [*SAID, ("assistant", "Go in.")]
BEFORE = ("system", "Be kind.")
FORMS = {
    "### Human: Where is it?### Assistant: On the left.\n\nBehind the door.### Human: And then?"
    "### Assistant: Go in.": TOLD,
    "\n\nHuman: Where is it?\n\nAssistant: On the left.\n\nBehind the door.\n\nHuman: And then?\n\n"
    "Assistant: Go in.": TOLD,
    "Be kind.\n\nUSER: Where is it?\nASSISTANT: On the left.\n\nBehind the door.\nUSER: And then?\n"
    "ASSISTANT: Go in.": [BEFORE, *TOLD],
    "<|im_start|>system\nBe kind.<|im_end|>\n<|im_start|>user\nWhere is it?<|im_end|>\n"
    "<|im_start|>assistant\nOn the left.\n\nBehind the door.<|im_end|>\n<|im_start|>user\nAnd then?<|im_end|>"
    "\n<|im_start|>assistant\nGo in.<|im_end|>\n": [BEFORE, *TOLD],
    "<s>[INST] <<SYS>>\nBe kind.\n<</SYS>>\n\nWhere is it? [/INST] On the left.\n\nBehind the door. </s>"
    "<s>[INST] And then? [/INST] Go in. </s>": [BEFORE, *TOLD],
    "<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\nWhere is it?<|eot_id|>"
    "<|start_header_id|>assistant<|end_header_id|>\n\nOn the left.\n\nBehind the door.<|eot_id|>"
    "<|start_header_id|>user<|end_header_id|>\n\nAnd then?<|eot_id|>"
    "<|start_header_id|>assistant<|end_header_id|>\n\nGo in.<|eot_id|>": TOLD,
    "USER: Where is it?\n\n\nASSISTANT: On the left.\n\nBehind the door. <|endoftext|>\n\n\nUSER: And then?"
    "\n\n\nASSISTANT: Go in. <|endoftext|>\n\n\n": TOLD,
    "USER: Open?\n\n\nASSISTANT: I look. <|endoftext|>\n\n\nFUNCTION RESPONSE: yes\n\n\nASSISTANT: Yes.": [
        ("user", "Open?"),
        ("assistant", "I look."),
        ("tool", "yes"),
        ("assistant", "Yes."),
    ],
    "Be kind.\n\n### Instruction:\nFind it.\n\n### Input:\nThe key\n\n### Response:\nHere.": [
        BEFORE,
        ("user", "Find it.\n\nThe key"),
        ("assistant", "Here."),
    ],
}


@pytest.mark.parametrize("text", FORMS)
def test_markers_are_told_and_part_the_turns(text: str) -> None:
    found = markers.of([text] * 3)
    assert found is not None
    assert markers.split(text, found, "text") == FORMS[text]


@pytest.mark.parametrize(
    "text",
    [
        "The user: a person. The assistant: a machine.",
        "Human: only a question",
        "Assistant: answers\nHuman: asks after it",
        "A text with <s> and </s> in it.",
        "",
    ],
)
def test_other_texts_are_no_conversations(text: str) -> None:
    assert markers.of([text] * 3) is None


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("no turn at all", "no marker of columns.markers in 'text'"),
        ("### Q: a### A: b### end c", "words behind the end '### end' of a turn in 'text'"),
    ],
)
def test_no_word_is_lost(text: str, why: str) -> None:
    given = {"### Q:": "user", "### A:": "assistant", "### end": "end"}
    read = mapper("messages", complete("messages", Columns(messages="text", markers=given)))
    with pytest.raises(ReadError) as caught:
        read({"text": text})
    assert (caught.value.cause, caught.value.detail) == ("read.wrong_type", why)


words = st.text(st.sampled_from("ab :#\n[]<|>/"), max_size=12)


@given(st.lists(st.tuples(st.sampled_from(["### Q:", "### A:", "### E"]), words), min_size=1, max_size=6))
def test_what_is_parted_is_there_or_the_record_is_set_aside(pieces: list[tuple[str, str]]) -> None:
    given_markers = {"### Q:": "user", "### A:": "assistant", "### E": "end"}
    text = "".join(marker + words for marker, words in pieces)
    try:
        turns = markers.split(text, given_markers, "text")
    except ReadError:
        return
    bare = text
    for marker in given_markers:
        bare = bare.replace(marker, "")
    assert "".join("".join(c for _, c in turns).split()) == "".join(bare.split())


def write(folder: Path, **column: str) -> Path:
    path = folder / "talks.jsonl"
    path.write_text("".join(json.dumps({**column, "n": n}) + "\n" for n in range(9)))
    return path


def test_init_writes_the_line_and_check_tells_it(tmp_path: Path) -> None:
    text = next(iter(FORMS))
    path = write(tmp_path, text=text)
    (source,) = inputs.resolve([Source(name="s", path=str(path))])
    assert source.shape == "text"
    (said,) = notes.of(source, inputs.files(source))
    pasted = yaml.safe_load("{" + said.split("`")[3] + "}")["columns"]
    columns: dict[str, Any] = {
        "messages": "text",
        "markers": {"### Human:": "user", "### Assistant:": "assistant"},
    }
    assert pasted == columns
    written = yaml.safe_load(init.starter(str(path)))["sources"][0]
    assert (written["shape"], written["columns"]) == ("messages", columns)
    loaded = recipes.validate({"output": "out", "sources": [written]}, "r.yaml").sources
    (again,) = inputs.resolve(loaded)
    assert again.mapper()({"text": text}) == FORMS[text]
    assert notes.of(again, inputs.files(again)) == []


def test_pairs_of_marked_texts_are_read_as_pairs(tmp_path: Path) -> None:
    both = {"chosen": "Human: a\n\nAssistant: b", "rejected": "Human: a\n\nAssistant: c"}
    written = yaml.safe_load(init.starter(str(write(tmp_path, **both))))["sources"][0]
    assert (written["shape"], written["columns"]["prompt"]) == ("preference", "")
    (source,) = inputs.resolve(recipes.validate({"output": "out", "sources": [written]}, "r.yaml").sources)
    assert source.mapper()(both) == [("user", "a"), ("assistant", "b"), ("rejected", "c")]


PROMPTS = [
    ("Human: Where is it?\n\nAssistant:", " On the left.", [SAID[0], ("assistant", "On the left.")]),
    ("Human: Where is it?\n\nAssistant: On", " the left.", [SAID[0], ("assistant", "On the left.")]),
    ("User: Where is it?", "Assistant: Left.", [SAID[0], ("assistant", "Left.")]),
    (
        "Be kind.\n\n### Instruction:\nFind it.\n\n### Response:\n",
        "Here.",
        [BEFORE, ("user", "Find it."), ("assistant", "Here.")],
    ),
    (
        "<|im_start|>user\nWhere is it?<|im_end|>\n<|im_start|>assistant\n",
        "Left.<|im_end|>",
        [SAID[0], ("assistant", "Left.")],
    ),
    (
        "Human: a\n\nAssistant: b\n\nHuman: c\n\nAssistant:",
        " d",
        [("user", "a"), ("assistant", "b"), ("user", "c"), ("assistant", "d")],
    ),
]


@pytest.mark.parametrize(("prompt", "answer", "turns"), PROMPTS)
@pytest.mark.parametrize(
    ("asked", "answered"), [("prompt", "completion"), ("question", "answer"), ("instruction", "output")]
)
def test_prompts_that_hold_turns_are_read_as_turns(
    tmp_path: Path, prompt: str, answer: str, turns: list[tuple[str, str]], asked: str, answered: str
) -> None:
    record = {asked: prompt, answered: answer}
    path = write(tmp_path, **record)
    (plain,) = inputs.resolve([Source(name="s", path=str(path))])
    assert plain.mapper()(record) == [("user", prompt), ("assistant", answer)]
    (said,) = notes.of(plain, inputs.files(plain))
    written = yaml.safe_load(init.starter(str(path)))["sources"][0]
    (source,) = inputs.resolve(recipes.validate({"output": "out", "sources": [written]}, "r.yaml").sources)
    assert yaml.safe_load("{" + said.split("`")[1] + "}")["columns"] == {
        asked: asked,
        "markers": written["columns"]["markers"],
    }
    assert source.mapper()(record) == turns
    assert notes.of(source, inputs.files(source)) == []


def test_a_prompt_without_markers_is_one_turn_and_words_behind_an_end_are_not_lost() -> None:
    given_markers = {"### Q:": "user", "### A:": "assistant", "### end": "end"}
    columns = complete("prompt_completion", Columns(prompt="prompt", markers=given_markers))
    read = mapper("prompt_completion", columns)
    plain = {"prompt": "Write a question.", "completion": "Here is one.### Q: Why?"}
    assert read(plain) == [("user", plain["prompt"]), ("assistant", plain["completion"])]
    with pytest.raises(ReadError, match=r"read\.wrong_type"):
        read({"prompt": "### Q: a### A:", "completion": "b### end c"})


@pytest.mark.parametrize(
    ("prompt", "answer"),
    [
        ("Write a question and its answer.", "Question: Why?\nAnswer: So."),
        ("Question: Why?", "So."),
        ("Assistant: I am here.\nHuman: Good.", "Yes."),
    ],
)
def test_prompts_of_other_kinds_hold_no_turns(prompt: str, answer: str) -> None:
    assert markers.of_pairs([(prompt, answer)] * 3) is None


def test_a_system_prompt_beside_marked_texts_loses_its_own_marker() -> None:
    given_markers = {"USER:": "user", "ASSISTANT:": "assistant"}
    named = {"messages": "chat", "system": "system", "markers": given_markers}
    read = mapper("messages", complete("messages", Columns(**named)))
    record = {"system": "SYSTEM: Be kind.", "chat": "USER: a\nASSISTANT: b"}
    assert read(record) == [BEFORE, ("user", "a"), ("assistant", "b")]
    plain = mapper("messages", complete("messages", Columns(system="system")))
    assert plain({**record, "messages": []}) == [("system", "SYSTEM: Be kind.")]


def test_markers_need_the_column_of_the_texts() -> None:
    data = {"output": "out", "sources": [{"path": "x", "columns": {"markers": {"### Q:": "user"}}}]}
    with pytest.raises(RecipeError, match="name the column of the texts, as in `messages: text`"):
        recipes.validate(data, "r.yaml")
