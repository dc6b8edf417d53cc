"""What is measured of a model while it is trained: its loss on validation rows, and on a few general texts.

Cost: a forward pass of `validation_rows` packed rows, shared by all ranks, and of some 500 tokens.
"""

from typing import Any

import numpy as np
import torch

from headrace.cluster.errors import ModelError
from headrace.pipelines.train import batches, forward, models, steps
from headrace.pipelines.train.steps import Job, Rank
from headrace.pipelines.train.watch import general


class Validation:
    """The validation rows, or the first `validation_rows` of them in shuffled order, and general texts."""

    def __init__(self, job: Job, rank: Rank) -> None:
        self.shelf = job.validation
        self._rows = job.config.batch_size
        plan = batches.Plan(job.validation, job.seed, max(1, job.validation.rows), {})
        order = plan.order(0)
        most = slice(0, job.config.validation_rows)
        own = order.places[most][rank.number :: rank.count]
        self._own = batches.Order(own, np.zeros_like(own))
        self._reader = batches.Reader(plan)
        self._texts = _texts(job, rank.device) if job.config.watch.forgetting else None

    @torch.no_grad()
    def loss(self, model: Any, rank: Rank) -> float | None:
        """Nats a target token over all ranks' rows; None where there are none."""
        if not self.shelf.rows:
            return None
        model.eval()
        sums = torch.zeros(2, dtype=torch.float64, device=rank.device)
        for first in range(0, len(self._own.places), self._rows):
            cut = slice(first, first + self._rows)
            chosen = batches.Order(self._own.places[cut], self._own.visits[cut])
            batch = forward.tensors(self._reader.read(chosen, 0), rank.device)
            sums += torch.stack([steps.loss_sum(model, batch).double(), steps.targets(batch).double()])
        rank.total(sums)
        return float(sums[0] / sums[1].clamp(min=1))

    @torch.no_grad()
    def general(self, model: Any) -> float | None:
        """Nats a token of the general texts, the same on every rank; None where they are not looked at."""
        if self._texts is None:
            return None
        model.eval()
        return float(steps.loss_sum(model, self._texts) / steps.targets(self._texts))


def _texts(job: Job, device: torch.device) -> dict[str, torch.Tensor] | None:
    try:
        return general.batch(models.load_tokenizer(job.model), device)
    except ModelError:  # a model without a tokenizer that can be loaded is trained all the same
        return None
