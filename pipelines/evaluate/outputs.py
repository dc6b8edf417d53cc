"""What evaluation asks of a model: teacher-forced losses and greedy answers, with and without its adapter.

The torch half of `evaluate.run`, which draws the conclusions.

Cost: two passes and two generations of each sample.
"""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

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

ADAPTED = "lora_"  # in the names of an adapter's weights
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
    prompts, and whether each came to its end. without: within it the model is as it was; merged: within it
    the adapter is merged into the weights, and what it gives is whether it could be; afterwards weights may
    differ by a rounding. timed: seconds that answers of just so many tokens take, and GiB.
    """

    tokenizer: Any
    room: float
    forced: Callable[[list[samples.Sample]], NDArray[np.float64]]
    said: Callable[[list[NDArray[np.int64]], int], tuple[list[str], list[bool]]]
    without: Callable[[], AbstractContextManager[Any]]
    merged: Callable[[], AbstractContextManager[bool]]
    timed: Callable[[list[NDArray[np.int64]], int], tuple[float, float]]


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
    base, way = base_of(run, model, config)
    configured = base.generation_config
    base.generation_config = GenerationConfig()  # whatever `generate` is not told it takes from the model's
    tokenizer = models.load_tokenizer(model)
    room = samples.context(base)
    drawn = _drawn(shelf, config, seed, room)
    ends = samples.stops(configured, tokenizer, drawn.chosen)
    manner = _Manner(tokenizer, ends, _longest(drawn.asked, config), config.batch_size, way)
    if before is None:
        before = _measured(base, drawn, manner)  # before it has an adapter, which changes it in place
    tuned, probed = before, None
    if run is not None:
        loaded = adapter.load(run, base)
        loaded.generation_config = GenerationConfig()
        tuned = _measured(loaded, drawn, manner)
        probed = also(_loaded(_Both(base, loaded), manner, room)) if also is not None else None
    references = [s.ids[slice(*s.span())] for s in drawn.asked]
    prompts = [s.ids[: s.span()[0]] for s in drawn.asked]
    return Outcome(
        base=before,
        tuned=tuned,
        prompts=tokenizer.batch_decode(prompts, skip_special_tokens=False) if prompts else [],
        references=[answer for _, answer in samples.said(references, tokenizer)],
        beyond=drawn.beyond,
        longest=manner.longest,
        row_ids=tuple(s.row_id for s in drawn.chosen),
        lengths=tuple(len(s.ids) for s in drawn.chosen),
        asked=tuple(drawn.places),
        fits=tuple(len(ids) <= manner.longest for ids in references),
        probed=probed,
    )


class _Manner(NamedTuple):
    """How both models are asked: answers have at most `longest` tokens, `size` samples are run at once."""

    tokenizer: Any
    ends: set[int]
    longest: int
    size: int
    way: Way


class _Drawn(NamedTuple):
    """Samples to measure by. pairs: chosen and rejected answers by turns; places: of those among the chosen
    ones that are answered; beyond: how many have no room for an answer.
    """

    chosen: list[samples.Sample]
    pairs: list[samples.Sample]
    places: list[int]
    beyond: int

    @property
    def asked(self) -> list[samples.Sample]:
        """The samples that are answered."""
        return [self.chosen[place] for place in self.places]


def base_of(run: str | None, model: str, config: Config) -> tuple[Any, Way]:
    """The base model, with room for what the run has trained, and how it is run.

    Raises: ModelError, StorageError.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    allowed = ways.candidates("auto", config.attention)
    kinds = models.kinds(models.configuration(model), model, (way.attention for way in allowed))
    base = models.load(model, models.precision(config.precision, device), kinds[0]).to(device)
    way = ways.proved(base, [way for way in allowed if way.attention in kinds], model)
    if run is not None:
        models.widened(base, adapter.tokens(run))
    return base, way


def _drawn(shelf: batches.Shelf, config: Config, seed: int, room: float) -> _Drawn:
    """The samples that the recipe asks for; `room`: tokens of the model's context."""
    pairs: list[samples.Sample] = []
    if "preference_accuracy" in config.metrics:
        pairs = samples.drawn_pairs(shelf, config.samples, seed)
    chosen = samples.drawn(shelf, config.samples, seed, beside=len(pairs))
    answered = bool(set(config.metrics) - FORCED)
    prompts = [s.span()[0] if answered else 0 for s in chosen]
    places = [i for i, length in enumerate(prompts) if samples.FEWEST <= length < room]
    return _Drawn(chosen, pairs, places, sum(length >= max(room, samples.FEWEST) for length in prompts))


def _said(
    model: Any, prompts: list[NDArray[np.int64]], most: int, manner: _Manner
) -> tuple[list[tuple[str, str]], list[bool]]:
    """Reasoning and answer to each prompt, and whether it came to its end."""
    made = samples.generated(model, prompts, manner.ends, manner.tokenizer, most=most, size=manner.size)
    ended = [len(ids) > 0 and ids[-1] in manner.ends for ids in made]
    return samples.said(made, manner.tokenizer), ended


def _measured(model: Any, drawn: _Drawn, manner: _Manner) -> Measured:
    """One model on all samples."""
    forced = _forced(model, drawn.chosen, manner.size, manner.way)
    prompts = [s.ids[: s.span()[0]] for s in drawn.asked]
    said, ended = _said(model, prompts, manner.longest, manner)
    of_pairs = np.zeros((0, 2))
    if drawn.pairs:
        of_pairs = -_forced(model, drawn.pairs, manner.size, manner.way)[:, 0].reshape(-1, 2)
    answers, reasoning = [a for _, a in said], [r for r, _ in said]
    return Measured(forced, answers, reasoning, ended.count(False), tuple(ended), of_pairs)


def _loaded(both: "_Both", manner: _Manner, room: float) -> Loaded:
    """Both models, for whoever asks them something else."""

    def said(prompts: list[NDArray[np.int64]], most: int) -> tuple[list[str], list[bool]]:
        made, ended = _said(both.asked, prompts, most, manner)
        return [answer for _, answer in made], ended

    def forced(some: list[samples.Sample]) -> NDArray[np.float64]:
        sums: NDArray[np.float64] = _forced(both.asked, some, manner.size, manner.way)
        return sums

    def timed(prompts: list[NDArray[np.int64]], tokens: int) -> tuple[float, float]:
        return both.timed(
            lambda: samples.generated(
                both.asked, prompts, set(), manner.tokenizer, most=tokens, size=len(prompts)
            )
        )

    return Loaded(manner.tokenizer, room, forced, said, both.without, both.merged, timed)


class _Both:
    """A base model and the tuned one, which may be the base with an adapter; `asked` is the one of them."""

    def __init__(self, base: Any, tuned: Any) -> None:
        self._base, self.asked = base, tuned
        self.adapted = hasattr(tuned, "disable_adapter")  # whether an adapter stands beside the weights now

    @contextmanager
    def without(self) -> Iterator[None]:
        """Within it the base is asked."""
        tuned = self.asked
        if self.adapted:
            self.adapted = False
            with tuned.disable_adapter():
                yield
            self.adapted = True
            return
        self.asked = self._base
        yield
        self.asked = tuned

    @contextmanager
    def merged(self) -> Iterator[bool]:
        """Within it the adapter is merged into the weights, where there is one that can be."""
        able = self.adapted
        try:
            if able:
                self.asked.merge_adapter(safe_merge=False)
        except (ValueError, NotImplementedError, RuntimeError):  # of weights that nothing can be added to
            able = False
        self.adapted = self.adapted and not able
        yield able
        if able:
            self.asked.unmerge_adapter()
            self.adapted = True

    def timed(self, work: Callable[[], object]) -> tuple[float, float]:
        """Seconds that some work of the asked model takes, and GiB: of its weights, on a GPU with what the
        work needs beside them.
        """
        gpu = self.asked.device.type == "cuda"
        held = sum(
            p.numel() * p.element_size()
            for name, p in self.asked.named_parameters()
            if self.adapted or ADAPTED not in name
        )
        before = 0
        if gpu:
            torch.cuda.synchronize()
            torch.cuda.reset_peak_memory_stats(self.asked.device)
            before = torch.cuda.memory_allocated(self.asked.device)
        started = time.perf_counter()
        work()
        if gpu:
            torch.cuda.synchronize()
            held += torch.cuda.max_memory_allocated(self.asked.device) - before
        return time.perf_counter() - started, held / 2**30


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
