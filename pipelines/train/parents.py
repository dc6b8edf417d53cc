"""An earlier adapter, such as a training goes on from (`train.from`): found, read, and held against the
model.

What: a run of ours, whose card names the digest of its base; or a directory that peft has saved, whose
weights must have the shapes that the model asks for. Its configuration says rank, scale, targets and method;
the recipe says what is of this training alone (dropout).
"""

import os
import warnings
from typing import Any, NamedTuple

import peft
import xxhash
from safetensors.torch import load_file

from headrace.cluster import storage
from headrace.cluster.errors import ModelError
from headrace.pipelines import model_files
from headrace.pipelines.train import adapter

# By the key that names an adapter, the one that takes a whole model.
WHOLE = {"train.from": "model", "evaluate.earlier": "evaluate.larger"}


class Parent(NamedTuple):
    """folder: a local directory with its files; card: what our training said of it, None of another's;
    digest: of its content. key: of the recipe that names it.
    """

    path: str
    folder: str
    card: adapter.Card | None
    digest: str
    key: str = "train.from"

    def named(self) -> dict[str, Any]:
        """As the card of its child names it."""
        return {"path": self.path, "digest": self.digest, "key": (self.card or {}).get("key")}


def found(path: str, key: str = "train.from") -> Parent:
    """The adapter in a run, or in a directory of peft. Raises: ModelError, StorageError."""
    of_run = storage.exists(adapter.path(path, adapter.CARD))
    place = adapter.path(path) if of_run else path
    card = storage.read_object(storage.join(place, adapter.CARD))
    if card is not None and card.get("method") == "full":
        raise ModelError(
            f"{key}: {path!r} holds a whole model and no adapter: write `{WHOLE[key]}: {place}`, and leave "
            f"{key} out"
        )
    if not storage.exists(storage.join(place, adapter.CONFIG)):
        raise ModelError(
            f"{key}: {path!r} is neither a run with a finished adapter nor a directory with {adapter.CONFIG}"
        )
    if not storage.exists(storage.join(place, adapter.WEIGHTS)):
        raise ModelError(
            f"{key}: {path!r} has no {adapter.WEIGHTS}; headrace loads no other weights, as they may "
            "run code. Save the adapter again with peft's save_pretrained"
        )
    content = xxhash.xxh3_128()
    for file in (adapter.CONFIG, adapter.WEIGHTS):
        content.update(storage.read_bytes(storage.join(place, file)))
    return Parent(path, model_files.local(place), card, content.hexdigest(), key)


def again(parent: Parent) -> Parent:
    """The same adapter as another machine has it. Raises: ModelError where it has changed meanwhile."""
    there = found(parent.path, parent.key)
    if there.digest != parent.digest:
        raise ModelError(f"{parent.key}: {parent.path!r} has changed while this training ran; start it again")
    return there


def check(parent: Parent, model: str) -> None:
    """That an adapter of ours is of this model, by the digest of its content. Raises: ModelError."""
    wanted = (parent.card or {}).get("base_mark")
    if wanted is not None and wanted != model_files.digest(model):
        raise ModelError(
            f"{parent.key}: the adapter of {parent.path!r} was trained on another model "
            f"({(parent.card or {}).get('base')!r}) than {model!r}: set `model:` to that one, or leave "
            f"{parent.key} out"
        )


def fitted(base: Any, parent: Parent, dropout: float, name: str) -> Any:
    """`base` with a copy of the parent's adapter, to be trained. Raises: ModelError where it does not fit."""
    try:
        held = peft.PeftConfig.from_pretrained(parent.folder)
    except Exception as error:
        raise ModelError(
            f"{parent.key}: {adapter.CONFIG} of {parent.path!r} cannot be read "
            f"({model_files.first_line(error)})"
        ) from error
    if not isinstance(held, peft.LoraConfig):
        raise ModelError(
            f"{parent.key}: {parent.path!r} is an adapter by {held.peft_type.value}, and not by LoRA"
        )
    held.inference_mode, held.lora_dropout = False, dropout
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of a base by another name, of weights on no device
            model = peft.get_peft_model(base, held)
            weights = load_file(os.path.join(parent.folder, adapter.WEIGHTS))
            outcome = peft.set_peft_model_state_dict(model, weights)
    except (ValueError, RuntimeError, KeyError) as error:
        raise ModelError(_unfit(parent, name, model_files.first_line(error))) from error
    trained = {n for n, p in model.named_parameters() if p.requires_grad}
    lacking = [n for n in outcome.missing_keys if n in trained]
    if lacking or outcome.unexpected_keys:
        reason = f"{len(lacking)} weights are not in it and {len(outcome.unexpected_keys)} have no place"
        raise ModelError(_unfit(parent, name, reason))
    return model


def _unfit(parent: Parent, name: str, reason: str) -> str:
    what = f"{parent.key}: the adapter of {parent.path!r}"
    return f"{what} does not fit {name!r} ({reason}); it is of another model"
