"""Contradictions over the files of a run: hashes of every file, pairs that ask the same, their texts.

What: tasks over files write hashes and sketches; tasks over parts of these find the pairs (`steps`); tasks
over files bring the texts of their rows; one for every `steps.CHUNK` pairs compares them (`compare`); one
says what follows.
Why after the search for duplicates: that keeps rows with one prompt and different answers, long solutions
that differ in their result alone among them (`dedup.results`).
Cost: texts are read twice, the second time those of rows in pairs; for the tasks between see `steps`.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from headrace.cluster import storage
from headrace.cluster.stores import parted
from headrace.pipelines import arrays
from headrace.pipelines.examine import rows
from headrace.pipelines.examine.contradictions import answers, compare, pairs, steps
from headrace.pipelines.examine.contradictions.config import Config as Config

NAME = "contradictions"
VERSION = 6
REASON = "contradictions.conflict"
WORK = f"findings/work/{NAME}"
LISTED, EXAMPLES = 20, 5  # clusters in the report, and row ids of each
Each = Callable[..., Iterator[Any]]
FOUND = pa.schema(
    [
        ("row_id", pa.uint64()),
        ("partner", pa.uint64()),
        ("kind", pa.string()),
        ("prompt_similarity", pa.float64()),
        ("answer_similarity", pa.float64()),
        ("cluster", pa.uint64()),  # its first row; null where no row goes by the kind
    ]
)
DROPS = pa.schema([("row_id", pa.uint64()), ("reason", pa.string())])


def looking(run: str, config: Config, each: Each) -> rows.Look:
    """What writes the keys of the rows of some files, and says where."""
    work = storage.join(run, WORK)
    storage.delete(work)
    return partial(steps.key, work=work, alike=config.near < 1, parts=steps.parts(run))


def run(
    prepared: Sequence[str],
    run: str,
    config: Config,
    each: Each,
    looked: Sequence[str] | None = None,
) -> dict[str, Any]:
    """Find the rows of prepared files that contradict each other; write findings/contradictions.parquet.

    prepared: paths; run: the run directory; ``each(function, items, name=...)`` runs tasks and gives their
    results in order. Returns counts, the largest clusters with row ids, and words.
    """
    work = storage.join(run, WORK)
    if looked is None:
        looked = rows.alone(looking(run, config, each), prepared, run, each, name="contradictions keys")
    found = looked or [steps.nothing(work, config.near < 1)]
    counted, plans = planned(found, work, steps.parts(run), config, each)
    files, chunks = set[int]().union(*(plan.files for plan in plans)), [plan.chunks for plan in plans]
    wanted = [(n, paths) for n, paths in enumerate(rows.together(prepared)) if n in files]
    texting = partial(_texts, run=run, work=work, chunks=chunks)
    texts = list(each(texting, wanted, name="contradictions texts"))
    comparing = partial(_compared, texts=texts, work=work, chunks=chunks)
    compared = list(each(comparing, range(sum(chunks)), name="contradictions compare"))
    settling = partial(_settled, found=found, counted=counted, run=run, work=work, config=config)
    report: dict[str, Any] = next(each(settling, [compared], name="contradictions settle"))
    storage.delete(work)
    return report


def planned(
    found: Sequence[str], work: str, parts: int, config: Config, each: Each
) -> tuple[list[steps.Counted], list[steps.Plan]]:
    """What the rows are whose keys were found, and which of them are to be compared, by parts."""
    alike = config.near < 1
    if alike:
        next(each(partial(steps.census, work=work), [found], name="contradictions census"))
    asking = partial(steps.prompts, paths=found, work=work, alike=alike, parts=parts)
    counted = list(each(asking, range(parts), name="contradictions prompts"))
    given: dict[str, Any] = {"work": work, "counted": counted}
    chunks, agreed = [0] * parts, []
    if alike:
        meeting = partial(steps.meet, config=config, **given)
        made = list(each(meeting, steps.slots(parts), name="contradictions meet"))
        made += each(partial(steps.words, **given), range(parts), name="contradictions words")
        made = next(each(partial(steps.group, **given), [made], name="contradictions group"))
        uniting = partial(steps.unite, made=made, **given)
        chunks = list(each(uniting, range(parts), name="contradictions unite"))
        saying = partial(steps.said, paths=found, work=work, chunks=chunks)
        said = list(each(saying, range(parts), name="contradictions said"))
        agreeing = partial(steps.agree, paths=said, work=work, chunks=chunks)
        agreed = list(each(agreeing, range(sum(chunks)), name="contradictions agree"))
    labelling = partial(steps.labels, config=config, **given)
    labelled = list(each(labelling, range(parts), name="contradictions labels"))
    planning = partial(steps.plan, labelled=labelled, agreed=agreed, chunks=chunks, **given)
    return counted, list(each(planning, range(parts), name="contradictions plan"))


def _texts(item: tuple[int, Sequence[str]], run: str, work: str, chunks: Sequence[int]) -> str:
    """The prompts and answers of the wanted rows of some files. chunks: how many each part has."""
    (number, paths), begin = item, arrays.offsets(chunks)
    tables = [parted.read(storage.join(work, f"wanted-{part}.arrow"), number) for part in range(len(chunks))]
    for part, table in enumerate(tables):
        tables[part] = table.set_column(0, "chunk", pc.add(table["chunk"], int(begin[part])))
    wanted = pa.concat_tables(tables).combine_chunks()
    table = rows.left(paths, run, ["messages"])
    at = pc.index_in(wanted["row_id"].combine_chunks(), table["row_id"].combine_chunks())
    distinct, back = np.unique(at.to_numpy(), return_inverse=True)
    found = rows.exchanges(table.take(pa.array(distinct))).select(["prompt", "answer"]).take(pa.array(back))
    for name in found.column_names:
        wanted = wanted.append_column(name, found[name])
    target = storage.join(work, f"texts-{number}.arrow")
    parted.write(target, wanted, wanted["chunk"].to_numpy())
    return target


def _compared(number: int, texts: Sequence[str], work: str, chunks: Sequence[int]) -> str:
    """Compare one chunk of pairs; those that ask something else are left out."""
    begin = arrays.offsets(chunks)
    part = int(np.searchsorted(begin, number, "right")) - 1
    some = parted.read(storage.join(work, f"pairs-{part}.arrow"), int(number - begin[part]))
    tables = [parted.read(path, number) for path in texts]
    table = pa.concat_tables(tables).sort_by("place").combine_chunks()
    ends = np.stack([some["a"].to_numpy(), some["b"].to_numpy()], axis=1)
    local = np.searchsorted(table["place"].to_numpy(), ends)
    found = compare.compare(table, local, some["equal"].to_numpy())
    for name, column in found._asdict().items():
        some = some.append_column(name, pa.array(column))
    target = storage.join(work, f"compared-{number}.arrow")
    asked = np.isin(found.kind, answers.KINDS)
    parted.write(target, some.filter(pa.array(asked)))
    return target


def _settled(
    compared: Sequence[str],
    found: Sequence[str],
    counted: Sequence[steps.Counted],
    run: str,
    work: str,
    config: Config,
) -> dict[str, Any]:
    """Clusters and what the policy does; writes findings and drops; reports."""
    nodes, judged = _judged(compared, work, counted)
    counts = nodes.nodes["rows"].to_numpy().astype(np.int64)
    settled = pairs.settle(counts, nodes.pairs, judged.kind, config.policy)
    cluster, inside = _clusters(nodes.nodes["row_id"].to_numpy(), settled), settled.cluster >= 0
    shown = np.isin(np.arange(len(inside)), nodes.pairs[np.isin(judged.kind, compare.SHOWN)])
    table = _rows(found, nodes.nodes.filter(shown | inside))
    lines = compare.listed(nodes, judged, table).join(cluster, on="place")
    lines = lines.with_columns(
        pl.when(pl.col("kind").is_in(answers.CONFLICTS)).then(pl.col("cluster")).alias("cluster")
    ).sort("row_id", "partner", "kind")
    written = _plain(lines.select(FOUND.names)).cast(FOUND)
    storage.write_table(storage.join(run, f"findings/{NAME}.parquet"), written)
    of_nodes = nodes.nodes.join(cluster, on="place").filter("in")
    of_rows = table.join(of_nodes, on=["prompt", "answer"]).sort("row_id")
    gone = of_rows.filter(pl.col("gone"))["row_id"].to_numpy()
    drops = pa.table([pa.array(gone), pa.repeat(REASON, len(gone))], schema=DROPS)
    storage.write_table(storage.join(run, f"findings/{NAME}.drops.parquet"), drops)
    kinds = Counter(judged.kind.tolist())
    every = sum(part.rows for part in counted)
    return {
        "rows": every,
        "asked_again": sum(part.asked_again for part in counted),
        "conflicting": of_rows.height,
        "clusters": of_rows["cluster"].n_unique(),
        "pairs": {kind: kinds[kind] for kind in answers.KINDS if kinds[kind]},
        "policy": config.policy,
        "marked": len(gone),
        "largest": _largest(of_rows),
        "words": words(every, of_rows.height, of_rows["cluster"].n_unique(), kinds, len(gone)),
    }


def _clusters(ids: NDArray[np.uint64], settled: pairs.Settled) -> pl.DataFrame:
    """The cluster of each node, named by its first row; whether the node is in one, and whether it goes."""
    inside = settled.cluster >= 0
    named = np.full(len(ids), 0, np.uint64)
    smallest = np.full(len(ids), np.iinfo(np.uint64).max)
    np.minimum.at(smallest, settled.cluster[inside], ids[inside])
    named[inside] = smallest[settled.cluster[inside]]
    place = np.arange(len(ids), dtype=np.uint32)
    return pl.DataFrame({"place": place, "cluster": named, "in": inside, "gone": settled.gone})


def _judged(
    compared: Sequence[str], work: str, counted: Sequence[steps.Counted]
) -> tuple[pairs.Found, compare.Compared]:
    """All pairs that ask the same and what sets their answers apart."""
    some = [parted.read(path) for path in compared]
    a, b, equal, swapped, kind, *similar = (
        np.concatenate([empty, *(t[name].to_numpy(zero_copy_only=False) for t in some)])
        for name, empty in (
            *((n, np.zeros(0, np.int64)) for n in ("a", "b")),
            *((n, np.zeros(0, np.bool_)) for n in ("equal", "swapped")),
            ("kind", np.zeros(0, "<U10")),
            *((f"{n}_similarity", np.zeros(0)) for n in ("prompt", "answer")),
        )
    )
    place, ends = np.unique(np.stack([a, b], axis=1), return_inverse=True)
    table = steps.of_nodes(work, counted, place)
    found = pairs.Found(pairs.placed(table), ends.reshape(-1, 2), equal)
    kinds = np.where(swapped, "swapped", pairs.opened(found, kind.astype("<U10")))
    return found, compare.Compared(kinds, *similar)


def _rows(paths: Sequence[str], nodes: pl.DataFrame) -> pl.DataFrame:
    """The rows of some nodes, a file at a time: row_id, prompt, answer."""
    names = ["row_id", "prompt", "answer"]
    asked = np.unique(nodes["prompt"].to_numpy())
    tables = []
    for path in paths:
        for table in parted.parts(path, names):
            mine = arrays.among(table["prompt"].to_numpy(), asked)
            tables.append(table.filter(pa.array(mine)))
    found = pl.from_arrow(pa.concat_tables(tables))
    assert isinstance(found, pl.DataFrame)
    return found.join(nodes.select("prompt", "answer"), on=["prompt", "answer"], how="semi")


def _plain(table: pl.DataFrame) -> pa.Table:
    """Arrow without Polars' own string views."""
    return table.to_arrow(compat_level=pl.CompatLevel.oldest())


def _largest(of_rows: pl.DataFrame) -> list[dict[str, Any]]:
    """The clusters with the most rows, and a row of each of their first answers."""
    grouped = of_rows.group_by("cluster").agg(
        pl.len().alias("rows"),
        pl.struct("prompt", "answer").n_unique().alias("answers"),
        pl.col("row_id_right").unique().sort().head(EXAMPLES).alias("row_ids"),
    )
    return grouped.sort(["rows", "cluster"], descending=[True, False]).head(LISTED).to_dicts()


def words(rows: int, conflicting: int, clusters: int, kinds: Counter[str], marked: int) -> str:
    """What was found, in a sentence."""
    if not conflicting:
        text = f"no two of {rows:,} rows contradict each other"
    else:
        text = (
            f"{conflicting:,} of {rows:,} rows contradict another, in {clusters:,} groups that ask the same"
        )
    if kinds["unlike"] or kinds["other"]:
        text += f"; {kinds['unlike'] + kinds['other']:,} pairs answer otherwise, and both may be right"
    return text + (f"; {marked:,} rows are marked {REASON}" if marked else "")
