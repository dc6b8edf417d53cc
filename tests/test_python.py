"""The door for notebooks: `import headrace` and what it gives."""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

import headrace
from headrace.cluster.errors import OutputError, RecipeError
from headrace.pipelines.stages.dedup.stage import Config as Dedup
from headrace.pipelines.stages.pii.config import Config as Pii

REPOSITORY = Path(__file__).resolve().parents[1]
HEAVY = ("ray", "pyarrow", "numpy", "torch", "numba", "polars", "pydantic")
TEXTS = ["Write to ann.miller@example.com today", "write to", None, "Again: ann.miller@example.com"]


def test_importing_it_loads_nothing_heavy() -> None:
    code = f"import sys, headrace; print([n for n in {HEAVY!r} if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "[]\n"), done.stderr


def test_every_name_is_there() -> None:
    assert dir(headrace) == sorted(headrace.__all__)
    for name in headrace.__all__:
        assert getattr(headrace, name) is not None
    assert re.fullmatch(r"\d+\.\d+\.\d+.*", headrace.__version__)
    with pytest.raises(AttributeError, match="nothing_such"):
        _ = headrace.nothing_such


@pytest.mark.ray
def test_the_readme_is_right(
    ray_local: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    section = (REPOSITORY / "README.md").read_text().partition("\n## From Python\n")[2].partition("\n## ")[0]
    blocks = re.findall(r"```python\n(.*?)```", section, re.DOTALL)
    assert len(blocks) == 5
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for number, block in enumerate(blocks):
        exec(compile(block, f"README.md, block {number}", "exec"), names)
    assert capsys.readouterr().out == "21 records, 20 kept\n"
    run = names["run"]
    assert isinstance(run, headrace.Run)
    assert (run.kept.height, run.removed.height, run.rejected.height) == (20, 1, 1)
    assert set(run.removed["removed"]) == set(run.rejected["row_id"])
    assert not set(run.removed["removed"]) & set(run.kept["row_id"])
    assert run.rejected["reason"].to_list() == ["dedup.exact"]
    assert all("<EMAIL_ADDRESS_1>" in said[0]["content"] for said in run.kept["messages"].to_list())
    sizes = {split: run.packed(split).height for split in ("train", "validation", "test")}
    assert sizes == {split: run.report["packed"][split]["rows"] for split in sizes}
    with pytest.raises(ValueError, match="train, validation, test"):
        run.packed("dev")


def test_a_folder_that_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="nothing is prepared"):
        headrace.open(tmp_path)
    with pytest.raises(OutputError, match="nothing is prepared"):
        headrace.train({"output": str(tmp_path / "run"), "sources": [{"path": str(tmp_path)}]})


def test_a_run_is_shown_escaped(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text(
        '{"digest": "<b>", "rows": {"in": 1234, "kept": 1, "dropped": {"<i>": 2}}}'
    )
    shown = headrace.open(tmp_path)._repr_html_()
    assert "&lt;b&gt;" in shown
    assert "dropped: &lt;i&gt;" in shown
    assert "1,234" in shown
    assert "<b>" not in shown
    assert "<i>" not in shown


def test_a_run_of_nothing_has_empty_tables(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text('{"digest": ""}')
    run = headrace.open(str(tmp_path))
    assert [t.height for t in (run.kept, run.removed, run.rejected, run.packed("test"))] == [0, 0, 0, 0]


@pytest.mark.parametrize("given", [list, pa.array, lambda texts: pa.chunked_array([texts[:2], texts[2:]])])
def test_duplicates(given: type[list[str | None]]) -> None:
    found = headrace.duplicates(given(["one text", None, "another", "one text"]))
    assert found.select("removed", "kept", "similarity", "rule").rows() == [(3, 0, 1.0, "exact")]


def test_configs_are_dicts_or_configs() -> None:
    texts = ["One  text", "one text"]
    assert headrace.duplicates(texts).height == 1
    for config in ({"near": False}, Dedup(near=False)):
        assert headrace.duplicates(texts, config).height == 0
    for settings in ({"kind": "redact"}, Pii(kind="redact")):
        assert headrace.mask(TEXTS[:1], settings).to_pylist() == ["Write to  today"]


def test_find_pii() -> None:
    assert headrace.find_pii(TEXTS).rows() == [
        (0, 9, 31, "EMAIL_ADDRESS", 1.0),
        (3, 7, 29, "EMAIL_ADDRESS", 1.0),
    ]
    assert headrace.find_pii(TEXTS, {"enabled": False}).rows() == []


def test_mask() -> None:
    masked = headrace.mask(TEXTS)
    assert masked.type == pa.large_string()
    assert masked.to_pylist() == [
        "Write to <EMAIL_ADDRESS_1> today",
        "write to",
        None,
        "Again: <EMAIL_ADDRESS_1>",
    ]
    assert headrace.mask([]).to_pylist() == []
    assert headrace.mask([None, None]).to_pylist() == [None, None]
    assert headrace.mask(TEXTS, {"enabled": False}).to_pylist() == TEXTS


def test_a_wrong_config_is_told_as_in_a_recipe() -> None:
    with pytest.raises(RecipeError, match=r"unknown key 'pii.treshold'; did you mean 'threshold'"):
        headrace.mask(TEXTS, {"treshold": 0.3})
    with pytest.raises(RecipeError, match=r"'dedup.threshold'.*\(is 2\)"):
        headrace.duplicates(TEXTS, {"threshold": 2})
    with pytest.raises(RecipeError, match="nothing looks for 'EMAIL'"):
        headrace.find_pii(TEXTS, {"entities": ["EMAIL"]})
    with pytest.raises(RecipeError, match="unknown key 'sorces'"):
        headrace.check({"output": "run", "sorces": []})
    with pytest.raises(TypeError, match="one str"):
        headrace.mask("a text")


def test_kernels() -> None:
    assert headrace.fold(["Hello,  World!", None]).to_pylist() == ["hello world", None]
    signatures = headrace.simhash(["hello world, hello", "hello world, hello", "short", None])
    assert (signatures.dtype, signatures.shape) == (np.uint64, (4, 1))
    assert signatures[0] == signatures[1] != 0
    assert signatures[2:].tolist() == [[0], [0]]
    words = np.array([0b1, 0b11, 0b11111111], np.uint64)
    assert headrace.hamming_pairs(words, 1).tolist() == [[0, 1]]
    assert headrace.hamming_pairs(words, 6).tolist() == [[0, 1], [1, 2]]


def test_the_package_is_the_command() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "headrace", "schema"], capture_output=True, text=True, check=True, timeout=300
    )
    assert json.loads(done.stdout)["title"] == "Recipe"


def test_a_run_that_rejected_nothing_has_the_columns_of_one_that_did(tmp_path: Path) -> None:
    rejected = headrace.Run(str(tmp_path)).rejected
    assert rejected.height == 0
    assert {"row_id", "stage", "reason", "error", "messages"} <= set(rejected.columns)


def test_checks_over_texts_in_memory() -> None:
    asked = ["How many legs has a spider?", "how many legs has a spider?", "Name a colour.", None]
    answers = ["Eight.", "Six.", "Blue.", "Red."]
    assert headrace.contradictions(asked, answers).select("row", "partner").rows() == [(0, 1), (1, 0)]
    assert headrace.effective(asked) == headrace.effective(pa.array(asked))
    assert headrace.effective(["weigh the anchor", "boil an egg", "paint a door"]) == pytest.approx(3)
    broken = headrace.formats(['{"a": 1}', '{"a": 1} and so on', "plain", None])
    assert broken.rows() == [(0, "json", True, True, None), (1, "json", True, False, 9)]
    question = (
        "which of the four tall ships in the northern harbour carries amber, salt and copper to the island?"
    )
    found = headrace.leaks(["nothing", f"So: {question}"], [question])
    assert found.select("row", "item").rows() == [(1, 0)]
    assert headrace.label_noise(["late parcel", "wrong size"], ["delivery", "returns"]).height == 0
    with pytest.raises(RecipeError, match=r"examine\.contradictions\.nearr"):
        headrace.contradictions(asked, answers, {"nearr": 1})
