"""A date and the time of day beside it are one value: "2024-05-03 14:05:22", "3 May 2024 at 2:05 pm".

What: a finding of a date grows over the clock time that follows it, or stands before it. What looked like a
telephone number inside ("03.05.2024 14") is none.
"""

import re
from collections.abc import Iterable

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
HAS_CLOCK = re.compile(r"\d:\d\d")
LONGEST = 40  # characters of a time with its zone


def with_times(text: str, findings: Iterable[Finding]) -> list[Finding]:
    """`findings`, dates with their times of day, without telephone numbers made of both."""
    every = list(findings)
    grown = {one: _behind(text, one) for one in every if one.entity == "DATE_TIME"}
    for one, so_far in grown.items():
        earlier = max((other.end for other in grown.values() if other.start < one.start), default=0)
        grown[one] = _before(text, so_far, earlier)
    spans = [(new.start, new.end) for old, new in grown.items() if new != old and new.score >= 0.4]
    return [
        grown.get(one, one)
        for one in every
        if one.entity != "PHONE_NUMBER" or not any(a <= one.start and one.end <= b for a, b in spans)
    ]


def _behind(text: str, one: Finding) -> Finding:
    if HAS_CLOCK.search(text, one.start, one.end):
        return one
    match = BEHIND.match(text, one.end, min(len(text), one.end + LONGEST))
    return one._replace(end=match.end()) if match else one


def _before(text: str, one: Finding, earlier: int) -> Finding:
    """With the time before it that is not the one behind the date before."""
    if HAS_CLOCK.search(text, one.start, one.end):
        return one
    first = max(earlier, one.start - LONGEST)
    match = BEFORE.search(text[first : one.start])
    return one._replace(start=first + match.start()) if match else one
