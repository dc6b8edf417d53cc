"""Samples whose prompts hold more than the sample's own: token by token, so that nothing else of them
changes.

What: whatever is put into a prompt is put between its tokens, and carries no loss. Of the tokens before it,
the turns that a chat template has set, and the reference, each stays as it was packed: what is trained on
and what is asked here have the same template by construction.

Cost: a copy of each sample.
"""

from collections.abc import Collection
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from headrace.pipelines.schema import IGNORE
from headrace.pipelines.train.watch.samples import FEWEST, Sample

Ids = NDArray[np.int64]


class Room(NamedTuple):
    """Tokens that the model's context holds, and those of them that an answer is left."""

    context: float
    answer: int

    def fits(self, sample: Sample, more: int) -> bool:
        """Whether a sample has room for so many tokens more, and for its answer."""
        start, _ = sample.span()
        return max(len(sample.ids), start + self.answer) + more <= self.context


class Helped(NamedTuple):
    """Samples with help in their prompts, in their order. fewer: how many have room for less than they were
    to get; delimiter: what ends an answer beside its last token, "" where nothing does.
    """

    samples: list[Sample]
    fewer: int
    delimiter: str = ""


def has_prompt(sample: Sample) -> bool:
    """Whether there is anything before the answer; of plain text there is not."""
    return sample.span()[0] >= FEWEST


def start(sample: Sample, tokenizer: Any) -> int:
    """Where the text of a sample begins: behind the tokenizer's start token, where it stands there."""
    return int(tokenizer.bos_token_id is not None and int(sample.ids[0]) == tokenizer.bos_token_id)


def with_more(sample: Sample, at: int, more: Ids) -> Sample:
    """A sample with tokens more before the one at `at`."""
    ids = np.concatenate([sample.ids[:at], more, sample.ids[at:]])
    nothing = np.full(len(more), IGNORE, np.int64)
    labels = np.concatenate([sample.labels[:at], nothing, sample.labels[at:]])
    return Sample(ids, labels, sample.row_id)


def marks(tokenizer: Any) -> Collection[int]:
    """Tokens that stand for no text: those with which templates set turns apart."""
    return {*tokenizer.all_special_ids, *tokenizer.added_tokens_decoder}
