"""Phrases of whole words found in texts, whatever their case.

A word is a run of letters, digits and underscores; what stands between words parts them: "He's" begins with
the word "he", and "grand-mother" is two. Case is folded in ASCII and in Latin-1 letters, which keeps
places in bytes. At each word the longest phrase that begins there is taken, and the search goes on behind it.
Scripts that put no spaces between words make one word of a sentence.

Cost: some 150 MB/s on one core, whatever the number of phrases.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from headrace.kernels.arrow import Texts, one_span
from headrace.kernels.dispatch import Implementation, choose


class Terms(NamedTuple):
    """Phrases, and a table of them: keys uint64[T], codes int32[T] (number of the phrase plus 1, 0 where the
    slot is free), firsts uint8[16384] (bit k - 1 where a phrase of k words begins with a word of that hash).
    """

    phrases: tuple[str, ...]
    keys: NDArray[np.uint64]
    codes: NDArray[np.int32]
    firsts: NDArray[np.uint8]


class Found(NamedTuple):
    """Of each phrase that was found, in the order of the texts: text, bytes of it, phrase: int64[M] each."""

    rows: NDArray[np.int64]
    starts: NDArray[np.int64]
    stops: NDArray[np.int64]
    codes: NDArray[np.int64]


def terms(phrases: Sequence[str]) -> Terms:
    """A table of `phrases`, of which each has 1 to 8 words and stands there once.

    Raises: ValueError for a phrase without a word, with more, or one that is there already.
    """
    keys, codes, firsts = choose(__name__, "cpu").table(one_span(list(phrases)))
    return Terms(tuple(phrases), keys, codes, firsts)


def find(texts: Texts, table: Terms, *, implementation: Implementation = "auto") -> Found:
    """All phrases of `table` in `texts`; a null text has none."""
    found: tuple[NDArray[np.int64], ...] = choose(__name__, implementation).find(one_span(texts), table)
    return Found(*found)


def find_beside(
    texts: Texts,
    owners: NDArray[np.int64],
    table: Terms,
    other: Terms,
    *,
    implementation: Implementation = "auto",
) -> tuple[Found, Found]:
    """What `find` gives of `table`, and of `other` in the texts of owners that have a phrase of `table`, told
    in one walk. owners int64[N], ascending: whose each text is.
    """
    first, second = choose(__name__, implementation).beside(one_span(texts), owners, table, other)
    return Found(*first), Found(*second)


__all__ = ["Found", "Terms", "find", "find_beside", "terms"]
