"""Pass 2, seen from the driver: duplicates, clusters and sides over the whole run, then repeated passages."""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial

from headrace.cluster import ledger, session, storage, stream
from headrace.cluster.errors import GateError
from headrace.pipelines.console import Mode, say
from headrace.pipelines.examine.diversity import templates
from headrace.pipelines.passes import outputs, pack_worker, parts
from headrace.pipelines.passes.units import (
    Pass,
    Records,
    config_key,
    each_measured,
    resume,
    versions,
    workers,
)
from headrace.pipelines.recipe import learned_last
from headrace.pipelines.rundir import Run
from headrace.pipelines.schema import SPLITS
from headrace.pipelines.stages.dedup import against, passages
from headrace.pipelines.stages.dedup import stage as dedup
from headrace.pipelines.stages.dedup.config import Config
from headrace.pipelines.stages.dedup.steps import passages as passage_tasks
from headrace.pipelines.stages.dedup.steps import run as dedup_tasks
from headrace.pipelines.stages.split import assign as sides_of_rows
from headrace.pipelines.stages.split import stage as split

WHOLE = "all"  # the one unit of each of these passes: the run
LISTS = ("removed", "borderline", "sides", "joined", "clusters", "ordinals")
INDEX = "duplicates/index/"
ALARM = "dedup.alarm"
DEDUP = Pass(
    parts.DEDUP,
    number="run",
    unit=lambda record: WHOLE,
    outputs=(*(f"duplicates/{name}.parquet" for name in LISTS), f"duplicates/{templates.FILE}", INDEX),
    least=tuple(f"duplicates/{name}.parquet" for name in LISTS),
)
PASSAGES = Pass(
    parts.PASSAGES,
    number="run",
    unit=lambda record: WHOLE,
    outputs=("duplicates/passages/", "duplicates/cuts/"),
)


def deduplicate(run: Run, records: Sequence[ledger.Record], mode: Mode) -> ledger.Record:
    """Pass 2: decide duplicates and sides over the whole run; one commit record."""
    recipe = run.recipe
    order = {str(s.name): s.priority for s in recipe.sources}
    inputs = [[r["ordinal"], r["part"], r["outputs"][0]["xxh3"]] for r in records]
    corpora = against.opened(recipe.dedup.against, run.path, recipe.fingerprint.ngram)
    key = ledger.key(
        inputs,
        sorted(order.items()),
        [config_key(dedup, recipe.dedup), recipe.fingerprint.ngram],
        [c.mark for c in corpora],
        config_key(split, recipe.split),
        [recipe.seed, sorted(run.epochs.items())],
        *([last] if (last := learned_last(recipe)) else []),
        # Nothing where no source says its side.
        *([sorted(fixed.items())] if (fixed := fixed_sides(run, records)) else []),
        # Nor where no template counts.
        *([templates.VERSION] if recipe.split.by == "template" else []),
        versions(("pyarrow", "numba")),
    )
    work = partial(_deduplicated, run=run, records=records, corpora=corpora, key=key)
    (record,) = resume(run, DEDUP, {0: key}, work, sizes={0: 0}, mode=mode)
    # What pass 3 and the report read pieces of; the index is for `lookup`.
    outputs.require(run, [o for o in record["outputs"] if not o["path"].startswith(INDEX)], workers(run))
    return record


def _deduplicated(
    todo: Sequence[int],
    done: Mapping[int, Records],
    *,
    run: Run,
    records: Sequence[ledger.Record],
    corpora: Sequence[against.Corpus],
    key: str,
) -> Iterator[ledger.Record]:
    """The one record of the search for duplicates."""
    recipe = run.recipe
    outputs.require(run, [r["outputs"][0] for r in records if r["rows"]["kept"]], workers(run))
    ledger.forget(run.path, DEDUP.name)
    for stale in (INDEX, f"duplicates/{templates.FILE}"):  # an index of more files may have more shards
        storage.delete(storage.join(run.path, stale))
    paths, firsts, fixed = _kept_files(run, records), _firsts(run), fixed_sides(run, records)
    output = storage.join(run.path, "duplicates")
    spent: list[float] = []
    each = partial(each_measured, workers=workers(run), spent=spent)
    held = {ordinal: len(SPLITS) - 1 - side for ordinal, side in fixed.items() if side}
    report = dedup_tasks.run(
        paths,
        output,
        recipe.dedup,
        order={str(s.name): s.priority for s in recipe.sources},
        ngram=recipe.fingerprint.ngram,
        each=each,
        firsts=firsts,
        corpora=corpora,
        held=held,
        last=learned_last(recipe),
        each_table=partial(each, gpus=1) if _on_gpus(recipe.dedup) else None,
    )
    if recipe.split.by == "template":
        stop = firsts[1] if len(firsts) > 1 else 2**32
        first = sum(r["rows"]["kept"] for r in records if r["ordinal"] < stop)
        templates.run(paths, output, first=first, stop=stop, held=held, each=each)
    assign = partial(
        sides_of_rows.assign,
        config=recipe.split,
        seed=recipe.seed,
        rows=report["rows"],
        firsts=firsts,
        fixed=fixed,
        prepared=paths if recipe.split.bounded else (),
    )
    sides = next(each(assign, [output], name="split assign"))
    marks = next(iter(stream.each(pack_worker.marks, [run.path], workers=1, name="marks")))
    size = sum(r["stages"]["fingerprint"]["bytes"] for r in records)
    stages = {"dedup": {"seconds": sum(spent), "rows": report["rows"], "bytes": size}}
    described = outputs.described(run.path, DEDUP.outputs, workers(run))
    counts = {"rows": report["rows"], "removed": report["removed"], "outputs": described}
    record = {"run": 0, "key": key, "stages": stages, **counts}
    record |= {"report": report, "sides": sides, "marks": marks}
    ledger.commit(run.path, DEDUP.name, WHOLE, record)
    yield record


def fixed_sides(run: Run, records: Sequence[ledger.Record]) -> dict[int, int]:
    """Side (place in `SPLITS`) of the ordinals whose source says it."""
    named = {str(s.name): SPLITS.index(s.side) for s in run.recipe.sources if s.side}
    return {r["ordinal"]: named[r["source"]] for r in records if r["source"] in named}


def _on_gpus(config: Config) -> bool:
    """Whether tables of signatures are made on GPUs: `dedup.device`, as for sketching."""
    return config.device != "cpu" and session.gpus() > 0


def alarm(run: Run, duplicates: ledger.Record, mode: Mode) -> None:
    """Say which sources lost more than `dedup.alarm` of their rows as duplicates.

    Raises: GateError where the recipe asks for that.
    """
    config = run.recipe.dedup
    for name, count in duplicates["report"]["by_source"].items():
        share = count["removed"] / max(count["rows"], 1)
        if share <= config.alarm:
            continue
        text = (
            f"source {name!r} loses {count['removed']:,} of {count['rows']:,} rows ({share:.1%}) as "
            f"duplicates, over dedup.alarm {config.alarm:.1%}; `headrace duplicates {run.path}` shows them "
            "beside what stays"
        )
        if config.on_alarm == "stop":
            raise GateError(text + ". To go on, raise dedup.alarm or set dedup.on_alarm to warn").at(ALARM)
        say(mode, "warning", text, source=name, **count)


def _kept_files(run: Run, records: Sequence[ledger.Record]) -> list[str]:
    """Files of prepared/ that hold a row."""
    return [storage.join(run.path, r["outputs"][0]["path"]) for r in records if r["rows"]["kept"]]


def _firsts(run: Run) -> list[int]:
    """First ordinal of each plan, ascending."""
    plans = set(run.epochs.values())
    return sorted(min(o for o, n in run.epochs.items() if n == plan) for plan in plans)


def find_passages(
    run: Run, records: Sequence[ledger.Record], duplicates: ledger.Record, mode: Mode
) -> ledger.Record:
    """Pass 2, its last part: passages that many texts share, where the recipe asks for them.

    A record of its own, so that asking for it does not search for duplicates again.
    """
    config = run.recipe.dedup.passages
    if not config.enabled:
        _forget_passages(run)
        return {"report": None, "cuts": {}, "stages": {}}
    key = ledger.key(duplicates["key"], config_key(passages, config), versions(("pyarrow", "numba")))
    work = partial(_with_passages, run=run, records=records, key=key)
    (record,) = resume(run, PASSAGES, {0: key}, work, sizes={0: 0}, mode=mode)
    outputs.require(run, record["outputs"], workers(run))
    return record


def _with_passages(
    todo: Sequence[int],
    done: Mapping[int, Records],
    *,
    run: Run,
    records: Sequence[ledger.Record],
    key: str,
) -> Iterator[ledger.Record]:
    """The one record of the search for passages."""
    outputs.require(run, [r["outputs"][0] for r in records if r["rows"]["kept"]], workers(run))
    _forget_passages(run)
    spent: list[float] = []
    found = passage_tasks.run(
        _kept_files(run, records),
        storage.join(run.path, "duplicates"),
        run.recipe.dedup.passages,
        order={str(s.name): s.priority for s in run.recipe.sources},
        each=partial(each_measured, workers=workers(run), spent=spent),
        firsts=_firsts(run),
    )
    stages = {"passages": {"seconds": sum(spent), **found["read"]}}
    described = outputs.described(run.path, PASSAGES.outputs, workers(run))
    counts = {"rows": found["read"]["rows"], "outputs": described}
    record = {"run": 0, "key": key, "stages": stages, **counts}
    record |= {"report": found["report"], "cuts": found["cuts"]}
    ledger.commit(run.path, PASSAGES.name, WHOLE, record)
    yield record


def _forget_passages(run: Run) -> None:
    """Remove what an earlier start found, its record first."""
    ledger.forget(run.path, PASSAGES.name)
    for folder in ("passages", "cuts"):
        storage.delete(storage.join(run.path, "duplicates", folder))
