"""A model run over packed rows: its loss or its logits where there are targets, no sample seeing another.

What: `loss_sum` and `target_logits` run a model so that no token sees another sample, with position ids that
restart with each. `settle` chooses how attention is held to samples: `varlen` (all rows of a batch as one row
of segments), or a mask by `sdpa` or `eager`; and shows on the loaded model that it is so, because not every
architecture heeds a mask (recurrent ones pass on a state).

Cost: logits are made only for positions with a target; a prompt costs none.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from headrace.cluster.errors import ModelError
from headrace.pipelines.schema import IGNORE
from headrace.pipelines.train import attention, loss
from headrace.pipelines.train.attention import additive, block_causal_mask

# Share of the largest logit by which another sample may move it; rounding moves it far less, if at all.
LEAKS = {torch.float32: 1e-5}
LEAK = 1e-3  # of coarser types
# Share of it by which variable-length attention may differ from a mask: other kernels round otherwise.
APART = {torch.float32: 1e-4}
FAR = 5e-2
LENGTH = 24  # tokens of the row that isolation is shown by


def tensors(batch: Mapping[str, Any], device: torch.device) -> dict[str, torch.Tensor]:
    """Arrays of a batch as int64 tensors on `device`, with what is known of them before they go there.

    Added to the columns of a batch: `targets`, places that predict a target in all rows one after the other,
    ``int64[K]``; `starts` of segments, ``int32[N + 1]``; and on the CPU `longest`, tokens of the longest
    segment, ``int64[]``. So nobody waits for a GPU to tell them.
    """
    held = {name: np.ascontiguousarray(a) for name, a in batch.items()}
    if {"labels", "segment_ids"} <= held.keys():
        starts = attention.starts(held["segment_ids"])
        held |= {"targets": _targets(held["labels"]), "starts": starts}
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
    if "starts" in batch:
        return batch
    arrays = {name: batch[name].cpu().numpy() for name in ("labels", "segment_ids")}
    added = tensors(arrays, batch["input_ids"].device)
    return {**batch, **{name: added[name] for name in ("targets", "starts", "longest")}}


def _inputs(model: Any, batch: Mapping[str, torch.Tensor]) -> dict[str, Any]:
    """What the model's forward takes of a batch: one row of all segments, or masked rows."""
    ids, places = batch["input_ids"], batch["position_ids"]
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
    """Sum of the cross entropies of all targets of a batch of packed rows, in nats: ``float32[]``.

    batch: as of `target_logits`.
    """
    batch = _known(batch)
    own = loss.causal(model)
    shape = loss.route(model, _inputs(model, _probe(own)))
    if shape is None:
        return _by_row(model, batch)
    hidden = loss.states(model, _inputs(model, batch)).flatten(0, 1)[batch["targets"]]
    labels = batch["labels"].flatten()[batch["targets"] + 1]
    return loss.summed(hidden, labels, own.get_output_embeddings(), shape)


def _by_row(model: Any, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """The same by the model's own logits, a row at a time: each row's at its own targets."""
    total = batch["labels"].new_zeros((), dtype=torch.float32)
    for row in range(len(batch["labels"])):
        logits, labels = target_logits(
            model,
            {n: batch[n][row : row + 1] for n in ("input_ids", "labels", "position_ids", "segment_ids")},
        )
        total = total + functional.cross_entropy(logits[0], labels[0], ignore_index=IGNORE, reduction="sum")
    return total


def target_logits(model: Any, batch: Mapping[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits and labels at the places that predict a target in some row of the batch.

    `batch`: input_ids, labels, position_ids, segment_ids, each ``int64[B, L]``. Returns logits
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


def _masks(model: Any, segment_ids: torch.Tensor) -> Any:
    """What the model takes as attention_mask: one mask, or one for each type of layer.

    A ready mask is taken as it is, so sliding windows, too, are ours to put in.
    """
    full = block_causal_mask(segment_ids)
    length = segment_ids.shape[1]
    window, types = _window(model.config)
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


def _window(config: Any) -> tuple[int | None, set[str]]:
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


def settle(model: Any, wanted: str, name: str) -> str:
    """Set the attention that keeps samples of a packed row apart; returns which.

    wanted: auto (the fastest that is shown to), varlen, sdpa or eager. name: of the model, for messages.

    Raises: ModelError where none does.
    """
    masked = [wanted] if wanted in ("sdpa", "eager") else ["sdpa", "eager"]
    first: ModelError | None = None
    for kind in masked:
        try:
            _set(model, kind, name)
            logits = prove_isolation(model, name)
        except ModelError as error:
            first = first or error
            continue
        if wanted not in ("auto", attention.VARLEN):
            return kind
        why = _why_not_varlen(model, logits, name)
        if why is None:
            return attention.VARLEN
        if wanted == attention.VARLEN:
            raise ModelError(f"{name!r} cannot be trained with train.attention: varlen ({why}); take auto")
        _set(model, kind, name)
        return kind
    assert first is not None
    raise first


def settle_alone(model: Any, wanted: str, name: str) -> str:
    """Set the attention of a model that is run on samples alone; returns which.

    wanted: auto (sdpa where the model has it), sdpa or eager. Raises: ModelError where it has none.
    """
    kinds, first = ["sdpa", "eager"] if wanted == "auto" else [wanted], None
    for kind in kinds:
        try:
            _set(model, kind, name)
            with torch.no_grad():
                target_logits(
                    model, {**_probe(model), "segment_ids": torch.ones_like(_probe(model)["labels"])}
                )
        except (ModelError, ValueError) as error:
            first = first or error
            continue
        return kind
    raise ModelError(f"{name!r}: {str(first).partition(chr(10))[0][:200]}")


def _set(model: Any, kind: str, name: str) -> None:
    """Raises: ModelError where the model has no such attention."""
    if model.config._attn_implementation == kind:
        return
    try:
        model.set_attn_implementation(kind)
    except Exception as error:
        raise ModelError(
            f"{name!r} has no attention {kind} ({str(error).partition(chr(10))[0][:200]})"
        ) from error
    if model.config._attn_implementation != kind:
        raise ModelError(f"{name!r} has no attention {kind}")


def _why_not_varlen(model: Any, wanted: torch.Tensor, name: str) -> str | None:
    """Why variable-length attention is not this model's; None where it is, and the model is set to it.

    wanted: logits of `prove_isolation` by a mask.
    """
    if not attention.takes_segments(loss.causal(model)):
        return "its forward takes no segments"
    try:
        _set(model, attention.VARLEN, name)
        with attention.watched() as windows:
            logits = prove_isolation(model, name)
    except (ModelError, attention.NotVarlen) as error:
        return str(error)
    window, types = _window(model.config)
    if window is not None and (
        set(windows) - {None} != {window} or (types == {"sliding_attention"} and None in windows)
    ):
        return "its layers do not say which window they slide by"
    far = float((logits - wanted).abs().max())
    if not far <= APART.get(model.dtype, FAR) * float(wanted.abs().max()):
        return f"logits differ by {far:.2g} from those by a mask"
    return None


def _probe(model: Any) -> dict[str, torch.Tensor]:
    """A packed row of two samples, ``int64[1, LENGTH]`` a column."""
    device = model.device
    vocabulary = min(int(model.config.get_text_config().vocab_size), 1000)
    ids = (torch.arange(LENGTH) * 7 + 3) % vocabulary
    places = torch.arange(LENGTH)
    columns = {
        "input_ids": ids,
        "labels": ids,
        "position_ids": places % (LENGTH // 2),
        "segment_ids": places // (LENGTH // 2) + 1,
    }
    return tensors({name: column.numpy()[None] for name, column in columns.items()}, device)


@torch.no_grad()
def prove_isolation(model: Any, name: str) -> torch.Tensor:
    """Show that a sample's logits do not change with the sample before it in a packed row; returns them.

    Raises: ModelError where they do: this architecture or attention lets one sample see another.
    """
    batch, half = _probe(model), LENGTH // 2
    vocabulary = min(int(model.config.get_text_config().vocab_size), 1000)
    changed = batch["input_ids"].clone()
    changed[:, :half] = (changed[:, :half] + vocabulary // 2) % vocabulary
    try:
        logits, after = (
            target_logits(model, {**batch, "input_ids": ids})[0][0, half:]
            for ids in (batch["input_ids"], changed)
        )
    except attention.NotVarlen:
        raise
    except Exception as error:  # of an attention that cannot do what the model does
        raise ModelError(f"{name!r}: {str(error).partition(chr(10))[0][:200]}") from error
    moved = float((logits - after).abs().max())
    if not moved <= LEAKS.get(model.dtype, LEAK) * float(logits.abs().max()):
        raise ModelError(
            f"{name!r} lets one sample of a packed row see another (logits move by {moved:.2g}); "
            "headrace trains models whose attention heeds a mask"
        )
    return logits
