"""Contradictions over the files of a run: hashes of every file, pairs that ask the same, their texts.

What: tasks over files write hashes and sketches; one task finds the pairs (`pairs`); tasks over files bring
the texts of their rows; one for every `CHUNK` pairs compares them (`compare`);
one says what follows.
Why after the search for duplicates: that keeps rows with one prompt and different answers, long solutions
that differ in their result alone among them (`dedup.results`).
Cost: texts are read twice, the second time those of rows in pairs; 35 bytes a row in the task that pairs, and
100 a different prompt.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from headrace.cluster import storage
from headrace.pipelines import arrays
from headrace.pipelines.examine import rows
from headrace.pipelines.examine.contradictions import answers, bags, compare, pairs
from headrace.pipelines.examine.contradictions.config import Config as Config
from headrace.pipelines.stages.dedup import candidates

NAME = "contradictions"
VERSION = 6
REASON = "contradictions.conflict"
# What one task compares: so many pairs, or pairs of so many bytes; each reads a part of every file of texts.
CHUNK, BYTES = 100_000, 2**27
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


def run(prepared: Sequence[str], run: str, config: Config, each: Each) -> dict[str, Any]:
    """Find the rows of prepared files that contradict each other; write findings/contradictions.parquet.

    prepared: paths; run: the run directory; ``each(function, items, name=...)`` runs tasks and gives their
    results in order. Returns counts, the largest clusters with row ids, and words.
    """
    work = storage.join(run, f"findings/work/{NAME}")
    storage.delete(work)
    files = rows.together(sorted(prepared))
    keying = partial(_keys, run=run, work=work, near=config.near < 1)
    keys = list(each(keying, enumerate(files), name="contradictions keys"))
    searching = partial(_search, work=work, config=config)
    plan = next(each(searching, [keys], name="contradictions search"))
    wanted = [(n, paths) for n, paths in enumerate(files) if n in plan["files"]]
    texts = list(each(partial(_texts, run=run, work=work), wanted, name="contradictions texts"))
    comparing = partial(_compared, texts=texts, work=work)
    compared = list(each(comparing, range(plan["chunks"]), name="contradictions compare"))
    settling = partial(_settled, keys=keys, run=run, work=work, config=config)
    report: dict[str, Any] = next(each(settling, [compared], name="contradictions settle"))
    storage.delete(work)
    if (longest := plan["longest"]) < bags.LONGEST:
        report["words"] += (
            f"; some prompts of over {longest} different words were compared by their letters alone"
        )
    return report | {"longest": longest}


def _keys(item: tuple[int, Sequence[str]], run: str, work: str, near: bool) -> str:
    """Hashes and sketches of the rows of some files."""
    number, paths = item
    table = rows.left(paths, run, ["messages"])
    found = pairs.keys(table["row_id"].to_numpy(), rows.exchanges(table), near)
    target = storage.join(work, f"keys-{number}.parquet")
    storage.write_table(target, found, dictionary=False)
    return target


def _rows(keys: Sequence[str]) -> pl.DataFrame:
    """`pairs.OF_ROWS` of the rows of all files, one file after the other."""
    tables = [storage.read_table(path, pairs.OF_ROWS.names) for path in keys]
    found = pl.from_arrow(pa.concat_tables([pairs.OF_ROWS.empty_table(), *tables]))
    assert isinstance(found, pl.DataFrame)
    return found


def _search(keys: Sequence[str], work: str, config: Config) -> dict[str, Any]:
    """Find the pairs; write them in chunks, the nodes, and the rows whose texts are wanted."""

    begin = arrays.offsets(np.array([storage.rows(path) for path in keys], np.int64))

    def columns_of(places: NDArray[np.int64], names: Sequence[str]) -> pa.Table:
        cuts = np.searchsorted(places, begin)
        tables = []
        for number, path in enumerate(keys):
            inside = places[cuts[number] : cuts[number + 1]] - begin[number]
            tables.append(storage.read_table(path, list(names)).take(pa.array(inside)))
        return pa.concat_tables(tables).combine_chunks()

    found = pairs.search(_rows(keys), columns_of if config.near < 1 else None, config)
    storage.write_table(storage.join(work, "nodes.parquet"), _plain(found.nodes))
    chunk = _chunks(found, columns_of)
    cuts = np.flatnonzero(np.diff(chunk, prepend=-1, append=-1))
    for number, (first, last) in enumerate(pairwise(cuts)):
        of = slice(first, last)
        columns = {"a": found.pairs[of, 0], "b": found.pairs[of, 1], "equal": found.equal[of]}
        storage.write_table(
            storage.join(work, f"pairs-{number}.parquet"), pa.table(columns), dictionary=False
        )
    wanted = candidates.unique([np.stack([np.repeat(chunk, 2), found.pairs.ravel()], axis=1)])
    nodes = found.nodes[wanted[:, 1]]
    at = nodes["at"].to_numpy()
    columns = {"chunk": wanted[:, 0], "place": wanted[:, 1], "file": np.searchsorted(begin, at, "right") - 1}
    rows_wanted = pa.table(columns | {n: nodes[n].to_arrow() for n in ("row_id", "label")})
    storage.write_table(storage.join(work, "wanted.parquet"), rows_wanted)
    files = {int(f) for f in np.unique(columns["file"])}
    return {"chunks": int(chunk.max(initial=-1)) + 1, "files": files, "longest": found.longest}


def _chunks(found: pairs.Found, columns_of: pairs.Columns) -> NDArray[np.int64]:
    """The number of the task that compares each pair, ``int64[M]``, ascending by one at most."""
    if not len(found.pairs):
        return np.zeros(0, np.int64)
    at = found.nodes["at"].to_numpy().astype(np.int64)
    rows = np.unique(at[found.pairs])
    size = np.zeros(int(rows.max(initial=-1)) + 1, np.int64)
    size[rows] = columns_of(rows, ["bytes"])["bytes"].to_numpy()
    full = np.cumsum(size[at[found.pairs]].sum(axis=1) / BYTES + 1 / CHUNK)
    _, chunk = np.unique(full.astype(np.int64), return_inverse=True)
    return chunk.astype(np.int64)


def _plain(table: pl.DataFrame) -> pa.Table:
    """Arrow without Polars' own string views."""
    return table.to_arrow(compat_level=pl.CompatLevel.oldest())


def _texts(item: tuple[int, Sequence[str]], run: str, work: str) -> str:
    """The prompts and answers of the wanted rows of some files."""
    number, paths = item
    wanted = storage.read_table(storage.join(work, "wanted.parquet"), filters=[("file", "==", number)])
    table = rows.left(paths, run, ["messages"])
    at = pc.index_in(wanted["row_id"].combine_chunks(), table["row_id"].combine_chunks())
    distinct, back = np.unique(at.to_numpy(), return_inverse=True)
    found = rows.exchanges(table.take(pa.array(distinct))).select(["prompt", "answer"]).take(pa.array(back))
    for name in found.column_names:
        wanted = wanted.append_column(name, found[name])
    target = storage.join(work, f"texts-{number}.parquet")
    storage.write_table(target, wanted.sort_by("chunk"), 4096)
    return target


def _compared(number: int, texts: Sequence[str], work: str) -> str:
    """Compare one chunk of pairs."""
    some = storage.read_table(storage.join(work, f"pairs-{number}.parquet"))
    tables = [storage.read_table(path, filters=[("chunk", "==", number)]) for path in texts]
    table = pa.concat_tables(tables).sort_by("place").combine_chunks()
    ends = np.stack([some["a"].to_numpy(), some["b"].to_numpy()], axis=1)
    local = np.searchsorted(table["place"].to_numpy(), ends)
    found = compare.compare(table, local, some["equal"].to_numpy())
    for name, column in found._asdict().items():
        some = some.append_column(name, pa.array(column))
    target = storage.join(work, f"compared-{number}.parquet")
    storage.write_table(target, some)
    return target


def _settled(
    compared: Sequence[str], keys: Sequence[str], run: str, work: str, config: Config
) -> dict[str, Any]:
    """Clusters and what the policy does; writes findings and drops; reports."""
    table, nodes = _rows(keys), pl.from_arrow(storage.read_table(storage.join(work, "nodes.parquet")))
    assert isinstance(nodes, pl.DataFrame)
    some = [storage.read_table(path) for path in compared]
    a, b, equal, *rest = (
        np.concatenate([empty, *(t[name].to_numpy(zero_copy_only=False) for t in some)])
        for name, empty in (
            *((n, np.zeros(0, np.int64)) for n in ("a", "b")),
            ("equal", np.zeros(0, np.bool_)),
            ("kind", np.zeros(0, "<U10")),
            *((f"{n}_similarity", np.zeros(0)) for n in ("prompt", "answer")),
        )
    )
    found = pairs.Found(nodes, np.stack([a, b], axis=1), equal)
    judged = compare.Compared(rest[0].astype("<U10"), rest[1], rest[2])
    judged = judged._replace(kind=pairs.turned(found, table, pairs.opened(found, judged.kind)))
    counts = nodes["rows"].to_numpy().astype(np.int64)
    settled = pairs.settle(counts, found.pairs, judged.kind, config.policy)
    ids = nodes["row_id"].to_numpy()
    first = pl.DataFrame({"place": np.arange(len(ids), dtype=np.uint32), "node": settled.cluster})
    named = np.full(len(ids), 0, np.uint64)
    inside = settled.cluster >= 0
    smallest = np.full(len(ids), np.iinfo(np.uint64).max)
    np.minimum.at(smallest, settled.cluster[inside], ids[inside])
    named[inside] = smallest[settled.cluster[inside]]
    cluster = first.select(
        "place", pl.Series("cluster", named), pl.Series("in", inside), pl.Series("gone", settled.gone)
    )
    lines = compare.listed(found, judged, table).join(cluster, on="place")
    lines = lines.with_columns(
        pl.when(pl.col("kind").is_in(answers.CONFLICTS)).then(pl.col("cluster")).alias("cluster")
    ).sort("row_id", "partner", "kind")
    written = _plain(lines.select(FOUND.names)).cast(FOUND)
    storage.write_table(storage.join(run, f"findings/{NAME}.parquet"), written)
    of_rows = table.join(nodes.join(cluster, on="place").filter("in"), on=["prompt", "answer"]).sort("row_id")
    gone = of_rows.filter(pl.col("gone"))["row_id"].to_numpy()
    drops = pa.table([pa.array(gone), pa.repeat(REASON, len(gone))], schema=DROPS)
    storage.write_table(storage.join(run, f"findings/{NAME}.drops.parquet"), drops)
    kinds = Counter(judged.kind.tolist())
    repeated = nodes.group_by("prompt").agg(pl.col("rows").sum(), pl.len().alias("answers"))
    return {
        "rows": table.height,
        "asked_again": repeated.filter(pl.col("answers") > 1)["rows"].sum(),
        "conflicting": of_rows.height,
        "clusters": of_rows["cluster"].n_unique(),
        "pairs": {kind: kinds[kind] for kind in answers.KINDS if kinds[kind]},
        "policy": config.policy,
        "marked": len(gone),
        "largest": _largest(of_rows),
        "words": words(table.height, of_rows.height, of_rows["cluster"].n_unique(), kinds, len(gone)),
    }


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
