"""Whether digits are a telephone number, as phonenumbers has it, without its objects and formatting.

What: what the library's `parse` and `is_valid_number` do with digits and plain punctuation depends on the
digits alone, and is done here on the digits, with the same metadata: dialled in a region (`Dialled.takes`),
or behind a plus or the prefix of calls abroad (`abroad`).

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
from re import _parser  # type: ignore[attr-defined]
from typing import Any

import phonenumbers
from phonenumbers import PhoneMetadata, PhoneNumberMatcher
from phonenumbers import phonenumbermatcher as library
from phonenumbers import phonenumberutil as util

REMEMBERED = 1 << 16
# SHA-256 of the functions that were read, in 9.0.
KNOWN = "ac5ef8218ddada084707f85bef3965709236e0502bb7311cb77d1aaa5c2743d8"
WORLD = "001"  # region of codes that are no country's
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
        self.metadata = metadata

    @functools.cached_property
    def formats(self) -> tuple[re.Pattern[str], list[bool]]:
        """Pattern of all numbers as they are written, a group for each format, and which want the prefix."""
        each = [_format(one) for one in self.metadata.number_format]
        pattern = re.compile("|".join(f"(?:{source})()" for source, _ in each) or "(?!)")
        return pattern, [wants for _, wants in each]

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
        pattern, wants = self.formats
        match = pattern.fullmatch(number)
        return match is not None and wants[(match.lastindex or 0) - 1]


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


@functools.cache
def area(region: str) -> Area | None:
    """What is known of a region's own numbers; null where it is none."""
    metadata = PhoneMetadata.metadata_for_region(region, None)
    return Area(metadata) if metadata else None


class Dialled:
    """Numbers as they are dialled in a region."""

    def __init__(self, region: str) -> None:
        metadata: Any = PhoneMetadata.metadata_for_region(region, None)
        country = metadata.country_code
        own, main = area(region), area(phonenumbers.region_code_for_country_code(country))
        assert own is not None
        assert main is not None
        self.own, self.main = own, main
        self.areas = [*filter(None, map(area, phonenumbers.COUNTRY_CODE_TO_REGION_CODE[country]))]
        self.code = str(country)
        self.abroad = re.compile(metadata.international_prefix)
        # Fewest digits of a number as it is dialled here, at home or abroad.
        lengthens = any(one.rule and re.search(r"(?<!\\)\d", one.rule) for one in (self.own, self.main))
        home = 0 if lengthens else min(one.possible[0] for one in self.areas)
        self.least = min(home, _parser.parse(metadata.international_prefix).getwidth()[0] + fewest_abroad())
        self.takes = functools.lru_cache(REMEMBERED)(self._takes)

    def _takes(self, digits: str) -> bool | None:
        """Whether `digits` (ASCII, three or more) are a number; null where only the library can tell."""
        prefix = self.abroad.match(digits)
        if prefix:
            called = digits[prefix.end() :]
            if called[:1] == "0":
                return None
            return abroad(called) if has_code(called) else False
        rest = self._behind_code(digits)
        if rest is not None:
            return self.takes_national(rest)
        known = self._national(digits, self.own)
        if known is None:
            return False
        return not self.main.wants_prefix(known) or self.main.stripped(digits)[1]

    def takes_without_plus(self, digits: str) -> bool | None:
        """Whether `digits` behind a plus that no country's code follows are a number, as if dialled here.

        Only the code of a country in them makes one; null as of `takes`.
        """
        if self.abroad.match(digits):
            return self.takes(digits)
        rest = self._behind_code(digits)
        return rest is not None and self.takes_national(rest)

    def _behind_code(self, digits: str) -> str | None:
        """What follows the region's own code, where the library takes it for that."""
        if not digits.startswith(self.code):
            return None
        rest, _ = self.own.stripped(digits[len(self.code) :])
        better = not self.own.general.fullmatch(digits) and self.own.general.fullmatch(rest)
        return rest if better or self.own.too_long(digits) else None

    def takes_national(self, digits: str) -> bool:
        """Whether `digits` are a number behind the country's code."""
        return self._national(digits, self.main) is not None

    def _national(self, number: str, area: Area) -> str | None:
        """The valid number that `number` is in an area, without a prefix; null if it is none."""
        if len(number) < util._MIN_LENGTH_FOR_NSN:
            return None
        rest, _ = area.stripped(number)
        if area.fits(rest):
            number = rest
        fits = util._MIN_LENGTH_FOR_NSN <= len(number) <= util._MAX_LENGTH_FOR_NSN
        return number if fits and self._valid(number) else None

    def _valid(self, number: str) -> bool:
        if len(self.areas) == 1:
            return self.areas[0].has(number)
        for area in self.areas:
            if area.leading and area.leading.match(number):
                return area.has(number)
            if not area.leading and area.has(number):
                return True
        return False


@functools.cache
def dialled(region: str) -> Dialled | None:
    """What is known of a region; null where it is none."""
    return Dialled(region) if PhoneMetadata.metadata_for_region(region, None) else None


@functools.cache
def fewest_digits() -> dict[int, int]:
    """By country calling code, digits below which no number behind that code is valid.

    A number has as many digits as the metadata of any area of that code allow, less what they add when a
    subscriber leaves out the area's code.
    """
    areas = [PhoneMetadata.metadata_for_region(region, None) for region in phonenumbers.SUPPORTED_REGIONS]
    codes = phonenumbers.COUNTRY_CODES_FOR_NON_GEO_REGIONS
    areas += [PhoneMetadata.metadata_for_nongeo_region(code, None) for code in codes]
    fewest: dict[int, int] = {}
    for area in areas:
        lengths = area.general_desc.possible_length if area and area.general_desc else ()
        if area and area.country_code and lengths:
            main = phonenumbers.region_code_for_country_code(area.country_code)
            rule = area.national_prefix_transform_rule if area.id == main else None
            least = max(1, min(lengths) - len(re.sub(r"\\\d", "", rule or "")))
            fewest[area.country_code] = min(least, fewest.get(area.country_code, least))
    return fewest


def fewest_abroad() -> int:
    """Fewest digits of a number with its country's code."""
    return min(len(str(code)) + least for code, least in fewest_digits().items())


@functools.lru_cache(REMEMBERED)
def abroad(digits: str) -> bool | None:
    """Whether `digits` (ASCII) that begin with a country's code are a number; null where only the library can
    tell, or where they begin with none (`has_code`).
    """
    for size in range(1, min(len(digits), util._MAX_LENGTH_COUNTRY_CODE) + 1):
        region = phonenumbers.region_code_for_country_code(int(digits[:size]))
        if region != phonenumbers.UNKNOWN_REGION and digits[0] != "0":
            known = dialled(region) if region != WORLD and len(digits) > util._MIN_LENGTH_FOR_NSN else None
            return known.takes_national(digits[size:]) if known else None
    return None


def has_code(digits: str) -> bool:
    """Whether `digits` (ASCII) begin with the code of a country."""
    sizes = range(1, min(len(digits), util._MAX_LENGTH_COUNTRY_CODE) + 1)
    regions = [phonenumbers.region_code_for_country_code(int(digits[:size])) for size in sizes]
    return digits[:1] != "0" and any(region != phonenumbers.UNKNOWN_REGION for region in regions)


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
    functions += [util._extract_country_code, util._parse_prefix_as_idd, util.region_code_for_country_code]
    functions += [util._extract_possible_number]
    functions += [library._verify, library._is_national_prefix_present_if_required]
    functions += [
        library._contains_only_valid_x_chars,
        PhoneNumberMatcher._extract_match,
        PhoneNumberMatcher._parse_and_verify,
        PhoneNumberMatcher._find,
        PhoneNumberMatcher._extract_inner_match,
    ]
    source = "".join(inspect.getsource(function) for function in functions)
    same = hashlib.sha256(source.encode()).hexdigest() == KNOWN
    if not same:
        warnings.warn("another phonenumbers than is known: numbers are judged by it alone", stacklevel=2)
    return same
