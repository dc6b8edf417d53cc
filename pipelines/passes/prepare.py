"""Pass 1, seen from the driver: every fragment through the row stages, then every source's quarantine."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from importlib import import_module
from types import ModuleType
from typing import Any

import pyarrow.compute as pc

from headrace.cluster import fragments, ledger, storage, stream
from headrace.cluster.errors import QuarantineError
from headrace.pipelines import books
from headrace.pipelines.console import Mode
from headrace.pipelines.passes import parts, pools, prepare_worker, units
from headrace.pipelines.recipe import Recipe
from headrace.pipelines.rundir import Run
from headrace.pipelines.stages import reasons
from headrace.pipelines.stages.pii import coverage as pii_coverage
from headrace.pipelines.stages.read import grouping
from headrace.pipelines.stages.read import rows as read_rows
from headrace.pipelines.stages.read.records import MEMORY_LIMIT
from headrace.pipelines.stages.read.source import Source
from headrace.pipelines.stages.traits import models as traits_models

NAMED = 3  # details and files of a cause that are named


def prepare(run: Run, stages: Sequence[str], mode: Mode) -> list[ledger.Record]:
    """Pass 1: every fragment through the row stages. Returns the commit records in order.

    stages: names of their modules, in the order of the flow.
    """
    modules = [import_module(name) for name in stages]
    recipe = _loaded(run.recipe)
    keys = _keys(run, recipe, modules)
    pooled = pools.first_stage(recipe, [m.NAME for m in modules])
    job = prepare_worker.Job(recipe, tuple(stages), keys, pooled)
    sizes = {f.ordinal: f.bytes for f in run.fragments}
    return units.resume(run, PASS, keys, partial(_work, run=run, job=job), sizes=sizes, mode=mode)


def _complete(records: units.Records) -> bool:
    """Whether parts 0 to the last are all there."""
    ends = [r["part"] for r in records.values() if r["last"]]
    return bool(ends) and {r["part"] for r in records.values()} >= set(range(ends[0] + 1))


PASS = units.Pass(
    parts.PREPARE,
    number="ordinal",
    unit=lambda record: parts.part(record["ordinal"], record["part"]),
    complete=_complete,
    outputs=("prepared/", "rejected/part-", "changed/part-"),
)


def _loaded(recipe: Recipe) -> Recipe:
    """The recipe with what its stages read from files of their own: no worker has to find them."""
    return recipe.model_copy(update={"clean": recipe.clean.loaded(), "steps": recipe.steps.loaded()})


def _keys(run: Run, recipe: Recipe, stages: Sequence[ModuleType]) -> dict[int, str]:
    """Pass key of each fragment: what it is, how it is read, every stage's version and config."""
    readings = {
        s.name: s.model_dump(mode="json", exclude=_not_in_key(s))
        | ({"grouping": grouping.VERSION} if s.group_by else {})
        | ({"dates": s.dates} if recipe.clean.by_source and s.dates in ("dmy", "mdy") else {})
        for s in recipe.sources
    }
    common = ledger.key(
        [read_rows.VERSION, recipe.fragment_size, recipe.seed, recipe.quarantine.text],
        [units.config_key(m, getattr(recipe, m.NAME)) for m in stages],
        pii_coverage.model_digest(recipe.pii),
        [recipe.clean.digests(), recipe.steps.digests()],
        traits_models.digest(recipe.traits),
        [m.versions() for m in stages if hasattr(m, "versions")],
        units.versions(units.PREPARE_LIBRARIES),
        recipe.pii.secret_digest if recipe.pii.enabled else "",
    )
    return {f.ordinal: ledger.key(f.identity, readings[f.source], common) for f in run.fragments}


def _not_in_key(source: Source) -> set[str]:
    """What says nothing of how a source is read; its memory where that is the default."""
    changed = source.memory != MEMORY_LIMIT
    return {
        "path",
        "dates",
        "weight",
        "weights",
        "licence",
        "priority",
        "loss",
        "side",
        *(() if changed else ("memory",)),
    }


def _work(
    todo: Sequence[int], done: Mapping[int, units.Records], *, run: Run, job: prepare_worker.Job
) -> Iterator[ledger.Record]:
    """Records of some fragments, as they are done."""
    recipe, wanted, workers = run.recipe, set(todo), units.workers(run)
    chosen = [f for f in run.fragments if f.ordinal in wanted]
    parts = {ordinal: sorted(r["part"] for r in done[ordinal].values()) for ordinal in todo}
    alone = [(f, parts[f.ordinal]) for f in chosen if f.kind != "grouped"]
    read, work = partial(prepare_worker.read, job=job), partial(prepare_worker.work, job=job)
    yield from stream.fragments(
        alone, read, work, workers=workers, pool=pools.pool(recipe, job, prepare_worker.begin)
    )
    for name in sorted({f.source for f in chosen if f.kind == "grouped"}):
        buckets = [f for f in chosen if f.kind == "grouped" and f.source == name]
        yield from stream.grouped(
            fragments.inputs(buckets[0]),
            buckets,
            partial(prepare_worker.read_grouped, job=job),
            partial(prepare_worker.work_grouped, job=job),
            workers=workers,
            pool=pools.pool(recipe, job, prepare_worker.begin_grouped),
        )


def judge_quarantine(run: Run, rows: Sequence[ledger.Record], windows: Sequence[ledger.Record] = ()) -> None:
    """Hold what was quarantined of each source, in passes 1 and 3, against `quarantine.limit`.

    Raises: QuarantineError.
    """
    limit = run.recipe.quarantine.limit
    for source in run.recipe.sources:
        name = str(source.name)
        first = books.total(r["books"] for r in rows if r["source"] == name)
        later = books.total(r["by_source"][name] for r in windows if name in r["by_source"])
        causes = books.add_counts([first["quarantined"], later["quarantined"]])
        bad = sum(causes.values())
        if first["in"] and bad / first["in"] > limit:
            raise QuarantineError(
                f"source {name!r}: {bad:,} of {first['in']:,} records ({bad / first['in']:.1%}) could not be "
                f"used, over quarantine.limit {limit:.1%}:\n"
                f"{causes_in_words(run, source, causes)}\n"
                f"`headrace rejected {run.path} --source {name}` shows them; mend the source or the "
                "recipe, or "
                "raise quarantine.limit"
            ).at("quarantine.limit")


def causes_in_words(run: Run, source: Source, causes: Mapping[str, int]) -> str:
    """A line a cause: how many records, what was wrong with them, in which files, and what to write
    instead.
    """
    look = partial(_details, run=run.path, source=str(source.name))
    seen: dict[str, Any] = next(iter(stream.each(look, [sorted(causes)], workers=1, name="causes")))
    lines = []
    for cause, count in sorted(causes.items(), key=lambda pair: (-pair[1], pair[0])):
        about = seen.get(cause, {"details": [], "files": [], "more": 0})
        what = f": {'; '.join(about['details'])}" if about["details"] else ""
        more = f" and {about['more']:,} more" if about["more"] else ""
        where = f" (in {', '.join(about['files'])}{more})" if about["files"] else ""
        hint = reasons.remedy(cause)
        lines.append(f"  {count:,} {cause}{what}{where}" + (f"\n    {hint}" if hint else ""))
    return "\n".join(lines)


def _details(causes: Sequence[str], run: str, source: str) -> dict[str, dict[str, Any]]:
    """Of each cause the details that are said of its rows and the files that they stand in, the most
    first.
    """
    details: dict[str, Counter[str]] = {cause: Counter() for cause in causes}
    files: dict[str, Counter[str]] = {cause: Counter() for cause in causes}
    for entry in storage.listing(storage.join(run, "rejected")):
        table = storage.read_table(entry.path, ["source", "file", "error", "detail"])
        table = table.filter(pc.and_(pc.equal(table["source"], source), pc.is_valid(table["error"])))
        for cause, file, detail in zip(
            *(table[c].to_pylist() for c in ("error", "file", "detail")), strict=True
        ):
            if cause in details:
                files[cause][file] += 1
                details[cause][detail or ""] += 1
    return {
        cause: {
            "details": [text for text, _ in details[cause].most_common(NAMED) if text],
            "files": [name for name, _ in files[cause].most_common(NAMED)],
            "more": max(0, len(files[cause]) - NAMED),
        }
        for cause in causes
    }
