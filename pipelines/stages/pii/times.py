"""A date and the time of day beside it are one value: "2024-05-03 14:05:22", "3 May 2024 at 2:05 pm".

What: a finding of a date grows over the clock time that follows it, or stands before it. What looked like a
telephone number inside ("03.05.2024 14") is none.
"""

import re
from bisect import bisect_right
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from headrace.pipelines.stages.pii.findings import Finding

CLOCK = (
    r"(?:[01]?\d|2[0-3])(?::[0-5]\d(?::[0-5]\d(?:[.,]\d{1,9})?)?"
    r"(?:[ ]?[AaPp][Mm](?!\w)|[ ]?[AaPp]\.[ ]?[Mm]\.)?|"
    r"[ ]?[AaPp][Mm](?!\w)|[ ]?[AaPp]\.[ ]?[Mm]\.|[h.][0-5]\d(?=[ ]Uhr)|h[0-5]\d|(?=[ ]Uhr))(?:[ ]Uhr)?"
)
ZONE = r"(?:[ ]?(?:Z|UTC|GMT|CES?T|[ECMP][SD]T|BST|IST|[+-](?:0\d|1[0-4]):?[0-5]\d)(?![\w:]))?"
BEHIND = re.compile(
    rf"(?:[T_]|,?[ ]{{1,2}}|,?[ ](?:at|@|um|à)[ ]|[ ][@–-][ ]|:(?=\d\d:)){CLOCK}{ZONE}(?![\w:])"
)
BEFORE = re.compile(rf"(?<![\w:.]){CLOCK}{ZONE}(?:,?[ ]{{1,2}}|,?[ ](?:on|am)[ ])\Z")
DIGIT = re.compile(r"\d")
HAS_CLOCK = re.compile(r"\d:\d\d")
WORTH = 0.4  # score of a date from which it counts against a telephone number
LONGEST = 40  # characters of a time with its zone
NEXT = 6  # characters behind a date among which a time there has its first digit


def with_times(text: str, findings: Iterable[Finding]) -> list[Finding]:
    """`findings`, dates with their times of day, without telephone numbers made of both."""
    every = list(findings)
    dates = [one for one in every if one.entity == "DATE_TIME"]
    dates.sort(key=lambda one: one[:2])
    grown: dict[Finding, Finding] = {}
    earlier = begun = reach = 0  # where dates that begin before this one, and all so far, end
    for one in dates:
        if one.start > begun:
            earlier, begun = reach, one.start
        new = _grown(text, one, earlier)
        if new is not one:
            grown[one] = new
        reach = max(reach, new.end)
    if not grown:
        return every
    # In order; each begins behind the one before it, or where that begins.
    spans = [(new.start, new.end) for new in grown.values() if new.score >= WORTH]
    kept = []
    for one in every:
        near = bisect_right(spans, (one.start, len(text) + 1))
        inside = any(a <= one.start and one.end <= b for a, b in spans[max(0, near - 3) : near])
        if one.entity != "PHONE_NUMBER" or not inside:
            kept.append(grown.get(one, one))
    return kept


def may_grow(ahead: NDArray[np.uint8], behind: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Whether dates could grow, by `LONGEST` bytes of ASCII ahead of each and `NEXT` behind: bool[dates]."""
    blank = np.equal(ahead[:, -1], ord(" "))
    return _digits(behind) | blank & _digits(ahead)


def _digits(rows: NDArray[np.uint8]) -> NDArray[np.bool_]:
    digits: NDArray[np.bool_] = np.logical_or.reduce((rows >= ord("0")) & (rows <= ord("9")), axis=1)
    return digits


def _grown(text: str, one: Finding, earlier: int) -> Finding:
    """A date with the time behind it, or else before it, where that is not the one behind the date before."""
    if HAS_CLOCK.search(text, one.start, one.end):
        return one
    behind = BEHIND.match(text, one.end, min(len(text), one.end + LONGEST))
    if behind:
        one = one._replace(end=behind.end())
        if HAS_CLOCK.search(text, one.start, one.end):
            return one
    if text[max(0, one.start - 1) : one.start] != " ":
        return one
    ahead = text[max(earlier, one.start - LONGEST) : one.start]
    match = BEFORE.search(ahead) if DIGIT.search(ahead) else None
    return one._replace(start=one.start - len(ahead) + match.start()) if match else one
