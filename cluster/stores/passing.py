"""Parquet that one task hands to the next and nobody keeps: what costs least to write and to read."""

from collections.abc import Iterable, Sequence
from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq

from headrace.cluster import storage


def write(
    path: str,
    tables: Iterable[pa.Table],
    row_group: int | None = None,
    dictionary: bool | list[str] = False,
    *,
    filtered: bool | list[str] = True,
    compression: Literal["lz4", "none"] = "lz4",
) -> None:
    """Write tables for the next task; groups have `row_group` rows, or `storage.RANGE_ROWS`.

    tables: of one schema, one at least; each is let go of before the next is asked for. filtered: columns by
    which readers rule out row groups, all or some: to know it of texts takes half as long as writing them.
    Hashes hardly shrink: LZ4 writes and reads them in half the time of zstd, a tenth larger.
    """
    waiting = iter(tables)
    table = next(waiting)
    form: dict[str, Any] = {"use_dictionary": dictionary, "write_statistics": filtered}
    with (
        storage.written(path, kept=False) as sink,
        pq.ParquetWriter(sink, table.schema, compression=compression, **form) as writer,
    ):
        while table is not None:
            writer.write_table(table, row_group or storage.RANGE_ROWS)
            del table
            table = next(waiting, None)


def write_hashes(
    path: str,
    tables: Iterable[pa.Table],
    dictionary: bool | list[str] = False,
    filtered: Sequence[str] = (),
) -> None:
    """`write` for hashes and numbers, as they are: half the time, a fifth larger."""
    write(path, tables, dictionary=dictionary, filtered=[*filtered], compression="none")
