"""The flow: which stages a row goes through, which passes a run is made of, in order.

The passes are imported where they are run: Ray Data and the stages' code take seconds, which whoever asks
only for the order of the stages need not pay.
"""

from functools import partial
from typing import Any

from headrace.cluster import storage
from headrace.cluster.errors import DamagedError, GateError, ModelError, SourceError
from headrace.pipelines import rundir
from headrace.pipelines.console import Mode, say
from headrace.pipelines.recipe import Recipe
from headrace.pipelines.schema import SPLITS
from headrace.pipelines.stages.pii import coverage as pii_coverage

# All stages, in the order in which a row meets them: what report, `explain` and tests call stages.
STAGES = ("read", "clean", "quality", "pii", "fingerprint", "dedup", "split", "tokenise", "pack", "gate")
# Pass 1, after reading: every part of every fragment goes through these modules.
ROW_STAGES = tuple(f"headrace.pipelines.stages.{name}.stage" for name in STAGES[1:5])
# Pass 2 (`passes.dedup`): exact, near, clusters, sides, over the whole run; then, where asked for,
# repeated passages.
# Pass 3 (`pack_worker.work`), every window: dedup marks, passages cut, split, tokenise, pack.
# Then the gate (`gate_worker.work`) looks through what every window wrote.

# Passes that write outputs, by their names in the ledger.
OUTPUTS = ("prepare", "dedup", "passages", "pack")


def prepare(recipe: Recipe, mode: Mode) -> dict[str, Any]:
    """Passes 1 to 3: raw shards to packed/; returns run.json.

    Raises: GateError where PII is found in packed/ and the recipe says so (run.json is written first).
    """
    from headrace.pipelines.passes import outputs, units
    from headrace.pipelines.stages.pii import search as pii_search

    recipe.pii.require_key()
    pii_search.require_known(recipe.pii)
    run = rundir.claim(recipe)
    _start(run.recipe, mode)
    while True:  # `discard` raises of what this start has written itself
        try:
            return _passes(run, mode)
        except DamagedError as error:
            outputs.discard(run, error, OUTPUTS, units.workers(run), mode)


def _passes(run: rundir.Run, mode: Mode) -> dict[str, Any]:
    """What `prepare` does once the run is open. Raises: DamagedError of an output that has to be made
    again.
    """
    from headrace.cluster import stream
    from headrace.pipelines.passes import dedup as dedup_pass
    from headrace.pipelines.passes import digest, outputs, summary, units
    from headrace.pipelines.passes import gate as gate_pass
    from headrace.pipelines.passes import pack as pack_pass
    from headrace.pipelines.passes import prepare as prepare_pass

    rows = prepare_pass.prepare(run, ROW_STAGES, mode)
    duplicates = dedup_pass.deduplicate(run, rows, mode)
    dedup_pass.alarm(run, duplicates, mode)
    shared = dedup_pass.find_passages(run, rows, duplicates, mode)
    windows = pack_pass.pack(run, rows, duplicates, shared, mode)
    scanned = gate_pass.scan(run, rows, shared, windows, mode)
    seen = gate_pass.summary(scanned)
    gate_pass.audit(run, rows, seen)
    sums = {o["path"]: o["xxh3"] for w in windows for o in w["outputs"] if "split" in o}
    packed = digest.digest(run.path, partial(stream.each, workers=units.workers(run)), sums)
    sections = summary.prepare(run, rows, duplicates, shared, windows, scanned, packed)
    sections["remade"] = outputs.remade(run)
    run_json = summary.write(run.path, sections)
    _say_prepared(run_json, mode)
    gate_pass.judge(run, seen, mode)
    if not run_json["rows"]["kept"]:
        raise SourceError(
            f"nothing is left to pack: none of {run_json['rows']['in']:,} records was kept. The reasons are "
            f"above and, record by record, in {storage.join(run.path, 'rejected')}; look at shape and "
            "columns first"
        )
    return run_json


def train(recipe: Recipe, mode: Mode) -> dict[str, Any]:
    """packed/ to adapter/; returns run.json."""
    from headrace.pipelines.passes import summary
    from headrace.pipelines.train import driver

    model = _model(recipe)
    driver.check(recipe.train, model)
    _start(recipe, mode)
    weights = {str(s.name): s.weight for s in recipe.sources}
    sources_of = rundir.source_of_ordinals(recipe.output)
    say(mode, "training", f"train: LoRA on {recipe.train.workers} workers")
    result = driver.run(
        recipe.output,
        model,
        recipe.train,
        seed=recipe.seed,
        weights=weights,
        sources=sources_of,
        progress=lambda text, fields: say(mode, "progress", text, **fields),
    )
    return summary.write(recipe.output, {"train": result})


def evaluate(recipe: Recipe, mode: Mode) -> dict[str, Any]:
    """Base beside tuned on the held-out split; returns run.json.

    Raises: GateError where the recipe asks for a gain that is not there (run.json is written first).
    """
    from headrace.pipelines.evaluate import run as evaluation
    from headrace.pipelines.passes import summary

    _start(recipe, mode)
    say(mode, "evaluating", f"evaluate: base beside tuned on {recipe.evaluate.split}")
    failed: GateError | None = None
    try:
        result = evaluation.run(recipe.output, _model(recipe), recipe.evaluate, seed=recipe.seed)
    except GateError as error:
        failed, result = error, evaluation.scores(recipe.output)
    run_json = summary.write(recipe.output, {"evaluate": result})
    for metric, pair in result.items():
        say(mode, "score", _score(metric, pair), metric=metric, **pair)
    if failed is not None:
        raise failed
    return run_json


def _score(metric: str, pair: dict[str, Any]) -> str:
    numbers = [f"{name} {pair[name]:.4g}" for name in ("base", "tuned") if pair[name] is not None]
    return f"  {metric}: {', '.join(numbers) or 'not measured'} ({pair['verdict']})"


def run(recipe: Recipe, mode: Mode) -> dict[str, Any]:
    """The whole way: prepare, train and evaluate where there is a model, report."""
    from headrace.pipelines.passes import summary

    prepare(recipe, mode)
    failed: GateError | None = None
    if recipe.model is None:
        say(mode, "warning", "no model in the recipe: prepared and reported, nothing was trained")
    else:
        train(recipe, mode)
        try:
            evaluate(recipe, mode)
        except GateError as error:
            failed = error
    report(recipe, mode)
    if failed is not None:
        raise failed
    return summary.read(recipe.output)


def report(recipe: Recipe, mode: Mode) -> str:
    """Build report.html from what the run has written so far; returns its path."""
    from headrace.pipelines.report import page  # matplotlib

    path = page.build(recipe.output, STAGES)
    say(mode, "report", f"report: {path}", path=path)
    return path


def _model(recipe: Recipe) -> str:
    if recipe.model is None:
        raise ModelError("the recipe names no model: set `model:` to a directory or a hub name to train")
    return recipe.model


def _start(recipe: Recipe, mode: Mode) -> None:
    """Start Ray, or join it, and have what Numba compiles in its cache before the first task asks for it."""
    from headrace.cluster import session
    from headrace.pipelines.passes import compiling

    session.start(_logical_cpus(recipe), say=partial(say, mode, "starting"))
    compiling.everywhere(mode)


def _logical_cpus(recipe: Recipe) -> int:
    """What a local Ray needs: every worker's task and the actors beside them; all training workers with their
    driver.
    """
    actors = recipe.pii.ner.actors if recipe.pii.has_model and recipe.pii.ner.gpus < 1 else 0
    return max((recipe.workers or 1) + actors, recipe.train.workers + 1)


def _say_prepared(run_json: dict[str, Any], mode: Mode) -> None:
    rows = run_json["rows"]
    dropped, bad = sum(rows["dropped"].values()), sum(rows["quarantined"].values())
    line = f"records: {rows['in']:,} in = {rows['kept']:,} kept + {dropped:,} dropped + {bad:,} quarantined"
    say(mode, "books", line, **rows)
    for kind in ("dropped", "quarantined"):
        for reason, count in sorted(rows[kind].items(), key=lambda p: (-p[1], p[0])):
            say(mode, "reason", f"  {kind} {reason}: {count:,}", kind=kind, reason=reason, count=count)
    covered = run_json["pii_coverage"]
    say(mode, "coverage", pii_coverage.sentence(covered), **covered)
    for side in SPLITS:
        counts = run_json["packed"][side]
        size = f"{counts['samples']:,} samples in {counts['rows']:,} rows, fill {counts['fill']:.1%}"
        text = f"packed {side}: {size}"
        say(mode, "packed", text, split=side, **counts)
    say(mode, "digest", f"digest: {run_json['digest']}", digest=run_json["digest"])
