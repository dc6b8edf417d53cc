"""Train, validation and test: a side for every row, the same for all rows of a cluster.

Rows that are duplicates, borderline pairs, share a `group`, or begin with the same prompt, its words in
whatever order, form clusters (pass 2); a cluster stands on one side as a whole, removed rows included, so
nothing of the test side was seen in training, and no prompt of it was trained on with another answer. The
side is a hash of `seed` and of the cluster's earliest row (its group, else its content), so it does not
depend on what else is in the run. A cluster larger than half of a side's share goes to train and is
reported. Shares are targets.

Inputs that were added later cannot move a row that stood before: sides are assigned plan by plan (`assign`)
with what was there then, and a new row that would join two sides is dropped as `split.bridge`, with the
new rows that have its very prompt.

A source may say which side it is. What is held out so stays as it is, and nothing like it elsewhere: rows
that are not its own and are like one of its rows are dropped (`split.protected`). By time (`by: time`) a row
that is like one of another side's time is dropped as `split.time`, one shortly before a side as `split.gap`,
and one without a time is quarantined as `split.no_time`. By template (`by: template`) rows whose prompts are
one template with other words in it belong together as well; new ones are bridges where the first of them is.

Cost: O(clustered rows and their pairs), in one task; a row that is in no cluster costs one hash in
pass 3.
"""

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from headrace.pipelines import arrays, schema
from headrace.pipelines.schema import SPLITS
from headrace.pipelines.stages.split import bounds as bounding
from headrace.pipelines.stages.split.bounds import Bounds
from headrace.pipelines.stages.split.config import Config as Config

NAME = "split"
VERSION = 3


def shares_of(keys: NDArray[np.uint64], seed: int) -> NDArray[np.float64]:
    """Where each key's hash with the seed lies between 0 and 1: ``uint64[N] -> float64[N]``."""
    salt = np.uint64((seed * 0x9E3779B97F4A7C15 + 0x2545F4914F6CDD1D) & (2**64 - 1))
    shares: NDArray[np.float64] = (arrays.finalised(keys ^ salt) >> np.uint64(11)).astype(np.float64) / 2**53
    return shares


def side_of(keys: NDArray[np.uint64], config: Config, seed: int) -> NDArray[np.int8]:
    """Side of each key by the config's shares, ``uint64[N] -> int8[N]`` (place in `SPLITS`)."""
    held_out = np.array([config.test, config.test + config.validation])
    return np.array([2, 1, 0], np.int8)[np.searchsorted(held_out, shares_of(keys, seed), side="right")]


def sides_of(facts: bounding.Facts, config: Config, seed: int, bounds: Bounds | None) -> NDArray[np.int8]:
    """Side of each row, or cluster, by itself: ``int8[N]``. `bounds` where the config asks for them."""
    if bounds is None:
        return side_of(facts.keys, config, seed)
    if config.by == "time":
        return bounding.side_by_time(facts.times, bounds)
    return bounding.side_by_share(shares_of(facts.keys, seed), facts.strata, bounds)


def apply(
    table: pa.Table,
    sides: pa.Table,
    config: Config,
    seed: int,
    fixed: Mapping[str, str] | None = None,
    bounds: Bounds | None = None,
) -> pa.Table:
    """Add column `split` (train, validation or test) to every row and mark those that stand on no side.

    sides: the clustered rows among them (as `assign.assign` wrote it); the others go by their own key. fixed:
    the sides of sources that say theirs. bounds: what `assign.assign` gave.
    """
    facts = bounding.facts(table, config)
    own = sides_of(facts, config, seed, bounds)
    given = _fixed(table["source"].combine_chunks(), fixed or {})
    chosen = np.where(given >= 0, given, own)
    at = pc.index_in(table["row_id"].combine_chunks(), sides["row_id"].combine_chunks())
    clustered = at.is_valid().to_numpy(zero_copy_only=False)
    index = at.drop_null()
    chosen[clustered] = sides["side"].combine_chunks().take(index).to_numpy()
    table = table.append_column("split", pa.array(np.array(SPLITS, dtype=object)[chosen], pa.string()))
    for name in ("protected", "bridge"):
        marked = np.zeros(table.num_rows, np.bool_)
        marked[clustered] = sides[name].combine_chunks().take(index).to_numpy(zero_copy_only=False)
        table = schema.mark_where(table, marked, f"split.{name}")
    if config.by != "time" or bounds is None:
        return table
    free = given < 0
    unknown = free & (facts.times == bounding.NO_TIME)
    table = schema.mark(
        table, "error", pc.if_else(pa.array(unknown), "split.no_time", pa.scalar(None, pa.string()))
    )
    table = schema.mark_where(table, free & (chosen != own), "split.time")
    return schema.mark_where(table, free & bounding.in_gap(facts.times, bounds, config.gap), "split.gap")


def _fixed(sources: pa.Array, fixed: Mapping[str, str]) -> NDArray[np.int8]:
    """Side of each row whose source says it, -1 for the others: ``int8[N]``."""
    if not fixed:
        return np.full(len(sources), -1, np.int8)
    names = sources.cast(pa.string()).dictionary_encode()
    sides = [SPLITS.index(fixed[n]) if n in fixed else -1 for n in names.dictionary.to_pylist()]
    codes: NDArray[np.int8] = np.array([*sides, -1], np.int8)[names.indices.to_numpy()]
    return codes
