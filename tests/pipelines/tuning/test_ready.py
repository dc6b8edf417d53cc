"""What a training or an evaluation would fail of fails before anything is prepared."""

from pathlib import Path
from typing import Any

import pytest

from tests.builders import recipe_of, run_command, save_recipe, sums, write_jsonl
from tests.pipelines import toys


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"evaluate": {"score": "python:gone.py:score"}}, "gone.py"),
        ({"evaluate": {"documents": {"path": "gone.txt"}}}, "evaluate.documents.path"),
        ({"evaluate": {"earlier": "gone"}}, "gone"),
        (
            {"evaluate": {"judge": {"endpoint": "http://127.0.0.1:9", "model": "m", "key_env": "NONE"}}},
            "NONE",
        ),
        ({"train": {"from": "gone"}}, "gone"),
        ({"train": {"new_tokens": ["<unheard>"]}}, "<unheard>"),
    ],
)
def test_a_whole_run_fails_before_it_reads_a_row(
    tmp_path: Path, more: dict[str, Any], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    toys.model(tmp_path / "model")
    write_jsonl(tmp_path / "sums.jsonl", sums(40))
    data = recipe_of(tmp_path / "run", tmp_path / "sums.jsonl", model=str(tmp_path / "model"), **more)
    code, out, err = run_command(["run", save_recipe(tmp_path / "recipe.yaml", data)])
    assert code == 2
    assert words in out + err
    assert not (tmp_path / "run" / "ledger").exists()
    assert not (tmp_path / "run" / "prepared").exists()
