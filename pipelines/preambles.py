"""What many prompts share beside what they ask: system prompts, instructions, tools, passages, examples.

Why: of a hundred words of a system prompt and ten of a question, the hundred decide what a prompt is like:
6,000 questions to ten assistants look like ten, and rows with one stock answer like copies of each other.

A line is held by all prompts in which it stands, or, where `COVERED` of its words lie in runs of `RUN` words
that `HELD` prompts share, by those that share its commonest run: a preamble names its customer. It is of a
preamble where `HELD` prompts hold it, and `TIMES` as many as hold the rarest line of its prompt, which is
what is asked, be it one word. So one question that comes in other words again and again has none.

Cost: that of `kernels.grams.shared`.
"""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from headrace import kernels
from headrace.kernels import grams
from headrace.pipelines import arrays

HELD = 5  # prompts
TIMES = 4
RUN = 8  # words
COVERED = 0.8  # share of the words of a line


def split(texts: pa.Array) -> tuple[pa.Array, NDArray[np.int64]]:
    """Lines of N texts (large_string[N], nulls are empty), end to end, and where each text's end,
    ``int64[N + 1]``."""
    parts = pc.split_pattern(texts.fill_null(""), "\n").cast(pa.large_list(pa.large_string()))
    return parts.flatten(), arrays.offsets(pc.list_value_length(parts))


def joined(lines: pa.Array, ends: NDArray[np.int64], kept: NDArray[np.bool_]) -> pa.Array:
    """Texts of those of L lines that are `kept`, ``bool[L]``: large_string[N]."""
    before = arrays.offsets(kept)[ends]
    held = pa.LargeListArray.from_arrays(pa.array(before), lines.filter(pa.array(kept)))
    return pc.binary_join(held, pa.scalar("\n", pa.large_string()))


def told(words: grams.Words, ends: NDArray[np.int64]) -> tuple[NDArray[np.bool_], NDArray[np.uint64]]:
    """Which of L lines are of a preamble, ``bool[L]``, and a key of what they share, ``uint64[L]``.

    words: those of each line; ``ends int64[N + 1]``: the lines of each of N different texts.
    """
    sizes, key = np.diff(words.offsets), _keys(words)
    text = np.repeat(np.arange(len(ends) - 1), np.diff(ends))
    covered, run, holders = grams.shared(words, text, RUN, HELD)
    in_runs = (sizes >= RUN) & (covered >= COVERED * sizes)
    held = np.maximum(grams.held(key, text), np.where(in_runs, holders, 0))
    rarest = np.full(len(ends) - 1, np.iinfo(np.int64).max // TIMES)
    np.minimum.at(rarest, text[sizes > 0], held[sizes > 0])
    preamble = (sizes > 0) & (held >= np.maximum(HELD, TIMES * rarest[text]))
    return preamble, np.where(in_runs, run, key)


def _keys(words: grams.Words) -> NDArray[np.uint64]:
    """A hash of the words of each line: ``uint64[L]``."""
    held, places = np.ascontiguousarray(words.hashes, "<u4"), pa.py_buffer(words.offsets * 4)
    n = len(words.offsets) - 1
    array = pa.LargeBinaryArray.from_buffers(pa.large_binary(), n, [None, places, pa.py_buffer(held)])
    return kernels.content_hash(array)[0]
