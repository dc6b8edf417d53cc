"""The attention mask of packed rows: a token sees itself and what came before it in its own segment."""

import torch


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
