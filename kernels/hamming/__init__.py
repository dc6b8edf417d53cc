"""All pairs of signatures within a Hamming distance: exactly, or by sampled-bit tables.

Exact (`recall` 1): every pair is compared, or, on CPUs where that costs less, those that agree in one of
so many tables that no near pair can differ in all of them (a million 64-bit signatures, CPU seconds: 1.5
at distance 3, 9 at 8, 295 at 12; Faiss's binary indexes take 26 to 1,038).

Tables (`recall` below 1): each table groups the signatures by a sample of their bits, and compares within
the groups. A pair at distance d agrees on B sampled bits of W with the chance p = C(W - d, B) / C(W, B);
T tables find it with 1 - (1 - p) ** T. B grows with the logarithm of N (groups of about four by chance),
T follows from `max_distance` and `recall`: the least chance, over the choice of bits, with which a pair
at exactly `max_distance` is found (nearer ones are found more surely). The choice is a fixed one, so that
the answer is always the same. Cost: linear in N x T while signatures are spread; 24 bytes a signature.

A table gives a pair only if no earlier table groups it, so tables are independent tasks whose results
join without duplicates: `hamming_tables` plans, `hamming_table` runs one. Where very many signatures stand
close together (texts of one template), pairs grow with the square of the crowd: `crowd` bounds them.

A GPU gives the same pairs (`kernels.dispatch` says when it is taken); signatures that lie on one already,
in buckets, go through `kernels.hamming.gpu.pairs_in_buckets`.

Source: Indyk & Motwani 1998 (bit sampling), https://doi.org/10.1145/276698.276876; Manku, Jain & Das
Sarma 2007 (SimHash tables), https://doi.org/10.1145/1242572.1242592.
"""

import math

import numpy as np
from numpy.typing import NDArray

from headrace.kernels.dispatch import Implementation, choose

Words = NDArray[np.uint64]
EQUAL = "signatures must be distinct: group equal ones before"


def hamming_pairs(
    signatures: Words, max_distance: int, recall: float = 1.0, *, implementation: Implementation = "auto"
) -> NDArray[np.int64]:
    """Pairs within `max_distance`: ``uint64[N] or [N, W] -> int64[M, 2]``, i < j, in ascending order.

    At `recall` 1 all of them; below, each with at least that chance (see the module).

    Raises: ValueError for equal signatures (group them first), a negative distance or a recall outside
    (0, 1].
    """
    words = _checked(signatures, max_distance)
    if recall == 1.0:
        pairs = choose(__name__, implementation).all_pairs(words, max_distance)
    else:
        masks = hamming_tables(len(words), words.shape[1] * 64, max_distance, recall)
        run = choose(__name__, implementation).table_pairs
        pairs = run(words, masks, 0, len(masks), max_distance, max(len(words), 1))
    ordered: NDArray[np.int64] = pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))]
    return ordered


def hamming_tables(n: int, bits: int, max_distance: int, recall: float) -> Words:
    """Plan for `n` signatures of `bits` bits: the sampled bits of each table, ``uint64[T, bits // 64]``.

    Raises: ValueError for a recall outside (0, 1) or a distance outside 0..bits - 1.
    """
    if not 0 < recall < 1:
        raise ValueError(f"recall of tables must lie between 0 and 1, got {recall}")
    if not 0 <= max_distance < bits:
        raise ValueError(f"max_distance must be 0..{bits - 1}, got {max_distance}")
    sampled = min(max(1, round(math.log2(max(n, 2))) - 2), bits - max_distance)
    chance = math.comb(bits - max_distance, sampled) / math.comb(bits, sampled)
    tables = 1 if chance == 1 else math.ceil(math.log1p(-recall) / math.log1p(-chance))
    # Each shuffle of the bits is cut into disjoint samples: what one misses, the next finds the sooner.
    # PCG64's raw stream is fixed for ever, unlike the methods of Generator.
    samples = bits // sampled
    shuffles = -(-tables // samples)
    draws = np.random.PCG64(0x5EED).random_raw(shuffles * bits).reshape(shuffles, bits)
    places = np.argsort(draws, axis=1, kind="stable")[:, : samples * sampled].reshape(-1, sampled)
    masks = np.zeros((tables, bits // 64), np.uint64)
    for table, sample in enumerate(places[:tables].tolist()):
        for place in sample:
            masks[table, place // 64] |= np.uint64(1 << place % 64)
    return masks


def hamming_table(
    signatures: Words,
    masks: Words,
    table: int,
    max_distance: int,
    *,
    crowd: int | None = None,
    implementation: Implementation = "auto",
) -> NDArray[np.int64]:
    """Pairs that table number `table` of `masks` is the first to find: ``-> int64[M, 2]``, i < j, ascending.

    `masks` are those of `hamming_tables`; the union over all tables is `hamming_pairs`. With `crowd`, of the
    signatures that agree in the table's bits only the first `crowd` are compared with all behind them.

    Raises: ValueError for equal signatures (told by the first table), a negative distance, a `crowd` below 1
    or a table that `masks` has not.
    """
    words = _words(signatures, max_distance)
    if not 0 <= table < len(masks):
        raise ValueError(f"table must be 0..{len(masks) - 1}, got {table}")
    if crowd is not None and crowd < 1:
        raise ValueError(f"crowd must be 1 or more, got {crowd}")
    run = choose(__name__, implementation).table_pairs
    pairs = run(words, masks, table, table + 1, max_distance, crowd or max(len(words), 1))
    # Whatever the bits, equal signatures are a pair of the first table: sorting all for each would cost more.
    if np.any((words[pairs[:, 0]] == words[pairs[:, 1]]).all(axis=1)):
        raise ValueError(EQUAL)
    ordered: NDArray[np.int64] = pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))]
    return ordered


def _words(signatures: Words, max_distance: int) -> Words:
    words = np.ascontiguousarray(signatures, np.uint64)
    if max_distance < 0:
        raise ValueError(f"max_distance must not be negative, got {max_distance}")
    return words.reshape(len(words), -1) if words.size else words.reshape(0, 1)


def _checked(signatures: Words, max_distance: int) -> Words:
    words = _words(signatures, max_distance)
    ordered = np.sort(words[:, 0]) if words.shape[1] == 1 else words[np.lexsort(words.T)]
    same = ordered[1:] == ordered[:-1]
    if np.any(same if same.ndim == 1 else same.all(axis=1)):
        raise ValueError(EQUAL)
    return words


__all__ = ["hamming_pairs", "hamming_table", "hamming_tables"]
