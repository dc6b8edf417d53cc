"""run.json: sections are merged, and what is not JSON is refused."""

from pathlib import Path

import pytest

from headrace.cluster.errors import BooksError
from headrace.pipelines import recipe
from headrace.pipelines.passes import summary


def test_sections_are_merged(tmp_path: Path) -> None:
    assert summary.read(str(tmp_path)) == {}
    assert summary.write(str(tmp_path), {"rows": {"in": 1}, "digest": "a"})["digest"] == "a"
    whole = summary.write(str(tmp_path), {"train": {"steps": 3}, "digest": "b"})
    assert whole == {"rows": {"in": 1}, "digest": "b", "train": {"steps": 3}}
    assert summary.read(str(tmp_path)) == whole


@pytest.mark.parametrize("text", ["{", "7", "", "[1]"])
def test_a_damaged_run_json_is_named_and_written_anew(tmp_path: Path, text: str) -> None:
    (tmp_path / "run.json").write_text(text, encoding="utf-8")
    with pytest.raises(BooksError, match=r"run\.json is damaged; `headrace prepare` on the recipe"):
        summary.read(str(tmp_path))
    assert summary.write(str(tmp_path), {"digest": "a"}) == {"digest": "a"}


def test_draws_of_an_epoch_are_counted_by_trait_with_the_weight_of_each_source() -> None:
    def given(**of_b: float) -> recipe.Recipe:
        sources = [{"name": "a", "path": "in"}, {"name": "b", "path": "in", **of_b}]
        return recipe.validate({"output": "run", "sources": sources}, "r")

    def drawn(never: int, **tasks: float) -> dict[str, object]:
        return {"rows": 4, "never": never, "traits": {"task": tasks}}

    windows = [
        {"drawn": {"a": drawn(1, code=2.5), "b": drawn(0, code=1, opinion=3)}},
        {"drawn": {"b": drawn(2, code=0.1)}},
        {},  # of an older version
    ]
    assert summary._weights(given(), windows) is None
    told = summary._weights(given(weight=0.5), windows)
    assert told == {"rows": 12, "never": 3, "traits": {"task": {"code": 3.05, "opinion": 1.5}}}
    told = summary._weights(given(weight=0), windows)
    assert told == {"rows": 12, "never": 9, "traits": {"task": {"code": 2.5, "opinion": 0}}}
