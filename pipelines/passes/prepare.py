"""Pass 1, seen from the driver: every fragment through the row stages, then every source's quarantine."""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from importlib import import_module
from types import ModuleType

from headrace.cluster import fragments, ledger, storage, stream
from headrace.cluster.errors import QuarantineError
from headrace.pipelines import books
from headrace.pipelines.console import Mode
from headrace.pipelines.passes import parts, pools, prepare_worker, units
from headrace.pipelines.rundir import Run
from headrace.pipelines.stages.pii import coverage as pii_coverage
from headrace.pipelines.stages.read import rows as read_rows


def prepare(run: Run, stages: Sequence[str], mode: Mode) -> list[ledger.Record]:
    """Pass 1: every fragment through the row stages. Returns the commit records in order.

    stages: names of their modules, in the order of the flow.

    Raises: QuarantineError after the pass, where a source has more bad records than allowed.
    """
    modules = [import_module(name) for name in stages]
    keys = _keys(run, modules)
    pooled = pools.first_stage(run.recipe, [m.NAME for m in modules])
    job = prepare_worker.Job(run.recipe, tuple(stages), keys, pooled)
    sizes = {f.ordinal: f.bytes for f in run.fragments}
    records = units.resume(run, PASS, keys, partial(_work, run=run, job=job), sizes=sizes, mode=mode)
    _judge_quarantine(run, records)
    return records


def _complete(records: units.Records) -> bool:
    """Whether parts 0 to the last are all there."""
    ends = [r["part"] for r in records.values() if r["last"]]
    return bool(ends) and {r["part"] for r in records.values()} >= set(range(ends[0] + 1))


PASS = units.Pass(
    parts.PREPARE,
    number="ordinal",
    unit=lambda record: parts.part(record["ordinal"], record["part"]),
    complete=_complete,
    outputs=("prepared/", "rejected/part-"),
)


def _keys(run: Run, stages: Sequence[ModuleType]) -> dict[int, str]:
    """Pass key of each fragment: what it is, how it is read, every stage's version and config."""
    recipe = run.recipe
    readings = {
        s.name: s.model_dump(mode="json", exclude={"path", "weight", "priority", "loss"})
        for s in recipe.sources
    }
    common = ledger.key(
        [read_rows.VERSION, recipe.fragment_size, recipe.seed, recipe.quarantine.text],
        [units.config_key(m, getattr(recipe, m.NAME)) for m in stages],
        pii_coverage.model_digest(recipe.pii),
        [m.versions() for m in stages if hasattr(m, "versions")],
        units.versions(units.PREPARE_LIBRARIES),
        recipe.pii.secret_digest if recipe.pii.enabled else "",
    )
    return {f.ordinal: ledger.key(f.identity, readings[f.source], common) for f in run.fragments}


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


def _judge_quarantine(run: Run, records: Sequence[ledger.Record]) -> None:
    limit = run.recipe.quarantine.limit
    for source in run.recipe.sources:
        book = books.total(r["books"] for r in records if r["source"] == source.name)
        bad = sum(book["quarantined"].values())
        if book["in"] and bad / book["in"] > limit:
            reasons = ", ".join(f"{n} {why}" for why, n in book["quarantined"].items())
            raise QuarantineError(
                f"source {source.name!r}: {bad} of {book['in']} records ({bad / book['in']:.1%}) could not "
                f"be read ({reasons}), over quarantine.limit {limit:.1%}. Each is listed in "
                f"{storage.join(run.path, 'rejected')}; mend the source, or raise quarantine.limit"
            )
