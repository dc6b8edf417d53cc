"""Which trial comes next: the same whenever a sweep is killed, and whichever of two ends first."""

import random
from pathlib import Path
from typing import Any

import pytest

from headrace.cluster.errors import RecipeError
from headrace.pipelines.train.config import Config as Train
from headrace.pipelines.train.sweep import records
from headrace.pipelines.train.sweep.config import Config
from headrace.pipelines.train.sweep.records import Result, Trial
from headrace.pipelines.train.sweep.search import Search

CONFIG = Config.model_validate(
    {"space": {"learning_rate": {"low": 1e-5, "high": 1e-2, "log": True}, "rank": [4, 8, 16]}, "trials": 12}
)


def search(home: Path, config: Config = CONFIG, parallel: int = 1) -> Search:
    """A sweep as a start finds it."""
    return Search(
        Train(), 7, config, str(home), parallel, lambda text, fields: None, records.trials(str(home))
    )


def ended(trial: Trial, cost: float | None = 0.5) -> Result:
    """A training that is best at a rate of 1e-3 and rank 16, ended early where its cutoffs say so."""
    rate = trial.settings["learning_rate"]
    loss = 1 + abs(rate - 1e-3) * 100 + 1 / trial.settings["rank"] + trial.seed / 1e4
    rungs = (loss + 2, loss + 1)
    for at, most in enumerate(trial.cutoffs):
        if most is not None and rungs[at] > most:
            return Result("stopped", rungs[at], rungs[: at + 1], 10 * (1 + at), 90, 60.0 * (1 + at), cost)
    if rate > 9e-3:
        return Result("failed", None, (), 3, 90, 5.0, cost, "the loss is nan")
    return Result("done", loss, rungs, 90, 90, 600.0, cost)


def run(home: Path, config: Config = CONFIG, parallel: int = 1, kills: float = 0, seed: int = 0) -> list[Any]:
    """All trials, ended in an order drawn by `seed`, the sweep killed and started again at random."""
    draw, under_way = random.Random(seed), search(home, config, parallel)
    while (action := under_way.next_action()) != "over":
        if isinstance(action, int) and len(under_way.running) < parallel:
            under_way.begin(action)
        else:
            number = draw.choice(sorted(under_way.running))
            trial = under_way.trials[number]
            records.end(str(home), number, ended(trial))
            under_way.end(number)
        if draw.random() < kills:
            under_way = search(home, config, parallel)
    return [tuple(trial) for trial in records.trials(str(home)).values()]


def test_a_sweep_goes_from_the_recipe_over_coarse_to_fine_and_to_other_seeds(tmp_path: Path) -> None:
    run(tmp_path)
    trials = records.trials(str(tmp_path))
    kinds = [trial.kind for trial in trials.values()]
    assert kinds == ["recipe", *["coarse"] * 6, *["fine"] * 5, "seed"]
    assert trials[0].settings == {"learning_rate": 2e-4, "rank": 16}
    best = records.ranked(trials)
    again = trials[1000]
    assert (again.settings, again.seed) == (best[0].settings, 8)
    assert {trial.result.state for trial in trials.values() if trial.result} >= {"done", "stopped"}
    said = records.noise(trials)
    assert said is not None
    assert said["spread"] == pytest.approx(1e-4)
    assert said["words"].startswith("the best settings with 2 seeds end 0.0001 apart; the second best is ")


@pytest.mark.parametrize("parallel", [1, 2, 3])
def test_kills_and_orders_of_ending_change_nothing(tmp_path: Path, parallel: int) -> None:
    wanted = run(tmp_path / "a", parallel=parallel)
    for seed in range(2):
        assert run(tmp_path / str(seed), parallel=parallel, kills=0.3, seed=seed) == wanted


def test_more_trials_go_on_and_keep_those_that_are_there(tmp_path: Path) -> None:
    before = run(tmp_path)[:12]
    more = run(tmp_path, CONFIG.model_copy(update={"trials": 15, "confirm": 2}))
    assert more[:12] == before
    assert [trial[0] for trial in more[12:15]] == [12, 13, 14]
    best = records.ranked(records.trials(str(tmp_path)))[0].settings
    again = [trial for trial in more[15:] if trial[2] == best]
    assert [trial[3] for trial in again] == [8, 9], "two other seeds"


def test_hours_and_money_end_a_sweep(tmp_path: Path) -> None:
    hours = CONFIG.model_copy(update={"hours": 0.3, "confirm": 0})
    run(tmp_path / "hours", hours)
    seconds, cost = records.spent(records.trials(str(tmp_path / "hours")))
    assert 0.3 * 3600 <= seconds < 0.3 * 3600 + 600
    assert cost is not None
    run(tmp_path / "money", CONFIG.model_copy(update={"money": 2.0, "confirm": 0}))
    assert len(records.trials(str(tmp_path / "money"))) == 4
    poor = search(tmp_path / "unknown", CONFIG.model_copy(update={"money": 2.0}))
    poor.begin(0)
    records.end(poor.home, 0, ended(poor.trials[0], cost=None))
    poor.end(0)
    with pytest.raises(RecipeError, match=r"set costs\.gpu_hour"):
        poor.next_action()


def test_only_the_best_training_is_kept(tmp_path: Path) -> None:
    under_way = search(tmp_path)
    for _ in range(6):
        number = under_way.next_action()
        assert isinstance(number, int)
        under_way.begin(number)
        place = Path(records.place(str(tmp_path), number))
        place.mkdir()
        (place / "weights").touch()
        records.end(str(tmp_path), number, ended(under_way.trials[number]))
        under_way.end(number)
    best = records.ranked(under_way.trials)[0].number
    assert [p.parent.name for p in sorted((tmp_path / "trials").rglob("weights"))] == [f"{best:03d}"]


def test_status_tells_of_each_sweep(tmp_path: Path) -> None:
    assert records.status(str(tmp_path)) == []
    under_way = search(tmp_path / "sweeps" / "k")
    under_way.begin(0)
    assert records.status(str(tmp_path)) == [
        {"key": "k", "ended": 0, "begun": 1, "best": None, "done": False}
    ]
    records.end(under_way.home, 0, ended(under_way.trials[0]))
    (told,) = records.status(str(tmp_path))
    assert told["ended"] == 1
    assert told["best"] == pytest.approx(1.1432)


def test_importance_is_told_with_its_caveat() -> None:
    assert records.importance_words({}, 2) == "too few trials went to their end to say which key matters"
    few = records.importance_words({"rank": 0.6, "alpha": 0.4}, 7)
    assert few == "of 7 trials that went to their end: a hint, no measurement (2 keys would ask for some 20)"
    assert records.importance_words({"rank": 1.0}, 12) == "of 12 trials that went to their end"


def test_a_table_begins_with_the_best(tmp_path: Path) -> None:
    run(tmp_path)
    rows = records.as_json(records.trials(str(tmp_path)))
    states = [row["state"] for row in rows]
    assert states == sorted(states, key=["done", "stopped", "failed"].index)
    done = [row["loss"] for row in rows if row["state"] == "done"]
    assert done == sorted(done)
