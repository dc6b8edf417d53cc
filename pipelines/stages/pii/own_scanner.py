"""Finds what our own recognisers look for, and tries a pattern only where it could match.

In: texts as one Arrow array. Out: findings (span, entity, score, recogniser) by text, as from
`presidio.scanner`.

How: all patterns are made into automata, which read the Arrow buffer once and say at which characters which
pattern could match. Where few of many matches are what they look like ("i am looking"), another automaton reads
on from there (`Recognizer.narrow`). There the pattern itself is tried. What it matches goes to the judge of its recogniser,
which returns span and score, or None for "no". A recogniser is data (`recognizers.recognizer`); all of them
are listed in `recognizers.catalogue`.

Why no limit of time: it would cost more than the matching. Instead every pattern is written so that it
cannot take long: words are repeated a few times at most, and a repeated character can be matched in one way
only.

Cost: one more reading of the texts, and some microseconds a match.
"""

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from headrace.kernels.scan import scan, scan_from
from headrace.pipelines.stages.pii.automaton.graph import Graph, Pattern
from headrace.pipelines.stages.pii.automaton.machine import Machine
from headrace.pipelines.stages.pii.automaton.symbols import Symbols, named
from headrace.pipelines.stages.pii.examined import Findings, by_row, examined, matcher, uncollected
from headrace.pipelines.stages.pii.findings import Finding
from headrace.pipelines.stages.pii.recognizers.catalogue import RECOGNIZERS
from headrace.pipelines.stages.pii.recognizers.recognizer import Recognizer, span

BITS = 64  # patterns in one automaton at most: more of them have more states, but each reads all texts


class Tried(NamedTuple):
    """A pattern: whose it is, its `match`, and the score of what it matches."""

    owner: Recognizer
    match: Any
    score: float


class OwnScanner:
    """Looks for what the recognisers `chosen` look for."""

    def __init__(self, chosen: Sequence[Recognizer]) -> None:
        listed = [(owner, Pattern(source), score) for owner in chosen for source, score in owner.patterns]
        symbols = Symbols(set().union(*(named(pattern.source) for _, pattern, _ in listed)))
        self.tried = [Tried(owner, matcher(of.source)[0], score) for owner, of, score in listed]
        patterns = [pattern for _, pattern, _ in listed]
        self.bits = -(-len(patterns) // max(1, -(-len(patterns) // BITS)))  # evenly, in as few as may be
        parts = [patterns[at : at + self.bits] for at in range(0, len(patterns), self.bits or 1)]
        self.machines = [_machine(part, symbols) for part in parts]
        self.narrowed = np.array([bool(one.owner.narrow) for one in self.tried], np.bool_)
        narrow = [(owner, Pattern(source)) for owner in chosen for source in owner.narrow]
        self.narrower = _machine([pattern for _, pattern in narrow], symbols) if narrow else None
        bits = [
            sum(1 << bit for bit, (owner, _) in enumerate(narrow) if owner is one.owner) for one in self.tried
        ]
        self.needed = np.array(bits, np.uint64)  # of those of `narrow` that a pattern's recogniser has

    def find(self, texts: pa.Array) -> Findings:
        """Findings in all texts (large_string[N]), by text; of equal texts one is examined for all."""
        rows, starts, patterns = self._candidates(texts)
        inside = list(zip(starts.tolist(), patterns.tolist(), strict=True))
        return examined(by_row(texts, rows, inside), self._examine)

    def _candidates(self, texts: pa.Array) -> tuple[NDArray[np.int64], ...]:
        """Where which pattern is to be tried: row, character, number of the pattern, ``int64[M]`` each.

        In the order of row, pattern and character, so that a pattern meets its places from left to right.
        """
        parts = []
        for number, machine in enumerate(self.machines):
            found = scan(texts, machine.tables, machine.learn)
            at, bit = set_bits(found.accepted)
            parts.append((found.row[at], found.start[at], number * self.bits + bit))
        rows, starts, patterns = (np.concatenate(column) for column in zip(*parts, strict=True))
        order = np.lexsort((starts, patterns, rows))
        return self._narrowed(texts, rows[order], starts[order], patterns[order])

    def _narrowed(
        self, texts: pa.Array, rows: NDArray[np.int64], starts: NDArray[np.int64], patterns: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], ...]:
        """Those of the places at which `narrow` of the pattern's recogniser matches, if it has any."""
        asked = np.flatnonzero(self.narrowed[patterns])
        if self.narrower is None or not len(asked):
            return rows, starts, patterns
        machine = self.narrower
        accepted = scan_from(texts, rows[asked], starts[asked], machine.tables, machine.learn)
        kept = np.ones(len(rows), np.bool_)
        kept[asked] = (accepted & self.needed[patterns[asked]]) > 0
        return rows[kept], starts[kept], patterns[kept]

    def _examine(self, text: str, places: list[tuple[int, int]]) -> list[Finding]:
        """Findings in one text, sorted; of one recogniser none lies inside another.

        `places` are (character, number of the pattern). A place inside what the same pattern has just matched
        is passed over, as a search from left to right would do.

        Raises: whatever a judge raises.
        """
        results: list[Finding] = []
        last, end = -1, 0
        for start, number in places:
            if number == last and start < end:
                continue
            one = self.tried[number]
            match = one.match(text, start)
            if match is None:
                continue
            judge = one.owner.judge
            judged = judge(match, one.score) if judge else (*span(match), one.score)
            if judged is None:
                continue
            last, end = number, judged[1]
            results.append(Finding(judged[0], end, one.owner.entity, judged[2], one.owner.name))
        if len(results) < 2:
            return results
        by_name: dict[str, list[Finding]] = {}
        for finding in results:
            by_name.setdefault(finding.recognizer, []).append(finding)
        return sorted(finding for found in by_name.values() for finding in _widest(found))


def set_bits(words: NDArray[np.uint64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(word, bit) of all bits that are set in ``uint64[N]``, ``int64[M]`` each; few are in most words."""
    at, left = np.arange(len(words)), words
    numbers, bits = [], []
    while len(at):
        rest = left & (left - np.uint64(1))
        numbers.append(at)
        bits.append(np.bitwise_count((left ^ rest) - np.uint64(1)).astype(np.int64))
        more = rest > 0
        at, left = at[more], rest[more]
    none = [np.zeros(0, np.int64)]
    return np.concatenate(numbers or none), np.concatenate(bits or none)


def _machine(patterns: Sequence[Pattern], symbols: Symbols) -> Machine:
    """One automaton of some patterns; where bit `i` of its answer is set, ``patterns[i]`` could match."""
    graph = Graph(symbols)
    added = [graph.pattern(bit, pattern) for bit, pattern in enumerate(patterns)]
    return Machine(graph, [start for one in added for start in one.starts])


def _widest(found: list[Finding]) -> list[Finding]:
    """Findings of one recogniser, none inside another; of the same span the highest score stays."""
    if len(found) < 2:
        return found
    kept: list[Finding] = []
    for finding in sorted(found, key=lambda f: (f.start, -f.end, -f.score)):
        if not kept or finding.end > kept[-1].end:
            kept.append(finding)
    return kept


@functools.cache
def own_scanner(without: frozenset[str]) -> OwnScanner:
    """The scanner of this process for all recognisers of ours but some."""
    with uncollected():
        return OwnScanner([one for one in RECOGNIZERS if one.name not in without])
