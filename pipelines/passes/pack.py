"""Pass 3, seen from the driver: every window tokenised and packed."""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial

from headrace.cluster import ledger, stream
from headrace.pipelines import books
from headrace.pipelines.console import Mode
from headrace.pipelines.passes import pack_worker as packed
from headrace.pipelines.passes import parts, units
from headrace.pipelines.rundir import Run
from headrace.pipelines.stages.dedup import passages
from headrace.pipelines.stages.pack import stage as packing
from headrace.pipelines.stages.split import stage as split
from headrace.pipelines.stages.tokenise import stage as tokenise

PASS = units.Pass(
    packed.NAME,
    number="window",
    unit=lambda record: parts.window(record["window"]),
    outputs=("packed/", "rejected/pack-"),
)


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
    cut = parts.windows(records, run.epochs, recipe.pack.window)
    by_unit = {parts.part(r["ordinal"], r["part"]): r for r in records}
    tokenizer = tokenise.tokenizer(recipe.model, recipe.tokenise)
    cuts = packed.cuts(recipe, shared)
    keys = {w.number: _pack_key(run, w, by_unit, duplicates, cuts, tokenizer.fingerprint) for w in cut}
    sizes = {w.number: sum(by_unit[u]["outputs"][0]["size"] for u in w.units) for w in cut}
    job = packed.Job(recipe, keys, frozenset(cuts))

    def work(todo: Sequence[int], _: Mapping[int, units.Records]) -> Iterator[ledger.Record]:
        chosen = [cut[number] for number in todo]
        return stream.each(
            partial(packed.work, job=job), chosen, workers=units.workers(run), name=packed.NAME
        )

    done = units.resume(run, PASS, keys, work, sizes=sizes, mode=mode)
    kept = books.total(r["books"] for r in records)["kept"]
    books.check(books.total(r["books"] for r in done), kept, f"pass {packed.NAME}")
    return done


def _pack_key(
    run: Run,
    window: parts.Window,
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
        units.config_key(split, recipe.split),
        [*units.config_key(tokenise, recipe.tokenise), fingerprint],
        units.config_key(packing, recipe.pack),
        sorted((str(s.name), s.loss) for s in recipe.sources),
        recipe.seed,
        units.versions(units.PACK_LIBRARIES),
        # Nothing at all where nothing is cut: such a window is as if passages had never been looked for.
        *([[passages.VERSION, cut]] if cut else []),
    )
