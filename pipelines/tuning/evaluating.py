"""The verdict on what was trained: base, tuned model and other arms, gates, decision and diagnosis."""

from functools import partial
from typing import Any

from headrace.cluster import storage
from headrace.cluster.errors import GateError
from headrace.pipelines import ending, starting
from headrace.pipelines.console import Mode, say
from headrace.pipelines.evaluate import decision, standing
from headrace.pipelines.evaluate.diagnosis.diagnose import diagnose
from headrace.pipelines.evaluate.judged import endpoint, function
from headrace.pipelines.recipe import Recipe
from headrace.pipelines.tuning import judging, lines, ready, seeds, training


def require(recipe: Recipe) -> None:
    """That what an evaluation calls is there. Raises: RecipeError, StorageError."""
    endpoint.require(recipe.evaluate.judge)
    function.texts(recipe.evaluate.functions)


def learn(recipe: Recipe, mode: Mode) -> dict[str, Any]:
    """Train on what was just packed, and evaluate; returns run.json."""
    recipe = ready.alike(recipe, mode)
    model = ready.model(recipe)
    ready.require_rated(recipe)
    training.trained(recipe, model, mode)
    return _evaluated(recipe, mode)


def evaluate(recipe: Recipe, mode: Mode, *, baseline: bool = False) -> dict[str, Any]:
    """Base beside tuned on the held-out split, with a report; returns run.json.

    baseline: all but the tuned model, before any training; so too where there is no adapter yet.

    Raises: GateError where the recipe asks for a gain that is not there (run.json is written first).
    """
    require(recipe)
    starting.start(recipe, mode)
    ready.say_other_packed(recipe, mode)
    ready.require_packed(recipe.output)
    recipe = ready.alike(recipe, mode)
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
        recipe.output, ready.named(recipe), recipe.evaluate, seed=recipe.seed, say=partial(_progress, mode)
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
    """Measure, decide, and say all of it; then whoever may fail, and the gates that did."""
    from headrace.pipelines.evaluate import run as evaluation
    from headrace.pipelines.evaluate.gates import judge
    from headrace.pipelines.passes import summary

    say(mode, "evaluating", f"evaluate: base beside tuned on {recipe.evaluate.split}")
    failed = _measured(recipe, mode)
    told = evaluation.written(recipe.output)
    held = evaluation.held(recipe.output, recipe.gates).gates
    run_json = _decided(recipe, mode, told, held, failed)
    _say_scores(told, mode)
    _follow(recipe, mode, run_json)
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


def _measured(recipe: Recipe, mode: Mode) -> GateError | None:
    """Ask the models; returns why the recipe's own gate is not passed, where it is not."""
    from headrace.pipelines.evaluate import run as evaluation
    from headrace.pipelines.passes import summary

    try:
        evaluation.run(
            recipe.output,
            ready.named(recipe),
            recipe.evaluate,
            seed=recipe.seed,
            packed=standing.digests(summary.read(recipe.output)),
            gates=recipe.gates,
            say=partial(_progress, mode),
        )
    except GateError as error:
        return error.at(ending.EVALUATED)
    return None


def _decided(
    recipe: Recipe, mode: Mode, told: dict[str, Any], held: dict[str, Any], failed: GateError | None
) -> dict[str, Any]:
    """Write what was measured, then what follows from it, and say that; returns run.json."""
    from headrace.pipelines.passes import summary

    own = ending.GATES["evaluate"]
    gates = {name: gate for name, gate in summary.gates(recipe.output).items() if name not in own}
    gates |= {name: {"passed": gate["state"] != "fail", **gate} for name, gate in held.items()}
    if recipe.evaluate.gate is not None:
        gates[ending.EVALUATED] = {"passed": failed is None, "words": str(failed or "")}
    written = {"evaluate": told.get("metrics", {}), "gates": gates, "power": told.get("power", {})}
    written["slices"] = told.get("slices", [])
    summary.write(recipe.output, written)  # it stands whatever comes of the other seeds
    written["seeds"] = seeds.evaluated(recipe, ready.named(recipe), mode)
    books = {**summary.read(recipe.output), **written}
    decided, diagnosed = decision.decide(books), diagnose(books)
    if decided is not None:
        say(mode, "verdict", f"verdict: {decided['words']}. {decided['reasons'][0]['words']}", **decided)
    if diagnosed is not None:
        say(mode, "diagnosis", f"diagnosis: {diagnosed['words']}", **diagnosed)
    return summary.write(recipe.output, {**written, "verdict": decided, "diagnosis": diagnosed})


def _say_scores(told: dict[str, Any], mode: Mode) -> None:
    if beyond := told.get("beyond_context", 0):
        text = (
            f"{beyond:,} samples have a prompt as long as the model's context: they count for the loss alone"
        )
        say(mode, "warning", text, beyond_context=beyond)
    for metric, pair in told.get("metrics", {}).items():
        say(mode, "score", lines.score(metric, pair), metric=metric, **pair)
    for text in lines.notes(told):
        say(mode, "note", text)


def _follow(recipe: Recipe, mode: Mode, run_json: dict[str, Any]) -> None:
    """Pass the scores on to the recipe's trackers."""
    from headrace.pipelines.train.trackers import follow

    if recipe.trackers.chosen:
        with ready.followed(recipe, mode) as trackers:
            last = (run_json.get("train") or {}).get("steps", 0)
            trackers.final(follow.evaluated(run_json["evaluate"]), last + 1, anew=True)
