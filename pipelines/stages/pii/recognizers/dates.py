"""Dates that name their month, and numeric ones that Presidio does not know.

`dates`: "the 3rd of May 2021", "May 3, 2021", "3 May", "May third", "May 2021", "20210503T101500Z". Bare
years, months and weekdays are none.
"""

import re
from typing import Any

from headrace.pipelines.stages.pii.recognizers.lists import either
from headrace.pipelines.stages.pii.recognizers.recognizer import Recognizer, Span, before, span

MONTHS = either("months")
ORDINALS = (
    "first|second|third|fourth|fifth|sixth|seventh|eighth|ninth|tenth|eleventh|twelfth|thirteenth|fourteenth|"
    "fifteenth|sixteenth|seventeenth|eighteenth|nineteenth|twentieth|twenty[- ](?:first|second|third|fourth|"
    "fifth|sixth|seventh|eighth|ninth)|thirtieth|thirty[- ]first"
)
DAY = r"(?:0?[1-9]|[12]\d|3[01])"
YEAR = r"(?:1[6-9]|20|21)\d\d"
TIME = r"(?:[1-9]|0\d|1\d|2[0-3])"
VERBS = re.compile(r"\b(?:may|march|mar)\b")
SUFFIX = r"(?:[ ]?(?:st|nd|rd|th))?"


def dated(match: Any, score: float) -> Span | None:
    """Unless "may" or "march" is the verb: "they may 3 times", "4 may be"."""
    start, end = span(match)
    said = match[0].lower()
    if "ma" in said and VERBS.search(said):
        named = any(word in match[0] for word in ("May", "MAY", "March", "MARCH", "Mar"))
        clear = any(mark in said for mark in (" of ", "st", "nd", "rd", "th ", ",")) or said.endswith("th")
        if not named and not clear and not before(match.string, start, 4).lower().endswith(("on ", "by ")):
            return None
    return start, end, score


RECOGNIZERS = (
    Recognizer(
        "dates",
        "DATE_TIME",
        (
            (rf"(?i)(?<!\w)(?:{MONTHS})\.?[ ](?:the[ ])?{DAY}{SUFFIX}(?:,?[ ]{YEAR})?(?![\w%])", 0.6),
            (
                rf"(?i)(?<![\w.,$/])(?:the[ ])?{DAY}{SUFFIX}(?:[ ]day)?(?:[ ]of)?[ -]?(?:{MONTHS})"
                rf"(?:\.?,?[ -]{YEAR})?(?!\w)",
                0.6,
            ),
            (rf"(?i)(?<!\w)(?:{MONTHS})\.?(?:,?[ ]|[ ]of[ ]){YEAR}(?!\w)", 0.6),
            (rf"(?i)(?<!\w)(?:{MONTHS})[ ](?:the[ ])?(?:{ORDINALS})(?:,?[ ]{YEAR})?(?!\w)", 0.6),
            (rf"(?i)(?<!\w)(?:{ORDINALS})[ ](?:day[ ])?(?:of[ ])?(?:{MONTHS})(?:,?[ ]{YEAR})?(?!\w)", 0.6),
            (
                rf"(?<![\w.-]){YEAR}(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])T{TIME}[0-5]\d(?:[0-5]\d)?Z?"
                rf"(?!\w)",
                0.6,
            ),
            (rf"(?<![\w./-]){YEAR}[./](?:0?[1-9]|1[0-2])[./]{DAY}(?![\w/]|\.\d)", 0.6),
        ),
        dated,
        often=3,
    ),
)
