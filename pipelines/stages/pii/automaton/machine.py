"""Many regular expressions as one deterministic automaton that tells where each of them could match.

What: the graph of all patterns (`automaton.graph`) made deterministic over classes of characters, a
state when a text first comes to it. From a character it accepts every pattern that matches from there, and
may accept one that does not. So a pattern that is not accepted from a character does not match from there.
That is what makes windows exact: the pattern itself need only be tried where it is accepted. ``\\b`` and
look-around of one character are known exactly; what is accepted is known one character later.

A pattern that begins with a run is accepted only where the run begins, and the reader of the places goes on
inside it; so text is walked through about once, however long its runs.

Cost: some ten microseconds a state; Presidio's patterns come to some 5,000 on real texts.
"""

import functools
from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from headrace.kernels import subsets
from headrace.kernels.scan import Automaton
from headrace.pipelines import arrays
from headrace.pipelines.stages.pii.automaton.graph import Graph
from headrace.pipelines.stages.pii.automaton.symbols import EDGE

MOST = 50_000  # states that are kept
CONDITIONS = {
    "": subsets.ALWAYS,
    "boundary": subsets.BOUNDARY,
    "before": subsets.BEFORE,
    "behind": subsets.BEHIND,
}


class Machine:
    """The deterministic automaton over the patterns of `graph` that begin with the nodes `begin`.

    A state is a set of nodes. Its steps are worked out when a text first comes there (`learn`); most never
    are. When there is no room for another state all are forgotten. With `values` all scripts' digits are
    read as ASCII's.
    """

    def __init__(self, graph: Graph, begin: Iterable[int], *, values: bool = False) -> None:
        self.begin = np.array(sorted(begin), np.int32)
        kinds, shown = _classes(graph)
        self.graph = _arrays(graph, shown)
        self.states = subsets.states(self.graph, MOST)
        self.tables = Automaton(
            classes=np.array(kinds, np.uint8)[graph.symbols.table(values=values)],
            steps=self.states.steps,
            accepts=self.states.accepts,
            starts=subsets.enter(self.graph, self.states, self.begin),
            edge=len(shown) - 1,
            every=functools.reduce(lambda bits, owner: bits | 1 << owner, graph.ends.values(), 0),
        )

    def learn(self, state: int) -> None:
        """Work out where `state` leads to."""
        if not subsets.learn(self.graph, self.states, state):
            subsets.forget(self.states)
            self.tables.starts[:] = subsets.enter(self.graph, self.states, self.begin)


def _arrays(graph: Graph, shown: list[int]) -> subsets.Graph:
    """The graph over classes, of each of which `shown` has a symbol."""
    masks = {read[0]: at for at, read in enumerate(filter(None, graph.reads))}
    masks |= {members: 0 for skips in graph.skips for _, condition, members in skips if condition}
    words = graph.symbols.categories["WORD"]
    sets: Mapping[int, int] = {mask: at for at, mask in enumerate({**masks, words: 0})}
    edges = [edge for skips in graph.skips for edge in skips]
    ends = np.zeros(len(graph.reads), np.bool_)
    ends[list(graph.ends)] = True
    return subsets.Graph(
        reads=np.array([sets[read[0]] if read else -1 for read in graph.reads], np.int32),
        targets=np.array([read[1] if read else 0 for read in graph.reads], np.int32),
        owners=np.array(graph.owners, np.uint8),
        ends=ends,
        firsts=arrays.offsets([len(skips) for skips in graph.skips]).astype(np.int32),
        skips=np.array([to for to, _, _ in edges], np.int32),
        conditions=np.array([CONDITIONS[condition] for _, condition, _ in edges], np.uint8),
        among=np.array([sets[members] if condition else 0 for _, condition, members in edges], np.int32),
        sets=np.array([_bits(mask, shown) for mask in sets]),
        words=_bits(words, shown),
    )


def _bits(mask: int, shown: list[int]) -> NDArray[np.bool_]:
    """Whether each class is in a set of symbols."""
    return np.array([mask >> symbol & 1 for symbol in shown], np.bool_)


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
