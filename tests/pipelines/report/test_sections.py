"""Parts of the page that other commands fill: other ways to the task, gates, diagnosis, cost, findings."""

import json
from pathlib import Path

import pyarrow as pa

from headrace.cluster import storage
from headrace.pipelines import flow
from headrace.pipelines.evaluate import decision
from headrace.pipelines.report import broken, cost, evaluated, findings
from headrace.pipelines.report import page as report
from tests.pipelines.report.runs import (
    HOSTILE,
    SHOTS,
    Page,
    books,
    prepared_run,
    score,
    shown,
    whole_run,
    write_run,
)


def test_what_else_there_is_stands_beside_base_and_tuned(tmp_path: Path) -> None:
    page = shown(tmp_path, whole_run())
    for words in (
        "loss decides nats a token less is better 3.912 2.500 0.944 −2.968 −3.100 to −2.850 < 0.001",
        "on the 180 of 200 samples that do not stand in the training rows, loss went from 3.900 to 1.000",
        "2 trainings with other seeds end at loss 0.944, 0.951: 0.007 of it is chance.",
        "People, who did not know which was which: 30 won, 10 lost; agreement of the raters "
        "(Krippendorff's alpha) 0.81.",
        "A judge, asked twice with the places changed: 3 won, 0 alike, 1 lost.",
        "The base with 4 examples like the question 2.500 0.944 −2.000 to −1.000 200 better",
        "The base with passages of the documents 2.500 0.944 not told 5 too few samples",
        "The larger base BLEU 40.00 61.70",
        "Diagnosis. It forgets. Mix general rows in loss rose",
        "Diagnosis: It forgets. More",
    ):
        assert words in page.text, words
    assert (page.faults, page.open) == ([], [])


def test_an_arm_that_is_not_known_is_called_as_it_is() -> None:
    assert decision.named("shots_16_random") == "the base with 16 examples drawn at random"
    assert decision.named("other_way") == "other way"
    found = evaluated.beside(
        {"evaluate": {"loss": {**score(1, 2, [0, 1]), "arms": {"earlier": {"value": None}}}}}
    )
    assert (found["arms"], found["clean"], found["seeds"], found["review"]) == ([], [], None, None)


def test_gates_stand_in_one_table_what_rings_first(tmp_path: Path) -> None:
    rang = {
        "passed": True,
        "state": "warn",
        "value": 0.5,
        "interval": [0.4, 0.6],
        "threshold": 0.02,
        "rows": list(range(20)),
    }
    run = {
        **prepared_run(),
        "gates": {
            "kept": {"passed": True, "words": ""},
            "endless": {**rang, "words": "half do not end. Look at the end token"},
            "pii.gate": {"passed": False, "words": "2 EMAIL_ADDRESS in train"},
        },
    }
    found = broken.view(run, {"unmeasured": {"canaries": "none are planted", "endless": "told already"}})
    assert [(g.name, g.state) for g in found["gates"]] == [
        ("pii.gate", "fail"),
        ("endless", "warn"),
        ("kept", "pass"),
        ("canaries", "not held"),
    ]
    assert (found["gates"][1].rows, found["gates"][1].more) == (list(range(8)), 12)
    page = shown(tmp_path, run)
    assert "1 of the gates failed, 1 warn, 1 passed and 0 were not held." in page.text
    assert "warns 0.500 0.400 to 0.600 not over 0.020 Half do not end. Look at the end token" in page.text
    assert "Samples 0, 1, 2, 3, 4, 5, 6, 7 and 12 more." in page.text


def test_a_source_of_which_nothing_is_kept_is_marked(tmp_path: Path) -> None:
    run = prepared_run()
    run["sources"]["forms"] = books(10, {"clean.empty": 10}, {})
    page = shown(tmp_path, run)
    assert "forms nothing kept 10 0 10 0 0%" in page.text
    assert page.text.count("nothing kept") == 1


def test_cost_is_told_as_far_as_it_was_measured() -> None:
    run = {
        "stages": {
            "read": {"seconds": 3600, "rows": 9, "bytes": 36_000_000},
            "steps": {"seconds": 0.001, "bytes": 9},
        }
    }
    found = cost.view(
        {**run, "train": {"seconds": 9.0, "memory": {"peak": 1.5}}}, {"costs": {"core_hour": 0.05}}
    )
    assert round(found["priced"], 4) == 0.05
    assert [stage["speed"] for stage in found["stages"]["shown"]] == [0.01, None]
    assert found["training"]["memory"] == 1.5
    nothing = cost.view({}, {})
    assert (nothing["stages"], nothing["priced"], nothing["training"]) == (None, None, None)


def test_rows_of_a_finding_are_shown_by_their_ids(tmp_path: Path) -> None:
    run = prepared_run()
    report_of = {
        "rows": 9,
        "words": "4 of 9 rows contradict another",
        "largest": [{"rows": 2, "row_ids": [0, 2]}, {"rows": 2, "row_ids": [7 << 32, 4]}],
    }
    run["examine"] = {"contradictions": report_of}
    path = write_run(str(tmp_path / "run"), run)
    (found,) = findings.examined(path, run)
    assert [group.rows for group in found["groups"]] == [2, 2]
    first, second = found["groups"]
    assert [(row, place) for row, place, _ in first.shown] == [
        (0, "tickets: part-0.jsonl, line 1"),
        (2, "tickets: part-0.jsonl, line 3"),
    ]
    assert second.shown[0][1] == "not in prepared/ (any more)"
    page = Page(report.render(path, flow.STAGES))
    assert (
        "2 rows that ask the same and are answered otherwise: row 0, tickets: part-0.jsonl, line 1 [user]"
        in page.text
    )


def test_rows_of_a_list_of_findings_are_shown(tmp_path: Path) -> None:
    run = prepared_run()
    run["examine"] = {"label_noise": {"rows": 9, "suspects": 5, "sources": [{"source": "tickets"}]}}
    path = write_run(str(tmp_path / "run"), run)
    ids = pa.array([4, 0, 2, 6, 8], pa.uint64())
    storage.write_table(storage.join(path, "findings/label_noise.parquet"), pa.table({"row_id": ids}))
    (found,) = findings.examined(path, run)
    (group,) = found["groups"]
    assert (group.rows, [row for row, _, _ in group.shown]) == (5, [4, 0, 2])
    assert group.words == "have a label that rows like them have not"


def test_exact_pairs_are_few_and_shown_once(tmp_path: Path) -> None:
    page = shown(tmp_path, prepared_run())
    assert page.text.count("the same to the character, so shown once") <= findings.EXACT
    assert "4,366 more are not shown here: headrace duplicates RUN --pairs N." in page.text


def test_hostile_texts_of_the_optional_parts_stay_text(tmp_path: Path) -> None:
    run = whole_run()
    run["diagnosis"] = {"code": HOSTILE, "words": HOSTILE, "evidence": [HOSTILE, f"`{HOSTILE}`"]}
    run["gates"] = {HOSTILE: {"passed": False, "words": HOSTILE, "rows": [HOSTILE]}}
    run["verdict"] = {
        "decision": "mend",
        "words": HOSTILE,
        "reasons": [{"for": "mend", "code": HOSTILE, "words": f"`{HOSTILE}`"}],
    }
    run["evaluate"]["loss"]["arms"][HOSTILE] = SHOTS
    run["review"]["words"] = HOSTILE
    run["stale"] = {}
    path = write_run(str(tmp_path / "run"), run)
    unmeasured = {"unmeasured": {HOSTILE: HOSTILE}}
    storage.put(storage.join(path, "evaluation/scores.json"), json.dumps(unmeasured).encode())
    text = report.render(path, flow.STAGES)
    page = Page(text)
    assert not {"script", "img"} & {t for t, _ in page.tags}
    assert "<script" not in text.lower()
    assert page.text.count(HOSTILE) > 8
    assert page.faults == []
