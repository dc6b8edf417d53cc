"""The flow: which stages a row goes through, which passes a run is made of, in order.

The passes are imported where they are run: Ray Data and the stages' code take seconds, which whoever asks
only for the order of the stages need not pay.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, Literal

from headrace.cluster import storage
from headrace.cluster.errors import (
    DamagedError,
    GateError,
    ModelError,
    QuarantineError,
    SourceError,
)
from headrace.pipelines import ending, rundir
from headrace.pipelines.console import Mode, line, say
from headrace.pipelines.evaluate import decision, standing
from headrace.pipelines.examine.advice import facts, verdict
from headrace.pipelines.examine.spot_check import ratings
from headrace.pipelines.recipe import Recipe, dump, kept
from headrace.pipelines.schema import SPLITS
from headrace.pipelines.train.config import Config as Train

# All stages, in the order in which a row meets them: what report, `explain` and tests call stages.
FIRST = ("clean", "steps", "quality", "traits", "pii", "fingerprint")
STAGES = ("read", *FIRST, "dedup", "examine", "split", "tokenise", "pack", "gate")
# Pass 1, after reading: every part of every fragment goes through these modules.
ROW_STAGES = tuple(f"headrace.pipelines.stages.{name}.stage" for name in FIRST)
# Pass 2 (`passes.dedup`): exact, near, clusters, sides, over the whole run; then, where asked for,
# repeated passages. Then what looks at the whole set (`passes.examine`), a check at a time.
# Pass 3 (`pack_worker.work`), every window: dedup marks, passages cut, split, tokenise, pack.
# Then the gate (`gate.worker.work`) looks through what every window wrote.

# Passes that write outputs, by their names in the ledger.
OUTPUTS = ("prepare", "dedup", "passages", "examine", "mix", "pack")


def prepare(recipe: Recipe, mode: Mode) -> dict[str, Any]:
    """Passes 1 to 3: raw shards to packed/, with a report; returns run.json.

    Raises: GateError where PII is found in packed/ and the recipe says so, QuarantineError where more
    records of a source cannot be used than it allows, SourceError where nothing is left (run.json and the
    report are written first).
    """
    rundir.writable(recipe)  # another's directory is left as it is
    with ending.recorded("prepare", STAGES, recipe.output, mode):
        return _prepared(_opened(recipe, mode), mode)


def _opened(recipe: Recipe, mode: Mode) -> rundir.Run:
    """Make the run directory ours and start Ray. Raises: what `rundir.claim` raises."""
    from headrace.pipelines.stages.pii import search as pii_search
    from headrace.pipelines.stages.steps import code as steps_code

    recipe.pii.require_key()
    pii_search.require_known(recipe.pii)
    steps_code.require(recipe.steps)
    recipe.clean.loaded()
    run = rundir.claim(recipe)
    for path in run.remade:
        say(
            mode,
            "warning",
            f"{run.path}/{path} was gone or damaged and is written anew: the sources were looked at again",
        )
    _start(run.recipe, mode)
    return run


def _prepared(run: rundir.Run, mode: Mode) -> dict[str, Any]:
    """The passes, until none of their outputs is found to be damaged; returns run.json."""
    from headrace.pipelines.passes import outputs, units
    from headrace.pipelines.passes import pack as pack_pass

    pack_pass.look(run, mode)
    while True:  # `discard` raises of what this start has written itself
        try:
            return _passes(run, mode)
        except DamagedError as error:
            outputs.discard(run, error, OUTPUTS, units.workers(run), mode)


def _passes(run: rundir.Run, mode: Mode) -> dict[str, Any]:
    """Passes 1 to 3 and the gate. Raises: DamagedError of an output that has to be made again."""
    from headrace.cluster import stream
    from headrace.pipelines.passes import dedup as dedup_pass
    from headrace.pipelines.passes import digest, outputs, proof, summary, units
    from headrace.pipelines.passes import examine as examine_pass
    from headrace.pipelines.passes import mix as mix_pass
    from headrace.pipelines.passes import pack as pack_pass
    from headrace.pipelines.passes import prepare as prepare_pass
    from headrace.pipelines.passes.gate import driver as gate_pass

    rows = prepare_pass.prepare(run, ROW_STAGES, mode)
    with _stopping(run, rows):
        prepare_pass.judge_quarantine(run, rows)
    duplicates = dedup_pass.deduplicate(run, rows, mode)
    with _stopping(run, rows, duplicates):
        dedup_pass.alarm(run, duplicates, mode)
    shared = dedup_pass.find_passages(run, rows, duplicates, mode)
    examined = examine_pass.examine(run, rows, duplicates, mode)
    tokens = pack_pass.settle(run, rows)
    with _stopping(run, rows, duplicates):
        examine_pass.judge(examined, mode)
    gone = examine_pass.dropping(examined)
    planned = pack_pass.plan(run, rows, duplicates, shared, gone, tokens)
    drawn = mix_pass.settle(run, planned, mode)
    below = {name: pool["below"] for name, pool in drawn.items()}
    windows = pack_pass.pack(run, rows, planned, mode, below)
    with _stopping(run, rows, duplicates, windows):
        prepare_pass.judge_quarantine(run, rows, windows)
    proven = proof.prove(run, rows, duplicates, windows, mode)
    scanned = gate_pass.scan(run, rows, shared, windows, tokens, mode)
    seen = gate_pass.summary(scanned)
    gate_pass.audit(run, rows, seen)
    sums = {o["path"]: o["xxh3"] for w in windows for o in w["outputs"] if "split" in o}
    packed = digest.digest(run.path, partial(stream.each, workers=units.workers(run)), sums)
    sections = summary.prepare(run, rows, duplicates, shared, examined, windows, [proven, *scanned], packed)
    rated = summary.spot_check(run.path, packed)
    splits = {**proven["counts"], **summary.sides(windows)}
    sections["examine"] = {**examine_pass.reports(examined), "splits": splits}
    sections["examine"] |= {"spot_check": rated} if rated else {}
    sections["mix"] = drawn or None
    sections["remade"] = outputs.remade(run)
    sections["gates"] = {**summary.gates(run.path), **summary.passed(run.recipe)}
    sections["advice"] = _advice(run, sections)
    run_json = summary.write(run.path, sections)
    summary.say_prepared(run_json, mode)
    gate_pass.judge(run, seen, mode)
    if not run_json["rows"]["kept"]:
        raise SourceError(summary.nothing_kept(run_json["rows"], run.path)).at("kept")
    return run_json


def _advice(run: rundir.Run, sections: dict[str, Any]) -> dict[str, Any]:
    """What run.json says the run is fit for."""
    from headrace.pipelines.commands.advise import gather

    # Not its path: run.json says the same wherever the run lies.
    found = facts.of_run({**sections, "train": None}, "RUN", gather.examples(run.path))
    return verdict.as_json(verdict.advise(found, run.recipe.advise), found)


@contextmanager
def _stopping(
    run: rundir.Run, rows: Sequence[Any], duplicates: Any = None, windows: Sequence[Any] = ()
) -> Iterator[None]:
    """Write the books so far where a gate ends the run: what run.json said of later passes is true no
    more.
    """
    from headrace.pipelines.passes import summary
    from headrace.pipelines.passes.gate import audit as pii_audit

    try:
        yield
    except (GateError, QuarantineError):
        summary.write(run.path, summary.begun(run, rows, duplicates, windows), without=summary.LATER)
        storage.delete(storage.join(run.path, pii_audit.FILE))
        raise


def train(recipe: Recipe, mode: Mode) -> dict[str, Any]:
    """packed/ to adapter/, with a report; returns run.json."""
    with ending.recorded("train", STAGES, recipe.output, mode):
        recipe = _alike(recipe, mode)
        model = _checked_model(recipe)
        _require_rated(recipe)
        _start(recipe, mode)
        _say_other_packed(recipe, mode)
        _require_packed(recipe.output)
        return _trained(recipe, model, mode)


def tried(recipe: Recipe, mode: Mode, what: Literal["probe", "learning_curve"]) -> dict[str, Any]:
    """What a short training, or trainings on shares of the rows, tell of them; returns run.json.

    `adapter/` stays as it is.
    """
    from headrace.pipelines.passes import summary
    from headrace.pipelines.train import driver
    from headrace.pipelines.train.watch import trials

    with ending.recorded("train", STAGES, recipe.output, mode):
        recipe = _alike(recipe, mode)
        model = _checked_model(recipe)
        _start(recipe, mode)
        _require_packed(recipe.output)
        weights = {str(s.name): s.weight for s in recipe.sources}
        weighed = driver.by_ordinal(weights, rundir.source_of_ordinals(recipe.output))
        plan = partial(driver.plan, recipe.output, model, recipe.train, recipe.seed, weighed)

        def tell(text: str, fields: dict[str, Any]) -> None:
            say(mode, **{"event": "progress", "text": text, **fields})

        if what == "probe":
            found = trials.probe(plan(), driver.fit, tell)
        else:
            found = trials.curve(lambda share: plan(taken=share), driver.fit, tell)
        say(mode, what, f"train: {found['words']}", **{k: v for k, v in found.items() if k != "words"})
        return summary.write(recipe.output, {what: found})


def _alike(recipe: Recipe, mode: Mode) -> Recipe:
    """The recipe with the values that `train.like: auto` finds by the advice on the packed rows."""
    from headrace.pipelines.passes import summary

    if recipe.train.like != "auto":
        return recipe
    kind = (summary.read(recipe.output).get("advice") or {}).get("kind", "mixed")
    train = recipe.train.alike(kind)
    values = {key: getattr(train, key) for key in ("rank", "alpha", "learning_rate", "epochs")}
    words = ", ".join(f"{key} {value:g}" for key, value in values.items())
    say(mode, "like", f"train.like: auto: the rows teach {kind}: {words}", kind=kind, **values)
    return recipe.model_copy(update={"train": train})


def _say_other_packed(recipe: Recipe, mode: Mode) -> None:
    """Say where packed/ is not what the recipe would make now."""
    _, before = kept(recipe.output)
    if before is None:
        return
    changed = standing.other_keys(before.model_dump(mode="json"), recipe.model_dump(mode="json"))
    if changed:
        text = (
            f"packed/ was made with another {', '.join(changed)} than the recipe has now: what is trained on "
            "and what is held out is as it was then; `headrace prepare` makes it anew"
        )
        say(mode, "warning", text, changed=changed)


def _say_other_training(recipe: Recipe, mode: Mode) -> None:
    """Say where the adapter that is evaluated is not what the recipe would train now."""
    from headrace.pipelines.train import adapter, driver

    trained = (adapter.card(recipe.output) or {}).get("settings")
    wanted = driver.settings(recipe.train, recipe.seed)
    changed = sorted(key for key in wanted if trained is not None and trained.get(key) != wanted[key])
    if changed:
        text = (
            f"the adapter was trained with another {', '.join(changed)} than the recipe has now: it is "
            "evaluated as it is; `headrace train` trains it anew"
        )
        say(mode, "warning", text, changed=changed)


def _checked_model(recipe: Recipe) -> str:
    from headrace.pipelines.train import driver

    model = _model(recipe)
    if recipe.trackers.chosen:
        from headrace.pipelines.train.trackers import follow

        follow.require(recipe.trackers)
    driver.check(recipe.train, model)
    return model


def _require_packed(run: str) -> None:
    """That packed/ holds what an earlier `prepare` wrote. Raises: DamagedError of the first file that does
    not.
    """
    from headrace.cluster import ledger, session, stream
    from headrace.pipelines.passes import outputs, parts

    written = [
        o for r in ledger.load(run, parts.PACK).values() for o in r.get("outputs", ()) if o.get("split")
    ]
    failed = outputs.wrong(written, outputs.sizes(run, [f"packed/{side}" for side in SPLITS]))
    failed = failed or outputs.wrong_content(run, written, partial(stream.each, workers=session.cpus()))
    if failed:
        raise DamagedError(storage.join(run, failed[0].path))


def _require_rated(recipe: Recipe) -> None:
    """That people found enough of a draw of the packed rows right, where the recipe asks for that.

    Raises: GateError where they did not, or nobody has looked.
    """
    from headrace.pipelines.passes import summary

    required = recipe.examine.spot_check.required
    if required is None:
        return
    said = summary.spot_check(recipe.output, summary.read(recipe.output).get("digest", ""))
    if why := ratings.missed(said, required, recipe.output):
        raise GateError(why).at(ratings.GATE)
    gates = {**summary.gates(recipe.output), ratings.GATE: {"passed": True, "words": ""}}
    summary.write(recipe.output, {"gates": gates})


def _trained(recipe: Recipe, model: str, mode: Mode) -> dict[str, Any]:
    from headrace.pipelines.passes import summary
    from headrace.pipelines.train import driver
    from headrace.pipelines.train.trackers import follow

    weights = {str(s.name): s.weight for s in recipe.sources}
    sources_of = rundir.source_of_ordinals(recipe.output)
    say(mode, "training", f"train: {recipe.train.method} on {_ranks(recipe.train.workers)}")
    try:
        with _followed(recipe, mode) as trackers:
            result = driver.run(
                recipe.output,
                model,
                recipe.train,
                seed=recipe.seed,
                weights=weights,
                sources=sources_of,
                packed=standing.digests(summary.read(recipe.output)),
                template=_template(recipe),
                costs=recipe.costs.model_dump(mode="json"),
                progress=partial(_tell, mode, trackers),
                each_step=trackers.step,
            )
            trackers.final(follow.ended(result), len(result["loss"]))
    except GateError:
        if (so_far := driver.stopped(recipe.output)) is not None:
            summary.write(recipe.output, {"train": so_far})
        raise
    return summary.write(recipe.output, {"train": result})


def _template(recipe: Recipe) -> str | None:
    """The chat template of the recipe, where it is not the model's own."""
    if recipe.tokenise.template == "chat":
        return None
    from headrace.pipelines.stages.tokenise import stage as tokenise

    return str(tokenise.tokenizer(recipe.model, recipe.tokenise).hf.chat_template)


def _tell(mode: Mode, trackers: Any, text: str, fields: dict[str, Any]) -> None:
    """Say what is told of a training, and pass its warnings on to the trackers."""
    if fields.get("event") == "warning" and "code" in fields:
        trackers.warn(fields["code"], text, fields.get("step") or 0)
    say(mode, **{"event": "progress", "text": text, **fields})


def _followed(recipe: Recipe, mode: Mode) -> Any:
    """The trackers of the training that was asked for last."""
    from headrace.pipelines import trainings
    from headrace.pipelines.train import driver
    from headrace.pipelines.train.trackers import follow

    shown = {"model": recipe.model, **driver.settings(recipe.train, recipe.seed)}
    return follow.following(
        recipe.trackers,
        lambda: follow.Training(recipe.output, trainings.asked(recipe.output) or "", shown),
        lambda text, fields: say(mode, **{"event": "warning", "text": text, **fields}),
    )


def _ranks(workers: Any) -> str:
    """How many workers, in words."""
    if workers == "auto":
        return "a worker a GPU, or 2 workers without GPUs"
    return f"{workers} workers" if isinstance(workers, int) else f"{workers.least} to {workers.most} workers"


def evaluate(recipe: Recipe, mode: Mode, *, baseline: bool = False) -> dict[str, Any]:
    """Base beside tuned on the held-out split, with a report; returns run.json.

    baseline: the base alone, before any training; so too where there is no adapter yet.

    Raises: GateError where the recipe asks for a gain that is not there (run.json is written first).
    """
    with ending.recorded("evaluate", STAGES, recipe.output, mode):
        _start(recipe, mode)
        _say_other_packed(recipe, mode)
        _require_packed(recipe.output)
        recipe = _alike(recipe, mode)
        if baseline or not _has_adapter(recipe.output):
            return _baseline(recipe, mode)
        _say_other_training(recipe, mode)
        return _evaluated(recipe, mode)


def _has_adapter(run: str) -> bool:
    from headrace.pipelines import trainings

    return storage.exists(storage.join(run, trainings.CARD))


def _baseline(recipe: Recipe, mode: Mode) -> dict[str, Any]:
    """The base alone on the held-out split."""
    from headrace.pipelines.evaluate import run as evaluation
    from headrace.pipelines.passes import summary

    say(mode, "evaluating", f"evaluate: the base alone on {recipe.evaluate.split}; `train` comes next")
    found = evaluation.baseline(recipe.output, _model(recipe), recipe.evaluate, seed=recipe.seed)
    for metric, value in found.items():
        shown = "not measured" if value is None else f"{value:.4g}"
        say(mode, "score", f"  {metric}: base {shown}", metric=metric, base=value)
    return summary.write(recipe.output, {"baseline": {"split": recipe.evaluate.split, "metrics": found}})


def _evaluated(recipe: Recipe, mode: Mode) -> dict[str, Any]:
    from headrace.pipelines.evaluate import run as evaluation
    from headrace.pipelines.evaluate.gates import judge
    from headrace.pipelines.passes import summary
    from headrace.pipelines.train.trackers import follow

    say(mode, "evaluating", f"evaluate: base beside tuned on {recipe.evaluate.split}")
    failed: GateError | None = None
    try:
        result = evaluation.run(
            recipe.output,
            _model(recipe),
            recipe.evaluate,
            seed=recipe.seed,
            packed=standing.digests(summary.read(recipe.output)),
            gates=recipe.gates,
        )
    except GateError as error:
        failed, result = error.at(ending.EVALUATED), evaluation.scores(recipe.output)
    held, _ = evaluation.gates(recipe.output)
    own = ending.GATES["evaluate"]
    gates = {name: gate for name, gate in summary.gates(recipe.output).items() if name not in own}
    gates |= {name: {"passed": gate["state"] != "fail", **gate} for name, gate in held.items()}
    if recipe.evaluate.gate is not None:
        gates[ending.EVALUATED] = {"passed": failed is None, "words": str(failed or "")}
    written = {"evaluate": result, "gates": gates, "power": evaluation.power(recipe.output)}
    decided = decision.decide({**summary.read(recipe.output), **written})
    run_json = summary.write(recipe.output, {**written, "verdict": decided})
    if decided is not None:
        say(mode, "verdict", f"verdict: {decided['words']}. {decided['reasons'][0]['words']}", **decided)
    if beyond := evaluation.beyond_context(recipe.output):
        text = (
            f"{beyond:,} samples have a prompt as long as the model's context: they count for the loss alone"
        )
        say(mode, "warning", text, beyond_context=beyond)
    for metric, pair in result.items():
        say(mode, "score", _score(metric, pair), metric=metric, **pair)
    if recipe.trackers.chosen:
        with _followed(recipe, mode) as trackers:
            last = (run_json.get("train") or {}).get("steps", 0)
            trackers.final(follow.evaluated(result), last + 1, anew=True)
    for name, gate in held.items():
        if gate["state"] != "pass":
            say(mode, "gate", f"gate {name}: {gate['words']}", gate=name, state=gate["state"])
    broken = judge.failed(held)
    if failed is None and broken is not None:
        failed = GateError(f"gates.{broken}: {held[broken]['words']}").at(broken)
    if failed is not None:
        raise failed
    return run_json


def _score(metric: str, pair: dict[str, Any]) -> str:
    numbers = [f"{name} {pair[name]:.4g}" for name in ("base", "tuned") if pair[name] is not None]
    decides = "; this decides" if pair["primary"] else ""
    return f"  {metric}: {', '.join(numbers) or 'not measured'} ({pair['verdict']}{decides})"


def run(recipe: Recipe, mode: Mode) -> dict[str, Any]:
    """The whole way: prepare, train and evaluate where there is a model, report."""
    from headrace.pipelines.passes import summary

    rundir.writable(recipe)
    held = ending.GATES if recipe.model is not None else ("prepare",)
    with ending.recorded("run", STAGES, recipe.output, mode, parts=tuple(held)):
        _prepared(_opened(recipe, mode), mode)
        if recipe.model is None:
            say(mode, "warning", "no model in the recipe: prepared and reported, nothing was trained")
        else:
            recipe = _alike(recipe, mode)
            model = _checked_model(recipe)
            _require_rated(recipe)
            _trained(recipe, model, mode)
            _evaluated(recipe, mode)
    return summary.read(recipe.output)


def sweep(recipe: Recipe, mode: Mode) -> dict[str, Any]:
    """Trainings in search of better settings, with a recipe of the best; returns run.json.

    Raises: SourceError where no rows are held out for validation.
    """
    with ending.recorded("sweep", STAGES, recipe.output, mode):
        model = _checked_model(recipe)
        _require_rated(recipe)
        _start(recipe, mode)
        _say_other_packed(recipe, mode)
        _require_packed(recipe.output)
        return _swept(recipe, model, mode)


def _swept(recipe: Recipe, model: str, mode: Mode) -> dict[str, Any]:
    from headrace.pipelines.passes import summary
    from headrace.pipelines.train.sweep import driver, records

    say(mode, "sweep", f"sweep: {recipe.sweep.trials} trials over {', '.join(recipe.sweep.space)}")
    result = driver.run(
        recipe.output,
        model,
        recipe.train,
        recipe.sweep,
        seed=recipe.seed,
        weights={str(s.name): s.weight for s in recipe.sources},
        sources=rundir.source_of_ordinals(recipe.output),
        costs=recipe.costs.model_dump(mode="json"),
        progress=lambda text, fields: say(mode, "trial", text, **fields),
    )
    if result["settings"] is None:
        raise GateError("sweep: no trial went to its end, so there are no best settings; see the report").at(
            ending.SWEPT
        )
    train = Train.model_validate({**recipe.train.model_dump(), **result["settings"]})
    place = storage.join(records.home(recipe.output, result["key"]), records.WINNER)
    storage.put(place, dump(recipe.model_copy(update={"train": train})).encode())
    text = f"sweep: the best settings are in {place}; `headrace train {place}` trains with them"
    say(mode, "winner", text, path=place, settings=result["settings"])
    if result["noise"]:
        say(mode, "noise", f"sweep: {result['noise']['words']}", **result["noise"])
    return summary.write(recipe.output, {"sweep": result})


def report(recipe: Recipe, mode: Mode) -> str:
    """Build report.html from what the run has written so far; returns its path."""
    return ending.report(recipe.output, STAGES, mode)


def _model(recipe: Recipe) -> str:
    if recipe.model is None:
        raise ModelError("the recipe names no model: set `model:` to a directory or a hub name to train")
    return recipe.model


def _start(recipe: Recipe, mode: Mode) -> None:
    """Start Ray, or join it, and have what Numba compiles in its cache before the first task asks for it."""
    from headrace.cluster import session
    from headrace.pipelines.passes import compiling

    def failed(words: str) -> str:
        return line(mode, "error", f"error: {words}", exit_code=1)

    session.start(_logical_cpus(recipe), say=partial(say, mode, "starting"), line=failed)
    compiling.everywhere(mode)


def _logical_cpus(recipe: Recipe) -> int:
    """What a local Ray needs: every worker's task and the actors beside them; all training workers with their
    driver.
    """
    names, traits = recipe.pii.ner, recipe.traits
    actors = names.actors if recipe.pii.has_model and names.gpus < 1 else 0
    if traits.models and traits.gpus < 1:
        actors = max(actors, traits.actors)
    return max((recipe.workers or 1) + actors, recipe.train.most + 1)
