"""Subset construction, a state at a time: a nondeterministic automaton made deterministic where texts go.

A state is a set of nodes, with the class of the character before where conditions depend on it, and what is
accepted on entering it. Its steps are worked out when somebody asks (`learn`); most states never are.
Patterns that are accepted by then are followed no longer.

Cost: 10 to 30 microseconds a state over 75 classes.
Source: Rabin and Scott, "Finite automata and their decision problems" (1959),
https://doi.org/10.1147/rd.32.0114
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from headrace.kernels.dispatch import Implementation, choose

ALWAYS, BOUNDARY, BEFORE, BEHIND = range(4)
UNKNOWN = 0xFFFF


class Graph(NamedTuple):
    """N nodes over C classes, each with at most one edge that reads and any number (E in all) that do not.

    reads int32[N]: number of the set of classes that a node's edge reads, or -1; targets int32[N]: where it
    leads; owners uint8[N]: pattern, below 64; ends bool[N]: whether that is accepted there.
    firsts int32[N + 1]: edges of a node that read nothing, ``firsts[i]:firsts[i + 1]``; skips int32[E]: where
    they lead; conditions uint8[E]: ALWAYS, BOUNDARY (one of the two characters is a word's), BEFORE, BEHIND
    (the character there is in none of the classes of the set); among int32[E]: that set.
    sets bool[M, C]; words bool[C].
    """

    reads: NDArray[np.int32]
    targets: NDArray[np.int32]
    owners: NDArray[np.uint8]
    ends: NDArray[np.bool_]
    firsts: NDArray[np.int32]
    skips: NDArray[np.int32]
    conditions: NDArray[np.uint8]
    among: NDArray[np.int32]
    sets: NDArray[np.bool_]
    words: NDArray[np.bool_]


class States(NamedTuple):
    """Room for S states over C classes and their R nodes; state 0 is dead.

    steps uint16[S, C], accepts uint64[S]: as of `kernels.scan.Automaton`; used int64[2]: how many states and
    nodes there are; firsts int64[S + 1]: nodes of a state, sorted, ``items[firsts[i]:firsts[i + 1]]``; items
    int32[R]; before int16[S]: class before, or -1 where it does not matter; table int32[T]: states by
    hash; looks uint8[N]: 1 where what is reached from a node depends on the character before, 2 on the one
    behind; afore, ahead int16[C]: the first class that is equal to a class for all conditions on the
    character before, and behind; scratch int32[4, N]. Only rows of states that there are hold anything.
    """

    steps: NDArray[np.uint16]
    accepts: NDArray[np.uint64]
    used: NDArray[np.int64]
    firsts: NDArray[np.int64]
    items: NDArray[np.int32]
    before: NDArray[np.int16]
    table: NDArray[np.int32]
    looks: NDArray[np.uint8]
    afore: NDArray[np.int16]
    ahead: NDArray[np.int16]
    scratch: NDArray[np.int32]


def states(graph: Graph, most: int) -> States:
    """Room for `most` states of `graph`, none of them there but the dead one."""
    classes = graph.sets.shape[1]
    made = States(
        steps=np.empty((most, classes), np.uint16),
        accepts=np.empty(most, np.uint64),
        used=np.zeros(2, np.int64),
        firsts=np.zeros(most + 1, np.int64),
        items=np.empty(16 * most + len(graph.reads), np.int32),
        before=np.empty(most, np.int16),
        table=np.zeros(1 << (2 * most).bit_length(), np.int32),
        looks=choose(__name__, "cpu").looks(graph),
        afore=_first(graph, BEFORE),
        ahead=_first(graph, BEHIND),
        scratch=np.zeros((4, len(graph.reads)), np.int32),
    )
    forget(made)
    return made


def _first(graph: Graph, condition: int) -> NDArray[np.int16]:
    """The first class that is equal to a class for conditions of a kind and at boundaries."""
    signs = graph.sets[np.unique(graph.among[graph.conditions == condition])]
    _, first, same = np.unique(
        np.vstack([signs, graph.words]), axis=1, return_index=True, return_inverse=True
    )
    return first[same.reshape(-1)].astype(np.int16)


def forget(known: States) -> None:
    """Forget all states but the dead one."""
    known.used[:] = 1, 0
    known.firsts[:2] = 0
    known.table[:] = 0
    known.steps[0] = 0
    known.accepts[0] = 0
    known.before[0] = -1


def enter(
    graph: Graph, known: States, nodes: NDArray[np.int32], *, implementation: Implementation = "auto"
) -> NDArray[np.uint16]:
    """States of `nodes` (sorted) by the class of the character before, ``uint16[C]``, numbered if new."""
    found: NDArray[np.uint16] = choose(__name__, implementation).enter(graph, known, nodes)
    return found


def learn(graph: Graph, known: States, state: int, *, implementation: Implementation = "auto") -> bool:
    """Work out ``steps[state]``, numbering what states are new; False if there may be no room for them."""
    return bool(choose(__name__, implementation).learn(graph, known, state))


__all__ = [
    "ALWAYS", "BEFORE", "BEHIND", "BOUNDARY", "Graph", "States", "enter", "forget", "learn", "states",
]  # fmt: skip
