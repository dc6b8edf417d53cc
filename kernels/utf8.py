"""Characters of UTF-8 for jitted code, of text that is known to be valid."""

import numpy as np
from numba import njit


@njit(inline="always")
def decoded(data, at):  # type: ignore[no-untyped-def]
    """(code point, bytes) of the character at `at`, which is not ASCII."""
    lead = np.int64(data[at])
    if lead < 0xE0:
        return (lead & 0x1F) << 6 | (data[at + 1] & 0x3F), 2
    if lead < 0xF0:
        return (lead & 0x0F) << 12 | np.int64(data[at + 1] & 0x3F) << 6 | (data[at + 2] & 0x3F), 3
    high = (lead & 0x07) << 18 | np.int64(data[at + 1] & 0x3F) << 12
    return high | np.int64(data[at + 2] & 0x3F) << 6 | np.int64(data[at + 3] & 0x3F), 4
