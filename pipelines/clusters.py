"""Which rows belong together on one side of the split: what pass 2 hands to `pipelines.split`.

Cost: sorting the rows that are matched or grouped; of the others the row ids are counted by fragment.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

import kernels
from cluster import storage
from pipelines import decide

RANGE_GROUP = 65_536  # rows of a row group, for these tables are read by range


def write(
    output: str,
    column: Callable[[str], pa.Array],
    foreign: int,
    matches: decide.Matches,
    least: float,
    ordinals: pa.Table,
) -> None:
    """Write which rows share a side of the split, whatever is removed: exact copies (also where they
    stay), matches of at least `least`, rows of one `group`.

    `column(name)` gives a column of all rows by rank, of which the first `foreign` are left out; the ranks
    of `matches` count from there; `ordinals` says how many rows each fragment has. Pairs go by the earliest
    row of those that are equal: so the pairs among the rows of any earlier state of the run join the rows
    that they joined then.
    """
    group = column("group").slice(foreign)
    concerned = np.unique(np.concatenate([matches.exact.ravel(), matches.pairs.ravel(), _repeated(group)]))
    _write(output, "ordinals", ordinals)
    ids = column("row_id").slice(foreign).to_numpy()[concerned]
    group = group.take(pa.array(concerned))
    exact, pairs = (np.searchsorted(concerned, p) for p in (matches.exact, matches.pairs))
    near = matches.rule != decide.EXACT
    equal = kernels.components(np.concatenate([exact, pairs[~near]]), len(ids))
    earliest = _earliest(equal, ids)
    grouped = np.flatnonzero(group.is_valid().to_numpy(zero_copy_only=False))
    same_group = grouped[_earliest(group.drop_null().to_numpy(), ids[grouped])]
    stars = [(earliest, np.arange(len(ids))), (same_group, grouped)]
    joined = np.concatenate(
        [
            earliest[pairs[near & (matches.similarity >= least)]],
            *(np.stack([first, row], axis=1)[first != row] for first, row in stars),
        ]
    )
    labels = kernels.components(joined, len(ids))
    rows = np.unique(joined)
    exact_lo = column("exact_lo").slice(foreign).take(pa.array(concerned))
    own = pc.coalesce(group, exact_lo).to_numpy()
    first = ids[_earliest(labels, ids)]
    table = pa.table({"row_id": ids[rows], "cluster": first[rows], "own": own[rows]})
    _write(output, "clusters", table.sort_by("row_id"))
    edges = np.sort(ids[joined], axis=1)
    table = pa.table({"a": edges[:, 0], "b": edges[:, 1]})
    _write(output, "joined", table.sort_by([("b", "ascending"), ("a", "ascending")]))


def _repeated(group: pa.Array) -> NDArray[np.int64]:
    """Rows whose group another row has too."""
    held = np.flatnonzero(group.is_valid().to_numpy(zero_copy_only=False))
    values = group.drop_null().to_numpy()
    order = np.argsort(values)
    same = values[order][1:] == values[order][:-1]
    twice = np.concatenate([[False], same]) | np.concatenate([same, [False]]) if len(order) else same
    rows: NDArray[np.int64] = held[order[twice[: len(order)]]]
    return rows


def _earliest(labels: NDArray[Any], ids: NDArray[np.uint64]) -> NDArray[np.int64]:
    """Place of the least id among the rows of each row's label."""
    order = np.lexsort((ids, labels))
    first = np.concatenate([[True], labels[order][1:] != labels[order][:-1]])[: len(order)]
    earliest = np.empty(len(order), np.int64)
    earliest[order] = order[np.flatnonzero(first)][np.cumsum(first) - 1]
    return earliest


def _write(output: str, name: str, table: pa.Table) -> None:
    storage.write_table(storage.join(output, f"{name}.parquet"), table, row_group=RANGE_GROUP)
