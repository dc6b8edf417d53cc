"""Pass 2 as tasks: the steps of `stage` over the files of a run.

Stage the fingerprints (a task for `GROUP` files), order the rows (one task, `steps.order`), scatter
them by block and pair them (many, `steps.block`), or by SimHash (one and many, `steps.signatures`), gather
the candidate pairs (one), bring their texts together and compare them (many, `steps.verify`), decide (one),
cluster (one), index what stays (a task a staged file). What one step hands to the next lies in
`duplicates/work/`; the driver sees counts and paths.

Cost: ordering holds some 40 bytes a row of the run, gathering, deciding and clustering some 200 a row that
stands in a pair or repeated group, every other task its share. Measured and extrapolated in
tests/benchmarks/COST.md.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from headrace.cluster import storage
from headrace.cluster.stores import passing
from headrace.pipelines import schema
from headrace.pipelines.stages.dedup import against, blocks, candidates, decide, index, signatures
from headrace.pipelines.stages.dedup import stage as dedup
from headrace.pipelines.stages.dedup.against import Corpus
from headrace.pipelines.stages.dedup.config import Config
from headrace.pipelines.stages.dedup.stage import removed_table, rule_of_copies
from headrace.pipelines.stages.dedup.steps import block as blocking
from headrace.pipelines.stages.dedup.steps import cluster as clusters
from headrace.pipelines.stages.dedup.steps import order as ordering
from headrace.pipelines.stages.dedup.steps import prompts
from headrace.pipelines.stages.dedup.steps import signatures as signing
from headrace.pipelines.stages.dedup.steps import verify as verifying
from headrace.pipelines.stages.dedup.steps.verify import File
from headrace.pipelines.stages.fingerprint import stage as fingerprint

GROUP = 16  # prepared files whose fingerprints are staged in one: opening a file costs more than reading it
LISTED = 20  # clusters in the report
THRESHOLDS = (0.70, 0.75, 0.80, 0.85, 0.90, 0.95)
Each = Callable[..., Iterator[Any]]
# What `removed.parquet` and `borderline.parquet` hold.
LISTING = (
    dedup.REMOVED.append(pa.field("run", pa.string())).append(  # that the kept row is of; null: this run
        pa.field("error", pa.float64())
    )  # standard error of a similarity told by sketches
)
STAGED = (
    *("row_id", "source", "quality", "group"),
    *(name for name, _ in fingerprint.COLUMNS),
    fingerprint.OPENINGS.name,
)


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
    each_table: Each | None = None,
    held: Mapping[int, int] | None = None,
    last: Sequence[str] = (),
) -> dict[str, Any]:
    """Find the duplicates among the rows of the prepared files at `paths` and write `output`.

    `order` holds the priority of each source, `firsts` the first ordinal of each plan, `corpora` what
    the rows are compared with; `each(function, items, name=...)` runs tasks, `each_table` (left out: the
    same) those that compare signatures; `held` are the ordinals of sources that are held out, with their
    places (`order.HELD`): their rows stay, and others go for them; `last` are the sources of which the
    last answer of a row alone is learned. Writes removed.parquet,
    borderline.parquet, the index (see `index`), and what `split.assign` needs: joined.parquet (pairs that
    share a side), clusters.parquet, ordinals.parquet (rows of each fragment). Returns counts. Nothing
    depends on the order of the paths, nor on that in which tasks end.
    """
    work = storage.join(output, "work")
    storage.delete(work)
    files = [File(path, 0, False) for path in paths]
    files += [File(p, n, c.sketched) for n, c in enumerate(corpora, 1) for p in c.files]
    groups = _groups(files, len(paths))
    staged = list(each(partial(_stage, work=work), groups, name="dedup stage"))
    held = held or {}
    ranking: dict[str, Any] = {"priority": order, "firsts": firsts, "files": files, "held": held}
    rank = partial(ordering.order, work=work, config=config, **ranking)
    first = next(each(rank, [staged], name="dedup order"))
    foreign = first["foreign"]
    found = _candidates(staged, work, config, first["rows"], foreign, each, each_table or each)
    verified = _verified(found.names, groups, work, config, foreign, ngram, each, last)
    names = tuple(c.name for c in corpora)
    settling: dict[str, Any] = {"work": work, "output": output, "config": config, "held": held}
    decided = partial(_decide, **settling, **first, files=files, names=names)
    told = next(each(decided, [verified], name="dedup decide"))
    own = [path for path, group in zip(staged, groups, strict=True) if not group[0][1].corpus]
    cluster = partial(_cluster, **settling, staged=own, foreign=foreign)
    next(each(cluster, [verified], name="dedup cluster"))
    indexed = list(each(partial(index.build, output=output), enumerate(own), name="dedup index"))
    storage.delete(work)
    return {
        **told,
        "candidates": sum(v["pairs"] for v in verified),
        "capped": found.capped,
        "indexed": sum(indexed),
        **({"signatures": found.signatures} if signatures.wanted(config) else {}),
    }


class _Found(NamedTuple):
    """Names of the files of candidate pairs, pairs that were too many, and the report on signatures."""

    names: list[str]
    capped: int
    signatures: dict[str, Any]


def _candidates(
    staged: Sequence[str],
    work: str,
    config: Config,
    rows: int,
    foreign: int,
    each: Each,
    each_table: Each,
) -> _Found:
    """Write pairs of rows that may be alike: by blocks of their bands, by signatures, as the config asks."""
    bands = blocks.bands(config) if rows else []
    partitions = -(-rows // blocking.PARTITION)
    scatter = partial(blocking.scatter, work=work, config=config, partitions=partitions)
    list(each(scatter, enumerate(staged) if bands else (), name="dedup scatter"))
    parted = [(k, p) for k in bands for p in range(partitions)]
    block = partial(blocking.block, staged=staged, work=work, config=config)
    blocked = list(each(block, parted, name="dedup block"))
    signed = _signed(staged if bands else [], work, config, foreign, each, each_table)
    names = [f"band-{k}-{p}" for k, p in parted] + signed.names
    return _Found(names, sum(b["capped"] for b in blocked), signed.report)


def _verified(
    names: Sequence[str],
    groups: Sequence[Sequence[tuple[int, File]]],
    work: str,
    config: Config,
    foreign: int,
    ngram: int,
    each: Each,
    last: Sequence[str],
) -> list[dict[str, Any]]:
    """Compare the texts of candidate pairs, a chunk a task: where each was written, and its pairs."""
    gather = partial(verifying.gather, starts=[group[0][0] for group in groups], work=work, foreign=foreign)
    gathered = next(each(gather, [names], name="dedup gather"))
    wanted = [(g, groups[g]) for g in gathered["groups"]]
    collected = list(each(partial(verifying.collect, work=work), wanted, name="dedup collect"))
    how: dict[str, Any] = {"config": config, "ngram": ngram, "last": last}
    compare = partial(verifying.compare, collected=collected, work=work, **how)
    return list(each(compare, range(gathered["chunks"]), name="dedup verify"))


class _Signed(NamedTuple):
    """Names of the files of pairs that tables found, and what the report says of the search."""

    names: list[str]
    report: dict[str, Any]


def _signed(
    staged: Sequence[str], work: str, config: Config, foreign: int, each: Each, each_table: Each
) -> _Signed:
    """Find candidates by SimHash, where the recipe asks for that."""
    if not staged or not signatures.wanted(config):
        count = 0
    else:
        sign = partial(signing.sign, work=work, config=config)
        count = int(next(each(sign, [staged], name="dedup sign")))
    tables = len(signatures.tables(count, config))
    near = partial(signing.near, work=work, config=config, foreign=foreign)
    names = list(each_table(near, range(0, tables, signing.TABLES), name="dedup tables"))
    report = {
        "distinct": count,
        "distance": signatures.farthest(config.threshold),
        "recall": signatures.RECALL,
        "tables": tables,
    }
    return _Signed(names, report)


def _groups(files: Sequence[File], own: int) -> list[list[tuple[int, File]]]:
    """Files with their numbers in groups of `GROUP`; the run's `own`, which come first, by themselves."""
    numbered = list(enumerate(files))
    parts = numbered[:own], numbered[own:]
    return [part[at : at + GROUP] for part in parts for at in range(0, len(part), GROUP)]


def _stage(group: Sequence[tuple[int, File]], work: str) -> str:
    """The fingerprints of some files, with the number of each row's file, in one file."""
    path = storage.join(work, f"staged-{group[0][0]}.parquet")
    passing.write_hashes(path, _fingerprints(group), dictionary=["source"])
    return path


def _fingerprints(group: Sequence[tuple[int, File]]) -> Iterator[pa.Table]:
    """What is staged of each of some files."""
    for number, file in group:
        if file.corpus:
            table = against.rows(file.path, file.sketched)
            kinds = {"quality": schema.QUALITY, "openings": fingerprint.OPENINGS.type}
            for name in ("source", "quality", "group", "openings"):
                kind = kinds.get(name) or schema.ROW.field(name).type
                table = table.append_column(name, pa.nulls(table.num_rows, kind))
            table = table.select(STAGED)
        else:
            table = storage.read_table(file.path, list(STAGED))
        yield table.append_column("file", pa.array(np.full(table.num_rows, number, np.int32)))


def _decide(
    verified: list[dict[str, Any]],
    work: str,
    output: str,
    config: Config,
    rows: int,
    foreign: int,
    files: Sequence[File],
    names: Sequence[str],
    held: Mapping[int, int],
) -> dict[str, Any]:
    """Decide what goes; write removed and borderline; count.

    Only rows of some pair are looked at, and numbered anew in the same order.
    """
    ranks, matches = _matches(work, verified)
    ids, simhash, file = (ordering.column(work, c, ranks).to_numpy() for c in ("row_id", "simhash", "file"))
    copies = rule_of_copies(config)
    corpus = np.array([0, *(f.corpus for f in files)], np.int32)[file + 1]
    stays = (corpus == 0) & (ordering.standing(ids, held) < ordering.HELD)
    verdict = decide.decide(len(ranks), matches, config.threshold, copies, stays)
    of_run = partial(_with_run, ranks=ids, corpus=corpus, names=names)
    _write(output, "removed", of_run(removed_table(ids, simhash, verdict), verdict))
    close = _borderline(matches, config)
    _write(output, "borderline", of_run(removed_table(ids, simhash, close), close))
    kept, counts = np.unique(verdict.kept, return_counts=True)
    largest = np.lexsort((ids[kept], -counts))[:LISTED]
    by_rule = np.bincount(verdict.rule, minlength=len(decide.RULES))
    return {
        "rows": rows - foreign,
        "against": foreign,
        **{name: int(count) for name, count in zip(decide.RULES, by_rule, strict=True) if name != "alike"},
        "alike": int((close.rule == decide.ALIKE).sum()),
        "removed": len(verdict.removed),
        "by_source": _by_source(work, np.sort(ranks[verdict.removed]), foreign),
        "borderline": len(close.removed),
        "clusters": [
            {"rows": int(counts[i]) + 1, "kept": int(ids[kept[i]]), "run": _name(names, corpus[kept[i]])}
            for i in largest
        ],
        "thresholds": [
            {"threshold": t, "rows": len(decide.decide(len(ranks), matches, t, copies, stays).removed)}
            for t in sorted({*THRESHOLDS, config.threshold})
        ],
    }


def _cluster(
    verified: list[dict[str, Any]],
    staged: Sequence[str],
    work: str,
    output: str,
    config: Config,
    foreign: int,
    held: Mapping[int, int],
) -> None:
    """Write joined, clusters and ordinals. `staged`: the run's own files."""
    ranks, matches = _matches(work, verified)
    own = matches.among(int(np.searchsorted(ranks, foreign)))
    ordinals = storage.read_table(storage.join(work, "ordinals.parquet"))
    least = config.threshold - config.margin
    shared = prompts.shared(staged, work, held)
    clusters.write(output, work, foreign, ranks[ranks >= foreign], own, least, ordinals, shared, held)


def _matches(work: str, verified: Sequence[dict[str, Any]]) -> tuple[NDArray[np.int64], decide.Matches]:
    """The ranks of all rows in some pair, ascending, and the pairs as places among those."""
    tables = [storage.read_table(v["path"]) for v in verified]
    pairs = np.concatenate([np.zeros((0, 2), np.int64), *(blocking.as_pairs(t) for t in tables)])
    similarity = np.concatenate([np.zeros(0), *(t["similarity"].to_numpy() for t in tables)])
    rule = np.concatenate([np.zeros(0, np.int8), *(t["rule"].to_numpy() for t in tables)])
    del tables
    held = [blocking.read_pairs(work, "exact"), blocking.read_pairs(work, "equal"), pairs]
    ranks = candidates.distinct(np.concatenate([p.ravel() for p in held]))
    exact, equal, near = (np.searchsorted(ranks, p) for p in held)
    return ranks, decide.Matches.of(exact, equal, near, similarity, rule)


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


def _by_source(work: str, removed: NDArray[np.int64], foreign: int) -> dict[str, dict[str, int]]:
    """Rows and removed rows (ranks, ascending) of each source."""
    rows: Counter[str] = Counter()
    gone: Counter[str] = Counter()
    for first, sources in ordering.ranges(work, "source"):
        begin, end = np.searchsorted(removed, [first, first + len(sources)])
        taken = sources.take(pa.array(removed[begin:end] - first))
        for counts, values in ((rows, sources.slice(max(0, foreign - first))), (gone, taken)):
            found = pc.value_counts(values.cast(pa.string()))
            counts.update(dict(zip(*(found.field(f).to_pylist() for f in ("values", "counts")), strict=True)))
    return {name: {"rows": rows[name], "removed": gone[name]} for name in sorted(rows)}


def _borderline(matches: decide.Matches, config: Config) -> decide.Verdict:
    """Pairs just under the threshold, and those that are alike but stay, in the form of a verdict: nothing
    is removed by it."""
    close = matches.similarity >= config.threshold - config.margin
    close &= (matches.similarity < config.threshold) | (matches.rule == decide.ALIKE)
    pairs = matches.pairs[close]
    return decide.Verdict(pairs[:, 1], pairs[:, 0], matches.similarity[close], matches.rule[close])


def _write(output: str, name: str, table: pa.Table) -> None:
    strings = [field.name for field in table.schema if pa.types.is_string(field.type)]
    storage.write_ranges(storage.join(output, f"{name}.parquet"), table, dictionary=strings)
