"""Text statistics: which characters a text holds, how many of each kind, how much of it repeats itself.

`character_classes` and `contains` tell in one look whether a slower step is needed at all. `measure` counts
characters by Unicode category (letters of every script alike, so that nothing is judged by its being
Latin) and the share of a text that stood in it before. The Unicode version is the interpreter's
(`unicodedata.unidata_version`).

Cost: a fifth of a nanosecond a byte for `contains`, and for `character_classes` of ASCII; `measure` one and a
half, and up to eight in texts whose table of windows outgrows the caches.
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


def character_classes(
    texts: Texts, table: NDArray[np.uint16], *, implementation: Implementation = "auto"
) -> tuple[NDArray[np.uint16], NDArray[np.uint16]]:
    """Union of ``table[code point]`` (``uint16[0x110000]``, one bit a class) over each text, and over its
    first and its last character: ``-> uint16[N], uint16[N]``. Texts are valid UTF-8.
    """
    module = choose(__name__, implementation)
    parts = [module.character_classes(part, np.asarray(table, np.uint16)) for part in spans(texts)]
    inside, edges = np.concatenate([*parts, np.zeros((2, 0), np.uint16)], axis=1)
    return inside, edges


def contains(texts: Texts, wanted: bytes, *, implementation: Implementation = "auto") -> NDArray[np.bool_]:
    """Whether each text holds these bytes, of which there is at least one: ``-> bool[N]``."""
    module = choose(__name__, implementation)
    parts = [module.contains(part, np.frombuffer(wanted, np.uint8)) for part in spans(texts)]
    return np.concatenate([*parts, np.zeros(0, np.bool_)])


def measure(texts: Texts, *, implementation: Implementation = "auto") -> Statistics:
    """Counts of every text; see `Statistics`. Texts are valid UTF-8."""
    module = choose(__name__, implementation)
    counts = [module.measure(part) for part in spans(texts)]
    return Statistics(*np.concatenate([*counts, np.zeros((0, len(Statistics._fields)), np.int64)]).T)


__all__ = ["WINDOW", "Statistics", "character_classes", "contains", "measure"]
