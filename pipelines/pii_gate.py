"""Proof that a recogniser cannot find anything in a text, without asking it.

What: from each of a recogniser's regular expressions short factors are derived (`kernels.factors`) of which
every match holds at least one: a card number holds "a digit 1 to 6, a digit, a digit, a digit", an e-mail
address "@" between two characters of its classes. All texts are looked through for all factors at once;
a text without a recogniser's factors is not shown to it. Nothing here knows Presidio's patterns: they are
read when the process starts, and a pattern that cannot be read makes its recogniser be asked always.

How a pattern is read: by the parser of `re`. Zero-width parts (``\\b``, look-around) only narrow matches
and are left out; alternatives are followed apart while they are few and united position by position where
they are many; what may be repeated or left out becomes a gap. A class is taken with both cases of its
letters. A class that reaches beyond ASCII (``\\w``, ``.``, a negation) may only end a factor, as its
characters have several bytes there. What remains beyond ASCII are digits of other scripts (``\\d``) and
the few letters that equal an ASCII one when case is ignored; they are enumerated with the engine that
Presidio uses, and a text with one of them is shown to every recogniser (`odd`).

Cost: a fifth of a second at start, then about 80 MB/s for all recognisers together.
"""

import functools
import math
import re
from collections.abc import Iterable, Iterator
from re import _constants as op  # type: ignore[attr-defined]
from re import _parser  # type: ignore[attr-defined]
from typing import Any, NamedTuple

import regex  # type: ignore[import-untyped]

LONGEST = 8  # places of a factor: more tell little more
COPIES = 12  # of a repeated part that are written out
ALTERNATIVES = 48  # followed apart; where there are more they are united
ASCII = frozenset(range(128))
DIGITS = frozenset(b"0123456789")
SPACES = frozenset(b"\t\n\r\x0b\x0c\x1c\x1d\x1e\x1f ")
WORDS = frozenset(c for c in range(128) if chr(c).isalnum() or chr(c) == "_")
CATEGORIES = {"DIGIT": (DIGITS, False), "SPACE": (SPACES, True), "WORD": (WORDS, True)}


class Class(NamedTuple):
    """ASCII characters of one place; `wide` where others may stand there, too."""

    members: frozenset[int]
    wide: bool


Sequence = tuple[Class | None, ...]  # None is a gap: anything, or nothing
Factor = tuple[frozenset[int], ...]


class UnreadableError(Exception):
    """A pattern that says more than is understood here."""


def factors_of(patterns: Iterable[tuple[str, int]]) -> frozenset[Factor] | None:
    """Byte-class factors of which every match of any pattern holds one; null where there are none.

    `patterns` are (regular expression, flags of the module `regex`).
    """
    found: set[Factor] = set()
    for pattern, flags in patterns:
        shared = re.I if flags & regex.I else 0
        shared |= re.S if flags & regex.S else 0
        try:
            parsed = _parser.parse(pattern, shared)
            folds = bool(parsed.state.flags & re.I)
            sequences = _expand(parsed, folds)
        except (UnreadableError, re.error, RecursionError):
            return None
        for sequence in sequences:
            factor = _best(sequence)
            if factor is None:
                return None
            found.add(factor)
    return frozenset(one for one in found if not any(_implies(one, other) for other in found - {one}))


@functools.cache
def odd() -> str:
    """RE2 class of the characters beyond ASCII that match an ASCII class: digits, and letters by case."""
    beyond = "".join(chr(c) for c in range(128, 0x110000) if not 0xD800 <= c < 0xE000)
    characters = {*regex.findall(r"\d", beyond), *regex.findall(r"(?i)[\x00-\x7f]", beyond)}
    return "[" + "".join(sorted(characters)) + "]"


def _expand(parsed: Iterable[tuple[Any, Any]], folds: bool) -> list[Sequence]:
    """Sequences of which every match follows one."""
    sequences: list[Sequence] = [()]
    for kind, argument in parsed:
        options = _item(kind, argument, folds)
        if len(sequences) * len(options) > ALTERNATIVES:
            options = [_united(options)]
        sequences = [before + after for before in sequences for after in options]
    return list(dict.fromkeys(sequences))


def _item(kind: Any, argument: Any, folds: bool) -> list[Sequence]:
    if kind in (op.AT, op.ASSERT, op.ASSERT_NOT):
        return [()]
    if kind is op.GROUPREF:
        return [(None,)]
    if kind is op.BRANCH:
        return [sequence for branch in argument[1] for sequence in _expand(branch, folds)]
    if kind is op.SUBPATTERN:
        if argument[1] or argument[2]:
            raise UnreadableError("flags inside a group")
        return _expand(argument[3], folds)
    if kind is op.ATOMIC_GROUP:
        return _expand(argument, folds)
    if kind in (op.MAX_REPEAT, op.MIN_REPEAT, op.POSSESSIVE_REPEAT):
        least, most, repeated = argument
        return _repeat(least, most, repeated, folds)
    return [(_class(kind, argument, folds),)]


def _repeat(least: int, most: int, parsed: Any, folds: bool) -> list[Sequence]:
    options = _expand(parsed, folds)
    if (least, most) == (0, 1):
        return [(), *options]
    if least == 0:
        return [(None,)]
    if (least, most) == (1, 1):
        return options
    once = _united(options)
    written = once * min(least, COPIES)
    return [written if least == most <= COPIES else (*written, None, *written)]


def _united(options: list[Sequence]) -> Sequence:
    """One sequence that holds for all: the places that they share, from the left and from the right."""
    if len(options) == 1:
        return options[0]
    left = tuple(_columns(options))
    if all(len(option) == len(left) for option in options):
        return left
    right = tuple(_columns([option[::-1] for option in options]))[::-1]
    return (*left, None, *right)


def _columns(options: list[Sequence]) -> Iterator[Class]:
    for places in zip(*options, strict=False):
        known = [place for place in places if place is not None]
        if len(known) < len(places):
            return
        yield Class(frozenset().union(*(p.members for p in known)), any(p.wide for p in known))


def _class(kind: Any, argument: Any, folds: bool) -> Class:
    """The class of one place."""
    if kind is op.LITERAL:
        return _folded({argument} & ASCII, argument > 127, folds)
    if kind in (op.ANY, op.NOT_LITERAL):
        return Class(ASCII, True)
    if kind is not op.IN:
        raise UnreadableError(str(kind))
    members: set[int] = set()
    wide = False
    for part, value in argument:
        if part is op.NEGATE:
            return Class(ASCII, True)
        if part is op.LITERAL:
            value = (value, value)
        if part in (op.LITERAL, op.RANGE):
            members |= set(range(value[0], min(value[1], 127) + 1))
            wide |= value[1] > 127
            continue
        name = str(value).removeprefix("CATEGORY_")
        ours, beyond = CATEGORIES.get(name, (ASCII, True))
        members |= ours
        wide |= beyond
    return _folded(members, wide, folds)


def _folded(members: Iterable[int], wide: bool, folds: bool) -> Class:
    both = {ord(form) for c in members for form in (chr(c).lower(), chr(c).upper())} if folds else set()
    return Class(frozenset(members) | both, wide)


def _best(sequence: Sequence) -> Factor | None:
    """The rarest window of a sequence without a gap, wide classes at its ends only; null if there is none."""
    windows: list[tuple[Class, ...]] = []
    for start in range(len(sequence)):
        for stop in range(start + 1, min(start + LONGEST, len(sequence)) + 1):
            places = [place for place in sequence[start:stop] if place is not None]
            if len(places) == stop - start and not any(place.wide for place in places[1:-1]):
                windows.append(tuple(places))
    if not windows:
        return None
    rarest = min(windows, key=lambda window: (round(sum(map(_information, window)), 6), len(window)))
    beyond = frozenset(range(128, 256))
    return tuple(place.members | beyond if place.wide else place.members for place in rarest)


def _implies(factor: Factor, other: Factor) -> bool:
    """Whether every text that holds `factor` holds `other`, too."""
    return any(
        all(ours <= theirs for ours, theirs in zip(factor[at:], other, strict=False))
        for at in range(len(factor) - len(other) + 1)
    )


def _information(place: Class) -> float:
    """Logarithm of about how often a byte of English prose belongs to the class."""
    share = 0.01 if place.wide else 0.0
    for c in place.members:
        letter, digit = chr(c).isalpha(), c in DIGITS
        share += 0.78 / 52 if letter else 0.02 / 10 if digit else 0.17 if c == 32 else 0.03 / 65
    return math.log(share) if share else -100.0
