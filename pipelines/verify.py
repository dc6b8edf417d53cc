"""Are two rows near-duplicates? The verifying half: exact Jaccard of both parts, from the texts.

The similarity of two rows is the lower of their parts' Jaccard similarities, over sets of hashed
windows of the folded text. A part under the feature minimum counts 1 where its exact key is
equal (case and spaces folded, punctuation kept) and 0 where it is not. A pair whose both parts are
that short was decided by equality alone: rule `exact`, otherwise `near`.

Where the answer is short, not empty and equal ("true", "answer 2"), it says nothing of how alike the rows
are, and the prompt is often a question beside a passage that many share: another question at a Jaccard of
.98. There the prompts must have the same windows, or the similarity is 0. Where the prompt is short, not
empty and equal ("write a poem"), what differs in the answer counts double: 1 - 2 (1 - Jaccard), so that a
threshold of .8 asks for .9.

Cost: the texts of the rows concerned, folded once, and 6 to 8 ns a byte and pair.
"""

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

import kernels
from pipelines import fingerprint, schema

COLUMNS = ["messages", *(f"{part}_{kind}" for part in fingerprint.PARTS for kind in ("features", "key"))]


def similarities(
    table: pa.Table, pairs: NDArray[np.int64], *, min_features: int, ngram: int
) -> NDArray[np.float64]:
    """Similarity of each pair of rows of `table`: ``int64[M, 2] -> float64[M]``.

    `table` has the `COLUMNS`.
    """
    roles, rows, texts = schema.contents(table)
    joined = fingerprint.parts(roles, rows, texts, table.num_rows)
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
        alike[both] = kernels.jaccard(joined.both, pairs[both] * 2 + number, ngram=ngram)
        least = np.minimum(least, alike)
    of_prompt, of_answer = settled
    least = np.where(of_prompt, np.maximum(2 * least - 1, 0.0), least)
    return np.where(of_answer & (least < 1), 0.0, least)


def distances(simhash: NDArray[np.uint64], pairs: NDArray[np.int64]) -> NDArray[np.int32]:
    """Hamming distance of the whole rows' SimHashes: ``uint64[N], int64[M, 2] -> int32[M]``."""
    bits: NDArray[np.int32] = np.bitwise_count(simhash[pairs[:, 0]] ^ simhash[pairs[:, 1]]).astype(np.int32)
    return bits
