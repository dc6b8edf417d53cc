"""The loss of packed rows without their logits: output layer and cross entropy, some tokens at a time.

What: `summed` gives the sum of cross entropies of hidden states at their targets. Logits of `CHUNK` numbers
at most stand in memory at once, and none is kept for the backward pass: the gradient towards the hidden
states is made while the logits are there, in place.

Why: of a vocabulary of 128,000, the logits of 8,192 tokens are 4 GB in float32, and plain cross entropy holds
them three times.

How: what a model does to its logits after the output layer (a scale, a soft cap) is read from its
configuration, and `route` shows once on the loaded model, by a few tokens, that this gives its own logits.
Where it does not, the model's own are used, a row at a time.

An output layer that is more than one matrix (an adapter on it, weights that are packed in bits) is computed
a second time in the backward pass, chunk by chunk, so that it gets its gradients by autograd.
Source: Hsu et al. 2024 (the chunks), https://arxiv.org/abs/2410.10989
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import torch
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from headrace.pipelines.examine.advice.fit import CHUNK, LEAST
from headrace.pipelines.train.running import products


class Shape(NamedTuple):
    """What a model does to its logits after the output layer: ``cap x tanh(scale x logits / cap)``."""

    scale: float = 1.0
    cap: float | None = None


def shape_of(config: Any) -> Shape:
    """As a model's configuration has it: Granite's divisor, Cohere's and Falcon-H1's factor, Gemma's cap."""
    text = config.get_text_config()

    def number(key: str) -> float | None:
        found = getattr(text, key, None)
        return float(found) if isinstance(found, int | float) and found else None

    scale = (number("logit_scale") or 1.0) * (number("lm_head_multiplier") or 1.0)
    return Shape(scale / (number("logits_scaling") or 1.0), number("final_logit_softcapping"))


def shaped(logits: torch.Tensor, shape: Shape) -> torch.Tensor:
    """Logits in float32, as the model gives them."""
    logits = logits.float() * shape.scale if shape.scale != 1.0 else logits.float()
    return logits if shape.cap is None else torch.tanh(logits / shape.cap) * shape.cap


def summed(hidden: torch.Tensor, labels: torch.Tensor, head: Any, shape: Shape) -> torch.Tensor:
    """Sum of the cross entropies of ``hidden[N, H]`` at ``labels int64[N]``, in nats: ``float32[]``.

    head: the output layer. Every label is a token.
    """
    if not len(labels):
        return hidden.float().sum() * 0.0
    if type(head) is torch.nn.Linear and type(head.weight.data) is torch.Tensor:
        loss: torch.Tensor = _Fused.apply(hidden, head.weight, head.bias, labels, shape)
        return loss
    size = _chunk(hidden, getattr(head, "out_features", None) or head.weight.shape[0])
    chunks = zip(hidden.split(size), labels.split(size), strict=True)
    if not torch.is_grad_enabled():
        return torch.stack([_plain(head, h, y, shape) for h, y in chunks]).sum()
    return torch.stack([checkpoint(_plain, head, h, y, shape, use_reentrant=False) for h, y in chunks]).sum()


def each(hidden: torch.Tensor, labels: torch.Tensor, head: Any, shape: Shape) -> torch.Tensor:
    """As `summed`, but the cross entropy of each: ``float32[N]``; logits are made a second time in the
    backward pass, as nobody knows before what each of them counts.
    """
    if not len(labels):
        return hidden.float().sum(-1)
    size = _chunk(hidden, getattr(head, "out_features", None) or head.weight.shape[0])
    chunks = zip(hidden.split(size), labels.split(size), strict=True)
    if not torch.is_grad_enabled():
        return torch.cat([_plain_each(head, h, y, shape) for h, y in chunks])
    return torch.cat([checkpoint(_plain_each, head, h, y, shape, use_reentrant=False) for h, y in chunks])


def _plain_each(head: Any, hidden: torch.Tensor, labels: torch.Tensor, shape: Shape) -> torch.Tensor:
    return functional.cross_entropy(shaped(head(hidden), shape), labels, reduction="none")


def _plain(head: Any, hidden: torch.Tensor, labels: torch.Tensor, shape: Shape) -> torch.Tensor:
    return functional.cross_entropy(shaped(head(hidden), shape), labels, reduction="sum")


def _chunk(hidden: torch.Tensor, vocabulary: int) -> int:
    """Tokens of a chunk."""
    return max(LEAST, CHUNK.get(hidden.device.type, CHUNK["cuda"]) // max(1, vocabulary))


class _Fused(torch.autograd.Function):
    """Output layer of one matrix and cross entropy, with gradients made in the forward pass.

    Correctly scaled as they are because the loss is a sum: the backward pass multiplies by one number.
    """

    @staticmethod
    def forward(
        ctx: Any,
        hidden: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        labels: torch.Tensor,
        shape: Shape,
    ) -> torch.Tensor:
        wanted = ctx.needs_input_grad[:3]
        half = torch.get_autocast_dtype(hidden.device.type)
        cast = torch.is_autocast_enabled(hidden.device.type)
        matrix = weight.to(half) if cast else weight
        states = hidden.to(matrix.dtype)
        nats = hidden.new_empty(len(labels), dtype=torch.float32)
        d_hidden = torch.empty_like(states) if wanted[0] else None
        d_weight = torch.zeros_like(weight, dtype=torch.float32) if wanted[1] else None
        d_bias = torch.zeros_like(bias, dtype=torch.float32) if bias is not None and wanted[2] else None
        with torch.autocast(hidden.device.type, enabled=False):
            for first in range(0, len(labels), size := _chunk(hidden, len(weight))):
                cut = slice(first, first + size)
                part = states[cut]
                added = None if bias is None else bias.to(matrix.dtype)
                # `softmax` turns what it is given into gradients, in place.
                logits = products.linear(part, matrix, added).float()
                nats[cut] = _softmax(logits, labels[cut], shape, gradient=any(wanted))
                if d_hidden is not None:
                    d_hidden[cut] = products.product(logits.to(matrix.dtype), matrix)
                if d_weight is not None:
                    d_weight += products.product(logits.to(matrix.dtype).T, part)
                if d_bias is not None:
                    d_bias += logits.sum(0)
        kept = [
            None if d is None else d.to(t.dtype)
            for d, t in zip(
                (d_hidden, d_weight, d_bias),
                (hidden, weight, bias if bias is not None else hidden),
                strict=True,
            )
        ]
        ctx.save_for_backward(*kept)
        return nats.sum()

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        found = (None if kept is None else kept * gradients[0].to(kept.dtype) for kept in ctx.saved_tensors)
        return (*found, None, None)


def _softmax(logits: torch.Tensor, labels: torch.Tensor, shape: Shape, *, gradient: bool) -> torch.Tensor:
    """Cross entropies ``float32[N]`` of ``float32[N, V]``, which become their gradients in place."""
    if shape.scale != 1.0:
        logits *= shape.scale
    slope = None
    if shape.cap is not None:
        logits.div_(shape.cap).tanh_()
        slope = 1 - logits.square() if gradient else None
        logits *= shape.cap
    places = labels[:, None]
    wanted = logits.gather(1, places)
    greatest = logits.amax(1, keepdim=True)
    logits.sub_(greatest).exp_()
    whole = logits.sum(1, keepdim=True)
    nats = (whole.log() + greatest - wanted).squeeze(1)
    if gradient:
        logits /= whole
        logits.scatter_add_(1, places, torch.full_like(wanted, -1.0))
        if slope is not None:
            logits *= slope
        if shape.scale != 1.0:
            logits *= shape.scale
    return nats


ROUTES: "WeakKeyDictionary[Any, Shape | None]" = WeakKeyDictionary()
CLOSE = {torch.float32: 1e-5}  # share of the greatest logit by which ours may differ from the model's
COARSE = 2e-2  # of coarser types


def causal(model: Any) -> Any:
    """The causal language model under peft's wrapper."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def states(model: Any, inputs: Mapping[str, Any]) -> torch.Tensor:
    """Hidden states ``[B, L, H]`` that the output layer is given."""
    found = causal(model).base_model(**inputs)[0]
    assert isinstance(found, torch.Tensor)
    return found


@torch.no_grad()
def route(model: Any, inputs: Callable[[], Mapping[str, Any]]) -> Shape | None:
    """What makes a model's logits of its hidden states; None where only the model itself can.

    inputs: makes a few tokens, as the model's forward takes them. It is shown once a model.
    """
    own = causal(model)
    if own not in ROUTES:
        ROUTES[own] = _shown(own, inputs())
    return ROUTES[own]


def _shown(own: Any, inputs: Mapping[str, Any]) -> Shape | None:
    head, shape = own.get_output_embeddings(), shape_of(own.config)
    if head is None or own.base_model is own:
        return None
    training = own.training
    own.eval()  # by dropout they would differ
    try:
        wanted = own(**inputs).logits.float()
        found = shaped(head(states(own, inputs)), shape)
    except Exception:  # noqa: BLE001  a model of another build: its own logits are asked for
        return None
    finally:
        own.train(training)
    most = CLOSE.get(own.dtype, COARSE) * float(wanted.abs().max())
    close = wanted.shape == found.shape and float((wanted - found).abs().max()) <= most
    return shape if close else None
