"""`headrace sample`: a fair draw, ratings taken back, and a gate that asks for them."""

import csv
import io
import json
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.cluster.errors import UserError
from headrace.pipelines import recipe
from headrace.pipelines.commands.draw import sample, taken
from headrace.pipelines.examine.spot_check.ratings import CRITERIA
from headrace.pipelines.passes import summary
from headrace.pipelines.tuning import ready
from tests.builders import Finished, run_command


def table(**kinds: list[Any]) -> pa.Table:
    """Rows as `rows.packed` gives them; what is not given is null."""
    n = len(next(iter(kinds.values())))
    columns = {name: pa.array(kinds.get(name, [None] * n), pa.string()) for name in sample.KINDS}
    return pa.table({"row_id": np.arange(n, dtype=np.uint64), **columns})


@given(st.lists(st.sampled_from("aaaab"), min_size=1, max_size=200), st.integers(1, 60), st.integers(0, 9))
def test_each_kind_has_its_share_to_one_row(sources: list[str], count: int, seed: int) -> None:
    rows = table(source=sources)
    drawn = sample.systematic(rows, count, seed)
    n = min(count, len(sources))
    assert len(set(drawn.tolist())) == n
    assert drawn.tolist() == sample.systematic(rows, count, seed).tolist()
    here = Counter(sources[at] for at in drawn)
    for name, size in Counter(sources).items():
        assert abs(here[name] - n * size / len(sources)) < 1


def test_each_row_has_the_same_chance() -> None:
    rows = table(source=["a"] * 90 + ["b"] * 10)
    counts = np.bincount(np.concatenate([sample.systematic(rows, 20, seed) for seed in range(500)]))
    assert counts.sum() == 10_000
    assert 55 < counts.min() < counts.max() < 150  # of 500, 100 expected: five deviations


@pytest.fixture
def drawn(finished: Finished, tmp_path: Path) -> Path:
    """A copy of the finished run with 24 rows drawn."""
    shutil.copytree(finished.path, tmp_path / "run")
    code, out, err = run_command(["sample", str(tmp_path / "run"), "-n", "24"])
    assert (code, err) == (0, "")
    assert out.startswith("24 of ")
    return tmp_path / "run"


def filled(run: Path, path: Path, rate: Callable[[int], str], rater: str = "", delimiter: str = ",") -> str:
    """sheet.csv with verdicts by place in the sheet, and fluency 4 everywhere."""
    text = (run / "spot_check/sheet.csv").read_text(encoding="utf-8-sig")
    records = list(csv.DictReader(io.StringIO(text, newline="")))
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.DictWriter(file, list(records[0]), delimiter=delimiter)
        writer.writeheader()
        for at, record in enumerate(records):
            writer.writerow({**record, "verdict": rate(at), "fluency": "4", "rater": rater})
    return str(path)


@pytest.mark.ray
def test_the_draw_holds_no_text_and_the_sheet_all_of_it(drawn: Path) -> None:
    about = json.loads((drawn / "spot_check/draw.json").read_text())
    assert about["digest"] == json.loads((drawn / "run.json").read_text())["digest"]
    assert {frozenset(row) for row in about["drawn"]} == {frozenset(["row_id", "mark", *sample.KINDS])}
    page = (drawn / "spot_check/sheet.html").read_text()
    assert all(f'data-row="{row["row_id"]}"' in page for row in about["drawn"])
    again = (drawn / "spot_check/sheet.html").read_bytes()
    assert run_command(["sample", str(drawn), "-n", "24"])[0] == 0
    assert (drawn / "spot_check/sheet.html").read_bytes() == again
    assert run_command(["sample", str(drawn), "-n", "24", "--seed", "1"])[0] == 0
    assert (drawn / "spot_check/sheet.html").read_bytes() != again


@pytest.mark.ray
def test_ratings_of_two_raters_come_back(drawn: Path, tmp_path: Path) -> None:
    one = filled(drawn, tmp_path / "ann.csv", lambda at: "wrong" if at < 2 else "right")
    two = filled(drawn, tmp_path / "x.csv", lambda at: "wrong" if at < 1 else "Right", "Bob", delimiter=";")
    code, out, err = run_command(["sample", str(drawn), "--import", one, "--import", two])
    assert (code, err) == (0, "")
    assert out.startswith("22 of 24 rows that people judged are right (91.7%")
    assert "raters differ on 1 of 24" in out
    said = json.loads((drawn / "run.json").read_text())["examine"]["spot_check"]
    assert (said["judged"], said["right"], said["disputed"], said["raters"]) == (24, 22, 1, 2)
    assert said["scores"]["fluency"] == 4.0
    stored = json.loads((drawn / "spot_check.json").read_text())
    assert {k: v for k, v in stored.items() if k != "digest"} == said
    listed = pq.read_table(drawn / "spot_check/ratings.parquet")
    assert set(listed["rater"].to_pylist()) == {"rater 1", "rater 2"}
    assert "ann" not in json.dumps(stored).lower() + json.dumps(said).lower()
    assert listed.num_rows == 48


@pytest.mark.ray
def test_ratings_of_other_rows_or_texts_are_left_out_and_said(drawn: Path, tmp_path: Path) -> None:
    path = Path(filled(drawn, tmp_path / "a.csv", lambda at: "right"))
    marks = [row["mark"] for row in json.loads((drawn / "spot_check/draw.json").read_text())["drawn"]]
    path.write_text(path.read_text().replace(marks[0], "0" * 16))
    code, out, _ = run_command(["sample", str(drawn), "--import", str(path)])
    assert code == 0
    assert "1 ratings are of rows that are not in this draw" in out
    assert "23 of 23 rows" in out
    (drawn / "spot_check/draw.json").unlink()
    code, _, err = run_command(["sample", str(drawn), "--import", str(path)])
    assert code == 2
    assert "no rows are drawn yet" in err


@pytest.mark.ray
def test_training_waits_for_ratings(drawn: Path, tmp_path: Path, toy_model: str) -> None:
    asked = [f"model={toy_model}", "examine.spot_check.required=0.8"]
    code, _, err = run_command(["train", str(drawn), *asked])
    assert code == 3
    assert "examine.spot_check.required is 0.8, and nobody has judged rows" in err
    written = json.loads((drawn / "run.json").read_text())
    assert written["gates"]["examine.spot_check.required"]["passed"] is False
    rates = filled(drawn, tmp_path / "a.csv", lambda at: "right" if at % 2 else "wrong")
    assert run_command(["sample", str(drawn), "--import", rates])[0] == 0
    code, _, err = run_command(["train", str(drawn), *asked])
    assert code == 3
    assert "12 of 24 rows that people judged are right (50.0%" in err
    assert "A gate failed" in (drawn / "report.html").read_text()
    rates = filled(drawn, tmp_path / "a.csv", lambda at: "right")
    assert run_command(["sample", str(drawn), "--import", rates])[0] == 0
    ready.require_rated(recipe.load_of(str(drawn), asked))
    written = json.loads((drawn / "run.json").read_text())
    assert written["gates"]["examine.spot_check.required"] == {"passed": True, "words": ""}


@pytest.mark.ray
def test_ratings_stand_while_the_packed_rows_do(drawn: Path, tmp_path: Path) -> None:
    rates = filled(drawn, tmp_path / "a.csv", lambda at: "right")
    assert run_command(["sample", str(drawn), "--import", rates])[0] == 0
    digest = json.loads((drawn / "run.json").read_text())["digest"]
    said = summary.spot_check(str(drawn), digest)
    assert said is not None
    assert said["judged"] == 24
    assert summary.spot_check(str(drawn), "another") is None
    assert run_command(["prepare", str(drawn)])[0] == 0
    assert json.loads((drawn / "run.json").read_text())["examine"]["spot_check"] == said


def test_label_studios_export_is_read(tmp_path: Path) -> None:
    result = [
        {"from_name": "verdict", "type": "choices", "value": {"choices": ["right"]}},
        {"from_name": "safety", "type": "rating", "value": {"rating": 5}},
        {"from_name": "note", "type": "textarea", "value": {"text": ["fine"]}},
    ]
    emptied = [
        {"from_name": "safety", "type": "rating", "value": {"rating": 0}},
        {"from_name": "note", "type": "textarea", "value": {"text": []}},
    ]
    task = {
        "data": {"row_id": "7", "mark": "0123456789abcdef"},
        "annotations": [
            {"completed_by": {"id": 3, "email": "a@example.com"}, "result": result},
            {"completed_by": 4, "result": result[1:]},
            {"completed_by": 5, "result": result, "was_cancelled": True},
            {"completed_by": 6, "result": [*result[:1], *emptied]},
        ],
    }
    path = tmp_path / "export.json"
    path.write_text(json.dumps([task, {**task, "annotations": []}]))
    found = [(one.rater, one.verdict, dict(one.scores), one.note) for one in taken.read(str(path))]
    assert found == [
        ("3", "right", {"safety": 5}, "fine"),
        ("4", None, {"safety": 5}, "fine"),
        ("6", "right", {}, ""),
    ]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a,b\n1,2\n", "has no column row_id, mark, verdict"),
        ("row_id,mark,verdict\n1.1E+12,0123456789abcdef,right\n", "line 2: row_id and mark are not"),
        ("row_id,mark,verdict\n7,0123456789abcdef,secret\n", "line 2: verdict is none of right, wrong"),
        ("row_id,mark,verdict,fluency\n7,0123456789abcdef,,9\n", "fluency is no whole number from 1 to 5"),
        ('[{"data": {}}]', "no JSON export of Label Studio"),
        ("[", "no JSON export of Label Studio"),
    ],
)
def test_what_is_no_rating_is_refused_without_quoting_it(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "x").write_text(text)
    with pytest.raises(UserError, match=words) as told:
        taken.read(str(tmp_path / "x"))
    assert "secret" not in str(told.value)


@pytest.mark.parametrize("text", [f"row_id,mark,verdict\n7,{'x' * 2000},\n", f"{'x' * 2000}\n"])
def test_what_is_no_csv_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "x").write_text(text)
    most = csv.field_size_limit(1000)
    try:
        with pytest.raises(UserError, match="this is no CSV"):
            taken.read(str(tmp_path / "x"))
    finally:
        csv.field_size_limit(most)


def test_two_ratings_of_a_row_by_one_person_must_be_alike(tmp_path: Path) -> None:
    head = f"row_id,mark,rater,verdict,{','.join(CRITERIA)}\n"
    (tmp_path / "x.csv").write_text(f"{head}7,0123456789abcdef,a,right,,,,,\n")
    (tmp_path / "y.csv").write_text(f"{head}7,0123456789abcdef,a,wrong,,,,,\n")
    one, two = (taken.read(str(tmp_path / f"{name}.csv")) for name in "xy")
    assert len(sample.once([*one, *one])) == 1
    with pytest.raises(UserError, match="row 7 is rated twice, differently"):
        sample.once([*one, *two])
