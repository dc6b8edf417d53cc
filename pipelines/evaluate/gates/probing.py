"""What the gates ask of base and tuned model beside the evaluation's own samples.

What: the loss on general text, the loss on some training rows and their answers said again, what `probes`
asks, and, where the recipe asks for it, answers to the battery, to items of the user's own and to tasks of
lm-evaluation-harness.

Cost: two passes over 24 passages and as many training rows as are evaluated, a generation of `AGAIN` training
answers; the battery: two generations of 402 short answers; and that of `probes`.
"""

from typing import NamedTuple

import numpy as np
import xxhash
from numpy.typing import NDArray

from headrace.cluster import ledger, storage
from headrace.cluster.errors import SourceError
from headrace.pipelines.evaluate.arms.both import Loaded
from headrace.pipelines.evaluate.battery import items
from headrace.pipelines.evaluate.battery.items import Item
from headrace.pipelines.evaluate.gates import memory, probes
from headrace.pipelines.evaluate.gates.config import Config
from headrace.pipelines.evaluate.gates.gate import Bools, Floats, Unmeasured
from headrace.pipelines.evaluate.harness import asked as asked_tasks
from headrace.pipelines.evaluate.harness import tasks
from headrace.pipelines.schema import IGNORE
from headrace.pipelines.train import adapter, batches
from headrace.pipelines.train.watch import samples
from headrace.pipelines.train.watch.samples import Sample

VERSION = 3
AGAIN = 100  # training prompts that are answered, and held-out ones beside them
LONGEST = 256  # tokens of an answer that may be said again
ANSWER = 200  # tokens of an answer to the battery
NO_TEMPLATE = "the tokenizer has no chat template, so the battery cannot be asked"
TEMPLATE = "chat_template.jinja"  # beside an adapter: the one that its rows were packed with


class Probed(NamedTuple):
    """What was asked. general, trained: (nats, tokens) of base and tuned, ``float64[N, 2]`` each; items with
    both models' answers; unasked: why there are none; again: which training and held-out answers the tuned
    model says word for word; and what `probes` found, or why not.
    """

    general: tuple[Floats, Floats]
    trained: tuple[Floats, Floats]
    items: list[Item]
    base: list[str]
    tuned: list[str]
    unasked: str
    again: tuple[Bools, Bools]
    labels: probes.Labels | Unmeasured
    swaps: probes.Swaps | Unmeasured
    planted: probes.Planted | Unmeasured
    speed: probes.Speed | Unmeasured
    harness: asked_tasks.Answered | Unmeasured = Unmeasured(asked_tasks.NOT_ASKED)


def asked(config: Config) -> tuple[Item, ...]:
    """The items that a recipe wants asked. Raises: SourceError, StorageError."""
    own = items.of_user(config.items) if config.items is not None else ()
    return (*(items.battery() if config.battery else ()), *own)


def key(run: str, config: Config) -> str:
    """What decides what is asked: no threshold, and not what comes of a gate that rings.

    Raises: SourceError, StorageError.
    """
    place = storage.join(run, probes.SWAPS)
    swaps = xxhash.xxh3_64_hexdigest(storage.read_bytes(place)) if storage.exists(place) else ""
    parts = [VERSION, items.digest(asked(config)), swaps]
    return ledger.key(*parts, *([tasks.digest(config.harness)] if config.harness else []))


def check(config: Config) -> None:
    """That what the recipe wants asked is there, before any work. Raises: RecipeError, SourceError,
    StorageError, UserError.
    """
    if config.enabled:
        asked(config)
        tasks.digest(config.harness)


def probe(loaded: Loaded, run: str, split: str, config: Config, most: int, seed: int) -> Probed:
    """Ask base and tuned model. split, most: of the evaluation's samples, as many training rows are run.

    Raises: ModelError, SourceError, StorageError.
    """
    passages = [_passage(text, loaded) for text in items.general()]
    general = [sample for sample in passages if (sample.labels != IGNORE).any()]
    held = _fitting(run, split, most, seed, loaded.room)
    trained = _fitting(run, "train", 4 * most, seed, loaded.room)
    alike = _alike(trained, run, split)[:most]
    template = _template(run, loaded)
    chosen, prompts, unasked = _prompts(asked(config), loaded, template)
    said = probes.both(loaded, lambda: loaded.said("items", prompts, ANSWER)[0]) if prompts else ([], [])
    return Probed(
        general=_losses(loaded, "general", general),
        trained=_losses(loaded, "trained", alike),
        items=chosen,
        base=said[0],
        tuned=said[1],
        unasked=unasked,
        again=(_again(loaded, "trained", trained), _again(loaded, "held_out", held)),
        labels=probes.of_labels(loaded, _with_prompt(held)),
        swaps=probes.of_swaps(loaded, run, most, template),
        planted=probes.of_canaries(loaded, run),
        harness=asked_tasks.both(loaded, config.harness, template),
        speed=probes.of_speed(loaded, _with_prompt(held)),  # at the end: merging leaves weights rounded
    )


def _losses(loaded: Loaded, what: str, some: list[Sample]) -> tuple[Floats, Floats]:
    if not some:
        return np.zeros((0, 2)), np.zeros((0, 2))
    base, tuned = probes.both(loaded, lambda: loaded.forced(what, some)[:, :2])
    return base, tuned


def _passage(text: str, loaded: Loaded) -> Sample:
    """A text as a sample with loss on all but its first token, no longer than the context."""
    ids = np.array(loaded.tokenizer(text).input_ids, np.int64)
    ids = ids[: int(min(loaded.room, len(ids)))]
    labels = ids.copy()
    labels[:1] = IGNORE
    return Sample(ids, labels)


def _fitting(run: str, side: str, most: int, seed: int, room: float) -> list[Sample]:
    """Some rows of a side that have room in the context; none where none has an answer."""
    try:
        drawn = samples.drawn(batches.shelf(run, side), most, seed)
    except SourceError:
        return []
    return [sample for sample in drawn if len(sample.ids) <= room]


def _alike(trained: list[Sample], run: str, split: str) -> list[Sample]:
    """Training rows of files that rows are held out of: what is kept in training alone, as general rows that
    were mixed in, is another kind of rows, and would be told from held-out ones by that.
    """
    there = {row_id >> 32 for chunk in batches.shelf(run, split).chunks for row_id in batches.ids(chunk)}
    return [sample for sample in trained if sample.row_id >> 32 in there]


def _with_prompt(some: list[Sample]) -> list[Sample]:
    return [sample for sample in some if sample.span()[0] >= samples.FEWEST]


def _again(loaded: Loaded, what: str, some: list[Sample]) -> Bools:
    """Which of some answers are said again word for word."""
    short = [s for s in _with_prompt(some) if s.span()[1] - s.span()[0] <= LONGEST]
    return probes.recited(loaded, what, short[:AGAIN], memory.WHOLE)


def _template(run: str, loaded: Loaded) -> str | None:
    """The chat template that rows were packed with, else the tokenizer's own."""
    place = adapter.path(run, TEMPLATE)
    if storage.exists(place):
        return storage.read_bytes(place).decode()
    return getattr(loaded.tokenizer, "chat_template", None)


def _prompts(
    wanted: tuple[Item, ...], loaded: Loaded, template: str | None
) -> tuple[list[Item], list[NDArray[np.int64]], str]:
    """Items that have room in the context, the tokens that ask them, and why others are not asked."""
    if not wanted:
        return [], [], "the recipe asks no items: see gates.battery and gates.items"
    if not template:
        return [], [], NO_TEMPLATE
    chosen, prompts = [], []
    for item in wanted:
        turns = [{"role": role, "content": content} for role, content in item.turns]
        ids = probes.tokens_of(turns, loaded.tokenizer, template)
        if len(ids) + ANSWER <= loaded.room:
            chosen.append(item)
            prompts.append(ids)
    return chosen, prompts, "" if chosen else "no item has room in the model's context"
