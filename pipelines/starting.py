"""How every command begins that works on a cluster: Ray is started or joined, kernels are compiled."""

from functools import partial

from headrace.pipelines.console import Mode, line, say
from headrace.pipelines.recipe import Recipe


def start(recipe: Recipe, mode: Mode) -> None:
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
