"""Scan by starting the automaton at every character."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headrace.kernels.arrow import Spans

UNKNOWN = 0xFFFF


def scan(texts: Spans, automaton: Any, learn: Callable[[int], None]) -> tuple[NDArray[Any], ...]:
    """(row, start, stop int64[M], accepted uint64[M]) of all places where `automaton` accepts."""
    found: list[tuple[int, int, int, int]] = []
    for row, (start, stop) in enumerate(zip(texts.starts, texts.stops, strict=True)):
        text = texts.data[start:stop].tobytes().decode()
        classes = [automaton.edge, *(int(automaton.classes[ord(c)]) for c in text), automaton.edge]
        for at in range(len(text)):
            accepted, died = walk(automaton, classes, at, learn)
            if accepted:
                found.append((row, at, died, accepted))
    columns = list(zip(*found, strict=True)) or [()] * 4
    kinds = (np.int64, np.int64, np.int64, np.uint64)
    return tuple(np.array(column, kind) for column, kind in zip(columns, kinds, strict=True))


def scan_from(
    texts: Spans,
    rows: NDArray[np.int64],
    places: NDArray[np.int64],
    automaton: Any,
    learn: Callable[[int], None],
) -> NDArray[np.uint64]:
    """What `automaton` accepts from each character ``places[i]`` of text ``rows[i]``: ``uint64[M]``."""
    accepted = []
    for row, place in zip(rows, places, strict=True):
        text = texts.data[texts.starts[row] : texts.stops[row]].tobytes().decode()
        classes = [automaton.edge, *(int(automaton.classes[ord(c)]) for c in text), automaton.edge]
        accepted.append(walk(automaton, classes, int(place), learn)[0])
    return np.array(accepted, np.uint64)


def walk(automaton: Any, classes: list[int], at: int, learn: Callable[[int], None]) -> tuple[int, int]:
    """What is accepted from character `at`, and the character at which the automaton dies."""
    for _ in range(len(automaton.steps) + 1):
        state, accepted = int(automaton.starts[classes[at]]), 0
        for place in range(at + 1, len(classes)):
            following = int(automaton.steps[state, classes[place]])
            if following == UNKNOWN:
                break
            if following == 0:
                return accepted, place - 1
            state = following
            accepted |= int(automaton.accepts[state])
        else:
            return accepted, len(classes) - 2
        learn(state)
    return automaton.every, len(classes) - 2
