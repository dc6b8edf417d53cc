"""Letters character by character, and values found in them one by one."""

import unicodedata
from typing import Any

import numpy as np
from numpy.typing import NDArray


def letters(character: str) -> str:
    """Letters and digits of a character, with case folded."""
    return "".join(c for c in unicodedata.normalize("NFKD", character).casefold() if c.isalnum())


def said(
    texts: Any,
    owners: NDArray[np.int64],
    values: Any,
    value_owners: NDArray[np.int64],
    parts: Any,
    part_owners: NDArray[np.int64],
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which values are said elsewhere than in `parts`, and which texts say one of those."""
    folded, pieces, known = (
        ["".join(map(letters, read(every, row))) for row in range(len(every))]
        for every in (texts, parts, values)
    )
    again = [
        sum(times(value, folded[row]) for row in np.flatnonzero(owners == owner))
        > sum(times(value, pieces[row]) for row in np.flatnonzero(part_owners == owner))
        for value, owner in zip(known, value_owners, strict=True)
    ]
    there = [
        any(again[at] and known[at] in text for at in np.flatnonzero(value_owners == owner))
        for text, owner in zip(folded, owners, strict=True)
    ]
    return np.array(again, np.bool_), np.array(there, np.bool_)


def read(texts: Any, row: int) -> str:
    """Text `row` of `texts` (Spans)."""
    return str(texts.data[texts.starts[row] : texts.stops[row]].tobytes().decode())


def times(value: str, text: str) -> int:
    """How often a value stands in a text, over itself or not."""
    return sum(text.startswith(value, at) for at in range(len(text)))
