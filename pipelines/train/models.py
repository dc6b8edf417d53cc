"""Causal language models: look at one, load one.

What: a model is a directory (local or s3://) or a hub name. Weights come as safetensors only and no
code of a model's is run. An s3:// directory is copied once to the user's cache.
"""

import inspect
import os
import tempfile
from typing import Any

import torch
import transformers

from headrace.cluster import storage
from headrace.cluster.errors import ModelError
from headrace.pipelines import model_files
from headrace.pipelines.train.config import Attention, Precision

NO_MODEL = "no model is set; set `model:` in the recipe to a model directory, an s3:// one or a hub name"


def configuration(model: str | None) -> Any:
    """The configuration of a causal language model with safetensors; no weight is read.

    Raises: ModelError that says what is missing, StorageError.
    """
    if not model:
        raise ModelError(NO_MODEL)
    if storage.is_remote(model) or os.path.isdir(model):
        names = {e.path.rsplit("/", 1)[-1] for e in storage.listing(model)}
        if "config.json" not in names:
            raise ModelError(f"{model!r} is not a model directory: it has no config.json")
        if not any(n.endswith(".safetensors") for n in names):
            raise ModelError(
                f"{model!r} has no *.safetensors; headrace loads no other weights, as they may run code. "
                "Save the model again with transformers' save_pretrained"
            )
    elif os.path.exists(model) or model.startswith(("/", "./", "../", "~")):
        raise ModelError(f"{model!r} is not a directory; give a model directory, an s3:// one or a hub name")
    described = _described(model)
    if type(described) not in transformers.MODEL_FOR_CAUSAL_LM_MAPPING:
        raise ModelError(f"{model!r} is no causal language model; its model_type is {described.model_type!r}")
    return described


def _described(model: str) -> Any:
    """What config.json says, of a directory or from the hub."""
    with tempfile.TemporaryDirectory() as scratch:
        place = model
        if storage.is_remote(model):
            place = scratch
            storage.put(
                storage.join(scratch, "config.json"), storage.read_bytes(storage.join(model, "config.json"))
            )
        try:
            return transformers.AutoConfig.from_pretrained(place, trust_remote_code=False)
        except Exception as error:
            raise ModelError(
                f"no model's configuration could be read from {model!r}: {model_files.first_line(error)}"
            ) from error


def load(model: str, dtype: torch.dtype, attention: Attention) -> Any:
    """The model with its weights in `dtype`, in evaluation mode. Raises: ModelError, StorageError."""
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    try:
        loaded = transformers.AutoModelForCausalLM.from_pretrained(
            model_files.local(model),
            dtype=dtype,
            attn_implementation=built_with(attention),
            use_safetensors=True,
            trust_remote_code=False,
        )
    except Exception as error:
        raise ModelError(
            f"no model could be loaded from {model!r}: {model_files.first_line(error)}"
        ) from error
    return prepared(loaded, repr(model))


def built_with(attention: Attention) -> str | None:
    """The attention that a model is built with before `forward.settle`: None is its own choice."""
    return attention if attention in ("sdpa", "eager") else None


def prepared(model: Any, name: str) -> Any:
    """A model as it is run over packed rows: for its logits alone. Raises: ModelError."""
    if "position_ids" not in inspect.signature(model.forward).parameters:
        raise ModelError(f"{name} takes no position_ids, so samples in a packed row would not be apart")
    for config in (model.config, model.config.get_text_config()):
        config.use_cache = False
        if hasattr(
            config, "output_router_logits"
        ):  # for a loss that is not ours, from a mask of another form
            config.output_router_logits = False
    return model.eval()


def load_tokenizer(model: str) -> Any:
    """The model's tokenizer, for what is written beside an adapter and to decode. Raises: ModelError."""
    try:
        return transformers.AutoTokenizer.from_pretrained(model_files.local(model), trust_remote_code=False)
    except Exception as error:
        raise ModelError(
            f"no tokenizer could be loaded from {model!r}: {model_files.first_line(error)}"
        ) from error


def precision(wanted: Precision, device: torch.device) -> torch.dtype:
    """Type of the weights: bfloat16 on a GPU that computes in it unless asked otherwise."""
    if wanted != "auto":
        return torch.float32 if wanted == "float32" else torch.bfloat16
    able = device.type == "cuda" and torch.cuda.is_bf16_supported()
    return torch.bfloat16 if able else torch.float32
