"""Text statistics by the character database and a set of windows."""

import unicodedata

import numpy as np
from numpy.typing import NDArray

from headrace.kernels.arrow import Spans

WINDOW = 16
OTHER, LETTER, DIGIT, SPACE, REPLACEMENT = range(5)
REPLACED = 0xFFFD
# Scripts whose letters Unicode files under "symbol, other": Braille patterns and Sutton SignWriting.
SYMBOL_SCRIPTS = ((0x2800, 0x28FF), (0x1D800, 0x1DAAF))


def kind(character: str) -> int:
    """Which of `Statistics`' counts a character belongs to."""
    code = ord(character)
    if code == REPLACED:
        return REPLACEMENT
    if any(first <= code <= last for first, last in SYMBOL_SCRIPTS):
        return LETTER
    return of_category(unicodedata.category(character))


def of_category(category: str) -> int:
    """The same of a character of a Unicode category, where it is none of the exceptions."""
    if category[0] in "LM":
        return LETTER
    if category[0] == "N":
        return DIGIT
    return SPACE if category[0] == "Z" or category == "Cc" else OTHER


def character_classes(texts: Spans, table: NDArray[np.uint16]) -> NDArray[np.uint16]:
    """Union of ``table[code point]`` over each text, and over its first and last: ``uint16[2, N]``."""
    found = np.zeros((2, len(texts)), np.uint16)
    for row, (start, stop) in enumerate(zip(texts.starts, texts.stops, strict=True)):
        text = texts.data[start:stop].tobytes().decode()
        for side, characters in enumerate((text, text[:1] + text[-1:])):
            for character in characters:
                found[side, row] |= table[ord(character)]
    return found


def contains(texts: Spans, wanted: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Whether each text holds these bytes: ``bool[N]``."""
    pairs = zip(texts.starts, texts.stops, strict=True)
    found = [wanted.tobytes() in texts.data[start:stop].tobytes() for start, stop in pairs]
    return np.array(found, np.bool_)


def measure(texts: Spans) -> NDArray[np.int64]:
    """Counts in the order of `Statistics`: ``int64[N, 7]``."""
    counts = np.zeros((len(texts), 7), np.int64)
    for row, (start, stop) in enumerate(zip(texts.starts, texts.stops, strict=True)):
        raw = texts.data[start:stop].tobytes()
        text = raw.decode()
        kinds = np.bincount([kind(character) for character in text], minlength=5)
        windows = [raw[at : at + WINDOW] for at in range(max(0, len(raw) - WINDOW + 1))]
        counts[row, 0] = len(text)
        counts[row, 1:5] = kinds[1:]
        counts[row, 5:] = len(windows), len(windows) - len(set(windows))
    return counts
