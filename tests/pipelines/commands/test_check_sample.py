"""What `check` says of the first records of every file."""

import json
from pathlib import Path
from typing import Any

import pytest

from headrace.cluster.errors import QuarantineError, SourceError
from headrace.pipelines import flow, recipe, rundir
from headrace.pipelines.commands import check_sample
from headrace.pipelines.console import Line
from tests.builders import MAIL, recipe_of, run_command, save_recipe, sums, write_jsonl

STAGES = flow.ROW_STAGES[:-1]
ANSWER = {"role": "assistant", "content": "it is there"}


def sampled(data: dict[str, Any], count: int = 200) -> list[Line]:
    """What is said of a recipe's first records."""
    return list(check_sample.lines(rundir.resolve(recipe.validate(data, "r"), None), STAGES, count))


def test_losses_stand_by_file_and_reason_and_a_sample_is_masked(tmp_path: Path) -> None:
    good = [{**row, "tools": "x"} for row in sums(6)]
    good[0]["question"] = f"Who is {MAIL}?"
    write_jsonl(tmp_path / "in/a.jsonl", good)
    write_jsonl(
        tmp_path / "in/b.jsonl",
        [*sums(3), {"question": "q", "answer": ["a"]}, {"question": "?!", "answer": ""}],
    )
    limit = {"quarantine": {"limit": 0.5}}
    lines = sampled({**recipe_of(tmp_path / "run", tmp_path / "in"), **limit})
    text = "\n".join(line.text for line in lines)
    assert "11 records, the first 200 of 2 files: 9 kept, 1 dropped, 1 quarantined" in lines[0].text
    assert "1 read.wrong_type (a list in 'answer' where text is asked for) in b.jsonl" in text
    assert "1 clean.empty_answer in b.jsonl" in text
    assert "nobody reads 'tools'" in text
    assert "[[it is 200, of course<|im_end|>]]" in text
    assert MAIL not in text
    assert check_sample.lost(lines) == (11, 2)
    assert not (tmp_path / "run").exists()
    unmasked = {**recipe_of(tmp_path / "run", tmp_path / "in"), **limit, "pii": {"enabled": False}}
    assert MAIL not in "\n".join(line.text for line in sampled(unmasked))


def test_words_for_nothing_and_turns_without_loss_are_told(tmp_path: Path) -> None:
    rows = [*sums(3), {"question": "What does it cost?", "answer": "nan"}]
    write_jsonl(tmp_path / "in/a.jsonl", rows)
    text = "\n".join(line.text for line in sampled(recipe_of(tmp_path / "run", tmp_path / "in")))
    assert "  1 answers are 'nan', as tables write what is missing, and are learned" in text
    turns = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello", "weight": 0}] * 2
    turns[3] = {"role": "assistant", "content": "hello again"}
    write_jsonl(tmp_path / "chats/a.jsonl", [{"messages": turns}])
    text = "\n".join(line.text for line in sampled(recipe_of(tmp_path / "run", tmp_path / "chats")))
    assert "  1 turns of assistants that carry no loss, as their rows say" in text
    assert "[[hello again<|im_end|>]]" in text
    assert "[[hello<|im_end|>]]" not in text


def test_rows_of_calls_alone_are_told_with_what_to_do(tmp_path: Path) -> None:
    call = {"type": "function", "function": {"name": "look", "arguments": {"at": "it"}}}
    turns = [{"role": "user", "content": "look"}, {"role": "assistant", "content": "", "tool_calls": [call]}]
    write_jsonl(
        tmp_path / "in/a.jsonl", [{"messages": turns}] * 2 + [{"messages": [*turns, *turns[:1], ANSWER]}]
    )
    text = "\n".join(line.text for line in sampled(recipe_of(tmp_path / "run", tmp_path / "in")))
    assert "  2 tokenise.only_calls in a.jsonl" in text
    assert "    tokenise.only_calls: take a model whose chat template renders tool calls" in text


def test_only_the_first_records_of_some_files_are_looked_at(tmp_path: Path) -> None:
    for n in range(50):
        write_jsonl(tmp_path / f"in/{n:02d}.jsonl", sums(5))
    (first, *_) = sampled(recipe_of(tmp_path / "run", tmp_path / "in"), 2)
    assert "34 records, the first 2 of 17 of 50 files" in first.text


def test_a_recipe_that_would_be_stopped_is_refused(tmp_path: Path) -> None:
    turns = [{"role": "user", "content": "hi"}, {"role": "function_call", "content": "{}"}]
    write_jsonl(tmp_path / "in/a.jsonl", [{"messages": turns}] * 4)
    data = recipe_of(tmp_path / "run", tmp_path / "in")
    with pytest.raises(QuarantineError, match=r"4 of the first 4 records \(100.0%\) cannot be used"):
        sampled(data)
    code, out, err = run_command(["check", save_recipe(tmp_path / "r.yaml", data)])
    assert code == 2
    assert "columns: {roles: {function_call: assistant}}" in out
    assert "is there" not in out + err
    code, out, _ = run_command(["check", str(tmp_path / "r.yaml"), "--sample", "0"])
    assert (code, out.splitlines()[-1]) == (0, "everything that the run leans on is there")


def test_nothing_kept_is_refused(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "in/a.jsonl", [{"question": "q", "answer": ""}] * 3)
    with pytest.raises(SourceError, match=r"none of the first 3 records would be kept: 3 clean.empty_answer"):
        sampled(recipe_of(tmp_path / "run", tmp_path / "in"))


def test_conversations_are_put_together(tmp_path: Path) -> None:
    rows = [
        {"talk": n, "role": role, "text": f"{role} says {n}"}
        for n in range(3)
        for role in ("user", "assistant")
    ]
    write_jsonl(tmp_path / "in/a.jsonl", rows)
    data = recipe_of(tmp_path / "run", tmp_path / "in")
    data["sources"][0] |= {"group_by": "talk", "columns": {"role": "role", "content": "text"}}
    (first, *_) = sampled(data)
    assert "6 records, the first 200 of 1 file: 6 kept" in first.text


def test_labels_that_are_numbers_are_told(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "in/a.jsonl", [{"text": f"film {n}", "label": n % 2} for n in range(4)])
    data = recipe_of(tmp_path / "run", tmp_path / "in")
    assert any("label_names" in line.text for line in sampled(data))
    data["sources"][0]["label_names"] = ["bad", "good"]
    assert not any("label_names" in line.text for line in sampled(data))


def test_machines_get_the_books(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "in/a.jsonl", sums(4))
    path = save_recipe(tmp_path / "r.yaml", recipe_of(tmp_path / "run", tmp_path / "in"))
    code, out, _ = run_command(["check", path, "--json"])
    assert code == 0
    events = [json.loads(line) for line in out.splitlines()]
    (first, *_) = [e for e in events if e["event"] == "sample"]
    assert (first["in"], first["kept"]) == (4, 4)
