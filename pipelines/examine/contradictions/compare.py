"""What sets the answers of pairs of rows apart, from their texts; and the same over texts in memory."""

import gc
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from headrace import kernels
from headrace.pipelines import arrays
from headrace.pipelines.examine.contradictions import answers, apart, asking, coded, keys, near, pairs
from headrace.pipelines.examine.contradictions.config import Config
from headrace.pipelines.stages.fingerprint.config import Config as Fingerprint

AT_ONCE = 1024  # pairs whose texts are read as Python's own
SHOWN = (*answers.CONFLICTS, "unlike")  # kinds that the table lists


class Compared(NamedTuple):
    """Of each of M pairs; similarities are 0 where something else is asked."""

    kind: NDArray[np.str_]  # of `answers.KINDS`, or "asks other"
    prompt_similarity: NDArray[np.float64]
    answer_similarity: NDArray[np.float64]


def compare(texts: pa.Table, found: NDArray[np.int64], equal: NDArray[np.bool_]) -> Compared:
    """Compare the pairs `found`, int64[M, 2] of rows of `texts`.

    texts: prompt, answer (large_string), label (bool: the answer is one of many rows); equal: the prompts are
    equal.
    """
    prompts, given = (texts[name].combine_chunks() for name in ("prompt", "answer"))
    labels = texts["label"].to_numpy(zero_copy_only=False)
    kinds = np.full(len(found), "asks other", "<U10")
    wanted = np.flatnonzero(equal | ~_told_apart(prompts, found, equal))
    with _uncollected():
        for places, rows, local in _batches(wanted[~equal[wanted]], found):
            kinds[places[_same(prompts.take(pa.array(rows)).to_pylist(), local)]] = "same"
        wanted = np.flatnonzero(equal | (kinds == "same"))
        for places, rows, local in _batches(wanted, found):
            asked, said = (column.take(pa.array(rows)).to_pylist() for column in (prompts, given))
            label, some = labels[rows].tolist(), local.tolist()
            kinds[places] = [
                answers.kind_of(asked[a], said[a], said[b], label[a] and label[b]) for a, b in some
            ]
    same = kinds != "asks other"
    similar = np.where(equal, 1.0, 0.0), np.zeros(len(found))
    similar[0][same & ~equal] = _similarity(prompts, found[same & ~equal])
    similar[1][same] = _similarity(given, found[same])
    return Compared(kinds, *similar)


def _batches(
    wanted: NDArray[np.int64], found: NDArray[np.int64]
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]]:
    """Some pairs, `AT_ONCE` at a time: which, the rows of these, and the pairs by places among these rows."""
    for begin in range(0, len(wanted), AT_ONCE):
        places = wanted[begin : begin + AT_ONCE]
        rows, local = np.unique(found[places], return_inverse=True)
        yield places, rows, local.reshape(-1, 2)


@contextmanager
def _uncollected() -> Iterator[None]:
    """Without a look for circles, of which texts and their words make none: again and again at all that is
    kept of them."""
    collected = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collected:
            gc.enable()


def _same(asked: list[str], local: NDArray[np.int64]) -> NDArray[np.int64]:
    """Which pairs of prompts, int64[M, 2], ask the same: their places, ascending. Most short ones fall by
    how many words they have."""
    short = [len(text) < asking.PASSAGE for text in asked]
    size = np.array(
        [asking.size(text) if is_short else -1 for text, is_short in zip(asked, short, strict=True)]
    )
    ends = size[local]
    likely = np.flatnonzero((ends[:, 0] == ends[:, 1]) | (ends < 0).any(axis=1))
    same = [asking.same_question(asked[a], asked[b]) for a, b in local[likely].tolist()]
    return likely[same]


def _told_apart(prompts: pa.Array, found: NDArray[np.int64], equal: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which pairs of prompts that are not equal fall by a word that one of them alone has: ``bool[M]``."""
    told = np.zeros(len(found), np.bool_)
    rows, local = np.unique(found[~equal], return_inverse=True)
    told[~equal] = apart.told_apart(coded.words(prompts.take(pa.array(rows))), local.reshape(-1, 2))
    return told


def _similarity(texts: pa.Array, found: NDArray[np.int64]) -> NDArray[np.float64]:
    """Jaccard similarity of windows of the folded texts; without a window, whether they are equal."""
    rows, places = np.unique(found, return_inverse=True)
    some, places = texts.take(pa.array(rows)), places.reshape(-1, 2)
    measured = kernels.jaccard(kernels.fold(some), places, ngram=Fingerprint().ngram)
    hashes = kernels.content_hash(kernels.fold(some, keep_punctuation=True))[0]
    return np.where(hashes[places[:, 0]] == hashes[places[:, 1]], 1.0, measured)


def contradictions(
    prompts: pa.Array | Sequence[str], answers: pa.Array | Sequence[str], config: Config | None = None
) -> pa.Table:
    """Rows that ask the same and whose answers contradict each other, or have next to nothing in common.

    prompts, answers: N prompts and their answers; a row without either is left out. Returns a table sorted by
    row: ``row int64, partner int64, prompt_similarity double, answer_similarity double``; partner is the
    first row that gives the other answer, of several the one that most rows give. Answers to a prompt that
    asks to invent or to recommend contradict nothing.

    Raises: ValueError for prompts and answers of different length.
    """
    table = _shown(prompts, answers, config or Config())
    table = table.sort(["row_id", "equal", "partner_rows", "partner"], descending=[False, True, True, False])
    first = table.unique("row_id", keep="first", maintain_order=True)
    columns = ["row_id", "partner", "prompt_similarity", "answer_similarity"]
    out = first.select(columns).rename({"row_id": "row"}).to_arrow()
    kinds_of = {"row": pa.int64(), "partner": pa.int64()}
    return out.cast(pa.schema([(n, kinds_of.get(n, pa.float64())) for n in out.column_names]))


def conflicting(prompts: pa.Array, given: pa.Array, config: Config) -> NDArray[np.int64]:
    """Rows of which a run would say that they contradict another, ascending: not those that are unlike."""
    table = _shown(prompts, given, config).filter(pl.col("kind").is_in(answers.CONFLICTS))
    return table["row_id"].unique().sort().to_numpy().astype(np.int64)


def _shown(
    prompts: pa.Array | Sequence[str], answers: pa.Array | Sequence[str], config: Config
) -> pl.DataFrame:
    """What `listed` gives of prompts and answers in memory; `row_id` is the place."""
    texts = pa.table({"prompt": _texts(prompts), "answer": _texts(answers)})
    ids = np.arange(texts.num_rows, dtype=np.uint64)
    rows = keys.keys(ids, texts, config.near < 1)
    found = paired(rows, config)
    answer, short = (found.nodes[name].to_numpy() for name in ("answer", "short"))
    label = arrays.among(answer, pairs.labels(answer, short, config.label_rows))
    nodes = texts.take(pa.array(found.nodes["row_id"].to_numpy().astype(np.int64)))
    nodes = nodes.append_column("label", pa.array(label))
    compared = compare(nodes, found.pairs, found.equal)
    kinds = pairs.opened(found, compared.kind)
    named = pl.from_arrow(rows.select(["row_id", "prompt", "answer"]))
    assert isinstance(named, pl.DataFrame)
    return listed(found, compared._replace(kind=kinds), named)


def paired(rows: pa.Table, config: Config) -> pairs.Found:
    """The nodes of all rows, `keys.keys`, and their pairs."""
    nodes = pairs.nodes(rows)
    equal, _ = pairs.equal(nodes, rows)
    first = nodes.table["at"].to_numpy()[nodes.first]
    alike = near.search(rows, first, config.near) if config.near < 1 else pairs.NO_PAIRS
    every = np.concatenate([equal, pairs.spread(alike, nodes.first, nodes.sizes)])
    return pairs.Found(pairs.placed(nodes.table), every, np.arange(len(every)) < len(equal))


def _texts(given: pa.Array | Sequence[str]) -> pa.Array:
    texts = given if isinstance(given, pa.Array | pa.ChunkedArray) else pa.array(given, pa.string())
    texts = texts.cast(pa.large_string()).fill_null("")
    return texts.combine_chunks() if isinstance(texts, pa.ChunkedArray) else texts


def listed(found: pairs.Found, compared: Compared, rows: pl.DataFrame) -> pl.DataFrame:
    """A line for each row and each answer that its own contradicts: row_id, partner, kind, similarities,
    equal, rows of the partner's answer; by row_id and partner."""
    shown = np.isin(compared.kind, SHOWN)
    some = found.pairs[shown]
    both = np.concatenate([some, some[:, ::-1]])
    twice = {
        "place": both[:, 0].astype(np.uint32),
        "other": both[:, 1].astype(np.uint32),
        "kind": np.tile(compared.kind[shown], 2),
        "prompt_similarity": np.tile(compared.prompt_similarity[shown], 2),
        "answer_similarity": np.tile(compared.answer_similarity[shown], 2),
        "equal": np.tile(found.equal[shown], 2),
    }
    named = found.nodes.select("place", "prompt", "answer")
    other = found.nodes.select(
        pl.col("place").alias("other"),
        pl.col("row_id").alias("partner"),
        pl.col("rows").alias("partner_rows"),
    )
    lines = pl.DataFrame(twice).join(other, on="other").join(named, on="place")
    return (
        rows.select("row_id", "prompt", "answer")
        .join(lines, on=["prompt", "answer"])
        .sort("row_id", "partner")
    )
