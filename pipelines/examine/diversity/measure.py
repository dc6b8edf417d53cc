"""How many different things do prompts ask? Clusters of alike prompts, and the exponential of their entropy.

10,000 rows that are 100 questions in other words teach what 100 rows teach. Prompts are alike

- *exact*: after folding case, spaces and punctuation;
- *near*: of their words and pieces of words they share `near` or more;
- *template*: the same words in the same order once words that vary are cut out, numbers and rare ones: what
  stays is at least half of the prompt;
- *meaning*: the cosine of their weighted terms (see `examine.vectors`) is `meaning` or more; with a model, or
  that of their embeddings is `model_meaning`.

A line of what many prompts share beside what they ask, such as a system prompt, counts as one word (see
`pipelines.preambles`), several that always stand together as one (see `by_line`), but for templates, and a
model does not read them.

Links of equal prompts and of meaning join prompts into clusters, one leads to the next: rewordings of a
question are linked by others between them. Near matches and templates are told apart and join nothing: under
one long preamble stand different questions, and "write a poem about X" may be a hundred things. The
effective number of prompts is exp(-sum p log p) over the shares p of clusters: of 100 clusters with
the same number of rows 100, of 100 of which one holds nearly all, little more than 1.

Numbers are one word here, so sums that differ in their numbers alone are one question.

Cost: 2 s for 10,000 different questions (`links`); embeddings are compared in blocks of 10 MB.
Source: Hill 1973 (effective numbers), https://doi.org/10.2307/1934352; Heaps 1978 (vocabulary growth).
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from headrace import kernels
from headrace.pipelines import arrays
from headrace.pipelines.examine import by_line, vectors
from headrace.pipelines.examine.diversity import links
from headrace.pipelines.examine.diversity.config import Config

BLOCK = 256  # prompts compared with all others at a time
OFTEN = 0.01  # share of prompts, and the fewest of them (`LEAST`), that hold a word which does not vary
LEAST = 5
FIXED = 3  # words that stay of a template, at least
OPENER = 3  # words
JOINING = ("exact", "meaning", "model")  # groupings whose links make clusters


class Prompts(NamedTuple):
    """N prompts without their texts, ordered by `ids`."""

    ids: NDArray[np.uint64]
    keys: NDArray[np.uint64]  # hash of the folded prompt
    lines: by_line.Lines
    embedded: NDArray[np.float32] | None = None  # [N, D], rows of unit length


class Groups(NamedTuple):
    """For each grouping the group of every prompt, as the place of its first, ``int64[N]``."""

    by: dict[str, NDArray[np.int64]]
    cluster: NDArray[np.int64]  # joined over `JOINING`


def effective(prompts: pa.Array | Sequence[str], config: Config | None = None) -> float:
    """Effective number of prompts (string[N] or a sequence of str): how many different things they ask.

    0 where there are none. Nulls and prompts without a letter or digit count for nothing. Of more than
    `config.sample` a fixed draw is compared, and what all ask is estimated from it.
    """
    config = config or Config()
    texts = (
        prompts if isinstance(prompts, pa.Array | pa.ChunkedArray) else pa.array(prompts, pa.string())
    ).cast(pa.large_string())
    texts = texts.combine_chunks() if isinstance(texts, pa.ChunkedArray) else texts
    keys = hashed(texts)
    ids = np.flatnonzero(keys).astype(np.uint64)
    if not len(ids):
        return 0.0
    chosen = drawn(ids, config.sample)
    found = by_line.of(texts.take(pa.array(ids[chosen])))
    groups = grouped(Prompts(ids[chosen], keys[ids[chosen]], found), config)
    return estimate(groups.cluster, ids[chosen], len(ids), effective_number(keys[ids]))


def hashed(texts: pa.Array) -> NDArray[np.uint64]:
    """Hash of each folded prompt; 0 where nothing is left of it."""
    return kernels.content_hash(kernels.fold(texts))[0]


def drawn(ids: NDArray[np.uint64], most: int) -> NDArray[np.int64]:
    """Places of the drawn rows, ascending; a larger draw holds the smaller one."""
    if len(ids) <= most:
        return np.arange(len(ids))
    return np.sort(np.argsort(vectors.spread_ids(ids), kind="stable")[:most])


def effective_number(labels: NDArray[Any]) -> float:
    """Exponential of the entropy of the shares of labels: 0 for none."""
    if not len(labels):
        return 0.0
    shares = sizes(labels) / len(labels)
    return float(np.exp(-np.sum(shares * np.log(shares))))


def sizes(labels: NDArray[Any]) -> NDArray[np.int64]:
    """How many times each label is there, in their order (`np.unique` keeps a table of hashes)."""
    ordered = np.sort(labels)
    begins = np.append(True, ordered[1:] != ordered[:-1])[: len(ordered)]
    counts: NDArray[np.int64] = np.diff(np.append(np.flatnonzero(begins), len(ordered)))
    return counts


def estimate(cluster: NDArray[np.int64], ids: NDArray[np.uint64], rows: int, exact: float) -> float:
    """Effective number of prompts of all `rows`, from the clusters of a draw of them.

    Where the draw is all, their own. Else the number goes on growing as it grew from half of the draw to the
    whole, and is not more than `exact`, that of prompts that are equal, counted over all rows.
    """
    whole = effective_number(cluster)
    if rows <= len(ids):
        return whole
    half = cluster[np.argsort(vectors.spread_ids(ids), kind="stable")[: len(ids) // 2]]
    growth = np.clip(np.log2(whole / effective_number(half)), 0, 1)
    return float(min(whole * (rows / len(ids)) ** growth, exact))


def grouped(prompts: Prompts, config: Config) -> Groups:
    """Group prompts in every way; of equal ones the first is compared, and the others go with it."""
    exact = first_places(prompts.keys)
    chosen, place = np.unique(exact, return_inverse=True)
    lines = by_line.taken(prompts.lines, chosen)
    asked = by_line.asked(lines)
    by = {
        "near": links.by_jaccard(vectors.present(asked), config.near),
        "template": first_places(templates(lines.whole)),
        "meaning": links.by_cosine(vectors.weighted(asked), config.meaning),
    }
    if prompts.embedded is not None:
        by["model"] = linked(prompts.embedded[chosen], config.model_meaning)
    whole = {"exact": exact} | {name: chosen[labels][place] for name, labels in by.items()}
    every = np.arange(len(exact))
    edges = [np.stack([every, whole[name]], axis=1) for name in JOINING if name in whole]
    return Groups(whole, kernels.components(np.concatenate(edges), len(exact)))


def first_places(values: NDArray[Any]) -> NDArray[np.int64]:
    """The first place of each value: ``T[N] -> int64[N]``."""
    _, first, inverse = np.unique(values, return_index=True, return_inverse=True)
    return np.asarray(first[inverse], np.int64)


def linked(embedded: NDArray[np.float32], least: float) -> NDArray[np.int64]:
    """Clusters of rows ``[N, D]`` of unit length by their first; links are products of `least` or more."""
    n = len(embedded)
    labels = np.arange(n)
    for first in range(0, n, BLOCK):
        row, column = np.nonzero(embedded[first : first + BLOCK] @ embedded.T >= least - links.ROUNDING)
        row = row + first
        # What is in one cluster already says nothing new: in a set that asks one thing, nearly all links.
        apart = labels[row] != labels[column]
        edges = np.stack([labels[row[apart]], labels[column[apart]]], axis=1)
        if len(edges):
            labels = kernels.components(edges, n)[labels]
    return labels


def templates(terms: vectors.Terms) -> NDArray[np.uint64]:
    """Hash of the words that do not vary, in their order: ``uint64[N]``; of its own where few stay."""
    n = len(terms.offsets) - 1
    words, counts = held_by(terms)
    found, told = templates_of(terms, unvarying(words, counts, n))
    return np.where(told, found, np.arange(n, dtype=np.uint64))


def held_by(terms: vectors.Terms) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
    """The words of some prompts, ascending, and how many prompts hold each."""
    words = (terms.hashes & 1) == 0
    rows = np.repeat(np.arange(len(terms.offsets) - 1), np.diff(terms.offsets))[words]
    values, place = np.unique(terms.hashes[words], return_inverse=True)
    cells = np.unique(rows.astype(np.int64) * len(values) + place)
    return values, np.bincount(cells % max(len(values), 1), minlength=len(values)).astype(np.int64)


def unvarying(words: NDArray[np.uint32], counts: NDArray[np.int64], n: int) -> NDArray[np.uint32]:
    """Those of `words`, held by `counts` of `n` prompts, that do not vary: many hold them; numbers vary."""
    often: NDArray[np.uint32] = words[(counts >= max(LEAST, OFTEN * n)) & (words != vectors.NUMBER << 1)]
    return often


def templates_of(
    terms: vectors.Terms, fixed: NDArray[np.uint32]
) -> tuple[NDArray[np.uint64], NDArray[np.bool_]]:
    """Hash of the words of each prompt that are of `fixed` (ascending), in their order, ``uint64[N]``; and
    whether enough stay for a template, ``bool[N]``.
    """
    n = len(terms.offsets) - 1
    words = (terms.hashes & 1) == 0
    rows = np.repeat(np.arange(n), np.diff(terms.offsets))[words]
    kept = np.isin(terms.hashes[words], fixed)
    counts = np.bincount(rows, minlength=n)
    stay = np.bincount(rows[kept], minlength=n)
    ends = arrays.offsets(stay)
    held = np.ascontiguousarray(terms.hashes[words][kept], "<u4")
    array = pa.LargeBinaryArray.from_buffers(
        pa.large_binary(), n, [None, pa.py_buffer(ends * 4), pa.py_buffer(held)]
    )
    return kernels.content_hash(array)[0], (stay >= FIXED) & (2 * stay >= counts)


def openers(terms: vectors.Terms) -> NDArray[np.uint64]:
    """Hash of the first words of each prompt: ``uint64[N]``; 0 where there are fewer."""
    n = len(terms.offsets) - 1
    words = (terms.hashes & 1) == 0
    rows = np.repeat(np.arange(n), np.diff(terms.offsets))[words]
    ends = arrays.offsets(np.bincount(rows, minlength=n))
    held, found = terms.hashes[words], np.zeros(n, np.uint64)
    enough = np.flatnonzero(np.diff(ends) >= OPENER)
    for k in range(OPENER):
        word = held[ends[enough] + k].astype(np.uint64)
        found[enough] = arrays.finalised(found[enough] * np.uint64(31) + word + np.uint64(1))
    return found


def distinct_shares(terms: vectors.Terms) -> dict[str, float]:
    """Distinct runs of one, two and three words over all such runs (distinct-n)."""
    n = len(terms.offsets) - 1
    words = (terms.hashes & 1) == 0
    rows = np.repeat(np.arange(n), np.diff(terms.offsets))[words]
    held, found = terms.hashes[words].astype(np.uint64), {}
    runs = held
    for length in (1, 2, 3):
        if length > 1:
            runs = arrays.finalised(runs[:-1] * np.uint64(31) + held[length - 1 :])
        inside = rows[: len(runs)] == rows[length - 1 :]
        found[str(length)] = len(sizes(runs[inside])) / max(int(inside.sum()), 1)
    return found


def vocabulary(terms: vectors.Terms, ids: NDArray[np.uint64]) -> dict[str, float]:
    """Distinct words, and the exponent by which they grow with the prompts (Heaps): 0 for none, to 1."""
    n = len(terms.offsets) - 1
    words = (terms.hashes & 1) == 0
    rows = np.repeat(np.arange(n), np.diff(terms.offsets))[words]
    half = np.zeros(n, np.bool_)
    half[np.argsort(vectors.spread_ids(ids), kind="stable")[: n // 2]] = True
    few, all_words = (terms.hashes[words][mask] for mask in (half[rows], slice(None)))
    first, whole = len(sizes(few)), len(sizes(all_words))
    ratio = len(all_words) / len(few) if len(few) else 1.0
    growth = float(np.log(whole / first) / np.log(ratio)) if first and ratio > 1 else 0.0
    return {"words": whole, "growth": round(growth, 4)}


def largest(
    labels: NDArray[Any], ids: NDArray[np.uint64], most: int = 10, least: int = 2
) -> list[dict[str, Any]]:
    """The groups with the most rows: their rows, share, and the first five row ids."""
    _, place, counts = np.unique(labels, return_inverse=True, return_counts=True)
    first = np.full(len(counts), len(labels))
    np.minimum.at(first, place, np.arange(len(labels)))
    found = []
    for group in np.lexsort((first, -counts))[:most]:
        if counts[group] >= least:
            some = np.flatnonzero(place == group)[:5]
            share = round(float(counts[group]) / len(labels), 4)
            found.append({"rows": int(counts[group]), "share": share, "row_ids": [int(i) for i in ids[some]]})
    return found
