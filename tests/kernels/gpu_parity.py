"""GPU kernels equal their reference to the bit: run by `test_gpu.py` in a process of its own.

Triton decides when a kernel is defined whether it will be interpreted, so that ``TRITON_INTERPRET=1`` must
stand before anything imports it. On a machine with a GPU the very same tests run compiled.
"""

import os
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from headrace.kernels import fingerprint, hamming_pairs, hamming_table, hamming_tables, simhash
from headrace.kernels.arrow import spans
from headrace.kernels.device import INTERPRETED, device
from headrace.kernels.dispatch import choose
from headrace.kernels.hamming import gpu as hamming
from headrace.kernels.sketch import gpu, reference, warps

# Interpreted kernels take seconds a case: every other one then.
FULL = not INTERPRETED or "HEADRACE_SLOW" in os.environ
SHAPES = [(8, 64, 32, 8), (8, 128, 32, 8), (1, 64, 2, 2), (5, 64, 64, 4), (9, 128, 16, 16), (16, 64, 16, 1)]
NEAR = [(3, 1.0), (8, 0.9), (0, 1.0), (8, 1.0), (0, 0.9)]


def agree(texts: object, ngram: int = 8, bits: int = 64, bins: int = 32, bands: int = 8) -> None:
    shape = {"ngram": ngram, "bits": bits, "bins": bins, "bands": bands}
    ours = fingerprint(texts, **shape, implementation="gpu")
    plain = fingerprint(texts, **shape, implementation="reference")
    for fast, slow in zip(ours, plain, strict=True):
        np.testing.assert_array_equal(fast, slow)


def letters(length: int, seed: int = 0) -> bytes:
    return np.random.default_rng(seed).integers(97, 123, length, np.uint8).tobytes()


def test_path_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is asked for runs, on the device that this process has."""
    assert device().type == ("cpu" if INTERPRETED else "cuda")
    calls: list[int] = []
    sketch = gpu.sketch

    def counted(*arguments: object) -> None:
        calls.append(1)
        sketch(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(gpu, "sketch", counted)
    fingerprint(["some text"], implementation="cpu")
    fingerprint(["some text"])
    assert not calls
    fingerprint(["some text"], implementation="gpu")
    assert len(calls) == 1
    monkeypatch.setattr("headrace.kernels.dispatch.gpu_given", lambda: True)
    fingerprint(["some text"])
    assert len(calls) == 2
    assert choose("headrace.kernels.hamming", "auto") is hamming
    assert choose("headrace.kernels.graph", "auto").__name__ == "headrace.kernels.graph.cpu"


@pytest.mark.parametrize(("ngram", "bits", "bins", "bands"), SHAPES if FULL else SHAPES[::2])
def test_sketches(hard: list[str], ngram: int, bits: int, bins: int, bands: int) -> None:
    agree(pa.array([*hard, None]), ngram, bits, bins, bands)


def test_simhash_alone(hard: list[str]) -> None:
    plain = simhash(hard, ngram=11, bits=128, implementation="reference")
    np.testing.assert_array_equal(simhash(hard, ngram=11, bits=128, implementation="gpu"), plain)


@settings(max_examples=8, deadline=None)
@given(
    st.lists(st.none() | st.text(max_size=30) | st.text("ab", max_size=200), max_size=8), st.integers(0, 2)
)
def test_sketches_at_random(texts: list[str | None], cut: int) -> None:
    agree(pa.array(texts, pa.string())[cut:])


def test_layouts(hard: list[str], layout: Callable[[list[str]], object]) -> None:
    agree(layout([text[:20] for text in hard]))


@pytest.mark.parametrize("ngram", [1, 8, 16])
def test_lengths_around_words_and_chunks(ngram: int) -> None:
    """Rows begin at every place of a word, and end at every place around the border of a chunk."""
    sizes = [*range(10), *range(15, 18), *range(126, 146), 255, 256, 263, 264, 272]
    agree(pa.array([letters(size, size) for size in sizes], pa.binary()), ngram=ngram, bins=16, bands=4)


def test_long_rows() -> None:
    """Chunks of a row are joined over several levels; most bits of the second row's counts are at the top."""
    rows = [letters(200 * warps.CHUNK + 3), b"", b"x" * (65 * warps.CHUNK), letters(7), letters(300)]
    agree(pa.array(rows, pa.binary()), bits=128)


def test_ties_are_no_majority() -> None:
    """Two windows: a bit that one of them has set is not in the majority."""
    rows = [letters(9, seed) for seed in range(20)]
    agree(pa.array(rows, pa.binary()))
    both = [reference.window_hashes(row, 8) for row in rows]
    ours = simhash(pa.array(rows, pa.binary()), implementation="gpu")[:, 0].tolist()
    assert ours == [a & b for a, b in both]


def test_batches(monkeypatch: pytest.MonkeyPatch, hard: list[str]) -> None:
    """Rows longer than a batch, empty rows and more batches than streams, in order."""
    monkeypatch.setattr(gpu, "BATCH", 64)
    texts = pa.array(["", *hard[4:8], None, "", *hard[-2:], ""])
    [view] = spans(texts)
    ranges = list(gpu._batches(view, 32))
    assert ranges[0][0] == 0
    assert ranges[-1][1] == len(texts)
    assert all(a[1] == b[0] for a, b in pairwise(ranges))
    assert len(ranges) > gpu.STREAMS
    agree(texts)
    monkeypatch.setattr(gpu, "HELD", 64)
    monkeypatch.setattr(gpu, "BATCH", 1 << 20)
    assert max(last - first for first, last in gpu._batches(view, 32)) == 2
    agree(texts)


def test_result_is_written_whole() -> None:
    """Outputs hold poison before; no part of it may stay, but where nothing was asked for."""
    [texts] = spans(["", "short", "long enough to have windows", None])
    poison = np.uint64(0xDEADBEEFDEADBEEF)
    results = []
    for module in (gpu, reference):
        signatures, keys = np.full((4, 2), poison), np.full((4, 4), poison)
        features = np.full(4, 0xDEADBEEF, np.uint32)
        module.sketch(texts, 8, 16, signatures, keys, features)
        results.append((signatures, keys, features))
    for fast, slow in zip(*results, strict=True):
        np.testing.assert_array_equal(fast, slow)


def test_window_that_hashes_to_the_mark_of_an_empty_bin() -> None:
    def unmix(word: int, multiplier: int) -> int:
        return (word ^ (word >> 32)) * pow(multiplier, -1, 2**64) % 2**64

    window = unmix(unmix(reference.EMPTY, reference.M2), reference.M1).to_bytes(8, "little")
    agree(pa.array([window, window + b"more", b"before" + window], pa.binary()))


@pytest.mark.parametrize("begin", [0, 3])
def test_texts_on_the_device(begin: int) -> None:
    """Bytes and offsets that lie on the device, aligned or not, with bytes before and behind the texts."""
    rows = [letters(size, size) for size in (5, 0, 40, 129, 300, 8)]
    whole = np.frombuffer(b"###" + b"".join(rows) + b"##", np.uint8).copy()
    offsets = np.cumsum([3 - begin, *map(len, rows)])
    data = torch.from_numpy(whole).to(device())[begin:]
    found = gpu.sketch_tensors(data, torch.from_numpy(offsets).to(device()), bits=128)
    assert [t.dtype for t in found] == [torch.uint64, torch.uint64, torch.uint32]
    assert {t.device.type for t in found} == {device().type}
    plain = fingerprint(pa.array(rows, pa.binary()), bits=128, implementation="reference")
    for fast, slow in zip(found, plain, strict=True):
        np.testing.assert_array_equal(fast.cpu().numpy(), slow)
    alone, none, _ = gpu.sketch_tensors(data, torch.from_numpy(offsets).to(device()), bins=0, bands=0)
    np.testing.assert_array_equal(alone.cpu().numpy(), plain[0][:, :1])
    assert none.shape == (len(rows), 0)
    nothing = gpu.sketch_tensors(data[:0], torch.zeros(1, dtype=torch.int64, device=device()))
    assert [tuple(t.shape) for t in nothing] == [(0, 1), (0, 8), (0,)]


def planted(n: int, words: int, distance: int, seed: int) -> NDArray[np.uint64]:
    """`n` random signatures and, for each, one that differs in the lowest `distance` bits; shuffled."""
    rng = np.random.default_rng(seed)
    base = rng.integers(0, 2**64, (n, words), np.uint64)
    twins = base ^ np.array([2**distance - 1, *[0] * (words - 1)], np.uint64)
    return rng.permutation(np.concatenate([base, twins]))


@pytest.mark.parametrize("words", [1, 2, 3])
@pytest.mark.parametrize(("distance", "recall"), NEAR if FULL else NEAR[:2])
def test_pairs(words: int, distance: int, recall: float) -> None:
    signatures = planted(50, words, 6, words)
    pairs = hamming_pairs(signatures, distance, recall, implementation="gpu")
    plain = hamming_pairs(signatures, distance, recall, implementation="reference")
    np.testing.assert_array_equal(pairs, plain)
    assert len(pairs) >= (40 if distance == 8 else 0)


@settings(max_examples=10, deadline=None)
@given(st.sets(st.integers(0, 2**10 - 1), max_size=60), st.integers(0, 6), st.sampled_from([1.0, 0.5]))
def test_crowded_pairs(values: set[int], distance: int, recall: float) -> None:
    """Ten varying bits of 64: most samples of the bits are shared by many rows."""
    signatures = np.array(sorted(values, key=hash), np.uint64)
    pairs = hamming_pairs(signatures, distance, recall, implementation="gpu")
    plain = hamming_pairs(signatures, distance, recall, implementation="reference")
    np.testing.assert_array_equal(pairs, plain)


def test_pairs_in_strips(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few rows of a large bucket are cut into strips; where every pair is near, all are written."""
    monkeypatch.setattr(hamming, "LEAST", 20)
    signatures = planted(60, 1, 9, 3)
    for distance in (9, 64):
        pairs = hamming_pairs(signatures, distance, implementation="gpu")
        np.testing.assert_array_equal(pairs, hamming_pairs(signatures, distance, implementation="reference"))
    assert len(pairs) == 120 * 119 // 2


def test_pairs_in_buckets() -> None:
    """Pairs of given buckets, one of them empty, ascending; words and starts lie on the device."""
    signatures = planted(75, 2, 3, 8)
    starts = np.array([0, 1, 2, 40, 40, 149], np.int64)
    found = hamming.pairs_in_buckets(
        torch.from_numpy(signatures.view(np.int64)).to(device()), torch.from_numpy(starts).to(device()), 55
    )
    bucket = np.searchsorted(starts, np.arange(150), "right")
    distances = np.bitwise_count(signatures[:, None] ^ signatures[None, :]).sum(axis=2)
    near = (distances <= 55) & (bucket[:, None] == bucket[None, :])
    expected = np.argwhere(np.triu(near, 1))
    assert len(expected) > 100
    np.testing.assert_array_equal(found.cpu().numpy(), expected)


def test_one_table() -> None:
    signatures = planted(100, 1, 5, 5)[:, 0]
    masks = hamming_tables(len(signatures), 64, 8, 0.95)
    for table in (0, len(masks) - 1):
        ours = hamming_table(signatures, masks, table, 8, implementation="gpu")
        plain = hamming_table(signatures, masks, table, 8, implementation="reference")
        np.testing.assert_array_equal(ours, plain)


@pytest.mark.parametrize("crowd", [1, 3])
def test_one_table_with_a_crowd(crowd: int) -> None:
    """Eight varying bits, and a second word on which all bits must agree."""
    values = np.random.default_rng(4).permutation(np.arange(120, dtype=np.uint64))
    signatures = np.column_stack([values, values % np.uint64(2)])
    masks = hamming_tables(len(signatures), 64, 4, 0.9)
    masks = np.column_stack([masks, np.full(len(masks), 2**64 - 1, np.uint64)])
    for table in (0, 1):
        ours = hamming_table(signatures, masks, table, 4, crowd=crowd, implementation="gpu")
        plain = hamming_table(signatures, masks, table, 4, crowd=crowd, implementation="reference")
        np.testing.assert_array_equal(ours, plain)
        assert table or len(ours)


def test_few_signatures() -> None:
    for recall in (1.0, 0.9):
        for signatures in (np.empty(0, np.uint64), np.array([5], np.uint64)):
            assert hamming_pairs(signatures, 3, recall, implementation="gpu").shape == (0, 2)
    three = np.array([0, 2**64 - 1, 1], np.uint64)
    assert hamming_pairs(three, 64, implementation="gpu").tolist() == [[0, 1], [0, 2], [1, 2]]
