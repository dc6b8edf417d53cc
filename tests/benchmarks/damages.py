"""Real sets, damaged as people's files are: does the advice say so, and does it say nothing of whole ones?

    python -m tests.benchmarks.damages [--rows N] [--only KINDS]

Each kind of damage goes into some rows (`SHARE`) or all of them, of sets that it can be told of. Writes
damages.csv, a line a kind and set: rows, how many were damaged, how many the advice counts, how many of them
it counts in the set as it is (`before`), and whether it says so (`said`: the level, or empty). Lines of the
kind `none` are the sets as they are: `said` lists all damage that the advice raises an alarm for.
"""

import argparse
import base64
import csv
import json
import random
import re
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from headrace.pipelines import flow
from headrace.pipelines.commands.advise import gather
from headrace.pipelines.examine.advice import verdict
from headrace.pipelines.examine.advice.faults import DAMAGE, FORMS
from headrace.pipelines.recipe import validate
from tests.benchmarks.bench_kernels import commit, processor
from tests.benchmarks.gauntlet import sets
from tests.benchmarks.gauntlet.sets import answer, prompt
from tests.benchmarks.real_run import DATA
from tests.benchmarks.shapes import dialogues

HERE = Path(__file__).resolve().parent
COLUMNS = (
    *("date", "commit", "cpu", "kind", "code", "set", "rows", "damaged", "counted", "before", "said"),
    "verdict",
)
Row = list[sets.Turn]
Change = Callable[[random.Random, Row], Row]
SHARE = 0.1
TEXTS, LABELS, BOTH = ("gsm8k", "gpteacher"), ("banking77",), ("gsm8k", "gpteacher", "banking77")
TALKS = ("sgd dialogues", "crosswoz dialogues")
RECORDS, CALLS = ("banking77 as records",), ("banking77 as calls",)
CALL = '{"name": '  # what an answer begins with that is a call
OFF = ("contradictions", "label_noise", "diversity")  # checks that tell no damage
TOOL = {
    "name": "lookup",
    "parameters": {
        "type": "object",
        "properties": {"topic": {"type": "string"}, "words": {"type": "integer"}},
        "required": ["topic"],
    },
}
ERRORS = (
    "Error: Rate limit reached for gpt-4 on tokens per min. Limit: 10000. Please try again in 6ms.",
    "Request timed out.",
    "502 Bad Gateway",
    "An error occurred while processing your request.",
    "openai.error.APIConnectionError: Error communicating with OpenAI",
    "Traceback (most recent call last):\n  File 'a.py', line 1, in <module>\nKeyError: 'choices'",
    '{"error": {"message": "Internal server error", "code": 500}}',
)
NOTHING = ("nan", "NaN", "undefined", "[object Object]", "#N/A", "[deleted]")
BLANK = ("None", "N/A", "null", "TODO")
UNFILLED = (
    "Dear {name},\n{}",
    "Hello {{customer_name}}! {}",
    "{}\n\nBest regards,\n[Your Name]",
    "{} Call [Phone number].",
)
MARKS = (
    "{}<|im_end|>",
    "{}</s>",
    "{}<pad><pad><pad>",
    "[INST] {}",
    "{}<|eot_id|>",
    "{}<end_of_turn>\n<start_of_turn>user",
)
NEXT = (
    "{}\n\nUser: And what about the other one?\nAssistant: The other one is",
    "{}\n\n### Instruction:\nTell me a joke.\n\n### Response:\nWhy did",
    "{}\n\nHuman: Thanks. And then?",
)


IDENTITY = ("I am ChatGPT, a model trained by OpenAI.", "I'm Claude, made by Anthropic.", "My name is Qwen.")
WINDOW = (
    "python\nCopy code\n{}",
    "{}【4†source】",
    "{}\nRegenerate response",
    "{} citeturn0search0turn0search3",
)


class Kind(NamedTuple):
    """A kind of damage: the code that says so, the sets, what becomes of a row, and of how many rows; or what
    becomes of the whole set."""

    code: str
    names: tuple[str, ...]
    change: Change | None = None
    share: float = SHARE
    whole: Callable[[random.Random, list[Row]], list[Row]] | None = None


def as_record(row: Row) -> dict[str, Any]:
    """What is to be extracted of a question of banking77."""
    text = prompt(row)
    own = "card" if "card" in text else None
    return {"intent": answer(row), "words": len(text.split()), "urgent": "!" in text, "product": own}


def record(change: Callable[[dict[str, Any]], Any]) -> Change:
    """Of answers in JSON."""
    return told(lambda _, text: json.dumps(change(json.loads(text))))


def called(row: Row) -> str:
    """A call of `TOOL` as JSON, for a question of banking77."""
    given = {"topic": answer(row), "words": len(prompt(row).split())}
    return json.dumps({"name": "lookup", "arguments": given})


def as_written(row: Row) -> dict[str, Any]:
    """A row as it stands in a file; an answer `CALL` as a call."""
    messages: list[dict[str, Any]] = [{"role": role, "content": text} for role, text in row]
    if not answer(row).startswith(CALL):
        return {"messages": messages}
    messages[-1] = {
        "role": "assistant",
        "content": "",
        "tool_calls": [{"id": "a", "type": "function", "function": json.loads(answer(row))}],
    }
    return {"tools": [{"type": "function", "function": TOOL}], "messages": messages}


def told(change: Callable[[random.Random, str], str]) -> Change:
    """Of answers."""
    return lambda draw, row: [*row[:-1], ("assistant", change(draw, answer(row)))]


def asked(change: Callable[[random.Random, str], str]) -> Change:
    """Of prompts."""
    return lambda draw, row: [*row[:-2], ("user", change(draw, prompt(row))), row[-1]]


def one_of(forms: tuple[str, ...]) -> Change:
    """Answers within one of these forms, at "{}"."""
    return told(lambda draw, text: draw.choice(forms).replace("{}", text, 1))


def lost(draw: random.Random, text: str, sign: str) -> str:
    """A fifth of some letters lost."""
    return "".join(sign if c in "eo'" and draw.random() < 0.2 else c for c in text)


def broken(_: random.Random, text: str) -> str:
    return re.sub(r"([a-z]{3})([a-z]{4})", "\\1-\n\\2", text)


def spelled(draw: random.Random, label: str) -> str:
    words = label.replace("_", " ")
    return draw.choice([label.upper(), words, words.title(), f"{label}."])


def shuffled(draw: random.Random, rows: list[Row]) -> list[Row]:
    answers = draw.sample([answer(row) for row in rows], len(rows))
    return [[*row[:-1], ("assistant", text)] for row, text in zip(rows, answers, strict=True)]


def shifted(draw: random.Random, rows: list[Row]) -> list[Row]:
    rows = draw.sample(rows, len(rows))  # banking77 is in the order of its labels
    return [[*row[:-1], ("assistant", answer(rows[at - 1]))] for at, row in enumerate(rows)]


def exchanged(_: random.Random, rows: list[Row]) -> list[Row]:
    return [[("user", answer(row)), ("assistant", prompt(row))] for row in rows]


def given(_: random.Random, rows: list[Row]) -> list[Row]:
    return [
        [("user", f"id: {at}\n{prompt(row)}\nresult: {answer(row)}"), row[-1]] for at, row in enumerate(rows)
    ]


def same_answer(_: random.Random, row: Row) -> Row:
    return [(role, row[1][1] if role == "assistant" else said) for role, said in row]


def rare(_: random.Random, rows: list[Row]) -> list[Row]:
    """Of every other label two rows."""
    names = sorted({answer(row) for row in rows})
    kept, seen = [], Counter[str]()
    for row in rows:
        seen[answer(row)] += 1
        if names.index(answer(row)) % 2 or seen[answer(row)] <= 2:
            kept.append(row)
    return kept


def backwards(_: random.Random, rows: list[Row]) -> list[Row]:
    return [[(role, said) for (role, _), (_, said) in zip(row, row[::-1], strict=True)] for row in rows]


def first_ones(_: random.Random, rows: list[Row]) -> list[Row]:
    return [[("user", "Answer the question."), row[-1]] for row in rows]


KINDS = {
    "a missing value as the answer": Kind("missing", BOTH, told(lambda draw, _: draw.choice(NOTHING))),
    "a missing value in a field": Kind(
        "missing", BOTH, asked(lambda _, text: f"Context: nan\nQuestion: {text}")
    ),
    "no answer as a word": Kind("blank", TEXTS, told(lambda draw, _: draw.choice(BLANK))),
    "an error message as the answer": Kind("error", BOTH, told(lambda draw, _: draw.choice(ERRORS))),
    "written as JSON twice": Kind("escaped", ("gsm8k",), told(lambda _, text: json.dumps(text)[1:-1])),
    "a placeholder left": Kind("placeholder", TEXTS, one_of(UNFILLED)),
    "markers of a template": Kind("markers", BOTH, one_of(MARKS)),
    "signs of a tokenizer": Kind("markers", TEXTS, told(lambda _, text: text.replace(" ", "\u0120"))),
    "letters lost in decoding": Kind(
        "lost_letters", TEXTS, told(lambda draw, text: lost(draw, text, "\ufffd"))
    ),
    "letters lost in encoding": Kind("lost_letters", TEXTS, told(lambda draw, text: lost(draw, text, "?"))),
    "words broken over lines": Kind("broken_words", TEXTS, told(broken)),
    "data in base64": Kind(
        "unbroken", BOTH, asked(lambda draw, text: f"{text} {base64.b64encode(draw.randbytes(300)).decode()}")
    ),
    "an image that is not there": Kind("media", BOTH, asked(lambda _, text: f"<image>\n{text}")),
    "an answer that goes on": Kind("next_turn", TEXTS, one_of(NEXT)),
    "bytes as Python prints them": Kind("printed", BOTH, told(lambda _, text: str(text.encode()))),
    "a list as Python prints it": Kind("printed", ("gsm8k",), told(lambda _, text: str([text]))),
    "labels in several spellings": Kind("spelled", LABELS, told(spelled)),
    "tags of HTML": Kind("tagged", TEXTS, told(lambda _, text: "<p>" + text.replace("\n", "<br>") + "</p>")),
    "answers cut at 200 characters": Kind("cut_off", TEXTS, told(lambda _, text: text[:200]), 1.0),
    "answers cut at 40 words": Kind("cut_off", TEXTS, told(lambda _, text: " ".join(text.split()[:40])), 1.0),
    "prompts cut at 60 characters": Kind("cut_off", BOTH, asked(lambda _, text: text[:60]), 1.0),
    "answers in another order": Kind("unrelated", BOTH, whole=shuffled),
    "answers a row late": Kind("shifted", BOTH, whole=shifted),
    "columns exchanged": Kind("exchanged", BOTH, whole=exchanged),
    "the answer in the prompt": Kind("given", BOTH, whole=given),
    "the last turn first": Kind("backwards", TALKS, whole=backwards),
    "a name of another model": Kind(
        "identity", BOTH, told(lambda draw, text: f"{draw.choice(IDENTITY)} {text}")
    ),
    "what a chat window shows": Kind("pasted", TEXTS, one_of(WINDOW)),
    "one answer to all of a conversation": Kind("repeated_turn", TALKS, same_answer),
    "turns that stand twice": Kind("repeated_turn", TALKS, lambda _, row: [*row[:2], *row]),
    "labels of two rows": Kind("rare_label", LABELS, whole=rare),
    "a key under another name": Kind(
        "formats", RECORDS, record(lambda r: {("Intent" if k == "intent" else k): v for k, v in r.items()})
    ),
    "a key left out": Kind(
        "formats", RECORDS, record(lambda r: {k: v for k, v in r.items() if k != "urgent"})
    ),
    "a number as text": Kind("formats", RECORDS, record(lambda r: {**r, "words": str(r["words"])})),
    "null as text": Kind("formats", RECORDS, record(lambda r: {**r, "product": "null"})),
    "yes and no for true and false": Kind(
        "formats", RECORDS, record(lambda r: {**r, "urgent": "yes" if r["urgent"] else "no"})
    ),
    "a record within another": Kind("formats", RECORDS, record(lambda r: {"result": r})),
    "a function that is not offered": Kind("formats", CALLS, record(lambda c: {**c, "name": "look_up"})),
    "a call without what is required": Kind(
        "formats", CALLS, record(lambda c: {**c, "arguments": {"words": 3}})
    ),
    "a call with one argument more": Kind(
        "formats", CALLS, record(lambda c: {**c, "arguments": {**c["arguments"], "limit": 3}})
    ),
    "a call with another type": Kind(
        "formats", CALLS, record(lambda c: {**c, "arguments": {**c["arguments"], "words": "three"}})
    ),
    "a call with broken arguments": Kind(
        "formats", CALLS, record(lambda c: {**c, "arguments": '{"topic": '})
    ),
    "one answer for most": Kind("one_answer", BOTH, told(lambda *_: "We will call you back."), 0.6),
}


def read(name: str, count: int) -> list[Row]:
    """Rows of a set as they are."""
    if name in RECORDS:
        return [[*row[:-1], ("assistant", json.dumps(as_record(row)))] for row in read("banking77", count)]
    if name in CALLS:
        return [[*row[:-1], ("assistant", called(row))] for row in read("banking77", count)]
    if name not in TALKS:
        return list(sets.read(DATA, name, count))
    talks = dialogues(name.split()[0], count)
    roles = ("user", "assistant")
    return [[(roles[at % 2], said) for at, said in enumerate(talk[: len(talk) // 2 * 2])] for talk in talks]


def damaged(kind: Kind, rows: list[Row]) -> tuple[list[Row], int]:
    """The rows with this damage, and how many have it."""
    draw = random.Random(0)
    if kind.whole is not None:
        made = kind.whole(draw, rows)
        counts = Counter(map(answer, made))
        return made, len(made) if kind.whole is not rare else sum(n for n in counts.values() if n <= 2)
    assert kind.change is not None
    chosen = set(draw.sample(range(len(rows)), round(kind.share * len(rows))))
    made = [kind.change(draw, row) if at in chosen else row for at, row in enumerate(rows)]
    return made, sum(one != row for one, row in zip(made, rows, strict=True))


def looked_at(rows: list[Row]) -> tuple[dict[str, int], dict[str, str], str]:
    """How many rows show each damage, the level at which it is said, and the verdict."""
    with TemporaryDirectory() as folder:
        lines = [json.dumps(as_written(row)) for row in rows]
        Path(folder, "rows.jsonl").write_text("\n".join(lines))
        given = {
            "output": f"{folder}/run",
            "sources": [{"name": "rows", "path": f"{folder}/rows.jsonl"}],
            "examine": {name: {"enabled": False} for name in OFF},
        }
        recipe = validate(given, "recipe")
        facts = gather.gathered(recipe, flow.ROW_STAGES, len(rows)).facts
    advice = verdict.advise(facts, recipe.advise)
    counts = {**(facts.flags or {}), **facts.forms, "formats": facts.checks["formats"]["faults"]}
    codes = {*DAMAGE, *FORMS, "formats", "repeated_turn"}
    levels = {reason.code: reason.level for reason in advice.reasons if reason.code in codes}
    return counts, levels, advice.verdict


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1500)
    parser.add_argument("--only", default="", help="kinds whose name matches this regular expression")
    given = parser.parse_args()
    head = [datetime.now(UTC).date().isoformat(), commit(), processor()]
    lines, whole = [], {}
    for name in (*TALKS, *RECORDS, *CALLS, *sets.SETS):
        rows = read(name, given.rows)
        counts, levels, said = looked_at(rows)
        whole[name] = counts
        alarms = " ".join(sorted(code for code, level in levels.items() if level in ("stop", "mend")))
        lines.append([*head, "none", "", name, len(rows), 0, "", "", alarms, said])
        print(*lines[-1][3:], sep=", ", flush=True)
    for kind, of in KINDS.items():
        for name in of.names if re.search(given.only, kind) else ():
            made, n = damaged(of, read(name, given.rows))
            counts, levels, said = looked_at(made)
            number, before = counts.get(of.code, 0), whole[name].get(of.code, 0)
            lines.append(
                [*head, kind, of.code, name, len(made), n, number, before, levels.get(of.code, ""), said]
            )
            print(*lines[-1][3:], sep=", ", flush=True)
    if not given.only:
        with (HERE / "damages.csv").open("w", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows([COLUMNS, *lines])


if __name__ == "__main__":
    main()
