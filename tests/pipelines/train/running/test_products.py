"""Products by oneDNN are those of PyTorch, forwards and backwards; other numbers go by PyTorch itself."""

import copy
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch.nn import functional

from headrace.pipelines.train.running import products

SIZES = st.integers(1, 70)


@pytest.fixture(autouse=True)
def _of_any_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(products, "LEAST", 0)


def results(function: Any, tensors: list[torch.Tensor], gradient: torch.Tensor) -> list[torch.Tensor]:
    """What a function gives, and its gradients towards those that want one."""
    found = function(*tensors)
    wanted = [t for t in tensors if t is not None and t.requires_grad]
    return [found.detach(), *torch.autograd.grad(found, wanted, gradient.to(found.dtype))]


@given(rows=SIZES, wide=SIZES, out=SIZES, bias=st.booleans(), frozen=st.booleans(), seed=st.integers(0, 99))
@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_product_is_that_of_doubles(
    rows: int, wide: int, out: int, *, bias: bool, frozen: bool, seed: int
) -> None:
    draw = torch.Generator().manual_seed(seed)
    x = torch.randn(1, rows, wide, generator=draw, requires_grad=True)
    weight = torch.randn(out, wide, generator=draw, requires_grad=not frozen)
    added = torch.randn(out, generator=draw, requires_grad=not frozen) if bias else None
    gradient = torch.randn(1, rows, out, generator=draw)
    given_ = [x, weight, *([added] if added is not None else [])]
    exact = [t.detach().double().requires_grad_(t.requires_grad) for t in given_]
    ours = results(products.linear, given_, gradient)
    for found, wanted in zip(ours, results(functional.linear, exact, gradient), strict=True):
        assert found.dtype == torch.float32
        torch.testing.assert_close(found.double(), wanted, rtol=1e-4, atol=1e-4)


def test_transposed_parts_of_tensors_are_taken_as_they_are() -> None:
    torch.manual_seed(0)
    a, b = torch.randn(9, 40)[:, 3:20], torch.randn(31, 17).t()
    torch.testing.assert_close(products.product(a, b), a @ b)
    torch.testing.assert_close(products.product(a.t(), a), a.t() @ a)


def test_a_frozen_layer_keeps_its_weights_alone_for_the_backward_pass() -> None:
    layer = torch.nn.Linear(8, 5).requires_grad_(False)
    held: list[torch.Tensor] = []
    x = torch.randn(3, 8, requires_grad=True)
    with torch.autograd.graph.saved_tensors_hooks(lambda t: held.append(t) or t, lambda t: t):
        products.linear(x, layer.weight, layer.bias)
    assert [t.data_ptr() for t in held] == [layer.weight.data_ptr()]


@pytest.mark.parametrize("case", ["half", "autocast", "nothing"])
def test_other_numbers_go_by_pytorch(case: str) -> None:
    dtype = torch.bfloat16 if case == "half" else torch.float32
    x = torch.ones(0 if case == "nothing" else 4, 6, dtype=dtype)
    weight = torch.full((3, 6), 0.1, dtype=dtype)
    with torch.autocast("cpu", torch.bfloat16, enabled=case == "autocast"):
        assert not products.taken(x, weight)
        assert torch.equal(products.linear(x, weight), functional.linear(x, weight))


def test_small_products_go_by_pytorch_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    monkeypatch.setattr(products, "LEAST", 4 * 6 * 3)
    monkeypatch.setattr(products, "taken", lambda x, _: asked.append(len(x)))
    weight = torch.ones(3, 6)
    for rows in (3, 4, 5):
        products.linear(torch.ones(rows, 6), weight)
        products.product(torch.ones(rows, 6), weight.t())
    assert asked == [4, 4, 5, 5]


def test_plain_layers_of_a_model_go_by_it_and_those_of_its_copy_too() -> None:
    model = torch.nn.Sequential(torch.nn.Linear(6, 4), torch.nn.ReLU(), torch.nn.Linear(4, 2))
    x = torch.randn(5, 6)
    wanted = model(x)
    products.prepared(model)
    torch.testing.assert_close(model(x), wanted)
    other = copy.deepcopy(model)
    torch.nn.init.zeros_(other[2].weight)
    torch.testing.assert_close(other(x), other[2].bias.expand(5, 2))
    torch.testing.assert_close(model(x), wanted)
