"""What evaluation asks of a model: teacher-forced losses and greedy answers, with and without its adapter.

The torch half of `evaluate.run`, which draws the conclusions.

Cost: two passes and two generations of each sample.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional
from transformers import GenerationConfig

from headrace.cluster.errors import ModelError
from headrace.pipelines.evaluate.config import FORCED, Config
from headrace.pipelines.schema import IGNORE
from headrace.pipelines.train import adapter, batches, forward, models, ways
from headrace.pipelines.train.watch import samples
from headrace.pipelines.train.ways import Way

LEAST_ANSWER = 16  # tokens that an answer may have, however short references are


@dataclass(frozen=True)
class Measured:
    """One model on all samples. forced: nats, targets, right ones, ``float64[N, 3]``; answers without the
    `reasoning` before them.
    """

    forced: NDArray[np.float64]
    answers: list[str]
    reasoning: list[str]
    unfinished: int


@dataclass(frozen=True)
class Outcome:
    """Both models on the samples, with prompts and references of those that have a prompt.

    beyond: samples whose prompt leaves no room in the model's context, which nobody is asked for an answer.
    longest: tokens that an answer could have. row_ids, lengths (tokens): of every sample; asked: places of
    the samples that were answered.
    """

    base: Measured
    tuned: Measured
    prompts: list[str]
    references: list[str]
    beyond: int = 0
    longest: int = 0
    row_ids: tuple[int, ...] = ()
    lengths: tuple[int, ...] = ()
    asked: tuple[int, ...] = ()


def measure(
    run: str | None,
    model: str,
    config: Config,
    shelf: batches.Shelf,
    before: Measured | None,
    seed: int,
) -> Outcome:
    """Both models on the drawn samples; with no `run`, whose adapter makes the tuned one, the base as both.

    before: what the base was measured to be on the same samples; it is not asked again.

    Raises: ModelError, SourceError, StorageError.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    allowed = ways.candidates("auto", config.attention)
    kinds = models.kinds(models.configuration(model), model, (way.attention for way in allowed))
    base = models.load(model, models.precision(config.precision, device), kinds[0]).to(device)
    way = ways.proved(base, [way for way in allowed if way.attention in kinds], model)
    configured = base.generation_config
    base.generation_config = GenerationConfig()  # whatever `generate` is not told it takes from the model's
    tokenizer = models.load_tokenizer(model)
    chosen = samples.drawn(shelf, config.samples, seed)
    wanted = set(config.metrics) - FORCED
    places = [i for i, s in enumerate(chosen) if wanted and s.span()[0] >= samples.FEWEST]
    room = samples.context(base)
    beyond = sum(chosen[i].span()[0] >= room for i in places)
    places = [i for i in places if chosen[i].span()[0] < room]
    asked = [chosen[i] for i in places]
    ends = samples.stops(configured, tokenizer, chosen)
    longest = _longest(asked, config)

    def one(asking: Any) -> Measured:
        forced = _forced(asking, chosen, config.batch_size, way)
        prompts = [s.ids[: s.span()[0]] for s in asked]
        size = config.batch_size
        made = samples.generated(asking, prompts, ends, tokenizer, most=longest, size=size)
        said = samples.said(made, tokenizer)
        unfinished = sum(not (len(ids) and ids[-1] in ends) for ids in made)
        return Measured(forced, [a for _, a in said], [r for r, _ in said], unfinished)

    if before is None:
        before = one(base)  # before it has an adapter, which changes it in place
    references = [s.ids[slice(*s.span())] for s in asked]
    prompts = [s.ids[: s.span()[0]] for s in asked]
    return Outcome(
        base=before,
        tuned=before if run is None else one(adapter.load(run, base)),
        prompts=tokenizer.batch_decode(prompts, skip_special_tokens=False) if prompts else [],
        references=[answer for _, answer in samples.said(references, tokenizer)],
        beyond=beyond,
        longest=longest,
        row_ids=tuple(s.row_id for s in chosen),
        lengths=tuple(len(s.ids) for s in chosen),
        asked=tuple(places),
    )


def _longest(asked: Sequence[samples.Sample], config: Config) -> int:
    """Tokens that an answer may have."""
    if config.max_new_tokens != "auto":
        return config.max_new_tokens
    lengths = [end - start for start, end in (s.span() for s in asked)]
    return max(LEAST_ANSWER, math.ceil(1.2 * float(np.quantile(lengths, 0.99)))) if lengths else LEAST_ANSWER


@torch.no_grad()
def _forced(model: Any, chosen: list[samples.Sample], size: int, way: Way) -> NDArray[np.float64]:
    """Nats, targets and right guesses of each sample, ``float64[N, 3]``."""
    sums = np.zeros((len(chosen), 3))
    for group in samples.by_length([len(s.ids) for s in chosen], size):
        length = max(len(chosen[i].ids) for i in group)
        rows = {n: np.zeros((len(group), length), np.int64) for n in batches.COLUMNS}
        rows["labels"][:] = IGNORE
        rows["position_ids"][:] = np.arange(length)
        for row, i in enumerate(group):
            own = slice(0, len(chosen[i].ids))
            rows["input_ids"][row, own], rows["labels"][row, own] = chosen[i].ids, chosen[i].labels
            rows["segment_ids"][row, own] = 1
        if not way.packed:
            rows = {n: rows[n] for n in ("input_ids", "labels")} | {"attention_mask": rows["segment_ids"]}
        logits, labels = forward.target_logits(model, forward.tensors(rows, model.device))
        nats = functional.cross_entropy(logits.transpose(1, 2), labels, ignore_index=IGNORE, reduction="none")
        wanted = labels != IGNORE
        right = (logits.argmax(-1) == labels) & wanted
        if not bool(torch.isfinite(nats).all()):
            raise ModelError("the model gives no finite loss on held-out samples; try precision: float32")
        sums[group] = torch.stack([nats.sum(1), wanted.sum(1), right.sum(1)], 1).double().cpu().numpy()
    return sums
