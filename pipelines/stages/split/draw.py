"""Which rows of the pools of `mix` are drawn: those with the lowest hash of row_id and seed.

The same rows are drawn whatever the order of files, and a greater share draws the same rows and more.

Cost: one pass over the row ids.
"""

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import xxhash
from numpy.typing import NDArray

from headrace.pipelines import arrays, schema

REASON = "mix.not_drawn"


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
        if limit is not None:
            keys = hashes(table["row_id"].to_numpy(), seed)
            own = pc.equal(table["source"], name).to_numpy(zero_copy_only=False)
            table = schema.mark_where(table, own & (keys >= np.uint64(limit)), REASON)
    return table
