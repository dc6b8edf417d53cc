"""Are two rows near-duplicates? The half that verifies: the exact similarity of pairs, from their texts.

In: rows, and pairs of them that may be alike. Out: the similarity of each pair, and which pairs are *alike*
but both stay.

A row has two parts, prompt and answer. Each part is compared by itself, and the lower similarity counts for
the pair. For two parts it is

- where both have at least `min_features` windows: the Jaccard similarity of their sets of hashed windows of
  the folded text;
- where both have fewer: 1 if they are equal after folding case and spaces (punctuation counts), else 0;
- where one has fewer and the other has not: 0.

A pair whose parts are all that short was decided by equality alone. Its rule is `exact`; that of others is
`near`.

A short part that is equal says little: "true" or "write a poem" stands in many rows that have nothing else in
common. So where one part is short, not empty, and equal in both rows, what differs in the other part counts
double: the similarity is 1 - 2 (1 - Jaccard), and a threshold of .8 asks for a Jaccard of .9.

Where the part that is equal is an answer of fewer than `TELLING` windows, not even that is enough to remove a
row. The prompt is then often a passage that many rows share with a question behind it: another question, at a
Jaccard of .98. Such pairs are *alike*: both rows stay, on the same side of the split. If their prompts have
the very same windows, they are duplicates after all. An equal answer of `TELLING` windows or more says by
itself that the questions are the same.

What many prompts share beside what they ask, as a system prompt is, says nothing of a pair either (see
`asked`): without it what is asked has to be alike as well, as for any prompt. Half alike (`REWORDED`) is
enough, unless most partners of both rows ask something else: then they have a stock answer. Of a row that
only a sketch is known of, lines are not known: it and another are as alike as if all that differs stood in
what the other asks itself.

Two answers to a prompt that come to another result (`results`) are no copies of each other, however alike
their texts: such a pair is *alike* too, whatever the similarity. Dedup would otherwise choose one of two
results and say nothing; which of them is wrong, `examine.contradictions` asks. So are a conversation and
one that goes on from it where the last answer alone is learned (`sources[].loss: last`): each has its own.
A plain text has no prompt and so no result; and where only a sketch of one row is there, its result is not
known.

Cost: the texts of the rows concerned are folded once; then 6 to 8 ns for each byte of each pair beyond what
both begin with; results some 50 us a kilobyte of answers that are alike.
"""

from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from headrace import kernels
from headrace.pipelines import arrays, schema
from headrace.pipelines.stages.dedup import asked, results
from headrace.pipelines.stages.fingerprint import stage as fingerprint

COLUMNS = ["messages", *(f"{part}_{kind}" for part in fingerprint.PARTS for kind in ("features", "key"))]


# An equal answer of so many windows or more says that the questions are the same as well.
TELLING = 48
REWORDED = 0.5  # Jaccard of what two rows ask themselves, from which on they may ask the same
JUDGED = 0.7  # similarity of whole rows whose answers are the same or nearly so
CLOSE = 0.4  # similarity under which no recipe takes rows for duplicates in earnest


class Measured(NamedTuple):
    """Similarity of pairs, ``float64[M]``, and which are alike, so that both rows stay, ``bool[M]``."""

    similarity: NDArray[np.float64]
    alike: NDArray[np.bool_]


def similarities(
    table: pa.Table,
    pairs: NDArray[np.int64],
    *,
    min_features: int,
    ngram: int,
    last: NDArray[np.bool_] | None = None,
) -> Measured:
    """Similarity of each pair of rows of `table`, from their texts.

    pairs: int64[M, 2]. `table` has the `COLUMNS`. min_features: windows from which on a part is compared by
    its windows. ngram: bytes of a window. last ``bool[N]``: rows of which the last answer alone is learned.
    """
    joined = _parts(table)
    of_parts = np.full((len(fingerprint.PARTS), len(pairs)), np.nan)

    def jaccard(number: int, chosen: NDArray[np.bool_]) -> NDArray[np.float64]:
        found = kernels.jaccard(joined, pairs[chosen] * 2 + number, ngram=ngram)
        of_parts[number, chosen] = found
        return found

    found = _least(table, pairs, min_features, jaccard)
    _as_asked(table, pairs, found, of_parts, min_features, ngram)
    long = table["answer_features"].to_numpy() >= min_features
    prompted = (table["prompt_features"].to_numpy() > 0) | (table["prompt_key"].to_numpy() != 0)
    close = np.flatnonzero((found.similarity >= CLOSE) & (long & prompted)[pairs].all(axis=1) & ~found.alike)
    found.alike[close] = _other_results(table, pairs[close])
    if last is not None and last.any():
        close = np.flatnonzero((found.similarity >= CLOSE) & last[pairs].any(axis=1) & ~found.alike)
        found.alike[close] = _other_ends(table, pairs[close])
    return found


def _as_asked(
    table: pa.Table,
    pairs: NDArray[np.int64],
    found: Measured,
    of_parts: NDArray[np.float64],
    min_features: int,
    ngram: int,
) -> None:
    """Take what is `found` down to what pairs are alike in without what many prompts share (see `asked`).

    of_parts: similarities of the parts of pairs, where both are long, ``float64[2, M]``.
    """
    long = table["prompt_features"].to_numpy() >= min_features
    close = np.flatnonzero((found.similarity >= CLOSE) & long[pairs].all(axis=1))
    concerned, local = np.unique(pairs[close], return_inverse=True)
    local = local.reshape(-1, 2)
    some = table.take(pa.array(concerned))
    own = asked.of(some, ngram)
    both = own.shortened[local].all(axis=1)
    close, local = close[both], local[both]
    if not len(close):
        return
    again_of_parts = np.stack([kernels.jaccard(own.texts, local, ngram=ngram), of_parts[1, close]])
    for name, values in (("prompt_features", own.features), ("prompt_key", own.keys)):
        some = some.set_column(some.schema.get_field_index(name), name, pa.array(values))
    again = _least(some, local, min_features, lambda number, chosen: again_of_parts[number, chosen])
    told = (own.features > 0)[local].all(axis=1)  # a word or two may have no window
    similar = told & (again_of_parts[0] >= REWORDED)
    judged = found.similarity[close] >= JUDGED
    ask_alike, ask_else = (
        np.bincount(local[some_pairs].ravel(), minlength=len(concerned))
        for some_pairs in (judged & similar, judged & ~similar)
    )
    stock = (ask_else > ask_alike)[local].all(axis=1)
    differ = ~similar | stock
    close, again = close[differ], Measured(again.similarity[differ], again.alike[differ])
    found.similarity[close] = np.minimum(found.similarity[close], again.similarity)
    found.alike[close] |= again.alike


def _other_ends(table: pa.Table, pairs: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which pairs of rows have another number of answers, and another last one, ``bool[M]``."""
    concerned, local = np.unique(pairs, return_inverse=True)
    local = local.reshape(-1, 2)
    roles, rows, texts = schema.contents(table.take(pa.array(concerned)))
    answers = np.flatnonzero(pc.equal(roles, "assistant").to_numpy(zero_copy_only=False))
    counts = np.bincount(rows[answers], minlength=len(concerned))
    ends = arrays.last(rows, answers, len(concerned))
    last = texts.take(pa.array(ends, mask=ends < 0)).fill_null("")
    key = kernels.content_hash(kernels.fold(last, keep_punctuation=True))[0]
    one, other = local.T
    found: NDArray[np.bool_] = (counts[one] != counts[other]) & (key[one] != key[other])
    return found


def _other_results(table: pa.Table, pairs: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which pairs of rows come to different results, ``bool[M]``: turn by turn of the assistant's."""
    concerned, local = np.unique(pairs, return_inverse=True)
    roles, rows, texts = schema.contents(table.take(pa.array(concerned)))
    answers = np.flatnonzero(pc.equal(roles, "assistant").to_numpy(zero_copy_only=False))
    turns: list[list[str]] = [[] for _ in concerned]
    for row, text in zip(rows[answers], texts.take(pa.array(answers)).to_pylist(), strict=True):
        turns[row].append(text)
    of = cache(results.of)
    found = (results.differ(turns[a], turns[b], of) for a, b in local.reshape(-1, 2).tolist())
    return np.fromiter(found, np.bool_, len(pairs))


def estimates(
    table: pa.Table,
    sketches: pa.Table,
    pairs: NDArray[np.int64],
    *,
    min_features: int,
    ngram: int,
    k: int,
) -> Measured:
    """Similarity of rows of `sketches`, whose texts are not there, to rows of `table`, by bottom-k sketches.

    pairs: int64[M, 2] of (row of `sketches`, row of `table`). `sketches` has the columns of `fingerprint`
    and, for each part, one of sketches; `table` has the `COLUMNS`. k: hashes of a sketch.
    """
    offsets, values = kernels.bottom_sketches(_parts(table), k=k, ngram=ngram)
    theirs = [sketches[f"{name}_bottom"].combine_chunks() for name in fingerprint.PARTS]
    sizes = np.stack([pc.list_value_length(t).to_numpy() for t in theirs], axis=1).ravel()
    n = sketches.num_rows
    # From all prompts, then all answers, to prompt of row 0, answer of row 0, prompt of row 1, ...
    order = np.arange(2 * n).reshape(2, n).T.ravel()
    flat = pc.list_flatten(pa.concat_arrays(theirs).take(pa.array(order))).to_numpy()
    every = np.concatenate([[0], np.cumsum(sizes), np.sum(sizes) + offsets[1:]]).astype(np.int64)
    held = np.concatenate([flat, values]).astype(np.uint32)
    fields = [f"{p}_{w}" for p in fingerprint.PARTS for w in ("key", "features")]
    both = pa.concat_tables([sketches.select(fields), table.select(fields)])

    among_both = pairs + np.array([0, n])

    def jaccard(number: int, chosen: NDArray[np.bool_]) -> NDArray[np.float64]:
        return kernels.bottom_jaccard(every, held, among_both[chosen] * 2 + number, k=k)

    found = _least(both, among_both, min_features, jaccard)
    ours = asked.of(table, ngram)
    beside = np.flatnonzero(ours.shortened[pairs[:, 1]])
    share = np.maximum(ours.share[pairs[beside, 1]], 1e-9)
    found.similarity[beside] = np.maximum(1 - (1 - found.similarity[beside]) / share, 0)
    return found


def _parts(table: pa.Table) -> pa.LargeStringArray:
    """Folded texts, large_string[2N]: prompt of row 0, answer of row 0, prompt of row 1, ..."""
    roles, rows, texts = schema.contents(table)
    return fingerprint.parts(roles, rows, texts, table.num_rows).both


def _least(
    table: pa.Table,
    pairs: NDArray[np.int64],
    min_features: int,
    jaccard: Callable[[int, NDArray[np.bool_]], NDArray[np.float64]],
) -> Measured:
    """The similarity of pairs as the module says it.

    ``jaccard(part, chosen)`` gives the similarity of the pairs that are chosen, ``bool[M]``: both have that
    part long enough.
    """
    left, right = pairs[:, 0], pairs[:, 1]
    least = np.ones(len(pairs))
    settled = []  # for each part: short, not empty and equal
    for number, name in enumerate(fingerprint.PARTS):
        long = table[f"{name}_features"].to_numpy() >= min_features
        keys = table[f"{name}_key"].to_numpy()
        equal = ~long[left] & ~long[right] & (keys[left] == keys[right])
        settled.append(equal & (keys[left] != 0))  # an empty part has key 0 and stands in nobody's way
        alike = equal.astype(np.float64)
        both = long[left] & long[right] & (least > 0)
        alike[both] = jaccard(number, both)
        least = np.minimum(least, alike)
    framed = settled[0] | settled[1]
    telling = table["answer_features"].to_numpy()[left] >= TELLING
    least = np.where(framed, np.maximum(2 * least - 1, 0.0), least)
    return Measured(least, settled[1] & ~telling & (least < 1))


def distances(simhash: NDArray[np.uint64], pairs: NDArray[np.int64]) -> NDArray[np.int32]:
    """Hamming distance of the whole rows' SimHashes: ``uint64[N], int64[M, 2] -> int32[M]``."""
    bits: NDArray[np.int32] = np.bitwise_count(simhash[pairs[:, 0]] ^ simhash[pairs[:, 1]]).astype(np.int32)
    return bits
