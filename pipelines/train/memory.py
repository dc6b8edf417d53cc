"""What memory a rank of a training needs, told before, and what it took; and how much of a GPU it used.

What: `estimated` by the shapes of the model, the length of rows and the recipe (`examine.advice.fit` counts);
`largest` the batch that fits; `Peak` what PyTorch held on a GPU, or by what the process grew on a CPU.

Cost: a look at the configuration.
"""

import math
import os
from typing import TYPE_CHECKING, Any, NamedTuple

import peft
import torch

from headrace.cluster import process
from headrace.pipelines.examine.advice import fit
from headrace.pipelines.train.adapter import EMBEDDINGS

if TYPE_CHECKING:
    from headrace.pipelines.train.config import Config

SPELT = {
    f"{name}_proj": name for name in fit.LINEAR
}  # what models of Llama's kind call the linear layers of a layer
LEFT = 0.9  # of the memory that is there: the rest is others'


class Need(NamedTuple):
    """GiB of a rank by part, for a batch of rows, with or without activations computed again."""

    parts: dict[str, float]
    batch: int
    checkpointing: bool | str

    @property
    def whole(self) -> float:
        """GiB of all."""
        return sum(self.parts.values())

    @property
    def grown(self) -> float:
        """GiB that are added to a process that has no model yet: what `Peak` measures."""
        return self.whole - self.parts["overhead"]


class Asked(NamedTuple):
    """What a training computes. length: tokens of a packed row; size: bytes of a number; masked: whether
    attention needs a mask; paired: whether rows hold pairs of answers.
    """

    length: int
    size: int
    gpu: bool
    masked: bool = False
    paired: bool = False


def estimated(described: Any, config: "Config", asked: Asked) -> Need | None:
    """What the recipe's batch needs; None for models whose shapes are not understood, and for weights in 4
    bits. described: the model's configuration.
    """
    shapes = fit.of_config("it", described)
    if shapes is None or config.method == "qlora":
        return None
    batch = min(config.batch_size, config.rows_per_step)
    how = config.gradient_checkpointing
    return Need(_parts(shapes, described, config, asked, batch, how), batch, how)


def largest(described: Any, config: "Config", asked: Asked, room: float) -> Need | None:
    """The largest batch that needs no more than `room` GiB, with checkpointing where it takes that.

    It divides the batch of the recipe, so that a step is of batches of one size.
    """
    shapes = fit.of_config("it", described)
    if shapes is None:
        return None
    most = min(config.batch_size, config.rows_per_step)
    for how in dict.fromkeys((config.gradient_checkpointing, "selective", True)):
        for batch in (n for n in range(most, 0, -1) if most % n == 0):
            parts = _parts(shapes, described, config, asked, batch, how)
            if sum(parts.values()) <= room:
                return Need(parts, batch, how)
    return None


def _parts(
    shapes: fit.Shapes, described: Any, config: "Config", asked: Asked, batch: int, how: bool | str
) -> dict[str, float]:
    return fit.memory(
        shapes,
        config.rank,
        asked.length,
        batch,
        size=asked.size,
        checkpointing=how,
        masked=asked.masked,
        gpu=asked.gpu,
        trained=_trained(described, config, batch, paired=asked.paired),
    )


def _trained(described: Any, config: "Config", batch: int, *, paired: bool) -> fit.Trained:
    """What the recipe trains of a model; layers of names that say nothing count as all."""
    names: Any = config.target_modules
    if names == "auto":
        kind = described.get_text_config().model_type
        names = peft.utils.TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING.get(kind, "all-linear")
    kinds = {SPELT.get(name.rpartition(".")[2]) for name in names} if names != "all-linear" else {None}
    return fit.Trained(
        fit.LINEAR if None in kinds else tuple(name for name in fit.LINEAR if name in kinds),
        dora=config.method == "dora",
        saved=sum(name.rpartition(".")[2] in EMBEDDINGS for name in config.modules_to_save),
        whole=config.method == "full",
        paired=paired,
        batches=math.ceil(config.rows_per_step / (batch * config.most)),
        ranks=config.most,
    )


def words(need: Need, config: "Config", length: int, room: float, ranks: int, other: Need | None) -> str:
    """What a rank needs beside what there is, and what would fit where it does not."""
    parts = ", ".join(f"{part} {n:.1f}" for part, n in need.parts.items() if n >= 0.05)
    text = (
        f"memory: about {need.whole:.1f} GiB a rank at batch_size {need.batch} x {length:,} tokens "
        f"({parts}); {room:.1f} GiB are there for each of {ranks}"
    )
    if need.whole <= room:
        return f"{text}: fits"
    if other is None:
        return f"{text}: does not fit, and no smaller batch would; take a smaller model or train.shard: fsdp"
    again = (
        ""
        if other.checkpointing == need.checkpointing
        else (f" and train.gradient_checkpointing: {str(other.checkpointing).lower()}")
    )
    return (
        f"{text}: does not fit; train.batch_size: {other.batch}{again} would (about {other.whole:.1f} GiB; "
        f"rows_per_step stays {config.rows_per_step})"
    )


def room(ranks: int) -> tuple[float, bool]:
    """GiB for each rank, and whether they are a GPU's: the smallest one's, or a share of the machine's."""
    if torch.cuda.is_available():
        every = range(torch.cuda.device_count())
        return min(torch.cuda.get_device_properties(i).total_memory for i in every) / fit.GIB * LEFT, True
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / fit.GIB
    return machine * LEFT / max(1, ranks), False


def mfu(described: Any, gpu: str, tokens: int, seconds: float) -> float | None:
    """Share of a GPU's peak that a training has used, None where the GPU or the model is not known.

    tokens: of packed rows on each GPU, in `seconds`. A token counts 4 N FLOP, N the weights of all linear
    layers: those of the base are frozen, so the backward pass is made for activations alone.
    """
    shapes, peak = fit.of_config("it", described), fit.known(gpu)
    if shapes is None or peak is None or not seconds:
        return None
    looked_up = 0 if shapes.tied else shapes.vocabulary * shapes.hidden
    return 4 * (shapes.parameters - looked_up) * tokens / seconds / (peak.tflops * 1e12)


class Peak:
    """The greatest memory since this was made, in GiB: on a GPU what was held, on a CPU what was added."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._before = _grown()
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)

    def taken(self) -> float:
        """GiB at most until now."""
        if self._device.type == "cuda":
            return float(torch.cuda.max_memory_allocated(self._device) / fit.GIB)
        return _grown() - self._before


def _grown() -> float:
    return process.peak() / fit.GIB
