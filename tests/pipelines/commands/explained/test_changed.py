"""What a row was before it was cleaned is shown beside what it became, and no value of a person with it."""

from pathlib import Path

import pyarrow as pa
import pytest

from headrace.cluster.fragments import Fragment
from headrace.pipelines import recipe, rundir
from headrace.pipelines.commands.explained import changed
from headrace.pipelines.recipe import Recipe
from headrace.pipelines.stages.clean import stage as clean
from headrace.pipelines.stages.read import inputs
from tests.builders import MAIL, PHONE, recipe_of, table, write_jsonl

RECIPE = recipe.validate(recipe_of("run", "in"), "r")


def shown(before: pa.Table, after: pa.Table) -> tuple[str, str]:
    left, right = changed._shown(before, after, RECIPE)
    return "".join(text for _, text in left), "".join(text for _, text in right)


def cleaned(content: str) -> tuple[str, str]:
    before = table([("text", content)])
    return shown(before, clean.apply(before, clean.Config()))


def test_what_changed_is_shown_on_both_sides() -> None:
    assert cleaned("It doesn\u00e2\u20ac\u2122t wor\u00adk\x07 today.") == (
        "It doesn\u00e2\u20ac\u2122t wor\\xadk\\x07 today.",
        "It doesn\u2019t work today.",
    )


@pytest.mark.parametrize(
    "content",
    [
        f"Write to {MAIL}, it doesn\u00e2\u20ac\u2122t matter.",
        "Write to ann.lee@exam\u00adple.com now, it doesn\u00e2\u20ac\u2122t matter.",
        "Write to ann\u200b.lee\u200b@example.com now.",
        "Write to ann.lee&#64;example.com now.",
        f"Call {PHONE[:6]}\u200b{PHONE[6:]} or \x07{PHONE}.",
        f"\x1b[31m{MAIL}\x1b[0m\u00ad",
    ],
)
def test_what_is_masked_on_one_side_is_shown_on_none(content: str) -> None:
    for text in cleaned(content):
        assert "<masked>" in text
        bare = text.replace("\\xad", "").replace("\\u200b", "")
        assert not any(word in bare for word in ("ann.lee", "ann", "lee", "882", "8080"))


def test_a_value_that_a_step_adds_is_not_shown() -> None:
    before, after = table([("text", "Call us.")]), table([("text", f"Call us at {PHONE}.")])
    left, right = shown(before, after)
    assert left == "Call us."
    assert "<masked>" in right
    assert "882" not in right


def read_again(folder: Path) -> tuple[Recipe, Fragment]:
    write_jsonl(folder / "in/a.jsonl", [{"text": "one"}, {"text": "two\u200b"}, {"text": "three"}])
    loaded = rundir.resolve(recipe.validate(recipe_of(folder / "run", folder / "in"), "r"), None)
    (fragment,) = inputs.plan(loaded.sources[0], loaded.fragment_size, [])
    return loaded, fragment


def test_a_row_is_read_again_and_its_stages_are_run_again(tmp_path: Path) -> None:
    loaded, fragment = read_again(tmp_path)
    (line,) = changed.lines(loaded, fragment, 1, ["clean", "steps", "quality"])
    assert line.fields == {"changed_by": "clean", "before": "two[-\\u200b-]", "after": "two"}
    assert list(changed.lines(loaded, fragment, 0, ["clean", "steps", "quality"])) == []


def test_a_file_that_is_another_now_shows_nothing(tmp_path: Path) -> None:
    loaded, fragment = read_again(tmp_path)
    write_jsonl(tmp_path / "in/a.jsonl", [{"text": "someone else's\u200b row"}] * 5)
    (line,) = changed.lines(loaded, fragment, 1, ["clean"])
    assert "is gone or another now" in line.text
    (tmp_path / "in/a.jsonl").unlink()
    (line,) = changed.lines(loaded, fragment, 1, ["clean"])
    assert "is gone or another now" in line.text
