"""The demo makes a model that others can load, goes on after a kill, and fails where nothing was gained."""

import json
import subprocess
from pathlib import Path

import pytest
import yaml
from transformers import AutoModelForCausalLM, AutoTokenizer

from headrace.cluster.errors import GateError
from headrace.pipelines import recipe
from headrace.pipelines.commands.demo import build as demo
from headrace.pipelines.commands.demo import sample
from tests.builders import balanced, recipe_of, run_command, save_recipe
from tests.conftest import REPOSITORY


def write_run_json(folder: Path, loss: str, exact: float, records: int = 4000) -> str:
    """run.json of a run with this verdict on the loss and this exact match of the tuned model."""
    evaluated = {
        "loss": {"base": 0.75, "tuned": 0.0625, "verdict": loss},
        "exact_match": {"base": 0.2, "tuned": exact, "verdict": "better"},
    }
    (folder / "run.json").write_text(json.dumps({"rows": {"in": records}, "evaluate": evaluated}))
    return str(folder)


def test_the_model_is_an_ordinary_directory(tmp_path: Path) -> None:
    texts = sample.documents(seed=1, count=200)
    loss = demo.build_model(str(tmp_path), texts, seed=1, steps=4)
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


def test_a_metric_that_was_not_measured_is_said_to_be_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = write_run_json(tmp_path, "better", 0.5)
    books = json.loads((tmp_path / "run.json").read_text())
    books["evaluate"]["exact_match"] |= {"base": None, "tuned": None, "verdict": "not measured"}
    (tmp_path / "run.json").write_text(json.dumps(books))
    with pytest.raises(GateError, match="exact_match could not be measured"):
        demo.compare(run)
    assert "not measured" in capsys.readouterr().out


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


@pytest.mark.ray
def test_a_small_demo_goes_the_whole_way_and_tuned_beats_base(ray_local: None, tmp_path: Path) -> None:
    code, out, err = run_command(["demo", str(tmp_path), "--rows", "600"])
    assert (code, err) == (0, "")
    assert "held-out metric" in out
    written = json.loads((tmp_path / "run/run.json").read_bytes())
    assert balanced(written["rows"])
    assert written["packed"]["test"]["samples"] >= 10
    loss = json.loads((tmp_path / "run/evaluation/scores.json").read_bytes())["metrics"]["loss"]
    assert loss["tuned"] < 0.8 * loss["base"]
    assert loss["verdict"] == "better"
    assert (tmp_path / "run/adapter/adapter_model.safetensors").exists()
    assert "better" in (tmp_path / "run/report.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("given", [[], ["ROWS=600"]])
def test_make_demo_is_the_command(given: list[str]) -> None:
    shown = subprocess.run(
        ["make", "-n", "demo", *given], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    wanted = ".venv/bin/headrace demo demo" + (" --rows 600" if given else "")
    assert shown.stdout.splitlines()[-1] == wanted


def test_the_demo_ends_with_what_its_run_ends_with(tmp_path: Path) -> None:
    save_recipe(tmp_path / "recipe.yaml", recipe_of(tmp_path / "run", tmp_path / "gone"))
    code, out, err = run_command(["demo", str(tmp_path)])
    assert code == 2
    assert "path matched no files" in err
    assert "held-out metric" not in out


def test_it_tells_base_beside_tuned(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    demo.compare(write_run_json(tmp_path, "better", 0.9375))
    shown = capsys.readouterr().out
    assert "loss" in shown
    assert "0.750" in shown
    assert "0.938" in shown
    assert str(tmp_path / "report.html") in shown


@pytest.mark.parametrize(
    ("loss", "exact", "records"),
    [("no clear difference", 0.9, 4000), ("better", 0.2, 4000), ("worse", 0.9, 700)],
)
def test_it_fails_where_tuning_gained_nothing(tmp_path: Path, loss: str, exact: float, records: int) -> None:
    with pytest.raises(GateError, match="not better than its base"):
        demo.compare(write_run_json(tmp_path, loss, exact, records))


def test_a_small_demo_is_not_held_to_whole_answers(tmp_path: Path) -> None:
    demo.compare(write_run_json(tmp_path, "better", 0.2, records=700))
