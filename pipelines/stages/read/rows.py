"""From a fragment to tables of rows: the first stage, which no configuration turns off.

A fragment gives one table, or several where its text is larger than a fragment (a compressed file,
a Parquet row group): a part ends with the row that fills it, so that the parts of a fragment
depend on its content alone, never on how it was buffered.

Cost: ~5 microseconds a record with JSON; memory of one part.
"""

import gc
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime
from decimal import Decimal
from itertools import chain
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import xxhash
from numpy.typing import ArrayLike

from headrace.cluster.fragments import Fragment, Range
from headrace.pipelines import arrays, schema, structure
from headrace.pipelines.stages.read import formats, plain_batches
from headrace.pipelines.stages.read.mappers import Told, Turn
from headrace.pipelines.stages.read.records import Batch, Noted, ReadError, encodable
from headrace.pipelines.stages.read.source import Source
from headrace.pipelines.stages.read.turns import words

NAME = "read"
VERSION = 3
_OPEN = structure.OPEN.encode()
_HALF = re.compile("[\ud800-\udfff]")
_WHOLE = re.compile(r"([+-]?\d+)\.0+", re.ASCII)
MOST_NAMES = 1000  # of columns that are kept in mind; a mapping by somebody's ids has more
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
    for part in fragment.ranges:
        following = batches(part, source, noted)
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
    part: Range, source: Source, noted: Noted | None = None, *, guarded: bool = False
) -> Iterator[Batch]:
    """Records of one range of a source's file; `noted` takes what is passed by.

    guarded: as for `formats.read`.
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
    )
    opened = source.opened(stored, part.relative)
    return opened if noted is None else _noted(opened, source, noted)


def _noted(batches: Iterator[Batch], source: Source, noted: Noted) -> Iterator[Batch]:
    """`batches`, with what they pass by put into `noted`."""
    wanted = set(source.stored())
    known = wanted | noted.unread
    for batch in batches:
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
    n = len(batch.records)
    files = pa.repeat(pa.scalar(clean(of_member(batch, relative)), pa.string()), n)
    return rows(
        batch.records, batch.errors, files, places(batch.unit, batch.places), source, seed, batch.repaired
    )


def of_member(batch: Batch, relative: str) -> str:
    """The path of a batch's file: in an archive, that of its member below the archive's."""
    return f"{relative}/{batch.member}" if batch.member else relative


def places(unit: str | pa.Array, numbers: list[int] | pa.Array) -> pa.Array:
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
    if messages is None:
        turns = _turns(records, errors, source)
        left = _left(turns)
        try:
            messages = _messages(turns, errors)
        except UnicodeEncodeError:
            _mend_half_pairs(turns, counts)
            messages = _messages(turns, errors)
    table = pa.table(
        [
            pa.array(np.zeros(n, np.uint64)),
            pa.array(np.ones(n, np.uint32)),
            pa.repeat(pa.scalar(source.name, pa.string()), n),
            files,
            where,
            messages,
            _groups(records, source.group, seed, n),
            _times(records, source.time, n),
            _meta(records, source.meta, n),
            pa.nulls(n, pa.string()),
            *_causes(errors, n),
        ],
        schema=schema.ROW,
    )
    bad_bytes = np.array([counts.get(i, 0) for i in range(n)], np.int64) if counts else np.zeros(n, np.int64)
    return schema.changed(table, NAME, {"bad_bytes": bad_bytes, **left})


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


def _groups(records: list[dict[str, Any]], column: str | None, seed: int, n: int) -> pa.Array:
    """Keyed hash of the grouping column: ``uint64[N]``, null where a record has none."""
    if column is None:
        return pa.nulls(n, pa.uint64())
    return pa.array([keyed_hash(r.get(column), seed) for r in records], pa.uint64())


def keyed_hash(value: Any, seed: int) -> int | None:
    """64-bit hash of a key under `seed`; None for none."""
    found = key(value)
    if found is None:
        return None
    return xxhash.xxh3_64_intdigest(found.encode("utf-8", "surrogatepass"), seed=seed % 2**64)


def key(value: Any) -> str | None:
    """A value that rows share as text; None where there is none.

    A whole number is one key however it is written: 7, 7.0 (as a table with gaps has integers), "7.0".
    """
    if isinstance(value, float | Decimal) and math.isfinite(value) and value == int(value):
        return str(int(value))
    found = plain(value)
    if found and found.endswith("0") and (whole := _WHOLE.fullmatch(found)):
        return whole[1]
    return found or None


def plain(value: Any) -> str | None:
    """A value as text; None where there is none or it cannot be told."""
    if value is None or type(value) is str:
        return value
    try:
        return words.text(value)
    except (ReadError, RecursionError):
        return None


def clean(value: str) -> str:
    """`value` with what UTF-8 cannot hold replaced."""
    return value.encode("utf-8", "replace").decode()


def _times(records: list[dict[str, Any]], column: str | None, n: int) -> pa.Array:
    """The time column: ``timestamp[us, UTC][N]``, null where there is none or it cannot be told."""
    kind = schema.ROW.field("time").type
    if column is None:
        return pa.nulls(n, kind)
    return pa.array([microseconds(r.get(column)) for r in records], pa.int64()).cast(kind)


def microseconds(value: Any) -> int | None:
    """Microseconds since 1970 of ISO 8601 text (UTC where it names no zone) or of a number.

    A number is taken as seconds, milliseconds, microseconds or nanoseconds by its size: 1e11
    seconds is the year 5138, 1e11 milliseconds 1973.
    """
    if isinstance(value, bool) or value is None:
        return None
    try:
        if isinstance(value, str) and not value.strip().lstrip("+-").replace(".", "", 1).isdecimal():
            value = datetime.fromisoformat(value.strip())
        elif isinstance(value, date) and not isinstance(value, datetime):
            value = datetime(value.year, value.month, value.day)
        if isinstance(value, datetime):
            aware = value if value.tzinfo else value.replace(tzinfo=UTC)
            return round((aware - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds() * 1e6)
        number = float(value)
        for limit, scale in ((1e11, 1e6), (1e14, 1e3), (1e17, 1.0), (1e19, 1e-3)):
            if abs(number) < limit:
                return round(number * scale)
    except (ValueError, TypeError, OverflowError):
        return None
    return None


def _meta(records: list[dict[str, Any]], columns: tuple[str, ...], n: int) -> pa.Array:
    """The named columns as text: ``map<string, string>[N]``, null where none is named."""
    if not columns:
        return pa.nulls(n, schema.META)
    found = []
    for record in records:
        pairs = ((c, plain(record.get(c))) for c in columns)
        found.append([(c, clean(v)) for c, v in pairs if v is not None])
    return pa.array(found, schema.META)
