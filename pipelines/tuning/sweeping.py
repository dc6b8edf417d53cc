"""Trainings in search of better settings, and the recipe of the best."""

from typing import Any

from headrace.cluster import storage
from headrace.cluster.errors import GateError
from headrace.pipelines import ending, rundir
from headrace.pipelines.console import Mode, say
from headrace.pipelines.recipe import Recipe, dump
from headrace.pipelines.train.config import Config as Train
from headrace.pipelines.tuning import ready


def sweep(recipe: Recipe, mode: Mode) -> dict[str, Any]:
    """Trainings in search of better settings, with a recipe of the best; returns run.json.

    Raises: SourceError where no rows are held out for validation.
    """
    recipe, model = ready.started(recipe, mode)
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
    return summary.write(recipe.output, {"sweep": result, "gates": ready.passed(recipe.output, ending.SWEPT)})
