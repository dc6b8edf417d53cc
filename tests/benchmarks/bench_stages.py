"""Speed of the text stages (clean, quality, pii) on one core over real conversations.

Nothing is timed before it is right: cleaning twice is cleaning once and ftfy, asked for every text, agrees;
quality drops none of these rows; what pii finds is compared by `bench_pii`. Reads gsm8k, gpteacher, sgd and
multidogo from HEADRACE_TEST_DATA (default ../shared/data).

    python tests/benchmarks/bench_stages.py [--out FILE] [--all]

writes a CSV with a line a measurement: stage, case, figure, unit, date, commit, processor and load. MB are
UTF-8 bytes of content entering; seconds are CPU seconds. Stages run with a warm process (compiled kernels,
set-up recognisers), pii with no remembered numbers and words. `--all` takes whole corpora for pii instead of
their first 2 MB. The default run takes under a minute.
"""

import argparse
import csv
import gzip
import io
import json
import os
import platform
import subprocess
import tarfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

import ftfy
import pyarrow as pa
import pyarrow.compute as pc

from headrace.pipelines import schema
from headrace.pipelines.stages.clean import stage as clean
from headrace.pipelines.stages.pii import stage as pii
from headrace.pipelines.stages.pii.presidio.scanner import scanner
from headrace.pipelines.stages.quality import stage as quality

HERE = Path(__file__).resolve().parent
DATA = Path(os.environ.get("HEADRACE_TEST_DATA", HERE.parents[2] / "shared" / "data"))
BULK = 20e6  # bytes that clean and quality are timed on: rows are repeated up to there
Figure = tuple[str, str, float, str]
Turn = tuple[str, str]


def gsm8k() -> Iterator[list[Turn]]:
    """Questions and answers."""
    with gzip.open(DATA / "instruct/gsm8k/train.jsonl.gz", "rt", encoding="utf-8") as lines:
        for row in map(json.loads, lines):
            yield [("user", row["question"]), ("assistant", row["answer"])]


def gpteacher() -> Iterator[list[Turn]]:
    """Instructions of three kinds, taken in turn."""
    files = sorted((DATA / "instruct/gpteacher").glob("*.json.gz"))
    for rows in zip(*(json.loads(gzip.decompress(file.read_bytes())) for file in files), strict=False):
        for row in rows:
            yield [("user", f"{row['instruction']}\n{row['input']}"), ("assistant", row["response"])]


def sgd() -> Iterator[list[Turn]]:
    """Dialogues of two sides."""
    archive = next((DATA / "dialogue/sgd").glob("*.tar*"))
    with tarfile.open(archive) as members:
        for member in members:
            stream = members.extractfile(member)
            if stream and "dialogues" in member.name and member.name.endswith(".json"):
                for row in json.load(stream):
                    sides = ["user" if turn["speaker"] == "USER" else "assistant" for turn in row["turns"]]
                    said = [turn["utterance"] for turn in row["turns"]]
                    yield list(zip(sides, said, strict=True))


def multidogo() -> Iterator[list[Turn]]:
    """Customers' turns of one conversation each; records with a wrong count of fields are left out."""
    archive = next((DATA / "dialogue/multidogo").glob("*.tar*"))
    talks: dict[tuple[str, str], list[Turn]] = {}
    with tarfile.open(archive) as members:
        for member in members:
            stream = members.extractfile(member)
            if stream is None or not member.name.endswith(".tsv"):
                continue
            head, *rows = csv.reader(io.TextIOWrapper(stream, encoding="utf-8"), delimiter="\t")
            for row in (dict(zip(head, row, strict=True)) for row in rows if len(row) == len(head)):
                talks.setdefault((member.name, row["conversationId"]), []).append(("user", row["utterance"]))
    yield from talks.values()


def table(rows: list[list[Turn]]) -> pa.Table:
    """Rows as they come from a source."""
    made = [
        {
            "row_id": at,
            "n_records": 1,
            "source": "bench",
            "file": "bench",
            "place": f"row {at}",
            "messages": [{"role": role, "content": content} for role, content in row],
        }
        for at, row in enumerate(rows)
    ]
    return schema.from_rows(made)


def size(rows: pa.Table) -> float:
    """Bytes of content."""
    return float(pc.sum(pc.binary_length(schema.contents(rows)[2])).as_py() or 0)


def seconds(run: Callable[[], object], repeats: int) -> float:
    """Least CPU seconds of some runs."""
    taken = []
    for _ in range(repeats):
        start = time.process_time()
        run()
        taken.append(time.process_time() - start)
    return min(taken)


def first(rows: pa.Table, limit: float) -> pa.Table:
    """The first rows of together about `limit` bytes."""
    count = max(1, int(rows.num_rows * min(1.0, limit / size(rows))))
    return rows.slice(0, count).combine_chunks()


def check_clean(came: pa.Table) -> pa.Table:
    """Cleaned rows, checked on the way."""
    config = clean.Config()
    done = clean.apply(came, config)
    assert clean.apply(done, config).equals(done)
    repair = clean._repair(config)
    raw = schema.contents(first(came, 500_000))[2]
    quiet = pc.invert(pc.match_substring_regex(raw, pattern=repair.suspects))
    assert all(ftfy.fix_text(text, repair.ftfy) == text for text in raw.filter(quiet).to_pylist())
    return done


def measure_bulk(case: str, rows: pa.Table) -> Iterator[Figure]:
    """MB/s of the vectorised stages over rows repeated to `BULK` bytes."""
    many = pa.concat_tables([rows] * max(1, round(BULK / size(rows)))).combine_chunks()
    cleaned = check_clean(rows)
    judged = quality.apply(cleaned, quality.Config())
    assert judged["drop"].equals(cleaned["drop"]), "quality dropped real rows"
    megabytes = size(many) / 1e6
    yield "clean", case, megabytes / seconds(lambda: clean.apply(many, clean.Config()), 3), "MB/s"
    yield "quality", case, megabytes / seconds(lambda: quality.apply(many, quality.Config()), 3), "MB/s"


def measure_pii(case: str, rows: pa.Table) -> Iterator[Figure]:
    """MB/s of pii with nothing remembered; `bench_pii` says more."""
    config = pii.Config()
    pii.apply(rows, config)
    scanner(config.context).forget()
    yield "pii", case, size(rows) / 1e6 / seconds(lambda: pii.apply(rows, config), 1), "MB/s"


def place() -> list[str]:
    """Date, commit, processor and load."""
    command = ["git", "rev-parse", "--short", "HEAD"]
    commit = subprocess.run(command, cwd=HERE, capture_output=True, text=True, check=True).stdout.strip()
    info = Path("/proc/cpuinfo")
    names = [line for line in info.read_text().splitlines() if "model name" in line] if info.exists() else []
    cpu = names[0].partition(":")[2].strip() if names else platform.processor()
    return [datetime.now(UTC).date().isoformat(), commit, cpu, f"{os.getloadavg()[0]:.1f}"]


def save(path: Path, figures: list[Figure]) -> None:
    """The CSV with where and when."""
    with path.open("w", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(["stage", "case", "figure", "unit", "date", "commit", "cpu", "load"])
        writer.writerows(
            [stage, case, f"{figure:.4g}", unit, *place()] for stage, case, figure, unit in figures
        )


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=HERE / "stages.csv")
    parser.add_argument("--all", action="store_true", help="whole corpora for pii")
    chosen = parser.parse_args()
    pa.set_cpu_count(1)
    os.environ["OMP_NUM_THREADS"] = "1"
    figures: list[Figure] = []
    for corpus in (gsm8k, gpteacher, sgd, multidogo):
        rows = table(list(islice(corpus(), None if chosen.all else 8000)))
        some = rows if chosen.all else first(rows, 2e6)
        for figure in (*measure_bulk(corpus.__name__, rows), *measure_pii(corpus.__name__, some)):
            figures.append(figure)
            print(f"{figure[0]:40} {figure[1]:10} {figure[2]:10.3f} {figure[3]}", flush=True)
    save(chosen.out, figures)


if __name__ == "__main__":
    main()
