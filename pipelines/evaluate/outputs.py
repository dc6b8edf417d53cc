"""What evaluation asks of a model: teacher-forced losses and greedy answers, with and without its adapter.

The torch half of `evaluate.run`, which draws the conclusions.

Cost: two passes and two generations of each sample.
"""

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional
from transformers import GenerationConfig

from headrace.cluster.errors import ModelError, SourceError
from headrace.pipelines import arrays
from headrace.pipelines.evaluate import answers
from headrace.pipelines.evaluate.config import FORCED, Config
from headrace.pipelines.schema import IGNORE
from headrace.pipelines.train import adapter, batches, forward, models, ways
from headrace.pipelines.train.ways import Way

LEAST_ANSWER = 16  # tokens that an answer may have, however short references are
FEWEST = 2  # tokens of a prompt: one alone is the tokenizer's start token


@dataclass(frozen=True)
class Sample:
    """One unpacked segment: ``int64[L]`` each; labels are -100 where there is no loss."""

    ids: NDArray[np.int64]
    labels: NDArray[np.int64]
    row_id: int = 0

    def span(self) -> tuple[int, int]:
        """Where the last run of target tokens starts and ends."""
        targets = np.flatnonzero(self.labels != IGNORE)
        breaks = np.flatnonzero(np.diff(targets) > 1)
        return int(targets[breaks[-1] + 1 if len(breaks) else 0]), int(targets[-1]) + 1


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


def measure(run: str, model: str, config: Config, shelf: batches.Shelf, seed: int) -> Outcome:
    """Both models on the drawn samples. Raises: ModelError, SourceError, StorageError."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    allowed = ways.candidates("auto", config.attention)
    kinds = models.kinds(models.configuration(model), model, (way.attention for way in allowed))
    base = models.load(model, models.precision(config.precision, device), kinds[0]).to(device)
    way = ways.proved(base, [way for way in allowed if way.attention in kinds], model)
    models.widened(base, adapter.tokens(run))
    configured = base.generation_config
    base.generation_config = GenerationConfig()  # whatever `generate` is not told it takes from the model's
    tokenizer = models.load_tokenizer(model)
    chosen = drawn(shelf, config.samples, seed)
    wanted = set(config.metrics) - FORCED
    places = [i for i, s in enumerate(chosen) if wanted and s.span()[0] >= FEWEST]
    room = _context(base)
    beyond = sum(chosen[i].span()[0] >= room for i in places)
    places = [i for i in places if chosen[i].span()[0] < room]
    asked = [chosen[i] for i in places]
    stops = _stops(configured, tokenizer, chosen)
    longest = _longest(asked, config)

    def one(of: Any) -> Measured:
        forced = _forced(of, chosen, config.batch_size, way)
        made = _generated(
            of, [s.ids[: s.span()[0]] for s in asked], config.batch_size, longest, stops, tokenizer
        )
        said = _said(made, tokenizer)
        unfinished = sum(not (len(ids) and ids[-1] in stops) for ids in made)
        return Measured(forced, [a for _, a in said], [r for r, _ in said], unfinished)

    before = one(base)
    tuned = adapter.load(run, base)
    tuned.generation_config = GenerationConfig()
    references = [s.ids[slice(*s.span())] for s in asked]
    prompts = [s.ids[: s.span()[0]] for s in asked]
    return Outcome(
        base=before,
        tuned=one(tuned),
        prompts=tokenizer.batch_decode(prompts, skip_special_tokens=False) if prompts else [],
        references=[answer for _, answer in _said(references, tokenizer)],
        beyond=beyond,
        longest=longest,
        row_ids=tuple(s.row_id for s in chosen),
        lengths=tuple(len(s.ids) for s in chosen),
        asked=tuple(places),
    )


def _longest(asked: Sequence[Sample], config: Config) -> int:
    """Tokens that an answer may have."""
    if config.max_new_tokens != "auto":
        return config.max_new_tokens
    lengths = [end - start for start, end in (s.span() for s in asked)]
    return max(LEAST_ANSWER, math.ceil(1.2 * float(np.quantile(lengths, 0.99)))) if lengths else LEAST_ANSWER


def _said(made: Sequence[Any], tokenizer: Any) -> list[tuple[str, str]]:
    """Reasoning and answer of what was said, without special tokens."""
    if not len(made):  # of nothing `batch_decode` makes one empty text
        return []
    plain = tokenizer.batch_decode(made, skip_special_tokens=True)
    whole = tokenizer.batch_decode(made, skip_special_tokens=False)
    special = re.compile("|".join(map(re.escape, tokenizer.all_special_tokens)) or "(?!)")
    found = []
    for text, marked in zip(plain, whole, strict=True):
        reasoning, answer = answers.apart(marked)
        found.append((special.sub("", reasoning), special.sub("", answer)) if reasoning else ("", text))
    return found


def _context(model: Any) -> float:
    """Tokens that the model's context holds, infinity where its configuration says nothing of it."""
    return getattr(model.config.get_text_config(), "max_position_embeddings", None) or math.inf


def drawn(shelf: batches.Shelf, most: int, seed: int) -> list[Sample]:
    """At most `most` samples of a split, drawn without replacement, in the order of packed/.

    Raises: SourceError where no sample has a target.
    """
    counts = [sum(batches.segments(chunk)) for chunk in shelf.chunks]
    total = sum(counts)
    generator = np.random.default_rng(seed)
    chosen = np.sort(generator.choice(total, min(most, total), replace=False))
    samples: list[Sample] = []
    for chunk, start, count in zip(shelf.chunks, arrays.offsets(counts), counts, strict=False):
        own = chosen[(chosen >= start) & (chosen < start + count)] - start
        if len(own):
            unpacked = list(_unpacked(chunk))
            samples += [unpacked[int(i)] for i in own]
    samples = [s for s in samples if (s.labels != IGNORE).any()]
    if not samples:
        raise SourceError("no held-out sample has a token with loss")
    return samples


def _unpacked(chunk: batches.Chunk) -> Iterator[Sample]:
    """The samples of a chunk, row by row."""
    rows, row_ids = batches.decoded(chunk), iter(batches.ids(chunk))
    for ids, labels, segments in zip(rows["input_ids"], rows["labels"], rows["segment_ids"], strict=True):
        for segment in range(1, int(segments.max(initial=0)) + 1):
            own = segments == segment
            yield Sample(ids[own].astype(np.int64), labels[own].astype(np.int64), next(row_ids))


def _by_length(lengths: Sequence[int], size: int) -> list[list[int]]:
    """Indices in groups of `size` of about one length."""
    order = sorted(range(len(lengths)), key=lambda i: (-lengths[i], i))
    return [order[i : i + size] for i in range(0, len(order), size)]


def _of_one_length(lengths: Sequence[int], size: int) -> list[list[int]]:
    """The same in groups of one length alone."""
    groups: dict[int, list[int]] = {}
    for i, length in enumerate(lengths):
        groups.setdefault(length, []).append(i)
    return [of[i : i + size] for of in groups.values() for i in range(0, len(of), size)]


@torch.no_grad()
def _forced(model: Any, samples: list[Sample], size: int, way: Way) -> NDArray[np.float64]:
    """Nats, targets and right guesses of each sample, ``float64[N, 3]``."""
    sums = np.zeros((len(samples), 3))
    for group in _by_length([len(s.ids) for s in samples], size):
        length = max(len(samples[i].ids) for i in group)
        rows = {n: np.zeros((len(group), length), np.int64) for n in batches.COLUMNS}
        rows["labels"][:] = IGNORE
        rows["position_ids"][:] = np.arange(length)
        for row, i in enumerate(group):
            own = slice(0, len(samples[i].ids))
            rows["input_ids"][row, own], rows["labels"][row, own] = samples[i].ids, samples[i].labels
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


def _stops(generation: GenerationConfig, tokenizer: Any, samples: list[Sample]) -> set[int]:
    """Tokens that end an answer: those of model and tokenizer, and added ones that end targets."""
    configured = generation.eos_token_id
    stops = {*(configured if isinstance(configured, list) else [configured]), tokenizer.eos_token_id} - {None}
    return stops | (
        {int(s.ids[s.span()[1] - 1]) for s in samples}
        & {*tokenizer.all_special_ids, *tokenizer.added_tokens_decoder}
    )


@torch.no_grad()
def _generated(
    model: Any, prompts: list[NDArray[np.int64]], size: int, longest: int, stops: set[int], tokenizer: Any
) -> list[list[int]]:
    """Greedy answers, `size` at once, each up to and with its stop token or `longest` tokens long.

    Prompts of several lengths are answered together where the model heeds the padding before them.
    """
    padding = next((i for i in (tokenizer.pad_token_id, *sorted(stops)) if i is not None), 0)
    limit = _context(model)
    answers: list[list[int]] = [[] for _ in prompts]
    lengths = [len(p) for p in prompts]
    groups = _by_length(lengths, size) if ways.pads_left(model) else _of_one_length(lengths, size)
    for group in groups:
        length = len(prompts[group[0]])
        ids = torch.full((len(group), length), padding, dtype=torch.int64)
        mask = torch.zeros_like(ids)
        for row, i in enumerate(group):
            ids[row, length - len(prompts[i]) :] = torch.from_numpy(prompts[i])
            mask[row, length - len(prompts[i]) :] = 1
        settings = GenerationConfig(
            do_sample=False,
            num_beams=1,
            max_new_tokens=int(max(1, min(longest, limit - length))),
            eos_token_id=sorted(stops) or None,
            pad_token_id=padding,
            use_cache=True,
        )
        made = model.generate(
            input_ids=ids.to(model.device), attention_mask=mask.to(model.device), generation_config=settings
        )
        for row, i in enumerate(group):
            answers[i] = _ended(made[row, length:].tolist(), stops)
    return answers


def _ended(ids: list[int], stops: set[int]) -> list[int]:
    end = next((i for i, token in enumerate(ids) if token in stops), len(ids) - 1)
    return ids[: end + 1]
