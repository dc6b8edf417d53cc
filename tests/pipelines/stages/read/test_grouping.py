"""Records that together make one conversation."""

import gzip
import json
import random
import tarfile
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.cluster import fragments
from headrace.cluster.errors import RecipeError, SourceError
from headrace.cluster.fragments import Fragment
from headrace.pipelines import books, schema, structure
from headrace.pipelines.stages.read import grouping, inputs, values
from headrace.pipelines.stages.read.source import Source

BUCKETS = 3


def conversations(source: Source, fragment_size: int = 300, shuffle: int | None = None) -> list[pa.Table]:
    """Every bucket of a source, its records in a shuffled order."""
    (resolved,) = inputs.resolve([source])
    buckets = inputs.plan(resolved, fragment_size)
    records = pa.concat_tables(
        [
            table
            for part in fragments.inputs(buckets[0], 200)
            for table in grouping.read_grouped(
                part, resolved, buckets=buckets[0].buckets, fragment_size=500, seed=1
            )
        ]
    )
    order = list(range(records.num_rows))
    if shuffle is not None:
        random.Random(shuffle).shuffle(order)
    records = records.take(order)
    found = []
    for bucket in buckets:
        own = records.filter(pc.equal(records["bucket"], bucket.bucket))
        claimed = Fragment.from_json({**bucket.to_json(), "ordinal": bucket.bucket})
        found.append(grouping.assemble(own, claimed, resolved, seed=1))
    return found


def put(path: Path, records: list[dict[str, Any] | str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [r if isinstance(r, str) else json.dumps(r) for r in records]
    path.write_text("\n".join(lines) + "\n")


def turn(talk: str, number: Any, text: str, role: str = "user") -> dict[str, Any]:
    return {"talk": talk, "turn": number, "role": role, "text": text}


def of_talks(path: Path, **keys: Any) -> Source:
    return Source(path=str(path), group_by="talk", order_by="turn", **keys)


def said(tables: list[pa.Table]) -> dict[str, list[str]]:
    """Contents of every conversation under its first."""
    rows = [r for t in tables for r in t.to_pylist() if r["messages"] is not None]
    return {r["messages"][0]["content"]: [m["content"] for m in r["messages"]] for r in rows}


def test_records_shuffled_over_files_are_joined_in_order(tmp_path: Path) -> None:
    talks = [
        [turn(f"t{k}", n, f"t{k} n{n}", ["user", "assistant"][n % 2]) for n in range(12)] for k in range(9)
    ]
    records = [r for talk in talks for r in talk]
    random.Random(5).shuffle(records)
    for i in range(4):
        put(tmp_path / f"{i}.jsonl", list(records[i::4]))
    tables = conversations(of_talks(tmp_path), shuffle=7)
    assert len(tables) > 3
    assert said(tables) == {f"t{k} n0": [f"t{k} n{n}" for n in range(12)] for k in range(9)}
    assert all(t.schema.equals(schema.ROW) for t in tables)
    assert sum(books.records(t) for t in tables) == 108
    for ordinal, table in enumerate(tables):
        assert table["row_id"].to_pylist() == [(ordinal << 32) + i for i in range(table.num_rows)]
    assert [t.to_pylist() for t in conversations(of_talks(tmp_path), shuffle=8)] == [
        t.to_pylist() for t in tables
    ]


def test_numbers_stand_as_numbers_then_what_is_none_as_it_lies(tmp_path: Path) -> None:
    numbers = ["10", 9, "2.0", None, "b", "", 10.5, "a", -1]
    put(tmp_path / "a.jsonl", [turn("t", n, repr(n)) for n in numbers])
    (found,) = said(conversations(of_talks(tmp_path))).values()
    assert found == ["-1", "'2.0'", "9", "'10'", "10.5", "'b'", "'a'", "None", "''"]


def test_what_is_unsure_of_an_order_is_counted_by_conversation(tmp_path: Path) -> None:
    records = [turn("t", n, str(n)) for n in (2, "2024-01-01T00:00:00Z", "soon", None)]
    put(tmp_path / "a.jsonl", [*records, turn("u", 0, "u"), *(turn("v", n, "v") for n in (1, "1", 2))])
    counts: dict[str, dict[str, int]] = {}
    for table in conversations(of_talks(tmp_path)):
        heads = dict(zip(table["row_id"].to_pylist(), table["messages"].to_pylist(), strict=True))
        for found in schema.changes(table).to_pylist():
            counts.setdefault(heads[found["row_id"]][0]["content"], {})[found["kind"]] = found["n"]
    assert counts == {"2": {"read.unordered_turns": 2}, "v": {"read.tied_turns": 1}}


def test_without_order_records_stand_as_they_lie(tmp_path: Path) -> None:
    put(tmp_path / "b.jsonl", [turn("t", 0, "3"), turn("t", 0, "4")])
    put(tmp_path / "a.jsonl", [turn("t", 9, "1"), turn("t", 0, "2")])
    for source in (Source(path=str(tmp_path), group_by="talk"), of_talks(tmp_path, meta=["turn"])):
        (found,) = said(conversations(source, shuffle=3)).values()
        assert found == (["1", "2", "3", "4"] if not source.order_by else ["2", "3", "4", "1"])


def test_files_with_numbers_stand_as_they_are_counted(tmp_path: Path) -> None:
    for n in (1, 2, 9, 10, 11, 100):
        put(
            tmp_path / f"in/part{n}/{n}.jsonl",
            [turn("t", 0, f"from {n}, one"), turn("t", 0, f"from {n}, two")],
        )
    source = Source(path=str(tmp_path / "in"), group_by="talk", columns={"content": "text"})  # type: ignore[arg-type]
    (talk,) = said(conversations(source, shuffle=2)).values()
    assert talk == [f"from {n}, {which}" for n in (1, 2, 9, 10, 11, 100) for which in ("one", "two")]


def test_bad_bytes_are_counted_by_conversation(tmp_path: Path) -> None:
    put(tmp_path / "x.jsonl", [turn("t", n, f"é {n} – ok") for n in range(3)] + [turn("u", 1, "fine – é")])
    data = (tmp_path / "x.jsonl").read_bytes()
    (tmp_path / "x.jsonl").write_bytes(
        data.replace(b" 1 ", b" \xff\xf0\x9f ", 1).replace(b" 2 ", b" \xfe ", 1)
    )
    found = conversations(of_talks(tmp_path / "x.jsonl", columns={"content": "text"}))
    rows = [r for t in found for r in t.to_pylist()]
    counts = {r["messages"][0]["content"]: dict(r.get("changed") or []) for r in rows}
    assert counts == {"é 0 – ok": {"read.bad_bytes": 3}, "fine – é": {}}


def test_bad_records_are_rows_of_their_own(tmp_path: Path) -> None:
    put(
        tmp_path / "a.jsonl",
        [
            turn("t", 0, "one"),
            "no JSON",
            turn("t", 1, "who", role="Jane"),
            {"turn": 2, "role": "user", "text": "no key"},
            turn("t", 3, "two"),
        ],
    )
    rows = [r for t in conversations(of_talks(tmp_path)) for r in t.to_pylist()]
    whole = [r for r in rows if r["error"] is None]
    assert [[m["content"] for m in r["messages"]] for r in whole] == [["one", "two"]]
    assert (whole[0]["n_records"], whole[0]["place"]) == (2, "line 1")
    bad = sorted((r["place"], r["error"], r["n_records"], r["messages"]) for r in rows if r["error"])
    assert bad == [
        ("line 2", "read.malformed_json", 1, None),
        ("line 3", "read.unknown_role", 1, None),
        ("line 4", "read.missing_field", 1, None),
    ]


def test_group_time_and_meta_are_of_the_first_record_that_has_them(tmp_path: Path) -> None:
    first = {**turn("t", 1, "b"), "who": "x", "at": None, "tag": "one"}
    second = {**turn("t", 0, "a"), "who": None, "at": "2024-05-01T00:00:00Z", "tag": None}
    put(tmp_path / "a.jsonl", [first, second, turn("u", 0, "alone")])
    source = of_talks(tmp_path, group="who", time="at", meta=["tag"])
    rows = {
        r["messages"][0]["content"]: r
        for t in conversations(source)
        for r in t.to_pylist()
        if r["messages"] is not None
    }
    assert rows["a"]["group"] is not None
    assert rows["a"]["time"].isoformat() == "2024-05-01T00:00:00+00:00"
    assert rows["alone"]["group"] is None
    assert rows["alone"]["time"] is None


def test_several_turns_a_record_are_joined_too(tmp_path: Path) -> None:
    records = [{"talk": "t", "turn": n, "question": f"q{n}", "answer": f"a{n}"} for n in (1, 0)]
    put(tmp_path / "a.jsonl", list(records))
    (found,) = said(conversations(of_talks(tmp_path))).values()
    assert found == ["q0", "a0", "q1", "a1"]


def test_an_empty_bucket_has_no_rows() -> None:
    source = Source(name="s", path="x", shape="messages", group_by="k")
    fragment = Fragment("s", "grouped", (), 0, 0, 1)
    empty = next(grouping.read_grouped(fragment, source, buckets=1, fragment_size=10, seed=0))
    table = grouping.assemble(empty, fragment, source, seed=0)
    assert table.num_rows == 0
    assert table.schema.equals(schema.ROW)


@settings(max_examples=25, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from("abc"), st.integers(0, 4), st.integers(0, 2)), min_size=1, max_size=25
    ),
    st.integers(0, 10**6),
)
def test_arrival_order_changes_nothing(
    tmp_path_factory: Any, records: list[tuple[str, int, int]], shuffle: int
) -> None:
    folder = tmp_path_factory.mktemp("grouped")
    for file in range(3):
        own = [turn(k, n, f"{i}") for i, (k, n, f) in enumerate(records) if f == file]
        put(folder / f"{file}.jsonl", list(own))
    one = conversations(of_talks(folder))
    assert [t.to_pylist() for t in conversations(of_talks(folder), shuffle=shuffle)] == [
        t.to_pylist() for t in one
    ]
    assert sum(books.records(t) for t in one) == len(records)
    assert sum(map(len, said(one).values())) == len(records)


@pytest.mark.data
def test_flattened_and_shuffled_dialogues_come_back_whole(shared_data: Path, tmp_path: Path) -> None:
    nested = json.loads(gzip.decompress((shared_data / "dialogue/taskmaster4/data_00.json.gz").read_bytes()))
    flat: list[dict[str, Any] | str] = [
        turn(d["conversation_id"], u["index"], u["text"], u["speaker"])
        for d in nested
        for u in d["utterances"]
    ]
    random.Random(3).shuffle(flat)
    for i in range(5):
        put(tmp_path / f"{i}.jsonl", flat[i::5])
    tables = conversations(of_talks(tmp_path), fragment_size=2**16, shuffle=4)
    found = [[m["content"] for m in r["messages"]] for t in tables for r in t.to_pylist()]
    expected = [[u["text"] for u in sorted(d["utterances"], key=lambda u: u["index"])] for d in nested]
    assert sorted(found) == sorted(e for e in expected if e)
    assert sum(books.records(t) for t in tables) == len(flat)


@pytest.mark.data
def test_turns_of_one_speaker_in_quoted_tsv(shared_data: Path, tmp_path: Path) -> None:
    with tarfile.open(shared_data / "dialogue/multidogo/multidogo_turn_level.tar.gz") as archive:
        members = [m for m in archive if m.name.startswith("fastfood/")]
        archive.extractall(tmp_path, members, filter="data")
    columns: dict[str, Any] = {"content": "utterance", "roles": {"*": "user"}}
    source = Source(
        path=str(tmp_path), group_by="conversationId", order_by="turnNumber", loss="all", columns=columns
    )
    tables = conversations(source, fragment_size=2**19, shuffle=1)
    assert sum(books.records(t) for t in tables) == 20_050
    assert not any(pc.any(pc.is_valid(t["error"])).as_py() for t in tables)
    roles = {m["role"] for t in tables for row in t["messages"].to_pylist() for m in row}
    assert roles == {"user"}


def test_a_whole_number_is_one_key_however_it_is_written() -> None:
    keys = [values.key(value) for value in (7, 7.0, "7", "7.0", Decimal("7.00"))]
    assert keys == ["7"] * 5
    assert [values.key(v) for v in (7.5, "7.50", 2**60 + 1, "v1.0")] == [
        "7.5",
        "7.50",
        str(2**60 + 1),
        "v1.0",
    ]
    assert [values.key(v) for v in (None, "", float("nan"))] == [None] * 3
    assert len({values.keyed_hash(v, 3) for v in (7, 7.0, "7")}) == 1
    assert values.keyed_hash(float("nan"), 3) is None


def test_a_date_is_a_time() -> None:
    assert values.microseconds(date(1970, 1, 2)) == 86_400 * 10**6
    assert values.microseconds(datetime(1970, 1, 2)) == 86_400 * 10**6


def test_what_is_left_out_of_a_turn_is_counted_with_its_conversation(tmp_path: Path) -> None:
    parts = [{"type": "text", "text": "What is this?"}, {"type": "image_url"}]
    rows = [
        {"talk": n, "role": role, "content": parts if role == "user" else "A lake.", "tools": 1}
        for n in range(2)
        for role in ("user", "assistant", "user")
    ]
    (tmp_path / "x.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    tables = conversations(Source(path=str(tmp_path / "x.jsonl"), group_by="talk"))
    found = [n for table in tables for n in schema.changes(table)["n"].to_pylist()]
    assert found == [2, 2]


TOOL = {"type": "function", "function": {"name": "look", "description": "Looks up"}}


def unsealed(row: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    return [(m["role"], *structure.unsealed(m["role"], m["content"])) for m in row["messages"]]


def rows_of(source: Source, shuffle: int | None = None) -> list[dict[str, Any]]:
    return [r for t in conversations(source, shuffle=shuffle) for r in t.to_pylist()]


@pytest.mark.parametrize("repeated", [True, False])
@pytest.mark.parametrize("as_text", [True, False])
def test_tools_of_any_record_stand_once_before_the_conversation(
    tmp_path: Path, repeated: bool, as_text: bool
) -> None:
    tools: Any = json.dumps([TOOL]) if as_text else [TOOL]
    records = [turn("a", n, f"n{n}", ["user", "assistant"][n % 2]) for n in range(4)]
    for n, record in enumerate(records):
        record["tools"] = tools if repeated or n == 2 else None
    put(tmp_path / "x.jsonl", [*records, turn("b", 0, "alone")])
    found = rows_of(of_talks(tmp_path / "x.jsonl"), shuffle=3)
    assert sorted(map(unsealed, found), key=len) == [
        [("user", "alone", {})],
        [
            ("system", "", {"tools": [TOOL]}),
            *((role, f"n{n}", {}) for n, role in enumerate(["user", "assistant"] * 2)),
        ],
    ]
    assert sorted(r["n_records"] for r in found) == [1, 4]


def test_other_tools_later_are_counted_and_the_system_turn_is_kept(tmp_path: Path) -> None:
    more = {"type": "function", "function": {"name": "find"}}
    records = [
        turn("a", 0, "Be terse.", "system") | {"tools": [TOOL]},
        turn("a", 1, "hi") | {"tools": [TOOL, more]},
        turn("a", 2, "yes", "assistant") | {"tools": [TOOL]},
    ]
    put(tmp_path / "x.jsonl", list(records))
    (row,) = rows_of(of_talks(tmp_path / "x.jsonl"))
    assert unsealed(row) == [
        ("system", "Be terse.", {"tools": [TOOL]}),
        ("user", "hi", {}),
        ("assistant", "yes", {}),
    ]
    assert dict(row["changed"]) == {"read.other_tools": 1}


def test_tools_that_are_broken_cost_their_record(tmp_path: Path) -> None:
    records = [turn("a", n, f"n{n}", "user") | {"tools": [TOOL]} for n in range(3)]
    records[1]["tools"] = '[{"name": "lo'
    put(tmp_path / "x.jsonl", list(records))
    good, bad = sorted(rows_of(of_talks(tmp_path / "x.jsonl")), key=lambda r: r["error"] or "")
    assert [text for _, text, _ in unsealed(good)] == ["", "n0", "n2"]
    assert bad["error"] == "read.wrong_type"
    assert bad["detail"].startswith("'tools' is text that is no JSON")


def node(name: str, parent: str | None, role: str, text: str, tree: str = "t") -> dict[str, Any]:
    return {"message_id": name, "parent_id": parent, "tree": tree, "role": role, "text": text}


TREE = [
    node("q", None, "prompter", "ask"),
    node("a1", "q", "assistant", "first"),
    node("a2", "q", "assistant", "second"),
    node("b1", "a2", "prompter", "more"),
    node("b2", "a1", "prompter", "elsewhere"),
]
AS_TREES: dict[str, Any] = {
    "group_by": "tree",
    "columns": {"role": "role", "content": "text", "id": "message_id", "parent": "parent_id"},
}


def test_nodes_of_trees_give_the_path_of_the_last_answers(tmp_path: Path) -> None:
    other = [node("z", None, "prompter", "hi", "u"), node("y", "z", "assistant", "ho", "u")]
    put(tmp_path / "x.jsonl", [*TREE[::-1], *other])
    source = Source.model_validate({"path": str(tmp_path / "x.jsonl"), **AS_TREES})
    found = {tuple(m["content"] for m in r["messages"]): r for r in rows_of(source, shuffle=1)}
    # Reversed, the first answer lies last.
    assert found.keys() == {("ask", "first", "elsewhere"), ("hi", "ho")}
    row = found["ask", "first", "elsewhere"]
    assert row["n_records"] == 5
    assert dict(row["changed"]) == {"read.branch_turns": 2}


def test_a_tree_with_two_beginnings_is_quarantined_whole(tmp_path: Path) -> None:
    put(
        tmp_path / "x.jsonl",
        [*TREE, node("r", None, "prompter", "again"), node("s", None, "prompter", "x", "u")],
    )
    source = Source.model_validate({"path": str(tmp_path / "x.jsonl"), **AS_TREES})
    found = rows_of(source)
    assert [m["content"] for r in found if not r["error"] for m in r["messages"]] == ["x"]
    assert {r["detail"] for r in found if r["error"]} == {"a tree of messages with 2 beginnings"}
    assert sum(r["n_records"] for r in found) == 7


def test_a_tree_that_cannot_be_followed_has_no_messages_whatever_tools_it_offers(tmp_path: Path) -> None:
    records = [*TREE, node("r", None, "prompter", "again")]
    put(tmp_path / "x.jsonl", [{**record, "tools": [TOOL]} for record in records])
    source = Source.model_validate({"path": str(tmp_path / "x.jsonl"), **AS_TREES})
    assert [(r["error"], r["messages"]) for r in rows_of(source)] == [("read.wrong_type", None)] * 6


def test_tools_of_a_tree_stand_before_its_path(tmp_path: Path) -> None:
    put(tmp_path / "x.jsonl", [{**record, "tools": [TOOL]} for record in TREE])
    source = Source.model_validate({"path": str(tmp_path / "x.jsonl"), **AS_TREES})
    (row,) = rows_of(source, shuffle=2)
    assert [(role, text) for role, text, _ in unsealed(row)] == [
        ("system", ""),
        ("user", "ask"),
        ("assistant", "second"),
        ("user", "more"),
    ]


def test_trees_are_told_by_their_columns(tmp_path: Path) -> None:
    put(tmp_path / "x.jsonl", list(TREE))
    with pytest.raises(SourceError, match="nodes of trees") as refused:
        inputs.resolve([Source(path=str(tmp_path / "x.jsonl"))])
    assert "group_by: tree" in str(refused.value)
    assert "columns: {role: role, content: text, id: message_id, parent: parent_id}" in str(refused.value)
    with pytest.raises(RecipeError, match="group_by"):
        inputs.resolve([Source.model_validate({"path": str(tmp_path), "columns": AS_TREES["columns"]})])
