"""Real sets in the shapes that people give them: the advice must raise no alarm at a shape.

    python -m tests.benchmarks.shapes [--rows N]

The rows are right; what is new is how they stand there: dialogues turn by turn, as pairs of turns, as windows
or as one text; options in several orders; schemas, examples, passages or a date before each question; an
instruction or a signature behind it; answers as JSON, behind their reasons, as yes or no, or written in
several ways; both orders of a pair; records; Chinese; what to do with a text in a system prompt.

Writes shapes.csv, a line a shape: rows, those that are lost, effective prompts, rows said to contradict,
labels said to be wrong, and `alarms`: codes of reasons for which nothing is tuned before they are mended, but
those of size and of the length of the test. `expected` holds those that are right.
"""

import argparse
import csv
import json
import random
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from headrace.pipelines import flow
from headrace.pipelines.commands.advise import gather
from headrace.pipelines.examine.advice import verdict
from headrace.pipelines.recipe import validate
from tests.benchmarks.bench_kernels import commit, processor
from tests.benchmarks.gauntlet import sets
from tests.benchmarks.preambles import written
from tests.benchmarks.real_run import DATA

HERE = Path(__file__).resolve().parent
COLUMNS = (
    *("date", "commit", "cpu", "shape", "rows", "lost", "effective_prompts", "conflicting", "suspects"),
    *("alarms", "expected"),
)
Row = list[sets.Turn] | dict[str, Any]  # turns, or a record as it is written
LEFT_OUT = {"size", "test"}  # they hang on how many rows are asked for


def asked(prompt: str, answer: str, system: str = "") -> Row:
    """A row of one question."""
    return [*([("system", system)] if system else []), *sets.asked(prompt, answer)]


def dialogues(name: str, count: int) -> list[list[str]]:
    """Dialogues as texts, the first of a user."""
    if name == "crosswoz":
        files = sets.members(DATA / "dialogue/crosswoz/crosswoz_zh_test.json.zip", ".json")
        talks = [
            [turn["content"] for turn in talk["messages"]]
            for _, f in files
            for talk in json.loads(f).values()
        ]
        return talks[:count]
    files = sets.members(DATA / "dialogue/sgd/sgd_dev.tar.gz", "dialogues")
    return [[turn["utterance"] for turn in talk["turns"]] for _, f in files for talk in json.loads(f)][:count]


def by_turn(talk: list[str]) -> Iterator[Row]:
    """The first exchange, the first two, and so on."""
    for end in range(2, len(talk) + 1, 2):
        yield [("assistant" if at % 2 else "user", said) for at, said in enumerate(talk[:end])]


def windows(talk: list[str], speakers: tuple[str, str]) -> Iterator[Row]:
    """The last three turns as one text before each answer; with speakers, all of them."""
    for end in range(1, len(talk), 2):
        first = 0 if speakers[0] else max(0, end - 3)
        said = "\n".join(speakers[at % 2] + talk[at] for at in range(first, end))
        yield asked(f"{said}\n{speakers[1]}".rstrip(), talk[end])


def questions() -> Iterator[tuple[str, list[str], int]]:
    """Questions of MMLU, four options and which is right."""
    for _, content in sets.members(DATA / "eval/mmlu/mmlu.zip", ".csv"):
        for row in csv.reader(content.splitlines()):
            if len(row) == 6 and row[5] in tuple("ABCD") and len(set(row[1:5])) == 4:
                yield row[0], row[1:5], "ABCD".index(row[5])


def shuffled(draw: random.Random, count: int) -> Iterator[Row]:
    """Each question three times, its options in three orders."""
    chosen = draw.sample(list(questions()), count // 3)
    for question, options, right in chosen:
        for _ in range(3):
            order = draw.sample(range(4), 4)
            listed = "\n".join(f"{letter}. {options[at]}" for letter, at in zip("ABCD", order, strict=True))
            yield asked(f"{question}\n{listed}\nAnswer:", "ABCD"[order.index(right)])


def spider() -> Iterator[tuple[str, str, str]]:
    """Questions of Spider: the schema of their database, the question, the query."""
    folder = DATA / "structured/spider"
    schemas = {}
    for base in json.loads(sets.text(folder / "tables.json")):
        columns = list(zip(base["column_names_original"], base["column_types"], strict=True))
        schemas[base["db_id"]] = "\n".join(
            f"CREATE TABLE {table} (\n"
            + ",\n".join(f"  {c[1]} {kind}" for c, kind in columns if c[0] == at)
            + "\n);"
            for at, table in enumerate(base["table_names_original"])
        )
    for one in json.loads(sets.text(folder / "dev.json.gz")):
        yield schemas[one["db_id"]], one["question"], one["query"]


def figures(draw: random.Random, rows: list[Row]) -> Iterator[Row]:
    """Each sum twice, its result written in two ways."""
    for row in rows:
        result = sets.answer(row).rpartition("####")[2].strip()
        ways = [
            result,
            f"${result}",
            f"The answer is {result}.",
            f"{result}.00",
            f"**{result}**",
            f"\\boxed{{{result}}}",
        ]
        yield from (asked(sets.prompt(row), said) for said in draw.sample(ways, 2))


def pairs(draw: random.Random, rows: list[Row], count: int) -> Iterator[Row]:
    """Two messages, in both orders: do they ask the same?"""
    for _ in range(count // 2):
        one, other = draw.sample(rows, 2)
        if draw.random() < 0.5:
            other = draw.choice([row for row in rows if sets.answer(row) == sets.answer(one)])
        label = "same" if sets.answer(one) == sets.answer(other) else "different"
        for a, b in ((one, other), (other, one)):
            yield asked(f"Do these two ask the same?\n1. {sets.prompt(a)}\n2. {sets.prompt(b)}", label)


def records(draw: random.Random, count: int) -> Iterator[Row]:
    """Made records of parcels, a line a field, and how each is sent."""
    for number in range(count):
        express, country, size = (
            draw.choice(["yes", "no"]),
            draw.choice(["DE", "IN", "US"]),
            draw.choice(["S", "L"]),
        )
        sent = "air" if express == "yes" and country != "DE" else "truck" if size == "L" else "parcel"
        fields = {"id": number * 7919, "size": size, "weight": draw.randint(1, 40), "country": country}
        lines = "\n".join(f"{name}: {value}" for name, value in {**fields, "express": express}.items())
        yield asked(f"{lines}\nHow is it sent?", sent)


def translated() -> list[tuple[str, str]]:
    """Sentences of Tatoeba in English and German."""
    found = {
        name[-3:]: text for name, text in sets.members(DATA / "web/tatoeba/tatoeba_v1.tar.gz", "deu-eng")
    }
    return list(zip(found["eng"].splitlines(), found["deu"].splitlines(), strict=True))


def corrected(draw: random.Random, sentences: list[str]) -> Iterator[Row]:
    """Sentences of which six in ten have two words exchanged, and how they are right."""
    for sentence in sentences:
        words = sentence.split()
        if draw.random() < 0.6 and len(words) > 3:
            words[1:3] = words[2], words[1]
        yield asked(" ".join(words), sentence, "Correct the grammar of what the user writes.")


def entities(count: int) -> Iterator[Row]:
    """Posts of WNUT 2017 and the names in them, which most have none of."""
    for block in sets.text(DATA / "pii/wnut17/wnut17train.conll").split("\n\n")[:count]:
        tokens = [line.split("\t") for line in block.splitlines() if "\t" in line]
        names = [word for word, tag in tokens if tag.startswith("B-")]
        if tokens:
            yield asked(
                f"Extract the names as JSON: {' '.join(word for word, _ in tokens)}", json.dumps(names)
            )


def as_json(draw: random.Random, prompt: str, label: str) -> str:
    """A label with two more fields as JSON, its keys in any order, on one line or several."""
    fields = [("intent", label), ("words", len(prompt.split())), ("urgent", "now" in prompt)]
    return json.dumps(dict(draw.sample(fields, 3)), indent=draw.choice([None, 2]))


Shape = Callable[[random.Random, int], Iterator[Row]]


def shapes() -> dict[str, tuple[Shape, str]]:
    """Each shape, and the alarm that is right for it."""
    bank = sets.read(DATA, "banking77", 6000)
    sums = sets.read(DATA, "gsm8k", 3000)
    names = sorted({sets.answer(row) for row in bank})
    passages = [written(150, seed) for seed in range(400)]
    behind = "Classify the message above. Answer with the category alone, in lower case, and nothing else."
    mail = "--\nBest regards,\n{}\nThis e-mail is confidential. If it is not for you, please delete it."
    before = "Today is 2026-{:02d}-{:02d}. You speak with customer no. {}. You are a helpful bank assistant."

    def each(make: Callable[[random.Random, str, str], Row]) -> Shape:
        def of(draw: random.Random, count: int) -> Iterator[Row]:
            for row in draw.sample(bank, min(count, len(bank))):
                yield make(draw, sets.prompt(row), sets.answer(row))

        return of

    def talks(name: str, make: Callable[[list[str]], Iterator[Row]]) -> Shape:
        return lambda draw, count: (row for talk in dialogues(name, count // 7) for row in make(talk))

    def examples(draw: random.Random, prompt: str, label: str) -> Row:
        shown = "\n\n".join(
            f"Request: {sets.prompt(r)}\nLabel: {sets.answer(r)}" for r in draw.sample(bank, 4)
        )
        return asked(f"Classify.\n\n{shown}\n\nRequest: {prompt}\nLabel:", label)

    def about(draw: random.Random, prompt: str, label: str) -> Row:
        named = label if draw.random() < 0.5 else draw.choice(names)
        return asked(f"Is this message about {named}? Message: {prompt}", "Yes" if named == label else "No")

    return {
        "translations, told by the system": (
            lambda draw, count: (
                asked(a, b, "Translate into German.") for a, b in draw.sample(translated(), 1000)
            ),
            "",
        ),
        "corrections, told by the system": (
            lambda draw, count: corrected(draw, [a for a, _ in draw.sample(translated(), 1000)]),
            "",
        ),
        "names, mostly none": (lambda draw, count: entities(count), ""),
        "plain labels": (each(lambda _, p, a: asked(p, a)), ""),
        "dialogues turn by turn": (talks("sgd", by_turn), "begun"),
        "Chinese dialogues turn by turn": (talks("crosswoz", by_turn), "begun"),
        "pairs of turns": (
            talks("sgd", lambda talk: (asked(a, b) for a, b in pairwise(talk))),
            "pieces",
        ),
        "windows of three turns": (talks("sgd", lambda talk: windows(talk, ("", ""))), "pieces"),
        "dialogues as one text": (
            talks("sgd", lambda talk: windows(talk, ("User: ", "Assistant: "))),
            "pieces",
        ),
        "options in three orders": (shuffled, ""),
        "a schema before each question": (
            lambda draw, count: (asked(f"{s}\n\nQuestion: {q}", a) for s, q, a in spider()),
            "",
        ),
        "the same without the schema": (lambda draw, count: (asked(q, a) for _, q, a in spider()), ""),
        "results in two ways": (lambda draw, count: figures(draw, draw.sample(sums, count // 2)), ""),
        "both orders of a pair": (lambda draw, count: pairs(draw, bank, count), ""),
        "records": (records, ""),
        "yes or no": (each(about), ""),
        "a label as JSON": (each(lambda draw, p, a: asked(f"As JSON: {p}", as_json(draw, p, a))), ""),
        "calls of a tool alone": (each(lambda _, p, a: called(p, a)), ""),
        "answers in HTML": (each(lambda _, p, a: asked(p, f"<p>They ask about {a} & more<br>")), ""),
        "a label behind its reason": (
            each(lambda _, p, a: asked(p, f"They ask about {a}, so this fits. It is clear.\nLabel: {a}")),
            "",
        ),
        "four examples before each": (each(examples), ""),
        "a passage before each": (
            each(lambda draw, p, a: asked(f"Context:\n{draw.choice(passages)}\n\nQuestion: {p}", a)),
            "",
        ),
        "a date and a customer before each": (
            each(
                lambda draw, p, a: asked(
                    p,
                    a,
                    before.format(draw.randint(1, 12), draw.randint(1, 28), draw.randint(10_000, 99_999)),
                )
            ),
            "",
        ),
        "an instruction behind each": (each(lambda _, p, a: asked(f"{p}\n\n{behind}", a)), ""),
        "mails with signatures": (
            each(
                lambda draw, p, a: asked(
                    f"Hello,\n\n{p}\n{mail.format(draw.choice(['Ann', 'Bob', 'Eve']))}", a
                )
            ),
            "",
        ),
    }


def record(row: Row) -> dict[str, Any]:
    """A row as it is written."""
    if isinstance(row, dict):
        return row
    return {"messages": [{"role": role, "content": text} for role, text in row]}


def called(prompt: str, label: str) -> Row:
    """A question that is answered by the call of a tool alone."""
    function = {"name": "route", "parameters": {"type": "object", "properties": {"to": {"type": "string"}}}}
    call = {"name": "route", "arguments": json.dumps({"to": label})}
    said = {
        "role": "assistant",
        "content": None,
        "tool_calls": [{"id": "1", "type": "function", "function": call}],
    }
    return {
        "tools": [{"type": "function", "function": function}],
        "messages": [{"role": "user", "content": prompt}, said],
    }


def told(rows: list[Row]) -> dict[str, int | str]:
    """What the advice says of rows."""
    with TemporaryDirectory() as folder:
        made = [record(row) for row in rows]
        Path(folder, "a.jsonl").write_text("\n".join(json.dumps(one) for one in made), encoding="utf-8")
        recipe = validate(
            {"output": f"{folder}/run", "sources": [{"name": "a", "path": f"{folder}/a.jsonl"}]}, "recipe"
        )
        found = gather.gathered(recipe, flow.ROW_STAGES, len(rows)).facts
    advice = verdict.advise(found, recipe.advise)
    alarms = {reason.code for reason in advice.reasons if reason.level in ("stop", "mend")} - LEFT_OUT
    return {
        "rows": len(rows),
        "lost": sum(found.lost.values()),
        "effective_prompts": round(found.effective or 0),
        "conflicting": int(found.checks["contradictions"]["conflicting"]),
        "suspects": int(found.checks["label_noise"]["suspects"]),
        "alarms": " ".join(sorted(alarms)),
    }


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rows", type=int, default=2000)
    options = parser.parse_args()
    usual = {"date": datetime.now(UTC).date().isoformat(), "commit": commit(), "cpu": processor()}
    with (HERE / "shapes.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        for name, (make, expected) in shapes().items():
            rows = list(make(random.Random(7), options.rows))
            line = {**usual, "shape": name, **told(rows), "expected": expected}
            writer.writerow(line)
            print(*list(line.values())[3:], sep=", ", flush=True)


if __name__ == "__main__":
    main()
