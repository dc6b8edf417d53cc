"""The lists of phrases beside the code, and the table that all of them are looked up in at once.

A list is `words/NAME.txt`, a phrase a line; lines that begin with "# " say what it is. Each list is one bit
of what `signals.look` says of a text. A phrase is told by the hash of its words: letters and digits make
words, each character of a script without spaces is one, apostrophes are nothing.

Cost: a table of some thousand entries, made once a process.
"""

from collections import Counter
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from headrace.kernels.arrow import one_span
from headrace.pipelines.stages.traits import signals

FOLDER = Path(__file__).parent / "words"
LISTS = tuple(sorted(path.stem for path in FOLDER.glob("*.txt")))


class Table(NamedTuple):
    """An open-addressing table of phrases.

    keys ``uint64[2**k]``, hashes of phrases; bits ``uint64[2**k]``, the lists that hold each, 0 where nothing
    is. ends, lengths: the same of the last words of phrases, with a bit for each number of words. some
    ``bool[2**14]``: whether a last word has these lowest bits.
    """

    keys: NDArray[np.uint64]
    bits: NDArray[np.uint64]
    ends: NDArray[np.uint64]
    lengths: NDArray[np.uint64]
    some: NDArray[np.bool_]


def phrases(name: str) -> tuple[str, ...]:
    """The phrases of the list `name`, in the order of the file.

    Raises: ValueError for a list that is empty, holds a phrase twice, or one that could never be met.
    """
    lines = (FOLDER / f"{name}.txt").read_text("utf-8").splitlines()
    listed = tuple(line for line in lines if line and not line.startswith("# "))
    counts = Counter(listed)
    wrong = sorted(phrase for phrase, n in counts.items() if n > 1 or phrase != phrase.lower())
    if wrong or not listed:
        raise ValueError(f"the list {FOLDER / name}.txt is empty, or holds twice or in capitals: {wrong}")
    return listed


def bit(name: str) -> np.uint64:
    """The bit of the list `name`."""
    return np.uint64(1 << LISTS.index(name))


@cache
def table() -> Table:
    """All lists. Raises: ValueError for a list that cannot be used."""
    listed = [(phrase, bit(name)) for name in LISTS for phrase in phrases(name)]
    texts = one_span(pa.array([phrase for phrase, _ in listed], pa.large_string()))
    hashes, last, words = signals.hashes(texts)
    if not ((words >= 1) & (words <= signals.MOST)).all():
        long = listed[int(np.argmax((words < 1) | (words > signals.MOST)))][0]
        raise ValueError(f"a phrase has 1 to {signals.MOST} words: {long!r}")
    bits = np.array([own for _, own in listed], np.uint64)
    some = np.zeros(int(signals.FEW) + 1, np.bool_)
    some[last & signals.FEW] = True
    keys, values = _placed(hashes, bits)
    ends, lengths = _placed(last, np.uint64(1) << words.astype(np.uint64))
    return Table(keys, values, ends, lengths, some)


def _placed(
    hashes: NDArray[np.uint64], bits: NDArray[np.uint64]
) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """Keys and the union of their bits in a table at most a quarter full."""
    slots = 1 << (4 * len(hashes)).bit_length()
    keys, values = np.zeros(slots, np.uint64), np.zeros(slots, np.uint64)
    for key, own in zip(hashes.tolist(), bits.tolist(), strict=True):
        slot = key & (slots - 1)
        while values[slot] and keys[slot] != key:
            slot = (slot + 1) & (slots - 1)
        keys[slot] = key
        values[slot] |= np.uint64(own)
    return keys, values
