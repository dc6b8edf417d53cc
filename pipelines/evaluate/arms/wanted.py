"""Which arms a recipe asks for, and what the measurement of each hangs on.

An arm is a model with a way to ask it: the base alone (`BASE`), the tuned model (`TUNED`), the base with
examples (`shots_4_alike`, `shots_4_random`) or passages (`retrieval`) in its prompt, an earlier adapter
(`earlier`), a larger base (`larger`). Its key is a hash of all that decides what it answers, and of nothing
else: what was measured of it is taken up as long as that is what it was.

Cost: documents, a larger base and an earlier adapter are read once, to be hashed.
"""

from collections.abc import Mapping
from typing import NamedTuple

from headrace.cluster import ledger
from headrace.cluster.errors import ModelError
from headrace.pipelines import model_files
from headrace.pipelines.evaluate.arms import documents, others
from headrace.pipelines.evaluate.arms.shots import Draw
from headrace.pipelines.evaluate.config import FORCED, SHOTS, Config
from headrace.pipelines.train import batches, models, parents

VERSION = 1  # of what is asked, and how
BASE, TUNED, RETRIEVAL, EARLIER, LARGER = "base", "tuned", "retrieval", "earlier", "larger"
DRAWS: tuple[Draw, ...] = ("alike", "random")
# Keys of the recipe that decide what any arm is asked.
ASKED = ("split", "samples", "max_new_tokens", "batch_size", "precision", "attention")


class Shots(NamedTuple):
    """Examples in the prompt: how many, and how they are drawn."""

    k: int
    draw: Draw


def shots(config: Config) -> dict[str, Shots]:
    """By the arm's name the examples that a recipe asks for; the base alone is none of them."""
    several = sorted({k for k in config.shots if k})
    return {f"{SHOTS}{k}_{draw}": Shots(k, draw) for k in several for draw in DRAWS}


def keys(run: str, model: str, config: Config, seed: int, shelf: batches.Shelf) -> dict[str, str]:
    """The key of each arm that a recipe asks for beside the tuned model, in the order in which they are
    asked.

    Raises: ModelError, RecipeError, StorageError.
    """
    asked = {name: getattr(config, name) for name in ASKED}
    kinds = [_answered(config), "preference_accuracy" in config.metrics]
    base = ledger.key(VERSION, BASE, model_files.digest(model), asked, kinds, seed, shelf.digest)
    found = {BASE: base}
    few = shots(config)
    training = batches.shelf(run, "train").digest if few else ""
    found |= {name: ledger.key(base, name, training) for name in few}
    check(config, model)
    if config.documents is not None:
        about = [documents.digest(config.documents.path), config.documents.top, config.documents.words]
        found[RETRIEVAL] = ledger.key(base, RETRIEVAL, about)
    if config.earlier is not None:
        found[EARLIER] = ledger.key(base, EARLIER, parents.found(config.earlier, others.EARLIER).digest)
    if config.larger is not None and kinds[0]:
        found[LARGER] = ledger.key(base, LARGER, model_files.digest(config.larger))
    return found


def check(config: Config, model: str) -> None:
    """That what arms need beside the run is there and fits, as far as that is known before any work.

    Raises: ModelError, RecipeError, StorageError.
    """
    if config.documents is not None:
        documents.passages(config.documents.path, config.documents.words)
    if config.earlier is not None:
        parents.check(parents.found(config.earlier, others.EARLIER), model)
    if config.larger is not None:
        try:
            models.configuration(config.larger)
        except ModelError as error:
            raise ModelError(f"{others.LARGER}: {error}") from error


def _answered(config: Config) -> bool:
    """Whether any metric is one of answers."""
    return bool(set(config.metrics) - FORCED)


def tuned(base: str, card: Mapping[str, object]) -> str:
    """The key of the tuned model, beside that of its base and by the card of its adapter."""
    return ledger.key(base, TUNED, card["key"], card["step"])
