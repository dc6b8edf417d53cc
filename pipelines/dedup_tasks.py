"""Pass 2 as tasks: the steps of `pipelines.dedup` over the files of a run.

Stage the fingerprints (a task for `GROUP` files), order the rows (one), scatter them by block (a task a
staged file), pair them (`pipelines.blocking`), gather the candidate pairs (one), verify
them (a task for each `CHUNK` bytes of text), decide (one), index what stays (a task a staged file). What
one step hands to the next lies in `duplicates/work/`; the driver sees counts and paths.

Cost: a blocking task holds 41 bytes a row of its partition; ordering and deciding hold small columns of
all rows. Verification reads only the files that hold a row of a candidate pair, and at most `CHUNK` bytes
of text at once where pairs allow it. Measured and extrapolated in tests/benchmarks/COST.md.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

import kernels
from cluster import storage
from pipelines import (
    against,
    blocking,
    candidates,
    clusters,
    decide,
    dedup,
    fingerprint,
    index,
    schema,
    verify,
)
from pipelines.against import Corpus
from pipelines.dedup import (
    Config,
    Rows,
    exact_copies,
    removed_table,
    rule_of_copies,
    short_equal,
)

GROUP = 16  # prepared files whose fingerprints are staged in one: opening a file costs more than reading it
CHUNK = 2**28  # bytes of text that one verifying task reads
LISTED = 20  # clusters in the report
RANGE_GROUP = 65_536  # rows of a row group in outputs that are read by range
THRESHOLDS = (0.70, 0.75, 0.80, 0.85, 0.90, 0.95)
Each = Callable[..., Iterator[Any]]
# What `removed.parquet` and `borderline.parquet` hold.
LISTING = (
    dedup.REMOVED.append(pa.field("run", pa.string())).append(  # that the kept row is of; null: this run
        pa.field("error", pa.float64())
    )  # standard error of a similarity told by sketches
)
STAGED = ("row_id", "source", "quality", "group", *(name for name, _ in fingerprint.COLUMNS))
IDENTITY = tuple(name for name in STAGED if "_band_" not in name and "_sketch_" not in name)


class File(NamedTuple):
    """A file of fingerprints: the run's own (corpus 0), or of the corpus with that number."""

    path: str
    corpus: int
    sketched: bool


def run(
    paths: Sequence[str],
    output: str,
    config: Config,
    *,
    order: dict[str, int],
    ngram: int,
    each: Each,
    firsts: Sequence[int] = (0,),
    corpora: Sequence[Corpus] = (),
) -> dict[str, Any]:
    """Find the duplicates among the rows of the prepared files at `paths` and write `output`.

    `order` holds the priority of each source, `firsts` the first ordinal of each plan, `corpora` what
    the rows are compared with; `each(function, items, name=...)` runs tasks. Writes
    removed.parquet, borderline.parquet, the index (see `pipelines.index`), and what `split.assign`
    needs: joined.parquet (pairs that share a side), clusters.parquet, ordinals.parquet (rows of each
    fragment). Returns counts. Nothing depends on the order of the paths, nor on that in which tasks end.
    """
    work = storage.join(output, "work")
    storage.delete(work)
    files = [File(path, 0, False) for path in paths]
    files += [File(p, n, c.sketched) for n, c in enumerate(corpora, 1) for p in c.files]
    numbered = list(enumerate(files))
    parts = (numbered[: len(paths)], numbered[len(paths) :])  # the run's own files stand in groups of theirs
    groups = [part[at : at + GROUP] for part in parts for at in range(0, len(part), GROUP)]
    staged = list(each(partial(_stage, work=work), groups, name="dedup stage"))
    first = next(
        each(
            partial(_order, work=work, config=config, priority=order, firsts=firsts, files=files),
            [staged],
            name="dedup order",
        )
    )
    bands = range(fingerprint.BANDS) if config.near and first["rows"] else range(0)
    partitions = -(-first["rows"] // blocking.PARTITION)
    scatter = partial(blocking.scatter, work=work, config=config, partitions=partitions)
    list(each(scatter, enumerate(staged) if bands else (), name="dedup scatter"))
    blocks = [(k, p) for k in bands for p in range(partitions)]
    blocked = list(
        each(partial(blocking.block, staged=staged, work=work, config=config), blocks, name="dedup block")
    )
    foreign = first["foreign"]
    gather = partial(_gather, files=files, work=work, foreign=foreign)
    chunks = next(each(gather, [blocks], name="dedup gather"))
    verified = list(
        each(partial(_verify, work=work, config=config, ngram=ngram), chunks, name="dedup verify")
    )
    names = tuple(c.name for c in corpora)
    decided = partial(
        _decide, work=work, output=output, config=config, foreign=foreign, files=files, names=names
    )
    told = next(each(decided, [verified], name="dedup decide"))
    own = [path for path, group in zip(staged, groups, strict=True) if not group[0][1].corpus]
    indexed = list(each(partial(index.build, output=output), enumerate(own), name="dedup index"))
    storage.delete(work)
    return {
        **told,
        "candidates": sum(v["pairs"] for v in verified),
        "capped": sum(b["capped"] for b in blocked),
        "indexed": sum(indexed),
    }


def _stage(group: Sequence[tuple[int, File]], work: str) -> str:
    """The fingerprints of some files, with the number of each row's file, in one file."""
    tables = []
    for number, file in group:
        if file.corpus:
            table = against.rows(file.path, file.sketched)
            for name in ("source", "quality", "group"):
                kind = schema.QUALITY if name == "quality" else schema.ROW.field(name).type
                table = table.append_column(name, pa.nulls(table.num_rows, kind))
            table = table.select(STAGED)
        else:
            table = storage.read_table(file.path, list(STAGED))
        tables.append(table.append_column("file", pa.array(np.full(table.num_rows, number))))
    path = storage.join(work, f"staged-{group[0][0]}.parquet")
    storage.write_table(path, pa.concat_tables(tables))
    return path


def _read(staged: Sequence[str], columns: Sequence[str]) -> pa.Table:
    """Some columns of all rows."""
    if not staged:
        kinds = {f.name: f.type for f in schema.ROW} | dict(fingerprint.COLUMNS)
        kinds |= {"quality": schema.QUALITY, "file": pa.int64()}
        return pa.table({c: pa.array([], kinds[c]) for c in columns})
    return pa.concat_tables([storage.read_table(p, list(columns)) for p in staged]).combine_chunks()


def _order(
    staged: Sequence[str],
    work: str,
    config: Config,
    priority: dict[str, int],
    firsts: Sequence[int],
    files: Sequence[File],
) -> dict[str, int]:
    """Rank all rows, find exact copies and short equal ones; write what the next steps need by rank."""
    table = _read(staged, [*IDENTITY, "file"])
    names = table["source"].combine_chunks().cast(pa.string()).dictionary_encode()
    weights = np.array([*(priority.get(n, 0) for n in names.dictionary.to_pylist()), 0], np.int64)
    codes = pc.fill_null(names.indices, len(names.dictionary)).to_numpy()  # earlier runs' rows have none
    ordinals = schema.ordinal(table["row_id"].to_numpy())
    plan = np.searchsorted(np.array(firsts, np.uint64), ordinals, side="right")
    corpus = np.array([f.corpus for f in files], np.int64)[table["file"].to_numpy()]
    foreign = int((corpus > 0).sum())  # before all plans, in the order of the recipe: ranks 0 to `foreign`
    plan = np.where(corpus > 0, corpus - len(files) - 1, plan)
    rows = Rows(table, weights[codes], plan)
    exact, representative = exact_copies(rows)
    known = {
        "row_id": rows["row_id"],
        "file": table["file"].to_numpy()[rows.place],
        "simhash": rows["simhash"],
        "size": rows["size"],
        "exact_lo": rows["exact_lo"],
        "group": table["group"].combine_chunks().take(pa.array(rows.place)),
        "source": names.take(pa.array(rows.place)),
    }
    storage.write_table(storage.join(work, "rows.parquet"), pa.table(known))
    blocking.write_ranks(staged, work, rows.place, representative)
    for name, pairs in (("exact", exact), ("equal", short_equal(rows, representative, config))):
        blocking.write_pairs(work, name, pairs[pairs[:, 1] >= foreign])
    return {"rows": rows.n, "foreign": foreign}


def _gather(
    blocks: Sequence[tuple[int, int]], files: Sequence[File], work: str, foreign: int
) -> list[dict[str, Any]]:
    """Candidate pairs of all bands, once each, cut into chunks of about `CHUNK` bytes of text."""
    pairs = candidates.unique([blocking.read_pairs(work, f"band-{k}-{p}") for k, p in blocks])
    pairs = pairs[pairs[:, 1] >= foreign]  # what earlier runs hold is not judged again
    if not len(pairs):
        return []
    known = storage.read_table(storage.join(work, "rows.parquet"), ["row_id", "file", "size"])
    file, size = known["file"].to_numpy(), known["size"].to_numpy().astype(np.int64)
    # Pairs of one component stand together, so that a text is read by as few chunks as can be.
    label = kernels.components(pairs, len(size))[pairs[:, 0]]
    pairs = pairs[np.lexsort((pairs[:, 1], pairs[:, 0], label))]
    weight = np.cumsum(size[pairs].sum(axis=1))
    chunks = []
    for number, chosen in enumerate(np.split(pairs, np.flatnonzero(np.diff(weight // CHUNK)) + 1)):
        blocking.write_pairs(work, f"chunk-{number}", chosen)
        ranks = np.unique(chosen)
        rows = known.select(["row_id", "file"]).take(pa.array(ranks)).append_column("rank", pa.array(ranks))
        storage.write_table(storage.join(work, f"concerned-{number}.parquet"), rows)
        chunks.append({"number": number, "files": [(int(f), files[f]) for f in np.unique(file[chosen])]})
    return chunks


def _verify(chunk: dict[str, Any], work: str, config: Config, ngram: int) -> dict[str, Any]:
    """Similarities of one chunk's pairs, from the texts, or from sketches where there are no texts."""
    pairs = blocking.read_pairs(work, f"chunk-{chunk['number']}")
    known = storage.read_table(storage.join(work, f"concerned-{chunk['number']}.parquet"))
    ranks, ids, file = (known[name].to_numpy() for name in ("rank", "row_id", "file"))
    local = np.searchsorted(ranks, pairs)
    texts, sketches = (_concerned(chunk["files"], ids, file, sketched) for sketched in (False, True))
    place = np.empty(len(ranks), np.int64)
    for at in (texts[1], sketches[1]):
        place[at] = np.arange(len(at))
    by_sketch = np.isin(local[:, 0], sketches[1])
    similarity = np.empty(len(pairs))
    same = {"min_features": config.min_features, "ngram": ngram}
    similarity[~by_sketch] = verify.similarities(texts[0], place[local[~by_sketch]], **same)
    if by_sketch.any():
        found = verify.estimates(texts[0], sketches[0], place[local[by_sketch]], k=against.K, **same)
        similarity[by_sketch] = found
    columns = {"better": pairs[:, 0], "worse": pairs[:, 1], "similarity": similarity, "sketch": by_sketch}
    path = storage.join(work, f"verified-{chunk['number']}.parquet")
    storage.write_table(path, pa.table(columns))
    return {"path": path, "pairs": len(pairs)}


def _concerned(
    files: Sequence[tuple[int, File]], ids: NDArray[np.uint64], file: NDArray[np.int64], sketched: bool
) -> tuple[pa.Table, NDArray[np.int64]]:
    """The rows with these ids in these files, and at which place each stands among the ids."""
    content = against.SKETCHES if sketched else ("messages",)
    columns = ["row_id", *content, *(f"{p}_{w}" for p in fingerprint.PARTS for w in ("key", "features"))]
    tables, places = [], [np.zeros(0, np.int64)]
    for number, one in files:
        if one.sketched != sketched:
            continue
        mine = np.flatnonzero(file == number)
        table = storage.read_table(one.path, columns)
        at = pc.index_in(table["row_id"].combine_chunks(), pa.array(ids[mine]))
        tables.append(table.filter(at.is_valid()))
        places.append(mine[at.drop_null().to_numpy()])
    return (pa.concat_tables(tables).combine_chunks() if tables else pa.table({})), np.concatenate(places)


def _decide(
    verified: list[dict[str, Any]],
    work: str,
    output: str,
    config: Config,
    foreign: int,
    files: Sequence[File],
    names: Sequence[str],
) -> dict[str, Any]:
    """Decide what goes; write removed, borderline, joined, clusters and ordinals; count."""
    known = storage.read_table(storage.join(work, "rows.parquet")).combine_chunks()
    n, ids = known.num_rows, known["row_id"].to_numpy()
    tables = [storage.read_table(v["path"]) for v in verified]
    pairs = np.concatenate([np.zeros((0, 2), np.int64), *(blocking.as_pairs(t) for t in tables)])
    similarity = np.concatenate([np.zeros(0), *(t["similarity"].to_numpy() for t in tables)])
    by_sketch = [t["sketch"].to_numpy(zero_copy_only=False) for t in tables]
    rule = np.where(np.concatenate([np.zeros(0, np.bool_), *by_sketch]), decide.SKETCH, decide.NEAR)
    matches = decide.Matches.of(
        blocking.read_pairs(work, "exact"),
        blocking.read_pairs(work, "equal"),
        pairs,
        similarity,
        rule.astype(np.int8),
    )
    copies = rule_of_copies(config)
    verdict = decide.decide(n, matches, config.threshold, copies)
    corpus = np.array([0, *(f.corpus for f in files)], np.int64)[known["file"].to_numpy() + 1]
    of_run = partial(_with_run, ranks=ids, corpus=corpus, names=names)
    simhash = known["simhash"].to_numpy()
    _write(output, "removed", of_run(removed_table(ids, simhash, verdict), verdict))
    close = _borderline(matches, config)
    _write(output, "borderline", of_run(removed_table(ids, simhash, close), close))
    own = known.slice(foreign)
    clusters.write(output, own, matches.among(foreign), config.threshold - config.margin)
    kept, counts = np.unique(verdict.kept, return_counts=True)
    largest = np.lexsort((ids[kept], -counts))[:LISTED]
    by_rule = np.bincount(verdict.rule, minlength=len(decide.RULES))
    return {
        "rows": n - foreign,
        "against": foreign,
        **{name: int(count) for name, count in zip(decide.RULES, by_rule, strict=True)},
        "removed": len(verdict.removed),
        "by_source": _by_source(known, verdict, foreign),
        "borderline": len(close.removed),
        "clusters": [
            {"rows": int(counts[i]) + 1, "kept": int(ids[kept[i]]), "run": _name(names, corpus[kept[i]])}
            for i in largest
        ],
        "thresholds": [
            {"threshold": t, "rows": len(decide.decide(n, matches, t, copies).removed)}
            for t in sorted({*THRESHOLDS, config.threshold})
        ],
    }


def _name(names: Sequence[str], corpus: int) -> str | None:
    return names[corpus - 1] if corpus else None


def _with_run(
    table: pa.Table,
    verdict: decide.Verdict,
    ranks: NDArray[np.uint64],
    corpus: NDArray[np.int64],
    names: Sequence[str],
) -> pa.Table:
    """`removed_table` with the run of the kept row, and the standard error where a sketch told."""
    order = np.argsort(ranks[verdict.removed])  # as `removed_table` sorts
    runs = pa.array([None, *names], pa.string()).take(pa.array(corpus[verdict.kept][order]))
    similarity = verdict.similarity[order]
    error = np.where(
        verdict.rule[order] == decide.SKETCH, np.sqrt(similarity * (1 - similarity) / against.K), 0
    )
    return pa.Table.from_arrays([*table.columns, runs, pa.array(error)], schema=LISTING)


def _by_source(known: pa.Table, verdict: decide.Verdict, foreign: int) -> dict[str, dict[str, int]]:
    """Rows and removed rows of each source."""
    gone = np.zeros(known.num_rows, np.bool_)
    gone[verdict.removed] = True
    own = pl.DataFrame({"source": pl.from_arrow(known["source"].cast(pa.string())), "gone": gone})[foreign:]
    sums = own.group_by("source").agg(pl.len().alias("rows"), pl.col("gone").sum().alias("removed"))
    return {r["source"]: {"rows": r["rows"], "removed": r["removed"]} for r in sums.sort("source").to_dicts()}


def _borderline(matches: decide.Matches, config: Config) -> decide.Verdict:
    """Pairs just under the threshold, in the form of a verdict: nothing of them is removed by it."""
    close = matches.similarity >= config.threshold - config.margin
    close &= matches.similarity < config.threshold
    pairs = matches.pairs[close]
    return decide.Verdict(pairs[:, 1], pairs[:, 0], matches.similarity[close], matches.rule[close])


def _write(output: str, name: str, table: pa.Table) -> None:
    storage.write_table(storage.join(output, f"{name}.parquet"), table, row_group=RANGE_GROUP)
