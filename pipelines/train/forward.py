"""A model run over packed rows: its logits where there are targets, no sample seeing another.

What: `target_logits` gives every layer a mask by which no token sees another sample, and position ids that
restart with each. Not every architecture heeds a mask (recurrent ones pass on a state): `ways` proves it.

Cost: logits are made only for positions with a target in some row of the batch; a prompt costs none.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from headrace.cluster.errors import ModelError
from headrace.pipelines.schema import IGNORE
from headrace.pipelines.train.attention import additive, block_causal_mask


def tensors(batch: Mapping[str, Any], device: torch.device) -> dict[str, torch.Tensor]:
    """Arrays of a batch as int64 tensors on `device`."""
    return {name: torch.from_numpy(np.ascontiguousarray(a)).to(device) for name, a in batch.items()}


def target_logits(model: Any, batch: Mapping[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits and labels at the places that predict a target in some row of the batch.

    `batch`: of packed rows input_ids, labels, position_ids, segment_ids; of samples apart (see `ways`)
    input_ids, labels, attention_mask; each ``int64[B, L]``. Returns logits
    ``float32[B, K, V]`` and labels ``int64[B, K]``, already shifted: logits[b, k] predicts
    labels[b, k], which is -100 where this row has no target there. K is 1 where there is none at all.
    """
    labels = batch["labels"][:, 1:]
    places = (labels != IGNORE).any(0).nonzero().squeeze(1)
    if not len(places):
        places = torch.zeros(1, dtype=torch.int64, device=labels.device)
    if "attention_mask" in batch:  # the model's own masks and positions
        given = {"attention_mask": batch["attention_mask"]}
    else:
        given = {
            "position_ids": batch["position_ids"],
            "attention_mask": _masks(model, batch["segment_ids"]),
        }
    output = model(input_ids=batch["input_ids"], **given, logits_to_keep=places, use_cache=False)
    return output.logits.float(), labels[:, places]


def _masks(model: Any, segment_ids: torch.Tensor) -> Any:
    """What the model takes as attention_mask: one mask, or one for each type of layer.

    A ready mask is taken as it is, so sliding windows, too, are ours to put in.
    """
    config = model.config.get_text_config()
    full = block_causal_mask(segment_ids)
    length = segment_ids.shape[1]
    window = getattr(config, "sliding_window", None)
    types = set(getattr(config, "layer_types", None) or ())
    if not window or window >= length or (types and "sliding_attention" not in types):
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


def _spelt(mask: torch.Tensor, model: Any) -> torch.Tensor:
    """A boolean mask as the model's attention reads it: `eager` adds it to the scores."""
    if model.config._attn_implementation == "sdpa":
        return mask
    return additive(mask, model.dtype)
