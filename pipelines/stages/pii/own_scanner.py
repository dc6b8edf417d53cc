"""Finds what our own recognisers look for, and tries a pattern only where it could match.

In: texts as one Arrow array. Out: findings (span, entity, score, recogniser) by text, as from
`presidio.scanner`.

How: all patterns are made into an automaton, which reads the Arrow buffer once and says at which characters
which pattern could match; rare ones of a recogniser share what it says. Where few of many matches are what
they look like ("i am looking"), another automaton reads on from there (`Recognizer.narrow`). Then the
pattern itself is tried. What it matches goes to the judge of its recogniser, which returns span and score, or
None for "no". A recogniser is data (`recognizers.recognizer`); all are listed in `recognizers.catalogue`.

Why no limit of time: it would cost more than the matching. Instead every pattern is written so that it
cannot take long: words are repeated a few times at most, and a repeated character can be matched in one way
only.

Cost: one more reading of the texts, and some microseconds a match.
"""

import functools
import itertools
import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import regex  # type: ignore[import-untyped]
from numpy.typing import NDArray

from headrace.kernels.scan import scan, scan_from
from headrace.pipelines import arrays
from headrace.pipelines.stages.pii.automaton.graph import Graph, Pattern
from headrace.pipelines.stages.pii.automaton.machine import Machine
from headrace.pipelines.stages.pii.automaton.symbols import Symbols, named
from headrace.pipelines.stages.pii.examined import Findings, Matched, by_row, examined, uncollected
from headrace.pipelines.stages.pii.findings import Finding
from headrace.pipelines.stages.pii.recognizers.catalogue import RECOGNIZERS
from headrace.pipelines.stages.pii.recognizers.recognizer import Recognizer, span

BITS = 64  # of what an automaton accepts: patterns of a recogniser share some, so that texts are read once


class Tried(NamedTuple):
    """A pattern: whose it is, its source, and the score of what it matches."""

    owner: Recognizer
    source: str
    score: float


class OwnScanner:
    """Looks for what the recognisers `chosen` look for."""

    def __init__(self, chosen: Sequence[Recognizer]) -> None:
        listed = [(owner, Pattern(source), score) for owner in chosen for source, score in owner.patterns]
        shared = shares(chosen)
        symbols = Symbols(set().union(*(named(pattern.source) for _, pattern, _ in listed)))
        self.tried = [Tried(owner, of.source, score) for owner, of, score in listed]
        # `match` of each pattern by whether the text is ASCII: there both engines agree, and `re` is faster.
        self.matches: tuple[dict[int, Matched], dict[int, Matched]] = {}, {}
        self.machine = _machine([(bit, of) for bit, (_, of, _) in zip(shared, listed, strict=True)], symbols)
        self.sizes = np.bincount(np.array(shared, np.int64), minlength=BITS)  # patterns of each bit
        self.firsts = np.cumsum(self.sizes) - self.sizes
        self.narrowed = np.array([bool(one.owner.narrow) for one in self.tried], np.bool_)
        narrow = [(owner, Pattern(source)) for owner in chosen for source in owner.narrow]
        self.narrower = _machine([(bit, of) for bit, (_, of) in enumerate(narrow)], symbols)
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
        found = scan(texts, self.machine.tables, self.machine.learn)
        at, bit = set_bits(found.accepted)
        at, patterns = np.repeat(at, self.sizes[bit]), arrays.ranges(self.firsts[bit], self.sizes[bit])
        rows, starts = found.row[at], found.start[at]
        order = np.lexsort((starts, patterns, rows))
        return self._narrowed(texts, rows[order], starts[order], patterns[order])

    def _narrowed(
        self, texts: pa.Array, rows: NDArray[np.int64], starts: NDArray[np.int64], patterns: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], ...]:
        """Those of the places at which `narrow` of the pattern's recogniser matches, if it has any."""
        asked = np.flatnonzero(self.narrowed[patterns])
        if not len(asked):
            return rows, starts, patterns
        tables, learn = self.narrower.tables, self.narrower.learn
        accepted = scan_from(texts, rows[asked], starts[asked], tables, learn)
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
        is_ascii = text.isascii()
        matches = self.matches[is_ascii]
        for start, number in places:
            if number == last and start < end:
                continue
            one = self.tried[number]
            if number not in matches:  # most never are in a process, and each takes milliseconds to compile
                matches[number] = (re if is_ascii else regex).compile(one.source).match
            match = matches[number](text, start)
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


def shares(chosen: Sequence[Recognizer]) -> list[int]:
    """The bit of each pattern, in order: each of those that match often has one, others share it by few."""
    for most in itertools.count(1):
        bits: list[int] = []
        for one in chosen:
            rest = len(one.patterns) - min(one.often, len(one.patterns))
            sizes = [1] * (len(one.patterns) - rest) + [most] * (rest // most) + [rest % most]
            first = bits[-1] + 1 if bits else 0
            bits += [bit for bit, size in enumerate(filter(None, sizes), first) for _ in range(size)]
        if not bits or bits[-1] < BITS:
            break
    return bits


def _machine(patterns: Iterable[tuple[int, Pattern]], symbols: Symbols) -> Machine:
    """One automaton of patterns with their bits; where that of one is set in its answer it could match."""
    graph = Graph(symbols)
    added = [graph.pattern(bit, pattern) for bit, pattern in patterns]
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
