"""128-bit content hash: which texts are equal, on any machine and in any run.

MurmurHash3_x64_128 with seed 0, over the bytes of each text. Not keyed and not cryptographic: it
tells equal from different in real corpora (a collision among 1e10 texts has a chance of 1e-19); it
does not withstand someone who builds collisions on purpose.

Source: Austin Appleby, MurmurHash3, https://github.com/aappleby/smhasher.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from headrace.kernels.arrow import Spans, Texts, spans
from headrace.kernels.dispatch import Implementation, choose

Hashes = tuple[NDArray[np.uint64], NDArray[np.uint64]]


def content_hash(texts: Texts, *, implementation: Implementation = "auto") -> Hashes:
    """128-bit hash of each text: ``-> (hi uint64[N], lo uint64[N])``.

    `texts` is any Arrow string or binary array (sliced, chunked), or a sequence of str; a text hashes as
    its UTF-8 bytes. A null hashes to (0, 0), the empty text too (as MurmurHash3 defines it).
    """
    module, parts = choose(__name__, implementation), spans(texts)
    rows = sum(len(part) for part in parts)
    hi, lo = np.empty(rows, np.uint64), np.empty(rows, np.uint64)
    at = 0
    for part in parts:
        end = at + len(part)
        module.content_hash(part, hi[at:end], lo[at:end])
        at = end
    return hi, lo


def content_hash_lists(
    offsets: ArrayLike, labels: ArrayLike, texts: Texts, *, implementation: Implementation = "auto"
) -> Hashes:
    """128-bit hash of each list of labelled texts: ``-> (hi uint64[N], lo uint64[N])``.

    List `i` holds the texts ``offsets[i]:offsets[i + 1]``, as an Arrow list array of (role, content)
    does. offsets int[N + 1]; labels int[M] with 0 <= label < 2**64 (say, a role's place in a fixed list);
    texts of length M. The hash is `content_hash` of the concatenated little-endian words (label, hi, lo)
    of the list's texts, so neither order, nor labels, nor where one text ends can be mistaken. An empty
    list hashes to (0, 0).

    Raises: ValueError for offsets or labels that do not fit `texts`.
    """
    hashes = content_hash(texts, implementation=implementation)
    return list_hash(offsets, labels, hashes, implementation=implementation)


def list_hash(
    offsets: ArrayLike, labels: ArrayLike, hashes: Hashes, *, implementation: Implementation = "auto"
) -> Hashes:
    """`content_hash_lists` of texts whose `content_hash` is known."""
    module, (hi, lo) = choose(__name__, implementation), hashes
    ends, codes = np.asarray(offsets, np.int64), np.asarray(labels).astype(np.uint64)
    if len(codes) != len(hi):
        raise ValueError(f"labels must have one entry a text: {len(codes)} for {len(hi)} texts")
    if len(ends) < 1 or ends[0] < 0 or ends[-1] > len(hi) or np.any(np.diff(ends) < 0):
        raise ValueError(f"offsets must ascend within 0..{len(hi)}, the number of texts")
    words = np.stack([codes, hi, lo], axis=1).astype("<u8")
    out = np.empty(len(ends) - 1, np.uint64), np.empty(len(ends) - 1, np.uint64)
    module.content_hash(Spans(words.view(np.uint8).reshape(-1), ends[:-1] * 24, ends[1:] * 24, None), *out)
    return out


__all__ = ["content_hash", "content_hash_lists", "list_hash"]
