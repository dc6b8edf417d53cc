"""Token ids back into text, run by run: what a model will read, as text again.

What: a packed row is cut into *runs*, stretches of one sample between special tokens (a message with its
header, mostly). Vocabularies of bytes are decoded by a table over the Arrow buffer, others by the
tokenizer's own decoder; the table is held against that on a sample before it is used.

Cost: about 400 MB/s by the table, 2 to 5 MB/s by the decoder.
"""

from typing import NamedTuple

import numpy as np
import pyarrow as pa
import tokenizers.decoders
from numba import njit
from numpy.typing import NDArray

from headrace.pipelines import arrays
from headrace.pipelines.stages.tokenise.encoder import SAMPLES
from headrace.pipelines.stages.tokenise.tokenizer import Tokenizer, load

WORD = 8  # bytes of a token that are written at once
Ints = NDArray[np.int64]
Ids = NDArray[np.int32]


class Runs(NamedTuple):
    """Decoded runs (large_string[N]) and, of each, its packed row, the number of its segment from 0, and the
    special token before it (-1 where it begins the segment).
    """

    texts: pa.Array
    rows: Ints
    segments: Ints
    before: Ints


class Decoder:
    """The decoder of `tokenizer`; its table is None where bytes do not tell."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.core = tokenizer.hf.backend_tokenizer
        self.is_special = np.zeros(max(tokenizer.special.values(), default=-1) + 1, np.bool_)
        self.is_special[list(tokenizer.special.values())] = True
        self.table = self._bytes()
        self.words = None if self.table is None else _words(self.table)
        ids = [self.core.encode(text, add_special_tokens=False).ids for text in SAMPLES]
        ends = arrays.offsets([len(one) for one in ids])
        flat = np.array([i for one in ids for i in one], np.int32)  # as packed rows have them
        if self.table is not None and not self._by_table(flat, ends[:-1], ends[1:]).equals(
            self._by_core(ids)
        ):
            self.table = None

    def runs(self, packed: pa.Table) -> Runs:
        """Runs of packed rows (schema ``pack.PACKED``), in order; padding is left out."""
        ids = packed["input_ids"].combine_chunks().flatten().to_numpy()
        segments = packed["segment_ids"].combine_chunks().flatten().to_numpy()
        length = max(1, len(ids) // max(packed.num_rows, 1))
        found = np.empty((3, len(ids)), np.int64)
        starts, stops, before = found[:, : _runs(ids, segments, length, self.is_special, *found)]
        if self.table is not None:
            texts = self._by_table(ids, starts, stops)
        else:
            texts = self._by_core([ids[a:b].tolist() for a, b in zip(starts, stops, strict=True)])
        return Runs(texts, starts // length, segments[starts].astype(np.int64) - 1, before.copy())

    def _bytes(self) -> pa.Array | None:
        """Bytes of each token, large_binary[vocabulary]; None where tokens are not made of bytes."""
        if not isinstance(self.core.decoder, tokenizers.decoders.ByteLevel):
            return None
        letters = _letters()
        added = {token.content for token in self.core.get_added_tokens_decoder().values()}
        vocabulary = self.core.get_vocab(with_added_tokens=True)
        found = [b""] * (max(vocabulary.values(), default=-1) + 1)
        for token, number in vocabulary.items():
            if token in added or any(letter not in letters for letter in token):
                found[number] = token.encode()
            else:
                found[number] = bytes(letters[letter] for letter in token)
        return pa.array(found, pa.large_binary())

    def _by_table(self, ids: Ids, starts: Ints, stops: Ints) -> pa.Array:
        assert self.table is not None
        assert self.words is not None
        if len(ids) and (ids.min() < 0 or ids.max() >= len(self.table)):
            raise ValueError("a token id is not of the tokenizer's vocabulary")
        _, offsets, data = self.table.buffers()
        tokens = np.frombuffer(offsets, np.int64), np.frombuffer(data, np.uint8)
        ends = np.zeros(len(starts) + 1, np.int64)
        _sizes(ids, starts, stops, tokens[0], ends)
        np.cumsum(ends, out=ends)
        raw = np.empty(ends[-1] + WORD, np.uint8)  # a token's first word is written whole
        _joined(ids, starts, stops, *tokens, self.words, ends, raw)
        texts = pa.LargeStringArray.from_buffers(
            len(starts), pa.py_buffer(ends), pa.py_buffer(raw[: ends[-1]])
        )
        try:
            texts.validate(full=True)
        except pa.ArrowInvalid:  # a piece of an over-long text may begin or end inside a character
            pieces = texts.cast(pa.large_binary()).to_pylist()
            texts = pa.array([one.decode(errors="replace") for one in pieces], pa.large_string())
        return texts

    def _by_core(self, ids: list[list[int]]) -> pa.Array:
        return pa.array(self.core.decode_batch(ids, skip_special_tokens=False), pa.large_string())


@njit(cache=True, nogil=True)
def _runs(ids, segments, length, is_special, starts, stops, before):  # type: ignore[no-untyped-def]
    """Fill where runs start and stop, and the special token before each or -1; how many runs there are."""
    count, inside = 0, False
    for at in range(len(ids)):
        if segments[at] <= 0 or (0 <= ids[at] < len(is_special) and is_special[ids[at]]):
            inside = False
            continue
        same = at % length > 0 and segments[at - 1] == segments[at]
        if not (inside and same):
            starts[count] = at
            before[count] = ids[at - 1] if same else -1
            count += 1
        stops[count - 1] = at + 1
        inside = True
    return count


@njit(cache=True, nogil=True)
def _sizes(ids, starts, stops, offsets, sizes):  # type: ignore[no-untyped-def]
    """Bytes of run `i` into ``sizes[i + 1]``."""
    for run in range(len(starts)):
        for at in range(starts[run], stops[run]):
            sizes[run + 1] += offsets[ids[at] + 1] - offsets[ids[at]]


@njit(cache=True, nogil=True)
def _joined(ids, starts, stops, offsets, data, words, ends, raw):  # type: ignore[no-untyped-def]
    """The bytes of the tokens of each run, one after the other.

    The first `WORD` of each are written at once, as most tokens have no more; what is too much is written
    over by the next token, or lies behind the end.
    """
    for run in range(len(starts)):
        to = ends[run]
        for at in range(starts[run], stops[run]):
            token = ids[at]
            word, first, last = words[token], offsets[token], offsets[token + 1]
            for byte in range(WORD):
                raw[to + byte] = np.uint8(word >> np.uint64(8 * byte) & np.uint64(0xFF))
            for byte in range(first + WORD, last):
                raw[to + byte - first] = data[byte]
            to += last - first


def _words(table: pa.Array) -> NDArray[np.uint64]:
    """The first `WORD` bytes of each token (large_binary[V]) as a number, the first lowest: ``uint64[V]``."""
    _, offsets, data = table.buffers()
    padded = np.append(np.frombuffer(data, np.uint8), np.zeros(WORD, np.uint8)).astype(np.uint64)
    starts = np.frombuffer(offsets, np.int64)[: len(table)]
    words = np.zeros(len(table), np.uint64)
    for byte in range(WORD):
        words |= padded[starts + byte] << np.uint64(8 * byte)
    return words


def _letters() -> dict[str, int]:
    """Byte that each letter of a byte-level vocabulary stands for.

    Source: Radford et al. 2019, "Language Models are Unsupervised Multitask Learners"
    """
    shown = [*range(33, 127), *range(161, 173), *range(174, 256)]
    hidden = [byte for byte in range(256) if byte not in shown]
    return {chr(b): b for b in shown} | {chr(256 + n): b for n, b in enumerate(hidden)}


def warm() -> None:
    """Compile, or load from Numba's cache: a decoder tries its table when it is made."""
    ids = pa.array([[0, 1]], pa.list_(pa.int32()))
    Decoder(load(None)).runs(pa.table({"input_ids": ids, "segment_ids": ids}))
