"""What a recipe may say of a training."""

import pytest
from pydantic import ValidationError

from headrace.pipelines.train.config import Config, Workers


def test_workers_are_a_number_or_a_range() -> None:
    assert Config(workers=3).most == 3
    held = Config.model_validate({"workers": {"least": 2, "most": 8}})
    assert held.workers == Workers(least=2, most=8)
    assert held.most == 8
    with pytest.raises(ValidationError, match="least is 3 and most 2"):
        Config.model_validate({"workers": {"least": 3, "most": 2}})
    with pytest.raises(ValidationError, match="greater than or equal to 1"):
        Config.model_validate({"workers": 0})


def test_what_took_the_place_of_gradient_accumulation_is_said() -> None:
    with pytest.raises(ValidationError, match="write rows_per_step, the packed rows of a step"):
        Config.model_validate({"gradient_accumulation": 4})


def test_values_of_a_task_stand_where_the_recipe_sets_none() -> None:
    code = Config(like="code", rank=8)  # type: ignore[arg-type]
    assert (code.rank, code.alpha, code.learning_rate, code.epochs) == (8, 128, 2e-4, 2)
    assert Config.model_validate(code.model_dump(mode="json")) == code
    assert Config().rank == 16


def test_what_auto_is_to_find_stays_unset_in_what_is_kept() -> None:
    given = Config(like="auto", epochs=1)
    kept = Config.model_validate(given.model_dump(mode="json"))
    found = kept.alike("style")
    assert (found.rank, found.learning_rate, found.epochs, found.like) == (8, 1e-4, 1, None)


@pytest.mark.parametrize("best", ["bleu", "python:score.txt:f", "python:score.py", "score.py:f"])
def test_what_the_best_is_chosen_by_is_known(best: str) -> None:
    with pytest.raises(ValidationError, match=r"is none of validation_loss, exact_match, f1"):
        Config(best=best)
    assert Config(best="python:a/score.py:f").best
