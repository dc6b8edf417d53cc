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
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import regex  # type: ignore[import-untyped]
from numpy.typing import NDArray

from headrace.kernels.scan import scan, scan_from
from headrace.pipelines import arrays
from headrace.pipelines.stages.pii.automaton.graph import Graph, Pattern
from headrace.pipelines.stages.pii.automaton.machine import Machine
from headrace.pipelines.stages.pii.automaton.symbols import Symbols, named
from headrace.pipelines.stages.pii.examined import Found, uncollected
from headrace.pipelines.stages.pii.findings import KINDS, Findings, joined, listed, ordered
from headrace.pipelines.stages.pii.recognizers.catalogue import RECOGNIZERS
from headrace.pipelines.stages.pii.recognizers.recognizer import Recognizer, span

REACH = 32  # bits of where in a text something ends
BITS = 64  # of what an automaton accepts: patterns of a recogniser share some, so that texts are read once


class Tries(NamedTuple):
    """Texts, what is found in them (of each which text it is in), and why some have nothing."""

    texts: list[str]
    rows: list[int]
    found: list[Found]
    failures: dict[int, str]


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

    @uncollected()
    def find(self, texts: pa.Array) -> Findings:
        """Findings in all texts (large_string[N]), in order; of one recogniser none lies inside another.

        A text on which a judge raises is in `failures`, with the type of the error alone: a message may quote
        it.
        """
        rows, starts, patterns = self._candidates(texts)
        held, at = np.unique(rows, return_inverse=True)
        tries = Tries(texts.take(pa.array(held)).to_pylist(), [], [], {})
        firsts = np.searchsorted(patterns, np.arange(len(self.tried) + 1)).tolist()
        for one, (first, last) in zip(self.tried, itertools.pairwise(firsts), strict=True):
            if first < last:
                _try(one, zip(at[first:last].tolist(), starts[first:last].tolist(), strict=True), tries)
        failures = {int(held[text]): cause for text, cause in tries.failures.items()}
        found = joined([listed(tries.rows, tries.found, {})._replace(failures=tries.failures)])
        return ordered(_widest(found._replace(rows=held[found.rows], failures=failures)))

    def _candidates(self, texts: pa.Array) -> tuple[NDArray[np.int64], ...]:
        """Where which pattern is to be tried: row, character, number of the pattern, ``int64[M]`` each.

        In the order of pattern, row and character, so that a pattern meets its places from left to right.
        """
        found = scan(texts, self.machine.tables, self.machine.learn)
        at, bit = set_bits(found.accepted)
        at, patterns = np.repeat(at, self.sizes[bit]), arrays.ranges(self.firsts[bit], self.sizes[bit])
        order = np.lexsort((at, patterns))
        at, patterns = at[order], patterns[order]
        kept = self._narrowed(texts, found.row[at], found.start[at], patterns)
        return found.row[at[kept]], found.start[at[kept]], patterns[kept]

    def _narrowed(
        self, texts: pa.Array, rows: NDArray[np.int64], starts: NDArray[np.int64], patterns: NDArray[np.int64]
    ) -> NDArray[np.bool_]:
        """Which of the places are left where `narrow` of the pattern's recogniser is asked, if it has any."""
        kept = np.ones(len(rows), np.bool_)
        asked = np.flatnonzero(self.narrowed[patterns])
        asked = asked[np.argsort(rows[asked], kind="stable")]
        tables, learn = self.narrower.tables, self.narrower.learn
        accepted = scan_from(texts, rows[asked], starts[asked], tables, learn)
        kept[asked] = (accepted & self.needed[patterns[asked]]) > 0
        return kept


def _try(one: Tried, places: Iterable[tuple[int, int]], tries: Tries) -> None:
    """Try a pattern at its `places`: (number of the text, character), from left to right.

    A place inside what the pattern has just matched is passed over, as a search would do.
    """
    judge, score, kind = one.owner.judge, one.score, KINDS[one.owner.entity, one.owner.name]
    matches = _compiled(one.source, is_ascii=True).match
    last, end = -1, 0
    for at, start in places:
        if at == last and start < end:
            continue
        text = tries.texts[at]
        try:
            match = (matches if text.isascii() else _compiled(one.source, is_ascii=False).match)(text, start)
            judged = match and (judge(match, score) if judge else (*span(match), score))
        except Exception as error:  # noqa: BLE001 - whatever it is, it costs this text only
            tries.failures.setdefault(at, type(error).__name__)
            continue
        if judged:
            last, end = at, judged[1]
            tries.rows.append(at)
            tries.found.append((judged[0], end, kind, judged[2]))


@functools.cache
def _compiled(source: str, *, is_ascii: bool) -> Any:
    """A pattern when it is first tried: most never are in a process, and each takes milliseconds.

    In texts of ASCII both engines agree, and `re` is faster.
    """
    return (re if is_ascii else regex).compile(source)


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


def _widest(found: Findings) -> Findings:
    """Findings, none inside another of its recogniser; of the same span the highest score stays."""
    order = np.lexsort((-found.scores, -found.ends, found.starts, found.kinds, found.rows))
    found = found.taken(order)
    own = found.rows * len(KINDS) + found.kinds  # of which text and recogniser
    reached = np.maximum.accumulate((own << REACH) + found.ends)  # by those before it: others lie far below
    return found.taken(np.append(True, ((own << REACH) + found.ends)[1:] > reached[:-1])[: len(own)])


@functools.cache
def own_scanner(without: frozenset[str]) -> OwnScanner:
    """The scanner of this process for all recognisers of ours but some."""
    with uncollected():
        return OwnScanner([one for one in RECOGNIZERS if one.name not in without])
