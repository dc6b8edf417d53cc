"""What makes the steps of a training faster or smaller and changes none of them but by rounding.

What: layers compiled, activations computed a second time, an optimizer of one kernel, adapters added to their
layers by one product, no copies in float32 of what they are given, and on a CPU products by oneDNN
(`running.products`).

peft adds an adapter in three passes over a layer's output (product, scale, sum). Here the scale is applied to
the narrow side and the rest is one call of the matrix library: measured at 1.1 times the speed of a step on
a CPU, with the same losses.

An adapter is float32 over a base of bfloat16, and under autocast it computes in bfloat16: peft casts what it
is given to float32 first, and autocast casts it back. Without the first cast the numbers are the same.
"""

from collections.abc import Iterable
from types import MethodType
from typing import TYPE_CHECKING, Any, cast

import torch
from peft.tuners.lora import Linear
from torch._inductor import cpp_builder

from headrace.cluster.errors import RecipeError
from headrace.pipelines.train import sharding
from headrace.pipelines.train.running import products

if TYPE_CHECKING:
    from headrace.pipelines.train.config import Config

ADAPTER = "default"  # as peft calls the only one
COMPILED = {"fallback_random": True}  # dropout draws what it draws without
ADAM = {"betas": (0.9, 0.999), "eps": 1e-8}


def checkpointed(base: Any, how: bool | str) -> None:
    """Let layers compute their activations again in the backward pass: all, or (`selective`) every second."""
    if how:
        every = 2 if how == "selective" else 1
        base.activation_checkpointing_enable({"use_reentrant": False}, every_n_layers=every)


def require_compiler(config: "Config") -> None:
    """That layers can be compiled here, where the recipe asks for it. Raises: RecipeError."""
    if not config.compile:
        return
    try:
        cpp_builder.get_cpp_compiler()
    except Exception as error:
        raise RecipeError(
            "train.compile is true, and there is no C++ compiler here: install one (g++), name it in the "
            "environment variable CXX, or leave train.compile out"
        ) from error


def prepared(model: Any, config: "Config") -> Any:
    """A model with its adapter, as its steps are fastest. Raises: RecipeError where it cannot be compiled."""
    require_compiler(config)
    if getattr(model, "dtype", torch.float32) == torch.bfloat16:
        for module in model.modules():
            if hasattr(module, "cast_input_dtype_enabled"):
                module.cast_input_dtype_enabled = False
    for module in model.modules():
        if type(module) is Linear and type(module.base_layer) is torch.nn.Linear and _is_plain(module):
            module.forward = MethodType(_added, module)
    if config.compile:
        for layer in sharding.layers(model):
            layer.compile(options=COMPILED)
    else:
        products.prepared(model)
    return model


def _is_plain(module: Linear) -> bool:
    """Whether an adapter is two matrices and a scale: no DoRA, no bias."""
    return (
        list(module.lora_A) == [ADAPTER] and not module.lora_variant and module.lora_B[ADAPTER].bias is None
    )


def _added(self: Linear, x: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
    """A layer and its adapter, as peft's `Linear.forward` computes them."""
    if args or kwargs or self.disable_adapters or self.merged or self.active_adapters != [ADAPTER]:
        return cast(torch.Tensor, type(self).forward(self, x, *args, **kwargs))
    plain = self.base_layer(x)
    narrow = self.lora_A[ADAPTER](self.lora_dropout[ADAPTER](x)) * self.scaling[ADAPTER]
    wide = self.lora_B[ADAPTER].weight.t()
    found = torch.addmm(plain.flatten(0, -2), narrow.flatten(0, -2).to(plain.dtype), wide.to(plain.dtype))
    return found.view(plain.shape)


def optimizer(parameters: Iterable[torch.nn.Parameter], config: "Config") -> torch.optim.AdamW:
    """AdamW in one kernel over all parameters, on CPUs, too."""
    return torch.optim.AdamW(
        parameters, lr=config.learning_rate, weight_decay=config.weight_decay, fused=True, **ADAM
    )
