"""Hugging Face's own tokenizer, from where the recipe says: a directory, s3://, the hub, or none."""

import os
from pathlib import Path
from typing import Any

import tokenizers

from headrace.cluster.errors import ModelError
from headrace.pipelines import model_files

SHIPPED = Path(__file__).parent / "assets" / "tokenizer"
HUB_SECONDS = 10


def load(name: str | None) -> Any:
    """`AutoTokenizer` of a directory, an s3:// directory, a hub name or the shipped one.

    Raises: ModelError that says what is missing.
    """
    path = str(SHIPPED) if name is None else model_files.tokenizer_directory(name)
    try:
        loaded = _loaded(path)
    except ModelError:
        raise
    except Exception as error:
        first = str(error).strip().partition("\n")[0]
        raise ModelError(
            f"no tokenizer could be loaded from {name!r}: {type(error).__name__}: {first}"
        ) from error
    if not isinstance(getattr(loaded, "backend_tokenizer", None), tokenizers.Tokenizer):
        raise ModelError(f"the tokenizer of {name!r} is not a fast one: it gives no tokenizer.json")
    return loaded


def _loaded(path: str) -> Any:
    """A directory, or a hub name: what is in the local cache first, then the hub."""
    import transformers  # takes a second

    if path == str(SHIPPED):  # of no model: `AutoTokenizer` would import PyTorch to ask which class it has
        return transformers.PreTrainedTokenizerFast.from_pretrained(path)
    try:
        return transformers.AutoTokenizer.from_pretrained(
            path, trust_remote_code=False, local_files_only=True
        )
    except Exception:
        if os.path.isdir(path):
            raise
    import huggingface_hub

    try:  # one short request, as the hub's client would go on trying for a minute
        huggingface_hub.model_info(path, timeout=HUB_SECONDS)
    except Exception as error:
        raise ModelError(
            f"no tokenizer could be loaded from {path!r}: it is no directory here, and the hub does not give "
            f"it ({str(error).partition(chr(10))[0]})"
        ) from error
    return transformers.AutoTokenizer.from_pretrained(path, trust_remote_code=False)
