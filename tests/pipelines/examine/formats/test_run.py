"""Formats over a run: what is found, and what the report says without a row's text."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import yaml

from headrace.cluster import storage
from headrace.pipelines import schema, structure
from headrace.pipelines.examine import rows
from headrace.pipelines.examine.formats import run as formats
from headrace.pipelines.examine.formats.config import Config
from tests import builders


def run(
    folder: Path,
    *answers: str | list[builders.Turn],
    parts: int = 1,
    tokenise: Any = None,
    tasks: Any = None,
    loss: str = "assistant",
    **settings: Any,
) -> tuple[dict[str, Any], list[Any]]:
    """answers: to a question of their own, or whole rows."""
    asked = [
        [("user", f"q{n}"), ("assistant", a)] if isinstance(a, str) else a for n, a in enumerate(answers)
    ]
    made = builders.table(*asked)
    traits = [{"task": task} for task in tasks or [None] * len(answers)]
    made = made.append_column("traits", pa.array(traits, schema.TRAITS))
    recipe = {"sources": [{"name": "s", "loss": loss}], "tokenise": tokenise or {}}
    (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    cuts = [len(answers) * n // parts for n in range(1, parts)]
    return looked_at(folder, made, cuts, **settings)


def looked_at(
    folder: Path, made: pa.Table, cuts: list[int], **settings: Any
) -> tuple[dict[str, Any], list[Any]]:
    recipe = folder / "recipe.yaml"
    recipe.write_text(recipe.read_text() if recipe.exists() else "tokenise: {}")
    paths = builders.write_parts(folder, made.drop_columns(["drop", "error"]), cuts)
    (folder / "duplicates").mkdir(exist_ok=True)
    storage.write_ranges(
        str(folder / "duplicates/removed.parquet"),
        pa.table({"removed": pa.array([], pa.uint64()), "rule": pa.array([], pa.string())}),
    )
    report = formats.run(paths, str(folder), Config(**settings), builders.in_order)
    return report, storage.read_table(str(folder / "findings/formats.parquet")).to_pylist()


def test_broken_answers_are_found_and_counted(tmp_path: Path) -> None:
    answers = ['{"a": 1}', "plain", '{"a": 1} so', '{"a" 1}', "SELECT a FROM b"]
    report, found = run(tmp_path, *answers, parts=3)
    assert found == [
        {
            "row_id": 2,
            "format": "json",
            "valid_head": True,
            "valid": False,
            "breaks_at": 9,
            "finding": "broken",
        },
        {
            "row_id": 3,
            "format": "json",
            "valid_head": False,
            "valid": False,
            "breaks_at": 5,
            "finding": "broken",
        },
    ]
    assert report == {
        "enabled": True,
        "answers": 5,
        "structured": 4,
        "broken": 2,
        "by_format": {
            "json": {"valid": 1, "drift": 1, "invalid": 1},
            "sql": {"valid": 1, "drift": 0, "invalid": 0},
        },
        "mixed": {"s": {"answers": 5, "structured": 4}},
        "mixtures": [],
        "too_long": 0,
        "shapes": {"s": {"answers": 1, "odd": 0}},
        "calls": {"rows": 0, "wrong": {}},
        "cut": {},
        "faults": 2,
        "verdict": "mend",
        "words": [
            "2 of 3 answers that begin as json break",
            "4 of 5 answers of 's' are structured, the rest is not",
        ],
    }


def test_what_begins_like_a_format_by_accident_is_none(tmp_path: Path) -> None:
    """Lines of programs with two commas each are no CSV that breaks, unless most are CSV."""
    code = ["a = [1, 2, 3]\nb = [4, 5, 6]\nprint(a + b)", "f = put(x, 1, 2)\ng = put(y, 3, 4)\nprint(f)"]
    table = "name,age,town\nAnn,31,Rome\nBo,4,Oslo"
    (tmp_path / "few").mkdir()
    report, found = run(tmp_path / "few", *code, table, "so it is", parts=2)
    assert (found, report["broken"], report["structured"], report["words"]) == ([], 0, 0, [])
    (tmp_path / "most").mkdir()
    report, found = run(tmp_path / "most", *code[:1], table, table, parts=2)
    assert [(row["row_id"], row["format"], row["finding"]) for row in found] == [(0, "csv", "broken")]
    assert report["words"][0] == "1 of 3 answers that begin as csv break"


def test_parts_make_no_difference(tmp_path: Path) -> None:
    answers = [f'{{"a": {n}' + ("}" if n % 3 else "} and") for n in range(12)]
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    assert run(tmp_path / "a", *answers) == run(tmp_path / "b", *answers, parts=5)


def test_plain_answers_are_fine(tmp_path: Path) -> None:
    report, found = run(tmp_path, "It is.", "It is not.")
    assert (report["verdict"], report["words"], report["structured"], found) == ("fine", [], 0, [])


def test_long_answers_are_counted_and_a_pattern_is_followed(tmp_path: Path) -> None:
    report, found = run(tmp_path, "A1", "A1 B", "x" * 101, longest=100, pattern=r"A\d")
    assert report["too_long"] == 1
    assert [(one["row_id"], one["format"], one["breaks_at"]) for one in found] == [(1, "pattern", 2)]


def test_a_task_whose_answers_come_in_several_formats(tmp_path: Path) -> None:
    answers = [*[f'{{"a": {n}}}' for n in range(12)], *["It is."] * 8, *["Yes."] * 20]
    tasks = [*["extraction"] * 20, *["question"] * 20]
    report, found = run(tmp_path, *answers, tasks=tasks, parts=3)
    assert report["mixtures"] == [{"source": "s", "task": "extraction", "formats": {"json": 12, "other": 8}}]
    assert report["words"] == [
        "the 20 answers to 'extraction' of 's' begin in several formats: 12 (60%) as json, 8 (40%) as none"
    ]
    assert [(one["row_id"], one["finding"], one["format"]) for one in found] == [
        (n, "mixed", "") for n in range(12, 20)
    ]
    assert report["faults"] == 8
    (tmp_path / "b").mkdir()
    alike, found = run(tmp_path / "b", *answers[:12], *['{"b": 1}'] * 8, *answers[20:], tasks=tasks)
    assert (alike["mixtures"], alike["verdict"], found) == ([], "fine", [])


def test_answers_that_lose_their_end_to_the_length_limit(tmp_path: Path) -> None:
    long = ", ".join(f'"key number {n}": {n}' for n in range(400))
    answers = [f"{{{long}}}", '{"a": 1}', "word " * 3_000, "It is."]
    said = {}
    for overlong in ("truncate", "split", "drop"):
        folder = tmp_path / overlong
        folder.mkdir()
        report, found = run(folder, *answers, tokenise={"max_length": 512, "overlong": overlong})
        assert report["cut"] == {"json": 1, "other": 1}
        assert [(one["row_id"], one["finding"]) for one in found] == [(0, "cut"), (2, "cut")]
        said[overlong] = report["words"]
    assert said["truncate"] == [
        "1 of 2 other answers are cut off before their end: they do not fit into tokenise.max_length, "
        "512 tokens (tokenise.overlong: truncate)",
        "1 of 2 answers that begin as json are cut off before their end: they do not fit into "
        "tokenise.max_length, 512 tokens (tokenise.overlong: truncate)",
    ]
    assert [len(words) for words in said.values()] == [2, 1, 1]


def test_an_answer_that_alone_is_learned_keeps_its_end_where_earlier_turns_go(tmp_path: Path) -> None:
    long, short = "word " * 300, "It is."
    for number, (overlong, loss, lost) in enumerate(
        [("split", "last", [1]), ("split", "assistant", [0, 1]), ("truncate", "last", [0, 1])]
    ):
        folder = tmp_path / str(number)
        folder.mkdir()
        over = [("user", "a"), ("assistant", 2 * long)]
        limit = {"max_length": 512, "overlong": overlong}
        _, found = run(folder, [*over, ("user", "b"), ("assistant", short)], over, loss=loss, tokenise=limit)
        assert [one["row_id"] for one in found if one["finding"] == "cut"] == lost, (overlong, loss)


def test_in_memory() -> None:
    found = formats.formats(pa.array(['{"a": 1}', None, "no", '{"a": 1} x']))
    assert found.to_pylist() == [
        {"row": 0, "format": "json", "valid_head": True, "valid": True, "breaks_at": None},
        {"row": 3, "format": "json", "valid_head": True, "valid": False, "breaks_at": 9},
    ]
    assert formats.formats(pa.array([], pa.string())).num_rows == 0


def test_nothing_is_read_where_it_is_switched_off(tmp_path: Path) -> None:
    assert formats.run([], str(tmp_path), Config(enabled=False), builders.in_order) == {"enabled": False}
    assert formats.FINDINGS.names == ["row_id", "format", "valid_head", "valid", "breaks_at", "finding"]
    assert schema.ROW.field("row_id").type == formats.FINDINGS.field("row_id").type


def test_json_that_is_built_otherwise_and_calls_that_fail(tmp_path: Path) -> None:
    def system(n: int) -> str:
        return structure.sealed("", {"tools": [{"name": f"f{n}", "parameters": {"type": "object"}}]})

    answers = [f'{{"n": {n}}}' if n % 30 else f'{{"N": {n}}}' for n in range(1, 91)]
    calls = [structure.sealed("", {"tool_calls": [{"function": {"name": "f1"}}]}) for _ in range(2)]
    made = builders.table(
        *([("user", f"q{n}"), ("assistant", a)] for n, a in enumerate(answers)),
        *([("system", system(n)), ("user", "go"), ("assistant", call)] for n, call in enumerate(calls)),
    )
    made = made.append_column("traits", pa.array([{"task": None}] * made.num_rows, schema.TRAITS))
    for parts in ([], [31, 60]):
        report, found = looked_at(tmp_path, made, parts)
        assert [(one["row_id"], one["finding"]) for one in found] == [
            *((29, "shape"), (59, "shape"), (89, "shape"), (90, "call")),
        ]
        assert report["shapes"] == {"s": {"answers": 90, "odd": 3}}
        assert report["calls"] == {"rows": 2, "wrong": {"unknown": 1}}
        assert (report["faults"], report["verdict"]) == (4, "mend")
        assert report["words"] == [
            "3 of 90 JSON answers of 's' have other keys than the others, or values of another type",
            "1 of 2 rows call tools in a way that fails: 1 of functions that are not offered",
        ]
    both = rows.exchanges(made)
    assert {**formats.sampled(made, both, Config()), "cut": {}} == report
