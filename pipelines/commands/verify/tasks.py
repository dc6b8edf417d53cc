"""What `headrace verify` looks at in one window, or at one chunk of removed rows: tasks that read files
whole.

Each file of `prepared/`, `packed/` and of pass 3's `rejected/` is read once, and held against its commit
record: its hash, the rows and records that the books count, the row ids that were packed.

Cost: memory of one window; that of reading and hashing, some GB/s a core.
"""

import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import xxhash
from numpy.typing import NDArray

from headrace.cluster import ledger, storage
from headrace.pipelines import books
from headrace.pipelines.passes import outputs
from headrace.pipelines.stages.dedup import stage as dedup
from headrace.pipelines.stages.dedup import verify as verifying
from headrace.pipelines.stages.pack import stage as pack
from headrace.pipelines.stages.tokenise import stage as tokenise

TOLERANCE = 1e-9
SHOWN = 3  # row ids that a line names


class Finding(NamedTuple):
    """Something that a run says and that does not stand: what was checked, of which path, in words."""

    check: str  # "files", "books", "packed", "removals", "ledger", "summary"
    path: str
    text: str


@dataclass
class Report:
    """What a look at a run gives."""

    findings: list[Finding] = field(default_factory=list)
    notes: dict[str, str] = field(default_factory=dict)  # what was looked at, by check
    # By check: files that it would have had to look at, and that cannot be read as what was written.
    unread: dict[str, list[str]] = field(default_factory=dict)

    def fail(self, check: str, path: str, text: str) -> None:
        """Take note of something that does not stand."""
        self.findings.append(Finding(check, path, text))


@dataclass(frozen=True)
class Window:
    """What one window is made of: its parts' records, that of pass 3 (None: not done yet), rows removed."""

    unit: str
    parts: tuple[ledger.Record, ...]
    packed: ledger.Record | None
    removed: bool  # whether `duplicates/removed.parquet` can be read


@dataclass
class Seen:
    """What looking at a window gives."""

    findings: list[Finding] = field(default_factory=list)
    hashes: dict[str, bytes] = field(default_factory=dict)  # of packed rows, by path
    looked: set[str] = field(default_factory=set)  # files that were read as what was written
    files: int = 0
    unsummed: int = 0  # files whose record has no hash

    def fail(self, check: str, path: str, text: str) -> None:
        """Take note of something that does not stand."""
        self.findings.append(Finding(check, path, text))


def window(item: Window, run: str) -> Seen:
    """Look at all files of a window. Raises: StorageError."""
    seen = Seen()
    kept: list[NDArray[np.uint64]] = []
    whole = True
    for record in item.parts:
        table = _file(run, record["outputs"][0], seen)
        whole &= table is not None
        if table is not None:
            kept.append(table["row_id"].to_numpy())
            _prepared(record, table, seen)
        for output in record["outputs"][1:]:
            beside = _file(run, output, seen)
            if beside is not None:
                _beside(record, output["path"], beside, seen)
    ids = np.concatenate([np.zeros(0, np.uint64), *kept])
    if item.packed is not None:
        _packed(run, item, ids if whole else None, seen)
    return seen


def _file(run: str, output: outputs.Output, seen: Seen) -> pa.Table | None:
    """One output as a table; None, and a finding, where it is not what was written."""
    path = output["path"]
    try:
        data = storage.read_bytes(storage.join(run, path))
    except FileNotFoundError:
        return None  # the listing has said so
    seen.files += 1
    seen.unsummed += "xxh3" not in output
    if len(data) != output.get("size", len(data)):
        return None  # so it has
    if output.get("xxh3") not in (None, xxhash.xxh3_64_hexdigest(data)):
        seen.fail("files", path, f"{path} {outputs.WORDS['content']}")
        return None
    try:
        table = pq.read_table(io.BytesIO(data)).combine_chunks()
    except (pa.ArrowInvalid, OSError):
        seen.fail("files", path, f"{path} is no Parquet file any more")
        return None
    seen.looked.add(path)
    return table


def _prepared(record: ledger.Record, table: pa.Table, seen: Seen) -> None:
    """Rows and records of a part against its books."""
    path, told = record["outputs"][0]["path"], (record["rows"]["kept"], record["books"]["kept"])
    found = table.num_rows, books.records(table)
    if found != told:
        text = (
            f"{path} holds {found[0]:,} rows of {found[1]:,} records, "
            f"its record says {told[0]:,} of {told[1]:,}"
        )
        seen.fail("books", path, text)


def _beside(record: ledger.Record, path: str, table: pa.Table, seen: Seen) -> None:
    """A file of rejected rows against the books, or one of changes against the record."""
    if path.startswith("changed/"):
        counted = books.changed(table, {})
        if any(record["changed"].get(kind) != n for kind, n in counted.items()):
            seen.fail("books", path, f"{path} holds other changes than its record says")
    else:
        _reasons(record["books"], path, table, seen)


def _reasons(book: books.Books, path: str, table: pa.Table, seen: Seen) -> None:
    """Marked rows by reason against the books."""
    marked = table.rename_columns(["drop" if n == "reason" else n for n in table.column_names])
    found = books.of(marked)
    for kind in ("dropped", "quarantined"):
        if found[kind] != book[kind]:
            what = sorted(set(found[kind].items()) ^ set(book[kind].items()))
            reasons = ", ".join(sorted({reason for reason, _ in what}))
            seen.fail(
                "books", path, f"{path}: other numbers of {kind} records than the books have: {reasons}"
            )


def _packed(run: str, item: Window, ids: NDArray[np.uint64] | None, seen: Seen) -> None:
    """What pass 3 wrote of a window, against its record and the rows that went in.

    ids: of the window's rows of `prepared/`; None where not all of them can be read.
    """
    record = item.packed
    assert record is not None
    gone, packed, whole = np.zeros(0, np.uint64), [], True
    for output in record["outputs"]:
        table = _file(run, output, seen)
        whole &= table is not None
        if table is None:
            continue
        if "split" in output:
            seen.hashes[output["path"]] = pack.row_hashes(table)
            packed.append(_shard(record, output, table, seen))
        else:
            _beside(record, output["path"], table, seen)
            if output["path"].startswith("rejected/"):
                gone = table["row_id"].to_numpy()
    if ids is None or not whole:
        return
    name = f"packed/*/part-{item.unit}.parquet"
    every = np.concatenate([np.zeros(0, np.uint64), *packed])
    if len(np.unique(every)) < len(every):
        twice = np.unique(every)[np.unique(every, return_counts=True)[1] > 1]
        seen.fail("packed", name, f"{name}: rows stand on two sides of the split: {_shown(twice)}")
    stay = np.setdiff1d(ids, gone)
    for rows, what in (
        (np.setdiff1d(stay, every), "were kept and are not packed"),
        (np.setdiff1d(every, stay), "are packed and were not kept"),
        (
            np.intersect1d(every, _removed(run, ids)) if item.removed else stay[:0],
            "are packed and were removed",
        ),
    ):
        if len(rows):
            seen.fail("packed", name, f"{name}: {len(rows):,} rows {what}: {_shown(rows)}")


def _shard(record: ledger.Record, output: outputs.Output, table: pa.Table, seen: Seen) -> NDArray[np.uint64]:
    """Row ids of one packed file; its rows, samples and tokens against the record."""
    segments = table["segment_ids"].combine_chunks()
    flat = segments.values.to_numpy().reshape(table.num_rows, -1) if table.num_rows else np.zeros((0, 1))
    owners = table["row_ids"].combine_chunks()
    found = {"rows": table.num_rows, "samples": len(owners.values), "tokens": int((flat > 0).sum())}
    if tokenise.PREFERRED in table.column_names:
        signs = table[tokenise.PREFERRED].combine_chunks().values.to_numpy()
        found["pairs"] = int((signs > 0).sum())
        if not np.array_equal(np.flatnonzero(signs > 0) + 1, np.flatnonzero(signs < 0)):
            seen.fail("packed", output["path"], f"{output['path']}: a chosen answer without its rejected one")
    told = record["packed"].get(output["split"], {})
    if found != told:
        what = ", ".join(f"{n:,} {name} (its record: {told.get(name, 0):,})" for name, n in found.items())
        seen.fail("packed", output["path"], f"{output['path']} holds {what}")
    counts = pc.list_value_length(owners).to_numpy()
    if table.num_rows and not (flat.max(axis=1) == counts).all():
        seen.fail("packed", output["path"], f"{output['path']}: a packed row has other segments than row_ids")
    return np.unique(owners.values.to_numpy())


def _removed(run: str, ids: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Rows among `ids` that pass 2 removed."""
    if not len(ids):
        return ids
    span = [("removed", ">=", int(ids.min())), ("removed", "<=", int(ids.max()))]
    table = storage.read_table(storage.join(run, "duplicates/removed.parquet"), ["removed"], filters=span)
    return np.intersect1d(table["removed"].to_numpy(), ids)


def _shown(ids: Sequence[int] | NDArray[np.uint64]) -> str:
    more = ", ..." if len(ids) > SHOWN else ""
    return ", ".join(str(i) for i in ids[:SHOWN]) + more


def removals(
    pairs: list[dict[str, Any]], run: str, unread: frozenset[str], min_features: int, ngram: int
) -> tuple[list[Finding], int]:
    """Measure removed rows again, text against text, with the rows that stand for them.

    pairs: rows of ``stage.REMOVED`` whose kept row is this run's. unread: files of `prepared/` that are not
    what was written. Returns what does not stand, and how many pairs could not be measured for these files.
    """
    wanted = sorted({pair[name] for pair in pairs for name in ("removed", "kept")})
    columns = ["row_id", *verifying.COLUMNS]
    tables = []
    for path in _files_of(run, {i >> 32 for i in wanted}):
        if path not in unread:
            table = storage.read_table(storage.join(run, path), columns)
            tables.append(table.filter(pc.is_in(table["row_id"], pa.array(wanted, pa.uint64()))))
    path = "duplicates/removed.parquet"
    rows = pa.concat_tables(tables).combine_chunks() if tables else None
    place = {} if rows is None else {i: at for at, i in enumerate(rows["row_id"].to_pylist())}
    unknown = {_ordinal(path) for path in unread}
    lost = [i for i in wanted if i not in place and i >> 32 not in unknown]
    findings = (
        [Finding("removals", path, f"{path} names rows that are not in prepared/: {_shown(lost)}")]
        if lost
        else []
    )
    there = [p for p in pairs if p["removed"] in place and p["kept"] in place]
    left = sum(any(p[n] not in place and p[n] >> 32 in unknown for n in ("removed", "kept")) for p in pairs)
    if rows is None or not there:
        return findings, left
    numbers = np.array([[place[p["kept"]], place[p["removed"]]] for p in there], np.int64)
    measured = verifying.similarities(rows, numbers, min_features=min_features, ngram=ngram).similarity
    told = np.array([p["similarity"] for p in there])
    other = [p["removed"] for p, off in zip(there, np.abs(measured - told) > TOLERANCE, strict=True) if off]
    if other:
        text = (
            f"{path}: {len(other):,} rows are not as like the row that stands for them as it says: "
            f"{_shown(other)}"
        )
        findings.append(Finding("removals", path, text))
    return findings, left


def _files_of(run: str, ordinals: set[int]) -> Iterator[str]:
    """Paths below the run of the parts of some fragments."""
    for path in outputs.sizes(run, ["prepared"]):
        if _ordinal(path) in ordinals:
            yield path


def _ordinal(path: str) -> int | None:
    number = path.rpartition("/part-")[2].partition("-")[0]
    return int(number) if number.isdecimal() else None


def sums(output: outputs.Output, run: str) -> Finding | None:
    """One file that no row is counted in, against its hash."""
    path = output["path"]
    found = outputs.checksum(storage.join(run, path))
    if found is None or output.get("xxh3") in (None, found):
        return None
    return Finding("files", path, f"{path} {outputs.WORDS['content']}")


Each = Callable[..., Iterator[Any]]
REMOVED = dedup.REMOVED.names
