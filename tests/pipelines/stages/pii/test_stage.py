"""PII: the findings are Presidio's, the tags and counts are exact, and nothing unmasked goes on."""

import gzip
import json
import logging
import socket
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.pipelines import schema
from headrace.pipelines.stages.pii import search
from headrace.pipelines.stages.pii import stage as pii
from headrace.pipelines.stages.pii.findings import Finding, collected
from headrace.pipelines.stages.pii.masking import replace
from headrace.pipelines.stages.pii.presidio.scanner import scanner
from headrace.pipelines.stages.pii.stage import Config
from tests.builders import MAIL, PHONE, PII_KEY, contents_of, table
from tests.pipelines.identifiers import SAMPLES, fuzz, plain

ADDED = ["pii", "spans", "found", "values"]


def ours(texts: list[str], *, context: bool) -> list[list[Finding]]:
    found: list[list[Finding]] = [[] for _ in texts]
    for row in pii.find(pa.array(texts), Config(context=context, recognizers="presidio")).to_pylist():
        found[row.pop("row")].append(Finding(**row))
    return found


def assert_same(texts: list[str], *, context: bool) -> int:
    """Our findings equal Presidio's; how many there are."""
    due = [plain(text, context=context) for text in texts]
    got = ours(texts, context=context)
    wrong = [at for at in range(len(texts)) if due[at] != got[at]]
    assert not wrong, [(texts[at], due[at], got[at]) for at in wrong[:3]]
    return sum(map(len, due))


@pytest.mark.parametrize("context", [False, True])
def test_findings_equal_presidio_on_made_up_identifiers(context: bool) -> None:
    assert assert_same(fuzz(seed=11, count=600), context=context) > 1000


@given(text=st.text(st.sampled_from("0123456789 -./()+:@x#aAfcom,\t٣é–"), max_size=40))
@settings(max_examples=150, deadline=None)
def test_findings_equal_presidio_on_any_text(text: str) -> None:
    assert_same([text], context=False)


@pytest.mark.data
@pytest.mark.parametrize("context", [False, True])
def test_findings_equal_presidio_on_real_texts(shared_data: Path, context: bool) -> None:
    with gzip.open(shared_data / "instruct/gsm8k/train.jsonl.gz", "rt", encoding="utf-8") as lines:
        texts = [json.loads(line)["answer"] for line in lines][:400]
    for file in sorted((shared_data / "instruct/gpteacher").glob("*.json.gz")):
        rows = json.loads(gzip.decompress(file.read_bytes()))[:400]
        texts += [row["response"] for row in rows]
    for file in sorted((shared_data / "pii/presidio-research").glob("*.json")):
        texts += [row["full_text"] for row in json.loads(file.read_text())[:600]]
    assert len(texts) > 1500
    assert assert_same(texts, context=context) > 500


def test_equal_texts_are_looked_through_once(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [MAIL, None, "nothing", MAIL, "", f"{PHONE} or {MAIL}", "nothing", None, MAIL]
    whole = pa.array(texts, pa.string())
    alone = [pii.find([text], Config()).drop_columns("row").to_pylist() for text in texts]
    found = pii.find(whole, Config()).to_pylist()
    assert [one.pop("row") for one in found] == [row for row, ones in enumerate(alone) for _ in ones]
    assert found == [one for ones in alone for one in ones]
    assert [len(ones) for ones in alone] == [1, 0, 0, 1, 0, 2, 0, 0, 1]
    assert pii.find(["nothing", "nothing", None], Config()).num_rows == 0
    assert pii.find(pa.array([None, None], pa.string()), Config()).num_rows == 0
    asked: list[list[str | None]] = []
    looks = search._found
    monkeypatch.setattr(search, "_found", lambda t, c: asked.append(t.to_pylist()) or looks(t, c))
    pii.find(whole, Config())
    assert asked == [[MAIL, "nothing", "", f"{PHONE} or {MAIL}"]]


def test_what_cannot_be_examined_is_told_of_each_equal_text(monkeypatch: pytest.MonkeyPatch) -> None:
    failed = collected([1], [Finding(0, 1, "PERSON", 1.0, "x")], {0: "ValueError"})
    monkeypatch.setattr(search, "_found", lambda texts, config: failed)
    with pytest.raises(pii.UnexaminedError) as error:
        pii.find(["a", "b", "a", None], Config())
    assert error.value.rows == [0, 2]


def test_find_gives_sorted_character_spans() -> None:
    text = f"naïve 😀 {MAIL}"
    found = pii.find(
        pa.array(["1.2.3.4", None, text, "nothing"], pa.string()), Config(recognizers="presidio")
    )
    assert found.schema == pii.FINDINGS
    rows = found.to_pylist()
    assert [(r["row"], r["entity"], r["score"], r["recognizer"]) for r in rows] == [
        (0, "IP_ADDRESS", 0.6, "IpRecognizer"),
        (2, "EMAIL_ADDRESS", 1.0, "EmailRecognizer"),
        (2, "URL", 0.5, "UrlRecognizer"),
    ]
    assert text[rows[1]["start"] : rows[1]["end"]] == MAIL
    assert pii.find(pa.chunked_array([["1.2.3.4"], ["x"]])).num_rows == 1
    assert pii.find([]).num_rows == 0


def test_context_words_raise_scores_only_when_asked() -> None:
    text = ["my ssn is 078-05-1121"]
    low, high = (
        pii.find(text, Config(context=context, recognizers="presidio")).to_pylist()
        for context in (False, True)
    )
    scores = [{r["score"] for r in rows if r["entity"] == "US_SSN"} for rows in (low, high)]
    assert scores == [{0.5}, {0.85}]


@given(texts=st.lists(st.sampled_from(SAMPLES), max_size=8))
@settings(max_examples=60, deadline=None)
def test_spans_are_valid_and_equal_texts_are_alike(texts: list[str]) -> None:
    doubled = pii.find(texts + texts).to_pylist()
    for row in doubled:
        text = (texts + texts)[row["row"]]
        assert 0 <= row["start"] < row["end"] <= len(text)
    half = [row for row in doubled if row["row"] < len(texts)]
    again = [{**row, "row": row["row"] - len(texts)} for row in doubled if row["row"] >= len(texts)]
    assert half == again
    assert doubled == sorted(doubled, key=lambda r: (r["row"], r["start"], r["end"], r["entity"]))


def test_tags_and_counts_are_exact() -> None:
    came = table(
        [("user", f"I am at {PHONE} or {MAIL}, see http://x.com on 12/01/2020"), ("assistant", f"{MAIL}?")],
        [("user", "nothing here")],
    )
    done = pii.apply(came, Config())
    assert contents_of(done) == [
        [
            "I am at <PHONE_NUMBER_1> or <EMAIL_ADDRESS_1>, see http://x.com on 12/01/2020",
            "<EMAIL_ADDRESS_1>?",
        ],
        ["nothing here"],
    ]
    assert done["pii"].to_pylist() == [[("EMAIL_ADDRESS", 2), ("PHONE_NUMBER", 1)], []]
    assert done.schema.field("pii").type == schema.PII
    assert done.drop_columns([*ADDED, "messages"]).equals(came.drop_columns("messages"))


def test_the_recipe_decides_what_is_replaced() -> None:
    said = f"{MAIL} 12/01/2020 1.2.3.4"

    def masked(**switches: Any) -> str:
        return contents_of(pii.apply(table([("text", said)]), Config(**switches)))[0][0]

    assert masked() == "<EMAIL_ADDRESS_1> 12/01/2020 <IP_ADDRESS_1>"
    assert masked(kinds={"DATE_TIME": "tag"}) == "<EMAIL_ADDRESS_1> <DATE_TIME_1> <IP_ADDRESS_1>"
    assert masked(entities=("IP_ADDRESS",)) == f"{MAIL} 12/01/2020 <IP_ADDRESS_1>"
    assert masked(threshold=0.9) == "<EMAIL_ADDRESS_1> 12/01/2020 1.2.3.4"
    off = pii.apply(table([("text", said)]), Config(enabled=False))
    assert contents_of(off) == [[said]]
    assert off["pii"].to_pylist() == [[]]


def test_every_masked_text_stays_in_its_row_and_column() -> None:
    came = table(*([("user", f"write to {at}@example.com")] for at in range(4)), meta={"from": MAIL})
    done = pii.apply(came, Config())
    assert contents_of(done) == [["write to <EMAIL_ADDRESS_1>"]] * 4
    assert done["meta"].to_pylist() == [[("from", "<EMAIL_ADDRESS_2>")]] * 4


def test_meta_values_are_masked() -> None:
    came = table([("user", "a")], [("user", "b")], meta={"from": MAIL, "ticket": "T"})
    none = table([("user", PHONE)])
    done = pii.apply(pa.concat_tables([none, came]), Config())
    assert done["meta"].to_pylist() == [None, *[[("from", "<EMAIL_ADDRESS_1>"), ("ticket", "T")]] * 2]
    assert done["pii"].to_pylist() == [[("PHONE_NUMBER", 1)], *[[("EMAIL_ADDRESS", 1)]] * 2]


def finding(start: int, end: int, score: float, entity: str = "A") -> Finding:
    return Finding(start, end, entity, score, "r")


@pytest.mark.parametrize(
    ("given", "due"),
    [
        ([finding(0, 4, 0.5, "LOW"), finding(2, 6, 0.9, "HIGH")], [(0, 6, "HIGH")]),
        ([finding(0, 3, 0.5, "SHORT"), finding(1, 6, 0.5, "LONG")], [(0, 6, "LONG")]),
        ([finding(2, 5, 0.5, "LATER"), finding(0, 3, 0.5, "EARLIER")], [(0, 5, "EARLIER")]),
        ([finding(0, 3, 0.5, "B"), finding(0, 3, 0.5, "A")], [(0, 3, "A")]),
        ([finding(0, 3, 0.5), finding(3, 5, 0.5)], [(0, 3, "A"), (3, 5, "A")]),
        ([finding(0, 9, 0.5), finding(1, 2, 0.4), finding(8, 11, 0.4)], [(0, 11, "A")]),
    ],
)
def test_overlaps_become_one_tag_of_the_strongest(
    given: list[Finding], due: list[tuple[int, int, str]]
) -> None:
    assert [(f.start, f.end, f.entity) for f in replace.stretches(given)] == due
    assert [(f.start, f.end, f.entity) for f in replace.stretches(given[::-1])] == due


@given(rows=st.lists(st.lists(st.sampled_from(SAMPLES), min_size=1, max_size=5), min_size=1, max_size=4))
@settings(max_examples=60, deadline=None)
def test_invariants(rows: list[list[str]]) -> None:
    came = table(*[[("text", " ".join(row))] for row in rows])
    done = pii.apply(came, Config(kinds={"DATE_TIME": "tag", "URL": "tag"}))
    assert done.num_rows == came.num_rows
    assert done["error"].null_count == came.num_rows
    for row, counts in zip(contents_of(done), done["pii"].to_pylist(), strict=True):
        tags = [part.split(">")[0] for part in row[0].split("<")[1:]]
        issued = Counter(tag.rpartition("_")[0] for tag in tags)
        assert dict(counts) == dict(issued)
        assert [entity for entity, _ in counts] == sorted(issued)
    left = pii.find(schema.contents(done)[2])
    assert all(score < 0.4 for score in left["score"].to_pylist())


def test_marked_rows_are_not_touched() -> None:
    for mark in ({"drop": "quality.x"}, {"error": "read.x"}):
        came = table([("user", PHONE)], meta={"from": MAIL}, **mark)
        done = pii.apply(came, Config())
        assert done.drop_columns(ADDED).equals(came)
        assert done["pii"].to_pylist() == [None]


@pytest.mark.parametrize("late", [False, True])
def test_a_failure_costs_its_row_and_hides_it(
    late: bool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    recognizers = scanner(True).recognizers
    at = next(i for i, r in enumerate(recognizers) if r.name == "EmailRecognizer")
    real = recognizers[at].validate_result

    def fail(found: str) -> Any:
        if "fatal" in found and late:
            logging.getLogger("presidio-analyzer").warning("Regex pattern '%s' timed out", found)
        elif "fatal" in found:
            raise ValueError(found)
        return real(found)

    monkeypatch.setattr(recognizers[at], "validate_result", fail)
    came = table([("user", "fatal@example.com")], [("user", MAIL)], meta={"k": "v"})
    done = pii.apply(came, Config())
    assert done["error"].to_pylist() == ["pii.error", None]
    assert done["detail"].to_pylist() == ["RanOutOfTimeError" if late else "ValueError", None]
    assert done["messages"][0].as_py() is None
    assert done["meta"].to_pylist() == [None, [("k", "v")]]
    assert done["pii"].to_pylist() == [None, [("EMAIL_ADDRESS", 1)]]
    assert "fatal" not in str(done.to_pylist()) + caplog.text
    with pytest.raises(pii.UnexaminedError, match=r"1 texts could not be examined: rows \[1\]") as caught:
        pii.find(["x", "fatal@example.com"])
    assert caught.value.rows == [1]
    assert "fatal" not in str(caught.value)


def test_nothing_is_logged_and_nothing_is_fetched(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*given: object) -> None:
        raise AssertionError("network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    with caplog.at_level(logging.DEBUG):
        pii.apply(table([("user", f"{MAIL} {PHONE} 4111 1111 1111 1111")]), Config(context=True))
    assert MAIL not in caplog.text
    assert "882" not in caplog.text


def test_versions_name_what_decides() -> None:
    assert {"presidio-analyzer", "phonenumbers", "tldextract", "regex", "spacy"} <= set(pii.versions())


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("ann.lee@example.com.jsonl.gz", "<EMAIL_ADDRESS_1>.jsonl.gz"),
        ("a/ann.lee@example.com.backup.parquet", "a/<EMAIL_ADDRESS_1>.backup.parquet"),
        ("ann.lee@example.co.uk_2024-01.csv", "<EMAIL_ADDRESS_1>_2024-01.csv"),
        ("ann.lee@example.com-export/part-0.json.zst", "<EMAIL_ADDRESS_1>-export/part-0.json.zst"),
        ("ann.lee@example.com.bob@example.org.tsv", "<EMAIL_ADDRESS_1>.<EMAIL_ADDRESS_1>.tsv"),
        ("call (425) 882-8080.jsonl.gz", "call <PHONE_NUMBER_1>.jsonl.gz"),
        ("train/part-00000-of-00010.parquet", "train/part-00000-of-00010.parquet"),
    ],
)
def test_a_value_in_a_files_name_is_masked_whatever_follows_it(name: str, shown: str) -> None:
    row = {
        "row_id": 0,
        "n_records": 1,
        "source": "s",
        "file": name,
        "place": "line 1",
        "error": "read.corrupt",
    }
    masked = pii.apply(schema.from_rows([row]), Config())
    assert masked["file"].to_pylist() == [shown]


def test_both_answers_of_a_pair_say_the_same_stand_ins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADRACE_PII_KEY", PII_KEY)
    turns = [("user", f"I am {MAIL}"), ("assistant", f"Hello {MAIL}"), ("rejected", f"Go, {MAIL} {PHONE}")]
    (said,) = contents_of(pii.apply(table(turns), Config(kind="surrogate")))
    mail = said[0].removeprefix("I am ")
    assert mail != MAIL
    assert said[1] == f"Hello {mail}"
    assert said[2].startswith(f"Go, {mail} ")
    assert PHONE not in said[2]


def test_a_rejected_answer_goes_by_what_is_said_of_assistants() -> None:
    turns = [("user", MAIL), ("assistant", MAIL), ("rejected", MAIL)]
    assert contents_of(pii.apply(table(turns), Config(roles={"assistant": "keep"})))[0][1:] == [MAIL, MAIL]
    named = Config(roles={"assistant": "keep", "rejected": "tag"})
    assert contents_of(pii.apply(table(turns), named))[0][2] != MAIL
