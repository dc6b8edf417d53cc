"""Rows with one prompt and one answer, their pairs, and what follows from those that contradict each other.

Rows with one prompt and one answer are a *node*, named by its first row. Nodes of one prompt are paired with
the answers that most of its rows give; prompts that are alike (`near`) are paired by those answers too. Pairs
of one answer make a *stance*, pairs that contradict join stances into a *cluster*.

Cost: 60 bytes a row of those that are looked at together, which are some of the prompts with all their rows;
pairs at most three a node and near prompt.
"""

from typing import Any, NamedTuple

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from headrace import kernels
from headrace.pipelines import arrays
from headrace.pipelines.examine.contradictions import answers
from headrace.pipelines.stages.dedup import candidates

LEADING = 3  # answers of a prompt that all others are compared with
MANY_WAYS = 4  # different short answers of a question
NODES = ("prompt", "answer", "row_id", "rows", "short", "bytes", "at")
NO_PAIRS = np.zeros((0, 2), np.int64)


class Nodes(NamedTuple):
    """Nodes of some prompts: by prompt, of each the one with the most rows first."""

    table: pa.Table  # `NODES`: at is the place of the first row, short that of all rows
    first: NDArray[np.int64]  # [P]: the first node of each prompt
    sizes: NDArray[np.int64]  # [P]: how many it has


class Found(NamedTuple):
    """Nodes in pairs and these pairs."""

    nodes: pl.DataFrame  # row_id, prompt, answer, rows, short, place: as in `Nodes`
    pairs: NDArray[np.int64]  # [M, 2] of places of nodes
    equal: NDArray[np.bool_]  # [M]: of one prompt


def nodes(rows: pa.Table) -> Nodes:
    """Nodes of rows (`keys.OF_ROWS`), in any order, among which are all rows of each prompt."""
    held = {n: rows[n].to_numpy() for n in ("prompt", "answer", "row_id", "short", "bytes")}
    order = _by_prompt(held["prompt"], held["row_id"], held["answer"])
    prompt, answer = held["prompt"][order], held["answer"][order]
    new = _begins(prompt)
    begins = np.flatnonzero(new | _begins(answer))
    at, count = order[begins], np.diff(begins, append=len(order))
    short = np.minimum.reduceat(held["short"][order], begins) if len(begins) else new
    # Nodes of one prompt stand by their answers: now the one with the most rows comes first.
    by = _by_prompt(held["prompt"][at], held["row_id"][at], -count)
    at = at[by]
    columns = {name: held[name][at] for name in ("prompt", "answer", "row_id", "bytes")}
    columns |= {"rows": count[by], "short": short[by], "at": at}
    first = np.flatnonzero(_begins(columns["prompt"]))
    return Nodes(pa.table(columns).select(NODES), first, np.diff(first, append=len(at)))


def _begins(values: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """Where another value begins than stands before."""
    new = np.ones(len(values), np.bool_)
    new[1:] = values[1:] != values[:-1]
    return new


def _by_prompt(
    prompt: NDArray[np.uint64], last: NDArray[np.uint64], then: NDArray[np.integer[Any]]
) -> NDArray[np.int64]:
    """The order by prompt, by `then`, and by `last`. Most prompts stand alone: only the others are sorted by
    three columns."""
    order = candidates.order_by(prompt)
    new = _begins(prompt[order])
    several = np.flatnonzero(~(new & np.append(new[1:], True)))
    some = order[several]
    order[several] = some[np.lexsort((last[some], then[some], prompt[some]))]
    return order


def equal(found: Nodes, rows: pa.Table) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Pairs of nodes of one prompt, and which of them rows prefer the one and the other way round.

    rows: as `nodes` has them; ``int64[M, 2]`` of places of nodes, the lower one first, ``bool[M]``.
    """
    inside = arrays.ranges(np.zeros(len(found.sizes), np.int64), found.sizes)
    first = np.repeat(found.first, found.sizes)
    several = np.flatnonzero(inside > 0)
    made = [NO_PAIRS]
    for k in range(LEADING):
        others = several[inside[several] > k]
        made.append(np.stack([first[others] + k, others], axis=1))
    led, turned = np.concatenate(made), _swapped(found, rows)
    every = np.concatenate([led, turned[~_among(turned, led)]])
    return every, _among(every, turned)


def _swapped(found: Nodes, rows: pa.Table) -> NDArray[np.int64]:
    """Pairs of nodes of one prompt of which each is the rejected answer where the other is the chosen one."""
    names = ["prompt", "answer", "rejected"]
    held = _frame(rows.select(names)).filter(pl.col("rejected") != 0).unique()
    turned = held.select("prompt", pl.col("rejected").alias("answer"), pl.col("answer").alias("rejected"))
    both = held.join(turned, on=names).filter(pl.col("answer") != pl.col("rejected"))
    if not both.height:
        return NO_PAIRS
    of = _frame(found.table.select(["prompt", "answer"])).with_row_index("place")
    other = of.rename({"answer": "rejected", "place": "other"})
    some = both.join(of, on=["prompt", "answer"]).join(other, on=["prompt", "rejected"])
    some = some.filter(pl.col("place") < pl.col("other")).sort("place", "other")
    return some.select("place", "other").to_numpy().reshape(-1, 2).astype(np.int64)


def _frame(table: pa.Table) -> pl.DataFrame:
    frame = pl.from_arrow(table)
    assert isinstance(frame, pl.DataFrame)
    return frame


def _among(some: NDArray[np.int64], others: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which of some pairs are among others: ``int64[M, 2], int64[K, 2] -> bool[M]``."""
    base = int(max(some.max(initial=0), others.max(initial=0))) + 1
    among: NDArray[np.bool_] = np.isin(some @ np.array([base, 1]), others @ np.array([base, 1]))
    return among


def labels(answers: NDArray[np.uint64], short: NDArray[np.bool_], least: int) -> NDArray[np.uint64]:
    """Answers that are labels, ascending: short ones that at least so many nodes have.

    answers, short: of all nodes of some answers.
    """
    known, of, counts = np.unique(answers, return_inverse=True, return_counts=True)
    long = np.zeros(len(known), np.bool_)
    long[of[~short]] = True
    found: NDArray[np.uint64] = known[(counts >= least) & ~long]
    return found


def placed(table: pa.Table) -> pl.DataFrame:
    """Nodes as `Found` has them."""
    columns = {"place": np.arange(table.num_rows, dtype=np.uint32)}
    columns |= {name: table[name].to_numpy() for name in ("row_id", "prompt", "answer", "rows")}
    columns["short"] = table["short"].to_numpy(zero_copy_only=False)
    return pl.DataFrame(columns)


def spread(near: NDArray[np.int64], first: NDArray[np.int64], sizes: NDArray[np.int64]) -> NDArray[np.int64]:
    """From pairs of prompts to pairs of the first node of each with all nodes of the other.

    near: ``int64[M, 2]`` of places of `first` and `sizes`, which are as in `Nodes`; sorted, each pair once.
    """
    both = [NO_PAIRS]
    for a, b in ((near[:, 0], near[:, 1]), (near[:, 1], near[:, 0])):
        other = arrays.ranges(first[b], sizes[b])
        both.append(np.stack([np.repeat(first[a], sizes[b]), other], axis=1))
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
