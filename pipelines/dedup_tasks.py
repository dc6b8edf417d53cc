"""Pass 2 as tasks: the steps of `pipelines.dedup` over the files of a run.

Order the rows (one task), block them (a task a band), gather the candidate pairs (one), verify them
(a task for each `CHUNK` bytes of text), decide (one). What one step hands to the next lies in
`duplicates/work/`, by rank; the driver sees counts and paths.

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
from pipelines import decide, fingerprint, verify
from pipelines.dedup import (
    Config,
    Rows,
    band_pairs,
    exact_copies,
    removed_table,
    scores,
    short_equal,
)

CHUNK = 2**28  # bytes of text that one verifying task reads
LISTED = 20  # clusters in the report
RANGE_GROUP = 65_536  # rows of a row group in outputs that are read by range
THRESHOLDS = (0.70, 0.75, 0.80, 0.85, 0.90, 0.95)
Each = Callable[..., Iterator[Any]]


def run(
    paths: Sequence[str], output: str, config: Config, *, order: dict[str, int], ngram: int, each: Each
) -> dict[str, Any]:
    """Find the duplicates among the rows of the prepared files at `paths` and write `output`.

    `order` holds the priority of each source; `each(function, items, name=...)` runs tasks. Writes
    removed.parquet, borderline.parquet, joined.parquet (every pair that shares a side of the split) and
    clusters.parquet; returns counts. Nothing depends on the order in which tasks end.
    """
    work = storage.join(output, "work")
    storage.delete(work)
    first = next(
        each(partial(_order, work=work, config=config, priority=order), [list(paths)], name="dedup order")
    )
    bands = range(fingerprint.BANDS) if config.near and first["rows"] else range(0)
    blocked = list(each(partial(_block, paths=paths, work=work, config=config), bands, name="dedup block"))
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


SMALL = ("row_id", "simhash", "size", "exact_hi", "exact_lo", "prompt_key", "answer_key")
FEATURES = ("prompt_features", "answer_features")


def _read(paths: Sequence[str], columns: Sequence[str]) -> pa.Table:
    """Some columns of all prepared files, one after the other."""
    if not paths:
        kinds = dict(fingerprint.COLUMNS)
        return pa.table({c: pa.array([], kinds.get(c, pa.uint64())) for c in columns})
    return pa.concat_tables([storage.read_table(p, list(columns)) for p in paths]).combine_chunks()


def _order(paths: Sequence[str], work: str, config: Config, priority: dict[str, int]) -> dict[str, int]:
    """Rank all rows, find exact copies and short equal ones; write what the next steps need by rank."""
    table = _read(paths, [*SMALL, *FEATURES, "source", "quality", "group"])
    names = table["source"].combine_chunks().cast(pa.string()).dictionary_encode()
    codes = names.indices.to_numpy(zero_copy_only=False).astype(np.int64)
    weights = np.array([priority.get(n, 0) for n in names.dictionary.to_pylist()] or [0], np.int64)
    given = weights[codes] if len(codes) else np.zeros(0, np.int64)
    rows = Rows(table, given)
    place = np.argsort(
        decide.total_order(given, scores(table), table["size"].to_numpy(), table["row_id"].to_numpy())
    )
    exact, representative = exact_copies(rows, config)
    storage.write_table(
        storage.join(work, "rows.parquet"),
        pa.table(
            {
                "row_id": rows["row_id"],
                "place": place,
                "simhash": rows["simhash"],
                "size": rows["size"],
                "exact_lo": rows["exact_lo"],
                "representative": representative,
                "group": table["group"].combine_chunks().cast(pa.uint64()).take(pa.array(place)),
            }
        ),
    )
    _write_pairs(work, "exact", exact)
    _write_pairs(work, "equal", short_equal(rows, representative, config))
    return {"rows": rows.n}


def _block(k: int, paths: Sequence[str], work: str, config: Config) -> dict[str, int]:
    """Candidate pairs of one band."""
    wanted = [f"{p}_{what}" for p in fingerprint.PARTS for what in ("key", "features", f"band_{k}")]
    known = storage.read_table(storage.join(work, "rows.parquet"), ["place", "representative"])
    place, representative = known["place"].to_numpy(), known["representative"].to_numpy()
    table = _read(paths, wanted)
    held: dict[str, NDArray[Any]] = {c: table[c].to_numpy()[place] for c in table.column_names}

    def column(name: str) -> NDArray[Any]:
        if name not in held:  # a band for refining, read only where a block is too large
            held[name] = _read(paths, [name])[name].to_numpy()[place]
        return held[name]

    pairs, capped = band_pairs(column, representative, k, config)
    _write_pairs(work, f"band-{k}", pairs)
    return {"capped": capped}


def _write_pairs(work: str, name: str, pairs: decide.Pairs) -> None:
    table = pa.table({"better": pairs[:, 0], "worse": pairs[:, 1]})
    storage.write_table(storage.join(work, f"{name}.parquet"), table)


def _read_pairs(work: str, name: str) -> decide.Pairs:
    table = storage.read_table(storage.join(work, f"{name}.parquet"))
    return _pairs(table)


def _pairs(table: pa.Table) -> decide.Pairs:
    pairs: decide.Pairs = np.stack([table["better"].to_numpy(), table["worse"].to_numpy()], axis=1)
    return pairs


def _gather(bands: int, paths: Sequence[str], work: str) -> list[dict[str, Any]]:
    """Candidate pairs of all bands, once each, cut into chunks of about `CHUNK` bytes of text."""
    found = [_read_pairs(work, f"band-{k}") for k in range(bands)]
    pairs = np.unique(np.concatenate(found), axis=0) if found else np.zeros((0, 2), np.int64)
    if not len(pairs):
        return []
    known = storage.read_table(storage.join(work, "rows.parquet"), ["row_id", "size"])
    ids, size = known["row_id"].to_numpy(), known["size"].to_numpy().astype(np.int64)
    firsts = _first_ids(paths)
    # Pairs of one component stand together, so that a text is read by as few chunks as can be.
    label = kernels.components(pairs, len(ids))[pairs[:, 0]]
    pairs = pairs[np.lexsort((pairs[:, 1], pairs[:, 0], label))]
    weight = np.cumsum(size[pairs].sum(axis=1))
    chunks = []
    for number, chosen in enumerate(np.split(pairs, np.flatnonzero(np.diff(weight // CHUNK)) + 1)):
        _write_pairs(work, f"chunk-{number}", chosen)
        files = np.unique(np.searchsorted(firsts, ids[np.unique(chosen)], side="right") - 1)
        chunks.append({"number": number, "files": [paths[f] for f in files]})
    return chunks


def _first_ids(paths: Sequence[str]) -> NDArray[np.uint64]:
    """Least row id of each prepared file; they ascend, as the files do."""
    columns = [storage.read_table(p, ["row_id"])["row_id"] for p in paths]
    return np.array([pc.min(c).as_py() for c in columns], np.uint64)


def _verify(chunk: dict[str, Any], work: str, config: Config, ngram: int) -> dict[str, Any]:
    """Similarities of one chunk's pairs, from the texts."""
    pairs = _read_pairs(work, f"chunk-{chunk['number']}")
    ids = storage.read_table(storage.join(work, "rows.parquet"), ["row_id"])["row_id"].to_numpy()
    ranks = np.unique(pairs)
    wanted = pa.array(ids[ranks])
    columns = ["row_id", "messages", *(f"{p}_{w}" for p in fingerprint.PARTS for w in ("key", "features"))]
    tables = []
    for path in chunk["files"]:
        table = storage.read_table(path, columns)
        tables.append(table.filter(pc.is_in(table["row_id"], wanted)))
    texts = pa.concat_tables(tables).combine_chunks()
    place = pc.index_in(wanted, texts["row_id"].combine_chunks()).to_numpy()
    local = place[np.searchsorted(ranks, pairs)]
    similarity = verify.similarities(texts, local, min_features=config.min_features, ngram=ngram)
    table = pa.table({"better": pairs[:, 0], "worse": pairs[:, 1], "similarity": similarity})
    path = storage.join(work, f"verified-{chunk['number']}.parquet")
    storage.write_table(path, table)
    return {"path": path, "pairs": len(pairs)}


def _decide(verified: list[dict[str, Any]], work: str, output: str, config: Config) -> dict[str, Any]:
    """Decide what goes; write removed, borderline, joined and clusters; count."""
    known = storage.read_table(storage.join(work, "rows.parquet")).combine_chunks()
    n, ids = known.num_rows, known["row_id"].to_numpy()
    simhash = known["simhash"].to_numpy()
    exact, equal = _read_pairs(work, "exact"), _read_pairs(work, "equal")
    tables = [storage.read_table(v["path"]) for v in verified]
    pairs = np.concatenate([*(_pairs(t) for t in tables), equal])
    similarity = np.concatenate([*(t["similarity"].to_numpy() for t in tables), np.ones(len(equal))])
    rule = np.full(len(pairs), decide.NEAR, np.int8)
    rule[len(pairs) - len(equal) :] = decide.EXACT
    verdict = decide.decide(n, exact, pairs, similarity, rule, config.threshold)
    least = config.threshold - config.margin
    borderline = (similarity >= least) & (similarity < config.threshold)
    _write(output, "removed", removed_table(ids, simhash, verdict))
    _write(output, "borderline", _borderline(ids, simhash, pairs[borderline], similarity[borderline]))
    joined = np.concatenate([exact, pairs[similarity >= least], _same_group(known["group"])])
    _write_clusters(output, known, joined)
    kept, counts = np.unique(verdict.kept, return_counts=True)
    largest = np.lexsort((ids[kept], -counts))[:LISTED]
    return {
        "rows": n,
        "exact": int((verdict.rule == decide.EXACT).sum()),
        "near": int((verdict.rule == decide.NEAR).sum()),
        "borderline": int(borderline.sum()),
        "clusters": [{"rows": int(counts[i]) + 1, "kept": int(ids[kept[i]])} for i in largest],
        "thresholds": [
            {"threshold": t, "rows": len(decide.decide(n, exact, pairs, similarity, rule, t).removed)}
            for t in sorted({*THRESHOLDS, config.threshold})
        ],
    }


def _borderline(
    ids: NDArray[np.uint64],
    simhash: NDArray[np.uint64],
    pairs: decide.Pairs,
    similarity: NDArray[np.float64],
) -> pa.Table:
    """Pairs just under the threshold, in the columns of `removed`: nothing of them is removed by it."""
    rule = np.full(len(pairs), decide.NEAR, np.int8)
    return removed_table(ids, simhash, decide.Verdict(pairs[:, 1], pairs[:, 0], similarity, rule))


def _same_group(group: pa.ChunkedArray) -> decide.Pairs:
    """Rows that share a `group`, each with the one before it."""
    held = group.is_valid().to_numpy()
    chosen = np.flatnonzero(held)
    values = group.filter(pa.array(held)).to_numpy()
    order = np.argsort(values, kind="stable")
    same = values[order[1:]] == values[order[:-1]]
    pairs: decide.Pairs = np.stack([chosen[order[:-1][same]], chosen[order[1:][same]]], axis=1)
    return pairs


def _write_clusters(output: str, known: pa.Table, joined: decide.Pairs) -> None:
    """Components of two rows and more, with the key that decides their side; and the pairs themselves."""
    labels = kernels.components(joined, known.num_rows)
    members, sizes = np.unique(labels, return_counts=True)
    chosen = np.flatnonzero(np.isin(labels, members[sizes > 1]))
    ids = known["row_id"].to_numpy()
    # The earliest row of a component speaks for it: later inputs cannot change its side.
    order = chosen[np.lexsort((ids[chosen], labels[chosen]))]
    first = np.concatenate([[True], labels[order][1:] != labels[order][:-1]])[: len(order)]
    earliest = order[np.flatnonzero(first)][np.cumsum(first) - 1]
    group = pc.coalesce(known["group"], known["exact_lo"]).to_numpy()
    table = pa.table(
        {"row_id": ids[order], "cluster": ids[earliest], "key": group[earliest], "own": group[order]}
    )
    _write(output, "clusters", table.sort_by("row_id"))
    edges = np.sort(ids[joined], axis=1)
    table = pa.table({"a": edges[:, 0], "b": edges[:, 1]})
    _write(output, "joined", table.sort_by([("a", "ascending"), ("b", "ascending")]))


def _write(output: str, name: str, table: pa.Table) -> None:
    storage.write_table(storage.join(output, f"{name}.parquet"), table, row_group=RANGE_GROUP)
