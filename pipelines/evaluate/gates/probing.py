"""What the gates ask of base and tuned model beside the evaluation's own samples.

What: the loss on general text, the loss on some training rows, what training rows say, and, where the recipe
asks for it, answers to the battery and to items of the user's own.

Cost: two passes over 24 passages and as many training rows as are evaluated; the battery: two generations of
402 short answers. Up to `LOOKED` training rows are decoded, drawn at random where there are more.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from headrace.cluster.errors import SourceError
from headrace.pipelines.evaluate.battery import items
from headrace.pipelines.evaluate.battery.items import Item
from headrace.pipelines.evaluate.gates.config import Config
from headrace.pipelines.evaluate.gates.gate import Floats
from headrace.pipelines.evaluate.outputs import Loaded
from headrace.pipelines.schema import IGNORE
from headrace.pipelines.train import batches
from headrace.pipelines.train.watch.samples import Sample, drawn

LOOKED = 10_000  # training rows that are read
ANSWER = 200  # tokens of an answer to the battery
NO_TEMPLATE = "the tokenizer has no chat template, so the battery cannot be asked"


class Probed(NamedTuple):
    """What was asked. general, trained: (nats, tokens) of base and tuned, ``float64[N, 2]`` each; rows,
    answers: texts of training rows, and of their answers; items with both models' answers; unasked: why there
    are none.
    """

    general: tuple[Floats, Floats]
    trained: tuple[Floats, Floats]
    rows: list[str]
    answers: list[str]
    items: list[Item]
    base: list[str]
    tuned: list[str]
    unasked: str


def asked(config: Config) -> tuple[Item, ...]:
    """The items that a recipe wants asked. Raises: SourceError, StorageError."""
    own = items.of_user(config.items) if config.items is not None else ()
    return (*(items.battery() if config.battery else ()), *own)


def probe(loaded: Loaded, run: str, config: Config, most: int, seed: int) -> Probed:
    """Ask base and tuned model. most: training rows that they are run over.

    Raises: ModelError, SourceError, StorageError.
    """
    passages = [_passage(text, loaded) for text in items.general()]
    general = [sample for sample in passages if (sample.labels != IGNORE).any()]
    training = _training(run, seed)
    some = [training[int(at)] for at in np.linspace(0, len(training) - 1, min(most, len(training)))]
    fits = [sample for sample in some if len(sample.ids) <= loaded.room]
    chosen, prompts, unasked = _prompts(asked(config), loaded)
    said = _both(loaded, lambda: loaded.said(prompts, ANSWER)[0]) if prompts else ([], [])
    texts = loaded.tokenizer.batch_decode([s.ids for s in training], skip_special_tokens=True)
    spans = [s.ids[slice(*s.span())] for s in training]
    return Probed(
        general=_losses(loaded, general),
        trained=_losses(loaded, fits),
        rows=list(texts),
        answers=list(loaded.tokenizer.batch_decode(spans, skip_special_tokens=True)) if spans else [],
        items=chosen,
        base=said[0],
        tuned=said[1],
        unasked=unasked,
    )


def _both(loaded: Loaded, ask: Callable[[], Any]) -> tuple[Any, Any]:
    """What base and tuned model answer."""
    with loaded.without():
        before = ask()
    return before, ask()


def _losses(loaded: Loaded, samples: list[Sample]) -> tuple[Floats, Floats]:
    if not samples:
        return np.zeros((0, 2)), np.zeros((0, 2))
    base, tuned = _both(loaded, lambda: loaded.forced(samples)[:, :2])
    return base, tuned


def _passage(text: str, loaded: Loaded) -> Sample:
    """A text as a sample with loss on all but its first token, no longer than the context."""
    ids = np.array(loaded.tokenizer(text).input_ids, np.int64)
    ids = ids[: int(min(loaded.room, len(ids)))]
    labels = ids.copy()
    labels[:1] = IGNORE
    return Sample(ids, labels)


def _training(run: str, seed: int) -> list[Sample]:
    """Training rows, drawn where there are more than `LOOKED`; none where none has an answer."""
    try:
        return drawn(batches.shelf(run, "train"), LOOKED, seed)
    except SourceError:
        return []


def _prompts(wanted: tuple[Item, ...], loaded: Loaded) -> tuple[list[Item], list[NDArray[np.int64]], str]:
    """Items that have room in the context, the tokens that ask them, and why others are not asked."""
    if not wanted:
        return [], [], "the recipe asks no items: see gates.battery and gates.items"
    if not getattr(loaded.tokenizer, "chat_template", None):
        return [], [], NO_TEMPLATE
    chosen, prompts = [], []
    for item in wanted:
        turns = [{"role": role, "content": content} for role, content in item.turns]
        text = loaded.tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
        ids = np.array(loaded.tokenizer(text, add_special_tokens=False).input_ids, np.int64)
        if len(ids) + ANSWER <= loaded.room:
            chosen.append(item)
            prompts.append(ids)
    return chosen, prompts, "" if chosen else "no item has room in the model's context"
