"""Sides of the rows that belong together, over the whole run: what pass 2 does for the split.

Cost: O(clustered rows and their pairs), in one task; where `bounds` are asked for 24 bytes a row beside.
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numba import njit
from numpy.typing import NDArray

from headrace import kernels
from headrace.cluster import storage
from headrace.pipelines import schema
from headrace.pipelines.schema import SPLITS
from headrace.pipelines.stages.split import bounds as bounding
from headrace.pipelines.stages.split.bounds import Bounds, Facts
from headrace.pipelines.stages.split.config import Config
from headrace.pipelines.stages.split.stage import shares_of, sides_of

TRAIN = 0
NO_SIDE = -1
NO_ROW = -1
LISTED = 20  # large clusters in the report
Edges = NDArray[np.int64]  # [M, 2]: places of the earlier row and the later one


class Kept(NamedTuple):
    """What is decided of rows whose source says its side."""

    fixed: NDArray[np.int8]  # the side that a row's source has, `NO_SIDE` for the others
    protected: NDArray[np.bool_]  # rows that are like one that is held out so: they go


class Joined(NamedTuple):
    """N rows that belong with others, by ascending id, with their hash keys, and what joins them: pairs of
    places, whether both have one prompt, and whether one template alone joins them, ``bool[M]``."""

    ids: NDArray[np.uint64]
    own: NDArray[np.uint64]
    edges: Edges
    same: NDArray[np.bool_]
    template: NDArray[np.bool_]


class Placed(NamedTuple):
    """Clustered rows with their sides, those that join two, clusters too large for theirs, and the bounds."""

    side: NDArray[np.int8]
    bridge: NDArray[np.bool_]
    too_large: list[dict[str, int]]
    bounds: Bounds | None


def assign(
    output: str,
    config: Config,
    *,
    seed: int,
    rows: int,
    firsts: Sequence[int],
    fixed: Mapping[int, int] | None = None,
    prepared: Sequence[str] = (),
) -> dict[str, Any]:
    """Give every clustered row its side and write `sides.parquet` [row_id, side, bridge, protected].

    output: where pass 2 wrote its tables. rows: the size of the run; firsts: the first ordinal of each plan,
    ascending; fixed: the side (place in `SPLITS`) of the ordinals whose source says it; prepared: the run's
    files, which are read where the config asks for bounds. Returns counts, the clusters that were too large
    for their side, and the bounds.
    """
    ordinals = storage.read_table(storage.join(output, "ordinals.parquet"))
    ids, own, edges, same, template = _joined(output, config)
    counts = ordinals["rows"].to_numpy()
    assert counts.sum() == rows, (counts.sum(), rows)
    kept = _protected(ids, edges, same, fixed or {})
    facts = bounding.read(prepared if config.bounded else (), config)
    of_rows = _of(facts, ids, own)

    def bounds(root: NDArray[np.int64], stop: int) -> Bounds:
        return _bounds(_staying(facts, output, stop, fixed or {}), facts, ids, root, config, seed)

    apart = (kept.fixed[edges] > TRAIN).any(axis=1)
    plans = [
        (a, b, int(counts[ordinals["ordinal"].to_numpy() < b].sum())) for a, b in pairwise([*firsts, 2**32])
    ]
    placed = _placed(
        of_rows,
        edges[~apart],
        (same | template)[~apart],
        kept.fixed == TRAIN,
        plans,
        config,
        seed,
        bounds,
    )
    protected, bridge = kept.protected, placed.bridge & ~kept.protected
    orphans = _orphans(output, ids, bridge, protected)
    sides = np.where(bridge | protected, np.int8(TRAIN), placed.side)
    sides = np.where(kept.fixed > TRAIN, kept.fixed, sides)
    written = pa.table({"row_id": ids, "side": sides, "bridge": bridge, "protected": protected})
    storage.write_ranges(storage.join(output, "sides.parquet"), written, dictionary=False)
    return {
        "clusters": len(np.unique(kernels.components(edges, len(ids)))),
        "rows": len(ids),
        "bridges": int(bridge.sum()),
        "protected": int(protected.sum()),
        "orphans": orphans,
        "too_large": sorted(placed.too_large, key=lambda c: (-c["rows"], c["kept"]))[:LISTED],
        "bounds": placed.bounds,
    }


def _joined(output: str, config: Config) -> Joined:
    """What pass 2 found to belong together, and what is of one template where the config asks for that."""
    clusters, joined = (
        storage.read_table(storage.join(output, f"{n}.parquet")) for n in ("clusters", "joined")
    )
    ids, own = (clusters[name].to_numpy() for name in ("row_id", "own"))
    pairs = np.stack([joined[end].to_numpy() for end in ("a", "b")], axis=1)
    same = joined["same"].to_numpy()
    template = np.zeros(len(same), np.bool_)
    if config.by == "template":
        found = storage.read_table(storage.join(output, "templates.parquet"))
        rows, first = (found[name].to_numpy() for name in ("row_id", "first"))
        ids, at = np.unique(np.concatenate([ids, rows]), return_index=True)
        own = np.concatenate([own, found["own"].to_numpy()])[at]
        stars = np.sort(np.stack([first, rows], axis=1)[first != rows], axis=1)
        template = np.repeat([False, True], [len(pairs), len(stars)])
        pairs = np.concatenate([pairs, stars])
        same = np.concatenate([same, np.zeros(len(stars), np.bool_)])
        order = np.lexsort((template, same, pairs[:, 0], pairs[:, 1]))
        pairs, same, template = pairs[order], same[order], template[order]
    return Joined(ids, own, np.searchsorted(ids, pairs), same, template)


def _placed(
    rows: Facts,
    edges: Edges,
    same: NDArray[np.bool_],
    forced: NDArray[np.bool_],
    plans: Sequence[tuple[int, int, int]],
    config: Config,
    seed: int,
    bounded: Callable[[NDArray[np.int64], int], Bounds],
) -> Placed:
    """Go through the plans: let rows join those that stood before, and give each new cluster its side.

    rows: clustered rows by ascending id; forced: those that are to be trained on. plans: of each the first
    ordinal, the first of the next, and the rows of the run until then. bounded: gives the bounds, from the
    first row of each row's cluster and the first ordinal of the second plan. same: of each edge, whether its
    two rows have one prompt or one template.
    """
    n = len(rows.ids)
    root, side, bridge = np.arange(n), np.full(n, NO_SIDE, np.int8), np.zeros(n, np.bool_)
    heir = np.full(n, NO_ROW)
    starts = np.searchsorted(edges[:, 1], np.arange(n + 1))
    bounds: Bounds | None = None
    too_large: list[dict[str, int]] = []
    for first, stop, present in plans:
        begin, end = np.searchsorted(schema.ordinal(rows.ids), np.array([first, stop], np.uint64))
        _join(edges[:, 0], same, starts, begin, end, root, side, bridge, forced, heir)
        heads, sizes = np.unique(root[begin:end][~bridge[begin:end]], return_counts=True)
        fresh = side[heads] < 0
        heads, sizes = heads[fresh], sizes[fresh]
        if config.bounded and bounds is None:
            bounds = bounded(root, stop)
        side[heads] = _sides(rows, heads, root, end, config, seed, bounds)
        large = _too_large(side[heads], sizes, config, present)
        side[heads[large]] = TRAIN
        side[heads[forced[heads]]] = TRAIN
        too_large += [{"kept": int(rows.ids[heads[i]]), "rows": int(sizes[i])} for i in large]
    return Placed(side[root], bridge, too_large, bounds)


def fixed_sides(row_ids: NDArray[np.uint64], fixed: Mapping[int, int]) -> NDArray[np.int8]:
    """Side of each row whose fragment's source says it, else `NO_SIDE`: ``int8[N]``."""
    sides: NDArray[np.int8] = schema.of_ordinals(row_ids, fixed, NO_SIDE).astype(np.int8)
    return sides


def _protected(
    ids: NDArray[np.uint64], edges: Edges, same: NDArray[np.bool_], fixed: Mapping[int, int]
) -> Kept:
    """Rows that are like a row that is held out by its source, and those that have such a row's very prompt.

    Of two that are held out on different sides, the one of the test set stays.
    """
    sides = fixed_sides(ids, fixed)
    protected = np.zeros(len(ids), np.bool_)
    for one, other in (edges.T, edges.T[::-1]):
        protected[one[(sides[other] > TRAIN) & (sides[one] < sides[other])]] = True
    equal = edges[same]
    while True:
        reached = protected.copy()
        for one, other in (equal.T, equal.T[::-1]):
            reached[one[protected[other] & (sides[one] <= TRAIN)]] = True
        if (reached == protected).all():
            return Kept(sides, protected)
        protected = reached


def _of(facts: Facts, ids: NDArray[np.uint64], own: NDArray[np.uint64]) -> Facts:
    """`Facts` of the clustered rows, whose keys are `own`."""
    if not len(facts.ids):
        times = np.full(len(ids), bounding.NO_TIME)
        return Facts(ids, own, np.full(len(ids), bounding.REST, np.uint64), times)
    at = np.searchsorted(facts.ids, ids)
    return Facts(ids, own, facts.strata[at], facts.times[at])


def _staying(facts: Facts, output: str, stop: int, fixed: Mapping[int, int]) -> Facts:
    """`Facts` of the rows of ordinals under `stop` that are no duplicates, and whose source says no side."""
    removed = storage.read_table(storage.join(output, "removed.parquet"), ["removed", "kept", "run"])
    # For a row that came later, as one that is held out, none of them moves a bound.
    then = removed["run"].is_valid().to_numpy() | (schema.ordinal(removed["kept"].to_numpy()) < stop)
    chosen = (schema.ordinal(facts.ids) < stop) & (fixed_sides(facts.ids, fixed) == NO_SIDE)
    return facts.at(chosen & ~np.isin(facts.ids, removed["removed"].to_numpy()[then]))


def _bounds(
    staying: Facts,
    facts: Facts,
    ids: NDArray[np.uint64],
    root: NDArray[np.int64],
    config: Config,
    seed: int,
) -> Bounds:
    """Where sides begin, by the rows that stay; a cluster counts as one with its earliest row's hash."""
    if config.by == "time":
        return bounding.of_times(staying.times, config)
    heads = staying.ids.copy()
    if len(ids):
        at = np.minimum(np.searchsorted(ids, heads), len(ids) - 1)
        heads = np.where(ids[at] == heads, ids[root[at]], heads)
    units, sizes = np.unique(heads, return_counts=True)
    whose = facts.at(np.searchsorted(facts.ids, units))
    return bounding.of_units(shares_of(whose.keys, seed), whose.strata, sizes, config)


def _sides(
    of_rows: Facts,
    heads: NDArray[np.int64],
    root: NDArray[np.int64],
    end: int,
    config: Config,
    seed: int,
    bounds: Bounds | None,
) -> NDArray[np.int8]:
    """Side of each cluster by its earliest row; by time, that of the row whose time comes first."""
    if config.by != "time":
        return sides_of(of_rows.at(heads), config, seed, bounds)
    every = sides_of(of_rows, config, seed, bounds)
    every[of_rows.times == bounding.NO_TIME] = len(SPLITS)
    least = np.full(len(root), len(SPLITS), np.int8)
    np.minimum.at(least, root[:end], every[:end])
    return np.where(least[heads] == len(SPLITS), TRAIN, least[heads]).astype(np.int8)


def _orphans(
    output: str, ids: NDArray[np.uint64], bridge: NDArray[np.bool_], protected: NDArray[np.bool_]
) -> int:
    """Mark the rows that were removed for a row that goes now, for its reason; returns how many.

    They came with it (a row that stood before is never removed for a later one), and the row that
    they name goes: they are told as what they are, and are taken out of `removed.parquet`.
    """
    if not (bridge | protected).any():
        return 0
    path = storage.join(output, "removed.parquet")
    removed = storage.read_table(path)
    own = removed["run"].is_null().to_numpy(zero_copy_only=False)  # not what an earlier run keeps
    orphaned = np.zeros(removed.num_rows, np.bool_)
    for gone in (bridge, protected):
        theirs = own & np.isin(removed["kept"].to_numpy(), ids[gone])
        gone |= np.isin(ids, removed["removed"].to_numpy()[theirs])
        orphaned |= theirs
    storage.write_ranges(path, removed.filter(pa.array(~orphaned)))
    return int(orphaned.sum())


def _too_large(
    sides: NDArray[np.int8], sizes: NDArray[np.int64], config: Config, rows: int
) -> NDArray[np.int64]:
    """Which clusters are over half of their held-out side's share of `rows`.

    By time no cluster is too large: its side is that of its first time. A row alone stays where it is: most
    rows are in no cluster and are never looked at here.
    """
    if config.by == "time":
        return np.zeros(0, np.int64)
    targets = np.array([rows, config.target("validation", rows), config.target("test", rows)])[sides]
    return np.flatnonzero((sizes > 1) & (sides != TRAIN) & (sizes > targets / 2))


@njit(cache=True, nogil=True)
def _join(  # type: ignore[no-untyped-def]
    earlier, same, starts, begin, end, root, side, bridge, forced, heir
):
    """Let rows `begin` to `end` join their earlier partners, each by itself, unless that joins two sides.

    Row b is paired with ``earlier[starts[b]:starts[b + 1]]``; `same`: they have one prompt. `root` is the
    first row of a row's component; the side of a component stands at its root, -1 where it has none yet;
    `forced`: it has a row that is to be trained on. One template counts as one prompt. `heir`: the first row
    that was paired with a bridge and stayed: the others that are paired with that bridge join it instead. So
    those of a group stand together whose first row goes.
    """
    for row in range(begin, end):
        standing = np.int8(-1)
        for at in range(starts[row], starts[row + 1]):
            partner = earlier[at]
            if bridge[partner]:
                bridge[row] |= same[at]  # the sides that the other would have joined have its prompt too
                partner = heir[partner]
                if partner == NO_ROW:
                    continue
            one = side[_root(root, partner)]
            bridge[row] |= one >= 0 and standing >= 0 and one != standing
            standing = max(standing, one)
        bridge[row] |= forced[row] and standing > 0
        if bridge[row]:
            continue
        for at in range(starts[row], starts[row + 1]):
            partner = earlier[at]
            if bridge[partner]:
                if heir[partner] == NO_ROW:
                    heir[partner] = row
                partner = heir[partner]
            a, b = _root(root, partner), _root(root, row)
            root[max(a, b)] = min(a, b)
            forced[min(a, b)] |= forced[max(a, b)]
        side[_root(root, row)] = standing
    for row in range(end):
        root[row] = _root(root, row)


@njit(cache=True, nogil=True)
def _root(root, row):  # type: ignore[no-untyped-def]
    while root[row] != row:
        root[row] = root[root[row]]
        row = root[row]
    return row


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
        np.zeros(1, np.bool_),
        np.full(1, NO_ROW),
    )
