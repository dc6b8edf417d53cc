"""Word n-grams by Python's own strings, dictionaries and lists."""

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from headrace.kernels import grams as contract
from headrace.kernels.arrow import Spans

FACTOR, MIXER, MASK = contract.FACTOR, contract.MIXER, contract.MASK


def words(texts: Spans) -> tuple[NDArray[np.int64], NDArray[np.uint32]]:
    """Number of words of each text, int64[N], and all their hashes."""
    rows = []
    for start, stop in zip(texts.starts, texts.stops, strict=True):
        text = texts.data[start:stop].tobytes().decode()
        parted = "".join(f" {c} " if unspaced(ord(c)) else c for c in text)
        rows.append([word_hash(word.encode()) for word in parted.split(" ") if word])
    return np.array([len(row) for row in rows], np.int64), np.array([h for r in rows for h in r], np.uint32)


def unspaced(code: int) -> bool:
    """Whether a character is a word of its own."""
    return any(first <= code <= last for first, last in contract.UNSPACED)


def word_hash(word: bytes) -> int:
    """32-bit hash of a word, eight bytes at a time."""
    value = 0
    for at in range(0, len(word), 8):
        value = ((value ^ int.from_bytes(word[at : at + 8], "little")) * FACTOR) & MASK
        value ^= value >> 32
    return value >> 32


def gram_hash(hashes: list[int]) -> int:
    """64-bit hash of consecutive words."""
    value = 0
    for one in hashes:
        value = (value * FACTOR + one + 1) & MASK
    value = ((value ^ (value >> 29)) * MIXER) & MASK
    return value ^ (value >> 32)


def grams(offsets: NDArray[np.int64], hashes: NDArray[np.uint32], size: int) -> NDArray[np.uint64]:
    """Hash of the `size` words from each word on; 0 where the text has fewer left."""
    found = np.zeros(len(hashes), np.uint64)
    for start, stop in pairwise(offsets):
        for place in range(start, stop - size + 1):
            found[place] = gram_hash(hashes[place : place + size].tolist())
    return found


def held(keys: NDArray[np.uint64], owners: NDArray[np.int64]) -> NDArray[np.int32]:
    """How many different owners have each key."""
    of: dict[int, set[int]] = {}
    for key, owner in zip(keys.tolist(), owners.tolist(), strict=True):
        of.setdefault(key, set()).add(owner)
    return np.array([len(of[key]) for key in keys.tolist()], np.int32)


def enter(made: contract.Table, begun: NDArray[np.uint64]) -> None:
    """Fill the slots of a table from its keys, the bits from these and from what longer ones begin with."""
    slots, shift = len(made.slots), 64 - (len(made.slots).bit_length() - 1)
    for number, key in enumerate(made.keys.tolist()):
        at = key >> shift
        while made.slots[at] >= 0:
            at = (at + 1) % slots
        made.slots[at] = number
    for key in [*made.keys.tolist(), *begun.tolist()]:
        made.bits[(key >> 6) % len(made.bits)] |= np.uint64(1 << (key & 63))


def lookup(
    offsets: NDArray[np.int64], hashes: NDArray[np.uint32], held: contract.Table
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Rows, places and numbers of the n-grams that the table holds."""
    numbers = {key: number for number, key in enumerate(held.keys.tolist())}
    found = []
    for row, (start, stop) in enumerate(pairwise(offsets)):
        for place in range(start, stop):
            for size in held.sizes.tolist():
                key = gram_hash(hashes[place : place + size].tolist())
                if place + size <= stop and key in numbers:
                    found.append((row, place - start, numbers[key]))
    rows, places, keys = np.array(found, np.int64).reshape(-1, 3).T
    return rows, places, keys


def shared(
    offsets: NDArray[np.int64], found: NDArray[np.uint64], owners: NDArray[np.int64], size: int, least: int
) -> tuple[NDArray[np.int64], NDArray[np.uint64], NDArray[np.int64]]:
    """What `Shared` holds; `found` are the hashes of n-grams, 0 for none."""
    held: dict[int, set[int]] = {}
    rows = [found[start:stop].tolist() for start, stop in pairwise(offsets)]
    for owner, row in zip(owners.tolist(), rows, strict=True):
        for gram in row:
            held.setdefault(gram, set()).add(owner)
    common = {gram: len(who) for gram, who in held.items() if gram and len(who) >= least}
    covered, grams, counts = [], [], []
    for row in rows:
        mine = [(place, gram) for place, gram in enumerate(row) if gram in common]
        covered.append(len({word for place, _ in mine for word in range(place, place + size)}))
        count, gram = max(((common[gram], -gram) for _, gram in mine), default=(0, 0))
        grams.append(-gram)
        counts.append(count)
    return np.array(covered, np.int64), np.array(grams, np.uint64), np.array(counts, np.int64)


def alignment(
    items: contract.Words,
    weights: NDArray[np.float32],
    hashes: NDArray[np.uint32],
    item: NDArray[np.int64],
    begin: NDArray[np.int64],
    end: NDArray[np.int64],
) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.int16]]:
    """What `Aligned` holds."""
    alike, runs, reach = np.zeros(len(item)), np.zeros(len(item), np.int64), [np.zeros(0, np.int16)]
    for number, (which, first, last) in enumerate(zip(item, begin, end, strict=True)):
        own = slice(items.offsets[which], items.offsets[which + 1])
        ours, theirs = items.hashes[own].tolist(), hashes[first:last].tolist()
        weight = weights[own].astype(np.float64)
        longest = np.zeros(len(ours), np.int16)
        for i in range(len(ours)):
            for j in range(len(theirs)):
                n = 0
                while i + n < len(ours) and j + n < len(theirs) and ours[i + n] == theirs[j + n]:
                    n += 1
                longest[i] = max(int(longest[i]), min(n, 32767))
        best = np.zeros((len(ours) + 1, len(theirs) + 1))
        for i in range(len(ours) - 1, -1, -1):
            for j in range(len(theirs) - 1, -1, -1):
                best[i, j] = max(best[i + 1, j], best[i, j + 1])
                if ours[i] == theirs[j]:
                    best[i, j] = max(best[i, j], best[i + 1, j + 1] + weight[i])
        alike[number] = best[0, 0] / max(float(sum(weight.tolist())), 1e-9)
        runs[number] = longest.max(initial=0)
        reach.append(longest)
    return alike, runs, np.concatenate(reach)
