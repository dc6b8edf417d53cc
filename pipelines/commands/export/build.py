"""The files of an export: an adapter as peft loads it, or merged weights as transformers loads them.

What: tokenizer and chat template are the files that training left beside the adapter. The generation config
names the tokens that answers end with and decodes greedily, as evaluation does; sampling settings of the
base's own were not measured and are left out. Merging is done in float32, and rounded once, when it is
written. Weights are safetensors, and no code of a model's is named.

Cost: the base in float32 in memory; on disk what `needed` says.
"""

import json
import os
from importlib.util import find_spec
from typing import Any, Literal

import torch
import transformers

from headrace.cluster import storage
from headrace.cluster.errors import ModelError, StorageError, UserError
from headrace.cluster.stores import disk
from headrace.pipelines import model_files
from headrace.pipelines.commands.export.tuned import Tuned
from headrace.pipelines.train import adapter, models

Dtype = Literal["float32", "bfloat16", "float16"]
Quantise = Literal["int8", "nf4"]
SHARD = "2GB"  # most bytes of a file of weights
SPARE = 64 * 2**20  # bytes for what lies beside the weights
BITS = {"int8": 8, "nf4": 4.5}  # a weight, its scales included


def generation(base: Any, tokenizer: Any, stops: list[int]) -> transformers.GenerationConfig:
    """How the exported model answers: greedily, up to one of `stops`."""
    padding = next((i for i in (tokenizer.pad_token_id, *stops) if i is not None), 0)
    start = base.generation_config.bos_token_id
    return transformers.GenerationConfig(
        do_sample=False, bos_token_id=start, eos_token_id=stops or None, pad_token_id=padding
    )


def needed(parameters: int, dtype: Dtype, quantise: Quantise | None, *, gguf: bool = False) -> int:
    """Bytes on disk of merged weights while they are made: those before they are quantised, too."""
    size = parameters * (4 if dtype == "float32" else 2) * (2 if gguf else 1)
    return int(size + (parameters * BITS[quantise] / 8 if quantise else 0)) + SPARE


def require_disk(folder: str, wanted: int) -> None:
    """Raises: StorageError where `folder` has less room."""
    free = disk.free(folder)
    if free is not None and free < wanted:
        raise StorageError(
            f"the export takes {disk.in_words(wanted)}, and {folder} has {disk.in_words(free)} left; make "
            "room, or name a directory on another disk"
        )


def require_quantiser() -> None:
    """Raises: UserError where bitsandbytes is not installed."""
    if find_spec("bitsandbytes") is None:
        raise UserError(
            "--quantise needs bitsandbytes, which is not installed: pip install 'headrace[qlora]' (or "
            "bitsandbytes>=0.50), and run the same command again"
        )


def copy_adapter(tuned: Tuned, directory: str) -> None:
    """The adapter's files, its base named as others can load it."""
    config = {**tuned.config, "base_model_name_or_path": tuned.base}
    text = json.dumps(config, indent=2, sort_keys=True)
    storage.put(os.path.join(directory, adapter.CONFIG), text.encode())
    weights = storage.read_bytes(adapter.path(tuned.run, adapter.WEIGHTS))
    storage.put(os.path.join(directory, adapter.WEIGHTS), weights)


def copy_tokenizer(tuned: Tuned, directory: str) -> None:
    """Tokenizer and chat template, as training left them beside the adapter."""
    for file in tuned.card["files"]:
        if file not in (adapter.WEIGHTS, adapter.CONFIG):
            storage.put(os.path.join(directory, file), storage.read_bytes(adapter.path(tuned.run, file)))


def merged(model: Any) -> Any:
    """The base with the adapter in its weights, in float32. Raises: ModelError where peft cannot."""
    try:
        return model.merge_and_unload(safe_merge=True)
    except (ValueError, NotImplementedError, AttributeError) as error:
        raise ModelError(
            f"this adapter cannot be merged into its base ({model_files.first_line(error)}); export it with "
            "--adapter"
        ) from error


def write_merged(model: Any, tuned: Tuned, directory: str, dtype: Dtype) -> None:
    """Merged weights and the configuration of the base. The model is left in `dtype`."""
    described = models.configuration(tuned.recipe.model)
    model.config.use_cache = getattr(described, "use_cache", True)
    for name in ("auto_map", "_name_or_path"):
        if hasattr(model.config, name):
            setattr(model.config, name, None if name == "auto_map" else "")
    model.to(getattr(torch, dtype)).save_pretrained(directory, max_shard_size=SHARD)
    path = os.path.join(directory, "config.json")
    config = {k: v for k, v in (storage.read_object(path) or {}).items() if k != "auto_map"}
    storage.put(path, json.dumps(config, indent=2, sort_keys=True).encode())


def dtype_of(tuned: Tuned) -> Dtype:
    """The type that the base's weights are in; float32 where its configuration does not say."""
    named = str(getattr(models.configuration(tuned.recipe.model), "dtype", None)).removeprefix("torch.")
    return "bfloat16" if named == "bfloat16" else "float16" if named == "float16" else "float32"


def quantise(source: str, directory: str, how: Quantise, dtype: Dtype) -> None:
    """Weights of `source` again in `directory`, in 8 or 4 bits by bitsandbytes. Raises: ModelError."""
    compute = getattr(torch, dtype)
    four = {
        "bnb_4bit_quant_type": "nf4",
        "bnb_4bit_use_double_quant": True,
        "bnb_4bit_compute_dtype": compute,
    }
    options = {"load_in_8bit": True} if how == "int8" else {"load_in_4bit": True, **four}
    try:
        model = transformers.AutoModelForCausalLM.from_pretrained(
            source,
            dtype=compute,
            quantization_config=transformers.BitsAndBytesConfig(**options),
            use_safetensors=True,
            trust_remote_code=False,
        )
        model.save_pretrained(directory, max_shard_size=SHARD)
    except Exception as error:
        why = model_files.first_line(error)
        raise ModelError(f"bitsandbytes cannot write this model as {how} on this machine: {why}") from error
