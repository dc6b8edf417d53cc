"""Trainings with other seeds beside the run's own, and the metric that decides of each.

Why: two trainings of one recipe differ by chance as well as two draws of samples do; a gain that is smaller
than that may be one seed's luck.

Cost: `train.seeds` times the training, and the tuned model's part of the evaluation.
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from headrace.cluster import storage
from headrace.cluster.errors import GateError
from headrace.pipelines import trainings
from headrace.pipelines.console import Mode, say
from headrace.pipelines.evaluate import standing
from headrace.pipelines.recipe import Recipe


def trained(recipe: Recipe, train: Callable[..., dict[str, Any]], mode: Mode) -> Iterator[dict[str, Any]]:
    """Train with the seeds behind the recipe's, as many as it asks for: seed, key and least validation loss
    of each. train: makes a training with a seed.

    Raises: GateError where one shows what would have stopped the run's own, and what a training raises.
    """
    for seed in range(recipe.seed + 1, recipe.seed + recipe.train.seeds):
        say(mode, "training", f"train: again with seed {seed} (train.seeds), beside the run's own", seed=seed)
        try:
            found = train(seed, progress=partial(_tell, mode), current=False)
        except GateError as error:
            raise GateError(f"train.seeds: with seed {seed}: {error}").at(error.gate) from error
        yield {"seed": seed, "key": found["key"], "best_validation": found["best_validation"]}


def evaluated(recipe: Recipe, model: str, mode: Mode) -> dict[str, Any] | None:
    """The metric that decides, of the run's adapter and of those trainings; None where there are none.

    Raises: as `evaluate.run.seeds`.
    """
    from headrace.pipelines.evaluate import run as evaluation
    from headrace.pipelines.passes import summary

    run_json = summary.read(recipe.output)
    others = (run_json.get("train") or {}).get("seeds", ())[: recipe.train.seeds - 1]
    homes = [trainings.home(recipe.output, other["key"]) for other in others]
    homes = [home for home in homes if storage.exists(storage.join(home, trainings.CARD))]
    if not homes:
        return None
    say(mode, "evaluating", f"evaluate: {len(homes)} more of other seeds (train.seeds)")
    found = evaluation.seeds(
        recipe.output,
        model,
        recipe.evaluate,
        homes,
        seed=recipe.seed,
        packed=standing.digests(run_json),
        say=partial(_tell, mode),
    )
    if found is not None:
        values = ", ".join(f"{value:.4g}" for value in found["values"])
        say(mode, "seeds", f"  {found['metric']} by seed of training: {values}", **found)
    return found


def _tell(mode: Mode, text: str, fields: dict[str, Any]) -> None:
    say(mode, **{"event": "progress", "text": text, **fields})
