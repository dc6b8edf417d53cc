"""What is measured of a model while it is trained: its loss on validation rows, the answers that it writes to
them, and its loss on a few general texts.

Cost: a forward pass of `validation_rows` packed rows, shared by all ranks, and of some 500 tokens;
a generation of `best_samples` answers where `best` is of answers.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from transformers import GenerationConfig

from headrace.cluster.errors import ModelError, SourceError
from headrace.pipelines.schema import IGNORE
from headrace.pipelines.train import batches, models, preference, sharding, steps
from headrace.pipelines.train.running import forward, ways
from headrace.pipelines.train.running.ways import Way
from headrace.pipelines.train.steps import Job, Rank
from headrace.pipelines.train.watch import general, samples, scorer


class Validation:
    """The validation rows, or the first `validation_rows` of them in shuffled order, and general texts."""

    def __init__(self, job: Job, rank: Rank, way: Way) -> None:
        self.shelf, self._way = job.validation, way
        self._rows, self._preference = job.config.batch_size, job.config.preference
        plan = batches.Plan(job.validation, job.seed, max(1, job.validation.rows), {})
        order = plan.order(0)
        most = slice(0, job.config.validation_rows)
        own = order.places[most][rank.number :: rank.count]
        self._own = batches.Order(own, np.zeros_like(own))
        self._reader = batches.Reader(plan)
        self._answers = Answers(job) if self.shelf.rows and job.config.best != scorer.LOSS else None
        self._texts = _texts(job) if job.config.watch.forgetting else None

    @torch.no_grad()
    def loss(self, model: Any, rank: Rank) -> float | None:
        """Nats a target token over all ranks' rows, of pairs what a step's loss is; None without rows."""
        if not self.shelf.rows:
            return None
        model.eval()
        if self.shelf.paired:
            return self._of_pairs(model, rank)
        parts = [part for batch in self._batches() for part in self._way.inputs(batch)]
        sums = _sums(model, parts, rank.device)
        for _ in range(sharding.missing(len(parts), model, rank)):
            steps.loss_sum(model, sharding.nothing(rank.device))
        rank.total(sums)
        return float(sums[0] / sums[1].clamp(min=1))

    def _of_pairs(self, model: Any, rank: Rank) -> float:
        pairs = preference.Objective(self._preference, rank.device)
        counts = rank.total(
            pairs.counts((forward.tensors(b, rank.device) for b in self._batches()), rank.device)
        )
        loss = torch.zeros((), dtype=torch.float64, device=rank.device)
        for batch in self._batches():
            loss += pairs.part(model, forward.tensors(batch, rank.device), counts).double()
        return float(rank.total(loss))

    def guessed(self, model: Any, rank: Rank) -> float | None:
        """Nats a target token of guessing by how often each token is one, over all ranks' rows; None without
        rows, and of pairs.
        """
        if not self.shelf.rows or self.shelf.paired:
            return None
        ids = [np.zeros(0, np.int64), *(b["labels"][b["labels"] != IGNORE] for b in self._batches())]
        vocabulary = int(model.config.get_text_config().vocab_size)
        counts = np.bincount(np.concatenate(ids), minlength=vocabulary)
        times = rank.total(torch.tensor(counts, dtype=torch.float64, device=rank.device))
        shares = times[times > 0] / times.sum()
        return float(-(shares * shares.log()).sum()) if len(shares) else None

    def _batches(self) -> Iterator[batches.Batch]:
        """This rank's rows, a few at a time."""
        for first in range(0, len(self._own.places), self._rows):
            cut = slice(first, first + self._rows)
            yield self._reader.read(batches.Order(self._own.places[cut], self._own.visits[cut]), 0)

    def metric(self, model: Any, rank: Rank) -> float | None:
        """Mean score of the answers to all ranks' samples; None where the best is told by the loss."""
        return None if self._answers is None else self._answers.mean(model, rank)

    @torch.no_grad()
    def general(self, model: Any) -> float | None:
        """Nats a token of the general texts, the same on every rank; None where they are not looked at."""
        if self._texts is None:
            return None
        model.eval()
        sums = _sums(model, self._way.inputs(self._texts), next(model.parameters()).device)
        return float(sums[0] / sums[1])


def _sums(model: Any, parts: Sequence[batches.Batch], device: torch.device) -> torch.Tensor:
    """Nats and targets of batches as the model takes them, ``float64[2]``."""
    sums = torch.zeros(2, dtype=torch.float64, device=device)
    for part in parts:
        taken = forward.tensors(part, device)
        sums += torch.stack([steps.loss_sum(model, taken).double(), steps.targets(taken).double()])
    return sums


class Answers:
    """Validation samples that are answered, dealt to the ranks like cards.

    Raises: SourceError where no validation sample has a prompt.
    """

    def __init__(self, job: Job) -> None:
        self._job = job
        self._tokenizer = models.load_tokenizer(job.model)
        drawn = samples.drawn(job.validation, job.config.best_samples, job.seed)
        self._asked = [s for s in drawn if s.span()[0] >= samples.FEWEST]
        if not self._asked:
            raise SourceError(
                f"train.best is {job.config.best}, and no sample of packed/validation has a prompt to "
                "answer; use validation_loss"
            )

    def mean(self, model: Any, rank: Rank) -> float:
        """Mean score over all samples, the same on every rank."""
        model.eval()
        config, own = self._job.config, self._asked[rank.number :: rank.count]
        own = [s for s in own if s.span()[0] < samples.context(model)]
        configured = model.generation_config
        ends = samples.stops(configured, self._tokenizer, self._asked)
        model.generation_config = GenerationConfig()  # what `generate` is not told it takes from there
        prompts = [s.ids[: s.span()[0]] for s in own]
        most, size = config.best_tokens, config.batch_size
        with ways.by_mask(model):
            made = samples.generated(model, prompts, ends, self._tokenizer, most=most, size=size)
        model.generation_config = configured
        references = [s.ids[slice(*s.span())] for s in own]
        said, wanted = (
            [answer for _, answer in samples.said(ids, self._tokenizer)] for ids in (made, references)
        )
        total = scorer.score(config.best, self._job.scorer, said, wanted)
        sums = torch.tensor([total, len(own)], dtype=torch.float64, device=rank.device)
        rank.total(sums)
        return float(sums[0] / sums[1].clamp(min=1))


def _texts(job: Job) -> batches.Batch | None:
    try:
        return general.batch(models.load_tokenizer(job.model))
    except ModelError:  # a model without a tokenizer that can be loaded is trained all the same
        return None
