"""Many regular expressions as one deterministic automaton that tells where each of them could match.

What: the graph of all patterns (`pipelines.pii_graph`) made deterministic over classes of characters, a
state when a text first comes to it. From a character it accepts every pattern that matches from there, and
may accept one that does not. So a pattern that is not accepted from a character does not match from there.
That is what makes windows exact: the pattern itself need only be tried where it is accepted. ``\\b`` and
look-around of one character are known exactly; what is accepted is known one character later.

A pattern that begins with a run is accepted only where the run begins, and the reader of the places goes on
inside it; so text is walked through about once, however long its runs.

Cost: a tenth of a millisecond a state; Presidio's patterns come to some 5,000 on real texts.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from kernels.scan import UNKNOWN, Automaton
from pipelines.pii_graph import Graph, Pattern
from pipelines.pii_symbols import EDGE, Symbols

MOST = 50_000  # states that are kept
Items = frozenset[int]
State = tuple[Items, int, int]  # nodes, symbol before or -1 where it does not matter, patterns accepted


class Machine:
    """The deterministic automaton over `patterns`; bit ``bits[i]`` (else `i`) stands for ``patterns[i]``.

    A state is a set of nodes. Its steps are worked out when a text first comes there (`learn`); most never
    are. When there is no room for another state all are forgotten. With `values` all scripts' digits are
    read as ASCII's.

    Raises: UnreadableError for a pattern that it does not understand.
    """

    def __init__(
        self,
        patterns: Sequence[Pattern],
        symbols: Symbols,
        *,
        bits: Sequence[int] | None = None,
        values: bool = False,
    ) -> None:
        self.graph = Graph(symbols)
        numbered = zip(bits or range(len(patterns)), patterns, strict=True)
        added = [self.graph.pattern(bit, pattern) for bit, pattern in numbered]
        self.begin = frozenset(start for starts in added for start in starts)
        kinds, self.shown = _classes(self.graph)
        size = len(self.shown)
        self.tables = Automaton(
            classes=np.array(kinds, np.uint8)[symbols.table(values=values)],
            steps=np.zeros((MOST, size), np.uint16),
            accepts=np.zeros(MOST, np.uint64),
            starts=np.zeros(size, np.uint16),
            edge=size - 1,
        )
        self._forget()

    def learn(self, state: int) -> None:
        """Work out where `state` leads to."""
        if len(self.order) > MOST - len(self.shown) - 1:
            self._forget()
            return
        items, before, _ = self.order[state]
        row = np.zeros(len(self.shown), np.uint16)
        for read, (targets, accepted) in self._following(items, before):
            row[read] = self._number(targets, self.shown[read], accepted)
        self.tables.steps[state] = row

    def _forget(self) -> None:
        dead: State = (frozenset(), -1, 0)
        self.states: dict[State, int] = {dead: 0}
        self.order: list[State] = [dead]
        self.looks: dict[Items, tuple[bool, bool]] = {frozenset(): (False, False)}
        self.tables.steps[:] = UNKNOWN
        self.tables.steps[0] = 0
        self.tables.starts[:] = [self._number(self.begin, symbol, 0) for symbol in self.shown]

    def _number(self, items: Items, before: int, accepted: int) -> int:
        if items not in self.looks:
            self.looks[items] = self.graph.looks(items)
        state = items, before if self.looks[items][0] else -1, accepted
        if state not in self.states:
            self.states[state] = at = len(self.order)
            self.order.append(state)
            self.tables.accepts[at] = accepted
        return self.states[state]

    def _following(self, items: Items, before: int) -> Iterator[tuple[int, tuple[Items, int]]]:
        """(class, (nodes, patterns accepted)) of each next state that is not dead.

        Patterns that are accepted by then are followed no longer.
        """
        graph, every = self.graph, range(len(self.shown))
        for group in [[kind] for kind in every] if self.looks[items][1] else [every]:
            nodes = graph.reachable(items, before if before >= 0 else EDGE, self.shown[group[0]])
            accepted = 0
            for node in nodes & graph.ends.keys():
                accepted |= 1 << graph.ends[node]
            edges = [graph.reads[node] for node in nodes if not accepted >> graph.owners[node] & 1]
            for kind in group:
                symbol = self.shown[kind]
                targets = frozenset([edge[1] for edge in edges if edge and edge[0] >> symbol & 1])
                if targets or accepted:
                    yield kind, (targets, accepted)


def _classes(graph: Graph) -> tuple[list[int], list[int]]:
    """Class of each symbol, and a symbol of each class; that of `EDGE` is the last."""
    masks = {read[0] for read in graph.reads if read}
    masks |= {members for skips in graph.skips for _, condition, members in skips if condition}
    masks.add(graph.symbols.categories["WORD"])
    ordered = sorted(masks)
    signs: dict[tuple[int, ...], int] = {}
    kinds = []
    for symbol in range(graph.symbols.size):
        sign = tuple(mask >> symbol & 1 for mask in ordered)
        kinds.append(signs.setdefault(sign, len(signs)) if symbol != EDGE else -1)
    kinds[EDGE] = len(signs)
    return kinds, [kinds.index(kind) for kind in range(len(signs) + 1)]
