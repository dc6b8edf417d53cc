"""Content-defined chunking: cut texts where their own bytes say so, so that equal passages give equal chunks.

A Gear hash rolls over the bytes; a text is cut where some of its bits are zero. What those bits are made
of is the `WINDOW` bytes before the place and nothing else, so that chunks fall into step again soon behind
an edit, and a passage that stands in two texts is cut alike in both. Chunk sizes are normalised: below the
average a cut needs more zero bits, above it fewer. Nothing is searched in the first `smallest` bytes of a
chunk. A cut never falls inside a UTF-8 character.

Cost: one pass of two dependent operations a byte (1.7 GB/s), and one of `content_hash` over the chunks.
Source: Xia et al., "FastCDC: a Fast and Efficient Content-Defined Chunking Approach for Data
Deduplication" (2016), https://www.usenix.org/conference/atc16/technical-sessions/presentation/xia
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from headrace.kernels.arrow import Spans, Texts, spans
from headrace.kernels.chunking.reference import WINDOW
from headrace.kernels.dispatch import Implementation, choose

LEAST_AVERAGE, MOST_AVERAGE = 16, 1 << 24
LARGEST_CHARACTER = 4  # bytes


class Chunks(NamedTuple):
    """Chunks of N texts, in order; those of text `i` are ``offsets[i]:offsets[i + 1]``.

    `starts` and `stops` are bytes from the beginning of their text, which the chunks of a text cover
    without gap or overlap. `hashes` are the low words of the chunks' `content_hash`.
    """

    offsets: NDArray[np.int64]  # [N + 1]
    starts: NDArray[np.int64]  # [C]
    stops: NDArray[np.int64]  # [C]
    hashes: NDArray[np.uint64]  # [C]


def chunks(
    texts: Texts, *, smallest: int, average: int, largest: int, implementation: Implementation = "auto"
) -> Chunks:
    """Content-defined chunks of each text, about `average` bytes each; a null or empty text has none.

    A chunk has at least `smallest` bytes, but for a text of fewer, which is one chunk; and at most
    `largest`, but for the last one of a text, which may take in up to ``smallest - 1`` more. Texts are
    valid UTF-8.

    Raises: ValueError unless 1 <= smallest <= average <= largest and smallest + 4 <= largest, with
    `average` from `LEAST_AVERAGE` to `MOST_AVERAGE`.
    """
    if not 1 <= smallest <= average <= largest or smallest + LARGEST_CHARACTER > largest:
        raise ValueError(
            "sizes must be 1 <= smallest <= average <= largest and smallest + 4 <= largest, "
            f"got {smallest}, {average}, {largest}"
        )
    if not LEAST_AVERAGE <= average <= MOST_AVERAGE:
        raise ValueError(f"average must be {LEAST_AVERAGE} to {MOST_AVERAGE} bytes, got {average}")
    module, hashing = choose(__name__, implementation), choose("headrace.kernels.content", implementation)
    found: list[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.uint64]]] = []
    for part in spans(texts):
        counts, starts, stops = module.chunks(part, smallest, average, largest)
        high, low = np.empty(len(starts), np.uint64), np.empty(len(starts), np.uint64)
        hashing.content_hash(Spans(part.data, starts, stops, None), high, low)
        shift = np.repeat(part.starts, counts)
        found.append((counts, starts - shift, stops - shift, low))
    none = np.zeros(0, np.int64)
    counts, starts, stops, hashes = (
        np.concatenate(c) for c in zip(*found, (none, none, none, np.zeros(0, np.uint64)), strict=True)
    )
    return Chunks(np.concatenate([[0], np.cumsum(counts)]).astype(np.int64), starts, stops, hashes)


__all__ = ["WINDOW", "Chunks", "chunks"]
