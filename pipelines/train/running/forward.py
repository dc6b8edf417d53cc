"""A model run over packed rows: its loss or its logits where there are targets, no sample seeing another.

What: `loss_sum` and `target_logits` run a model so that no token sees another sample, with position ids that
restart with each: by `varlen` all rows of a batch as one row of segments, else by a mask. Not every
architecture heeds them (recurrent ones pass on a state): `ways` proves it.

Cost: logits are made only for positions with a target; a prompt costs none.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from headrace.cluster.errors import ModelError
from headrace.pipelines.schema import IGNORE
from headrace.pipelines.train.running import attention, loss
from headrace.pipelines.train.running.attention import additive, block_causal_mask

COLUMNS = ("input_ids", "labels", "position_ids", "segment_ids", "attention_mask")
FEW = 8  # tokens by which it is shown what makes logits of hidden states


def tensors(batch: Mapping[str, Any], device: torch.device) -> dict[str, torch.Tensor]:
    """Arrays of a batch as int64 tensors on `device`, with what is known of them before they go there.

    Added to the columns of a batch: `targets`, places that predict a target in all rows one after the other,
    ``int64[K]``; `starts` of segments, ``int32[N + 1]``; and on the CPU `longest`, tokens of the longest
    segment, ``int64[]``. So nobody waits for a GPU to tell them.
    """
    held = {name: np.ascontiguousarray(a) for name, a in batch.items()}
    if "labels" in held:
        held["targets"] = _targets(held["labels"])
    if "segment_ids" in held:
        held["starts"] = attention.starts(held["segment_ids"])
    moved = {name: _moved(torch.from_numpy(array), device) for name, array in held.items()}
    if "starts" in held:
        moved["longest"] = torch.tensor(int(np.diff(held["starts"]).max()))
    return moved


def _targets(labels: Any) -> Any:
    """Places of tokens that predict a target, in all rows one after the other."""
    wanted = np.zeros(labels.shape, bool)
    wanted[:, :-1] = labels[:, 1:] != IGNORE
    return np.flatnonzero(wanted)


def _moved(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
    """A tensor on `device`; the copy to a GPU goes on by itself, from pinned memory."""
    if device.type != "cuda":
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)


def _known(batch: Mapping[str, torch.Tensor]) -> Mapping[str, torch.Tensor]:
    """A batch with what `tensors` adds."""
    if "targets" in batch:
        return batch
    arrays = {name: batch[name].cpu().numpy() for name in ("labels", "segment_ids") if name in batch}
    return {**tensors(arrays, batch["input_ids"].device), **batch}


def _inputs(model: Any, batch: Mapping[str, torch.Tensor]) -> dict[str, Any]:
    """What the model's forward takes of a batch: one row of all segments, or masked rows, or padded ones."""
    ids = batch["input_ids"]
    if "attention_mask" in batch:  # the model's own masks and positions
        return {"input_ids": ids, "attention_mask": batch["attention_mask"], "use_cache": False}
    places = batch["position_ids"]
    if model.config._attn_implementation != attention.VARLEN:
        mask = _masks(model, batch["segment_ids"])
        return {"input_ids": ids, "position_ids": places, "attention_mask": mask, "use_cache": False}
    longest = int(batch["longest"])
    return {
        "input_ids": ids.reshape(1, -1),
        "position_ids": places.reshape(1, -1),
        "attention_mask": None,
        "use_cache": False,
        "cu_seq_lens_q": batch["starts"],
        "cu_seq_lens_k": batch["starts"],
        "max_length_q": longest,
        "max_length_k": longest,
    }


def loss_sum(model: Any, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """Sum of the cross entropies of all targets of a batch, in nats: ``float32[]``.

    batch: as of `target_logits`.
    """
    batch = _known(batch)
    own = loss.causal(model)
    shape = loss.route(model, lambda: _few(own))
    if shape is None:
        return _by_row(model, batch)
    hidden = loss.states(model, _inputs(model, batch)).flatten(0, 1)[batch["targets"]]
    labels = batch["labels"].flatten()[batch["targets"] + 1]
    return loss.summed(hidden, labels, own.get_output_embeddings(), shape)


def target_nats(model: Any, batch: Mapping[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    """Cross entropy of each target of a batch, in nats, and the places that predict them: ``float32[K]``,
    ``int64[K]``, as `tensors` has them.

    batch: as of `target_logits`.
    """
    batch = _known(batch)
    own = loss.causal(model)
    shape = loss.route(model, lambda: _few(own))
    if shape is None:
        logits, labels = target_logits(model, batch)
        nats = functional.cross_entropy(logits.transpose(1, 2), labels, ignore_index=IGNORE, reduction="none")
        return nats[labels != IGNORE], batch["targets"]
    hidden = loss.states(model, _inputs(model, batch)).flatten(0, 1)[batch["targets"]]
    labels = batch["labels"].flatten()[batch["targets"] + 1]
    return loss.each(hidden, labels, own.get_output_embeddings(), shape), batch["targets"]


def _by_row(model: Any, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """The same by the model's own logits, a row at a time: each row's at its own targets."""
    total = batch["labels"].new_zeros((), dtype=torch.float32)
    for row in range(len(batch["labels"])):
        alone = {n: batch[n][row : row + 1] for n in COLUMNS if n in batch}
        logits, labels = target_logits(model, alone)
        total = total + functional.cross_entropy(logits[0], labels[0], ignore_index=IGNORE, reduction="sum")
    return total


def target_logits(model: Any, batch: Mapping[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits and labels at the places that predict a target in some row of the batch.

    `batch`: of packed rows input_ids, labels, position_ids, segment_ids; of samples apart (see `ways`)
    input_ids, labels, attention_mask; each ``int64[B, L]``. Returns logits
    ``float32[B, K, V]`` and labels ``int64[B, K]``, already shifted: logits[b, k] predicts
    labels[b, k], which is -100 where this row has no target there. K is 1 where there is none at all.
    """
    batch = _known(batch)
    rows, length = batch["labels"].shape
    places = torch.unique(batch["targets"] % length)
    if not len(places):
        places = torch.zeros(1, dtype=torch.int64, device=places.device)
    kept = places
    if model.config._attn_implementation == attention.VARLEN:
        kept = (torch.arange(rows, device=places.device)[:, None] * length + places).flatten()
    logits = model(**_inputs(model, batch), logits_to_keep=kept).logits
    return logits.float().view(rows, len(places), -1), batch["labels"][:, 1:][:, places]


def _few(model: Any) -> dict[str, Any]:
    """A few tokens as the model's forward takes them."""
    ids = torch.arange(FEW, device=model.device)[None]
    if model.config._attn_implementation != attention.VARLEN:
        return {"input_ids": ids, "use_cache": False}
    return _inputs(
        model, _known({"input_ids": ids, "labels": ids, "position_ids": ids, "segment_ids": ids * 0})
    )


def _masks(model: Any, segment_ids: torch.Tensor) -> Any:
    """What the model takes as attention_mask: one mask, or one for each type of layer.

    A ready mask is taken as it is, so sliding windows, too, are ours to put in.
    """
    full = block_causal_mask(segment_ids)
    length = segment_ids.shape[1]
    window, types = sliding(model.config)
    if not window or window >= length:
        return _spelt(full, model)
    places = torch.arange(length, device=segment_ids.device)
    slid = full & (places[:, None] - places[None, :] < window)
    if not types:
        return _spelt(slid, model)
    by_type = {"full_attention": full, "sliding_attention": slid}
    if unknown := types - by_type.keys():
        raise ModelError(
            f"layers of type {', '.join(sorted(unknown))} cannot be held to one sample of a packed row"
        )
    return {name: _spelt(by_type[name], model) for name in sorted(types)}


def sliding(config: Any) -> tuple[int | None, set[str]]:
    """Tokens that a sliding layer sees, None where no layer slides; and the types of layers."""
    text = config.get_text_config()
    window = getattr(text, "sliding_window", None)
    types = set(getattr(text, "layer_types", None) or ())
    return (None if types and "sliding_attention" not in types else window), types


def _spelt(mask: torch.Tensor, model: Any) -> torch.Tensor:
    """A boolean mask as the model's attention reads it: `eager` adds it to the scores."""
    if model.config._attn_implementation == "sdpa":
        return mask
    return additive(mask, model.dtype)
