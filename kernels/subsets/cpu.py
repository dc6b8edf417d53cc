"""Subset construction with a queue, marks instead of sets, and states found by hashing."""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

BOUNDARY, BEFORE, BEHIND = 1, 2, 3
UNKNOWN = 0xFFFF


def learn(graph: Any, known: Any, state: int) -> bool:
    """Work out ``steps[state]``; False if there may be no room for the states that are new."""
    return bool(_learn(graph, known, state))


def enter(graph: Any, known: Any, nodes: NDArray[np.int32]) -> NDArray[np.uint16]:
    """States of `nodes` by the class of the character before."""
    classes = range(graph.sets.shape[1])
    return np.array([_number(known, nodes, len(nodes), one, np.uint64(0)) for one in classes], np.uint16)


@njit(nogil=True, cache=True)
def _learn(graph, known, state):  # type: ignore[no-untyped-def]
    classes, count = graph.sets.shape[1], known.used[0]
    if count + classes >= len(known.accepts) or count + classes >= UNKNOWN:
        return False
    items = known.items[known.firsts[state] : known.firsts[state + 1]]
    queue, marks, reading, target = known.scratch
    looks = 0
    for node in items:
        looks |= known.looks[node]
    before = max(known.before[state], 0)
    for behind in range(classes):
        if behind and not looks & 2:
            break
        if looks & 2 and known.ahead[behind] != behind:
            continue
        accepted, readers = _reached(graph, items, before, behind, queue, marks, reading)
        for one in range(behind, classes):
            if looks & 2 and known.ahead[one] != behind:
                continue
            found = 0
            for at in range(readers):
                node = reading[at]
                if graph.sets[graph.reads[node], one]:
                    found = _inserted(target, found, graph.targets[node])
            if known.used[1] + found > len(known.items):
                return False
            known.steps[state, one] = 0
            if found or accepted:
                known.steps[state, one] = _number(known, target, found, one, accepted)
    return True


@njit(nogil=True, cache=True)
def _reached(graph, items, before, behind, queue, marks, reading):  # type: ignore[no-untyped-def]
    """Patterns accepted without reading from `items`; of nodes that read and are of others, how many.

    Puts those nodes into `reading`.
    """
    at = size = 0
    for node in items:
        marks[node] = 1
        queue[size] = node
        size += 1
    accepted, readers = np.uint64(0), 0
    while at < size:
        node = queue[at]
        at += 1
        if graph.ends[node]:
            accepted |= np.uint64(1) << np.uint64(graph.owners[node])
        if graph.reads[node] >= 0:
            reading[readers] = node
            readers += 1
        for edge in range(graph.firsts[node], graph.firsts[node + 1]):
            to = graph.skips[edge]
            if not marks[to] and _holds(graph, edge, before, behind):
                marks[to] = 1
                queue[size] = to
                size += 1
    for at in range(size):
        marks[queue[at]] = 0
    kept = 0
    for at in range(readers):
        if not accepted >> np.uint64(graph.owners[reading[at]]) & np.uint64(1):
            reading[kept] = reading[at]
            kept += 1
    return accepted, kept


@njit(nogil=True, cache=True)
def _holds(graph, edge, before, behind):  # type: ignore[no-untyped-def]
    """Whether the condition of an edge holds between two classes."""
    condition = graph.conditions[edge]
    if condition == BOUNDARY:
        return graph.words[before] != graph.words[behind]
    if condition == BEFORE:
        return not graph.sets[graph.among[edge], before]
    return condition != BEHIND or not graph.sets[graph.among[edge], behind]


@njit(nogil=True, cache=True)
def _inserted(target, size, node):  # type: ignore[no-untyped-def]
    """Put a node into ``target[:size]``, which is sorted and holds none twice; the new size."""
    at = size
    while at and target[at - 1] > node:
        at -= 1
    if at and target[at - 1] == node:
        return size
    for place in range(size, at, -1):
        target[place] = target[place - 1]
    target[at] = node
    return size + 1


@njit(nogil=True, cache=True)
def _number(known, items, size, before, accepted):  # type: ignore[no-untyped-def]
    """Number of the state of ``items[:size]``, a new one if need be."""
    looks, key = 0, np.uint64(accepted) * np.uint64(0x9E3779B97F4A7C15)
    for at in range(size):
        looks |= known.looks[items[at]]
        key = (key ^ np.uint64(items[at])) * np.uint64(0x100000001B3)
    before = known.afore[before] if looks & 1 else -1
    key = (key ^ np.uint64(before + 1)) * np.uint64(0x9E3779B97F4A7C15)
    mask = np.uint64(len(known.table) - 1)
    slot = key >> np.uint64(32) & mask
    while known.table[slot]:
        state = known.table[slot] - 1
        first = known.firsts[state]
        if (
            known.firsts[state + 1] - first == size
            and known.before[state] == before
            and known.accepts[state] == accepted
        ):
            at = 0
            while at < size and known.items[first + at] == items[at]:
                at += 1
            if at == size:
                return state
        slot = slot + np.uint64(1) & mask
    state, first = known.used[0], known.used[1]
    known.table[slot] = state + 1
    for at in range(size):
        known.items[first + at] = items[at]
    known.firsts[state + 1] = first + size
    known.before[state] = before
    known.accepts[state] = accepted
    for at in range(known.steps.shape[1]):
        known.steps[state, at] = UNKNOWN
    known.used[0], known.used[1] = state + 1, first + size
    return state


def looks(graph: Any) -> NDArray[np.uint8]:
    """For each node, what the nodes that are reached from it depend on: 1 before, 2 behind."""
    found = np.zeros(len(graph.reads), np.uint8)
    _looks(graph.firsts, graph.skips, graph.conditions, found)
    return found


@njit(nogil=True, cache=True)
def _looks(firsts, skips, conditions, found):  # type: ignore[no-untyped-def]
    changed = True
    while changed:
        changed = False
        for node in range(len(found) - 1, -1, -1):  # edges mostly lead to later nodes
            now = np.int64(found[node])
            for edge in range(firsts[node], firsts[node + 1]):
                now |= np.int64(found[skips[edge]])
                if conditions[edge] == BOUNDARY:
                    now |= 3
                elif conditions[edge] == BEFORE:
                    now |= 1
                elif conditions[edge] == BEHIND:
                    now |= 2
            if now != found[node]:
                found[node] = now
                changed = True


def warm() -> None:
    """Compile, or load from Numba's cache."""
    from headrace.kernels.subsets import Graph, enter, states

    number, flag = np.zeros(1, np.int32), np.ones(1, np.bool_)
    owner, sets = np.zeros(1, np.uint8), np.ones((1, 1), np.bool_)
    graph = Graph(number, number, owner, flag, np.zeros(2, np.int32), number, owner, number, sets, flag)
    known = states(graph, 4)
    learn(graph, known, int(enter(graph, known, number)[0]))
