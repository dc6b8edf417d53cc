"""Letters: which values texts say, by their letters and digits alone.

The letters of a text are those characters of its compatibility decomposition, with case folded, that are a
letter or a digit of any script: "Ann  LÉE" has "annlee". Texts and values have owners (the conversation that
both are of); a value is looked for in the texts of its owner, within each by itself. The Unicode version is the
interpreter's.

Cost: two to three nanoseconds a byte, whatever the number of values; the letters of a character are worked out
when one is first met.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from headrace.kernels.arrow import Texts, one_span
from headrace.kernels.dispatch import Implementation, choose


class Said(NamedTuple):
    """values bool[V]: which are said more often than `most` says; texts bool[N]: which say one of those."""

    values: NDArray[np.bool_]
    texts: NDArray[np.bool_]


def said(
    texts: Texts,
    owners: NDArray[np.int64],
    values: Texts,
    value_owners: NDArray[np.int64],
    most: NDArray[np.int64],
    *,
    implementation: Implementation = "auto",
) -> Said:
    """Which `values` the texts of their owners say more often than ``most[i]`` times, over each other or not.

    values: letters, none empty. owners, value_owners int64, ascending; most int64[V].

    Raises: ValueError for owners that descend, an empty value, or columns of different lengths.
    """
    text, value = one_span(texts), one_span(values)
    if len(text) != len(owners) or len(value) != len(value_owners) or len(value) != len(most):
        raise ValueError("texts or values and their owners are of different lengths")
    if (np.diff(owners) < 0).any() or (np.diff(value_owners) < 0).any():
        raise ValueError("owners descend")
    if (value.stops == value.starts).any():
        raise ValueError("a value is empty")
    return Said(*choose(__name__, implementation).said(text, owners, value, value_owners, most))


__all__ = ["Said", "said"]
