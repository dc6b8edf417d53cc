"""Trainings on what is packed: the run's own, those with other seeds, and those that only tell something of
the rows.
"""

from functools import partial
from typing import Any, Literal

from headrace.cluster.errors import GateError
from headrace.pipelines import rundir, starting
from headrace.pipelines.console import Mode, say
from headrace.pipelines.evaluate import standing
from headrace.pipelines.recipe import Recipe
from headrace.pipelines.tuning import ready, seeds


def train(recipe: Recipe, mode: Mode) -> dict[str, Any]:
    """packed/ to adapter/, with a report; returns run.json."""
    recipe, model = ready.started(recipe, mode)
    return trained(recipe, model, mode)


def tried(recipe: Recipe, mode: Mode, what: Literal["probe", "learning_curve"]) -> dict[str, Any]:
    """What a short training, or trainings on shares of the rows, tell of them; returns run.json.

    `adapter/` stays as it is.
    """
    from headrace.pipelines.passes import summary
    from headrace.pipelines.train import driver
    from headrace.pipelines.train.running import ranks
    from headrace.pipelines.train.watch import trials

    recipe = ready.alike(recipe, mode)
    model = ready.model(recipe)
    starting.start(recipe, mode)
    ready.require_packed(recipe.output)
    weights = {str(s.name): s.weight for s in recipe.sources}
    weighed = driver.by_ordinal(weights, rundir.source_of_ordinals(recipe.output))
    plan = partial(driver.plan, recipe.output, model, recipe.train, recipe.seed, weighed)

    def tell(text: str, fields: dict[str, Any]) -> None:
        say(mode, **{"event": "progress", "text": text, **fields})

    if what == "probe":
        found = trials.probe(plan(), ranks.fit, tell)
    else:
        found = trials.curve(lambda share: plan(taken=share), ranks.fit, tell)
    say(mode, what, f"train: {found['words']}", **{k: v for k, v in found.items() if k != "words"})
    return summary.write(recipe.output, {what: found})


def trained(recipe: Recipe, model: str, mode: Mode) -> dict[str, Any]:
    from headrace.pipelines.passes import summary
    from headrace.pipelines.train import driver
    from headrace.pipelines.train.trackers import follow

    say(mode, "training", f"train: {recipe.train.method} on {_ranks(recipe.train.workers)}")
    try:
        with ready.followed(recipe, mode) as trackers:
            progress = partial(_tell, mode, trackers)
            result = _training(recipe, model, recipe.seed, progress=progress, each_step=trackers.step)
            trackers.final(follow.ended(result), len(result["loss"]))
    except GateError:
        if (so_far := driver.stopped(recipe.output)) is not None:
            summary.write(recipe.output, {"train": so_far})
        raise
    held = ("train.loss", "train.rows", *(("train.watch",) if recipe.train.watch.stop else ()))
    gates = ready.passed(recipe.output, *held)
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


def _ranks(workers: Any) -> str:
    """How many workers, in words."""
    if workers == "auto":
        return "a worker a GPU, or 2 workers without GPUs"
    if isinstance(workers, int):
        return f"{workers} worker{'s' if workers > 1 else ''}"
    return f"{workers.least} to {workers.most} workers"
