"""The loss made in chunks is plain cross entropy, and so are its gradients."""

from typing import Any

import peft
import pytest
import torch
import transformers
from torch.nn import functional

from headrace.pipelines.examine.advice import fit
from headrace.pipelines.train import steps
from headrace.pipelines.train.running import forward, loss
from headrace.pipelines.train.running.loss import Shape

N, H, V = 301, 24, 97


def given(
    dtype: torch.dtype = torch.float32, *, bias: bool = False
) -> tuple[Any, torch.Tensor, torch.Tensor]:
    torch.manual_seed(2)
    head = torch.nn.Linear(H, V, bias=bias, dtype=dtype)
    return head, torch.randn(N, H, dtype=dtype), torch.randint(0, V, (N,))


def plain(head: Any, hidden: torch.Tensor, labels: torch.Tensor, shape: Shape) -> torch.Tensor:
    logits = head(hidden).float() * shape.scale
    if shape.cap is not None:
        logits = torch.tanh(logits / shape.cap) * shape.cap
    return functional.cross_entropy(logits, labels, reduction="sum")


def packed() -> dict[str, torch.Tensor]:
    """A row of two samples of twelve tokens."""
    places = torch.arange(24)[None]
    ids = (places * 7 + 3) % V
    return {"input_ids": ids, "labels": ids, "position_ids": places % 12, "segment_ids": places // 12 + 1}


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(fit.CHUNK, "cpu", 0)  # LEAST tokens a chunk


@pytest.mark.parametrize("shape", [Shape(), Shape(0.25), Shape(3.0, 2.0), Shape(1.0, 0.5)])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("trained", [False, True])
def test_loss_and_gradients_are_those_of_plain_cross_entropy(shape: Shape, bias: bool, trained: bool) -> None:
    head, hidden, labels = given(bias=bias)
    head.requires_grad_(trained)
    hidden.requires_grad_()
    found = []
    for way in (plain, lambda h, x, y, s: loss.summed(x, y, h, s)):
        hidden.grad = None
        head.zero_grad()
        value = way(head, hidden, labels, shape)
        (value / 7).backward()
        assert hidden.grad is not None
        found.append(
            (
                float(value.detach()),
                hidden.grad.clone(),
                [p.grad.clone() for p in head.parameters() if trained],
            )
        )
    (wanted, d_hidden, d_head), (ours, our_hidden, our_head) = found
    assert ours == pytest.approx(wanted, rel=1e-6)
    for a, b in zip([our_hidden, *our_head], [d_hidden, *d_head], strict=True):
        assert float((a - b).abs().max()) <= 1e-5 * float(b.abs().max())


def test_in_bfloat16_it_is_as_near_as_bfloat16_goes() -> None:
    head, hidden, labels = given(torch.bfloat16)
    hidden.requires_grad_()
    exact = plain(head.float(), hidden.float(), labels, Shape())
    exact_gradient = torch.autograd.grad(exact, hidden)[0].float()
    ours = loss.summed(hidden, labels, head.bfloat16(), Shape())
    gradient = torch.autograd.grad(ours, hidden)[0].float()
    assert float(ours.detach()) == pytest.approx(float(exact.detach()), rel=1e-3)
    assert float((gradient - exact_gradient).abs().max()) <= 0.02 * float(exact_gradient.abs().max())


def test_an_adapter_on_the_output_layer_gets_its_gradients() -> None:
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=V, hidden_size=H, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2
    )
    model = peft.get_peft_model(
        transformers.LlamaForCausalLM(config), peft.LoraConfig(r=2, target_modules=["lm_head", "q_proj"])
    )
    ids = torch.randint(0, V, (1, 80))
    places = torch.arange(80)[None]
    batch = {"input_ids": ids, "labels": ids, "position_ids": places, "segment_ids": torch.ones_like(ids)}
    found = []
    for own in (True, False):
        model.zero_grad()
        logits = model(input_ids=ids).logits[0, :-1] if own else None
        value = (
            functional.cross_entropy(logits, ids[0, 1:], reduction="sum")
            if logits is not None
            else steps.loss_sum(model, batch)
        )
        value.backward()
        gradients = [p.grad.clone() for n, p in sorted(model.named_parameters()) if p.grad is not None]
        found.append((float(value.detach()), gradients))
    assert found[1][0] == pytest.approx(found[0][0], rel=1e-6)
    assert len(found[1][1]) == len(found[0][1]) >= 4
    for a, b in zip(found[1][1], found[0][1], strict=True):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("kind", "more", "shape"),
    [
        ("LlamaConfig", {}, Shape()),
        ("Gemma2Config", {"final_logit_softcapping": 0.3, "head_dim": 12}, Shape(1.0, 0.3)),
        ("GraniteConfig", {"logits_scaling": 4.0}, Shape(0.25)),
        ("CohereConfig", {"logit_scale": 0.5, "use_qk_norm": False}, Shape(0.5)),
    ],
)
def test_what_a_model_does_to_its_logits_is_done_here(kind: str, more: dict[str, Any], shape: Shape) -> None:
    torch.manual_seed(0)
    config = getattr(transformers, kind)(
        vocab_size=V,
        hidden_size=H,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        pad_token_id=0,
        **more,
    )
    model = transformers.AutoModelForCausalLM.from_config(config, attn_implementation="eager").eval()
    batch = packed()
    own = forward._by_row(model, batch)
    assert loss.route(model, lambda: forward._few(model)) == shape
    assert float(steps.loss_sum(model, batch).detach()) == pytest.approx(float(own.detach()), rel=1e-6)


def test_logits_that_cannot_be_told_are_the_models_own() -> None:
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=V, hidden_size=H, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2
    )
    model = transformers.LlamaForCausalLM(config)
    honest = model.forward

    def odd(*args: Any, **kwargs: Any) -> Any:
        out = honest(*args, **kwargs)
        out.logits = out.logits + out.logits.square()
        return out

    model.forward = odd  # type: ignore[method-assign]
    batch = packed()
    assert loss.route(model, lambda: forward._few(model)) is None
    wanted = functional.cross_entropy(
        *(t[0] for t in forward.target_logits(model, batch)), ignore_index=-100, reduction="sum"
    )
    assert float(steps.loss_sum(model, batch).detach()) == pytest.approx(float(wanted.detach()), rel=1e-6)


def test_no_target_is_no_loss_and_gradients_of_zero() -> None:
    head, hidden, labels = given()
    hidden.requires_grad_()
    value = loss.summed(hidden[:0], labels[:0], head, Shape())
    value.backward()
    assert float(value.detach()) == 0.0
    assert hidden.grad is not None
    assert not hidden.grad.any()
