"""Telephone numbers as Presidio finds them, with the library asked only where a number could be.

Presidio runs phonenumbers' matcher over the text once for each of its eight regions. Here each region
becomes a pattern of `automaton.graph`, made from the library's metadata (`gates`): the digits of
every number that is valid there, dialled in any way, with anything that may stand between digits. Only where
one is accepted is the library asked.

It is asked about windows: a stretch of characters of which the library's candidates are made. No candidate
crosses the edge of one. Within a window the library's own pattern gives the candidates; one in which no
region was accepted holds no number. All regions' numbers have one score, and one that lies inside another
is removed; so where one region takes a whole candidate the others need not be asked, provided that no
candidate could reach beyond its end (`PLAIN`). Every other window is left to a matcher like the library's
(`phone.matcher`), which looks where a region's numbers may begin.

The matcher gives up after a number of tries a text; in one that has digits enough to come there they are
counted, region by region (`_long`).

Cost: 25 microseconds for a number that was never seen; 100 in a list with nothing but blanks between.
Source: https://github.com/daviddrysdale/python-phonenumbers
"""

import functools
import re
from bisect import bisect_left
from collections.abc import Iterable
from typing import Any

import phonenumbers
from phonenumbers import Leniency, PhoneMetadata
from phonenumbers import phonenumbermatcher as library
from phonenumbers.phonenumberutil import _SECOND_NUMBER_START_PATTERN as SECOND_NUMBER
from phonenumbers.phonenumberutil import _VALID_PUNCTUATION as PUNCTUATION

from headrace.kernels.scan import CODE_POINTS
from headrace.pipelines.stages.pii.automaton.graph import Pattern, alphabet
from headrace.pipelines.stages.pii.automaton.symbols import Symbols, named
from headrace.pipelines.stages.pii.phone.matcher import (
    AFTER,
    LIMIT,
    NO_DIGIT,
    TRIES,
    Matcher,
    Met,
    dialled_abroad,
    dialling,
    digits_of,
    is_stamp,
    parts,
    stands_free,
    tries,
)
from headrace.pipelines.stages.pii.phone.validity import (
    TYPES,
    abroad,
    dialled,
    fewest_abroad,
    fewest_digits,
    unchanged,
)

Span = tuple[int, int]
REMEMBERED = 1 << 16
AROUND = 64  # characters looked at in one go
SAFE = 10_000  # characters in which the matcher cannot come to its last try
FEW = 30  # runs of digits in which it cannot: 22 times over, seven tries and two for each of 15 characters
DIGITS = re.compile(r"\d+")
# What the matcher refuses next to a number, as far as it cannot be part of a candidate: letters but for x,
# which stands between digits, and behind a number but for those with which an extension begins.
BEFORE = r"(?<![\dA-WYZa-wyz%$])"
BEHIND = r"(?![\dB-DF-HJ-WYZb-df-hj-wyz%$])"
BETWEEN = rf"[{PUNCTUATION}X#＃Ｘ]"
LABEL = "(?:;ext|e?xt|ｅ?ｘｔ|доб|anexo|int|ｉｎｔ)"
CROSS = "[xｘ#＃~～]"
EXTENSION = rf"(?:{CROSS}|;ext=|e?xt(?:ensi(?:o.?|ó))?n?|ｅ?ｘｔｎ?|доб|anexo|int|ｉｎｔ)"
# Where letters of a candidate may count as digits (a label behind one or two digits, or three times x), more
# than `BETWEEN` stands between them, or a candidate ends and another begins among digits (an extension has at
# most 9 or 20, a candidate at most 21 groups of 20).
ODD = (
    rf"\d[ \u00a0\t,]*{EXTENSION}[:.．]?[ \u00a0\t,-]*\d{{10}}"
    rf"|(?<!\d)(?:\d{BETWEEN}*(?:\d{BETWEEN}*)?[ \u00a0\t,]*{LABEL}|(?:\d{BETWEEN}*){{41}}"
    rf"|\d[ \u00a0\t,]*{CROSS}[:.．]?[ \u00a0,-]*[:．\t,]|\d[ \u00a0]*[\t,][ \u00a0\t,]*{CROSS})"
    rf"|x(?:[{PUNCTUATION}\d]*x){{2}}"
)
# Candidates whose end is the end of all that begin inside them.
PLAIN = re.compile(r"[+(\[]*\d{1,20}(?:[-. ()\[\]/]{1,4}\d{1,20}){0,19}")

# A number that the matcher finds follows a gate from its first digit or plus on, so it begins at a place that
# its region's gate, or that of numbers with a plus, took. Not so where letters may count as digits or part an
# extension (`WILD`, for which there is `ODD`), nor in a candidate that begins or ends among digits, before
# and behind which the gates want none: the matcher cuts runs of more than 20 digits (`CUT`).
WILD = re.compile(r"[^-. ()\[\]/+\d]")
CUT = re.compile(r"\d{21}")

ABROAD_BIT, ODD_BIT, HOME = 1, 2, 2  # bits of the gates; those of the regions follow from the last one on
ANY = ABROAD_BIT | ODD_BIT
LONGEST = next(match.end() for match in library._PATTERN.finditer("0" * 9999))  # digits of a candidate


def gates(regions: tuple[str, ...]) -> list[Pattern]:
    """Patterns of which each number that the matcher finds follows one.

    Dialled from abroad, spelled in an odd way, and dialled at home: for these alone `region_gate` says more.
    """
    fewest = fewest_abroad()
    home = [fewest_digits()[phonenumbers.country_code_for_region(r)] for r in regions if _metadata(r)]
    least = min([*home, fewest])
    return [
        Pattern(rf"[+＋]\d{{{fewest},}}", 0, BETWEEN),
        Pattern(ODD, re.IGNORECASE),
        Pattern(rf"{BEFORE}\d{{{least},}}{BEHIND}", 0, BETWEEN),
    ]


def region_gate(region: str) -> Pattern | None:
    """Pattern of the numbers as they may be dialled in `region`; null for a region that is unknown."""
    metadata = _metadata(region)
    if metadata is None:
        return None
    foreign = rf"(?:{metadata.international_prefix})\d{{{fewest_abroad()},}}"
    return Pattern(f"{BEFORE}(?:{_home(metadata)}|{foreign}){BEHIND}", 0, BETWEEN)


def _metadata(region: str) -> Any:
    return PhoneMetadata.metadata_for_region(region, None)


def _home(metadata: Any) -> str:
    """Digits of the valid numbers of a region's country as they may be dialled at home."""
    code = metadata.country_code
    numbers = []
    for region in phonenumbers.COUNTRY_CODE_TO_REGION_CODE[code]:
        area = PhoneMetadata.metadata_for_region(region, None)
        described = [getattr(area, kind) for kind in TYPES] if area else []
        numbers += [kind.national_number_pattern for kind in described if kind]
    valid = "|".join(dict.fromkeys(number for number in numbers if number))
    prefix = metadata.national_prefix_for_parsing or ""
    if metadata.national_prefix_transform_rule:
        prefix = re.sub(r"\(\\d\{[0-9,]+\}\)", "", prefix)  # the group that the rule keeps
    return f"(?:{code})?(?:{prefix})?(?:{prefix})?(?:{valid})"


class Phones:
    """The spans that Presidio's phone recogniser would find, for its regions and leniency."""

    def __init__(self, regions: tuple[str, ...], leniency: int) -> None:
        self.regions = regions
        self.leniency = leniency
        self.gates = gates(regions)
        self._chosen: dict[int, list[str]] = {}
        self.window = functools.lru_cache(REMEMBERED)(self._window)
        self.verdict = functools.lru_cache(REMEMBERED)(self._verdict)

    def forget(self) -> None:
        """Forget all numbers that were met."""
        self.window.cache_clear()
        self.verdict.cache_clear()
        for region in filter(None, map(dialled, self.regions)):
            region.takes.cache_clear()
        abroad.cache_clear()
        dialling.cache_clear()
        parts.cache_clear()
        tries.cache_clear()

    def spans(self, text: str, places: Iterable[tuple[int, int]]) -> list[Span]:
        """Spans of numbers in `text`; `places` are (character, bits of the gates accepted there)."""
        places = list(places)
        if len(text) > SAFE and _tries(text, [at for at, _ in places]) >= TRIES:
            return self._long(text, places)
        spans: list[Span] = []
        start, stop = 0, -1
        inside: list[tuple[int, int]] = []
        for at, bits in places:
            if at >= stop:
                spans += self._in_window(text, start, stop, inside)
                start, stop = _stretch(text, at)
                inside = []
            inside.append((at, bits))
        return spans + self._in_window(text, start, stop, inside)

    def _in_window(self, text: str, start: int, stop: int, places: list[tuple[int, int]]) -> list[Span]:
        """Spans in the window ``start:stop``."""
        if not places:
            return []
        spans: list[Span] = []
        at, cut = start, False
        begins = [place for place, _ in places]
        while cut or at <= begins[-1]:
            while cut and at + LONGEST < stop and text[at : at + LONGEST + 1].isdecimal():
                at += LONGEST  # a candidate of so many digits is no number
            match = library._PATTERN.search(text, at, stop)
            if match is None:
                break
            begun = ANY if cut else 0  # inside of digits, where no place is: all regions may
            first, at = match.span()
            candidate, lead, second = match.group(), first, None
            run = candidate.isdecimal()
            if not run:
                second = SECOND_NUMBER.search(candidate)
                if second:
                    at = first + second.start()
                    candidate = text[first:at]
                lead += len(candidate) - len(candidate.lstrip("([+ -.)"))
            whole = some = begun
            for place, taken in places[bisect_left(begins, first) : bisect_left(begins, at)]:
                some |= taken
                whole |= taken if place <= lead else 0
            cut = text[at : at + 1].isdecimal()
            if not some:
                continue
            if run:
                spans += _moved(self._run(text, first, at, whole), first)
                continue
            if second or some & ODD_BIT or not PLAIN.fullmatch(candidate):
                edge = max(start - 1, 0)
                inside = tuple((place - edge, bits) for place, bits in places)
                return _moved(self.window(text[edge : stop + AFTER], start - edge, stop - edge, inside), edge)
            before = text[first - 1] if first else ""
            spans += _moved(self.verdict(before, candidate, text[at : at + AFTER], whole, some), first)
        return spans

    def _run(self, text: str, start: int, stop: int, whole: int) -> Iterable[Span]:
        """Spans in a candidate of nothing but digits, which is a number as a whole or has none."""
        if stop - start > LIMIT:
            return ()
        before = text[start - 1] if start else ""
        return self.verdict(before, text[start:stop], text[stop : stop + AFTER], whole, whole)

    def _long(self, text: str, places: list[tuple[int, int]]) -> list[Span]:
        """Spans in a text in which the matcher may come to its last try, which is counted for each region."""
        left = dict.fromkeys(self.regions, TRIES)
        begins = {region: self._begins(region, places) for region in self.regions}
        spans: list[Span] = []
        at, following = 0, 0
        while (match := library._PATTERN.search(text, at)) and any(count > 0 for count in left.values()):
            start, stop = match.span()
            candidate = match.group()
            second = SECOND_NUMBER.search(candidate)
            if second:
                stop = start + second.start()
            some = 0
            while following < len(places) and places[following][0] < stop:
                some |= places[following][1] if places[following][0] >= start else 0
                following += 1
            asked = self._regions(some)
            if some and (second or some & ODD_BIT or not PLAIN.fullmatch(candidate)):
                asked, stop = list(self.regions), _stretch(text, start)[1]
            spent = 0 if some and stop > match.end() else self._spent(text, start, stop)
            tame = not WILD.search(text, start, stop)
            met: Met = {}
            for region, count in left.items():
                if region in asked and count > 0:
                    matcher = Matcher(
                        text,
                        region,
                        self.leniency,
                        start,
                        stop,
                        tries=count,
                        begins=begins[region] if tame else None,
                        met=met,
                    )
                    spans += [(number.start, number.end) for number in matcher]
                    left[region] = matcher.left
                else:
                    left[region] = count - spent
            at = stop
        return spans

    def _spent(self, text: str, start: int, stop: int) -> int:
        """Tries for the candidate ``start:stop`` if there is no number in it."""
        candidate = text[start:stop]
        return 1 if is_stamp(candidate, text[stop : stop + AFTER]) else tries(candidate)

    def _window(self, text: str, start: int, stop: int, places: tuple[tuple[int, int], ...]) -> list[Span]:
        """Spans by a matcher a region; what is outside ``start:stop`` is only there to be looked at."""
        spans: set[Span] = set()
        met: Met = {}
        tame = not WILD.search(text, start, stop)
        bits = functools.reduce(lambda all_, place: all_ | place[1], places, 0)
        if tame and not CUT.search(text, start, stop):
            bits &= ~ODD_BIT
        for region in self._regions(bits):
            begins = self._begins(region, places) if tame else None
            for match in Matcher(text, region, self.leniency, start, stop, begins=begins, met=met):
                spans.add((match.start, match.end))
        return sorted(spans)

    def _begins(self, region: str, places: Iterable[tuple[int, int]]) -> list[int]:
        """Where numbers of a region may begin."""
        taken = ABROAD_BIT | 1 << self.regions.index(region) + HOME
        return [place for place, accepted in places if accepted & taken]

    def _verdict(self, before: str, candidate: str, behind: str, whole: int, some: int) -> tuple[Span, ...]:
        """Spans in a `PLAIN` candidate; regions whose bit is in `whole` may take it as a whole."""
        run = candidate.isdecimal()
        if not run and is_stamp(candidate, behind):
            return ()
        text, start = before + candidate + behind, len(before)
        if self._takes_all(text, candidate, start, whole):
            return ((0, len(candidate)),)
        spans: set[Span] = set()
        if run:
            return ()  # the matcher goes on with parts of it, and there are none
        met: Met = {}
        for region in self._regions(some):
            for match in Matcher(text, region, self.leniency, met=met):
                if start <= match.start < start + len(candidate):
                    spans.add((match.start - start, match.end - start))
        return tuple(sorted(spans))

    def _takes_all(self, text: str, candidate: str, start: int, bits: int) -> bool:
        """Whether the candidate at `start` of `text` is a number of one of the regions."""
        read = self.leniency == Leniency.VALID and unchanged()
        digits = digits_of(candidate) if read else None
        anywhere = dialled_abroad(candidate) if read else None
        if anywhere is not None:
            return anywhere and stands_free(text, candidate, start)
        for region in self._regions(bits):
            known = dialled(region) if digits is not None and len(digits) > 2 else None
            taken = known.takes(digits) if known and digits else None  # most are none: no matcher is made
            if taken is None:
                taken = Matcher(text, region, self.leniency)._parse_and_verify(candidate, start) is not None
            elif taken:
                taken = stands_free(text, candidate, start)
            if taken:
                return True
        return False

    def _regions(self, bits: int) -> list[str]:
        if bits not in self._chosen:
            every = enumerate(self.regions)
            self._chosen[bits] = [region for at, region in every if bits & ANY or bits >> (at + HOME) & 1]
        return self._chosen[bits]


def _tries(text: str, places: list[int]) -> int:
    """At most how many tries the matcher needs in `text`: each candidate as a whole and in parts, and again
    behind every number that is found in it; 0 where few digits stand together, which cannot need many."""
    needed = 0
    if len(DIGITS.findall(text)) < FEW:
        return needed
    for match in library._PATTERN.finditer(text):
        start, stop = match.span()
        candidate = match.group()
        any_place = bisect_left(places, start) < bisect_left(places, stop)
        if candidate.isdecimal():
            needed += 2 if any_place else 1
        else:
            again = len(NO_DIGIT.findall(candidate)) + 1 if any_place else 0
            needed += tries(candidate) * (1 + again)
    return needed


def _moved(spans: Iterable[Span], by: int) -> list[Span]:
    return [(start + by, stop + by) for start, stop in spans]


@functools.cache
def _alphabet() -> tuple[str, str]:
    """Characters of which a candidate may consist: those of ASCII, and all."""
    pattern = Pattern(library._PATTERN.pattern, library._PATTERN.flags)
    symbols = Symbols(named(pattern.source))
    known = symbols.texts(alphabet(pattern, symbols))
    digits = "".join(filter(str.isdecimal, map(chr, range(128, CODE_POINTS))))
    return "".join(filter(str.isascii, known)), known + digits


def _stretch(text: str, at: int) -> Span:
    """The characters around `at` of which candidates may be made."""
    ascii_, every = _alphabet()
    known = ascii_ if text.isascii() else every
    start, stop = at, at
    while True:
        first = max(0, start - AROUND)
        start = first + len(text[first:start].rstrip(known))
        if start > first or not first:
            break
    while True:
        part = text[stop : stop + AROUND]
        rest = len(part.lstrip(known))
        stop += len(part) - rest
        if rest or stop == len(text):
            return start, stop
