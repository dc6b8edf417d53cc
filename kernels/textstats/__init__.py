"""Text statistics: which bytes a text holds, what its characters are, how much of it repeats itself.

`byte_classes` tells in one look at every byte whether a slower step is needed at all. `measure` counts
characters by Unicode category (letters of every script alike, so that nothing is judged by its being
Latin) and the share of a text that stood in it before. The Unicode version is the interpreter's
(`unicodedata.unidata_version`).

Cost: `byte_classes` about a nanosecond a byte; `measure` three to eight, the more the longer the text
(a table of its windows outgrows the caches).
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from headrace.kernels.arrow import Texts, spans
from headrace.kernels.dispatch import Implementation, choose

WINDOW = 16  # bytes of a window of `Statistics.repeated`


class Statistics(NamedTuple):
    """Counts a text, ``int64[N]`` each; a null text counts 0.

    `letters` are Unicode letters and marks (category L and M) and the two scripts that Unicode files
    under symbols; `digits` numbers of every kind (N); `spaces` separators and controls (Z, Cc);
    `replacements` U+FFFD; the rest of `characters` is punctuation and symbols. `windows` are the
    `WINDOW`-byte windows that start at every byte, `repeated` those whose bytes stood earlier in
    the same text.
    """

    characters: NDArray[np.int64]
    letters: NDArray[np.int64]
    digits: NDArray[np.int64]
    spaces: NDArray[np.int64]
    replacements: NDArray[np.int64]
    windows: NDArray[np.int64]
    repeated: NDArray[np.int64]


def byte_classes(
    texts: Texts, table: NDArray[np.uint64], *, implementation: Implementation = "auto"
) -> NDArray[np.uint64]:
    """Union of ``table[byte]`` (``uint64[256]``, one bit a class) over each text: ``-> uint64[N]``."""
    module = choose(__name__, implementation)
    parts = [module.byte_classes(part, np.asarray(table, np.uint64)) for part in spans(texts)]
    return np.concatenate([*parts, np.zeros(0, np.uint64)])


def measure(texts: Texts, *, implementation: Implementation = "auto") -> Statistics:
    """Counts of every text; see `Statistics`. Texts are valid UTF-8."""
    module = choose(__name__, implementation)
    counts = [module.measure(part) for part in spans(texts)]
    return Statistics(*np.concatenate([*counts, np.zeros((0, len(Statistics._fields)), np.int64)]).T)


__all__ = ["WINDOW", "Statistics", "byte_classes", "measure"]
