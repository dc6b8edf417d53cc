"""The real sets that faults are planted into, as conversations. Nothing of them is part of this repository.

A row is a list of turns (role, text). `read` gives a fixed draw of at most `MOST` different rows of a set.
"""

import csv
import gzip
import html
import io
import json
import re
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

Turn = tuple[str, str]
Row = list[Turn]
MOST = 1000
CALLS = ("bfcl-json", "bfcl-calls")
MARK = re.compile(r"</?Thought>|</?Output>", re.IGNORECASE)


def asked(prompt: str, answer: str) -> Row:
    """A question and its answer."""
    return [("user", prompt), ("assistant", answer)]


def prompt(row: Row) -> str:
    """What is asked last."""
    return row[-2][1]


def answer(row: Row) -> str:
    """What is answered last."""
    return row[-1][1]


def text(path: Path) -> str:
    """Text of a file, gzipped where its name says so."""
    data = path.read_bytes()
    return (gzip.decompress(data) if path.suffix == ".gz" else data).decode("utf-8-sig")


def members(path: Path, ending: str) -> Iterator[tuple[str, str]]:
    """Names and texts of the files in an archive, by name."""
    if path.suffix == ".zip":
        with zipfile.ZipFile(path) as archive:
            for name in sorted(archive.namelist()):
                if name.endswith(ending) and not name.startswith("__"):
                    yield name, archive.read(name).decode()
        return
    with tarfile.open(path) as archive:
        for member in sorted(archive.getmembers(), key=lambda m: m.name):
            if member.isfile() and ending in member.name and (stream := archive.extractfile(member)):
                yield member.name, stream.read().decode("utf-8", "replace")


def gsm8k(data: Path) -> Iterator[Row]:
    """Sums in words, with their work."""
    for line in text(data / "instruct/gsm8k/train.jsonl.gz").splitlines():
        record = json.loads(line)
        yield asked(record["question"], record["answer"])


def instructed(data: Path, folder: str, names: str, key: str) -> Iterator[Row]:
    """Instructions with an input."""
    for path in sorted((data / "instruct" / folder).glob(names)):
        for record in json.loads(text(path)):
            more = f"\n{record['input']}" if record.get("input") else ""
            yield asked(f"{record['instruction']}{more}", str(record[key]))


def gpteacher(data: Path) -> Iterator[Row]:
    """Programs and roles to play."""
    for names in ("codegen*", "roleplay*"):
        yield from instructed(data, "gpteacher", names, "response")


def adapters(data: Path) -> Iterator[Row]:
    """Questions with answers to choose from, and yes or no."""
    for names in ("ARC*", "boolq_t*", "openbook*", "piqa*"):
        yield from instructed(data, "llm-adapters", names, "output")


def table(data: Path, folder: str, asks: str, answers: str) -> Iterator[Row]:
    """Two columns of CSV files."""
    for path in sorted((data / "dialogue" / folder).glob("*.csv")):
        for record in csv.DictReader(io.StringIO(text(path), newline="")):
            yield asked(record[asks], record[answers])


def taskmaster(data: Path) -> Iterator[Row]:
    """Orders of coffee and meals, all turns, as far as users and assistants take turns."""
    for path in sorted((data / "dialogue/taskmaster4").glob("*.json.gz")):
        for talk in json.loads(text(path)):
            row: Row = []
            for said in talk["utterances"]:
                role = "user" if said["speaker"] == "user" else "assistant"
                if said["text"].strip() and role == ("assistant" if len(row) % 2 else "user"):
                    row.append((role, said["text"]))
            yield row[: len(row) // 2 * 2]


def sides(data: Path, member: str) -> Iterator[Row]:
    """What users of sgd or crosswoz ask, and the reply."""
    path = {"sgd": "sgd/sgd_dev.tar.gz", "crosswoz": "crosswoz/crosswoz_zh_test.json.zip"}[member]
    for name, content in members(data / "dialogue" / path, ".json"):
        if member == "sgd" and "dialogues" in name:
            for talk in json.loads(content):
                said = [turn["utterance"] for turn in talk["turns"]]
                yield from (asked(a, b) for a, b in zip(said[::2], said[1::2], strict=False))
        elif member == "crosswoz":
            for talk in json.loads(content).values():
                said = [turn["content"] for turn in talk["messages"]]
                yield from (asked(a, b) for a, b in zip(said[::2], said[1::2], strict=False))


def multidogo(data: Path) -> Iterator[Row]:
    """What customers of a bank say, and what they want."""
    for name, content in members(data / "dialogue/multidogo/multidogo_turn_level.tar.gz", ".tsv"):
        if "finance" in name:
            for record in csv.DictReader(io.StringIO(content, newline=""), delimiter="\t"):
                if record["intent"] and record["utterance"]:
                    yield asked(record["utterance"], record["intent"])


def mmlu(data: Path) -> Iterator[Row]:
    """Questions, and the subject they belong to."""
    for name, content in members(data / "eval/mmlu/mmlu.zip", ".csv"):
        subject = Path(name).stem.rpartition("_")[0]
        for record in csv.reader(io.StringIO(content, newline="")):
            yield asked(record[0], subject)


def tatoeba(data: Path) -> Iterator[Row]:
    """Sentences, and their language; 80 of a language."""
    for name, content in members(data / "web/tatoeba/tatoeba_v1.tar.gz", "tatoeba."):
        language = name.rpartition(".")[2]
        if language != "eng":
            lines = [line for line in content.splitlines() if len(line) > 30]
            if len(lines) >= 80:
                yield from (asked(line, language) for line in lines[:80])


def udhr(data: Path) -> Iterator[Row]:
    """Paragraphs of the Declaration of Human Rights."""
    for name, content in members(data / "web/udhr/udhr_html.tar.gz", ".html"):
        found = [html.unescape(one).strip() for one in re.findall(r"<p>([^<]{40,400})</p>", content)]
        yield from (asked(one, name) for one in found[:12])


def reasoned(data: Path, name: str) -> Iterator[Row]:
    """Answers with their reasoning between `<think>` and `</think>`."""
    if name == "star-1":
        for record in json.loads(text(data / "reasoning/star-1/STAR-1.json.gz")):
            yield asked(record["question"], record["response"])
    elif name == "marco-o1":
        for record in json.loads(text(data / "reasoning/marco-o1-demo/CoT_demo.json")):
            parts = [part.strip() for part in MARK.split(record["response"]) if part.strip()]
            if len(parts) == 2:
                yield asked(record["instruction"], thought(*parts))
    elif name == "gsm8k-work":
        for row in gsm8k(data):
            work, _, result = answer(row).partition("####")
            yield asked(prompt(row), thought(work.strip(), result.strip()))
    else:
        files = {"svamp-work": "SVAMP*", "math-work": "math_data*"}[name]
        for path in sorted((data / "instruct/llm-adapters").glob(files)):
            for record in json.loads(text(path)):
                if str(record["output"]).strip():
                    yield asked(record["instruction"], thought(record["output"], str(record["answer"])))


def thought(work: str, result: str) -> str:
    """Reasoning and a result, as models write them."""
    return f"<think>\n{work}\n</think>\n\n{result}"


def called(data: Path, name: str) -> Iterator[Row]:
    """Functions to call: as JSON, or as calls of Python."""
    for file, content in members(data / "structured/bfcl/bfcl_v4.tar.gz", "possible_answer"):
        if "multi_turn" in file:
            continue
        for line in content.splitlines():
            record = json.loads(line)
            truth = record.get("ground_truth")
            if isinstance(truth, list) and truth and isinstance(truth[0], dict):
                yield from written(record["id"], truth[0], name)


def written(task: str, call: dict[str, Any], name: str) -> Iterator[Row]:
    """One call in the form of the set `name`; none where it has no such form."""
    if name == "bfcl-json":
        yield asked(f"Which function? {task}", json.dumps(call))
        return
    for function, given in call.items():
        if given and all(k.isidentifier() and isinstance(v, list) and v for k, v in given.items()):
            values = ", ".join(f"{k}={v[0]!r}" for k, v in given.items())
            yield asked(f"Which function? {task}", f"{function.replace('/', '_')}({values})")


def spider(data: Path) -> Iterator[Row]:
    """Questions about a database, and SQL."""
    for record in json.loads(text(data / "structured/spider/dev.json.gz")):
        yield asked(f"{record['db_id']}: {record['question']}", record["query"])


def requests(data: Path, name: str) -> Iterator[Row]:
    """What was asked of a service at the end of a turn, as JSON."""
    if name == "taskmaster-json":
        for path in sorted((data / "dialogue/taskmaster4").glob("*.json.gz")):
            for talk in json.loads(text(path)):
                for said in talk["utterances"]:
                    for note in said["annotations"]:
                        if note["name"] == "request" and said["text"]:
                            yield asked(said["text"], note["value"])
        return
    for file, content in members(data / "dialogue/sgd/sgd_dev.tar.gz", "dialogues"):
        for talk in json.loads(content) if file.endswith(".json") else ():
            for before, turn in zip(talk["turns"], talk["turns"][1:], strict=False):
                for frame in turn["frames"]:
                    if "service_call" in frame:
                        yield asked(before["utterance"], json.dumps(frame["service_call"]))


SETS: dict[str, Callable[[Path], Iterator[Row]]] = {
    "gsm8k": gsm8k,
    "gpteacher": gpteacher,
    "llm-adapters": adapters,
    "banking77": lambda data: table(data, "banking77", "text", "category"),
    "bitext-intent": lambda data: table(data, "bitext-intent", "utterance", "intent"),
    "taskmaster4": taskmaster,
    "sgd": lambda data: sides(data, "sgd"),
    "crosswoz": lambda data: sides(data, "crosswoz"),
    "multidogo": multidogo,
    "mmlu": mmlu,
    "tatoeba": tatoeba,
    "udhr": udhr,
    "spider": spider,
    **{n: lambda data, n=n: called(data, n) for n in CALLS},
    **{n: lambda data, n=n: requests(data, n) for n in ("sgd-json", "taskmaster-json")},
    **{
        n: lambda data, n=n: reasoned(data, n)
        for n in ("star-1", "marco-o1", "gsm8k-work", "svamp-work", "math-work")
    },
}


@lru_cache(maxsize=64)
def read(data: Path, name: str, most: int = MOST) -> list[Row]:
    """Rows of a set, each prompt once, at most `most` of them by a draw that is always the same."""
    first: dict[str, Row] = {}
    for row in SETS[name](data):
        if len(row) > 1 and prompt(row).strip() and answer(row).strip():
            first.setdefault(" ".join(" ".join(t for _, t in row[:-1]).casefold().split()), row)
    rows = [*first.values()]
    if len(rows) <= most:
        return rows
    chosen = np.random.default_rng(0).choice(len(rows), most, replace=False)
    return [rows[at] for at in np.sort(chosen)]
