"""What columns hold whose names are not the usual ones, and what is said where nothing fits."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from headrace.cluster.errors import SourceError
from headrace.pipelines.stages.read import inputs
from headrace.pipelines.stages.read import rows as read_rows
from headrace.pipelines.stages.read.records import Noted
from headrace.pipelines.stages.read.source import Source
from tests.builders import write_jsonl

ASKED, ANSWER = "Where is the mill?", "Behind the dyke."
ROW = [("user", ASKED), ("assistant", ANSWER)]


def read(path: Path, **more: Any) -> tuple[Source, list[list[tuple[str, str]]]]:
    """The source with what was found of it, and its rows."""
    (source,) = inputs.resolve([Source(path=str(path), **more)])
    tables = [
        table
        for fragment in inputs.plan(source, 2**20)
        for table in read_rows.read(fragment, source, fragment_size=2**20, seed=0)
    ]
    found = [row for table in tables for row in table["messages"].to_pylist()]
    return source, [[(m["role"], m["content"]) for m in row or []] for row in found]


@pytest.mark.parametrize(
    "record",
    [
        {"Question": ASKED, "Answer": ANSWER, "Category": "x"},
        {"PROMPT": ASKED, "Response": ANSWER},
        {"problem": ASKED, "solution": ANSWER},
        {"input": ASKED, "output": ANSWER},
        {"Frage": ASKED, "Antwort": ANSWER},
        {"row": {"question": ASKED, "answer": ANSWER}, "row_idx": 1},
        {"question": ASKED, "answers": {"text": [ANSWER], "answer_start": [0]}, "id": "x"},
        {
            "id": 1,
            "chat_messages": [{"sender": "human", "text": ASKED}, {"sender": "assistant", "text": ANSWER}],
        },
        {"x": {"y": [{"role": "user", "content": ASKED}, {"role": "assistant", "content": ANSWER}]}},
        {"messages": [{"author": {"role": r}, "content": c} for r, c in ROW], "n": 1},
        {"history": [[ASKED, ANSWER]]},
        {"data": [ASKED, ANSWER]},
        {"messages": [{"author": {"isBot": r != "user"}, "content": c} for r, c in ROW]},
        {
            "requester_id": 5,
            "comments": [{"author_id": 5, "body": ASKED}, {"author_id": 6, "body": ANSWER}],
        },
    ],
)
def test_columns_under_other_names(tmp_path: Path, record: dict[str, Any]) -> None:
    records = [record, json.loads(json.dumps(record))]
    _, rows = read(write_jsonl(tmp_path / "a.jsonl", records))
    assert rows == [ROW, ROW]


@pytest.mark.parametrize(
    ("whole", "path"),
    [
        ({"data": {"items": [{"messages": []}]}}, "data.items"),
        ({"status": "ok", "rows": [{"row": {}}]}, "rows"),
        ({"one": {}, "two": {}}, "*"),
    ],
)
def test_records_under_a_key_are_found(tmp_path: Path, whole: dict[str, Any], path: str) -> None:
    record = {"messages": [{"role": role, "content": text} for role, text in ROW]}
    text = json.dumps(whole)
    for empty in ('{"messages": []}', "{}"):
        text = text.replace(f'"row": {empty}', f'"row": {json.dumps(record)}').replace(
            f": {empty}", f": {json.dumps(record)}"
        )
    text = text.replace('[{"messages": []}]', f"[{json.dumps(record)}]")
    (tmp_path / "a.json").write_text(text)
    source, rows = read(tmp_path / "a.json")
    assert source.records == path
    assert all(row == ROW for row in rows)
    assert rows


def test_records_over_several_lines_are_records_under_any_suffix(tmp_path: Path) -> None:
    made = [json.dumps({"prompt": ASKED, "completion": ANSWER}, indent=2) for _ in range(3)]
    for name, text in (
        ("a.jsonl", "\n".join(made)),
        ("b.jsonl", f"[{','.join(made)}]"),
        ("c.json", "\n".join(made)),
    ):
        (tmp_path / name).write_text(text)
        assert read(tmp_path / name)[1] == [ROW] * 3


def test_exact_names_come_before_likely_ones(tmp_path: Path) -> None:
    source, rows = read(write_jsonl(tmp_path / "a.jsonl", [{"Question": "x", "Answer": "y", "text": ASKED}]))
    assert source.shape == "text"
    assert rows == [[("text", ASKED)]]


def test_records_that_are_turns_are_not_read_as_texts(tmp_path: Path) -> None:
    records = [
        {"thread_id": n, "index": i, "role": role, "content": text}
        for n in range(3)
        for i, (role, text) in enumerate(ROW)
    ]
    path = write_jsonl(tmp_path / "a.jsonl", records)
    with pytest.raises(
        SourceError, match=r"group_by: thread_id; order_by: index; columns: \{role: role, content"
    ):
        read(path)
    assert len(read(path, shape="text")[1]) == 6


def test_messages_of_people_are_not_read_as_texts(tmp_path: Path) -> None:
    records = [
        {"type": "message", "user": user, "text": "words", "ts": f"{n}.{i}", "thread_ts": f"{n}.0"}
        for n in range(3)
        for i, user in enumerate(("U1", "U2"))
    ]
    with pytest.raises(SourceError) as caught:
        read(write_jsonl(tmp_path / "a.jsonl", records))
    assert "group_by: thread_ts; order_by: ts; columns: {role: user, content: text, roles:" in str(
        caught.value
    )
    assert "U1" not in str(caught.value)
    alone = [{**record, "thread_ts": n} for n, record in enumerate(records)]
    assert len(read(write_jsonl(tmp_path / "b.jsonl", alone))[1]) == 6


def test_each_file_may_be_one_conversation(tmp_path: Path) -> None:
    for n in range(3):
        text = json.dumps([{"role": role, "content": f"{text} {n}"} for role, text in ROW])
        (tmp_path / f"{n}.json").write_text(text)
    with pytest.raises(SourceError, match="<file> where each file is one"):
        read(tmp_path)
    (source,) = inputs.resolve([Source(path=str(tmp_path), group_by="<file>")])
    assert (source.shape, source.columns.role, source.columns.content) == ("messages", "role", "content")


@pytest.mark.parametrize(
    ("record", "words"),
    [
        ({"chosen": "a", "rejected": "b"}, "columns: {prompt: COLUMN, chosen: chosen, rejected: rejected}"),
        (
            {"custom_id": "x", "body": {"messages": [{"role": "user", "content": "secret"}]}},
            "no assistant's turn in 'body.messages': name the input and the output files",
        ),
        (
            {
                "custom_id": "x",
                "response": {"body": {"choices": [{"message": {"role": "assistant", "content": "secret"}}]}},
            },
            "no user's turn",
        ),
    ],
)
def test_what_is_said_where_nothing_fits(tmp_path: Path, record: dict[str, Any], words: str) -> None:
    with pytest.raises(SourceError) as caught:
        read(write_jsonl(tmp_path / "a.jsonl", [record, record]))
    assert words in str(caught.value)
    assert "secret" not in str(caught.value)


def test_a_path_in_the_recipe_and_in_parquet(tmp_path: Path) -> None:
    turns = [{"role": role, "content": text} for role, text in ROW]
    pq.write_table(pa.table({"body": [{"messages": turns, "k": 1}], "other": [2]}), tmp_path / "a.parquet")
    source, rows = read(tmp_path / "a.parquet", columns={"messages": "body.messages"}, meta=["body.k"])
    assert rows == [ROW]
    noted = Noted()
    (fragment,) = inputs.plan(source, 2**20)
    (table,) = read_rows.read(fragment, source, fragment_size=2**20, seed=0, noted=noted)
    assert noted.unread == {"other"}
    assert table["meta"].to_pylist() == [[("body.k", "1")]]


def test_a_key_that_may_be_somebodys_is_named_nowhere(tmp_path: Path) -> None:
    turns = [{"role": role, "content": text} for role, text in ROW]
    for record in ({"ann@example.com": turns}, {"x": {"ann@example.com": turns[:1]}}):
        with pytest.raises(SourceError) as caught:
            read(write_jsonl(tmp_path / "a.jsonl", [record, record]))
        assert "ann@" not in str(caught.value)
