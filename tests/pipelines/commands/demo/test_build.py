"""The demo makes a model that others can load, goes on after a kill, and fails where nothing was gained."""

import json
from pathlib import Path

import pytest
import yaml
from transformers import AutoModelForCausalLM, AutoTokenizer

from headrace.cluster.errors import GateError
from headrace.pipelines import cli, recipe
from headrace.pipelines.commands.demo import build as demo
from headrace.pipelines.commands.demo import sample


def scores(loss: tuple[float, float], exact: tuple[float, float]) -> str:
    pairs = {"loss": loss, "exact_match": exact}
    return json.dumps(
        {"evaluate": {name: dict(zip(("base", "tuned"), p, strict=True)) for name, p in pairs.items()}}
    )


def test_the_model_is_an_ordinary_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "STEPS", 4)
    texts = sample.documents(seed=1, count=200)
    loss = demo.build_model(str(tmp_path), texts, seed=1)
    assert 0 < loss < 8  # nats; an untrained one of 1,024 tokens has 6.9
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    model = AutoModelForCausalLM.from_pretrained(tmp_path)
    assert (tmp_path / "model.safetensors").exists()
    assert model.config.vocab_size == len(tokenizer)
    assert tokenizer.decode(tokenizer(texts[0])["input_ids"]) == texts[0]
    said = [{"role": "user", "content": "Grüße"}, {"role": "assistant", "content": "¡Olé! 好"}]
    assert tokenizer.apply_chat_template(said, tokenize=False) == (
        "<|im_start|>user\nGrüße<|im_end|>\n<|im_start|>assistant\n¡Olé! 好<|im_end|>\n"
    )


def test_the_recipe_is_valid(tmp_path: Path) -> None:
    sample.write(str(tmp_path / "sample"), tickets=20)
    data = yaml.safe_load(demo.recipe(str(tmp_path)))
    checked = recipe.validate(data, "demo")
    for source in checked.sources:
        assert Path(str(source.path)).exists()
    assert checked.tokenise.max_length == demo.LENGTH


def test_a_second_start_keeps_the_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "STEPS", 1)
    monkeypatch.setattr(demo, "DOCUMENTS", 100)
    assert demo.build(str(tmp_path)) == str(tmp_path / "recipe.yaml")
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    assert demo.build(str(tmp_path)) == str(tmp_path / "recipe.yaml")
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


@pytest.mark.parametrize("code", [0, 2])
def test_the_command_runs_what_was_built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    started, compared, path = [], [], str(tmp_path / "recipe.yaml")
    command = cli.main

    def run(arguments: list[str]) -> int:
        started.append(arguments)
        return code

    monkeypatch.setattr(demo, "build", lambda directory: path)
    monkeypatch.setattr(demo, "compare", compared.append)
    monkeypatch.setattr(cli, "main", run)
    assert command(["demo", str(tmp_path)]) == code
    assert started == [["run", path]]
    assert compared == ([] if code else [str(tmp_path / "run")])


def test_it_tells_base_beside_tuned(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "run.json").write_text(scores((0.75, 0.0625), (0.0, 0.9375)))
    demo.compare(str(tmp_path))
    told = capsys.readouterr().out
    assert "loss" in told
    assert "0.750" in told
    assert "0.938" in told
    assert str(tmp_path / "report.html") in told


@pytest.mark.parametrize(("loss", "exact"), [((0.5, 0.5), (0.0, 0.9)), ((0.5, 0.1), (0.2, 0.2))])
def test_it_fails_where_tuning_gained_nothing(
    tmp_path: Path, loss: tuple[float, float], exact: tuple[float, float]
) -> None:
    (tmp_path / "run.json").write_text(scores(loss, exact))
    with pytest.raises(GateError, match="not better than its base"):
        demo.compare(str(tmp_path))
