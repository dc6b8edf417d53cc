"""From records to turns."""

from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from headrace.pipelines import structure
from headrace.pipelines.stages.read.mappers import mapper
from headrace.pipelines.stages.read.records import ReadError
from headrace.pipelines.stages.read.shapes import NAMES, Columns, Shape, complete, required
from headrace.pipelines.stages.read.turns.words import text


def turns(
    shape: Shape, record: dict[str, Any], labels: tuple[str, ...] = (), grouped: bool = False, **columns: Any
) -> Any:
    """The turns of a record, or the cause why there are none."""
    try:
        return mapper(shape, complete(shape, Columns(**columns), grouped), labels)(record)
    except ReadError as bad:
        return bad.cause


def said(role: str, content: Any, **more: Any) -> dict[str, Any]:
    return {"role": role, "content": content, **more}


def test_messages() -> None:
    record = {"messages": [said("system", "s"), said("user", "u"), said("assistant", "a"), said("tool", 5)]}
    assert turns("messages", record) == [("system", "s"), ("user", "u"), ("assistant", "a"), ("tool", "5")]
    assert turns("messages", {"messages": '[{"role": "user", "content": "u"}]'}) == [("user", "u")]
    assert turns("messages", {"messages": []}) == []


def test_sharegpt_with_a_system_column() -> None:
    record = {
        "system": "s",
        "conversations": [{"from": "human", "value": "u"}, {"from": "gpt", "value": "a"}],
    }
    assert turns("sharegpt", record) == [("user", "u"), ("assistant", "a")]
    assert turns("sharegpt", record, system="system")[0] == ("system", "s")
    assert len(turns("sharegpt", {**record, "system": ""}, system="system")) == 2


def test_columns_rename_everything() -> None:
    record = {"turns": [{"who": "Caller", "said": "u"}, {"who": "agent", "said": "a"}]}
    names: dict[str, Any] = {"messages": "turns", "role": "who", "content": "said"}
    assert turns("messages", record, **names) == "read.unknown_role"
    named = turns("messages", record, **names, roles={"Caller": "user"})
    assert named == [("user", "u"), ("assistant", "a")]
    swapped = turns("messages", record, **names, roles={"Caller": "assistant", "agent": "user"})
    assert swapped == [("assistant", "u"), ("user", "a")]
    assert turns("messages", record, **names, roles={"*": "user"})[0] == ("user", "u")


@pytest.mark.parametrize(
    ("name", "role"),
    [
        ("human", "user"),
        ("Customer", "user"),
        ("GPT", "assistant"),
        ("bot", "assistant"),
        ("model", "assistant"),
        ("developer", "system"),
        ("function", "tool"),
        ("observation", "tool"),
        (" User ", "user"),
    ],
)
def test_usual_speakers(name: str, role: str) -> None:
    assert turns("messages", {"messages": [said(name, "x")]}) == [(role, "x")]


def test_numbers_can_be_speakers() -> None:
    assert turns("messages", {"messages": [said(0, "x")]}, roles={"0": "user"}) == [("user", "x")]  # type: ignore[arg-type]


def test_reasoning_is_kept() -> None:
    record = {"messages": [said("assistant", "42", reasoning_content="Six\ntimes seven.\n")]}
    assert turns("messages", record) == [("assistant", "<think>\nSix\ntimes seven.\n</think>\n\n42")]
    for key in ("reasoning", "thinking"):
        record = {"messages": [said("assistant", "42", **{key: "Sum."})]}
        assert turns("messages", record) == [("assistant", "<think>\nSum.\n</think>\n\n42")]
    pair = {"question": "q", "answer": "a", "trace": "t"}
    assert turns("question_answer", pair, reasoning="trace")[1] == ("assistant", "<think>\nt\n</think>\n\na")


def test_alpaca() -> None:
    record = {"instruction": "Add.", "input": "1 2", "output": "3"}
    assert turns("alpaca", record) == [("user", "Add.\n\n1 2"), ("assistant", "3")]
    for absent in ({"input": ""}, {"input": None}):
        assert turns("alpaca", {**record, **absent}) == [("user", "Add."), ("assistant", "3")]
    assert turns("alpaca", {"instruction": "Add.", "response": "3"}, output="response")[1] == (
        "assistant",
        "3",
    )
    assert turns("alpaca", {"instruction": "Add.", "response": "3"}) == "read.missing_field"


def test_pairs_labels_and_text() -> None:
    assert turns("prompt_completion", {"prompt": "p", "completion": "c"}) == [
        ("user", "p"),
        ("assistant", "c"),
    ]
    assert turns("question_answer", {"question": "q", "answer": 4}) == [("user", "q"), ("assistant", "4")]
    assert turns("text_label", {"text": "t", "label": "good"}) == [("user", "t"), ("assistant", "good")]
    assert turns("text", {"text": "t"}) == [("text", "t")]
    assert turns("text", {"text": None}) == [("text", "")]


def test_label_names() -> None:
    names = ("bad", "good")
    for label in (1, "1", " 1 "):
        assert turns("text_label", {"text": "t", "label": label}, names)[1] == ("assistant", "good")
    assert turns("text_label", {"text": "t", "label": 2}, names) == "read.wrong_type"
    assert turns("text_label", {"text": "t", "label": "other"}, names)[1] == ("assistant", "other")
    assert turns("text_label", {"text": "t", "label": 1})[1] == ("assistant", "1")
    for label in (1.0, "1.0", Decimal("1.00")):
        assert turns("text_label", {"text": "t", "label": label}, names)[1] == ("assistant", "good")
    for label in (-1, -1.0, "-1", 1.5, 10**30, "9" * 5000):
        assert turns("text_label", {"text": "t", "label": label}, names) == "read.wrong_type"


def test_a_prompt_may_be_turns() -> None:
    asked, answer = [said("system", "s"), said("user", "u")], [said("assistant", "a")]
    whole = [("system", "s"), ("user", "u"), ("assistant", "a")]
    for prompt, completion in (
        (asked, answer),
        (asked, [*asked, *answer]),  # of two answers to compare each holds the whole
        (asked, "a"),
        (asked, answer[0]),
    ):
        assert turns("prompt_completion", {"prompt": prompt, "completion": completion}) == whole
    other = [{"from": "human", "value": "u"}]
    assert turns("question_answer", {"question": other, "answer": answer}) == whole[1:]
    assert (
        turns("prompt_completion", {"prompt": "u", "completion": [said("user", "u"), *answer]}) == whole[1:]
    )


@pytest.mark.parametrize("value", [["a", "b"], {"a": 1}, [], {}, [1], [said("user", "u"), "x"]])
def test_a_list_or_a_mapping_is_nobodys_words(value: Any) -> None:
    for shape, record in (
        ("prompt_completion", {"prompt": "p", "completion": value}),
        ("question_answer", {"question": value, "answer": "a"}),
        ("alpaca", {"instruction": "i", "input": value, "output": "o"}),
        ("text_label", {"text": "t", "label": value}),
        ("text", {"text": value}),
    ):
        assert turns(shape, record) == "read.wrong_type"  # type: ignore[arg-type]


def test_a_record_that_is_one_turn() -> None:
    record = {"utterance": "hi", "who": "customer"}
    found = turns("messages", record, grouped=True, content="utterance", role="who")
    assert found == [("user", "hi")]
    found = turns("messages", record, grouped=True, content="utterance", roles={"*": "user"})
    assert found == [("user", "hi")]


@pytest.mark.parametrize(
    ("record", "cause"),
    [
        ({}, "read.missing_field"),
        ({"messages": None}, "read.wrong_type"),
        ({"messages": {}}, "read.wrong_type"),
        ({"messages": "no JSON"}, "read.wrong_type"),
        ({"messages": ["text"]}, "read.wrong_type"),
        ({"messages": [{"role": "user"}]}, "read.missing_field"),
        ({"messages": [{"content": "x"}]}, "read.unknown_role"),
        ({"messages": [said("secret name", "x")]}, "read.unknown_role"),
        ({"messages": [{"role": ["user"], "content": "x"}]}, "read.unknown_role"),
        ({"messages": [said("user", [{"type": "image_url", "image_url": "x"}])]}, "read.wrong_type"),
    ],
)
def test_other_shapes_are_refused(record: dict[str, Any], cause: str) -> None:
    assert turns("messages", record) == cause


def test_the_reason_never_quotes_the_record() -> None:
    with pytest.raises(ReadError) as caught:
        mapper("messages", complete("messages", Columns()))({"messages": [said("Jane Roe", "x")]})
    assert "Jane" not in caught.value.detail


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, ""),
        (float("nan"), ""),
        (True, "true"),
        (3, "3"),
        (2.5, "2.5"),
        (b"bytes", "bytes"),
        (2**60 + 1, "1152921504606846977"),
        (Decimal("12.50"), "12.50"),
        (Decimal("1E+3"), "1000"),
        (Decimal("NaN"), ""),
        (date(2024, 3, 1), "2024-03-01"),
        ([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}], "ab"),
        ({"b": 1, "a": ["é"]}, '{"b":1,"a":["é"]}'),
        ([], "[]"),
        (["a", "b"], '["a","b"]'),
    ],
)
def test_all_to_text(value: Any, expected: str) -> None:
    assert text(value) == expected


def test_every_shape_knows_what_it_needs() -> None:
    for shape in NAMES:
        columns = complete(shape, Columns())
        assert required(shape, columns)
        with pytest.raises(ReadError, match=r"read\.missing_field"):
            mapper(shape, columns)({"other": "x"})


def test_records_of_one_turn_keep_their_calls() -> None:
    columns = complete("messages", Columns(), grouped=True)
    call = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": {"n": 1}}}
    turns_of = mapper("messages", columns)
    asked = turns_of({"role": "assistant", "content": None, "tool_calls": [call]})
    assert structure.unsealed(*asked[0]) == ("", {"tool_calls": [call], "content": None})
    given = turns_of({"role": "tool", "content": "left", "tool_call_id": "c1", "name": "Ann"})
    assert structure.unsealed(*given[0]) == ("left", {"tool_call_id": "c1"})
    assert turns_of({"role": "user", "content": "Hi", "tool_calls": None}) == [("user", "Hi")]
