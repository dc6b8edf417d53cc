"""Decisions: who stays, whom a removed row names, and that chains remove no more than their links."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.pipelines.stages.dedup import decide
from headrace.pipelines.stages.dedup.decide import EXACT, NEAR, Matches

NONE = np.zeros((0, 2), np.int64)


def decided(
    n: int,
    near: list[tuple[int, int, float]],
    threshold: float = 0.8,
    exact: list[tuple[int, int]] | None = None,
) -> dict[int, tuple[int, float, str]]:
    pairs = np.array([p[:2] for p in near], np.int64).reshape(-1, 2)
    copies = np.array(exact or [], np.int64).reshape(-1, 2)
    matches = Matches.of(copies, NONE, pairs, np.array([p[2] for p in near], np.float64))
    verdict = decide.decide(n, matches, threshold)
    rules = [decide.RULES[r] for r in verdict.rule]
    return {
        int(r): (int(k), float(s), rule)
        for r, k, s, rule in zip(verdict.removed, verdict.kept, verdict.similarity, rules, strict=True)
    }


def test_a_chain_loses_its_middle_only() -> None:
    """A ~ B ~ C without A ~ C: B goes for A, C stays."""
    assert decided(3, [(0, 1, 0.9), (1, 2, 0.9)]) == {1: (0, 0.9, "near")}


def test_the_most_similar_row_that_stays_is_named() -> None:
    near = [(0, 3, 0.81), (1, 3, 0.95), (2, 3, 0.85), (0, 1, 0.9)]
    assert decided(4, near) == {1: (0, 0.9, "near"), 3: (2, 0.85, "near")}


def test_among_equals_the_better_row_is_named() -> None:
    assert decided(3, [(1, 2, 0.9), (0, 2, 0.9)]) == {2: (0, 0.9, "near")}


def test_under_the_threshold_nothing_goes() -> None:
    assert decided(2, [(0, 1, 0.79)]) == {}
    assert decided(2, [(0, 1, 0.8)]) == {1: (0, 0.8, "near")}


def test_a_copy_of_a_row_that_goes_names_the_row_that_stays() -> None:
    assert decided(4, [(0, 1, 0.9)], exact=[(1, 2), (1, 3)]) == {
        1: (0, 0.9, "near"),
        2: (0, 0.9, "near"),
        3: (0, 0.9, "near"),
    }
    assert decided(3, [], exact=[(0, 2)]) == {2: (0, 1.0, "exact")}


def test_copies_stay_or_go_by_the_callers_rule() -> None:
    matches = Matches.of(np.array([[0, 1]]), NONE, NONE, np.zeros(0))
    assert len(decide.decide(2, matches, 0.8, None).removed) == 0
    assert decide.decide(2, matches, 0.8, NEAR).rule.tolist() == [NEAR]
    assert decide.decide(2, matches, 0.8, EXACT).rule.tolist() == [EXACT]


@settings(max_examples=60)
@given(
    st.integers(2, 12).flatmap(
        lambda n: st.tuples(
            st.just(n),
            st.dictionaries(
                st.tuples(st.integers(0, n - 1), st.integers(0, n - 1)).filter(lambda p: p[0] < p[1]),
                st.sampled_from([0.7, 0.8, 0.85, 0.9, 1.0]),
                max_size=25,
            ),
            st.permutations(range(25)),
        )
    )
)
def test_every_removed_row_names_a_verified_row_that_stays(
    given_: tuple[int, dict[tuple[int, int], float], list[int]],
) -> None:
    n, similar, shuffle = given_
    near = [(a, b, s) for (a, b), s in similar.items()]
    gone = decided(n, near)
    for removed, (kept, similarity, _) in gone.items():
        assert kept not in gone
        assert kept < removed
        assert similar[kept, removed] == similarity >= 0.8
    for (a, b), similarity in similar.items():  # no pair of kept rows is left
        assert similarity < 0.8 or a in gone or b in gone
    shuffled = [near[i] for i in shuffle if i < len(near)]
    assert decided(n, shuffled) == gone


def test_total_order_is_priority_quality_length_row_id() -> None:
    priority = np.array([0, 1, 0, 0, 0])
    score = np.array([0.9, 0.1, 0.5, 0.5, 0.5], np.float32)
    size = np.array([1, 1, 7, 9, 9], np.uint32)
    row_id = np.array([0, 1, 2, 2**63 + 4, 2**63 + 3], np.uint64)
    none = np.zeros(5, np.int64)
    assert decide.total_order(priority, score, size, row_id, none).tolist() == [1, 0, 4, 3, 2]
    later = np.array([1, 0, 0, 0, 0])
    assert decide.total_order(priority, score, size, row_id, later).tolist() == [4, 0, 3, 2, 1]


def test_equal_rows_point_to_the_best_of_them() -> None:
    low = np.array([5, 6, 5, 5, 6], np.uint64)
    high = np.array([1, 1, 1, 2, 1], np.uint64)
    assert decide.equal_pairs((low, high)).tolist() == [[0, 2], [1, 4]]
    assert decide.equal_pairs((low[:0], high[:0])).shape == (0, 2)
    assert decide.equal_pairs((low[:1], high[:1])).shape == (0, 2)
