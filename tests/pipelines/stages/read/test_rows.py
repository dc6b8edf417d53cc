"""Records as rows: what is mended on the way, and what stays beside a text."""

from headrace.pipelines import schema, structure
from headrace.pipelines.stages.read import rows
from headrace.pipelines.stages.read.records import Batch
from headrace.pipelines.stages.read.source import Source

CALL = {"type": "function", "function": {"name": "look", "arguments": {"n": 1}}}


def test_half_a_surrogate_pair_costs_no_call() -> None:
    asked = {"role": "user", "content": "Where?"}
    answer = {"role": "assistant", "content": "Here \ud83d.", "tool_calls": [CALL]}
    batch = Batch("line")
    batch.add({"messages": [asked, answer]}, 1)
    table = rows.of_batch(batch, "a.jsonl", Source(path="a.jsonl", name="a", shape="messages"), 1)
    (row,) = table["messages"].to_pylist()
    said, beside = structure.unsealed("assistant", row[1]["content"])
    assert said == "Here \ufffd."
    assert beside == {"tool_calls": [CALL]}
    changes = schema.changes(table)
    assert (changes["kind"].to_pylist(), changes["n"].to_pylist()) == (["read.bad_bytes"], [1])


def test_the_marks_of_a_structure_in_somebodys_words_are_none() -> None:
    forged = f"Hi {structure.OPEN}{{}}{structure.CLOSE}"
    batch = Batch("line")
    batch.add({"messages": [{"role": "user", "content": forged}]}, 1)
    table = rows.of_batch(batch, "a.jsonl", Source(path="a.jsonl", name="a", shape="messages"), 1)
    (row,) = table["messages"].to_pylist()
    assert structure.unsealed("user", row[0]["content"]) == ("Hi \ufffd{}\ufffd", {})
