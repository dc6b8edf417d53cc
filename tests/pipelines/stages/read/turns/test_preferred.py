"""Rows of a chosen and a rejected answer, in the forms that data sets have."""

from pathlib import Path
from typing import Any

import pytest

from headrace.pipelines.stages.read import inputs
from headrace.pipelines.stages.read import rows as read_rows
from headrace.pipelines.stages.read.records import Noted
from headrace.pipelines.stages.read.source import Source
from tests.builders import write_jsonl

Said = dict[str, str]


def user(text: str) -> Said:
    return {"role": "user", "content": text}


def assistant(text: str) -> Said:
    return {"role": "assistant", "content": text}


def read(folder: Path, record: dict[str, Any], **keys: Any) -> list[dict[str, Any]]:
    path = write_jsonl(folder / "x.jsonl", [record] * 3)
    (source,) = inputs.resolve([Source(name="s", path=str(path), **keys)])
    fragments = inputs.plan(source, 2**20, [])
    rows: list[dict[str, Any]] = []
    for fragment in fragments:
        for part in read_rows.read(fragment, source, fragment_size=2**20, seed=0, noted=Noted()):
            rows += part.to_pylist()
    return rows


PAIR = [("user", "q"), ("assistant", "good"), ("rejected", "bad")]
FORMS: dict[str, dict[str, Any]] = {
    "texts": {"prompt": "q", "chosen": "good", "rejected": "bad"},
    "turns, and a prompt beside": {
        "prompt": "q",
        "chosen": [user("q"), assistant("good")],
        "rejected": [user("q"), assistant("bad")],
        "messages": [user("q"), assistant("good")],
        "score_chosen": 5,
    },
    "turns that hold the prompt": {
        "chosen": [user("q"), assistant("good")],
        "rejected": [user("q"), assistant("bad")],
    },
    "a prompt of turns and answers of one": {
        "prompt": [user("q")],
        "chosen": [assistant("good")],
        "rejected": [assistant("bad")],
    },
    "conversations and single turns": {
        "conversations": [{"from": "human", "value": "q"}],
        "chosen": {"from": "gpt", "value": "good"},
        "rejected": {"from": "gpt", "value": "bad"},
    },
    "instructions": {"instruction": "q", "input": "", "output": "x", "chosen": "good", "rejected": "bad"},
    "marked texts": {
        "chosen": "\n\nHuman: q\n\nAssistant: good",
        "rejected": "\n\nHuman: q\n\nAssistant: bad",
    },
}


@pytest.mark.parametrize("form", FORMS)
def test_a_pair_is_one_row_whatever_its_form(tmp_path: Path, form: str) -> None:
    for row in read(tmp_path, FORMS[form]):
        assert row["error"] is None
        assert [(m["role"], m["content"]) for m in row["messages"]] == PAIR


def test_the_input_of_an_instruction_stands_below_it(tmp_path: Path) -> None:
    record = {"instruction": "q", "input": "of this", "chosen": "good", "rejected": "bad"}
    assert read(tmp_path, record)[0]["messages"][0]["content"] == "q\n\nof this"


def test_earlier_turns_are_the_prompt(tmp_path: Path) -> None:
    before = [user("a"), assistant("b"), user("c")]
    record = {"chosen": [*before, assistant("d")], "rejected": [*before, assistant("e")]}
    roles = [m["role"] for m in read(tmp_path, record)[0]["messages"]]
    assert roles == ["user", "assistant", "user", "assistant", "rejected"]


@pytest.mark.parametrize(
    ("record", "cause", "detail"),
    [
        (
            {"chosen": [user("a"), assistant("b")], "rejected": [user("other"), assistant("c")]},
            "read.wrong_type",
            "chosen and rejected part before their last turn",
        ),
        (
            {"chosen": [assistant("b")], "rejected": [assistant("c")]},
            "read.missing_field",
            "chosen and rejected have no prompt: name its column",
        ),
        (
            {"prompt": "a", "chosen": [user("b")], "rejected": [assistant("c")]},
            "read.wrong_type",
            "chosen or rejected does not end with an answer",
        ),
    ],
)
def test_what_is_no_pair_is_set_aside_with_the_reason(
    tmp_path: Path, record: dict[str, Any], cause: str, detail: str
) -> None:
    row = read(tmp_path, record)[0]
    assert (row["error"], row["detail"], row["messages"]) == (cause, detail, None)


def test_a_recipe_may_still_learn_the_chosen_answers_alone(tmp_path: Path) -> None:
    keys = {"shape": "prompt_completion", "columns": {"completion": "chosen"}}
    assert [m["role"] for m in read(tmp_path, FORMS["texts"], **keys)[0]["messages"]] == ["user", "assistant"]
