"""What the first steps of a training tell of the whole: whether it learns, how fast, how long, at what cost.

They are the first steps of the training itself: it goes on from there, so nothing is done twice and every row
is used as often as planned.

Source of the prices: `costs` of the recipe.
"""

import math
from collections.abc import Mapping
from statistics import median
from typing import TYPE_CHECKING, Any

import torch

from headrace.cluster import process

if TYPE_CHECKING:
    from headrace.pipelines.train.config import Config

WARM = 2  # first steps, in which libraries set themselves up


def steps(config: "Config", whole: int, warmup: int) -> int:
    """After how many steps of `whole` it is said; 0 where never. So many as can tell anything at least."""
    if not config.smoke:
        return 0
    return min(whole, max(math.ceil(config.smoke * whole), warmup + 10))


def summary(
    history: Mapping[str, Any], whole: int, costs: Mapping[str, Any] | None, cpus: float, ranks: int
) -> dict[str, Any]:
    """Steps done, tokens a second, projected seconds of the whole, its cost in US dollars (None: no price is
    known) and the peak of memory in bytes (of this rank's device).
    """
    seconds = history["seconds"][WARM:] or history["seconds"]
    done, each = len(history["loss"]), median(seconds)
    tokens = history["tokens"][WARM:] or history["tokens"]
    projected = sum(history["seconds"]) + each * (whole - done)
    hour = price(costs, cpus)
    return {
        "steps": done,
        "tokens_per_second": round(sum(tokens) / max(sum(seconds), 1e-9), 1),
        "seconds": round(projected, 1),
        "cost": None if hour is None else round(hour * ranks * projected / 3600, 4),
        "memory": peak(),
    }


def words(told: Mapping[str, Any], whole: int) -> str:
    """`summary` in a line."""
    text = (
        f"train: after {told['steps']} of {whole} steps: {told['tokens_per_second']:,.0f} targets a second, "
        f"all of it takes about {told['seconds'] / 60:,.1f} minutes"
    )
    if told["cost"] is not None:
        text += f" and ${told['cost']:,.2f}"
    return f"{text}; {told['memory'] / 1e9:,.2f} GB of memory at most so far"


def price(costs: Mapping[str, Any] | None, cpus: float) -> float | None:
    """US dollars an hour of a rank's device: of its GPU, or of its CPU cores."""
    if costs is None:
        return None
    if not torch.cuda.is_available():
        return float(costs["core_hour"]) * cpus
    if costs.get("gpu_hour") is not None:
        return float(costs["gpu_hour"])
    name = torch.cuda.get_device_name().lower()
    known = {gpu: hour for gpu, hour in costs["prices"].items() if gpu.partition("-")[0] in name}
    return float(known[min(known)]) if known else None


def peak() -> int:
    """Most bytes that this rank has held: of its GPU, or of its process."""
    if torch.cuda.is_available():
        return int(torch.cuda.max_memory_allocated())
    return process.peak()
