"""What would end a training is told before: by `check`, on no weights."""

from pathlib import Path
from typing import Any

import pytest
import transformers
from tokenizers import AddedToken

from headrace.cluster.errors import ModelError
from headrace.pipelines.train import foresight, models
from headrace.pipelines.train.config import Config
from headrace.pipelines.train.running.ways import Way
from tests.pipelines import toys

TINY = {
    "vocab_size": len(toys.WORDS),
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 4,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
}


LEFT = {
    "Lfm2Config": ["train: peft has no adapter for conv.conv: these layers stay as they are"],
    "Qwen3NextConfig": [
        "train: peft has no adapter for linear_attn.conv1d, mlp.shared_expert.down_proj, "
        "mlp.shared_expert.gate_proj, mlp.shared_expert.up_proj: these layers stay as they are"
    ],
    "FalconH1Config": [
        "train: peft has no adapter for mamba.conv1d, mamba.out_proj: these layers stay as they are"
    ],
}


def described(kind: str, **more: Any) -> Any:
    return getattr(transformers, kind)(**{**TINY, **more})


def named(tmp_path: Path, more: int = 0) -> str:
    """A directory with a tokenizer of the toys' words and `more` others."""
    tokenizer = toys.tokenizer()
    tokenizer.add_tokens([AddedToken(f"<more{i}>") for i in range(more)])
    tokenizer.save_pretrained(tmp_path)
    return str(tmp_path)


def test_a_model_that_can_be_trained_passes(toy_model: str) -> None:
    foresight.check(Config(), models.configuration(toy_model), toy_model)


def test_a_tokenizer_larger_than_the_embedding_is_told(tmp_path: Path) -> None:
    with pytest.raises(
        ModelError,
        match=r"18 tokens and the model 16 embeddings.*train\.new_tokens, or .*resize_token_embeddings",
    ):
        foresight.check(Config(), described("LlamaConfig"), named(tmp_path, 2))


def test_new_tokens_are_named(tmp_path: Path) -> None:
    name = named(tmp_path, 2)
    foresight.check(Config(new_tokens=("<more0>", "<more1>")), described("LlamaConfig"), name)
    with pytest.raises(ModelError, match="18 tokens and the model 16 embeddings"):
        foresight.check(Config(new_tokens=("<more1>",)), described("LlamaConfig"), name)
    with pytest.raises(ModelError, match=r"train\.new_tokens: '<other>' is no token of"):
        foresight.check(Config(new_tokens=("<other>",)), described("LlamaConfig"), name)


def test_an_embedding_larger_than_the_tokenizer_is_right(tmp_path: Path) -> None:
    foresight.check(Config(), described("LlamaConfig", vocab_size=64), named(tmp_path))


@pytest.mark.parametrize(
    ("kind", "more"),
    [
        ("Qwen2Config", {}),
        ("MistralConfig", {"sliding_window": 8}),
        ("Gemma3TextConfig", {"head_dim": 16, "sliding_window": 8, "num_hidden_layers": 7}),
        ("MixtralConfig", {"num_local_experts": 4, "output_router_logits": True}),
        (
            "Qwen3MoeConfig",
            {"num_experts": 4, "num_experts_per_tok": 2, "head_dim": 16, "output_router_logits": True},
        ),
    ],
)
def test_families_that_keep_samples_apart_pass(tmp_path: Path, kind: str, more: dict[str, Any]) -> None:
    foresight.check(Config(), described(kind, **more), named(tmp_path))


@pytest.mark.parametrize(
    ("kind", "more"),
    [
        ("Lfm2Config", {"layer_types": ["conv", "full_attention", "conv", "full_attention"]}),
        (
            "Qwen3NextConfig",
            {
                "head_dim": 16,
                "layer_types": ["linear_attention", "linear_attention", "full_attention", "linear_attention"],
                "num_experts": 4,
                "num_experts_per_tok": 2,
                "linear_num_key_heads": 2,
                "linear_num_value_heads": 2,
                "linear_key_head_dim": 16,
                "linear_value_head_dim": 16,
            },
        ),
        ("FalconH1Config", {"mamba_d_ssm": 32, "mamba_n_heads": 2, "mamba_d_head": 16, "mamba_d_state": 8}),
    ],
)
def test_hybrids_that_cannot_be_isolated_are_trained_apart(
    tmp_path: Path, kind: str, more: dict[str, Any]
) -> None:
    model = described(kind, **more)
    found = foresight.check(Config(), model, named(tmp_path))
    assert not any(way.packed for way in found.ways)
    assert found.lines[0] == (
        f"train: samples are computed apart and padded: {tmp_path} does not keep those of a packed row apart"
    )
    assert found.lines[1:] == LEFT.get(kind, [])
    with pytest.raises(
        ModelError, match=r"lets one sample of a packed row see another|cannot be held to one|no position_ids"
    ):
        foresight.check(Config(packed=True), model, str(tmp_path))


def test_an_attention_that_the_model_does_not_have_is_told(tmp_path: Path) -> None:
    config = described("Gemma2Config", head_dim=16)
    found = foresight.check(Config(), config, named(tmp_path))
    assert found.ways[0] == Way(packed=True, attention="eager")
    assert found.lines == [f"train: attention is eager, the only one that {tmp_path} has"]
    with pytest.raises(ModelError, match=r"attention: sdpa .*; leave the key `attention` out"):
        foresight.check(Config(attention="sdpa"), config, str(tmp_path))
