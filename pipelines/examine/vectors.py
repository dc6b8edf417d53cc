"""Texts as weighted hashed words and pieces of words: what tells that two texts speak of the same.

A text's terms are its words and the pieces of four letters within them, so that a slip of the pen costs some
pieces and not the word. Scripts that write no spaces (Chinese, Japanese, Thai and their neighbours) give
pairs of letters for words and runs of three for pieces. Every number is the same word: texts that differ in
their numbers alone are the same to it. Terms are 32-bit hashes; no vocabulary is kept.

Cost: 10 to 20 ns a byte for terms, 4 bytes each; `weighted` holds all terms of the texts that it is given.
Source: Weinberger et al. 2009 (feature hashing), https://arxiv.org/abs/0902.2206; weights as in Salton &
Buckley 1988 (tf-idf, logarithmic, to unit length).
"""

from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numba import njit
from numpy.typing import NDArray

from headrace import kernels
from headrace.pipelines import arrays

BITS = 20  # of a term in a matrix: columns of `weighted`
PIECE = 4  # letters of a piece of a word
NUMBER = 1  # hash of every word that holds a digit
KINDS = 2  # words, then pieces: each kind is weighted and brought to unit length by itself


class Terms(NamedTuple):
    """Terms of N texts, end to end: ``offsets int64[N + 1]``, ``hashes uint32[T]``; words are even."""

    offsets: NDArray[np.int64]
    hashes: NDArray[np.uint32]


def terms(texts: pa.Array, *, pairs: bool = False) -> Terms:
    """Terms of texts (large_string[N], nulls are empty), as they come, repeats among them.

    pairs: two words beside each other are a term as well; it tells labels apart better, and finds less of
    what is the same in other words.
    """
    folded = kernels.fold(texts.fill_null(""))
    if not len(folded):
        return Terms(np.zeros(1, np.int64), np.zeros(0, np.uint32))
    ends = np.frombuffer(folded.buffers()[1], np.int64)[folded.offset : folded.offset + len(folded) + 1]
    data = folded.buffers()[2]
    held = np.frombuffer(data, np.uint8) if data is not None else np.zeros(0, np.uint8)
    offsets = np.zeros(len(folded) + 1, np.int64)
    hashes = np.empty(2 * int(ends[-1] - ends[0]) + 2, np.uint32)
    _terms(held, ends, pairs, offsets, hashes)
    return Terms(offsets, hashes[: offsets[-1]].copy())


def taken(found: Terms, rows: NDArray[np.int64]) -> Terms:
    """Terms of some texts, in the order of `rows`."""
    sizes = np.diff(found.offsets)[rows]
    ends = arrays.offsets(sizes)
    places = np.arange(ends[-1]) + np.repeat(found.offsets[rows] - ends[:-1], sizes)
    return Terms(ends, found.hashes[places])


def weighted(found: Terms, *, alone: bool = True) -> Any:
    """Terms by weight, rows of unit length: a scipy CSR matrix ``float32[N, K]``.

    A term of one text alone matches nothing and gets no column; alone: it counts for the text's length, so
    that two texts are alike only where most of both is. A text with such terms only has an empty row.
    One that stands in every text keeps a little weight: where all texts ask the same, it is what they ask.
    """
    from scipy import sparse  # type: ignore[import-untyped]

    n = len(found.offsets) - 1
    rows = np.repeat(np.arange(n), np.diff(found.offsets))
    kept = []
    for kind in range(KINDS):
        of_kind = (found.hashes & 1) == kind
        columns = (found.hashes[of_kind] >> np.uint32(32 - BITS)).astype(np.int64) * KINDS + kind
        # Counts of (row, column), sorted: the same whatever order terms came in.
        cells, counts = np.unique(rows[of_kind] << (BITS + 1) | columns, return_counts=True)
        row, column = cells >> (BITS + 1), cells & ((1 << (BITS + 1)) - 1)
        texts = np.bincount(column, minlength=KINDS << BITS)[column]
        weight = (1 + np.log(counts)) * np.log(1 + n / texts)
        shared = texts > 1
        length = np.sqrt(np.bincount(row, weight**2 * (shared | alone), minlength=n))
        row, column, weight = row[shared], column[shared], weight[shared]
        kept.append((row, column, weight / length[row]))
    full = np.zeros(n)  # kinds of terms of a text
    for offset in range(KINDS):
        full += np.bincount(np.unique(rows[(found.hashes & 1) == offset]), minlength=n)
    row, column, weight = (np.concatenate(part) for part in zip(*kept, strict=True))
    length = np.sqrt(full if alone else np.bincount(row, weight**2, minlength=n))
    used, column = np.unique(column, return_inverse=True)
    values = (weight / length[row]).astype(np.float32)
    matrix = sparse.csr_matrix((values, (row, column)), shape=(n, len(used)))
    matrix.sort_indices()
    return matrix


def present(found: Terms) -> Any:
    """Which terms stand in which text: a scipy CSR matrix ``float32[N, K]`` of ones."""
    from scipy import sparse

    n = len(found.offsets) - 1
    rows = np.repeat(np.arange(n), np.diff(found.offsets))
    columns = (found.hashes >> np.uint32(32 - BITS)).astype(np.int64) * KINDS + (found.hashes & 1)
    cells = _distinct(rows << (BITS + 1) | columns)
    used, column = np.unique(cells & ((1 << (BITS + 1)) - 1), return_inverse=True)
    ones = np.ones(len(cells), np.float32)
    return sparse.csr_matrix((ones, (cells >> (BITS + 1), column)), shape=(n, len(used)))


def _distinct(values: NDArray[np.int64]) -> NDArray[np.int64]:
    """Each value once, sorted; `values` is sorted in place (`np.unique` keeps a table of hashes)."""
    values.sort()
    new = np.ones(len(values), np.bool_)
    new[1:] = values[1:] != values[:-1]
    return values[new]


@njit(cache=True, nogil=True)
def _terms(data, ends, pairs, offsets, hashes):  # type: ignore[no-untyped-def]
    """Fill `hashes` with terms of the folded texts of ``data[ends[i]:ends[i + 1]]``, `offsets` with ends.

    Two terms a byte at most: of each letter a piece and, where no spaces are written, a pair.
    """
    letters = np.empty(PIECE, np.uint32)
    out = 0
    for text in range(len(ends) - 1):
        at, end = ends[text], ends[text + 1]
        word, length, digits = np.uint32(0), 0, False
        before, earlier, last = np.uint32(0), np.uint32(0), np.uint32(0)
        while at < end:
            code, size = _letter(data, at)
            at += size
            spaceless = _spaceless(code)
            if code == 32 or spaceless:
                out, last = _word(hashes, out, word, length, digits, last, pairs)
                word, length, digits = np.uint32(0), 0, False
            if spaceless:
                if before:
                    hashes[out] = _mixed(before * np.uint32(0x9E3779B1) ^ code) & ~np.uint32(1)
                    out += 1
                if earlier:
                    three = (earlier * np.uint32(0x9E3779B1) ^ before) * np.uint32(0x01000193) ^ code
                    hashes[out] = _mixed(three) | np.uint32(1)
                    out += 1
                earlier, before = before, code
                continue
            before, earlier = np.uint32(0), np.uint32(0)
            if code == 32:
                continue
            digits = digits or 48 <= code <= 57
            word = _mixed(word * np.uint32(0x9E3779B1) ^ code)
            letters[length % PIECE] = code
            length += 1
            if length >= PIECE and not digits:
                piece = np.uint32(length == PIECE)  # a word's beginning says more than its middle
                for k in range(PIECE):
                    piece = piece * np.uint32(0x01000193) ^ letters[(length - PIECE + k) % PIECE]
                hashes[out] = _mixed(piece) | np.uint32(1)
                out += 1
        out, last = _word(hashes, out, word, length, digits, last, pairs)
        offsets[text + 1] = out


@njit(cache=True, nogil=True)
def _word(hashes, out, word, length, digits, last, pairs):  # type: ignore[no-untyped-def]
    """Put down a word that has ended, and its pair with the last one; where the next term goes, and it."""
    if not length:
        return out, last
    found = np.uint32(NUMBER << 1) if digits else _mixed(word) & ~np.uint32(1)
    hashes[out] = found
    out += 1
    if pairs and last:
        hashes[out] = _mixed(last * np.uint32(0x9E3779B1) ^ found) & ~np.uint32(1)
        out += 1
    return out, found


@njit(cache=True, nogil=True)
def _letter(data, at):  # type: ignore[no-untyped-def]
    """Code point of valid UTF-8 at a byte, and its bytes."""
    first = np.uint32(data[at])
    if first < 0x80:
        return first, 1
    size = 2 if first < 0xE0 else 3 if first < 0xF0 else 4
    code = first & np.uint32((1 << (7 - size)) - 1)
    for k in range(1, size):
        code = code << np.uint32(6) | (np.uint32(data[at + k]) & np.uint32(63))
    return code, size


@njit(cache=True, nogil=True)
def _spaceless(code):  # type: ignore[no-untyped-def]
    """Whether a letter is of a script that writes no spaces between words."""
    if code < 0x0E00:
        return False
    return (
        code < 0x0F00  # Thai, Lao
        or 0x1000 <= code < 0x10A0  # Burmese
        or 0x1780 <= code < 0x1800  # Khmer
        or 0x2E80 <= code < 0xA000  # Chinese, kana
        or 0xF900 <= code < 0xFB00
        or 0x20000 <= code < 0x34000
    )


@njit(cache=True, nogil=True)
def _mixed(x):  # type: ignore[no-untyped-def]
    """Finaliser of MurmurHash3, 32 bits."""
    x = np.uint32(x)
    x = (x ^ (x >> np.uint32(16))) * np.uint32(0x85EBCA6B)
    x = (x ^ (x >> np.uint32(13))) * np.uint32(0xC2B2AE35)
    return x ^ (x >> np.uint32(16))


def warm() -> None:
    """Compile, or load from Numba's cache."""
    terms(pa.array(["a"], pa.large_string()))


def spread_ids(row_ids: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """A fixed draw: a number for each row id, all alike likely; rows with the least make a sample."""
    return arrays.finalised(row_ids + np.uint64(0x9E3779B97F4A7C15))
