"""What a Parquet file claims, held against the file: the good pass unchanged, the others are named."""

import io
from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.cluster.parquet import footer, thrift
from headrace.cluster.parquet.thrift import BINARY, I32, I64, LIST, STRUCT, Struct


def file(rows: int = 100, **options: Any) -> bytes:
    table = pa.table(
        {
            "text": [f"text {n} é" for n in range(rows)],
            "turns": [[{"role": "user", "tags": ["a"] * (n % 3)}] for n in range(rows)],
        }
    )
    sink = io.BytesIO()
    pq.write_table(table, sink, row_group_size=30, **options)
    return sink.getvalue()


def parsed(data: bytes) -> Struct:
    length = int.from_bytes(data[-8:-4], "little")
    return thrift.read(data[-8 - length : -8])[0]


def with_footer(data: bytes, fields: Struct) -> bytes:
    length = int.from_bytes(data[-8:-4], "little")
    written = thrift.write(fields)
    return data[: -8 - length] + written + len(written).to_bytes(4, "little") + b"PAR1"


def read(data: bytes) -> footer.Footer:
    return footer.read(io.BytesIO(data), len(data))


def test_a_good_footer_says_what_arrow_says_of_it() -> None:
    data = file()
    found, theirs = read(data), pq.read_metadata(io.BytesIO(data))
    assert found.columns == ["text", "turns"]
    assert [g.rows for g in found.groups] == [30, 30, 30, 10]
    assert [g.stored for g in found.groups] == [
        sum(theirs.row_group(i).column(c).total_compressed_size for c in range(theirs.num_columns))
        for i in range(4)
    ]
    assert [(c.leaf.definition, c.leaf.repetition) for c in found.groups[0].chunks] == [
        (theirs.schema.column(c).max_definition_level, theirs.schema.column(c).max_repetition_level)
        for c in range(theirs.num_columns)
    ]


@pytest.mark.parametrize("options", [{}, {"write_page_index": True}, {"store_schema": False}])
def test_arrow_reads_the_same_with_the_footer_that_it_is_handed(options: dict[str, Any]) -> None:
    data = file(**options)
    metadata = pq.read_metadata(pa.BufferReader(read(data).for_arrow))
    handed = pq.ParquetFile(io.BytesIO(data), metadata=metadata)
    assert handed.read().equals(pq.read_table(io.BytesIO(data)))
    assert metadata.row_group(0).column(0).statistics is None


def set_rows(fields: Struct, rows: int) -> None:
    fields[3] = (I64, rows)
    group = fields[4][1][1][0]
    group[3] = (I64, rows - 70)


def column(fields: Struct) -> Struct:
    found: Struct = fields[4][1][1][0][1][1][1][0][3][1]
    return found


def rename(fields: Struct, name: bytes) -> None:
    fields[2][1][1][1][4] = (BINARY, name)


FILE: dict[str, tuple[Callable[[Struct], Any], str]] = {
    "name": (lambda f: rename(f, b"\xff"), "a column's name is no UTF-8"),
    "rows": (lambda f: set_rows(f, 2_000_000_000), "2000000000 rows are claimed in"),
    "negative": (lambda f: f.update({3: (I64, -1)}), "a negative number of rows"),
    "sum": (lambda f: f.update({3: (I64, 99)}), "do not have the rows"),
    "children": (lambda f: f[2][1][1][0].update({5: (I32, 9)}), "fewer columns than it says"),
    "more": (lambda f: f[2][1][1][0].update({5: (I32, 1)}), "more columns than it says"),
    "type": (lambda f: f.update({3: (I32, 100)}), "other types than Parquet's"),
    "encrypted": (lambda f: f.update({8: (STRUCT, {})}), "encrypted"),
}
GROUP: dict[str, tuple[Callable[[Struct], Any], str]] = {
    "histogram": (
        lambda f: column(f).update({16: (STRUCT, {2: (LIST, (I64, [1, 2, 3, 4]))})}),
        "a histogram of levels that the column does not have",
    ),
    "size": (lambda f: column(f).update({7: (I64, -5)}), "outside of the file"),
    "offset": (lambda f: column(f).update({9: (I64, 2**50)}), "outside of the file"),
    "unpacked": (lambda f: column(f).update({6: (I64, -(2**40))}), "outside of the file"),
    "values": (lambda f: column(f).update({5: (I64, 29)}), "another number of values than rows"),
    "kind": (lambda f: column(f).update({1: (I32, 1)}), "another type than the schema"),
    "columns": (lambda f: f[4][1][1][0][1][1][1].pop(), "another number of columns than the schema"),
}


def changed(change: Any) -> bytes:
    """A file whose footer was changed."""
    data = file()
    fields = parsed(data)
    change(fields)
    return with_footer(data, fields)


@pytest.mark.parametrize("kind", FILE)
def test_a_footer_that_cannot_be_is_named(kind: str) -> None:
    change, said = FILE[kind]
    with pytest.raises(footer.Damaged, match=said):
        read(changed(change))


@pytest.mark.parametrize("kind", GROUP)
def test_a_row_group_that_cannot_be_is_named_alone(kind: str) -> None:
    change, said = GROUP[kind]
    found = read(changed(change))
    first, *others = [g.problem for g in found.groups]
    assert said in str(first)
    assert others == [None] * 3
    assert found.groups[0].rows == 30


def test_what_has_no_footer_is_told_apart() -> None:
    for data in (b"", b"PAR1", b"no Parquet at all, of some length", file()[:-1]):
        with pytest.raises(footer.Missing):
            read(data)


def padded(element: int, values: list[Any]) -> bytes:
    """A good file whose footer has a field that Parquet does not know, with such a list."""
    data = file()
    return with_footer(data, {**parsed(data), 30: (LIST, (element, values))})


@pytest.mark.parametrize(
    ("element", "value"), [(STRUCT, {}), (I32, 0), (LIST, (I32, [0])), (STRUCT, {1: (thrift.TRUE, True)})]
)
def test_a_footer_has_a_limit_of_values(monkeypatch: pytest.MonkeyPatch, element: int, value: Any) -> None:
    monkeypatch.setattr(thrift, "MOST_VALUES", 10_000)
    assert len(read(padded(element, [value] * 4000)).groups) == 4
    with pytest.raises(footer.Damaged, match="a footer of more than 10000 values"):
        read(padded(element, [value] * 10_000))


def test_a_footer_has_a_limit_of_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(footer, "MOST_BYTES", 2**12)
    monkeypatch.setattr(footer, "LARGE", 2**10)
    assert len(read(file()).groups) == 4
    with pytest.raises(footer.Damaged, match=r"a footer of \d+ bytes"):
        read(padded(I32, [0] * 2**12))


values = st.deferred(lambda: st.one_of(numbers, structs))
numbers = st.one_of(
    st.integers(-(2**31), 2**31 - 1).map(lambda n: (I32, n)),
    st.integers(-(2**63), 2**63 - 1).map(lambda n: (I64, n)),
    st.binary(max_size=200).map(lambda b: (BINARY, b)),
    st.booleans().map(lambda b: (thrift.TRUE if b else thrift.FALSE, b)),
    st.lists(st.integers(-9, 9), max_size=40).map(lambda n: (LIST, (I32, n))),
)
structs = st.dictionaries(st.integers(0, 2000), numbers, max_size=5).map(lambda d: (STRUCT, d))


@given(st.dictionaries(st.integers(0, 2000), values, max_size=6))
def test_structs_come_back_as_they_were(fields: Struct) -> None:
    written = thrift.write(fields)
    assert thrift.read(written) == (fields, len(written))


@given(st.binary(max_size=60))
def test_any_bytes_are_a_struct_or_malformed(data: bytes) -> None:
    try:
        _, end = thrift.read(data)
    except thrift.Malformed:
        return
    assert end <= len(data)


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_a_damaged_footer_is_damaged_or_fits_the_file(draw: st.DataObject) -> None:
    data = bytearray(file())
    length = int.from_bytes(data[-8:-4], "little")
    for _ in range(draw.draw(st.integers(1, 4))):
        at = draw.draw(st.integers(len(data) - 8 - length, len(data) - 9))
        data[at] = draw.draw(st.integers(0, 255))
    try:
        found = read(bytes(data))
    except footer.Damaged:
        return
    for group in found.groups:
        assert all(4 <= c.start <= c.stop <= len(data) - 8 - length for c in group.chunks)


def test_an_empty_table_has_no_row_groups() -> None:
    assert read(file(0)).groups == []
