"""Where an over-long row is cut: never inside a value that PII found, be it kept or a stand-in.

Half a tag teaches a model to write half tags, and half a number may be found as another one. A place is
moved ahead of a value that would stand on both sides of it; only a value as long as a whole sample is cut.

Cost: a few decodings of some dozen tokens a cut, of over-long rows with values alone.
"""

from collections.abc import Callable, Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Decode = Callable[[Sequence[int]], str]
REACH = 512  # tokens around a place that are looked at


def values(table: pa.Table, rows: Ints) -> dict[int, list[str]]:
    """Values and stand-ins of those of the `rows` that have any, by row, as ``spans`` tell them."""
    if "spans" not in table.column_names or not len(rows):
        return {}
    found = {}
    chosen = table.select(["messages", "spans"]).take(pa.array(rows)).to_pylist()
    for row, one in zip(rows.tolist(), chosen, strict=True):
        said = {one["messages"][s["message"]]["content"][s["start"] : s["end"]] for s in one["spans"] or ()}
        if said - {""}:
            found[row] = sorted(said - {""})
    return found


def stretches(ids: Sequence[int], limit: int, said: Sequence[str], decode: Decode) -> list[tuple[int, int]]:
    """Consecutive stretches of at most `limit` tokens that cover `ids` and cut none of the values `said`."""
    found, start = [], 0
    while start < len(ids):
        stop = min(start + limit, len(ids))
        if stop < len(ids):
            stop = _place(ids, start, stop, said, decode)
        found.append((start, stop))
        start = stop
    return found


def _place(ids: Sequence[int], start: int, stop: int, said: Sequence[str], decode: Decode) -> int:
    """The last place up to `stop` that no value stands across; `stop` where there is none behind `start`."""
    reach = min(REACH, max(len(value.encode()) for value in said))
    place = stop
    while place > start:
        around = max(start, place - reach), min(len(ids), place + reach)
        parts = decode(ids[around[0] : place]), decode(ids[place : around[1]])
        whole = decode(ids[around[0] : around[1]])
        if all(whole.count(value) <= sum(part.count(value) for part in parts) for value in said):
            return place
        place -= 1
    return stop
