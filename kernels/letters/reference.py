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
    most: NDArray[np.int64],
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which values are said more often than `most` says, and which texts say one of those."""
    folded = ["".join(map(letters, _read(texts, row))) for row in range(len(texts))]
    known = [_read(values, at) for at in range(len(values))]
    again = [
        sum(_times(value, folded[row]) for row in np.flatnonzero(owners == owner)) > times
        for value, owner, times in zip(known, value_owners, most, strict=True)
    ]
    there = [
        any(again[at] and known[at] in text and value_owners[at] == owner for at in range(len(known)))
        for text, owner in zip(folded, owners, strict=True)
    ]
    return np.array(again, np.bool_), np.array(there, np.bool_)


def _read(texts: Any, row: int) -> str:
    return str(texts.data[texts.starts[row] : texts.stops[row]].tobytes().decode())


def _times(value: str, text: str) -> int:
    return sum(text.startswith(value, at) for at in range(len(text)))
