"""Rows with two answers to one prompt, each answer as a conversation of its own.

What: of such a row the prompt with its chosen answer and the prompt with its rejected one are tokenised, and
loss is on the answers alone: what is before them is the same in both. Both become samples, one behind the
other, or neither does.

Drops: `tokenise.pair_too_long` (both samples together have more than `max_length` tokens: they stand in one
packed row, and half a pair teaches nothing), `tokenise.equal_answers` (both have the same tokens),
`tokenise.no_target` (one has nothing to learn).

Cost: nothing without such rows; the prompts of such rows are tokenised twice.
"""

from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from headrace.pipelines import arrays, schema
from headrace.pipelines.stages.tokenise.conversations import Encoded
from headrace.pipelines.stages.tokenise.programs import Ints
from headrace.pipelines.stages.tokenise.template import ASSISTANT

CHOSEN, REJECTED = 1, -1
TOO_LONG, EQUAL, NO_TARGET = "tokenise.pair_too_long", "tokenise.equal_answers", "tokenise.no_target"
STRAY = "a rejected answer that does not end the row behind a chosen one"


@dataclass(frozen=True)
class Parted:
    """Rows with every answer of a pair in a row of its own.

    owner int64[M]: the row that each was; preferred int8[M]: 1 chosen, -1 rejected, 0 no pair; strays: rows,
    of those that were, whose rejected answer stands anywhere else.
    """

    table: pa.Table
    owner: Ints
    preferred: NDArray[np.int8]
    strays: Ints

    @property
    def chosen(self) -> Ints:
        """The chosen answers; each has its rejected one behind it."""
        return np.flatnonzero(self.preferred == CHOSEN)

    def summed(self, counts: Ints, n: int) -> Ints:
        """Counts of the rows as counts of the `n` rows that were."""
        return np.bincount(self.owner, counts, n).astype(np.int64)

    def any(self, mask: NDArray[np.bool_], n: int) -> NDArray[np.bool_]:
        """Which of the `n` rows that were have a row under `mask`."""
        found = np.zeros(n, np.bool_)
        found[self.owner[mask]] = True
        return found


def parted(table: pa.Table) -> Parted:
    """`table` with its pairs taken apart; itself where it has none."""
    n = table.num_rows
    roles, rows, texts = schema.contents(table)
    worse = pc.equal(roles, schema.REJECTED).fill_null(False).to_numpy(zero_copy_only=False)
    none = np.zeros(0, np.int64)
    if not worse.any():
        return Parted(table, np.arange(n), np.zeros(n, np.int8), none)
    counts = np.bincount(rows, minlength=n)
    first = arrays.offsets(counts)
    better = np.append(False, pc.equal(roles, "assistant").to_numpy(zero_copy_only=False)[:-1])
    better[1:] &= rows[1:] == rows[:-1]
    ends = first[rows + 1] == np.arange(len(rows)) + 1
    held = np.bincount(rows[worse], minlength=n)
    pair = np.bincount(rows[worse & better & ends], minlength=n) == 1
    pair &= held == 1
    owner = np.repeat(np.arange(n), np.where(pair, 2, 1))
    preferred = np.zeros(len(owner), np.int8)
    starts = arrays.offsets(np.where(pair, 2, 1))[:-1][pair]
    preferred[starts], preferred[starts + 1] = CHOSEN, REJECTED
    lengths = counts[owner] - (preferred != 0)
    chosen = arrays.ranges(first[owner], lengths)
    at = arrays.offsets(lengths)[1:] - 1
    chosen[at[preferred == REJECTED]] += 1
    said = pc.if_else(pa.array(worse), "assistant", roles)
    made = schema.rebuild(
        table.take(pa.array(owner)),
        np.repeat(np.arange(len(owner)), lengths),
        said.take(pa.array(chosen)),
        texts.take(pa.array(chosen)),
    )
    return Parted(made, owner, preferred, np.flatnonzero((held > 0) & ~pair))


def settled(
    encoded: Encoded, given: Parted, limit: int, n: int
) -> tuple[Encoded, dict[str, NDArray[np.bool_]]]:
    """`encoded` (row i of `given` first, then others) less the pairs that cannot stay, and which of the `n`
    rows that were go for which reason.
    """
    chosen = given.chosen
    if not len(chosen):
        return encoded, {}
    both = np.stack([chosen, chosen + 1])
    size = (encoded.stop - encoded.start)[both]
    refused = (np.isin(both, list(encoded.refusals))).any(0)
    learned = arrays.offsets((encoded.loss & ASSISTANT) != 0)
    empty = (learned[encoded.stop[both]] == learned[encoded.start[both] + (size > 0)]).any(0)
    gone = {
        TOO_LONG: ~refused & (size.sum(0) > limit),
        EQUAL: ~refused & _equal(encoded, both, size),
        NO_TARGET: ~refused & empty,
    }
    out = both[:, refused | np.any(list(gone.values()), axis=0)].ravel()
    stop = encoded.stop.copy()
    stop[out] = encoded.start[out]
    rows = {}
    for reason, of_pairs in gone.items():
        rows[reason] = np.zeros(n, np.bool_)
        rows[reason][given.owner[chosen[of_pairs]]] = True
    return replace(encoded, stop=stop), rows


def _equal(encoded: Encoded, both: Ints, size: Ints) -> NDArray[np.bool_]:
    """Which pairs have the same tokens twice, ``bool[P]``; those of one size are compared."""
    same = size[0] == size[1]
    starts = encoded.start[both[:, same]]
    left, right = (encoded.ids[arrays.ranges(of, size[0, same])] for of in starts)
    differing = np.bincount(
        np.repeat(np.arange(same.sum()), size[0, same])[left != right], minlength=same.sum()
    )
    equal: NDArray[np.bool_] = np.zeros(len(same), np.bool_)
    equal[same] = differing == 0
    return equal
