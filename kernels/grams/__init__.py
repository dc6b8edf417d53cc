"""Word n-grams: the words of texts as hashes, which n-grams of theirs a table holds or many texts share, and
how far one text stands in another.

A word is what stands between spaces (fold the text first). Scripts that put no spaces between words (Han,
kana, Thai, Lao, Khmer, Burmese) have a word a character.

Cost: words half a nanosecond a byte; `lookup` 10 to 50 ns a word, the more the larger the table; `held` 20
ns a place; `shared` as much as `lookup` where n-grams are shared, a fifth where none is, and 12 bytes a word;
`alignment` a nanosecond or two for each word of the item times each word of the region.
Source: Bentley and McIlroy, "Data compression with long repeated strings" (2001) (hashes of n-grams by
polynomials); Wagner and Fischer, "The string-to-string correction problem" (1974),
https://doi.org/10.1145/321796.321811 (longest common subsequence).
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from headrace.kernels.arrow import Texts, spans
from headrace.kernels.dispatch import Implementation, choose

# First and last code point of scripts without spaces between words.
UNSPACED = (
    (0x0E00, 0x0EFF),  # Thai, Lao
    (0x1000, 0x109F),  # Burmese
    (0x1780, 0x17FF),  # Khmer
    (0x3040, 0x30FF),  # kana
    (0x31F0, 0x4DBF),  # kana, Han
    (0x4E00, 0x9FFF),  # Han
    (0xF900, 0xFAFF),
    (0x20000, 0x3FFFF),
)
FACTOR, MIXER = 0x9E3779B97F4A7C15, 0xD6E8FEB86659FD93
MASK = 2**64 - 1


class Words(NamedTuple):
    """Words of N texts: text i has ``hashes[offsets[i]:offsets[i + 1]]``.

    offsets int64[N + 1], hashes uint32[M].
    """

    offsets: NDArray[np.int64]
    hashes: NDArray[np.uint32]


class Table(NamedTuple):
    """A set of K hashed n-grams.

    sizes int64[S]: the numbers of words that its n-grams have, ascending; keys uint64[K], ascending;
    slots int32[2**s]: number of a key, or -1, by the top bits of a key, the next where that is taken;
    bits uint64[2**b]: whether a key, or a longer one that begins with it, may be there, by the low bits.
    """

    sizes: NDArray[np.int64]
    keys: NDArray[np.uint64]
    slots: NDArray[np.int32]
    bits: NDArray[np.uint64]


class Hits(NamedTuple):
    """Where n-grams of a table stand: int64[M] row, place (of the first word) and key (its number).

    In order of row, place and size.
    """

    row: NDArray[np.int64]
    place: NDArray[np.int64]
    key: NDArray[np.int64]


class Shared(NamedTuple):
    """What rows share with many owners: int64[N] words that lie in such n-grams; uint64[N] the n-gram that
    most owners have, of several the one of the least hash; int64[N] how many have it. 0 where there is none.
    """

    covered: NDArray[np.int64]
    gram: NDArray[np.uint64]
    owners: NDArray[np.int64]


class Aligned(NamedTuple):
    """How far items stand in regions of texts, for M pairs.

    alike float64[M]: weight of the longest common subsequence, as a share of the item's weight; run int64[M]:
    words of the longest common run; reach int16: for each word of the items, end to end, the words of the
    longest common run that begins there, at most 32,767.
    """

    alike: NDArray[np.float64]
    run: NDArray[np.int64]
    reach: NDArray[np.int16]


def words(texts: Texts, *, implementation: Implementation = "auto") -> Words:
    """Words of folded texts; a null text has none."""
    module = choose(__name__, implementation)
    counts, hashes = [np.zeros(1, np.int64)], [np.zeros(0, np.uint32)]
    for part in spans(texts):
        of_part, found = module.words(part)
        counts.append(of_part)
        hashes.append(found)
    whole = hashes[1] if len(hashes) == 2 else np.concatenate(hashes)
    return Words(np.cumsum(np.concatenate(counts), dtype=np.int64), whole)


def grams(given: Words, size: int, *, implementation: Implementation = "auto") -> NDArray[np.uint64]:
    """Hash of the `size` words from each word on, ``uint64[M]``; 0 where the text has fewer left."""
    found: NDArray[np.uint64] = choose(__name__, implementation).grams(*given, size)
    return found


def held(
    keys: NDArray[np.uint64], owners: NDArray[np.int64], *, implementation: Implementation = "auto"
) -> NDArray[np.int32]:
    """How many different owners have the key of each place, ``int32[M]``.

    keys uint64[M], in any order; owners int64[M], ascending: whose each place is.
    """
    found: NDArray[np.int32] = choose(__name__, implementation).held(keys, owners)
    return found


def table(
    keys: NDArray[np.uint64],
    sizes: ArrayLike,
    begun: NDArray[np.uint64],
    *,
    implementation: Implementation = "auto",
) -> Table:
    """The table of `keys` (uint64[K], ascending, each once), hashes of n-grams of `sizes` words.

    begun uint64[B], in any order: hashes of what the longer ones begin with, for each shorter size. Where a
    text does not go on like one of them, no longer size is asked for.
    """
    slots = np.full(1 << max(4, (2 * len(keys) - 1).bit_length()), -1, np.int32)
    bits = np.zeros(1 << max(4, (len(keys) + len(begun)).bit_length() - 2), np.uint64)
    made = Table(np.asarray(sizes, np.int64), np.asarray(keys, np.uint64), slots, bits)
    choose(__name__, implementation).enter(made, np.asarray(begun, np.uint64))
    return made


def lookup(given: Words, held: Table, *, implementation: Implementation = "auto") -> Hits:
    """Where the n-grams of `held` stand in texts."""
    return Hits(*choose(__name__, implementation).lookup(*given, held))


def shared(
    given: Words,
    owners: NDArray[np.int64],
    size: int,
    least: int,
    *,
    implementation: Implementation = "auto",
) -> Shared:
    """What rows share with `least` owners or more by n-grams of `size` words.

    owners int64[N]: whose each row is, ascending, below 2**32.
    """
    found = grams(given, size, implementation=implementation)
    return Shared(*choose(__name__, implementation).shared(given.offsets, found, owners, size, least))


def alignment(
    items: Words,
    weights: NDArray[np.float32],
    texts: Words,
    item: NDArray[np.int64],
    begin: NDArray[np.int64],
    end: NDArray[np.int64],
    *,
    implementation: Implementation = "auto",
) -> Aligned:
    """How far ``items[item[i]]`` stands in the words ``begin[i]:end[i]`` of all words of `texts`.

    weights float32[words of items]; item, begin and end int64[M].

    Raises: ValueError for a region that does not lie in the words.
    """
    if len(item) and (begin.min() < 0 or (begin > end).any() or end.max() > len(texts.hashes)):
        raise ValueError("a region does not lie in the words")
    return Aligned(
        *choose(__name__, implementation).alignment(items, weights, texts.hashes, item, begin, end)
    )


__all__ = [
    "UNSPACED", "Aligned", "Hits", "Shared", "Table", "Words", "alignment", "grams", "held", "lookup",
    "shared", "table", "words",
]  # fmt: skip
