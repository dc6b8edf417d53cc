"""Which rows belong together on one side of the split: what pass 2 hands to `pipelines.split`.

Cost: sorting the matched rows; 40 bytes a row.
"""

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

import kernels
from cluster import storage
from pipelines import decide, schema

RANGE_GROUP = 65_536  # rows of a row group, for these tables are read by range


def write(output: str, known: pa.Table, matches: decide.Matches, least: float) -> None:
    """Write which rows share a side of the split, whatever is removed: exact copies (also where they
    stay), matches of at least `least`, rows of one `group`.

    Pairs go by the earliest row of those that are equal: so the pairs among the rows of any earlier
    state of the run join the rows that they joined then.
    """
    ids = known["row_id"].to_numpy()
    near = matches.rule == decide.NEAR
    equal = kernels.components(np.concatenate([matches.exact, matches.pairs[~near]]), known.num_rows)
    earliest = _earliest(equal, ids)
    held = known["group"].is_valid().to_numpy()
    grouped = np.flatnonzero(held)
    same_group = grouped[_earliest(known["group"].filter(pa.array(held)).to_numpy(), ids[grouped])]
    stars = [(earliest, np.arange(len(ids))), (same_group, grouped)]
    joined = np.concatenate(
        [
            earliest[matches.pairs[near & (matches.similarity >= least)]],
            *(np.stack([first, row], axis=1)[first != row] for first, row in stars),
        ]
    )
    labels = kernels.components(joined, len(ids))
    rows = np.unique(joined)
    own = pc.coalesce(known["group"], known["exact_lo"]).to_numpy()
    first = ids[_earliest(labels, ids)]
    table = pa.table({"row_id": ids[rows], "cluster": first[rows], "own": own[rows]})
    _write(output, "clusters", table.sort_by("row_id"))
    edges = np.sort(ids[joined], axis=1)
    table = pa.table({"a": edges[:, 0], "b": edges[:, 1]})
    _write(output, "joined", table.sort_by([("b", "ascending"), ("a", "ascending")]))
    ordinals, counts = np.unique(schema.ordinal(ids), return_counts=True)
    _write(output, "ordinals", pa.table({"ordinal": ordinals, "rows": counts}))


def _earliest(labels: NDArray[Any], ids: NDArray[np.uint64]) -> NDArray[np.int64]:
    """Place of the least id among the rows of each row's label."""
    order = np.lexsort((ids, labels))
    first = np.concatenate([[True], labels[order][1:] != labels[order][:-1]])[: len(order)]
    earliest = np.empty(len(order), np.int64)
    earliest[order] = order[np.flatnonzero(first)][np.cumsum(first) - 1]
    return earliest


def _write(output: str, name: str, table: pa.Table) -> None:
    storage.write_table(storage.join(output, f"{name}.parquet"), table, row_group=RANGE_GROUP)
