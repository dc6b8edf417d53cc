"""Arrow files, as `save_to_disk` of Hugging Face's datasets and Feather write them.

Both kinds are read, streams and files; what cannot be decoded costs the remainder of the file. Buffers are
held against what they claim before anything looks into them.

Cost: 200 MB/s and more of text a core; memory of one record batch.
"""

from collections.abc import Iterator
from typing import Any

import pyarrow as pa
from pyarrow import ipc

from headrace.cluster import apart, process
from headrace.cluster.errors import HeadraceError
from headrace.pipelines.stages.read import tabular
from headrace.pipelines.stages.read.records import Batch, ReadError

MAGIC = b"ARROW1"
ROWS = 1024  # of a record batch that become Python values at once


def arrow(
    path: str,
    size: int,
    columns: list[str] | None,
    memory: int,
    *,
    alone: bool = False,
    guarded: bool = False,
) -> Iterator[Batch]:
    """Records of an Arrow file, of their `columns` only (None: all).

    alone, guarded: as `tabular.parquet` has them. Raises: SourceError, StorageError; never for content.
    """
    if (guarded or process.deaths() >= tabular.DEATHS) and not alone:
        yield from _apart(path, size, columns, memory)
        return
    first = 0
    with tabular.opened(path, size) as (file, problem):
        try:
            for batch in _batches(file) if problem is None else ():
                picked = [n for n in batch.schema.names if columns is None or n in columns]
                unread = tuple(n for n in batch.schema.names if n not in picked)
                batch.validate(full=True)
                for start in range(0, batch.num_rows, ROWS):
                    piece = batch.select(picked).slice(start, ROWS)
                    records = _records(piece, first)
                    records.unread = unread
                    yield records
                    first += piece.num_rows
        except Exception as error:
            if _of_storage(error):
                raise
            problem = ReadError("read.corrupt", "Arrow data that cannot be decoded")
    if problem is not None:
        yield _broken(problem.cause, problem.detail, first, size)


def _of_storage(error: Exception) -> bool:
    """Whether a disk, a network or the machine says it: Arrow's own errors of content have no number."""
    if isinstance(error, MemoryError | HeadraceError):
        return True
    return isinstance(error, OSError) and not (type(error) is OSError and error.errno is None)


def _batches(file: Any) -> Iterator[pa.RecordBatch]:
    start = file.read(len(MAGIC))
    file.seek(0)
    if start == MAGIC:
        whole = ipc.open_file(file)
        for number in range(whole.num_record_batches):
            yield whole.get_batch(number)
    else:
        yield from ipc.open_stream(file)


def _records(piece: pa.RecordBatch, first: int) -> Batch:
    if not piece.num_columns:
        return Batch(
            "row", [{} for _ in range(piece.num_rows)], [*range(first + 1, first + piece.num_rows + 1)]
        )
    return tabular.records_of(piece, first)


def _broken(cause: str, detail: str, first: int, size: int) -> Batch:
    batch = Batch("row")
    batch.add(ReadError(cause, detail, None if first else size), first + 1)
    return batch


def _apart(path: str, size: int, columns: list[str] | None, memory: int) -> Iterator[Batch]:
    """`arrow` in a process of its own; where that ends, the remainder is one record.

    Raises: Fault where it was stopped each time (`apart.insist`).
    """
    first = 0
    try:
        for batch in apart.insist(path, _alone, path, size, columns, memory, memory=memory):
            first = batch.places[-1] if batch.places else first
            yield batch
    except apart.Ended as ended:
        yield _broken(
            "read.fatal", f"reading the file ends the process that reads it: {ended.why}", first, size
        )


def _alone(path: str, size: int, columns: list[str] | None, memory: int) -> Iterator[Batch]:
    """`arrow` in the process of `_apart`."""
    return arrow(path, size, columns, memory, alone=True)
