"""Bottom-k sketches: the least hashes and no others, and an estimate within its stated error."""

from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.kernels import bottom_jaccard, bottom_sketches, jaccard


def test_by_hand() -> None:
    texts = ["abcdefghij", "abcdefghijk", "short", None, "zzzzzzzzzzzzzzz"]
    offsets, values = bottom_sketches(texts, k=8)
    assert offsets.tolist() == [0, 3, 7, 7, 7, 8]
    assert np.all(np.diff(values[3:7].astype(np.int64)) > 0)
    assert set(values[:3]) < set(values[3:7])
    pairs = [[0, 1], [1, 0], [0, 2], [2, 3], [4, 4]]
    assert bottom_jaccard(offsets, values, pairs, k=8).tolist() == [0.75, 0.75, 0, 0, 1]


@given(
    st.lists(st.none() | st.text("ab", max_size=400) | st.text(max_size=60), min_size=1, max_size=6),
    st.sampled_from([1, 3, 16, 256]),
    st.sampled_from([1, 4, 8, 16]),
)
def test_equals_reference(texts: list[str | None], k: int, ngram: int) -> None:
    array = pa.array(texts, pa.string())
    ours = bottom_sketches(array, k=k, ngram=ngram)
    plain = bottom_sketches(array, k=k, ngram=ngram, implementation="reference")
    for one, other in zip(ours, plain, strict=True):
        np.testing.assert_array_equal(one, other)
    pairs = [(i, j) for i in range(len(texts)) for j in range(len(texts))]
    np.testing.assert_array_equal(
        bottom_jaccard(*ours, pairs, k=k), bottom_jaccard(*ours, pairs, k=k, implementation="reference")
    )


def test_layouts_agree(hard: list[str], layout: Callable[[list[str]], object]) -> None:
    plain = bottom_sketches(hard, k=32)
    for one, other in zip(bottom_sketches(layout(hard), k=32), plain, strict=True):
        np.testing.assert_array_equal(one, other)


def test_whole_sketches_are_exact(hard: list[str]) -> None:
    short = [t for t in hard if t is not None and len(t.encode()) < 250]
    pairs = [(i, j) for i in range(len(short)) for j in range(i)]
    np.testing.assert_allclose(bottom_jaccard(*bottom_sketches(short), pairs), jaccard(short, pairs))


def test_the_error_is_as_stated() -> None:
    rng = np.random.default_rng(5)
    words = ["".join(rng.choice(list("abcdefghijklmnop"), 7)) for _ in range(3000)]
    texts, pairs = [], []
    for _ in range(150):
        text = rng.choice(words, 300).tolist()
        edited = [w if rng.random() > 0.05 else str(rng.choice(words)) for w in text]
        pairs.append((len(texts), len(texts) + 1))
        texts += [" ".join(text), " ".join(edited)]
    truth = jaccard(texts, pairs)
    error = bottom_jaccard(*bottom_sketches(texts, k=256), pairs, k=256) - truth
    stated = np.sqrt(truth * (1 - truth) / 256)
    assert abs(error.mean()) < 3 * stated.mean() / np.sqrt(len(pairs))
    assert 0.7 < error.std() / stated.mean() < 1.2


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match="k must be 1 or more, got 0"):
        bottom_sketches(["a"], k=0)
    with pytest.raises(ValueError, match="ngram must be 1 to 16"):
        bottom_sketches(["a"], ngram=17)
    with pytest.raises(ValueError, match="outside 0"):
        bottom_jaccard(*bottom_sketches(["a"]), [[0, 1]])
