"""How a model is run over packed rows: as they are, or taken apart into samples; by which attention.

What: packed rows as they are cost no padding, but not every architecture keeps their samples apart: some heed
no mask (recurrent layers pass on a state), some no position ids. Such a model is given each sample in a row
of its own, padded to the right, and nothing but token ids and the mask of padding. The plan, the books and
the loss stay those of packed rows: the same targets, summed. `proved` shows on the model's own logits which
way is right, the fastest first.

Cost: of a proof two or three runs over 48 tokens. Taken apart, padding is less than half of what is computed.
"""

import inspect
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import torch

from headrace.cluster.errors import ModelError
from headrace.pipelines.schema import IGNORE
from headrace.pipelines.train.batches import Batch
from headrace.pipelines.train.config import Attention, Config
from headrace.pipelines.train.running import attention, forward, loss

MASKED = ("sdpa", "eager")  # implementations of attention by a mask, the fastest first
LENGTH = 24  # tokens of a row that proves something
# Share of the largest logit by which another sample may move it; rounding moves it far less, if at all.
LEAKS = {torch.float32: 1e-5}
LEAK = 1e-3  # of coarser types
# The same of a sample's logits alone, which other kernels make in another order.
ROUNDING = {torch.float32: 1e-4}
COARSE = 5e-2
FAILS = "it fails"  # begins a reason that is no proof against the model
NO_NUMBERS = (
    "its logits are no numbers (NaN or infinite): its weights hold some that are none, or numbers grow too "
    "large in it; copy or download it again, or set train.precision: float32"
)


class Way(NamedTuple):
    """packed: rows as they are, or their samples apart; attention: its implementation."""

    packed: bool
    attention: str

    def inputs(self, batch: Batch) -> list[Batch]:
        """A micro-batch of packed rows as the model takes it."""
        return [batch] if self.packed else apart(batch)


def candidates(packed: bool | str, kind: Attention, *, segments: bool = False) -> tuple[Way, ...]:
    """The ways that a recipe allows, the one that is wanted most first.

    segments: whether `varlen` is among those of `auto`, for packed rows.
    """
    free = (attention.VARLEN,) if segments else ()
    forms = (True, False) if packed == "auto" else (bool(packed),)
    kinds = {form: (kind,) if kind != "auto" else (*(free if form else ()), *MASKED) for form in forms}
    return tuple(Way(form, one) for form in forms for one in kinds[form] if form or one != attention.VARLEN)


def of_config(config: Config) -> tuple[Way, ...]:
    """The ways that the recipe of a training allows."""
    return candidates(config.packed, config.attention, segments=True)


def apart(batch: Batch) -> list[Batch]:
    """The samples of packed rows that have a target, each a row of its own, in groups of about one length.

    A group has no more places than `batch`, and no sample of less than half its length. input_ids, labels
    and attention_mask of each, ``int64[B, L]``, padded to the right.
    """
    rows, length = batch["segment_ids"].shape
    flat = (batch["segment_ids"] + np.arange(rows)[:, None] * (length + 1)).reshape(-1)
    starts = np.flatnonzero(np.diff(flat, prepend=-1))
    sizes = np.diff(starts, append=flat.size)
    targets = np.add.reduceat(batch["labels"].reshape(-1) != IGNORE, starts)
    wanted = (batch["segment_ids"].reshape(-1)[starts] > 0) & (targets > 0)
    starts, sizes = starts[wanted], sizes[wanted]
    order = np.argsort(-sizes, kind="stable")
    starts, sizes = starts[order], sizes[order]
    groups, first = [], 0
    while first < len(sizes):
        longest = int(sizes[first])
        most = max(1, rows * length // longest)
        alike = int(np.searchsorted(-sizes, -(longest / 2), side="right"))
        cut = slice(first, min(first + most, alike))
        groups.append(_padded(batch, starts[cut], sizes[cut]))
        first = cut.stop
    return groups


def _padded(batch: Batch, starts: np.ndarray[Any, Any], sizes: np.ndarray[Any, Any]) -> Batch:
    places = np.arange(int(sizes.max()))
    mask = places < sizes[:, None]
    index = np.where(mask, starts[:, None] + places, 0)
    return {
        "input_ids": np.where(mask, batch["input_ids"].reshape(-1)[index], 0),
        "labels": np.where(mask, batch["labels"].reshape(-1)[index], IGNORE),
        "attention_mask": mask.astype(np.int64),
    }


def proved(model: Any, ways: Sequence[Way], name: str) -> Way:
    """The first of `ways` that is right for this model, which is set to it.

    Raises: ModelError that says of each why it is not.
    """
    reasons: dict[Way, str | None] = {}
    for way in ways:
        reasons[way] = refusal(model, way)
        if reasons[way] is None:
            return way
    raise ModelError(refused(reasons, name))


def refused(reasons: Mapping[Way, str | None], name: str) -> str:
    """That a model cannot be trained in any of these ways, and what to do."""
    if set(reasons.values()) == {NO_NUMBERS}:
        return f"{name!r} cannot be trained: {NO_NUMBERS}"
    by_form: dict[tuple[bool, str | None], list[str]] = {}
    for way, reason in reasons.items():
        by_form.setdefault((way.packed, reason), []).append(way.attention)
    said = [
        f"{'over packed rows' if packed else 'over samples apart'} ({', '.join(kinds)}) {reason}"
        for (packed, reason), kinds in by_form.items()
    ]
    advice = (
        "take another model"
        if any(not way.packed for way in reasons)
        else "leave train.packed out: samples are then computed apart"
    )
    return f"{name!r} cannot be trained: {'; '.join(said)}; {advice}"


def refusal(model: Any, way: Way) -> str | None:
    """Why a model cannot be run this way; None where its logits prove that it can. It is set to it."""
    try:
        _set(model, way.attention)
        with torch.no_grad():
            return _packed(model) if way.packed else _apart(model)
    except (ModelError, attention.NotVarlen) as error:
        return str(error)
    except Exception as error:  # noqa: BLE001  whatever a model's code does with a mask that it cannot read
        if (
            way.attention == attention.VARLEN
        ):  # another way may do: this is not one to be left to the training
            return f"its layers do not take segments ({type(error).__name__})"
        return f"{FAILS} ({type(error).__name__})"


def _set(model: Any, kind: str) -> None:
    """Have a model attend by `kind`. Raises: ValueError where it does not have it."""
    if model.config._attn_implementation != kind:
        model.set_attn_implementation(kind)
    if model.config._attn_implementation != kind:  # it has one alone, whatever its name: the proof will tell
        model.config._attn_implementation_internal = kind


@contextmanager
def by_mask(model: Any) -> Iterator[None]:
    """A model that writes answers: what it has written is in no segment, so its attention goes by a mask."""
    kind = model.config._attn_implementation
    if kind != attention.VARLEN:
        yield
        return
    try:
        model.set_attn_implementation("sdpa")
    except ValueError:
        model.set_attn_implementation("eager")
    try:
        yield
    finally:
        model.set_attn_implementation(kind)


def _packed(model: Any) -> str | None:
    """Whether a sample in a packed row is as it is alone, whatever sample is before it."""
    if "position_ids" not in inspect.signature(model.forward).parameters:
        return "the model takes no position_ids, so samples in a packed row would not be apart"
    ids, changed = _made_up(model)
    half = LENGTH // 2
    free = model.config._attn_implementation == attention.VARLEN
    places = torch.arange(LENGTH, device=model.device)
    beside = {"position_ids": places % half, "segment_ids": places // half + 1}
    found = []
    for row in (torch.cat([ids[:half], ids[half:]]), torch.cat([changed[:half], ids[half:]])):
        batch = {"input_ids": row, "labels": ids, **beside}
        with attention.watched() as windows:
            found.append(forward.target_logits(model, {n: v[None] for n, v in batch.items()})[0][0, half:])
    if not torch.isfinite(torch.stack(found)).all():
        return NO_NUMBERS
    moved = float((found[0] - found[1]).abs().max())
    if not moved <= LEAKS.get(model.dtype, LEAK) * float(found[0].abs().max()):
        return f"it lets one sample of a packed row see another (logits move by {moved:.2g})"
    if not free:
        return _as_alone(model, ids[half:], found[0])
    _in_training(model, batch)
    if not _says_windows(model, windows):
        return "its layers do not say by which window they slide"
    return _as_masked(model, ids[half:], found[0])


def _in_training(model: Any, batch: Mapping[str, torch.Tensor]) -> None:
    """Run a model as it is trained. Raises: NotVarlen where its attention has dropout then."""
    with torch.random.fork_rng(devices=[model.device] if model.device.type == "cuda" else []):
        try:
            forward.target_logits(model.train(), {n: v[None] for n, v in batch.items()})
        finally:
            model.eval()


def _says_windows(model: Any, windows: Sequence[int | None]) -> bool:
    """Whether layers have asked `varlen` for the windows that a mask would have."""
    window, types = forward.sliding(model.config)
    if window is None:
        return bool(windows)
    some = "full_attention" in types
    return window in windows and {window, *([None] if some else [])} >= set(windows)


def _as_masked(model: Any, sample: torch.Tensor, logits: torch.Tensor) -> str | None:
    """`logits` by variable-length attention, held against those of the sample alone by the model's own."""
    reason: str | None = None
    for kind in MASKED:
        try:
            _set(model, kind)
            reason = _as_alone(model, sample, logits)
            break
        except Exception as error:  # noqa: BLE001  an attention that the model does not have
            reason = f"the model has no other attention to hold it against ({type(error).__name__})"
    _set(model, attention.VARLEN)
    return reason


def _apart(model: Any) -> str | None:
    """Whether a sample in a padded batch is as it is alone."""
    long, short = _made_up(model)
    short = short[: LENGTH // 3]
    rows = {n: torch.zeros(2, LENGTH, dtype=torch.int64, device=model.device) for n in ("ids", "mask")}
    for row, sample in enumerate((long, short)):
        rows["ids"][row, : len(sample)] = sample
        rows["mask"][row, : len(sample)] = 1
    batch = {"input_ids": rows["ids"], "labels": rows["ids"], "attention_mask": rows["mask"]}
    logits, _ = forward.target_logits(model, batch)
    reasons = (_as_alone(model, s, logits[i, : len(s) - 1]) for i, s in enumerate((long, short)))
    return next((reason for reason in reasons if reason), None)


@torch.no_grad()
def pads_left(model: Any) -> bool:
    """Whether padding before a prompt leaves what a model says next as it is: prompts are answered together
    then.
    """
    own = loss.causal(model)
    sample, _ = _made_up(own)
    sample = sample[: LENGTH // 2]
    ids = torch.cat([sample[:4], sample])[None]
    mask = torch.ones_like(ids)
    mask[:, :4] = 0
    given = {"input_ids": ids, "attention_mask": mask, "use_cache": False}
    if "position_ids" in inspect.signature(own.forward).parameters:
        given["position_ids"] = (mask.cumsum(1) - 1).clamp(min=0)
    try:
        return _as_alone(own, sample, own(**given).logits[0, 4:].float()) is None
    except Exception:  # noqa: BLE001  whatever a model's code does with such a mask
        return False


def _as_alone(model: Any, sample: torch.Tensor, logits: torch.Tensor) -> str | None:
    """`logits` of the first tokens of a sample, held against those that it has alone."""
    alone = model(input_ids=sample[None], use_cache=False).logits[0].float()[: len(logits)]
    if not torch.isfinite(alone).all():
        return NO_NUMBERS
    moved = float((logits - alone).abs().max())
    if not moved <= ROUNDING.get(model.dtype, COARSE) * float(alone.abs().max()):
        return f"a sample has other logits there than alone (they differ by {moved:.2g})"
    return None


def _made_up(model: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """Two samples without a token in common at any place."""
    vocabulary = min(int(model.config.get_text_config().vocab_size), 1000)
    ids = (torch.arange(LENGTH, device=model.device) * 7 + 3) % vocabulary
    return ids, (ids + vocabulary // 2) % vocabulary
