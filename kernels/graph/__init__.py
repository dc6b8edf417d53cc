"""Connected components of a graph given as pairs.

Cost: near-linear in pairs (union by smallest label with path halving).
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from headrace.kernels.dispatch import Implementation, choose


def components(pairs: ArrayLike, n: int, *, implementation: Implementation = "auto") -> NDArray[np.int64]:
    """Smallest member of each node's component: ``int64[M, 2], n -> int64[n]``.

    Nodes are 0..n-1; a node in no pair is its own component. The answer does not depend on the order of
    `pairs`, nor on the order within one.

    Raises: ValueError for pairs of another shape, or naming a node outside 0..n-1.
    """
    edges = (
        np.ascontiguousarray(pairs, np.int64).reshape(-1, 2) if np.size(pairs) else np.empty((0, 2), np.int64)
    )
    if np.size(pairs) and np.shape(pairs) != edges.shape:
        raise ValueError(f"pairs must have shape [M, 2], got {np.shape(pairs)}")
    if len(edges) and (edges.min() < 0 or edges.max() >= n):
        raise ValueError(f"pairs name a node outside 0..{n - 1}: {edges.min()}..{edges.max()}")
    labels: NDArray[np.int64] = choose(__name__, implementation).components(edges, n)
    return labels


__all__ = ["components"]
