"""Inputs of `real_life.py`: what stands under usual names and is something else, other keys, logs."""

import json
from pathlib import Path
from typing import Any

from tests.benchmarks.real_life_inputs import (
    REFUSED,
    TALKS,
    Expected,
    Input,
    beside,
    lines,
    preferred,
    right,
    rows,
    said,
    table,
    turns,
)


def refused_answer(n: int, asked: str, answer: str) -> dict[str, Any]:
    """OpenAI's: a refusal stands beside a content that is null."""
    return {"messages": [said("user", asked), {**said("assistant", None), "refusal": answer}]}


def tavern(folder: Path) -> None:
    """A chat a file: a line of names, then a line a turn."""
    for n, (asked, answer) in enumerate(TALKS):
        made = [
            {"user_name": "You", "character_name": "Shop"},
            {"name": "You", "is_user": True, "mes": asked},
            {"name": "Shop", "is_user": False, "mes": answer},
        ]
        (folder / f"{n}.jsonl").write_text("".join(json.dumps(r) + "\n" for r in made))


def session(folder: Path) -> None:
    """A coding agent's sessions: a record a turn, with its session and what it answers."""
    made = []
    for n, (asked, answer) in enumerate(TALKS):
        beside = {"sessionId": f"s{n}", "cwd": "/x", "version": "1"}
        first = {"type": "user", "uuid": f"q{n}", "parentUuid": None, "message": said("user", asked)}
        second = {
            "type": "assistant",
            "uuid": f"a{n}",
            "parentUuid": f"q{n}",
            "message": said("assistant", [{"type": "text", "text": answer}], model="m"),
        }
        made += [{**first, **beside}, {**second, **beside}]
    (folder / "session.jsonl").write_text("".join(json.dumps(r) + "\n" for r in made))


def rollout(folder: Path) -> None:
    """A coding agent's events, one session a file."""
    for n, (asked, answer) in enumerate(TALKS[:5]):
        items = [
            {"type": "message", "role": "user", "content": [{"type": "input_text", "text": asked}]},
            {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": answer}]},
        ]
        made = [{"type": "session_meta", "payload": {"id": str(n)}}]
        made += [{"timestamp": "t", "type": "response_item", "payload": item} for item in items]
        (folder / f"{n}.jsonl").write_text("".join(json.dumps(r) + "\n" for r in made))


def notebook(folder: Path) -> None:
    cells = [{"cell_type": "markdown", "metadata": {}, "source": [f"{a}\n", b]} for a, b in TALKS]
    (folder / "a.ipynb").write_text(json.dumps({"cells": cells, "metadata": {}, "nbformat": 4}))


SQL = "-- MySQL dump 10.13\nCREATE TABLE `t` (`q` text, `a` text);\n" + "".join(
    f"INSERT INTO `t` VALUES ('{a}','{b}');\n" for a, b in TALKS
)
NUMBERS = [(("user", a), ("assistant", str(n % 4))) for n, (a, _) in enumerate(TALKS)]

OTHERS = [
    Input("refusals beside null", lines("a.jsonl", refused_answer), right(rows())),
    Input(
        "questions with choices",
        lines("a.jsonl", lambda n, a, b: {"question": a, "choices": [b, "x", "y", "z"], "answer": n % 4}),
        right(NUMBERS),
        told=["'choices': the answers may be the numbers of these"],
    ),
    Input(
        "speakers A and B",
        lines(
            "a.jsonl", lambda n, a, b: {"dialog": [{"speaker": "A", "text": a}, {"speaker": "B", "text": b}]}
        ),
        REFUSED,
        named=["columns.roles", "roles:"],
    ),
    Input(
        "bare texts with acts",
        lines("a.jsonl", lambda n, a, b: {"dialog": [a, b], "act": [1, 2], "emotion": [0, 0]}),
        right(rows()),
    ),
    Input(
        "an SQL dump", beside("dump.sql", SQL.encode()), Expected(1, None, {"text": "INSERT"}), told=["SQL"]
    ),
    Input("a notebook", notebook, REFUSED, named=["cells"]),
    Input(
        "turns as JSON under text",
        lines("a.jsonl", lambda n, a, b: {"text": json.dumps(turns(a, b))}),
        right(rows()),
    ),
    Input(
        "turns as JSON under prompt and completion",
        lines(
            "a.jsonl",
            lambda n, a, b: {
                "prompt": json.dumps([said("user", a)]),
                "completion": json.dumps([said("assistant", b)]),
            },
        ),
        right(rows()),
    ),
    Input(
        "turns as JSON under content, in Parquet",
        table(lambda: {"id": [*range(30)], "content": [json.dumps({"messages": turns(*t)}) for t in TALKS]}),
        right(rows()),
    ),
    Input(
        "contents as mappings",
        lines(
            "a.jsonl",
            lambda n, a, b: {"messages": [said("user", {"text": a}), said("assistant", {"text": b})]},
        ),
        right(rows()),
        named=["a mapping in 'content'"],
    ),
    Input("a chat a file, after a line of names", tavern, REFUSED, named=["is_user", "do not fit"]),
    Input(
        "exchanges with a key a speaker",
        lines("a.jsonl", lambda n, a, b: {"id": n, "conversation": [{"human": a, "assistant": b}]}),
        right(rows()),
        named=["conversation"],
    ),
    Input(
        "query, response, history",
        lines("a.jsonl", lambda n, a, b: {"query": a, "response": b, "history": [["Good day.", "Hello."]]}),
        right(rows(("user", "Good day."), ("assistant", "Hello."))),
    ),
    Input(
        "query, response, rejected_response",
        lines("a.jsonl", lambda n, a, b: {"query": a, "response": b, "rejected_response": "No."}),
        right(rows()),
        told=["'rejected_response'"],
    ),
    Input(
        "segments with labels",
        lines(
            "a.jsonl",
            lambda n, a, b: {"segments": [{"label": False, "text": a}, {"label": True, "text": b}]},
        ),
        REFUSED,
        named=["segments"],
    ),
    Input(
        "two responses and a better one",
        lines(
            "a.jsonl",
            lambda n, a, b: {"prompt": a, "response_0": "No.", "response_1": b, "better_response_id": 1},
        ),
        REFUSED,
        named=["response_0"],
    ),
    Input("sessions of a coding agent", session, right(rows()), named=["sessionId", "group_by"]),
    Input("events of a coding agent", rollout, REFUSED, named=["payload"]),
    Input(
        "inputs and what is ideal",
        lines("a.jsonl", lambda n, a, b: {"input": [said("user", a)], "ideal": b}),
        right(rows()),
    ),
    Input(
        "pairs of turns in one column",
        lines("a.jsonl", lambda n, a, b: {"pair": [turns(a, b), turns(a, "No.")], "winner": 0}),
        REFUSED,
        named=["pair"],
    ),
    Input(
        "a prompt of turns and two texts",
        lines("a.jsonl", lambda n, a, b: {"prompt": [said("user", a)], "chosen": b, "rejected": "No."}),
        right(preferred()),
    ),
]
