"""The sample is the same bytes for a seed, holds the faults it promises, and invents its personal data."""

import csv
import json
import random
import re
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from headrace.pipelines.commands.demo import phrases, sample

TICKETS = 400


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sample")
    sample.write(str(path), seed=5, tickets=TICKETS)
    return path


def files(directory: Path) -> dict[str, bytes]:
    return {str(p.relative_to(directory)): p.read_bytes() for p in directory.rglob("*") if p.is_file()}


def chat_lines(directory: Path) -> list[bytes]:
    return [line for p in sorted(directory.glob("chat/*.jsonl")) for line in p.read_bytes().splitlines()]


def conversations(directory: Path) -> list[list[dict[str, str]]]:
    """Turns of the chat lines that can be read."""
    found = []
    for line in chat_lines(directory):
        try:
            messages = json.loads(line)["messages"]
        except ValueError:
            continue
        if isinstance(messages, list):
            found.append(messages)
    return found


def pairs(directory: Path) -> list[tuple[str, str]]:
    """Question and answer of every whole record, turns of the question joined by a space."""
    found = []
    for messages in conversations(directory):
        said = [m["content"] for m in messages if m["role"] == "user"]
        found.append((" ".join(said), messages[-1]["content"]))
    for path in sorted(directory.glob("forms/*.csv")):
        rows = list(csv.reader(path.read_text().splitlines(keepends=True)))
        found += [(row[0], row[1]) for row in rows[1:] if len(row) == 2]
    records = json.loads((directory / "archive.json").read_text())
    found += [(r["question"], r["answer"]) for r in records if isinstance(r, dict)]
    return found


def test_bytes_depend_on_the_seed_alone(directory: Path, tmp_path: Path) -> None:
    sample.write(str(tmp_path / "same"), seed=5, tickets=TICKETS)
    sample.write(str(tmp_path / "other"), seed=6, tickets=TICKETS)
    assert files(tmp_path / "same") == files(directory)
    assert files(tmp_path / "other") != files(directory)
    assert files(tmp_path / "other").keys() == files(directory).keys()


def test_answers_follow_from_the_words(directory: Path) -> None:
    """A saying belongs to one problem, a cue to one priority: the task can be learned."""
    said = [saying for problem in phrases.PROBLEMS for saying in problem.sayings]
    cues = [cue for group in phrases.URGENCY.values() for cue in group]
    assert len(set(said)) == len(said)
    assert len(set(cues)) == len(cues)
    right = 0
    for question, answer in pairs(directory):
        (priority,) = [p for p, group in phrases.URGENCY.items() if any(c in question for c in group)] or [""]
        right += f"Priority: {priority}\n" in answer
    assert right > 0.8 * TICKETS * 3 / 4  # contradictions, retyped and broken ones aside


def test_malformed_lines_and_bytes(directory: Path) -> None:
    lines = chat_lines(directory)
    undecodable, malformed, untyped = 0, 0, 0
    for line in lines:
        try:
            record = json.loads(line.decode())
        except UnicodeDecodeError:
            undecodable += 1
        except json.JSONDecodeError:
            malformed += 1
        else:
            untyped += not isinstance(record["messages"], list)
    assert (undecodable, malformed, untyped) == (3, 6, 3)


def test_consecutive_turns_of_one_speaker(directory: Path) -> None:
    roles = Counter(tuple(m["role"] for m in messages) for messages in conversations(directory))
    assert roles["user", "user", "assistant"] > 10
    assert roles["user", "assistant"] > 10


def test_duplicates_contradictions_and_odd_lengths(directory: Path) -> None:
    found = pairs(directory)
    assert max(Counter(found).values()) >= 2
    answers: dict[str, set[str]] = {}
    for question, answer in found:
        if question.strip() and answer:
            answers.setdefault(question, set()).add(answer)
    assert any(len(several) > 1 for several in answers.values())
    assert any(not question.strip() for question, _ in found)
    assert any(not answer for _, answer in found)
    assert max(len(question) for question, _ in found) > 20_000


def test_mojibake_can_be_repaired(directory: Path) -> None:
    broken = [question for question, _ in pairs(directory) if "cafÃ©" in question]
    assert broken
    assert all("â€“" in question for question in broken)
    assert not any("café" in question for question in broken)


def test_turns_are_shuffled_over_the_files(directory: Path) -> None:
    tables = [pq.read_table(path) for path in sorted(directory.glob("turns/*.parquet"))]
    where = [set(table["conversation"].to_pylist()) for table in tables]
    assert where[0] & where[1]
    rows = pa.concat_tables(tables).sort_by([("conversation", "ascending"), ("turn", "ascending")])
    last = {row["conversation"]: row["speaker"] for row in rows.to_pylist()}
    assert set(last.values()) == {"agent"}


def test_personal_data_is_invented_and_passes_its_checks(directory: Path) -> None:
    text = " ".join(question for question, _ in pairs(directory))
    mails = re.findall(r"[\w.]+@([\w.]+\w)", text)
    assert mails
    assert set(mails) <= {"example.com", "example.org", "example.net"}
    phones = re.findall(r"\(\d{3}\) 555-\d{4}", text)
    assert phones
    assert all(" 555-01" in phone for phone in phones)
    draw = random.Random(1)
    for _ in range(50):
        digits = [int(c) for c in sample.card(draw).replace(" ", "")]
        assert len(digits) == 16
        doubled = sum(d if i % 2 else sum(divmod(2 * d, 10)) for i, d in enumerate(digits))
        assert doubled % 10 == 0
        iban = sample.iban(draw).replace(" ", "")
        assert iban[4:8] == "TEST"
        assert int("".join(str(int(c, 36)) for c in iban[4:] + iban[:4])) % 97 == 1


def test_the_base_reads_no_ticket_beside_its_triage() -> None:
    documents = sample.documents(seed=1, count=300)
    assert sample.documents(seed=1, count=300) == documents
    for document in documents:
        assert not ("Category:" in document and len(document.splitlines()) > 3)
    assert any(document.startswith("Category:") for document in documents)
    assert any(document.startswith("<|im_start|>user\n") for document in documents)
