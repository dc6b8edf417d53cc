"""What a Parquet file claims of itself, read without Arrow and held against the file.

Arrow trusts much of a footer, and ends the process for some of what may stand there (statistics that
do not fit their column, for one). Here the footer is read by a reader of our own; what contradicts itself
or the file is said, by file or by row group, and Arrow is handed a footer that holds the checked fields
and no others. Nothing is allocated by a claim, and a footer has limits of its own, in bytes and in values:
the driver reads it, too.

Cost: about 50 microseconds a column of a row group, twice that with the footer for Arrow.
"""

import threading
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import cached_property
from typing import IO, Any

from headrace.cluster.parquet import thrift
from headrace.cluster.parquet.thrift import BINARY, I16, I32, I64, LIST, STRUCT, Struct

MAGIC = b"PAR1"
LEAST = 12  # bytes: both magics and the footer's length
MOST_BYTES = 2**27  # of a footer; Arrow has limits of that size as well
LARGE = 2**20  # bytes of a footer from which on no two are parsed at once
DEPTH = 100  # columns in each other
NAME_BYTES = 2**16
SPARE_ROWS = 2**20  # rows and values that a file of any size may claim
ROWS_A_BYTE = 16  # and for each of its bytes: equal values take next to nothing
BYTE_ARRAY, FIXED = 6, 7  # physical types
TYPES = 8
CODECS = 8

# Fields that Arrow is handed: what reading takes. Statistics, indexes and filters are not among them.
_ELEMENT = {1: I32, 2: I32, 3: I32, 4: BINARY, 5: I32, 6: I32, 7: I32, 8: I32, 9: I32, 10: STRUCT}
_FILE = {1: I32, 2: LIST, 3: I64, 4: LIST, 5: LIST, 6: BINARY}
_GROUP = {1: LIST, 2: I64, 3: I64, 5: I64, 6: I64, 7: I16}
_CHUNK = {2: I64, 3: STRUCT}
_COLUMN = {1: I32, 2: LIST, 3: LIST, 4: I32, 5: I64, 6: I64, 7: I64, 9: I64, 10: I64, 11: I64}


_one_at_a_time = threading.Lock()  # the driver reads the footers of many files in threads


class Damaged(Exception):  # noqa: N818 - it says what the file is
    """A footer that cannot be right; `detail` says why and never holds content."""

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


class Missing(Damaged):
    """A file that does not end with a footer: cut off, or no Parquet file."""


@dataclass(frozen=True)
class Leaf:
    """A column that holds values."""

    root: str  # the top column that it is a part of
    kind: int  # physical type
    width: int  # bytes of a value of fixed length, else 0
    definition: int  # highest levels
    repetition: int


@dataclass(frozen=True)
class Chunk:
    """The values of one column in one row group, as the footer claims them."""

    leaf: Leaf
    start: int  # offset of the first page
    stored: int  # bytes of all pages
    size: int  # the same, unpacked
    values: int
    codec: int
    encodings: tuple[int, ...]

    @property
    def stop(self) -> int:
        """Offset behind the last page."""
        return self.start + self.stored


@dataclass(frozen=True)
class Group:
    """One row group; `problem` says why it cannot be read, where it cannot."""

    rows: int
    size: int  # bytes unpacked
    stored: int  # bytes of all its columns
    chunks: tuple[Chunk, ...] = ()
    problem: str | None = None


@dataclass
class Footer:
    """A checked footer."""

    columns: list[str]  # the top ones, in their order
    groups: list[Group]
    _parsed: Struct = field(repr=False)

    @cached_property
    def for_arrow(self) -> bytes:
        """A file without rows whose footer is this one, with the fields that reading takes and no others."""
        metadata = thrift.write(self._parsed)
        return MAGIC + metadata + len(metadata).to_bytes(4, "little") + MAGIC


def read(file: IO[bytes], size: int) -> Footer:
    """The footer of an open Parquet file of `size` bytes. Raises: Damaged, Missing, what reading raises."""
    if size < LEAST:
        raise Missing("too short for a Parquet file")
    file.seek(size - 8)
    end = file.read(8)
    length = int.from_bytes(end[:4], "little")
    if end[4:] != MAGIC or length > size - LEAST:
        raise Missing("the Parquet file has no readable footer")
    if length > MOST_BYTES:
        raise Damaged(f"a footer of {length} bytes")
    file.seek(size - 8 - length)
    data = file.read(length)
    try:
        with _one_at_a_time if length > LARGE else nullcontext():
            return _checked(thrift.read(data)[0], size - 8 - length)
    except thrift.TooMany:
        raise Damaged(f"a footer of more than {thrift.MOST_VALUES} values") from None
    except thrift.Malformed:
        raise Damaged("a footer that cannot be decoded") from None


def _picked(fields: Struct, kinds: dict[int, int]) -> Struct:
    """The named fields that are there. Raises: Damaged for one of another type."""
    found = {n: fields[n] for n in kinds if n in fields}
    if any(kind != kinds[n] for n, (kind, _) in found.items()):
        raise Damaged("a footer whose fields have other types than Parquet's")
    return found


def _items(fields: Struct, number: int, kind: int) -> list[Any]:
    """A list of such elements, empty where there is none."""
    found, values = fields.get(number, (LIST, (kind, [])))[1]
    if values and found != kind:
        raise Damaged("a footer whose lists have other types than Parquet's")
    return list(values)


def _checked(parsed: Struct, end: int) -> Footer:
    """`parsed` held against itself and against the file's bytes before `end`, where the footer begins."""
    if 8 in parsed:
        raise Damaged("the Parquet file is encrypted")
    elements = [_picked(e, _ELEMENT) for e in _items(_picked(parsed, {2: LIST}), 2, STRUCT)]
    leaves, columns = _leaves(elements)
    top = _picked(parsed, _FILE)
    groups, structs = [], []
    for fields in _items(top, 4, STRUCT):
        picked = _picked(fields, _GROUP)
        if picked.get(3, (I64, -1))[1] == 0:  # an empty table's: its columns lie nowhere
            continue
        group, struct = _group(picked, leaves, end)
        groups.append(group)
        structs.append(struct)
    rows = top.get(3, (I64, -1))[1]
    if rows < 0 or any(g.rows < 0 for g in groups):
        raise Damaged("a negative number of rows")
    if rows != sum(g.rows for g in groups):
        raise Damaged("its row groups do not have the rows that the footer claims")
    if rows > SPARE_ROWS + ROWS_A_BYTE * end:
        raise Damaged(f"{rows} rows are claimed in {end} bytes")
    if sum(c.stored for g in groups for c in g.chunks) > end:
        raise Damaged("its columns claim more bytes than the file has")
    top[2] = (LIST, (STRUCT, elements))
    top[3] = (I64, rows)
    top[4] = (LIST, (STRUCT, structs))
    if 5 in top:
        pairs = [_picked(p, {1: BINARY, 2: BINARY}) for p in _items(top, 5, STRUCT)]
        top[5] = (LIST, (STRUCT, [p for p in pairs if p.get(1, (0, b""))[1] == b"ARROW:schema"]))
    return Footer(columns, groups, top)


def _leaves(elements: list[Struct]) -> tuple[list[Leaf], list[str]]:
    """The columns with values and the names of the top ones, of a schema as the footer lists it."""
    leaves: list[Leaf] = []
    columns: list[str] = []
    # Of the nodes that are open: children to come, definition and repetition levels, name of the top column.
    open_nodes: list[list[Any]] = []
    for place, element in enumerate(elements):
        children = element.get(5, (I32, 0))[1]
        try:
            name = element[4][1].decode()
        except UnicodeDecodeError:
            raise Damaged("a column's name is no UTF-8") from None
        except KeyError:
            raise Damaged("a column without a name") from None
        if children < 0 or len(name) > NAME_BYTES or len(open_nodes) > DEPTH:
            raise Damaged("a schema that cannot be")
        if place == 0:
            open_nodes.append([children, 0, 0, ""])
            continue
        if not open_nodes:
            raise Damaged("a schema with more columns than it says")
        above = open_nodes[-1]
        above[0] -= 1
        repeated = element.get(3, (I32, -1))[1]
        if not 0 <= repeated <= 2:
            raise Damaged("a column that is neither required, optional nor repeated")
        definition, repetition = above[1] + (repeated > 0), above[2] + (repeated == 2)
        root = above[3] or name
        if len(open_nodes) == 1:
            columns.append(name)
        if children or 1 not in element:
            open_nodes.append([children, definition, repetition, root])
        else:
            leaves.append(_leaf(element, root, definition, repetition))
        while open_nodes and open_nodes[-1][0] == 0:
            open_nodes.pop()
    if (open_nodes and open_nodes[0][0]) or not elements:
        raise Damaged("a schema with fewer columns than it says")
    return leaves, columns


def _leaf(element: Struct, root: str, definition: int, repetition: int) -> Leaf:
    kind, width = element[1][1], element.get(2, (I32, 0))[1]
    if not 0 <= kind < TYPES or width < 0 or (kind == FIXED and not width):
        raise Damaged("a column of a type that Parquet does not have")
    return Leaf(root, kind, width if kind == FIXED else 0, definition, repetition)


def _group(fields: Struct, leaves: list[Leaf], end: int) -> tuple[Group, Struct]:
    """One row group and its struct for Arrow; one that contradicts itself keeps its rows alone."""
    rows = fields.get(3, (I64, -1))[1]
    size = fields.get(2, (I64, 0))[1]
    columns = _items(fields, 1, STRUCT)
    try:
        if len(columns) != len(leaves):
            raise Damaged("a row group with another number of columns than the schema")
        if size < 0:
            raise Damaged("a negative size")
        chunks, structs = [], []
        for column, leaf in zip(columns, leaves, strict=True):
            chunk, struct = _chunk(column, leaf, rows, end)
            chunks.append(chunk)
            structs.append(struct)
    except Damaged as damage:
        # Arrow gets no column of it, and is never asked for it.
        stored = min(max(fields.get(6, (I64, 0))[1], 0), end)
        return Group(rows, 0, stored, (), damage.detail), {
            1: (LIST, (STRUCT, [])),
            2: (I64, 0),
            3: (I64, rows),
        }
    return Group(rows, size, sum(c.stored for c in chunks), tuple(chunks)), {
        **fields,
        1: (LIST, (STRUCT, structs)),
    }


def _chunk(column: Struct, leaf: Leaf, rows: int, end: int) -> tuple[Chunk, Struct]:
    if 1 in column:
        raise Damaged("a column that lies in another file")
    if 8 in column:
        raise Damaged("an encrypted column")
    outer = _picked(column, _CHUNK)
    if 3 not in outer:
        raise Damaged("a column without its metadata")
    inner = _picked(outer[3][1], _COLUMN)
    if any(number not in inner for number in (1, 2, 3, 4, 5, 6, 7, 9)):
        raise Damaged("a column without its metadata")
    kind, codec, values, size, stored, data = (inner[n][1] for n in (1, 4, 5, 6, 7, 9))
    encodings = tuple(_items(inner, 2, I32))
    _items(inner, 3, BINARY)
    start = data
    if 11 in inner and 0 < inner[11][1] < data:
        start = inner[11][1]
    if kind != leaf.kind or not 0 <= codec < CODECS:
        raise Damaged("a column of another type than the schema says")
    if min(values, size, stored) < 0 or start < len(MAGIC) or not start <= data <= start + stored <= end:
        raise Damaged("a column that lies outside of the file")
    if values < rows or (values > rows and not leaf.repetition):
        raise Damaged("a column with another number of values than rows")
    if values > SPARE_ROWS + ROWS_A_BYTE * end:
        raise Damaged(f"{values} values are claimed in {end} bytes")
    _check_histograms(outer[3][1], leaf)
    outer[3] = (STRUCT, inner)
    outer.setdefault(2, (I64, 0))
    return Chunk(leaf, start, stored, size, values, codec, encodings), outer


def _check_histograms(metadata: Struct, leaf: Leaf) -> None:
    """Raises: Damaged where the size statistics are of a column of other levels: Arrow ends for it."""
    kind, statistics = metadata.get(16, (STRUCT, {}))
    if kind != STRUCT:
        raise Damaged("a footer whose fields have other types than Parquet's")
    for number, levels in ((2, leaf.repetition), (3, leaf.definition)):
        if number in statistics and statistics[number][0] != LIST:
            raise Damaged("a footer whose fields have other types than Parquet's")
        counts = _items(statistics, number, I64)
        if counts and len(counts) != levels + 1:
            raise Damaged("a histogram of levels that the column does not have")
