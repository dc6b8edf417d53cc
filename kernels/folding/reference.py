"""Folding by the character database, a character at a time."""

import unicodedata

import numpy as np
from numpy.typing import NDArray

from headrace.kernels.arrow import Spans

# Scripts whose letters Unicode files under "symbol, other": Braille patterns and Sutton SignWriting.
SYMBOL_SCRIPTS = ((0x2800, 0x28FF), (0x1D800, 0x1DAAF))


def fold(texts: Spans, keep_punctuation: bool) -> list[tuple[NDArray[np.uint8], NDArray[np.int64]]]:
    """One piece (bytes uint8[], end of each row int64[N]) with all rows of `texts`."""
    rows = []
    for start, stop in zip(texts.starts, texts.stops, strict=True):
        text = texts.data[start:stop].tobytes().decode()
        folded = "".join(fold_character(c, keep_punctuation) for c in text)
        rows.append(" ".join(word for word in folded.split(" ") if word).encode())
    ends = np.cumsum([len(row) for row in rows]).astype(np.int64)
    return [(np.frombuffer(b"".join(rows), np.uint8), ends)]


def fold_character(character: str, keep_punctuation: bool) -> str:
    """What becomes of one character: itself, another one, a space, or nothing."""
    category = unicodedata.category(character)
    if category[0] == "Z" or category == "Cc":
        return " "
    if not keep_punctuation:
        if category == "Cf":
            return ""
        code = ord(character)
        if category[0] in "PS" and not any(a <= code <= b for a, b in SYMBOL_SCRIPTS):
            return " "
    for folded in (character.casefold(), character.lower()):
        if len(folded) == 1:
            return folded
    return character
