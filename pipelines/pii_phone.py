"""Telephone numbers as Presidio finds them, without trying every region on every number.

Presidio runs phonenumbers' matcher over the text once for each of its eight regions. Until a region has its
first match all of them walk through the same candidates, and whether a candidate is a number depends on
nothing but the candidate, whether letters or currency touch it, and whether a colon and minutes follow. So
the candidates are walked through once, one that has too few digits for any region is passed over, and the
verdict on each of the others, for all regions at once, is remembered. After a region's first match in a
text the library's own matcher goes on for that region.

Exact: the candidates, the verdicts and the matching are the library's. A text with more than `MOST`
candidates is left to it altogether, because it gives up after a number of tries.

Before that `Phones.gate` tells by one RE2 pattern over whole columns which texts have such a candidate at
all. It was read off the library's own pattern: where that is another one, every text with a digit passes.

Cost: the gate 300 MB/s; then a scan by the library's pattern, and about a millisecond for a candidate that
was never seen.
Source: https://github.com/daviddrysdale/python-phonenumbers
"""

import functools
import hashlib
import re
from typing import Any

import phonenumbers
from phonenumbers import PhoneMetadata, PhoneNumberMatcher
from phonenumbers import phonenumbermatcher as library
from phonenumbers.phonenumberutil import _SECOND_NUMBER_START_PATTERN as SECOND_NUMBER

MOST = 1000
LONGEST = 1 << 10  # more digits than any candidate has
REMEMBERED = 1 << 16
Span = tuple[int, int]
# Candidates of nothing but digits and what stands between them: only these are judged by their digits
# (an "x" or "ext" may turn letters into digits).
PLAIN = re.compile(r"[\d\s\-()./\[\]~+]*")
DIGIT = re.compile(r"\d")
KNOWN = "f5af5fee4448fcd045acfd4d2a9ccfe4ecc4cf8e842f4f14b3d6210bfa913fbb"  # SHA-256 of the pattern of 9.0
GOOD, BAD, MINUTES = " ", "a", ":00"  # what may touch a candidate, for all that the matcher can tell


@functools.cache
def fewest_digits(regions: tuple[str, ...]) -> dict[int, int]:
    """By country calling code, digits below which no number dialled from abroad or at home is valid.

    At home a number needs the fewest digits of any area of that code, less what the metadata adds when a
    subscriber leaves out the area's code; that is also what must follow the calling code from abroad. Only
    the metadata of `regions` and of each code's main region are ever asked to add something.
    """
    areas = [PhoneMetadata.metadata_for_region(region, None) for region in phonenumbers.SUPPORTED_REGIONS]
    codes = phonenumbers.COUNTRY_CODES_FOR_NON_GEO_REGIONS
    areas += [PhoneMetadata.metadata_for_nongeo_region(code, None) for code in codes]
    fewest: dict[int, int] = {}
    for area in areas:
        lengths = area.general_desc.possible_length if area and area.general_desc else ()
        if area and area.country_code and lengths:
            main = phonenumbers.region_code_for_country_code(area.country_code)
            rule = area.national_prefix_transform_rule if area.id in (main, *regions) else None
            least = max(1, min(lengths) - len(re.sub(r"\\\d", "", rule or "")))
            fewest[area.country_code] = min(least, fewest.get(area.country_code, least))
    return fewest


def gate(fewest: int) -> str:
    """RE2 pattern found in every text with a candidate of `fewest` digits, or one that is not `PLAIN`.

    The digits are ASCII ones. A candidate that is not plain has an x or a character beyond ASCII before a
    digit of its own, or an extension's label or # behind one.
    """
    pattern = library._PATTERN.pattern
    if hashlib.sha256(pattern.encode()).hexdigest() != KNOWN:
        return "[0-9]"
    wide = "".join(sorted({character for character in pattern if ord(character) > 127}))
    between = rf"[-x ()./\[\]~{wide}]{{0,4}}"
    return (
        rf"(?i)[0-9](?:{between}[0-9]){{{fewest - 1}}}"
        rf"|[x{wide}][-x +()./\[\]~:,;\t{wide}]*[0-9]"
        rf"|[0-9][ \t,{wide}]*(?:;ext|e?xt|anexo|int|#)"
    )


class Phones:
    """The spans that Presidio's phone recogniser would find, for its regions and leniency."""

    def __init__(self, regions: tuple[str, ...], leniency: int) -> None:
        self.regions = regions
        self.leniency = leniency
        fewest = fewest_digits(regions)
        abroad = min(len(str(code)) + least for code, least in fewest.items())
        prefix = 2  # digits of the shortest international prefix, as in 00
        home = [fewest[phonenumbers.country_code_for_region(region)] for region in regions]
        self.fewest = min(*home, abroad)
        self.least = {
            region: min(least, prefix + abroad) for region, least in zip(regions, home, strict=True)
        }
        self.gate = gate(self.fewest)
        self.verdicts = functools.lru_cache(REMEMBERED)(self._verdicts)

    def spans(self, text: str) -> set[Span] | None:
        """Character spans of numbers in `text`; null where only the library's own loop is exact."""
        found: set[Span] = set()
        waiting = set(self.regions)
        tried, match = 0, library._PATTERN.search(text)
        while match is not None and waiting:
            start = match.start()
            second = SECOND_NUMBER.search(match.group())
            candidate = match.group()[: second.start()] if second else match.group()
            stop = start + len(candidate)
            if not self._too_short(candidate):
                tried += 1
                if tried > MOST:
                    return None
                for region, span in self._verdict(text, candidate, start, stop):
                    if region in waiting:
                        waiting.remove(region)
                        found.add((start + span[0], start + span[1]))
                        found |= self._rest(text, region, start + span[1])
            match = library._PATTERN.search(text, stop)
        return found

    def _too_short(self, candidate: str) -> bool:
        return bool(PLAIN.fullmatch(candidate)) and len(DIGIT.findall(candidate)) < self.fewest

    def _verdict(self, text: str, candidate: str, start: int, stop: int) -> tuple[tuple[str, Span], ...]:
        before = BAD if start > 0 and _touches(text[start - 1]) else GOOD
        after = BAD if stop < len(text) and _touches(text[stop]) else GOOD
        if library._TIME_STAMPS_SUFFIX.match(text, stop):
            after = MINUTES
        return self.verdicts(before, candidate, after)

    def _verdicts(self, before: str, candidate: str, after: str) -> tuple[tuple[str, Span], ...]:
        """(region, span in the candidate) of each region's first match in the candidate."""
        digits = len(DIGIT.findall(candidate))
        if "+" in candidate or not PLAIN.fullmatch(candidate):
            digits = LONGEST
        results = []
        for region in self.regions:
            if digits < self.least[region]:
                continue
            matcher = PhoneNumberMatcher(before + candidate + after, region, leniency=self.leniency)
            match = matcher._extract_match(candidate, 1)
            if match is not None:
                results.append((region, (match.start - 1, match.end - 1)))
        return tuple(results)

    def _rest(self, text: str, region: str, index: int) -> set[Span]:
        matcher: Any = PhoneNumberMatcher(text, region, leniency=self.leniency)
        matcher._search_index = index
        return {(match.start, match.end) for match in matcher}


def _touches(character: str) -> bool:
    """Whether a character next to a number means that it is none."""
    return bool(
        PhoneNumberMatcher._is_invalid_punctuation_symbol(character)
        or PhoneNumberMatcher._is_latin_letter(character)
    )
