"""Which rows belong together on one side of the split: what pass 2 hands to `stages.split`.

Cost: sorting the rows that are matched or grouped; of the others the row ids are counted by fragment.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from headrace import kernels
from headrace.cluster import storage
from headrace.pipelines import arrays
from headrace.pipelines.stages.dedup import candidates, decide
from headrace.pipelines.stages.dedup.steps import order as ordering
from headrace.pipelines.stages.dedup.steps import prompts


def write(
    output: str,
    work: str,
    foreign: int,
    ranks: NDArray[np.int64],
    matches: decide.Matches,
    least: float,
    ordinals: pa.Table,
    shared: prompts.Shared,
    held: Mapping[int, int] | None = None,
) -> None:
    """Write which rows share a side of the split, whatever is removed: exact copies (also where they
    stay), matches of at least `least`, rows of one `group`, rows that begin with the same prompt.

    `work` holds the columns of all rows by rank, of which the first `foreign` are left out; `matches` are
    between places in `ranks`, ascending; `ordinals` says how many rows each fragment has. Pairs go by the
    earliest row of those that are equal, one that is held out (`held`) before the others: so the pairs among
    the rows of any earlier state of the run join the rows that they joined then.
    """
    _write(output, "ordinals", ordinals)
    concerned = candidates.distinct(np.concatenate([ranks, _repeated(work, foreign), shared.pairs.ravel()]))
    exact, pairs = (np.searchsorted(concerned, ranks)[p] for p in (matches.exact, matches.pairs))
    ids, group, exact_lo = (ordering.column(work, c, concerned) for c in ("row_id", "group", "exact_lo"))
    ids, own = ids.to_numpy(), pc.coalesce(group, exact_lo).to_numpy()
    places = ordering.by_standing(ids, held or {})
    near = matches.rule != decide.EXACT
    equal = kernels.components(np.concatenate([exact, pairs[~near]]), len(ids))
    earliest = _earliest(equal, places)
    grouped = np.flatnonzero(group.is_valid().to_numpy(zero_copy_only=False))
    same_group = grouped[_earliest(group.drop_null().to_numpy(), places[grouped])]
    stars = [(earliest, np.arange(len(ids))), (same_group, grouped)]
    joined = np.concatenate(
        [
            earliest[pairs[near & (matches.similarity >= least)]],
            *(np.stack([first, row], axis=1)[first != row] for first, row in stars),
            np.searchsorted(concerned, shared.pairs),
        ]
    )
    same = np.concatenate([np.zeros(len(joined) - len(shared.same), np.bool_), shared.same])
    del exact, pairs, near, equal, earliest, grouped, same_group, stars
    edges = np.sort(ids[joined], axis=1)
    order = np.lexsort((same, edges[:, 0], edges[:, 1]))
    edges, same = edges[order], same[order]
    _write(output, "joined", pa.table({"a": edges[:, 0], "b": edges[:, 1], "same": same}))
    del edges, order, same
    first = ids[_earliest(kernels.components(joined, len(ids)), ids)]
    rows = candidates.distinct(joined.ravel())
    rows = rows[np.argsort(ids[rows])]
    _write(output, "clusters", pa.table({"row_id": ids[rows], "cluster": first[rows], "own": own[rows]}))


def _repeated(work: str, foreign: int) -> NDArray[np.int64]:
    """Ranks of the rows from `foreign` on whose group another of them has too."""
    values = np.concatenate([np.zeros(0, np.uint64), *(groups for _, groups in _groups(work, foreign))])
    values.sort()
    twice = candidates.distinct(values[1:][values[1:] == values[:-1]])
    del values
    found = (ranks[arrays.among(groups, twice)] for ranks, groups in _groups(work, foreign) if len(twice))
    return np.concatenate([np.zeros(0, np.int64), *found])


def _groups(work: str, foreign: int) -> Iterator[tuple[NDArray[np.int64], NDArray[np.uint64]]]:
    """Ranks and groups of the rows from `foreign` on that have one, some at a time."""
    for first, groups in ordering.ranges(work, "group"):
        own = groups.slice(max(0, foreign - first))
        held = np.flatnonzero(own.is_valid().to_numpy(zero_copy_only=False))
        yield held + max(first, foreign), own.drop_null().to_numpy()


def _earliest(labels: NDArray[Any], ids: NDArray[np.uint64]) -> NDArray[np.int64]:
    """Place of the least id among the rows of each row's label."""
    order = np.lexsort((ids, labels))
    first = np.concatenate([[True], labels[order][1:] != labels[order][:-1]])[: len(order)]
    earliest = np.empty(len(order), np.int64)
    earliest[order] = order[np.flatnonzero(first)][np.cumsum(first) - 1]
    return earliest


def _write(output: str, name: str, table: pa.Table) -> None:
    storage.write_ranges(storage.join(output, f"{name}.parquet"), table, dictionary=False)
