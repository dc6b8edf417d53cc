"""Train, validation and test: a side for every row, the same for all rows of a cluster.

Rows that are duplicates, borderline pairs, share a `group`, or begin with the same prompt form clusters
(pass 2); a cluster stands on one side as a whole, removed rows included, so nothing of the test side was
seen in training, and no prompt of it was trained on with another answer. The side is a hash of `seed` and of
the cluster's earliest row (its group, else its content), so it does not depend on what else is in the run. A
cluster larger than half of a side's share goes to train and is reported. Shares are targets.

Inputs that were added later cannot move a row that stood before: sides are assigned plan by plan
with what was there then, and a new row that would join two sides is dropped as `split.bridge`, with the
new rows that have its very prompt.

Cost: O(clustered rows and their pairs), in one task; a row that is in no cluster costs one hash in
pass 3.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numba import njit
from numpy.typing import NDArray

from headrace.cluster import storage
from headrace.pipelines import arrays, schema
from headrace.pipelines.schema import SPLITS
from headrace.pipelines.stages.split.config import Config as Config

NAME = "split"
VERSION = 2
TRAIN = 0
LISTED = 20  # large clusters in the report


def side_of(keys: NDArray[np.uint64], config: Config, seed: int) -> NDArray[np.int8]:
    """Side of each key, ``uint64[N] -> int8[N]`` (place in `SPLITS`), by a hash with the seed."""
    salt = np.uint64((seed * 0x9E3779B97F4A7C15 + 0x2545F4914F6CDD1D) & (2**64 - 1))
    share = (arrays.finalised(keys ^ salt) >> np.uint64(11)).astype(np.float64) / 2**53
    held_out = np.array([config.test, config.test + config.validation])
    return np.array([2, 1, 0], np.int8)[np.searchsorted(held_out, share, side="right")]


def assign(output: str, config: Config, *, seed: int, rows: int, firsts: Sequence[int]) -> dict[str, Any]:
    """Give every clustered row its side and write `sides.parquet` [row_id, side, bridge] in `output`.

    `rows` is the size of the run, `firsts` the first ordinal of each plan, ascending. Returns counts and
    the clusters that were too large for their side.
    """
    clusters, joined, ordinals = (
        storage.read_table(storage.join(output, f"{name}.parquet"))
        for name in ("clusters", "joined", "ordinals")
    )
    ids, own = clusters["row_id"].to_numpy(), clusters["own"].to_numpy()
    counts = ordinals["rows"].to_numpy()
    assert counts.sum() == rows, (counts.sum(), rows)
    earlier, later = (np.searchsorted(ids, joined[end].to_numpy()) for end in ("a", "b"))
    starts, same = np.searchsorted(later, np.arange(len(ids) + 1)), joined["same"].to_numpy()
    root, side = np.arange(len(ids)), np.full(len(ids), -1, np.int8)
    bridge = np.zeros(len(ids), np.bool_)
    too_large: list[dict[str, int]] = []
    for first, stop in pairwise([*firsts, 2**32]):
        begin, end = np.searchsorted(schema.ordinal(ids), np.array([first, stop], np.uint64))
        _join(earlier, same, starts, begin, end, root, side, bridge)
        present = int(counts[ordinals["ordinal"].to_numpy() < stop].sum())
        heads, sizes = np.unique(root[begin:end][~bridge[begin:end]], return_counts=True)
        fresh = side[heads] < 0
        heads, sizes = heads[fresh], sizes[fresh]
        side[heads] = side_of(own[heads], config, seed)
        large = _too_large(side[heads], sizes, config, present)
        side[heads[large]] = TRAIN
        too_large += [{"kept": int(ids[heads[i]]), "rows": int(sizes[i])} for i in large]
    orphans = _orphans(output, ids, bridge)
    sides = np.where(bridge, np.int8(TRAIN), side[root])
    written = pa.table({"row_id": ids, "side": sides, "bridge": bridge})
    storage.write_ranges(storage.join(output, "sides.parquet"), written, dictionary=False)
    return {
        "clusters": len(np.unique(clusters["cluster"].to_numpy())),
        "rows": len(ids),
        "bridges": int(bridge.sum()),
        "orphans": orphans,
        "too_large": sorted(too_large, key=lambda c: (-c["rows"], c["kept"]))[:LISTED],
    }


def _orphans(output: str, ids: NDArray[np.uint64], bridge: NDArray[np.bool_]) -> int:
    """Make bridges of the rows that were removed for a bridge; returns how many.

    They came with it (a row that stood before is never removed for a later one), and the row that
    they name goes: they are told as what they are, and are taken out of `removed.parquet`.
    """
    if not bridge.any():
        return 0
    path = storage.join(output, "removed.parquet")
    removed = storage.read_table(path)
    own = removed["run"].is_null().to_numpy(zero_copy_only=False)  # not what an earlier run keeps
    orphaned = own & np.isin(removed["kept"].to_numpy(), ids[bridge])
    bridge |= np.isin(ids, removed["removed"].to_numpy()[orphaned])
    storage.write_ranges(path, removed.filter(pa.array(~orphaned)))
    return int(orphaned.sum())


def _too_large(
    sides: NDArray[np.int8], sizes: NDArray[np.int64], config: Config, rows: int
) -> NDArray[np.int64]:
    """Which clusters are over half of their held-out side's share of `rows`.

    A row alone stays where it is: most rows are in no cluster and are never looked at here.
    """
    shares = np.array([getattr(config, s) for s in SPLITS])[sides]
    return np.flatnonzero((sizes > 1) & (sides != TRAIN) & (sizes > shares * rows / 2))


@njit(cache=True, nogil=True)
def _join(earlier, same, starts, begin, end, root, side, bridge):  # type: ignore[no-untyped-def]
    """Let rows `begin` to `end` join their earlier partners, each by itself, unless that joins two sides.

    Row b is paired with ``earlier[starts[b]:starts[b + 1]]``; `same`: they have one prompt. `root` is the
    first row of a row's component; the side of a component stands at its root, -1 where it has none yet.
    """
    for row in range(begin, end):
        standing = np.int8(-1)
        for at in range(starts[row], starts[row + 1]):
            if bridge[earlier[at]]:
                bridge[row] |= same[at]  # the sides that the other would have joined have its prompt too
                continue
            one = side[_root(root, earlier[at])]
            bridge[row] |= one >= 0 and standing >= 0 and one != standing
            standing = max(standing, one)
        if bridge[row]:
            continue
        for at in range(starts[row], starts[row + 1]):
            if not bridge[earlier[at]]:
                a, b = _root(root, earlier[at]), _root(root, row)
                root[max(a, b)] = min(a, b)
        side[_root(root, row)] = standing
    for row in range(end):
        root[row] = _root(root, row)


@njit(cache=True, nogil=True)
def _root(root, row):  # type: ignore[no-untyped-def]
    while root[row] != row:
        root[row] = root[root[row]]
        row = root[row]
    return row


def apply(table: pa.Table, sides: pa.Table, config: Config, seed: int) -> pa.Table:
    """Add column `split` (train, validation or test) to every row and drop bridges.

    `sides` holds the clustered rows among them (as `assign` wrote it); the others go by their own key.
    """
    keys = pc.coalesce(table["group"].combine_chunks(), table["exact_lo"].combine_chunks())
    sides_of_rows = side_of(np.asarray(keys.to_numpy(zero_copy_only=False), np.uint64), config, seed)
    at = pc.index_in(table["row_id"].combine_chunks(), sides["row_id"].combine_chunks())
    clustered = at.is_valid().to_numpy(zero_copy_only=False)
    index = at.filter(at.is_valid())
    sides_of_rows[clustered] = sides["side"].combine_chunks().take(index).to_numpy()
    bridge = np.zeros(table.num_rows, np.bool_)
    bridge[clustered] = sides["bridge"].combine_chunks().take(index).to_numpy(zero_copy_only=False)
    table = table.append_column("split", pa.array(np.array(SPLITS, dtype=object)[sides_of_rows], pa.string()))
    return schema.mark_where(table, bridge, "split.bridge")


def warm() -> None:
    """Compile, or load from Numba's cache."""
    none, root = np.zeros(0, np.int64), np.zeros(1, np.int64)
    _join(
        none,
        np.zeros(0, np.bool_),
        np.zeros(2, np.int64),
        np.int64(0),
        np.int64(1),
        root,
        np.zeros(1, np.int8),
        np.zeros(1, np.bool_),
    )
