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
from tests.pipelines.train import small


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


def test_a_whole_model_is_written_and_loaded_again(tmp_path: Path) -> None:
    base, run = toys.model(tmp_path / "base"), str(tmp_path / "run")
    model = adapter.fitted(models.load(base, torch.float32, "sdpa"), Config(method="full"), base)
    assert all(p.requires_grad for p in model.parameters())
    with torch.no_grad():
        for weight in model.parameters():
            weight += 0.01
    written = adapter.files(model, base)
    assert set(written) >= {"config.json", "model.safetensors"}
    assert written == adapter.files(model, base)
    adapter.write(run, written, base, {"key": "k", "method": "full"})
    ids = torch.tensor([toys.sample("oak")[0]])
    with torch.no_grad():
        loaded = adapter.load(run, models.load(base, torch.float32, "sdpa"))
        assert torch.equal(loaded(ids).logits, model.eval()(ids).logits)
        fresh = adapter.fitted(models.load(base, torch.float32, "sdpa"), Config(method="full"), base)
        adapter.set_weights(fresh, written)
        assert torch.equal(fresh(ids).logits, model(ids).logits)
    assert models.configuration(adapter.path(run)).model_type == "llama"


@pytest.mark.parametrize("method", ["rslora", "dora"])
def test_other_scales_are_loaded_again(tmp_path: Path, method: str) -> None:
    base, run = toys.model(tmp_path / "base"), str(tmp_path / "run")
    torch.manual_seed(3)
    config = Config(rank=4, method=method, modules_to_save=("lm_head",))
    model = adapter.fitted(models.load(base, torch.float32, "sdpa"), config, base)
    with torch.no_grad():
        for weight in (p for p in model.parameters() if p.requires_grad):
            weight += torch.randn_like(weight)
    adapter.write(run, adapter.files(model, base), base, {"key": "k", "method": method})
    ids = torch.tensor([toys.sample("oak")[0]])
    loaded = adapter.load(run, models.load(base, torch.float32, "sdpa"))
    assert torch.equal(loaded(ids).logits, model.eval()(ids).logits)
    scale = model.base_model.model.model.layers[0].mlp.up_proj.scaling["default"]
    assert scale == (16 if method == "rslora" else 8)


@pytest.mark.parametrize("tied", [False, True])
def test_rows_of_new_tokens_are_trained_alone(tmp_path: Path, tied: bool) -> None:
    torch.manual_seed(1)
    described = small.described("LlamaConfig", tie_word_embeddings=tied)
    base = models.prepared(models.from_config(described, "eager", torch.float32))
    old = base.get_input_embeddings().weight.detach().clone()
    base.save_pretrained(tmp_path / "base")
    toys.tokenizer().save_pretrained(tmp_path / "base")
    new = [3, 16, 17]
    model = adapter.fitted(models.widened(base, 18), Config(rank=2), "base", new)
    held = {n: p for n, p in model.named_parameters() if p.requires_grad and "lora" not in n}
    assert [tuple(p.shape) for p in held.values()] == [(3, 16)] * (1 if tied else 2)
    ids = torch.tensor([[4, 16, 5, 17, 3]])
    optimizer = torch.optim.AdamW(held.values(), lr=0.1)
    model(input_ids=ids, labels=ids).loss.backward()
    optimizer.step()
    run = str(tmp_path / "run")
    adapter.write(run, adapter.files(model, "base"), str(tmp_path / "base"), {"key": "k"})
    assert adapter.tokens(run) == 18
    fresh = models.load(str(tmp_path / "base"), torch.float32, "eager")
    with torch.no_grad():
        wanted = model.eval()(input_ids=ids).logits
        assert wanted.shape[-1] == 18
        loaded = adapter.load(run, fresh)
        torch.testing.assert_close(loaded(input_ids=ids).logits, wanted)
        untouched = [i for i in range(16) if i not in new]
        assert torch.equal(fresh.get_input_embeddings().weight[untouched], old[untouched])


def test_what_was_packed_by_another_template_is_written_beside(tmp_path: Path) -> None:
    base, run = toys.model(tmp_path / "base"), str(tmp_path / "run")
    adapter.write(run, {}, base, {"key": "k"}, "{{ messages[0].content }}")
    assert models.load_tokenizer(adapter.path(run)).chat_template == "{{ messages[0].content }}"


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
