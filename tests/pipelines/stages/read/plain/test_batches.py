"""Batches that are asked once whether they are plain: the same rows as one record after the other."""

from typing import Any
from unittest import mock

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.pipelines.stages.read import rows as read_rows
from headrace.pipelines.stages.read.plain import batches as plain_batches
from headrace.pipelines.stages.read.shapes import Columns
from headrace.pipelines.stages.read.source import Source

TEXT = st.sampled_from(["", "hi", "größer", "\ud83d", "x\ufdd0{}\ufdd1", " a \n"])
ODD = st.sampled_from([None, 3, 2.0, [], ["a"], {"type": "text"}, [{"type": "text", "text": "t"}]])
VALUE = st.one_of(TEXT, TEXT, TEXT, TEXT, ODD)
ROLE = st.sampled_from(["user", "assistant", "human", "User", "tool", "system", "nobody", None])
TURN = st.one_of(
    st.fixed_dictionaries({"role": ROLE, "content": VALUE}),
    st.fixed_dictionaries(
        {"role": ROLE, "content": VALUE},
        optional={
            "name": st.sampled_from([None, "look"]),
            "thinking": st.sampled_from([None, "", "hm"]),
            "tool_calls": st.sampled_from([None, [], [{"name": "look"}]]),
        },
    ),
    st.sampled_from([None, "hi", ["user", "hi"]]),
)
TOOLS = st.sampled_from([None, [], "", [{"name": "look"}], "no tools"])
SHAPES: dict[str, dict[str, st.SearchStrategy[Any]]] = {
    "messages": {"messages": st.one_of(st.lists(TURN, max_size=3), VALUE), "tools": TOOLS},
    "alpaca": {"instruction": VALUE, "input": VALUE, "output": VALUE, "tools": TOOLS},
    "prompt_completion": {"prompt": VALUE, "completion": VALUE, "tools": TOOLS},
    "question_answer": {"question": VALUE, "answer": VALUE},
    "text_label": {"text": VALUE, "label": VALUE},
    "text": {"text": VALUE},
}


def rows(records: list[dict[str, Any]], source: Source) -> pa.Table:
    n = len(records)
    files, places = pa.array(["f"] * n, pa.string()), pa.array(["line 1"] * n, pa.string())
    return read_rows.rows(records, {}, files, places, source, seed=0)


@pytest.mark.parametrize("shape", SHAPES)
@given(st.data())
def test_rows_are_those_of_one_record_after_the_other(shape: str, data: st.DataObject) -> None:
    names = SHAPES[shape]
    one = st.fixed_dictionaries({}, optional=names) | st.fixed_dictionaries(names)
    records = data.draw(st.lists(one, max_size=4))
    source = Source.model_validate({"name": "s", "path": "p", "shape": shape})
    found = rows(records, source)
    with mock.patch.object(plain_batches, "turns", return_value=None):
        assert rows(records, source).equals(found)


@given(
    st.lists(st.fixed_dictionaries({"role": ROLE}, optional={"content": VALUE, "tools": TOOLS}), max_size=4)
)
def test_records_that_are_one_turn_each_too(records: list[dict[str, Any]]) -> None:
    source = Source(name="s", path="p", shape="messages", group_by="talk")
    found = rows(records, source)
    with mock.patch.object(plain_batches, "turns", return_value=None):
        assert rows(records, source).equals(found)


def test_plain_pairs_and_turns_are_seen_as_such() -> None:
    source = Source(name="s", path="p", shape="question_answer")
    seen = plain_batches.turns([{"question": "a", "answer": "b"}], source)
    assert seen is not None
    assert seen.contents == ["a", "b"]
    turns = [{"role": "human", "content": "a", "name": None}, {"role": "gpt", "content": "b"}]
    seen = plain_batches.turns([{"messages": turns}, {"messages": []}], Source(path="p", shape="messages"))
    assert seen is not None
    assert (seen.roles, seen.contents, seen.lengths.tolist()) == (["user", "assistant"], ["a", "b"], [2, 0])
    other = Source(path="p", shape="messages", columns=Columns(roles={"gpt": "tool"}))
    renamed = plain_batches.turns([{"messages": turns}], other)
    assert renamed is not None
    assert renamed.roles == ["user", "tool"]
