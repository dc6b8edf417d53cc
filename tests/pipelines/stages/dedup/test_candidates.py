"""Candidates: who meets whom in a block, what a large block is cut to, and that nothing depends on luck."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from headrace.pipelines.stages.dedup import candidates
from headrace.pipelines.stages.dedup.candidates import Sketches

U64 = NDArray[np.uint64]


def alike(n: int, least: int = 0) -> Sketches:
    return Sketches(np.zeros(n, np.uint64), np.zeros(n, np.uint64), least)


def same_keys(rows: NDArray[np.int64]) -> U64:
    return np.ones((len(rows), 8), np.uint64)


def found(blocks: list[int], sketches: Sketches | None = None) -> list[tuple[int, int]]:
    pairs, _ = candidates.pairs(np.array(blocks, np.uint64), same_keys, sketches or alike(len(blocks)))
    return [(int(a), int(b)) for a, b in pairs]


def test_rows_of_a_block_meet_once_and_block_zero_is_none() -> None:
    assert found([7, 0, 7, 5, 7, 0]) == [(0, 2), (0, 4), (2, 4)]
    assert found([]) == []
    assert found([0, 0]) == []
    assert found([1, 2, 3]) == []


@settings(max_examples=30)
@given(st.lists(st.integers(0, 6), max_size=60))
def test_small_blocks_are_paired_completely(blocks: list[int]) -> None:
    expected = [
        (i, j) for i in range(len(blocks)) for j in range(i + 1, len(blocks)) if blocks[i] == blocks[j] != 0
    ]
    assert found(blocks) == expected


def test_a_large_block_is_cut_by_its_second_keys() -> None:
    n = 10 * candidates.LARGEST
    owner = np.arange(n) % (n // 2)  # row i and i + n/2 share every second key

    def refine(rows: NDArray[np.int64]) -> U64:
        return np.repeat(owner[rows].astype(np.uint64)[:, None] + np.uint64(1), 8, axis=1)

    pairs, capped = candidates.pairs(np.ones(n, np.uint64), refine, alike(n))
    assert pairs.tolist() == [[i, i + n // 2] for i in range(n // 2)]
    assert capped == 0


def test_a_template_is_capped_and_counted() -> None:
    n = 5000
    pairs, capped = candidates.pairs(np.ones(n, np.uint64), same_keys, alike(n))
    assert capped == 8
    assert len(pairs) <= n * (candidates.FIRST + candidates.BEFORE)
    # Every row meets the best ones, so a cluster as large as the block goes for its best rows.
    met = set(map(tuple, pairs.tolist()))
    assert all((first, row) in met for row in range(10, n, 97) for first in range(candidates.FIRST))


def test_in_a_template_those_meet_that_share_more_bands() -> None:
    n = 4000
    rng = np.random.default_rng(3)
    twin = rng.permutation(n)  # 2i and 2i + 1 of this order are partners in all bands but the first
    key = np.empty(n, np.uint64)
    key[twin] = np.arange(n, dtype=np.uint64) // 2

    def refine(rows: NDArray[np.int64]) -> U64:
        keys = np.repeat(key[rows][:, None], 8, axis=1)
        keys[:, 0] = 1
        keys[:, 4:] = 1
        return keys

    pairs, capped = candidates.pairs(np.ones(n, np.uint64), refine, alike(n))
    met = {tuple(p) for p in pairs.tolist()}
    assert capped
    assert all(tuple(sorted(twin[i : i + 2].tolist())) in met for i in range(0, n, 2))


def test_sketches_that_differ_in_too_many_bins_are_dropped() -> None:
    low = np.array([0, 0xF, 0xFFFF], np.uint64)  # 0, 1 and 4 bins apart from the first
    high = np.array([0, 0, 1], np.uint64)
    assert found([9, 9, 9], Sketches(low, high, 31)) == [(0, 1)]
    assert found([9, 9, 9], Sketches(low, high, 28)) == [(0, 1), (1, 2)]
    assert found([9, 9, 9], Sketches(low, high, 27)) == [(0, 1), (0, 2), (1, 2)]


@pytest.mark.parametrize("similarity", [0.7, 0.75, 0.8, 0.9])
def test_hardly_a_pair_at_the_least_similarity_is_lost_to_the_sketch(similarity: float) -> None:
    rng = np.random.default_rng(1)
    trials = rng.binomial(candidates.BINS, similarity + (1 - similarity) / 16, 200_000)
    assert (trials < candidates.bins_in_common(similarity)).mean() < 1e-3


def test_short_parts_must_be_equal_to_share_a_block() -> None:
    band = np.array([5, 5, 5, 5, 5], np.uint64)
    prompt_key = np.array([1, 1, 2, 1, 1], np.uint64)
    answer_key = np.array([3, 3, 3, 4, 4], np.uint64)
    short, long = np.zeros(5, np.bool_), np.ones(5, np.bool_)
    of = candidates.block_keys((band, band), (prompt_key, answer_key), (short, long))
    assert of[0] == of[1] == of[3] != of[2]  # the answer leads, the prompt's key is mixed in
    of = candidates.block_keys((band, band), (prompt_key, answer_key), (long, short))
    assert of[0] == of[1] == of[2] != of[3]
    of = candidates.block_keys((band, band), (prompt_key, answer_key), (long, long))
    assert len(set(of.tolist())) == 1
    assert not candidates.block_keys((band, band), (prompt_key, answer_key), (short, short)).any()


def test_pairs_of_bands_are_merged_once_each_and_sorted() -> None:
    merged = candidates.unique([np.array([[3, 9], [0, 1]]), np.zeros((0, 2), np.int64), np.array([[3, 9]])])
    assert merged.tolist() == [[0, 1], [3, 9]]
    assert candidates.unique([]).shape == (0, 2)


@settings(max_examples=40)
@given(
    st.lists(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 2**32 - 1)), max_size=12), max_size=6),
)
def test_pairs_of_several_bands_come_once_and_sorted(bands: list[list[tuple[int, int]]]) -> None:
    found = (np.array(band, np.int64).reshape(-1, 2) for band in bands)
    assert list(map(tuple, candidates.unique(found).tolist())) == sorted({p for band in bands for p in band})
