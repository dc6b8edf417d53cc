"""One optimizer step, over the micro-batches of all ranks, and what is said where it cannot be made.

The loss of a step is the sum of the cross entropies of all its target tokens, over all ranks and
accumulation steps, divided by their number (nats a token). Averaging the means of ranks or of
micro-batches instead would weigh a target of a batch with few of them more than one of a full batch.
Source: https://huggingface.co/blog/gradient_accumulation

Gradients are summed by one collective a step over one flat tensor rather than by DDP's hooks: an
adapter's gradients are a few megabytes, the order of the sum is the same after a restart as before,
and ranks need not run as many micro-batches as each other.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
import torch.distributed as dist

from headrace.pipelines import trainings
from headrace.pipelines.schema import IGNORE
from headrace.pipelines.train import batches, models
from headrace.pipelines.train.parents import Parent
from headrace.pipelines.train.running import forward, routers
from headrace.pipelines.train.running.ways import Way

NAMED = 8  # rows that are named of those that give no number

if TYPE_CHECKING:
    from headrace.pipelines.train.config import Config
    from headrace.pipelines.train.preference import Objective

Batches = list[dict[str, torch.Tensor]]  # the micro-batches of a rank


class Stepped(NamedTuple):
    """What a step came to over all ranks: loss in nats a target, targets, norm of the gradients unclipped."""

    loss: float
    tokens: int
    norm: float


class BadStep(ArithmeticError):  # noqa: N818 - of a step, which may be left out
    """A step that no weight was changed for, and why."""

    def __init__(self, why: str, stepped: Stepped) -> None:
        super().__init__(why)
        self.stepped = stepped


def not_finite(loss: float, norm: float) -> str | None:
    """Why a step cannot be made of its loss and gradients; None where it can."""
    for what, value in (("loss", loss), ("gradient", norm)):
        if not math.isfinite(value):
            return f"the {what} is {value}"
    return None


@dataclass(frozen=True)
class Job:
    """A whole training, the same on every rank; plain data, so that it travels.

    key: identifies the training: checkpoints with another one are not gone on from.
    model_digest: of the model's content.
    epochs: steps of each epoch. ways: in which the model may be run, the one that is wanted most first.
    parent: the adapter that it goes on from. costs: the recipe's section. scorer: text of the file that
    scores answers.
    """

    run: str
    model: str
    base: str  # the model as the user names it
    config: "Config"
    seed: int
    key: str
    model_digest: str
    plan: batches.Plan
    epochs: tuple[int, ...]
    validation: batches.Shelf
    validate_every: int
    checkpoint_every: int
    ways: tuple[Way, ...]
    parent: Parent | None = None
    costs: Mapping[str, Any] | None = None
    scorer: str | None = None

    @property
    def home(self) -> str:
        """Where it leaves everything."""
        return trainings.home(self.run, self.key)

    @property
    def steps(self) -> int:
        """Steps of the whole training."""
        return sum(self.epochs)


@dataclass(frozen=True)
class Rank:
    """Which of how many, and the device it computes on."""

    number: int
    count: int
    device: torch.device

    def total(self, values: torch.Tensor) -> torch.Tensor:
        """Sum of `values` over all ranks, in place."""
        if self.count > 1:
            dist.all_reduce(values)
        return values

    def first(self, value: int) -> int:
        """The value that rank 0 has."""
        shared = torch.tensor([value], dtype=torch.int64, device=self.device)
        if self.count > 1:
            dist.broadcast(shared, 0)
        return int(shared)

    def gathered(self, value: Any) -> list[Any]:
        """What each rank has, in their order."""
        every = [value] * self.count
        if self.count > 1:
            dist.all_gather_object(every, value)
        return every


def loss_sum(model: Any, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    """Sum of the cross entropies of all targets of a batch, packed or padded, in nats: ``float32[]``.

    While a model is trained, with the loss of its routers, where that is asked for (`routers`).
    """
    half = getattr(model, "dtype", torch.float32) == torch.bfloat16 or getattr(model, models.MIXED, False)
    device = batch["input_ids"].device.type
    with routers.Balanced(model, batch) as balanced:
        with torch.autocast(device, torch.bfloat16, enabled=half):
            loss = forward.loss_sum(model, batch)
        return loss + balanced.added(targets(batch))


def targets(batch: dict[str, torch.Tensor]) -> torch.Tensor:
    """Number of targets of a batch, ``int64[]``: the first token of a row predicts nothing."""
    return (batch["labels"][:, 1:] != IGNORE).sum()


def step(
    model: Any,
    optimizer: torch.optim.Optimizer,
    micro: Batches,
    rank: Rank,
    rate: float,
    max_norm: float,
    salts: Sequence[int] = (),
    bad: Callable[[float, float], str | None] = not_finite,
    pairs: "Objective | None" = None,
) -> Stepped:
    """One optimizer step over the micro-batches of all ranks.

    micro: of this rank, perhaps none. salts: what the random numbers of each of them hang on. bad: tells by
    loss and norm why the step is not to be made, the same on all ranks. pairs: the loss where rows hold pairs
    of answers.

    Raises: BadStep, on all ranks alike and before a weight is changed.
    """
    model.train()
    none = torch.zeros((), dtype=torch.int64, device=rank.device)
    count = rank.total(sum((targets(batch) for batch in micro), none))
    counts = rank.total(pairs.counts(micro, rank.device)) if pairs is not None else none
    parameters = optimizer.param_groups[0]["params"]
    loss = torch.zeros(1, device=rank.device)
    for number, batch in enumerate(micro):
        if salts:
            torch.manual_seed(salts[number])
        if pairs is None:
            part = loss_sum(model, batch) / count.clamp(min=1)
        else:
            part = pairs.part(model, batch, counts)
        part.backward()
        loss += part.detach()
    _sum_gradients(parameters, loss, rank)
    norm = torch.nn.utils.clip_grad_norm_(parameters, max_norm or math.inf)
    # The one wait for the device in a step.
    of_step, tokens, unclipped = torch.stack([t.double() for t in (loss[0], count, norm)]).tolist()
    stepped = Stepped(of_step, int(tokens), unclipped)
    why = bad(stepped.loss, stepped.norm)
    if why is not None:
        optimizer.zero_grad()
        raise BadStep(why, stepped)
    optimizer.param_groups[0]["lr"] = rate
    optimizer.step()
    optimizer.zero_grad()
    return stepped


def _sum_gradients(parameters: list[torch.nn.Parameter], loss: torch.Tensor, rank: Rank) -> None:
    """Sum gradients and loss over all ranks, in one collective."""
    if rank.count == 1:
        return
    for parameter in parameters:
        if parameter.grad is None:  # no token went to this expert, or no row to this rank
            parameter.grad = torch.zeros_like(parameter)
    parts = [loss, *(p.grad.flatten() for p in parameters if p.grad is not None)]
    whole = rank.total(torch.cat(parts)).split([len(p) for p in parts])
    loss.copy_(whole[0])
    for parameter, summed in zip(parameters, whole[1:], strict=True):
        assert parameter.grad is not None
        parameter.grad.copy_(summed.view_as(parameter.grad))


def blame(
    job: Job,
    rank: Rank,
    model: Any,
    number: int,
    places: Sequence[int],
    rows: Sequence[Batches],
    most: float,
) -> str:
    """What a step comes from whose loss is no number, or beyond `most` nats a target: rows, or the steps
    before.

    places: of the rows of all micro-batches of this rank, in their order. rows: each of them alone, as the
    model takes it.
    """
    with torch.no_grad():
        bad = [_is_bad(model, row, most) for row in rows]
    # Rows behind them are run along with those of other ranks, and have no place.
    mine = [place for place, is_bad in zip(places, bad, strict=False) if is_bad]
    every = rank.gathered((mine, len(places)))
    found = sorted({place for of_rank, _ in every for place in of_rank})
    return _where(job, number, found, sum(count for _, count in every))


def _where(job: Job, number: int, places: list[int], rows: int) -> str:
    """What such a loss comes from: `places` are those of the step's `rows` that give one alone."""
    if 0 < len(places) <= rows // 2 or (places and number > 1 and rows == 1):
        ids = batches.row_ids(job.plan.shelf, places, NAMED)
        return (
            f"{len(places)} of its {rows} packed rows give such a loss on their own: look at the rows "
            f"{', '.join(map(str, ids))} that are in them, by `headrace explain {job.run} ROW`"
        )
    if places and number == 1:
        return (
            f"{len(places)} of its {rows} packed rows give such a loss: the model itself does; try "
            "train.precision: float32"
        )
    if number == 1:
        return "No row of it gives such a loss on its own, but its gradient does: try train.precision=float32"
    unclipped = "" if job.config.max_grad_norm else ", or set train.max_grad_norm"
    return (
        "It does not come from single rows (most give it, or none alone), so the steps before have gone too "
        f"far: lower train.learning_rate ({job.config.learning_rate:g}){unclipped}"
    )


def _is_bad(model: Any, row: Batches, most: float) -> bool:
    """Whether a row's loss is no number, or beyond `most` nats a target."""
    nats = sum(float(loss_sum(model, part)) for part in row)
    return not nats <= most * max(1, sum(int(targets(part)) for part in row))
