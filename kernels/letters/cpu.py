"""Letters through a table of code points that grows as they are met; all values of an owner in one pass.

The texts of an owner are folded into one buffer. A byte of it that begins no value of the owner costs one
look-up; values that begin alike are linked, and compared byte by byte.
"""

import functools
from typing import Literal

import numpy as np
from numba import njit
from numpy.typing import NDArray

from headrace.kernels.arrow import Spans
from headrace.kernels.letters.reference import letters
from headrace.kernels.utf8 import decoded

CODE_POINTS = 0x110000
UNKNOWN, ASKED = 0xFF, 0xFE  # sizes of code points whose letters are not known, and have been asked for
ROOM = 1 << 16
SIDES: tuple[Literal["left", "right"], ...] = ("left", "right")
MET = 1 << 12  # unknown code points that are asked for together


class Table:
    """Letters of the code points that have been met.

    sizes uint8[CODE_POINTS]: bytes of each one's letters, or `UNKNOWN`; firsts int32[CODE_POINTS]: where they
    begin in `data` uint8[].
    """

    def __init__(self) -> None:
        self.sizes = np.full(CODE_POINTS, UNKNOWN, np.uint8)
        self.firsts = np.zeros(CODE_POINTS, np.int32)
        self.data = np.zeros(0, np.uint8)
        self.learn(np.arange(128))

    def learn(self, codes: NDArray[np.int64]) -> None:
        """Work out the letters of code points."""
        made = [letters(chr(code)).encode() for code in codes.tolist()]
        sizes = np.array([len(one) for one in made], np.int64)
        self.sizes[codes], self.firsts[codes] = sizes, len(self.data) + np.cumsum(sizes) - sizes
        self.data = np.concatenate([self.data, np.frombuffer(b"".join(made), np.uint8)])


@functools.cache
def table() -> Table:
    """What this process has learnt."""
    return Table()


def said(
    texts: Spans,
    owners: NDArray[np.int64],
    values: Spans,
    value_owners: NDArray[np.int64],
    parts: Spans,
    part_owners: NDArray[np.int64],
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which values are said elsewhere than in `parts`, and which texts say one of those."""
    known = table()
    again, there = np.zeros(len(values), np.bool_), np.zeros(len(texts), np.bool_)
    counts, links = np.zeros(len(values), np.int64), np.empty(len(values), np.int64)
    owned = np.unique(value_owners)
    bounds = [
        np.searchsorted(whose, owned, side) for whose in (owners, value_owners, part_owners) for side in SIDES
    ]
    folded, ends = np.empty(ROOM, np.uint8), np.empty(max(len(texts), len(parts)), np.int64)
    met = np.empty(MET, np.int64)
    at = 0
    while at < len(owned):
        at, unknown = _said(
            (texts.data, texts.starts, texts.stops, *bounds[:2]),
            (values.data, values.starts, values.stops, *bounds[2:4]),
            (parts.data, parts.starts, parts.stops, *bounds[4:]),
            (known.sizes, known.firsts, known.data), folded, ends, met, counts, links, at, again, there,
        )  # fmt: skip
        if unknown:
            known.learn(met[:unknown])
        elif at < len(owned):
            folded = np.empty(2 * len(folded), np.uint8)
    return again, there


@njit(nogil=True, cache=True)
def _said(  # type: ignore[no-untyped-def]
    texts, values, parts, known, folded, ends, met, counts, links, owner, again, there
):
    """From `owner` on: (next owner, how many code points are unknown: they are `met`); none: no room."""
    heads = np.empty(256, np.int64)
    data, starts, stops, first, last = values
    while owner < len(first):
        heads[:] = -1
        for value in range(first[owner], last[owner]):
            byte = data[starts[value]]
            links[value], heads[byte], counts[value] = heads[byte], value, 0
        for sign, (every, begins, finishes, begin, end) in ((-1, parts), (1, texts)):
            size, unknown = _folded(
                every, begins, finishes, begin[owner], end[owner], known, folded, ends, met
            )
            if unknown or size < 0:
                return owner, unknown
            at = 0
            for row in range(begin[owner], end[owner]):
                for place in range(at, ends[row]):
                    value = heads[folded[place]]
                    while value >= 0:
                        stands = _stands(data, starts[value], stops[value], folded, place, ends[row])
                        counts[value] += sign * np.int64(stands)
                        value = links[value]
                at = ends[row]
        some = False
        for value in range(first[owner], last[owner]):
            again[value] = counts[value] > 0
            some |= again[value]
        if some:
            at = 0
            for row in range(texts[3][owner], texts[4][owner]):
                there[row] = _is_there(data, starts, stops, folded, at, ends[row], heads, links, again)
                at = ends[row]
        owner += 1
    return owner, 0


@njit(nogil=True, cache=True)
def _is_there(data, starts, stops, folded, at, end, heads, links, again):  # type: ignore[no-untyped-def]
    """Whether ``at:end`` of `folded` says a value that is said `again`."""
    for place in range(at, end):
        value = heads[folded[place]]
        while value >= 0:
            if again[value] and _stands(data, starts[value], stops[value], folded, place, end):
                return True
            value = links[value]
    return False


@njit(nogil=True, cache=True)
def _stands(values, start, stop, folded, place, end):  # type: ignore[no-untyped-def]
    """Whether the value ``start:stop`` stands at `place`, before `end`."""
    if place + stop - start > end:
        return False
    at = 1
    while at < stop - start and folded[place + at] == values[start + at]:
        at += 1
    return at == stop - start


@njit(nogil=True, cache=True)
def _folded(data, starts, stops, begin, end, table, folded, ends, met):  # type: ignore[no-untyped-def]
    """Put the letters of texts ``begin:end`` into `folded`, where each ends into `ends`:
    (bytes, or -1 where there is no room; how many code points are unknown).
    """
    sizes, firsts, known = table
    to, unknown = np.int64(0), 0
    for row in range(begin, end):
        at, stop = starts[row], stops[row]
        if to + stop - at > len(folded):
            return -1, unknown
        while at < stop:
            code = np.int64(data[at])
            if code < 0x80:
                folded[to] = known[firsts[code]] if sizes[code] else 0
                to += np.int64(sizes[code])
                at += 1
                continue
            code, length = decoded(data, at)
            at += length
            size = sizes[code]
            if size == UNKNOWN:
                if unknown == len(met):
                    return 0, unknown
                met[unknown], sizes[code] = code, ASKED
                unknown += 1
            elif size != ASKED:
                if to + size + stop - at > len(folded):
                    return -1, unknown
                for byte in range(size):
                    folded[to + byte] = known[firsts[code] + byte]
                to += np.int64(size)
        ends[row] = to
    return to, unknown


def warm() -> None:
    """Compile, or load from Numba's cache."""
    text = Spans(np.full(1, 65, np.uint8), np.zeros(1, np.int64), np.ones(1, np.int64), None)
    said(*(text, np.zeros(1, np.int64)) * 3)
