"""From a fragment to tables of rows: the first stage, which no configuration turns off.

A fragment gives one table, or several where its text is larger than a fragment (a compressed file,
a Parquet row group): a part ends with the row that fills it, so that the parts of a fragment
depend on its content alone, never on how it was buffered.

Cost: ~5 microseconds a record with JSON, 1 where its lines are plain (`plain`); memory of one part.
"""

import gc
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import ArrayLike, NDArray

from headrace.cluster.fragments import Fragment, Range
from headrace.pipelines import arrays, schema, structure
from headrace.pipelines.stages.read import formats, values
from headrace.pipelines.stages.read.mappers import Told, Turn
from headrace.pipelines.stages.read.plain import batches as plain_batches
from headrace.pipelines.stages.read.plain.lines import Asked
from headrace.pipelines.stages.read.records import Batch, Noted, ReadError, encodable
from headrace.pipelines.stages.read.source import Source

NAME = "read"
VERSION = 6
_OPEN = structure.OPEN.encode()
_HALF = re.compile("[\ud800-\udfff]")
MOST_NAMES = 1000  # of columns that are kept in mind; a mapping by somebody's ids has more
LEAST_BAD = 4  # bytes that were no text, and more than one in `MOST_BAD` characters: a record is not read
MOST_BAD = 6
ROW_BYTES = 32  # what a row counts for beside its text when parts are measured


def read(
    fragment: Fragment, source: Source, *, fragment_size: int, seed: int, noted: Noted | None = None
) -> Iterator[pa.Table]:
    """Parts of a fragment as tables of `schema.ROW`, at least one; row ids run on over the parts.

    A part ends with the row at which its text reaches `fragment_size` bytes. `noted` takes what is
    passed by. Content never makes it raise.

    Raises: SourceError (a file that is gone), StorageError.
    """
    first = fragment.ordinal << 32 if fragment.ordinal >= 0 else 0
    number = 0
    for part in parts(_tables(fragment, source, seed, noted), fragment_size):
        ids = np.arange(number, number + part.num_rows, dtype=np.uint64) + np.uint64(first)
        number += part.num_rows
        yield part.set_column(0, schema.ROW.field(0), pa.array(ids))


def _tables(fragment: Fragment, source: Source, seed: int, noted: Noted | None) -> Iterator[pa.Table]:
    """Every batch of a fragment as a table of rows."""
    asked = plain_batches.asked(source)
    for part in fragment.ranges:
        following = batches(part, source, noted, asked=asked)
        while True:
            with uncollected():
                batch = next(following, None)
                if batch is None:
                    break
                table = of_batch(batch, part.relative, source, seed)
            yield table


@contextmanager
def uncollected() -> Iterator[None]:
    """Without the cycle collector: parsed records are many objects and have no cycles.

    It would walk them again and again, for a third of the time with short turns.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def batches(
    part: Range,
    source: Source,
    noted: Noted | None = None,
    *,
    guarded: bool = False,
    asked: Asked | None = None,
) -> Iterator[Batch]:
    """Records of one range of a source's file; `noted` takes what is passed by.

    guarded, asked: as for `formats.read`.
    """
    stored = formats.read(
        part.path,
        part.size,
        source.format_of(part.relative),
        None if source.records else source.stored(),
        part.start,
        part.stop,
        stamp=part.stamp,
        memory=source.memory,
        manner=source.manner,
        guarded=guarded,
        asked=asked,
    )
    opened = source.opened(stored, part.relative)
    return opened if noted is None else _noted(opened, source, noted)


def _noted(batches: Iterator[Batch], source: Source, noted: Noted) -> Iterator[Batch]:
    """`batches`, with what they pass by put into `noted`."""
    wanted = set(source.stored())
    known = wanted | noted.unread
    for batch in batches:
        if batch.turns is None or len(known) < MOST_NAMES:
            known.update(batch.unread)
        if not known.issuperset(chain.from_iterable(batch.records)):
            for record in batch.records:
                if not record.keys() <= known and len(known) < MOST_NAMES:
                    known.update(record)
        noted.unread.update(known - wanted)
        noted.left_out.update(batch.left_out)
        yield batch


def parts(tables: Iterator[pa.Table], fragment_size: int) -> Iterator[pa.Table]:
    """`tables` joined and cut where the text since the last cut reaches `fragment_size` bytes."""
    waiting: list[pa.Table] = []
    filled = 0
    any_part = False
    for table in tables:
        sums = np.cumsum(_sizes(table))
        taken, base = 0, filled
        while len(sums) and base + (sums[-1] if taken < len(sums) else 0) >= fragment_size:
            end = int(np.searchsorted(sums, fragment_size - base)) + 1
            yield _joined([*waiting, table.slice(taken, end - taken)])
            any_part, waiting, taken = True, [], end
            base = -int(sums[end - 1])
            if taken == len(sums):
                break
        filled = base + (int(sums[-1]) if len(sums) else 0)
        if taken < table.num_rows:
            waiting.append(table.slice(taken))
    if waiting or not any_part:
        yield _joined(waiting)


def _sizes(table: pa.Table) -> np.ndarray:
    """Bytes that each row counts for: ``int64[N]``."""
    _, owners, texts = schema.contents(table)
    lengths = pc.binary_length(texts).to_numpy(zero_copy_only=False)
    return ROW_BYTES + np.bincount(owners, weights=lengths, minlength=table.num_rows).astype(np.int64)


def _joined(tables: list[pa.Table]) -> pa.Table:
    # A table has a column `changed` where something was.
    joined = pa.concat_tables(tables, promote_options="default") if tables else schema.ROW.empty_table()
    return joined.combine_chunks()


def of_batch(batch: Batch, relative: str, source: Source, seed: int) -> pa.Table:
    """The records of one batch as rows."""
    numbers = batch.places if batch.turns is None else batch.turns.places
    where = places(batch.unit, numbers)
    files = pa.repeat(pa.scalar(values.clean(of_member(batch, relative)), pa.string()), len(where))
    if batch.turns is not None:
        messages = _lists(batch.turns.roles, batch.turns.contents, batch.turns.lengths, None)
        return _table(messages, [], {}, files, where, source, seed)
    return rows(batch.records, batch.errors, files, where, source, seed, batch.repaired)


def of_member(batch: Batch, relative: str) -> str:
    """The path of a batch's file: in an archive, that of its member below the archive's."""
    return f"{relative}/{batch.member}" if batch.member else relative


def places(unit: str | pa.Array, numbers: list[int] | NDArray[np.int64] | pa.Array) -> pa.Array:
    """Where records begin, in words: "line 12", "byte 4096"."""
    return pc.binary_join_element_wise(unit, pa.array(numbers, pa.int64()).cast(pa.string()), " ")


def rows(
    records: list[dict[str, Any]],
    errors: dict[int, ReadError],
    files: pa.Array,
    where: pa.Array,
    source: Source,
    seed: int,
    repaired: Mapping[int, int] | None = None,
) -> pa.Table:
    """Records as rows of `schema.ROW`, one each, with row ids still to be given.

    `files` and `where` (``string[N]``) say where they lie. A record in `errors`, or of another shape
    than the source's, is marked in `error`. `repaired`: bytes that were no text, by record.
    """
    errors = dict(errors)
    counts = dict(repaired or {})
    n = len(records)
    messages = None if errors else _plain(records, source)
    left: dict[str, np.ndarray] = {}
    if messages is None or counts:
        turns = _turns(records, errors, source)
        _refuse_unread(turns, counts, errors)
        left = _left(turns)
        try:
            messages = _messages(turns, errors)
        except UnicodeEncodeError:
            _mend_half_pairs(turns, counts)
            messages = _messages(turns, errors)
    table = _table(messages, records, errors, files, where, source, seed)
    if source.only:
        table = schema.mark_where(table, values.others(records, source.only), "read.only")
    bad_bytes = np.array([counts.get(i, 0) for i in range(n)], np.int64) if counts else np.zeros(n, np.int64)
    return schema.changed(table, NAME, {"bad_bytes": bad_bytes, **left})


def _table(
    messages: pa.Array,
    records: list[dict[str, Any]],
    errors: Mapping[int, ReadError],
    files: pa.Array,
    where: pa.Array,
    source: Source,
    seed: int,
) -> pa.Table:
    """`schema.ROW` of these messages; records: none where the source takes nothing of them but its turns."""
    n = len(messages)
    return pa.table(
        [
            pa.array(np.zeros(n, np.uint64)),
            pa.array(np.ones(n, np.uint32)),
            pa.repeat(pa.scalar(source.name, pa.string()), n),
            files,
            where,
            messages,
            values.groups(records, source.group, seed, n),
            values.times(records, source.time, n),
            values.meta(records, source.meta, n),
            pa.nulls(n, pa.string()),
            *_causes(errors, n),
        ],
        schema=schema.ROW,
    )


def _causes(errors: Mapping[int, ReadError], n: int) -> list[pa.Array]:
    """Columns `error`, `detail` and `bytes_lost` of `n` rows."""
    kinds = [schema.ROW.field(name).type for name in ("error", "detail", "bytes_lost")]
    if not errors:
        return [pa.nulls(n, kind) for kind in kinds]
    bad = [errors.get(i) for i in range(n)]
    each = ([e and e.cause for e in bad], [e and e.detail for e in bad], [e and e.bytes_lost for e in bad])
    return [pa.array(values, kind) for values, kind in zip(each, kinds, strict=True)]


def _plain(records: list[dict[str, Any]], source: Source) -> pa.Array | None:
    """``messages`` of records of which all are plain; None where they are not."""
    seen = plain_batches.turns(records, source)
    if seen is None:
        return None
    try:
        contents = pa.array(seen.contents, pa.large_string())
    except UnicodeEncodeError:
        return None
    return _lists(pa.array(seen.roles, pa.string()), _unforged(contents, seen.contents), seen.lengths, None)


def _left(turns: list[list[Turn]]) -> dict[str, np.ndarray]:
    """What was left out of each row, by kind: ``int64[N]``."""
    counts: dict[str, np.ndarray] = {}
    for i, row in [(i, row) for i, row in enumerate(turns) if type(row) is Told]:
        for kind, n in row.left.items():
            counts.setdefault(kind, np.zeros(len(turns), np.int64))[i] = n
    return counts


def _turns(records: list[dict[str, Any]], errors: dict[int, ReadError], source: Source) -> list[list[Turn]]:
    """The turns of every record; what cannot be mapped gets an entry in `errors` and no turns."""
    turns_of = source.mapper()
    turns: list[list[Turn]] = []
    for i, record in enumerate(records):
        if i in errors:
            turns.append([])
            continue
        try:
            turns.append(turns_of(record))
        except ReadError as bad:
            errors[i] = bad
            turns.append([])
        except RecursionError:
            errors[i] = ReadError("read.malformed_json", "nested too deeply")
            turns.append([])
    return turns


def _refuse_unread(turns: list[list[Turn]], counts: Mapping[int, int], errors: dict[int, ReadError]) -> None:
    """Set aside the records of which too much was no text: they are in another encoding."""
    for i, bad in counts.items():
        if bad >= LEAST_BAD and bad * MOST_BAD > sum(len(content) for _, content in turns[i]):
            errors.setdefault(i, ReadError("read.bad_utf8", "text in another encoding: say encoding:"))
            turns[i] = []


def _mend_half_pairs(turns: list[list[Turn]], counts: dict[int, int]) -> None:
    """Replace halves of surrogate pairs, which JSON can spell and UTF-8 text cannot hold; count them."""
    for i, row in enumerate(turns):
        for n, (role, content) in enumerate(row):
            if not encodable(content):
                row[n] = (role, type(content)(_HALF.sub("\ufffd", content)))  # sealed ones stay so
                counts[i] = counts.get(i, 0) + len(_HALF.findall(content))


def _messages(turns: list[list[Turn]], errors: dict[int, ReadError]) -> pa.Array:
    """``messages`` of every row; null where the row is in `errors`."""
    flat = list(chain.from_iterable(turns))
    texts = [content for _, content in flat]
    contents = _unforged(pa.array(texts, pa.large_string()), texts)
    mask = pa.array(np.isin(np.arange(len(turns)), list(errors))) if errors else None
    roles = pa.array([role for role, _ in flat], pa.string())
    return _lists(roles, contents, [len(t) for t in turns], mask)


def _lists(roles: pa.Array, contents: pa.Array, lengths: ArrayLike, mask: pa.Array | None) -> pa.Array:
    """``messages`` from the roles and contents of turns that lie end to end."""
    values = pa.StructArray.from_arrays([roles, contents], fields=list(schema.MESSAGE))
    offsets = arrays.offsets(lengths).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), values, type=schema.MESSAGES, mask=mask)


def _unforged(contents: pa.Array, texts: Sequence[str]) -> pa.Array:
    """`contents` with no mark of a structure but those that we put there; `texts`: the same."""
    data = contents.buffers()[2]
    if data is None or _OPEN not in data.to_pybytes():
        return contents
    marked = pc.match_substring(contents, structure.OPEN).to_numpy(zero_copy_only=False)
    forged = [at for at in np.flatnonzero(marked).tolist() if not isinstance(texts[at], structure.Sealed)]
    if not forged:
        return contents
    plain = pa.array([structure.unmarked(texts[at]) for at in forged], pa.large_string())
    return arrays.put(contents, forged, plain)
