"""Memory of a training, beside what PyTorch keeps for the backward pass of a small model."""

import numpy as np
import pytest
import torch
import transformers
from hypothesis import given
from hypothesis import strategies as st

from headrace.pipelines.examine.advice import fit
from headrace.pipelines.train import adapter, models, speed, steps
from headrace.pipelines.train.config import Config
from headrace.pipelines.train.running import forward

RANK, TOKENS = 8, 64
LLAMA = {"num_attention_heads": 8, "num_key_value_heads": 4, "intermediate_size": 344, "vocab_size": 128}
QWEN = {"num_attention_heads": 4, "num_key_value_heads": 2, "intermediate_size": 512, "vocab_size": 256}


def kept(model: torch.nn.Module) -> int:
    """Bytes that a forward pass over `TOKENS` tokens keeps, weights apart."""
    own = {p.untyped_storage().data_ptr() for p in model.parameters()}
    held: dict[int, torch.Tensor] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        held[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    places = np.arange(TOKENS)[None]
    columns = {"input_ids": places, "labels": places, "position_ids": places, "segment_ids": places * 0 + 1}
    batch = forward.tensors(columns, torch.device("cpu"))
    steps.loss_sum(model, batch)  # which looks at a few tokens the first time
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        steps.loss_sum(model, batch)
    return sum(t.untyped_storage().nbytes() for at, t in held.items() if at not in own)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
@pytest.mark.parametrize(
    "described",
    [
        transformers.LlamaConfig(hidden_size=128, num_hidden_layers=3, **LLAMA),
        transformers.Qwen2Config(hidden_size=64, num_hidden_layers=2, tie_word_embeddings=True, **QWEN),
        transformers.Qwen3Config(hidden_size=96, num_hidden_layers=2, head_dim=32, **QWEN),
    ],
    ids=["llama", "qwen", "norms of queries and keys"],
)
def test_sizes_are_those_of_a_model_that_is_built(described: object, dtype: torch.dtype) -> None:
    base = transformers.AutoModelForCausalLM.from_config(described, dtype=dtype)
    shapes = fit.of_config("small", described)
    assert shapes is not None
    assert shapes.parameters == pytest.approx(sum(p.numel() for p in base.parameters()), rel=0.01)
    tuned = adapter.fitted(models.prepared(base), Config(rank=RANK), "small").train()
    tuned.set_attn_implementation("varlen")
    tuned = speed.prepared(tuned, Config())
    trained = [p for p in tuned.parameters() if p.requires_grad]
    assert shapes.adapter(RANK) == sum(p.numel() for p in trained)
    for parameter in trained:
        parameter.data = parameter.data.float()
    size = torch.finfo(dtype).bits // 8
    counted = TOKENS * shapes.layers * fit.activations(shapes, RANK, size)
    counted += shapes.adapter(RANK) * size if size < 4 else 0  # the copy of the adapter
    assert counted == pytest.approx(kept(tuned), rel=0.03)


@pytest.mark.parametrize(
    ("config", "trained"),
    [
        (Config(rank=RANK, target_modules=("q_proj", "v_proj")), fit.Trained(("q", "v"))),
        (
            Config(rank=RANK, target_modules=("k_proj", "o_proj", "down_proj")),
            fit.Trained(("k", "o", "down")),
        ),
        (Config(method="full"), fit.Trained(whole=True)),
    ],
    ids=["queries and values", "others", "every weight"],
)
def test_what_is_trained_decides_what_is_kept(config: Config, trained: fit.Trained) -> None:
    described = transformers.Qwen3Config(hidden_size=96, num_hidden_layers=4, head_dim=32, **QWEN)
    base = transformers.AutoModelForCausalLM.from_config(described, dtype=torch.float32)
    shapes = fit.of_config("small", described)
    assert shapes is not None
    tuned = adapter.fitted(models.prepared(base), config, "small").train()
    tuned.set_attn_implementation("varlen")
    tuned = speed.prepared(tuned, config)
    if not trained.whole:
        assert shapes.adapter(RANK, trained) == sum(p.numel() for p in tuned.parameters() if p.requires_grad)
    counted = TOKENS * shapes.layers * fit.activations(shapes, RANK, 4, trained)
    if trained.whole:  # the gradient of the output layer, what it and the first layer are given
        counted += 4 * (shapes.vocabulary + 2 * TOKENS) * shapes.hidden
    assert counted == pytest.approx(kept(tuned), rel=0.03)


@pytest.mark.parametrize(
    ("model", "billions"),
    list(zip(fit.USUAL, (0.494, 1.236, 3.213, 8.030, 14.77, 32.76, 70.55), strict=True)),
    ids=lambda value: getattr(value, "name", ""),
)
def test_usual_sizes_have_the_parameters_that_their_makers_name(model: fit.Shapes, billions: float) -> None:
    assert model.parameters / 1e9 == pytest.approx(billions, rel=0.005)


def test_what_fits_where() -> None:
    eight = fit.TYPICAL
    roomy = fit.fitted(eight, fit.GPUS["h100-80g"].memory, 16, 2048, 4)
    assert roomy is not None
    assert (roomy.batch, roomy.checkpointing) == (4, False)
    tight = fit.fitted(eight, fit.GPUS["rtx4090-24g"].memory, 16, 2048, 4)
    assert tight is not None
    assert tight.checkpointing
    assert fit.fitted(fit.USUAL[-1], 80, 16, 2048, 1) is None
    assert fit.largest(16, 16, 2048, 4) == fit.USUAL[2]
    assert fit.largest(0.5, 16, 2048, 4) is None


@pytest.mark.parametrize(("room", "batch"), [(110, 6), (75, 3), (50, 2), (31, 1)])
def test_a_batch_divides_the_one_that_is_asked_for(room: float, batch: int) -> None:
    fitted = fit.fitted(fit.TYPICAL, room, 16, 2048, 6)
    assert fitted is not None
    assert (fitted.batch, fitted.checkpointing) == (batch, False)


@given(st.integers(1, 256), st.integers(8, 8192), st.integers(1, 8), st.sampled_from([2, 4]), st.booleans())
def test_more_takes_more(rank: int, length: int, batch: int, size: int, checkpointing: bool) -> None:
    def whole(rank: int, length: int, batch: int) -> float:
        parts = fit.memory(fit.TYPICAL, rank, length, batch, size=size, checkpointing=checkpointing)
        assert all(n >= 0 for n in parts.values())
        return sum(parts.values())

    here = whole(rank, length, batch)
    assert here < whole(rank + 1, length, batch) < whole(rank + 1, length + 1, batch + 1)
    plain = fit.memory(fit.TYPICAL, rank, length, batch, size=size)["activations"]
    assert fit.memory(fit.TYPICAL, rank, length, batch, size=size, checkpointing=True)["activations"] < plain


def test_experts_are_counted_and_unknown_kinds_are_not_guessed() -> None:
    mixed = transformers.MixtralConfig(
        hidden_size=64, num_hidden_layers=2, intermediate_size=96, num_attention_heads=4, num_local_experts=4
    )
    shapes = fit.of_config("experts", mixed)
    assert shapes is not None
    assert shapes.experts == 4
    assert fit.of_config("none", transformers.PretrainedConfig()) is None


def test_gpus_are_known_by_the_names_that_drivers_give() -> None:
    assert fit.known("NVIDIA H200") == fit.GPUS["h200-141g"]
    assert fit.known("NVIDIA L40S") == fit.GPUS["l40s-48g"]
    assert fit.known("NVIDIA GeForce RTX 4090") == fit.GPUS["rtx4090-24g"]
    assert fit.known("NVIDIA A100-SXM4-80GB") is not None
    assert fit.known("Tesla V100") is None
