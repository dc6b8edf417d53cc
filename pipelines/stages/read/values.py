"""What a row has of its records beside their turns: the group, the time, the columns that are carried along.

Values come as files hold them: numbers or text, with and without zones and fractions. What is the same value
becomes the same key or time.

Cost: a microsecond or two a value.
"""

import math
import re
from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import xxhash
from numpy.typing import NDArray

from headrace.pipelines import schema
from headrace.pipelines.stages.read.records import ReadError
from headrace.pipelines.stages.read.turns import words

_WHOLE = re.compile(r"([+-]?\d+)\.0+", re.ASCII)


def groups(records: list[dict[str, Any]], column: str | None, seed: int, n: int) -> pa.Array:
    """Keyed hash of the grouping column: ``uint64[N]``, null where a record has none."""
    if column is None:
        return pa.nulls(n, pa.uint64())
    return pa.array([keyed_hash(r.get(column), seed) for r in records], pa.uint64())


def keyed_hash(value: Any, seed: int) -> int | None:
    """64-bit hash of a key under `seed`; None for none."""
    found = key(value)
    if found is None:
        return None
    return xxhash.xxh3_64_intdigest(found.encode("utf-8", "surrogatepass"), seed=seed % 2**64)


def key(value: Any) -> str | None:
    """A value that rows share as text; None where there is none.

    A whole number is one key however it is written: 7, 7.0 (as a table with gaps has integers), "7.0".
    """
    if isinstance(value, float | Decimal) and math.isfinite(value) and value == int(value):
        return str(int(value))
    found = plain(value)
    if found and found.endswith("0") and (whole := _WHOLE.fullmatch(found)):
        return whole[1]
    return found or None


def others(records: list[dict[str, Any]], only: Mapping[str, Any]) -> NDArray[np.bool_]:
    """Which records have other values in some columns than are asked for: ``bool[N]``."""
    asked = {
        column: {(key(v) or "").casefold() for v in (value if isinstance(value, tuple) else (value,))}
        for column, value in only.items()
    }
    fits = [all((key(r.get(c)) or "").casefold() in values for c, values in asked.items()) for r in records]
    return ~np.array(fits, np.bool_)


def plain(value: Any) -> str | None:
    """A value as text; None where there is none or it cannot be told."""
    if value is None or type(value) is str:
        return value
    try:
        return words.text(value)
    except (ReadError, RecursionError):
        return None


def clean(value: str) -> str:
    """`value` with what UTF-8 cannot hold replaced."""
    return value.encode("utf-8", "replace").decode()


def times(records: list[dict[str, Any]], column: str | None, n: int) -> pa.Array:
    """The time column: ``timestamp[us, UTC][N]``, null where there is none or it cannot be told."""
    kind = schema.ROW.field("time").type
    if column is None:
        return pa.nulls(n, kind)
    return pa.array([microseconds(r.get(column)) for r in records], pa.int64()).cast(kind)


def microseconds(value: Any) -> int | None:
    """Microseconds since 1970 of ISO 8601 text (UTC where it names no zone) or of a number.

    A number is taken as seconds, milliseconds, microseconds or nanoseconds by its size: 1e11
    seconds is the year 5138, 1e11 milliseconds 1973.
    """
    if isinstance(value, bool) or value is None:
        return None
    try:
        if isinstance(value, str) and not value.strip().lstrip("+-").replace(".", "", 1).isdecimal():
            value = datetime.fromisoformat(value.strip())
        elif isinstance(value, date) and not isinstance(value, datetime):
            value = datetime(value.year, value.month, value.day)
        if isinstance(value, datetime):
            aware = value if value.tzinfo else value.replace(tzinfo=UTC)
            return round((aware - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds() * 1e6)
        number = float(value)
        for limit, scale in ((1e11, 1e6), (1e14, 1e3), (1e17, 1.0), (1e19, 1e-3)):
            if abs(number) < limit:
                return round(number * scale)
    except (ValueError, TypeError, OverflowError):
        return None
    return None


def meta(records: list[dict[str, Any]], columns: tuple[str, ...], n: int) -> pa.Array:
    """The named columns as text: ``map<string, string>[N]``, null where none is named."""
    if not columns:
        return pa.nulls(n, schema.META)
    found = []
    for record in records:
        pairs = ((c, plain(record.get(c))) for c in columns)
        found.append([(c, clean(v)) for c, v in pairs if v is not None])
    return pa.array(found, schema.META)
