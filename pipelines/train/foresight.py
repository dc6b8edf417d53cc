"""What would end a training, seen before: on the model without weights, and on a small one like it.

What: the model is built on no device (`meta`), so that its layers and the size of its embedding are known;
and once more small (few layers, narrow, random weights), so that isolation can be proved by its logits before
hours of preparation. A model that cannot be made small is proved by the training itself, when it starts.

Cost: a second or two, and at most `LARGEST` weights in memory.
"""

import contextlib
import copy
from typing import Any

import torch
import transformers

from headrace.cluster.errors import ModelError
from headrace.pipelines.train import adapter, forward, models
from headrace.pipelines.train.config import Config

LARGEST = 200_000_000  # weights of a small model
DEPTH = 8  # layers of it at most: of hybrids, all kinds come within so many
# Sizes that say nothing of how attention works, and what they are cut to.
NARROW = {
    "vocab_size": 512,
    "intermediate_size": 64,
    "moe_intermediate_size": 32,
    "shared_expert_intermediate_size": 32,
    "ffn_dim": 64,
    "n_inner": 64,
}


def check(config: Config, described: Any, name: str) -> None:
    """What can be known ahead of a training of the model `name`, whose configuration is `described`.

    Raises: ModelError.
    """
    base = _without_weights(described, name, config)
    rows = base.get_input_embeddings().weight.shape[0]
    tokens = _tokens(name)
    if tokens > rows:
        raise ModelError(
            f"the tokenizer of {name!r} has {tokens:,} tokens and the model {rows:,} embeddings: load it by "
            "transformers, call resize_token_embeddings(len(tokenizer)), save it, and name that directory"
        )
    with torch.device("meta"):
        adapter.fitted(base, config, name)
    small = _small(described, name, config)
    if small is not None:
        _prove(small, config, name)


def _prove(small: Any, config: Config, name: str) -> None:
    """Raises: ModelError where it lets samples of a row see each other."""
    try:
        forward.settle(small, config.attention, name)
    except ModelError:
        raise
    except Exception:  # noqa: BLE001  sizes that do not go together: training proves it
        return


def _without_weights(described: Any, name: str, config: Config) -> Any:
    try:
        with torch.device("meta"):
            return transformers.AutoModelForCausalLM.from_config(
                described, attn_implementation=models.built_with(config.attention), trust_remote_code=False
            )
    except Exception as error:
        other = "eager" if config.attention == "sdpa" else "sdpa"
        raise ModelError(
            f"{name!r} cannot be built with train.attention: {config.attention} "
            f"({str(error).strip().partition(chr(10))[0][:200]}); try {other}"
        ) from error


def _tokens(name: str) -> int:
    """One more than the highest id that the model's tokenizer gives."""
    vocabulary = models.load_tokenizer(name).get_vocab()
    return max(vocabulary.values(), default=-1) + 1


def _small(described: Any, name: str, config: Config) -> Any:
    """A model of the same kind with few and narrow layers; None where it cannot be made."""
    cut = copy.deepcopy(described)
    text = cut.get_text_config()
    for key, size in NARROW.items():
        if isinstance(getattr(text, key, None), int) and getattr(text, key) > size:
            with contextlib.suppress(Exception):  # a name that stands for another
                setattr(text, key, size)
    for token in ("pad_token_id", "bos_token_id", "eos_token_id"):
        with contextlib.suppress(Exception):
            setattr(text, token, None)
    with contextlib.suppress(Exception):
        _shorten(text)
    try:
        with torch.device("meta"):
            planned = transformers.AutoModelForCausalLM.from_config(cut, trust_remote_code=False)
        if sum(p.numel() for p in planned.parameters()) > LARGEST:
            return None
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            made = transformers.AutoModelForCausalLM.from_config(
                cut,
                attn_implementation=models.built_with(config.attention),
                dtype=torch.float32,
                trust_remote_code=False,
            )
    except Exception:  # noqa: BLE001  a configuration that does not bear cutting: training proves it
        return None
    return models.prepared(made, repr(name))


def _shorten(text: Any) -> None:
    """Few layers, of as many kinds as the model has."""
    depth = int(text.num_hidden_layers)
    kinds = list(getattr(text, "layer_types", None) or ())
    fewest = next((n for n in range(1, len(kinds) + 1) if set(kinds[:n]) == set(kinds)), DEPTH)
    depth = min(depth, max(2, fewest), DEPTH)
    if kinds:
        text.layer_types = kinds[:depth]
    text.num_hidden_layers = depth
