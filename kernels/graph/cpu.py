"""Union-find whose root is always the smallest member, so that the roots are the answer."""

import numpy as np
from numba import njit
from numpy.typing import NDArray


@njit(nogil=True, cache=True)
def _union(pairs, labels):  # type: ignore[no-untyped-def]
    for i in range(len(pairs)):
        a, b = pairs[i, 0], pairs[i, 1]
        while labels[a] != a:
            labels[a] = labels[labels[a]]
            a = labels[a]
        while labels[b] != b:
            labels[b] = labels[labels[b]]
            b = labels[b]
        labels[max(a, b)] = min(a, b)
    for node in range(len(labels)):  # a parent is smaller than its node, so one pass flattens all
        labels[node] = labels[labels[node]]


def components(pairs: NDArray[np.int64], n: int) -> NDArray[np.int64]:
    """Smallest member of each node's component: ``int64[M, 2], n -> int64[n]``."""
    labels = np.arange(n, dtype=np.int64)
    _union(pairs, labels)
    return labels


def warm() -> None:
    """Compile, or load from Numba's cache."""
    components(np.zeros((1, 2), np.int64), 1)
