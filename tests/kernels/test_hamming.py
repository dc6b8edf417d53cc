"""Hamming pairs: all of them at recall 1, the stated share below, each once, from independent tables."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from headrace.kernels import hamming_pairs, hamming_table, hamming_tables
from headrace.kernels.hamming import cpu


def planted(n: int, words: int, distance: int, seed: int) -> NDArray[np.uint64]:
    """`n` random signatures and, for each, one that differs in exactly `distance` bits; shuffled."""
    rng = np.random.default_rng(seed)
    base = rng.integers(0, 2**64, (n, words), np.uint64)
    places = np.argsort(rng.random((n, words * 64)), axis=1)[:, :distance]
    twins = base.copy()
    for column in range(distance):
        rows, bits = np.arange(n), places[:, column]
        twins[rows, bits // 64] ^= np.uint64(1) << (bits % 64).astype(np.uint64)
    return rng.permutation(np.concatenate([base, twins]))


@pytest.mark.parametrize("words", [1, 2])
@pytest.mark.parametrize("distance", [0, 3, 8])
@pytest.mark.parametrize("recall", [1.0, 0.9])
def test_equals_reference(words: int, distance: int, recall: float) -> None:
    signatures = planted(80, words, 6, words)
    pairs = hamming_pairs(signatures, distance, recall)
    plain = hamming_pairs(signatures, distance, recall, implementation="reference")
    np.testing.assert_array_equal(pairs, plain)
    assert len(pairs) >= (70 if distance == 8 else 0)


@given(st.sets(st.integers(0, 2**10 - 1), max_size=60), st.integers(0, 6), st.sampled_from([1.0, 0.5, 0.99]))
def test_crowded_signatures(values: set[int], distance: int, recall: float) -> None:
    """Ten varying bits of 64: most samples of the bits are shared by many rows."""
    signatures = np.array(sorted(values, key=hash), np.uint64)
    pairs = hamming_pairs(signatures, distance, recall)
    plain = hamming_pairs(signatures, distance, recall, implementation="reference")
    np.testing.assert_array_equal(pairs, plain)


def test_exact_over_many_tiles() -> None:
    signatures = planted(1500, 1, 5, 4)[:, 0]
    pairs = hamming_pairs(signatures, 12)
    distances = np.bitwise_count(signatures[:, None] ^ signatures[None, :])
    expected = np.argwhere(np.triu(distances <= 12, 1))
    np.testing.assert_array_equal(pairs, expected)


@pytest.mark.parametrize(("words", "distance"), [(1, 0), (1, 3), (1, 5), (2, 4)])
def test_exact_by_tables(words: int, distance: int, monkeypatch: pytest.MonkeyPatch) -> None:
    signatures = planted(400, words, max(distance, 1), 9)
    plain = hamming_pairs(signatures, distance, implementation="reference")
    monkeypatch.setattr(cpu, "MOST_TABLES", 0)
    np.testing.assert_array_equal(hamming_pairs(signatures, distance), plain)
    monkeypatch.setattr(cpu, "MOST_TABLES", 4096)
    monkeypatch.setattr(cpu, "TABLE_ROW", 0.0)
    monkeypatch.setattr(cpu, "LOOPED", 0.0)
    assert len(cpu.covering(len(signatures), 64 * words, distance))
    np.testing.assert_array_equal(hamming_pairs(signatures, distance), plain)


@pytest.mark.parametrize(("n", "distance"), [(10_000, 3), (1_000_000, 3), (1_000_000, 8)])
def test_tables_of_an_exact_search_cover_every_difference(n: int, distance: int) -> None:
    masks = cpu.covering(n, 64, distance)[:, 0]
    assert len(masks)
    for _ in range(200):
        places = np.random.default_rng(_).permutation(64)[:distance]
        difference = np.bitwise_or.reduce(np.uint64(1) << places.astype(np.uint64))
        assert (masks & difference == 0).any()


def test_tables_join_to_the_whole() -> None:
    signatures = planted(2000, 1, 7, 5)[:, 0]
    masks = hamming_tables(len(signatures), 64, 8, 0.95)
    parts = [hamming_table(signatures, masks, table, 8) for table in range(len(masks))]
    joined = np.concatenate(parts)
    assert len(np.unique(joined, axis=0)) == len(joined)
    whole = hamming_pairs(signatures, 8, 0.95)
    np.testing.assert_array_equal(joined[np.lexsort((joined[:, 1], joined[:, 0]))], whole)
    plain = hamming_table(signatures[:300], masks, 2, 8, implementation="reference")
    np.testing.assert_array_equal(hamming_table(signatures[:300], masks, 2, 8), plain)


@given(
    st.sets(st.integers(0, 2**10 - 1), max_size=60),
    st.integers(0, 6),
    st.sampled_from([1, 2, 7]),
    st.sampled_from([1, 2]),
)
def test_of_a_crowd_the_first_are_compared(values: set[int], distance: int, crowd: int, words: int) -> None:
    signatures = np.array(sorted(values, key=hash), np.uint64).reshape(-1, 1)
    masks = hamming_tables(len(signatures), 64, distance, 0.9)
    if words == 2:  # a second word on which all bits must agree
        signatures = np.column_stack([signatures, signatures[:, 0] % np.uint64(2)])
        masks = np.column_stack([masks, np.full(len(masks), 2**64 - 1, np.uint64)])
    for table in range(len(masks)):
        fast, plain = (
            hamming_table(signatures, masks, table, distance, crowd=crowd, implementation=name)  # type: ignore[arg-type]
            for name in ("cpu", "reference")
        )
        np.testing.assert_array_equal(fast, plain)


def test_a_crowd_is_linear() -> None:
    """Twenty bits at the end of 64: a table groups those that agree in the few of them that it samples."""
    signatures = np.random.default_rng(2).permutation(np.arange(4096, dtype=np.uint64))
    masks = np.array([[2**64 - 2**20], [2**40]], np.uint64)
    pairs = hamming_table(signatures, masks, 0, 64, crowd=3)
    assert len(pairs) == sum(4096 - 1 - leader for leader in range(3))
    assert set(pairs[:, 0].tolist()) == {0, 1, 2}
    assert len(hamming_table(signatures, masks, 1, 64, crowd=3)) == 0
    small = signatures[:300]
    np.testing.assert_array_equal(
        hamming_table(small, masks, 0, 64, crowd=3),
        hamming_table(small, masks, 0, 64, crowd=3, implementation="reference"),
    )


@pytest.mark.parametrize(("words", "recall"), [(1, 0.9), (1, 0.99), (2, 0.95)])
def test_recall_at_the_distance_itself(words: int, recall: float) -> None:
    signatures = planted(20_000, words, 8, 6)
    share = len(hamming_pairs(signatures, 8, recall)) / 20_000
    assert share >= recall - 3 * math.sqrt(recall * (1 - recall) / 20_000)


def test_plan_states_its_chance() -> None:
    masks = hamming_tables(1_000_000, 64, 8, 0.99)
    sizes = np.bitwise_count(masks).sum(axis=1)
    assert set(sizes.tolist()) == {18}
    chance = math.comb(56, 18) / math.comb(64, 18)
    assert 1 - (1 - chance) ** len(masks) >= 0.99 > 1 - (1 - chance) ** (len(masks) - 1)
    np.testing.assert_array_equal(masks, hamming_tables(1_000_000, 64, 8, 0.99))
    assert not np.any(masks[0] & masks[1])
    assert len(hamming_tables(1000, 64, 0, 0.5)) == 1


def test_few_signatures() -> None:
    for recall in (1.0, 0.9):
        assert hamming_pairs(np.empty(0, np.uint64), 3, recall).shape == (0, 2)
        assert hamming_pairs(np.array([5], np.uint64), 3, recall).shape == (0, 2)
    assert hamming_pairs(np.array([0, 2**64 - 1, 1], np.uint64), 64).tolist() == [[0, 1], [0, 2], [1, 2]]


def test_refuses() -> None:
    with pytest.raises(ValueError, match="distinct"):
        hamming_pairs(np.array([1, 2, 1], np.uint64), 3)
    with pytest.raises(ValueError, match="distinct"):
        hamming_pairs(np.array([[1, 2], [3, 4], [1, 2]], np.uint64), 3)
    with pytest.raises(ValueError, match="max_distance"):
        hamming_pairs(np.array([1], np.uint64), -1)
    with pytest.raises(ValueError, match="recall"):
        hamming_pairs(np.array([1], np.uint64), 3, 1.5)
    masks = hamming_tables(10, 64, 3, 0.9)
    with pytest.raises(ValueError, match="table"):
        hamming_table(np.array([1], np.uint64), masks, len(masks), 3)
    with pytest.raises(ValueError, match="crowd"):
        hamming_table(np.array([1], np.uint64), masks, 0, 3, crowd=0)
    with pytest.raises(ValueError, match="distinct"):
        hamming_table(np.array([1, 2, 1], np.uint64), masks, 0, 3)
