"""Values as text: what a column holds of numbers, parts and bytes, in the words that a turn or a key has."""

import json
import math
from decimal import Decimal
from typing import Any

from headrace.pipelines.stages.read.records import ReadError
from headrace.pipelines.stages.read.turns import blocks


def text(value: Any) -> str:
    """Any value as text, lists and mappings as JSON: of keys, times and what is carried along.

    Raises: ReadError for bytes that are no UTF-8, and for parts that are no text.
    """
    if type(value) is str:
        return value
    if value is None or (isinstance(value, float | Decimal) and math.isnan(value)):
        return ""
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            raise ReadError("read.bad_utf8", "a binary value that is no UTF-8") from None
    if blocks.is_parts(value):
        return blocks.joined(value, None)
    if isinstance(value, bool | int | float | list | dict):
        return compact(value)
    return format(value, "f") if isinstance(value, Decimal) else str(value)


def words(value: Any, place: str | None, left: dict[str, int] | None) -> str:
    """What stands in a place for text, as text. Raises: ReadError for lists and mappings that are none.

    place: the column or key, for the message. left: counts parts that are no text; None: there may be none.
    """
    if type(value) is str:
        return value
    if blocks.is_parts(value):
        return blocks.joined(value, left)
    if isinstance(value, list | tuple | dict):
        kind = "a mapping" if isinstance(value, dict) else "a list"
        where = f" in {place!r}" if place else ""
        raise ReadError("read.wrong_type", f"{kind}{where} where text is asked for")
    return text(value)


def compact(value: Any) -> str:
    """JSON in one line, keys in the record's own order."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=str)
