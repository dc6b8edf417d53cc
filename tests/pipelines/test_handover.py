"""packed/ in other trainers, as the README hands it over: the same loss on the first step as ours.

`rows` and `flattened` are the README's own lines, which need no headrace. TRL is no dependency of headrace's:
its test skips where it is not installed.
"""

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.dataset
import pytest
import torch
import transformers

from headrace.pipelines.train import steps
from headrace.pipelines.train.running import forward
from tests.pipelines import toys

COUNT = 24  # samples, in rows of three


def rows(run: str, side: str = "train") -> Iterator[dict[str, Any]]:
    """Packed rows without their padding, with the lengths of their samples."""
    for row in pyarrow.dataset.dataset(f"{run}/packed/{side}").to_table().to_pylist():
        segments = np.array(row["segment_ids"])
        used = int((segments > 0).sum())
        lengths = np.bincount(segments[:used])[1:].tolist()
        names = ("input_ids", "labels", "position_ids")
        yield {**{name: row[name][:used] for name in names}, "seq_lengths": lengths}


def flattened(batch: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
    """Packed rows as one row: position ids that begin anew part samples, and no mask joins them."""
    names = ("input_ids", "labels", "position_ids")
    return {name: torch.tensor([[token for row in batch for token in row[name]]]) for name in names}


@pytest.fixture
def packed(toy_model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[str, str, float]:
    """A run, its model, and our loss over all of its rows in nats a target."""
    monkeypatch.setenv("WANDB_DISABLED", "true")
    run = toys.run(tmp_path / "run", {"train": COUNT}, parts=1)
    model = transformers.AutoModelForCausalLM.from_pretrained(toy_model, attn_implementation="sdpa")
    columns = ("input_ids", "labels", "position_ids", "segment_ids")
    table = pyarrow.dataset.dataset(f"{run}/packed/train").to_table()
    batch = forward.tensors({n: np.array(table[n].to_pylist()) for n in columns}, torch.device("cpu"))
    with torch.no_grad():
        loss = float(steps.loss_sum(model, batch)) / int(steps.targets(batch))
    return run, toy_model, loss


def arguments(folder: Path, count: int) -> dict[str, Any]:
    """One step over all rows, told."""
    return {
        "output_dir": str(folder),
        "per_device_train_batch_size": count,
        "max_steps": 1,
        "logging_steps": 1,
        "learning_rate": 1e-9,
        "report_to": [],
        "use_cpu": True,
        "save_strategy": "no",
        "disable_tqdm": True,
        "remove_unused_columns": False,
    }


def first_loss(trainer: Any) -> float:
    trainer.train()
    return float(trainer.state.log_history[0]["loss"])


def test_rows_are_handed_over_whole(packed: tuple[str, str, float]) -> None:
    handed = list(rows(packed[0]))
    assert sum(len(row["seq_lengths"]) for row in handed) == COUNT
    assert all(sum(row["seq_lengths"]) == len(row["input_ids"]) for row in handed)
    one = flattened(handed)
    starts = (one["position_ids"][0] == 0).nonzero().flatten()
    assert len(starts) == COUNT
    assert (one["labels"][0][starts] == -100).all(), "nothing before a sample predicts its first token"


@pytest.mark.skipif(
    importlib.util.find_spec("accelerate") is None, reason="transformers' Trainer needs accelerate"
)
def test_transformers_trainer_has_our_loss(packed: tuple[str, str, float], tmp_path: Path) -> None:
    from datasets import Dataset

    run, model, wanted = packed
    dataset = Dataset.from_list(list(rows(run)))
    trainer = transformers.Trainer(
        transformers.AutoModelForCausalLM.from_pretrained(model, attn_implementation="sdpa"),
        transformers.TrainingArguments(**arguments(tmp_path, len(dataset))),
        train_dataset=dataset,
        data_collator=flattened,
    )
    assert first_loss(trainer) == pytest.approx(wanted, rel=1e-5)


@pytest.mark.skipif(importlib.util.find_spec("trl") is None, reason="TRL is not installed")
def test_trl_has_our_loss(packed: tuple[str, str, float], tmp_path: Path) -> None:
    from datasets import Dataset
    from trl import SFTConfig, SFTTrainer

    run, model, wanted = packed
    dataset = Dataset.from_list(list(rows(run))).remove_columns("position_ids")
    given = {**arguments(tmp_path, len(dataset)), "remove_unused_columns": True}
    trainer = SFTTrainer(
        transformers.AutoModelForCausalLM.from_pretrained(model, attn_implementation="sdpa"),
        SFTConfig(**given, padding_free=True, max_length=None, bf16=False, gradient_checkpointing=False),
        train_dataset=dataset,
        processing_class=transformers.AutoTokenizer.from_pretrained(model),
    )
    assert first_loss(trainer) == pytest.approx(wanted, rel=1e-5)


def test_rows_that_see_each_other_lose_something_else(packed: tuple[str, str, float]) -> None:
    """What is tested above can fail; and a model that fills a cache, as one does in evaluation, does not keep
    samples apart: the README switches it off.
    """
    run, model, wanted = packed
    one = flattened(list(rows(run)))
    loaded = transformers.AutoModelForCausalLM.from_pretrained(model, attn_implementation="sdpa").eval()
    with torch.no_grad():
        cached = float(loaded(**one).loss)
        loaded.config.use_cache = False
        apart = float(loaded(**one).loss)
        together = float(loaded(input_ids=one["input_ids"], labels=one["labels"]).loss)
    assert apart == pytest.approx(wanted, rel=1e-5)
    assert abs(together - wanted) > 1e-3
    assert abs(cached - wanted) > 1e-3
