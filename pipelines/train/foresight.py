"""What would end a training, seen before: on the model without weights, and on a small one like it.

What: the model is built on no device (`meta`), so that its layers and the size of its embedding are known;
and once more small (few layers, narrow, random weights), so that isolation can be proved by its logits before
hours of preparation: of packed rows as they are, or of their samples apart (`ways`). A model that cannot be
made small is proved by the training itself, when it starts.

Cost: a second or two, and at most `LARGEST` weights in memory.
"""

import contextlib
import copy
from typing import Any, NamedTuple

import torch

from headrace.cluster.errors import ModelError
from headrace.pipelines.train import adapter, models, parents
from headrace.pipelines.train.config import Config
from headrace.pipelines.train.running import routers, ways
from headrace.pipelines.train.running.ways import Way

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


class Foreseen(NamedTuple):
    """The ways in which a model can be run, the one that is wanted most first; what is told of it."""

    ways: tuple[Way, ...]
    lines: list[str]


def check(config: Config, described: Any, name: str) -> Foreseen:
    """What can be known ahead of a training of the model `name`, whose configuration is `described`.

    Raises: ModelError.
    """
    models.require_quantisation(config.method)
    allowed = ways.of_config(config)
    kinds = models.kinds(described, name, (way.attention for way in allowed))
    with torch.device("meta"):
        base = models.from_config(described, kinds[0])
    with torch.device("meta"):
        new = _new_tokens(base, config, name)
        fitted = _fitted(base, config, name, new)
    possible = tuple(way for way in allowed if way.attention in kinds)
    small = _small(described, name, kinds[0])
    found = possible if small is None else _proved(small, possible, name)
    if config.aux_loss is not None:
        routers.require(_small(described, name, found[0].attention) or base, name)
    return Foreseen(found, [*_said_of_way(config, found[0], name), *_said_of_layers(config, fitted)])


def _new_tokens(base: Any, config: Config, name: str) -> list[int]:
    """Ids of `train.new_tokens`, for which `base` gets rows. Raises: ModelError where a token is without."""
    new = models.token_ids(name, config.new_tokens)
    rows, tokens = base.get_input_embeddings().weight.shape[0], _tokens(name)
    if set(range(rows, tokens)) - set(new):
        raise ModelError(
            f"the tokenizer of {name!r} has {tokens:,} tokens and the model {rows:,} embeddings: name those "
            "that are new in train.new_tokens, or load it by transformers, call "
            "resize_token_embeddings(len(tokenizer)), save it, and name that directory"
        )
    models.widened(base, tokens)
    return new


def _fitted(base: Any, config: Config, name: str, new: list[int]) -> Any:
    """What will be trained, without weights. Raises: ModelError where it does not fit."""
    if config.from_ is None:
        return adapter.fitted(base, config, name, new)
    if config.method == "full":
        raise ModelError(
            "train.from goes on from an adapter, and train.method is full: leave one of them out"
        )
    parent = parents.found(config.from_)
    parents.check(parent, name)
    return parents.fitted(base, parent, config.dropout, name)


def _said_of_layers(config: Config, fitted: Any) -> list[str]:
    """Where `all-linear` is not all of them."""
    bare = (
        adapter.without(fitted) if config.method != "full" and config.target_modules == "all-linear" else []
    )
    return (
        [f"train: peft has no adapter for {', '.join(bare)}: these layers stay as they are"] if bare else []
    )


def _said_of_way(config: Config, way: Way, name: str) -> list[str]:
    """What the recipe left open."""
    lines = []
    if config.packed == "auto" and not way.packed:
        lines.append(
            f"train: samples are computed apart and padded: {name} does not keep those of a packed row apart"
        )
    if config.attention == "auto" and way.attention == "eager":
        lines.append(f"train: attention is eager, the only one that {name} has")
    return lines


def _proved(small: Any, possible: tuple[Way, ...], name: str) -> tuple[Way, ...]:
    """Those of `possible` that the small model proves, or fails at, which says nothing of the large one.

    Raises: ModelError where it disproves all.
    """
    reasons = {way: ways.refusal(small, way) for way in possible}
    held = tuple(way for way, reason in reasons.items() if reason is None)
    failing = tuple(way for way, reason in reasons.items() if reason and reason.startswith(ways.FAILS))
    if not held and not failing:
        raise ModelError(ways.refused(reasons, name))
    return held or failing


def _tokens(name: str) -> int:
    """One more than the highest id that the model's tokenizer gives."""
    vocabulary = models.load_tokenizer(name).get_vocab()
    return max(vocabulary.values(), default=-1) + 1


def _small(described: Any, name: str, attention: str) -> Any:
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
            planned = models.from_config(cut, attention)
        if sum(p.numel() for p in planned.parameters()) > LARGEST:
            return None
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            made = models.from_config(cut, attention, torch.float32)
    except Exception:  # noqa: BLE001  a configuration that does not bear cutting: training proves it
        return None
    return models.prepared(made)


def _shorten(text: Any) -> None:
    """Few layers, of as many kinds as the model has."""
    depth = int(text.num_hidden_layers)
    kinds = list(getattr(text, "layer_types", None) or ())
    fewest = next((n for n in range(1, len(kinds) + 1) if set(kinds[:n]) == set(kinds)), DEPTH)
    depth = min(depth, max(2, fewest), DEPTH)
    if kinds:
        text.layer_types = kinds[:depth]
    text.num_hidden_layers = depth
