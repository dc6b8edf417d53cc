"""Which rows go: a row is removed only if it has a verified match that stays.

Rows are numbered by their rank in the total order (rows of earlier runs, which are never removed, then
inputs that were there before others, then higher source priority, higher quality score, longer, lower
row_id), so that "better" is "less". Walking from the best, a row goes where one of its verified partners is
better and stays, and it names the most similar of those. No chain can swallow a corpus: A ~ B ~ C without A
~ C removes B and keeps C.

Cost: sorting the verified pairs; 40 bytes a row.
"""

from typing import Any, NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

Pairs = NDArray[np.int64]  # [M, 2]: rank of the better row, rank of the worse
EXACT, NEAR, SKETCH, ALIKE = 0, 1, 2, 3
STEP = 2**16  # rows that are looked up at a time
# sketch: near, but the kept row is known by its sketch alone. alike: both stay (see `verify`).
RULES = ("exact", "near", "sketch", "alike")


class Matches(NamedTuple):
    """All that is known to be alike, by rank."""

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
        """`equal` are pairs of short rows, equal after folding; `near` have the similarity given, and the
        rule by which it is known (left out: from the texts)."""
        by = np.full(len(near), NEAR, np.int8) if rule is None else rule
        return cls(
            exact,
            np.concatenate([near, equal]),
            np.concatenate([similarity, np.ones(len(equal))]),
            np.concatenate([by, np.full(len(equal), EXACT, np.int8)]),
        )

    def among(self, first: int) -> "Matches":
        """The matches between rows of rank `first` and worse, their ranks counted from there."""
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

    `plan` is 0 for the inputs that a run began with: what was added later never displaces a row that
    stood, so that the windows and sides of a run stay as they are when it grows. All are [N].
    """
    return np.lexsort((*ascending(score, size, row_id), -priority, plan))


def ascending(
    score: NDArray[np.float32], size: NDArray[np.uint32], row_id: NDArray[np.uint64]
) -> tuple[NDArray[Any], ...]:
    """The last keys of `best_first` as `np.lexsort` takes them: less is better, the last counts most."""
    return row_id, ~size, -score


def total_order(
    priority: NDArray[np.integer[Any]],
    score: NDArray[np.float32],
    size: NDArray[np.uint32],
    row_id: NDArray[np.uint64],
    plan: NDArray[np.integer[Any]],
) -> NDArray[np.int64]:
    """Rank of each row, 0 the best: the place of each in `best_first`."""
    order = best_first(priority, score, size, row_id, plan)
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order))
    return rank


def equal_pairs(keys: tuple[NDArray[np.uint64], ...]) -> Pairs:
    """Each row with the best row that has the same keys, sorted by the worse; keys are by rank."""
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
    """Rows whose key another row has too, ascending: one sort of keys instead of one of rows."""
    ordered = np.sort(key)
    twice = np.unique(ordered[1:][ordered[1:] == ordered[:-1]])
    del ordered
    found = [np.zeros(0, np.int64)]
    for at in range(0, len(key) if len(twice) else 0, STEP):  # a place in `twice` is as large as a key
        part = key[at : at + STEP]
        place = np.minimum(np.searchsorted(twice, part), len(twice) - 1)
        found.append(at + np.flatnonzero(twice[place] == part))
    return np.concatenate(found)


def decide(n: int, matches: Matches, threshold: float, copies: int | None = EXACT) -> Verdict:
    """Walk `n` rows from the best and remove those with a match of at least `threshold` that stays.

    `copies` is the rule by which exact copies go; None: they stay. Of an exact copy whose best row goes,
    the row that best row gave way to is the kept one: the texts are equal, so it was verified against
    that too.
    """
    enough = (matches.similarity >= threshold) & (matches.rule != ALIKE)
    pairs, similarity, rule = matches.pairs[enough], matches.similarity[enough], matches.rule[enough]
    order = np.lexsort((pairs[:, 0], -similarity, pairs[:, 1]))
    keeper = np.full(n, -1, np.int64)
    chosen = np.full(n, -1, np.int64)
    _walk(pairs, order, keeper, chosen)
    near = np.flatnonzero(keeper >= 0)
    exact = matches.exact if copies is not None else matches.exact[:0]
    best, copy = exact[:, 0], exact[:, 1]
    gone = keeper[best] >= 0
    values = np.concatenate([similarity[chosen[near]], np.where(gone, _at(similarity, chosen[best]), 1.0)])
    rules = np.concatenate([rule[chosen[near]], np.where(gone, _at(rule, chosen[best]), copies or EXACT)])
    removed = np.concatenate([near, copy])
    kept = np.concatenate([keeper[near], np.where(gone, keeper[best], best)])
    return Verdict(removed, kept, values.astype(np.float64), rules.astype(np.int8))


def _at(values: NDArray[np.generic], index: NDArray[np.int64]) -> NDArray[np.generic]:
    """`values[index]`, anything where the index is -1 (the caller does not look there)."""
    return values[np.maximum(index, 0)] if len(values) else np.zeros(len(index), values.dtype)


@numba.njit(cache=True, nogil=True)
def _walk(pairs, order, keeper, chosen):  # type: ignore[no-untyped-def]
    """Pairs come by their worse row and, for each, by falling similarity: the first that stays wins."""
    for at in order:
        better, worse = pairs[at, 0], pairs[at, 1]
        if keeper[worse] < 0 and keeper[better] < 0:
            keeper[worse] = better
            chosen[worse] = at


def warm() -> None:
    """Compile, or load from Numba's cache."""
    _walk(np.array([[0, 1]]), np.array([0]), np.full(2, -1), np.full(2, -1))
