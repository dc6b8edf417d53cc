"""Scan in one pass: a text is decoded into classes once, then walked from every character that may accept.

Most walks end within three characters. A first look (`_likely`) takes these steps from a block of characters
without a branch, which a processor does several times as fast as walks whose length it cannot guess; walked
is from what is alive then, has accepted, or asks for steps that are unknown.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from headrace.kernels.arrow import Spans
from headrace.kernels.utf8 import decoded

UNKNOWN = 0xFFFF
ROOM = 1 << 14  # places that are collected before they are put aside
IMPATIENT = 64  # steps that a walk may ask for in a text where one asked for more than there is room for
BLOCK = 4096  # characters that are looked at before they are walked from
AHEAD = 4  # classes beside those of the characters: `edge` before, and three that are read behind
SHORT = 24  # characters of a walk that are not remembered


def scan(texts: Spans, automaton: Any, learn: Callable[[int], None]) -> tuple[NDArray[Any], ...]:
    """(row, start, stop int64[M], accepted uint64[M]) of all places where `automaton` accepts."""
    longest = int((texts.stops - texts.starts).max(initial=0))
    classes = np.zeros(longest + AHEAD, np.uint8)
    trail = np.empty(longest + 2, np.uint16), np.empty(longest + 2, np.uint64)
    likely = np.empty(BLOCK, np.int64)
    tables = (automaton.classes, automaton.steps, automaton.accepts, automaton.starts, automaton.edge)
    parts, row, at, length, size = [], 0, 0, -1, 0
    spans, accepted = np.empty((3, ROOM), np.int64), np.empty(ROOM, np.uint64)
    asked, place = 0, (-1, -1)  # how often the walk from a place has asked
    patience = len(automaton.steps)
    first = automaton.steps[automaton.starts]  # by the classes of two characters
    while row < len(texts):
        row, at, length, size, unknown = _scan(
            texts.data, texts.starts, texts.stops, *tables, first, classes, likely,
            *trail, row, at, length, spans, accepted, size,
        )  # fmt: skip
        if unknown >= 0:
            asked, place = asked + 1 if place == (row, at) else 1, (row, at)
            if asked <= patience:
                learn(unknown)
                # Always: where there is no room all states are forgotten, and their numbers given anew.
                first = automaton.steps[automaton.starts]
                continue
            patience = IMPATIENT
            spans[:, size], accepted[size] = (row, at, length), automaton.every
            size, at = size + 1, at + 1
        if size == ROOM:
            parts.append((*spans, accepted))
            spans, accepted, size = np.empty((3, ROOM), np.int64), np.empty(ROOM, np.uint64), 0
    parts.append((*spans[:, :size], accepted[:size]))
    return tuple(np.concatenate(column) for column in zip(*parts, strict=True))


@njit(nogil=True, cache=True)
def _scan(  # type: ignore[no-untyped-def]
    data, begins, ends, table, steps, accepts, starts, edge, first, classes, likely,
    states, later, row, at, length, spans, accepted, size,
):  # fmt: skip
    """Places from character `at` of text `row` on, whose `length` classes are known, or -1:
    (next row, next at, its length, places, state of unknown steps or -1).

    It returns when all texts are done, there is no room for a place, or steps are unknown. A walk goes no
    further than to where it meets the one before in the same state: `states` has that one's states at the
    characters from `begin` to `end`, `later` what it accepted from there on.
    """
    room, begin, end = len(accepted), 0, -1
    while row < len(begins):
        if length < 0:
            length = _classes(data, begins[row], ends[row], table, edge, classes)
        while at < length:
            until = min(at + BLOCK, length)
            count = _likely(steps, accepts, first, classes, at, until, likely)
            for number in range(count):
                at = likely[number]
                if size == room:
                    return row, at, length, size, -1
                state = first[classes[at], classes[at + 1]]
                if state == UNKNOWN:
                    return row, at, length, size, np.int64(starts[classes[at]])
                gathered, place, soon = accepts[state], at + 1, min(at + SHORT, length + 1)
                while place < soon:
                    following = steps[state, classes[place + 1]]
                    if following == 0:
                        break
                    if following == UNKNOWN:
                        return row, at, length, size, np.int64(state)
                    state = following
                    gathered |= accepts[state]
                    place += 1
                if place == soon and place <= length:
                    end, unknown = _walk(
                        steps, accepts, classes, length, place, state, states, later, begin, end
                    )
                    if unknown >= 0:
                        return row, at, length, size, unknown
                    begin, gathered, place = place, gathered | later[place], end
                if gathered:
                    spans[0, size] = row
                    spans[1, size] = at
                    spans[2, size] = min(place, length)
                    accepted[size] = gathered
                    size += 1
            at = until
        row, at, length, begin, end = row + 1, 0, -1, 0, -1
    return row, at, length, size, -1


@njit(nogil=True, cache=True)
def _likely(steps, accepts, first, classes, at, until, likely):  # type: ignore[no-untyped-def]
    """Put characters of ``at:until`` into `likely`, less those from which a walk ends within three steps and
    has accepted nothing; how many they are.
    """
    # Indices without a sign, as one with a sign would be asked whether it counts from the end.
    count, none, unknown = np.uint64(0), np.uint64(0), np.uint64(UNKNOWN)
    a, b, c = np.uint64(classes[at]), np.uint64(classes[at + 1]), np.uint64(classes[at + 2])
    for place in range(np.uint64(at), np.uint64(until)):
        d = np.uint64(classes[place + np.uint64(3)])
        one = np.uint64(first[a, b])
        known = one if one != unknown else none
        two = np.uint64(steps[known, c])
        sure = two if two != unknown else none
        three = steps[sure, d]
        accepted = (accepts[known] | accepts[sure]) != none
        likely[count] = place
        count += np.uint64((one == unknown) | (two == unknown) | (three != 0) | accepted)
        a, b, c = b, c, d
    return np.int64(count)


@njit(nogil=True, cache=True)
def _walk(  # type: ignore[no-untyped-def]
    steps, accepts, classes, length, start, state, states, later, begin, end
):
    """Walk on from `state` before character `start`: (where it dies, state of unknown steps or -1).

    It goes no further than to where it meets the walk that is remembered from `begin` to `end`, and is
    remembered itself.
    """
    place, met = start, False
    while True:
        met = begin <= place <= end and states[place] == state
        if met:
            break
        states[place], later[place] = state, 0
        following = steps[state, classes[place + 1]] if place <= length else np.uint16(0)
        if following == 0:
            break
        if following == UNKNOWN:
            return place, np.int64(state)
        state = following
        place += 1
    for at in range(place - 1, start - 1, -1):
        later[at] = later[at + 1] | accepts[states[at + 1]]
    return end if met else place, np.int64(-1)


def scan_from(
    texts: Spans,
    rows: NDArray[np.int64],
    places: NDArray[np.int64],
    automaton: Any,
    learn: Callable[[int], None],
) -> NDArray[np.uint64]:
    """What `automaton` accepts from each character ``places[i]`` of text ``rows[i]``: ``uint64[M]``."""
    accepted = np.zeros(len(rows), np.uint64)
    classes = np.zeros(int((texts.stops - texts.starts).max(initial=0)) + AHEAD, np.uint8)
    trail = np.empty(len(classes), np.uint16), np.empty(len(classes), np.uint64)
    tables = (automaton.classes, automaton.steps, automaton.accepts, automaton.starts, automaton.edge)
    at, row, length = 0, -1, 0
    asked, place, patience = 0, -1, len(automaton.steps)
    while at < len(rows):
        at, row, length, unknown = _scan_from(
            texts.data, texts.starts, texts.stops, *tables, classes,
            *trail, rows, places, at, row, length, accepted,
        )  # fmt: skip
        if unknown >= 0:
            asked, place = asked + 1 if place == at else 1, at
            if asked <= patience:
                learn(unknown)
            else:
                accepted[at], at, patience = automaton.every, at + 1, IMPATIENT
    return accepted


@njit(nogil=True, cache=True)
def _scan_from(  # type: ignore[no-untyped-def]
    data, begins, ends, table, steps, accepts, starts, edge, classes,
    states, later, rows, places, at, row, length, accepted,
):  # fmt: skip
    """Walk from place `at` on: (next place, row that is decoded, its length, unknown state or -1)."""
    begin, end = 0, -1
    while at < len(rows):
        if rows[at] != row:
            row, begin, end = rows[at], 0, -1
            length = _classes(data, begins[row], ends[row], table, edge, classes)
        place = places[at]
        state, gathered, soon = starts[classes[place]], np.uint64(0), min(place + SHORT, length + 1)
        while place < soon:
            following = steps[state, classes[place + 1]]
            if following == 0:
                break
            if following == UNKNOWN:
                return at, row, length, np.int64(state)
            state = following
            gathered |= accepts[state]
            place += 1
        if place == soon and place <= length:
            end, unknown = _walk(steps, accepts, classes, length, place, state, states, later, begin, end)
            if unknown >= 0:
                return at, row, length, unknown
            begin, gathered = place, gathered | later[place]
        accepted[at] = gathered
        at += 1
    return at, row, length, np.int64(-1)


@njit(nogil=True, cache=True)
def _classes(data, start, stop, table, edge, classes):  # type: ignore[no-untyped-def]
    """Put `edge`, the class of each character and three times `edge` into `classes`; how many characters
    there are.
    """
    classes[0] = edge
    size, at = 1, start
    while at < stop:
        code, length = np.int64(data[at]), 1
        if code >= 0x80:
            code, length = decoded(data, at)
        at += length
        classes[size] = table[code]
        size += 1
    classes[size : size + AHEAD - 1] = edge
    return size - 1


def warm() -> None:
    """Compile, or load from Numba's cache."""
    from headrace.kernels.scan import CODE_POINTS, Automaton

    text = Spans(np.full(1, 65, np.uint8), np.zeros(1, np.int64), np.ones(1, np.int64), None)
    steps, accepts = np.zeros((2, 2), np.uint16), np.zeros(2, np.uint64)
    automaton = Automaton(np.zeros(CODE_POINTS, np.uint8), steps, accepts, np.zeros(2, np.uint16), 1)
    scan(text, automaton, print)
    scan_from(text, np.zeros(1, np.int64), np.zeros(1, np.int64), automaton, print)
