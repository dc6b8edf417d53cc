"""report.md: what it says, and that no text of a run becomes markup, a mention or a link on GitHub."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.cluster import storage
from headrace.pipelines import flow
from headrace.pipelines.report import markdown
from headrace.pipelines.report import page as report
from tests.pipelines.report.runs import HOSTILE, books, prepared_run, score, trained_run, write_run

NASTY = "x | y\n# h @octocat #17 [a](http://evil.example) `c` <img src=x> *b* _i_ ~~s~~ www.evil.example"
RANG = {
    "passed": True,
    "state": "warn",
    "value": 0.5,
    "interval": [0.4, 0.6],
    "threshold": 0.02,
    "words": f"half do not end. {NASTY}",
    "rows": [1],
}


def written(folder: Path, run: dict[str, Any]) -> str:
    path = write_run(str(folder / "run"), run)
    report.build(path, flow.STAGES)
    return storage.read_bytes(storage.join(path, "report.md")).decode()


def test_a_pull_request_reads_decision_metrics_gates_and_books(tmp_path: Path) -> None:
    reasons = [{"for": "ship", "code": "evaluate", "words": "loss went from 3.912 to 0.944: better"}]
    decided = {"decision": "mend", "words": "Mend it first", "reasons": reasons}
    run = {**prepared_run(), **trained_run(), "verdict": decided, "gates": {"endless": RANG}}
    run["diagnosis"] = {"code": "endless", "words": "The end token was lost", "evidence": []}
    text = written(tmp_path, run)
    assert text.startswith(
        "## Mend it first\n\nLoss went from 3.912 to 0.944 nats a token on 200 held-out samples (better), "
        "but 1 of 1 gates (checks for damage) rings: endless.\n\n- Loss went from 3.912 to 0.944: better.\n"
    )
    assert "**Diagnosis:** The end token was lost" in text
    assert (
        "\n| loss (decides), nats a token, less is better | 3.912 | 0.944 | −2.968 | −3.100 to −2.850 |"
        " better |\n" in text
    )
    assert "0 passed, 1 warned, 0 failed, 0 not held." in text
    assert "- **`endless` warns**: half do not end." in text
    assert "48,210 came in: 41,004 kept, 6,914 dropped, 292 quarantined. The books balance." in text
    assert "| `dedup.exact` | 2,960 | a copy of a row that is kept |" in text
    assert "5d1c7a0be63f4f0f9a4bd0c1c0ffee42" in text


def test_every_table_has_as_many_cells_in_each_row(tmp_path: Path) -> None:
    run = {**prepared_run(), **trained_run(), "gates": {"endless": RANG}}
    run["rows"]["dropped"][NASTY] = 7
    run["sources"][NASTY] = books(10, {NASTY: 10}, {})
    told = run["evaluate"]["loss"]
    told |= {
        "few_shot": 2.5,
        "arms": {"shots_4_alike": {"value": 2.5, "interval": [-2, -1], "verdict": "better", "n": 200}},
    }
    run["evaluate"]["my|metric"] = score(1, 2, [0.5, 1.5])
    text = written(tmp_path, run)
    blocks = re.findall(r"(?:^\|.*\|$\n)+", text, re.MULTILINE)
    assert len(blocks) == 4
    for block in blocks:
        cells = {len(re.findall(r"(?<!\\)\|", line)) for line in block.splitlines()}
        assert len(cells) == 1, block
    assert "The base with 4 examples like the question" in text


def test_no_text_of_a_run_is_markup(tmp_path: Path) -> None:
    run = {**prepared_run(), **trained_run(), "gates": {"endless": RANG, NASTY: {**RANG, "state": "fail"}}}
    run["rows"]["dropped"][HOSTILE] = 7
    run["rows"]["in"] += 7
    run["ended"] = {"command": "run", "code": 3, "gate": NASTY, "words": NASTY}
    run["verdict"] = {
        "decision": "mend",
        "words": NASTY,
        "reasons": [{"for": "mend", "code": NASTY, "words": NASTY}],
    }
    text = written(tmp_path, run)
    bare = re.sub(r"`[^`\n]*`", "", text.replace("\\`", ""))  # what does not stand as code
    for mark in ("<img", "<script", "@octocat", " #17", "http://", "www.evil", "~~s"):
        assert mark not in bare, mark
    assert not re.search(r"(?<!\\)\]\(", bare)
    assert "\\[a\\](http&#58;//evil.example)" in text


@given(st.text(max_size=60))
def test_an_escaped_text_is_one_line_without_marks(text: str) -> None:
    shown = markdown.escaped(text)
    assert "\n" not in shown
    assert not re.search(r"(?<!\\)(?:\\\\)*[|`*_\[\]~]", shown)
    assert not set("<>@") & set(shown)
    code = markdown.code(text)
    assert code == "" or (code.count("`") == 2 and "\n" not in code)


@pytest.mark.parametrize(
    "more", [{}, {"rows": None}, {"ended": {"command": "train", "code": 1, "gate": None, "words": "x"}}]
)
def test_it_is_written_of_whatever_there_is(tmp_path: Path, more: dict[str, Any]) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "run.json").write_text(json.dumps(more))
    report.build(str(tmp_path / "run"), flow.STAGES)
    text = (tmp_path / "run" / "report.md").read_text()
    assert text.startswith("## No model yet\n" if "ended" not in more else "## Stopped before it was done\n")
    assert "### Not known" in text


def test_it_stays_below_what_a_comment_may_have(tmp_path: Path) -> None:
    run = {**prepared_run(), **trained_run()}
    run["gates"] = {f"gate_{n}": {**RANG, "words": "w " * 5000} for n in range(900)}
    text = written(tmp_path, run)
    assert len(text) <= markdown.LONGEST < 65_536
    assert text.endswith("The rest is in report.html.\n")
