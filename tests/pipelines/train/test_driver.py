"""Training: the loss is right on packed rows, a killed training goes on, the adapter is peft's."""

import errno
import json
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import peft
import psutil  # type: ignore[import-untyped]
import pytest
import torch
import transformers
from torch.nn import functional

from headrace.cluster import storage
from headrace.cluster.errors import FullDiskError, GateError, ModelError, SourceError
from headrace.cluster.stores import disk
from headrace.pipelines import trainings
from headrace.pipelines.train import adapter, checkpoints, models, steps, used
from headrace.pipelines.train import driver as train
from headrace.pipelines.train import worker as train_worker
from headrace.pipelines.train.config import Config, Workers
from headrace.pipelines.train.steps import Job, Rank
from headrace.pipelines.train.watch import telling
from headrace.pipelines.train.watch.watched import Step
from tests.pipelines import toys

CPU = torch.device("cpu")
ALONE = Rank(0, 1, CPU)
SMALL = Config(
    learning_rate=1e-2,
    max_steps=8,
    rows_per_step=4,
    batch_size=2,
    rank=4,
    dropout=0.1,
    validate_every=3,
    patience=None,
)


OF_MACHINE = ("memory", "mfu")


class Killed(BaseException):
    """Stands for a kill: nothing catches it."""


def batch_of(given: list[toys.Sample], length: int) -> dict[str, torch.Tensor]:
    table = toys.pack(given, list(range(len(given))), length)
    names = ("input_ids", "labels", "position_ids", "segment_ids")
    return {n: torch.tensor(table[n].to_pylist(), dtype=torch.int64) for n in names}


def plain_loss(model: Any, given: list[toys.Sample]) -> float:
    """Sum of the cross entropies of each sample alone, as transformers computes it."""
    total = 0.0
    for ids, labels in given:
        logits = model(input_ids=torch.tensor([ids])).logits[0]
        total += float(functional.cross_entropy(logits[:-1], torch.tensor(labels[1:]), reduction="sum"))
    return total


def varied(count: int) -> list[toys.Sample]:
    """Samples of many lengths, some with loss on all tokens."""
    drawn = np.random.default_rng(3)
    made = []
    for i in range(count):
        ids = [int(t) for t in drawn.integers(2, len(toys.WORDS), drawn.integers(2, 20))]
        made.append((ids, ids if i % 3 == 0 else [-100] * (len(ids) // 2) + ids[len(ids) // 2 :]))
    return made


@pytest.mark.parametrize("attention", ["sdpa", "eager", "varlen"])
def test_packed_loss_is_the_loss_of_the_samples_alone(toy_model: str, attention: str) -> None:
    model = models.load(toy_model, torch.float32, attention)
    given = varied(24)
    with torch.no_grad():
        packed = float(steps.loss_sum(model, batch_of(given, 48)))
        model.set_attn_implementation("eager")
        assert packed == pytest.approx(plain_loss(model, given), abs=1e-4 * len(given))
    assert int(steps.targets(batch_of(given, 48))) == sum(
        sum(label != -100 for label in labels[1:]) for _, labels in given
    )


@pytest.mark.parametrize("kind", ["MistralConfig", "Gemma3TextConfig", "Qwen2Config"])
def test_sliding_windows_are_kept_inside_samples(kind: str) -> None:
    """A ready mask replaces the model's own: its window must be in it."""
    torch.manual_seed(0)
    described = getattr(transformers, kind)(
        vocab_size=len(toys.WORDS),
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=7,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=16,
        sliding_window=4,
        **({"use_sliding_window": True, "max_window_layers": 3} if kind == "Qwen2Config" else {}),
    )
    model = transformers.AutoModelForCausalLM.from_config(described, attn_implementation="sdpa").eval()
    given = varied(12)
    with torch.no_grad():
        packed = float(steps.loss_sum(model, batch_of(given, 48)))
        assert packed == pytest.approx(plain_loss(model, given), abs=1e-4 * len(given))


def test_loss_and_gradients_are_normalised_over_all_targets(toy_model: str) -> None:
    """Two micro-batches with very different numbers of targets: as one batch of all rows."""
    few, many = toys.sample("oak"), ([2, 3, 4, 5] * 7, [2, 3, 4, 5] * 7)
    found = []
    for parts in ([[few], [many]], [[few, many]]):
        torch.manual_seed(1)
        model = adapter.fitted(models.load(toy_model, torch.float32, "sdpa"), Config(rank=4), toy_model)
        optimizer = torch.optim.SGD(train_worker.trained(model).values(), lr=1.0)
        micro = [batch_of(part, toys.LENGTH) for part in parts]
        loss, count, norm = steps.step(model, optimizer, micro, ALONE, 1.0, 0.0)
        assert norm > 0
        assert count == 5 + 27
        weights = torch.cat([p.detach().flatten() for p in train_worker.trained(model).values()])
        found.append((loss, weights))
    assert found[0][0] == pytest.approx(found[1][0], abs=1e-5)
    torch.testing.assert_close(found[0][1], found[1][1], atol=1e-6, rtol=1e-5)


def test_the_learning_rate_rises_and_then_falls_by_a_cosine() -> None:
    config = Config(learning_rate=1.0, warmup=0.2)
    rates = [train_worker.learning_rate(step, 20, config) for step in range(20)]
    assert rates[:5] == [0.25, 0.5, 0.75, 1.0, 1.0]
    assert rates[12] == pytest.approx(0.5)
    assert rates[-1] == pytest.approx(0.5 * (1 + np.cos(np.pi * 15 / 16)))
    assert rates[4:] == sorted(rates[4:], reverse=True)
    assert train_worker.learning_rate(19, 20, Config(learning_rate=1.0, schedule="constant")) == 1.0


def test_gradient_checkpointing_changes_nothing(toy_model: str, tmp_path: Path) -> None:
    losses = []
    for on in (False, True):
        run = toys.run(tmp_path / str(on), {"train": 24})
        told: list[Step] = []
        config = SMALL.model_copy(update={"gradient_checkpointing": on, "max_steps": 2})
        train_worker.train(train.plan(run, toy_model, config, 0, {}), ALONE, told.append)
        losses.append([s.loss for s in told])
    assert losses[0] == pytest.approx(losses[1], abs=1e-6)


def alone(run: str, model: str, config: Config = SMALL, kill_at: int | None = None) -> Job:
    """Train in this process on one rank, perhaps killed when step `kill_at` has been told."""
    job = train.plan(run, model, config, 7, {})

    def told(step: Step) -> None:
        if step.step == kill_at:
            raise Killed

    train_worker.train(job, ALONE, told)
    return job


def outcome(job: Job) -> tuple[dict[str, Any], bytes]:
    """History but for the clock and the kills, and the adapter's bytes."""
    history = train._publish(job, {})
    for of_the_way in ("seconds", "tokens_per_second", "starts", "kills_survived", "smoke", *OF_MACHINE):
        del history[of_the_way]
    return history, storage.read_bytes(adapter.path(job.run, adapter.WEIGHTS))


@pytest.mark.parametrize("kill_at", [2, 4, 8])
def test_a_killed_training_ends_as_one_that_was_not(toy_model: str, tmp_path: Path, kill_at: int) -> None:
    through = toys.run(tmp_path / "through", {"train": 48, "validation": 12})
    killed = toys.run(tmp_path / "killed", {"train": 48, "validation": 12})
    wanted = outcome(alone(through, toy_model))
    with pytest.raises(Killed):
        alone(killed, toy_model, kill_at=kill_at)
    assert checkpoints.steps(train.plan(killed, toy_model, SMALL, 7, {}).home) == [
        s for s in (3, 6) if s < kill_at
    ]
    assert outcome(alone(killed, toy_model)) == wanted


def test_a_training_goes_on_in_other_batches_and_counts_its_rows(toy_model: str, tmp_path: Path) -> None:
    """As after a move to a smaller machine: the same steps, the same rows, the same losses."""
    config = SMALL.model_copy(update={"dropout": 0.0, "max_steps": None, "epochs": 2, "rows_per_step": 5})
    run = toys.run(tmp_path / "run", {"train": 48, "validation": 12})
    with pytest.raises(Killed):
        alone(run, toy_model, config, kill_at=5)
    changed = config.model_copy(update={"batch_size": 1, "validate_every": 2})
    history = train._publish(alone(run, toy_model, changed), {})
    rows = train.plan(run, toy_model, config, 7, {}).plan.shelf.rows
    assert history["rows_used"] == {"1": rows, "2": rows}
    assert history["starts"] == [{"ranks": 1, "step": 0}, {"ranks": 1, "step": 3}]
    assert history["kills_survived"] == 1
    through = toys.run(tmp_path / "through", {"train": 48, "validation": 12})
    wanted = train._publish(alone(through, toy_model, config), {})
    assert history["loss"] == pytest.approx(wanted["loss"], abs=1e-5)
    assert (wanted["rows_used"], wanted["kills_survived"]) == (history["rows_used"], 0)


def test_a_training_whose_rows_do_not_add_up_is_not_published(toy_model: str, tmp_path: Path) -> None:
    run = toys.run(tmp_path, {"train": 48, "validation": 12})
    job = alone(run, toy_model)
    path = storage.join(job.home, used.FOLDER, "step-000006.parquet")
    rows = storage.read_table(path)
    storage.write_table(path, rows.slice(1))
    with pytest.raises(GateError, match="step 4 has used 3 packed rows, and they are not the 4") as told:
        train._publish(job, {})
    assert (told.value.exit_code, told.value.gate) == (3, "train.rows")
    assert adapter.card(run) is None


def test_what_makes_a_training_another_one_is_told(toy_model: str, tmp_path: Path) -> None:
    run = toys.run(tmp_path, {"train": 48})
    lines: list[str] = []

    def told(text: str, fields: dict[str, Any]) -> None:
        lines.append(text)

    first = train.plan(run, toy_model, SMALL, 7, {})
    train._tell_of_another(first, told)
    assert lines == []
    train._tell_of_another(train.plan(run, toy_model, SMALL.model_copy(update={"max_steps": 9}), 8, {}), told)
    assert lines == [
        f"train: another training than that of {first.home}, which stays: seed 7 -> 8, train.max_steps 8 -> 9"
    ]
    train._tell_of_another(first, told)
    assert len(lines) == 1, "it is not another one"


def test_a_checkpoint_cut_short_is_passed_over(toy_model: str, tmp_path: Path) -> None:
    run = toys.run(tmp_path, {"train": 48, "validation": 12})
    job = alone(run, toy_model)
    assert checkpoints.steps(job.home) == [6, 8], "the newest two are kept"
    path = storage.join(job.home, checkpoints.name(8), checkpoints.OPTIMIZER)
    storage.put(path, storage.read_bytes(path)[:-1])
    found = checkpoints.newest(job.home, job.key)
    assert found is not None
    assert found["step"] == 6
    assert checkpoints.newest(job.home, "another key") is None


@pytest.mark.parametrize(
    "held", ["{}", "[]", "5", "null", '"files"', '{"files": 5}', '{"key": "k", "step": 8, "files": {"a": 1}}']
)
def test_a_marker_of_another_shape_is_none(toy_model: str, tmp_path: Path, held: str) -> None:
    run = toys.run(tmp_path, {"train": 48, "validation": 12})
    job = alone(run, toy_model)
    wanted = outcome(job)
    for folder in (checkpoints.name(8), checkpoints.BEST):
        storage.put(storage.join(job.home, folder, checkpoints.MARKER), held.encode())
        assert checkpoints.read(job.home, folder) is None
    storage.put(storage.join(job.home, "history.json"), held.encode())
    assert train._finished(job, {}) is None
    found = checkpoints.newest(job.home, job.key)
    assert found is not None
    assert found["step"] == 6
    assert outcome(alone(run, toy_model)) == wanted


def lost(path: str) -> None:
    """Remove a file."""
    storage.delete(path)


def flipped(path: str) -> None:
    """Flip a bit of a file."""
    data = bytearray(storage.read_bytes(path))
    data[-1] ^= 1
    storage.put(path, bytes(data))


@pytest.mark.parametrize("harm", [lost, flipped])
@pytest.mark.parametrize("sides", [{"train": 48, "validation": 12}, {"train": 48}])
def test_a_damaged_checkpoint_is_made_again_by_the_same_command(
    toy_model: str, tmp_path: Path, harm: Callable[[str], None], sides: dict[str, int]
) -> None:
    run = toys.run(tmp_path, sides)
    config = SMALL.model_copy(update={"keep_checkpoints": 3})
    job = alone(run, toy_model, config)
    wanted = outcome(job)
    for folder in (checkpoints.BEST, checkpoints.name(8), checkpoints.name(6)):
        harm(storage.join(job.home, folder, adapter.WEIGHTS))
        assert outcome(alone(run, toy_model, config)) == wanted
        for again in (checkpoints.BEST, checkpoints.name(8)):
            record = checkpoints.read(job.home, again)
            assert record is not None
            assert checkpoints.is_whole(job.home, again, record)
    assert checkpoints.resumed(job.home, job.key, job.steps) == 8


def test_the_best_adapter_by_validation_is_published(toy_model: str, tmp_path: Path) -> None:
    """Validation on wrong answers: once training has learnt what is right, its loss rises again."""
    run = toys.run(tmp_path, {"train": 48})
    wrong = []
    for ids, _ in toys.samples(24):
        backwards = [*ids[:5], *reversed(ids[5:])]
        wrong.append((backwards, [-100] * 5 + backwards[5:]))
    path = storage.join(run, "packed", "validation", "part-00000000.parquet")
    storage.write_table(path, toys.pack(wrong, list(range(24))))
    config = SMALL.model_copy(update={"max_steps": 18, "learning_rate": 3e-3, "weight_decay": 0.0})
    history, _ = outcome(alone(run, toy_model, config))
    assert history["validation_steps"] == [3, 6, 9, 12, 15, 18]
    best = int(np.argmin(history["validation"]))
    assert history["best_step"] == history["validation_steps"][best] < 18
    assert history["best_validation"] == min(history["validation"])


def test_another_config_starts_over_and_a_finished_training_is_left(toy_model: str, tmp_path: Path) -> None:
    run = toys.run(tmp_path, {"train": 48})
    job = alone(run, toy_model)
    history, _ = outcome(job)
    assert history["validation"] == []
    assert history["best_step"] == 8
    harmless = {
        "keep_checkpoints": 5,
        "workers": Workers(least=1, most=8),
        "batch_size": 1,
        "attention": "eager",
    }
    for key, value in harmless.items():
        again = train.plan(run, toy_model, SMALL.model_copy(update={key: value}), 7, {})
        assert again.key == job.key, f"{key} decides nothing of what is learned"
        assert train._finished(again, {}) is not None
    for other in (
        train.plan(run, toy_model, SMALL.model_copy(update={"rank": 5}), 7, {}),
        train.plan(run, toy_model, SMALL.model_copy(update={"rows_per_step": 5}), 7, {}),
        train.plan(run, toy_model, SMALL, 8, {}),
        train.plan(run, toys.model(tmp_path / "model", seed=9), SMALL, 7, {}),
    ):
        assert train._finished(other, {}) is None


def test_another_training_takes_nothing_away(toy_model: str, tmp_path: Path) -> None:
    """Trainings lie apart by key, and one that is asked for again is there again."""
    run = toys.run(tmp_path, {"train": 48})
    job = alone(run, toy_model)
    before = outcome(job)
    other = train.plan(run, toy_model, SMALL, 8, {})
    train_worker.train(other, ALONE, lambda step: None)
    train._publish(other, {})
    assert card_key(run) == other.key
    assert storage.read_bytes(adapter.path(run, adapter.WEIGHTS)) != before[1]
    assert storage.read_bytes(adapter.path(job.home, adapter.WEIGHTS)) == before[1]
    assert checkpoints.steps(job.home) == [6, 8]
    assert checkpoints.found(run) == sorted(
        f"{key}/{folder}"
        for key in (job.key, other.key)
        for folder in ("best", checkpoints.name(6), checkpoints.name(8))
    )
    assert train._finished(job, {}) is not None
    assert card_key(run) == job.key
    assert storage.read_bytes(adapter.path(run, adapter.WEIGHTS)) == before[1]


def card_key(place: str) -> str:
    card = adapter.card(place)
    assert card is not None
    return str(card["key"])


def test_an_adapter_that_an_older_version_left_is_kept(toy_model: str, tmp_path: Path) -> None:
    run = toys.run(tmp_path, {"train": 48})
    storage.put(adapter.path(run, adapter.WEIGHTS), b"weights")
    adapter.write_card(run, {"key": "older"})
    job = alone(run, toy_model)
    train._publish(job, {})
    kept = trainings.home(run, "older")
    assert storage.read_bytes(adapter.path(kept, adapter.WEIGHTS)) == b"weights"
    assert (card_key(kept), card_key(run)) == ("older", job.key)


def test_a_full_disk_ends_a_training_that_then_goes_on(
    toy_model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second checkpoint finds no room: what was committed stands, and no half of a file is left."""
    through = outcome(alone(toys.run(tmp_path / "through", {"train": 48, "validation": 12}), toy_model))
    run = toys.run(tmp_path / "full", {"train": 48, "validation": 12})
    job = train.plan(run, toy_model, SMALL, 7, {})
    synced = os.fsync

    def full(number: int) -> None:
        if checkpoints.steps(job.home) == [3, 6]:
            raise OSError(errno.ENOSPC, "No space left on device")
        synced(number)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(FullDiskError, match=r"the disk is full .* the same command goes on") as told:
        alone(run, toy_model)
    assert told.value.exit_code == 1
    assert checkpoints.newest(job.home, job.key)["step"] == 3  # type: ignore[index]
    assert not list(tmp_path.rglob(f"{storage.TEMPORARY}*"))
    monkeypatch.undo()
    assert outcome(alone(run, toy_model)) == through


def test_room_is_looked_for_before_the_first_step(
    toy_model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = toys.run(tmp_path, {"train": 48})
    monkeypatch.setattr(disk, "free", lambda path: 100_000)
    with pytest.raises(FullDiskError, match=r"100 kB are free and this training will write about \d+ kB"):
        alone(run, toy_model)
    assert checkpoints.found(run) == []
    monkeypatch.undo()
    checkpoints.require_room("s3://bucket/run", 10**15, 2)  # nobody knows


@pytest.mark.parametrize(("poisoned", "max_norm"), [(1, 1.0), (1, 0.0), (3, 1.0)])
def test_a_loss_that_is_no_number_stops_the_training_and_names_its_rows(
    toy_model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, poisoned: int, max_norm: float
) -> None:
    run = toys.run(tmp_path, {"train": 48, "validation": 12})
    path = storage.join(run, "packed", "train", "part-00000000.parquet")
    rows = storage.read_table(path)
    bad = rows["input_ids"][2].as_py()
    honest = steps.loss_sum

    def poison(model: Any, batch: Any) -> Any:
        hit = (batch["input_ids"] == torch.tensor(bad)).all(1).any()
        return honest(model, batch) * (float("nan") if hit else 1.0)

    monkeypatch.setattr(steps, "loss_sum", poison)
    config = SMALL.model_copy(update={"max_grad_norm": max_norm, "batch_size": poisoned})
    with pytest.raises(GateError, match=r"stopped at step \d of 8: the loss is nan\. 1 of its \d+ ") as told:
        alone(run, toy_model, config)
    named = ", ".join(str(i) for i in rows["row_ids"][2].as_py()[:8])
    assert f"look at the rows {named} that are in them" in str(told.value)
    assert (told.value.exit_code, told.value.gate) == (3, "train.loss")
    assert adapter.card(run) is None


def test_a_rate_that_is_far_too_high_stops_the_training(toy_model: str, tmp_path: Path) -> None:
    run = toys.run(tmp_path, {"train": 48, "validation": 12})
    config = SMALL.model_copy(update={"learning_rate": 1e30, "max_grad_norm": 0.0, "schedule": "constant"})
    with pytest.raises(GateError, match=r"stopped at step \d of 8: the .* lower train\.learning_rate"):
        alone(run, toy_model, config)
    assert adapter.card(run) is None


def test_plain_peft_loads_the_adapter(toy_model: str, tmp_path: Path) -> None:
    run = toys.run(tmp_path, {"train": 48, "validation": 24})
    history, _ = outcome(alone(run, toy_model))
    files = sorted(os.listdir(tmp_path / "adapter"))
    assert {"adapter_config.json", "adapter_model.safetensors", "headrace.json", "tokenizer.json"} <= set(
        files
    )
    assert not [f for f in files if f.endswith((".bin", ".pt", ".pkl"))]
    card = json.loads((tmp_path / "adapter" / "headrace.json").read_text())
    assert card["validation_loss"] == history["best_validation"]
    plain = transformers.AutoModelForCausalLM.from_pretrained(toy_model)
    tuned = peft.PeftModel.from_pretrained(plain, tmp_path / "adapter").eval()
    given = [s for part in range(2) for s in toys.samples(12, seed=100 + part)]  # what validation holds
    with torch.no_grad():
        loss = plain_loss(tuned, given) / int(steps.targets(batch_of(given, toys.LENGTH)))
        assert loss == pytest.approx(history["best_validation"], abs=1e-4)
        with tuned.disable_adapter():
            assert plain_loss(tuned, given) / (5 * len(given)) > loss


def test_errors_name_what_is_wrong(toy_model: str, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="set `model:`"):
        train.check(Config(), None)
    with pytest.raises(ModelError, match=r"no config\.json"):
        train.check(Config(), str(tmp_path))
    with pytest.raises(ModelError, match="is not a directory"):
        train.check(Config(), str(tmp_path / "absent"))
    (tmp_path / "config.json").write_text('{"model_type": "llama"}')
    with pytest.raises(ModelError, match="safetensors"):
        train.check(Config(), str(tmp_path))
    (tmp_path / "model.safetensors").touch()
    (tmp_path / "config.json").write_text('{"model_type": "clip"}')
    with pytest.raises(ModelError, match="no causal language model"):
        train.check(Config(), str(tmp_path))
    with pytest.raises(ModelError, match=r"train\.target_modules"):
        train.check(Config(target_modules=("absent_proj",)), toy_model)
    train.check(Config(target_modules=("q_proj",)), toy_model)
    with pytest.raises(SourceError, match="headrace prepare"):
        train.plan(str(tmp_path), toy_model, Config(), 0, {})


@pytest.mark.ray
@pytest.mark.usefixtures("ray_local")
def test_two_workers_learn_and_survive_a_kill(toy_model: str, tmp_path: Path) -> None:
    """Two ranks, one killed midway, train what one rank does with the same rows a step.

    The rate is low: at a high one, training itself lets differences in the last bit grow.
    """
    few = {"workers": Workers(least=1, most=2), "dropout": 0.0, "max_steps": 60, "learning_rate": 1e-3}
    config = SMALL.model_copy(update=few)
    run = toys.run(tmp_path / "two", {"train": 48, "validation": 12})
    key = train.plan(run, toy_model, config, 7, {}).key
    told: list[int] = []
    left: list[int] = []  # step of the newest checkpoint when the worker was killed
    again: list[int] = []

    def kill_once(text: str, fields: dict[str, Any]) -> None:
        if fields.get("event") == "restart":
            assert "a worker was lost" in text
            again.append(fields["start"])
        if not text.startswith("train: step") or "loss" not in fields:
            return  # something else is told
        told.append(fields["step"])
        assert text.startswith(f"train: step {told[-1]} of 60, loss ")
        if told[-1] >= 5 and not left:
            worker = next(p for p in psutil.process_iter(["cmdline"]) if _is_worker_of_ours(p))
            os.kill(worker.pid, signal.SIGKILL)
            newest = checkpoints.newest(trainings.home(run, key), key)
            left.append(newest["step"] if newest else 0)

    history = train.run(run, toy_model, config, seed=7, progress=kill_once)
    assert 0 < left[0] < 60, "killed midway"
    assert again == [2], "that a worker was lost is told"
    assert set(told) >= set(range(3, 61, 3)), "every validation is told"
    assert told[-1] == 60
    counted = len(told)
    assert [start["ranks"] for start in history["starts"]] == [2, 2]
    assert history["starts"][1]["step"] >= left[0]
    assert history["kills_survived"] == 1
    assert history["loss"][-1] < 0.7 * history["loss"][0]
    one = outcome(alone(toys.run(tmp_path / "one", {"train": 48, "validation": 12}), toy_model, config))[0]
    assert history["loss"] == pytest.approx(one["loss"], abs=1e-5)
    assert history["validation"] == pytest.approx(one["validation"], abs=1e-5)
    assert history["rows_used"] == one["rows_used"]
    assert train.run(run, toy_model, config, seed=7, progress=kill_once) == history
    assert len(told) == counted, "a finished training is not done again"


@pytest.mark.ray
@pytest.mark.usefixtures("ray_local")
def test_a_rank_that_cannot_use_the_model_says_why(toy_model: str, tmp_path: Path) -> None:
    """Weights are read by the ranks alone; a later start raises what the first one found."""
    shutil.copytree(toy_model, tmp_path / "broken")
    (tmp_path / "broken" / "model.safetensors").write_bytes(b"cut short")
    run = toys.run(tmp_path / "run", {"train": 8, "validation": 2})
    with pytest.raises(ModelError, match="broken"):
        train.run(run, str(tmp_path / "broken"), SMALL.model_copy(update={"max_failures": 1}), seed=7)
    mailbox = telling.Mailbox()
    assert mailbox.refusal() is None
    mailbox.refuse(ModelError("weights"))
    assert str(mailbox.refusal()) == "weights"


def _is_worker_of_ours(process: psutil.Process) -> bool:
    """A Ray Train worker below this process: the raylet that the fixture started is our child."""
    try:
        ours = os.getpid() in [parent.pid for parent in process.parents()]
        return ours and any("RayTrainWorker" in part for part in process.info["cmdline"] or [])
    except psutil.NoSuchProcess:
        return False
