"""How a model is asked: answers to prompts, and the loss of what it is to say, a batch at a time.

Batches are committed one by one (`pieces`): what is there already is not asked again, and what is another
worker's share is left.

Cost: a generation a prompt, a forward pass a sample.
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from headrace.cluster.errors import ModelError
from headrace.pipelines.evaluate.arms.pieces import Group, Pieces
from headrace.pipelines.evaluate.config import Config
from headrace.pipelines.schema import IGNORE
from headrace.pipelines.train import batches
from headrace.pipelines.train.running import forward
from headrace.pipelines.train.running.ways import Way
from headrace.pipelines.train.watch import samples

LEAST_ANSWER = 16  # tokens that an answer may have, however short references are


class Manner(NamedTuple):
    """How models are asked: answers have at most `longest` tokens, `size` samples are run at once."""

    tokenizer: Any
    ends: set[int]
    longest: int
    size: int
    way: Way


def said(
    model: Any, asked: list[NDArray[np.int64]], manner: Manner, pieces: Pieces, what: str = "answers"
) -> tuple[list[tuple[str, str]], list[bool]] | None:
    """Reasoning and answer to each prompt, and whether it came to its end; None where others ask some."""

    def ask(group: Group) -> list[list[int]]:
        some = [asked[at] for at in group]
        made: list[list[int]] = samples.answered(
            model, some, manner.ends, manner.tokenizer, most=manner.longest
        )
        return made

    groups = samples.together(model, [len(ids) for ids in asked], manner.size)
    made = pieces.all(what, groups, len(asked), ask)
    if made is None:
        return None
    ended = [len(ids) > 0 and ids[-1] in manner.ends for ids in made]
    return samples.said(made, manner.tokenizer), ended


def sums(
    model: Any, chosen: list[samples.Sample], manner: Manner, pieces: Pieces, what: str = "losses"
) -> NDArray[np.float64] | None:
    """Nats, targets and right guesses of each sample, ``float64[N, 3]``; None where others ask some."""
    groups = samples.by_length([len(s.ids) for s in chosen], manner.size)

    def ask(group: Group) -> list[list[float]]:
        return _forced(model, [chosen[at] for at in group], manner.way).tolist()  # type: ignore[no-any-return]

    found = pieces.all(what, groups, len(chosen), ask)
    return None if found is None else np.array(found, np.float64).reshape(-1, 3)


def longest(lengths: Sequence[int], config: Config) -> int:
    """Tokens that an answer may have, by the lengths of the references."""
    if config.max_new_tokens != "auto":
        return config.max_new_tokens
    return max(LEAST_ANSWER, math.ceil(1.2 * float(np.quantile(lengths, 0.99)))) if lengths else LEAST_ANSWER


@torch.no_grad()
def _forced(model: Any, chosen: list[samples.Sample], way: Way) -> NDArray[np.float64]:
    """Nats, targets and right guesses of samples that are run at once, ``float64[N, 3]``."""
    length = max(len(sample.ids) for sample in chosen)
    rows = {n: np.zeros((len(chosen), length), np.int64) for n in batches.COLUMNS}
    rows["labels"][:] = IGNORE
    rows["position_ids"][:] = np.arange(length)
    for row, sample in enumerate(chosen):
        own = slice(0, len(sample.ids))
        rows["input_ids"][row, own], rows["labels"][row, own] = sample.ids, sample.labels
        rows["segment_ids"][row, own] = 1
    if not way.packed:
        rows = {n: rows[n] for n in ("input_ids", "labels")} | {"attention_mask": rows["segment_ids"]}
    logits, labels = forward.target_logits(model, forward.tensors(rows, model.device))
    nats = functional.cross_entropy(logits.transpose(1, 2), labels, ignore_index=IGNORE, reduction="none")
    counted = labels != IGNORE
    right = (logits.argmax(-1) == labels) & counted
    if not bool(torch.isfinite(nats).all()):
        raise ModelError("the model gives no finite loss on held-out samples; try precision: float32")
    return np.asarray(torch.stack([nats.sum(1), counted.sum(1), right.sum(1)], 1).double().cpu().numpy())
