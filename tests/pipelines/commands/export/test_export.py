"""What is exported answers as what was measured, and what does not is not published."""

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from headrace.cluster import storage
from headrace.cluster.errors import GateError, ModelError, OutputError, SourceError, UserError
from headrace.pipelines import recipe as recipes
from headrace.pipelines import trainings
from headrace.pipelines.commands import status
from headrace.pipelines.commands.export import (
    build,
    checked,
    export,
    llama_cpp,
    publish,
    reload,
    serve,
    tuned,
)
from headrace.pipelines.commands.export.checked import Asked
from tests.builders import run_command
from tests.pipelines import toys
from tests.pipelines.commands.export import made

ADAPTER, MERGED = Asked("adapter"), Asked("merged")
Place = Callable[[str], None]


def quiet(text: str, fields: dict[str, Any]) -> None:
    """Says nothing."""


def in_this_process(_: str, path: str) -> str:
    """`reload` without a process of its own, which takes seconds to start."""
    try:
        reload.main(path)
    except Exception as error:  # noqa: BLE001 - as the last line of a process that died
        return f"{type(error).__name__}: {error}"
    return ""


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checked, "_process", in_this_process)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A tiny base of each architecture."""
    folder = tmp_path_factory.mktemp("bases")
    return {name: made.base(folder / str(n), name) for n, name in enumerate(made.ARCHITECTURES)}


@pytest.fixture(scope="module")
def run(models: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> str:
    """A trained run over the Llama, which nobody changes."""
    return made.run(tmp_path_factory.mktemp("run"), models["llama"])


@pytest.fixture
def own(run: str, tmp_path: Path) -> str:
    """A copy of it."""
    shutil.copytree(run, tmp_path / "run")
    recipe = recipes.load_of(str(tmp_path / "run"))
    storage.put(str(tmp_path / "run/recipe.yaml"), recipes.dump(recipe).encode())
    return str(tmp_path / "run")


@pytest.mark.parametrize("asked", [ADAPTER, MERGED], ids=lambda asked: asked.form)
@pytest.mark.parametrize("architecture", made.ARCHITECTURES)
@pytest.mark.usefixtures("here")
def test_every_form_answers_as_the_run_does(
    models: dict[str, str], tmp_path: Path, architecture: str, asked: Asked
) -> None:
    run = made.run(tmp_path / "run", models[architecture])
    told = export.export([run], str(tmp_path / "out"), asked, quiet)
    figures = told["adapters"]["run"]
    assert told["passed"]
    assert figures["logits"]["largest_difference"] < 1e-5
    assert figures["answers"] == {"n": 8, "same": 8, "ties": 0}
    assert figures["next_tokens"]["agreement"] == 1
    assert figures["stops"] == [toys.END]
    assert figures["scaling"] == 2


def test_a_process_without_headrace_loads_it(run: str, tmp_path: Path) -> None:
    """The command, its pages, and what run.json and `status` say then."""
    code, out, err = run_command(["export", run, str(tmp_path / "out"), "--adapter"])
    assert (code, err) == (0, "")
    assert "8 of 8 greedy answers the same" in out
    wanted = {"adapter_config.json", "adapter_model.safetensors", "README.md", "serve.md", "export"}
    assert wanted | {"generation_config.json", "chat_template.jinja", "tokenizer.json"} <= {
        *os.listdir(tmp_path / "out")
    }
    card = (tmp_path / "out/README.md").read_text()
    assert r"| so\|urce &lt;b&gt; | CC-BY-4.0 | 30 | 28 | 2 |" in card
    assert r"| quality.short | 2 |" in card
    assert "This adapter was not evaluated" in card
    assert "what is a" not in card
    serve = (tmp_path / "out/serve.md").read_text()
    assert f"--lora-modules {Path(run).name}={tmp_path}/out" in serve
    assert "Answers end with the tokens 1" in serve
    source = Path(reload.__file__).read_text()
    assert "headrace." not in source
    told = json.loads(Path(run, "run.json").read_text())
    assert told["export"][str(tmp_path / "out")]["passed"]
    assert told["gates"]["export.equality"] == {"passed": True, "words": ""}
    assert any("adapter, passed" in line.text for line in status.status(run))
    code, out, _ = run_command(["export", run, str(tmp_path / "out"), "--adapter"])
    assert code == 0
    assert "stands" in out.splitlines()[0]


def test_servers_are_not_promised_what_they_do_not_load(run: str) -> None:
    one = tuned.read(recipes.load_of(run), "tickets")
    dora = replace(one, name="mails", config={**one.config, "use_dora": True})
    figures = {"tickets": {"stops": [1]}, "mails": {"stops": [1, 2]}}
    page = "\n".join(serve.page("/out", [one, dora], ADAPTER, figures))
    assert "Neither vLLM nor llama.cpp loads mails as an adapter" in page
    assert "vllm serve" not in page
    page = "\n".join(serve.page("/out", [one], ADAPTER, figures))
    assert f"vllm serve {one.base}" in page
    assert "--max-loras 1 --max-lora-rank 8" in page
    assert "--chat-template /out/chat_template.jinja" in page
    page = "\n".join(serve.page("/out", [one], MERGED, figures))
    assert "vllm serve /out --served-model-name tickets" in page
    assert "convert_hf_to_gguf.py /out --outfile /out/model.gguf" in page


def scaled(place: str) -> None:
    path = Path(place, "adapter_config.json")
    path.write_text(json.dumps({**json.loads(path.read_text()), "lora_alpha": 16}))


def other_weights(place: str) -> None:
    path = os.path.join(place, "adapter_model.safetensors")
    save_file({n: t.flip(0).contiguous() for n, t in load_file(path).items()}, path)


def other_words(place: str) -> None:
    path = Path(place, "tokenizer.json")
    path.write_text(
        path.read_text().replace('"what"', '"w0"').replace('"is"', '"what"').replace('"w0"', '"is"')
    )


def other_template(place: str) -> None:
    path = Path(place, "chat_template.jinja")
    path.write_text(path.read_text().replace("it ", "so "))


def no_template(place: str) -> None:
    os.remove(os.path.join(place, "chat_template.jinja"))


def no_end(place: str) -> None:
    path = Path(place, "generation_config.json")
    path.write_text(json.dumps({**json.loads(path.read_text()), "eos_token_id": None}))


def pickled(place: str) -> None:
    Path(place, "pytorch_model.bin").write_bytes(b"")


def code_named(place: str) -> None:
    path = Path(place, "config.json")
    path.write_text(json.dumps({**json.loads(path.read_text()), "auto_map": {"AutoConfig": "own.Config"}}))


def planted(fault: Place, run: str, out: Path, asked: Asked, monkeypatch: pytest.MonkeyPatch) -> str:
    """What is said of an export into which `fault` comes before it is looked at."""
    before = checked.check

    def after(work: checked.Work, *rest: Any) -> Any:
        fault(work.place)
        return before(work, *rest)

    monkeypatch.setattr(checked, "check", after)
    with pytest.raises(GateError) as raised:
        export.export([run], str(out), asked, quiet)
    assert not out.exists()
    kept = json.loads((out.parent / f"{out.name}.failed" / publish.RECORD).read_text())
    assert not kept["passed"]
    assert raised.value.gate == "export.equality"
    return str(raised.value)


@pytest.mark.parametrize(
    ("fault", "asked", "words"),
    [
        (scaled, ADAPTER, "wrong scaling: adapter_config.json says 4 (alpha 16 / rank 4)"),
        (other_weights, ADAPTER, "weights of another adapter"),
        (other_words, ADAPTER, "wrong tokenizer"),
        (other_template, ADAPTER, "wrong chat template"),
        (no_template, ADAPTER, "missing chat template"),
        (no_end, ADAPTER, "missing end token: answers were trained to end with 1 (<end>)"),
        (no_end, MERGED, "missing end token: answers were trained to end with 1 (<end>)"),
        (pickled, MERGED, "pytorch_model.bin may run code"),
        (code_named, MERGED, "config.json names code"),
    ],
    ids=lambda value: getattr(value, "__name__", getattr(value, "form", "")),
)
@pytest.mark.usefixtures("here")
def test_a_bad_export_is_named_and_not_published(
    own: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: Place, asked: Asked, words: str
) -> None:
    said = planted(fault, own, tmp_path / "out", asked, monkeypatch)
    assert words in said
    told = json.loads(Path(own, "run.json").read_text())
    assert not told["gates"]["export.equality"]["passed"]
    assert not told["export"][str(tmp_path / "out")]["passed"]


@pytest.mark.usefixtures("here")
def test_another_base_is_named(own: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = made.base(tmp_path / "other", seed=9)

    def named(place: str) -> None:
        path = Path(place, "adapter_config.json")
        path.write_text(json.dumps({**json.loads(path.read_text()), "base_model_name_or_path": other}))

    said = planted(named, own, tmp_path / "out", ADAPTER, monkeypatch)
    assert f"wrong base: adapter_config.json names {other!r}" in said
    assert "logits differ" in said


def merged_otherwise(of: Callable[[torch.Tensor, torch.Tensor], torch.Tensor], base: str) -> Place:
    """A fault that makes each merged tensor of the base's one and itself."""

    def fault(place: str) -> None:
        path = os.path.join(place, "model.safetensors")
        before, after = load_file(os.path.join(base, "model.safetensors")), load_file(path)
        save_file({n: of(before[n], t).contiguous() for n, t in after.items()}, path, {"format": "pt"})

    return fault


@pytest.mark.parametrize(
    ("of", "words"),
    [
        (
            lambda b, t: b + 2 * (t - b),
            "wrong scaling: the adapter was added 4 times, and it was trained with 2",
        ),
        (lambda b, t: b, "wrong scaling: the adapter was added 0 times"),
        (lambda b, t: b + (t - b).flip(0), "weights of another adapter"),
        (lambda b, t: t * 1.2, "wrong base: "),
    ],
    ids=["twice", "never", "another", "base"],
)
@pytest.mark.usefixtures("here")
def test_merged_weights_say_what_they_hold_instead(
    own: str, models: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, of: Any, words: str
) -> None:
    fault = merged_otherwise(of, models["llama"])
    assert words in planted(fault, own, tmp_path / "out", MERGED, monkeypatch)


def test_what_is_not_whole_is_not_exported(own: str, tmp_path: Path) -> None:
    out = str(tmp_path / "out")
    weights, card = Path(own, "adapter", "adapter_model.safetensors"), Path(own, trainings.CARD)
    good = weights.read_bytes()
    weights.write_bytes(good[:-4] + b"abcd")
    with pytest.raises(ModelError, match="holds weights of another adapter than training left"):
        export.export([own], out, ADAPTER, quiet)
    weights.write_bytes(good)
    told = json.loads(card.read_text())
    card.write_text(json.dumps({**told, "settings": {**told["settings"], "train.alpha": 4}}))
    with pytest.raises(ModelError, match=r"wrong scaling: .* trained with train\.alpha 4"):
        export.export([own], out, ADAPTER, quiet)
    card.write_text(json.dumps({**told, "packed": {"test": "other"}}))
    with pytest.raises(ModelError, match="packed/test held other rows"):
        export.export([own], out, ADAPTER, quiet)
    card.write_text(json.dumps({**told, "base_mark": "other"}))
    with pytest.raises(ModelError, match="wrong base: "):
        export.export([own], out, ADAPTER, quiet)
    card.unlink()
    with pytest.raises(ModelError, match="has no finished adapter"):
        export.export([own], out, ADAPTER, quiet)
    assert not os.path.exists(out)


def test_nothing_held_out_is_said(own: str, tmp_path: Path) -> None:
    shutil.rmtree(Path(own, "packed", "test"))
    shutil.rmtree(Path(own, "packed", "validation"))
    with pytest.raises(SourceError, match="holds no held-out row"):
        export.export([own], str(tmp_path / "out"), ADAPTER, quiet)


@pytest.mark.usefixtures("here")
def test_without_a_test_side_validation_is_asked(own: str, tmp_path: Path) -> None:
    shutil.rmtree(Path(own, "packed", "test"))
    told = export.export([own], str(tmp_path / "out"), ADAPTER, quiet)
    assert told["adapters"]["run"]["split"] == "validation"
    assert told["adapters"]["run"]["answers"]["n"] == 4


@pytest.mark.usefixtures("here")
def test_adapters_of_one_base_stand_side_by_side(models: dict[str, str], tmp_path: Path) -> None:
    runs = [made.run(tmp_path / n, models["llama"], seed) for seed, n in enumerate(("tickets", "mails"))]
    out = tmp_path / "out"
    told = export.export(runs, str(out), ADAPTER, quiet)
    assert list(told["adapters"]) == ["tickets", "mails"]
    keys = [told["adapters"][n]["adapter"] for n in ("tickets", "mails")]
    assert keys == ["key0", "key1"]
    serve = (out / "serve.md").read_text()
    assert f"--lora-modules tickets={out}/tickets mails={out}/mails" in serve
    assert f"--lora {out}/tickets/adapter.gguf --lora {out}/mails/adapter.gguf" in serve
    other = made.run(tmp_path / "third", made.base(tmp_path / "other", seed=9))
    with pytest.raises(ModelError, match="of different bases"):
        export.export([runs[0], other], str(tmp_path / "more"), ADAPTER, quiet)
    with pytest.raises(UserError, match="--merge takes one run"):
        export.export(runs, str(tmp_path / "more"), MERGED, quiet)


@pytest.mark.usefixtures("here")
def test_a_directory_of_others_is_left_alone(own: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    told = export.export([own], str(out), ADAPTER, quiet)  # an empty one is taken
    assert export.export([own], str(out), ADAPTER, quiet) == told
    with pytest.raises(OutputError, match="another adapter, or one with other options"):
        export.export([own], str(out), MERGED, quiet)
    (out / "adapter_model.safetensors").write_bytes(b"cut")
    with pytest.raises(OutputError, match=r"adapter_model\.safetensors is not what was exported"):
        export.export([own], str(out), ADAPTER, quiet)
    os.remove(out / publish.RECORD)
    with pytest.raises(OutputError, match="holds no export of headrace"):
        export.export([own], str(out), ADAPTER, quiet)


def test_room_is_looked_for_first(tmp_path: Path) -> None:
    assert build.needed(10**9, "bfloat16", None) == 2 * 10**9 + build.SPARE
    assert build.needed(10**9, "float32", "nf4") > 4.5 * 10**9
    with pytest.raises(UserError, match=r"the export takes 100 TB, and .* has \S+ .?B left"):
        build.require_disk(str(tmp_path), 10**14)


def test_options_that_exclude_each_other(own: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = str(tmp_path / "out")
    assert run_command(["export", own, out])[2] == "error: say what to export: --adapter or --merge\n"
    assert run_command(["export", own, "--adapter"])[0] == 2
    with pytest.raises(UserError, match="are of merged weights"):
        export.export([own], out, Asked("adapter", quantise="nf4"), quiet)
    monkeypatch.setattr(build, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"pip install 'headrace\[qlora\]'"):
        export.export([own], out, Asked("merged", quantise="nf4"), quiet)
    monkeypatch.delenv(llama_cpp.PLACE, raising=False)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(UserError, match="set HEADRACE_LLAMA_CPP to a checkout"):
        export.export([own], out, Asked("merged", gguf=True), quiet)
    with pytest.raises(UserError, match="--gguf is of merged weights"):
        export.export([own], out, Asked("adapter", gguf=True), quiet)
