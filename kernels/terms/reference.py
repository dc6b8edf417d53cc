"""Phrases found word by word, with a regular expression for words and a dictionary of phrases."""

import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Letters of ASCII, digits, and all that is beyond ASCII but spaces and marks: those of Latin-1 (C2), general
# punctuation (E2 80, E2 81), CJK's (E3 80).
WORD = re.compile(
    rb"(?:[A-Za-z0-9_]|(?!\xc2|\xe2[\x80\x81]|\xe3\x80)[\xc0-\xff][\x80-\xbf]*|(?<![\x80-\xff])[\x80-\xbf])+"
)


def words(text: bytes) -> list[tuple[bytes, int, int]]:
    """Words of a text with their case folded, and where they begin and end."""
    return [(folded(m[0]), m.start(), m.end()) for m in WORD.finditer(text)]


def folded(word: bytes) -> bytes:
    """A word with its case folded where that keeps its length: ASCII and Latin-1."""
    text = "".join(c.lower() if c < "\x80" or "\xc0" <= c <= "\xde" else c for c in word.decode())
    return text.encode()


def find(texts: Any, table: Any) -> tuple[NDArray[np.int64], ...]:
    """All phrases of `table` in `texts` (Spans)."""
    known = {tuple(w for w, _, _ in words(p.encode())): code for code, p in enumerate(table.phrases)}
    found = []
    for row in range(len(texts)):
        given = words(texts.data[texts.starts[row] : texts.stops[row]].tobytes())
        at = 0
        while at < len(given):
            step = 1
            for size in range(min(8, len(given) - at), 0, -1):
                code = known.get(tuple(w for w, _, _ in given[at : at + size]))
                if code is not None:
                    found.append((row, given[at][1], given[at + size - 1][2], code))
                    step = size
                    break
            at += step
    columns = np.array(found, np.int64).reshape(len(found), 4).T
    return tuple(np.ascontiguousarray(column) for column in columns)


def beside(texts: Any, owners: NDArray[np.int64], table: Any, other: Any) -> tuple[Any, Any]:
    """All phrases of `table` in `texts` (Spans), those of `other` where an owner has one of these."""
    first, second = find(texts, table), find(texts, other)
    chosen = np.isin(owners[second[0]], owners[first[0]])
    return first, tuple(column[chosen] for column in second)
