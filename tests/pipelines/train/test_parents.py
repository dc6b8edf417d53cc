"""A training that goes on from an earlier adapter: of a run, or of peft; of the same base, or refused."""

import json
from pathlib import Path
from typing import Any

import peft
import pytest
import torch

from headrace.cluster import storage
from headrace.cluster.errors import ModelError
from headrace.pipelines.train import adapter, driver, foresight, models, parents
from headrace.pipelines.train.config import Config
from tests.pipelines import toys

IDS = torch.tensor([toys.sample("oak")[0]])


def base_of(model: str) -> Any:
    return models.load(model, torch.float32, "sdpa")


def moved(model: str, **more: Any) -> Any:
    """The toy model with an adapter that changes what it says."""
    torch.manual_seed(3)
    fitted = adapter.fitted(base_of(model), Config(rank=4, alpha=20, **more), model)
    for name, weight in fitted.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight)
    return fitted.eval()


def by_peft(model: str, folder: Path, **more: Any) -> tuple[str, Any]:
    fitted = moved(model, **more)
    fitted.save_pretrained(folder)
    return str(folder), fitted


def of_run(model: str, run: Path, base_mark: str, **card: Any) -> str:
    written = adapter.files(moved(model), model)
    adapter.write(str(run), written, model, {"key": "k1", "base": model, "base_mark": base_mark, **card})
    return str(run)


@pytest.mark.parametrize("method", ["lora", "rslora", "dora"])
@torch.no_grad()
def test_it_starts_where_the_other_ended(toy_model: str, tmp_path: Path, method: str) -> None:
    path, wanted = by_peft(toy_model, tmp_path / "one", method=method)
    config = Config(**{"from": path, "rank": 16, "dropout": 0.25})
    foresight.check(config, models.configuration(toy_model), toy_model)
    parent = parents.found(path)
    child = parents.fitted(base_of(toy_model), parent, 0.25, toy_model)
    assert torch.equal(child.eval()(IDS).logits, wanted(IDS).logits)
    held = child.peft_config["default"]
    assert (held.r, held.lora_alpha, held.lora_dropout) == (4, 20, 0.25)
    assert (held.use_dora, held.use_rslora) == (method == "dora", method == "rslora")
    assert {n for n, p in child.named_parameters() if p.requires_grad} == {
        n for n, p in wanted.named_parameters() if p.requires_grad
    }
    assert parent.named() == {"path": path, "digest": parent.digest, "key": None}


def test_a_run_is_held_against_the_digest_of_its_base(toy_model: str, tmp_path: Path) -> None:
    from headrace.pipelines import model_files

    right = of_run(toy_model, tmp_path / "right", model_files.digest(toy_model))
    other = of_run(toy_model, tmp_path / "other", "of another model")
    parents.check(parents.found(right), toy_model)
    with pytest.raises(
        ModelError, match=r"train\.from: the adapter of '.*other' was trained on another model"
    ):
        foresight.check(Config(**{"from": other}), models.configuration(toy_model), toy_model)
    assert parents.found(right).named()["key"] == "k1"


def test_an_adapter_of_another_model_is_refused(toy_model: str, tmp_path: Path) -> None:
    from transformers import LlamaConfig, LlamaForCausalLM

    described = models.configuration(toy_model).to_dict() | {"hidden_size": 32}
    LlamaForCausalLM(LlamaConfig(**described)).save_pretrained(tmp_path / "narrow")
    toys.tokenizer().save_pretrained(tmp_path / "narrow")
    path, _ = by_peft(str(tmp_path / "narrow"), tmp_path / "one")
    config = Config(**{"from": path})
    with pytest.raises(ModelError, match=r"does not fit '.*' \(.*\); it is of another model"):
        foresight.check(config, models.configuration(toy_model), toy_model)


def test_what_is_no_adapter_is_refused(toy_model: str, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"neither a run with a finished adapter nor a directory with"):
        parents.found(str(tmp_path))
    path, _ = by_peft(toy_model, tmp_path / "one")
    with pytest.raises(ModelError, match=r"train\.method is full: leave one of them out"):
        foresight.check(
            Config(**{"from": path, "method": "full"}), models.configuration(toy_model), toy_model
        )
    (tmp_path / "one" / adapter.WEIGHTS).rename(tmp_path / "one" / "adapter_model.bin")
    with pytest.raises(ModelError, match=r"has no adapter_model\.safetensors; .* may run code"):
        parents.found(path)
    storage.put(adapter.path(str(tmp_path / "whole"), adapter.CARD), b'{"key": "k", "method": "full"}')
    with pytest.raises(ModelError, match=r"holds a whole model and no adapter: write `model: .*/adapter`"):
        parents.found(str(tmp_path / "whole"))
    prefix = tmp_path / "prefix"
    peft.PrefixTuningConfig(num_virtual_tokens=2, task_type="CAUSAL_LM").save_pretrained(prefix)
    (prefix / adapter.WEIGHTS).write_bytes(b"")
    with pytest.raises(ModelError, match=r"is an adapter by PREFIX_TUNING, and not by LoRA"):
        parents.fitted(base_of(toy_model), parents.found(str(prefix)), 0.0, toy_model)


def test_the_content_of_the_parent_is_part_of_the_key(toy_model: str, tmp_path: Path) -> None:
    run = toys.run(tmp_path / "run", {"train": 12, "validation": 6})
    path, _ = by_peft(toy_model, tmp_path / "one")
    moved_to = tmp_path / "two"

    def key(where: str) -> str:
        return driver.plan(run, toy_model, Config(**{"from": where}), 1, {}).key

    first = key(path)
    assert first != driver.plan(run, toy_model, Config(), 1, {}).key
    (tmp_path / "one").rename(moved_to)
    assert key(str(moved_to)) == first
    job = driver.plan(run, toy_model, Config(**{"from": str(moved_to)}), 1, {})
    settings = json.loads((moved_to / adapter.CONFIG).read_text())
    (moved_to / adapter.CONFIG).write_text(json.dumps(settings | {"lora_alpha": 21}))
    assert key(str(moved_to)) != first
    assert job.parent is not None
    with pytest.raises(ModelError, match="has changed while this training ran"):
        parents.again(job.parent)
