"""Subset construction with Python's sets, searching all states for an equal one."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

BOUNDARY, BEFORE, BEHIND = 1, 2, 3
UNKNOWN = 0xFFFF


def learn(graph: Any, known: Any, state: int) -> bool:
    """Work out ``steps[state]``; False if there may be no room for the states that are new."""
    classes, count = graph.sets.shape[1], int(known.used[0])
    if count + classes >= len(known.accepts) or count + classes >= UNKNOWN:
        return False
    items = known.items[known.firsts[state] : known.firsts[state + 1]].tolist()
    looks = int(np.bitwise_or.reduce(known.looks[items], initial=0))
    before = max(int(known.before[state]), 0)
    groups = sorted(set(known.ahead.tolist())) if looks & 2 else [0]
    for behind in groups:
        nodes = reached(graph, items, before, behind)
        accepted = 0
        for node in nodes:
            accepted |= int(graph.ends[node]) << int(graph.owners[node])
        reading = [n for n in nodes if graph.reads[n] >= 0 and not accepted >> int(graph.owners[n]) & 1]
        for one in range(classes):
            if looks & 2 and known.ahead[one] != behind:
                continue
            found = {int(graph.targets[n]) for n in reading if graph.sets[graph.reads[n], one]}
            if known.used[1] + len(found) > len(known.items):
                return False
            known.steps[state, one] = number(known, sorted(found), one, accepted) if found or accepted else 0
    return True


def enter(graph: Any, known: Any, nodes: NDArray[np.int32]) -> NDArray[np.uint16]:
    """States of `nodes` by the class of the character before."""
    return np.array([number(known, nodes.tolist(), one, 0) for one in range(graph.sets.shape[1])], np.uint16)


def reached(graph: Any, items: list[int], before: int, behind: int) -> set[int]:
    """Nodes that are reached from `items` without reading, between two classes."""
    found, pending = set(items), list(items)
    while pending:
        node = pending.pop()
        for edge in range(graph.firsts[node], graph.firsts[node + 1]):
            to, condition = int(graph.skips[edge]), graph.conditions[edge]
            holds = True
            if condition == BOUNDARY:
                holds = bool(graph.words[before] != graph.words[behind])
            elif condition:
                holds = not graph.sets[graph.among[edge], before if condition == BEFORE else behind]
            if holds and to not in found:
                found.add(to)
                pending.append(to)
    return found


def number(known: Any, items: list[int], before: int, accepted: int) -> int:
    """Number of a state, a new one if need be."""
    looks = int(np.bitwise_or.reduce(known.looks[items], initial=0))
    before = int(known.afore[before]) if looks & 1 else -1
    state, first = known.used.tolist()
    for other in range(1, state):
        same = known.items[known.firsts[other] : known.firsts[other + 1]].tolist() == items
        if same and known.before[other] == before and known.accepts[other] == accepted:
            return other
    known.items[first : first + len(items)] = items
    known.firsts[state + 1] = first + len(items)
    known.before[state], known.accepts[state] = before, accepted
    known.steps[state] = UNKNOWN
    known.used[:] = state + 1, first + len(items)
    return int(state)


def looks(graph: Any) -> NDArray[np.uint8]:
    """For each node, what the nodes that are reached from it depend on: 1 before, 2 behind."""
    depends = {0: 0, BOUNDARY: 3, BEFORE: 1, BEHIND: 2}
    found = np.zeros(len(graph.reads), np.uint8)
    for node in range(len(found)):
        seen, pending = {node}, [node]
        while pending:
            at = pending.pop()
            for edge in range(graph.firsts[at], graph.firsts[at + 1]):
                found[node] |= depends[int(graph.conditions[edge])]
                if int(graph.skips[edge]) not in seen:
                    seen.add(int(graph.skips[edge]))
                    pending.append(int(graph.skips[edge]))
    return found
