"""Attention of packed rows: as a mask says it, without one."""

from typing import Any

import numpy as np
import pytest
import torch
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from headrace.pipelines.train import steps
from headrace.pipelines.train.batches import COLUMNS
from headrace.pipelines.train.config import Config
from headrace.pipelines.train.running import attention, ways
from headrace.pipelines.train.running.ways import Way

VOCABULARY, LENGTH = 61, 48
TINY: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
    "pad_token_id": None,
    "bos_token_id": None,
    "eos_token_id": None,
}


def model_of(kind: str, **more: Any) -> Any:
    torch.manual_seed(0)
    described = getattr(transformers, kind)(**{**TINY, **more})
    return transformers.AutoModelForCausalLM.from_config(described).eval()


def rows(lengths: list[list[int]], seed: int = 0) -> dict[str, torch.Tensor]:
    """Packed rows of samples of these lengths, padded to LENGTH; half of the labels are targets."""
    drawn = np.random.default_rng(seed)
    batch = {name: np.zeros((len(lengths), LENGTH), np.int64) for name in COLUMNS}
    batch["labels"][:] = -100
    for row, of_row in enumerate(lengths):
        at = 0
        for segment, length in enumerate(of_row, start=1):
            cut = slice(at, at + length)
            ids = drawn.integers(0, VOCABULARY, length)
            batch["input_ids"][row, cut], batch["segment_ids"][row, cut] = ids, segment
            batch["position_ids"][row, cut] = np.arange(length)
            batch["labels"][row, cut] = np.where(drawn.random(length) < 0.5, ids, -100)
            batch["labels"][row, at] = -100
            at += length
    return {name: torch.from_numpy(column) for name, column in batch.items()}


MIXED = [[5, 20, 3, 12], [40], [1, 1, 30, 2]]


def loss_and_gradients(model: Any, kind: str, batch: dict[str, torch.Tensor]) -> tuple[float, torch.Tensor]:
    model.set_attn_implementation(kind)
    model.zero_grad()
    loss = steps.loss_sum(model, batch)
    loss.backward()
    gradients = [p.grad.flatten() for _, p in sorted(model.named_parameters()) if p.grad is not None]
    return float(loss.detach()), torch.cat(gradients)


@pytest.mark.parametrize("together", [1, 16, 256])
@pytest.mark.parametrize(
    ("kind", "more"),
    [
        ("LlamaConfig", {}),
        ("Qwen3Config", {"head_dim": 16}),
        ("MistralConfig", {"sliding_window": 7}),
        ("Gemma3TextConfig", {"sliding_window": 7, "head_dim": 16, "num_hidden_layers": 7}),
        ("GPT2Config", {"n_embd": 32, "n_head": 4, "n_layer": 2, "n_positions": 64, "attn_pdrop": 0.0}),
    ],
)
def test_loss_and_gradients_without_a_mask_are_those_with_one(
    kind: str, more: dict[str, Any], together: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attention, "TOGETHER", together)
    attention._groups.cache_clear()
    model = model_of(kind, **more)
    masked, wanted = loss_and_gradients(model, "sdpa", rows(MIXED))
    free, found = loss_and_gradients(model, "varlen", rows(MIXED))
    attention._groups.cache_clear()
    assert free == pytest.approx(masked, rel=1e-6)
    assert float((found - wanted).abs().max()) <= 1e-5 * float(wanted.abs().max())


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.integers(1, 30), min_size=1, max_size=8),
    st.sampled_from([None, 1, 3, 8]),
    st.sampled_from([4, 32]),
)
def test_each_segment_is_attended_to_as_if_alone(
    lengths: list[int], window: int | None, together: int
) -> None:
    total = sum(lengths)
    torch.manual_seed(total)
    query, key, value = (torch.randn(1, heads, total, 8) for heads in (4, 2, 2))
    edges = torch.tensor([0, *np.cumsum(lengths)], dtype=torch.int32)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(attention, "TOGETHER", together)
        attention._groups.cache_clear()
        found, _ = attention.varlen(
            torch.nn.Module(),
            *(query, key, value, None),
            sliding_window=window,
            cu_seq_lens_q=edges,
            max_length_q=max(lengths),
        )
        attention._groups.cache_clear()
    at = 0
    for length in lengths:
        cut = slice(at, at + length)
        far = torch.arange(length)[:, None] - torch.arange(length)
        mask = (far >= 0) & (far < (window or total))
        alone = functional.scaled_dot_product_attention(
            query[:, :, cut],
            key[:, :, cut].repeat_interleave(2, 1),
            value[:, :, cut].repeat_interleave(2, 1),
            mask,
        )
        torch.testing.assert_close(found[:, cut], alone.transpose(1, 2), atol=1e-5, rtol=1e-5)
        at += length


def test_segments_start_where_ids_change_and_rows_begin() -> None:
    ids = np.array([[1, 1, 2, 0], [1, 2, 2, 2], [0, 0, 0, 0]])
    assert attention.starts(ids).tolist() == [0, 2, 3, 4, 5, 8, 12]


@pytest.mark.parametrize(
    ("kind", "more", "chosen"),
    [
        ("LlamaConfig", {}, "varlen"),
        ("MistralConfig", {"sliding_window": 7}, "varlen"),
        ("Gemma2Config", {"head_dim": 16, "sliding_window": 7}, "eager"),
        ("GptOssConfig", {"head_dim": 16, "num_local_experts": 2, "num_experts_per_tok": 1}, "eager"),
        (
            "GPTJConfig",
            {"n_embd": 32, "n_head": 2, "n_layer": 2, "rotary_dim": 4, "n_positions": 64},
            "eager",
        ),
    ],
)
def test_the_fastest_attention_that_is_right_is_chosen(kind: str, more: dict[str, Any], chosen: str) -> None:
    model = model_of(kind, **more)
    assert ways.proved(model, ways.of_config(Config()), kind) == Way(packed=True, attention=chosen)
    assert model.config._attn_implementation == chosen


def test_varlen_is_refused_by_name_where_it_is_wrong() -> None:
    model = model_of("Gemma2Config", head_dim=16)
    assert ways.refusal(model, Way(packed=True, attention="varlen")) == "its attention takes softcap"


def test_checkpointed_layers_get_their_segments_again() -> None:
    model = model_of("LlamaConfig")
    plain = loss_and_gradients(model, "varlen", rows(MIXED))
    for every in (1, 2):
        model.activation_checkpointing_enable({"use_reentrant": False}, every_n_layers=every)
        model.train()
        again = loss_and_gradients(model, "varlen", rows(MIXED))
        assert again[0] == pytest.approx(plain[0], rel=1e-6)
        torch.testing.assert_close(again[1], plain[1], atol=1e-6, rtol=1e-5)
