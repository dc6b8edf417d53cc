"""Both sketches in one pass: a block of 64 hashes is made in vectors, counted in vectors, then binned.

Counting keeps carry-save adders (see `lanes`), so that a feature costs about two vector instructions for
64 counters; the majority is then taken on the bit planes, without turning them into numbers.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from headrace.kernels.arrow import Spans
from headrace.kernels.bits import load64
from headrace.kernels.dispatch import cut, each
from headrace.kernels.sketch import reference
from headrace.kernels.sketch.lanes import BLOCK, CARRY, LANES, READ, add_block, hash_block, mix_block, ripple

M1, M2, M3 = np.uint64(reference.M1), np.uint64(reference.M2), np.uint64(reference.M3)
EMPTY, ONE, ZERO, S32 = np.uint64(reference.EMPTY), np.uint64(1), np.uint64(0), np.uint64(32)
LEAST = 1 << 20  # bytes below which a thread of its own does not pay


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
        given = texts.data, texts.starts, texts.stops, ngram, bins, signatures, keys, features
        each(lambda first, last: _rows(*given, first, last), ranges)


@njit(inline="always")
def _mix(word, multiplier):  # type: ignore[no-untyped-def]
    word = word * multiplier
    return word ^ (word >> S32)


@njit(nogil=True, cache=True)
def window_hash(data, at, ngram):  # type: ignore[no-untyped-def]
    """Hash of the `ngram` bytes at `at`."""
    word = ZERO
    if ngram < 8:
        for i in range(ngram):
            word |= np.uint64(data[at + i]) << np.uint64(8 * i)
    else:
        word = load64(data, at + ngram - 8)
        if ngram > 8:
            word ^= _mix(load64(data, at), M3)
    return _mix(_mix(word, M1), M2)


@njit(nogil=True, cache=True)
def window_hashes(data, at, windows, ngram, hashes):  # type: ignore[no-untyped-def]
    """Fill `hashes` (uint64[BLOCK]) with those of the next `windows` windows, and zeros behind them."""
    if ngram == 8 and at + READ <= len(data):
        hash_block(data, at, hashes)
    else:
        for i in range(windows):
            hashes[i] = window_hash(data, at + i, ngram)
    for i in range(windows, BLOCK):
        hashes[i] = ZERO


@njit(nogil=True, cache=True)
def _rows(data, starts, stops, ngram, bins, signatures, keys, features, first, last):  # type: ignore[no-untyped-def]
    hashes = np.empty(BLOCK, np.uint64)
    low, high = np.zeros((CARRY + 1) * LANES, np.uint64), np.zeros((CARRY + 1) * LANES, np.uint64)
    least = np.empty(bins, np.uint64)
    shift = np.uint64(64)
    while (1 << np.int64(np.uint64(64) - shift)) < bins:
        shift -= ONE
    double = signatures.shape[1] == 2
    for row in range(first, last):
        windows = max(0, stops[row] - starts[row] - ngram + 1)
        features[row] = windows
        least[:] = EMPTY
        top = 3
        for done in range(0, windows, BLOCK):
            count = min(BLOCK, windows - done)
            window_hashes(data, starts[row] + done, count, ngram, hashes)
            if (done >> 3) + LANES >= 1 << top:  # counts of a lane reach done / 8 + 8
                top += 1
            _count(hashes, low, top)
            if bins:
                for i in range(count):
                    place = hashes[i] >> shift
                    least[place] = min(least[place], hashes[i])
            if double:
                mix_block(hashes)
                _count(hashes, high, top)
        signatures[row, 0] = _majority(low, top, windows)
        if double:
            signatures[row, 1] = _majority(high, top, windows)
        if bins:
            _bands(least, keys[row])


@njit(nogil=True, cache=True)
def _count(hashes, planes, top):  # type: ignore[no-untyped-def]
    """Add 64 hashes to counts of at most `top` bits."""
    add_block(hashes, planes)
    for row in range(3, top):
        ripple(planes, row)


@njit(nogil=True, cache=True)
def _majority(planes, top, windows):  # type: ignore[no-untyped-def]
    """Word of the bits whose count exceeds half of `windows`; leaves the planes zero."""
    for half in (4, 2, 1):  # add the upper lanes to the lower ones until one lane is left
        for lane in range(half):
            carry = ZERO
            for at in range(lane, top * LANES, LANES):
                a, b = planes[at], planes[at + half]
                planes[at] = a ^ b ^ carry
                carry = (a & b) | ((a ^ b) & carry)
            planes[top * LANES + lane] = carry
        top += 1
    threshold = np.uint64(windows >> 1)
    more, equal = ZERO, ~ZERO
    for row in range(top - 1, -1, -1):
        plane = planes[row * LANES]
        if (threshold >> np.uint64(row)) & ONE:
            equal &= plane
        else:
            more |= equal & plane
            equal &= ~plane
    planes[: top * LANES] = ZERO
    return more


@njit(nogil=True, cache=True)
def _bands(least, keys):  # type: ignore[no-untyped-def]
    """Fill the row's band keys from the least hash of each bin."""
    bins, size = len(least), len(least) // len(keys)
    if least.min() == EMPTY:  # nothing to borrow from
        keys[:] = ZERO
        return
    for band in range(len(keys)):
        key = np.uint64(band + 1)
        for place in range(band * size, (band + 1) * size):
            chosen, attempt = np.int64(place), 0
            while least[chosen] == EMPTY:
                attempt += 1
                sequence = np.uint64(place) << S32 | np.uint64(attempt)
                chosen = np.int64(_mix(_mix(sequence, M1), M2) & np.uint64(bins - 1))
            key = _mix((key * M3) ^ least[chosen], M1)
        keys[band] = key


def warm() -> None:
    """Compile, or load from Numba's cache."""
    texts = Spans(np.zeros(9, np.uint8), np.zeros(1, np.int64), np.full(1, 9), None)
    sketch(texts, 8, 2, np.empty((1, 2), np.uint64), np.empty((1, 1), np.uint64), np.empty(1, np.uint32))
