"""Whole Parquet objects that somebody else wrote: what they claim is checked before Arrow acts on it.

Cost: `storage.read_table`, and about 20 microseconds a page.
"""

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.parquet as pq

from headrace.cluster import storage
from headrace.cluster.errors import DamagedError
from headrace.cluster.parquet import footer, pages

MOST = 2**32  # bytes that the values of one object may stand for
PAGE = 2**30  # bytes that one page may unpack to
SPARE = 64 * 2**20  # bytes that the values of a column stand for without a closer look


def table(path: str, columns: Sequence[str]) -> pa.Table:
    """`columns` of one object.

    Raises: DamagedError (it is no such Parquet), FileNotFoundError, StorageError.
    """
    with storage.explained(path, "read"), storage.intact(path), storage.open_input(path) as file:
        try:
            about = footer.read(file, file.seek(0, 2))
            chunks = [c for group in about.groups for c in group.chunks if c.leaf.root in columns]
            stood = sum(c.values * pages.widest(file, c, SPARE // max(c.values, 1)) for c in chunks)
            if not set(columns) <= set(about.columns) or stood > MOST or any(g.problem for g in about.groups):
                raise DamagedError(path)
            guard = pages.Guard(file, chunks, PAGE)
            metadata = pq.read_metadata(pa.BufferReader(about.for_arrow))
            try:
                found = pq.ParquetFile(guard, metadata=metadata, pre_buffer=False).read(list(columns))
            except Exception as error:
                guard.check(error)
                raise
        except footer.Damaged as damage:
            raise DamagedError(path) from damage
    return found.select(list(columns))
