"""Letters: which values texts say, by their letters and digits alone.

The letters of a text are those characters of its compatibility decomposition, with case folded, that are a
letter or a digit of any script: "Ann  LÉE" has "annlee". Texts and values have owners (the conversation that
both are of); a value is looked for in the texts of its owner, within each by itself. The Unicode version is
the interpreter's.

Cost: two to three nanoseconds a byte, whatever the number of values; the letters of a character are worked
out when one is first met.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from headrace.kernels.arrow import Texts, one_span
from headrace.kernels.dispatch import Implementation, choose


class Said(NamedTuple):
    """values bool[V]: which are said elsewhere; texts bool[N]: which say one of those, there or elsewhere."""

    values: NDArray[np.bool_]
    texts: NDArray[np.bool_]


def said(
    texts: Texts,
    owners: NDArray[np.int64],
    values: Texts,
    value_owners: NDArray[np.int64],
    parts: Texts,
    part_owners: NDArray[np.int64],
    *,
    implementation: Implementation = "auto",
) -> Said:
    """Which `values` the texts of their owners say elsewhere than within one of `parts`.

    parts: pieces of the owner's texts that share no character. values: letters, none empty. owners,
    value_owners, part_owners: int64, ascending.

    Raises: ValueError for owners that descend, an empty value, or columns of different lengths.
    """
    text, value, part = one_span(texts), one_span(values), one_span(parts)
    for items, whose in ((text, owners), (value, value_owners), (part, part_owners)):
        if len(items) != len(whose):
            raise ValueError(f"{len(items)} items and {len(whose)} owners")
        if (np.diff(whose) < 0).any():
            raise ValueError("owners descend")
    if (value.stops == value.starts).any():
        raise ValueError("a value is empty")
    return Said(*choose(__name__, implementation).said(text, owners, value, value_owners, part, part_owners))


__all__ = ["Said", "said"]
