"""Pools of actors in pass 1: for what a worker has to load once, or to hold a GPU for.

With a model of names, PII and what follows run in its actors; without, and where there are GPUs, the last
stage does, which sketches. Stages write the same bytes wherever they run.
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


def first_stage(recipe: Recipe, stages: Sequence[str]) -> int:
    """Place in `stages` (their names) of the first that a pool runs, where there is one."""
    return stages.index(pii.NAME) if recipe.pii.has_model else len(stages) - 1


def pool(recipe: Recipe, job: prepare_worker.Job, begin: Callable[..., Any]) -> stream.Pool | None:
    """Actors that hold the model of names, or sketch on the cluster's GPUs; None where tasks do it all.

    Raises: RecipeError where the recipe asks for more than the cluster has.
    """
    device, ner = recipe.dedup.device, recipe.pii.ner
    gpus = session.gpus() if device != "cpu" else 0
    if device == "gpu" and not gpus:
        raise RecipeError("dedup.device: gpu, and this cluster has no GPU; use auto or cpu")
    size, share = gpus, 1.0
    if recipe.pii.has_model:
        _fits(ner)
        size, share = ner.actors, ner.gpus
        if device == "gpu" and not share:
            raise RecipeError(
                "dedup.device: gpu, and rows are sketched where names are found, on CPUs: set "
                "pii.ner.gpus, or dedup.device to auto or cpu"
            )
    if not size:
        return None
    return stream.Pool(
        partial(begin, job=job), partial(prepare_worker.finish, job=job), size=size, gpus=share
    )


def _fits(ner: Ner) -> None:
    """Raises: RecipeError where the cluster cannot hold the actors that the recipe asks for."""
    gpus = session.gpus()
    if ner.gpus and not gpus:
        raise RecipeError(f"pii.ner.gpus: {ner.gpus:g}, and this cluster has no GPU; set it to 0")
    room = gpus * int(1 / ner.gpus + 1e-9) if ner.gpus else session.cpus() - 1
    if ner.actors > room:
        what = f"GPUs: {gpus}" if ner.gpus else f"CPUs: {session.cpus()}, one of which reads"
        raise RecipeError(
            f"pii.ner.actors: {ner.actors} do not fit into this cluster ({what}); {max(room, 0)} do"
        )
