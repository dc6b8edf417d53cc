"""Parquet: records under named columns.

A row group that cannot be decoded costs that row group. What a file claims is checked before Arrow acts on it
(`footer`, `pages`); what may still end a process is read in one of its own and costs itself.

Cost: 100 MB/s and more of text a core; memory of a few batches.
"""

import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any, cast

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from headrace.cluster import apart, process, storage
from headrace.cluster.parquet import footer, pages
from headrace.cluster.parquet.footer import Damaged
from headrace.pipelines.stages.read import streams
from headrace.pipelines.stages.read.files import compressed
from headrace.pipelines.stages.read.files.encodings import Encoding
from headrace.pipelines.stages.read.records import (
    DEPTH_LIMIT,
    EXPANSION,
    MEMORY_LIMIT,
    SPARE,
    Batch,
    ReadError,
    too_deep,
)

BATCH_BYTES = 2**20
MOST_ROWS = 4096
_NARROW = re.compile(r"\b(half)?float\b")  # in the name of an Arrow type: 16 or 32 bits
DEATHS = 2  # of workers at a task, from which on its Parquet files are read each in a process of its own


def parquet(
    path: str,
    size: int,
    columns: list[str] | None,
    start: int,
    stop: int,
    memory: int = MEMORY_LIMIT,
    *,
    alone: bool = False,
    guarded: bool = False,
) -> Iterator[Batch]:
    """Records of row groups [start, stop) of a Parquet file, of their `columns` only (None: all).

    memory: bytes that reading it may take. alone: this process is there for this file only, so that nothing
    is lost where it ends; otherwise what is suspect is read in such a one, and all where `guarded` says so.
    """
    with opened(path, size) as (file, broken):
        about, problem = _footer(file, size) if broken is None else (None, broken)
        if about is None:
            yield _whole(problem)
            return
        groups = about.groups[start : None if stop < 0 else stop]
        first = sum(g.rows for g in about.groups[:start])
        if (guarded or process.deaths() >= DEATHS) and not alone:
            yield from _apart((path, size, columns, start, stop), groups, first, memory)
            return
        picked = [c for c in about.columns if columns is None or c in columns]
        guard = pages.Guard(file, _chunks(groups, picked), memory)
        try:
            table = pq.ParquetFile(
                guard,
                metadata=pq.read_metadata(pa.BufferReader(about.for_arrow)),
                buffer_size=BATCH_BYTES,
                pre_buffer=False,
            )
        except MemoryError:  # says something of the machine, nothing of the file
            raise
        except Exception as error:  # noqa: BLE001 - whatever Arrow has against the schema
            guard.check(error)
            yield _whole(ReadError("read.corrupt", "a schema that cannot be decoded", size))
            return
        for number, group in enumerate(groups, start):
            rows, most = _limits(file, group, picked)
            if most > memory and not alone:
                yield from _apart((path, size, columns, number, number + 1), [group], first, memory)
            else:
                for batch in _row_group(guard, table, number, group, first, picked, rows):
                    batch.unread = tuple(c for c in about.columns if c not in picked)
                    yield batch
            first += group.rows


def _whole(problem: ReadError | None) -> Batch:
    """A file of which nothing can be read, as one quarantined record."""
    batch = Batch("byte")
    batch.add(cast(ReadError, problem), 0)
    return batch


def _footer(file: IO[bytes], size: int) -> tuple[footer.Footer | None, ReadError | None]:
    """The footer of a file of `size` stored bytes, or why there is none to go by."""
    try:
        return footer.read(file, file.seek(0, 2)), None
    except footer.Missing as damage:
        file.seek(0)
        start = file.read(streams.HEAD)
        if start.startswith(footer.MAGIC):
            return None, ReadError("read.truncated", damage.detail, size)
        kind = next((kind for magic, kind in streams.MAGIC.items() if start.startswith(magic)), "no Parquet")
        return None, ReadError("read.binary", f"not a Parquet file: {kind}", size)
    except Damaged as damage:
        return None, ReadError("read.corrupt", damage.detail, size)


def _chunks(groups: list[footer.Group], picked: list[str]) -> list[footer.Chunk]:
    return [c for group in groups for c in group.chunks if c.leaf.root in picked]


@contextmanager
def opened(path: str, size: int) -> Iterator[tuple[IO[bytes], ReadError | None]]:
    """A seekable file; one that is compressed as a whole is unpacked to a temporary first."""
    if compressed.by_suffix(path) is None:
        try:
            with storage.explained(path, "read"), storage.open_input(path) as file:
                yield file, None
        except FileNotFoundError as error:
            raise storage.gone(path) from error
        return
    with tempfile.TemporaryFile() as unpacked:
        broken = None
        try:
            for chunk in streams.chunks(path):
                unpacked.write(chunk)
        except ReadError as bad:
            broken = ReadError(bad.cause, bad.detail, size)
        unpacked.seek(0)
        yield cast(IO[bytes], unpacked), broken


def _limits(file: IO[bytes], group: footer.Group, picked: list[str]) -> tuple[int, int]:
    """Rows that a batch of a row group may have, and the most bytes that all its values may stand for."""
    row = total = 0
    for chunk in _chunks([group], picked):
        values = max(chunk.values, 1)
        width = pages.widest(file, chunk, SPARE // values)
        total += values * width
        row += -(-values // max(group.rows, 1)) * width
    usual = min(BATCH_BYTES // max(group.size // max(group.rows, 1), 1), MOST_ROWS)
    return max(1, min(usual, SPARE // max(row, 1))), total


def _apart(
    what: tuple[str, int, list[str] | None, int, int], groups: list[footer.Group], first: int, memory: int
) -> Iterator[Batch]:
    """Records of row groups, read in a process of its own; where that ends, the remainder is one record.

    Raises: Fault where it was stopped each time (`apart.insist`).
    """
    place = first
    try:
        for batch in apart.insist(what[0], _alone, *what, memory, memory=memory):
            place = batch.places[-1]
            yield batch
    except apart.Ended as ended:
        rows, stored = sum(g.rows for g in groups), sum(g.stored for g in groups)
        lost = stored * (first + rows - place) // max(rows, 1)
        batch = Batch("row")
        detail = f"reading the file ends the process that reads it: {ended.why}"
        batch.add(ReadError("read.fatal", detail, lost), place + 1)
        yield batch


def _alone(
    path: str, size: int, columns: list[str] | None, start: int, stop: int, memory: int
) -> Iterator[Batch]:
    """`parquet` in the process of `_apart`."""
    return parquet(path, size, columns, start, stop, memory, alone=True)


def _row_group(
    guard: pages.Guard,
    table: pq.ParquetFile,
    number: int,
    group: footer.Group,
    first: int,
    picked: list[str],
    rows: int,
) -> Iterator[Batch]:
    """Records of one row group, `rows` a batch; what cannot be decoded of it is one quarantined record."""
    given = unpacked = 0
    stored = sum(c.stored for c in _chunks([group], picked))
    problem = group.problem
    try:
        if problem is None and not picked:
            for begin in range(0, group.rows, MOST_ROWS):
                places = range(first + begin + 1, first + min(begin + MOST_ROWS, group.rows) + 1)
                yield Batch("row", [{} for _ in places], [*places])
        elif problem is None:
            for batch in table.iter_batches(
                batch_size=rows, row_groups=[number], columns=picked, use_threads=False
            ):
                unpacked += batch.nbytes
                if unpacked > max(SPARE, EXPANSION * stored):
                    raise Damaged(f"it unpacks to more than {EXPANSION} times its stored bytes")
                yield records_of(batch, first + given)
                given += batch.num_rows
            problem = "it ends before its last row" if given < group.rows else None
    except Damaged as damage:
        problem = damage.detail
    except MemoryError:  # says something of the machine, nothing of the file
        raise
    except Exception as error:  # noqa: BLE001 - content never raises, whatever Arrow makes of it
        guard.check(error)
        problem = "it cannot be decoded"
    if problem is not None:
        lost = group.stored * (group.rows - given) // max(group.rows, 1)
        batch = Batch("row")
        batch.add(ReadError("read.corrupt", f"row group {number + 1}: {problem}", lost), first + given + 1)
        yield batch


def records_of(batch: pa.RecordBatch, first: int) -> Batch:
    """Rows of an Arrow batch as mappings."""
    errors: dict[int, ReadError] = {}
    repaired: dict[int, int] = {}
    columns = [_values(column, errors, repaired) for column in batch.columns]
    names = batch.schema.names
    records: list[dict[str, Any]] = [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]
    if any(pa.types.is_nested(column.type) for column in batch.columns):
        for i, record in enumerate(records):
            if too_deep(record):
                errors[i] = ReadError("read.wrong_type", f"nested deeper than {DEPTH_LIMIT} levels")
    for i in errors:
        records[i] = {}
    return Batch("row", records, [*range(first + 1, first + len(records) + 1)], errors, repaired)


def _values(column: pa.Array, errors: dict[int, ReadError], repaired: dict[int, int]) -> list[Any]:
    """A column as Python values; a value that is none goes to `errors` under its row.

    A text that is no UTF-8 is mended, and its bad bytes are counted in `repaired`.
    """
    try:
        return _pythonic(column)
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 - dates that Python has not, zones that are none, ...
        values: list[Any] = []
        for i, value in enumerate(column):
            try:
                values.append(value.as_py())
            except UnicodeDecodeError:
                if not hasattr(value, "as_buffer"):  # a text within a list or a struct
                    errors[i] = ReadError("read.bad_utf8", "invalid UTF-8 in the record")
                    values.append(None)
                    continue
                found, bad = Encoding(given=True).text(value.as_buffer().to_pybytes())
                repaired[i] = repaired.get(i, 0) + bad
                values.append(found)
            except MemoryError:
                raise
            except Exception:  # noqa: BLE001 - as above
                errors[i] = ReadError("read.wrong_type", "a value beyond what can be told as text")
                values.append(None)
        return values


def _pythonic(column: pa.Array) -> list[Any]:
    """A column as Python values; a number of 16 or 32 bits as the one whose shortest decimal is its own.

    19.9 as a float32 is 19.9 then, as everybody writes it, and not 19.899999618530273.
    """
    if pa.types.is_float32(column.type):
        return cast(list[Any], column.cast(pa.string()).cast(pa.float64()).to_pylist())
    values = cast(list[Any], column.to_pylist())
    if _NARROW.search(str(column.type)):
        return [_widened(value, column.type) for value in values]
    return values


def _widened(value: Any, kind: pa.DataType) -> Any:
    """`_pythonic` of one value of an Arrow type."""
    if value is None:
        return None
    if pa.types.is_float32(kind):
        return float(str(np.float32(value)))
    if pa.types.is_float16(kind):
        return float(str(np.float16(value)))
    if pa.types.is_struct(kind):
        return {name: _widened(inner, kind.field(name).type) for name, inner in value.items()}
    if pa.types.is_map(kind):
        return [(_widened(k, kind.key_type), _widened(v, kind.item_type)) for k, v in value]
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        return [_widened(inner, kind.value_type) for inner in value]
    return value
