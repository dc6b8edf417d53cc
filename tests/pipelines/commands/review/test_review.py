"""`headrace review`: the sheet is blind, the key is not in it, and ratings count for the right model."""

import csv
import io
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from headrace.cluster import storage
from headrace.pipelines.commands.review import draw, take
from headrace.pipelines.evaluate import standing
from headrace.pipelines.evaluate.judged import outcomes
from tests.builders import run_command
from tests.pipelines.evaluations import evaluate, outcome

N = 60
RIGHT = [f"right {at}" for at in range(N)]
TUNED = [*RIGHT[:45], *[f"off {at}" for at in range(45, N)]]
BASE = [f"poor {at}" for at in range(N)]
Rate = Callable[[int, str], str]  # of a row and the tuned model's place


@pytest.fixture
def run(tmp_path: Path) -> str:
    """A run of whose 60 answers 45 are right, the base's none; two more are alike in both."""
    same = ["the same", "the same "]
    made = outcome([*BASE, *same], [*TUNED, *same[::-1]], [*RIGHT, "x", "y"])
    return evaluate(tmp_path / "run", made)


def key(run: str) -> dict[int, dict[str, Any]]:
    held = json.loads(Path(run, "review/key.json").read_text())
    return {int(row["row_id"]): row for row in held["drawn"]}


def filled(run: str, path: Path, rate: Rate, rater: str = "") -> str:
    """sheet.csv with verdicts."""
    text = Path(run, "review/sheet/sheet.csv").read_text(encoding="utf-8-sig")
    records = list(csv.DictReader(io.StringIO(text, newline="")))
    tuned = {row: about["tuned"] for row, about in key(run).items()}
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(records[0]))
        writer.writeheader()
        for record in records:
            row = int(record["row_id"].removeprefix("'"))
            writer.writerow({**record, "verdict": rate(row, tuned[row]), "rater": rater})
    return str(path)


def other(place: str) -> str:
    return "B" if place == "A" else "A"


def test_the_sheet_is_blind(run: str) -> None:
    code, out, err = run_command(["review", run, "-n", "50"])
    assert (code, err) == (0, "")
    assert out.startswith("50 of 60 held-out rows drawn, of which both models answer otherwise; to 2 more")
    folder = Path(run, "review/sheet")
    assert sorted(path.name for path in folder.iterdir()) == ["sheet.csv", "sheet.html"]
    page, table = (folder / "sheet.html").read_text(), (folder / "sheet.csv").read_text("utf-8-sig")
    for word in ("tuned", "base", "key.json", "metric"):
        assert not re.search(rf"\b{word}\b", page.replace("base-uri", "").replace("data-", "")), word
        assert word not in table
    drawn = key(run)
    assert len(drawn) == 50
    for record in csv.DictReader(io.StringIO(table, newline="")):
        row = int(record["row_id"].removeprefix("'"))
        place = drawn[row]["tuned"]
        assert record[f"answer {place}"] == TUNED[row]
        assert record[f"answer {other(place)}"] == BASE[row]
        assert record["prompt"] == f"[prompt] prompt {row}"
        assert drawn[row]["metric"] == ("win" if row < 45 else "tie")
    first = [row["tuned"] for row in drawn.values()].count("A")
    assert 12 < first < 38, "neither place has nearly all of the tuned model's answers"


def test_the_same_seed_gives_the_same_sheet(run: str, tmp_path: Path) -> None:
    for folder, seed in (("one", "3"), ("two", "3"), ("three", "4")):
        assert run_command(["review", run, "--seed", seed, "--sheet", str(tmp_path / folder)])[0] == 0
    one, two, three = ((tmp_path / n / "sheet.html").read_bytes() for n in ("one", "two", "three"))
    assert one == two != three


def test_two_raters_are_counted_for_the_right_model(run: str, tmp_path: Path) -> None:
    run_command(["review", run])
    ann = filled(run, tmp_path / "ann.csv", lambda row, place: place if row < 48 else other(place))
    bob = filled(
        run,
        tmp_path / "x.csv",
        lambda row, place: ("tie" if row < 2 else place.lower()) if row < 50 else "",
        "Bob",
    )
    code, out, err = run_command(["review", run, "--import", ann, "--import", bob])
    assert (code, err) == (0, "")
    said = json.loads(Path(run, "run.json").read_text())["review"]
    # Rows 0, 1: win and tie; 2 to 47: two wins; 48, 49: loss and win; the rest: a loss.
    assert (said["wins"], said["ties"], said["losses"], said["judged"]) == (46, 4, 10, 60)
    assert (said["raters"], said["twice"], said["disputed"], said["same"]) == (2, 50, 4, 2)
    assert said["win_rate"] == round(46 / 56, 4)
    assert said["verdict"] == "better"
    assert said["interval"][0] > 0.5
    assert -0.1 < said["agreement"] < 0.1, "where nearly all say one thing, chance explains as much"
    # By exact match rows 0 to 44 are won: people decided 43 of these, and all alike.
    assert {k: said["metric"][k] for k in ("name", "samples", "decided_by_both", "alike")} == {
        "name": "exact_match",
        "samples": 60,
        "decided_by_both": 43,
        "alike": 43,
    }
    assert said["judge"] is None
    assert out.startswith("review: tuned against base, 46 won, 10 lost, 4 ties: 82.1% won")
    listed = pq.read_table(Path(run, "review/ratings.parquet"))
    assert set(listed["rater"].to_pylist()) == {"rater 1", "rater 2"}
    assert listed.num_rows == 110
    assert outcomes.of_review(run, "evaluation")[0] == "tie"
    assert outcomes.of_review(run, "another") == {}


def test_agreement_with_a_judge_is_told(run: str, tmp_path: Path) -> None:
    run_command(["review", run])
    outcomes.keep_judge(run, "evaluation", {row: "win" if row < 30 else "loss" for row in range(40)})
    rated = filled(run, tmp_path / "a.csv", lambda row, place: place)
    code, out, _ = run_command(["review", run, "--import", rated])
    assert code == 0
    assert "the judge names the same winner in 30 of 40 rows" in out


def test_a_sheet_half_rated_says_whether_to_go_on(run: str, tmp_path: Path) -> None:
    run_command(["review", run])
    few = filled(run, tmp_path / "a.csv", lambda row, place: place if row < 5 else "")
    code, out, _ = run_command(["review", run, "--import", few])
    assert code == 0
    assert "no clear difference; 55 of the sheet are left to rate" in out
    more = filled(run, tmp_path / "a.csv", lambda row, place: place if row < 20 else "")
    assert "better; it is clear, and rating may stop" in run_command(["review", run, "--import", more])[1]


def test_ratings_of_other_answers_are_left_out(run: str, tmp_path: Path) -> None:
    run_command(["review", run])
    path = Path(filled(run, tmp_path / "a.csv", lambda row, place: place))
    path.write_text(path.read_text().replace(key(run)[7]["mark"], "0" * 16))
    code, out, _ = run_command(["review", run, "--import", str(path)])
    assert code == 0
    assert "1 ratings are of rows that are not in this sheet" in out
    assert json.loads(Path(run, "run.json").read_text())["review"]["judged"] == 59


def test_what_is_wrong_is_said(run: str, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    code, _, err = run_command(["review", run, "--import", str(path)])
    assert (code, "no sheet is drawn yet" in err) == (2, True)
    run_command(["review", run])
    filled(run, path, lambda row, place: "right")
    code, _, err = run_command(["review", run, "--import", str(path)])
    assert (code, "verdict is none of A, B, tie" in err) == (2, True)
    filled(run, path, lambda row, place: "")
    code, _, err = run_command(["review", run, "--import", str(path)])
    assert (code, "no ratings of this sheet's rows" in err) == (2, True)
    scores = json.loads(Path(run, "evaluation/scores.json").read_text())
    storage.put(f"{run}/evaluation/scores.json", json.dumps({**scores, "key": "anew"}).encode())
    code, _, err = run_command(["review", run, "--import", str(path)])
    assert (code, "the run was evaluated anew since" in err) == (2, True)


def test_another_run_takes_the_place_of_the_base(run: str, tmp_path: Path) -> None:
    earlier = evaluate(tmp_path / "earlier", outcome(BASE, [f"older {at}" for at in range(N)], RIGHT))
    code, _, err = run_command(["review", run, "--against", earlier, "-n", "5"])
    assert (code, err) == (0, "")
    held = json.loads(Path(run, "review/key.json").read_text())
    assert held["against"] == earlier
    text = Path(run, "review/sheet/sheet.csv").read_text("utf-8-sig")
    for record in csv.DictReader(io.StringIO(text, newline="")):
        row = int(record["row_id"].removeprefix("'"))
        place = key(run)[row]["tuned"]
        assert (record[f"answer {place}"], record[f"answer {other(place)}"]) == (TUNED[row], f"older {row}")
    rated = filled(run, tmp_path / "a.csv", lambda row, place: place)
    assert f"tuned against {earlier}, 5 won" in run_command(["review", run, "--import", rated])[1]
    assert outcomes.of_review(run, "evaluation") == {}, "it is not of the base"


def test_two_models_that_say_the_same_need_no_sheet(tmp_path: Path) -> None:
    run = evaluate(tmp_path, outcome(RIGHT, RIGHT, RIGHT))
    code, _, err = run_command(["review", run])
    assert (code, "no two different answers" in err) == (2, True)


def test_a_review_of_an_earlier_evaluation_is_no_result(run: str) -> None:
    review = {"evaluation": "evaluation", "words": "5 won"}
    assert standing.sections(run, {"review": review})["review"] == review
    assert standing.sections(run, {"review": {**review, "evaluation": "earlier"}})["review"] is None


def test_label_studio_asks_the_same(run: str, tmp_path: Path) -> None:
    tasks = tmp_path / "tasks.json"
    assert run_command(["review", run, "-n", "3", "--label-studio", str(tasks)])[0] == 0
    config = (tmp_path / "tasks.xml").read_text()
    assert re.findall(r'<(?:Rating|Choices|TextArea) name="(\w+)"', config) == ["verdict", "note"]
    assert re.findall(r'<Choice value="(\w+)"', config) == list(draw.FORM.verdicts)
    held = json.loads(tasks.read_text())
    for task in held:
        task["annotations"] = [
            {
                "completed_by": 1,
                "result": [
                    {
                        "from_name": "verdict",
                        "value": {"choices": [key(run)[int(task["data"]["row_id"])]["tuned"]]},
                    }
                ],
            }
        ]
    tasks.write_text(json.dumps(held))
    found = "".join(line.text for line in take.take(run, [str(tasks)]))
    assert "3 won, 0 lost" in found
