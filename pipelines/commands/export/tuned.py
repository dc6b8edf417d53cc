"""The adapter of a run that is to be handed over: finished, whole, and of today's base and packed rows.

What: everything that an export is held against comes from here: the card that training left, the hash of
each file of `adapter/`, the digest of the base, and the packed rows that are held out.

Cost: reads the adapter's files and the base's once, to hash them.
"""

import json
import math
import os
from dataclasses import dataclass
from typing import Any

import xxhash

from headrace.cluster import storage
from headrace.cluster.errors import ModelError
from headrace.pipelines import model_files
from headrace.pipelines.evaluate import standing
from headrace.pipelines.passes import summary
from headrace.pipelines.recipe import Recipe
from headrace.pipelines.train import adapter, models


@dataclass(frozen=True)
class Tuned:
    """A finished adapter and what it is of.

    name: by which it stands beside others. base: the model as whoever loads the adapter is to name it, a hub
    name, an absolute directory or s3://; base_files: where its files lie here. config: adapter_config.json.
    """

    run: str
    name: str
    recipe: Recipe
    run_json: dict[str, Any]
    card: dict[str, Any]
    config: dict[str, Any]
    base: str
    base_files: str

    @property
    def scaling(self) -> float:
        """How often the adapter's output counts."""
        return scaling(self.config)


def scaling(config: dict[str, Any]) -> float:
    """alpha / rank of an adapter_config.json, or alpha / sqrt(rank) where it says so."""
    rank, alpha = float(config.get("r") or 1), float(config.get("lora_alpha") or 0)
    return alpha / (math.sqrt(rank) if config.get("use_rslora") else rank)


def read(recipe: Recipe, name: str) -> Tuned:
    """The adapter of the recipe's run.

    Raises: ModelError where there is none, or it is not what its card says, is stale, scaled otherwise than
    it was trained or of another base; StorageError.
    """
    run = recipe.output if storage.is_remote(recipe.output) else os.path.abspath(recipe.output)
    card = adapter.card(run)
    if card is None:
        raise ModelError(f"{run} has no finished adapter; run `headrace train` on its recipe first")
    models.configuration(recipe.model)
    assert recipe.model is not None, "configuration refuses it"
    if model_files.digest(recipe.model) != card.get("base_mark"):
        raise ModelError(
            f"wrong base: the adapter of {run} was trained on {card.get('base')!r} as it was then, and "
            f"{recipe.model!r} is another model now; set `model:` back, or run `headrace train` again"
        )
    run_json = summary.read(run)
    if words := standing.of_adapter(card, standing.digests(run_json)):
        raise ModelError(f"the adapter of {run} {words}")
    _require_whole(run, card)
    if adapter.CONFIG not in card["files"]:
        raise ModelError(
            f"{run} trained every weight (train.method: full), so that adapter/ is no adapter but a whole "
            "model, which transformers loads as it is: copy that directory, but for its headrace.json"
        )
    config = json.loads(storage.read_bytes(adapter.path(run, adapter.CONFIG)))
    _require_scaling(run, card, config)
    is_directory = not storage.is_remote(recipe.model) and os.path.isdir(recipe.model)
    return Tuned(
        run=run,
        name=name,
        recipe=recipe,
        run_json=run_json,
        card=card,
        config=config,
        base=os.path.abspath(recipe.model) if is_directory else recipe.model,
        base_files=model_files.local(recipe.model),
    )


def _require_whole(run: str, card: dict[str, Any]) -> None:
    """Raises: ModelError where a file of `adapter/` is not the one that training left."""
    if not isinstance(card.get("files"), dict):
        raise ModelError(f"the card of the adapter of {run} is of an older version; {standing.AGAIN}")
    for file, about in card["files"].items():
        try:
            data = storage.read_bytes(adapter.path(run, file))
        except FileNotFoundError:
            data = b""
        if xxhash.xxh3_64_hexdigest(data) != about["xxh3"]:
            what = "weights of another adapter" if file == adapter.WEIGHTS else "not the file"
            raise ModelError(
                f"adapter/{file} of {run} holds {what} than training left (its hash is not the card's); "
                f"remove {adapter.FOLDER}/, and run `headrace train` again, which does no step twice"
            )


def _require_scaling(run: str, card: dict[str, Any], config: dict[str, Any]) -> None:
    """Raises: ModelError where alpha and rank are not those of the training."""
    settings = card.get("settings") or {}
    if settings.get("train.from"):  # rank and alpha are those of the adapter that it went on from
        return
    for key, ours in (("train.rank", "r"), ("train.alpha", "lora_alpha")):
        if key in settings and float(settings[key]) != float(config.get(ours) or 0):
            raise ModelError(
                f"wrong scaling: adapter_config.json of {run} says {ours} {config.get(ours)}, and it was "
                f"trained with {key} {settings[key]}; {standing.AGAIN}"
            )
