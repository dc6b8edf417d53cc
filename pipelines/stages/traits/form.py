"""How an answer looks, the form of the reasoning before it, and whether it copies what it answers.

Cost: the first and last bytes of each answer, and, where an answer begins as its prompt does, the prompt's.
"""

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numba import njit
from numpy.typing import NDArray

from headrace.kernels.arrow import one_span
from headrace.pipelines.stages.traits.config import FORMATS, REASONING
from headrace.pipelines.stages.traits.signals import FENCE_CODE, FENCE_DATA, LONG, Signals
from headrace.pipelines.stages.traits.words import bit

LABEL = 3  # words of an answer that may be a label
ITEMS = 2  # lines that begin as items, from which on an answer is a list
LEAST_COPY = 24  # letters and digits of a prompt that an answer may be said to copy
OPENINGS = 64  # bytes of an answer in which reasoning is looked for
OPEN = {  # what reasoning begins with, by its form
    "think": r"<think>",
    "thinking": r"<thinking>",
    "reasoning": r"<reasoning>",
    "thought": r"(?i)<thoughts?>",
    "mistral": r"\[THINK\]",
    "channel": r"<\|channel\|>\s*analysis",
}
EMPTY = r"(?i)^\s*<[a-z]+>\s*</[a-z]+>|^\s*\[THINK\]\s*\[/THINK\]"


def look(answers: pa.Array, seen: Signals) -> dict[str, Any]:
    """`format` (string[N], of `FORMATS`), `empty` (no visible byte) and `snake` (one word of several parts,
    as names of classes are): bool[N].
    """
    given = one_span(answers)
    ends, snake = np.zeros((2, len(given)), np.uint8), np.zeros(len(given), np.bool_)
    _ends(given.data, given.starts, given.stops, ends, snake)
    opens, closes = ends
    short = (seen.forms & LONG) == 0
    fenced = (seen.forms & (FENCE_CODE | FENCE_DATA)) != 0
    shapes = {
        "empty": opens == 0,
        "number": short & (seen.words == seen.numbers) & (seen.words > 0) & (seen.words <= LABEL),
        "json": ((opens == ord("{")) & (closes == ord("}"))) | ((opens == ord("[")) & (closes == ord("]"))),
        "xml": (opens == ord("<")) & (closes == ord(">")),
        "code": fenced | ((seen.first & bit("code_answer")) != 0),
        "table": (opens == ord("|")) & (closes == ord("|")),
        "label": short & (seen.words <= LABEL) & (seen.words > 0) & ~np.isin(closes, (46, 33, 63, 58)),
        "list": seen.items >= ITEMS,
    }
    order = [*(name for name in FORMATS if name in shapes), "prose"]
    first = np.full(len(given), len(order) - 1, np.int8)
    for at in range(len(order) - 2, -1, -1):
        first[shapes[order[at]]] = at
    return {
        "format": pa.array(order).take(pa.array(first)),
        "empty": shapes["empty"],
        "snake": snake & (seen.words == 1) & short,
    }


def reasoning(answers: pa.Array, seen: Signals) -> pa.Array:
    """Form of the reasoning that each answer begins with, ``string[N]`` of `REASONING`.

    Tags in whatever dress, balanced or not; "steps" where the opening says so in words; "empty" for tags with
    nothing between.
    """
    head = pc.binary_slice(answers.cast(pa.large_binary()), 0, OPENINGS)
    given = one_span(head)
    opens = np.zeros((2, len(given)), np.uint8)
    _ends(given.data, given.starts, given.stops, opens, np.zeros(len(given), np.bool_))
    told = np.full(len(given), REASONING.index("none"), np.int8)
    told[(seen.opening & bit("steps")) != 0] = REASONING.index("steps")
    rows = np.flatnonzero((opens[0] == ord("<")) | (opens[0] == ord("[")))
    some = head.take(pa.array(rows))
    tags = {name: rf"^\s*{begins}" for name, begins in OPEN.items()}
    for name, pattern in [*tags.items(), ("empty", EMPTY)]:
        hit = pc.match_substring_regex(some, pattern).to_numpy(zero_copy_only=False)
        if name == "empty":
            hit = hit & (told[rows] < len(OPEN))
        told[rows[hit]] = REASONING.index(name)
    return pa.array(REASONING).take(pa.array(told))


def copies(prompts: pa.Array, answers: pa.Array) -> NDArray[np.bool_]:
    """Whether an answer begins with its whole prompt, ``bool[N]``; case, spaces and punctuation apart."""
    first, second = one_span(prompts), one_span(answers)
    found = np.zeros(len(first), np.bool_)
    _copies(first.data, first.starts, first.stops, second.data, second.starts, second.stops, found)
    return found


@njit(nogil=True, cache=True)
def _ends(data, starts, stops, ends, snake):  # type: ignore[no-untyped-def]
    for row in range(len(starts)):
        at, stop = starts[row], stops[row]
        while at < stop and data[at] <= 32:
            at += 1
        while stop > at and data[stop - 1] <= 32:
            stop -= 1
        if at == stop:
            continue
        ends[0, row], ends[1, row] = data[at], data[stop - 1]
        for k in range(at, min(stop, at + 64)):
            if data[k] == 95:
                snake[row] = True


@njit(inline="always")
def _next(data, at, stop):  # type: ignore[no-untyped-def]
    """The next byte of a letter or digit at or behind `at`, small, and the place behind it; 0 at the end."""
    while at < stop:
        byte = data[at]
        at += 1
        if 65 <= byte <= 90:
            return np.uint8(byte | 0x20), at
        if byte >= 0x80 or 97 <= byte <= 122 or 48 <= byte <= 57:
            return byte, at
    return np.uint8(0), at


@njit(nogil=True, cache=True)
def _copies(data, starts, stops, other, others, ends, found):  # type: ignore[no-untyped-def]
    for row in range(len(starts)):
        at, to, n = starts[row], others[row], 0
        while True:
            want, at = _next(data, at, stops[row])
            if want == 0:
                found[row] = n >= LEAST_COPY
                break
            have, to = _next(other, to, ends[row])
            if have != want:
                break
            n += 1


def warm() -> None:
    """Compile, or load from Numba's cache."""
    one = pa.array(["a"], pa.large_string())
    given = one_span(one)
    _ends(given.data, given.starts, given.stops, np.zeros((2, 1), np.uint8), np.zeros(1, np.bool_))
    copies(one, one)
