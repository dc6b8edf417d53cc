"""Held-out samples, and a model's greedy answers to them: what evaluation and training measure by.

What: packed rows are taken apart into samples; of each, the prompt is everything before its last target span
and the reference is that span; the model goes on from the prompt greedily.

Cost: a generation of each sample, in batches of about one length.
"""

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import GenerationConfig

from headrace.cluster.errors import SourceError
from headrace.pipelines import arrays
from headrace.pipelines.evaluate import answers
from headrace.pipelines.schema import IGNORE
from headrace.pipelines.train import batches
from headrace.pipelines.train.running import ways

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


def drawn(shelf: batches.Shelf, most: int, seed: int, beside: int = 0) -> list[Sample]:
    """At most `most` samples of a split that belong to no pair, drawn without replacement, in the order of
    packed/. beside: samples that are measured beside them.

    Raises: SourceError where no sample has a target, and there is none beside.
    """
    samples = _at(shelf, [np.flatnonzero(batches.signs(chunk) == 0) for chunk in shelf.chunks], most, seed)
    samples = [s for s in samples if (s.labels != IGNORE).any()]
    if not samples and not beside:
        raise SourceError("no held-out sample has a token with loss")
    return samples


def drawn_pairs(shelf: batches.Shelf, most: int, seed: int) -> list[Sample]:
    """The samples of at most `most` pairs of a split: chosen, rejected, chosen, ..."""
    if not shelf.paired:
        return []
    places = [np.flatnonzero(batches.signs(chunk) > 0) for chunk in shelf.chunks]
    chosen = _at(shelf, places, most, seed)
    rejected = _at(shelf, [of + 1 for of in places], most, seed)
    return [sample for pair in zip(chosen, rejected, strict=True) for sample in pair]


def _at(shelf: batches.Shelf, places: Sequence[NDArray[np.int64]], most: int, seed: int) -> list[Sample]:
    """At most `most` of the samples at `places` of each chunk, drawn by `seed`."""
    counts = [len(of) for of in places]
    total = sum(counts)
    generator = np.random.default_rng(seed)
    chosen = np.sort(generator.choice(total, min(most, total), replace=False))
    samples: list[Sample] = []
    starts = arrays.offsets(counts)
    for chunk, start, of in zip(shelf.chunks, starts, places, strict=False):
        own = of[chosen[(chosen >= start) & (chosen < start + len(of))] - start]
        if len(own):
            every = list(unpacked(chunk))
            samples += [every[int(i)] for i in own]
    return samples


def unpacked(chunk: batches.Chunk) -> Iterator[Sample]:
    """The samples of a chunk, row by row."""
    rows, row_ids = batches.decoded(chunk), iter(batches.ids(chunk))
    for ids, labels, segments in zip(rows["input_ids"], rows["labels"], rows["segment_ids"], strict=True):
        for segment in range(1, int(segments.max(initial=0)) + 1):
            own = segments == segment
            yield Sample(ids[own].astype(np.int64), labels[own].astype(np.int64), next(row_ids))


def of_one_length(lengths: Sequence[int], size: int) -> list[list[int]]:
    """Indices in groups of at most `size` of one length alone."""
    groups: dict[int, list[int]] = {}
    for i, length in enumerate(lengths):
        groups.setdefault(length, []).append(i)
    return [of[i : i + size] for of in groups.values() for i in range(0, len(of), size)]


def by_length(lengths: Sequence[int], size: int) -> list[list[int]]:
    """Indices in groups of `size` of about one length."""
    order = sorted(range(len(lengths)), key=lambda i: (-lengths[i], i))
    return [order[i : i + size] for i in range(0, len(order), size)]


def said(made: Sequence[Any], tokenizer: Any) -> list[tuple[str, str]]:
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


def context(model: Any) -> float:
    """Tokens that the model's context holds, infinity where its configuration says nothing of it."""
    return getattr(model.config.get_text_config(), "max_position_embeddings", None) or math.inf


def stops(generation: GenerationConfig, tokenizer: Any, samples: list[Sample]) -> set[int]:
    """Tokens that end an answer: those of model and tokenizer, and added ones that end targets."""
    configured = generation.eos_token_id
    ends = {*(configured if isinstance(configured, list) else [configured]), tokenizer.eos_token_id} - {None}
    return ends | (
        {int(s.ids[s.span()[1] - 1]) for s in samples}
        & {*tokenizer.all_special_ids, *tokenizer.added_tokens_decoder}
    )


def generated(
    model: Any, prompts: list[NDArray[np.int64]], ends: set[int], tokenizer: Any, *, most: int, size: int
) -> list[list[int]]:
    """Greedy answers, each up to and with a token of `ends` or `most` long; `size` prompts at once."""
    found: list[list[int]] = [[] for _ in prompts]
    for group in together(model, [len(p) for p in prompts], size):
        made = answered(model, [prompts[i] for i in group], ends, tokenizer, most=most)
        for i, ids in zip(group, made, strict=True):
            found[i] = ids
    return found


def together(model: Any, lengths: Sequence[int], size: int) -> list[list[int]]:
    """Places of prompts of these lengths, in groups that are answered at once: of several lengths where the
    model heeds the padding before them.
    """
    return (by_length if ways.pads_left(model) else of_one_length)(lengths, size)


@torch.no_grad()
def answered(
    model: Any, prompts: list[NDArray[np.int64]], ends: set[int], tokenizer: Any, *, most: int
) -> list[list[int]]:
    """Greedy answers to some prompts at once, each up to and with a token of `ends` or `most` long."""
    padding = next((i for i in (tokenizer.pad_token_id, *sorted(ends)) if i is not None), 0)
    length = max(len(prompt) for prompt in prompts)
    ids = torch.full((len(prompts), length), padding, dtype=torch.int64)
    mask = torch.zeros_like(ids)
    for row, prompt in enumerate(prompts):
        ids[row, length - len(prompt) :] = torch.from_numpy(prompt)
        mask[row, length - len(prompt) :] = 1
    settings = GenerationConfig(
        do_sample=False,
        num_beams=1,
        max_new_tokens=int(max(1, min(most, context(model) - length))),
        eos_token_id=sorted(ends) or None,
        pad_token_id=padding,
        use_cache=True,
    )
    made = model.generate(
        input_ids=ids.to(model.device), attention_mask=mask.to(model.device), generation_config=settings
    )
    return [_ended(row[length:].tolist(), ends) for row in made]


def _ended(ids: list[int], ends: set[int]) -> list[int]:
    end = next((i for i, token in enumerate(ids) if token in ends), len(ids) - 1)
    return ids[: end + 1]
