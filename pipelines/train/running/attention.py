"""Attention of packed rows: a token sees itself and what came before it in its own segment.

What: two ways to say so. A mask (`block_causal_mask`), which every model of `transformers` takes; and
`varlen`, an attention function of ours that gets where segments start, and makes no mask. It is registered
with `transformers` under its name, and models that call their attention by that interface use it.

Why: a mask holds length x length numbers a row and rules out flash kernels, so attention costs the square of
the row; `varlen` costs the sum of the squares of its segments.

How: on a GPU in half precision by PyTorch's own variable-length kernel (FlashAttention), elsewhere segment by
segment by PyTorch's causal attention: short ones that follow each other share a call, with a mask of their
own.
Source: Dao 2023, https://arxiv.org/abs/2307.08691
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from itertools import pairwise
from typing import Any

import numpy as np
import torch
import transformers
from numpy.typing import NDArray
from torch.nn import functional

VARLEN = "varlen"
TOGETHER = 256  # tokens of short segments that share a call on a CPU
HALF = (torch.bfloat16, torch.float16)
WIDEST = 256  # numbers of a head that the flash kernel takes


class NotVarlen(ValueError):  # noqa: N818 - an answer, by which another attention is chosen
    """A model whose attention is more than variable-length attention does."""


def block_causal_mask(segment_ids: torch.Tensor) -> torch.Tensor:
    """``int[B, L] -> bool[B, 1, L, L]``, True where query (third axis) may attend to key (fourth).

    Segments are runs of one id (0 is padding, which attends to padding alone, so that no row of the
    mask is empty). Every model of `transformers` takes it as `attention_mask` with sdpa; for eager,
    add `torch.where(mask, 0, torch.finfo(dtype).min)` (see `additive`). Cost: L x L bytes a row.
    """
    same = segment_ids.unsqueeze(-1) == segment_ids.unsqueeze(-2)
    return same.tril().unsqueeze(1)


def additive(mask: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """`mask` as what is added to attention scores: 0 where True, the least finite number elsewhere."""
    zero = torch.zeros((), dtype=dtype, device=mask.device)
    return torch.where(mask, zero, torch.finfo(dtype).min)


def starts(segment_ids: NDArray[Any]) -> NDArray[np.int32]:
    """Where segments start in all rows one after the other, and at last where they end.

    ``int[B, L] -> int32[N + 1]``; padding counts as a segment, and no segment goes over the end of a row.
    """
    first = np.ones(segment_ids.shape, bool)
    first[:, 1:] = segment_ids[:, 1:] != segment_ids[:, :-1]
    return np.append(np.flatnonzero(first), segment_ids.size).astype(np.int32)


def varlen(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    sliding_window: int | None = None,
    cu_seq_lens_q: torch.Tensor | None = None,
    max_length_q: int | None = None,
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    """Attention within segments, as `transformers` calls it.

    query: ``[1, heads, T, width]``; key, value: of as many heads or of a divisor of them. cu_seq_lens_q: of
    `starts`; max_length_q: tokens of the longest segment. Returns ``[1, T, heads, width of value]``.

    Raises: NotVarlen where the model asks for more than that: sinks, soft caps, biases by position, dropout,
    keys from elsewhere.
    """
    more = [n for n in ("softcap", "s_aux", "position_bias") if kwargs.get(n) is not None]
    causal = kwargs.get("is_causal")
    causal = getattr(module, "is_causal", True) if causal is None else causal
    same = key.shape[2] == query.shape[2] == value.shape[2] and query.shape[0] == 1
    if more or dropout or attention_mask is not None or not causal or not same:
        raise NotVarlen(
            f"its attention takes {', '.join(more) or 'a mask, dropout, or keys of other tokens'}"
        )
    if cu_seq_lens_q is None or max_length_q is None:
        raise NotVarlen("it does not pass on where segments start")
    for windows in WATCHED:
        windows.append(sliding_window)
    window = int(sliding_window) if sliding_window and sliding_window < max_length_q else None
    if query.is_cuda:
        return _flash(query, key, value, scaling, window, cu_seq_lens_q, max_length_q), None
    return _by_segment(query, key, value, scaling, window, cu_seq_lens_q), None


def _flash(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    scaling: float | None,
    window: int | None,
    starts: torch.Tensor,
    longest: int,
) -> torch.Tensor:
    """On a GPU: one kernel over all segments."""
    from torch.nn.attention.varlen import varlen_attn

    width, of_value = query.shape[-1], value.shape[-1]
    if query.dtype not in HALF or max(width, of_value) > WIDEST:
        raise NotVarlen(f"flash kernels do not take heads of {width} numbers in {query.dtype}")
    wide = -(-max(width, of_value) // 8) * 8  # zeros beyond a head change no score
    rows = [functional.pad(t[0].transpose(0, 1), (0, wide - t.shape[-1])) for t in (query, key, value)]
    out = varlen_attn(
        *rows,
        starts,
        starts,
        longest,
        longest,
        scale=width**-0.5 if scaling is None else scaling,
        window_size=(-1 if window is None else window - 1, 0),
        enable_gqa=rows[0].shape[1] != rows[1].shape[1],
    )
    assert isinstance(out, torch.Tensor)
    return out[None, ..., :of_value]


@torch.compiler.disable
def _by_segment(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    scaling: float | None,
    window: int | None,
    starts: torch.Tensor,
) -> torch.Tensor:
    """On a CPU: a call a long segment, and one for short ones that follow each other."""
    groups = _groups(tuple(starts.tolist()))
    sizes = [sum(group) for group in groups]
    parts = zip(*(t.split(sizes, 2) for t in (query, key, value)), groups, strict=True)
    grouped = query.shape[1] != key.shape[1]
    out = []
    for q, k, v, group in parts:
        limit = window if window is not None and window < max(group) else None
        mask = _mask(group, limit, q.dtype) if len(group) > 1 or limit else None
        out.append(
            functional.scaled_dot_product_attention(
                q, k, v, attn_mask=mask, is_causal=mask is None, scale=scaling, enable_gqa=grouped
            )
        )
    return torch.cat(out, 2).transpose(1, 2).contiguous()


@lru_cache(8)  # one batch is met by every layer, forwards and backwards
def _groups(starts: tuple[int, ...]) -> list[tuple[int, ...]]:
    """Lengths of the segments that share a call."""
    return list(_grouped(b - a for a, b in pairwise(starts)))


def _grouped(lengths: Iterator[int]) -> Iterator[tuple[int, ...]]:
    group: list[int] = []
    for length in lengths:
        if group and sum(group) + length > TOGETHER:
            yield tuple(group)
            group = []
        group.append(length)
    yield tuple(group)


@lru_cache(64)  # one for all layers, which keep it for the backward pass
def _mask(lengths: tuple[int, ...], window: int | None, dtype: torch.dtype) -> torch.Tensor:
    """What is added to the scores of some segments: ``dtype[1, 1, T, T]``, -inf where a query sees no key."""
    segments = torch.repeat_interleave(torch.arange(len(lengths)), torch.tensor(lengths))
    mask = block_causal_mask(segments[None])
    if window is not None:
        places = torch.arange(len(segments))
        mask = mask & (places[:, None] - places[None, :] < window)
    return torch.zeros(mask.shape, dtype=dtype).masked_fill(~mask, -torch.inf)


WATCHED: list[list[int | None]] = []


@contextmanager
def watched() -> Iterator[list[int | None]]:
    """The windows that layers ask `varlen` for while this is open, one a call."""
    windows: list[int | None] = []
    WATCHED.append(windows)
    try:
        yield windows
    finally:
        WATCHED.remove(windows)


transformers.AttentionInterface.register(VARLEN, varlen)
