"""Which rows go: a row is removed only where it is verified to be like a better row, and that row stays.

In: pairs of rows that are verified to be alike. Out: for each removed row, the row that stays for it.

"Better" is one total order over all rows. Rows of earlier runs come first (they are never removed), then
inputs that were there before others, then higher source priority, higher quality score, greater length, lower
row_id. The place of a row in that order is its *rank*, 0 for the best; all rows are named by their rank here.

The rows are gone through from the best to the worst. A row is removed where one of its partners is better and
stays; it names the most similar such partner. So there are no chains: where A is like B and B like C, but A
is not like C, B goes for A, and C stays, because B, its only better partner, is gone.

Cost: sorting the verified pairs; 40 bytes a row.
"""

from typing import Any, NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

Pairs = NDArray[np.int64]  # [M, 2]: rank of the better row, rank of the worse
EXACT, NEAR, SKETCH, ALIKE = 0, 1, 2, 3
STEP = 2**16  # rows that `_repeated` looks up at a time
# near: verified on the texts. sketch: near, but of the kept row only a sketch is known, not its text. alike:
# so much alike that they share a side of the split, but both stay, as where two answers come to different
# results (see `verify`).
RULES = ("exact", "near", "sketch", "alike")


class Matches(NamedTuple):
    """All pairs that are known to be alike; rows are given by their rank."""

    exact: Pairs  # each exact copy with the best row of its group
    pairs: Pairs  # verified pairs between the best rows of such groups
    similarity: NDArray[np.float64]  # of each pair
    rule: NDArray[np.int8]  # of each pair

    @classmethod
    def of(
        cls,
        exact: Pairs,
        equal: Pairs,
        near: Pairs,
        similarity: NDArray[np.float64],
        rule: NDArray[np.int8] | None = None,
    ) -> "Matches":
        """All matches, of those that were found in several ways.

        exact: as the field. equal: pairs of short rows that are equal after folding case and spaces. near:
        the other pairs, with the similarity of each, and the rule of each (left out: NEAR).
        """
        by = np.full(len(near), NEAR, np.int8) if rule is None else rule
        return cls(
            exact,
            np.concatenate([near, equal]),
            np.concatenate([similarity, np.ones(len(equal))]),
            np.concatenate([by, np.full(len(equal), EXACT, np.int8)]),
        )

    def among(self, first: int) -> "Matches":
        """The matches between rows of rank `first` or worse, whose ranks then count from 0."""
        inside = self.pairs[:, 0] >= first
        exact = self.exact[self.exact[:, 0] >= first] - first
        return Matches(exact, self.pairs[inside] - first, self.similarity[inside], self.rule[inside])


class Verdict(NamedTuple):
    """For each removed row, by rank: the row that stays, how alike they are, and by which rule."""

    removed: NDArray[np.int64]
    kept: NDArray[np.int64]
    similarity: NDArray[np.float64]
    rule: NDArray[np.int8]


def best_first(
    priority: NDArray[np.integer[Any]],
    score: NDArray[np.float32],
    size: NDArray[np.uint32],
    row_id: NDArray[np.uint64],
    plan: NDArray[np.integer[Any]],
) -> NDArray[np.int64]:
    """Rows in the total order, the best first: the earlier plan, then priority, quality, length, row_id.

    `plan` is 0 for the inputs that a run began with, 1 for those added next, and so on. It counts first, so
    that a row that is added later never displaces one that stood: a run that grows keeps its windows and
    sides. All arguments are [N].
    """
    return np.lexsort((*ascending(score, size, row_id), -priority, plan))


def ascending(
    score: NDArray[np.float32], size: NDArray[np.uint32], row_id: NDArray[np.uint64]
) -> tuple[NDArray[Any], ...]:
    """Score, size and row_id as keys for `np.lexsort`, which sorts by the last one first; less is better."""
    return row_id, ~size, -score


def total_order(
    priority: NDArray[np.integer[Any]],
    score: NDArray[np.float32],
    size: NDArray[np.uint32],
    row_id: NDArray[np.uint64],
    plan: NDArray[np.integer[Any]],
) -> NDArray[np.int64]:
    """Rank of each row, ``int64[N]``, 0 for the best; arguments as for `best_first`."""
    order = best_first(priority, score, size, row_id, plan)
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order))
    return rank


def equal_pairs(keys: tuple[NDArray[np.uint64], ...]) -> Pairs:
    """Pairs (best row, other row) of rows that have the same keys, sorted by the other row.

    Each of `keys` has one entry a rank. Of k rows with the same keys the best one stands in k - 1 pairs.
    """
    order = _repeated(keys[-1])
    order = order[np.lexsort([key[order] for key in keys])]  # stable: by rank within equal keys
    same = np.ones(max(len(order) - 1, 0), np.bool_)
    for key in keys:
        same &= key[order[1:]] == key[order[:-1]]
    start = np.concatenate([[True], ~same])[: len(order)]
    best = order[np.flatnonzero(start)][np.cumsum(start) - 1]
    pairs = np.stack([best[~start], order[~start]], axis=1)
    return pairs[np.argsort(pairs[:, 1])]


def _repeated(key: NDArray[np.uint64]) -> NDArray[np.int64]:
    """Rows whose key some other row has too, ascending.

    Most rows are the only one with their key. To find that out, keys are sorted, which is cheaper than to
    sort rows by several keys, as has to be done for those that are left.
    """
    ordered = np.sort(key)
    twice = np.unique(ordered[1:][ordered[1:] == ordered[:-1]])
    del ordered
    found = [np.zeros(0, np.int64)]
    # In steps: where each key stands in `twice` would take as much memory as the keys themselves.
    for at in range(0, len(key) if len(twice) else 0, STEP):
        part = key[at : at + STEP]
        place = np.minimum(np.searchsorted(twice, part), len(twice) - 1)
        found.append(at + np.flatnonzero(twice[place] == part))
    return np.concatenate(found)


def decide(
    n: int,
    matches: Matches,
    threshold: float,
    copies: int | None = EXACT,
    stays: NDArray[np.bool_] | None = None,
) -> Verdict:
    """Go through `n` rows from the best to the worst; remove each that is like a better row that stays.

    threshold: least similarity that counts. copies: the rule that removed exact copies are given; None: exact
    copies stay. stays: rows that are never removed, bool[n].

    Pairs are only verified between the best rows of groups of exact copies. Where such a best row is removed,
    its copies are removed for the row that it was removed for: their texts are the same, so what was verified
    for it holds for them.
    """
    enough = (matches.similarity >= threshold) & (matches.rule != ALIKE)
    pairs, similarity, rule = matches.pairs[enough], matches.similarity[enough], matches.rule[enough]
    order = np.lexsort((pairs[:, 0], -similarity, pairs[:, 1]))
    stays = np.zeros(n, np.bool_) if stays is None else stays
    keeper = np.full(n, -1, np.int64)
    chosen = np.full(n, -1, np.int64)
    _walk(pairs, order, stays, keeper, chosen)
    near = np.flatnonzero(keeper >= 0)
    exact = matches.exact if copies is not None else matches.exact[:0]
    exact = exact[~stays[exact[:, 1]]]
    best, copy = exact[:, 0], exact[:, 1]
    gone = keeper[best] >= 0
    values = np.concatenate([similarity[chosen[near]], np.where(gone, _at(similarity, chosen[best]), 1.0)])
    rules = np.concatenate([rule[chosen[near]], np.where(gone, _at(rule, chosen[best]), copies or EXACT)])
    removed = np.concatenate([near, copy])
    kept = np.concatenate([keeper[near], np.where(gone, keeper[best], best)])
    return Verdict(removed, kept, values.astype(np.float64), rules.astype(np.int8))


def _at(values: NDArray[np.generic], index: NDArray[np.int64]) -> NDArray[np.generic]:
    """`values[index]`; where the index is -1, whatever value: the caller does not use it there."""
    return values[np.maximum(index, 0)] if len(values) else np.zeros(len(index), values.dtype)


@numba.njit(cache=True, nogil=True)
def _walk(pairs, order, stays, keeper, chosen):  # type: ignore[no-untyped-def]
    """Fill in `keeper` (the row that each removed row goes for) and `chosen` (the pair that says so).

    `order` gives the pairs by their worse row and, of one row, the most similar first: the first pair whose
    better row stays decides. When a row is looked at, all better rows are decided.
    """
    for at in order:
        better, worse = pairs[at, 0], pairs[at, 1]
        if keeper[worse] < 0 and keeper[better] < 0 and not stays[worse]:
            keeper[worse] = better
            chosen[worse] = at


def warm() -> None:
    """Compile, or load from Numba's cache."""
    _walk(np.array([[0, 1]]), np.array([0]), np.zeros(2, np.bool_), np.full(2, -1), np.full(2, -1))
