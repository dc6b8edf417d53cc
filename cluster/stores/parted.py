"""Tables in parts, which tasks hand to each other and nobody keeps: Arrow's own form, as it lies in memory.

Why: hashes do not shrink and are read once. Parquet counts their least and greatest, packs and unpacks them:
6 ns a byte written and 3 a byte read, ten times what copying takes. A part is read by its number, without
the others; on a local disk only the columns and rows that are looked at are.

Cost: the bytes of the columns on disk, none of them compressed.
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import IO, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from headrace.cluster import storage


def write(path: str, table: pa.Table, part: NDArray[np.integer[Any]] | None = None) -> None:
    """Write a table so that a part of it can be read. part: of each row; left out, all are of part 0.

    Rows of a part stay in their order.
    """
    cuts = np.array([0, table.num_rows])
    if part is not None:
        if np.any(part[1:] < part[:-1]):
            # Numbers of 16 bits are sorted by their digits.
            narrow = part.astype(np.uint16) if int(part.max()) < 2**16 else part
            order = np.argsort(narrow, kind="stable")
            table, part = table.take(pa.array(order)), part[order]
        cuts = np.searchsorted(part, np.arange(int(part[-1]) + 2 if len(part) else 2))
    table = table.combine_chunks()
    empty = pa.RecordBatch.from_arrays([pa.array([], f.type) for f in table.schema], schema=table.schema)
    with storage.written(path, kept=False) as sink, pa.ipc.new_file(sink, table.schema) as writer:
        for first, last in pairwise(cuts):
            batches = table.slice(first, last - first).to_batches()
            writer.write_batch(batches[0] if batches else empty)


def read(path: str, part: int = 0, columns: Sequence[str] | None = None) -> pa.Table:
    """Some columns of one part of what `write` wrote; no row where it had none."""
    with storage.explained(path, "read"), storage.intact(path), _opened(path) as file:
        held = _held(file, columns)
        return _part(held, part) if part < held.num_record_batches else held.schema.empty_table()


def parts(path: str, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
    """The parts of what `write` wrote, one after the other."""
    with storage.explained(path, "read"), storage.intact(path), _opened(path) as file:
        held = _held(file, columns)
        for part in range(held.num_record_batches):
            yield _part(held, part)


def rows(path: str) -> int:
    """How many rows all parts have."""
    return sum(table.num_rows for table in parts(path))


def _opened(path: str) -> IO[bytes] | pa.NativeFile:
    """A file, on a local disk as a map of it."""
    if storage.is_remote(path):
        return storage.open_input(path)
    return pa.memory_map(path.removeprefix("file://"))


def _held(file: IO[bytes] | pa.NativeFile, columns: Sequence[str] | None) -> pa.RecordBatchFileReader:
    if columns is None:
        return pa.ipc.open_file(file)
    names = pa.ipc.open_file(file).schema.names
    file.seek(0)
    wanted = pa.ipc.IpcReadOptions(included_fields=sorted(names.index(name) for name in columns))
    return pa.ipc.open_file(file, options=wanted)


def _part(held: pa.RecordBatchFileReader, part: int) -> pa.Table:
    return pa.Table.from_batches([held.get_batch(part)])
