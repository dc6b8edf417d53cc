"""The findings of Presidio's recognisers, by trying their patterns only where they could match.

What: all patterns become one automaton (`automaton.machine`) that is run over the Arrow buffer
(`kernels.scan`). It says from which characters which pattern could match; there, and nowhere else, the
pattern itself is tried, on the same text, so that it sees what is around. Trying the places in order, and
none inside a match, is what a search does. What Presidio makes of matches follows: checksums, duplicates
removed inside a recogniser, scores raised by context words (`presidio.context`), duplicates removed
again. Telephone numbers have no pattern but a library: `phone.scanner`.

Exact: findings are those of `AnalyzerEngine.analyze`, to the last score. Nothing here knows Presidio's
patterns; they are read when the process starts. A recogniser that cannot be read (another class, a pattern
beyond what the automaton understands) is asked about whole texts, with a warning.

Cost: the automaton some 130 MB/s; then some 10 microseconds a match. To set a process up takes 2 CPU seconds,
half of them imports; it learns the automaton's states on the way, some tenths of a second altogether.
"""

import functools
import gc
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from headrace.kernels.scan import Places, scan, scan_from
from headrace.pipelines.stages.pii.automaton.graph import Added, Graph, Pattern
from headrace.pipelines.stages.pii.automaton.machine import Machine
from headrace.pipelines.stages.pii.automaton.symbols import Symbols, named
from headrace.pipelines.stages.pii.findings import Finding
from headrace.pipelines.stages.pii.phone.scanner import Phones, region_gate
from headrace.pipelines.stages.pii.presidio.context import Pieces, Words
from headrace.pipelines.stages.pii.presidio.patterns import (
    Searched,
    graphed,
    is_phones,
    patterns_of,
    searched,
)
from headrace.pipelines.stages.pii.presidio.setup import LANGUAGE, RanOutOfTimeError, engine, quiet

Result = tuple[int, int, float, str, int]  # start, end, score, entity, number of the recogniser


class Findings(NamedTuple):
    """Findings of many texts, ``findings[i]`` of text ``rows[i]``, and why a text could not be examined."""

    rows: list[int]
    findings: list[Finding]
    failures: dict[int, str]


class Scanner:
    """All recognisers of Presidio's default registry, or those that are given."""

    def __init__(self, *, context: bool, recognizers: list[Any] | None = None) -> None:
        self.watch = quiet()
        presidio = engine()
        default = presidio.registry.get_recognizers(language=LANGUAGE, all_fields=True)
        self.recognizers = default if recognizers is None else recognizers
        self.names = [recognizer.name for recognizer in self.recognizers]
        self.entities = sorted({entity for one in self.recognizers for entity in one.supported_entities})
        self.enhancer = presidio.context_aware_enhancer
        contexts = [recognizer.context for recognizer in self.recognizers]
        self.words = Words(presidio.nlp_engine, self.enhancer, contexts, LANGUAGE) if context else None
        self.whole: list[int] = []
        self.phone: tuple[int, Phones] | None = None
        read = [patterns_of(recognizer) for recognizer in self.recognizers]
        for at, recognizer in enumerate(self.recognizers):
            if is_phones(recognizer) and self.phone is None:
                self.phone = at, Phones(tuple(recognizer.supported_regions), recognizer.leniency)
        gates = self.phone[1].gates if self.phone else []
        dialled = _dialled(self.phone[1].regions) if self.phone else {}
        sources = [*(pattern for patterns in read for pattern in patterns or ()), *gates, *dialled]
        symbols = Symbols(set().union(*(named(p.source + p.between) for p in sources)))
        graph = Graph(symbols)
        self.searched: list[Searched] = []
        added: list[Added] = []
        for at, recognizer in enumerate(self.recognizers):
            made = graphed(graph, len(added), read[at])
            if made:
                self.searched += [searched(recognizer, at, *one, symbols) for one in made]
                added += [one for _, _, one in made]
            elif self.phone is None or self.phone[0] != at:
                self.whole.append(at)
                warnings.warn(f"{recognizer.name} is unknown: it is asked about whole texts", stacklevel=2)
        added += [graph.pattern(len(added) + at, gate) for at, gate in enumerate(gates)]
        self.machines = _machines(graph, added)
        self.dialled = [(bits, _machine(gate, symbols)) for gate, bits in dialled.items()]
        offered = [entity for recognizer in self.recognizers for entity in recognizer.supported_entities]
        self.shared = len(set(offered)) < len(offered)
        self.shortening = {one.owner for one in self.searched if one.parts}

    def forget(self) -> None:
        """Forget numbers and words that were met, as at the start of a process."""
        if self.words:
            self.words.stretch.cache_clear()
        if self.phone:
            self.phone[1].forget()

    def find(self, texts: pa.Array) -> Findings:
        """Findings of all texts (large_string[N]) in order; equal texts are examined once."""
        places = self.places(texts)
        inside = zip(places.start.tolist(), places.accepted.tolist(), strict=True)
        return examined(by_row(texts, places.row, list(inside), everywhere=bool(self.whole)), self._examine)

    def places(self, texts: pa.Array) -> Places:
        """Where which pattern could match; the bits above those of the patterns are of telephone numbers.

        There the first three are `pii_phone.gates`; for the last of them those of the regions follow.
        """
        places = _joined([_scanned(texts, character, machine) for character, machine in self.machines])
        shift = len(self.searched)
        home = np.flatnonzero(places.accepted >> np.uint64(shift + 2) & np.uint64(1))
        bits = np.zeros(len(home), np.uint64)
        for region_bits, machine in self.dialled:
            taken = scan_from(texts, places.row[home], places.start[home], machine.tables, machine.learn)
            bits |= np.where(taken > 0, np.uint64(region_bits << shift + 2), np.uint64(0))
        accepted = places.accepted & ~np.uint64(1 << shift + 2)
        accepted[home] |= bits
        kept = accepted > 0
        return Places(places.row[kept], places.start[kept], places.stop[kept], accepted[kept])

    def _examine(self, text: str, places: list[tuple[int, int]]) -> list[Finding]:
        """Findings in one text, sorted by place; `places` are (character, bits).

        Raises: whatever a recogniser raises; RanOutOfTimeError.
        """
        self.watch.late = False
        results = self._matches(text, places)
        for at in self.whole:
            results += _asked(self.recognizers[at], at, self.entities, text)
        if self.shared:
            results = _kept(results)
        if self.watch.late:
            raise RanOutOfTimeError
        if self.words and results:
            results = self._raised(text, results, self.words)
        names = self.names
        return sorted(
            Finding(start, end, entity, float(score), names[owner])
            for start, end, score, entity, owner in results
        )

    def _matches(self, text: str, places: list[tuple[int, int]]) -> list[Result]:
        """Results of all recognisers, each's duplicates removed."""
        shift = len(self.searched)
        below = (1 << shift) - 1
        ends: dict[int, int] = {}
        found: dict[int, list[Result]] = {}
        busy, free = 0, len(text)  # patterns that go on, and where the first of them ends
        for start, bits in places:
            if start >= free:
                ends = {at: end for at, end in ends.items() if end > start}
                busy, free = (sum(1 << at for at in ends), min(ends.values())) if ends else (0, len(text))
            left = bits & below & ~busy
            while left:
                at = (left & -left).bit_length() - 1
                left &= left - 1
                one = self.searched[at]
                end = 0
                if one.run is not None:
                    end = self._run(text, start, one, found.setdefault(one.owner, []))
                elif match := one.match(text, start):
                    end = match.end()
                    self._judge(one, match, found.setdefault(one.owner, []))
                if end > start:
                    ends[at] = end
                    busy |= 1 << at
                    free = min(free, end)
        every: list[Result] = []
        for owner, results in found.items():
            every += results if len(results) < 2 or owner in self.shortening else _kept(results)
        dialled = [(start, bits >> shift) for start, bits in places if bits >> shift]
        if dialled and self.phone:
            at, phones = self.phone
            recognizer = self.recognizers[at]
            entity = recognizer.supported_entities[0]
            spans = phones.spans(text, dialled)
            every += _kept([(start, end, recognizer.SCORE, entity, at) for start, end in spans])
        return every

    def _run(self, text: str, start: int, one: Searched, results: list[Result]) -> int:
        """Put what a pattern finds inside the run that begins at `start` into `results`; where it ends."""
        characters, most = one.run or (frozenset(), 0)
        end: int = start
        while True:
            match = one.match(text, start)
            if match:
                start = end = match.end()
                self._judge(one, match, results)
            else:
                ahead = text[start : start + most + 1]
                if len(ahead) <= most or not all(c in characters for c in ahead):
                    return end
                match = one.search(text, start + 1)  # the run is longer than the pattern takes
                if match is None or not all(c in characters for c in text[start : match.start()]):
                    return end
                start = match.start()
                continue
            if start == len(text) or text[start - 1] not in characters or text[start] not in characters:
                return end

    def _judge(self, one: Searched, match: Any, results: list[Result]) -> None:
        """Put what Presidio's recognisers make of a match into `results`."""
        start, end = match.span()
        if one.parts:  # the longest of its groups that is valid
            groups = range(len(match.groups()), 0, -1)
            ends = [match.end(group) if match.end(group) > 0 else end for group in groups]
        else:
            ends = [end]
        for end in ends:
            score = one.score if end > start else 0
            if one.validates and score:
                valid = self.recognizers[one.owner].validate_result(match.string[start:end])
                score = score if valid is None else 1.0 if valid else 0
            if one.invalidates and self.recognizers[one.owner].invalidate_result(match.string[start:end]):
                score = 0
            if score > 0:
                results.append((start, end, score, one.entity, one.owner))
                return

    def _raised(self, text: str, results: list[Result], words: Words) -> list[Result]:
        """`results` with the scores of those that have a context word nearby raised."""
        owners = words.owners_in(text, {result[4] for result in results})
        if not owners:
            return results
        pieces = Pieces(words, text)
        near: dict[int, int] = {}
        raised = []
        for start, end, score, entity, owner in results:
            if owner in owners:
                if start not in near:
                    near[start] = words.near(text, start, pieces)
                if near[start] >> owner & 1:
                    score += self.enhancer.context_similarity_factor
                    score = min(max(score, self.enhancer.min_score_with_context_similarity), 1.0)
            raised.append((start, end, score, entity, owner))
        return _kept(raised) if raised != results else results


@contextmanager
def _uncollected() -> Iterator[None]:
    """Without looking for cycles of garbage, a tenth of the time: findings make none, Presidio is large."""
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()


@functools.cache
def scanner(context: bool) -> Scanner:
    """The scanner of this process."""
    return Scanner(context=context)


def _machines(graph: Graph, added: list[Added]) -> list[tuple[str | None, Machine]]:
    """Automata, each with a character that a text must have for it."""
    groups: dict[str | None, list[int]] = {}
    for one in added:
        groups.setdefault(graph.needed(one), []).extend(one.starts)
    return [(character, Machine(graph, begin)) for character, begin in groups.items()]


def _machine(pattern: Pattern, symbols: Symbols) -> Machine:
    """Automaton of a pattern of digits, which may be any script's."""
    graph = Graph(symbols)
    return Machine(graph, graph.pattern(0, pattern).starts, values=True)


def _scanned(texts: pa.Array, character: str | None, machine: Machine) -> Places:
    """Places of an automaton in the texts that hold `character`."""
    if character is None:
        return scan(texts, machine.tables, machine.learn)
    rows = np.flatnonzero(
        pc.match_substring(texts, character).fill_null(False).to_numpy(zero_copy_only=False)
    )
    found = scan(texts.take(pa.array(rows)), machine.tables, machine.learn)
    return found._replace(row=rows[found.row])


def _joined(parts: list[Places]) -> Places:
    """All places in order of (row, start)."""
    columns = [np.concatenate(column) for column in zip(*parts, strict=True)]
    order = np.lexsort((columns[1], columns[0])) if len(parts) > 1 else slice(None)
    return Places(*(column[order] for column in columns))


def _dialled(regions: tuple[str, ...]) -> dict[Pattern, int]:
    """Patterns of the regions' numbers, with the bits of the regions that each stands for."""
    bits: dict[Pattern, int] = {}
    for at, region in enumerate(regions):
        gate = region_gate(region)
        if gate is not None:
            bits[gate] = bits.get(gate, 0) | 1 << at
    return bits


def by_row(
    texts: pa.Array, row: NDArray[np.int64], inside: list[tuple[int, int]], *, everywhere: bool = False
) -> Iterator[tuple[int, str, list[tuple[int, int]]]]:
    """(row, text, its places) of the texts that have any, or of all that are not null.

    ``inside[i]`` is a place in text ``row[i]``; `row` ascends.
    """
    rows: NDArray[np.int64] = np.unique(row)
    if everywhere:
        rows = np.flatnonzero(texts.is_valid().to_numpy(zero_copy_only=False))
    first = np.searchsorted(row, rows, "left").tolist()
    last = np.searchsorted(row, rows, "right").tolist()
    chosen = texts.take(pa.array(rows)).to_pylist()
    for at, text, start, stop in zip(rows.tolist(), chosen, first, last, strict=True):
        yield at, text, inside[start:stop]


def examined(
    rows: Iterable[tuple[int, str, list[tuple[int, int]]]],
    examine: Callable[[str, list[tuple[int, int]]], list[Finding]],
) -> Findings:
    """What `examine` finds in texts at their places; equal texts are examined once."""
    found = Findings([], [], {})
    known: dict[str, list[Finding]] = {}
    with _uncollected():
        for row, text, places in rows:
            if text not in known:
                try:
                    known[text] = examine(text, places)
                except Exception as error:  # noqa: BLE001 - whatever it is, it costs this row only
                    found.failures[row] = type(error).__name__
                    continue
            found.rows.extend([row] * len(known[text]))
            found.findings.extend(known[text])
    return found


def _asked(recognizer: Any, at: int, entities: list[str], text: str) -> list[Result]:
    results = recognizer.analyze(text=text, entities=entities, nlp_artifacts=None) or []
    return [(r.start, r.end, r.score, r.entity_type, at) for r in results]


def _kept(results: list[Result]) -> list[Result]:
    """Results without those that lie in one of the same entity with no lower score."""
    if len(results) < 2:
        return results
    unique = list({result[:4]: result for result in results}.values())
    unique.sort(key=_order)
    kept: list[Result] = []
    active: list[Result] = []
    entity = ""
    for result in unique:
        if result[3] != entity:
            entity, active = result[3], []
        start, end, score = result[:3]
        for one in active:
            if end <= one[1] and score <= one[2]:  # none begins behind it
                break
        else:
            kept.append(result)
            active = [one for one in active if one[1] >= start]
            active.append(result)
    return kept


def _order(result: Result) -> tuple[str, int, int, float]:
    return result[3], result[0], result[0] - result[1], -result[2]


__all__ = ["Findings", "Scanner", "by_row", "examined", "scanner"]
