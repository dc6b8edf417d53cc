"""Train, validation and test: a side for every row, the same for all rows of a cluster.

Rows that are duplicates, borderline pairs, or share a `group` form clusters (pass 2); a cluster
stands on one side as a whole, removed rows included, so nothing of the test side was seen in
training. The side is a hash of `seed` and of the cluster's earliest row (its group, else its
content), so it does not depend on what else is in the run. A cluster larger than half of a side's
share goes to train and is reported. Shares are targets.

Inputs that were added later cannot move a row that stood before: sides are assigned plan by plan,
and a new row that would join two sides is dropped as `split.bridge`.

Cost: O(clustered rows), one task; a row that is in no cluster costs one hash in pass 3.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pydantic import Field, model_validator

import kernels
from cluster import storage
from pipelines import schema
from pipelines.settings import Section

VERSION = 1
SIDES = ("train", "validation", "test")
TRAIN = 0
LISTED = 20  # large clusters in the report
RANGE_GROUP = 65_536


class Config(Section):
    """Shares of rows; they add up to 1."""

    train: float = Field(0.9, gt=0, le=1)
    """Share of rows to train on."""
    validation: float = Field(0.05, ge=0, lt=1)
    """Share of rows that choose the checkpoint."""
    test: float = Field(0.05, ge=0, lt=1)
    """Share of rows held out for the verdict."""

    @model_validator(mode="before")
    @classmethod
    def _rest_is_train(cls, data: Any) -> Any:
        """Where only the held-out shares are given, train takes the rest."""
        if isinstance(data, dict) and "train" not in data:
            held = [data.get(n, cls.model_fields[n].default) for n in ("validation", "test")]
            if all(isinstance(h, int | float) for h in held):
                return {**data, "train": 1 - sum(held)}
        return data

    @model_validator(mode="after")
    def _whole(self) -> "Config":
        if abs(self.train + self.validation + self.test - 1) > 1e-6:
            raise ValueError("train, validation and test must add up to 1")
        return self


def side_of(keys: NDArray[np.uint64], config: Config, seed: int) -> NDArray[np.int8]:
    """Side of each key, ``uint64[N] -> int8[N]`` (place in `SIDES`), by a hash with the seed."""
    x = keys ^ np.uint64((seed * 0x9E3779B97F4A7C15 + 0x2545F4914F6CDD1D) & (2**64 - 1))
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        x = (x ^ (x >> np.uint64(shift))) * np.uint64(factor)
    share = ((x ^ (x >> np.uint64(31))) >> np.uint64(11)).astype(np.float64) / 2**53
    held = np.array([config.test, config.test + config.validation])
    return np.array([2, 1, 0], np.int8)[np.searchsorted(held, share, side="right")]


def assign(output: str, config: Config, *, seed: int, rows: int, firsts: Sequence[int]) -> dict[str, Any]:
    """Give every clustered row its side and write `sides.parquet` [row_id, side, bridge] in `output`.

    `rows` is the size of the run, `firsts` the first ordinal of each plan. Returns counts and the
    clusters that were too large for their side.
    """
    table = storage.read_table(storage.join(output, "clusters.parquet")).combine_chunks()
    ids, keys = table["row_id"].to_numpy(), table["key"].to_numpy()
    epoch = np.searchsorted(np.array(firsts), schema.ordinal(ids).astype(np.int64), side="right") - 1
    cluster = table["cluster"].to_numpy()
    by_key = side_of(keys, config, seed)
    too_large = _too_large(cluster, by_key, config, rows)
    sides = np.where(np.isin(cluster, too_large), TRAIN, by_key).astype(np.int8)
    bridge = np.zeros(len(ids), np.bool_)
    if len(set(epoch.tolist())) > 1:
        sides, bridge = _by_epoch(output, ids, epoch, config, seed, rows)
    written = pa.table({"row_id": ids, "side": sides, "bridge": bridge})
    storage.write_table(storage.join(output, "sides.parquet"), written, row_group=RANGE_GROUP)
    return {
        "clusters": len(np.unique(cluster)),
        "rows": len(ids),
        "bridges": int(bridge.sum()),
        "too_large": [{"kept": int(c), "rows": int((cluster == c).sum())} for c in too_large[:LISTED]],
    }


def _too_large(
    cluster: NDArray[np.uint64], sides: NDArray[np.int8], config: Config, rows: int
) -> NDArray[np.uint64]:
    """Clusters of over half of their held-out side's share, the largest first."""
    names, first, sizes = np.unique(cluster, return_index=True, return_counts=True)
    shares = np.array([getattr(config, s) for s in SIDES])[sides[first]]
    large = np.flatnonzero((sizes > shares * rows / 2) & (sides[first] != TRAIN))
    return names[large[np.argsort(-sizes[large], kind="stable")]]


def _by_epoch(
    output: str, ids: NDArray[np.uint64], epoch: NDArray[np.int64], config: Config, seed: int, rows: int
) -> tuple[NDArray[np.int8], NDArray[np.bool_]]:
    """Sides plan by plan: what stood before stays, what would join two sides is a bridge.

    Works on the pairs themselves: a component of all plans may be several of the first.
    """
    joined = storage.read_table(storage.join(output, "joined.parquet"))
    pairs = np.searchsorted(ids, np.stack([joined["a"].to_numpy(), joined["b"].to_numpy()], axis=1))
    own = storage.read_table(storage.join(output, "clusters.parquet"), ["own"])["own"].to_numpy()
    sides = np.full(len(ids), -1, np.int8)
    bridge = np.zeros(len(ids), np.bool_)
    for number in range(int(epoch.max()) + 1):
        here = epoch <= number
        held = pairs[here[pairs].all(axis=1) & ~bridge[pairs].any(axis=1)]
        label = kernels.components(held, len(ids))
        new = np.flatnonzero(epoch == number)
        least, most = _span(label, sides, len(ids))
        torn = least[label[new]] < most[label[new]]
        bridge[new[torn]] = True
        fresh = new[~torn]
        earliest = np.full(len(ids), -1, np.int64)
        members = np.flatnonzero(here & ~bridge)[::-1]
        earliest[label[members]] = members  # ids ascend, so the last write is the earliest row
        by_key = side_of(own[earliest[label[fresh]]], config, seed)
        large = _too_large(label[fresh].astype(np.uint64), by_key, config, rows)
        by_key = np.where(np.isin(label[fresh], large.astype(np.int64)), TRAIN, by_key)
        standing = most[label[fresh]]
        sides[fresh] = np.where(standing >= 0, standing, by_key)
    return np.maximum(sides, TRAIN).astype(np.int8), bridge


def _span(
    label: NDArray[np.int64], sides: NDArray[np.int8], n: int
) -> tuple[NDArray[np.int8], NDArray[np.int8]]:
    """Least and greatest side that stands in each component; (127, -1) where none does."""
    least, most = np.full(n, 127, np.int8), np.full(n, -1, np.int8)
    standing = np.flatnonzero(sides >= 0)
    np.minimum.at(least, label[standing], sides[standing])
    np.maximum.at(most, label[standing], sides[standing])
    return least, most


def apply(table: pa.Table, sides: pa.Table, config: Config, seed: int) -> pa.Table:
    """Add column `split` (train, validation or test) to every row and drop bridges.

    `sides` holds the clustered rows among them (as `assign` wrote it); the others go by their own key.
    """
    keys = pc.coalesce(table["group"].combine_chunks(), table["exact_lo"].combine_chunks())
    found = side_of(np.asarray(keys.to_numpy(zero_copy_only=False), np.uint64), config, seed)
    place = pc.index_in(table["row_id"].combine_chunks(), sides["row_id"].combine_chunks())
    clustered = place.is_valid().to_numpy(zero_copy_only=False)
    index = place.filter(place.is_valid())
    found[clustered] = sides["side"].combine_chunks().take(index).to_numpy()
    bridge = np.zeros(table.num_rows, np.bool_)
    bridge[clustered] = sides["bridge"].combine_chunks().take(index).to_numpy(zero_copy_only=False)
    table = table.append_column("split", pa.array(np.array(SIDES, dtype=object)[found], pa.string()))
    return schema.mark_where(table, bridge, "split.bridge")
