"""Gives exactly what Presidio's recognisers find, but tries a pattern only where it could match.

In: texts as one Arrow array. Out: findings (span, entity, score, recogniser) by text, those of
`AnalyzerEngine.analyze` to the last score.

How, in this order:

1. All patterns become one automaton (`automaton.machine`). It reads the Arrow buffer (`kernels.scan`) and
   says at which characters which pattern could match. It may name a character too many, never one too few.
2. At these characters, and nowhere else, the pattern itself is tried on the whole text, so that it sees what
   stands around. They are tried from left to right, and none inside a match: that is what a search does.
3. With the matches goes on what Presidio does with them: checksums are tested, duplicates within a
   recogniser go, words nearby raise scores (`presidio.context`), and duplicates go once more.
4. Telephone numbers have no pattern; a library finds them (`phone.scanner`).

Nothing here is written for a certain pattern of Presidio's: all are read when the process starts. A
recogniser that cannot be read (of another class, or with a pattern that the automaton does not understand) is
asked about whole texts instead, and a warning says so.

Cost: the automaton runs at some 130 MB/s; then some 10 microseconds a match. Setting a process up takes 2 CPU
seconds, half of them imports, and the automaton's states are worked out when a text first needs them, which
takes some tenths of a second altogether.
"""

import functools
import warnings
from typing import Any

import numpy as np
import pyarrow as pa

from headrace.kernels.arrow import one_span
from headrace.kernels.scan import Places, scan, scan_from
from headrace.pipelines.stages.pii.automaton.graph import Added, Graph, Needed, Pattern
from headrace.pipelines.stages.pii.automaton.machine import Machine
from headrace.pipelines.stages.pii.automaton.symbols import Symbols, named
from headrace.pipelines.stages.pii.examined import Found, by_row, examined, uncollected
from headrace.pipelines.stages.pii.findings import KINDS, Findings, ordered
from headrace.pipelines.stages.pii.phone.gates import region_gate
from headrace.pipelines.stages.pii.phone.scanner import Phones
from headrace.pipelines.stages.pii.presidio.context import Pieces, Words
from headrace.pipelines.stages.pii.presidio.patterns import (
    Searched,
    graphed,
    is_phones,
    patterns_of,
    searched,
)
from headrace.pipelines.stages.pii.presidio.setup import LANGUAGE, RanOutOfTimeError, engine, quiet

TOGETHER = 4  # regions in one automaton; that of all would have a state for each beginning of a number
Result = tuple[int, int, float, str, int]  # start, end, score, entity, number of the recogniser


class Scanner:
    """Finds what the recognisers of Presidio's default registry find, or those that are given.

    `context`: whether words nearby raise scores.
    """

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
        plans = list(dialled.items())
        parts = [plans[at : at + TOGETHER] for at in range(0, len(plans), TOGETHER)]
        self.dialled = [
            ([bits for _, bits in one], _machine([of for of, _ in one], symbols)) for one in parts
        ]
        offered = [entity for recognizer in self.recognizers for entity in recognizer.supported_entities]
        self.shared = len(set(offered)) < len(offered)
        self.shortening = {one.owner for one in self.searched if one.parts}

    def forget(self) -> None:
        """Empty the caches of numbers and words, so that the next text costs what the first one did."""
        if self.words:
            self.words.stretch.cache_clear()
        if self.phone:
            self.phone[1].forget()

    def find(self, texts: pa.Array) -> Findings:
        """Findings in all texts (large_string[N]), in order; of equal texts one is examined for all."""
        places = self.places(texts)
        inside = zip(places.start.tolist(), places.accepted.tolist(), strict=True)
        rows = by_row(texts, places.row, list(inside), everywhere=bool(self.whole))
        return ordered(examined(rows, self._examine))

    def places(self, texts: pa.Array) -> Places:
        """Where which pattern could match: bit `i` of `accepted` stands for pattern `i` of `searched`.

        The bits above those stand for telephone numbers, as `phone.scanner` reads them: dialled from abroad,
        spelled in an odd way, and one for each region in which it may be dialled at home.
        """
        places = _joined([_scanned(texts, needed, machine) for needed, machine in self.machines])
        shift = len(self.searched)
        home = np.flatnonzero(places.accepted >> np.uint64(shift + 2) & np.uint64(1))
        bits = np.zeros(len(home), np.uint64)
        for regions, machine in self.dialled:
            taken = scan_from(texts, places.row[home], places.start[home], machine.tables, machine.learn)
            for number, region_bits in enumerate(regions):
                one = taken >> np.uint64(number) & np.uint64(1)
                bits |= one * np.uint64(region_bits << shift + 2)
        accepted = places.accepted & ~np.uint64(1 << shift + 2)
        accepted[home] |= bits
        kept = accepted > 0
        return Places(places.row[kept], places.start[kept], places.stop[kept], accepted[kept])

    def _examine(self, text: str, places: list[tuple[int, int]]) -> list[Found]:
        """What is found in one text; `places` are (character, bits of what could match there).

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
        return [
            (start, end, KINDS[entity, names[owner]], score) for start, end, score, entity, owner in results
        ]

    def _matches(self, text: str, places: list[tuple[int, int]]) -> list[Result]:
        """Results of all recognisers; within each of them duplicates are removed."""
        shift = len(self.searched)
        below = (1 << shift) - 1
        ends: dict[int, int] = {}
        found: dict[int, list[Result]] = {}
        # Bits of the patterns whose last match reaches beyond `start` (they are not tried inside it), and
        # where the first of these matches ends.
        busy, free = 0, len(text)
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
        """Search with a pattern inside a run of characters, and put what it finds into `results`.

        Of such a pattern ("letters, then a dot") the automaton names only the beginning of a run, `start`,
        not every character in it. Returns where the search ended, `start` where nothing was found.
        """
        characters, most = one.run or (frozenset(), 0)
        end: int = start
        while True:
            match = one.match(text, start)
            if match:
                start = end = match.end()
                self._judge(one, match, results)
            else:
                ahead = text[start : start + most + 1]
                if len(ahead) <= most or not characters.issuperset(ahead):
                    return end
                # The run is longer than the pattern can match from its beginning: search on inside it.
                match = one.search(text, start + 1)
                if match is None or not characters.issuperset(text[start : match.start()]):
                    return end
                start = match.start()
                continue
            if start == len(text) or text[start - 1] not in characters or text[start] not in characters:
                return end

    def _judge(self, one: Searched, match: Any, results: list[Result]) -> None:
        """Do with a match what Presidio's recognisers do, checksums too; a result of no score is left out."""
        start, end = match.span()
        if one.parts:  # a bank account: the longest run of its groups whose checksum is right
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
        """`results`, with a higher score for those that have a context word of their recogniser nearby."""
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


@functools.cache
def scanner(context: bool) -> Scanner:
    """The scanner of this process."""
    with uncollected():
        return Scanner(context=context)


def _machines(graph: Graph, added: list[Added]) -> list[tuple[Needed | None, Machine]]:
    """The automata of the patterns, each with what none of its patterns can match without.

    A text without that is not read by it; None: there is no such thing.
    """
    groups: dict[Needed | None, list[int]] = {}
    for one in added:
        groups.setdefault(graph.needed(one), []).extend(one.starts)
    return [(needed, Machine(graph, begin)) for needed, begin in groups.items()]


def _machine(patterns: list[Pattern], symbols: Symbols) -> Machine:
    """The automaton of patterns of digits, a bit each; digits of all scripts count."""
    graph = Graph(symbols)
    added = [graph.pattern(bit, pattern) for bit, pattern in enumerate(patterns)]
    return Machine(graph, [start for one in added for start in one.starts], values=True)


def _scanned(texts: pa.Array, needed: Needed | None, machine: Machine) -> Places:
    """What an automaton accepts in those texts that hold what is `needed`, in all where that is None."""
    if needed is None:
        return scan(texts, machine.tables, machine.learn)
    part = one_span(texts)
    places = np.flatnonzero(part.data == ord(needed.character))  # ten times as fast as Arrow's search
    behind = 0
    if needed.behind is not None:
        behind = 1
        may = np.arange(256) > 127  # a byte beyond ASCII may stand there, too
        may[list(needed.behind.encode())] = True
        places = places[places + 1 < len(part.data)]
        places = places[may[part.data[places + 1]]]
    at = np.searchsorted(part.starts, places, "right") - 1
    places, at = places[at >= 0], at[at >= 0]  # what a slice leaves out stands there, too
    rows = np.unique(at[places + behind < part.stops[at]])
    found = scan(texts.take(pa.array(rows)), machine.tables, machine.learn)
    return found._replace(row=rows[found.row])


def _joined(parts: list[Places]) -> Places:
    """The places of several automata as one list, in the order of row and start."""
    columns = [np.concatenate(column) for column in zip(*parts, strict=True)]
    order = np.lexsort((columns[1], columns[0])) if len(parts) > 1 else slice(None)
    return Places(*(column[order] for column in columns))


def _dialled(regions: tuple[str, ...]) -> dict[Pattern, int]:
    """Patterns of numbers dialled at home; regions with the same pattern share it. The value: their bits."""
    bits: dict[Pattern, int] = {}
    for at, region in enumerate(regions):
        gate = region_gate(region)
        if gate is not None:
            bits[gate] = bits.get(gate, 0) | 1 << at
    return bits


def _asked(recognizer: Any, at: int, entities: list[str], text: str) -> list[Result]:
    results = recognizer.analyze(text=text, entities=entities, nlp_artifacts=None) or []
    return [(r.start, r.end, r.score, r.entity_type, at) for r in results]


def _kept(results: list[Result]) -> list[Result]:
    """Results without those that lie inside another of the same entity whose score is as high or higher."""
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
            if end <= one[1] and score <= one[2]:  # `one` begins no later: results come by their start
                break
        else:
            kept.append(result)
            active = [one for one in active if one[1] >= start]
            active.append(result)
    return kept


def _order(result: Result) -> tuple[str, int, int, float]:
    return result[3], result[0], result[0] - result[1], -result[2]
