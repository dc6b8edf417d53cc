"""Pass 1, one part at a time: raw records in, a file of `prepared/` and one of `rejected/` out.

The stages come as modules with `NAME`, `VERSION` and `apply(table, config)`, in the order of the flow.
They mark rows and never remove one: after each the rows must be the same, and the writer here
is the only place that parts kept rows from marked ones. A stage that raises on a row is given
smaller and smaller pieces until that row stands alone; it is quarantined as ``<stage>.error`` and
the rest goes on.

Cost: memory of one part; time is the stages' own.
"""

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import takewhile
from types import ModuleType
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import xxhash

from headrace.cluster import ledger, process, storage
from headrace.cluster.errors import BooksError, HeadraceError
from headrace.cluster.fragments import Fragment
from headrace.pipelines import books, schema
from headrace.pipelines.passes import parts
from headrace.pipelines.passes.gate import audit as pii_audit
from headrace.pipelines.recipe import Recipe
from headrace.pipelines.stages.pii import stage as pii
from headrace.pipelines.stages.read import grouping
from headrace.pipelines.stages.read import rows as read_rows
from headrace.pipelines.stages.read.records import Noted
from headrace.pipelines.stages.read.source import Source
from headrace.pipelines.stages.read.turns import paths
from headrace.pipelines.stages.steps import stage as steps

NAME = parts.PREPARE
MARKS = ("drop", "error", "detail", "bytes_lost")
READ_SECONDS = b"headrace.read_seconds"
NOTED = b"headrace.noted"
NAMED = 40  # columns that nobody reads, by name
# So many rows do not all break a stage by what they hold: then it is the stage, and the run stops.
ROWS_AT_FAULT = 100


@dataclass(frozen=True)
class Job:
    """What every task of the pass needs: small, and the same for all."""

    recipe: Recipe
    stages: tuple[str, ...]  # module names, in the order of the flow
    keys: dict[int, str]  # ordinal -> pass key
    pooled: int  # place in `stages` of the first that a pool of actors runs, where there is a pool

    def source(self, fragment: Fragment) -> Source:
        """The source that `fragment` is cut from."""
        return next(s for s in self.recipe.sources if s.name == fragment.source)


def read(fragment: Fragment, job: Job) -> Iterator[pa.Table]:
    """Parts of a fragment that can be read on its own; at least one, each with the CPU seconds it took."""
    noted = Noted()
    tables = read_rows.read(
        fragment,
        job.source(fragment),
        fragment_size=job.recipe.fragment_size,
        seed=job.recipe.seed,
        noted=noted,
    )
    any_part = False
    while True:
        started = time.process_time()
        table = next(tables, None)
        if table is None:
            break
        any_part = True
        yield _with_seconds(table, time.process_time() - started, _taken(noted))
    if not any_part or noted.left_out:  # files at the end of an archive may be no data
        yield _with_seconds(schema.ROW.empty_table(), 0.0, _taken(noted))


def read_grouped(fragment: Fragment, job: Job) -> Iterator[pa.Table]:
    """Records of one input of a `group_by` source, each with its bucket and the CPU seconds it took.

    The first of a table has what was passed by, too.
    """
    noted = Noted()
    tables = grouping.read_grouped(
        fragment,
        job.source(fragment),
        buckets=fragment.buckets,
        fragment_size=job.recipe.fragment_size,
        seed=job.recipe.seed,
        noted=noted,
    )
    while True:
        started = time.process_time()
        table = next(tables, None)
        if table is None:
            return
        # The shuffle cuts and joins tables: only what each record took by itself reaches its bucket.
        share = (time.process_time() - started) / max(table.num_rows, 1)
        about = [_taken(noted), *[None] * (table.num_rows - 1)] if table.num_rows else []
        table = table.append_column("noted", pa.array(about, pa.string()))
        yield table.append_column("read_seconds", pa.repeat(share, table.num_rows))


def _taken(noted: Noted) -> str:
    """What was passed by so far, as JSON; files are counted once, so they go."""
    text = json.dumps({"unread": sorted(noted.unread), "left_out": dict(sorted(noted.left_out.items()))})
    noted.left_out.clear()
    return text


def _with_seconds(table: pa.Table, seconds: float, noted: str) -> pa.Table:
    """`table`, with the CPU seconds it took to read and what was passed by, in its schema's metadata."""
    return table.replace_schema_metadata({READ_SECONDS: repr(seconds), NOTED: noted})


def work_grouped(fragment: Fragment, part: int, last: bool, records: pa.Table, job: Job) -> ledger.Record:
    """Join a bucket's records to conversations, then do as with any other part."""
    return work(fragment, part, last, _assembled(fragment, records, job), job)


def begin_grouped(
    fragment: Fragment, part: int, last: bool, records: pa.Table, job: Job
) -> tuple[pa.Table, ledger.Record]:
    """As `work_grouped`, up to the stages that a pool of actors runs."""
    return begin(fragment, part, last, _assembled(fragment, records, job), job)


def _assembled(fragment: Fragment, records: pa.Table, job: Job) -> pa.Table:
    """The rows of a bucket, with the CPU seconds that reading its records and joining them took."""
    seconds = pc.sum(records["read_seconds"]).as_py() or 0.0
    started = time.process_time()
    table = grouping.assemble(
        records.drop_columns(["read_seconds", "noted"]), fragment, job.source(fragment), seed=job.recipe.seed
    )
    noted = Noted()
    for text in records["noted"].drop_null().to_pylist():
        about = json.loads(text)
        noted.unread.update(about["unread"])
        noted.left_out.update(about["left_out"])
    return _with_seconds(table, seconds + time.process_time() - started, _taken(noted))


def work(fragment: Fragment, part: int, last: bool, table: pa.Table, job: Job) -> ledger.Record:
    """Run the stages over one part, write kept and marked rows, commit; returns the record."""
    return finish(fragment, part, last, *begin(fragment, part, last, table, job), job)


def begin(
    fragment: Fragment, part: int, last: bool, table: pa.Table, job: Job
) -> tuple[pa.Table, ledger.Record]:
    """Run the stages that no pool runs; returns the rows and what is known of them so far."""
    entering = books.records(table)
    about = table.schema.metadata or {}
    read_seconds = float(about.get(READ_SECONDS, b"0"))
    noted = json.loads(about.get(NOTED, b'{"unread": [], "left_out": {}}'))
    table = table.replace_schema_metadata(None)
    state: ledger.Record = {
        "entering": entering,
        "unread": _nameable(noted["unread"]),
        "left_out": noted["left_out"],
        "content": _content_hash(table),
        "characters.in": books.lengths(table),
        "stages": {read_rows.NAME: books.timing(read_seconds, table)},
    }
    table = _through(job.stages[: job.pooled], table, state, job)
    process.settle()
    return table, state


def finish(
    fragment: Fragment, part: int, last: bool, table: pa.Table, state: ledger.Record, job: Job
) -> ledger.Record:
    """Run the other stages, write kept and marked rows, commit; returns the record."""
    recipe = job.recipe
    name = parts.part(fragment.ordinal, part)
    table = _through(job.stages[job.pooled :], table, state, job)
    audit = pii_audit.of(table)
    live = schema.live(table)
    kept = table if pc.all(live).as_py() else table.filter(live)  # which is a copy
    kept = kept.drop_columns([name for name in (*MARKS, "found", "changed") if name in kept.column_names])
    marked = table.filter(pc.invert(live))
    outputs = [write(recipe.output, f"prepared/part-{name}.parquet", kept)]
    if marked.num_rows:
        withhold = () if recipe.quarantine.text else unmasked([s.NAME for s in _modules(job.stages)])
        text = rejected(marked, withhold)
        outputs.append(write(recipe.output, f"rejected/part-{name}.parquet", text))
    changes = schema.changes(table)
    if changes.num_rows:
        outputs.append(write(recipe.output, f"changed/part-{name}.parquet", changes))
    entities = books.entities(table)
    record: ledger.Record = {
        "ordinal": fragment.ordinal,
        "part": part,
        "last": last,
        "key": job.keys[fragment.ordinal],
        "source": fragment.source,
        "content": state["content"],
        "rows": {"in": table.num_rows, "kept": kept.num_rows},
        "books": books.of(table),
        "bytes_lost": pc.sum(table["bytes_lost"]).as_py() or 0,
        "outputs": outputs,
        "stages": state["stages"],
        "histograms": {"characters.in": state["characters.in"], "characters.kept": books.lengths(kept)},
        "pii": entities,
        "traits": books.traits(kept),
        "changed": books.changed(changes, {"pii.masked": sum(entities.values())}),
        "audit": audit,
        "unread": state["unread"],
        "left_out": state["left_out"],
        "memory": process.peak(),
    }
    books.check(record["books"], state["entering"], f"{NAME} {name} of source {fragment.source!r}")
    ledger.commit(recipe.output, NAME, name, record)
    return record


def _nameable(unread: Sequence[str]) -> dict[str, Any]:
    """Columns that nobody looks at: names, and the number of those that are no names, or too many."""
    names = [name for name in unread if not paths.is_value(name)][:NAMED]
    return {"columns": names, "more": len(unread) - len(names)}


def _modules(names: Sequence[str]) -> list[ModuleType]:
    import importlib

    return [importlib.import_module(n) for n in names]


def placed(stages: Sequence[str], recipe: Recipe) -> list[tuple[ModuleType, Any]]:
    """Modules of `stages` with their configs; the recipe's own steps each after the stage that it names."""
    modules = _modules(stages)
    if steps not in modules or not recipe.steps.root:
        return [(module, getattr(recipe, module.NAME)) for module in modules]
    order: list[tuple[ModuleType, Any]] = [(steps, recipe.steps.of(read_rows.NAME))]
    for module in modules:
        if module is not steps:
            order += [(module, getattr(recipe, module.NAME)), (steps, recipe.steps.of(module.NAME))]
    return [(module, config) for module, config in order if module is not steps or config.root]


def _through(stages: Sequence[str], table: pa.Table, state: ledger.Record, job: Job) -> pa.Table:
    """`table` after these stages; what each took is added to `state`."""
    for stage, config in placed(stages, job.recipe):
        table, took = _timed(stage, table, config)
        before = state["stages"].get(stage.NAME)  # steps at several places are one stage
        state["stages"][stage.NAME] = (
            {**before, "seconds": before["seconds"] + took["seconds"]} if before else took
        )
    return table


def _timed(stage: ModuleType, table: pa.Table, config: Any) -> tuple[pa.Table, dict[str, float]]:
    """One stage over the table, with its CPU seconds and what entered it."""
    size = books.entering(table)
    started = time.process_time()
    after = isolated(stage, table, config)
    if not after["row_id"].equals(table["row_id"]):
        raise BooksError(f"stage {stage.NAME} changed the rows: {table.num_rows} in, {after.num_rows} out")
    return after.combine_chunks(), {**size, "seconds": time.process_time() - started}


def isolated(stage: ModuleType, table: pa.Table, config: Any) -> pa.Table:
    """`stage.apply`, with rows that make it raise set apart as quarantined.

    Raises: what the stage raised, where it raised on every one of `ROWS_AT_FAULT` rows or more (a
    part of fewer is quarantined whole, and the source's limit judges it).
    """
    try:
        return stage.apply(table, config)
    except (HeadraceError, MemoryError):
        raise
    except Exception as error:
        live = pc.sum(schema.live(table)).as_py() or 0
        if not live:  # it cannot be a row: none was looked at
            raise
        # The stage over no row at all gives the columns that it adds, also where every row breaks it.
        pieces = [stage.apply(table.slice(0, 0), config), _bisected(stage, table, config)]
        result = pa.concat_tables(pieces, promote_options="default")
        failed = pc.sum(pc.equal(result["error"], f"{stage.NAME}.error")).as_py()
        if failed == live >= ROWS_AT_FAULT:
            raise error
        return result


def _bisected(stage: ModuleType, table: pa.Table, config: Any) -> pa.Table:
    try:
        return stage.apply(table, config)
    except (HeadraceError, MemoryError):
        raise
    except Exception as error:  # noqa: BLE001 - whatever a row makes a stage raise
        if table.num_rows == 1:
            return schema.quarantine(table, [type(error).__name__], f"{stage.NAME}.error")
        pieces = [_bisected(stage, half, config) for half in _halves(table)]
        return pa.concat_tables(pieces, promote_options="default")


def _halves(table: pa.Table) -> tuple[pa.Table, pa.Table]:
    half = table.num_rows // 2
    return table.slice(0, half), table.slice(half)


def unmasked(stages: Sequence[str]) -> tuple[str, ...]:
    """The stages whose marked rows have not been masked: reading, and those of `stages` up to masking."""
    first = takewhile(lambda name: name != pii.NAME, stages)
    return (read_rows.NAME, *first, pii.NAME)


def rejected(marked: pa.Table, withhold: Sequence[str]) -> pa.Table:
    """Marked rows as they are kept in `rejected/`; text only as masked, or where it may be shown."""
    reason = pc.coalesce(marked["drop"], marked["error"])
    stage = pc.list_element(pc.split_pattern(reason, ".", max_splits=1), 0)
    hidden = pc.is_in(stage, pa.array(list(withhold), pa.string()))
    messages = pc.if_else(hidden, pa.scalar(None, schema.MESSAGES), marked["messages"])
    # Where the stage that masks paths broke, the path is what it was.
    file = pc.if_else(pc.equal(stage, pii.NAME), pa.scalar("(withheld)"), marked["file"])
    return pa.table(
        {
            **{c: marked[c] for c in ("row_id", "n_records", "source")},
            "file": file,
            "place": marked["place"],
            "stage": stage,
            "reason": marked["drop"],
            "error": marked["error"],
            "detail": marked["detail"],
            "bytes_lost": marked["bytes_lost"],
            "messages": messages,
        }
    )


def unmarked(table: pa.Table) -> pa.Table:
    """Rows of `prepared/` with the columns of marks, all empty."""
    for name in MARKS:
        nulls = pa.nulls(table.num_rows, schema.ROW.field(name).type)
        table = table.append_column(schema.ROW.field(name), nulls)
    return table


def write(run: str, relative: str, table: pa.Table, row_group: int | None = None) -> dict[str, Any]:
    """Write one output of a pass; returns what the commit record says of it."""
    hashes = [field.name for field in table.schema if field.type in (pa.uint64(), pa.list_(pa.uint64()))]
    size, digest = storage.write_table(storage.join(run, relative), table, row_group, hashes=hashes)
    return {"path": relative, "size": size, "xxh3": digest, "rows": table.num_rows}


def _content_hash(table: pa.Table) -> str:
    """Hash of what was read, for lineage: roles and contents with their lengths."""
    roles, rows, texts = schema.contents(table)
    digest = xxhash.xxh3_128()
    for array in (roles, texts):
        lengths = pc.binary_length(array).to_numpy(zero_copy_only=False)
        digest.update(np.nan_to_num(lengths).astype(np.int64).tobytes())
        for value in pa.chunked_array([array.cast(pa.large_binary())]).chunks:
            offsets = np.frombuffer(value.buffers()[1], np.int64)[
                value.offset : value.offset + len(value) + 1
            ]
            if value.buffers()[2] is not None and len(value):
                digest.update(memoryview(value.buffers()[2])[int(offsets[0]) : int(offsets[-1])])
    digest.update(rows.tobytes())
    return digest.hexdigest()
