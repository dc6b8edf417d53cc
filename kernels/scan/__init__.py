"""Scan: where in texts a deterministic automaton, started at that character, accepts something.

The automaton reads classes of characters. It is started at every character of a text, in a state that
depends on the class of the character before, and walks until it dies; what the states on its way accept is
gathered in one word. Before the first and after the last character it reads the class `edge`.

Cost: about three table look-ups a character where automata die soon, as they do in prose: 150 to 300 MB/s.
Source: Aho, Hopcroft and Ullman, "The Design and Analysis of Computer Algorithms" (1974), chapter 9
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from headrace.kernels.arrow import Texts, one_span, spans
from headrace.kernels.dispatch import Implementation, choose

CODE_POINTS = 0x110000
UNKNOWN = 0xFFFF
Learn = Callable[[int], None]


class Automaton(NamedTuple):
    """Tables of an automaton with S states over C classes; state 0 is dead and accepts nothing.

    classes uint8[CODE_POINTS]: class of each character, below `edge`; steps uint16[S, C]: next state, or
    UNKNOWN where that has not been worked out yet;
    accepts uint64[S]: what is accepted on entering a state; starts uint16[C]: first state by the class of
    the character before; edge: C - 1; every: bits that it may accept.

    A walk that asks for more steps than there are states accepts `every`: it would ask for ever.
    """

    classes: NDArray[np.uint8]
    steps: NDArray[np.uint16]
    accepts: NDArray[np.uint64]
    starts: NDArray[np.uint16]
    edge: int
    every: int = 2**64 - 1


class Places(NamedTuple):
    """Where the automaton accepted: characters ``start`` to ``stop`` (where it died) of text ``row``.

    row, start, stop int64[M], accepted uint64[M] (never 0), in order of (row, start).
    """

    row: NDArray[np.int64]
    start: NDArray[np.int64]
    stop: NDArray[np.int64]
    accepted: NDArray[np.uint64]


def scan(
    texts: Texts,
    automaton: Automaton,
    learn: Learn | None = None,
    *,
    implementation: Implementation = "auto",
) -> Places:
    """Places of `texts` (UTF-8) from which `automaton` accepts; a null text has none.

    `learn` is called with a state whose steps are UNKNOWN and puts them into the tables; it may number all
    states anew, as a walk begins again after it.

    Raises: ValueError for tables that do not fit together, or for UNKNOWN steps without `learn`.
    """
    _check(automaton)
    module = choose(__name__, implementation)
    parts, before = [], 0
    for part in spans(texts):
        found = module.scan(part, automaton, learn or _nothing)
        parts.append(Places(found[0] + before, *found[1:]))
        before += len(part)
    if len(parts) == 1:
        return parts[0]
    kinds = (np.int64, np.int64, np.int64, np.uint64)
    columns = zip(*parts, strict=True) if parts else [()] * 4
    return Places(*(np.concatenate([np.zeros(0, k), *c]) for c, k in zip(columns, kinds, strict=True)))


def scan_from(
    texts: Texts,
    rows: NDArray[np.int64],
    places: NDArray[np.int64],
    automaton: Automaton,
    learn: Learn | None = None,
    *,
    implementation: Implementation = "auto",
) -> NDArray[np.uint64]:
    """What `automaton` accepts from each character ``places[i]`` of text ``rows[i]``: ``uint64[M]``.

    `rows` and `places` int64[M]; rows that are in order are decoded once each. `learn` as in `scan`.

    Raises: ValueError as `scan`, or for a place that is not in its text.
    """
    _check(automaton)
    part = one_span(texts)
    if len(rows) and (len(places) != len(rows) or rows.min() < 0 or rows.max() >= len(part)):
        raise ValueError("a place is not in its text")
    if len(rows) and (places.min() < 0 or (places >= (part.stops - part.starts)[rows]).any()):
        raise ValueError("a place is not in its text")
    module = choose(__name__, implementation)
    found: NDArray[np.uint64] = module.scan_from(part, rows, places, automaton, learn or _nothing)
    return found


def _check(automaton: Automaton) -> None:
    states, classes = automaton.steps.shape
    fits = automaton.accepts.shape == (states,) and automaton.starts.shape == (classes,)
    if not fits or automaton.edge != classes - 1 or automaton.classes.shape != (CODE_POINTS,):
        raise ValueError(f"tables of {states} states and {classes} classes do not fit together")


def _nothing(state: int) -> None:
    raise ValueError(f"the steps of state {state} are unknown")


__all__ = ["CODE_POINTS", "UNKNOWN", "Automaton", "Places", "scan", "scan_from"]
