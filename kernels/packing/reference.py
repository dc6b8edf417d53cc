"""Best-fit decreasing by looking at every bin for every item."""

import numpy as np
from numpy.typing import NDArray


def pack(lengths: NDArray[np.int64], capacity: int) -> NDArray[np.int64]:
    """Bin of each item: ``int64[N], capacity -> int64[N]``."""
    room: list[int] = []
    used: list[int] = []  # when each bin was last given an item
    bins = np.empty(len(lengths), np.int64)
    for time, item in enumerate(np.argsort(-lengths, kind="stable")):
        fitting = [
            (room[b] - int(lengths[item]), -used[b], b) for b in range(len(room)) if room[b] >= lengths[item]
        ]
        if fitting:
            chosen = min(fitting)[2]
        else:
            chosen = len(room)
            room.append(capacity)
            used.append(time)
        room[chosen] -= int(lengths[item])
        used[chosen] = time
        bins[item] = chosen
    return bins
