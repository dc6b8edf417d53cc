"""Factors by trying every place."""

import numpy as np
from numpy.typing import NDArray

from kernels.arrow import Spans

Factor = tuple[frozenset[int], ...]


def factors(texts: Spans, groups: tuple[tuple[Factor, ...], ...]) -> NDArray[np.bool_]:
    """Whether a text holds any factor of a group: ``bool[N, len(groups)]``."""
    found = np.zeros((len(texts), len(groups)), np.bool_)
    for row, (start, stop) in enumerate(zip(texts.starts, texts.stops, strict=True)):
        raw = texts.data[start:stop].tobytes()
        for which, group in enumerate(groups):
            found[row, which] = any(holds(raw, factor) for factor in group)
    return found


def holds(raw: bytes, factor: Factor) -> bool:
    """Whether consecutive bytes of `raw` belong to the classes of `factor`."""
    places = range(len(raw) - len(factor) + 1)
    return any(all(raw[at + step] in allowed for step, allowed in enumerate(factor)) for at in places)
