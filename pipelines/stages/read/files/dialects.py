"""How a table in a text file is written: its delimiter, quotes and escapes, told by its first records.

The suffix's own delimiter stays wherever it fits as well as any other. Nothing is told from a single line of
which nobody knows what it is: then the file is what its suffix says.

Cost: 64 KiB of the file are parsed a few times.
"""

import csv
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import product
from typing import Any

from headrace.pipelines.stages.read.records import MEMORY_LIMIT, Manner, longest

DELIMITERS = (",", ";", "\t", "|", ":", "^", "\x01")
SELDOM = (":", "^", "\x01")  # they are letters of texts before they part columns
LINES = 5  # of a table; fewer show nothing
RECORDS = 200  # that are looked at
FITTING = 0.9  # of the records: as many fields as the first
_SEP = re.compile(r"\s*\"?sep=(.)\"?\s*", re.IGNORECASE)  # Excel's own first line


@dataclass(frozen=True)
class Dialect:
    """How fields are parted. quote: None where there are none.

    named: the first line is `sep=;` and no record. spaced: blanks behind a delimiter are no part of a field.
    """

    delimiter: str
    quote: str | None = '"'
    escape: str | None = None
    named: bool = False
    spaced: bool = False

    def reader(self, lines: Any) -> Any:
        """csv.reader over `lines`, which refuses what is malformed."""
        return csv.reader(
            lines,
            delimiter=self.delimiter,
            quotechar=self.quote,
            escapechar=self.escape,
            quoting=csv.QUOTE_MINIMAL if self.quote else csv.QUOTE_NONE,
            skipinitialspace=self.spaced,
            strict=True,
        )


def of(lines: list[str], usual: str, manner: Manner, *, ended: bool) -> Dialect:
    """The dialect of a file that begins with these `lines` (without their ends).

    usual: the delimiter of its suffix. ended: these are all lines.
    """
    named = _SEP.fullmatch(lines[0].lstrip("\ufeff")) if lines else None
    given = manner.delimiter or (named.group(1) if named else None)
    look = lines[1:] if named else lines
    delimiters = (given,) if given else (usual, *(d for d in DELIMITERS if d != usual))
    best, most = Dialect(given or usual, named=bool(named)), 0.0
    for delimiter in delimiters:
        blank = [f'{delimiter} "' in line for line in look[:RECORDS]]
        spaces = (True, False) if 2 * sum(blank) > len(blank) else (False, True)[: 1 + any(blank)]
        for (quote, escape), spaced in product(_quoting(look, delimiter, manner), spaces):
            dialect = Dialect(delimiter, quote, escape, bool(named), spaced)
            score = _score(look, dialect, ended=ended)
            # Another than the usual must part every record, and the usual none or hardly any.
            usual_one = (delimiter == usual or given) and quote is not None
            if score > most + (0.0 if usual_one else 1 - FITTING):
                best, most = dialect, score
    return best


def _quoting(lines: list[str], delimiter: str, manner: Manner) -> list[tuple[str | None, str | None]]:
    """Quotes and escapes to try, the usual ones first."""
    quotes: list[str | None]
    if manner.quote is not None:
        quotes = [manner.quote or None]
    else:
        quotes = ['"']
        if _single(lines, delimiter):
            quotes.append("'")
        if delimiter == "\t":
            quotes.append(None)  # tables of databases, in which a quote is a quote
    escapes: list[str | None] = [manner.escape or None]
    if manner.escape is None and any('\\"' in line or "\\'" in line for line in lines):
        escapes.append("\\")
    return [(quote, escape) for quote in quotes for escape in escapes]


def _single(lines: list[str], delimiter: str) -> bool:
    """Whether fields stand in single quotes.

    Most lines hold such a field, and no field stands in double ones.
    """
    edge = re.escape(delimiter)
    field = re.compile(rf"(?:^|{edge})'[^']*'(?={edge}|$)")
    double = re.compile(rf"(?:^|{edge})\"")
    looked = lines[:RECORDS]
    return not any(map(double.search, looked)) and 2 * sum(map(bool, map(field.search, looked))) > len(looked)


def _score(lines: list[str], dialect: Dialect, *, ended: bool) -> float:
    """Share of the first records that have as many fields as the first has; 0 where that is one field."""
    csv.field_size_limit(longest(MEMORY_LIMIT))
    widths: Counter[int] = Counter()
    taken = [0]

    def counted() -> Any:
        for line in lines:
            taken[0] += 1
            yield f"{line}\n"

    reader = dialect.reader(counted())
    malformed = 0
    first = 0
    while sum(widths.values()) + malformed < RECORDS:
        before = taken[0]
        try:
            row = next(reader)
        except StopIteration:
            break
        except csv.Error:
            if taken[0] < len(lines) or taken[0] - before <= 1 or ended:
                malformed += 1
            continue
        if row:
            widths[len(row)] += 1
            first = first or len(row)
    if not widths or first < 2:
        return 0.0
    score = widths[first] / (sum(widths.values()) + malformed)
    letters = dialect.delimiter in SELDOM
    return score if score >= FITTING or not letters else 0.0


def table(lines: list[str], delimiters: Sequence[str] = ("\t", ";", "|", "\x01")) -> str | None:
    """The delimiter of a text file that is a table; None where it is none.

    Nearly every line has the first one's number of fields.
    """
    full = [line for line in lines if line.strip()]
    for delimiter in delimiters:
        widths = Counter(len(row) for row in _rows(full, delimiter))
        first = full[0].count(delimiter) + 1 if full else 0
        if first > 1 and len(full) >= LINES and widths[first] >= FITTING * sum(widths.values()):
            return delimiter
    return None


def _rows(lines: list[str], delimiter: str) -> Iterator[list[str]]:
    with suppress(csv.Error):
        yield from csv.reader((f"{line}\n" for line in lines), delimiter=delimiter)
