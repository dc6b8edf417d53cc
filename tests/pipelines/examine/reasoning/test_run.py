"""Reasoning traces beside the model's chat template: what is an alarm, and what is not."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import yaml

from headrace.cluster import storage
from headrace.pipelines.examine.reasoning import model
from headrace.pipelines.examine.reasoning import run as reasoning
from headrace.pipelines.examine.reasoning.config import Config
from headrace.pipelines.examine.reasoning.model import Model
from headrace.pipelines.stages.tokenise.config import Reasoning
from headrace.pipelines.stages.tokenise.reasoning.facts import Facts
from tests import builders
from tests.builders import Turn

REASONS = Facts(reasons=True, form="think", takes="think", keeps_earlier=False, opens=False, adds_empty=False)
PLAIN = Facts(reasons=False, form=None, takes=None, keeps_earlier=True, opens=False, adds_empty=False)
THINK = "<think>\nhm\n</think>\n\nyes"
ROWS: list[list[Turn]] = [
    [("user", "a"), ("assistant", THINK)],
    [("user", "a"), ("assistant", "yes")],
    [("user", "a"), ("assistant", "<think>\n\n</think>\n\nyes")],
    [("user", "a"), ("assistant", "<think>\nhm and no end")],
    [("user", "a"), ("assistant", THINK), ("user", "b"), ("assistant", THINK)],
    [("user", "a"), ("assistant", "<Thought>hm</Thought> yes")],
    [("user", "a"), ("assistant", "hm\n</think>\n\nyes")],
    [("user", "a <think> is a tag"), ("assistant", "as a word, <think> opens and </think> closes it")],
    [("text", "<think> in a text")],
]


def run(
    folder: Path,
    facts: Facts | None,
    monkeypatch: pytest.MonkeyPatch,
    rows: Any = ROWS,
    reasoning_config: Any = None,
    loss: str = "assistant",
    **settings: Any,
) -> tuple[dict[str, Any], list[tuple[int, str, str | None]]]:
    known = Model(facts, Reasoning.model_validate(reasoning_config or {}), {"s": loss})
    monkeypatch.setattr(model, "of_run", lambda _: known)
    made = builders.table(*rows).drop_columns(["drop", "error"])
    paths = builders.write_parts(folder, made, [4])
    (folder / "duplicates").mkdir()
    storage.write_ranges(
        str(folder / "duplicates/removed.parquet"),
        pa.table({"removed": pa.array([], pa.uint64()), "rule": pa.array([], pa.string())}),
    )
    report = reasoning.run(paths, str(folder), Config(**settings), builders.in_order)
    table = storage.read_table(str(folder / "findings/reasoning.parquet"))
    return report, [tuple(one.values()) for one in table.to_pylist()]


def test_rows_that_do_not_go_with_a_model_that_reasons(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    report, found = run(tmp_path, REASONS, monkeypatch)
    assert found == [
        (1, "without", None),
        (2, "empty", "think"),
        (2, "without", None),
        (3, "unbalanced", "think"),
        (4, "earlier", "think"),
        (5, "style", "thought"),
        (6, "unbalanced", "think"),
        (7, "without", None),
    ]
    assert report["rows"] == 8
    assert report["with_traces"] == 6
    assert report["forms"] == {"think": 5, "thought": 1}
    assert report["kinds"]["without"] == 3
    assert report["verdict"] == "mend"
    assert not report["alarm"]
    assert report["words"][0] == "3 of 8 rows have no reasoning, and the model's chat template reasons"
    assert "later turns are learned behind it" in report["words"][3]
    assert report["words"][4].endswith("(`tokenise: {reasoning: {style: own}}` puts it into them)")


def test_what_the_recipe_mends_is_no_alarm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mends = {"style": "own", "earlier": "by_turn"}
    report, found = run(tmp_path, REASONS, monkeypatch, rows=ROWS[3:7], reasoning_config=mends)
    assert [one for one in found if one[1] != "without"] == [(0, "unbalanced", "think")]
    assert report["mended"] == 3  # <Thought>, one that is closed and not opened, and one in an earlier turn
    assert report["kinds"]["earlier"] == report["kinds"]["style"] == 0


def test_this_section_converts_nothing() -> None:
    with pytest.raises(ValueError, match=r"style stands in tokenise\.reasoning"):
        Config.model_validate({"style": "own"})


def test_traces_for_a_model_that_does_not_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    report, found = run(tmp_path, PLAIN, monkeypatch, policy="fail")
    assert [row for row, kind, _ in found if kind == "unasked"] == [0, 2, 3, 4, 5, 6]
    assert report["alarm"]


def test_rows_as_the_model_wants_them_are_fine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    report, found = run(tmp_path, REASONS, monkeypatch, rows=[ROWS[0]] * 5, policy="fail")
    assert (report["verdict"], report["alarm"], found) == ("fine", False, [])


def test_what_is_allowed_is_counted_and_not_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    report, _ = run(tmp_path, REASONS, monkeypatch, policy="allow")
    assert report["kinds"]["without"] == 3
    assert (report["verdict"], report["words"], report["alarm"]) == ("fine", [], False)


@pytest.mark.parametrize(
    ("text", "form", "balanced"),
    [
        ("<thinking>a</thinking>b", "thinking", True),
        ("<reasoning>a</reasoning>b", "reasoning", True),
        ("[THINK]a[/THINK]b", "mistral", True),
        ("<|channel|>analysis<|message|>a<|end|><|channel|>final<|message|>b", "channel", True),
        ("<think>a<think>b</think>c", "think", False),
        ("<html>a</html>", None, True),
    ],
)
def test_forms_of_traces(text: str, form: str | None, balanced: bool) -> None:
    found = reasoning.traces(pa.array([text], pa.large_string())).to_pylist()
    assert [(one["form"], one["balanced"], one["empty"]) for one in found] == [(form, balanced, False)]


def test_the_model_is_the_recipes(tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump({"headrace": 2, "output": "x"}))
    found = model.of_run(str(tmp_path))
    assert found.facts is not None
    assert not found.facts.reasons
    assert found.reasoning == Reasoning()


def test_where_the_last_answer_alone_is_learned_it_alone_is_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    turn: list[Turn] = [("user", "a"), ("assistant", "<think>\n\n</think>\n\nyes")]
    good: list[Turn] = [("user", "b"), ("assistant", THINK)]
    made = [turn + good, good + turn, good + good]
    every, found = run(tmp_path, REASONS, monkeypatch, rows=made)
    assert [(row, kind) for row, kind, _ in found] == [
        *((0, "earlier"), (0, "empty"), (1, "earlier"), (1, "empty"), (2, "earlier"))
    ]
    (tmp_path / "last").mkdir()
    last, found = run(tmp_path / "last", REASONS, monkeypatch, rows=made, loss="last")
    assert [(row, kind) for row, kind, _ in found] == [(1, "empty"), (1, "without")]
    assert (every["with_traces"], last["with_traces"]) == (3, 3)
