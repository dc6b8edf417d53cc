"""Conversations whose records stand apart: `group_by` and `order_by`.

Records are hashed by their key to buckets; a shuffle brings each bucket together, in any order,
and `assemble` sorts inside, so the result does not depend on how the records came. A record that
could not be read stays a row of its own and the rest of its conversation goes on without it.

Cost: a record crosses the shuffle once, as JSON of the columns that are looked at.
"""

import json
import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import xxhash

from headrace.cluster.fragments import Fragment
from headrace.pipelines import arrays, schema
from headrace.pipelines.stages.read import calling, ordering, values
from headrace.pipelines.stages.read import rows as read_rows
from headrace.pipelines.stages.read.records import Batch, Noted, ReadError
from headrace.pipelines.stages.read.source import Source
from headrace.pipelines.stages.read.turns import trees, words

_DIGITS = re.compile(r"[0-9]+")
VERSION = 4  # of how conversations are joined: in the keys of `group_by` sources alone
RECORD = pa.schema(
    [
        pa.field("bucket", pa.int32(), nullable=False),
        pa.field("key_hi", pa.uint64(), nullable=False),  # 128-bit hash of the key
        pa.field("key_lo", pa.uint64(), nullable=False),
        pa.field("relative", pa.string(), nullable=False),
        pa.field("index", pa.int64(), nullable=False),  # ascending in the file
        pa.field("unit", pa.string(), nullable=False),  # of the index: "line", "byte", ...
        pa.field("payload", pa.large_binary()),  # JSON of the record; null where there is an error
        pa.field("error", pa.string()),
        pa.field("detail", pa.string()),
        pa.field("bytes_lost", pa.uint64()),
        pa.field("repaired", pa.int64(), nullable=False),  # bytes that were no text
    ]
)
# In ASCII, which holds any string, also half a surrogate pair.
_encode = json.JSONEncoder(separators=(",", ":"), default=words.text).encode


def read_grouped(
    fragment: Fragment,
    source: Source,
    *,
    buckets: int,
    fragment_size: int,
    seed: int,
    noted: Noted | None = None,
) -> Iterator[pa.Table]:
    """Records of a fragment as tables of `RECORD`, about `fragment_size` bytes each, at least one.

    `seed` keys the hashes. `noted` takes what is passed by.

    Raises: SourceError, StorageError; never for content.
    """
    waiting: list[pa.Table] = []
    size = 0
    any_table = False
    for table in _tables(fragment, source, buckets, seed, noted):
        waiting.append(table)
        size += table.nbytes
        if size >= fragment_size:
            yield pa.concat_tables(waiting).combine_chunks()
            any_table, waiting, size = True, [], 0
    if waiting or not any_table:
        yield pa.concat_tables([RECORD.empty_table(), *waiting]).combine_chunks()


def _tables(
    fragment: Fragment, source: Source, buckets: int, seed: int, noted: Noted | None
) -> Iterator[pa.Table]:
    """Every batch of a fragment as a table of `RECORD`."""
    for part in fragment.ranges:
        following = read_rows.batches(part, source, noted)
        while True:
            with read_rows.uncollected():
                batch = next(following, None)
                if batch is None:
                    break
                table = records(batch, part.relative, source, buckets, seed)
            yield table


def records(batch: Batch, relative: str, source: Source, buckets: int, seed: int) -> pa.Table:
    """One batch as a table of `RECORD`, with hashes keyed by `seed`."""
    payloads: list[bytes | None] = []
    keys = []
    errors = dict(batch.errors)
    wanted, tools = source.wanted(), source.completed().tools
    for i, record in enumerate(batch.records):
        key = None
        if i not in errors:
            try:
                key = _key(record, source.group_by or "")
                if tools and record.get(tools):
                    calling.tools_of(record[tools], tools)
                payloads.append(_encode({c: record[c] for c in wanted if c in record}).encode())
            except ReadError as bad:
                errors[i] = bad
        if i in errors:
            # A key of its own, so that broken records spread over the buckets.
            key = f"{relative}\0{batch.places[i]}"
            payloads.append(None)
        keys.append(key or "")
    n = len(keys)
    bad_ones = [errors.get(i) for i in range(n)]
    high, low = _hashes(keys, seed)
    return pa.table(
        [
            pa.array((high % np.uint64(buckets)).astype(np.int32)),
            pa.array(high),
            pa.array(low),
            pa.repeat(pa.scalar(values.clean(read_rows.of_member(batch, relative)), pa.string()), n),
            pa.array(batch.places, pa.int64()),
            pa.repeat(pa.scalar(batch.unit, pa.string()), n),
            pa.array(payloads, pa.large_binary()),
            pa.array([e and e.cause for e in bad_ones], pa.string()),
            pa.array([e and e.detail for e in bad_ones], pa.string()),
            pa.array([e and e.bytes_lost for e in bad_ones], pa.uint64()),
            pa.array([batch.repaired.get(i, 0) for i in range(n)], pa.int64()),
        ],
        schema=RECORD,
    )


def _key(record: dict[str, Any], column: str) -> str:
    """Text of a record's key. Raises: ReadError where there is none."""
    key = values.key(record.get(column))
    if not key:
        raise ReadError("read.missing_field", f"no value of {column!r}")
    return key


def _hashes(keys: list[str], seed: int) -> tuple[np.ndarray, np.ndarray]:
    """High and low halves of the keys' hashes: ``uint64[N]`` each."""
    digests = b"".join(
        xxhash.xxh3_128_digest(k.encode("utf-8", "surrogatepass"), seed=seed % 2**64) for k in keys
    )
    pairs = np.frombuffer(digests, ">u8").astype(np.uint64).reshape(-1, 2)
    return np.ascontiguousarray(pairs[:, 0]), np.ascontiguousarray(pairs[:, 1])


def assemble(table: pa.Table, fragment: Fragment, source: Source, seed: int) -> pa.Table:
    """All records of a bucket (a table of `RECORD`, in any order) as rows of `schema.ROW`.

    A conversation stands where its first record lies; its turns are ordered by `order_by`, then by (file,
    place), and without `order_by` 2.jsonl comes before 10.jsonl; what is unsure of that order is counted in
    column `changed` (see `ordering`). `n_records` says of how many records it is made; `group`, `time` and
    `meta` are those of its first record that has them.
    """
    lying = table.sort_by([("relative", "ascending"), ("index", "ascending")]).combine_chunks()
    with read_rows.uncollected():
        return _assembled(lying, fragment, source, seed)


def _assembled(lying: pa.Table, fragment: Fragment, source: Source, seed: int) -> pa.Table:
    """`assemble`, of records sorted as they lie."""
    records = json.loads(b"[" + b",".join(p or b"{}" for p in lying["payload"].to_pylist()) + b"]")
    where = read_rows.places(lying["unit"].combine_chunks(), lying["index"].combine_chunks())
    repaired = {
        int(i): int(lying["repaired"][int(i)].as_py()) for i in np.flatnonzero(lying["repaired"].to_numpy())
    }
    errors, tools = _errors(lying), source.completed().tools
    offered = [record.pop(tools, None) for record in records] if tools else []
    steps = _steps(lying, records, source, errors)
    offered = [None if i in errors else held for i, held in enumerate(offered)]
    relative = lying["relative"].combine_chunks()
    single = read_rows.rows(records, errors, relative, where, source, seed, repaired)
    firsts = _firsts(lying, pc.is_valid(single["error"]).to_numpy())
    order, counts = _order(lying, records, firsts, source)
    counts |= schema.changes_of(single, read_rows.NAME)
    if steps is not None:
        order = np.lexsort((np.where(steps < 0, len(steps), steps), firsts))
        single, counts["branch_turns"] = _pruned(single, steps < 0)
    if any(offered):
        given, counts["other_tools"] = _offer(records, offered, str(tools), order, firsts)
        some = pa.array(given)
        those = [records[i] for i in given]
        again = read_rows.rows(those, {}, relative.take(some), where.take(some), source, seed)
        single = _replaced(single, given, again["messages"].combine_chunks())
    rows = _merged(single.select(schema.ROW.names), firsts, order, fragment)
    heads = np.unique(firsts, return_inverse=True)[1]
    changed = {
        kind: np.bincount(heads, of_records, rows.num_rows).astype(np.int64)
        for kind, of_records in counts.items()
    }
    return schema.changed(rows, read_rows.NAME, changed)


def _order(
    lying: pa.Table, records: list[dict[str, Any]], firsts: np.ndarray, source: Source
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Permutation that puts records in the order of their conversations, and what is unsure of it."""
    order, counts = ordering.order(records, firsts, source.orders())
    if not source.orders():
        order = np.lexsort((np.arange(lying.num_rows), _by_number(lying["relative"]), firsts))
    return order, {f"{kind}_turns": of_records for kind, of_records in counts.items()}


def _steps(
    lying: pa.Table, records: list[dict[str, Any]], source: Source, errors: dict[int, ReadError]
) -> np.ndarray | None:
    """Where each record stands on the path through its tree, -1 on other branches: ``int64[N]``.

    None where the records are no trees. Those of a tree that cannot be followed go to `errors`.
    """
    columns = source.columns
    if not columns.parent or not columns.id:
        return None
    broken = np.isin(np.arange(len(records)), list(errors))
    firsts = _firsts(lying, broken)
    order, _ = _order(lying, records, firsts, source)
    own, parents = ([values.key(r.get(c)) for r in records] for c in (columns.id, columns.parent))
    steps = np.full(len(records), -1, np.int64)
    steps[broken] = 0
    ends = np.flatnonzero(np.diff(firsts[order])) + 1
    for talk in np.split(order, ends):
        if not len(talk) or broken[talk[0]]:
            continue
        try:
            path = np.array(trees.path_of([own[i] for i in talk], [parents[i] for i in talk]))
        except ReadError as bad:
            errors.update(dict.fromkeys(talk.tolist(), bad))
            continue
        steps[talk[path]] = np.arange(len(path))
    return steps


def _pruned(single: pa.Table, beside: np.ndarray) -> tuple[pa.Table, np.ndarray]:
    """Rows of one record each, without the turns of those `beside` the path, and how many they had."""
    messages = single["messages"].combine_chunks()
    lengths = pc.fill_null(pc.list_value_length(messages), 0).to_numpy()
    empty = pc.and_(pa.array(beside), pc.is_valid(messages))
    pruned = pc.if_else(empty, pa.scalar([], schema.MESSAGES), messages)
    return _with_messages(single, pruned), np.where(beside, lengths, 0)


def _offer(
    records: list[dict[str, Any]], offered: list[Any], column: str, order: np.ndarray, firsts: np.ndarray
) -> tuple[list[int], np.ndarray]:
    """Give the first record of each conversation the first tools that any of its records has.

    Returns the records that have them now, and which had others (``int64[N]``): tables repeat a
    conversation's tools at each of its turns.
    """
    first_of: dict[int, int] = {}
    tools_of: dict[int, Any] = {}
    other = np.zeros(len(records), np.int64)
    for i in order.tolist():
        head = first_of.setdefault(int(firsts[i]), i)
        if not offered[i]:
            continue
        tools = calling.tools_of(offered[i], column)
        other[i] = tools_of.setdefault(head, tools) != tools
    for head, tools in tools_of.items():
        records[head][column] = tools
    return sorted(tools_of), other


def _replaced(single: pa.Table, rows: list[int], messages: pa.Array) -> pa.Table:
    """`single` with other messages in some rows."""
    taken = np.arange(single.num_rows)
    taken[rows] = single.num_rows + np.arange(len(rows))
    both = pa.concat_arrays([single["messages"].combine_chunks(), messages])
    return _with_messages(single, both.take(pa.array(taken)))


def _with_messages(table: pa.Table, messages: pa.Array) -> pa.Table:
    return table.set_column(table.schema.get_field_index("messages"), schema.ROW.field("messages"), messages)


def _by_number(relatives: pa.ChunkedArray) -> np.ndarray:
    """Each record's place by the name of its file, numbers as numbers ("2" before "10"): ``int64[N]``."""
    coded = relatives.combine_chunks().dictionary_encode()
    names = coded.dictionary.to_pylist()
    ranked = sorted(range(len(names)), key=lambda i: (_DIGITS.sub(_padded, names[i]), names[i]))
    ranks = np.empty(len(names), np.int64)
    ranks[ranked] = np.arange(len(names))
    placed: np.ndarray = ranks[coded.indices.to_numpy()]
    return placed


def _padded(digits: re.Match[str]) -> str:
    return digits[0].zfill(20)


def _errors(lying: pa.Table) -> dict[int, ReadError]:
    errors = {}
    for i in np.flatnonzero(pc.is_valid(lying["error"]).to_numpy()):
        cause, detail, lost = (lying[c][int(i)].as_py() for c in ("error", "detail", "bytes_lost"))
        errors[int(i)] = ReadError(cause, detail, lost)
    return errors


def _firsts(lying: pa.Table, broken: np.ndarray) -> np.ndarray:
    """For each record the index of the first one of its conversation: ``int64[N]``.

    A broken record is alone.
    """
    n = lying.num_rows
    pairs = np.empty(n, [("hi", np.uint64), ("lo", np.uint64)])
    pairs["hi"], pairs["lo"] = lying["key_hi"].to_numpy(), lying["key_lo"].to_numpy()
    firsts = np.arange(n)
    whole = np.flatnonzero(~broken)
    _, first, inverse = np.unique(pairs[whole], return_index=True, return_inverse=True)
    firsts[whole] = whole[first[inverse]] if len(whole) else whole
    return firsts


def _merged(single: pa.Table, firsts: np.ndarray, order: np.ndarray, fragment: Fragment) -> pa.Table:
    """One row a conversation from one row a record; row ids are given."""
    heads, starts, counts = np.unique(firsts[order], return_index=True, return_counts=True)
    turns = single["messages"].combine_chunks().take(pa.array(order))
    lengths = pc.fill_null(pc.list_value_length(turns), 0).to_numpy()
    offsets = arrays.offsets(lengths)
    mask = pc.is_null(turns).take(pa.array(starts))
    messages = pa.ListArray.from_arrays(
        pa.array(offsets[[*starts, len(order)]].astype(np.int32)),
        turns.flatten(),
        type=schema.MESSAGES,
        mask=mask,
    )
    rows = single.take(pa.array(heads))
    ids = np.arange(len(heads), dtype=np.uint64) + (np.uint64(max(fragment.ordinal, 0)) << np.uint64(32))
    replaced = {
        "row_id": pa.array(ids),
        "n_records": pa.array(counts.astype(np.uint32)),
        "messages": messages,
        **{c: _first_valid(single[c], order, starts) for c in ("group", "time", "meta")},
    }
    for name, column in replaced.items():
        rows = rows.set_column(rows.schema.get_field_index(name), schema.ROW.field(name), column)
    return rows.combine_chunks()


def _first_valid(column: pa.ChunkedArray, order: np.ndarray, starts: np.ndarray) -> pa.Array:
    """For each conversation the first value that is not null, in the order of its records."""
    if not len(order):
        return column.combine_chunks()
    valid = pc.is_valid(column).to_numpy()[order]
    places = np.where(valid, np.arange(len(order)), len(order))
    first = np.minimum.reduceat(places, starts)
    none = first == len(order)
    indices = pa.array(order[np.where(none, 0, first)], mask=none)
    return column.combine_chunks().take(indices)
