"""Pairs of rows worth comparing, and what follows from those that contradict each other.

Rows with one prompt and one answer are a *node*, named by its first row. Nodes of one prompt are paired with
the answers that most of its rows give; prompts that are alike, by the candidate search of `dedup`, are paired
by those answers too. Pairs of one answer make a *stance*, pairs that contradict join stances into a
*cluster*.

Cost: 60 bytes a row, 110 a different prompt, 35 a word of `bags.AT_ONCE` at most; pairs at most three a node
and near prompt. Nine of ten near pairs have other numbers or other words: they go a band at a time, before
anybody counts them (`_Asked`).
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import chain, pairwise
from typing import Any, NamedTuple

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from headrace import kernels
from headrace.pipelines.examine.contradictions import answers, apart, bags, coded, numbers
from headrace.pipelines.examine.contradictions.config import Config
from headrace.pipelines.stages.dedup import blocks, candidates, in_memory
from headrace.pipelines.stages.dedup.config import Config as Search
from headrace.pipelines.stages.fingerprint import stage as fingerprint

LEADING = 3  # answers of a prompt that all others are compared with
FEWEST = 24  # windows of a prompt that is looked for among prompts that are not equal
MANY_WAYS = 4  # different short answers of a question
SHORT = 64  # bytes of an answer that may be a label
SKETCHED = ["answer_features", "answer_key", *(f"answer_sketch_{k}" for k in range(fingerprint.WORDS))]
BANDS = [f"answer_band_{k}" for k in range(fingerprint.BANDS)]
MARKS = [f"marks_{k}" for k in range(apart.MARKS)]
OF_ROWS = pa.schema(
    [
        ("row_id", pa.uint64()),
        ("prompt", pa.uint64()),
        ("answer", pa.uint64()),
        ("short", pa.bool_()),
        ("numbers", pa.uint64()),
        ("rejected", pa.uint64()),
    ]
)
NO_PAIRS = np.zeros((0, 2), np.int64)
Columns = Callable[[NDArray[np.int64], Sequence[str]], pa.Table]


def keys(row_ids: NDArray[np.uint64], exchanges: pa.Table, near: bool) -> pa.Table:
    """What the search needs of rows with a prompt and an answer: hashes, lengths, the prompt's sketch.

    exchanges: ``prompt`` and ``answer``, large_string without nulls, and ``rejected`` where rows have two
    answers; near: sketch prompts as well.
    """
    prompts, given = (exchanges[name].combine_chunks() for name in ("prompt", "answer"))
    folded = kernels.fold(given, keep_punctuation=True)
    prompt, answer = kernels.content_hash(kernels.fold(prompts))[0], kernels.content_hash(folded)[0]
    asked = np.flatnonzero((prompt != 0) & (answer != 0))
    length = _lengths(given)
    columns = {
        "row_id": row_ids[asked],
        "prompt": prompt[asked],
        "answer": answer[asked],
        "short": length[asked] <= SHORT,
        "numbers": numbers.numbers(prompts)[asked],
        "rejected": _rejected(exchanges)[asked],
        "bytes": (_lengths(prompts) + length)[asked],
    }
    if near:
        sketched = fingerprint.apply(in_memory.as_rows(prompts.take(pa.array(asked))), fingerprint.Config())
        columns |= {name: sketched[name] for name in (*SKETCHED, *BANDS)}
        found = coded.words(prompts.take(pa.array(asked)))
        columns |= dict(zip(MARKS, apart.marks(found).T, strict=True))
        sizes = np.diff(found.offsets)
        columns["words"] = pa.LargeListArray.from_arrays(pa.array(found.offsets), pa.array(found.codes))
        columns["words_kept"] = sizes
        columns["word_count"] = np.where(sizes <= bags.LONGEST, sizes, 0)
    return pa.table(columns)


def _lengths(texts: pa.Array) -> NDArray[np.int64]:
    """Bytes of each text."""
    return np.asarray(pc.binary_length(texts).to_numpy(zero_copy_only=False), np.int64)


def _rejected(exchanges: pa.Table) -> NDArray[np.uint64]:
    """Hash of the rejected one of two answers, as that of an answer; 0 where there is none: ``uint64[N]``."""
    if "rejected" not in exchanges.column_names:
        return np.zeros(exchanges.num_rows, np.uint64)
    folded = kernels.fold(exchanges["rejected"].combine_chunks(), keep_punctuation=True)
    hashes: NDArray[np.uint64] = kernels.content_hash(folded)[0]
    return hashes


class Found(NamedTuple):
    """Nodes and their pairs."""

    nodes: pl.DataFrame  # row_id, prompt, answer, rows, label, place: by prompt, the most rows first
    pairs: NDArray[np.int64]  # [M, 2] of places of nodes
    equal: NDArray[np.bool_]  # [M]: of one prompt
    longest: int = bags.LONGEST  # different words of a prompt that was looked for by them


class _Asked(NamedTuple):
    """Of each node: a hash of its prompt's numbers, and marks of its words (`apart.marks`)."""

    numbers: NDArray[np.uint64]
    marks: NDArray[np.uint64]

    def of(self, places: NDArray[np.int64]) -> "_Asked":
        """That of some nodes."""
        return _Asked(self.numbers[places], self.marks[places])

    def alike(self, some: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which pairs of nodes, int64[M, 2], may ask the same: with the same numbers, and no word alone."""
        found: NDArray[np.bool_] = self.numbers[some[:, 0]] == self.numbers[some[:, 1]]
        found[found] = ~apart.marked_apart(self.marks, some[found])
        return found


def search(found: pl.DataFrame, columns: Columns | None, config: Config) -> Found:
    """Nodes of all rows, and the pairs of nodes to compare.

    found: `OF_ROWS` of rows by row id; ``columns(rows, names)``: columns (`SKETCHED`, `BANDS`, `MARKS`,
    words) of some rows by their place, ascending; None where only equal prompts count. Prompts with different
    numbers are not paired, nor are those whose words show that they ask something else.
    """
    nodes = _nodes(found, config)
    _, first, of = np.unique(nodes["prompt"].to_numpy(), return_index=True, return_inverse=True)
    several = np.flatnonzero(np.bincount(of, minlength=len(first))[of] > 1)
    equal = NO_PAIRS
    for k in range(LEADING):
        leader = first[of[several]] + k
        inside = leader < several
        equal = np.concatenate([equal, np.stack([leader[inside], several[inside]], axis=1)])
    others = swapped(found, nodes)
    equal = np.concatenate([equal, others[~_among(others, equal)]])
    near, longest = NO_PAIRS, bags.LONGEST
    if columns is not None and nodes.height:
        at = nodes["at"].to_numpy().astype(np.int64)
        asked = _asked(found["numbers"].to_numpy()[at], at, columns)
        near, longest = _alike(at, first, of, asked, columns, config)
        near = _spread_over_nodes(near, first, of)
        near = near[asked.alike(near)]
    every = np.concatenate([equal, near])
    return Found(nodes, every, np.arange(len(every)) < len(equal), longest)


def _nodes(found: pl.DataFrame, config: Config) -> pl.DataFrame:
    """Rows of one prompt and one answer: by prompt, the most rows first; `at` is the first one's place.

    By sorted arrays, a column at a time: grouping by two columns takes five times the memory.
    """
    prompt, answer = found["prompt"].to_numpy(), found["answer"].to_numpy()
    order = np.lexsort((answer, prompt))  # stable: the first row of a node comes first
    new = np.ones(len(order), np.bool_)
    new[1:] = (prompt[order[1:]] != prompt[order[:-1]]) | (answer[order[1:]] != answer[order[:-1]])
    begins = np.flatnonzero(new)
    at, rows = order[begins], np.diff(begins, append=len(order))
    short = np.minimum.reduceat(found["short"].to_numpy()[order], begins) if len(begins) else new
    del order, new
    _, which, counts = np.unique(answer[at], return_inverse=True, return_counts=True)
    long = np.zeros(len(counts), np.bool_)
    long[which[~short]] = True
    label = (counts >= config.label_rows)[which] & ~long[which]
    by = np.lexsort((at, -rows, prompt[at]))
    columns = {
        "place": np.arange(len(by), dtype=np.uint32),
        "prompt": prompt[at[by]],
        "answer": answer[at[by]],
        "rows": rows[by].astype(np.uint32),
        "row_id": found["row_id"].to_numpy()[at[by]],
        "at": at[by].astype(np.uint32),
        "label": label[by],
    }
    return pl.DataFrame(columns)


def swapped(rows: pl.DataFrame, nodes: pl.DataFrame) -> NDArray[np.int64]:
    """Pairs of nodes of one prompt of which each is the rejected answer where the other is the chosen one.

    rows: `OF_ROWS`; int64[M, 2] of places, the lower one first.
    """
    names = ["prompt", "answer", "rejected"]
    pairs = rows.filter(pl.col("rejected") != 0).select(names).unique()
    turned = pairs.select("prompt", pl.col("rejected").alias("answer"), pl.col("answer").alias("rejected"))
    both = pairs.join(turned, on=names).filter(pl.col("answer") != pl.col("rejected"))
    of = nodes.select("prompt", "answer", pl.col("place").cast(pl.Int64))
    other = of.rename({"answer": "rejected", "place": "other"})
    found = both.join(of, on=["prompt", "answer"]).join(other, on=["prompt", "rejected"])
    found = found.filter(pl.col("place") < pl.col("other")).sort("place", "other")
    return found.select("place", "other").to_numpy().reshape(-1, 2)


def _among(some: NDArray[np.int64], others: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which of some pairs are among others: ``int64[M, 2], int64[K, 2] -> bool[M]``."""
    base = int(max(some.max(initial=0), others.max(initial=0))) + 1
    among: NDArray[np.bool_] = np.isin(some @ np.array([base, 1]), others @ np.array([base, 1]))
    return among


def turned(found: Found, rows: pl.DataFrame, kinds: NDArray[np.str_]) -> NDArray[np.str_]:
    """`kinds` with *swapped* for pairs of answers that rows prefer the one and the other way round."""
    return np.where(_among(found.pairs, swapped(rows, found.nodes)), "swapped", kinds)


def _asked(numbers: NDArray[np.uint64], at: NDArray[np.int64], columns: Columns) -> _Asked:
    """What nodes ask, whose first rows are at `at`."""
    rows = np.argsort(at)
    marks = np.empty((len(at), apart.MARKS), np.uint64)
    for k, name in enumerate(MARKS):
        marks[rows, k] = _read(columns, at[rows], name)
    return _Asked(numbers, marks)


def _read(columns: Columns, rows: NDArray[np.int64], name: str) -> NDArray[Any]:
    """One column of some rows: several at once would be held several times while they are put together."""
    values: NDArray[Any] = columns(rows, [name])[name].to_numpy()
    return values


def _alike(
    at: NDArray[np.int64],
    first: NDArray[np.intp],
    of: NDArray[np.intp],
    asked: _Asked,
    columns: Columns,
    config: Config,
) -> tuple[NDArray[np.int64], int]:
    """Pairs of first nodes of prompts that may be alike, by letters or by words; and how many different words
    a prompt may have that is looked for by these.

    at: first row of each node; first: the first node of each prompt; of: the prompt of each node.
    """
    order = np.argsort(at[first])
    by_rows = first[order]  # from a place in the order of rows to a node
    sizes = np.bincount(of, minlength=len(first))[order]

    def kept(some: NDArray[np.int64]) -> NDArray[np.int64]:
        """Pairs of prompts, less those of one node each that ask something else."""
        away = (sizes[some] == 1).all(axis=1)
        away[away] = ~asked.alike(by_rows[some[away]])
        left: NDArray[np.int64] = some[~away]
        return left

    near = candidates.unique(map(kept, _near(at[by_rows], columns, config)))
    alone = (sizes[near] == 1).all(axis=1)  # other nodes of a prompt may have other words
    alone[alone] = _told_apart(at[by_rows], near[alone], columns)
    passes = bags.passes(_read(columns, at[by_rows], "word_count"), asked.numbers[by_rows])

    def worded(places: NDArray[np.int64]) -> NDArray[np.int64]:
        """Pairs of prompts of one pass, by their words."""
        words = columns(at[by_rows[places]], ["words"])["words"].combine_chunks()
        ends = words.offsets.to_numpy().astype(np.int64)
        return places[bags.pairs(ends, words.values.to_numpy(), *asked.of(by_rows[places]))]

    every = chain([near[~alone]], map(kept, map(worded, passes.places)))
    found: NDArray[np.int64] = by_rows[candidates.unique(every)]
    return found, passes.longest


def _told_apart(at: NDArray[np.int64], some: NDArray[np.int64], columns: Columns) -> NDArray[np.bool_]:
    """Which pairs of places of `at`, int64[M, 2], cannot ask the same, by all their words: ``bool[M]``."""
    told = np.zeros(len(some), np.bool_)
    rows = np.unique(some)
    local = np.searchsorted(rows, some)
    number = apart.passes(_read(columns, at[rows], "words_kept"), local, bags.AT_ONCE)
    cuts = np.searchsorted(number, np.arange(int(number.max(initial=-1)) + 2))
    for begin, end in pairwise(cuts):
        of, ends = np.unique(local[begin:end], return_inverse=True)
        words = columns(at[rows[of]], ["words"])["words"].combine_chunks()
        offsets = words.offsets.to_numpy().astype(np.int64)
        said = coded.Words(offsets, words.values.to_numpy(), np.diff(offsets) > 0)
        told[begin:end] = apart.told_apart(said, ends.reshape(-1, 2))
    return told


def _near(at: NDArray[np.int64], columns: Columns, config: Config) -> Iterator[NDArray[np.int64]]:
    """Pairs of places of `at`, rows in their order, whose prompts may be alike: a band at a time, whose keys
    are read for it alone."""
    search_config = Search(threshold=config.near, margin=0, min_features=FEWEST)
    held = {name: _read(columns, at, name) for name in SKETCHED}
    nothing = np.zeros(len(at), np.uint64)  # of the part that is not sketched

    def some(names: Sequence[str], places: NDArray[np.int64] | None = None) -> dict[str, NDArray[Any]]:
        chosen = np.arange(len(at)) if places is None else places
        found = {n: held.get(n, nothing)[slice(None) if places is None else places] for n in names}
        bands = [n for n in names if n in BANDS]
        if bands and len(chosen):
            rows, back = np.unique(chosen, return_inverse=True)
            read = columns(at[rows], bands)
            found |= {n: read[n].to_numpy()[back] for n in bands}
        return found

    every = np.ones(len(at), np.bool_)
    return (blocks.band_pairs(some, every, k, search_config)[0] for k in blocks.bands(search_config))


def _spread_over_nodes(
    near: NDArray[np.int64], first: NDArray[np.int64], of: NDArray[np.intp]
) -> NDArray[np.int64]:
    """From pairs of prompts' first nodes to pairs of each with all nodes of the other."""
    sizes = np.bincount(of, minlength=len(first))
    both = [NO_PAIRS]
    for a, b in ((near[:, 0], near[:, 1]), (near[:, 1], near[:, 0])):
        count = sizes[of[b]]
        inside = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
        both.append(np.stack([np.repeat(a, count), np.repeat(b, count) + inside], axis=1))
    return candidates.unique([np.sort(np.concatenate(both), axis=1)])


class Settled(NamedTuple):
    """What follows for each node: its cluster (-1: in none) and stance, and whether its rows go by policy."""

    cluster: NDArray[np.int64]
    stance: NDArray[np.int64]
    gone: NDArray[np.bool_]


def settle(
    rows: NDArray[np.int64], pairs: NDArray[np.int64], kinds: NDArray[np.str_], policy: str
) -> Settled:
    """Clusters of nodes that contradict each other, and what the policy does with them.

    rows: of each node; pairs, kinds: what was compared, kinds of `answers.KINDS`.
    """
    n = len(rows)
    same, against = pairs[kinds == "same"], pairs[np.isin(kinds, answers.CONFLICTS)]
    stance = kernels.components(same, n)
    cluster = kernels.components(np.concatenate([same, against]), n)
    hit = np.zeros(n, np.bool_)
    hit[cluster[against.ravel()]] = True
    cluster = np.where(hit[cluster], cluster, -1)
    inside = cluster >= 0
    gone = inside & (policy != "keep")
    if policy == "majority":
        votes = np.bincount(stance, rows, n)
        whole = np.bincount(cluster[inside], rows[inside], n)
        gone &= 2 * votes[stance] <= whole[np.maximum(cluster, 0)]
    return Settled(cluster, stance, gone)


def opened(found: Found, kinds: NDArray[np.str_]) -> NDArray[np.str_]:
    """`kinds` with *other* for *short* and *number* where a question is answered in many ways and in none by
    half of its rows: the data tell that more than one answer is right. Prompts in other words are of one
    question where a pair of them was found to ask the same."""
    _, of = np.unique(found.nodes["prompt"].to_numpy(), return_inverse=True)
    same = found.pairs[np.isin(kinds, answers.KINDS)]
    of = kernels.components(of[same].astype(np.int64), int(of.max(initial=-1)) + 1)[of]
    rows = found.nodes["rows"].to_numpy().astype(np.int64)
    stance = kernels.components(found.pairs[kinds == "same"], len(rows))
    votes = np.bincount(stance, rows, len(rows))[stance]
    ways = np.bincount(of[np.unique(stance)], minlength=int(of.max(initial=-1)) + 1)
    most = np.zeros(len(ways))
    np.maximum.at(most, of, votes)
    many = (ways >= MANY_WAYS) & (2 * most < np.bincount(of, rows, len(ways)))
    return np.where(many[of[found.pairs[:, 0]]] & np.isin(kinds, answers.OPENED), "other", kinds)
