"""The adapter as a run holds it: finished by its card, and the same when it is loaded again."""

from pathlib import Path

import pytest
import torch

from headrace.cluster import storage
from headrace.pipelines.commands.verify import look as verify
from headrace.pipelines.commands.verify.tasks import Report
from headrace.pipelines.train import adapter, models
from headrace.pipelines.train.config import Config
from tests.pipelines import toys


def test_what_is_written_is_loaded_again_and_its_card_comes_last(tmp_path: Path) -> None:
    base, run = toys.model(tmp_path / "base"), str(tmp_path / "run")
    torch.manual_seed(3)
    model = adapter.fitted(models.load(base, torch.float32, "sdpa"), Config(rank=4), base)
    for name, weight in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight)  # an untrained adapter changes nothing
    written = adapter.files(model, base)
    assert written == adapter.files(model, base)
    assert adapter.card(run) is None
    adapter.write(run, written, base, {"key": "k", "step": 8})
    card = adapter.card(run)
    assert card is not None
    files = card.pop("files")
    assert card == {"key": "k", "step": 8}
    there = {entry.path.rsplit("/", 1)[-1] for entry in storage.listing(adapter.path(run))}
    assert there == {*files, adapter.CARD}
    assert there > {adapter.WEIGHTS, adapter.CONFIG, "tokenizer.json"}
    assert files[adapter.WEIGHTS]["size"] == len(written[adapter.WEIGHTS])
    ids = torch.tensor([toys.sample("oak")[0]])
    loaded = adapter.load(run, models.load(base, torch.float32, "sdpa"))
    assert torch.equal(loaded(ids).logits, model.eval()(ids).logits)
    fresh = adapter.fitted(models.load(base, torch.float32, "sdpa"), Config(rank=4), base)
    adapter.set_weights(fresh, written)
    assert torch.equal(fresh.eval()(ids).logits, loaded(ids).logits)


@pytest.mark.parametrize("fault", ["deleted", "cut", "flipped"])
def test_verify_tells_of_an_adapter_that_is_damaged(tmp_path: Path, fault: str) -> None:
    base, run = toys.model(tmp_path / "base"), str(tmp_path / "run")
    adapter.write(run, {adapter.WEIGHTS: b"weights", adapter.CONFIG: b"{}"}, base, {"key": "k"})
    sound, damaged = Report(), Report()
    verify._training(run, sound)
    assert (sound.findings, sound.notes) == ([], {"training": "the adapter is what its card says"})
    path = adapter.path(run, adapter.WEIGHTS)
    if fault == "deleted":
        storage.delete(path)
    else:
        storage.put(path, b"weight" if fault == "cut" else b"weighty")
    verify._training(run, damaged)
    assert [(one.check, one.path) for one in damaged.findings] == [("training", "adapter")]


@pytest.mark.parametrize("held", [b'{"key": "k"', b"\xff", b"[]", b"5", b"{}", b"null", b'{"key": 5}'])
def test_what_is_no_card_is_none(tmp_path: Path, held: bytes) -> None:
    storage.put(adapter.path(str(tmp_path), adapter.CARD), held)
    assert adapter.card(str(tmp_path)) is None
