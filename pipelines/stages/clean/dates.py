"""Dates written as ISO 8601: 3 May 2024, May 3rd, 2024, 03.05.2024 and 2024/5/3 as 2024-05-03.

What: a date has a day, a month and a year of four digits, and is one of the calendar. A month is a number,
or a name or an abbreviation of the languages that the recipe names; a name that two of them have for
different months is none. Numbers alone are read in the one way that gives a date; where two do, `order` says
which, or, with ``auto``, the dates of the same row that can be read one way alone, where they agree; in a row
without such dates, those of its source. Else the date stays, and is counted. Code, addresses and structures
stay as they are, and what follows a straight quotation mark, as values in code do; so do years of two digits,
dates without a year and what is relative: nothing says which day they mean.

The names come with dateparser, for 200 languages. Its own search is not asked: it takes "may" and "on" for
dates.

Cost: a look by RE2 for a year; a regular expression over texts that hold one.
Source: https://dateparser.readthedocs.io, ISO 8601-1:2019.
"""

import datetime
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from importlib import import_module
from typing import Literal

from headrace.pipelines.stages.clean.spans import in_prose, prose

Order = Literal["auto", "dmy", "mdy"]
LEAST = 3  # dates that tell the order of a whole source
SUSPECTS = r"[0-9](?s:.)*(?:1[5-9]|20|21)[0-9][0-9]|(?:1[5-9]|20|21)[0-9][0-9](?s:.)*[0-9]"
YEAR = "(?:1[5-9]|20|21)[0-9]{2}"
EDGE = r"(?<![\w./:+\-\u2013'\"])"
END = r"(?![\w/:+\-]|\.[0-9])"
NUMBERS = re.compile(
    rf"{EDGE}(?:(?P<y>{YEAR})(?P<s>[./-])(?P<m>[0-9]{{1,2}})(?P=s)(?P<d>[0-9]{{1,2}})"
    rf"|(?P<a>[0-9]{{1,2}})(?P<t>[./-])(?P<b>[0-9]{{1,2}})(?P=t)(?P<z>{YEAR}))(?![0-9]){END}"
)
ASIAN = re.compile(rf"(?<![0-9])({YEAR})\s?[年년]\s?([0-9]{{1,2}})\s?[月월]\s?([0-9]{{1,2}})\s?[日일]")
MONTHS = (
    *("january", "february", "march", "april", "may", "june", "july", "august", "september", "october"),
    *("november", "december"),
)


def order_of(texts: Iterable[str]) -> Order | None:
    """What the dates of a row's texts say: dmy or mdy where all that say anything agree, auto where they do
    not, None where none says anything.
    """
    said = set(_orders(texts))
    return None if not said else said.pop() if len(said) == 1 else "auto"


def order_of_source(texts: Iterable[str]) -> Literal["dmy", "mdy", "row"]:
    """What the dates of a source's texts say of all its rows: row (nothing) where fewer than `LEAST` of them
    can be read one way alone, or where these do not agree.
    """
    counts = Counter(_orders(texts))
    if len(counts) != 1 or counts.total() < LEAST:
        return "row"
    return "dmy" if "dmy" in counts else "mdy"


def _orders(texts: Iterable[str]) -> Iterator[Order]:
    """The order of each date of numbers that can be read one way alone."""
    for text in texts:
        for is_prose, piece in prose(text) if NUMBERS.search(text) else ():
            for date in NUMBERS.finditer(piece) if is_prose else ():
                if date["z"]:
                    day_first, month_first = _both(date)
                    if (day_first is None) != (month_first is None):
                        yield "dmy" if day_first else "mdy"


def iso(text: str, order: Order, languages: Sequence[str]) -> tuple[str, int, int]:
    """`text` with its dates as ISO 8601; how many were changed, and how many stay as they can be read in two
    ways.
    """
    ambiguous = 0

    def number(match: re.Match[str]) -> str:
        nonlocal ambiguous
        if match["y"]:
            return _day(match["y"], match["m"], match["d"]) or match[0]
        day_first, month_first = _both(match)
        if day_first and month_first and day_first != month_first:
            if order == "auto":
                ambiguous += 1
                return match[0]
            return day_first if order == "dmy" else month_first
        return day_first or month_first or match[0]

    def change(piece: str) -> tuple[str, int]:
        n = 0

        def counted(match: re.Match[str], made: str | None) -> str:
            nonlocal n
            n += made is not None and made != match[0]
            return match[0] if made is None else made

        piece = NUMBERS.sub(lambda match: counted(match, number(match)), piece)
        piece = ASIAN.sub(lambda match: counted(match, _day(*match.groups())), piece)
        pattern, months = _names(tuple(languages))
        piece = pattern.sub(lambda match: counted(match, _named(match, months)), piece)
        return piece, n

    text, changed = in_prose(text, change)
    return text, changed, ambiguous


def _both(match: re.Match[str]) -> tuple[str | None, str | None]:
    """A date of numbers, year last, read as day-month and as month-day; None where that is no date."""
    return _day(match["z"], match["b"], match["a"]), _day(match["z"], match["a"], match["b"])


def _named(match: re.Match[str], months: dict[str, int]) -> str | None:
    name = (match["m1"] or match["m2"]).lower().rstrip(".")
    month = months.get(" ".join(name.split()))  # a long s matches s as well, and is not its lower case
    return _day(match["y1"] or match["y2"], str(month), match["d1"] or match["d2"]) if month else None


def _day(year: str, month: str, day: str) -> str | None:
    try:
        return datetime.date(int(year), int(month), int(day)).isoformat()
    except ValueError:
        return None


@lru_cache(maxsize=16)
def _names(languages: tuple[str, ...]) -> tuple[re.Pattern[str], dict[str, int]]:
    """Pattern of a date with its month by name, and the months by their names, in lower case."""
    found: dict[str, set[int]] = {}
    for language in languages:
        info = import_module(f"dateparser.data.date_translation_data.{language.replace('-', '_')}").info
        for number, month in enumerate(MONTHS, 1):
            for name in info.get(month, ()):
                if re.fullmatch(r"[^\W\d_][^\d_]+", name):
                    found.setdefault(name.lower().rstrip("."), set()).add(number)
    months = {name: next(iter(numbers)) for name, numbers in sorted(found.items()) if len(numbers) == 1}
    names = "|".join(
        re.escape(name).replace(r"\ ", r"\s+") for name in sorted(months, key=lambda n: (-len(n), n))
    )
    day = r"(?P<d{n}>[0-9]{{1,2}})(?:st|nd|rd|th|er|\.|º|ª)?"
    first = rf"{day.format(n=1)}(?:\s+(?:of|de|d['’]))?[ \u00a0\n-]*(?P<m1>{names})\.?,?(?:\s+(?:de|del|of))?"
    second = rf"(?P<m2>{names})\.?\s+{day.format(n=2)},?"
    whole = rf"{EDGE}(?:{first}[ \u00a0\n-]+(?P<y1>{YEAR})|{second}\s+(?P<y2>{YEAR}))(?![0-9]){END}"
    return re.compile(whole if names else r"(?!)(?P<m1>)(?P<m2>)", re.IGNORECASE), months
