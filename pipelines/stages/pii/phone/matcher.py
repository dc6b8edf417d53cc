"""The library's matcher of telephone numbers with another way to judge what it comes upon.

What: a candidate of digits and plain punctuation is judged by its digits alone (`phone.validity`); any
other goes to the library's own code. What several regions' matchers do alike over the same characters is done
once (`Met`), and where it is known from which characters on a number may be, nothing else is judged.

Cost: some microseconds a part of a candidate and region, against 100 by the library.
Source: https://github.com/daviddrysdale/python-phonenumbers
"""

import functools
import re
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import phonenumbers
from phonenumbers import Leniency, PhoneNumberMatch, PhoneNumberMatcher
from phonenumbers import phonenumbermatcher as library
from phonenumbers import phonenumberutil as util

from headrace.pipelines.stages.pii.phone.validity import (
    REMEMBERED,
    abroad,
    dialled,
    has_code,
    unchanged,
)

TRIES = 65_535  # at numbers that are none, after which the library gives a text up
LIMIT = 250  # characters that the library parses
SIMPLE = re.compile(r"[-. ()\[\]/\d]*")
LETTERED = re.compile(r"[-. ()\[\]/\dxX#]*")
DIGIT = re.compile(r"\d")
NO_DIGIT = re.compile(r"\D+")
AFTER = 3  # characters that make a time of what stands before them


class Candidate(NamedTuple):
    """Where a candidate begins, what it is, and whether it is a date or a time instead of a number."""

    start: int
    text: str
    refused: bool


Met = dict[int, Candidate | None]  # candidates by where they were looked for


class Matcher(PhoneNumberMatcher):
    """The library's matcher for a region over ``start:stop`` of a text, with so many tries.

    Numbers that it yields have a place, but no value. `begins`: characters from which on alone a number may
    be, sorted; null if it may be anywhere. `met` is shared by the matchers of several regions over the same
    characters.
    """

    def __init__(
        self,
        text: str,
        region: str,
        leniency: int,
        start: int = 0,
        stop: int | None = None,
        *,
        tries: int = TRIES,
        begins: Sequence[int] | None = None,
        met: Met | None = None,
    ) -> None:
        super().__init__(text, region, leniency=leniency, max_tries=tries)
        self._search_index = start
        self._stop = len(text) if stop is None else stop
        self._dialled = dialled(region) if leniency == Leniency.VALID and unchanged() else None
        self._begins = begins
        self._cut = False  # whether the candidate begins or ends among digits
        self._met: Met = {} if met is None else met

    @property
    def left(self) -> int:
        """Tries that are left."""
        return self._max_tries

    def _find(self, index: int) -> Any:
        while self._max_tries > 0 and (candidate := self._candidate(index)) is not None:
            start, text, refused = candidate
            found, stop = None, start + len(text)
            self._cut = self.text[start - 1 : start].isdecimal() or self.text[stop : stop + 1].isdecimal()
            if self._dialled is None:
                found = self._extract_match(text, start)
            elif not refused and not self._may_begin(start, stop):
                self._max_tries -= tries(text) - 1
            elif not refused:
                found = self._parse_and_verify(text, start)
                if found is None:
                    found = self._extract_inner_match(text, start)
            if found is not None:
                return found
            self._max_tries -= 1
            index = stop
        return None

    def _candidate(self, index: int) -> Candidate | None:
        """The next candidate from character `index` on."""
        if index not in self._met:
            match = library._PATTERN.search(self.text, index, self._stop)
            made = None
            if match is not None:
                text = self._trim_after_first_match(util._SECOND_NUMBER_START_PATTERN, match.group())
                stop = match.start() + len(text)
                made = Candidate(match.start(), text, is_stamp(text, self.text[stop : stop + AFTER]))
            self._met[index] = made
        return self._met[index]

    def _may_begin(self, first: int, last: int) -> bool:
        """Whether a number may begin in ``first:last``; in a candidate that is cut among digits it may."""
        if self._begins is None or self._cut:
            return True
        at = bisect_left(self._begins, first)
        return at < len(self._begins) and self._begins[at] < last

    def _parse_and_verify(self, candidate: str, offset: int) -> Any:
        if self._dialled is None:
            return super()._parse_and_verify(candidate, offset)
        return self._judged(candidate, offset, dialling(candidate))

    def _judged(self, candidate: str, offset: int, how: "Dialling") -> Any:
        """The number that a candidate is, if it is one."""
        assert self._dialled is not None
        lead, digits, most = how
        if most < self._dialled.least or not self._may_begin(offset, offset + lead):
            return None
        taken = self._dialled.takes(digits) if digits is not None and most > 2 else self._with_plus(candidate)
        if taken is None:
            return super()._parse_and_verify(candidate, offset)
        if not taken or not stands_free(self.text, candidate, offset):
            return None
        return PhoneNumberMatch(offset, candidate, phonenumbers.PhoneNumber())

    def _with_plus(self, candidate: str) -> bool | None:
        """`dialled_abroad`, also where no country has the code: the library would raise, and what it raises
        keeps all callers' values alive until garbage is looked for.
        """
        assert self._dialled is not None
        digits = digits_of(candidate[1:]) if candidate[:1] == "+" else None
        if not digits or len(digits) < 3 or has_code(digits):
            return dialled_abroad(candidate)
        return self._dialled.takes_without_plus(digits)

    def _extract_inner_match(self, candidate: str, offset: int) -> Any:
        if self._dialled is None or self._max_tries <= most_tries(candidate):
            return super()._extract_inner_match(candidate, offset)
        known = parts(candidate)
        for spent, start, part, how in known:
            match = self._judged(part, offset + start, how)
            if match is not None:
                self._max_tries -= spent
                return match
        self._max_tries -= known.spent
        return None


def is_stamp(candidate: str, behind: str) -> bool:
    """Whether the matcher takes a candidate for a date, or for a time with what stands behind it."""
    if library._SLASH_SEPARATED_DATES.search(candidate):
        return True
    stamp = library._TIME_STAMPS.search(candidate) and library._TIME_STAMPS_SUFFIX.match(behind)
    return stamp is not None


def dialled_abroad(candidate: str) -> bool | None:
    """Whether a candidate with a plus is a number, wherever it is dialled; null where only the library can
    tell.
    """
    digits = digits_of(candidate[1:]) if candidate[:1] == "+" else None
    return abroad(digits) if digits else None


def stands_free(text: str, candidate: str, offset: int) -> bool:
    """Whether brackets, pages and neighbours of the candidate at `offset` allow for a number."""
    if not library._MATCHING_BRACKETS.fullmatch(candidate) or library._PUB_PAGES.search(candidate):
        return False
    if offset > 0 and candidate[0] not in "([+" and touches(text[offset - 1]):
        return False
    end = offset + len(candidate)
    return end >= len(text) or not touches(text[end])


class Dialling(NamedTuple):
    """Where the first digit of a candidate ends, its digits as ASCII's if they alone decide, and at most how
    many it has.
    """

    lead: int
    digits: str | None
    most: int


@functools.lru_cache(REMEMBERED)
def dialling(candidate: str) -> Dialling:
    """How a candidate is dialled."""
    digit, digits = DIGIT.search(candidate), digits_of(candidate)
    most = most_digits(candidate) if digits is None else len(digits)
    return Dialling(digit.end() if digit else len(candidate), digits, most)


class Part(NamedTuple):
    """A part of a candidate: how often the matcher tried before it, where it begins, and what it is."""

    spent: int
    start: int
    text: str
    dialling: Dialling


class Parts:
    """Parts of a candidate that the matcher tries one after the other, but for those that it tried already.

    They are cut when they are asked for, as a number is mostly the first of them. `spent`, when all were: the
    tries that the matcher takes for them. For one thread, which may not go through them twice at a time.
    """

    def __init__(self, candidate: str) -> None:
        self.spent = 0
        self._cut: list[Part] = []
        self._left = self._parts(candidate)

    def __iter__(self) -> Iterator[Part]:
        yield from self._cut
        for part in self._left:
            self._cut.append(part)
            yield part

    def _parts(self, candidate: str) -> Iterator[Part]:
        known = set()
        for pattern in library._INNER_MATCHES:
            match, first = pattern.search(candidate), True
            while match:
                places = [(0, candidate[: match.start()])] if first else []
                for start, part in [*places, (match.start(1), match.group(1))]:
                    unwanted = util._UNWANTED_END_CHAR_PATTERN.search(part)
                    part = part[: unwanted.start()] if unwanted else part
                    if (start, part) not in known:
                        known.add((start, part))
                        yield Part(self.spent, start, part, dialling(part))
                    self.spent += 1
                first = False
                match = pattern.search(candidate, match.start() + 1)


parts = functools.lru_cache(1 << 12)(Parts)


def most_tries(candidate: str) -> int:
    """More than the matcher takes for the parts of a candidate: one a character for each pattern, and one."""
    return len(library._INNER_MATCHES) * (len(candidate) + 2)


def most_digits(candidate: str) -> int:
    """At most how many digits a candidate has if x stands for one, too; `LIMIT` where more may matter."""
    return sum(map(str.isalnum, candidate)) if LETTERED.fullmatch(candidate) else LIMIT


def digits_of(candidate: str) -> str | None:
    """The digits of a candidate as ASCII's; null if there is more in it that matters."""
    if candidate.isdecimal() and candidate.isascii() and len(candidate) <= LIMIT:
        return candidate
    if len(candidate) > LIMIT or not SIMPLE.fullmatch(candidate):
        return None
    digits = NO_DIGIT.sub("", candidate)
    if not digits.isascii():
        digits = str(util.normalize_digits_only(digits))
    return digits if digits.isascii() else None


@functools.lru_cache(1 << 10)
def touches(character: str) -> bool:
    """Whether a character next to a number means that it is none."""
    return bool(
        PhoneNumberMatcher._is_invalid_punctuation_symbol(character)
        or PhoneNumberMatcher._is_latin_letter(character)
    )


@functools.lru_cache(REMEMBERED)
def tries(candidate: str) -> int:
    """How many tries the matcher spends on a candidate in which no number is found."""
    if library._SLASH_SEPARATED_DATES.search(candidate):
        return 1
    spent = 1
    for pattern in library._INNER_MATCHES:
        match = pattern.search(candidate)
        spent += match is not None
        while match:
            spent += 1
            match = pattern.search(candidate, match.start() + 1)
    return spent
