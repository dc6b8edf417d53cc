"""Products with weights in float32 on a CPU, by oneDNN instead of PyTorch's BLAS.

Why: four fifths of a step on a CPU are these products. PyTorch makes those of float32 by MKL, which leaves
the wide registers of processors of other makers alone; oneDNN, which comes with PyTorch and makes its
products in bfloat16, takes them. Measured on one core of a Zen with AVX-512: 105 and 245 GFLOP/s.

How: `linear` is `torch.nn.functional.linear` with both directions by oneDNN. Weights stay as they are: no
packed copy stands beside them. Where oneDNN is not there, or the numbers are no plain float32 on a CPU, it is
PyTorch's own; so it is for products of fewer than `LEAST` multiplications, which take less time than a call.

Cost: some 20 microseconds a call more.
"""

from types import MethodType
from typing import Any, cast

import torch
from torch.nn import functional

LEAST = 2**20


def taken(*tensors: torch.Tensor) -> bool:
    """Whether oneDNN makes a product of these."""
    return (
        torch.backends.mkldnn.is_available()
        and not torch.is_autocast_enabled("cpu")
        and not torch.compiler.is_compiling()
        and all(
            type(t.data) is torch.Tensor and t.dtype == torch.float32 and t.device.type == "cpu" and t.numel()
            for t in tensors
        )
    )


def linear(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor:
    """``x[..., K]``, ``weight[N, K]``, ``bias[N] -> [..., N]``, as `functional.linear`."""
    if x.numel() * len(weight) < LEAST or not taken(x, weight):
        return functional.linear(x, weight, bias)
    return cast(torch.Tensor, _Linear.apply(x, weight, bias))


def product(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """``a[..., K] @ b[K, N]``, without gradients."""
    if a.numel() * b.shape[1] < LEAST or not taken(a, b):
        return a @ b
    return cast(torch.Tensor, torch.ops.mkldnn._linear_pointwise(a, b.t(), None, "none", [], ""))


def prepared(model: Any) -> Any:
    """A model whose plain linear layers, every one, go by `linear`."""
    for module in model.modules():
        if type(module) is torch.nn.Linear:
            module.forward = MethodType(_forward, module)
    return model


def _forward(self: torch.nn.Linear, x: torch.Tensor) -> torch.Tensor:
    return linear(x, self.weight, self.bias)


class _Linear(torch.autograd.Function):
    """What is kept for the backward pass is what PyTorch's own keeps: of a frozen layer its weights alone."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
        ctx.save_for_backward(x if ctx.needs_input_grad[1] else None, weight)
        found = torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")
        return cast(torch.Tensor, found)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        gradient, (x, weight) = gradients[0], ctx.saved_tensors
        flat = gradient.flatten(0, -2)
        return (
            product(gradient, weight) if ctx.needs_input_grad[0] else None,
            product(flat.t(), x.flatten(0, -2)) if x is not None else None,
            flat.sum(0) if ctx.needs_input_grad[2] else None,
        )
