"""A training in trackers: the same names everywhere, and no tracker ends a training."""

import importlib.util
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import ValidationError

from headrace.cluster.errors import RecipeError
from headrace.pipelines.train.trackers import follow
from headrace.pipelines.train.trackers.config import Config
from headrace.pipelines.train.trackers.follow import Following, Training

SETTINGS = {"model": "acme/small", "seed": 7, "train.rank": 4}
NAMES = {"train/loss", "train/learning_rate", "train/grad_norm", "train/tokens", "train/tokens_per_second"}


def step(number: int, validation: float | None = None) -> Any:
    """A finished step of which the loss is a quarter of its number."""
    return SimpleNamespace(
        step=number,
        loss=number / 4,
        learning_rate=1e-3,
        grad_norm=0.5,
        tokens=100,
        seconds=2.0,
        validation=validation,
    )


def followed(config: Config, run: Path, first: int, last: int, told: list[str] | None = None) -> None:
    """Steps `first` to `last` of a training, the last with a validation and the end."""
    training = Training(str(run), "0123456789abcdef", SETTINGS)
    with follow.following(
        config, lambda: training, lambda text, fields: (told or []).append(text)
    ) as trackers:
        for number in range(first, last + 1):
            trackers.step(step(number, 0.25 if number == last else None))
        trackers.warn("flat", "the loss does not move", last)
        trackers.final({"final/best_step": 4, "final/best_validation": math.nan}, last)


def needs(name: str) -> pytest.MarkDecorator:
    absent = importlib.util.find_spec(name) is None
    return pytest.mark.skipif(absent, reason=f"{name} is not installed (pip install 'headrace[trackers]')")


def test_numbers_of_a_step() -> None:
    assert follow.numbers(step(2, 0.25)) == {
        "train/loss": 0.5,
        "train/learning_rate": 1e-3,
        "train/grad_norm": 0.5,
        "train/tokens": 100.0,
        "train/tokens_per_second": 50.0,
        "validation/loss": 0.25,
    }
    left_out = SimpleNamespace(**{**vars(step(2)), "loss": math.nan})
    assert set(follow.numbers(left_out)) == NAMES - {"train/loss"}
    assert follow.ended({"best_step": 3, "best_validation": None, "loss": [1.0]}) == {"final/best_step": 3}
    pair = {"base": 1.5, "tuned": 1.0, "verdict": "better"}
    assert follow.evaluated({"loss": pair}) == {"evaluation/loss/base": 1.5, "evaluation/loss/tuned": 1.0}


def test_tensorboard_holds_each_step_once(tmp_path: Path) -> None:
    """A training that was killed does steps again: what stood there of them is taken back."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    config = Config.model_validate({"tensorboard": {}})
    followed(config, tmp_path, 1, 5)
    followed(config, tmp_path, 4, 8)
    folder = tmp_path / "trackers" / "tensorboard" / "0123456789abcdef"
    events = EventAccumulator(str(folder))
    events.Reload()
    assert {*events.Tags()["scalars"]} == {*NAMES, "validation/loss", "final/best_step"}
    assert [(e.step, e.value) for e in events.Scalars("train/loss")] == [(n, n / 4) for n in range(1, 9)]
    assert [e.step for e in events.Scalars("validation/loss")] == [8]
    (shown,) = events.Tensors("settings/text_summary")[-1].tensor_proto.string_val
    assert b"train.rank: 4" in shown
    (warning,) = events.Tensors("warning/flat/text_summary")[-1].tensor_proto.string_val
    assert warning == b"the loss does not move"


@needs("mlflow")
def test_mlflow_goes_on_in_the_same_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from mlflow import MlflowClient

    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    config = Config.model_validate({"mlflow": {"experiment": "tickets"}})
    told: list[str] = []
    followed(config, tmp_path, 1, 3, told)
    followed(config, tmp_path, 4, 5, told)
    assert told == []
    client = MlflowClient(f"sqlite:///{tmp_path}/trackers/mlflow.db")
    experiment = client.get_experiment_by_name("tickets")
    assert experiment is not None
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.status == "FINISHED"
    assert run.info.run_name == tmp_path.name
    assert run.data.params == {name: str(value) for name, value in SETTINGS.items()}
    assert run.data.tags["warning/flat"] == "step 5: the loss does not move"
    history = client.get_metric_history(run.info.run_id, "train/loss")
    assert [(m.step, m.value) for m in history] == [(n, n / 4) for n in range(1, 6)]
    assert {*run.data.metrics} == {*NAMES, "validation/loss", "final/best_step"}


@needs("wandb")
def test_wandb_writes_offline(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    config = Config.model_validate({"wandb": {"mode": "offline"}})
    told: list[str] = []
    followed(config, tmp_path, 1, 5, told)
    assert told == []
    (written,) = (tmp_path / "trackers" / "wandb").rglob("*.wandb")
    assert written.parent.name.endswith("-0123456789abcdef")
    held = written.read_bytes()
    for name in (*NAMES, "validation/loss", "final/best_step", "warning/flat"):
        assert name.encode() in held
    assert capfd.readouterr().out == ""


@needs("trackio")
def test_trackio_goes_on_in_the_same_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import trackio
    from trackio.sqlite_storage import SQLiteStorage

    config = Config.model_validate({"trackio": {"project": f"headrace-test-{tmp_path.name}"}})
    told: list[str] = []
    try:
        followed(config, tmp_path, 1, 3, told)
        followed(config, tmp_path, 4, 5, told)
        assert told == []
        assert config.trackio is not None
        project = config.trackio.project
        (run,) = SQLiteStorage.get_runs(project)
        logs = SQLiteStorage.get_logs(project, run)
        assert [(log["step"], log["train/loss"]) for log in logs if "train/loss" in log] == [
            (n, n / 4) for n in range(1, 6)
        ]
    finally:
        trackio.delete_project(f"headrace-test-{tmp_path.name}", force=True)


def test_a_tracker_that_fails_is_told_once_and_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[int] = []

    def opened(section: Any, training: Training, first: int) -> follow.Sink:
        def take(found: dict[str, float], step: int) -> None:
            taken.append(step)
            if step == 3:
                raise OSError("https://me:secret@there did not answer")

        return follow.Sink(take, lambda name, text, step: None, lambda well: None)

    monkeypatch.setitem(follow.OPENERS, "tensorboard", opened)
    told: list[tuple[str, dict[str, Any]]] = []
    config = Config.model_validate({"tensorboard": {}})
    training = Training(str(tmp_path), "k", SETTINGS)
    trackers = Following(config, lambda: training, lambda text, fields: told.append((text, fields)))
    for number in range(1, 6):
        trackers.step(step(number))
    trackers.close(well=True)
    assert taken == [1, 2, 3]
    ((text, fields),) = told
    assert text.startswith("trackers.tensorboard failed (OSError) and is left out from here on")
    assert fields == {"event": "warning", "tracker": "tensorboard"}
    assert "secret" not in text


def test_what_cannot_be_used_is_said_before_any_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name in ("mlflow", "trackio") else found("json")
    )
    follow.require(Config())
    follow.require(Config.model_validate({"tensorboard": {}}))
    with pytest.raises(RecipeError, match=r"mlflow is not installed; pip install 'headrace\[trackers\]'"):
        follow.require(Config.model_validate({"mlflow": {}}))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.delenv("NETRC", raising=False)
    follow.require(Config.model_validate({"wandb": {"mode": "offline"}}))
    with pytest.raises(RecipeError, match="set WANDB_API_KEY, run `wandb login`, or write mode: offline"):
        follow.require(Config.model_validate({"wandb": {}}))
    (tmp_path / ".netrc").write_text("machine api.wandb.ai login user password x")
    follow.require(Config.model_validate({"wandb": {}}))


def test_an_address_with_a_password_is_refused() -> None:
    with pytest.raises(ValidationError, match="MLFLOW_TRACKING_USERNAME"):
        Config.model_validate({"mlflow": {"uri": "https://me:word@tracking.example"}})
    Config.model_validate({"mlflow": {"uri": "https://tracking.example/@here"}})


def test_a_remote_run_keeps_its_trackers_beside_us() -> None:
    assert Training("s3://bucket/runs/one/", "k", {}).place("wandb") == "./trackers/wandb"
    assert Training("s3://bucket/runs/one/", "k", {}).name == "one"
