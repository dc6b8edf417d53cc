"""Sketches: bit-identical to their definition, blind to layout, and able to tell languages apart."""

from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from headrace.kernels import fingerprint, fold, jaccard, simhash
from headrace.kernels.arrow import spans
from headrace.kernels.sketch import cpu, reference
from headrace.kernels.sketch.lanes import READ

SHAPES = [(8, 64, 32, 8), (8, 128, 32, 8), (1, 64, 2, 2), (5, 64, 64, 4), (9, 128, 16, 16), (16, 64, 1024, 8)]


def agree(texts: object, ngram: int, bits: int, bins: int, bands: int) -> None:
    shape = {"ngram": ngram, "bits": bits, "bins": bins, "bands": bands}
    ours = fingerprint(texts, **shape)  # type: ignore[arg-type]
    plain = fingerprint(texts, **shape, implementation="reference")
    for fast, slow in zip(ours, plain, strict=True):
        np.testing.assert_array_equal(fast, slow)
    np.testing.assert_array_equal(simhash(texts, ngram=ngram, bits=bits), ours[0])


@pytest.mark.parametrize(("ngram", "bits", "bins", "bands"), SHAPES)
def test_equals_reference(hard: list[str], ngram: int, bits: int, bins: int, bands: int) -> None:
    agree(pa.array([*hard, None]), ngram, bits, bins, bands)


@given(
    st.lists(st.none() | st.text(max_size=30) | st.text("ab", max_size=200), max_size=8), st.integers(0, 2)
)
def test_equals_reference_at_random(texts: list[str | None], cut: int) -> None:
    agree(pa.array(texts, pa.string())[cut:], 8, 64, 32, 8)
    agree(pa.array(texts, pa.string())[cut:], 4, 128, 8, 2)


def test_layouts_agree(hard: list[str], layout: Callable[[list[str]], object]) -> None:
    plain = fingerprint(hard, implementation="reference")
    for fast, slow in zip(fingerprint(layout(hard)), plain, strict=True):
        np.testing.assert_array_equal(fast, slow)


@pytest.mark.parametrize("length", [7, 8, 63, 64, 70, 71, 72, 135, 136, 519, 520, 4100])
def test_lengths_around_blocks(length: int) -> None:
    """Blocks have 64 windows, counters overflow into planes, and the last block may end the buffer."""
    rng = np.random.default_rng(length)
    text = bytes(rng.integers(97, 123, length, np.uint8)).decode()
    agree(pa.array([text]), 8, 128, 32, 8)
    agree(pa.array([text, "z" * READ]), 8, 128, 32, 8)


def test_result_is_written_whole() -> None:
    """Outputs hold poison before; no part of it may stay."""
    [texts] = spans(["", "short", "long enough to have windows", None])
    poison = np.uint64(0xDEADBEEFDEADBEEF)
    results = []
    for module in (cpu, reference):
        signatures, keys = np.full((4, 2), poison), np.full((4, 4), poison)
        features = np.full(4, 0xDEADBEEF, np.uint32)
        module.sketch(texts, 8, 16, signatures, keys, features)
        results.append((signatures, keys, features))
    for fast, slow in zip(*results, strict=True):
        np.testing.assert_array_equal(fast, slow)
    assert results[0][2].tolist() == [0, 0, 20, 0]
    assert not np.any(results[0][0][[0, 1, 3]])
    assert not np.any(results[0][1][[0, 1, 3]])


def test_window_that_hashes_to_the_mark_of_an_empty_bin() -> None:
    """The hash of 8 bytes is one-to-one, so one window equals the mark; nothing may wait for a filled bin."""

    def unmix(word: int, multiplier: int) -> int:
        return (word ^ (word >> 32)) * pow(multiplier, -1, 2**64) % 2**64

    window = unmix(unmix(reference.EMPTY, reference.M2), reference.M1).to_bytes(8, "little")
    assert reference.window_hash(window) == reference.EMPTY
    signatures, keys, features = fingerprint(pa.array([window], pa.binary()))
    assert signatures.tolist() == [[2**64 - 1]]
    assert keys.tolist() == [[0] * 8]
    assert features.tolist() == [1]
    agree(pa.array([window, window + b"more"], pa.binary()), 8, 64, 32, 8)


def test_simhash_is_the_majority() -> None:
    text = b"majority of bits"
    hashes = reference.window_hashes(text, 8)
    counts = [sum(h >> b & 1 for h in hashes) for b in range(64)]
    expected = sum(1 << b for b, count in enumerate(counts) if count > len(hashes) / 2)
    assert simhash([text.decode()]).tolist() == [[expected]]


def test_threads_change_nothing(monkeypatch: pytest.MonkeyPatch, hard: list[str]) -> None:
    two = fingerprint(hard * 9)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    for one, other in zip(fingerprint(hard * 9), two, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    ("name", "value"), [("ngram", 0), ("ngram", 17), ("bits", 96), ("bins", 24), ("bands", 5), ("bands", 0)]
)
def test_parameters_outside_the_contract(name: str, value: int) -> None:
    with pytest.raises(ValueError, match=f"{name} must.*got {value}"):
        fingerprint(["text"], **{name: value})  # type: ignore[arg-type]


def test_an_edit_moves_few_bits_and_bands() -> None:
    rng = np.random.default_rng(7)
    words = ["".join(rng.choice(list("abcdefghij"), 5)) for _ in range(300)]
    edited = [*words[:150], "changed", *words[151:]]
    other = rng.permutation(["".join(rng.choice(list("klmnopqrst"), 5)) for _ in range(300)]).tolist()
    signatures, bands, _ = fingerprint([" ".join(w) for w in (words, edited, other)])
    distances = np.bitwise_count(signatures[0] ^ signatures[1:])
    assert distances[0] <= 8 < distances[1]
    assert (bands[0] == bands[1]).sum() >= 6
    assert not np.any(bands[0] == bands[2])


def equal_rows(keys: NDArray[np.uint64]) -> NDArray[np.int64]:
    """Neighbouring pairs among rows that are equal, ``int64[M, 2]``."""
    order = np.lexsort(keys.T)
    same = (keys[order][1:] == keys[order][:-1]).all(axis=1)
    return np.stack([order[:-1][same], order[1:][same]], axis=1)


def test_different_sentences_do_not_collide(tatoeba: list[str], udhr: list[str]) -> None:
    """Equal sketches only where the texts nearly are: same language, a word apart."""
    sentences = fold(tatoeba).unique()
    signatures, bands, features = fingerprint(sentences)
    sentences, some = sentences.filter(pa.array(features > 0)), features > 0
    assert len(np.unique(signatures[some])) == len(sentences)
    close = equal_rows(bands[some])
    assert len(close) < 100
    assert jaccard(sentences, close).min() > 0.7
    declarations = fold(udhr).unique()
    signatures, bands, _ = fingerprint(declarations)
    for keys in (signatures, bands):
        assert jaccard(declarations, equal_rows(keys)).min() > 0.9
