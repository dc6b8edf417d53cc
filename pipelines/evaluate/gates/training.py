"""What the training rows have in common with what a model says, and with the rows that it is held out from.

What: all packed training rows are read, a row group at a time: answers and references are looked for in the
training answers (`memory.Repeats`), evaluation rows in the training rows (`held_out.Leaks`), and some
training answers are drawn, by which an answer in the manner of the task is known (`confusion`). Where Ray is
up, parts of the row groups are read side by side: always the same parts, however many CPUs there are.

Cost: 0.2 ms a training row of 100 words, most of it decoding; memory for one row group, and for what is
looked for.
"""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
import ray
import xxhash

from headrace.cluster import session, stream
from headrace.pipelines import arrays
from headrace.pipelines.evaluate.gates import held_out, memory
from headrace.pipelines.schema import IGNORE
from headrace.pipelines.train import batches, models
from headrace.pipelines.train.watch import samples

PARTS = 16  # that row groups are read in
DRAWN = 2000  # training answers by which the manner of the task is known


class Sought(NamedTuple):
    """What is looked for: answers of the tuned model, references and prompts of the same samples, and what
    each asks and is answered as one text.
    """

    answers: list[str]
    references: list[str]
    prompts: list[str]
    rows: list[str]


class Seen:
    """What was found. drawn: training answers, by a number that hangs on seed and row alone."""

    def __init__(self, sought: Sought) -> None:
        texts = [*sought.answers, *sought.references]
        self.repeats = memory.Repeats(texts, [*sought.prompts, *sought.prompts])
        self.leaks = held_out.Leaks(sought.rows)
        self.drawn: list[tuple[int, str]] = []

    @property
    def answers(self) -> list[str]:
        """The answers that were drawn."""
        return [answer for _, answer in self.drawn]

    def look(self, rows: list[str], answers: list[str], ranks: Sequence[int]) -> None:
        """Show some training rows, with their answers and their numbers."""
        self.repeats.look(answers)
        self.leaks.look(rows)
        self.drawn = sorted([*self.drawn, *zip(ranks, answers, strict=True)])[:DRAWN]

    def add(self, other: "Seen") -> None:
        """What another has found of other rows."""
        self.repeats.add(other.repeats)
        self.leaks.add(other.leaks)
        self.drawn = sorted([*self.drawn, *other.drawn])[:DRAWN]


def look(run: str, model: str, sought: Sought, seed: int) -> Seen:
    """Look through all of packed/train. model: whose tokenizer it was packed with.

    Raises: ModelError, StorageError.
    """
    chunks = batches.shelf(run, "train").chunks
    work = partial(_of_chunks, model=model, sought=sought, seed=seed)
    parts = [part for k in range(PARTS) if (part := chunks[k::PARTS])]
    found: Iterator[Seen] = map(work, parts)
    if ray.is_initialized():
        found = stream.each(work, parts, workers=session.cpus(), name="training rows")
    seen = Seen(sought)
    for other in found:
        seen.add(other)
    return seen


def _of_chunks(chunks: Sequence[batches.Chunk], model: str, sought: Sought, seed: int) -> Seen:
    """Look through some row groups."""
    seen, tokenizer = Seen(sought), models.load_tokenizer(model)
    salt = np.uint64(xxhash.xxh3_64_intdigest(f"{seed}/looked".encode()))
    for chunk in chunks:
        own = [sample for sample in samples.unpacked(chunk) if (sample.labels != IGNORE).any()]
        if own:
            spans = [sample.ids[slice(*sample.span())] for sample in own]
            texts = tokenizer.batch_decode([sample.ids for sample in own], skip_special_tokens=True)
            answers = tokenizer.batch_decode(spans, skip_special_tokens=True)
            ids = np.array([sample.row_id for sample in own], np.uint64)
            seen.look(list(texts), list(answers), arrays.finalised(ids ^ salt).tolist())
    return seen
