"""The three passes of `prepare`, seen from the driver: leave out what is done, run the rest, balance.

The driver holds one small record a part, never a row. Every pass ends the same way: the records
of all its units are there, their books balance with what the pass before kept, and outputs that
no live record names are removed.
"""

import importlib.metadata
import platform
import time
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache, partial
from types import ModuleType
from typing import Any

from headrace import kernels
from headrace.cluster import fragments, ledger, session, storage, stream
from headrace.cluster.errors import BooksError, GateError, QuarantineError
from headrace.cluster.fragments import Fragment
from headrace.cluster.metrics import Recorder
from headrace.pipelines import books
from headrace.pipelines.console import Mode, Progress, say
from headrace.pipelines.passes import pack_worker as packed
from headrace.pipelines.passes import pools
from headrace.pipelines.passes import prepare_worker as prepared
from headrace.pipelines.rundir import Run
from headrace.pipelines.stages import pack as packing
from headrace.pipelines.stages import split
from headrace.pipelines.stages.dedup import against, passages
from headrace.pipelines.stages.dedup import stage as dedup
from headrace.pipelines.stages.dedup.steps import passages as passage_tasks
from headrace.pipelines.stages.dedup.steps import run as dedup_tasks
from headrace.pipelines.stages.pii import coverage as pii_coverage
from headrace.pipelines.stages.read import rows as reading
from headrace.pipelines.stages.tokenise import stage as tokenise

# Libraries whose version can change the bytes of a pass.
PREPARE_LIBRARIES = ("ftfy", "presidio-analyzer", "phonenumbers", "spacy", "tldextract", "pyarrow")
# Keys of a stage that do not say what it writes: where it runs, where a model lies that is hashed, what a
# later look at the outcome leads to.
PLACES: dict[str, Any] = {"ner": {"model", "actors", "gpus"}, "gate": True, "key": True}
PACK_LIBRARIES = ("tokenizers", "gigatoken", "transformers", "jinja2", "pyarrow")


def workers(run: Run) -> int:
    """Most tasks at once."""
    return run.recipe.workers or session.cpus()


@cache
def versions(libraries: tuple[str, ...]) -> dict[str, str]:
    """Installed versions, with Python's and Unicode's."""
    found = {name: importlib.metadata.version(name) for name in libraries}
    return {**found, "python": platform.python_version(), "unicode": unicodedata.unidata_version}


def prepare(run: Run, stages: Sequence[ModuleType], mode: Mode) -> list[ledger.Record]:
    """Pass 1: every fragment through the row stages. Returns the commit records in order.

    Raises: QuarantineError after the pass, where a source has more bad records than allowed.
    """
    recipe = run.recipe
    keys = _prepare_keys(run, stages)
    modules = tuple(m.__name__ for m in stages)
    job = prepared.Job(recipe, modules, keys, pools.cut(recipe, [m.NAME for m in stages]))
    held = _current(ledger.load(run.path, prepared.NAME), keys)
    todo = [f for f in run.fragments if not _complete(held.get(f.ordinal, {}))]
    _say_skipped(mode, prepared.NAME, len(run.fragments) - len(todo), len(run.fragments))
    metrics = Recorder()
    sizes = {f.ordinal: f.bytes for f in todo}
    with Progress(prepared.NAME, sum(sizes.values()), len(todo), mode if todo else "quiet") as bar:
        for record in _prepare(run, todo, job, held):
            parts = held.setdefault(record["ordinal"], {})
            parts[record["part"]] = record
            whole = _complete(parts)
            _tell(bar, metrics, record, sizes[record["ordinal"]] if whole else 0, int(whole))
            metrics.units(prepared.NAME, len(run.fragments) - len(todo) + bar.fragments, len(run.fragments))
    records = [held[f.ordinal][p] for f in run.fragments for p in _parts(held[f.ordinal], f)]
    _finish(run, prepared.NAME, {prepared.unit(r["ordinal"], r["part"]): r for r in records})
    _judge_quarantine(run, records)
    return records


def _prepare_keys(run: Run, stages: Sequence[ModuleType]) -> dict[int, str]:
    """Pass key of each fragment: what it is, how it is read, every stage's version and config."""
    recipe = run.recipe
    readings = {
        s.name: s.model_dump(mode="json", exclude={"path", "weight", "priority", "loss"})
        for s in recipe.sources
    }
    configs = [[m.NAME, m.VERSION, getattr(recipe, m.NAME)] for m in stages]
    common = ledger.key(
        [reading.VERSION, recipe.fragment_size, recipe.seed, recipe.quarantine.text],
        [[name, number, c.model_dump(mode="json", exclude=PLACES)] for name, number, c in configs],
        pii_coverage.mark(recipe.pii),
        [m.versions() for m in stages if hasattr(m, "versions")],
        versions(PREPARE_LIBRARIES),
        recipe.pii.secret_mark if recipe.pii.enabled else "",
    )
    return {f.ordinal: ledger.key(f.identity, readings[f.source], common) for f in run.fragments}


def _current(records: dict[str, ledger.Record], keys: dict[int, str]) -> dict[int, dict[int, ledger.Record]]:
    """Records by ordinal and part that were made with today's key."""
    held: dict[int, dict[int, ledger.Record]] = {}
    for record in records.values():
        if keys.get(record["ordinal"]) == record["key"]:
            held.setdefault(record["ordinal"], {})[record["part"]] = record
    return held


def _complete(parts: dict[int, ledger.Record]) -> bool:
    """Whether parts 0 to the last are all there."""
    ends = [p for p, r in parts.items() if r["last"]]
    return bool(ends) and all(p in parts for p in range(ends[0] + 1))


def _parts(parts: dict[int, ledger.Record], fragment: Fragment) -> list[int]:
    if not _complete(parts):
        raise BooksError(
            f"pass {prepared.NAME}: fragment {fragment.ordinal} has parts that were not committed"
        )
    return sorted(parts)


def _prepare(
    run: Run, todo: list[Fragment], job: prepared.Job, held: dict[int, dict[int, ledger.Record]]
) -> Any:
    """Records of the fragments in `todo`, as they are done."""
    recipe = run.recipe
    alone = [(f, sorted(held.get(f.ordinal, {}))) for f in todo if f.kind != "grouped"]
    read, work = partial(prepared.read, job=job), partial(prepared.work, job=job)
    yield from stream.fragments(
        alone, read, work, workers=workers(run), pool=pools.pool(recipe, job, prepared.begin)
    )
    for name in sorted({f.source for f in todo if f.kind == "grouped"}):
        buckets = [f for f in todo if f.kind == "grouped" and f.source == name]
        yield from stream.grouped(
            fragments.inputs(buckets[0]),
            buckets,
            partial(prepared.read_grouped, job=job),
            partial(prepared.work_grouped, job=job),
            workers=workers(run),
            pool=pools.pool(recipe, job, prepared.begin_grouped),
        )


def _say_skipped(mode: Mode, name: str, done: int, units: int) -> None:
    if done:
        say(mode, "resumed", f"{name}: {done} of {units} units were done before", done=done, units=units)


def _tell(bar: Progress, metrics: Recorder, record: ledger.Record, size: int, fragments: int) -> None:
    """Show and count one commit; `size` is the stored bytes that it finished, `fragments` its units."""
    book = record["books"]
    counts = {
        "kept": book["kept"],
        "dropped": sum(book["dropped"].values()),
        "quarantined": sum(book["quarantined"].values()),
    }
    bar.update(rows=book["in"], bytes=size, fragments=fragments, **counts)
    entered = next(iter(record["stages"].values()))["bytes"]
    metrics.commit(bar.pass_name, **counts, bytes=int(entered), stages=record["stages"])


def _finish(run: Run, name: str, live: dict[str, ledger.Record]) -> None:
    """Compact the ledger and remove outputs that no live record names."""
    ledger.compact(run.path, name, live)
    named = {o["path"] for r in live.values() for o in r["outputs"]}
    prefixes = ("packed/", "rejected/pack-") if name == packed.NAME else ("prepared/", "rejected/part-")
    for folder in sorted({p.split("/")[0] for p in prefixes}):
        for entry in storage.listing(storage.join(run.path, folder)):
            relative = folder + entry.path.rpartition(f"/{folder}")[2]
            if relative.startswith(prefixes) and relative not in named:
                storage.delete(entry.path)


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


def deduplicate(run: Run, records: Sequence[ledger.Record], mode: Mode) -> ledger.Record:
    """Pass 2: decide duplicates and sides over the whole run; one commit record."""
    recipe = run.recipe
    order = {str(s.name): s.priority for s in recipe.sources}
    inputs = [[r["ordinal"], r["part"], r["outputs"][0]["xxh3"]] for r in records]
    corpora = against.opened(recipe.dedup.against, run.path, recipe.fingerprint.ngram)
    judging = {"alarm", "on_alarm", "device"}  # these change what is said and where, not what goes
    key = ledger.key(
        inputs,
        sorted(order.items()),
        [
            dedup.VERSION,
            recipe.dedup.model_dump(mode="json", exclude=judging | {"passages"}),
            recipe.fingerprint.ngram,
        ],
        [c.mark for c in corpora],
        [split.VERSION, recipe.split.model_dump(mode="json")],
        [recipe.seed, sorted(run.epochs.items())],
        versions(("pyarrow", "numba")),
    )
    held = ledger.load(run.path, "dedup").get("all")
    if held is not None and held["key"] == key:
        _say_skipped(mode, "dedup", 1, 1)
        return held
    paths, firsts = _kept_files(run, records), _firsts(run)
    output = storage.join(run.path, "duplicates")
    with Progress("dedup", 0, 0, mode) as bar:
        spent: list[float] = []
        each = partial(_each, workers=workers(run), spent=spent)
        ngram = recipe.fingerprint.ngram
        report = dedup_tasks.run(
            paths,
            output,
            recipe.dedup,
            order=order,
            ngram=ngram,
            each=each,
            firsts=firsts,
            corpora=corpora,
        )
        assign = partial(
            split.assign, config=recipe.split, seed=recipe.seed, rows=report["rows"], firsts=firsts
        )
        sides = next(each(assign, [output], name="split assign"))
        gone = report["removed"]
        bar.update(rows=report["rows"], kept=report["rows"] - gone, dropped=gone)
    marks = next(iter(stream.each(packed.marks, [run.path], workers=1, name="marks")))
    size = sum(r["stages"]["fingerprint"]["bytes"] for r in records)
    stages = {"dedup": {"seconds": sum(spent), "rows": report["rows"], "bytes": size}}
    record = {"key": key, "stages": stages, "report": report, "sides": sides, "marks": marks}
    ledger.commit(run.path, "dedup", "all", record)
    return record


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
            raise GateError(text + ". To go on, raise dedup.alarm or set dedup.on_alarm to warn")
        say(mode, "warning", text, source=name, **count)


def _each(
    function: Callable[[Any], Any], items: Iterable[Any], *, name: str, workers: int, spent: list[float]
) -> Iterator[Any]:
    """`stream.each`, adding the CPU seconds of every task to `spent`."""
    for result, seconds in stream.each(partial(_measured, function), items, workers=workers, name=name):
        spent.append(seconds)
        yield result


def _measured(function: Callable[[Any], Any], item: Any) -> tuple[Any, float]:
    kernels.warm()  # compilation is no work of the pass
    started = time.process_time()
    return function(item), time.process_time() - started


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
    held = ledger.load(run.path, "dedup").get("passages")
    asked = config.model_dump(mode="json", exclude={"enabled", "action"})
    key = ledger.key(duplicates["key"], [passages.VERSION, asked], versions(("pyarrow", "numba")))
    if config.enabled and held is not None and held["key"] == key:
        _say_skipped(mode, "passages", 1, 1)
        return held
    output = storage.join(run.path, "duplicates")
    if held is not None:  # first, for what it says of the files is true no more
        storage.delete(storage.join(run.path, ledger.FOLDER, "dedup", "passages.json"))
        for folder in ("passages", "cuts"):
            storage.delete(storage.join(output, folder))
    if not config.enabled:
        return {"report": None, "cuts": {}, "stages": {}}
    order = {str(s.name): s.priority for s in run.recipe.sources}
    with Progress("passages", 0, 0, mode) as bar:
        spent: list[float] = []
        each = partial(_each, workers=workers(run), spent=spent)
        found = passage_tasks.run(
            _kept_files(run, records), output, config, order=order, each=each, firsts=_firsts(run)
        )
        bar.update(rows=found["read"]["rows"], kept=found["read"]["rows"])
    stages = {"passages": {"seconds": sum(spent), **found["read"]}}
    record = {"key": key, "stages": stages, "report": found["report"], "cuts": found["cuts"]}
    ledger.commit(run.path, "dedup", "passages", record)
    return record


def pack(
    run: Run,
    records: Sequence[ledger.Record],
    duplicates: ledger.Record,
    shared: ledger.Record,
    mode: Mode,
) -> list[ledger.Record]:
    """Pass 3: every window tokenised and packed. Returns the commit records in order.

    Raises: BooksError where the pass did not take in what pass 1 kept.
    """
    recipe = run.recipe
    cut = packed.windows(records, run.epochs, recipe.pack.window)
    by_unit = {prepared.unit(r["ordinal"], r["part"]): r for r in records}
    tokenizer = tokenise.tokenizer(recipe.model, recipe.tokenise)
    cuts = packed.cuts(recipe, shared)
    keys = {w.number: _pack_key(run, w, by_unit, duplicates, cuts, tokenizer.fingerprint) for w in cut}
    held = {
        r["window"]: r
        for r in ledger.load(run.path, packed.NAME).values()
        if keys.get(r["window"]) == r["key"]
    }
    sizes = {w.number: sum(by_unit[u]["outputs"][0]["size"] for u in w.units) for w in cut}
    todo = [w for w in cut if w.number not in held]
    _say_skipped(mode, packed.NAME, len(held), len(cut))
    metrics = Recorder()
    total = sum(sizes[w.number] for w in todo)
    with Progress(packed.NAME, total, len(todo), mode if todo else "quiet") as bar:
        job = packed.Job(recipe, keys, frozenset(cuts))
        for record in stream.each(
            partial(packed.work, job=job), todo, workers=workers(run), name=packed.NAME
        ):
            held[record["window"]] = record
            _tell(bar, metrics, record, sizes[record["window"]], 1)
            metrics.units(packed.NAME, len(held), len(cut))
    done = [held[w.number] for w in cut]
    kept = books.total(r["books"] for r in records)["kept"]
    books.check(books.total(r["books"] for r in done), kept, f"pass {packed.NAME}")
    _finish(run, packed.NAME, {w.unit: held[w.number] for w in cut})
    return done


def _pack_key(
    run: Run,
    window: packed.Window,
    by_unit: dict[str, ledger.Record],
    duplicates: ledger.Record,
    cuts: dict[str, str],
    fingerprint: str,
) -> str:
    recipe = run.recipe
    marks = duplicates["marks"]
    touched = range(window.first, window.last + 1)
    cut = [[u, cuts[u]] for u in window.units if u in cuts]
    return ledger.key(
        [[u, by_unit[u]["outputs"][0]["xxh3"]] for u in window.units],
        [[name, o, by_ordinal.get(str(o))] for name, by_ordinal in sorted(marks.items()) for o in touched],
        [split.VERSION, recipe.split.model_dump(mode="json")],
        [tokenise.VERSION, recipe.tokenise.model_dump(mode="json"), fingerprint],
        [packing.VERSION, recipe.pack.model_dump(mode="json")],
        sorted((str(s.name), s.loss) for s in recipe.sources),
        recipe.seed,
        versions(PACK_LIBRARIES),
        # Nothing at all where nothing is cut: such a window is as if passages had never been looked for.
        *([[passages.VERSION, cut]] if cut else []),
    )
