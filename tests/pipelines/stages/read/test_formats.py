"""Reading every format: what is a record, what is quarantined, and that nothing raises."""

import csv
import gzip
import io
import json
import tempfile
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.pipelines.stages.read import formats, json_text, records, streams, tabular
from headrace.pipelines.stages.read.files import archives
from headrace.pipelines.stages.read.formats import Format
from headrace.pipelines.stages.read.records import MEMORY_LIMIT

Seen = list[tuple[str, Any]]  # (place, record or cause)


def read(path: Path, form: Format, start: int = 0, stop: int = -1, memory: int = MEMORY_LIMIT) -> Seen:
    """Every record of a file with its place; a cause where it could not be read."""
    found: Seen = []
    for batch in formats.read(str(path), path.stat().st_size, form, None, start, stop, memory=memory):
        for i, (record, place) in enumerate(zip(batch.records, batch.places, strict=True)):
            error = batch.errors.get(i)
            found.append((f"{batch.unit} {place}", error.cause if error else record))
    return found


def lost(path: Path, form: Format, memory: int = MEMORY_LIMIT) -> list[int | None]:
    batches = formats.read(str(path), path.stat().st_size, form, memory=memory)
    return [e.bytes_lost for b in batches for e in b.errors.values()]


def details(path: Path, form: Format, memory: int) -> list[str]:
    batches = formats.read(str(path), path.stat().st_size, form, memory=memory)
    return [e.detail for b in batches for e in b.errors.values()]


def values(seen: Seen) -> list[Any]:
    return [v for _, v in seen]


def put(folder: Path, name: str, data: bytes) -> Path:
    path = folder / name
    path.write_bytes(data)
    return path


# ---- lines


def test_jsonl_bad_lines_are_lost_alone(tmp_path: Path) -> None:
    data = b'\xef\xbb\xbf{"a": 1}\n\n  \t\r\n{"a": 2}\r\n'
    data += b'{"a": \n[1]\n"x"\nnull\n{"a": "\xff"}\n{"a":3} x\n{"a": 4}'
    assert read(put(tmp_path, "x.jsonl", data), "jsonl") == [
        ("line 1", {"a": 1}),
        ("line 4", {"a": 2}),
        ("line 5", "read.malformed_json"),
        ("line 6", "read.wrong_type"),
        ("line 7", "read.wrong_type"),
        ("line 8", "read.wrong_type"),
        ("line 9", {"a": "\ufffd"}),
        ("line 10", "read.malformed_json"),
        ("line 11", {"a": 4}),
    ]


@pytest.mark.parametrize(
    ("data", "cause"),
    [
        (b"PAR1" + bytes(50), "read.binary"),
        (bytes(range(256)) * 20, "read.binary"),
        (b"%PDF-1.7\n" + bytes(range(256)), "read.binary"),
        (b"7z\xbc\xaf\x27\x1c" + bytes(50), "read.binary"),
        (b"(\0\0\0\0\0\0\0\1\0\0\0" + b"x" * 40, "read.binary"),  # a record of tensors
        (b"\x0a\x05hello\x12\x05world" * 20, "read.binary"),
        (b"\x82\xa8question\xa3abc\xa6answer\xa3def" * 20, "read.binary"),
        (bytes(8) + b"DUCK" + bytes(300), "read.binary"),
        (b"\x93NUMPY\x01\x00v\x00{'descr': '<U67'}", "read.binary"),
        (b"\x80\x04\x95" + bytes(30), "read.binary"),
    ],
)
def test_what_is_no_text_is_one_record(tmp_path: Path, data: bytes, cause: str) -> None:
    path = put(tmp_path, "x.jsonl", data)
    assert values(read(path, "jsonl")) == [cause]
    assert lost(path, "jsonl") == [len(data)]
    # Cut in two, the first range alone speaks for the file.
    assert values(read(path, "jsonl", 0, 10)) == [cause]
    assert read(path, "jsonl", 10, len(data)) == []


@pytest.mark.parametrize(
    "data",
    [
        b"\x1b[31mred\x1b[0m and \x07 a bell\n" * 20,
        b"a\x01b\nc\x01d\n" * 20,
        "■About this\n".encode("cp932") * 20,
        b"zeros behind it\n" * 20 + bytes(500),
    ],
)
def test_text_with_characters_of_terminals_and_tables_is_text(tmp_path: Path, data: bytes) -> None:
    assert streams.unreadable(streams.look(str(put(tmp_path, "x.txt", data)))) is None


def test_nested_too_deeply_is_quarantined_at_a_bound_of_our_own(tmp_path: Path) -> None:
    deep = records.DEPTH_LIMIT + 5
    lines = [b'{"a": ' + b"[" * n + b"]" * n + b"}" for n in (records.DEPTH_LIMIT - 5, deep, 100_000)]
    lines.append(b'{"a": [' + b",".join([b"{}"] * deep) + b"]}")
    cases: list[tuple[Format, bytes]] = [("jsonl", b"\n".join(lines))]
    cases.append(("json", b"[" + lines[1] + b"," + lines[3] + b"]"))
    for form, data in cases:
        causes = [v if isinstance(v, str) else "" for v in values(read(put(tmp_path, "x", data), form))]
        expected = ["", "read.malformed_json", "read.malformed_json", ""]
        assert causes == (expected if form == "jsonl" else expected[2:])


def test_a_line_over_the_limit_is_skipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "CHUNK", 64)
    long = b'{"a": "' + b"x" * 500 + b'"}'
    path = put(tmp_path, "x.jsonl", b'{"a": 1}\n' + long + b'\n{"a": 2}\n' + long)
    assert read(path, "jsonl", memory=3200) == [
        ("line 1", {"a": 1}),
        ("line 2", "read.too_long"),
        ("line 3", {"a": 2}),
        ("line 4", "read.too_long"),
    ]
    assert lost(path, "jsonl", 3200) == [len(long) + 1, len(long)]
    why = "a line of 509 bytes, over 100, a 32nd of the source's memory: `memory: 1GiB` takes it"
    assert details(path, "jsonl", 3200)[1] == why
    assert values(read(path, "jsonl", memory=32 * 600))[1] == {"a": "x" * 500}


lines_of_json = st.lists(
    st.one_of(
        st.binary(max_size=30).map(lambda b: b.replace(b"\n", b"")),
        st.dictionaries(st.text(max_size=3), st.text(max_size=20) | st.integers(), max_size=3).map(
            lambda d: json.dumps(d, ensure_ascii=False).encode("utf-8", "surrogatepass")
        ),
    ),
    max_size=30,
).map(b"\n".join)


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=400) | lines_of_json)
def test_any_bytes_as_jsonl_give_one_entry_a_record(data: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = put(Path(folder), "x.jsonl", data)
        seen = read(path, "jsonl")
        look = streams.look(str(path))
        assert look.encoding.other is not None  # looked at while the file is there
        archive = archives.kind(str(path), look.start)
    if archive is not None:  # four bytes are enough for an empty one
        return
    if streams.unreadable(look):
        assert len(seen) == 1
        return
    if json_text.spread(look) or not look.encoding.by_lines or look.carriage or look.packed:
        return
    lines = data.removeprefix(look.encoding.mark).split(b"\n")
    assert [place for place, _ in seen] == [f"line {i + 1}" for i, x in enumerate(lines) if x.strip()]
    for (_, value), line in zip(seen, [x for x in lines if x.strip()], strict=True):
        expected = json_text.parse(look.encoding.text(line)[0])
        assert value == expected if type(expected) is dict else value in CAUSES


CAUSES = {"read.malformed_json", "read.wrong_type"}


@settings(max_examples=100, deadline=None)
@given(lines_of_json, st.lists(st.integers(0, 600), max_size=6), st.integers(1, 40))
def test_a_line_belongs_to_the_range_in_which_it_begins(data: bytes, cuts: list[int], chunk: int) -> None:
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        path = put(Path(folder), "x.jsonl", data)
        whole = values(read(path, "jsonl"))
        patch.setattr(streams, "CHUNK", chunk)
        edges = sorted({0, len(data), *(c for c in cuts if c < len(data))})
        pieces = [read(path, "jsonl", a, b) for a, b in pairwise(edges)]
        assert values(read(path, "jsonl")) == whole
    if data:
        assert [v for piece in pieces for v in values(piece)] == whole


# ---- compression


def compressed(name: str, data: bytes) -> bytes:
    return gzip.compress(data, mtime=0) if name.endswith("gz") else zstandard.ZstdCompressor().compress(data)


def some_lines(n: int) -> bytes:
    return b"".join(b'{"i": %d, "x": "%s"}\n' % (i, str(hash((i, 1))).encode()) for i in range(n))


@pytest.mark.parametrize("name", ["x.jsonl.gz", "x.jsonl.zst"])
def test_compressed_members_follow_each_other(tmp_path: Path, name: str) -> None:
    data = compressed(name, some_lines(50)) + compressed(name, some_lines(3))
    assert len(read(put(tmp_path, name, data), "jsonl")) == 53


@pytest.mark.parametrize("name", ["x.jsonl.gz", "x.jsonl.zst"])
def test_truncated_compressed_data_lose_the_remainder_only(tmp_path: Path, name: str) -> None:
    data = compressed(name, some_lines(30_000))
    seen = values(read(put(tmp_path, name, data[: len(data) * 2 // 3]), "jsonl"))
    assert seen[-1] == "read.truncated"
    assert [v["i"] for v in seen[:-1]] == list(range(len(seen) - 1))
    assert len(seen) > 5000


@pytest.mark.parametrize("name", ["x.jsonl.gz", "x.jsonl.zst"])
@pytest.mark.parametrize("damage", ["at the beginning", "midway"])
def test_damaged_compressed_data_are_one_record(tmp_path: Path, name: str, damage: str) -> None:
    data = bytearray(compressed(name, some_lines(30_000)))
    at = 0 if damage == "at the beginning" else len(data) // 2
    data[at : at + 40] = bytes(40 * [0xA5])
    seen = values(read(put(tmp_path, name, bytes(data)), "jsonl"))
    bad = [v for v in seen if isinstance(v, str)]
    assert seen[-1] in ("read.corrupt", "read.truncated", "read.malformed_json")
    assert bad
    assert (len(seen) == 1) == (damage == "at the beginning")


def test_a_compressed_file_that_grows_a_lot_comes_in_small_chunks(tmp_path: Path) -> None:
    for name in ("x.gz", "x.zst"):
        path = put(tmp_path, name, compressed(name, bytes(50_000_000)))
        sizes = [len(c) for c in streams.chunks(str(path))]
        assert sum(sizes) == 50_000_000
        assert max(sizes) <= 2**25


# ---- JSON


@pytest.mark.parametrize("chunk", [7, 64, 2**20])
def test_a_json_array_is_read_element_by_element(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chunk: int
) -> None:
    monkeypatch.setattr(streams, "CHUNK", chunk)
    elements = [{"i": i, "text": 'é"]},{ \\ \u2028😀' * (i % 7), "n": -1.5e10} for i in range(200)] + [
        7,
        "x",
        None,
    ]
    for text in (json.dumps(elements), json.dumps(elements, indent=2, ensure_ascii=False)):
        seen = read(put(tmp_path, "x.json", text.encode()), "json")
        assert seen == [(f"record {i + 1}", e) for i, e in enumerate(elements[:200])] + [
            (f"record {i}", "read.wrong_type") for i in (201, 202, 203)
        ]


@pytest.mark.parametrize("data", [b"", b"  \n", b"[]", b" [ ]\n", b"\xef\xbb\xbf[]"])
def test_no_records_in_json(tmp_path: Path, data: bytes) -> None:
    assert read(put(tmp_path, "x.json", data), "json") == []


@pytest.mark.parametrize(
    ("data", "expected", "rest"),
    [
        (b'[{"a": 1}, {"a": 2', [{"a": 1}, "read.truncated"], 7),
        (b'[{"a": 1}, {"a": "', [{"a": 1}, "read.truncated"], 7),
        (b'[{"a": 1}', [{"a": 1}, "read.truncated"], 0),
        (b'[{"a": 1},', [{"a": 1}, "read.truncated"], 0),
        (
            b'[{"a": 1}, {"a": nope, "long enough": "to be no cut"}, {"a": 3}]',
            [{"a": 1}, "read.malformed_json"],
            53,
        ),
        (b'[{"a": 1} {"a": 2}]', [{"a": 1}, "read.malformed_json"], 9),
        (b'[{"a": 1}] and more', [{"a": 1}, "read.malformed_json"], 8),
    ],
)
def test_broken_json_arrays(tmp_path: Path, data: bytes, expected: list[Any], rest: int | None) -> None:
    path = put(tmp_path, "x.json", data)
    assert values(read(path, "json")) == expected
    assert lost(path, "json") == [rest]


def test_a_bad_byte_in_a_json_array_costs_nothing(tmp_path: Path) -> None:
    path = put(tmp_path, "x.json", b'[{"a": "\xff"}, {"a": 2}]')
    (batch,) = formats.read(str(path), path.stat().st_size, "json")
    assert batch.records == [{"a": "\ufffd"}, {"a": 2}]
    assert batch.repaired == {0: 1}


def test_a_bad_byte_in_an_array_is_replaced(tmp_path: Path) -> None:
    path = put(tmp_path, "x.json", b'[{"a": "\xff"}, {"a": 2},]')
    assert values(read(path, "json")) == [{"a": "\ufffd"}, {"a": 2}]


def test_a_truncated_compressed_array_keeps_what_came_before(tmp_path: Path) -> None:
    data = gzip.compress(json.dumps([{"i": i, "x": str(hash((i, 2)))} for i in range(20_000)]).encode())
    seen = values(read(put(tmp_path, "x.json.gz", data[: len(data) // 2]), "json"))
    assert seen[-1] == "read.truncated"
    assert len(seen) > 3000


def test_an_element_over_the_limit_ends_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "CHUNK", 64)
    data = json.dumps([{"a": 1}, {"a": "x" * 1000}, {"a": 2}]).encode()
    path = put(tmp_path, "x.json", data)
    assert values(read(path, "json", memory=3200)) == [{"a": 1}, "read.too_long"]
    (why,) = details(path, "json", 3200)
    assert why == "a record over 100 bytes, a 32nd of the source's memory: `memory: 1GiB` takes twice as much"
    assert values(read(path, "json", memory=32 * 2000)) == json.loads(data)


def test_json_that_is_lines_is_read_as_lines(tmp_path: Path) -> None:
    path = put(tmp_path, "x.json", b'{"a": 1}\nbroken\n{"a": 2}\n')
    assert values(read(path, "json")) == [{"a": 1}, "read.malformed_json", {"a": 2}]
    path = put(tmp_path, "y.json", b'{\n "a": 1,\n "b": [\n{"c": 1}\n]}\n{"a": 2}')
    assert values(read(path, "json")) == [{"a": 1, "b": [{"c": 1}]}, {"a": 2}]


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=300), st.sampled_from(["json", "csv", "tsv", "text", "parquet"]))
def test_any_bytes_in_any_format_do_not_raise(data: bytes, form: Format) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for name in ("x", "x.gz", "x.zst"):
            read(put(Path(folder), name, data), form)
        read(put(Path(folder), "y.gz", gzip.compress(data, mtime=0)), form)
        read(put(Path(folder), "z", b"[" + data), form)


# ---- CSV and TSV

# Where one in twenty is a control character that no text has, a file is taken for no text at all.
controls = streams.CONTROLS.decode()
fields = st.text(st.characters(exclude_categories=["Cs"], exclude_characters=f"\r{controls}"), max_size=12)


@settings(max_examples=80, deadline=None)
@given(st.lists(st.tuples(fields, fields), max_size=30), st.sampled_from(["csv", "tsv"]))
def test_csv_holds_newlines_quotes_and_delimiters(rows: list[tuple[str, str]], form: Format) -> None:
    sink = io.StringIO(newline="")
    writer = csv.writer(sink, delimiter="," if form == "csv" else "\t", quoting=csv.QUOTE_ALL)
    writer.writerows([("one", "two"), *rows])
    with tempfile.TemporaryDirectory() as folder:
        seen = values(read(put(Path(folder), "x", sink.getvalue().encode()), form))
    assert seen == [{"one": a, "two": b} for a, b in rows]


def test_bad_csv_records(tmp_path: Path) -> None:
    data = b'a,b\n1,2\n\n1,2,3\n1\n"x\ny",\xff\n"p"q,r\n5,"6 ""7"""\n'
    assert read(put(tmp_path, "x.csv", data), "csv") == [
        ("line 2", {"a": "1", "b": "2"}),
        ("line 4", "read.wrong_columns"),
        ("line 5", "read.wrong_columns"),
        ("line 6", {"a": "x\ny", "b": "\ufffd"}),
        ("line 8", "read.malformed_csv"),
        ("line 9", {"a": "5", "b": '6 "7"'}),
    ]


def test_a_stray_quote_costs_its_own_line(tmp_path: Path) -> None:
    data = b'a,b\n1,2\n"3,4\n5,6\n7,8\n"9",10\n11,12\n"13,14\n15,16\n'
    seen = values(read(put(tmp_path, "x.csv", data), "csv"))
    assert [v if isinstance(v, str) else v["a"] for v in seen] == [
        *("1", "read.malformed_csv", "5", "7", "9", "11", "read.malformed_csv", "15"),
    ]


@pytest.mark.parametrize("data", [b"", b"a,b\n", b"\n\n"])
def test_csv_without_records(tmp_path: Path, data: bytes) -> None:
    assert read(put(tmp_path, "x.csv", data), "csv") == []


def test_a_broken_header_loses_the_file(tmp_path: Path) -> None:
    data = b'a,"b\n1,2\n'
    path = put(tmp_path, "x.csv", data)
    assert values(read(path, "csv")) == ["read.malformed_csv"]
    assert lost(path, "csv") == [len(data)]


# ---- Parquet


def a_parquet(folder: Path, n: int = 1000, group: int = 100) -> Path:
    table = pa.table({"i": list(range(n)), "text": [f"text {i} é" for i in range(n)]})
    pq.write_table(
        table, folder / "x.parquet", row_group_size=group, compression="none", use_dictionary=False
    )
    return folder / "x.parquet"


def test_parquet_by_row_groups(tmp_path: Path) -> None:
    path = a_parquet(tmp_path)
    seen = read(path, "parquet", 3, 5)
    assert seen[0] == ("row 301", {"i": 300, "text": "text 300 é"})
    assert [v["i"] for v in values(seen)] == list(range(300, 500))
    assert len(read(path, "parquet")) == 1000


def test_only_the_columns_that_are_looked_at(tmp_path: Path) -> None:
    path = a_parquet(tmp_path, 10)
    (batch,) = tabular.parquet(str(path), 0, ["text", "absent"], 0, -1)
    assert batch.records[3] == {"text": "text 3 é"}
    (batch,) = tabular.parquet(str(path), 0, ["absent"], 0, -1)
    assert (len(batch.records), batch.places[-1]) == (10, 10)


def test_truncated_parquet_is_one_record(tmp_path: Path) -> None:
    data = a_parquet(tmp_path).read_bytes()
    path = put(tmp_path, "y.parquet", data[: len(data) // 2])
    assert values(read(path, "parquet")) == ["read.truncated"]
    assert lost(path, "parquet") == [len(data) // 2]
    assert values(read(put(tmp_path, "z.parquet", b"no parquet at all"), "parquet")) == ["read.binary"]


def test_a_damaged_row_group_is_lost_alone(tmp_path: Path) -> None:
    path = a_parquet(tmp_path)
    at = pq.read_metadata(path).row_group(4).column(1).data_page_offset
    data = bytearray(path.read_bytes())
    data[at : at + 30] = bytes(30 * [0xFF])
    seen = values(read(put(tmp_path, "y.parquet", bytes(data)), "parquet"))
    assert [v for v in seen if isinstance(v, str)] == ["read.corrupt"]
    assert {v["i"] for v in seen if isinstance(v, dict)} >= {*range(400), *range(500, 1000)}


def test_invalid_text_in_parquet_is_replaced_or_lost_alone(tmp_path: Path) -> None:
    raw = pa.array([b"fine", b"\xff\xfe", b"good"], pa.binary())
    text = pa.Array.from_buffers(pa.string(), 3, raw.buffers())
    pq.write_table(pa.table({"a": text}), tmp_path / "x.parquet")
    seen = values(read(tmp_path / "x.parquet", "parquet"))
    assert seen == [{"a": "fine"}, {"a": "\ufffd\ufffd"}, {"a": "good"}]
    nested = pa.StructArray.from_arrays([text], ["b"])
    pq.write_table(pa.table({"a": nested}), tmp_path / "y.parquet")
    seen = values(read(tmp_path / "y.parquet", "parquet"))
    assert seen == [{"a": {"b": "fine"}}, "read.bad_utf8", {"a": {"b": "good"}}]


def test_narrow_floats_are_their_shortest_decimals(tmp_path: Path) -> None:
    narrow = pa.array([19.9, None, 1e-7], pa.float32())
    inner = pa.StructArray.from_arrays([narrow], ["x"])
    lists = pa.array([[0.1], None, []], pa.list_(pa.float16()))
    table = pa.table({"a": narrow, "b": inner, "c": lists, "d": pa.array([19.9, 0.1, 1e300])})
    pq.write_table(table, tmp_path / "x.parquet")
    assert values(read(tmp_path / "x.parquet", "parquet")) == [
        {"a": 19.9, "b": {"x": 19.9}, "c": [0.1], "d": 19.9},
        {"a": None, "b": {"x": None}, "c": None, "d": 0.1},
        {"a": 1e-7, "b": {"x": 1e-7}, "c": [], "d": 1e300},
    ]


def test_parquet_compressed_as_a_whole(tmp_path: Path) -> None:
    path = put(tmp_path, "y.parquet.gz", gzip.compress(a_parquet(tmp_path).read_bytes(), mtime=0))
    assert len(read(path, "parquet")) == 1000


# ---- text and names


def test_a_text_file_is_one_record(tmp_path: Path) -> None:
    path = put(tmp_path, "x.txt", "\ufeffone\n\ntwo é\n".encode())
    assert read(path, "text") == [("line 1", {"text": "one\n\ntwo é\n"})]
    assert values(read(put(tmp_path, "y.txt", b"one \xff"), "text")) == [{"text": "one \ufffd"}]


def test_formats_by_name_and_content(tmp_path: Path) -> None:
    names = {
        "a.jsonl": "jsonl",
        "A.JSON.GZ": "json",
        "b.tsv.zst": "tsv",
        "x.parquet": "parquet",
        "LICENSE": None,
    }
    assert {n: formats.of_name(n) for n in names} == names
    contents = {b"[1]": "json", b'{"a": 1}\n{"a": 2}\n': "jsonl", b'{\n"a": 1}': "json", b"some text": "text"}
    assert {d: formats.of_content(str(put(tmp_path, "x", d))) for d in contents} == contents
