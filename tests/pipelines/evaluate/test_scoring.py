"""From what was said to figures: the metrics that apply, the part that is compared, and where it is worse."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from headrace.cluster.errors import RecipeError
from headrace.pipelines.evaluate import scoring
from headrace.pipelines.evaluate.config import Config
from headrace.pipelines.evaluate.outputs import Measured, Outcome
from tests.builders import write_jsonl

KINDS = ("bill", "login", "sync")


def outcome(base: list[str], tuned: list[str], references: list[str], **more: Any) -> Outcome:
    """What two models said, one sample without a prompt before them."""
    n = len(references)
    forced = np.tile([[2.0, 1.0, 0.0]], (n + 1, 1))
    return Outcome(
        base=Measured(forced, base, [""] * n, 0),
        tuned=Measured(forced * [0.5, 1, 1], tuned, [""] * n, 0),
        prompts=more.pop("prompts", [f"prompt {i}" for i in range(n)]),
        references=references,
        row_ids=tuple(range(n + 1)),
        lengths=tuple(range(1, n + 2)),
        asked=tuple(range(1, n + 1)),
        **more,
    )


def scored(outcome: Outcome, traits: dict[str, list[str]] | None = None, **config: Any) -> dict[str, Any]:
    return scoring.scored(outcome, Config(**config), 0, traits)


def test_only_what_applies_is_measured() -> None:
    texts = scored(outcome(["a b"] * 30, ["a c"] * 30, [f"a {i}" for i in range(30)]))
    assert not {"label_f1", "json_valid", "entity_f1", "sql", "code"} & set(texts["metrics"])
    assert texts["labels"] is None
    assert texts["metrics"]["loss"]["n"] == 31
    assert texts["metrics"]["exact_match"]["n"] == 30
    labels = scored(outcome(["bill"] * 30, list(KINDS) * 10, list(KINDS) * 10))
    assert labels["metrics"]["label_f1"] | {"interval": 0, "p": 0} == {
        "base": pytest.approx(1 / 6),
        "tuned": 1.0,
        "interval": 0,
        "p": 0,
        "verdict": "better",
        "n": 30,
        "test": "bootstrap",
        "primary": False,
    }
    assert [row["label"] for row in labels["labels"]["by_label"]] == list(KINDS)
    assert labels["labels"]["confused"] == {
        "base": [["login", "bill", 10], ["sync", "bill", 10]],
        "tuned": [],
    }
    json = scored(outcome(['["x"]', "no"] * 15, ['["y"]'] * 30, [f'["y", {i}]' for i in range(30)]))
    assert json["metrics"]["json_valid"]["base"] == 0.5
    assert json["metrics"]["entity_f1"]["tuned"] == pytest.approx(2 / 3)


def test_the_same_part_of_all_is_compared_and_references_without_it_are_counted() -> None:
    said = [f"So many words {i}.\n#### {i}" for i in range(30)]
    wanted = [f"Other words.\nThe answer is: {i}.0" for i in range(29)] + [""]
    base = ["#### -1"] * 30
    assert scored(outcome(base, said, wanted))["metrics"]["exact_match"]["tuned"] == 0
    found = scored(outcome(base, said, wanted), answer="last_line", fold=("numbers",))
    assert found["metrics"]["exact_match"]["tuned"] == pytest.approx(29 / 30)
    assert found["without_answer"] == 1


def test_code_counts_where_there_are_tests(tmp_path: Path) -> None:
    path = write_jsonl(
        tmp_path / "tests.jsonl", [{"prompt": "write double.", "tests": "assert double(2) == 4"}]
    )
    prompts = ["Write double.", "Write something else.", "write  DOUBLE. now"]
    good, bad = "def double(x): return 2 * x", "def double(x): return x"
    found = scored(outcome([bad] * 3, [good] * 3, [good] * 3, prompts=prompts), code=str(path))
    score = found["metrics"]["code"]
    assert (score["n"], score["base"], score["tuned"]) == (2, 0.0, 1.0)


@pytest.mark.parametrize(
    ("key", "text", "words"),
    [
        ("json_schema", '{"type": "nothing"}', "evaluate.json_schema: it is no JSON Schema"),
        ("code", '{"prompt": "x"}', "evaluate.code: line 1 has no texts `prompt` and `tests`"),
        ("code", "{", "evaluate.code: line 1 is no JSON"),
    ],
)
def test_a_file_that_cannot_be_used_is_named(tmp_path: Path, key: str, text: str, words: str) -> None:
    path = tmp_path / "file"
    path.write_text(text)
    with pytest.raises(RecipeError, match=words):
        scored(outcome(["a"], ["a"], ["a"]), **{key: str(path)})


def test_where_it_is_worse_comes_first_and_small_parts_are_left_out() -> None:
    """Right in English, wrong in German since it was tuned; of a third language are few."""
    language = ["", *["en"] * 40, *["de"] * 40, *["fr"] * 19]
    wanted = [f"answer {i}" for i in range(99)]
    tuned = [*wanted[:40], *["?"] * 40, *wanted[80:]]
    base = [*["?"] * 40, *wanted[40:80], *wanted[80:]]
    found = scored(
        outcome(base, tuned, wanted), {"language": language, "source": ["s"] * 100}, primary="exact_match"
    )
    parts = [part for part in found["slices"] if part["by"] == "language"]
    assert [(p["value"], p["n"], p["verdict"]) for p in parts] == [("de", 40, "worse"), ("en", 40, "better")]
    assert {part["by"] for part in found["slices"]} == {"language", "length"}
    assert found["slices"][0]["verdict"] == "worse"
    assert found["power"]["n"] == 99
    assert "cannot be told" in found["power"]["words"]
