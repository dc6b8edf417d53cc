"""The second half of the flow: trainings on what is packed, and the verdict on them.

`flow` records how each of them ends, and goes the whole way. PyTorch is imported where it is needed: it takes
seconds, which whoever prepares need not pay.
"""

from collections.abc import Iterator
from functools import partial
from typing import Any, Literal

from headrace.cluster import storage
from headrace.cluster.errors import DamagedError, GateError, ModelError
from headrace.pipelines import ending, rundir, starting
from headrace.pipelines.beside import judging, seeds
from headrace.pipelines.console import Mode, say
from headrace.pipelines.evaluate import decision, diagnosis, standing
from headrace.pipelines.evaluate.judged import endpoint, function
from headrace.pipelines.examine.spot_check import ratings
from headrace.pipelines.recipe import Recipe, dump, kept
from headrace.pipelines.schema import SPLITS
from headrace.pipelines.train.config import Config as Train


def train(recipe: Recipe, mode: Mode) -> dict[str, Any]:
    """packed/ to adapter/, with a report; returns run.json."""
    recipe = _alike(recipe, mode)
    model = _checked_model(recipe)
    _require_rated(recipe)
    starting.start(recipe, mode)
    _say_other_packed(recipe, mode)
    _require_packed(recipe.output)
    return _trained(recipe, model, mode)


def learn(recipe: Recipe, mode: Mode) -> dict[str, Any]:
    """Train on what was just packed, and evaluate; returns run.json."""
    recipe = _alike(recipe, mode)
    model = _checked_model(recipe)
    endpoint.require(recipe.evaluate.judge)
    for named in recipe.evaluate.functions:
        function.text(named)
    _require_rated(recipe)
    _trained(recipe, model, mode)
    return _evaluated(recipe, mode)


def tried(recipe: Recipe, mode: Mode, what: Literal["probe", "learning_curve"]) -> dict[str, Any]:
    """What a short training, or trainings on shares of the rows, tell of them; returns run.json.

    `adapter/` stays as it is.
    """
    from headrace.pipelines.passes import summary
    from headrace.pipelines.train import driver
    from headrace.pipelines.train.watch import trials

    recipe = _alike(recipe, mode)
    model = _checked_model(recipe)
    starting.start(recipe, mode)
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


def _checked_model(recipe: Recipe) -> str:
    from headrace.pipelines.evaluate.arms import wanted
    from headrace.pipelines.train import driver

    model = _model(recipe)
    if recipe.trackers.chosen:
        from headrace.pipelines.train.trackers import follow

        follow.require(recipe.trackers)
    driver.check(recipe.train, model)
    wanted.check(recipe.evaluate, model)
    return model


def _model(recipe: Recipe) -> str:
    if recipe.model is None:
        raise ModelError("the recipe names no model: set `model:` to a directory or a hub name to train")
    return recipe.model


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
    summary.write(recipe.output, {"gates": _passed(recipe.output, ratings.GATE)})


def _trained(recipe: Recipe, model: str, mode: Mode) -> dict[str, Any]:
    from headrace.pipelines.passes import summary
    from headrace.pipelines.train import driver
    from headrace.pipelines.train.trackers import follow

    say(mode, "training", f"train: {recipe.train.method} on {_ranks(recipe.train.workers)}")
    try:
        with _followed(recipe, mode) as trackers:
            progress = partial(_tell, mode, trackers)
            result = _training(recipe, model, recipe.seed, progress=progress, each_step=trackers.step)
            trackers.final(follow.ended(result), len(result["loss"]))
    except GateError:
        if (so_far := driver.stopped(recipe.output)) is not None:
            summary.write(recipe.output, {"train": so_far})
        raise
    held = ("train.loss", "train.rows", *(("train.watch",) if recipe.train.watch.stop else ()))
    gates = _passed(recipe.output, *held)
    summary.write(recipe.output, {"train": result, "gates": gates})
    if others := list(seeds.trained(recipe, partial(_training, recipe, model), mode)):
        result = {**result, "seeds": others}
    return summary.write(recipe.output, {"train": result})


def _training(recipe: Recipe, model: str, seed: int, **more: Any) -> dict[str, Any]:
    """`driver.run` of the recipe with a seed."""
    from headrace.pipelines.passes import summary
    from headrace.pipelines.train import driver

    return driver.run(
        recipe.output,
        model,
        recipe.train,
        seed=seed,
        weights={str(s.name): s.weight for s in recipe.sources},
        sources=rundir.source_of_ordinals(recipe.output),
        packed=standing.digests(summary.read(recipe.output)),
        template=_template(recipe),
        costs=recipe.costs.model_dump(mode="json"),
        **more,
    )


def _passed(run: str, *names: str) -> dict[str, Any]:
    """The gates of run.json, with these as passed."""
    from headrace.pipelines.passes import summary

    return {**summary.gates(run), **{name: {"passed": True, "words": ""} for name in names}}


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

    baseline: all but the tuned model, before any training; so too where there is no adapter yet.

    Raises: GateError where the recipe asks for a gain that is not there (run.json is written first).
    """
    endpoint.require(recipe.evaluate.judge)
    starting.start(recipe, mode)
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


def _baseline(recipe: Recipe, mode: Mode) -> dict[str, Any]:
    """The base and other arms on the held-out split, without a tuned model."""
    from headrace.pipelines.evaluate import run as evaluation
    from headrace.pipelines.passes import summary

    say(mode, "evaluating", f"evaluate: all but the tuned model on {recipe.evaluate.split}")
    found = evaluation.baseline(
        recipe.output, _model(recipe), recipe.evaluate, seed=recipe.seed, say=partial(_progress, mode)
    )
    base = found.pop("base")
    for metric, value in base.items():
        shown = "not measured" if value is None else f"{value:.4g}"
        others = [f"{arm} {by[metric]:.4g}" for arm, by in found.items() if by.get(metric) is not None]
        text = f"  {metric}: {', '.join([f'base {shown}', *others])}"
        arms = {arm: by[metric] for arm, by in found.items() if metric in by}
        say(mode, "score", text, metric=metric, base=value, arms=arms)
    written = {"split": recipe.evaluate.split, "metrics": base, "arms": found}
    return summary.write(recipe.output, {"baseline": written})


def _progress(mode: Mode, text: str, fields: dict[str, Any]) -> None:
    """Say how far a long evaluation is."""
    say(mode, "progress", text, **fields)


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
            say=partial(_progress, mode),
        )
    except GateError as error:
        failed, result = error.at(ending.EVALUATED), {}
    told = evaluation.written(recipe.output)
    held = evaluation.held(recipe.output, recipe.gates).gates
    result = result or told.get("metrics", {})
    own = ending.GATES["evaluate"]
    gates = {name: gate for name, gate in summary.gates(recipe.output).items() if name not in own}
    gates |= {name: {"passed": gate["state"] != "fail", **gate} for name, gate in held.items()}
    if recipe.evaluate.gate is not None:
        gates[ending.EVALUATED] = {"passed": failed is None, "words": str(failed or "")}
    written = {"evaluate": result, "gates": gates, "power": told.get("power", {})}
    summary.write(recipe.output, written)
    written["seeds"] = seeds.evaluated(recipe, _model(recipe), mode)
    books = {**summary.read(recipe.output), **written}
    decided, diagnosed = decision.decide(books), diagnosis.diagnose(books)
    run_json = summary.write(recipe.output, {**written, "verdict": decided, "diagnosis": diagnosed})
    if decided is not None:
        say(mode, "verdict", f"verdict: {decided['words']}. {decided['reasons'][0]['words']}", **decided)
    if diagnosed is not None:
        say(mode, "diagnosis", f"diagnosis: {diagnosed['words']}", **diagnosed)
    if beyond := told.get("beyond_context", 0):
        text = (
            f"{beyond:,} samples have a prompt as long as the model's context: they count for the loss alone"
        )
        say(mode, "warning", text, beyond_context=beyond)
    for metric, pair in result.items():
        say(mode, "score", _score(metric, pair), metric=metric, **pair)
    for text in _notes(told):
        say(mode, "note", text)
    if recipe.trackers.chosen:
        with _followed(recipe, mode) as trackers:
            last = (run_json.get("train") or {}).get("steps", 0)
            trackers.final(follow.evaluated(result), last + 1, anew=True)
    unasked = judging.judged(recipe, mode)
    for name, gate in held.items():
        if gate["state"] != "pass":
            say(mode, "gate", f"gate {name}: {gate['words']}", gate=name, state=gate["state"])
    broken = judge.failed(held)
    if failed is None and broken is not None:
        failed = GateError(f"gates.{broken}: {held[broken]['words']}").at(broken)
    if (broke := failed or unasked) is not None:
        raise broke
    return summary.read(recipe.output)


def _score(metric: str, pair: dict[str, Any]) -> str:
    names = ("base", "few_shot", "tuned")
    numbers = [f"{name.replace('_', '-')} {pair[name]:.4g}" for name in names if pair.get(name) is not None]
    decides = "; this decides" if pair["primary"] else ""
    lines = [f"  {metric}: {', '.join(numbers) or 'not measured'} ({pair['verdict']}{decides})"]
    if pair["primary"]:
        lines += [f"    {words}" for words in _beside(pair)]
    return "\n".join(lines)


def _beside(pair: dict[str, Any]) -> Iterator[str]:
    """What the tuned model is beside each arm, and over the samples that do not stand in training."""
    for name, arm in pair.get("arms", {}).items():
        value = "not measured" if arm["value"] is None else f"{arm['value']:.4g}"
        yield f"beside {decision.named(name)} ({value}): {arm['verdict']}"
    if clean := pair.get("clean"):
        left = f"without the {pair['n'] - clean['n']:,} samples that stand in training"
        values = [f"{name} {clean[name]:.4g}" for name in ("base", "tuned") if clean[name] is not None]
        yield f"{left}: {', '.join(values) or 'nothing to measure'} ({clean['verdict']})"


def _notes(told: dict[str, Any]) -> Iterator[str]:
    """What the prompts of arms had no room for, and what they could not be asked."""
    for name, arm in told.get("arms", {}).items():
        if arm["fewer"]:
            yield f"  {decision.named(name)}: {arm['fewer']:,} prompts have room in the context for less"
        if not arm.get("same_rows", True):
            yield (
                f"  {decision.named(name)} was trained on other rows, or does not say on which: what is held "
                "out here may be what it has learned"
            )
        if arm["unasked"]:
            yield f"  {decision.named(name)}: {arm['unasked']:,} samples could not be put into its form"


def sweep(recipe: Recipe, mode: Mode) -> dict[str, Any]:
    """Trainings in search of better settings, with a recipe of the best; returns run.json.

    Raises: SourceError where no rows are held out for validation.
    """
    recipe = _alike(recipe, mode)
    model = _checked_model(recipe)
    _require_rated(recipe)
    starting.start(recipe, mode)
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
    return summary.write(recipe.output, {"sweep": result, "gates": _passed(recipe.output, ending.SWEPT)})
