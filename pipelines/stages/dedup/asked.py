"""What rows ask themselves, without what many share beside it.

Why: under a system prompt of 500 words, or instructions of a hundred before each ticket, all prompts are
alike. With stock answers or labels, 98 of 100 different questions would go as copies of the others, or stand
on one side of the split.

A line of the prompt is left out where it is of a system turn and other turns ask something, or of a preamble
that many of the rows share (see `pipelines.preambles`).
"""

from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from headrace import kernels
from headrace.kernels import grams
from headrace.pipelines import arrays, preambles, schema, structure
from headrace.pipelines.stages.fingerprint import stage as fingerprint


class Asked(NamedTuple):
    """Of N rows: whether lines of their prompts are left out, ``bool[N]``; what is left, folded,
    large_string[N]; its windows and key, as `fingerprint` has them of a prompt, ``uint32[N]``, ``uint64[N]``;
    and how much of the prompt that is, ``float64[N]``."""

    shortened: NDArray[np.bool_]
    texts: pa.LargeStringArray
    features: NDArray[np.uint32]
    keys: NDArray[np.uint64]
    share: NDArray[np.float64]


class _Lines(NamedTuple):
    """Lines of one part of N rows: their texts, the row and the message of each, where each row's end, and
    their words."""

    texts: pa.Array
    row: NDArray[np.int64]
    message: NDArray[np.int64]
    ends: NDArray[np.int64]
    words: grams.Words


def of(table: pa.Table, ngram: int) -> Asked:
    """What the rows of `table` ask themselves, from their `messages`; ngram: bytes of a window."""
    roles, rows, texts = schema.contents(table)
    lines = _lines(np.flatnonzero(~fingerprint.is_answer(roles)), rows, texts, table.num_rows)
    system = pc.equal(roles, "system").to_numpy(zero_copy_only=False)[lines.message]
    left_out, _ = preambles.told(*lines.words, lines.ends)
    sizes = np.diff(lines.words.offsets)
    others = _by_row(lines, np.where(system, 0, sizes))
    left_out |= system & (others > 0)[lines.row] & (sizes > 0)
    left = preambles.joined(lines.texts, lines.ends, ~left_out)
    own = kernels.fold(left)
    held = pc.binary_length(own).to_numpy()
    return Asked(
        _by_row(lines, left_out) > 0,
        own,
        np.maximum(held - ngram + 1, 0).astype(np.uint32),
        kernels.content_hash(kernels.fold(left, keep_punctuation=True))[1],
        np.minimum(_by_row(lines, np.where(left_out, 0, sizes)) / np.maximum(_by_row(lines, sizes), 1), 1),
    )


def _lines(chosen: NDArray[np.int64], rows: NDArray[np.int64], texts: pa.Array, n: int) -> _Lines:
    """Lines of the `chosen` messages of n rows, without tools that they offer."""
    found, of_message = preambles.split(structure.bare(texts.take(pa.array(chosen))))
    message = np.repeat(np.arange(len(chosen)), np.diff(of_message))
    ends = of_message[arrays.offsets(np.bincount(rows[chosen], minlength=n))]
    row = rows[chosen][message]
    return _Lines(found, row, chosen[message], ends, grams.words(kernels.fold(found)))


def _by_row(lines: _Lines, values: NDArray[Any]) -> NDArray[np.float64]:
    """Sum of a value a line over the lines of each row."""
    sums: NDArray[np.float64] = np.bincount(lines.row, values, minlength=len(lines.ends) - 1).astype(
        np.float64
    )
    return sums
