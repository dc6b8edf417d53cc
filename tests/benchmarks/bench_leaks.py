"""Leaks: how many of planted ones are found, what is found in clean text, and how fast.

Items of seven evaluation sets and of gsm8k's test set are drawn by a seed and planted among real
instructions and dialogues: as they are, in other dress, reworded, with other numbers, within long text,
translated word for word. What is found in the real rows themselves is counted by what it is: a copy of the
item (nearly all of its words, in runs), the whole of a short one, or by the verdict of somebody who looked at
both (`leak_verdicts.csv`, hashes only: leak, the same item in other words or with other names and numbers;
task, the same everyday task or saying; false).

    python tests/benchmarks/bench_leaks.py [--out FILE] [--each N] [--show FILE]

writes a CSV with a line a measurement: measure, case, figure, unit, date, commit, processor, load. `--show`
writes hits in real rows that nobody has judged yet, with their texts, to a file outside of the project. One
thread; two to three minutes. What is translated is planted to say that it is not found.
"""

import argparse
import csv
import gzip
import io
import json
import os
import random
import tarfile
import zipfile
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any, NamedTuple, cast

import numpy as np
import polars as pl
import pyarrow as pa
import xxhash
from bench_dedup import timed
from bench_kernels import commit, processor
from leak_plants import dressed, embedded, renumbered, reworded, translated, verbatim
from numpy.typing import NDArray

from headrace import kernels
from headrace.kernels import grams
from headrace.pipelines.examine.leaks import index, items, match
from headrace.pipelines.examine.leaks.config import Against, Config

HERE = Path(__file__).resolve().parent
DATA = Path(os.environ.get("HEADRACE_TEST_DATA", HERE.parents[2] / "shared" / "data"))
VERDICTS = HERE / "leak_verdicts.csv"
COPY = 0.95  # share of an item in runs of words that needs no look
REWORDED = {f"reworded {share:.0%}": reworded(share) for share in (0.1, 0.2, 0.3, 0.4, 0.5)}
KINDS = {
    "verbatim": verbatim,
    "case and punctuation": dressed,
    **REWORDED,
    "numbers changed": renumbered,
    "translated": translated,
    "within long text": lambda text, draw: embedded(text, draw),
    "reworded 20% within long text": lambda text, draw: embedded(reworded(0.2)(text, draw), draw),
}
GOAL = ("verbatim", "case and punctuation", "reworded 10%", "reworded 20%", "reworded 30%")
Figure = tuple[str, str, float, str]
Row = tuple[str, str, str]  # source, prompt, answer


class Plant(NamedTuple):
    """One planted leak: of which item, how, and which part of it."""

    item: int
    set: str
    kind: str
    part: str
    words: int
    row: Row


class Rows(NamedTuple):
    """How many of a corpus' rows hold each n-gram, int64[K], and how many they are."""

    held: NDArray[np.int64]
    rows: int


def opened(path: Path) -> IO[str]:
    """A text file, gzipped where its name says so."""
    return cast(IO[str], (gzip.open if path.suffix == ".gz" else open)(path, "rt", encoding="utf-8"))


def real_rows() -> Iterator[Row]:
    """Instructions and dialogues as they are."""
    with opened(DATA / "instruct/gsm8k/train.jsonl.gz") as file:
        for line in file:
            record = json.loads(line)
            yield "gsm8k train", record["question"], record["answer"]
    for folder in ("gpteacher", "llm-adapters", "llms-from-scratch"):
        for path in sorted((DATA / "instruct" / folder).glob("*.json*")):
            with opened(path) as file:
                records = json.load(file)
            name = path.name.split(".")[0] if folder == "llm-adapters" else folder
            for r in records:
                asked = f"{r.get('instruction', '')}\n{r.get('input', '')}"
                yield name, asked, str(r.get("response", r.get("output", "")))
    for name in ("train", "test"):
        with (DATA / f"dialogue/banking77/{name}.csv").open(encoding="utf-8") as file:
            for record in csv.DictReader(file):
                yield "banking77", record["text"], record["category"]
    yield from dialogues()


def dialogues() -> Iterator[Row]:
    """Conversations, what customers say and what they are told."""
    for path in sorted((DATA / "dialogue/bitext-intent").glob("*.csv")):
        with path.open(encoding="utf-8-sig") as file:
            for fields in csv.reader(file):
                yield "bitext", " ".join(fields[1:3]), ""
    for path in sorted((DATA / "dialogue/taskmaster4").glob("*.json.gz")):
        with opened(path) as file:
            for record in json.load(file):
                yield "taskmaster", *sided(record["utterances"], "speaker", "user", "text")
    with tarfile.open(DATA / "dialogue/sgd/sgd_dev.tar.gz") as tar:
        for member in tar:
            if "dialogues" in member.name and (stream := tar.extractfile(member)):
                for record in json.load(stream):
                    yield "sgd", *sided(record["turns"], "speaker", "USER", "utterance")
    with zipfile.ZipFile(DATA / "dialogue/crosswoz/crosswoz_zh_test.json.zip") as archive:
        for name in archive.namelist():
            if name.endswith(".json") and not name.startswith("__"):
                for record in json.loads(archive.read(name)).values():
                    yield "crosswoz", *sided(record.get("messages") or [], "role", "usr", "content")
    with tarfile.open(DATA / "dialogue/multidogo/multidogo_turn_level.tar.gz") as tar:
        for member in tar:
            stream = tar.extractfile(member)
            if not member.name.endswith(".tsv") or stream is None:
                continue
            said: dict[Any, list[str]] = {}
            for record in csv.DictReader(io.TextIOWrapper(stream, encoding="utf-8"), delimiter="\t"):
                said.setdefault(record.get("conversationId"), []).append(record.get("utterance") or "")
            for turns in said.values():
                yield "multidogo", "\n".join(turns), ""


def sided(turns: list[dict[str, Any]], who: str, user: str, text: str) -> tuple[str, str]:
    """What the user of a conversation says, and what the other does."""
    sides = [[str(t.get(text) or "") for t in turns if (t.get(who) == user) is own] for own in (True, False)]
    return "\n".join(sides[0]), "\n".join(sides[1])


def plants(evaluation: pa.Table, count: int, seed: int = 1) -> list[Plant]:
    """Some items of each set, every part in every kind; small talk that mt-bench's folder holds left out."""
    draw = random.Random(seed)
    by_set: dict[str, list[dict[str, Any]]] = {}
    for item in evaluation.to_pylist():
        if "dummy" not in item["place"]:
            by_set.setdefault(item["set"], []).append(item)
    made = []
    for name, of_set in by_set.items():
        for item in draw.sample(of_set, min(count, len(of_set))):
            texts = {
                "answer": item["answer"],
                "prompt": "\n".join(filter(None, (item["prompt"], item["options"]))),
            }
            if item["options"]:
                texts["question alone"] = item["prompt"]
            for part, text in texts.items():
                for kind, change in KINDS.items():
                    if text.strip():
                        row = (
                            ("planted", "", change(text, draw))
                            if part == "answer"
                            else ("planted", change(text, draw), "")
                        )
                        made.append(Plant(item["item"], name, kind, part, words_of(text), row))
    return made


def words_of(text: str) -> int:
    """Words of a text as the search counts them."""
    return len(grams.words(kernels.fold([text])).hashes)


def judged() -> dict[str, str]:
    """Verdicts by `pair_hash`."""
    with VERDICTS.open() as file:
        return {line["pair"]: line["verdict"] for line in csv.DictReader(file)}


def pair_hash(row: Row, item: dict[str, Any]) -> str:
    """What stands for a row and an item, without a word of theirs."""
    return xxhash.xxh3_64_hexdigest("\0".join([*row, item["prompt"], item["options"]]).encode())


def verdict(hit: dict[str, Any], row: Row, item: dict[str, Any], known: dict[str, str]) -> str:
    """What a hit in a real row is."""
    if hit["rule"] == "ngram_13" and hit["share"] >= COPY:
        return "copy"
    if hit["rule"] == "whole":
        return "whole"
    return known.get(pair_hash(row, item), "not judged")


def measure(count: int, show: Path | None) -> Iterator[Figure]:
    """Recall by kind, part and length; hits in real rows by verdict; microseconds a text."""
    evaluation = items.load(
        [
            Against(path=str(DATA / "eval")),
            Against(path=str(DATA / "instruct/gsm8k/test.jsonl"), name="gsm8k"),
        ]
    )
    config, real = Config(), list(real_rows())
    built, _, seconds = timed(lambda: index.build(evaluation, config), 1)
    yield "index", f"{evaluation.num_rows} items", seconds, "s"
    yield "index", f"{evaluation.num_rows} items", len(index.dumped(built)) / 1e6, "MB"
    yield (
        "items that are told from others",
        f"{evaluation.num_rows} items",
        len(built.told) / evaluation.num_rows,
        "share",
    )
    planted = plants(evaluation, count)
    own, hits = searched(real, built, config)
    met: dict[int, set[int]] = {}
    for kind in KINDS:  # one leak of an item and a part at a time: what many rows hold is no evidence
        chosen = [n for n, plant in enumerate(planted) if plant.kind == kind]
        for hit in searched([planted[n].row for n in chosen], built, config, beside=own)[1]:
            met.setdefault(chosen[hit["row"]], set()).add(hit["item"])
    yield from recalls(planted, met)
    of_real = verdicts(hits, real, evaluation, show)
    right = sum(plant.item in met.get(n, ()) for n, plant in enumerate(planted))
    yield from alarms(of_real, right, len(real))
    part = (
        pa.array([row[1] for row in real], pa.large_string()),
        pa.array([row[2] for row in real], pa.large_string()),
    )
    _, _, seconds = timed(lambda: match.find(*part, built, config), 3)
    size = sum(side.nbytes for side in part)
    yield "speed", f"{len(real)} rows of {size // len(real)} bytes", seconds / len(real) * 1e6, "us a row"
    yield "speed", f"{len(real)} rows of {size // len(real)} bytes", size / seconds / 1e6, "MB/s a core"


def searched(
    rows: list[Row], built: index.Index, config: Config, beside: Rows | None = None
) -> tuple[Rows, list[dict[str, Any]]]:
    """What rows hold, and their hits, in a corpus of these rows, and those that they stand `beside`."""
    prompts, answers = (pa.array([row[n] for row in rows], pa.large_string()) for n in (1, 2))
    texts = kernels.fold(pa.concat_arrays([prompts, answers]))
    found = match.search(grams.words(texts), np.tile(np.arange(len(rows)), 2), built, config)
    held = np.zeros(len(built.table.keys), np.int64) if beside is None else beside.held.copy()
    match.add(held, found.counts)
    total = len(rows) + (0 if beside is None else beside.rows)
    pairs = match.settled(found.pairs, held, total, built, config)
    return Rows(held, total), match.hits(pairs, built).to_pylist()


def recalls(planted: list[Plant], met: dict[int, set[int]]) -> Iterator[Figure]:
    """Share of the plants whose item is named: by kind, part and length, and by set."""
    table = pl.DataFrame(
        {
            "kind": [p.kind for p in planted],
            "part": [p.part for p in planted],
            "set": [p.set for p in planted],
            "words": [p.words for p in planted],
            "met": [p.item in met.get(n, ()) for n, p in enumerate(planted)],
        }
    ).with_columns(
        length=pl.when(pl.col("words") >= 20)
        .then(pl.lit("20 words and more"))
        .when(pl.col("words") >= 13)
        .then(pl.lit("13 to 19 words"))
        .when(pl.col("words") >= 5)
        .then(pl.lit("5 to 12 words"))
        .otherwise(pl.lit("under 5 words"))
    )
    kinds = pl.DataFrame({"kind": list(KINDS), "order": range(len(KINDS))})
    for by in (["part", "length"], ["part", "set"]):
        shares = table.group_by([*by, "kind"]).agg(pl.col("met").mean(), pl.len().alias("n"))
        for row in shares.join(kinds, on="kind").sort([*by, "order"]).iter_rows(named=True):
            case = ", ".join([*(row[name] for name in by), row["kind"]])
            yield "recall", f"{case} ({row['n']})", row["met"], "share"
    # Nothing here knows two languages: what is translated is not found, but by names and numbers that stay.
    for row in (
        (
            table.filter(pl.col("part") == "prompt")
            .group_by("kind")
            .agg(pl.col("met").mean(), pl.len().alias("n"))
        )
        .join(kinds, on="kind")
        .sort("order")
        .iter_rows(named=True)
    ):
        yield "recall", f"prompt, all lengths, {row['kind']} ({row['n']})", row["met"], "share"
    for least in (13, 20):
        asked = table.filter(
            (pl.col("words") >= least) & (pl.col("part") == "prompt") & pl.col("kind").is_in(GOAL)
        )
        case = f"prompt, {least} words and more, verbatim to reworded 30% ({asked.height})"
        yield "recall", case, float(cast(float, asked["met"].mean())), "share"


def verdicts(
    hits: list[dict[str, Any]], real: list[Row], evaluation: pa.Table, show: Path | None
) -> list[tuple[str, str, int]]:
    """Of each hit in a real row: verdict, source, row."""
    known, told = judged(), evaluation.to_pylist()
    found, unjudged = [], []
    for hit in hits:
        row, item = real[hit["row"]], told[hit["item"]]
        what = verdict(hit, row, item, known)
        found.append((what, row[0], hit["row"]))
        if what == "not judged":
            unjudged.append({"pair": pair_hash(row, item), **hit, "text": row, "of": item})
    if show:
        show.write_text("".join(json.dumps(one, ensure_ascii=False) + "\n" for one in unjudged))
    return found


def alarms(found: list[tuple[str, str, int]], right: int, real: int) -> Iterator[Figure]:
    """Hits in real rows by what they are, a row counted once, by the worst."""
    worst = ["copy", "leak", "whole", "task", "false", "not judged"]
    by_row: dict[int, tuple[str, str]] = {}
    for what, source, row in found:
        if row not in by_row or worst.index(what) < worst.index(by_row[row][0]):
            by_row[row] = what, source
    for (what, source), rows in sorted(Counter(by_row.values()).items()):
        yield f"hits in real rows: {what}", source, rows, "rows"
    wrong = sum(what in ("false", "not judged") for what, _ in by_row.values())
    yield "false alarms", f"{real} real rows", wrong / real * 10_000, "in 10,000 rows"
    yield "precision", "planted rows and false alarms", right / (right + wrong), "share"


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--out", type=Path, default=HERE / "leaks.csv")
    parser.add_argument("--each", type=int, default=100)
    parser.add_argument("--show", type=Path)
    options = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    pa.set_cpu_count(1)
    load = f"{os.getloadavg()[0]:.1f}"
    place = (datetime.now(UTC).date(), commit(), processor(), load)
    kernels.warm()
    with options.out.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["measure", "case", "figure", "unit", "date", "commit", "cpu", "load"])
        for measured, case, value, unit in measure(options.each, options.show):
            writer.writerow([measured, case, f"{value:.4g}", unit, *place])
            print(f"{measured:36} {case:64} {value:10.4g} {unit}", flush=True)


if __name__ == "__main__":
    main()
