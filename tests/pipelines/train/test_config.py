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
