"""The adapter: fitted to a model by peft, as files, and as a finished training leaves it in `adapter/`.

::

    adapter/adapter_config.json  adapter_model.safetensors   what peft loads
            tokenizer.json ...                               the model's tokenizer
            headrace.json                                    the card, written last

Without its card an adapter is not finished. The card holds the key of the training, the model that the
adapter is of (its name and the digest of its content), the step and the validation loss there, the digest of
each side of packed/ at the time, and size and hash of every file.

A training leaves its adapter in its home, and a copy of it in the run (see `trainings`): a place is either.
"""

import json
import os
import tempfile
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import peft
import torch
import xxhash
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors

from headrace.cluster import storage
from headrace.cluster.errors import Fault, ModelError
from headrace.pipelines import model_files, trainings
from headrace.pipelines.train import models

if TYPE_CHECKING:
    from headrace.pipelines.train.config import Config

FOLDER, CARD = trainings.CARD.split("/")
WEIGHTS, CONFIG = "adapter_model.safetensors", "adapter_config.json"

Card = dict[str, Any]


def path(place: str, *parts: str) -> str:
    """A path below the adapter of a run, or of a training's home."""
    return storage.join(place, FOLDER, *parts)


def fitted(base: Any, config: "Config", name: str) -> Any:
    """`base` with a fresh adapter by peft, drawn from torch's generator. Raises: ModelError."""
    known = peft.utils.TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING
    wanted: Any = config.target_modules
    if wanted == "auto":
        wanted = known.get(base.config.model_type, "all-linear")
    lora = peft.LoraConfig(
        r=config.rank,
        lora_alpha=config.alpha,
        lora_dropout=config.dropout,
        target_modules=wanted if isinstance(wanted, str) else list(wanted),
        task_type="CAUSAL_LM",
    )
    try:
        return peft.get_peft_model(base, lora)
    except ValueError as error:
        reason = str(error).partition("\n")[0]
        raise ModelError(
            f"train.target_modules {config.target_modules!r} does not fit {name!r}: {reason}"
        ) from error


def files(model: Any, base: str) -> dict[str, bytes]:
    """The adapter of a peft model as the files that peft loads; `base` is named there as its base model.

    The same adapter gives the same bytes: sets of the configuration are sorted.
    """
    state = peft.get_peft_model_state_dict(model, save_embedding_layers=False)
    whole = {n: t.detach().to("cpu", torch.float32).contiguous() for n, t in sorted(state.items())}
    config = {
        **model.peft_config["default"].to_dict(),
        "base_model_name_or_path": base,
        "inference_mode": True,
    }
    config = {k: sorted(v) if isinstance(v, set) else v for k, v in config.items()}
    text = json.dumps(config, indent=2, sort_keys=True, default=str)
    return {WEIGHTS: save_tensors(whole, {"format": "pt"}), CONFIG: text.encode()}


def set_weights(model: Any, written: Mapping[str, bytes]) -> None:
    """Set the weights of a peft model's adapter from what `files` gave."""
    outcome = peft.set_peft_model_state_dict(model, load_tensors(written[WEIGHTS]))
    if outcome.unexpected_keys:
        raise Fault("the checkpoint holds weights that this adapter has no place for")


def write(place: str, written: dict[str, bytes], model: str, card: Card) -> None:
    """Write `adapter/`: the adapter's files, the tokenizer of `model`, and at last the card.

    Without a card meanwhile, as another's would stand beside these weights.

    Raises: ModelError (no tokenizer), StorageError.
    """
    storage.delete(path(place))
    with tempfile.TemporaryDirectory() as scratch:
        models.load_tokenizer(model).save_pretrained(scratch)
        tokenizer = {file: storage.read_bytes(os.path.join(scratch, file)) for file in os.listdir(scratch)}
    files = dict(sorted({**written, **tokenizer}.items()))
    for file, data in files.items():
        storage.put(path(place, file), data)
    sums = {file: {"size": len(data), "xxh3": xxhash.xxh3_64_hexdigest(data)} for file, data in files.items()}
    write_card(place, {**card, "files": sums})


def write_card(place: str, card: Card) -> None:
    """Say of the adapter that it is finished, and what it is. Raises: StorageError."""
    storage.put(path(place, CARD), json.dumps(card, indent=1).encode())


def make_current(run: str, key: str) -> None:
    """Put a copy of the adapter that the training `key` has left in the run's `adapter/`.

    What is there is copied to the home of its own training first, where it is not there already: older
    versions left it in the run alone. Raises: StorageError.
    """
    other = card(run)
    if other is not None and card(trainings.home(run, other["key"])) is None:
        _copy(run, trainings.home(run, other["key"]))
    _copy(trainings.home(run, key), run)


def _copy(place: str, target: str) -> None:
    """An adapter from one place to another, its card last."""
    storage.delete(path(target, CARD))
    storage.delete(path(target))
    files = [entry.path.rpartition(f"/{FOLDER}/")[2] for entry in storage.listing(path(place))]
    for file in sorted(files, key=lambda name: name == CARD):
        storage.put(path(target, file), storage.read_bytes(path(place, file)))


def card(place: str) -> Card | None:
    """The card of an adapter; None where there is no finished one, or what is there is no card."""
    held = storage.read_object(path(place, CARD))
    return held if held is not None and isinstance(held.get("key"), str) else None


def load(run: str, base: Any) -> Any:
    """`base` with the run's adapter, in evaluation mode. Raises: StorageError."""
    return peft.PeftModel.from_pretrained(base, model_files.local(path(run))).eval()
