"""The loss of routers: the model's own, however rows are packed; refused where it is not."""

from typing import Any

import pytest
import torch

from headrace.cluster.errors import ModelError
from headrace.pipelines.train import adapter, models, steps
from headrace.pipelines.train.config import Config
from headrace.pipelines.train.running import forward, routers, ways
from headrace.pipelines.train.running.ways import Way
from tests.pipelines.train import small

MIXTRAL = {"num_local_experts": 4, "num_experts_per_tok": 2}
QWEN = {"num_experts": 4, "num_experts_per_tok": 2, "head_dim": 8, "moe_intermediate_size": 8}


def model_of(kind: str, more: dict[str, Any], attention: str = "sdpa") -> Any:
    torch.manual_seed(1)
    return models.prepared(models.from_config(small.described(kind, **more), attention, torch.float32))


@pytest.mark.parametrize(("kind", "more"), [("MixtralConfig", MIXTRAL), ("Qwen3MoeConfig", QWEN)])
def test_it_is_the_models_own(kind: str, more: dict[str, Any]) -> None:
    routers.require(model_of(kind, more), kind)


def test_a_model_without_routers_is_refused() -> None:
    with pytest.raises(ModelError, match=r"train\.aux_loss: 'llama' has no routers; leave it out"):
        routers.require(model_of("LlamaConfig", {}), "llama")


@pytest.mark.parametrize("way", [Way(True, "varlen"), Way(True, "sdpa"), Way(False, "sdpa")])
@torch.no_grad()
def test_it_is_that_of_the_samples_however_they_are_run(way: Way) -> None:
    model = model_of("MixtralConfig", MIXTRAL, way.attention)
    parts = [forward.tensors(part, small.ALONE.device) for part in way.inputs(small.batch())]
    plain = sum(float(steps.loss_sum(model, part).detach()) for part in parts)
    routers.attach(model, 0.5)
    assert sum(float(steps.loss_sum(model, part).detach()) for part in parts) == plain, "not in evaluation"
    model.train()
    with_it = [steps.loss_sum(model, part) for part in parts]
    model.set_attn_implementation("eager")
    added = 0.0
    for part in ways.apart(small.batch()) if not way.packed else [small.batch()]:
        held = forward.tensors(part, small.ALONE.device)
        mask = held["attention_mask"] if "attention_mask" in held else held["segment_ids"] > 0
        balance = routers.BALANCES[model]
        balance.held = []
        forward.target_logits(model, held)
        targets = int(steps.targets(held))
        added += 0.5 * targets * float(balance.loss(mask.reshape(-1) > 0))
        balance.held = None
    assert added > 0
    assert float(torch.stack(with_it).sum().detach()) == pytest.approx(plain + added, rel=1e-5)


def test_routers_learn_from_it() -> None:
    learned = []
    for weight in (None, 10.0):
        model = model_of("MixtralConfig", MIXTRAL)
        routers.attach(model, weight)
        torch.manual_seed(2)
        tuned = adapter.fitted(model, Config(rank=4), "mixtral").train()
        part = forward.tensors(small.batch(), small.ALONE.device)
        steps.loss_sum(tuned, part).backward()
        learned.append({n: p.grad for n, p in tuned.named_parameters() if "gate.lora_B" in n})
    assert len(learned[0]) == 2
    for name, gradient in learned[0].items():
        assert gradient is not None
        assert float((learned[1][name] - gradient).abs().max()) > 0.1 * float(gradient.abs().max())
