"""MurmurHash3_x64_128, word by word as its author wrote it."""

import numpy as np
from numpy.typing import NDArray

from headrace.kernels.arrow import Spans

MASK = 2**64 - 1
C1, C2 = 0x87C37B91114253D5, 0x4CF5AD432745937F


def content_hash(texts: Spans, hi: NDArray[np.uint64], lo: NDArray[np.uint64]) -> None:
    """Fill `hi` and `lo` (uint64[N]) with the hashes of `texts`."""
    for row in range(len(texts)):
        hi[row], lo[row] = murmur3(texts.data[texts.starts[row] : texts.stops[row]].tobytes(), 0)


def murmur3(key: bytes, seed: int) -> tuple[int, int]:
    """(h1, h2) of MurmurHash3_x64_128 over `key`."""
    h1 = h2 = seed
    body = len(key) // 16 * 16
    for at in range(0, body, 16):
        h1 ^= _k1(int.from_bytes(key[at : at + 8], "little"))
        h1 = ((_rotate(h1, 27) + h2) * 5 + 0x52DCE729) & MASK
        h2 ^= _k2(int.from_bytes(key[at + 8 : at + 16], "little"))
        h2 = ((_rotate(h2, 31) + h1) * 5 + 0x38495AB5) & MASK
    tail = key[body:]
    h2 ^= _k2(int.from_bytes(tail[8:], "little"))
    h1 ^= _k1(int.from_bytes(tail[:8], "little"))
    h1 ^= len(key)
    h2 ^= len(key)
    h1 = (h1 + h2) & MASK
    h2 = (h2 + h1) & MASK
    h1, h2 = _finish(h1), _finish(h2)
    h1 = (h1 + h2) & MASK
    return h1, (h2 + h1) & MASK


def _rotate(x: int, by: int) -> int:
    return ((x << by) | (x >> (64 - by))) & MASK


def _k1(k: int) -> int:
    return _rotate(k * C1 & MASK, 31) * C2 & MASK


def _k2(k: int) -> int:
    return _rotate(k * C2 & MASK, 33) * C1 & MASK


def _finish(k: int) -> int:
    k = (k ^ (k >> 33)) * 0xFF51AFD7ED558CCD & MASK
    k = (k ^ (k >> 33)) * 0xC4CEB9FE1A85EC53 & MASK
    return k ^ (k >> 33)
