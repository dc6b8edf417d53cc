"""What rows ask themselves, without what many share beside it.

Why: under a system prompt of 500 words, or instructions of a hundred before each ticket, all prompts are
alike. With stock answers or labels, 98 of 100 different questions would go as copies of the others, or stand
on one side of the split.

A line of the prompt is left out where it is of a system turn and other turns ask something, or of a preamble
that many of the rows share (see `pipelines.preambles`).
"""

from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from headrace import kernels
from headrace.kernels import grams
from headrace.pipelines import arrays, preambles, schema, structure
from headrace.pipelines.stages.fingerprint import stage as fingerprint


class Asked(NamedTuple):
    """Of N rows: whether lines of their prompts are left out, ``bool[N]``; where they are, what is left,
    folded, large_string[N], elsewhere nothing; its windows and key, as `fingerprint` has them of a prompt,
    ``uint32[N]``, ``uint64[N]``; and how much of the prompt that is, ``float64[N]``."""

    shortened: NDArray[np.bool_]
    texts: pa.LargeStringArray
    features: NDArray[np.uint32]
    keys: NDArray[np.uint64]
    share: NDArray[np.float64]


def of(table: pa.Table, ngram: int) -> Asked:
    """What the rows of `table` ask themselves, from their `messages`; ngram: bytes of a window."""
    roles, rows, texts = schema.contents(table)
    n, prompt = table.num_rows, np.flatnonzero(~fingerprint.is_answer(roles))
    lines, of_message = preambles.split(structure.bare(texts.take(pa.array(prompt))))
    ends = of_message[arrays.offsets(np.bincount(rows[prompt], minlength=n))]
    message = np.repeat(prompt, np.diff(of_message))
    row, system = rows[message], pc.equal(roles, "system").to_numpy(zero_copy_only=False)[message]
    words = grams.words(kernels.fold(lines))
    sizes = np.diff(words.offsets)
    others = np.bincount(row, np.where(system, 0, sizes), minlength=n) > 0
    left_out = preambles.told(words, ends)[0] | (system & others[row] & (sizes > 0))
    shortened = np.bincount(row, left_out, minlength=n) > 0
    left = preambles.joined(lines, ends, shortened[row] & ~left_out)
    own = kernels.fold(left)
    whole = np.bincount(row, sizes, minlength=n)
    return Asked(
        shortened,
        own,
        np.maximum(pc.binary_length(own).to_numpy() - ngram + 1, 0).astype(np.uint32),
        kernels.content_hash(kernels.fold(left, keep_punctuation=True))[1],
        np.bincount(row, np.where(left_out, 0, sizes), minlength=n) / np.maximum(whole, 1),
    )
