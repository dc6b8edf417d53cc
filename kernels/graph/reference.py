"""Components by spreading the smallest label until nothing changes."""

import numpy as np
from numpy.typing import NDArray


def components(pairs: NDArray[np.int64], n: int) -> NDArray[np.int64]:
    """Smallest member of each node's component: ``int64[M, 2], n -> int64[n]``."""
    labels = np.arange(n, dtype=np.int64)
    changed = True
    while changed:
        before = labels.copy()
        for a, b in pairs:
            labels[a] = labels[b] = min(labels[a], labels[b])
        changed = not np.array_equal(before, labels)
    return labels
