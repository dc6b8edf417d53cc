"""Sources: their files, what is found in them, and reading them in parts."""

import gzip
import json
import os
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.cluster.errors import RecipeError, SourceError
from headrace.cluster.fragments import Fragment
from headrace.pipelines import schema
from headrace.pipelines.stages.read import inputs
from headrace.pipelines.stages.read import rows as read_rows
from headrace.pipelines.stages.read.source import Source

PAIRS: list[dict[str, Any]] = [
    {"question": f"What is {i}?", "answer": f"It is {i}. " * (i % 9)} for i in range(60)
]


def lines(records: list[dict[str, Any]]) -> str:
    return "".join(json.dumps(r) + "\n" for r in records)


def put(folder: Path, name: str, text: str | bytes = lines(PAIRS)) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def rows(source: Source, fragment_size: int = 2**25) -> list[dict[str, Any]]:
    """All rows of a source, its fragments claimed in order."""
    (resolved,) = inputs.resolve([source])
    found = []
    for ordinal, fragment in enumerate(inputs.plan(resolved, fragment_size)):
        claimed = Fragment.from_json({**fragment.to_json(), "ordinal": ordinal})
        for table in read_rows.read(claimed, resolved, fragment_size=fragment_size, seed=0):
            assert table.select(schema.ROW.names).schema.equals(schema.ROW)
            found += table.to_pylist()
    return found


def said(found: list[dict[str, Any]]) -> list[Any]:
    return [r["error"] or [(m["role"], m["content"]) for m in r["messages"]] for r in found]


EXPECTED = [[("user", r["question"]), ("assistant", r["answer"])] for r in PAIRS]


# ---- files and names


def test_files_of_a_directory_a_glob_a_file_and_a_list(tmp_path: Path) -> None:
    for name in ("d/a.jsonl", "d/e/b.jsonl", "d/_SUCCESS", "d/.hidden/c.jsonl", "x.train.jsonl.gz"):
        put(tmp_path, name, "{}")
    cases: list[tuple[str | list[str], str, list[str]]] = [
        ("d", "d", ["a.jsonl", "e/b.jsonl"]),
        ("d/", "d", ["a.jsonl", "e/b.jsonl"]),
        ("d/*.jsonl", "d", ["a.jsonl"]),
        ("d/**/*.jsonl", "d", ["a.jsonl", "e/b.jsonl"]),
        ("d/e/b.jsonl", "b", ["b.jsonl"]),
        ("x.train.jsonl.gz", "x", ["x.train.jsonl.gz"]),
        (["d/a.jsonl", "d/e"], "d", ["a.jsonl", "e/b.jsonl"]),
        (["d/e/b.jsonl"], "e", ["b.jsonl"]),
        (["d/a.jsonl", "x.train.jsonl.gz"], tmp_path.name, ["d/a.jsonl", "x.train.jsonl.gz"]),
        ("d/_SUCCESS", "_SUCCESS", ["_SUCCESS"]),
    ]
    for path, name, relatives in cases:
        below = str(tmp_path / path) + "/" if path == "d/" else path
        full = [str(tmp_path / p) for p in path] if isinstance(path, list) else str(tmp_path / below)
        (source,) = inputs.named([Source(path=full)])  # type: ignore[arg-type]
        assert (source.name, [f.relative for f in inputs.files(source)]) == (name, relatives)


def test_relative_paths_work_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path, "a.jsonl")
    monkeypatch.chdir(tmp_path)
    (source,) = inputs.named([Source(path="*.jsonl")])
    assert (source.name, [f.relative for f in inputs.files(source)]) == (tmp_path.name, ["a.jsonl"])


@pytest.mark.parametrize("path", ["missing", "missing.jsonl", "*.nothing"])
def test_missing_paths(tmp_path: Path, path: str) -> None:
    with pytest.raises(SourceError, match=r"path matched no files: '.*(missing|nothing)"):
        inputs.resolve([Source(path=str(tmp_path / path))])


def test_empty_sources(tmp_path: Path) -> None:
    put(tmp_path, "a.jsonl", "")
    with pytest.raises(SourceError, match="is empty: 1 files of 0 bytes"):
        inputs.resolve([Source(path=str(tmp_path))])
    put(tmp_path, "b/_SUCCESS", "x")
    with pytest.raises(SourceError, match="holds no data files"):
        inputs.resolve([Source(path=str(tmp_path / "b"))])
    put(tmp_path, "c.jsonl", "\n\n")
    with pytest.raises(SourceError, match=r"'c\.jsonl' holds no records"):
        inputs.resolve([Source(path=str(tmp_path / "c.jsonl"))])


def test_clashing_names(tmp_path: Path) -> None:
    a, b = put(tmp_path, "a/x.jsonl"), put(tmp_path, "b/x.jsonl")
    with pytest.raises(RecipeError, match="two sources are called 'x'"):
        inputs.resolve([Source(path=str(a)), Source(path=str(b))])
    with pytest.raises(SourceError, match=r"'x\.jsonl' is named twice"):
        inputs.files(Source(name="s", path=(str(a), str(tmp_path / "a/*.jsonl"))))


# ---- what is found


@pytest.mark.parametrize(
    ("record", "shape", "named"),
    [
        ({"messages": [{"role": "user", "content": "x"}]}, "messages", {"role": "role"}),
        ({"messages": [{"from": "human", "value": "x"}]}, "messages", {"role": "from", "content": "value"}),
        ({"conversations": [{"from": "human", "value": "x"}]}, "sharegpt", {"messages": "conversations"}),
        ({"conversations": [{"role": "user", "content": "x"}]}, "sharegpt", {"content": "content"}),
        ({"instruction": "x", "input": "", "output": "y", "answer": "z"}, "alpaca", {"output": "output"}),
        ({"instruction": "x", "response": "y"}, "alpaca", {"output": "response"}),
        ({"prompt": "x", "completion": "y"}, "prompt_completion", {"completion": "completion"}),
        ({"id": 1, "question": "x", "response": "y"}, "question_answer", {"answer": "response"}),
        ({"text": "x", "category": "y"}, "text_label", {"label": "category"}),
        ({"text": "x", "id": 3}, "text", {"text": "text"}),
    ],
)
def test_shapes_are_detected(
    tmp_path: Path, record: dict[str, Any], shape: str, named: dict[str, str]
) -> None:
    path = put(tmp_path, "x.jsonl", lines([record] * 3))
    (found,) = inputs.resolve([Source(path=str(path))])
    assert (found.format, found.shape) == ("jsonl", shape)
    assert found.columns.model_dump().items() >= named.items()
    assert inputs.resolve([found]) == [found]
    assert all(isinstance(s, list) and s for s in said(rows(found)))


def test_nothing_fits(tmp_path: Path) -> None:
    path = put(tmp_path, "x.jsonl", lines([{"one": 1, "two": "secret content"}]))
    with pytest.raises(
        SourceError, match=r"'x\.jsonl' do not fit any known shape: 'one', 'two'; set shape:"
    ) as e:
        inputs.resolve([Source(path=str(path))])
    assert "secret" not in str(e.value)


@pytest.mark.parametrize(
    ("keys", "key"),
    [
        ({"columns": {"answer": "anwser"}}, "columns"),
        ({"shape": "alpaca"}, "columns"),
        ({"group": "customer"}, "group"),
        ({"time": "at"}, "time"),
        ({"meta": ["x"]}, "meta"),
        ({"group_by": "talk"}, "group_by"),
        ({"columns": {"system": "preamble"}}, r"columns\.system"),
    ],
)
def test_wrong_columns_are_named(tmp_path: Path, keys: dict[str, Any], key: str) -> None:
    path = put(tmp_path, "x.jsonl")
    with pytest.raises(SourceError, match=r"'question', 'answer'") as error:
        inputs.resolve([Source(path=str(path), **keys)])
    if key != "columns" or "shape" in keys:
        assert f"({key.replace(chr(92), '')}) in 'x.jsonl'" in str(error.value)


def test_formats_are_detected(tmp_path: Path) -> None:
    put(tmp_path, "a/x.json", lines(PAIRS))
    put(tmp_path, "a/y.json.gz", gzip.compress(lines(PAIRS).encode()))
    assert inputs.resolve([Source(path=str(tmp_path / "a"))])[0].format == "jsonl"
    put(tmp_path, "a/z.json", json.dumps(PAIRS))
    (mixed,) = inputs.resolve([Source(path=str(tmp_path / "a"))])
    assert mixed.format == "json"
    assert len(rows(mixed)) == 180
    put(tmp_path, "b/x.train", lines(PAIRS))
    assert inputs.resolve([Source(path=str(tmp_path / "b"))])[0].format == "jsonl"
    put(tmp_path, "c/x.jsonl")
    put(tmp_path, "c/y.csv", "question,answer\na,b\n")
    (both,) = inputs.resolve([Source(path=str(tmp_path / "c"))])
    assert both.format is None
    assert len(rows(both)) == 61
    put(tmp_path, "c/LICENSE", "words")
    assert len(rows(both)) == 61
    put(tmp_path, "c/words", "words")
    with pytest.raises(SourceError, match=r"several formats: 1 csv .* 1 of no known suffix"):
        inputs.resolve([Source(path=str(tmp_path / "c"))])


def test_keys_that_say_nothing_together() -> None:
    with pytest.raises(RecipeError, match="order_by without group_by"):
        inputs.resolve([Source(name="s", path="x", order_by="n")])
    with pytest.raises(RecipeError, match="label_names is for shape text_label"):
        inputs.resolve([Source(name="s", path="x", shape="text", label_names=("a",))])


def test_what_was_found_once_stays(tmp_path: Path) -> None:
    path = put(tmp_path, "x/b.jsonl", lines([{"instruction": "x", "response": "y"}]))
    asked = Source(name="s", path=str(path.parent))
    (first,) = inputs.resolve([asked])
    put(tmp_path, "x/a.jsonl", lines([{"instruction": "x", "output": "z", "response": "y"}]))
    assert inputs.resolve([asked])[0].columns.output == "output"
    (again,) = inputs.resolve([inputs.frozen(asked, first)])
    assert again.columns == first.columns
    other = Source(name="s", path=str(path.parent), columns={"output": "output"})  # type: ignore[arg-type]
    assert inputs.frozen(other, first).columns == other.columns


# ---- reading


def as_csv(delimiter: str) -> str:
    fields = [[r["question"], r["answer"]] for r in PAIRS]
    return "".join(delimiter.join(f'"{f}"' for f in row) + "\n" for row in [["question", "answer"], *fields])


def a_parquet(path: Path) -> Path:
    pq.write_table(pa.Table.from_pylist(PAIRS), path, row_group_size=7)
    return path


@pytest.mark.parametrize("fragment_size", [100, 1000, 2**25])
@pytest.mark.parametrize(
    "name", ["x.jsonl", "x.jsonl.gz", "x.json", "x.json.gz", "x.csv", "x.tsv", "x.parquet"]
)
def test_every_format_gives_the_same_rows_however_it_is_cut(
    tmp_path: Path, name: str, fragment_size: int
) -> None:
    text = {"jsonl": lines(PAIRS), "json": json.dumps(PAIRS), "csv": as_csv(","), "tsv": as_csv("\t")}
    form = name.split(".")[1]
    path = tmp_path / name
    if form == "parquet":
        a_parquet(path)
    else:
        data = text[form].encode()
        put(tmp_path, name, gzip.compress(data) if name.endswith(".gz") else data)
    found = rows(Source(path=str(path)), fragment_size)
    assert said(found) == EXPECTED
    ids = [r["row_id"] for r in found]
    assert ids == sorted(set(ids))
    assert {r["file"] for r in found} == {name}
    assert {r["source"] for r in found} == {"x"}
    assert all(r["n_records"] == 1 and r["drop"] is None for r in found)


def test_parts_end_with_the_row_that_fills_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = put(tmp_path, "x.jsonl.gz", gzip.compress(lines(PAIRS).encode()))
    (source,) = inputs.resolve([Source(path=str(path))])
    (fragment,) = inputs.plan(source, 200)
    assert fragment.kind == "stream"
    parts = list(read_rows.read(fragment, source, fragment_size=200, seed=0))
    assert len(parts) > 10

    def size(table: pa.Table) -> int:
        return sum(32 + sum(len(m["content"]) for m in row) for row in table["messages"].to_pylist())

    assert all(size(p) >= 200 and size(p.slice(0, p.num_rows - 1)) < 200 for p in parts[:-1])
    ids = pa.concat_tables(parts)["row_id"].to_pylist()
    assert ids == list(range(60))
    from headrace.pipelines.stages.read import streams

    monkeypatch.setattr(streams, "CHUNK", 50)  # how it is buffered changes nothing
    assert [p.to_pylist() for p in read_rows.read(fragment, source, fragment_size=200, seed=0)] == [
        p.to_pylist() for p in parts
    ]


@settings(max_examples=30, deadline=None)
@given(st.lists(st.binary(max_size=40), max_size=20), st.integers(1, 200))
def test_any_bytes_balance_however_they_are_cut(
    tmp_path_factory: Any, content: list[bytes], fragment_size: int
) -> None:
    folder = tmp_path_factory.mktemp("any")
    good = lines(PAIRS[:3]).encode()
    put(folder, "x.jsonl", good + b"\n".join(content))
    source = Source(path=str(folder / "x.jsonl"), shape="question_answer")
    whole = rows(source)
    cut = rows(source, fragment_size)
    assert said(cut) == said(whole)
    assert len(whole) >= 3 or (len(whole) == 1 and whole[0]["error"])
    assert all((r["messages"] is None) == (r["error"] is not None) for r in whole)


def test_quarantined_rows_say_where_and_why_without_content(tmp_path: Path) -> None:
    bad = '{"question": "my secret", "answer": \n{"question": "my secret"}\n'
    bad += '{"question": "\\ud800", "answer": "x"}\n'
    put(tmp_path, "x.jsonl", lines(PAIRS[:1]) + bad)
    found = rows(Source(path=str(tmp_path / "x.jsonl")))[1:]
    assert [(r["place"], r["error"], r["messages"]) for r in found] == [
        ("line 2", "read.malformed_json", None),
        ("line 3", "read.missing_field", None),
        ("line 4", None, [{"role": "user", "content": "\ufffd"}, {"role": "assistant", "content": "x"}]),
    ]
    assert found[1]["detail"] == "no field 'answer'"
    assert "secret" not in json.dumps(found, default=str)


def test_group_time_and_meta(tmp_path: Path) -> None:
    stamps: list[Any] = [
        "2024-05-01T12:00:00+02:00",
        "2024-05-01",
        1714557600,
        "1714557600000",
        1714557600.5,
        "soon",
    ]
    stamps += [None, True, [], 10**30]
    records = [
        {"text": "x", "who": w, "at": a, "tag": i}
        for i, (w, a) in enumerate(zip("aabbccddee", stamps, strict=True))
    ]
    records.append({"text": "x", "who": None, "at": None, "tag": None})
    put(tmp_path, "x.jsonl", lines(records))
    found = rows(Source(path=str(tmp_path / "x.jsonl"), group="who", time="at", meta=["tag"]))  # type: ignore[arg-type]
    groups = [r["group"] for r in found]
    assert groups[0::2][:5] == groups[1::2][:5]
    assert len(set(groups)) == 6
    assert groups[-1] is None
    assert [t and t.isoformat() for t in (r["time"] for r in found)] == [
        "2024-05-01T10:00:00+00:00",
        "2024-05-01T00:00:00+00:00",
        "2024-05-01T10:00:00+00:00",
        "2024-05-01T10:00:00+00:00",
        "2024-05-01T10:00:00.500000+00:00",
        *[None] * 6,
    ]
    assert found[3]["meta"] == [("tag", "3")]
    assert found[-1]["meta"] == []


def test_a_file_that_vanishes_is_named(tmp_path: Path) -> None:
    path = put(tmp_path, "x.jsonl")
    (source,) = inputs.resolve([Source(path=str(path))])
    (fragment,) = inputs.plan(source, 2**20)
    os.unlink(path)
    with pytest.raises(SourceError, match=r"x\.jsonl was there when the run began and is gone"):
        list(read_rows.read(fragment, source, fragment_size=2**20, seed=0))


@pytest.mark.s3
def test_a_bucket_reads_as_a_directory_does(s3: str, tmp_path: Path) -> None:
    from headrace.cluster import storage

    names = {"a/x.jsonl": lines(PAIRS), "a/y.jsonl.gz": gzip.compress(lines(PAIRS).encode())}
    names |= {
        "a/_SUCCESS": "x",
        "b/z.parquet": a_parquet(tmp_path / "p").read_bytes(),
        "b/[odd] é.csv": as_csv(","),
    }
    for name, data in names.items():
        put(tmp_path, f"in/{name}", data)
        storage.put(storage.join(s3, "in", name), data.encode() if isinstance(data, str) else data)
    for path in ("in/a", "in/a/*.jsonl*", "in/b", "in/b/[odd] é.csv", "in/**/*.parquet"):
        here, there = Source(path=str(tmp_path / path)), Source(path=f"{s3}/{path}")
        assert inputs.named([here])[0].name == inputs.named([there])[0].name
        for size in (500, 2**25):
            assert rows(here, size) == rows(there, size)
    with pytest.raises(SourceError, match="path matched no files"):
        inputs.resolve([Source(path=f"{s3}/nothing")])


@pytest.mark.data
def test_real_sets_are_read_without_loss(shared_data: Path) -> None:
    taskmaster = {"messages": "utterances", "role": "speaker", "content": "text"}
    cases = [
        (Source(path=str(shared_data / "instruct/gsm8k/*.jsonl*")), 10_111),
        (Source(path=str(shared_data / "instruct/gpteacher/*.json.gz")), 14_131),
        (Source(path=str(shared_data / "instruct/llm-adapters/*.json*")), 31_170),
        (Source(path=str(shared_data / "dialogue/taskmaster4/*.json.gz"), columns=taskmaster), 3_710),  # type: ignore[arg-type]
        (Source(path=str(shared_data / "dialogue/banking77/*.csv")), 13_083),
    ]
    for source, expected in cases:
        found = rows(source, 2**20)
        assert len(found) == expected
        assert not [r for r in found if r["error"]]


def test_one_bad_record_does_not_hide_the_shape_of_the_others(tmp_path: Path) -> None:
    good = {"messages": [{"role": "user", "content": "hello"}, {"role": "assistant", "content": "hi"}]}
    put(tmp_path, "a.jsonl", lines([good, {"messages": "none"}, good]))
    found = rows(Source(path=str(tmp_path)))
    assert [r["error"] for r in found] == [None, "read.wrong_type", None]
