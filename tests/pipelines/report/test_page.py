"""The report of a made-up run directory: what it says, that it loads nothing and that text stays text."""

import json
import re
import tempfile
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from headrace.cluster import storage
from headrace.cluster.errors import OutputError
from headrace.pipelines import flow
from headrace.pipelines.report import page as report
from tests.pipelines.report.lists import write_pairs
from tests.pipelines.report.runs import (
    HOSTILE,
    Page,
    books,
    history,
    prepared_run,
    shown,
    trained_run,
    write_run,
)

PARTS = tuple({**prepared_run(), **trained_run()})


@pytest.fixture
def full(tmp_path: Path) -> Page:
    path = write_run(str(tmp_path / "run"), {**prepared_run(), **trained_run()})
    return Page(Path(report.build(path, flow.STAGES)).read_text(encoding="utf-8"))


def test_what_went_in_and_out_is_told_in_plain_words(full: Page) -> None:
    lead = (
        "48,210 records came in and 41,004 (85.1%) were kept; 6,914 were dropped, for 8 named reasons, "
        "and 292 could not be used and were quarantined (12.3 kB of damaged files with them). "
        "The books balance: every record is kept, dropped or quarantined."
    )
    assert lead in full.text
    assert "37 of the rows that were kept are not there whole:" in full.text
    assert (
        "Yes. Loss decides: over 200 held-out samples it went from 3.912 to 0.944 nats a token "
        "(change −2.968, 95% interval −3.100 to −2.850). "
        "Beside it, and changing nothing: of 6 other metrics it is better on 6, worse on 0."
    ) in full.text


def test_the_units_stand_in_one_table(full: Page) -> None:
    table = full.text.partition("What that is ")[2]
    assert re.findall(r"([\d,]+) (records|rows|samples|packed rows|tokens)", table)[:5] == [
        ("41,004", "records"),
        ("40,686", "rows"),
        ("40,404", "samples"),
        ("5,719", "packed rows"),
        ("2,904,908", "tokens"),
    ]


@pytest.mark.parametrize(
    ("ended", "words"),
    [
        ({"command": "train", "code": None}, ("has not ended", "goes on where it was")),
        (
            {"command": "train", "code": 1, "words": "fault: the disk"},
            ("did not end well", "fault: the disk"),
        ),
        ({"command": "train", "code": 0}, ()),
    ],
)
def test_a_run_that_was_killed_is_no_finished_one(
    tmp_path: Path, ended: dict[str, Any], words: tuple[str, ...]
) -> None:
    run = {**prepared_run(), "ended": {"gate": None, "words": "", **ended}}
    page = Path(report.build(write_run(str(tmp_path / "run"), run), flow.STAGES)).read_text("utf-8")
    assert ('id="ended"' in page) == bool(words)
    assert all(word in page for word in words)


SECTIONS = ["decision", "records", "findings", "training", "evaluation", "gates", "cost", "lineage"]


def test_the_eight_sections_are_there_and_the_contents_lead_to_them(full: Page) -> None:
    ids = [a["id"] for t, a in full.tags if t == "section"]
    assert ids == SECTIONS
    links = [a["href"] for t, a in full.tags if t == "a"]
    assert [link for link in links if link in {f"#{i}" for i in ids}][-8:] == [f"#{i}" for i in ids]
    known = {f"#{a['id']}" for _, a in full.tags if a.get("id")}
    assert {link for link in links if (link or "").startswith("#")} <= known
    landmarks = [t for t, _ in full.tags if t in ("header", "nav", "main", "footer")]
    assert landmarks == ["header", "nav", "main", "footer"]
    headings = [int(t[1]) for t, _ in full.tags if re.fullmatch("h[1-6]", t)]
    assert headings.count(1) == 1
    assert all(b <= a + 1 for a, b in pairwise(headings))


def test_numbers_of_each_part_are_told(full: Page) -> None:
    for words in (
        "quality.too_short Fewer visible characters than quality.shortest Lower it 1,630 3.4%",
        "read.malformed_json quarantined A line or file that is no JSON",
        "tickets 30,000 24,599 5,200 201 82% dedup.exact 2,900, quality.too_short 1,200",
        "prepare 48,210 45,527 2,391 292 balanced",
        "2,960 rows are exact copies of another row and 1,412 nearly so (similarity at least 0.75,",
        "307 pairs came close and were kept",
        "EMAIL_ADDRESS 2,210",
        "No named-entity model is used, so names of people, places and organisations are found only where",
        "train 36,300 37,000 89.2%",
        "validation 301 2,200 151,700 98.4%",
        "240 steps.",
        "pii 45,527 30.8 MB 6.10 5.049",
        "5d1c7a0be63f4f0f9a4bd0c1c0ffee42",
        "threshold: 0.75",
    ):
        assert words in full.text, words


def test_page_is_well_formed_and_loads_nothing(full: Page) -> None:
    assert full.faults == []
    assert full.open == []
    names = {t for t, _ in full.tags}
    assert not names & {
        "script",
        "link",
        "img",
        "iframe",
        "object",
        "embed",
        "audio",
        "video",
        "form",
        "base",
    }
    for tag, attributes in full.tags:
        assert not any(
            name.startswith("on") or name in ("src", "srcset", "xlink:href") for name in attributes
        )
        assert re.match("#|https://arxiv", attributes.get("href") or "#"), tag
        assert "//" not in (attributes.get("style") or "")
    policy = [a["content"] for t, a in full.tags if a.get("http-equiv") == "Content-Security-Policy"]
    assert policy == ["default-src 'none'; style-src 'unsafe-inline'"]
    ids = [a["id"] for _, a in full.tags if a.get("id")]
    assert len(ids) == len(set(ids))


def test_plots_have_names_and_tables_have_headed_rows_and_columns(full: Page) -> None:
    drawings = [a for t, a in full.tags if t == "svg"]
    assert len(drawings) == 6
    ids = {a["id"] for _, a in full.tags if a.get("id")}
    assert all(a["role"] == "img" and set((a["aria-labelledby"] or "").split()) <= ids for a in drawings)
    assert all(a.get("scope") for t, a in full.tags if t == "th")
    assert "quality.too_short: 1,630 records" in full.text, "a bar says its count where a mouse rests on it"
    assert "step 40: validation loss" in full.text


def test_hostile_text_stays_text(tmp_path: Path) -> None:
    run = {**prepared_run(), **trained_run()}
    run["rows"]["dropped"][HOSTILE] = 7
    run["sources"][HOSTILE] = books(10, {HOSTILE: 3}, {HOSTILE: 1})
    run["pii"][HOSTILE] = 3
    run["versions"][HOSTILE] = HOSTILE
    run["stages"][HOSTILE] = {"seconds": 1, "rows": 1, "bytes": 1}
    path = write_run(str(tmp_path / HOSTILE.replace("/", "_")), run)
    storage.put(storage.join(path, "recipe.yaml"), f"name: {HOSTILE}</pre>".encode())
    text = Path(report.build(path, flow.STAGES)).read_text(encoding="utf-8")
    page = Page(text)
    assert page.faults == []
    assert "script" not in {t for t, _ in page.tags}
    assert "img" not in {t for t, _ in page.tags}
    assert "<script" not in text.lower()
    assert page.text.count(HOSTILE) > 8


def test_control_characters_and_dollars_are_shown_as_they_are(tmp_path: Path) -> None:
    run = prepared_run()
    run["rows"]["dropped"] = {"quality.$x_1$ \x07 \ud800 中": 12}
    text = Path(report.build(write_run(str(tmp_path / "run"), run), flow.STAGES)).read_text(encoding="utf-8")
    assert text.count("quality.$x_1$ \ufffd \ufffd 中") >= 2


def test_duplicates_are_shown_beside_what_was_kept(full: Page) -> None:
    assert "Near similarity 0.800 distance 6 bits" in full.text
    assert "tickets: part-1.jsonl, line 2" in full.text
    assert "row 425201762304 is not in prepared/ (any more), so its text is not shown" in full.text
    assert "One" in full.text
    assert "The other" in full.text
    marked = [t for t, _ in full.tags if t in ("del", "ins")]
    assert marked.count("del") > 4
    assert marked.count("ins") > 4
    assert "tickets lost 62% of its rows as duplicates" in full.text
    assert "forms lost" not in full.text


def test_rows_of_earlier_runs_are_named_as_such(tmp_path: Path) -> None:
    run = prepared_run()
    run["duplicates"] |= {"sketch": 40, "against": 9000}
    run["duplicates"]["clusters"] = [{"rows": 12, "kept": 2, "run": "s3://bucket/<earlier>"}]
    path = write_run(str(tmp_path / "run"), run)
    pairs = pa.table(
        {
            "removed": pa.array([0], pa.uint64()),
            "kept": pa.array([2], pa.uint64()),
            "distance": pa.array([3], pa.int32()),
            "similarity": [0.84],
            "rule": ["sketch"],
            "run": [str(tmp_path / "prints")],
            "error": [0.023],
        }
    )
    storage.write_table(storage.join(path, "duplicates/removed.parquet"), pairs)
    page = Page(Path(report.build(path, flow.STAGES)).read_text(encoding="utf-8"))
    assert "compared with 9,000 rows of earlier runs as well; 40 more are like one" in page.text
    assert "row 2 of s3://bucket/<earlier>" in page.text
    assert "± 0.023, told by sketches" in page.text
    assert "kept by an earlier run" in page.text


def test_passages_are_shown_as_the_row_that_keeps_them_holds_them(tmp_path: Path) -> None:
    place = {"message": 0, "start": 0, "stop": 9, "rows": 40, "hash": 2**64 - 1}
    kept = [{**place, "kept": 2, "copied": 351}, {**place, "kept": 99 << 32, "copied": 12}]
    told = {"passages": 71, "rows": 1234, "bytes": 5_600_000, "largest": kept}
    for cut, said in (
        ({"rows": 1200, "bytes": 5_500_000}, "5.5 MB were cut from 1,200"),
        ({"rows": 0}, "nothing was"),
    ):
        run = {**prepared_run(), "passages": {**told, "cut": cut}}
        page = Page(Path(report.build(write_run(str(tmp_path / said), run), flow.STAGES)).read_text("utf-8"))
        assert "71 passages stand in as many plain texts as dedup.passages.copies says" in page.text
        assert f"1,234 rows repeat 5.6 MB of what a better row holds; {said}" in page.text
        assert "tickets: part-0.jsonl, line 3 [user] " in page.text
        assert f"row {99 << 32} " in page.text
        assert page.faults == []
        assert "passages" in [a.get("id") for t, a in page.tags if t == "h3"]


def test_after_prepare_alone_the_page_says_so(tmp_path: Path) -> None:
    page = shown(tmp_path, prepared_run())
    assert "No model yet This report covers the preparation of the data alone." in page.text
    assert "No model has been trained: headrace train on the recipe does so." in page.text
    assert "Nothing has been trained yet." in page.text
    assert "There is no tuned model yet." in page.text
    assert page.faults == []


def test_trained_but_not_evaluated(tmp_path: Path) -> None:
    run = {**prepared_run(), "train": trained_run()["train"]}
    page = shown(tmp_path, run)
    assert "Not decided yet A model is trained, and was not held against its base." in page.text
    assert "The tuned model was not held against its base: headrace evaluate" in page.text


@given(st.fixed_dictionaries({name: st.sampled_from(("there", "empty", "gone")) for name in PARTS}))
@settings(max_examples=12)
@example(dict.fromkeys(PARTS, "empty"))
@example(dict.fromkeys(PARTS, "gone"))
def test_any_part_may_be_empty_or_missing(state: dict[str, str]) -> None:
    whole = {**prepared_run(), **trained_run()}
    run = {n: whole[n] if state[n] == "there" else {} for n in PARTS if state[n] != "gone"}
    with tempfile.TemporaryDirectory() as path:
        storage.put(storage.join(path, "run.json"), json.dumps(run).encode())
        page = Page(report.render(path, flow.STAGES))
    assert (page.faults, page.open) == ([], [])


def test_books_that_do_not_balance_are_called_out(tmp_path: Path) -> None:
    run = prepared_run()
    run["rows"]["kept"] -= 5
    run["passes"]["pack"]["kept"] -= 5
    page = shown(tmp_path, run)
    assert "The books do not balance: 5 records are not accounted for. Do not use this output." in page.text
    assert "not balanced: 5 missing" in page.text


def test_no_run_is_the_users_error(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"run\.json is not there or holds no run; run `headrace prepare`"):
        report.build(str(tmp_path), flow.STAGES)


def test_same_run_same_bytes(tmp_path: Path) -> None:
    path = write_run(str(tmp_path / "run"), {**prepared_run(), **trained_run()})
    one, two = (Path(report.build(path, flow.STAGES)).read_bytes() for _ in range(2))
    assert one == two


def test_size_is_bounded_whatever_the_run(tmp_path: Path) -> None:
    run = {**prepared_run(), **trained_run()}
    reasons = {f"quality.rule_{k:05d}": k + 1 for k in range(3000)}
    run["rows"] = books(10**8, reasons, {})
    run["sources"] = {
        f"source-{k:05d}": books(1000, dict(list(reasons.items())[:9]), {}) for k in range(3000)
    }
    run["train"] = history([1.0 / (k + 1) for k in range(50_000)], dict.fromkeys(range(10, 50_001, 10), 1.0))
    run["duplicates"]["clusters"] = [{"rows": k, "kept": k} for k in range(5000)]
    path = write_run(str(tmp_path / "run"), run)
    long = {"prompt": "p" * 10**6, "reference": "r" * 10**6, "base": "b" * 10**6, "tuned": "t" * 10**6}
    samples = {"samples": [long] * 30}
    storage.put(storage.join(path, "evaluation/samples.json"), json.dumps(samples).encode())
    storage.put(storage.join(path, "recipe.yaml"), b"sources: []\n" + b"# x\n" * 10**6)
    write_pairs(path, "removed", [((1 << 32) | 1, 0, 3, 0.8, "near")] * 20_000)
    assert Path(report.build(path, flow.STAGES)).stat().st_size < 1_500_000


@pytest.mark.s3
def test_report_on_object_storage(s3: str) -> None:
    path = write_run(f"{s3}/runs/one", {**prepared_run(), **trained_run()})
    written = report.build(path, flow.STAGES)
    assert written == f"{s3}/runs/one/report.html"
    page = Page(storage.read_bytes(written).decode())
    assert "headrace report: one" in page.text
    assert "tickets: part-1.jsonl, line 2" in page.text


@pytest.mark.parametrize(
    ("share", "text"), [(0, "0%"), (0.0004, "under 0.1%"), (0.5, "50%"), (0.9999, "over 99.9%"), (1, "100%")]
)
def test_percent_never_rounds_to_all_or_nothing(share: float, text: str) -> None:
    assert report.percent(share) == text


def luminance(colour: str) -> float:
    """Relative luminance. Source: https://www.w3.org/TR/WCAG21/#dfn-relative-luminance"""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def test_text_stands_out_in_light_and_dark() -> None:
    style = (report.TEMPLATES / "style.css").read_text(encoding="utf-8")
    themes = re.findall(r":root \{(.*?)\}", style, re.DOTALL)
    assert len(themes) == 2
    for theme in themes:
        colours = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", theme))
        pairs = [
            (t, b) for t in ("ink", "muted", "accent", "good", "warn", "bad") for b in ("paper", "sheet")
        ]
        pairs += [("ink", b) for b in ("ins", "del", "good-back", "bad-back", "same-back")]
        for text, back in pairs:
            dark, light = sorted(luminance(colours[name]) for name in (text, back))
            assert (light + 0.05) / (dark + 0.05) >= 4.5, (text, back)
