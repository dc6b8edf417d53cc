"""Packed rows as they are, or their samples apart: the same targets and loss, as the logits prove."""

from collections import Counter
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional

from headrace.cluster.errors import ModelError
from headrace.pipelines.schema import IGNORE
from headrace.pipelines.train import models, steps
from headrace.pipelines.train.batches import Batch
from headrace.pipelines.train.running import forward, ways
from headrace.pipelines.train.running.ways import Way
from tests.pipelines import toys

CPU = torch.device("cpu")
LENGTH = 24


def packed(sizes: list[list[int]], seed: int = 0) -> Batch:
    """Rows of samples of these sizes, of which every fourth has no target."""
    draw = np.random.default_rng(seed)
    names = ("input_ids", "labels", "position_ids", "segment_ids")
    batch = {n: np.zeros((len(sizes), LENGTH), np.int64) for n in names}
    batch["labels"][:] = IGNORE
    number = 0
    for row, of_row in enumerate(sizes):
        at = 0
        for segment, size in enumerate(of_row, start=1):
            cut = slice(at, at + size)
            ids = draw.integers(2, len(toys.WORDS), size)
            batch["input_ids"][row, cut] = ids
            batch["position_ids"][row, cut], batch["segment_ids"][row, cut] = np.arange(size), segment
            if number % 4:
                batch["labels"][row, at + size // 2 + (size == 1) : at + size] = ids[
                    size // 2 + (size == 1) :
                ]
            at, number = at + size, number + 1
    return batch


rows = st.lists(st.integers(2, LENGTH), max_size=6).filter(lambda row: sum(row) <= LENGTH)


@given(st.lists(rows, min_size=1, max_size=6), st.integers(0, 5))
def test_samples_apart_are_those_of_the_rows(sizes: list[list[int]], seed: int) -> None:
    batch = packed(sizes, seed)
    wanted: Counter[tuple[tuple[int, ...], tuple[int, ...]]] = Counter()
    for row, of_row in enumerate(sizes):
        for segment in range(1, len(of_row) + 1):
            own = batch["segment_ids"][row] == segment
            labels = batch["labels"][row][own]
            if (labels != IGNORE).any():
                wanted[tuple(batch["input_ids"][row][own].tolist()), tuple(labels.tolist())] += 1
    found: Counter[tuple[tuple[int, ...], tuple[int, ...]]] = Counter()
    for group in ways.apart(batch):
        mask = group["attention_mask"] == 1
        assert mask.size <= batch["labels"].size, "it has no more places than the packed rows"
        assert (mask.sum(1) * 2 >= mask.shape[1]).all(), "at most half of a row is padding"
        assert mask[:, 0].all()
        assert (np.diff(mask.astype(int), axis=1) <= 0).all(), "padding is to the right"
        assert (group["labels"][~mask] == IGNORE).all()
        for ids, labels, own in zip(group["input_ids"], group["labels"], mask, strict=True):
            found[tuple(ids[own].tolist()), tuple(labels[own].tolist())] += 1
    assert found == wanted


@torch.no_grad()
def test_the_loss_is_the_same_apart_and_packed(toy_model: str) -> None:
    model = models.load(toy_model, torch.float32, "sdpa")
    batch = packed([[9, 4, 11], [24], [3, 5, 7, 2, 6], [13, 8]])
    losses = []
    for form in (True, False):
        parts = [forward.tensors(part, CPU) for part in Way(form, "sdpa").inputs(batch)]
        losses.append(sum(float(steps.loss_sum(model, part)) for part in parts))
        assert sum(int(steps.targets(part)) for part in parts) == int(
            (batch["labels"][:, 1:] != IGNORE).sum()
        )
    assert losses[1] == pytest.approx(losses[0], rel=1e-5)
    assert len(ways.apart(batch)) < 12


def test_a_recipe_decides_what_is_tried() -> None:
    assert [tuple(way) for way in ways.candidates("auto", "auto")] == [
        (True, "sdpa"),
        (True, "eager"),
        (False, "sdpa"),
        (False, "eager"),
    ]
    assert ways.candidates(True, "eager") == (Way(True, "eager"),)
    assert ways.candidates(False, "sdpa") == (Way(False, "sdpa"),)


def test_a_model_that_lets_samples_see_each_other_is_run_apart(
    toy_model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = models.load(toy_model, torch.float32, "eager")
    both = (Way(True, "sdpa"), Way(False, "sdpa"))
    assert ways.proved(model, both, toy_model) == both[0]
    monkeypatch.setattr(
        forward, "block_causal_mask", lambda s: torch.ones(len(s), 1, s.shape[1], s.shape[1]).tril() > 0
    )
    assert ways.proved(model, both, toy_model) == both[1]
    with pytest.raises(ModelError, match=r"see another .*; leave train\.packed out: samples are then"):
        ways.proved(model, both[:1], toy_model)


class Reversed(torch.nn.Module):
    """A model that reads padding: no way is right for it."""

    def __init__(self, inner: Any) -> None:
        super().__init__()
        self.inner, self.config, self.dtype, self.device = inner, inner.config, inner.dtype, inner.device

    def forward(self, input_ids: torch.Tensor, **more: Any) -> Any:
        more.pop("attention_mask", None)
        keep = more.pop("logits_to_keep", slice(None))
        output = self.inner(input_ids=input_ids.flip(1), **more)
        output.logits = output.logits.flip(1)[:, keep]
        return output


class Blind(Reversed):
    """A model that heeds no mask."""

    def forward(self, input_ids: torch.Tensor, **more: Any) -> Any:
        return self.inner(input_ids=input_ids, use_cache=False)


def test_a_model_that_reads_padding_is_refused(toy_model: str) -> None:
    model = Reversed(models.load(toy_model, torch.float32, "sdpa"))
    with pytest.raises(ModelError, match=r"no position_ids.*a sample has other logits there than alone"):
        ways.proved(model, (Way(True, "sdpa"), Way(False, "sdpa")), "reversed")


def test_a_model_whose_logits_are_no_numbers_is_told_so(toy_model: str) -> None:
    model = models.load(toy_model, torch.float32, "sdpa")
    model.model.layers[1].mlp.down_proj.weight.data[0, 0] = torch.nan
    every = ways.candidates("auto", "auto")
    assert {ways.refusal(model, way) for way in every} == {ways.NO_NUMBERS}
    with pytest.raises(ModelError, match=r"^'it' cannot be trained: its logits are no numbers"):
        ways.proved(model, every, "it")


@torch.no_grad()
def test_a_model_without_position_ids_is_run_apart() -> None:
    torch.manual_seed(0)
    described = transformers.BloomConfig(
        vocab_size=len(toys.WORDS), hidden_size=32, n_layer=2, n_head=2, use_cache=False
    )
    model = transformers.AutoModelForCausalLM.from_config(described, attn_implementation="eager").eval()
    assert ways.proved(model, ways.candidates("auto", "eager"), "bloom") == Way(False, "eager")
    batch = packed([[9, 4, 11], [24], [3, 5, 7, 2, 6]])
    alone = 0.0
    for row in range(3):
        for segment in range(1, int(batch["segment_ids"][row].max()) + 1):
            own = batch["segment_ids"][row] == segment
            ids, labels = (torch.from_numpy(batch[n][row][own])[None] for n in ("input_ids", "labels"))
            logits = model(input_ids=ids).logits[0, :-1]
            alone += float(functional.cross_entropy(logits, labels[0, 1:], reduction="sum"))
    parts = [forward.tensors(part, CPU) for part in ways.apart(batch)]
    assert sum(float(steps.loss_sum(model, part)) for part in parts) == pytest.approx(alone, rel=1e-5)


def test_an_attention_with_dropout_is_run_by_a_mask() -> None:
    described = transformers.GPT2Config(vocab_size=len(toys.WORDS), n_embd=16, n_layer=1, n_head=2)
    model = transformers.AutoModelForCausalLM.from_config(described, attn_implementation="varlen").eval()
    assert ways.proved(model, ways.candidates("auto", "auto", segments=True), "gpt2") == Way(True, "sdpa")
    assert not model.training


def test_padding_before_a_prompt_is_shown_to_be_heeded(toy_model: str) -> None:
    model = models.load(toy_model, torch.float32, "sdpa")
    assert ways.pads_left(model)
    assert not ways.pads_left(Blind(model))
