"""Best-fit decreasing bin packing.

Longest item first (equal ones in order of index), each into the open bin with the least room that still
takes it; among bins with equal room, the one used last. Uses at most 11/9 of the fewest bins (plus a
constant). Cost: a counting sort, then O(log64 capacity) an item.

Source: Johnson 1973, "Near-optimal bin packing algorithms"; for training samples Ding et al. 2024,
"Fewer Truncations Improve Language Modeling", https://arxiv.org/abs/2404.10830.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from headrace.kernels.dispatch import Implementation, choose


def pack(lengths: ArrayLike, capacity: int, *, implementation: Implementation = "auto") -> NDArray[np.int64]:
    """Bin of each item: ``int[N], capacity -> int64[N]``.

    Bins are numbered 0, 1, ... in the order of opening. An item of length 0 takes no room.

    Raises: ValueError for an item longer than `capacity` or negative, or a capacity below 1.
    """
    sizes = np.ascontiguousarray(lengths, np.int64)
    if sizes.ndim != 1:
        raise ValueError(f"lengths must be one-dimensional, got shape {sizes.shape}")
    if capacity < 1:
        raise ValueError(f"capacity must be at least 1, got {capacity}")
    wrong = np.flatnonzero((sizes < 0) | (sizes > capacity))
    if len(wrong):
        item = int(wrong[0])
        raise ValueError(
            f"item {item} has length {sizes[item]}, outside 0..{capacity} (and {len(wrong) - 1} more)"
        )
    bins: NDArray[np.int64] = choose(__name__, implementation).pack(sizes, capacity)
    return bins


__all__ = ["pack"]
