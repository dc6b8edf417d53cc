"""Characters as patterns see them: a symbol for each ASCII character, and few for all the others.

What: a class of a regular expression becomes a set of symbols, written as the bits of an int. Beyond ASCII
a character matters only by being a digit, a word's character, white space or none of these, but for those
that patterns name and those few that equal an ASCII letter when case is ignored: each of them has a symbol
of its own. Which they are is asked of the engine that Presidio uses.

Cost: a second and a half once a process, for looking at every character there is.
"""

import functools
import re
import unicodedata
from collections.abc import Iterable
from re import _constants as op  # type: ignore[attr-defined]
from typing import Any

import numpy as np
import regex  # type: ignore[import-untyped]
from numpy.typing import NDArray

from headrace.kernels.scan import CODE_POINTS

WORD, DIGIT, SPACE, OTHER, EDGE, SPECIAL = 128, 129, 130, 131, 132, 133
ASCII = [chr(c) for c in range(128)]
LARGEST = 64  # characters of a range beyond ASCII


class UnreadableError(Exception):
    """A pattern that says more than is understood here."""


class Symbols:
    """The symbols for patterns that name the characters `named` beyond ASCII."""

    def __init__(self, named: Iterable[str]) -> None:
        beyond = "".join(sorted(c for c in named if ord(c) > 127))
        equal = regex.findall(rf"(?i)[\x00-\x7f{regex.escape(beyond)}]", _beyond())
        self.special = sorted({*beyond, *equal})
        self.size = SPECIAL + len(self.special)
        self.of = {c: at for at, c in enumerate(ASCII)}
        self.of |= {c: SPECIAL + at for at, c in enumerate(self.special)}
        self.characters = (1 << self.size) - 1 & ~(1 << EDGE)
        self.categories = {
            "WORD": self._category(r"\w", (WORD, DIGIT)),
            "DIGIT": self._category(r"\d", (DIGIT,)),
            "SPACE": self._category(r"\s", (SPACE,)),
        }

    def members(self, kind: Any, argument: Any, *, folds: bool) -> int:
        """Symbols that one place of a parsed pattern matches."""
        if kind is op.LITERAL:
            return self._literal(argument, folds)
        if kind is op.NOT_LITERAL:
            return self.characters & ~self._folded(1 << self._symbol(argument), folds)
        if kind is op.ANY:
            return self.characters
        if kind is not op.IN:
            raise UnreadableError(str(kind))
        members, negated = 0, False
        for part, value in argument:
            if part is op.NEGATE:
                negated = True
            elif part is op.LITERAL:
                members |= 1 << self._symbol(value)
            elif part is op.RANGE:
                members |= self._range(*value)
            else:
                members |= self._named(str(value).removeprefix("CATEGORY_"))
        if negated:
            return self.characters & ~self._surely(members, folds)
        return self._folded(members, folds)

    def surely(self, kind: Any, argument: Any, *, folds: bool) -> int:
        """Symbols that one place matches, without those that may equal a letter when case is ignored."""
        if kind is op.IN and any(part is op.NEGATE for part, _ in argument):
            inner = [part for part in argument if part[0] is not op.NEGATE]
            return self.characters & ~self.members(op.IN, inner, folds=folds)
        return self._surely(self.members(kind, argument, folds=False), folds)

    def table(self, *, values: bool = False) -> NDArray[np.uint8]:
        """Symbol of every character: ``uint8[CODE_POINTS]``; with `values` digits are as ASCII's."""
        table = np.full(CODE_POINTS, OTHER, np.uint8)
        for symbol, pattern in ((WORD, r"\w"), (SPACE, r"\s"), (DIGIT, r"\d")):
            table[_all(pattern)] = symbol
        for character, symbol in self.of.items():
            table[ord(character)] = symbol
        if values:
            digits = _all(r"\d")
            table[digits] = [ord("0") + unicodedata.digit(chr(code), 0) for code in digits.tolist()]
        return table

    def texts(self, members: int) -> str:
        """The ASCII and special characters among the symbols `members`."""
        return "".join(c for c, symbol in self.of.items() if members >> symbol & 1)

    def _literal(self, code: int, folds: bool) -> int:
        symbol = self._symbol(code)
        return 1 << symbol | (self._equal.get(symbol, 0) if folds else 0)

    def _symbol(self, code: int) -> int:
        if chr(code) not in self.of:
            raise UnreadableError(f"character {code}")
        return self.of[chr(code)]

    def _range(self, first: int, last: int) -> int:
        if last > 127 and last - first > LARGEST:
            raise UnreadableError("a long range beyond ASCII")
        plain = (1 << min(last, 127) + 1) - 1 & -(1 << first) if first < 128 else 0  # each is its own symbol
        return functools.reduce(
            lambda symbols, code: symbols | 1 << self._symbol(code), range(max(first, 128), last + 1), plain
        )

    def _named(self, name: str) -> int:
        if name.removeprefix("NOT_") not in self.categories:
            raise UnreadableError(name)
        members = self.categories[name.removeprefix("NOT_")]
        return self.characters & ~members if name.startswith("NOT_") else members

    def _category(self, pattern: str, others: tuple[int, ...]) -> int:
        members = sum(1 << symbol for c, symbol in self.of.items() if regex.match(pattern, c))
        return members | sum(1 << symbol for symbol in others)

    def _folded(self, members: int, folds: bool) -> int:
        if not folds:
            return members
        for symbol, equals in self._equal.items():
            if members >> symbol & 1:
                members |= equals
        return members

    def _surely(self, members: int, folds: bool) -> int:
        special = (1 << self.size) - (1 << SPECIAL)
        return self._folded(members, folds) & (members | ~special)

    @functools.cached_property
    def _equal(self) -> dict[int, int]:
        """By symbol, those that equal it when case is ignored."""
        every = "".join(c for c in self.of if c.isalpha() or c in self.special)
        return {
            self.of[c]: sum(
                1 << self.of[same] for same in regex.findall(regex.escape(c), every, regex.IGNORECASE)
            )
            for c in every
        }


def named(source: str) -> set[str]:
    """Characters beyond ASCII that the pattern `source` names, those of short ranges included."""
    characters = {c for c in source if ord(c) > 127}
    for first, last in re.findall(r"([^\x00-\x7f])-([^\x00-\x7f])", source):
        characters |= {chr(c) for c in range(ord(first), min(ord(last), ord(first) + LARGEST) + 1)}
    return characters


@functools.cache
def _all(pattern: str) -> NDArray[np.int64]:
    """Code points beyond ASCII that match `pattern`: ``int64[N]``."""
    found = "".join(regex.findall(f"(?:{pattern})+", _beyond()))
    return np.frombuffer(found.encode("utf-32-le"), np.uint32).astype(np.int64)


@functools.cache
def _beyond() -> str:
    codes = np.arange(128, CODE_POINTS, dtype=np.uint32)
    return codes[(codes < 0xD800) | (codes >= 0xE000)].tobytes().decode("utf-32-le")
