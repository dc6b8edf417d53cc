"""Finds the telephone numbers that Presidio finds, and asks the library only where a number could be.

In: a text, and the characters at which a number could begin (from `presidio.scanner`). Out: spans.

Presidio runs the matcher of the library phonenumbers over the whole text once for each of its eight regions.
That is slow, and nearly all of it is spent where no number is. Here it goes so:

1. For each region a pattern is made from the library's metadata: the digits of every number that is valid
   there, however it is dialled, with whatever may stand between digits (`phone.gates`). The
   automaton of all patterns says where one of these could match. Elsewhere there is no number.
2. Around such a character a *window* is taken: all characters of which the library's candidates are made.
   No candidate crosses the edge of a window.
3. In a window the library's own pattern gives the *candidates*. One in which no region's pattern could match
   holds no number.
4. A candidate of digits and plain punctuation (`PLAIN`) ends where all that begin inside it end. All numbers
   have the same score, and one inside another is dropped; so as soon as one region takes the whole
   candidate, the others need not be asked.
5. Every other window goes to a matcher like the library's (`phone.matcher`), which tries only where a number
   of its region may begin.

The library gives a text up after a number of tries. Where a text has so many digits that this could happen,
the tries are counted, region by region (`_long`), so that the result is still the library's.

Cost: 25 microseconds for a number that was never seen; 100 in a list with nothing but blanks between.
Source: https://github.com/daviddrysdale/python-phonenumbers
"""

import functools
import re
from bisect import bisect_left
from collections.abc import Iterable

from phonenumbers import Leniency
from phonenumbers import phonenumbermatcher as library
from phonenumbers.phonenumberutil import _SECOND_NUMBER_START_PATTERN as SECOND_NUMBER

from headrace.kernels.scan import CODE_POINTS
from headrace.pipelines.stages.pii.automaton.graph import Pattern, alphabet
from headrace.pipelines.stages.pii.automaton.symbols import Symbols, named
from headrace.pipelines.stages.pii.phone.gates import gates
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
from headrace.pipelines.stages.pii.phone.validity import abroad, dialled, unchanged

Span = tuple[int, int]
REMEMBERED = 1 << 16
AROUND = 64  # characters looked at in one go
SAFE = 10_000  # characters: in a shorter text the matcher cannot use up its tries
FEW = 30  # runs of digits: with fewer it cannot either (22 times over, 7 tries, and 2 for 15 characters each)
DIGITS = re.compile(r"\d+")
# Candidates of digits and plain punctuation: any candidate that begins inside one ends where it ends.
PLAIN = re.compile(r"[+(\[]*\d{1,20}(?:[-. ()\[\]/]{1,4}\d{1,20}){0,19}")

# A number begins where the pattern of its region, or that of numbers with a plus, could match: at its first
# digit or its plus. There are two exceptions:
# - `WILD`: other characters than digits and plain punctuation. Letters may count as digits there, or begin an
#   extension; `gates.ODD` is the pattern for these.
# - `CUT`: more than 20 digits in a row. The matcher cuts such a run, and a candidate then begins or ends
#   beside a digit, where the patterns want none.
WILD = re.compile(r"[^-. ()\[\]/+\d]")
CUT = re.compile(r"\d{21}")

# Bits of a place: a number with a plus, an odd one, then one bit for each region, from bit number `HOME` on.
ABROAD_BIT, ODD_BIT, HOME = 1, 2, 2
ANY = ABROAD_BIT | ODD_BIT  # with either of these, all regions are asked
# The most digits in a row that the library takes for one candidate.
LONGEST = next(match.end() for match in library._PATTERN.finditer("0" * 9999))


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
        """Empty the caches, so that the next number costs what the first one did."""
        self.window.cache_clear()
        self.verdict.cache_clear()
        for region in filter(None, map(dialled, self.regions)):
            region.takes.cache_clear()
        abroad.cache_clear()
        dialling.cache_clear()
        parts.cache_clear()
        tries.cache_clear()

    def spans(self, text: str, places: Iterable[tuple[int, int]]) -> list[Span]:
        """Spans of numbers in `text`; `places` are (character, bits of what could match there)."""
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
        """Spans in the window ``start:stop``; `places` are those inside it."""
        if not places:
            return []
        spans: list[Span] = []
        at, cut = start, False
        begins = [place for place, _ in places]
        while cut or at <= begins[-1]:
            while cut and at + LONGEST < stop and text[at : at + LONGEST + 1].isdecimal():
                at += LONGEST  # so many digits in a row are a candidate by themselves, and no number
            match = library._PATTERN.search(text, at, stop)
            if match is None:
                break
            begun = ANY if cut else 0  # it begins among digits, where no pattern could match: ask all regions
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
        """Spans in a candidate of digits alone, which is a number as a whole or holds none.

        `whole`: bits of the regions that may take it.
        """
        if stop - start > LIMIT:
            return ()
        before = text[start - 1] if start else ""
        return self.verdict(before, text[start:stop], text[stop : stop + AFTER], whole, whole)

    def _long(self, text: str, places: list[tuple[int, int]]) -> list[Span]:
        """Spans in a text in which the matcher may use up its tries, which are counted for each region.

        A region that has none left finds nothing more, as in the library.
        """
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
        """How many tries the candidate ``start:stop`` costs where it holds no number."""
        candidate = text[start:stop]
        return 1 if is_stamp(candidate, text[stop : stop + AFTER]) else tries(candidate)

    def _window(self, text: str, start: int, stop: int, places: tuple[tuple[int, int], ...]) -> list[Span]:
        """Spans in ``start:stop``, by one matcher for each region that may find one there.

        What stands outside is only looked at, to see what a number is next to.
        """
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
        """Spans in a `PLAIN` candidate, from its own beginning.

        before, behind: what stands next to it. whole: bits of the regions that may take it as a whole. some:
        bits of those that may take a part of it.
        """
        run = candidate.isdecimal()
        if not run and is_stamp(candidate, behind):
            return ()
        text, start = before + candidate + behind, len(before)
        if self._takes_all(text, candidate, start, whole):
            return ((0, len(candidate)),)
        spans: set[Span] = set()
        if run:
            return ()  # the matcher would try parts of it, and a run of digits has none
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
            # Most candidates are no number, and this says so without making a matcher.
            taken = known.takes(digits) if known and digits else None
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
    """How many tries the matcher needs in `text` at most; 0 where it has so few digits that they suffice.

    Each candidate is tried as a whole and in parts, and what is left of it again behind every number found.
    """
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
