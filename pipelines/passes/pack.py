"""Pass 3, seen from the driver: every window tokenised and packed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from headrace.cluster import here, ledger
from headrace.pipelines import books
from headrace.pipelines.console import Mode, say
from headrace.pipelines.passes import pack_worker, parts, units
from headrace.pipelines.rundir import Run
from headrace.pipelines.stages.dedup import passages
from headrace.pipelines.stages.pack import stage as pack_stage
from headrace.pipelines.stages.split import stage as split
from headrace.pipelines.stages.tokenise import stage as tokenise

PASS = units.Pass(
    parts.PACK,
    number="window",
    unit=lambda record: parts.window(record["window"]),
    outputs=("packed/", "rejected/pack-", "changed/pack-"),
)


def look(run: Run, mode: Mode) -> None:
    """Load the tokenizer in a task and say what it is, before any row is read.

    Not in the driver, which has no use for one; the worker that loads it will.

    Raises: ModelError.
    """
    seen = here.once(partial(pack_worker.look, recipe=run.recipe), name="tokenizer")
    say(mode, "tokenizer", seen.text, engine=seen.engine, vocabulary=seen.vocabulary)


def settle(run: Run, records: Sequence[ledger.Record]) -> pack_worker.Tokens:
    """What is true of the run's tokenizer for all workers (see `proof`), from the first rows of each source.

    Raises: ModelError, DamagedError.
    """
    first: dict[str, tuple[str, str | None]] = {}
    for record in records:
        if record["books"]["kept"]:
            output = record["outputs"][0]
            first.setdefault(record["source"], (output["path"], output.get("xxh3")))
    settled = partial(pack_worker.settle, first=list(first.values()), recipe=run.recipe)
    return here.once(settled, name="tokenizer")


@dataclass(frozen=True)
class Planned:
    """What there is to pack: windows, the key of each, the stored bytes that it reads, and the job."""

    windows: dict[int, parts.Window]
    keys: dict[int, str]
    sizes: dict[int, int]
    job: pack_worker.Job


def plan(
    run: Run,
    records: Sequence[ledger.Record],
    duplicates: ledger.Record,
    shared: ledger.Record,
    examined: Mapping[str, Mapping[str, str]],
    tokens: pack_worker.Tokens,
) -> Planned:
    """What pass 3 is to do, without a draw of pools (`passes.mix`).

    examined: the examiner's checks by which rows go, each with a hash of those of each ordinal.
    """
    recipe = run.recipe
    windows = {w.number: w for w in parts.windows(records, run.epochs, recipe.pack.window)}
    by_unit = {parts.part(r["ordinal"], r["part"]): r for r in records}
    cuts = pack_worker.cuts(recipe, shared)
    keys = {n: _key(run, w, by_unit, duplicates, examined, cuts, tokens) for n, w in windows.items()}
    sizes = {n: sum(by_unit[u]["outputs"][0]["size"] for u in w.units) for n, w in windows.items()}
    bounds = duplicates["sides"].get("bounds")
    job = pack_worker.Job(recipe, keys, frozenset(cuts), tokens.proof, tuple(examined), bounds)
    return Planned(windows, keys, sizes, job)


def pack(
    run: Run,
    records: Sequence[ledger.Record],
    planned: Planned,
    mode: Mode,
    below: Mapping[str, int | None] | None = None,
) -> list[ledger.Record]:
    """Pass 3: every window tokenised and packed. Returns the commit records in order.

    below: what rows of pools are drawn by, by source (`stages.split.draw`).

    Raises: BooksError where the pass did not take in what pass 1 kept.
    """
    keys, job = planned.keys, planned.job
    if below:
        keys = {n: ledger.key(key, parts.MIX, sorted(below.items())) for n, key in keys.items()}
        job = replace(job, keys=keys, below=below)
    work = units.tasks(run, PASS, partial(pack_worker.work, job=job), planned.windows)
    done = units.resume(run, PASS, keys, work, sizes=planned.sizes, mode=mode)
    kept = books.total(r["books"] for r in records)["kept"]
    books.check(books.total(r["books"] for r in done), kept, f"pass {parts.PACK}")
    return done


def _key(
    run: Run,
    window: parts.Window,
    by_unit: dict[str, ledger.Record],
    duplicates: ledger.Record,
    examined: Mapping[str, Mapping[str, str]],
    cuts: dict[str, str],
    tokens: pack_worker.Tokens,
) -> str:
    recipe = run.recipe
    marks = duplicates["marks"]
    touched = range(window.first, window.last + 1)
    gone = [[name, o, of[str(o)]] for name, of in examined.items() for o in touched if str(o) in of]
    cut = [[u, cuts[u]] for u in window.units if u in cuts]
    return ledger.key(
        [[u, by_unit[u]["outputs"][0]["xxh3"]] for u in window.units],
        [[name, o, by_ordinal.get(str(o))] for name, by_ordinal in sorted(marks.items()) for o in touched],
        units.config_key(split, recipe.split),
        [*units.config_key(tokenise, recipe.tokenise), tokens.fingerprint],
        units.config_key(pack_stage, recipe.pack),
        sorted((str(s.name), s.loss) for s in recipe.sources),
        recipe.seed,
        units.versions(units.PACK_LIBRARIES),
        # Nothing at all where nothing is cut: such a window is as if passages had never been looked for.
        *([[passages.VERSION, cut]] if cut else []),
        # Nor where no source says its side, and shares say where sides begin.
        *([fixed] if (fixed := sorted((str(s.name), s.side) for s in recipe.sources if s.side)) else []),
        *([bounds] if (bounds := duplicates["sides"].get("bounds")) else []),
        # Nor where no source weighs rows by their traits.
        *(
            [weights]
            if (weights := sorted((str(s.name), s.weights) for s in recipe.sources if s.weights))
            else []
        ),
        # Nor where no row goes by a check.
        *([["examine", gone]] if gone else []),
        # Nothing where the proof found nothing.
        *([[tokens.proof.engine, tokens.proof.checked]] if tokens.proof.reason else []),
    )
