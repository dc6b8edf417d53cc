"""Base beside tuned: the right tokens are scored, the right prompts are asked, and a gain is told."""

import itertools
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional

from headrace.cluster import storage
from headrace.cluster.errors import GateError, ModelError, RecipeError, SourceError
from headrace.pipelines.evaluate import outputs
from headrace.pipelines.evaluate import run as evaluate
from headrace.pipelines.evaluate.arms import pieces, wanted
from headrace.pipelines.evaluate.config import METRICS, Gate
from headrace.pipelines.evaluate.gates import held_out, probing
from headrace.pipelines.evaluate.gates.config import THRESHOLDS
from headrace.pipelines.evaluate.gates.config import Config as Gates
from headrace.pipelines.evaluate.judged import kept
from headrace.pipelines.evaluate.run import Config
from headrace.pipelines.train import batches, models, worker
from headrace.pipelines.train import driver as train
from headrace.pipelines.train.steps import Rank
from headrace.pipelines.train.watch import samples
from headrace.pipelines.train.watch.samples import Sample
from tests.pipelines import toys

SMALL = Config(samples=24, max_new_tokens=8, batch_size=5, examples=3, shots=(0,))

NUMBERS = itertools.count()  # of keys that nothing was measured under


def work(run: str, model: str, seed: int, config: Config = SMALL) -> outputs.Work:
    """Base and tuned model on the test split of a run, with nothing measured before."""
    keys = {name: f"{next(NUMBERS):032x}" for name in (wanted.BASE, wanted.TUNED)}
    return outputs.Work(run, model, config, seed, batches.shelf(run, "test"), keys, {})


def test_the_last_target_span_is_found() -> None:
    labels = np.array([-100, -100, 5, 6, -100, -100, 7, 8, 9, -100])
    assert Sample(np.arange(10), labels).span() == (6, 9)
    assert Sample(np.arange(4), np.array([-100, 1, 2, 3])).span() == (1, 4)


def test_samples_are_unpacked_as_they_were(tuned_run: str) -> None:
    shelf = batches.shelf(tuned_run, "test")
    packed = [s for part in range(2) for s in toys.samples(20, seed=200 + part)]
    found = samples.drawn(shelf, 1000, 0)
    assert [list(s.ids) for s in found] == [ids for ids, _ in packed]
    assert [list(s.labels) for s in found] == [labels for _, labels in packed]
    few = [list(s.ids) for s in samples.drawn(shelf, 7, 3)]
    assert len(few) == 7
    assert few == [list(s.ids) for s in samples.drawn(shelf, 7, 3)]
    assert few != [list(s.ids) for s in samples.drawn(shelf, 7, 4)]


def test_the_tuned_model_is_told_to_be_better(toy_model: str, tuned_run: str) -> None:
    found = evaluate.run(tuned_run, toy_model, SMALL, seed=1)
    formed = {"json_valid", "json_schema", "entity_f1", "sql", "code", "score", "preference_accuracy"}
    assert set(found) == set(METRICS) - formed
    assert {m["verdict"] for m in found.values()} == {"better"}
    assert {m["n"] for m in found.values()} == {24}
    assert found["exact_match"]["base"] == 0
    assert found["exact_match"]["tuned"] == 1
    assert found["loss"]["tuned"] < 0.1 < found["loss"]["base"]
    assert found["perplexity"]["base"] == pytest.approx(np.exp(found["loss"]["base"]))
    low, high = found["loss"]["interval"]
    assert low < found["loss"]["tuned"] - found["loss"]["base"] < high < 0
    told = json.loads(storage.read_bytes(storage.join(tuned_run, "evaluation", "scores.json")))
    assert told["metrics"] == found
    assert (told["samples"], told["answers"], told["targets"]) == (24, 24, 120)
    assert told["unfinished"]["tuned"] == 0
    examples = json.loads(storage.read_bytes(storage.join(tuned_run, "evaluation", "samples.json")))[
        "samples"
    ]
    assert len(examples) == 3
    for example in examples:
        thing = example["prompt"].split()[3]
        assert example["prompt"] == f"what is a {thing} ?"
        assert example["tuned"] == example["reference"]
        assert example["reference"] == f"it is a {toys.KINDS[thing]}"


def test_the_loss_is_that_of_each_sample_alone(toy_model: str, tuned_run: str) -> None:
    config = SMALL.model_copy(update={"metrics": ("loss", "token_accuracy")})
    found = evaluate.run(tuned_run, toy_model, config, seed=2)
    assert set(found) == {"loss", "token_accuracy"}
    model = models.load(toy_model, torch.float32, "eager")
    nats, right, count = 0.0, 0, 0
    for sample in samples.drawn(batches.shelf(tuned_run, "test"), 24, 2):
        labels = torch.from_numpy(sample.labels)[1:]
        with torch.no_grad():
            logits = model(input_ids=torch.from_numpy(sample.ids)[None]).logits[0, :-1]
        nats += float(functional.cross_entropy(logits, labels, reduction="sum"))
        right += int((logits.argmax(-1) == labels).sum())
        count += int((labels != -100).sum())
    assert found["loss"]["base"] == pytest.approx(nats / count, abs=1e-4)
    assert found["token_accuracy"]["base"] == pytest.approx(right / count)


def test_a_function_that_has_changed_scores_anew_and_asks_nobody(
    toy_model: str, tuned_run: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "own.py"
    config = SMALL.model_copy(update={"score": f"python:{file}:f"})
    file.write_text("def f(p, a, r): return 1")
    assert evaluate.run(tuned_run, toy_model, config, seed=1)["score"]["tuned"] == 1

    def never(*_: object) -> None:
        raise AssertionError("asked again")

    monkeypatch.setattr(evaluate, "_compute", never)
    file.write_text("def f(p, a, r): return 0")
    assert evaluate.run(tuned_run, toy_model, config, seed=1)["score"]["tuned"] == 0
    file.write_text("def f(a): return 0")
    with pytest.raises(RecipeError, match="must take 3 arguments"):
        evaluate.run(tuned_run, toy_model, config, seed=1)


def test_what_was_said_is_kept_whole(toy_model: str, tuned_run: str) -> None:
    evaluate.run(tuned_run, toy_model, SMALL, seed=1)
    found = kept.read(tuned_run)
    assert found is not None
    assert found.config == SMALL
    assert found.outcome.tuned.answers == found.outcome.references
    assert len(set(found.outcome.marks)) == len({*found.outcome.prompts}), (
        "a sample of one tokens has one mark"
    )


def test_answers_are_greedy_whatever_batch_they_are_in(toy_model: str) -> None:
    """Padding on the left changes nothing: each prompt as if it were alone, up to the stop token."""
    model, tokenizer = models.load(toy_model, torch.float32, "sdpa"), models.load_tokenizer(toy_model)
    prompts = [np.array(ids) for ids in ([2, 3, 4], [2, 3, 4, 7, 5, 6, 3], [9, 2], [4, 4, 4, 4, 4])]
    wanted = []
    for prompt in prompts:
        ids = list(prompt)
        while len(ids) < len(prompt) + 8 and ids[-1] != toys.END:
            with torch.no_grad():
                ids.append(int(model(input_ids=torch.tensor([ids])).logits[0, -1].argmax()))
        wanted.append([int(i) for i in ids[len(prompt) :]])
    for size in (1, 4):
        assert samples.generated(model, prompts, {toys.END}, tokenizer, most=8, size=size) == wanted


def test_plain_text_counts_for_the_loss_alone(toy_model: str, tuned_run: str, tmp_path: Path) -> None:
    texts = [([*range(2, 12)], [*range(2, 12)])] * 3 + [toys.sample("oak")]
    path = storage.join(str(tmp_path), "packed", "test", "part-00000000.parquet")
    storage.write_table(path, toys.pack(texts, [0, 1, 2, 3]))
    for entry in storage.listing(storage.join(tuned_run, "adapter")):
        storage.put(
            storage.join(str(tmp_path), "adapter", entry.path.rsplit("/", 1)[-1]),
            storage.read_bytes(entry.path),
        )
    found = evaluate.run(str(tmp_path), toy_model, SMALL, seed=0)
    assert found["loss"]["n"] == 4
    assert found["exact_match"]["n"] == 1


def test_what_was_measured_is_not_measured_again(
    toy_model: str, tuned_run: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(held_out, "WHOLE", 2.0)
    first = evaluate.run(tuned_run, toy_model, SMALL, seed=5)

    def never(*_: object) -> None:
        raise AssertionError("measured again")

    monkeypatch.setattr(evaluate, "_compute", never)  # of this process, whether Ray is up or not
    gated = SMALL.model_copy(update={"gate": Gate()})
    assert evaluate.run(tuned_run, toy_model, gated, seed=5) == first, (
        "the gate decides nothing that is measured"
    )
    with pytest.raises(GateError, match="better by at least 99"):
        evaluate.run(tuned_run, toy_model, SMALL.model_copy(update={"gate": Gate(improvement=99)}), seed=5)
    assert evaluate.written(tuned_run)["metrics"] == first, "what the gate refuses is told all the same"
    with pytest.raises(AssertionError, match="measured again"):
        evaluate.run(tuned_run, toy_model, SMALL, seed=6)
    monkeypatch.setattr(held_out, "WHOLE", 0.98)
    folded = SMALL.model_copy(update={"fold": ("numbers",), "gate": Gate()})
    with pytest.raises(GateError, match="too few samples, over 11 samples"):
        evaluate.run(tuned_run, toy_model, folded, seed=5)
    scores = evaluate.written(tuned_run)
    assert scores["contaminated"] == 13
    clean = scores["metrics"]["exact_match"]["clean"]
    assert (clean["n"], clean["base"], clean["tuned"], clean["verdict"]) == (11, 0.0, 1.0, "too few samples")
    assert {k: v for k, v in scores["metrics"]["loss"].items() if k != "clean"} == first["loss"]


@pytest.mark.parametrize(
    ("metric", "improvement", "verdict", "passes"),
    [
        ("loss", 0.0, "better", True),
        ("loss", 0.5, "better", True),
        ("loss", 0.6, "better", False),
        ("loss", 0.0, "no clear difference", False),
        ("bleu", 0.0, "better", False),
    ],
)
def test_the_gate_asks_for_a_clear_gain(metric: Any, improvement: float, verdict: str, passes: bool) -> None:
    metrics = {"loss": {"base": 2.0, "tuned": 1.5, "interval": [-1, 1], "verdict": verdict, "n": 9}}
    config = Config(gate=Gate(metric=metric, improvement=improvement))
    evaluate._judge(metrics, Config())
    if passes:
        evaluate._judge(metrics, config)
        return
    with pytest.raises(GateError, match=rf"evaluate\.gate: {metric}") as told:
        evaluate._judge(metrics, config)
    assert told.value.exit_code == 3


def test_where_no_sample_is_clean_no_gate_is_passed() -> None:
    clean = {"base": None, "tuned": None, "verdict": "too few samples", "n": 0}
    score = {"base": 2.0, "tuned": 1.5, "verdict": "better", "n": 40, "clean": clean}
    evaluate._judge({"loss": score}, Config())
    with pytest.raises(GateError, match=r"every held-out sample of loss stands in the training rows"):
        evaluate._judge({"loss": score}, Config(gate=Gate()))


def test_errors_name_what_is_wrong(toy_model: str, tuned_run: str, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="set `model:`"):
        evaluate.run(tuned_run, None, SMALL, seed=0)
    with pytest.raises(ModelError, match="headrace train"):
        evaluate.run(str(tmp_path), toy_model, SMALL, seed=0)
    with pytest.raises(ModelError, match="another model"):
        evaluate.run(tuned_run, toys.model(tmp_path / "other", seed=5), SMALL, seed=0)
    storage.put(
        storage.join(str(tmp_path), "adapter", "headrace.json"),
        storage.read_bytes(storage.join(tuned_run, "adapter", "headrace.json")),
    )
    with pytest.raises(SourceError, match=r"evaluate\.split"):
        evaluate.run(str(tmp_path), toy_model, SMALL, seed=0)


def test_the_base_is_measured_before_and_not_again(
    toy_model: str, tuned_run: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = str(tmp_path / "run")
    shutil.copytree(tuned_run, run)
    shutil.rmtree(tmp_path / "run" / "adapter")
    shutil.rmtree(tmp_path / "run" / "evaluation", ignore_errors=True)
    before = evaluate.baseline(run, toy_model, SMALL, seed=1)
    assert before["base"]["loss"] is not None
    shutil.copytree(storage.join(tuned_run, "adapter"), tmp_path / "run" / "adapter")
    monkeypatch.setattr("ray.is_initialized", lambda: False)  # else a task measures, in a process of its own
    asked: list[Any] = []
    arm = outputs._arm
    monkeypatch.setattr(outputs, "_arm", lambda *given: asked.append(given) or arm(*given))
    found = evaluate.run(run, toy_model, SMALL, seed=1)
    assert len(asked) == 1, "of the tuned model"
    assert not storage.listing(storage.join(run, pieces.FOLDER)), "what is put together is taken away"
    monkeypatch.undo()
    assert {metric: pair["base"] for metric, pair in found.items()} == before["base"]
    storage.delete(storage.join(run, "evaluation"))
    assert evaluate.run(run, toy_model, SMALL, seed=1) == found


@pytest.mark.ray
@pytest.mark.usefixtures("ray_local")
def test_a_task_measures_what_this_process_does(toy_model: str, tuned_run: str) -> None:
    here = outputs.measure(work(tuned_run, toy_model, 3))
    there = evaluate._compute(work(tuned_run, toy_model, 3))
    assert here.tuned.answers == there.tuned.answers
    np.testing.assert_allclose(here.base.forced, there.base.forced, atol=1e-5)
    with pytest.raises(ModelError, match="is not a model directory"):
        evaluate._compute(work(tuned_run, tuned_run, 3))


@pytest.mark.s3
def test_all_of_it_on_s3(toy_model: str, s3: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run directory and model on s3://: the same adapter as on a disk, with checkpoints gone on from."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    counts = {"train": 24, "validation": 12, "test": 12}
    config = train.Config(max_steps=4, batch_size=2, rank=4, validate_every=2, keep_checkpoints=1)
    model = storage.join(s3, "model")
    for file in Path(toy_model).iterdir():
        storage.put(storage.join(model, file.name), file.read_bytes())
    adapters = []
    for where, name in (
        (toys.run(tmp_path / "run", counts), toy_model),
        (toys.run(storage.join(s3, "run"), counts), model),
    ):
        train.check(config, name)
        job = train.plan(where, name, config, 0, {})
        for _ in range(2):  # the second goes on from the last step: nothing is left to do
            worker.train(job, Rank(0, 1, torch.device("cpu")), lambda step: None)
        train._publish(job, {})
        assert train._finished(job, {}) is not None
        adapters.append(storage.read_bytes(storage.join(where, "adapter", "adapter_model.safetensors")))
    assert adapters[0] == adapters[1]
    armed = SMALL.model_copy(update={"shots": (0, 1)})
    found = evaluate.run(storage.join(s3, "run"), model, armed, seed=0)
    assert found == evaluate.run(str(tmp_path / "run"), toy_model, armed, seed=0)
    assert set(found["loss"]["arms"]) == {"shots_1_alike", "shots_1_random"}
    assert not storage.listing(storage.join(s3, "run", pieces.FOLDER))
    assert storage.exists(storage.join(s3, "run", "evaluation", "samples.json"))


def test_a_models_generation_config_is_not_asked(toy_model: str, tuned_run: str, tmp_path: Path) -> None:
    """What leaks in of it would change greedy answers: here, no token may come twice."""
    base = models.load(toy_model, torch.float32, "sdpa")
    base.generation_config.no_repeat_ngram_size = 1
    other = str(tmp_path / "model")
    base.save_pretrained(other)
    models.load_tokenizer(toy_model).save_pretrained(other)
    plain = outputs.measure(work(tuned_run, toy_model, 1))
    assert outputs.measure(work(tuned_run, other, 1)).tuned.answers == plain.tuned.answers


def test_prompts_beyond_the_context_are_counted_and_not_asked(
    toy_model: str, tuned_run: str, tmp_path: Path
) -> None:
    shelf = batches.shelf(tuned_run, "test")
    lengths = sorted(s.span()[0] for s in samples.drawn(shelf, SMALL.samples, 1))
    base = models.load(toy_model, torch.float32, "sdpa")
    base.config.max_position_embeddings = lengths[0]
    other = str(tmp_path / "model")
    base.save_pretrained(other)
    models.load_tokenizer(toy_model).save_pretrained(other)
    found = outputs.measure(work(tuned_run, other, 1))
    assert found.beyond == len(lengths)
    assert found.references == found.tuned.answers == []


def test_the_tuned_model_is_held_against_gates(
    toy_model: str, tuned_run: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a handful of sentences that all training rows have, a model may say them again."""
    evaluate.run(tuned_run, toy_model, SMALL, seed=1, gates=Gates(battery=True))
    held, unmeasured = evaluate.held(tuned_run, Gates())
    assert set(held) | set(unmeasured) == set(THRESHOLDS)
    assert {held[name]["state"] for name in ("endless", "empty", "copied", "collapse")} == {"pass"}
    assert held["endless"]["facts"] == {"in_circles": 0, "longer_than_the_limit": 0, "no_end": 0}
    assert unmeasured["forgetting"] == probing.NO_TEMPLATE
    assert held["contamination"]["value"] > 0.3
    assert held["contamination"]["state"] == "warn"
    assert (
        held["contamination"]["facts"]["training_rows"] == held["memorised"]["facts"]["training_rows"] == 96
    )
    assert held["speed"]["facts"]["tokens_per_second"].keys() == {"base", "tuned", "merged"}
    assert {held[name]["state"] for name in ("speed", "memorised")} == {"pass"}
    assert unmeasured["recited"].startswith("0 rows with answers of 8 words or more")
    assert unmeasured["canaries"] == "no canaries are planted by the recipe: see train.canaries"
    scores = storage.join(tuned_run, "evaluation", "scores.json")
    written = storage.read_bytes(scores)
    storage.delete(scores)
    evaluate.run(tuned_run, toy_model, SMALL, seed=1, gates=Gates(battery=True))
    assert storage.read_bytes(scores) == written, "no clock stands in it"

    def never(*_: object) -> None:
        raise AssertionError("asked again")

    monkeypatch.setattr(evaluate, "_compute", never)
    other = Gates(battery=True, off=("contamination",), ship="fail", thresholds={"general_loss": 100.0})
    evaluate.run(tuned_run, toy_model, SMALL, seed=1, gates=other)
    assert "contamination" not in evaluate.held(tuned_run, other).gates
    before = evaluate.held(tuned_run, other)
    folded = SMALL.model_copy(update={"fold": ("numbers",)})
    evaluate.run(tuned_run, toy_model, folded, seed=1, gates=other)
    assert evaluate.held(tuned_run, other) == before, "gates hang on no metric"
    monkeypatch.undo()
    evaluate.run(tuned_run, toy_model, SMALL, seed=1)
    assert evaluate.held(tuned_run, Gates()) == ({}, {})
