"""Overlap of window sets: exact, whatever the order of pairs, and right on labelled articles."""

import gzip
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.kernels import containment, fingerprint, fold, jaccard, overlap
from headrace.kernels.sketch import reference


def windows(text: str) -> set[bytes]:
    return {text.encode()[i : i + 8] for i in range(len(text.encode()) - 7)}


def test_by_hand() -> None:
    texts = ["abcdefghij", "abcdefghijk", "xabcdefghi", "short", None, "zzzzzzzzzzzzzzz"]
    pairs = [[0, 1], [1, 0], [0, 2], [0, 3], [3, 4], [5, 5]]
    assert overlap(texts, pairs).tolist() == [
        [3, 3, 4],
        [3, 4, 3],
        [2, 3, 3],
        [0, 3, 0],
        [0, 0, 0],
        [1, 1, 1],
    ]
    assert jaccard(texts, pairs).tolist() == [0.75, 0.75, 0.5, 0, 0, 1]
    assert containment(texts, pairs).tolist() == [1, 0.75, 2 / 3, 0, 0, 1]


def test_layouts_agree(hard: list[str], layout: Callable[[list[str]], object]) -> None:
    pairs = [(i, j) for i in range(len(hard)) for j in range(len(hard))]
    sizes = overlap(layout(hard), pairs)
    for (i, j), found in zip(pairs, sizes.tolist(), strict=True):
        left, right = windows(hard[i]), windows(hard[j])
        assert found == [len(left & right), len(left), len(right)]


@given(
    st.lists(st.none() | st.text("ab", max_size=120) | st.text(max_size=30), min_size=1, max_size=8),
    st.lists(st.tuples(st.integers(0, 7), st.integers(0, 7)), max_size=30),
    st.sampled_from([1, 3, 8, 9, 16]),
)
def test_equals_reference(texts: list[str | None], pairs: list[tuple[int, int]], ngram: int) -> None:
    inside = [(i % len(texts), j % len(texts)) for i, j in pairs]
    array = pa.array(texts, pa.string())
    ours = overlap(array, inside, ngram=ngram)
    np.testing.assert_array_equal(ours, overlap(array, inside, ngram=ngram, implementation="reference"))


@given(
    st.text("abc", max_size=90),
    st.lists(st.text("abcd", max_size=40), min_size=2, max_size=6),
    st.sampled_from([1, 2, 8, 16]),
)
def test_texts_that_begin_alike_share_what_they_begin_with_once(
    beginning: str, ends: list[str], ngram: int
) -> None:
    texts = pa.array([beginning + end for end in ends])
    pairs = [(i, j) for i in range(len(ends)) for j in range(len(ends))]
    ours = overlap(texts, pairs, ngram=ngram)
    np.testing.assert_array_equal(ours, overlap(texts, pairs, ngram=ngram, implementation="reference"))


def test_order_of_pairs_changes_nothing(hard: list[str]) -> None:
    pairs = np.array([(i, j) for i in range(len(hard)) for j in range(i)])
    order = np.random.default_rng(3).permutation(len(pairs))
    np.testing.assert_array_equal(overlap(hard, pairs)[order], overlap(hard, pairs[order]))


def test_window_that_hashes_to_the_mark_of_a_free_place() -> None:
    def unmix(word: int, multiplier: int) -> int:
        return (word ^ (word >> 32)) * pow(multiplier, -1, 2**64) % 2**64

    mark = unmix(unmix(reference.EMPTY, reference.M2), reference.M1).to_bytes(8, "little")
    texts = pa.array([mark, mark + b"abc", b"other text", mark, mark + b"ab" + mark], pa.binary())
    pairs = [[0, 1], [1, 3], [0, 2], [0, 3], [2, 1], [1, 4], [4, 4]]
    expected = [[1, 1, 4], [1, 4, 1], [0, 1, 3], [1, 1, 1], [0, 3, 4], [3, 4, 10], [10, 10, 10]]
    assert overlap(texts, pairs).tolist() == expected
    assert overlap(texts, pairs, implementation="reference").tolist() == expected


def test_no_pairs_and_wrong_pairs() -> None:
    assert jaccard(["a"], []).shape == (0,)
    with pytest.raises(ValueError, match=r"outside 0\.\.1"):
        jaccard(["a", "b"], [[0, 2]])
    with pytest.raises(ValueError, match="ngram"):
        jaccard(["a"], [[0, 0]], ngram=0)


@pytest.mark.parametrize("name", ["articles_100", "articles_1000"])
def test_labelled_articles(shared_data: Path, name: str) -> None:
    """Every labelled pair at Jaccard .75 and no other, and bands that propose them all."""
    folder = shared_data / "neardup/minhash-articles"
    zipped = folder / f"{name}.train.gz"
    raw = gzip.decompress(zipped.read_bytes()) if zipped.exists() else (folder / f"{name}.train").read_bytes()
    names, texts = zip(*(line.split(" ", 1) for line in raw.decode().splitlines()), strict=True)
    truth = {frozenset(line.split()) for line in (folder / f"{name}.truth").read_text().splitlines() if line}
    folded = fold(list(texts))
    pairs = np.stack(np.triu_indices(len(folded), 1), axis=1)
    near = pairs[jaccard(folded, pairs) >= 0.75]
    assert {frozenset((names[i], names[j])) for i, j in near} == truth
    _, bands, _ = fingerprint(folded)
    assert all(np.any(bands[i] == bands[j]) for i, j in near)
