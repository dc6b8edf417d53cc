"""Both sketches in Numba."""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from kernels.arrow import Spans
from kernels.bits import load64
from kernels.dispatch import cut, each
from kernels.sketch import reference

M1, M2, M3, M4 = (np.uint64(m) for m in (reference.M1, reference.M2, reference.M3, reference.M4))
EMPTY, ONE, S32 = np.uint64(reference.EMPTY), np.uint64(1), np.uint64(32)
LEAST = 1 << 18  # bytes below which a thread of its own does not pay


def sketch(
    texts: Spans,
    ngram: int,
    bins: int,
    signatures: NDArray[np.uint64],
    keys: NDArray[np.uint64],
    features: NDArray[np.uint32],
) -> None:
    """Fill ``signatures[N, words]``, ``keys[N, bands]`` (untouched if bands is 0) and ``features[N]``."""
    if len(texts):
        ranges = cut(np.append(texts.starts, texts.stops[-1]), LEAST)
        rest = texts.data, texts.starts, texts.stops, ngram, bins, signatures, keys, features
        each(lambda first, last: _rows(*rest, first, last), ranges)


@njit(inline="always")
def _mix(word, multiplier):  # type: ignore[no-untyped-def]
    word = word * multiplier
    return word ^ (word >> S32)


@njit(nogil=True, cache=True)
def load_window(data, at, size):  # type: ignore[no-untyped-def]
    """The last 8 of `size` bytes as a word."""
    word = np.uint64(0)
    for i in range(max(0, size - 8), size):
        word |= np.uint64(data[at + i]) << np.uint64(8 * (i - max(0, size - 8)))
    return word


@njit(nogil=True, cache=True)
def window_hash(data, at, ngram):  # type: ignore[no-untyped-def]
    """Hash of the `ngram` bytes at `at`."""
    if ngram < 8:
        word = load_window(data, at, ngram)
    else:
        word = load64(data, at + ngram - 8)
        if ngram > 8:
            word ^= _mix(load64(data, at), M3)
    return _mix(_mix(word, M1), M2)


@njit(nogil=True, cache=True)
def _rows(data, starts, stops, ngram, bins, signatures, keys, features, first, last):  # type: ignore[no-untyped-def]
    words = signatures.shape[1]
    counts = np.zeros((words, 64), np.int64)
    least = np.empty(max(bins, 1), np.uint64)
    shift = np.uint64(64 - (np.int64(np.log2(bins)) if bins else 0))
    for row in range(first, last):
        windows = max(0, stops[row] - starts[row] - ngram + 1)
        features[row] = windows
        counts[:] = 0
        least[:] = EMPTY
        for at in range(starts[row], starts[row] + windows):
            h = window_hash(data, at, ngram)
            if bins:
                place = h >> shift
                least[place] = min(least[place], h)
            for b in range(64):
                counts[0, b] += np.int64((h >> np.uint64(b)) & ONE)
            if words == 2:
                h = _mix(h, M4)
                for b in range(64):
                    counts[1, b] += np.int64((h >> np.uint64(b)) & ONE)
        for word in range(words):
            bits = np.uint64(0)
            for b in range(64):
                if 2 * counts[word, b] > windows:
                    bits |= ONE << np.uint64(b)
            signatures[row, word] = bits
        if bins:
            _bands(least, windows, keys[row])


@njit(nogil=True, cache=True)
def _bands(least, windows, keys):  # type: ignore[no-untyped-def]
    bins, bands = len(least), len(keys)
    filled = False
    for value in least:
        filled |= value != EMPTY
    if not filled:
        keys[:] = 0
        return
    dense = np.empty(bins, np.uint64)
    for place in range(bins):
        chosen, attempt = place, 0
        while least[chosen] == EMPTY:
            attempt += 1
            sequence = np.uint64(place) << S32 | np.uint64(attempt)
            chosen = np.int64(_mix(_mix(sequence, M1), M2) & np.uint64(bins - 1))
        dense[place] = least[chosen]
    for band in range(bands):
        key = np.uint64(band + 1)
        for i in range(band * (bins // bands), (band + 1) * (bins // bands)):
            key = _mix((key * M3) ^ dense[i], M1)
        keys[band] = key


def warm() -> None:
    """Compile, or load from Numba's cache."""
    texts = Spans(np.zeros(9, np.uint8), np.zeros(1, np.int64), np.full(1, 9), None)
    sketch(texts, 8, 2, np.empty((1, 2), np.uint64), np.empty((1, 1), np.uint64), np.empty(1, np.uint32))
