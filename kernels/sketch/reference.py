"""Both sketches from their definitions, a window at a time."""

import numpy as np
from numpy.typing import NDArray

from headrace.kernels.arrow import Spans

MASK = 2**64 - 1
# Odd multipliers: SplitMix64's and the golden ratio, then two of xxHash64's primes.
M1, M2, M3, M4 = 0xBF58476D1CE4E5B9, 0x94D049BB133111EB, 0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F
EMPTY = MASK  # a bin that holds no hash


def sketch(
    texts: Spans,
    ngram: int,
    bins: int,
    signatures: NDArray[np.uint64],
    keys: NDArray[np.uint64],
    features: NDArray[np.uint32],
) -> None:
    """Fill ``signatures[N, words]``, ``keys[N, bands]`` (untouched if bands is 0) and ``features[N]``."""
    for row in range(len(texts)):
        text = texts.data[texts.starts[row] : texts.stops[row]].tobytes()
        hashes = window_hashes(text, ngram)
        features[row] = len(hashes)
        signatures[row] = [majority(hashes), majority([_mix(h, M4) for h in hashes])][: signatures.shape[1]]
        if keys.shape[1]:
            keys[row] = band_keys(hashes, bins, keys.shape[1])


def window_hashes(text: bytes, ngram: int) -> list[int]:
    """Hash of every window, in order, repeats included."""
    return [window_hash(text[at : at + ngram]) for at in range(len(text) - ngram + 1)]


def window_hash(window: bytes) -> int:
    """64-bit hash of 1 to 16 bytes; one-to-one for windows of one length up to 8."""
    word = int.from_bytes(window[-8:], "little")
    if len(window) > 8:
        word ^= _mix(int.from_bytes(window[:8], "little"), M3)
    return _mix(_mix(word, M1), M2)


def majority(words: list[int]) -> int:
    """Word whose bit b is set where more than half of `words` have it set."""
    return sum(1 << b for b in range(64) if 2 * sum(w >> b & 1 for w in words) > len(words))


def band_keys(hashes: list[int], bins: int, bands: int) -> list[int]:
    """Keys of the bands of a one-permutation MinHash; zeros without a hash."""
    least = [EMPTY] * bins
    for h in hashes:
        place = h >> (64 - bins.bit_length() + 1)
        least[place] = min(least[place], h)
    filled = [b for b in range(bins) if least[b] != EMPTY]
    if not filled:
        return [0] * bands
    dense = [least[_lender(b, least, bins)] for b in range(bins)]
    keys = []
    for band in range(bands):
        key = band + 1
        for value in dense[band * (bins // bands) : (band + 1) * (bins // bands)]:
            key = _mix(key * M3 & MASK ^ value, M1)
        keys.append(key)
    return keys


def _lender(place: int, least: list[int], bins: int) -> int:
    """The bin itself if it is filled, else the first filled one of its own sequence of bins."""
    chosen, attempt = place, 0
    while least[chosen] == EMPTY:
        attempt += 1
        chosen = _mix(_mix(place << 32 | attempt, M1), M2) % bins
    return chosen


def _mix(word: int, multiplier: int) -> int:
    word = word * multiplier & MASK
    return word ^ (word >> 32)
