"""What makes steps faster changes them by rounding alone."""

from typing import Any

import numpy as np
import peft
import pytest
import torch
import transformers

from headrace.cluster.errors import RecipeError
from headrace.pipelines.train import speed, steps
from headrace.pipelines.train.config import Config
from headrace.pipelines.train.running import forward

V, LENGTH = 61, 40


def model_of(dtype: torch.dtype = torch.float32, dropout: float = 0.0, layers: int = 4, **more: Any) -> Any:
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=V,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=layers,
        num_attention_heads=4,
        num_key_value_heads=2,
    )
    base = transformers.AutoModelForCausalLM.from_config(config, dtype=dtype)
    lora = peft.LoraConfig(r=4, lora_alpha=12, target_modules="all-linear", lora_dropout=dropout, **more)
    model = peft.get_peft_model(base, lora)
    for name, weight in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.1)
    return model.train()


def batch() -> dict[str, torch.Tensor]:
    ids = (np.arange(2 * LENGTH).reshape(2, LENGTH) * 7) % V
    places = np.tile(np.arange(LENGTH), (2, 1))
    columns = {"input_ids": ids, "labels": ids, "position_ids": places % 20, "segment_ids": places // 20 + 1}
    return forward.tensors(columns, torch.device("cpu"))


def stepped(model: Any, config: Config) -> tuple[float, list[torch.Tensor]]:
    """Loss of a step, and the weights after three."""
    optimizer = speed.optimizer([p for p in model.parameters() if p.requires_grad], config)
    losses = [
        float(
            steps.step(model, optimizer, [batch()], steps.Rank(0, 1, torch.device("cpu")), 1e-3, 1.0, [5])[0]
        )
        for _ in range(3)
    ]
    return losses[-1], [p.detach().clone() for _, p in sorted(model.named_parameters()) if p.requires_grad]


@pytest.mark.parametrize("more", [{}, {"use_rslora": True}, {"use_dora": True}, {"dropout": 0.2}])
def test_adapters_are_added_as_peft_adds_them(more: dict[str, Any]) -> None:
    plain, plain_weights = stepped(model_of(**more), Config())
    ours, weights = stepped(speed.prepared(model_of(**more), Config()), Config())
    assert ours == pytest.approx(plain, rel=1e-6)
    for a, b in zip(weights, plain_weights, strict=True):
        torch.testing.assert_close(a, b, atol=2e-5, rtol=1e-4)


def test_a_switched_off_adapter_is_off() -> None:
    model = speed.prepared(model_of(), Config()).eval()
    ids = batch()["input_ids"]
    with torch.no_grad():
        on = model(input_ids=ids).logits
        with model.disable_adapter():
            off = model(input_ids=ids).logits
        base = model.unload()(input_ids=ids).logits
    assert not torch.allclose(on, off, atol=1e-3)
    torch.testing.assert_close(off, base)


def test_in_bfloat16_nothing_is_lost_by_the_copies_left_out() -> None:
    exact, _ = stepped(model_of(), Config())
    plain, _ = stepped(model_of(torch.bfloat16), Config())
    ours, weights = stepped(speed.prepared(model_of(torch.bfloat16), Config()), Config())
    assert ours == pytest.approx(exact, rel=5e-3)
    assert ours == pytest.approx(plain, rel=5e-3)
    assert {w.dtype for w in weights} == {torch.float32}


@pytest.mark.parametrize("how", [True, "selective"])
def test_activations_made_again_are_the_same(how: bool | str) -> None:
    plain, weights = stepped(speed.prepared(model_of(), Config()), Config())
    model = model_of()
    speed.checkpointed(model.get_base_model(), how)
    marked = [module.gradient_checkpointing for module in model.get_base_model().model.layers]
    assert sum(marked) == (4 if how is True else 2)
    ours, again = stepped(speed.prepared(model, Config()), Config())
    assert ours == pytest.approx(plain, rel=1e-6)
    for a, b in zip(again, weights, strict=True):
        torch.testing.assert_close(a, b, atol=2e-5, rtol=1e-4)


def test_compiled_layers_learn_the_same() -> None:
    def made() -> Any:
        model = model_of(dropout=0.2, layers=1)
        model.get_base_model().set_attn_implementation("varlen")
        return model

    plain, weights = stepped(speed.prepared(made(), Config()), Config())
    compiled = speed.prepared(made(), Config(compile=True))
    assert compiled.get_base_model().model.layers[0]._compiled_call_impl is not None
    ours, again = stepped(compiled, Config())
    assert ours == pytest.approx(plain, rel=1e-6)
    for a, b in zip(again, weights, strict=True):
        torch.testing.assert_close(a, b, atol=2e-5, rtol=1e-4)


def test_without_a_compiler_compiling_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    monkeypatch.setattr("torch._inductor.config.cpp.cxx", ("no-such-compiler",))
    speed.require_compiler(Config())
    with pytest.raises(RecipeError, match=r"train\.compile is true.*CXX"):
        speed.require_compiler(Config(compile=True))
