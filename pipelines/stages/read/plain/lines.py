"""Blocks of JSON lines as turns, where all lines are plain: no record is made of them.

What: the roles and the contents of all turns of a block, end to end, by Arrow's JSON reader; None where any
line of it is anything else than `Asked` says, and then its lines are parsed to records one by one. The rows
are the same either way.

Why not all lines: Arrow refuses what Python's parser takes (a name that comes twice, NaN, half a surrogate,
one column of several types), and takes what it refuses: two records in one line, or one over several.

Cost: three to four nanoseconds a byte, against sixteen of records; in vain, one block in several (`Tries`).
"""

import io
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json as pj
from numpy.typing import NDArray

from headrace.pipelines import structure
from headrace.pipelines.stages.read.records import Turns

NEWLINE, RETURN, OPENS, CLOSES = b"\n\r{}"
BLANKS = b" \t\r"
VAIN = 3  # blocks in a row
DEPTH = 32  # of lists and objects in each other; deeper ones are left to Python's parser


class Asked(NamedTuple):
    """What stands in each line, or in each turn of the list under `turns`.

    texts: names of texts, in their order; optional: those that may be null or absent. empty, empty_in_turn:
    names under which nothing may stand but what says nothing (null, false, "", [], {}); never_in_turn: not
    even that, only null. speaker: the name of who speaks in a turn; words: the role of each.

    Where a line holds no list, `roles` are those of its texts. input: the second of three texts belongs to
    the first, below an empty line.
    """

    texts: tuple[str, ...]
    optional: tuple[str, ...] = ()
    empty: tuple[str, ...] = ()
    roles: tuple[str, ...] = ()
    input: bool = False
    turns: str | None = None
    speaker: str = ""
    words: Mapping[str, str] = {}
    empty_in_turn: tuple[str, ...] = ()
    never_in_turn: tuple[str, ...] = ()


class Tries:
    """Which blocks of a file are worth trying: after `VAIN` in vain, as many are let pass by each time as
    have been in vain so far. An odd line in every block costs one block in several, not all."""

    def __init__(self) -> None:
        self._vain = self._waits = 0

    def due(self) -> bool:
        """Whether to try this block."""
        self._waits -= 1
        return self._waits < 0

    def tried(self, *, plain: bool) -> None:
        """What came of it."""
        self._vain = 0 if plain else self._vain + 1
        self._waits = self._vain if self._vain >= VAIN else 0


def read(block: bytes, asked: Asked, place: int, *, numbered: bool) -> tuple[Turns, tuple[str, ...]] | None:
    """The turns of a block of whole lines, and names in it that nobody asked for; None where it holds others,
    or nothing.

    place: of the block, by which its records have theirs: their lines' numbers, or first bytes.
    """
    if not block.isascii() and not _is_text(block):
        return None
    lines = _lines(block)
    if lines is None or not len(lines[0]):
        return None
    table = _table(block, asked)
    if table is None or table.num_rows != len(lines[0]) or not all(map(_is_sane, table.itercolumns())):
        return None
    found = _of_lists(table, asked) if asked.turns else _of_texts(table, asked)
    if found is None or structure.held_by(found[1]).any():
        return None
    known = {asked.turns, *asked.empty} if asked.turns else {*asked.texts, *asked.empty}
    others = tuple(name for name in table.column_names if name not in known)
    return Turns(*found, place + lines[1 if numbered else 0]), others


def _is_text(block: bytes) -> bool:
    """Whether a block is UTF-8: Arrow's reader does not ask."""
    whole = pa.LargeStringArray.from_buffers(1, pa.py_buffer(np.array([0, len(block)])), pa.py_buffer(block))
    try:
        whole.validate(full=True)
    except pa.ArrowInvalid:
        return False
    return True


def _lines(block: bytes) -> tuple[NDArray[np.int64], NDArray[np.int64]] | None:
    """First bytes and numbers of the lines that are not blank, ``int64[N]``; None where one of them is not an
    object from its first letter to its last."""
    data = np.frombuffer(block if block.endswith(b"\n") else block + b"\n", np.uint8)
    ends = np.flatnonzero(data == NEWLINE)
    starts = np.append(0, ends[:-1] + 1)
    last = data[ends - 1]
    last = np.where(last == RETURN, data[np.maximum(ends - 2, 0)], last)
    whole = (data[starts] == OPENS) & (last == CLOSES) & (ends - starts > 1)
    for at in np.flatnonzero(~whole).tolist():
        line = block[starts[at] : ends[at]].strip(BLANKS)
        if line and not (line[0] == OPENS and line[-1] == CLOSES):
            return None
        whole[at] = bool(line)
    return starts[whole], np.flatnonzero(whole)


def _table(block: bytes, asked: Asked) -> pa.Table | None:
    """All columns of a block, those that are asked for as texts; None where Arrow refuses it."""
    names = (asked.speaker, *asked.texts) if asked.turns else asked.texts
    fields: list[pa.Field] = [pa.field(name, pa.string()) for name in names]
    if asked.turns:
        fields = [pa.field(asked.turns, pa.list_(pa.struct(fields)))]
    try:
        return pj.read_json(
            io.BytesIO(block),
            pj.ReadOptions(use_threads=False, block_size=len(block) + 1),
            pj.ParseOptions(explicit_schema=pa.schema(fields), unexpected_field_behavior="infer"),
        )
    except (pa.ArrowException, UnicodeDecodeError):  # which hold what stands in the line: not told
        return None


def _is_sane(column: pa.ChunkedArray | pa.Array, deep: int = 0) -> bool:
    """Whether a column is not nested more than `DEPTH` times, and holds no number beyond all bounds: some of
    these Python's parser refuses."""
    kind: Any = column.type
    if pa.types.is_floating(kind):
        return not pc.any(pc.is_inf(column)).as_py()
    if not pa.types.is_nested(kind):
        return True
    inner = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    parts = [inner.flatten()] if pa.types.is_list(kind) else inner.flatten()
    return deep < DEPTH and all(_is_sane(part, deep + 1) for part in parts)


def _of_texts(table: pa.Table, asked: Asked) -> tuple[pa.Array, pa.Array, NDArray[np.int64]] | None:
    """Roles, contents and lengths of records that hold their texts."""
    columns = {name: table[name].combine_chunks() for name in table.column_names}
    if not _nothing(columns, asked.empty):
        return None
    texts = []
    for name in asked.texts:
        if name in asked.optional:
            columns[name] = pc.fill_null(columns[name], "")
        if columns[name].null_count:
            return None
        texts.append(columns[name].cast(pa.large_string()))
    if asked.input:
        joined = pc.binary_join_element_wise(texts[0], texts[1], pa.scalar("\n\n", pa.large_string()))
        texts = [pc.if_else(pc.equal(pc.binary_length(texts[1]), 0), texts[0], joined), texts[2]]
    n, each = table.num_rows, len(texts)
    contents = pa.concat_arrays(texts).take(pa.array(np.arange(n * each).reshape(each, n).T.reshape(-1)))
    roles = pa.array(asked.roles, pa.string()).take(pa.array(np.tile(np.arange(each), n)))
    return roles, contents, np.full(n, each)


def _of_lists(table: pa.Table, asked: Asked) -> tuple[pa.Array, pa.Array, NDArray[np.int64]] | None:
    """The same of records that hold a list of turns."""
    columns = {name: table[name].combine_chunks() for name in table.column_names}
    lists = columns[asked.turns]
    turns = lists.flatten()
    if lists.null_count or turns.null_count or not _nothing(columns, asked.empty):
        return None
    inner = dict(zip([field.name for field in turns.type], turns.flatten(), strict=True))
    contents, speakers = inner[asked.texts[0]], inner[asked.speaker]
    if contents.null_count or speakers.null_count or not _nothing(inner, asked.empty_in_turn):
        return None
    if any(name in inner and inner[name].null_count < len(turns) for name in asked.never_in_turn):
        return None
    number = pc.index_in(speakers, pa.array(list(asked.words), pa.string()))
    if number.null_count:
        return None
    roles = pa.array(list(asked.words.values()), pa.string()).take(number)
    return roles, contents.cast(pa.large_string()), pc.list_value_length(lists).to_numpy().astype(np.int64)


def _nothing(columns: Mapping[str, pa.Array], names: tuple[str, ...]) -> bool:
    """Whether nothing that says something stands under some names."""
    return all(name not in columns or _says_nothing(columns[name]) for name in names)


def _says_nothing(column: pa.Array) -> bool:
    kind: Any = column.type
    if column.null_count == len(column):
        return True
    if pa.types.is_boolean(kind):
        return not pc.any(column).as_py()
    if pa.types.is_string(kind):
        return not pc.any(pc.greater(pc.binary_length(column), 0)).as_py()
    if pa.types.is_list(kind):
        return not len(column.flatten())
    return bool(pa.types.is_struct(kind)) and kind.num_fields == 0
