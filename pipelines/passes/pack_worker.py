"""Pass 3, one window at a time: prepared rows less duplicates in, packed token rows out.

The windows are those of `parts.windows`.

Cost: memory of one window; time is that of the tokenizer.
"""

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from headrace.cluster import ledger, process, storage
from headrace.pipelines import books, schema
from headrace.pipelines.examine import checks
from headrace.pipelines.passes import outputs, parts, prepare_worker
from headrace.pipelines.passes.parts import Window
from headrace.pipelines.recipe import Recipe
from headrace.pipelines.schema import SPLITS
from headrace.pipelines.stages.dedup import passages
from headrace.pipelines.stages.dedup import stage as dedup
from headrace.pipelines.stages.fingerprint import stage as fingerprint
from headrace.pipelines.stages.pack import stage as pack
from headrace.pipelines.stages.split import draw
from headrace.pipelines.stages.split import stage as split
from headrace.pipelines.stages.split.bounds import Bounds
from headrace.pipelines.stages.tokenise import stage as tokenise
from headrace.pipelines.stages.tokenise.proof import ROWS, Proof, prove
from headrace.pipelines.stages.tokenise.tokenizer import Tokenizer
from headrace.pipelines.stages.traits import weights as weighing

NAME = parts.PACK
ROW_GROUP = 256  # packed rows that a training rank reads at once
# Columns of `prepared/` that no later stage asks for: of the fingerprints the split reads two.
UNREAD = {
    *(name for name, _ in fingerprint.COLUMNS if name not in ("exact_lo", "answer_key")),
    *(fingerprint.OPENINGS.name, "values", "pii", "quality"),
}


@dataclass(frozen=True)
class Job:
    """What every task of the pass needs."""

    recipe: Recipe
    keys: dict[int, str] = field(default_factory=dict)  # window -> pass key
    cuts: frozenset[str] = frozenset()  # units of `prepared/` that repeated passages are cut from
    proof: Proof = field(default_factory=Proof)
    checks: tuple[str, ...] = ()  # of the examiner, by which rows go
    bounds: Bounds | None = None  # where sides begin, if their shares do not say it
    below: Mapping[str, int | None] = field(default_factory=dict)  # what rows of pools are drawn by


@dataclass(frozen=True)
class Tokens:
    """What the driver must know of a run's tokenizer, which it does not load: transformers takes seconds."""

    fingerprint: str
    proof: Proof


def marks(run: str) -> dict[str, dict[str, str]]:
    """What pass 2 says of each fragment: a hash by table and ordinal (as text, for JSON).

    A window whose fragments have the hashes they had need not be packed again.
    """
    found = {}
    for name, column in (("removed", "removed"), ("sides", "row_id")):
        table = storage.read_table(storage.join(run, f"duplicates/{name}.parquet"))
        found[name] = parts.hashed(table, table[column])
    return found


def cuts(recipe: Recipe, shared: ledger.Record) -> dict[str, str]:
    """Units of `prepared/` that passages are cut from, each with a hash of what is cut; none where passages
    are only listed. `shared` is the record of pass 2's search for them.
    """
    hashes: dict[str, str] = shared["cuts"]
    return hashes if recipe.dedup.passages.action == "cut" else {}


@dataclass(frozen=True)
class Seen:
    """What a tokenizer is, for people and for machines."""

    text: str
    engine: str
    vocabulary: int


def look(recipe: Recipe) -> Seen:
    """Load the run's tokenizer. Raises: ModelError (conversations, and no chat template, too)."""
    tokenizer = tokenise.tokenizer(recipe.model, recipe.tokenise)
    if any(source.shape != "text" for source in recipe.sources):
        tokenizer.require_template()
    name = recipe.model or "shipped with headrace"
    text = f"tokenizer: {name}, {tokenizer.vocab_size:,} tokens, {tokenizer.engine}"
    return Seen(text, tokenizer.engine, tokenizer.vocab_size)


def settle(first: Sequence[tuple[str, str | None]], recipe: Recipe) -> Tokens:
    """Hold the first rows of some files of `prepared/` (path and hash) against Hugging Face.

    Raises: ModelError, DamagedError.
    """
    fingerprint = tokenise.tokenizer(recipe.model, recipe.tokenise).fingerprint
    tables = [outputs.read(recipe.output, path, xxh3).slice(0, ROWS) for path, xxh3 in first]
    if not tables:
        return Tokens(fingerprint, Proof(recipe.tokenise.engine))
    rows = prepare_worker.unmarked(pa.concat_tables(tables).combine_chunks())
    return Tokens(fingerprint, prove(rows, recipe.model, recipe.tokenise))


@dataclass(frozen=True)
class Tokenised:
    """A window's rows with their marks and their samples.

    entering: records that came in; cut: what passages were cut; timings: by stage.
    """

    table: pa.Table
    samples: pa.Table
    tokenizer: Tokenizer
    entering: int
    cut: dict[str, int]
    timings: dict[str, Any]


def tokenised(window: Window, job: Job) -> Tokenised:
    """One window's rows less those that go, tokenised."""
    recipe = job.recipe
    tokenizer = tokenise.tokenizer(recipe.model, recipe.tokenise, job.proof)
    table = _prepared(recipe.output, window)
    entering = books.records(table)
    timings: dict[str, Any] = {}
    table, timings["dedup"] = _marked(table, window, recipe)
    for check in job.checks:
        table = checks.mark(table, checks.drops(recipe.output, check, window.first, window.last))
    table, cut, spent = _without_passages(table, window, job)
    timings |= spent
    table, timings["split"] = _split(table, window, job)
    table = draw.marked(table, job.below, recipe.seed)
    size = books.entering(table)
    started = time.process_time()
    loss: dict[str, str] = {s.name: s.loss for s in recipe.sources}
    table, samples = tokenise.by_slices(table, recipe.tokenise, tokenizer, loss)
    timings["tokenise"] = {**size, "seconds": time.process_time() - started}
    return Tokenised(table, samples, tokenizer, entering, cut, timings)


def work(window: Window, job: Job) -> ledger.Record:
    """Tokenise and pack one window, write `packed/` and `rejected/`, commit; returns the record."""
    recipe = job.recipe
    done = tokenised(window, job)
    samples, tokenizer, timings = done.samples, done.tokenizer, done.timings
    entered, entering, cut = books.entering(done.table), done.entering, done.cut
    marked = done.table.filter(pc.invert(schema.live(done.table)))
    table = done.table.drop_columns(["messages"])
    del done  # the texts are not held while their tokens are packed
    kept = table.filter(schema.live(table))
    started = time.process_time()
    weights = weighing.of_rows(kept, {str(s.name): s.weights for s in recipe.sources if s.weights})
    written, packed = _packed(samples, kept, weights, window, recipe, tokenizer.pad_id)
    timings["pack"] = {**entered, "seconds": time.process_time() - started}
    if marked.num_rows:
        path = f"rejected/pack-{window.unit}.parquet"
        written.append(
            prepare_worker.write(recipe.output, path, prepare_worker.rejected(marked, withhold=()))
        )
    changes = _changes(kept, samples, window, job)
    if changes.num_rows:
        path = f"changed/pack-{window.unit}.parquet"
        written.append(prepare_worker.write(recipe.output, path, changes))
    record: ledger.Record = {
        "window": window.number,
        "key": job.keys[window.number],
        "books": books.of(table),
        "by_source": _by_source(table),
        "outputs": written,
        "stages": timings,
        "passages": cut,
        "changed": books.changed(changes, {}),
        "packed": packed,
        "splits": _splits(kept),
        "drawn": _drawn(kept, weights),
        "shortened": pc.sum(kept["shortened"]).as_py() or 0,
        "histograms": {"tokens": books.histogram(_token_lengths(samples))},
        "engine": _engine(tokenizer, job.proof),
        "memory": process.peak(),
    }
    books.check(record["books"], entering, f"{NAME} window {window.unit}")
    ledger.commit(recipe.output, NAME, window.unit, record)
    return record


def _engine(tokenizer: Tokenizer, proof: Proof) -> str:
    """The engine in use, with the reason where it is the slower one for one."""
    return f"{tokenizer.encoder.engine} ({proof.reason})" if proof.reason else tokenizer.engine


def _prepared(run: str, window: Window) -> pa.Table:
    """The window's rows with empty marks."""
    tables = [outputs.read(run, path, xxh3, without=UNREAD) for path, xxh3 in window.parts]
    return prepare_worker.unmarked(pa.concat_tables(tables).combine_chunks())


def _marked(table: pa.Table, window: Window, recipe: Recipe) -> tuple[pa.Table, dict[str, float]]:
    started = time.process_time()
    table = dedup.apply(table, _slice(recipe.output, "removed", "removed", window))
    # Rows and bytes are those of pass 2, which decided; here only its seconds grow.
    return table, {"seconds": time.process_time() - started, "rows": 0, "bytes": 0}


def _without_passages(
    table: pa.Table, window: Window, job: Job
) -> tuple[pa.Table, dict[str, int], dict[str, dict[str, float]]]:
    """The window's rows less the passages that others keep, what was cut, and the time that it took."""
    if job.cuts.isdisjoint(window.units):
        return table, {}, {}
    started = time.process_time()
    done = passages.cut(table, read_cuts(job.recipe.output, [u for u in window.units if u in job.cuts]))
    # Rows and bytes are those of pass 2, as above.
    spent = {"passages": {"seconds": time.process_time() - started, "rows": 0, "bytes": 0}}
    return done.table, {"rows": done.rows, "bytes": done.bytes}, spent


def read_cuts(run: str, units: Iterable[str]) -> pa.Table:
    """What is cut from the rows of some units of `prepared/`: ``passages.CUTS``."""
    paths = [f"duplicates/cuts/part-{unit}.parquet" for unit in units]
    tables = [storage.read_table(storage.join(run, path)) for path in paths]
    return pa.concat_tables([passages.CUTS.empty_table(), *tables])


def _split(table: pa.Table, window: Window, job: Job) -> tuple[pa.Table, dict[str, float]]:
    size = books.entering(table)
    started = time.process_time()
    recipe = job.recipe
    sides = _slice(recipe.output, "sides", "row_id", window)
    fixed = {str(s.name): s.side for s in recipe.sources if s.side is not None}
    table = split.apply(table, sides, recipe.split, recipe.seed, fixed, job.bounds)
    return table, {**size, "seconds": time.process_time() - started}


def _slice(run: str, name: str, column: str, window: Window) -> pa.Table:
    """Rows of `duplicates/<name>.parquet` whose `column` lies in the window's ordinals."""
    span = [(column, ">=", window.first << 32), (column, "<", (window.last + 1) << 32)]
    return storage.read_table(storage.join(run, f"duplicates/{name}.parquet"), filters=span)


def _packed(
    samples: pa.Table,
    kept: pa.Table,
    weights: NDArray[np.float64],
    window: Window,
    recipe: Recipe,
    pad_id: int,
) -> tuple[list[dict[str, Any]], dict[str, dict[str, int]]]:
    """Pack the samples of each split and write them; returns outputs and counts by split."""
    written, counts = [], {}
    place = pc.index_in(samples["row_id"], kept["row_id"].combine_chunks())
    sides = kept["split"].take(place) if samples.num_rows else pa.array([], pa.string())
    if any(source.weights for source in recipe.sources):
        samples = samples.append_column(pack.WEIGHT, pa.array(weights[place.to_numpy()]))
    lengths = _token_lengths(samples)
    preferred = samples[tokenise.PREFERRED].to_numpy() if tokenise.PREFERRED in samples.column_names else None
    for side in SPLITS:
        chosen = np.flatnonzero(pc.equal(sides, side).to_numpy(zero_copy_only=False))
        if not len(chosen):
            continue
        path = f"packed/{side}/part-{window.unit}.parquet"
        output = _write(recipe, path, samples, pad_id, chosen)
        written.append({**output, "split": side})
        counts[side] = {
            "rows": output["rows"],
            "samples": len(chosen),
            "tokens": int(lengths[chosen].sum()),
        }
        if preferred is not None:
            counts[side]["pairs"] = int((preferred[chosen] == 1).sum())
    return written, counts


def _write(
    recipe: Recipe, path: str, samples: pa.Table, pad_id: int, chosen: NDArray[np.int64]
) -> dict[str, Any]:
    """Pack some samples and write them, a row group at a time; what the commit record says of it."""
    rows = 0

    def groups() -> Iterator[pa.Table]:
        nonlocal rows
        given = samples, recipe.pack, recipe.tokenise
        for group in pack.groups(*given, pad_id=pad_id, rows=ROW_GROUP, chosen=chosen):
            rows += group.num_rows
            yield group

    target = storage.join(recipe.output, path)
    size, digest = storage.write_groups(target, pack.packed(samples), groups(), pack.DICTIONARY)
    return {"path": path, "size": size, "xxh3": digest, "rows": rows}


def _drawn(kept: pa.Table, weights: NDArray[np.float64]) -> dict[str, dict[str, Any]]:
    """Of each source the rows to train on, those of weight 0, and by trait and value the sum of weights."""
    kept = kept.select([name for name in ("split", "source", "traits") if name in kept.column_names])
    train = pc.equal(kept["split"], "train").to_numpy()
    found = {}
    for name in sorted(pc.unique(kept["source"]).to_pylist()):
        own = train & pc.equal(kept["source"], name).to_numpy()
        chosen, own_weights = kept.filter(pa.array(own)), weights[own]
        never = int((own_weights == 0).sum())
        traits = books.traits(chosen, own_weights)
        found[name] = {"rows": chosen.num_rows, "never": never, "traits": traits}
    return found


def _changes(kept: pa.Table, samples: pa.Table, window: Window, job: Job) -> pa.Table:
    """What was done to rows that are packed (``schema.CHANGES``): bytes of passages that were cut, rows of
    which a part is in no sample, samples of rows that became several, and what tokenising has to tell.
    """
    cut = read_cuts(job.recipe.output, [u for u in window.units if u in job.cuts])
    sizes = pc.subtract(cut["stop"], cut["start"])
    cut = pa.table({"row_id": cut["row_id"], "n": sizes}).group_by("row_id").aggregate([("n", "sum")])
    whole = tokenise.PREFERRED not in samples.column_names  # else some are of pairs, which are no pieces
    cut_up = samples if whole else samples.filter(pc.equal(samples[tokenise.PREFERRED], 0))
    pieces = cut_up.group_by("row_id").aggregate([("row_id", "count")])
    lost = kept.filter(kept["shortened"])["row_id"]
    kinds = {
        "dedup.passages": (cut["row_id"], cut["n_sum"]),
        "tokenise.shortened": (lost, pa.array(np.ones(len(lost), np.int64))),
        "tokenise.pieces": (pieces["row_id"], pieces["row_id_count"]),
    }
    tables = [
        pa.table({"row_id": ids, "kind": pa.repeat(kind, len(ids)), "n": n}).cast(schema.CHANGES)
        for kind, (ids, n) in kinds.items()
    ]
    every = pa.concat_tables([*tables, schema.changes(kept)])
    ours = pc.is_in(every["row_id"], kept["row_id"].combine_chunks())
    several = pc.or_(pc.not_equal(every["kind"], "tokenise.pieces"), pc.greater(every["n"], 1))
    order = [("row_id", "ascending"), ("kind", "ascending")]
    return every.filter(pc.and_(ours, several)).sort_by(order).combine_chunks()


def _token_lengths(samples: pa.Table) -> np.ndarray:
    lengths = pc.list_value_length(samples["input_ids"])
    return np.asarray(lengths.to_numpy(), dtype=np.int64)


def _by_source(table: pa.Table) -> dict[str, books.Books]:
    table = table.select(["source", "n_records", "drop", "error"])
    names = sorted(pc.unique(table["source"]).to_pylist())
    return {n: books.of(table.filter(pc.equal(table["source"], n))) for n in names}


def _splits(kept: pa.Table) -> dict[str, dict[str, Any]]:
    """Rows and records on each side, and what they are (`books.traits`)."""
    sides = {}
    kept = kept.select([name for name in ("split", "n_records", "traits") if name in kept.column_names])
    for side in SPLITS:
        chosen = kept.filter(pc.equal(kept["split"], side))
        counts = {"rows": chosen.num_rows, "records": books.records(chosen)}
        sides[side] = {**counts, "traits": books.traits(chosen)}
    return sides
