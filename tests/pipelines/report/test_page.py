"""The report of a made-up run directory: what it says, that it loads nothing and that text stays text."""

import html.parser
import json
import math
import random
import re
import tempfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from headrace.cluster import storage
from headrace.cluster.errors import OutputError
from headrace.pipelines import flow
from headrace.pipelines.evaluate.config import METRICS, VERDICTS
from headrace.pipelines.report import comparison, records
from headrace.pipelines.report import page as report
from tests.builders import table
from tests.pipelines.report.lists import write_pairs

HOSTILE = "<script>alert('x')</script><img src=http://evil.example/x onerror=alert(1)>&amp;\"'"
EDGES = [0, *(2**k for k in range(27))]
LOG = "At 09:14 the sync job stopped, and every night since then it has stopped at the same step. " * 6
TICKETS = [
    (
        "The invoice <INVOICE> arrived twice this month.\nPlease cancel one and write to <EMAIL_ADDRESS>.",
        "category: billing\npriority: high",
    ),
    (
        "The invoice <INVOICE> arrived three times this month.\nPlease cancel two, write to <EMAIL_ADDRESS>.",
        "category: billing\npriority: high",
    ),
    (f"Sync fails on the tablet. {LOG}Since the update, nothing helps.", "category: sync\npriority: low"),
    (f"Sync fails on the phone. {LOG}Since the last update, nothing helps!", "category: sync\npriority: low"),
    ("التطبيق لا يفتح منذ الأمس", "category: crash\npriority: high"),
    ("  التطبيق لا يفتح منذ الأمس", "category: crash\npriority: high"),
    ("アプリが昨日から開きません。再起動もだめです。", "category: crash\npriority: high"),
    ("アプリが今日から開きません。再起動でもだめです。", "category: crash\npriority: high"),
    (HOSTILE, "category: other"),
    (HOSTILE + " again", "category: other"),
]


def books(came: int, dropped: dict[str, int], quarantined: dict[str, int]) -> dict[str, Any]:
    kept = came - sum(dropped.values()) - sum(quarantined.values())
    return {"in": came, "kept": kept, "dropped": dropped, "quarantined": quarantined}


def bell(centre: int, rows: int) -> list[int]:
    return [
        int(rows * 2 ** -abs(k - centre) / 3) if abs(k - centre) < 6 else 0 for k in range(len(EDGES) - 1)
    ]


def prepared_run() -> dict[str, Any]:
    """run.json as passes 1 to 3 leave it."""
    first = books(
        48210,
        {"clean.empty": 412, "quality.too_short": 1630, "quality.repetition": 288, "quality.too_long": 61},
        {"read.malformed_json": 201, "read.wrong_type": 60, "read.undecodable": 31},
    )
    last = books(
        first["kept"],
        {"dedup.exact": 2960, "dedup.near": 1412, "split.bridge": 3, "tokenise.no_target": 148},
        {},
    )
    whole = books(48210, {**first["dropped"], **last["dropped"]}, first["quarantined"])
    points = ((0.7, 2300), (0.75, 1412), (0.8, 1320), (0.85, 1190), (0.9, 700), (0.95, 420))
    tickets = {"quality.too_short": 1200, "dedup.exact": 2900, "dedup.near": 1100}
    chats = {"clean.empty": 412, "dedup.exact": 60, "dedup.near": 312}
    return {
        "rows": whole,
        "packed": {
            "train": {"rows": 5120, "samples": 36100, "tokens": 2603008, "fill": 0.993},
            "validation": {"rows": 301, "samples": 2200, "tokens": 151700, "fill": 0.984},
            "test": {"rows": 298, "samples": 2104, "tokens": 150200, "fill": 0.9844},
        },
        "stages": {
            "read": {"seconds": 1.9, "rows": 48210, "bytes": 31_200_000},
            "clean": {"seconds": 0.8, "rows": 47918, "bytes": 31_100_000},
            "quality": {"seconds": 0.6, "rows": 47506, "bytes": 31_000_000},
            "pii": {"seconds": 6.1, "rows": 45527, "bytes": 30_800_000},
            "fingerprint": {"seconds": 0.3, "rows": 45527, "bytes": 30_700_000},
            "dedup": {"seconds": 0.9, "rows": 45527, "bytes": 30_700_000},
            "tokenise": {"seconds": 1.4, "rows": 41152, "bytes": 27_000_000},
            "pack": {"seconds": 0.2, "rows": 40404, "bytes": 0},
        },
        "digest": "5d1c7a0be63f4f0f9a4bd0c1c0ffee42",
        "versions": {"python": "3.11.7", "headrace": "0.1.0", "ray": "2.60.0", "torch": "2.13.0"},
        "sources": {
            "tickets": books(30000, tickets, {"read.malformed_json": 201}),
            "chats": books(18210, chats, {"read.wrong_type": 60}),
        },
        "passes": {"prepare": first, "pack": last},
        "histograms": {
            "characters.in": {"edges": EDGES, "counts": bell(9, 48000)},
            "characters.kept": {"edges": EDGES, "counts": bell(9, 41000)},
            "tokens": {"edges": EDGES, "counts": bell(7, 40000)},
        },
        "pii": {"EMAIL_ADDRESS": 2210, "PHONE_NUMBER": 904, "IBAN_CODE": 55, "CREDIT_CARD": 12},
        "duplicates": {
            "exact": 2960,
            "near": 1412,
            "borderline": 307,
            "by_source": {"tickets": {"rows": 1000, "removed": 620}, "forms": {"rows": 9, "removed": 1}},
            "clusters": [{"rows": n, "kept": kept} for n, kept in ((804, 2), (97, (1 << 32) | 5), (31, 77))],
            "thresholds": [{"threshold": t, "rows": r} for t, r in points],
        },
        "splits": {
            "train": {"rows": 36300, "records": 37000},
            "validation": {"rows": 2240, "records": 2300},
            "test": {"rows": 2146, "records": 2200},
            "assignment": {"clusters": 33000},
        },
        "bytes_lost": 12288,
        "shortened": 37,
        "memory": {"driver": 412_000_000, "worker": 655_000_000},
        "tokenizer": {"engine": ["gigatoken"]},
        "fragments": 42,
    }


def trained_run() -> dict[str, Any]:
    """What training and evaluation add to run.json."""
    dice = random.Random(3)
    measured = {
        "loss": (3.912, 0.944, [-3.1, -2.85]),
        "perplexity": (50.0, 2.57, [-55.0, -41.0]),
        "token_accuracy": (0.21, 0.84, [0.6, 0.66]),
        "exact_match": (0.0, 0.613, [0.571, 0.655]),
        "rouge1": (0.12, 0.83, [0.69, 0.75]),
        "rougeL": (0.112, 0.831, [0.69, 0.75]),
        "bleu": (2.14, 61.7, [55.2, 63.9]),
    }
    train = history(
        [3.6 * 0.985**k + 0.7 + 0.1 * dice.random() for k in range(240)],
        {step: 3.4 * 0.985**step + 0.85 for step in range(40, 241, 40)},
    )
    scores = {name: score(*values, primary=name == "loss") for name, values in measured.items()}
    return {"train": train, "evaluate": scores}


def history(loss: list[float], validation: dict[int, float]) -> dict[str, Any]:
    """`train` of run.json: loss by step, and validation loss at some steps."""
    best = min(validation, key=lambda step: validation[step]) if validation else len(loss)
    return {
        "steps": len(loss),
        "epochs": 3,
        "loss": loss,
        "learning_rate": [2e-4 * min(1, k / 20) for k in range(len(loss))],
        "validation": list(validation.values()),
        "validation_steps": list(validation),
        "best_step": best,
        "best_validation": validation.get(best),
        "tokens": 91_000,
        "seconds": 81.5,
        "tokens_per_second": 1116.6,
    }


def score(
    base: float | None,
    tuned: float | None,
    interval: list[float | None],
    verdict: str = "better",
    primary: bool = False,
) -> dict[str, Any]:
    """A metric as `evaluate` of run.json holds it."""
    told = {"verdict": verdict, "n": 200, "p": 0.0005, "primary": primary}
    return {"base": base, "tuned": tuned, "interval": interval, **told}


def write_run(path: str, run: dict[str, Any], *, rows: bool = True) -> str:
    """A run directory at `path` (local or s3://) with everything that the report can read."""
    storage.put(storage.join(path, "run.json"), json.dumps(run).encode())
    storage.put(
        storage.join(path, "recipe.yaml"),
        b"output: out\nsources:\n- name: tickets\ndedup:\n  threshold: 0.75\n  alarm: 0.5\n",
    )
    if rows:
        write_rows(path)
    if "evaluate" in run:
        samples = [
            {
                "prompt": TICKETS[k][0],
                "reference": TICKETS[k][1],
                "base": "The the the",
                "tuned": TICKETS[k][1] + HOSTILE * (k == 4),
            }
            for k in range(0, 10, 2)
        ]
        storage.put(
            storage.join(path, "evaluation", "samples.json"), json.dumps({"samples": samples}).encode()
        )
    return path


def write_rows(path: str) -> None:
    """Two fragments of `prepared/` with the tickets, and the lists of `duplicates/`."""
    for ordinal in (0, 1):
        numbers = list(range(ordinal, len(TICKETS), 2))
        rows = table(
            *[[("user", TICKETS[k][0]), ("assistant", TICKETS[k][1])] for k in numbers],
            row_id=[(ordinal << 32) | k for k in numbers],
            source="tickets",
            file=f"part-{ordinal}.jsonl",
            place=[f"line {k + 1}" for k in numbers],
        ).drop_columns(["drop", "error", "detail", "bytes_lost"])
        storage.write_table(storage.join(path, f"prepared/part-{ordinal:08d}.parquet"), rows)
    removed = [((1 << 32) | k + 1, k, 3 * k, 0.76 + 0.02 * k, "near") for k in (0, 2, 6, 8)]
    removed.append(((1 << 32) | 5, 4, 0, 1.0, "exact"))
    removed.append((99 << 32, 2, 1, 0.9, "near"))  # its fragment is gone
    write_pairs(path, "removed", removed)
    write_pairs(path, "borderline", [((1 << 32) | 3, 0, 20, 0.71, "near")])


PARTS = tuple({**prepared_run(), **trained_run()})


class Page(html.parser.HTMLParser):
    """A page taken apart: tags with attributes, visible text, and whether tags nest properly."""

    INLINE = ("b", "code", "del", "ins", "strong")
    VOID = ("meta", "br", "img", "link", "input", "hr")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.faults: list[str] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self.words.append("" if tag in self.INLINE else " ")
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.faults.append(f"</{tag}> at {self.getpos()}")

    def handle_data(self, data: str) -> None:
        if "style" not in self.open[-1:]:
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join("".join(self.words).split())


@pytest.fixture
def full(tmp_path: Path) -> Page:
    path = write_run(str(tmp_path / "run"), {**prepared_run(), **trained_run()})
    return Page(Path(report.build(path, flow.STAGES)).read_text(encoding="utf-8"))


def test_verdict_comes_first_in_plain_words(full: Page) -> None:
    lead = (
        "48,210 records went in, 41,004 came out, and the tuned model is better than its base. "
        "85.1% of the records were kept. 6,914 were dropped, for 8 named reasons, and 292 could not be used "
        "and were quarantined (12.3 kB of damaged files with them). "
        "The books balance: every record is kept, dropped or quarantined. "
        "What was kept fills 5,719 sequences with 2,904,908 tokens; 99.2% of their room is used."
    )
    assert full.text.index(lead) < 80
    assert "37 of the rows that were kept are not there whole:" in full.text
    assert (
        "Yes. Loss decides: over 200 held-out samples it went from 3.912 to 0.944 "
        "(change −2.97, 95% interval −3.1 to −2.85). "
        "Beside it, and changing nothing: of 6 other metrics it is better on 6, worse on 0."
    ) in full.text


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


def test_every_section_is_there(full: Page) -> None:
    ids = [a["id"] for t, a in full.tags if t == "section"]
    assert ids == [
        "rows", "lengths", "duplicates", "pii", "splits", "training", "evaluation", "speed", "origin",
    ]  # fmt: skip
    links = [a["href"] for t, a in full.tags if t == "a"]
    assert links == [f"#{i}" for i in ids]


def test_numbers_of_each_part_are_told(full: Page) -> None:
    for words in (
        "quality.too_short length, repetition, characters 1,630 3.4% quality.repetition 288",
        "read.malformed_json quarantined whether it can be read 201 0.4%",
        "tickets 30,000 24,599 5,200 201 82% dedup.exact 2,900, quality.too_short 1,200",
        "prepare 48,210 45,527 2,391 292 balanced",
        "2,960 rows are exact copies of another row and 1,412 nearly so (similarity at least 0.75,",
        "307 pairs came close and were kept",
        "EMAIL_ADDRESS 2,210",
        "No named-entity model is used, so names of people, places and organisations are found only where",
        "train 36,300 37,000 89.2%",
        "validation 301 2,200 151,700 98.4%",
        "240 steps.",
        "pii 45,527 30.8 MB 6.10 5.0",
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
        assert (attributes.get("href") or "#").startswith("#"), tag
        assert "//" not in (attributes.get("style") or "")
    policy = [a["content"] for t, a in full.tags if a.get("http-equiv") == "Content-Security-Policy"]
    assert policy == ["default-src 'none'; style-src 'unsafe-inline'"]
    ids = [a["id"] for _, a in full.tags if a.get("id")]
    assert len(ids) == len(set(ids))


def test_plots_have_a_name_and_tables_have_headed_columns(full: Page) -> None:
    drawings = [a for t, a in full.tags if t == "svg"]
    assert len(drawings) == 6
    assert all(a["role"] == "img" and a["aria-label"] for a in drawings)
    assert all(a.get("scope") or a.get("aria-hidden") for t, a in full.tags if t == "th")


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
    assert text.count("quality.$x_1$ \ufffd \ufffd 中") == 2


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
        assert "passages" in [a["id"] for t, a in page.tags if t == "section"]


def test_after_prepare_alone_the_page_says_so(tmp_path: Path) -> None:
    page = Page(
        Path(report.build(write_run(str(tmp_path / "run"), prepared_run()), flow.STAGES)).read_text("utf-8")
    )
    assert "No model has been trained yet: this report covers the preparation of the data alone." in page.text
    assert "Nothing has been trained yet." in page.text
    assert "There is no tuned model yet." in page.text
    assert page.faults == []


def test_trained_but_not_evaluated(tmp_path: Path) -> None:
    run = {**prepared_run(), "train": trained_run()["train"]}
    page = Page(Path(report.build(write_run(str(tmp_path / "run"), run), flow.STAGES)).read_text("utf-8"))
    assert "Not measured yet: the model is trained but not evaluated." in page.text


@given(st.fixed_dictionaries({name: st.sampled_from(("there", "empty", "gone")) for name in PARTS}))
@settings(max_examples=20)
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
    page = Page(Path(report.build(write_run(str(tmp_path / "run"), run), flow.STAGES)).read_text("utf-8"))
    assert "The books do not balance: 5 records are not accounted for. Do not use this output." in page.text
    assert "not balanced: 5 missing" in page.text


def test_no_run_is_the_users_error(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"run\.json is not there or holds no run; run `headrace prepare`"):
        report.build(str(tmp_path), flow.STAGES)


def test_same_run_same_bytes(tmp_path: Path) -> None:
    run = {**prepared_run(), **trained_run()}
    one, two = (
        Path(report.build(write_run(str(tmp_path / d / "run"), run), flow.STAGES)).read_bytes() for d in "ab"
    )
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
    assert page.text.startswith("one: headrace report")
    assert "tickets: part-1.jsonl, line 2" in page.text


@pytest.mark.parametrize("word", VERDICTS)
def test_the_verdict_is_that_of_the_metric_that_decides(word: str, tmp_path: Path) -> None:
    others = {"bleu": score(1.0, 2.0, [0, 1]), "rouge1": score(2.0, 1.0, [-1, 0], "worse")}
    told = {"loss": score(2.0, 1.0, [-1, 1], word, primary=True), **others}
    found = comparison.metrics(told)
    assert found is not None
    assert found["verdict"] == word
    assert found["counts"] == {"better": 1, "worse": 1, "no clear difference": 0, "too few samples": 0}
    assert [one.metric for one in found["shown"]] == ["bleu", "rouge1", "loss"]
    assert [one.lower_is_better for one in found["shown"]] == [False, False, True]
    run = {**prepared_run(), "evaluate": told}
    page = Page(Path(report.build(write_run(str(tmp_path / "run"), run), flow.STAGES)).read_text("utf-8"))
    said = {
        "better": ("is better than its base.", "Yes."),
        "worse": ("is worse than its base.", "No, it is worse."),
        "no clear difference": ("not measurably different from its base.", "It cannot be told apart."),
        "too few samples": (
            "too few samples are held out",
            "Not known: 200 held-out samples can show nothing",
        ),
    }[word]
    assert all(words in page.text for words in said)
    assert "Beside it, and changing nothing: of 2 other metrics it is better on 1, worse on 1." in page.text


def test_without_the_metric_that_decides_there_is_no_verdict(tmp_path: Path) -> None:
    run = {**prepared_run(), "evaluate": {"loss": score(2.0, 1.0, [-1, -0.5])}}
    page = Page(Path(report.build(write_run(str(tmp_path / "run"), run), flow.STAGES)).read_text("utf-8"))
    assert "Not known: the metric that decides was not measured" in page.text
    assert "Yes." not in page.text


def test_every_metric_has_a_name_on_the_page() -> None:
    assert set(comparison.NAMES) == set(METRICS)


def test_what_is_not_finite_is_left_out(tmp_path: Path) -> None:
    told = {"perplexity": score(None, 3.0, [None, None]), "loss": score(9.0, 1.1, [None, -7.0])}
    found = comparison.metrics(told)
    assert found is not None
    assert [(one.metric, one.interval) for one in found["shown"]] == [("loss", None)]
    assert comparison.metrics({"perplexity": told["perplexity"]}) is None
    run = {**prepared_run(), "train": history([2.0, math.nan, 1.0], {}), "evaluate": told}
    page = Page(Path(report.build(write_run(str(tmp_path / "run"), run), flow.STAGES)).read_text("utf-8"))
    assert "Training loss went from 2 to 1." in page.text
    assert "loss less is better 9 1.1 −7.9 not measured < 0.001 better" in page.text


def test_curves_of_a_training() -> None:
    found = comparison.training(history([3.0, 2.0, 1.5, 1.0], {2: 2.5, 4: 1.5}))
    assert found is not None
    assert (found["steps"], found["first"], found["last"], found["best"]) == (4, 3.0, 1.0, (4, 1.5))
    assert not found["rising"]
    assert found["facts"]["tokens"] == 91_000
    unvalidated = comparison.training(history([3.0, 2.0], {}))
    assert unvalidated is not None
    assert unvalidated["best"] is None
    assert "best_validation" not in unvalidated["facts"]


def test_what_was_wrong_with_a_training_is_told(tmp_path: Path) -> None:
    words = "it learns its rows by heart <b>"
    train = {
        **history([3.0, 2.0, 1.5, 1.0], {1: 2.0, 2: 1.5, 3: 1.6, 4: 1.7}),
        "base": {"validation": 2.25, "general": None},
        "warnings": [{"code": "overfitting", "words": words, "step": 4}],
        "stopped": {"reason": "patience", "words": "2 validations were not better", "step": 4},
    }
    found = comparison.training(train)
    assert found is not None
    assert not found["rising"], "it is said once"
    run = {**prepared_run(), "train": train}
    page = Page(Path(report.build(write_run(str(tmp_path / "run"), run), flow.STAGES)).read_text("utf-8"))
    assert "Step 4 it learns its rows by heart <b>." in page.text
    assert "Stopped: 2 validations were not better" in page.text
    assert "Before training it was 2.25." in page.text


def test_rising_validation_is_told() -> None:
    found = comparison.training(history([3.0, 2.0, 1.5, 1.0], {1: 2.0, 2: 1.5, 3: 1.6, 4: 1.7}))
    assert found is not None
    assert found["rising"]
    assert found["best"] == (2, 1.5)


@pytest.mark.parametrize(
    ("share", "text"), [(0, "0%"), (0.0004, "under 0.1%"), (0.5, "50%"), (0.9999, "over 99.9%"), (1, "100%")]
)
def test_percent_never_rounds_to_all_or_nothing(share: float, text: str) -> None:
    assert report.percent(share) == text


def test_the_page_says_what_every_stage_judges() -> None:
    assert set(records.JUDGED) == set(flow.STAGES)


def luminance(colour: str) -> float:
    """Relative luminance. Source: https://www.w3.org/TR/WCAG21/#dfn-relative-luminance"""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def test_text_stands_out_in_light_and_dark() -> None:
    template = Path(report.__file__).with_name("page.html.j2").read_text(encoding="utf-8")
    themes = re.findall(r":root \{(.*?)\}", template, re.DOTALL)
    assert len(themes) == 2
    for theme in themes:
        colours = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", theme))
        pairs = [
            (t, b) for t in ("ink", "muted", "accent", "good", "warn", "bad") for b in ("paper", "sheet")
        ]
        pairs += [("ink", b) for b in ("ins", "del", "good-back", "bad-back", "same-back")]
        for text, back in pairs:
            dark, light = sorted(luminance(colours[name]) for name in (text, back))
            assert (light + 0.05) / (dark + 0.05) >= 4.2 + 0.3 * (back == "paper"), (text, back)
