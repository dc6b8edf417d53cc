"""A trial: an ordinary training, ended early where it is not among the best, going on after a kill."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from headrace.cluster.errors import GateError, RecipeError, SourceError
from headrace.pipelines.train import checkpoints, driver, models, worker
from headrace.pipelines.train.config import Config as Train
from headrace.pipelines.train.steps import Job, Rank
from headrace.pipelines.train.sweep import driver as sweeps
from headrace.pipelines.train.sweep import trial
from headrace.pipelines.train.sweep.config import Config
from headrace.pipelines.train.sweep.records import Result, Trial
from tests.pipelines import toys

CPU = torch.device("cpu")
FILE = "model.safetensors"
BASE = Train(rank=4, learning_rate=1e-3, max_steps=9, rows_per_step=4, batch_size=4, dropout=0.1)
SETTINGS = {"learning_rate": 5e-3, "rank": 2}


@pytest.fixture(scope="module")
def template(toy_model: str, tmp_path_factory: pytest.TempPathFactory) -> Job:
    """The training of a recipe with validation rows."""
    run = toys.run(tmp_path_factory.mktemp("run"), {"train": 48, "validation": 12})
    return replace(driver.plan(run, toy_model, BASE, 7, {}), costs={"core_hour": 3600.0})


def tried(template: Job, home: Path, cutoffs: tuple[float | None, ...] = (None, None)) -> Result:
    asked = Trial(4, "coarse", SETTINGS, 7, cutoffs)
    return trial.run(template, asked, 3, str(home), CPU)


def test_a_trial_is_the_training_that_its_settings_are(template: Job, tmp_path: Path) -> None:
    result = tried(template, tmp_path)
    plain = driver.plan(template.run, template.base, trial.configured(BASE, SETTINGS), 7, {})
    job, rungs = trial.job(template, Trial(4, "coarse", SETTINGS, 7, ()), 3, str(tmp_path))
    assert rungs == (1, 3)
    assert job.key == plain.key
    assert job.home.startswith(str(tmp_path / "trials" / "004"))
    newest = checkpoints.newest(job.home, job.key)
    assert newest is not None
    losses = dict(zip(newest["history"]["validation_steps"], newest["history"]["validation"], strict=True))
    assert (result.state, result.steps, result.of) == ("done", 9, 9)
    assert result.rungs == (losses[1], losses[3])
    assert result.loss == min(losses.values())
    assert result.cost == pytest.approx(result.seconds, abs=1e-5), "a dollar a second"


def test_a_trial_beyond_its_cutoff_ends_there(template: Job, tmp_path: Path) -> None:
    whole = tried(template, tmp_path / "whole")
    passed = tried(template, tmp_path / "passed", whole.rungs)
    assert passed._replace(seconds=0, cost=0) == whole._replace(seconds=0, cost=0), "as good is good enough"
    early = tried(template, tmp_path / "early", (None, whole.rungs[1] - 1e-6))
    assert (early.state, early.steps, early.rungs) == ("stopped", 3, whole.rungs)
    assert early.loss is not None
    assert early.loss <= min(whole.rungs), "the least of all its validations"
    first = tried(template, tmp_path / "first", (0.0, None))
    assert (first.state, first.steps, first.rungs) == ("stopped", 1, whole.rungs[:1])


def test_a_killed_trial_goes_on_from_its_checkpoint(
    template: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = tried(template, tmp_path / "whole")
    honest, told = worker.train, []

    def killed(job: Job, rank: Rank, report: Any) -> None:
        def once(step: Any) -> None:
            told.append(step.step)
            report(step)
            if told == [1, 2, 3, 4, 5]:
                raise KeyboardInterrupt

        honest(job, rank, once)

    monkeypatch.setattr(worker, "train", killed)
    with pytest.raises(KeyboardInterrupt):
        tried(template, tmp_path / "killed")
    result = tried(template, tmp_path / "killed")
    assert told == [1, 2, 3, 4, 5, 5, 6, 7, 8, 9], "the fourth step left the newest checkpoint"
    assert result._replace(seconds=0, cost=0) == whole._replace(seconds=0, cost=0)


def test_a_trial_that_gives_no_number_is_told_and_the_sweep_goes_on(
    template: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def diverged(job: Job, rank: Rank, report: Any) -> None:
        raise GateError("training stopped at step 2 of 9: the loss is nan. It does not come from single rows")

    monkeypatch.setattr(worker, "train", diverged)
    result = tried(template, tmp_path)
    assert (result.state, result.loss, result.rungs) == ("failed", None, ())
    assert result.words == "training stopped at step 2 of 9: the loss is nan"


def test_what_cannot_be_swept_is_refused(toy_model: str, tmp_path: Path) -> None:
    run = toys.run(tmp_path, {"train": 24})
    with pytest.raises(SourceError, match=r"give split\.validation a share"):
        sweeps.run(run, toy_model, BASE, Config(), seed=7)
    free = Config.model_validate({"space": {"batch_size": [1, 2]}})
    with pytest.raises(RecipeError, match=r"batch_size changes nothing"):
        sweeps.run(run, toy_model, BASE, free, seed=7)


@pytest.mark.ray
@pytest.mark.usefixtures("ray_local")
def test_a_sweep_by_ray_tune(toy_model: str, tmp_path: Path) -> None:
    """Two trials at once; called again, it does nothing. Which trials come, and after which, is tested by
    itself (`test_search`).
    """
    run = toys.run(tmp_path, {"train": 48, "validation": 12})
    space = {"learning_rate": [1e-5, 1e-2]}
    config = Config.model_validate({"space": space, "trials": 2, "fine": 0, "confirm": 0, "parallel": 2})
    lines: list[str] = []

    def swept() -> dict[str, Any]:
        return sweeps.run(
            run, toy_model, BASE, config, seed=7, progress=lambda text, fields: lines.append(text)
        )

    told = swept()
    assert sorted((row["trial"], row["kind"], row["state"]) for row in told["trials"]) == [
        (0, "recipe", "done"),
        (1, "coarse", "done"),
    ]
    assert told["settings"] == told["trials"][0]["settings"]
    assert told["gain"] >= 0
    assert [line.startswith("sweep: trial ") for line in lines] == [True, True]
    assert not (tmp_path / "adapter").exists()
    assert swept() == told
    assert len(lines) == 2


def test_trials_at_once_share_the_base_of_a_file_of_their_type(toy_model: str) -> None:
    def mapped(dtype: torch.dtype) -> set[bool]:
        """Whether weights are the file's own pages, which all processes of a machine share."""
        model = models.load(toy_model, dtype, "sdpa")
        maps = Path("/proc/self/maps").read_text().splitlines()
        spans = [line.split()[0].split("-") for line in maps if line.endswith(FILE)]
        ends = [(int(first, 16), int(last, 16)) for first, last in spans]
        return {any(a <= p.data_ptr() < b for a, b in ends) for p in model.parameters()}

    assert mapped(torch.float32) == {True}
    assert mapped(torch.bfloat16) == {False}
