"""Values as they compare: the same letters and digits, whatever their case, accents and what stands between.

What: "Ann Lee", "ANN LEE" and "ann  lee" are one value; so are "(425) 882-8080", "425.882.8080" and
"+1 425 882 8080". Where what stands between says which value it is (1.23.45.67 is not 12.3.45.67), it counts
(`identity`). `Folded.occurrences` finds values in a text at token boundaries. Replacement uses it to replace
a value wherever its conversation says it again, the gate to look for one that is left.

Cost: folding ASCII runs at several hundred MB/s, else at about 50; where each letter stands is worked out
when it is asked for, at some 100 MB/s.
"""

import functools
import itertools
import re
import unicodedata
from collections.abc import Collection, Iterator

import numpy as np
from numpy.typing import NDArray

from headrace.kernels.scan import CODE_POINTS
from headrace.pipelines.stages.pii.dress import plain

BETWEEN = re.compile(r"[\W_]+")
BEYOND = re.compile(r"[^\x00-\x7f\w]+")
DRESSED = re.compile(r"[%&\\=<]")  # what else a dress has between letters and digits, `folded` takes out
GAP = 3  # characters that may stand between two letters or digits of one value
PARTED = ("IP_ADDRESS", "DATE_TIME", "MAC_ADDRESS")  # whose parts are not one number
FEW = 64  # values that are searched for one by one before a text is cut into tokens
LOWERED = bytes(range(128)).lower() + bytes(range(128, 256))
SIGNS = bytes(code for code in range(128) if not chr(code).isalnum())
NATIONAL = 10  # digits of a number without the country's 1


def folded(text: str) -> str:
    """Letters and digits of `text`, without case and accents."""
    if text.isascii():
        return text.encode().translate(LOWERED, SIGNS).decode()
    raw = unicodedata.normalize("NFKD", text).casefold().encode("utf-8", "surrogatepass")
    return BEYOND.sub("", raw.translate(None, SIGNS).decode("utf-8", "surrogatepass"))


@functools.lru_cache(1 << 12)  # a value is asked for when it is found and when it is replaced
def identity(entity: str, said: str) -> str:
    """What tells a value from others of its entity, in whatever dress."""
    said = plain(said) if DRESSED.search(said) else said
    if entity in PARTED:
        return ".".join(filter(None, map(folded, BETWEEN.split(said)))) or said
    value = folded(said) or said
    if entity == "PHONE_NUMBER" and len(value) == NATIONAL + 1 and value[0] == "1":
        return value[1:]
    return value


class Folded:
    """A text with its letters and digits (`letters`: if they are known)."""

    def __init__(self, text: str, letters: str | None = None) -> None:
        self.text = text
        self.letters = folded(text) if letters is None else letters

    @functools.cached_property
    def origins(self) -> NDArray[np.int64]:
        """Character of the text that each of `letters` comes from: ``int64[letters]``."""
        if self.text.isascii():
            return np.flatnonzero(ALNUM[np.frombuffer(self.text.encode(), np.uint8)])
        codes = np.frombuffer(self.text.encode("utf-32-le", "surrogatepass"), np.uint32)
        return np.repeat(np.arange(len(codes)), _sizes(codes))

    @functools.cached_property
    def heads(self) -> list[int]:
        """Places in `letters` at which a token begins."""
        gaps = np.diff(self.origins, prepend=-2)
        if self.text.isascii():
            plain_heads: list[int] = np.flatnonzero(gaps > 1).tolist()
            return plain_heads
        return [head for head in np.flatnonzero(gaps).tolist() if self._is_head(head)]

    def occurrences(self, values: Collection[str]) -> Iterator[tuple[int, int, str]]:
        """(start, end, value) at token boundaries of those `values` (folded, none empty) that are there."""
        if len(values) < FEW:
            for value in values:
                head = self.letters.find(value)
                while head >= 0:
                    if self._is_head(head) and self.is_whole(head, len(value)):
                        yield *self._span(head, len(value)), value
                    head = self.letters.find(value, head + 1)
            return
        sizes, known = {len(value) for value in values}, frozenset(values)
        for head in self.heads:
            for size in sizes:
                value = self.letters[head : head + size]
                if len(value) == size and value in known and self.is_whole(head, size):
                    yield *self._span(head, size), value

    def find(self, value: str) -> Iterator[tuple[int, int]]:
        """Spans of one value (folded) at token boundaries."""
        for start, end, _ in self.occurrences([value] if value else []):
            yield start, end

    def wholes(self, size: int) -> Iterator[tuple[int, int, str]]:
        """(start, end, letters) of all stretches of `size` letters that begin and end at token boundaries."""
        for head in self.heads:
            if head + size <= len(self.letters) and self.is_whole(head, size):
                yield *self._span(head, size), self.letters[head : head + size]

    def _span(self, head: int, size: int) -> tuple[int, int]:
        """Where `size` letters from `head` on stand in the text."""
        return int(self.origins[head]), int(self.origins[head + size - 1]) + 1

    def _is_head(self, head: int) -> bool:
        """Whether a token begins with letter `head`."""
        at = int(self.origins[head])
        return not (head and self.origins[head - 1] == at) and not (at and self._word(at - 1))

    def is_whole(self, head: int, size: int) -> bool:
        """Whether `size` letters from `head` on stand together and end a token."""
        origins = self.origins[head : head + size].tolist()
        if self._word(origins[-1] + 1):
            return False
        return all(b - a <= GAP + 1 for a, b in itertools.pairwise(origins))

    def _word(self, at: int) -> bool:
        """Whether a letter, a digit or a mark on one stands at character `at`."""
        character = self.text[at : at + 1]
        return character.isalnum() or (not character.isascii() and unicodedata.category(character)[0] == "M")


ALNUM = np.array([chr(code).isalnum() for code in range(128)])


def _sizes(codes: NDArray[np.uint32]) -> NDArray[np.uint8]:
    """How many letters and digits each character is, folded: ``uint32[N] -> uint8[N]``."""
    table, known = _learnt()
    for code in np.unique(codes[~known[codes]]).tolist():
        table[code], known[code] = len(folded(chr(code))), True
    return table[codes]


@functools.cache
def _learnt() -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """What `_sizes` has learnt so far, and of which characters."""
    return np.zeros(CODE_POINTS, np.uint8), np.zeros(CODE_POINTS, np.bool_)
