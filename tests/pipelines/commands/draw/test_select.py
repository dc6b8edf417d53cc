"""`headrace select`: the best rows by score and a random set of the same mix."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.pipelines import recipe, structure
from headrace.pipelines.commands.draw import rows, select
from tests.builders import Finished, run_command


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(["x", None])), min_size=2, max_size=80),
    st.integers(0, 5),
    st.data(),
)
def test_the_random_set_has_the_mix_of_the_best(
    kinds: list[tuple[str, str | None]], seed: int, data: st.DataObject
) -> None:
    n = len(kinds)
    scores = data.draw(st.lists(st.sampled_from([None, 0.1, 0.5, 0.9]), min_size=n, max_size=n))
    train = pa.table(
        {
            "row_id": np.arange(n, dtype=np.uint64),
            "source": pa.array([source for source, _ in kinds]),
            "task": pa.array([task for _, task in kinds], pa.string()),
            "score": pa.array(scores, pa.float32()),
        }
    )
    order = rows.shuffled(train["row_id"].to_numpy(), seed)
    best = select.highest(train, order, n // 2)
    drawn = select.alike(train, order, best)
    assert len(set(drawn.tolist())) == len(best) == n // 2
    assert Counter(kinds[at] for at in drawn) == Counter(kinds[at] for at in best)
    left = [scores[at] or -1 for at in range(n) if at not in set(best.tolist())]
    assert all((scores[at] or -1) >= max(left) for at in best)


def read(folder: Path, name: str) -> list[dict[str, Any]]:
    """The records of a set."""
    return [json.loads(line) for line in (folder / name / "messages.jsonl").read_text().splitlines()]


@pytest.mark.ray
def test_both_sets_their_held_out_rows_and_a_recipe_each(finished: Finished, tmp_path: Path) -> None:
    run, out = str(finished.path), tmp_path / "out"
    code, text, err = run_command(["select", run, "--n", "30", "--out", str(out)])
    assert (code, err) == (0, "")
    assert "both have the same mix" in text
    table = rows.packed(run).to_pylist()
    score = {str(row["row_id"]): row["score"] for row in table if row["side"] == "train"}
    best, drawn = (read(out, name) for name in select.SETS)
    assert len(best) == len(drawn) == 30
    least = min(score[record["row_id"]] for record in best)
    assert sum(value > least for value in score.values()) < 30
    assert Counter(r["source"] for r in best) == Counter(r["source"] for r in drawn)
    assert {r["row_id"] for r in drawn} <= set(score)
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["in_both"] == len({r["row_id"] for r in best} & {r["row_id"] for r in drawn}) < 25
    ties = [value for value in score.values() if value == least]
    taken = sum(score[record["row_id"]] == least for record in best)
    assert manifest["tied"] == {"rows": len(ties), "taken": taken}
    assert f"{len(ties):,} rows have the lowest score of the best" in text
    assert manifest["mix"]["source"] == Counter(r["source"] for r in best)
    assert (manifest["n"], manifest["of"], manifest["of_run"]) == (30, len(score), finished.digest)
    for name in select.SETS:
        made = recipe.load(str(out / f"{name}.yaml"))
        assert [(s.name, s.side) for s in made.sources] == [
            (f"{name}-messages", "train"),
            *((f"{side}-messages", side) for side in select.HELD_OUT if manifest["held_out"][side]["rows"]),
        ]
        assert made.tokenise.max_length == 256
    first = {path.name: path.read_bytes() for path in out.rglob("*.json*")}
    assert run_command(["select", run, "--n", "30", "--out", str(out)])[0] == 0
    assert {path.name: path.read_bytes() for path in out.rglob("*.json*")} == first


@pytest.mark.ray
def test_parquet_other_folders_and_too_many(finished: Finished, tmp_path: Path) -> None:
    run, out = str(finished.path), tmp_path / "out"
    assert run_command(["select", run, "--n", "5", "--out", str(out), "--format", "parquet"])[0] == 0
    table = pq.read_table(out / "best/messages.parquet")
    assert table.num_rows == 5
    assert json.loads(table["messages"][0].as_py())[0]["role"] in ("system", "user")
    (tmp_path / "theirs/best").mkdir(parents=True)
    (tmp_path / "theirs/best/data").write_text("x")
    code, _, err = run_command(["select", run, "--n", "5", "--out", str(tmp_path / "theirs")])
    assert code == 2
    assert "no selection of ours" in err
    code, _, err = run_command(["select", run, "--n", "9999999", "--out", str(tmp_path / "more")])
    assert code == 2
    assert "rows to train on: choose fewer" in err
    assert not (tmp_path / "more").exists()


def test_tools_and_calls_are_written_as_they_are_read() -> None:
    offer = structure.sealed("", {"tools": [{"name": "look"}]})
    call = structure.sealed("wait", {"tool_calls": [{"function": {"name": "look", "arguments": {}}}]})
    messages = [
        {"role": "system", "content": offer},
        {"role": "user", "content": "q"},
        {"role": "assistant", "content": call},
    ]
    assert select._record({"messages": messages}) == {
        "messages": [
            {"role": "user", "content": "q"},
            {
                "role": "assistant",
                "content": "wait",
                "tool_calls": [{"function": {"name": "look", "arguments": {}}}],
            },
        ],
        "tools": [{"name": "look"}],
    }
    assert select._record({"messages": [{"role": "text", "content": "plain"}]}) == {"text": "plain"}


@pytest.mark.ray
def test_a_set_can_be_prepared_by_its_recipe(finished: Finished, tmp_path: Path) -> None:
    run, out = str(finished.path), tmp_path / "out"
    assert run_command(["select", run, "--n", "40", "--out", str(out)])[0] == 0
    code, _, err = run_command(["prepare", str(out / "best.yaml")])
    assert (code, err) == (0, "")
    packed = json.loads((out / "run-best/run.json").read_text())
    assert packed["splits"]["train"]["rows"] == 40
