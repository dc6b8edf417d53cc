"""Pools of actors in pass 1: for what a worker has to load once, or to hold a GPU for.

With a model of names, PII and what follows run in its actors, with classifiers traits and what follows;
without, and where there are GPUs, the last stage does, which sketches. Stages write the same bytes wherever
they run.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from headrace.cluster import session, stream
from headrace.cluster.errors import RecipeError
from headrace.pipelines.passes import prepare_worker
from headrace.pipelines.recipe import Recipe
from headrace.pipelines.stages.pii import stage as pii
from headrace.pipelines.stages.pii.config import Ner
from headrace.pipelines.stages.traits import stage as traits
from headrace.pipelines.stages.traits.config import Config as Traits


def first_stage(recipe: Recipe, stages: Sequence[str]) -> int:
    """Place in `stages` (their names) of the first that a pool runs, where there is one."""
    if recipe.traits.models:
        return stages.index(traits.NAME)
    return stages.index(pii.NAME) if recipe.pii.has_model else len(stages) - 1


def pool(recipe: Recipe, job: prepare_worker.Job, begin: Callable[..., Any]) -> stream.Pool | None:
    """Actors that hold models of names and traits, or sketch on the cluster's GPUs; None where tasks do all.

    Raises: RecipeError where the recipe asks for more than the cluster has.
    """
    device = recipe.dedup.device
    gpus = session.gpus() if device != "cpu" else 0
    if device == "gpu" and not gpus:
        raise RecipeError("dedup.device: gpu, and this cluster has no GPU; use auto or cpu")
    size, share = gpus, 1.0
    holders: list[tuple[str, Ner | Traits]] = [("traits", recipe.traits)] if recipe.traits.models else []
    holders += [("pii.ner", recipe.pii.ner)] if recipe.pii.has_model else []
    if holders:
        for name, holder in holders:
            _fits(name, holder)
        size, share = (max(getattr(holder, n) for _, holder in holders) for n in ("actors", "gpus"))
        if device == "gpu" and not share:
            what = "names are found" if recipe.pii.has_model else "classifiers are asked"
            raise RecipeError(
                f"dedup.device: gpu, and rows are sketched where {what}, on CPUs: set "
                f"{holders[-1][0]}.gpus, or dedup.device to auto or cpu"
            )
    if not size:
        return None
    return stream.Pool(
        partial(begin, job=job), partial(prepare_worker.finish, job=job), size=size, gpus=share
    )


def _fits(name: str, holder: Ner | Traits) -> None:
    """Raises: RecipeError where the cluster cannot hold the actors that the recipe asks for."""
    gpus = session.gpus()
    if holder.gpus and not gpus:
        raise RecipeError(f"{name}.gpus: {holder.gpus:g}, and this cluster has no GPU; set it to 0")
    room = gpus * int(1 / holder.gpus + 1e-9) if holder.gpus else session.cpus() - 1
    if holder.actors > room:
        what = f"GPUs: {gpus}" if holder.gpus else f"CPUs: {session.cpus()}, one of which reads"
        raise RecipeError(
            f"{name}.actors: {holder.actors} do not fit into this cluster ({what}); {max(room, 0)} do"
        )
