"""A sweep in the report."""

import json
from pathlib import Path
from typing import Any

from headrace.pipelines.report import page, sweeps

SPACE = {"learning_rate": {"low": 1e-6, "high": 1e-3, "log": True}, "schedule": ["cosine", "constant"]}


def trial(number: int, rate: float, loss: float | None, state: str = "done", kind: str = "coarse") -> Any:
    return {
        "trial": number,
        "kind": kind,
        "settings": {"learning_rate": rate, "schedule": ["cosine", "constant"][number % 2]},
        "state": state,
        "loss": loss,
        "steps": 90,
        "of": 90,
        "seconds": 3.0,
        "cost": 0.01,
        "words": "the loss is <nan>" if state == "failed" else "",
    }


def sweep(**more: Any) -> dict[str, Any]:
    return {
        "key": "0123",
        "space": SPACE,
        "best": 2,
        "gain": 0.125,
        "trials": [
            trial(2, 1e-4, 1.0, kind="fine"),
            trial(0, 1e-3, 1.125, kind="recipe"),
            trial(1, 1e-6, 2.5, "stopped"),
            trial(3, 9e-4, None, "failed"),
            trial(1000, 1e-4, 1.25, kind="seed"),
        ],
        "importances": {"learning_rate": 0.9, "schedule": 0.1},
        "importance_words": "of 2 trials that went to their end: a hint, no measurement",
        "noise": {"words": "the best settings with 2 seeds end 0.2500 apart"},
        "seconds": 75.0,
        "cost": 0.05,
        **more,
    }


def test_the_page_tells_of_the_best_the_gain_and_what_is_chance(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text(json.dumps({"sweep": sweep()}))
    text = page.render(str(tmp_path), ())
    assert 'id="sweep"' in text
    assert "5 trainings in search of better settings: 3 done, 1 ended early, 1 failed, 1 min 15 s" in text
    assert "The best is trial 2, 0.1250 nats a token better than the recipe as it was" in text
    assert "The best settings with 2 seeds end 0.2500 apart." in text
    assert "<code>learning_rate</code> 90%, <code>schedule</code> 10%" in text
    assert "the loss is &lt;nan&gt;" in text
    assert text == page.render(str(tmp_path), ())
    (tmp_path / "run.json").write_text("{}")
    assert 'id="sweep"' not in page.render(str(tmp_path), ())


def test_lines_of_the_plot_lie_where_the_settings_are() -> None:
    shown = sweeps.view(sweep())
    assert shown is not None
    assert "<svg" in shown["plot"]
    scale = sweeps._axis("learning_rate", [1e-6, 1e-3, 3.1622776601683795e-05], SPACE)
    assert [round(place, 3) for place in scale.places] == [0, 1, 0.5]
    assert (scale.least, scale.most) == ("1e-06", "0.001")
    words = sweeps._axis("schedule", ["cosine", "constant"], SPACE)
    assert words.places == [1, 0]
    few = sweeps.view(sweep(trials=sweep()["trials"][:1]))
    assert few is not None
    assert few["plot"] is None


def test_there_is_nothing_to_see_before_a_trial_has_ended() -> None:
    assert sweeps.view(None) is None
    assert sweeps.view({"key": "k", "trials": []}) is None
