"""Subset construction: the fast form numbers states and steps as the plain one, and stops without room."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.kernels import subsets
from headrace.kernels.subsets import BEFORE, BEHIND, BOUNDARY, Graph, States

CLASSES = 4


@st.composite
def graphs(draw: st.DrawFn) -> Graph:
    """Any nodes and edges; what conditions say is anything."""
    size = draw(st.integers(1, 8))
    node, group = st.integers(0, size - 1), st.integers(0, 2)
    reads = draw(st.lists(st.integers(-1, 2), min_size=size, max_size=size))
    skips = draw(st.lists(st.tuples(node, node, st.integers(0, 3), group), max_size=12))
    skips.sort()
    flags = st.lists(st.booleans(), min_size=CLASSES, max_size=CLASSES)
    return Graph(
        reads=np.array(reads, np.int32),
        targets=np.array([draw(node) for _ in reads], np.int32),
        owners=np.array([draw(st.sampled_from([0, 1, 63])) for _ in reads], np.uint8),
        ends=np.array([draw(st.booleans()) for _ in reads]),
        firsts=np.searchsorted([at for at, *_ in skips], range(size + 1)).astype(np.int32),
        skips=np.array([to for _, to, _, _ in skips], np.int32),
        conditions=np.array([condition for *_, condition, _ in skips], np.uint8),
        among=np.array([among for *_, among in skips], np.int32),
        sets=np.array([draw(flags) for _ in range(3)]),
        words=np.array(draw(flags)),
    )


def learned(graph: Graph, implementation: subsets.Implementation) -> tuple[States, list[int], list[bool]]:
    """States after learning whatever can be reached."""
    known = subsets.states(graph, 60)
    starts = subsets.enter(graph, known, np.zeros(1, np.int32), implementation=implementation)
    done, at = [], 1
    while at < known.used[0] and all(done):
        done.append(subsets.learn(graph, known, at, implementation=implementation))
        at += 1
    return known, starts.tolist(), done


@given(graph=graphs())
@settings(max_examples=200, deadline=None)
def test_fast_equals_plain(graph: Graph) -> None:
    fast, slow = learned(graph, "cpu"), learned(graph, "reference")
    assert fast[1:] == slow[1:]
    count, items = slow[0].used.tolist()
    assert fast[0].used.tolist() == [count, items]
    for one, other in zip(fast[0][:6], slow[0][:6], strict=True):
        size = items if one is fast[0].items else count
        np.testing.assert_array_equal(one[:size], other[:size])


def one_edge(condition: int) -> Graph:
    """Node 0 leads to 1 under a condition; 1 reads class 1 and leads to 2, the end of pattern 5."""
    sets = np.array([[False, True, False], [True, False, False]])
    return Graph(
        reads=np.array([-1, 0, -1], np.int32),
        targets=np.array([0, 2, 0], np.int32),
        owners=np.full(3, 5, np.uint8),
        ends=np.array([False, False, True]),
        firsts=np.array([0, 1, 1, 1], np.int32),
        skips=np.array([1], np.int32),
        conditions=np.array([condition], np.uint8),
        among=np.array([1], np.int32),
        sets=sets,
        words=np.array([False, True, True]),
    )


def test_conditions_hold_between_two_characters() -> None:
    for condition, due in ((BOUNDARY, [True, False, False]), (BEFORE, [False, True, True])):
        known = subsets.states(one_edge(condition), 20)
        starts = subsets.enter(one_edge(condition), known, np.zeros(1, np.int32))
        assert all(subsets.learn(one_edge(condition), known, int(state)) for state in set(starts))
        assert [bool(known.steps[state, 1]) for state in starts] == due
        assert not known.steps[starts, 0].any()
    known = subsets.states(one_edge(BEHIND), 20)
    (start,) = set(subsets.enter(one_edge(BEHIND), known, np.zeros(1, np.int32)).tolist())
    assert subsets.learn(one_edge(BEHIND), known, start)
    reached = int(known.steps[start, 1])
    assert known.accepts[reached] == 0  # what is accepted is known one character later
    assert subsets.learn(one_edge(BEHIND), known, reached)
    assert {int(known.accepts[state]) for state in known.steps[reached]} == {1 << 5}


def test_without_room_nothing_is_learned_until_all_is_forgotten() -> None:
    graph = one_edge(BOUNDARY)
    known = subsets.states(graph, 6)
    starts = subsets.enter(graph, known, np.zeros(1, np.int32))
    assert not subsets.learn(graph, known, int(starts[0]))
    subsets.forget(known)
    assert known.used.tolist() == [1, 0]
    np.testing.assert_array_equal(subsets.enter(graph, known, np.zeros(1, np.int32)), starts)
