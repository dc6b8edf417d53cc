"""What makes the steps of a training faster or smaller and changes none of them.

What: layers compiled, activations computed a second time, an optimizer of one kernel, and no copies in
float32 of what an adapter is given.

An adapter is float32 over a base of bfloat16, and under autocast it computes in bfloat16: peft casts what it
is given to float32 first, and autocast casts it back. Without the first cast the numbers are the same.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import torch

from headrace.pipelines.train import sharding

if TYPE_CHECKING:
    from headrace.pipelines.train.config import Config

ADAM = {"betas": (0.9, 0.999), "eps": 1e-8}


def checkpointed(base: Any, how: bool | str) -> None:
    """Let layers compute their activations again in the backward pass: all, or (`selective`) every second."""
    if how:
        every = 2 if how == "selective" else 1
        base.activation_checkpointing_enable({"use_reentrant": False}, every_n_layers=every)


def prepared(model: Any, config: "Config") -> Any:
    """A model with its adapter, as its steps are fastest."""
    if getattr(model, "dtype", torch.float32) == torch.bfloat16:
        for module in model.modules():
            if hasattr(module, "cast_input_dtype_enabled"):
                module.cast_input_dtype_enabled = False
    if config.compile:
        for layer in sharding.layers(model):
            layer.compile()
    return model


def optimizer(parameters: Iterable[torch.nn.Parameter], config: "Config") -> torch.optim.AdamW:
    """AdamW in one kernel over all parameters, on CPUs, too."""
    return torch.optim.AdamW(
        parameters, lr=config.learning_rate, weight_decay=config.weight_decay, fused=True, **ADAM
    )
