"""The examiner on real sets with planted faults: how much of them is found, and what else is flagged.

Wrong labels are planted into four labelled sets, wrong results beside questions of another (the question as
it is, or reworded in one of eight ways), and questions are reworded to thousands of rows. Beside every recall
stand the rows flagged that nobody planted; on clean sets some of those are wrong indeed.

    python -m tests.benchmarks.bench_examine [--data FOLDER] [--out FILE] [--seeds N] [--only PART]

The data is not part of this repository: `--data` (or HEADRACE_TEST_DATA) names it. Writes a CSV with a line a
measurement: measure, case, rule, planted, flagged, right, precision, recall. Takes some ten minutes.
"""

import argparse
import csv
import gzip
import json
import os
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa

from headrace.pipelines.examine.contradictions import compare
from headrace.pipelines.examine.diversity import measure
from headrace.pipelines.examine.label_noise import judge
from headrace.pipelines.examine.label_noise.config import Config as Labels
from tests.benchmarks import rewording
from tests.benchmarks.gauntlet import sets

HERE = Path(__file__).resolve().parent
SHARES = (0.0, 0.01, 0.05, 0.1)
NAMES = ("measure", "case", "rule", "planted", "flagged", "right", "precision", "recall")
# Labelled sets, with the columns of those that are taken whole; of the others so many rows.
WHOLE = {"bitext-intent": ("utterance", "intent"), "banking77": ("text", "category")}
LABELLED, SOME = (*WHOLE, "multidogo", "tatoeba"), 5000
Line = tuple[str | int | float, ...]


def distinct(texts: list[str]) -> list[int]:
    """Places of texts that differ by more than case and spaces."""
    first: dict[str, int] = {}
    for at, text in enumerate(texts):
        first.setdefault(" ".join(text.casefold().split()), at)
    return [*first.values()]


def labelled(data: Path, name: str) -> tuple[list[str], np.ndarray]:
    """Different texts of a labelled set, and a number for each label."""
    if name in WHOLE:
        text, label = WHOLE[name]
        files = sorted((data / "dialogue" / name).glob("*.csv"))
        rows = [(row[text], row[label]) for path in files for row in csv.DictReader(path.open())]
    else:
        rows = [(sets.prompt(row), sets.answer(row)) for row in sets.read(data, name, SOME)]
    places = distinct([text for text, _ in rows])
    codes = np.unique([rows[at][1] for at in places], return_inverse=True)[1]
    return [rows[at][0] for at in places], codes.astype(np.int64)


def as_judged(codes: np.ndarray) -> np.ndarray:
    """Labels by where they first stand, as the columns of `Judged.chances` are."""
    _, first, own = np.unique(codes, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[own]


def scored(measured: str, case: str, rule: str, flagged: np.ndarray, wrong: np.ndarray) -> Line:
    """A line of the table."""
    right, planted, count = int((flagged & wrong).sum()), int(wrong.sum()), int(flagged.sum())
    precision = round(right / count, 4) if count and planted else ""
    recall = round(right / planted, 4) if planted else ""
    return measured, case, rule, planted, count, right, precision, recall


def wrong_labels(data: Path, seeds: int) -> Iterator[Line]:
    """Labels exchanged for others, by rule, beside plain cleanlab and a random flag."""
    for name in LABELLED:
        texts, codes = labelled(data, name)
        given = pa.array(texts, pa.large_string())
        for share in SHARES:
            for seed in range(seeds if share == 0.05 else 1):
                draw = np.random.default_rng(seed)
                at = draw.choice(len(codes), int(share * len(codes)), replace=False)
                planted, wrong = codes.copy(), np.zeros(len(codes), np.bool_)
                planted[at] = (codes[at] + draw.integers(1, codes.max() + 1, len(at))) % (codes.max() + 1)
                wrong[at] = True
                case = f"{name}, {share:.0%}, seed {seed}"
                judged = judge.judge(given, planted, Labels(rule="cleanlab"))
                rules = {"default": judge.suspects(judged, Labels()), **judged.rules}
                rules["either"] = rules["odds"] | rules["estimate"]
                rules["both"] = rules["odds"] & rules["estimate"]
                known = np.flatnonzero(np.bincount(planted)[planted] >= judge.FOLDS)
                rules["plain cleanlab"] = np.zeros(len(codes), np.bool_)
                rules["plain cleanlab"][known] = judge.cleanlab_issues(
                    as_judged(planted[known]), judged.chances, "prune_by_noise_rate"
                )
                rules["random"] = np.zeros(len(codes), np.bool_)
                rules["random"][draw.choice(len(codes), int(rules["odds"].sum()), replace=False)] = True
                for rule, flagged in rules.items():
                    yield scored("wrong labels", case, rule, flagged, wrong)


def another_result(answer: str, draw: np.random.Generator) -> str:
    """A worked answer with another number behind its mark."""
    work, _, result = answer.partition("####")
    number = int(result.strip().replace(",", "").split(".")[0])
    return f"{work}#### {number + int(draw.integers(1, 20))}"


def wrong_results(data: Path, seeds: int) -> Iterator[Line]:
    """A second row for 5% of the questions of gsm8k, reworded, with another result; and with the same."""
    with gzip.open(data / "instruct/gsm8k/train.jsonl.gz", "rt") as file:
        rows = [json.loads(line) for line in file]
    asked, answered = [r["question"] for r in rows], [r["answer"] for r in rows]
    none = np.zeros(len(rows), np.bool_)
    yield scored("contradictions", "gsm8k, clean", "conflict", flags(asked, answered), none)
    for kind in ("as it is", *rewording.KINDS, "several"):
        for seed in range(seeds):
            draw = np.random.default_rng(seed)
            at = draw.choice(len(rows), len(rows) // 20, replace=False)
            other = [said_otherwise(kind, asked[k], int(k) + seed) for k in at]
            pairs = [
                (int(k), text)
                for k, text in zip(at, other, strict=True)
                if kind == "as it is" or text != asked[k]
            ]
            prompts = asked + [text for _, text in pairs]
            wrong = np.zeros(len(prompts), np.bool_)
            wrong[len(rows) :] = True
            wrong[[k for k, _ in pairs]] = True
            results = [another_result(answered[k], draw) for k, _ in pairs]
            case = f"gsm8k, {kind}, seed {seed}"
            yield scored("contradictions", case, "conflict", flags(prompts, answered + results), wrong)
            same = flags(prompts, answered + [answered[k] for k, _ in pairs])
            yield scored("contradictions", f"{case}, same result", "conflict", same, np.zeros_like(wrong))


def said_otherwise(kind: str, text: str, seed: int) -> str:
    """A question by one kind of rewording, by several, or as it is."""
    if kind == "as it is":
        return text
    if kind == "several":
        return rewording.reworded(text, seed)
    return rewording.KINDS[kind](text, np.random.default_rng(seed))


def flags(prompts: list[str], answers: list[str]) -> np.ndarray:
    """Which rows contradict another."""
    flagged = np.zeros(len(prompts), np.bool_)
    flagged[compare.contradictions(prompts, answers)["row"].to_numpy()] = True
    return flagged


def real_questions(data: Path) -> dict[str, list[str]]:
    """Different questions of four sets, and of Chinese dialogues."""
    found = {}
    with gzip.open(data / "instruct/gsm8k/train.jsonl.gz", "rt") as file:
        found["gsm8k"] = [json.loads(line)["question"] for line in file]
    for name in ("gpteacher", "llm-adapters"):
        rows = []
        for path in sorted((data / "instruct" / name).glob("*.json*")):
            if "toolformer" not in path.name:
                whole = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
                rows += json.loads(whole)
        found[name] = [f"{row['instruction']} {row.get('input') or ''}".strip() for row in rows]
    with zipfile.ZipFile(data / "eval/mmlu/mmlu.zip") as archive:
        files = [
            archive.read(n).decode().splitlines() for n in sorted(archive.namelist()) if n.endswith(".csv")
        ]
    found["mmlu"] = [row[0] for lines in files for row in csv.reader(lines) if row]
    with zipfile.ZipFile(data / "dialogue/crosswoz/crosswoz_zh_test.json.zip") as archive:
        talks = json.loads(archive.read(archive.namelist()[0]))
    turns = [m["content"] for talk in talks.values() for m in talk["messages"] if m["role"] == "usr"]
    found["crosswoz"] = [turn for turn in turns if len(turn) > 15]
    return {name: [texts[at] for at in distinct(texts)] for name, texts in found.items()}


def effective_prompts(data: Path, seeds: int) -> Iterator[Line]:
    """Effective number of prompts (column flagged) of rows of so many questions (column planted)."""
    found = real_questions(data)
    for seed in range(seeds):
        draw = np.random.default_rng(seed)
        every = [text for name, texts in found.items() if name != "crosswoz" for text in texts]
        chosen = [every[at] for at in draw.choice(len(every), 10_000, replace=False)]
        mixed = [chosen[at] for at in distinct(chosen)]
        number = measure.effective(mixed)
        yield (
            "effective prompts",
            f"different, seed {seed}",
            "mixed",
            len(mixed),
            round(number, 1),
            "",
            "",
            "",
        )
        for name, texts in found.items():
            some = [texts[at] for at in draw.choice(len(texts), 100, replace=False)]
            rows = [rewording.reworded(some[k % 100], k + 10_000 * seed) for k in range(10_000)]
            case = f"100 reworded to 10000, seed {seed}"
            yield "effective prompts", case, name, 100, round(measure.effective(rows), 1), "", "", ""


PARTS = {"labels": wrong_labels, "contradictions": wrong_results, "diversity": effective_prompts}


def main() -> None:
    """Measure, and write the table line by line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--data", type=Path, default=Path(os.environ.get("HEADRACE_TEST_DATA", "../shared/data"))
    )
    parser.add_argument("--out", type=Path, default=HERE / "examine.csv")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--only", choices=[*PARTS])
    options = parser.parse_args()
    with options.out.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(NAMES)
        for name, part in PARTS.items():
            for line in part(options.data, options.seeds) if options.only in (None, name) else ():
                writer.writerow(line)
                file.flush()
                print(*line, sep=", ", flush=True)


if __name__ == "__main__":
    main()
