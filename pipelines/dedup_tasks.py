"""Pass 2 as tasks: the steps of `pipelines.dedup` over the files of a run.

Stage the fingerprints (a task for `GROUP` files), order the rows (one), block them (a task a band),
gather the candidate pairs (one), verify them (a task for each `CHUNK` bytes of text), decide (one). What
one step hands to the next lies in `duplicates/work/`; the driver sees counts and paths.

Cost: a task holds about 40 bytes a row and one band; verification reads only the files that hold a
row of a candidate pair, and at most `CHUNK` bytes of text at once where pairs allow it.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

import kernels
from cluster import storage
from pipelines import candidates, decide, fingerprint, schema, verify
from pipelines.dedup import (
    Columns,
    Config,
    Rows,
    band_pairs,
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
STAGED = ("row_id", "source", "quality", "group", *(name for name, _ in fingerprint.COLUMNS))
IDENTITY = tuple(name for name in STAGED if "_band_" not in name and "_sketch_" not in name)


def run(
    paths: Sequence[str],
    output: str,
    config: Config,
    *,
    order: dict[str, int],
    ngram: int,
    each: Each,
    firsts: Sequence[int] = (0,),
) -> dict[str, Any]:
    """Find the duplicates among the rows of the prepared files at `paths` and write `output`.

    `order` holds the priority of each source, `firsts` the first ordinal of each plan; `each(function,
    items, name=...)` runs tasks. Writes
    removed.parquet, borderline.parquet, and what `split.assign` needs: joined.parquet (pairs that share
    a side), clusters.parquet, ordinals.parquet (rows of each fragment). Returns counts. Nothing depends
    on the order of the paths, nor on that in which tasks end.
    """
    work = storage.join(output, "work")
    storage.delete(work)
    groups = [list(enumerate(paths))[at : at + GROUP] for at in range(0, len(paths), GROUP)]
    staged = list(each(partial(_stage, work=work), groups, name="dedup stage"))
    first = next(
        each(
            partial(_order, work=work, config=config, priority=order, firsts=firsts),
            [staged],
            name="dedup order",
        )
    )
    bands = range(fingerprint.BANDS) if config.near and first["rows"] else range(0)
    blocked = list(each(partial(_block, staged=staged, work=work, config=config), bands, name="dedup block"))
    chunks = next(each(partial(_gather, paths=paths, work=work), [len(blocked)], name="dedup gather"))
    verified = list(
        each(partial(_verify, work=work, config=config, ngram=ngram), chunks, name="dedup verify")
    )
    told = next(
        each(partial(_decide, work=work, output=output, config=config), [verified], name="dedup decide")
    )
    storage.delete(work)
    return {
        **told,
        "candidates": sum(v["pairs"] for v in verified),
        "capped": sum(b["capped"] for b in blocked),
    }


def _stage(group: Sequence[tuple[int, str]], work: str) -> str:
    """The fingerprints of some prepared files, with the number of each row's file, in one file."""
    tables = []
    for number, path in group:
        table = storage.read_table(path, list(STAGED))
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
    staged: Sequence[str], work: str, config: Config, priority: dict[str, int], firsts: Sequence[int]
) -> dict[str, int]:
    """Rank all rows, find exact copies and short equal ones; write what the next steps need by rank."""
    table = _read(staged, [*IDENTITY, "file"])
    names = table["source"].combine_chunks().cast(pa.string()).dictionary_encode()
    weights = np.array([priority.get(n, 0) for n in names.dictionary.to_pylist()], np.int64)
    ordinals = schema.ordinal(table["row_id"].to_numpy())
    plan = np.searchsorted(np.array(firsts, np.uint64), ordinals, side="right")
    rows = Rows(table, weights[names.indices.to_numpy(zero_copy_only=False)], plan)
    exact, representative = exact_copies(rows)
    known = {
        "row_id": rows["row_id"],
        "place": rows.place,
        "file": table["file"].to_numpy()[rows.place],
        "simhash": rows["simhash"],
        "size": rows["size"],
        "exact_lo": rows["exact_lo"],
        "representative": representative,
        "group": table["group"].combine_chunks().take(pa.array(rows.place)),
    }
    storage.write_table(storage.join(work, "rows.parquet"), pa.table(known))
    _write_pairs(work, "exact", exact)
    _write_pairs(work, "equal", short_equal(rows, representative, config))
    return {"rows": rows.n}


def _block(k: int, staged: Sequence[str], work: str, config: Config) -> dict[str, int]:
    """Candidate pairs of one band."""
    known = storage.read_table(storage.join(work, "rows.parquet"), ["place", "representative"])
    place, representative = known["place"].to_numpy(), known["representative"].to_numpy()

    def some(names: Sequence[str], rows: NDArray[np.int64] | None = None) -> Columns:
        if rows is None:
            table = _read(staged, names)
            return {name: table[name].to_numpy()[place] for name in names}
        order = np.argsort(place[rows])  # a file at a time: all bands of some rows, not of all
        taken, at = [], 0
        for path in staged:
            table = storage.read_table(path, list(names))
            inside = np.searchsorted(place[rows][order], [at, at + table.num_rows])
            taken.append(table.take(pa.array(place[rows][order][slice(*inside)] - at)))
            at += table.num_rows
        back = np.argsort(order)
        return {
            name: column.to_numpy()[back]
            for name, column in zip(names, pa.concat_tables(taken).columns, strict=True)
        }

    pairs, capped = band_pairs(some, representative, k, config)
    _write_pairs(work, f"band-{k}", pairs)
    return {"capped": capped}


def _write_pairs(work: str, name: str, pairs: decide.Pairs) -> None:
    table = pa.table({"better": pairs[:, 0], "worse": pairs[:, 1]})
    storage.write_table(storage.join(work, f"{name}.parquet"), table)


def _read_pairs(work: str, name: str) -> decide.Pairs:
    return _pairs(storage.read_table(storage.join(work, f"{name}.parquet")))


def _pairs(table: pa.Table) -> decide.Pairs:
    pairs: decide.Pairs = np.stack([table["better"].to_numpy(), table["worse"].to_numpy()], axis=1)
    return pairs


def _gather(bands: int, paths: Sequence[str], work: str) -> list[dict[str, Any]]:
    """Candidate pairs of all bands, once each, cut into chunks of about `CHUNK` bytes of text."""
    pairs = candidates.unique([_read_pairs(work, f"band-{k}") for k in range(bands)])
    if not len(pairs):
        return []
    known = storage.read_table(storage.join(work, "rows.parquet"), ["file", "size"])
    file, size = known["file"].to_numpy(), known["size"].to_numpy().astype(np.int64)
    # Pairs of one component stand together, so that a text is read by as few chunks as can be.
    label = kernels.components(pairs, len(size))[pairs[:, 0]]
    pairs = pairs[np.lexsort((pairs[:, 1], pairs[:, 0], label))]
    weight = np.cumsum(size[pairs].sum(axis=1))
    chunks = []
    for number, chosen in enumerate(np.split(pairs, np.flatnonzero(np.diff(weight // CHUNK)) + 1)):
        _write_pairs(work, f"chunk-{number}", chosen)
        files = [paths[f] for f in np.unique(file[chosen])]
        chunks.append({"number": number, "files": files})
    return chunks


def _verify(chunk: dict[str, Any], work: str, config: Config, ngram: int) -> dict[str, Any]:
    """Similarities of one chunk's pairs, from the texts."""
    pairs = _read_pairs(work, f"chunk-{chunk['number']}")
    ids = storage.read_table(storage.join(work, "rows.parquet"), ["row_id"])["row_id"].to_numpy()
    ranks, local = np.unique(pairs, return_inverse=True)
    wanted = pa.array(ids[ranks])
    columns = ["row_id", "messages", *(f"{p}_{w}" for p in fingerprint.PARTS for w in ("key", "features"))]
    tables = []
    for path in chunk["files"]:
        table = storage.read_table(path, columns)
        tables.append(table.filter(pc.is_in(table["row_id"], wanted)))
    texts = pa.concat_tables(tables).combine_chunks()
    place = pc.index_in(wanted, texts["row_id"].combine_chunks()).to_numpy()
    similarity = verify.similarities(
        texts, place[local.reshape(-1, 2)], min_features=config.min_features, ngram=ngram
    )
    table = pa.table({"better": pairs[:, 0], "worse": pairs[:, 1], "similarity": similarity})
    path = storage.join(work, f"verified-{chunk['number']}.parquet")
    storage.write_table(path, table)
    return {"path": path, "pairs": len(pairs)}


def _decide(verified: list[dict[str, Any]], work: str, output: str, config: Config) -> dict[str, Any]:
    """Decide what goes; write removed, borderline, joined, clusters and ordinals; count."""
    known = storage.read_table(storage.join(work, "rows.parquet")).combine_chunks()
    n, ids = known.num_rows, known["row_id"].to_numpy()
    tables = [storage.read_table(v["path"]) for v in verified]
    pairs = np.concatenate([np.zeros((0, 2), np.int64), *(_pairs(t) for t in tables)])
    similarity = np.concatenate([np.zeros(0), *(t["similarity"].to_numpy() for t in tables)])
    matches = decide.Matches.of(_read_pairs(work, "exact"), _read_pairs(work, "equal"), pairs, similarity)
    copies = rule_of_copies(config)
    verdict = decide.decide(n, matches, config.threshold, copies)
    simhash = known["simhash"].to_numpy()
    _write(output, "removed", removed_table(ids, simhash, verdict))
    borderline = _borderline(ids, simhash, matches, config)
    _write(output, "borderline", borderline)
    _write_clusters(output, known, matches, config.threshold - config.margin)
    kept, counts = np.unique(verdict.kept, return_counts=True)
    largest = np.lexsort((ids[kept], -counts))[:LISTED]
    return {
        "rows": n,
        "exact": int((verdict.rule == decide.EXACT).sum()),
        "near": int((verdict.rule == decide.NEAR).sum()),
        "borderline": borderline.num_rows,
        "clusters": [{"rows": int(counts[i]) + 1, "kept": int(ids[kept[i]])} for i in largest],
        "thresholds": [
            {"threshold": t, "rows": len(decide.decide(n, matches, t, copies).removed)}
            for t in sorted({*THRESHOLDS, config.threshold})
        ],
    }


def _borderline(
    ids: NDArray[np.uint64], simhash: NDArray[np.uint64], matches: decide.Matches, config: Config
) -> pa.Table:
    """Pairs just under the threshold, in the columns of `removed`: nothing of them is removed by it."""
    close = matches.similarity >= config.threshold - config.margin
    close &= matches.similarity < config.threshold
    pairs = matches.pairs[close]
    verdict = decide.Verdict(pairs[:, 1], pairs[:, 0], matches.similarity[close], matches.rule[close])
    return removed_table(ids, simhash, verdict)


def _write_clusters(output: str, known: pa.Table, matches: decide.Matches, least: float) -> None:
    """Write which rows share a side of the split, whatever is removed: exact copies (also where they
    stay), matches of at least `least`, rows of one `group`.

    Pairs go by the earliest row of those that are equal: so the pairs among the rows of any earlier
    state of the run join the rows that they joined then.
    """
    ids = known["row_id"].to_numpy()
    near = matches.rule == decide.NEAR
    equal = kernels.components(np.concatenate([matches.exact, matches.pairs[~near]]), known.num_rows)
    earliest = _earliest(equal, ids)
    held = known["group"].is_valid().to_numpy()
    grouped = np.flatnonzero(held)
    same_group = grouped[_earliest(known["group"].filter(pa.array(held)).to_numpy(), ids[grouped])]
    stars = [(earliest, np.arange(len(ids))), (same_group, grouped)]
    joined = np.concatenate(
        [
            earliest[matches.pairs[near & (matches.similarity >= least)]],
            *(np.stack([first, row], axis=1)[first != row] for first, row in stars),
        ]
    )
    labels = kernels.components(joined, len(ids))
    rows = np.unique(joined)
    own = pc.coalesce(known["group"], known["exact_lo"]).to_numpy()
    first = ids[_earliest(labels, ids)]
    table = pa.table({"row_id": ids[rows], "cluster": first[rows], "own": own[rows]})
    _write(output, "clusters", table.sort_by("row_id"))
    edges = np.sort(ids[joined], axis=1)
    table = pa.table({"a": edges[:, 0], "b": edges[:, 1]})
    _write(output, "joined", table.sort_by([("b", "ascending"), ("a", "ascending")]))
    ordinals, counts = np.unique(schema.ordinal(ids), return_counts=True)
    _write(output, "ordinals", pa.table({"ordinal": ordinals, "rows": counts}))


def _earliest(labels: NDArray[Any], ids: NDArray[np.uint64]) -> NDArray[np.int64]:
    """Place of the least id among the rows of each row's label."""
    order = np.lexsort((ids, labels))
    first = np.concatenate([[True], labels[order][1:] != labels[order][:-1]])[: len(order)]
    earliest = np.empty(len(order), np.int64)
    earliest[order] = order[np.flatnonzero(first)][np.cumsum(first) - 1]
    return earliest


def _write(output: str, name: str, table: pa.Table) -> None:
    storage.write_table(storage.join(output, f"{name}.parquet"), table, row_group=RANGE_GROUP)
