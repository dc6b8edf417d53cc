"""Two sketches of a text from one pass over its hashed n-byte windows: SimHash and MinHash bands.

Every window of `ngram` bytes of a text (as given: fold it first) is one feature, counted as often as it
occurs. A window hashes by multiply and xor-shift (`reference.window_hash`; one-to-one for 8 bytes).

SimHash: bit b is set where more than half of the features have it set. Two texts' signatures differ in
about as many bits as their feature counts point apart (angle / pi).

MinHash, one permutation: the top bits of a hash name one of `bins`, each bin keeps its least hash; an
empty bin borrows from a filled one, chosen by a hash of its own place (optimal densification). A band
is the hash of its number and ``bins / bands`` consecutive bins: two texts with Jaccard J share a given
band with a chance of about J ** (bins / bands).

A text shorter than `ngram` bytes has no feature: its counts, signature and bands are 0 and say nothing.

A GPU gives the same bits (`kernels.dispatch` says when it is taken); texts that lie on one already go
through `kernels.sketch.gpu.sketch_tensors`.

Source: Charikar 2002 (SimHash), https://doi.org/10.1145/509907.509965; Li, Owen & Zhang 2012 (one
permutation), https://arxiv.org/abs/1208.1259; Shrivastava 2017 (optimal densification),
https://arxiv.org/abs/1703.04664.
"""

import numpy as np
from numpy.typing import NDArray

from headrace.kernels.arrow import Texts, spans
from headrace.kernels.dispatch import Implementation, choose

Sketches = tuple[NDArray[np.uint64], NDArray[np.uint64], NDArray[np.uint32]]


def simhash(
    texts: Texts, *, ngram: int = 8, bits: int = 64, implementation: Implementation = "auto"
) -> NDArray[np.uint64]:
    """SimHash of each text: ``-> uint64[N, bits // 64]``, bit b at word b // 64, place b % 64.

    `ngram` is 1 to 16 bytes, `bits` 64 or 128. Rows that are null or shorter than `ngram` are 0.

    Raises: ValueError for an ngram or a number of bits outside these.
    """
    return _sketch(texts, ngram, bits, 0, 0, implementation)[0]


def fingerprint(
    texts: Texts,
    *,
    ngram: int = 8,
    bits: int = 64,
    bins: int = 32,
    bands: int = 8,
    implementation: Implementation = "auto",
) -> Sketches:
    """SimHash, band keys and feature counts of each text in one pass.

    ``-> (simhash uint64[N, bits // 64], bands uint64[N, bands], features uint32[N])``. `features` is the
    number of windows, 0 for a text that is null or shorter than `ngram`: its signature and bands are 0 and
    must not be compared. `bins` is a power of two from 2 to 1024, `bands` divides it.

    Raises: ValueError for parameters outside these.
    """
    if bins not in (2, 4, 8, 16, 32, 64, 128, 256, 512, 1024):
        raise ValueError(f"bins must be a power of two from 2 to 1024, got {bins}")
    if bands < 1 or bins % bands:
        raise ValueError(f"bands must divide bins ({bins}), got {bands}")
    return _sketch(texts, ngram, bits, bins, bands, implementation)


def _sketch(
    texts: Texts, ngram: int, bits: int, bins: int, bands: int, implementation: Implementation
) -> Sketches:
    if not 1 <= ngram <= 16:
        raise ValueError(f"ngram must be 1 to 16 bytes, got {ngram}")
    if bits not in (64, 128):
        raise ValueError(f"bits must be 64 or 128, got {bits}")
    module, parts = choose(__name__, implementation), spans(texts)
    rows = sum(len(part) for part in parts)
    signatures = np.empty((rows, bits // 64), np.uint64)
    keys, features = np.empty((rows, bands), np.uint64), np.empty(rows, np.uint32)
    at = 0
    for part in parts:
        end = at + len(part)
        module.sketch(part, ngram, bins, signatures[at:end], keys[at:end], features[at:end])
        at = end
    return signatures, keys, features


__all__ = ["fingerprint", "simhash"]
