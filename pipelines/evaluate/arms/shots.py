"""Examples in the prompt: what the base does when it is shown some training rows instead of being tuned on
them.

What: `k` training samples are set before each held-out one, drawn by likeness of their prompts (BM25, the
most alike nearest to the question) or at random, and never one whose prompt is the sample's own. An example
is the training sample's own tokens: as earlier turns where a template sets turns apart, without the start
token and the system's turn that both have; else as a text of its own, with an empty line behind it, at which
answers then end, too (where references have none; else behind its end token).

Where examples have no room in the context beside the answer, the least alike are left out, and counted.

Source: Brown et al. 2020, https://arxiv.org/abs/2005.14165 (examples in the prompt); Liu et al. 2022,
https://arxiv.org/abs/2101.06804 (drawn by likeness).
Cost: `POOL` training samples are decoded, drawn at random where there are more; prompts are as much longer.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np

from headrace.cluster.errors import SourceError
from headrace.pipelines.evaluate.arms import likeness, prompts
from headrace.pipelines.evaluate.arms.prompts import Helped, Ids, Room
from headrace.pipelines.evaluate.metrics import normalise
from headrace.pipelines.schema import IGNORE
from headrace.pipelines.train import batches
from headrace.pipelines.train.watch.samples import Sample, drawn

POOL = 10_000  # training samples that examples are taken from
GAP = "\n\n"  # between examples where no template sets turns apart

Draw = Literal["alike", "random"]


class Pool(NamedTuple):
    """Training samples to take examples from, and their prompts, no two of which are equal."""

    samples: list[Sample]
    prompts: list[str]


class Layout(NamedTuple):
    """How examples are written. gap: tokens between them where no template sets turns apart, none where each
    keeps its own end; marks: tokens that may begin a turn.
    """

    tokenizer: Any
    marks: frozenset[int]
    gap: Ids


def pool(shelf: batches.Shelf, tokenizer: Any, seed: int) -> Pool:
    """Training samples with a prompt. Raises: StorageError."""
    try:
        found = [s for s in drawn(shelf, POOL, seed) if prompts.has_prompt(s)]
    except SourceError:
        found = []
    first: dict[str, Sample] = {}
    for sample, text in zip(found, _asked(found, tokenizer), strict=True):
        first.setdefault(text, sample)
    return Pool(list(first.values()), list(first))


def helped(
    samples: Sequence[Sample],
    examples: Pool,
    tokenizer: Any,
    room: Room,
    k: int,
    draw: Draw,
    references: Sequence[str],
    seed: int,
) -> Helped:
    """Samples with up to `k` examples in their prompts; those without a prompt as they are."""
    marks = frozenset(prompts.marks(tokenizer))
    asked = [at for at, sample in enumerate(samples) if prompts.has_prompt(sample)]
    plain = all(_opener(samples[at], tokenizer, marks) is None for at in asked)
    gap = _gap(tokenizer, references) if plain else np.zeros(0, np.int64)
    layout = Layout(tokenizer, marks, gap)
    chosen = _chosen([samples[at] for at in asked], examples, tokenizer, k, draw, seed)
    found, fewer = list(samples), 0
    for at, numbers in zip(asked, chosen, strict=True):
        found[at], used = _set_before(samples[at], [examples.samples[n] for n in numbers], layout, room)
        fewer += used < k
    return Helped(found, fewer, GAP if len(gap) else "")


def _asked(samples: Sequence[Sample], tokenizer: Any) -> list[str]:
    """The prompts of samples as they are compared."""
    ids = [sample.ids[: sample.span()[0]] for sample in samples]
    texts = tokenizer.batch_decode(ids, skip_special_tokens=True) if ids else []
    return [normalise(text) for text in texts]


def _chosen(
    samples: Sequence[Sample], examples: Pool, tokenizer: Any, k: int, draw: Draw, seed: int
) -> Iterator[list[int]]:
    """Examples for each sample: the one that is nearest to the question last."""
    asked = _asked(samples, tokenizer)
    own = {text: at for at, text in enumerate(examples.prompts)}
    if draw == "alike":
        for text, near in zip(asked, likeness.nearest(asked, examples.prompts, k + 1), strict=True):
            yield [at for at in near if at != own.get(text)][:k][::-1]
        return
    for text, sample in zip(asked, samples, strict=True):
        generator = np.random.default_rng([seed % 2**64, sample.row_id, k])
        others = np.delete(np.arange(len(examples.prompts)), own.get(text, []))
        yield generator.choice(others, min(k, len(others)), replace=False).tolist()


def _set_before(sample: Sample, examples: Sequence[Sample], layout: Layout, room: Room) -> tuple[Sample, int]:
    """A sample behind as many of the examples as have room, the last ones first, and how many these are."""
    at = _turn(sample, layout)
    blocks: list[Ids] = []
    for example in reversed(examples):
        block = _block(example, sample, at, layout)
        if not room.fits(sample, sum(map(len, blocks)) + len(block)):
            break
        blocks.insert(0, block)
    if not blocks:
        return sample, 0
    return prompts.with_more(sample, at, np.concatenate(blocks)), len(blocks)


def _block(example: Sample, sample: Sample, at: int, layout: Layout) -> Ids:
    """The tokens of an example that stand before a sample's turn at `at`."""
    first = prompts.start(example, layout.tokenizer)
    turn = _turn(example, layout)
    if turn == at and np.array_equal(example.ids[:turn], sample.ids[:turn]):
        first = turn  # what both begin with stands there once
    if not len(layout.gap):
        return example.ids[first:]
    _, end = example.span()
    end -= int(example.ids[end - 1]) in layout.marks
    return np.concatenate([example.ids[first:end], layout.gap])


def _turn(sample: Sample, layout: Layout) -> int:
    """Where the turn begins to which a sample's first answer is one: behind the start token and a system's
    turn. Behind the start token alone where that cannot be told.
    """
    first = prompts.start(sample, layout.tokenizer)
    opener = _opener(sample, layout.tokenizer, layout.marks)
    if opener is None:
        return first
    answered = int(np.flatnonzero(sample.labels != IGNORE)[0])
    turns = np.flatnonzero(sample.ids[:answered] == opener)
    return int(turns[-2]) if len(turns) > 1 else first


def _opener(sample: Sample, tokenizer: Any, marks: frozenset[int]) -> int | None:
    """The token that begins a turn; None where no template sets turns apart."""
    token = int(sample.ids[prompts.start(sample, tokenizer)])
    return token if token in marks else None


def _gap(tokenizer: Any, references: Sequence[str]) -> Ids:
    """The tokens of an empty line; none where it cannot end an answer."""
    ids = tokenizer(GAP, add_special_tokens=False).input_ids
    usable = tokenizer.decode(ids) == GAP and not any(GAP in text.strip() for text in references)
    return np.array(ids if usable else [], np.int64)
