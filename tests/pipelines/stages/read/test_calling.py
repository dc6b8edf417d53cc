"""Tools, calls and results of data sets, in one form behind the text of their turn."""

import json
from pathlib import Path
from typing import Any

import pytest

from headrace.pipelines import structure
from headrace.pipelines.stages.read import detection, inputs, mappers, shapes
from headrace.pipelines.stages.read.records import ReadError
from headrace.pipelines.stages.read.source import Source
from tests.pipelines.stages.read.rows_of import rows_of

FUNCTION = {"name": "look", "arguments": {"of": "Rome"}}
WANTED = {"type": "function", "function": FUNCTION}


def read(record: dict[str, Any], padded: bool = False) -> list[tuple[str, str, dict[str, Any]]]:
    """Role, text and structure of every turn."""
    turns = mappers.mapper("messages", shapes.complete("messages", shapes.Columns()), padded=padded)(record)
    return [(role, *structure.unsealed(role, content)) for role, content in turns]


def calling(**turn: Any) -> dict[str, Any]:
    return {"messages": [{"role": "assistant", **turn}]}


@pytest.mark.parametrize(
    "turn",
    [
        {"content": "", "tool_calls": [WANTED]},
        {"content": "", "tool_calls": [FUNCTION]},
        {"content": "", "tool_calls": WANTED},
        {"content": "", "tool_calls": json.dumps([WANTED])},
        {"content": "", "function_call": FUNCTION},
        {"content": "", "tool_calls": [{"name": "look", "parameters": {"of": "Rome"}}]},
        {"tool_calls": [{**WANTED, "id": None}]},
    ],
)
def test_calls_of_every_form_are_one(turn: dict[str, Any]) -> None:
    ((role, text, held),) = read(calling(**turn))
    assert (role, text) == ("assistant", "")
    (call,) = held["tool_calls"]
    assert {"type": "function", **call} == {"type": "function", **WANTED, **call}
    assert call["function"] == FUNCTION or call["function"]["arguments"] == FUNCTION["arguments"]


@pytest.mark.parametrize(
    "text", ['{"of": "Rome"}', '{"of":"Rome"}', '{"of": "caf\u00e9 \\n"}', "no JSON", "[1]", "3"]
)
def test_arguments_that_came_as_text_are_told_from_an_object(text: str) -> None:
    ((_, _, held),) = read(calling(content="", tool_calls=[{"function": {"name": "f", "arguments": text}}]))
    (call,) = held["tool_calls"]
    written = call["function"]["arguments"]
    if "written" in call:
        assert written == json.loads(text)
    else:
        assert written == text


def test_tools_stand_behind_the_system_turn_which_is_made_where_there_is_none() -> None:
    tools = [{"type": "function", "function": {"name": "look", "description": "Looks\nup"}}]
    ask = {"role": "user", "content": "hi"}
    for given in (tools, json.dumps(tools), [json.dumps(tools[0])]):
        assert read({"messages": [ask], "tools": given}) == [
            ("system", "", {"tools": tools}),
            ("user", "hi", {}),
        ]
    system = {"role": "system", "content": "Be terse."}
    (first, _) = read({"messages": [system, ask], "tools": tools})
    assert first == ("system", "Be terse.", {"tools": tools})
    assert (
        read({"messages": [ask], "tools": []})
        == read({"messages": [ask], "tools": None})
        == [("user", "hi", {})]
    )


@pytest.mark.parametrize("tools", ["no JSON", 3, ["x"], "7"])
def test_tools_that_are_none_quarantine_the_record(tools: Any) -> None:
    with pytest.raises(ReadError, match=r"read\.wrong_type"):
        read({"messages": [{"role": "user", "content": "hi"}], "tools": tools})


@pytest.mark.parametrize("calls", ["no JSON", [3], [{"function": {}}], [{"id": "x"}]])
def test_calls_that_are_none_quarantine_the_record(calls: Any) -> None:
    with pytest.raises(ReadError, match=r"read\.wrong_type"):
        read(calling(content="", tool_calls=calls))


def test_padding_goes_and_a_null_that_somebody_wrote_stays() -> None:
    call = {"function": {"name": "f", "arguments": {"a": None, "b": {"c": None, "d": [{"e": None}, 1]}}}}
    ((_, _, held),) = read(calling(content="", tool_calls=[call]), padded=True)
    assert held["tool_calls"][0]["function"]["arguments"] == {"b": {"d": [{}, 1]}}
    ((_, _, held),) = read(calling(content="", tool_calls=[call]))
    assert held["tool_calls"][0]["function"]["arguments"] == call["function"]["arguments"]


def test_names_of_results_are_kept() -> None:
    turn = {"role": "tool", "content": "20", "name": "look", "tool_call_id": "c1", "other": 1}
    assert read({"messages": [turn]}) == [("tool", "20", {"name": "look", "tool_call_id": "c1"})]


TOOLS = [{"type": "function", "function": {"name": "look"}}]


@pytest.mark.parametrize(
    ("shape", "record"),
    [
        ("alpaca", {"instruction": "hi", "input": "", "output": "yes"}),
        ("prompt_completion", {"prompt": "hi", "completion": "yes"}),
        ("question_answer", {"question": "hi", "answer": "yes"}),
        (
            "prompt_completion",
            {
                "prompt": [{"role": "user", "content": "hi"}],
                "completion": [{"role": "assistant", "content": "yes"}],
            },
        ),
    ],
)
@pytest.mark.parametrize("tools", [TOOLS, json.dumps(TOOLS), str(TOOLS), [json.dumps(TOOLS[0])]])
def test_pairs_have_their_tools_before_them(shape: shapes.Shape, record: dict[str, Any], tools: Any) -> None:
    read = mappers.mapper(shape, shapes.complete(shape, shapes.Columns()))
    bare = [("user", "hi", {}), ("assistant", "yes", {})]
    for none in ({}, {"tools": None}, {"tools": []}):
        assert [(r, *structure.unsealed(r, c)) for r, c in read({**record, **none})] == bare
    found = [(r, *structure.unsealed(r, c)) for r, c in read({**record, "tools": tools})]
    assert found == [("system", "", {"tools": TOOLS}), *bare]


def test_tools_stand_behind_the_system_turn_of_a_prompt() -> None:
    read = mappers.mapper(
        "prompt_completion", shapes.complete("prompt_completion", shapes.Columns(system="sys"))
    )
    found = read({"sys": "Be terse.", "prompt": "hi", "completion": "yes", "tools": TOOLS})
    assert [structure.unsealed(r, c) for r, c in found] == [
        ("Be terse.", {"tools": TOOLS}),
        ("hi", {}),
        ("yes", {}),
    ]


PAIR = {"question": "hi", "answer": "yes"}
TALK = {"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "yes"}]}


@pytest.mark.parametrize("record", [PAIR, TALK])
@pytest.mark.parametrize(
    "value", [["hammer", "saw"], "hammer, saw", "[hammer]", 3, 2.5, {"hammer": 2}, [1, 2]]
)
def test_a_column_of_that_name_that_holds_no_tools_is_one_that_nobody_reads(
    record: dict[str, Any], value: Any, tmp_path: Path
) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text("".join(json.dumps({**record, "tools": v}) + "\n" for v in (value, None, value)))
    (source,) = inputs.resolve([Source(path=str(path))])
    seen = detection.look(source, inputs.files(source))
    assert source.columns.tools == ""
    assert seen.unread(source) == (["tools"], 0)
    assert [r["error"] for r in rows_of(path)] == [None] * 3


@pytest.mark.parametrize("value", ['[{"name": "lo', [{"name": "look"}, 3], "[{'name': 'look'"])
def test_tools_that_are_broken_quarantine_their_row_and_name_the_column(value: Any, tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text("".join(json.dumps({**PAIR, "tools": v}) + "\n" for v in (None, value, TOOLS)))
    bare, broken, full = rows_of(path)
    assert (bare["error"], broken["error"], full["error"]) == (None, "read.wrong_type", None)
    assert broken["detail"].startswith("'tools' ")
    assert broken["detail"].endswith('columns.tools names the column with the tools, "" where none holds any')


def test_a_column_that_the_recipe_names_is_read_whatever_it_holds(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text(json.dumps({**PAIR, "tools": "hammer"}) + "\n")
    assert [r["error"] for r in rows_of(path, columns={"tools": "tools"})] == ["read.wrong_type"]
    assert [r["error"] for r in rows_of(path, columns={"tools": ""})] == [None]
