"""What evaluation asks of a model: teacher-forced losses and greedy answers, with and without its adapter.

The torch half of `evaluate.run`, which draws the conclusions.

Cost: two passes and two generations of each sample.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional
from transformers import GenerationConfig

from headrace.cluster.errors import ModelError
from headrace.pipelines.evaluate.config import FORCED, Config
from headrace.pipelines.schema import IGNORE
from headrace.pipelines.train import adapter, batches, models
from headrace.pipelines.train.running import forward, ways
from headrace.pipelines.train.running.ways import Way
from headrace.pipelines.train.watch import samples

LEAST_ANSWER = 16  # tokens that an answer may have, however short references are


@dataclass(frozen=True)
class Measured:
    """One model on all samples. forced: nats, targets, right ones, ``float64[N, 3]``; answers without the
    `reasoning` before them; ended: whether each came to its end. pairs: log-probabilities of chosen and
    rejected answers, ``float64[P, 2]``.
    """

    forced: NDArray[np.float64]
    answers: list[str]
    reasoning: list[str]
    unfinished: int
    ended: tuple[bool, ...] = ()
    pairs: NDArray[np.float64] = field(default_factory=lambda: np.zeros((0, 2)))


@dataclass(frozen=True)
class Outcome:
    """Both models on the samples, with prompts and references of those that have a prompt.

    beyond: samples whose prompt leaves no room in the model's context, which nobody is asked for an answer.
    longest: tokens that an answer could have. row_ids, lengths (tokens): of every sample; asked: places of
    the samples that were answered; fits: whether the reference of each has room in `longest`. probed: what
    `also` made of the models.
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
    fits: tuple[bool, ...] = ()
    probed: Any = None


@dataclass(frozen=True)
class Loaded:
    """A model as it was and tuned, for whoever asks it something else.

    room: tokens that its context holds. forced: as in `Measured`. said: answers of at most so many tokens to
    prompts, and whether each came to its end. without: within it the model is as it was.
    """

    tokenizer: Any
    room: float
    forced: Callable[[list[samples.Sample]], NDArray[np.float64]]
    said: Callable[[list[NDArray[np.int64]], int], tuple[list[str], list[bool]]]
    without: Callable[[], AbstractContextManager[Any]]


def measure(
    run: str | None,
    model: str,
    config: Config,
    shelf: batches.Shelf,
    before: Measured | None,
    seed: int,
    also: Callable[[Loaded], Any] | None = None,
) -> Outcome:
    """Both models on the drawn samples; with no `run`, whose adapter makes the tuned one, the base as both.

    before: what the base was measured to be on the same samples; it is not asked again. also: is asked once
    more of both models, while they are loaded.

    Raises: ModelError, SourceError, StorageError.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    allowed = ways.candidates("auto", config.attention)
    kinds = models.kinds(models.configuration(model), model, (way.attention for way in allowed))
    base = models.load(model, models.precision(config.precision, device), kinds[0]).to(device)
    way = ways.proved(base, [way for way in allowed if way.attention in kinds], model)
    if run is not None:
        models.widened(base, adapter.tokens(run))
    configured = base.generation_config
    base.generation_config = GenerationConfig()  # whatever `generate` is not told it takes from the model's
    tokenizer = models.load_tokenizer(model)
    pairs: list[samples.Sample] = []
    if "preference_accuracy" in config.metrics:
        pairs = samples.drawn_pairs(shelf, config.samples, seed)
    chosen = samples.drawn(shelf, config.samples, seed, beside=len(pairs))
    wanted = set(config.metrics) - FORCED
    places = [i for i, s in enumerate(chosen) if wanted and s.span()[0] >= samples.FEWEST]
    room = samples.context(base)
    beyond = sum(chosen[i].span()[0] >= room for i in places)
    places = [i for i in places if chosen[i].span()[0] < room]
    asked = [chosen[i] for i in places]
    ends = samples.stops(configured, tokenizer, chosen)
    longest = _longest(asked, config)

    def made(
        asking: Any, prompts: list[NDArray[np.int64]], most: int
    ) -> tuple[list[tuple[str, str]], tuple[bool, ...]]:
        ids = samples.generated(asking, prompts, ends, tokenizer, most=most, size=config.batch_size)
        return samples.said(ids, tokenizer), tuple(len(one) > 0 and one[-1] in ends for one in ids)

    def one(asking: Any) -> Measured:
        forced = _forced(asking, chosen, config.batch_size, way)
        said, ended = made(asking, [s.ids[: s.span()[0]] for s in asked], longest)
        of_pairs = np.zeros((0, 2))
        if pairs:
            of_pairs = -_forced(asking, pairs, config.batch_size, way)[:, 0].reshape(-1, 2)
        return Measured(
            forced, [a for _, a in said], [r for r, _ in said], ended.count(False), ended, of_pairs
        )

    if before is None:
        before = one(base)  # before it has an adapter, which changes it in place
    tuned, probed = before, None
    if run is not None:
        loaded = adapter.load(run, base)
        loaded.generation_config = GenerationConfig()
        tuned = one(loaded)
        if also is not None:
            both = _Both(base, loaded)
            probed = also(
                Loaded(
                    tokenizer,
                    room,
                    lambda some: _forced(both.asked, some, config.batch_size, way),
                    lambda some, most: _texts(*made(both.asked, some, most)),
                    both.without,
                )
            )
    references = [s.ids[slice(*s.span())] for s in asked]
    prompts = [s.ids[: s.span()[0]] for s in asked]
    return Outcome(
        base=before,
        tuned=tuned,
        prompts=tokenizer.batch_decode(prompts, skip_special_tokens=False) if prompts else [],
        references=[answer for _, answer in samples.said(references, tokenizer)],
        beyond=beyond,
        longest=longest,
        row_ids=tuple(s.row_id for s in chosen),
        lengths=tuple(len(s.ids) for s in chosen),
        asked=tuple(places),
        fits=tuple(len(ids) <= longest for ids in references),
        probed=probed,
    )


class _Both:
    """A base model and the tuned one, which may be the base with an adapter; `asked` is the one of them."""

    def __init__(self, base: Any, tuned: Any) -> None:
        self._base, self.asked = base, tuned

    @contextmanager
    def without(self) -> Iterator[None]:
        """Within it the base is asked."""
        tuned = self.asked
        if hasattr(tuned, "disable_adapter"):
            with tuned.disable_adapter():
                yield
            return
        self.asked = self._base
        yield
        self.asked = tuned


def _texts(said: list[tuple[str, str]], ended: tuple[bool, ...]) -> tuple[list[str], list[bool]]:
    return [answer for _, answer in said], list(ended)


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
