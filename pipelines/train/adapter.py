"""The adapter: fitted to a model by peft, as files, and as a finished training leaves it in `adapter/`.

::

    adapter/adapter_config.json  adapter_model.safetensors   what peft loads; of a full training
            config.json  model*.safetensors                  what transformers loads
            tokenizer.json ...                               the model's tokenizer
            headrace.json                                    the card, written last

Without its card an adapter is not finished. The card holds the key of the training, the model that the
adapter is of (its name and the digest of its content), the method, the step and the validation loss there,
the digest of each side of packed/ at the time, and size and hash of every file.

A training leaves its adapter in its home, and a copy of it in the run (see `trainings`): a place is either.
"""

import json
import os
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import peft
import torch
import xxhash
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from transformers.pytorch_utils import Conv1D

from headrace.cluster import storage
from headrace.cluster.errors import Fault, ModelError
from headrace.pipelines import model_files, trainings
from headrace.pipelines.train import models

if TYPE_CHECKING:
    from headrace.pipelines.train.config import Config

FOLDER, CARD = trainings.CARD.split("/")
WEIGHTS, CONFIG = "adapter_model.safetensors", "adapter_config.json"
SHARD = "2GB"  # of a whole model's weights, a file at most
EMBEDDINGS = {"embed_tokens", "lm_head", "wte", "word_embeddings"}
# Models whose kernels read the weights of these layers past the layers: an adapter there would do nothing.
READING_PAST = {"falcon_h1", "mamba", "mamba2", "falcon_mamba", "nemotron_h"}
READ_PAST = ("out_proj", "conv1d")

Card = dict[str, Any]


def path(place: str, *parts: str) -> str:
    """A path below the adapter of a run, or of a training's home."""
    return storage.join(place, FOLDER, *parts)


def fitted(base: Any, config: "Config", name: str, tokens: Sequence[int] = ()) -> Any:
    """`base` as `train.method` asks: with a fresh adapter by peft, drawn from torch's generator, or itself
    with every weight to be trained. tokens: ids whose rows are trained beside the adapter.

    Raises: ModelError.
    """
    if config.method == "full":
        return base.requires_grad_(True)
    try:
        with warnings.catch_warnings():
            # peft looks for the pattern of experts among modules; it heeds it for parameters as well.
            warnings.filterwarnings("ignore", "The following (rank|alpha)_pattern keys", RuntimeWarning)
            return peft.get_peft_model(base, _lora(base, config, tokens))
    except ValueError as error:
        reason = str(error).partition("\n")[0]
        raise ModelError(
            f"train.target_modules {config.target_modules!r} does not fit {name!r}: {reason}"
        ) from error


def _lora(base: Any, config: "Config", tokens: Sequence[int]) -> peft.LoraConfig:
    """The adapter that a recipe describes, as peft takes it."""
    known = peft.utils.TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING
    wanted: Any = config.target_modules
    if wanted == "auto":
        wanted = known.get(base.config.model_type, "all-linear")
    named = {m.rpartition(".")[2] for m in config.modules_to_save}
    tied = base.config.get_text_config().tie_word_embeddings and named & EMBEDDINGS
    return peft.LoraConfig(
        r=config.rank,
        lora_alpha=config.alpha,
        lora_dropout=config.dropout,
        use_rslora=config.method == "rslora",
        use_dora=config.method == "dora",
        target_modules=wanted if isinstance(wanted, str) else list(wanted),
        exclude_modules=_excluded(base) or None,
        modules_to_save=list(config.modules_to_save) or None,
        ensure_weight_tying=bool(tied),
        trainable_token_indices={name: list(tokens) for name in _rows(base)} if tokens else None,
        task_type="CAUSAL_LM",
    )


def _excluded(base: Any) -> list[str]:
    """Linear layers that an adapter would break, or where it would do nothing."""
    odd = {
        name.rpartition(".")[2]
        for name, module in base.named_modules()
        if isinstance(module, torch.nn.Linear)
        and type(module).forward is not torch.nn.Linear.forward
        and not type(module).__module__.startswith("bitsandbytes")
    }  # routers that return more than a product
    return sorted({*odd, *(READ_PAST if base.config.model_type in READING_PAST else ())})


def _rows(base: Any) -> list[str]:
    """Names of the layers that have a row a token: the embedding, and the output where it has its own."""
    tied = base.config.get_text_config().tie_word_embeddings
    layers = [base.get_input_embeddings(), *([] if tied else [base.get_output_embeddings()])]
    return [n.rpartition(".")[2] for layer in layers for n, m in base.named_modules() if m is layer]


def tokens(run: str) -> int:
    """Tokens that what the run trained has rows for at least, 0 if it does not say. Raises: StorageError."""
    whole = storage.read_object(path(run, "config.json")) or {}
    return max(int(whole.get("vocab_size") or 0), tokens_of(path(run, CONFIG)))


def tokens_of(config: str) -> int:
    """`tokens` of an adapter's configuration. Raises: StorageError."""
    held = (storage.read_object(config) or {}).get("trainable_token_indices") or {}
    return max((int(i) + 1 for ids in held.values() for i in ids), default=0)


def without(model: Any) -> list[str]:
    """Kinds of layers (`mlp.shared_expert.up_proj`) of a peft model that have weights to multiply by and no
    adapter, the output and the embeddings left out.
    """
    base = model.get_base_model()
    whole = {id(m) for m in (base.get_input_embeddings(), base.get_output_embeddings())}
    fitted = {n.partition(".lora_")[0] for n, _ in base.named_parameters() if ".lora_" in n}
    kinds: dict[str, None] = {}
    for place, module in base.named_modules():
        own = [p for n, p in module.named_parameters(recurse=False) if p.dim() == 3]  # experts in one
        plain = isinstance(module, torch.nn.Linear | Conv1D) and ".lora_" not in place
        inside = place.removesuffix(".base_layer")
        if (plain or own) and id(module) not in whole and not any(f in (place, inside) for f in fitted):
            kinds[".".join(part for part in place.split(".")[-3:] if not part.isdigit())] = None
    return sorted(kinds)


def files(model: Any, base: str) -> dict[str, bytes]:
    """What is trained of a model as files: an adapter as peft loads it, `base` named there as its base model;
    or a whole model as transformers loads it.

    The same weights give the same bytes: sets of the configuration are sorted.
    """
    if not isinstance(model, peft.PeftModel):
        return _whole(model)
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


def _whole(model: Any) -> dict[str, bytes]:
    """A model as transformers saves it, its weights in files of `SHARD` at most."""
    with tempfile.TemporaryDirectory() as scratch:
        model.save_pretrained(scratch, max_shard_size=SHARD)
        return {file: storage.read_bytes(os.path.join(scratch, file)) for file in sorted(os.listdir(scratch))}


def set_weights(model: Any, written: Mapping[str, bytes]) -> None:
    """Set the trained weights of a model from what `files` gave."""
    if not isinstance(model, peft.PeftModel):
        with tempfile.TemporaryDirectory() as scratch:
            for file, data in written.items():
                storage.put(os.path.join(scratch, file), data)
            saved = models.load(scratch, model.dtype, model.config._attn_implementation)
        model.load_state_dict(saved.state_dict())
        return
    outcome = peft.set_peft_model_state_dict(model, load_tensors(written[WEIGHTS]))
    if outcome.unexpected_keys:
        raise Fault("the checkpoint holds weights that this adapter has no place for")


def write(place: str, written: dict[str, bytes], model: str, card: Card, template: str | None = None) -> None:
    """Write `adapter/`: the adapter's files, the tokenizer of `model`, and at last the card.

    template: the chat template that rows were packed with, where it is not the model's. Without a card
    meanwhile, as another's would stand beside these weights.

    Raises: ModelError (no tokenizer), StorageError.
    """
    storage.delete(path(place))
    with tempfile.TemporaryDirectory() as scratch:
        loaded = models.load_tokenizer(model)
        loaded.chat_template = template or loaded.chat_template
        loaded.save_pretrained(scratch)
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


def parent(card: Card) -> dict[str, Any] | None:
    """The adapter that a finished one went on from: its path, its digest, and its key where it is of ours."""
    held = card.get("parent")
    return held if isinstance(held, dict) else None


def load(run: str, base: Any) -> Any:
    """What the run trained, in evaluation mode: `base` with its adapter, or a whole model.

    Raises: ModelError, StorageError.
    """
    if (card(run) or {}).get("method") == "full":
        return models.load(path(run), base.dtype, base.config._attn_implementation).to(base.device)
    models.widened(base, tokens(run))
    return peft.PeftModel.from_pretrained(base, model_files.local(path(run))).eval()
