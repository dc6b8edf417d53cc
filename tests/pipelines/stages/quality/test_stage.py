"""Quality: what each rule drops, what it must not drop, and the score's formula."""

import gzip
import json
import re
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.pipelines import schema
from headrace.pipelines.stages.quality import stage as quality
from headrace.pipelines.stages.quality.config import Config
from tests.builders import Turn, table

LOOP = "and then he said that " * 40
PROSE = " ".join(f"Word{at} follows word{at * 7 % 101}, as {at * at} does." for at in range(60))


def judged(*messages: Turn, **switches: Any) -> str | None:
    reason: str | None = quality.apply(table(list(messages)), Config(**switches))["drop"][0].as_py()
    return reason


def score(content: str) -> float:
    done = quality.apply(table([("text", content)]), Config())
    return float(done["quality"][0].as_py()["score"])


BROKEN: list[tuple[str, dict[str, Any], list[Turn]]] = [
    ("too_short", {"shortest": None}, [("text", "a \n")]),
    (
        "too_long",
        {"longest": None},
        [("text", " ".join(f"{at * 7919 % 999_983} sheep" for at in range(90_000)))],
    ),
    ("no_letters", {"letters": False}, [("user", "?!"), ("assistant", "...")]),
    ("symbols", {"symbols": None}, [("text", "x" + "=-~*" * 30)]),
    ("replacements", {"replacements": None}, [("text", PROSE[:300] + "\ufffd" * 30)]),
    ("repetition", {"repetition": None}, [("user", PROSE), ("assistant", LOOP)]),
    (
        "echo",
        {"echo": False},
        [("user", "What is the capital of Peru?"), ("assistant", "what is the capital of Peru? ")],
    ),
    ("empty_answer", {"empty_answer": False}, [("user", "Well?"), ("assistant", " \n")]),
]


@pytest.mark.parametrize(("reason", "off", "messages"), BROKEN)
def test_each_rule_drops_and_can_be_switched_off(
    reason: str, off: dict[str, Any], messages: list[Turn]
) -> None:
    assert judged(*messages) == f"quality.{reason}"
    assert judged(*messages, **off) is None


def test_phrases_are_looked_for_in_answers_only() -> None:
    phrase = {"phrases": ("as an AI language model",)}
    said = "I cannot do that As An ai Language Model."
    assert judged(("user", "q"), ("assistant", said), **phrase) == "quality.phrase"
    assert judged(("user", said), ("assistant", "a"), **phrase) is None
    assert judged(("user", "q"), ("assistant", said)) is None


@pytest.mark.parametrize(
    "messages",
    [
        [("user", "Is water wet?"), ("assistant", "true")],
        [("user", "3 + 4 ="), ("assistant", "7")],
        [("user", "2+2="), ("assistant", "4")],
        [("text", "是。")],
        [("text", "ನಮಸ್ಕಾರ")],
        [("text", "ᚠᚢᚦ")],
        [("text", "⠓⠑⠇⠇⠕")],
        [("user", "smile"), ("assistant", "😀😀😀")],
        [("user", "Draw a line"), ("assistant", "-" * 80)],
        [("user", "Hello"), ("assistant", "Hello")],
        [("user", "Say it twice"), ("assistant", "it it")],
        [("user", LOOP), ("assistant", PROSE * 2)],
        [
            ("user", "a b c d e f g h"),
            ("assistant", "no"),
            ("user", "fine then, go on"),
            ("assistant", "fine then, go on"),
        ],
        [("system", "Correct the spelling of each text."), ("user", PROSE), ("assistant", PROSE)],
        [("system", "Du bist für die Rechtschreibung da."), ("user", PROSE), ("assistant", PROSE)],
    ],
)
def test_what_must_be_kept(messages: list[Turn]) -> None:
    assert judged(*messages) is None


def test_a_system_prompt_that_asks_for_answers_excuses_no_echo() -> None:
    turns = [("user", PROSE), ("assistant", PROSE)]
    assert judged(("system", "You are kind and give correct answers."), *turns) == "quality.echo"


def test_every_rule_is_documented_and_named_once() -> None:
    assert quality.__doc__ is not None
    assert tuple(re.findall(r"^``quality\.(\w+)``  ", quality.__doc__, re.MULTILINE)) == quality.RULES


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("plain words", 1.0),
        ("abc+-*/=<>", 0.6),
        ("x" * 20, 0.2),  # five windows, four of them seen before
        ("".join(chr(0x4E00 + at) for at in range(99)) + "\ufffd", 0.8),
        ("", 0.0),
    ],
)
def test_score_by_hand(content: str, expected: float) -> None:
    assert score(content) == pytest.approx(expected, abs=1e-6)


def test_marked_rows_get_no_score_and_keep_their_mark() -> None:
    done = quality.apply(table([("text", "?")], drop="clean.empty"), Config())
    assert done["drop"].to_pylist() == ["clean.empty"]
    assert done["quality"].to_pylist() == [None]
    assert done.schema.field("quality").type == schema.QUALITY


ROWS = st.lists(
    st.lists(st.tuples(st.sampled_from(schema.ROLES), st.text(max_size=40)), max_size=5),
    min_size=1,
    max_size=6,
)


@given(rows=ROWS)
@settings(max_examples=60, deadline=None)
def test_invariants(rows: list[list[Turn]]) -> None:
    came = table(*rows)
    done = quality.apply(came, Config())
    assert done.num_rows == came.num_rows
    assert done["messages"].equals(came["messages"])
    scores = np.array([row["score"] for row in done["quality"].to_pylist()])
    assert ((scores >= 0) & (scores <= 1)).all()
    alone = [quality.apply(came.slice(at, 1), Config()) for at in range(came.num_rows)]
    assert pa.concat_tables(alone).combine_chunks().equals(done.combine_chunks())


@pytest.mark.data
def test_real_instructions_are_kept(shared_data: Path) -> None:
    rows: list[list[Turn]] = []
    with gzip.open(shared_data / "instruct/gsm8k/train.jsonl.gz", "rt", encoding="utf-8") as lines:
        solved = [json.loads(line) for line in lines]
    rows += [[("user", one["question"]), ("assistant", one["answer"])] for one in solved]
    for file in sorted((shared_data / "instruct/gpteacher").glob("*.json.gz")):
        taught = json.loads(gzip.decompress(file.read_bytes()))
        rows += [
            [("user", one["instruction"] + one["input"]), ("assistant", one["response"])] for one in taught
        ]
    dropped = quality.apply(table(*rows), Config())["drop"]
    assert len(rows) > 20_000
    assert dropped.null_count == len(rows)


@pytest.mark.data
def test_no_language_is_dropped(shared_data: Path) -> None:
    with tarfile.open(shared_data / "web/tatoeba/tatoeba_v1.tar.gz") as archive:
        files = [archive.extractfile(member) for member in archive if member.isfile()]
        texts = [f.read().decode("utf-8", "replace") for f in files if f]
    lines = [line for text in texts for line in text.splitlines()[:50] if len(line.strip()) > 1]
    done = quality.apply(table(*[[("text", line)] for line in lines]), Config())
    assert len(lines) > 5_000
    assert done["drop"].null_count == len(lines)
