"""The rows of a run that are packed, in small columns, and an order of them that no one can foresee.

Cost: the column `row_ids` of packed/, and `COLUMNS` of prepared/; some 40 bytes of memory a row.
"""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from headrace.cluster import storage
from headrace.pipelines import arrays, stored
from headrace.pipelines.passes import summary
from headrace.pipelines.schema import SPLITS

COLUMNS = ["row_id", "source", "quality.score", "traits.task", "traits.language"]
BLANK = pa.schema(
    [
        ("row_id", pa.uint64()),
        *((name, pa.string()) for name in ("source", "task", "language")),
        ("score", pa.float32()),
    ]
).empty_table()
AT_ONCE = 2_000  # rows whose text is held at a time


def packed(run: str) -> pa.Table:
    """Rows of `run` that stand in packed/, by row_id: `source`, `side`, `task`, `language`, `score`.

    `task` and `language` are null where the run does not tell them.

    Raises: OutputError where the run is not prepared; StorageError, DamagedError.
    """
    summary.require_prepared(run)
    ids, sides = _sides(run)
    wanted = pa.array(ids)
    tables = [
        _flat(group.filter(pc.is_in(group["row_id"], wanted)))
        for entry in storage.listing(storage.join(run, "prepared"))
        for group in storage.row_groups(entry.path, COLUMNS)
    ]
    table = pa.concat_tables([BLANK, *tables]).sort_by("row_id").combine_chunks()
    at = np.searchsorted(ids, table["row_id"].to_numpy())
    names = pa.array(SPLITS).take(pa.array(sides[at]))
    return table.append_column("side", names)


def _sides(run: str) -> tuple[NDArray[np.uint64], NDArray[np.int8]]:
    """Rows in packed/, sorted, and the side of each (place in `SPLITS`): ``uint64[N], int8[N]``."""
    found, sides = [np.zeros(0, np.uint64)], [np.zeros(0, np.int8)]
    for number, side in enumerate(SPLITS):
        for entry in storage.listing(storage.join(run, f"packed/{side}")):
            for group in storage.row_groups(entry.path, ["row_ids"]):
                found.append(np.unique(pc.list_flatten(group["row_ids"]).to_numpy()))
                sides.append(np.full(len(found[-1]), number, np.int8))
    ids, first = np.unique(np.concatenate(found), return_index=True)
    return ids, np.concatenate(sides)[first]


def _flat(group: pa.Table) -> pa.Table:
    """`row_id`, `source`, `task`, `language` and `score` of a row group of prepared/."""
    quality = group["quality"].combine_chunks()
    told: dict[str, Any] = {"task": None, "language": None}
    if "traits" in group.column_names:
        traits = group["traits"].combine_chunks()
        told = {name: pc.struct_field(traits, name) for name in told}
    blank = pa.nulls(group.num_rows, pa.string())
    return pa.table(
        {
            "row_id": group["row_id"],
            "source": group["source"],
            **{name: blank if values is None else values for name, values in told.items()},
            "score": pc.struct_field(quality, "score"),
        }
    ).cast(BLANK.schema)


def shuffled(row_ids: NDArray[np.uint64], seed: int, salt: int = 0) -> NDArray[np.uint64]:
    """A number a row that says nothing of the row, the same for the same seed: ``uint64[N] -> uint64[N]``."""
    mixed = np.uint64((seed * 0x9E3779B97F4A7C15 + salt * 0xD1B54A32D192ED03 + 1) & (2**64 - 1))
    return arrays.finalised(arrays.finalised(row_ids + mixed) ^ mixed)


def read(run: str, row_ids: Iterable[int], columns: list[str]) -> Iterator[dict[str, Any]]:
    """Rows of prepared/ by row_id, some at a time."""
    wanted = sorted(row_ids)
    for at in range(0, len(wanted), AT_ONCE):
        yield from stored.rows(run, wanted[at : at + AT_ONCE], columns)


def mix(table: pa.Table, names: Iterable[str]) -> dict[str, dict[str, int]]:
    """Rows by each value of some columns; columns without any value are left out."""
    found = {}
    for name in names:
        counts = {v["values"]: v["counts"] for v in table[name].value_counts().to_pylist()}
        known = {str(value): n for value, n in counts.items() if value is not None}
        if known:
            found[name] = dict(sorted(known.items()))
    return found
