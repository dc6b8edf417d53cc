"""Factors: which texts hold one of a group of short byte-class sequences, for many groups at once.

A factor is a sequence of byte classes ("a digit, a digit, a hyphen"); a text holds it where consecutive
bytes belong to consecutive classes. All factors are followed in parallel, a bit for each of their places.

Cost: a shift, a table look-up and three bit operations a byte and machine word of 64 places, four words
side by side: about 150 MB/s for a thousand places.
Source: Shift-And, Baeza-Yates and Gonnet, "A new approach to text searching" (1992),
https://doi.org/10.1145/135239.135243
"""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from kernels.arrow import Texts, spans
from kernels.dispatch import Implementation, choose

LONGEST = 64  # classes of a factor


def factors(
    texts: Texts,
    groups: Sequence[Sequence[Sequence[Iterable[int]]]],
    *,
    implementation: Implementation = "auto",
) -> NDArray[np.bool_]:
    """Whether a text holds any factor of a group: ``-> bool[N, len(groups)]``; a null text holds none.

    `groups`: each a sequence of factors, each a sequence of 1 to `LONGEST` byte classes (collections of
    ints below 256).

    Raises: ValueError for a factor that is empty or longer.
    """
    frozen = tuple(tuple(tuple(map(frozenset, factor)) for factor in group) for group in groups)
    for factor in (factor for group in frozen for factor in group):
        if not 1 <= len(factor) <= LONGEST:
            raise ValueError(f"a factor has 1 to {LONGEST} byte classes, got {len(factor)}")
    module = choose(__name__, implementation)
    parts = [module.factors(part, frozen) for part in spans(texts)]
    return np.concatenate([*parts, np.zeros((0, len(groups)), np.bool_)])


__all__ = ["LONGEST", "factors"]
