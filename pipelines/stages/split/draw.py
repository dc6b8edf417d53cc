"""Which rows of the pools of `mix` are drawn: of those on the train side the ones with the lowest hash of
row_id and seed.

The same rows are drawn whatever the order of files, and a greater share draws the same rows and more. A row
that the split holds out, perhaps with rows of the task that ask the same, is left out (`mix.held_out`): so no
pool moves a row of the task to another side, and none stands where the task is measured.

Cost: one pass over the row ids.
"""

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import xxhash
from numpy.typing import NDArray

from headrace.pipelines import arrays, schema

REASON, HELD = "mix.not_drawn", "mix.held_out"


def hashes(row_ids: NDArray[np.uint64], seed: int) -> NDArray[np.uint64]:
    """What rows are drawn by: ``uint64[N] -> uint64[N]``."""
    salt = np.uint64(xxhash.xxh3_64_intdigest(f"mix/{seed}".encode()))
    keys: NDArray[np.uint64] = arrays.finalised(row_ids ^ salt)
    return keys


def marked(table: pa.Table, below: Mapping[str, int | None], seed: int) -> pa.Table:
    """`table` with the rows of pools marked that are not drawn.

    below: of each pool, by its source, the hash that rows must be under; null: all stay.
    """
    for name, limit in sorted(below.items()):
        own = pc.equal(table["source"], name).to_numpy(zero_copy_only=False)
        held = pc.not_equal(table["split"], "train").to_numpy(zero_copy_only=False)
        table = schema.mark_where(table, own & held, HELD)
        if limit is not None:
            keys = hashes(table["row_id"].to_numpy(), seed)
            table = schema.mark_where(table, own & (keys >= np.uint64(limit)), REASON)
    return table
