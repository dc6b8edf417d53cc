"""Causal language models: look at one, load one.

What: a model is a directory (local or s3://) or a hub name. Weights come as safetensors only and no
code of a model's is run. An s3:// directory is copied once to the user's cache.
"""

import importlib.util
import os
import tempfile
from collections.abc import Iterable, Sequence
from typing import Any

import torch
import transformers
from safetensors import SafetensorError, safe_open

from headrace.cluster import storage
from headrace.cluster.errors import ModelError
from headrace.pipelines import model_files
from headrace.pipelines.train.config import Method, Precision

MIXED = "mixed_precision"  # of a model whose weights are float32 and that computes in bfloat16
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
    if getattr(described, "is_encoder_decoder", False):
        raise ModelError(
            f"{model!r} is an encoder-decoder model ({described.model_type}), and headrace trains models "
            "that only decode: take one of those; or prepare the rows for one of them, and train this one by "
            "transformers' Seq2SeqTrainer on what `headrace.open(RUN).kept` holds (messages, masked)"
        )
    if type(described) not in transformers.MODEL_FOR_CAUSAL_LM_MAPPING:
        raise ModelError(f"{model!r} is no causal language model; its model_type is {described.model_type!r}")
    return described


def require_whole(model: str) -> None:
    """That every file of weights of a directory here is there and as long as its head says. Raises:
    ModelError.
    """
    if storage.is_remote(model) or not os.path.isdir(model):
        return
    index = storage.read_object(os.path.join(model, "model.safetensors.index.json")) or {}
    listed = {*(index.get("weight_map") or {}).values()}
    for name in sorted(listed | {n for n in os.listdir(model) if n.endswith(".safetensors")}):
        path = os.path.join(model, name)
        try:
            with safe_open(path, "pt"):  # it holds the head against the file's length
                pass
        except (OSError, SafetensorError) as error:
            size = os.path.getsize(path) if os.path.exists(path) else 0
            raise ModelError(
                f"the weights in {path} are not whole: the file has {size:,} bytes ({error}); copy or "
                "download it again"
            ) from error


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


def from_config(described: Any, attention: str, dtype: torch.dtype | None = None) -> Any:
    """A model with weights drawn at random, or with none on the device `meta`; no code of a model's is run.

    Raises: what the model's class raises of an attention that it does not have.
    """
    return transformers.AutoModelForCausalLM.from_config(
        described, attn_implementation=attention, dtype=dtype, trust_remote_code=False
    )


def kinds(described: Any, name: str, wanted: Iterable[str]) -> list[str]:
    """Those of the `wanted` implementations of attention that a model has, tried without weights.

    Raises: ModelError where it has none of them.
    """
    found: list[str] = []
    failed: list[Exception] = []
    tried = list(dict.fromkeys(wanted))
    for kind in tried:
        try:
            with torch.device("meta"):
                from_config(described, kind)
            found.append(kind)
        except Exception as error:  # noqa: BLE001  whatever a model's code says of attention
            failed.append(error)
    if not found:
        raise ModelError(
            f"{name!r} cannot be built with attention: {' or '.join(tried)} "
            f"({model_files.first_line(failed[0])[:200]}); leave the key `attention` out"
        ) from failed[0]
    return found


def load(
    model: str, dtype: torch.dtype, attention: str, *, quantised: bool = False, device: str = "cpu"
) -> Any:
    """The model with its weights in `dtype`, in evaluation mode.

    quantised: weights of linear layers in 4 bits, on `device` at once.

    Raises: ModelError, StorageError.
    """
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    more: dict[str, Any] = {}
    if quantised:
        more = {"quantization_config": quantisation(dtype), "device_map": {"": device}}
    try:
        loaded = transformers.AutoModelForCausalLM.from_pretrained(
            model_files.local(model),
            dtype=dtype,
            attn_implementation=attention,
            use_safetensors=True,
            trust_remote_code=False,
            **more,
        )
    except Exception as error:
        raise ModelError(
            f"no model could be loaded from {model!r}: {model_files.first_line(error)}"
        ) from error
    return prepared(loaded)


def prepared(model: Any) -> Any:
    """A model as it is run over packed rows: for its logits alone."""
    for config in (model.config, model.config.get_text_config()):
        if hasattr(
            config, "output_router_logits"
        ):  # for a loss that is not ours, from a mask of another form
            config.output_router_logits = False
    return model.eval()


def quantisation(dtype: torch.dtype) -> Any:
    """How QLoRA holds a base: NF4, its scales quantised again, computed in `dtype`.

    Source: https://arxiv.org/abs/2305.14314
    """
    return transformers.BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=dtype,
    )


def require_quantisation(method: Method) -> None:
    """That weights in 4 bits can be computed here, where a training asks for them. Raises: ModelError."""
    if method != "qlora":
        return
    if importlib.util.find_spec("bitsandbytes") is None:
        raise ModelError(
            "train.method is qlora, which needs bitsandbytes: `pip install 'headrace[qlora]'`, or set "
            "train.method to lora"
        )
    device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        functional = importlib.import_module("bitsandbytes.functional")
        held, scales = functional.quantize_4bit(
            torch.ones(64, 64, device=device), quant_type="nf4", compress_statistics=True
        )
        functional.dequantize_4bit(held, scales)
    except Exception as error:
        raise ModelError(
            f"train.method is qlora, and bitsandbytes cannot hold weights in 4 bits on the {device} here "
            f"({model_files.first_line(error)}): set train.method to lora"
        ) from error


def load_tokenizer(model: str) -> Any:
    """The model's tokenizer, for what is written beside an adapter and to decode. Raises: ModelError."""
    try:
        return transformers.AutoTokenizer.from_pretrained(model_files.local(model), trust_remote_code=False)
    except Exception as error:
        raise ModelError(
            f"no tokenizer could be loaded from {model!r}: {model_files.first_line(error)}"
        ) from error


def token_ids(model: str, tokens: Sequence[str]) -> list[int]:
    """Ids of some tokens in the model's tokenizer. Raises: ModelError of one that is no token there."""
    if not tokens:
        return []
    vocabulary = load_tokenizer(model).get_vocab()
    missing = [token for token in tokens if token not in vocabulary]
    if missing:
        raise ModelError(
            f"train.new_tokens: {missing[0]!r} is no token of {model!r}: load its tokenizer by transformers, "
            "call add_tokens([...]), and save it there; then `headrace prepare` sees it, too"
        )
    return sorted({int(vocabulary[token]) for token in tokens})


def widened(model: Any, tokens: int) -> Any:
    """A model with rows for so many tokens; those that are added are the mean of the others."""
    rows = model.get_input_embeddings().weight.shape[0]
    if tokens > rows:
        model.resize_token_embeddings(tokens, mean_resizing=False)
        with torch.no_grad():
            for layer in (model.get_input_embeddings(), model.get_output_embeddings()):
                if layer is not None:
                    layer.weight[rows:] = layer.weight[:rows].float().mean(0).to(layer.weight.dtype)
    return model


def precision(wanted: Precision, device: torch.device, method: Method = "lora") -> torch.dtype:
    """Type of the weights: bfloat16 on a GPU that computes in it unless asked otherwise; of weights that are
    trained themselves float32, as bfloat16 loses what a step adds.
    """
    if wanted != "auto":
        return torch.float32 if wanted == "float32" else torch.bfloat16
    able = device.type == "cuda" and torch.cuda.is_bf16_supported()
    return torch.bfloat16 if able and method != "full" else torch.float32
