"""What a training's ranks will need of memory, beside what there is, before any work."""

import torch

from headrace.pipelines.console import Mode, say
from headrace.pipelines.recipe import Recipe
from headrace.pipelines.train import memory, models
from headrace.pipelines.train.running import attention


def say_memory(recipe: Recipe, kind: str, mode: Mode) -> None:
    """Say what a rank needs, whether it fits, and which batch would. kind: the attention that is taken.

    Nothing is said of models whose shapes are not understood.
    """
    config = recipe.train
    ranks = config.most
    there, gpu = memory.room(ranks)
    gpu = gpu and config.use_gpu is not False
    device = torch.device("cuda" if gpu else "cpu")
    length = recipe.pack.length or recipe.tokenise.max_length
    described = models.configuration(recipe.model)
    asked = memory.Asked(
        length,
        models.precision(config.precision, device, config.method).itemsize,
        gpu,
        kind != attention.VARLEN,
        any(source.shape == "preference" for source in recipe.sources),
    )
    need = memory.estimated(described, config, asked)
    if need is None:
        return
    other = memory.largest(described, config, asked, there)
    text = memory.words(
        need, config, length, there, max(1, torch.cuda.device_count()) if gpu else ranks, other
    )
    parts = {name: round(gib, 3) for name, gib in need.parts.items()}
    say(mode, "memory", text, estimated=round(need.whole, 3), there=round(there, 3), parts=parts)
