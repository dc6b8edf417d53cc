"""What a changed recipe makes stale is said, whatever commands come first."""

import os
from pathlib import Path

import pytest

from headrace.pipelines.evaluate import standing
from headrace.pipelines.recipe import Recipe
from tests.benchmarks import staleness

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("ray_local")]


@pytest.fixture(scope="module")
def base(ray_local: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that is prepared, trained, evaluated and reported."""
    run = staleness.finished(tmp_path_factory.mktemp("staleness"))
    assert staleness.state(run) == staleness.State({}, verdict=True)
    return run


PAIRS: list[tuple[str, tuple[str, ...], list[int], set[str], str]] = [
    (
        "seed",
        ("prepare", "evaluate"),
        [0, 2],
        {"train", "evaluate"},
        "held out now may be what it learned",
    ),
    ("split", ("prepare", "report"), [0, 0], {"train", "evaluate"}, "held other rows"),
    ("split", ("evaluate", "report"), [0, 0], set(), "packed/ was made with another split."),
    ("train key", ("train", "report"), [0, 0], {"evaluate"}, "another adapter"),
    ("train key", ("evaluate", "report"), [0, 0], set(), "trained with another train.learning_rate"),
    ("model", ("evaluate", "report"), [2, 0], set(), "another model than the recipe's"),
]


@pytest.mark.parametrize(
    ("change", "commands", "codes", "stale", "words"),
    PAIRS if "HEADRACE_SLOW" in os.environ else PAIRS[::2],
)
def test_what_is_stale_is_said(
    base: Path, change: str, commands: tuple[str, ...], codes: list[int], stale: set[str], words: str
) -> None:
    said, left = staleness.after(base.parent, base, change, commands)
    assert [s.code for s in said] == codes, said
    assert set(left.stale) == stale
    assert left.verdict == ("evaluate" not in stale)
    assert any(words in text for s in said for text in s.words), said


def test_keys_that_change_nothing_packed_are_not_told() -> None:
    def dump(**more: object) -> dict[str, object]:
        given = {"output": "run", "sources": [{"path": "a"}], **more}
        return Recipe.model_validate(given).model_dump(mode="json")

    assert standing.other_keys(dump(), dump(workers=3, train={"rank": 4}, dedup={"alarm": 0.2})) == []
    changed = dump(seed=4, split={"test": 0.2})
    assert standing.other_keys(dump(), changed) == ["seed", "split.test", "split.train"]
