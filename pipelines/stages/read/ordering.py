"""In which order the records of a conversation stand: what the values of `order_by` stand for.

A number, also as text, is a number; ISO 8601 text is a time, in whatever zone and with whatever fraction.
Where a conversation has both, its numbers are times too, as `values.microseconds` reads them. Values are
compared exactly: a float holds neither the nanoseconds of a date nor an id of 19 digits. Where none of a
conversation's values is either, they are compared as texts, and runs of digits in texts that differ in
nothing else as numbers ("turn 9" before "turn 10"). What says nothing beside others that do stands after
them, as it lies.

Cost: ~2 microseconds a record and column.
"""

import re
from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headrace.pipelines.stages.read.values import plain

KINDS = ("as_text", "tied", "unordered")  # of turns, as `changed` counts them
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# A number is seconds, milliseconds, microseconds or nanoseconds by its size, as for `time`.
SCALES = ((10**11, 10**9), (10**14, 10**6), (10**17, 10**3))
FRACTION = re.compile(r"([.,]\d{6})(\d+)")
DIGITS = re.compile(r"(\d+)")
LONGEST = 4000  # digits of a run: `int` refuses more

# What a value stands for: a time in nanoseconds since 1970, a number, or text; None where there is none.
Value = int | Decimal | str | None


def order(
    records: Sequence[dict[str, Any]], firsts: NDArray[np.int64], columns: Sequence[str]
) -> tuple[NDArray[np.int64], dict[str, NDArray[np.int64]]]:
    """Permutation that puts conversations in their order and their records in theirs, and counts by `KINDS`.

    `firsts`, ``int64[N]``, holds for each record the index of its conversation's first one; records come as
    they lie, which decides between equal ones. Counts, ``int64[N]``, are 1 at each turn that is in order by
    the text of a value alone (`as_text`), shares its place with the turn before (`tied`), or has no value
    that could order it beside others that have (`unordered`).
    """
    counts = {kind: np.zeros(len(records), np.int64) for kind in KINDS}
    if not columns:
        return np.argsort(firsts, kind="stable"), counts
    talks: dict[int, list[int]] = defaultdict(list)
    for record, first in enumerate(firsts.tolist()):
        talks[first].append(record)
    ordered: list[int] = []
    for first in sorted(talks):
        talk = talks[first]
        if len(talk) > 1:
            talk = _ordered(records, talk, columns, counts)
        ordered += talk
    return np.array(ordered, np.int64), counts


def _ordered(
    records: Sequence[dict[str, Any]],
    talk: list[int],
    columns: Sequence[str],
    counts: dict[str, NDArray[np.int64]],
) -> list[int]:
    """The records of one conversation in their order; counts what is said of them."""
    by_column = [_ranks([value(records[i].get(c)) for i in talk]) for c in columns]
    keys = list(zip(*(ranks for ranks, _ in by_column), strict=True))
    chosen = sorted(range(len(talk)), key=keys.__getitem__)
    for before, after in pairwise(chosen):
        counts["tied"][talk[after]] = keys[before] == keys[after]
    for place, i in enumerate(talk):
        silent = all(ranks[place][0] > 0 for ranks, _ in by_column)
        counts["unordered"][i] = silent
        counts["as_text"][i] = not silent and any(text and r[place][0] == 0 for r, text in by_column)
        counts["tied"][i] &= not silent
    return [talk[place] for place in chosen]


def _ranks(values: Sequence[Value]) -> tuple[list[tuple[int, Any]], bool]:
    """What the values of one column are compared by within a conversation, and whether that is their text.

    (0, key) of a value that orders, (1, 0) of text beside such values, (2, 0) of none.
    """
    if any(isinstance(v, int | Decimal) for v in values):
        timed = any(isinstance(v, int) for v in values)
        numbers = [_instant(v) if timed and isinstance(v, Decimal) else v for v in values]
        return [
            (2, 0) if v is None else (1, 0) if n is None or isinstance(n, str) else (0, n)
            for v, n in zip(values, numbers, strict=True)
        ], False
    texts = [v for v in values if isinstance(v, str)]
    numbered = len({DIGITS.sub("0", t) for t in texts}) == 1 and all(len(t) < LONGEST for t in texts)
    return [(2, 0) if v is None else (0, _by_digits(str(v)) if numbered else v) for v in values], bool(texts)


def _by_digits(text: str) -> list[int]:
    """The numbers in a text, then the digits as they stand, so that "01" and "1" are told apart."""
    runs = DIGITS.findall(text)
    return [*map(int, runs), *map(len, runs)]


def value(given: Any) -> Value:
    """What a value of `order_by` stands for."""
    text = (plain(given) or "").strip()
    if not text:
        return None
    try:
        number = Decimal(text)
    except (InvalidOperation, ValueError):
        return _time(text)
    return text if number.is_nan() else number


def _time(text: str) -> int | str:
    """Nanoseconds since 1970 of ISO 8601 text (UTC where it names no zone); other text as it is."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return text
    aware = found if found.tzinfo else found.replace(tzinfo=UTC)
    since = aware - EPOCH
    finer = FRACTION.search(text)  # a datetime ends at microseconds
    nanoseconds = ((since.days * 86_400 + since.seconds) * 10**6 + since.microseconds) * 1000
    return nanoseconds + (int(finer[2][:3].ljust(3, "0")) if finer else 0)


def _instant(number: Decimal) -> Decimal | None:
    """Nanoseconds since 1970 of a number; None of one that is no time."""
    for limit, scale in SCALES:
        if abs(number) < limit:
            return number * scale
    return number if abs(number) < 10**19 else None
