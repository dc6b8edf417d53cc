"""The zoo: kinds of models, how each is trained, and that it is trained right; or the words that refuse it.

A kind that is trained has the losses of a plain loop over samples alone, and its adapter gives the same
logits when peft alone loads it.
"""

from pathlib import Path
from typing import Any

import pytest
import transformers

from headrace.cluster.errors import ModelError
from headrace.pipelines.train import models
from headrace.pipelines.train.running.ways import Way
from tests.pipelines.train import small

PACKED, EAGER, APART = Way(True, "varlen"), Way(True, "eager"), Way(False, "sdpa")
APART_EAGER = Way(False, "eager")
STILL = {"attn_pdrop": 0.0, "resid_pdrop": 0.0, "embd_pdrop": 0.0}
GPT = {
    name: ...
    for name in small.TINY
    if name not in ("vocab_size", "pad_token_id", "bos_token_id", "eos_token_id")
}
DEEPSEEK = {
    "moe_intermediate_size": 8,
    "n_routed_experts": 4,
    "num_experts_per_tok": 2,
    "n_shared_experts": 1,
    "n_group": 1,
    "topk_group": 1,
    "first_k_dense_replace": 1,
    "q_lora_rank": 8,
    "kv_lora_rank": 8,
    "qk_rope_head_dim": 4,
    "qk_nope_head_dim": 4,
    "v_head_dim": 8,
    "num_key_value_heads": 2,
}
FALCON_H1 = {"mamba_d_ssm": 16, "mamba_n_heads": 2, "mamba_d_head": 8, "mamba_d_state": 4}
SHARED = [f"mlp.{kind}" for kind in ("down_proj", "gate_proj", "up_proj")]
SHARED += [f"mlp.shared_experts.{kind}" for kind in ("down_proj", "gate_proj", "up_proj")]

# Configuration, sizes beside the usual, the way it is trained, layers that peft has no adapter for.
ZOO: list[tuple[str, dict[str, Any], Way, list[str]]] = [
    ("LlamaConfig", {}, PACKED, []),
    ("Qwen2Config", {}, PACKED, []),
    ("Qwen3Config", {"head_dim": 8}, PACKED, []),
    ("Gemma2Config", {"head_dim": 8, "sliding_window": 8, "query_pre_attn_scalar": 8}, EAGER, []),
    ("Gemma3TextConfig", {"head_dim": 8, "sliding_window": 8, "query_pre_attn_scalar": 8}, PACKED, []),
    ("MistralConfig", {"head_dim": 8, "sliding_window": 8}, PACKED, []),
    ("MixtralConfig", {**small.EXPERTS, "output_router_logits": True}, PACKED, []),
    ("Phi3Config", {}, PACKED, []),
    ("GPT2Config", {**GPT, "n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 64, **STILL}, PACKED, []),
    ("BloomConfig", {**GPT, "hidden_size": 16, "n_layer": 2, "n_head": 2}, APART_EAGER, []),
    ("FalconH1Config", FALCON_H1, APART, ["mamba.conv1d", "mamba.out_proj"]),
    ("Olmo2Config", {}, PACKED, []),
    ("GraniteConfig", {}, PACKED, []),
    ("GptOssConfig", {**small.EXPERTS, "head_dim": 8, "sliding_window": 8}, EAGER, ["mlp.experts"]),
    ("DeepseekV3Config", DEEPSEEK, PACKED, sorted(SHARED)),
]


@pytest.mark.parametrize(("kind", "more", "way", "bare"), ZOO, ids=[entry[0] for entry in ZOO])
def test_a_kind_of_models_is_trained_right(
    kind: str, more: dict[str, Any], way: Way, bare: list[str]
) -> None:
    found = small.trained(small.described(kind, **more))
    assert found.way == way
    assert found.difference < 1e-5
    assert found.losses[-1] < found.losses[0]
    assert found.reloaded
    assert found.bare == bare


@pytest.mark.parametrize("kind", ["T5Config", "MBartConfig"])
def test_encoder_decoders_are_refused(tmp_path: Path, kind: str) -> None:
    getattr(transformers, kind)().save_pretrained(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"")
    with pytest.raises(ModelError, match=r"is an encoder-decoder model .*Seq2SeqTrainer"):
        models.configuration(str(tmp_path))
