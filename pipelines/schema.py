"""What travels between stages: the Arrow schema of every hand-over, and how a row is marked.

A *record* is one raw input item. A *row* is one conversation or text made of `n_records`
records. Nothing filters: a stage sets `drop` (a reason such as ``quality.too_short``) or
`error` (a cause such as ``read.malformed_json``) and later stages skip the marked rows. The
writer of a pass parts kept rows from marked ones, and books are counted over both.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headrace.pipelines import arrays

SPLITS = ("train", "validation", "test")
IGNORE = -100  # label of a token without loss
# The last: of two answers to one prompt the worse one, which stands behind the better one, an assistant's.
ROLES = ("system", "user", "assistant", "tool", "text", "rejected")
REJECTED = "rejected"

# Roles are plain strings: Parquet dictionary-encodes them on disk anyway, while a dictionary
# inside a list of structs cannot be concatenated across files with different dictionaries.
MESSAGE = pa.struct([pa.field("role", pa.string()), pa.field("content", pa.large_string())])
MESSAGES = pa.list_(pa.field("item", MESSAGE))
META = pa.map_(pa.string(), pa.string())

ROW = pa.schema(
    [
        pa.field("row_id", pa.uint64(), nullable=False),  # ordinal << 32 | row in the fragment
        pa.field("n_records", pa.uint32(), nullable=False),  # what the books count
        pa.field("source", pa.string(), nullable=False),
        pa.field("file", pa.string(), nullable=False),  # path below the source's fixed part
        pa.field("place", pa.string(), nullable=False),  # "line 12", "byte 4096", "row 7"
        pa.field("messages", MESSAGES),  # null only where `error` is set
        pa.field("group", pa.uint64()),  # hash of the leak-proof grouping key, keyed by `seed`
        pa.field("time", pa.timestamp("us", tz="UTC")),
        pa.field("meta", META),  # only the columns that the recipe names
        pa.field("drop", pa.string()),  # "stage.reason"; null = kept
        pa.field("error", pa.string()),  # "read.cause"; null = readable
        pa.field("detail", pa.string()),  # more about `error`, never content
        pa.field("bytes_lost", pa.uint64()),  # of an unreadable remainder
    ]
)

# Columns that stages add, in the order of the flow.
QUALITY = pa.struct([pa.field("score", pa.float32())])
# What is told of a row; `rule` is the rule that told its task.
TRAITS_BY = ("language", "answer_language", "task", "format", "reasoning", "flags")
TRAITS = pa.struct(
    [
        *(pa.field(name, pa.string()) for name in ("language", "answer_language", "task", "rule")),
        *(pa.field(name, pa.string()) for name in ("format", "reasoning")),
        pa.field("flags", pa.list_(pa.string())),
    ]
)
PII = pa.map_(pa.string(), pa.int32())
CHANGES = pa.schema([("row_id", pa.uint64()), ("kind", pa.string()), ("n", pa.int64())])
SPANS = pa.list_(
    pa.struct(
        [
            pa.field("message", pa.int32()),  # its number in the row
            pa.field("start", pa.int32()),  # in characters
            pa.field("end", pa.int32()),
            pa.field("entity", pa.string()),
            pa.field("kind", pa.string()),  # what stands there; "keep": the value itself
        ]
    )
)
FOUND = pa.list_(
    pa.struct(
        [
            *(pa.field(name, pa.string()) for name in ("entity", "role", "recognizer")),
            pa.field("kind", pa.string()),  # what became of it; "below": under the threshold, so nothing
            pa.field("n", pa.int32()),
        ]
    )
)
VALUES = pa.list_(
    pa.struct(
        [
            pa.field("entity", pa.string()),
            pa.field("size", pa.int32()),  # letters and digits
            pa.field("digest", pa.binary(8)),  # keyed, with the row in it
        ]
    )
)
BANDS = pa.list_(pa.uint64(), 16)


def ordinal(row_ids: np.ndarray) -> np.ndarray:
    """Ordinal of the fragment of each row: ``uint64[N] -> uint64[N]``."""
    return row_ids >> np.uint64(32)


def of_ordinals(row_ids: np.ndarray, values: Mapping[int, int], missing: int) -> np.ndarray:
    """What `values` has for the ordinal of each row, `missing` for the others: ``uint64[N] -> int32[N]``."""
    if not values:
        return np.full(len(row_ids), missing, np.int32)
    known, ordinals = np.array(sorted(values), np.uint64), ordinal(row_ids)
    at = np.minimum(np.searchsorted(known, ordinals), len(known) - 1)
    found = np.array([values[int(o)] for o in known], np.int32)[at]
    return np.where(known[at] == ordinals, found, np.int32(missing))


def live(table: pa.Table) -> pa.Array:
    """Mask of the rows that no stage has marked yet: ``bool[N]``, no nulls."""
    mask = pc.and_(pc.is_null(table["drop"]), pc.is_null(table["error"]))
    return mask.combine_chunks() if isinstance(mask, pa.ChunkedArray) else mask


def mark(table: pa.Table, column: str, reasons: Iterable[str | None] | pa.Array) -> pa.Table:
    """Set `column` ("drop" or "error") where `reasons` is not null and the row is still live.

    `reasons` has one entry a row. The first mark stays: a row that is already dropped or
    quarantined keeps its reason.
    """
    assert column in ("drop", "error"), column
    given = reasons if isinstance(reasons, pa.Array) else pa.array(reasons, pa.string())
    assert len(given) == table.num_rows, (len(given), table.num_rows)
    old = table[column].combine_chunks()
    new = pc.if_else(live(table), pc.coalesce(old, given), old)
    return table.set_column(table.schema.get_field_index(column), column, new)


def changed(table: pa.Table, stage: str, counts: dict[str, np.ndarray]) -> pa.Table:
    """`table` with column `changed` (a map of kind to n): what `stage` did to each row, zeros left out.

    counts: ``int64[N]`` by kind. What an earlier stage did stays. No such column is added where nothing was
    done.
    """
    if not any(of_rows.any() for of_rows in counts.values()):
        return table
    own = [f"{stage}.{kind}" for kind in sorted(counts)]
    each = [(counts[kind], np.flatnonzero(counts[kind])) for kind in sorted(counts)]
    found = pa.table(
        {
            "row": np.concatenate([rows for _, rows in each]),
            "kind": pa.array(own).take(pa.array(np.repeat(np.arange(len(own)), [len(r) for _, r in each]))),
            "n": np.concatenate([of[rows].astype(np.int64) for of, rows in each]),
        }
    )
    before = _changes(table)
    found = pa.concat_tables([before.filter(pc.invert(pc.is_in(before["kind"], pa.array(own)))), found])
    found = found.sort_by([("row", "ascending"), ("kind", "ascending")]).combine_chunks()
    counted = np.bincount(found["row"].to_numpy(), minlength=table.num_rows)
    offsets = pa.array(arrays.offsets(counted).astype(np.int32))
    keys, items = found["kind"].combine_chunks(), found["n"].combine_chunks()
    column = pa.MapArray.from_arrays(offsets, keys, items)
    at = table.schema.get_field_index("changed")
    if at >= 0:
        return table.set_column(at, "changed", column)
    return table.append_column("changed", column)


def changes(table: pa.Table) -> pa.Table:
    """Column `changed` as a table of ``row_id``, ``kind``, ``n``; empty where there is no such column."""
    found = _changes(table)
    ids = table["row_id"].combine_chunks().take(found["row"])
    return pa.table({"row_id": ids, "kind": found["kind"], "n": found["n"]}, CHANGES)


def changes_of(table: pa.Table, stage: str) -> dict[str, np.ndarray]:
    """What `stage` did to each row, by its kinds: ``int64[N]`` each; empty where there is no such column."""
    found = _changes(table)
    counts: dict[str, np.ndarray] = {}
    for kind in found["kind"].unique().to_pylist():
        if kind.startswith(f"{stage}."):
            own = found.filter(pc.equal(found["kind"], kind))
            counts[kind.removeprefix(f"{stage}.")] = np.bincount(
                own["row"].to_numpy(), own["n"].to_numpy(), table.num_rows
            ).astype(np.int64)
    return counts


def _changes(table: pa.Table) -> pa.Table:
    """Column `changed` flat: number of the row (int64), kind and n."""
    if "changed" not in table.column_names:
        return pa.table(
            {"row": np.zeros(0, np.int64), "kind": pa.array([], pa.string()), "n": np.zeros(0, np.int64)}
        )
    column = table["changed"].combine_chunks()
    offsets = column.offsets.to_numpy()
    rows = np.repeat(np.arange(table.num_rows), np.diff(offsets))
    part = slice(int(offsets[0]), int(offsets[-1]))
    return pa.table({"row": rows, "kind": column.keys[part], "n": column.items[part]})


def mark_where(table: pa.Table, mask: pa.Array | np.ndarray, reason: str) -> pa.Table:
    """Drop the live rows under `mask` (``bool[N]``) for `reason` ("stage.reason")."""
    mask = pa.array(mask) if isinstance(mask, np.ndarray) else mask
    text = pa.scalar(reason, pa.string())
    return mark(table, "drop", pc.if_else(mask, text, pa.scalar(None, pa.string())))


def quarantine(table: pa.Table, causes: list[str | None], reason: str) -> pa.Table:
    """Set rows aside that a stage could not work on: such a row costs itself, not the batch.

    Marks the live rows that have a cause as `reason` ("stage.error") and put the cause into `detail`.

    `causes` has one entry a row: null, or words of ours such as an exception's class name; never its
    message, which may quote the row.
    """
    if not any(causes):
        return table
    given = pa.array(causes, pa.string())
    ours = pc.and_(live(table), given.is_valid())
    detail = pc.if_else(ours, given, table["detail"].combine_chunks())
    table = table.set_column(table.schema.get_field_index("detail"), "detail", detail)
    return mark(table, "error", pc.if_else(ours, reason, pa.scalar(None, pa.string())))


def replace_messages(table: pa.Table, messages: pa.Array) -> pa.Table:
    """`table` with another `messages` column of the same length."""
    return table.set_column(table.schema.get_field_index("messages"), "messages", messages)


def contents(table: pa.Table) -> tuple[pa.Array, np.ndarray, pa.Array]:
    """Flat view of all messages, without a copy where the table is one chunk.

    Returns (roles ``string[M]``, row of each message ``int64[M]``, contents
    ``large_string[M]``). A null `messages` contributes nothing.
    """
    messages = table["messages"].combine_chunks()
    flat = messages.flatten()
    rows = pc.list_parent_indices(messages).to_numpy(zero_copy_only=False)
    return flat.field("role"), rows.astype(np.int64), flat.field("content")


def rebuild(table: pa.Table, rows: np.ndarray, roles: pa.Array, texts: pa.Array) -> pa.Table:
    """`table` with its messages rebuilt from a flat view (inverse of `contents`).

    `rows` (``int64[M]``, ascending) says to which row each (role, content) belongs. Rows with
    null messages must own none and stay null; other rows may end with none.
    """
    counts = np.bincount(rows, minlength=table.num_rows) if len(rows) else np.zeros(table.num_rows, np.int64)
    offsets = arrays.offsets(counts).astype(np.int32)
    values = pa.StructArray.from_arrays(
        [roles.cast(pa.string()), texts.cast(pa.large_string())], fields=list(MESSAGE)
    )
    was_null = table["messages"].combine_chunks().is_null()
    mask = was_null if was_null.true_count else None
    built = pa.ListArray.from_arrays(pa.array(offsets), values, type=MESSAGES, mask=mask)
    return replace_messages(table, built)


def from_rows(rows: list[dict[str, Any]], schema: pa.Schema = ROW) -> pa.Table:
    """Table of `schema` from dictionaries; missing keys become null (for tests and readers)."""
    return pa.Table.from_pylist(rows, schema=schema)
