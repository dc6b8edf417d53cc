"""Learning which of two answers is the better one (DPO), over the pairs of packed rows.

What: of a pair the answers' log-probabilities are summed, under the model as it is and under the base model,
which is the same one with its adapter switched off. The loss asks that the chosen answer gain over the
rejected one, beside the base: with ``margin = beta * ((chosen - base's) - (rejected - base's))``

- dpo: ``-(1 - s) * log sigmoid(margin) - s * log sigmoid(-margin)``, s the label smoothing;
- ipo: ``((chosen - base's) / targets - (rejected - base's) / targets - 1 / (2 beta)) ** 2``.

The loss of a step is the mean over its pairs, of all ranks and micro-batches, and `sft_weight` times the mean
cross entropy of the targets of chosen answers. Rows without a pair are learned beside them by their cross
entropy, a mean of its own: a step's loss is the sum of what its rows have.

A *reward* is ``beta * (log-probability - base's)`` of an answer; a pair is right where its chosen answer has
the greater one.

Cost: a second forward pass of micro-batches with pairs, without gradients.
Source: https://arxiv.org/abs/2305.18290 (DPO), https://arxiv.org/abs/2310.12036 (IPO),
https://arxiv.org/abs/2404.19733 (cross entropy of the chosen answer beside it)
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn import functional

from headrace.cluster.errors import ModelError
from headrace.pipelines.schema import IGNORE
from headrace.pipelines.train.batches import PREFERRED
from headrace.pipelines.train.config import Config, Preference
from headrace.pipelines.train.running import forward

Batch = Mapping[str, torch.Tensor]
TOLD = ("pairs", "accuracy", "margin", "chosen_reward", "rejected_reward")
PLAIN, PAIRS, CHOSEN = range(3)  # of `Objective.counts`


@dataclass(frozen=True)
class Answers:
    """Sums over the answers of a batch's P pairs, ``float32[P]``, and over its other rows, ``float32[]``.

    chosen, rejected: log-probabilities in nats; targets: ``int64[2, P]`` of both; plain: cross entropy of
    targets that belong to no pair.
    """

    chosen: torch.Tensor
    rejected: torch.Tensor
    targets: torch.Tensor
    plain: torch.Tensor


def answers(model: Any, batch: Batch) -> Answers:
    """What a model says of the targets of a batch of packed rows, in one forward pass."""
    half = getattr(model, "dtype", torch.float32) == torch.bfloat16
    with torch.autocast(batch["input_ids"].device.type, torch.bfloat16, enabled=half):
        nats, places = forward.target_nats(model, batch)
    length = batch["labels"].shape[1]
    preferred = batch[PREFERRED].flatten()[places + 1]
    segment = batch["segment_ids"].flatten()[places + 1] - (preferred < 0).long()  # of the chosen one
    count, number = _pairs(batch)
    pair = number[places // length, segment]
    sides, sizes = [], []
    for sign in (1, -1):
        own = preferred == sign
        summed = torch.zeros(count, dtype=nats.dtype, device=nats.device)
        sides.append(summed.index_add(0, pair[own], -nats[own]))
        sizes.append(torch.bincount(pair[own], minlength=count))
    return Answers(sides[0], sides[1], torch.stack(sizes), nats[preferred == 0].sum())


def _pairs(batch: Batch) -> tuple[int, torch.Tensor]:
    """How many pairs a batch has targets of, and the number of each by row and segment of its chosen answer,
    ``int64[B, S]``.
    """
    preferred, segments = batch[PREFERRED][:, 1:], batch["segment_ids"][:, 1:]
    targets = batch["labels"][:, 1:] != IGNORE
    width = int(batch["segment_ids"].max()) + 1
    there = torch.zeros(len(preferred), width, dtype=torch.bool, device=preferred.device)
    row, place = (targets & (preferred > 0)).nonzero(as_tuple=True)
    there[row, segments[row, place]] = True
    number = (there.flatten().cumsum(0) - 1).view_as(there)
    return int(there.sum()), number


def losses(model: Answers, base: Answers, config: Preference) -> tuple[torch.Tensor, torch.Tensor]:
    """Loss of each pair ``float32[P]``, and the rewards of both answers ``float32[2, P]``."""
    gains = torch.stack([model.chosen - base.chosen, model.rejected - base.rejected])
    if config.loss == "ipo":
        each = gains / model.targets.clamp(min=1)
        return (each[0] - each[1] - 1 / (2 * config.beta)) ** 2, config.beta * gains.detach()
    margin = config.beta * (gains[0] - gains[1])
    smooth = config.label_smoothing
    loss = -(1 - smooth) * functional.logsigmoid(margin) - smooth * functional.logsigmoid(-margin)
    return loss, config.beta * gains.detach()


def base_answers(model: Any, batch: Batch) -> Answers:
    """What the base model says: the model with its adapter switched off, and without dropout.

    Raises: ModelError for a model without an adapter.
    """
    if not hasattr(model, "disable_adapter"):
        raise ModelError(NO_BASE)
    training = model.training
    model.eval()
    try:
        with torch.no_grad(), model.disable_adapter():
            return answers(model, batch)
    finally:
        model.train(training)


NO_BASE = (
    "pairs of a chosen and a rejected answer are learned beside the base model, which is the model with its "
    "adapter switched off: train an adapter (train.method: lora), or leave out the source of pairs"
)


APART = (
    "both answers of a pair stand in one packed row, and this model cannot be run over packed rows, or "
    "train.packed is false: take a model that can, leave train.packed out, or leave out the source of pairs"
)


SPREAD = (
    "pairs are learned with the base model whole on every rank: set train.shard: none and leave "
    "train.offload out, or leave out the source of pairs"
)


def check(config: Config) -> None:
    """Whether pairs could be learned. Raises: ModelError where there is nothing to hold them against, or
    they would be taken apart.
    """
    if config.method == "full":
        raise ModelError(NO_BASE)
    if config.packed is False:
        raise ModelError(APART)
    if config.shard == "fsdp" or config.offload:
        raise ModelError(SPREAD)


def require(*, packed: bool, spread: bool) -> None:
    """Whether pairs can be learned by a model that is run in this way. Raises: ModelError."""
    if not packed:
        raise ModelError(APART)
    if spread:
        raise ModelError(SPREAD)


class Objective:
    """The loss of steps whose rows hold pairs, and what is told of them."""

    def __init__(self, config: Preference, device: torch.device) -> None:
        self._config = config
        self._sums = torch.zeros(len(TOLD), dtype=torch.float64, device=device)

    def counts(self, micro: Iterable[Batch], device: torch.device) -> torch.Tensor:
        """Of micro-batches, ``int64[3]``: targets that belong to no pair, pairs, targets of chosen ones."""
        counts = torch.zeros(3, dtype=torch.int64, device=device)
        for batch in micro:
            preferred = batch[PREFERRED][:, 1:]
            wanted = batch["labels"][:, 1:] != IGNORE
            counts[PLAIN] += (wanted & (preferred == 0)).sum()
            counts[PAIRS] += _pairs(batch)[0]
            counts[CHOSEN] += (wanted & (preferred > 0)).sum()
        return counts

    def part(self, model: Any, batch: Batch, counts: torch.Tensor) -> torch.Tensor:
        """What a micro-batch adds to the loss of its step; counts: of the whole step, over all ranks."""
        plain, pairs, chosen = counts.clamp(min=1).unbind()
        said = answers(model, batch)
        loss = said.plain / plain
        if len(said.chosen):
            of_pairs, rewards = losses(said, base_answers(model, batch), self._config)
            loss = loss + of_pairs.sum() / pairs
            if self._config.sft_weight:
                loss = loss - self._config.sft_weight * said.chosen.sum() / chosen
            self._note(rewards.double())
        return loss

    def _note(self, rewards: torch.Tensor) -> None:
        chosen, rejected = rewards
        right = (chosen > rejected).sum()
        told = (torch.full_like(right, len(chosen)), right, (chosen - rejected).sum())
        self._sums += torch.stack([*(one.double() for one in told), chosen.sum(), rejected.sum()])

    def taken(self) -> torch.Tensor:
        """Sums since the last call, by `TOLD`, ``float64[5]``: to be added up over all ranks."""
        taken, self._sums = self._sums, torch.zeros_like(self._sums)
        return taken


def told(sums: torch.Tensor) -> list[float] | None:
    """Means by `TOLD` of sums over all ranks; None where there was no pair."""
    pairs, *rest = (float(value) for value in sums)
    return [pairs, *(value / pairs for value in rest)] if pairs else None


def words(step: Sequence[float]) -> str:
    """A step's pairs in words, by `TOLD`."""
    pairs, accuracy, margin, *_ = step
    return f"{int(pairs):,} pairs, {accuracy:.0%} right, margin {margin:.3g}"


def over_steps(steps: Sequence[list[float] | None]) -> dict[str, Any]:
    """What run.json says of a training's pairs: the means of its last tenth of steps that had any, at least
    one, and how many pairs were learned in all. Empty where there were none.
    """
    held = [step for step in steps if step is not None]
    if not held:
        return {}
    last = held[-max(1, len(held) // 10) :]
    pairs = sum(step[0] for step in last)
    means = {
        name: round(sum(step[0] * step[at] for step in last) / pairs, 6) for at, name in enumerate(TOLD) if at
    }
    return {"pairs": int(sum(step[0] for step in held)), **means}
