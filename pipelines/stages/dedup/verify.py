"""Are two rows near-duplicates? The verifying half: exact Jaccard of both parts, from the texts.

The similarity of two rows is the lower of their parts' Jaccard similarities, over sets of hashed
windows of the folded text. A part under the feature minimum counts 1 where its exact key is
equal (case and spaces folded, punctuation kept) and 0 where it is not. A pair whose both parts are
that short was decided by equality alone: rule `exact`, otherwise `near`.

Where one part is short, not empty and equal ("true", "write a poem"), it says nothing of how alike the rows
are, and what differs in the other counts double: 1 - 2 (1 - Jaccard), so that a threshold of .8 asks for .9.
Where it is an answer of fewer than `TELLING` windows, even that is not enough to remove a row: the prompt
is often a question beside a passage that many share, another question at a Jaccard of .98. Such pairs are
*alike* and both stay, on the same side of the split, unless their prompts have the same windows. A longer
answer that is equal says that the questions are the same as well.

Cost: the texts of the rows concerned, folded once, and 6 to 8 ns a byte and pair.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from headrace import kernels
from headrace.pipelines import schema
from headrace.pipelines.stages.fingerprint import stage as fingerprint

COLUMNS = ["messages", *(f"{part}_{kind}" for part in fingerprint.PARTS for kind in ("features", "key"))]


# Windows of an equal answer from which on it says that the questions are the same as well.
TELLING = 48


class Measured(NamedTuple):
    """How similar pairs are, ``float64[M]``, and which are alike but both stay, ``bool[M]``."""

    similarity: NDArray[np.float64]
    alike: NDArray[np.bool_]


def similarities(table: pa.Table, pairs: NDArray[np.int64], *, min_features: int, ngram: int) -> Measured:
    """Similarity of each pair, int64[M, 2], of rows of `table`.

    `table` has the `COLUMNS`.
    """
    joined = _parts(table)

    def jaccard(number: int, chosen: NDArray[np.int64]) -> NDArray[np.float64]:
        return kernels.jaccard(joined, chosen * 2 + number, ngram=ngram)

    return _least(table, pairs, min_features, jaccard)


def estimates(
    table: pa.Table,
    sketches: pa.Table,
    pairs: NDArray[np.int64],
    *,
    min_features: int,
    ngram: int,
    k: int,
) -> Measured:
    """Similarity of rows of `sketches` to rows of `table`, by bottom-k sketches.

    pairs: int64[M, 2] of (row of `sketches`, row of `table`). `sketches` has the columns of `fingerprint`
    and one of sketches a part, `table` what `similarities` needs.
    """
    offsets, values = kernels.bottom_sketches(_parts(table), k=k, ngram=ngram)
    theirs = [sketches[f"{name}_bottom"].combine_chunks() for name in fingerprint.PARTS]
    sizes = np.stack([pc.list_value_length(t).to_numpy() for t in theirs], axis=1).ravel()
    n = sketches.num_rows
    order = np.arange(2 * n).reshape(2, n).T.ravel()  # prompt of row 0, answer of row 0, ...
    flat = pc.list_flatten(pa.concat_arrays(theirs).take(pa.array(order))).to_numpy()
    every = np.concatenate([[0], np.cumsum(sizes), np.sum(sizes) + offsets[1:]]).astype(np.int64)
    held = np.concatenate([flat, values]).astype(np.uint32)
    fields = [f"{p}_{w}" for p in fingerprint.PARTS for w in ("key", "features")]
    both = pa.concat_tables([sketches.select(fields), table.select(fields)])

    def jaccard(number: int, chosen: NDArray[np.int64]) -> NDArray[np.float64]:
        return kernels.bottom_jaccard(every, held, chosen * 2 + number, k=k)

    return _least(both, pairs + np.array([0, n]), min_features, jaccard)


def _parts(table: pa.Table) -> pa.LargeStringArray:
    """Folded prompt and answer of every row, one after the other."""
    roles, rows, texts = schema.contents(table)
    return fingerprint.parts(roles, rows, texts, table.num_rows).both


def _least(
    table: pa.Table,
    pairs: NDArray[np.int64],
    min_features: int,
    jaccard: Callable[[int, NDArray[np.int64]], NDArray[np.float64]],
) -> Measured:
    """The lower of both parts' similarities; ``jaccard(part, pairs)`` tells those of long parts."""
    left, right = pairs[:, 0], pairs[:, 1]
    least = np.ones(len(pairs))
    settled = []  # for each part: short, not empty and equal
    for number, name in enumerate(fingerprint.PARTS):
        long = table[f"{name}_features"].to_numpy() >= min_features
        keys = table[f"{name}_key"].to_numpy()
        equal = ~long[left] & ~long[right] & (keys[left] == keys[right])
        settled.append(equal & (keys[left] != 0))  # an empty part has key 0 and stands in nobody's way
        alike = equal.astype(np.float64)
        both = long[left] & long[right] & (least > 0)
        alike[both] = jaccard(number, pairs[both])
        least = np.minimum(least, alike)
    framed = settled[0] | settled[1]
    telling = table["answer_features"].to_numpy()[left] >= TELLING
    least = np.where(framed, np.maximum(2 * least - 1, 0.0), least)
    return Measured(least, settled[1] & ~telling & (least < 1))


def distances(simhash: NDArray[np.uint64], pairs: NDArray[np.int64]) -> NDArray[np.int32]:
    """Hamming distance of the whole rows' SimHashes: ``uint64[N], int64[M, 2] -> int32[M]``."""
    bits: NDArray[np.int32] = np.bitwise_count(simhash[pairs[:, 0]] ^ simhash[pairs[:, 1]]).astype(np.int32)
    return bits
