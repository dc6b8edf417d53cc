"""Routers of experts: the loss that makes them use all experts alike (`train.aux_loss`).

What: what a router gave each token is taken from its layer by a hook, and the loss of Switch Transformers
made of it: experts x sum over experts of (share of tokens that went there x mean probability of going
there), over all layers and all tokens but padding. transformers has it too, but of one mask alone, and packed
rows have another. `require` shows on a small model that ours is the model's own.

How it is added: `aux_loss` times it, for as many targets as the micro-batch has, so that a step's is the mean
over its targets, however they are cut into micro-batches.
Source: Fedus et al. 2021, https://arxiv.org/abs/2101.03961 (equations 4 to 6)
"""

from collections.abc import Mapping
from typing import Any
from weakref import WeakKeyDictionary

import torch

from headrace.cluster.errors import ModelError

CLOSE = 1e-5  # relative difference to the model's own
TOPS = ("num_experts_per_tok", "num_experts_per_token", "moe_topk", "top_k_experts")


class Balance:
    """The routers of one model, and what they gave while it was trained. weight: as `train.aux_loss`;
    always: hold what they give in evaluation, too.
    """

    def __init__(self, model: Any, weight: float, *, always: bool = False) -> None:
        self.weight, self.always = weight, always
        self.top = _top(model.config)
        self.held: list[torch.Tensor] | None = None
        self.layers = 0
        for module, index in _routers(model):
            module.register_forward_hook(self._hook(index))
            self.layers += 1

    def _hook(self, index: int) -> Any:
        def keep(module: Any, given: Any, output: Any) -> None:
            if self.held is not None and (self.always or module.training):  # and not when computed again
                logits = output[index] if isinstance(output, tuple) else output
                self.held.append(logits.reshape(-1, logits.shape[-1]))

        return keep

    def loss(self, wanted: torch.Tensor) -> torch.Tensor:
        """The loss of what was held: ``float32[]``. wanted: ``bool[T]``, tokens that are no padding."""
        assert self.held
        parts = len(self.held) // self.layers  # rows that were run one after the other
        masks = wanted.float().reshape(parts, -1)
        experts = self.held[0].shape[-1]
        went = torch.zeros(experts, device=wanted.device)
        chance = torch.zeros(experts, device=wanted.device)
        tokens = torch.zeros((), device=wanted.device)
        for place, logits in enumerate(self.held):
            mask = masks[place // self.layers, :, None]
            probability = torch.softmax(logits.float(), -1)
            chosen = probability.topk(self.top, -1).indices
            taken = torch.zeros_like(probability).scatter_(1, chosen, 1.0)
            went = went + (taken * mask).sum(0)
            chance = chance + (probability * mask).sum(0)
            tokens = tokens + mask.sum()
        return experts * (went / tokens * (chance / tokens)).sum()


BALANCES: "WeakKeyDictionary[Any, Balance]" = WeakKeyDictionary()


def attach(model: Any, weight: float | None) -> None:
    """Have `balanced` add the loss of a model's routers; nothing where the recipe asks for none."""
    if weight is not None:
        BALANCES[model] = Balance(model, weight)


class Balanced:
    """What is to be added to the loss of one micro-batch. It is 0 for a model without `attach`, and where it
    is not trained.
    """

    def __init__(self, model: Any, batch: Mapping[str, torch.Tensor]) -> None:
        own = model.get_base_model() if hasattr(model, "get_base_model") else model
        self.balance = BALANCES.get(own) if model.training else None
        self.batch = batch

    def __enter__(self) -> "Balanced":
        if self.balance is not None:
            self.balance.held = []
        return self

    def __exit__(self, *_: object) -> None:
        if self.balance is not None:
            self.balance.held = None

    def added(self, targets: torch.Tensor) -> torch.Tensor | float:
        """The loss of the routers for so many targets."""
        if self.balance is None:
            return 0.0
        wanted = self.batch["attention_mask"] if "attention_mask" in self.batch else self.batch["segment_ids"]
        return self.balance.weight * targets * self.balance.loss(wanted.reshape(-1) > 0)


def require(model: Any, name: str) -> None:
    """That the loss of this model's routers is made right: as it makes it itself of samples without padding.

    model: a small one. Raises: ModelError.
    """
    if not _routers(model):
        raise ModelError(f"train.aux_loss: {name!r} has no routers; leave it out")
    ids = (torch.arange(24, device=model.device) * 7 + 3).reshape(2, 12) % int(
        model.config.get_text_config().vocab_size
    )
    try:
        balance = Balance(model, 1.0, always=True)
        balance.held = []
        with torch.no_grad():
            own = model(input_ids=ids, output_router_logits=True, use_cache=False)
            found = balance.loss(torch.ones(ids.numel(), dtype=torch.bool)) if balance.held else None
        balance.held = None
    except Exception as error:
        raise ModelError(
            f"train.aux_loss: the routers of {name!r} cannot be read ({type(error).__name__}); leave it out"
        ) from error
    wanted = getattr(own, "aux_loss", None)
    if found is None or wanted is None or not torch.is_tensor(wanted):
        raise ModelError(f"train.aux_loss: {name!r} has no loss of its own for its routers; leave it out")
    if abs(float(found) - float(wanted)) > CLOSE * abs(float(wanted)):
        raise ModelError(
            f"train.aux_loss: {name!r} makes the loss of its routers in another way ({float(wanted):.4g}, "
            f"and {float(found):.4g} by shares and probabilities); leave it out"
        )


def _top(config: Any) -> int:
    """Experts that a token goes to. Raises: LookupError."""
    text = config.get_text_config()
    return next(int(getattr(text, key)) for key in TOPS if getattr(text, key, None))


def _routers(model: Any) -> list[tuple[Any, int]]:
    """Layers that give the logits of a router, and at which place of their output."""
    kinds: list[Any] = []
    for module in model.modules():
        recorded = (getattr(module, "_can_record_outputs", None) or {}).get("router_logits", ())
        kinds += recorded if isinstance(recorded, list | tuple) else [recorded]
    if not kinds:
        return []
    found = []
    for name, module in model.named_modules():
        for kind in kinds:
            target = getattr(kind, "target_class", kind)
            layer = getattr(kind, "layer_name", None)
            if isinstance(target, type) and isinstance(module, target) and (not layer or layer in name):
                found.append((module, int(getattr(kind, "index", 0))))
                break
    return found
