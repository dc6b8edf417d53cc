"""Whether digits are a telephone number as dialled in a region, without phonenumbers' objects and formatting.

What: `Matcher` is the library's matcher with another way to judge a candidate of ASCII digits and plain
punctuation: what the library's `parse` and `is_valid_number` do with such a one depends on its digits alone,
and is done here on the digits, with the same metadata (`Dialled.takes`). Any other candidate, and one that
is dialled to another country, goes to the library's own code.

That was read off the library's functions; where they are not the ones that were read (`KNOWN`), all goes to
the library, with a warning.

Cost: 5 to 10 microseconds a number that was never seen, against 100 by the library.
Source: https://github.com/daviddrysdale/python-phonenumbers
"""

import functools
import hashlib
import inspect
import re
import warnings
from typing import Any, NamedTuple

import phonenumbers
from phonenumbers import Leniency, PhoneMetadata, PhoneNumberMatch, PhoneNumberMatcher
from phonenumbers import phonenumbermatcher as library
from phonenumbers import phonenumberutil as util

REMEMBERED = 1 << 16
# SHA-256 of the functions that were read, in 9.0.
KNOWN = "851a8a3c2fece40c64dc2550bfe61e0317a6085b809011e1adac353378745e83"
TRIES = 65_535  # at numbers that are none, after which the library gives a text up
LIMIT = 250  # characters that the library parses
SIMPLE = re.compile(r"[-. ()\[\]/\d]*")
NO_DIGIT = re.compile(r"\D+")
TYPES = ["fixed_line", "mobile", "toll_free", "premium_rate", "shared_cost", "voip", "personal_number"]
TYPES += ["pager", "uan", "voicemail"]


class Area:
    """What the metadata of one region say of numbers without their country's code."""

    def __init__(self, metadata: Any) -> None:
        self.general = re.compile(metadata.general_desc.national_number_pattern)
        self.possible = metadata.general_desc.possible_length
        self.local = metadata.general_desc.possible_length_local_only
        self.prefix = re.compile(metadata.national_prefix_for_parsing or "(?!)")
        self.rule = metadata.national_prefix_transform_rule
        self.leading = metadata.leading_digits is not None and re.compile(metadata.leading_digits)
        kinds = [_described(getattr(metadata, kind)) for kind in TYPES]
        self.any = re.compile(f"(?={_described(metadata.general_desc)}$)(?:{'|'.join(kinds)})")
        self.formats = [_format(one) for one in metadata.number_format]
        self.format = re.compile("|".join(f"(?:{source})()" for source, _ in self.formats) or "(?!)")

    def has(self, number: str) -> bool:
        """Whether `number` is of any type."""
        return self.any.fullmatch(number) is not None

    def stripped(self, number: str) -> tuple[str, bool]:
        """`number` without the prefix of calls inside the country, and whether there was one."""
        match = self.prefix.match(number) if number else None
        if match is None:
            return number, False
        if not self.rule or match.groups()[-1] is None:
            rest = number[match.end() :]
        else:
            rest = self.prefix.sub(self.rule, number, count=1)
        if self.general.fullmatch(number) and not self.general.fullmatch(rest):
            return number, False
        return rest, True

    def too_long(self, number: str) -> bool:
        """Whether `number` has more digits than any."""
        return len(number) not in self.local and self.possible[-1] < len(number)

    def fits(self, number: str) -> bool:
        """Whether `number` has as many digits as some number, or more than any."""
        size = len(number)
        return size not in self.local and (size in self.possible or self.possible[-1] < size)

    def wants_prefix(self, number: str) -> bool:
        """Whether `number` is usually written with the prefix of calls inside the country."""
        match = self.format.fullmatch(number)
        return match is not None and self.formats[(match.lastindex or 0) - 1][1]


def _described(kind: Any) -> str:
    """Pattern of the numbers that a description allows."""
    if kind is None or not kind.national_number_pattern:
        return "(?!)"
    lengths = "|".join(rf"\d{{{length}}}" for length in kind.possible_length if length > 0)
    if kind.possible_length and not lengths:
        return "(?!)"
    return (
        f"(?:(?=(?:{lengths})$)(?:{kind.national_number_pattern}))"
        if lengths
        else (f"(?:{kind.national_number_pattern})")
    )


def _format(one: Any) -> tuple[str, bool]:
    """Pattern of the numbers that are written in a format, and whether that wants the prefix."""
    leading = one.leading_digits_pattern[-1] if one.leading_digits_pattern else ""
    rule = one.national_prefix_formatting_rule
    wants = rule and not one.national_prefix_optional_when_formatting
    source = re.sub(r"\((?!\?)", "(?:", f"(?={leading})(?:{one.pattern})")
    return source, bool(wants and not util._formatting_rule_has_first_group_only(rule))


class Dialled:
    """Numbers as they are dialled in a region."""

    def __init__(self, region: str) -> None:
        metadata: Any = PhoneMetadata.metadata_for_region(region, None)
        country = metadata.country_code
        main: Any = PhoneMetadata.metadata_for_region(
            phonenumbers.region_code_for_country_code(country), None
        )
        regions = phonenumbers.COUNTRY_CODE_TO_REGION_CODE[country]
        areas = [PhoneMetadata.metadata_for_region(area, None) for area in regions]
        self.code = str(country)
        self.abroad = re.compile(metadata.international_prefix)
        self.own, self.main = Area(metadata), Area(main)
        self.areas = [Area(area) for area in areas if area is not None]
        lengthens = any(area.rule and re.search(r"(?<!\\)\d", area.rule) for area in (self.own, self.main))
        self.least = 0 if lengthens else min(area.possible[0] for area in self.areas)
        self.takes = functools.lru_cache(REMEMBERED)(self._takes)

    def _takes(self, digits: str) -> bool | None:
        """Whether `digits` (ASCII, three or more) are a number; null where only the library can tell."""
        if self.abroad.match(digits):
            return None
        number, area, here = digits, self.own, True
        if digits.startswith(self.code):
            rest, _ = self.own.stripped(digits[len(self.code) :])
            general = self.own.general
            better = not general.fullmatch(digits) and general.fullmatch(rest)
            if better or self.own.too_long(digits):
                number, area, here = rest, self.main, False
        if len(number) < util._MIN_LENGTH_FOR_NSN:
            return False
        rest, _ = area.stripped(number)
        if area.fits(rest):
            number = rest
        if not util._MIN_LENGTH_FOR_NSN <= len(number) <= util._MAX_LENGTH_FOR_NSN:
            return False
        if not self._valid(number):
            return False
        return not here or not self.main.wants_prefix(number) or self.main.stripped(digits)[1]

    def _valid(self, number: str) -> bool:
        if len(self.areas) == 1:
            return self.areas[0].has(number)
        for area in self.areas:
            if area.leading and area.leading.match(number):
                return area.has(number)
            if not area.leading and area.has(number):
                return True
        return False


class Matcher(PhoneNumberMatcher):
    """The library's matcher for a region over ``start:stop`` of a text, with so many tries.

    Numbers that it yields have a place, but no value.
    """

    def __init__(
        self,
        text: str,
        region: str,
        leniency: int,
        start: int = 0,
        stop: int | None = None,
        tries: int = TRIES,
    ) -> None:
        super().__init__(text, region, leniency=leniency, max_tries=tries)
        self._search_index = start
        self._stop = len(text) if stop is None else stop
        self._dialled = dialled(region) if leniency == Leniency.VALID and unchanged() else None

    @property
    def left(self) -> int:
        """Tries that are left."""
        return self._max_tries

    def _find(self, index: int) -> Any:
        match = library._PATTERN.search(self.text, index, self._stop)
        while self._max_tries > 0 and match is not None:
            start = match.start()
            candidate = self._trim_after_first_match(util._SECOND_NUMBER_START_PATTERN, match.group())
            found = self._extract_match(candidate, start)
            if found is not None:
                return found
            self._max_tries -= 1
            match = library._PATTERN.search(self.text, start + len(candidate), self._stop)
        return None

    def _parse_and_verify(self, candidate: str, offset: int) -> Any:
        digits = digits_of(candidate)
        if self._dialled is None or digits is None:
            return super()._parse_and_verify(candidate, offset)
        if len(digits) < self._dialled.least:
            return None
        if len(digits) < 3:
            return super()._parse_and_verify(candidate, offset)
        taken = self._dialled.takes(digits)
        if taken is None:
            return super()._parse_and_verify(candidate, offset)
        if not taken or not stands_free(self.text, candidate, offset):
            return None
        return PhoneNumberMatch(offset, candidate, phonenumbers.PhoneNumber())

    def _extract_inner_match(self, candidate: str, offset: int) -> Any:
        known = parts(candidate)
        if self._dialled is None or self._max_tries <= known.tries:
            return super()._extract_inner_match(candidate, offset)
        least, takes = self._dialled.least, self._dialled.takes
        for spent, start, part, digits in known.parts:
            if digits is not None and (len(digits) < least or (len(digits) > 2 and takes(digits) is False)):
                continue
            match = self._parse_and_verify(part, offset + start)
            if match is not None:
                self._max_tries -= spent
                return match
        self._max_tries -= known.tries
        return None


def stands_free(text: str, candidate: str, offset: int) -> bool:
    """Whether brackets, pages and neighbours of the candidate at `offset` allow for a number."""
    if not library._MATCHING_BRACKETS.fullmatch(candidate) or library._PUB_PAGES.search(candidate):
        return False
    if offset > 0 and candidate[0] not in "([" and touches(text[offset - 1]):
        return False
    end = offset + len(candidate)
    return end >= len(text) or not touches(text[end])


class Parts(NamedTuple):
    """Parts of a candidate that the matcher tries one after the other, and how many tries it takes them for.

    parts: (tries before it, where it begins, the part, its digits as ASCII's if they alone decide). A part
    that was tried already is left out.
    """

    tries: int
    parts: tuple[tuple[int, int, str, str | None], ...]


@functools.lru_cache(1 << 12)
def parts(candidate: str) -> Parts:
    """The parts of a candidate, in order."""
    found: dict[tuple[int, str], tuple[int, int, str, str | None]] = {}
    tries = 0
    for pattern in library._INNER_MATCHES:
        match, first = pattern.search(candidate), True
        while match:
            places = [(0, candidate[: match.start()])] if first else []
            for start, part in [*places, (match.start(1), match.group(1))]:
                unwanted = util._UNWANTED_END_CHAR_PATTERN.search(part)
                part = part[: unwanted.start()] if unwanted else part
                found.setdefault((start, part), (tries, start, part, digits_of(part)))
                tries += 1
            first = False
            match = pattern.search(candidate, match.start() + 1)
    return Parts(tries, tuple(found.values()))


def digits_of(candidate: str) -> str | None:
    """The digits of a candidate as ASCII's; null if there is more in it that matters."""
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


@functools.cache
def dialled(region: str) -> Dialled | None:
    """What is known of a region; null where it is none."""
    return Dialled(region) if PhoneMetadata.metadata_for_region(region, None) else None


@functools.cache
def unchanged() -> bool:
    """Whether the library's functions are those that were read."""
    functions: list[Any] = [
        util.parse,
        util._maybe_extract_country_code,
        util._maybe_strip_i18n_prefix_and_normalize,
    ]
    functions += [
        util._maybe_strip_national_prefix_carrier_code,
        util._test_number_length,
        util.is_valid_number,
    ]
    functions += [util.is_valid_number_for_region, util.region_code_for_number, util._number_type_helper]
    functions += [util._region_code_for_number_from_list, util._is_number_matching_desc, util._match]
    functions += [util._build_national_number_for_parsing, util._is_viable_phone_number, util._normalize]
    functions += [util._choose_formatting_pattern_for_number, util._maybe_strip_extension]
    functions += [library._verify, library._is_national_prefix_present_if_required]
    functions += [
        library._contains_only_valid_x_chars,
        PhoneNumberMatcher._parse_and_verify,
        PhoneNumberMatcher._find,
        PhoneNumberMatcher._extract_inner_match,
    ]
    source = "".join(inspect.getsource(function) for function in functions)
    same = hashlib.sha256(source.encode()).hexdigest() == KNOWN
    if not same:
        warnings.warn("another phonenumbers than is known: numbers are judged by it alone", stacklevel=2)
    return same
