"""run.json: sections are merged, and what is not JSON is refused."""

from pathlib import Path

import pytest

from headrace.cluster.errors import BooksError
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
