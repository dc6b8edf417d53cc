"""What has to hold before a training or an evaluation, and what both tell of it."""

from functools import partial
from typing import Any

from headrace.cluster import storage
from headrace.cluster.errors import DamagedError, GateError, ModelError
from headrace.pipelines import starting
from headrace.pipelines.console import Mode, say
from headrace.pipelines.evaluate import standing
from headrace.pipelines.examine.spot_check import ratings
from headrace.pipelines.recipe import Recipe, kept
from headrace.pipelines.schema import SPLITS


def started(recipe: Recipe, mode: Mode) -> tuple[Recipe, str]:
    """Ray, for trainings on what is packed: the recipe that they follow, and its model.

    Raises: ModelError, GateError (people have not found the rows right), DamagedError.
    """
    recipe = alike(recipe, mode)
    checked = model(recipe)
    require_rated(recipe)
    starting.start(recipe, mode)
    say_other_packed(recipe, mode)
    require_packed(recipe.output)
    return recipe, checked


def alike(recipe: Recipe, mode: Mode) -> Recipe:
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


def say_other_packed(recipe: Recipe, mode: Mode) -> None:
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


def model(recipe: Recipe) -> str:
    from headrace.pipelines.evaluate.arms import wanted
    from headrace.pipelines.evaluate.gates import probing
    from headrace.pipelines.train import driver

    model = named(recipe)
    if recipe.trackers.chosen:
        from headrace.pipelines.train.trackers import follow

        follow.require(recipe.trackers)
    driver.check(recipe.train, model)
    wanted.check(recipe.evaluate, model)
    probing.check(recipe.gates)
    return model


def named(recipe: Recipe) -> str:
    if recipe.model is None:
        raise ModelError("the recipe names no model: set `model:` to a directory or a hub name to train")
    return recipe.model


def require_packed(run: str) -> None:
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


def require_rated(recipe: Recipe) -> None:
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
    summary.write(recipe.output, {"gates": passed(recipe.output, ratings.GATE)})


def passed(run: str, *names: str) -> dict[str, Any]:
    """The gates of run.json, with these as passed."""
    from headrace.pipelines.passes import summary

    return {**summary.gates(run), **{name: {"passed": True, "words": ""} for name in names}}


def followed(recipe: Recipe, mode: Mode) -> Any:
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
