"""What pii finds in code and mathematics, where next to nothing is anybody's: findings by entity.

Corpora (from HEADRACE_TEST_DATA, default ../shared/data): humaneval, mbpp, spider's questions and queries,
gpteacher's code, the calls of bfcl, gsm8k, the sums of llm-adapters, the subjects of mmlu and bbh that
calculate; and beside them Python's standard library and the headers of pyarrow, as they are installed, in
pieces of 100 lines. A finding counts from score 0.4; dates and sites, which are kept, are left out, and so
are names in gsm8k and the like, which are names.

    python tests/benchmarks/pii_alarms.py [--out FILE] [--show FILE]

writes a CSV with a line a corpus and entity: corpus, texts, bytes, entity, findings, for 1,000 texts, date,
commit, processor and load. `--show` writes every finding with its surroundings as JSON lines, to be read by
hand; what is in the corpora is not to be committed. A minute or two.
"""

import argparse
import csv
import gzip
import io
import json
import sys
import sysconfig
import tarfile
import zipfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
from bench_stages import DATA, HERE, place

sys.path.insert(0, str(HERE.parents[1]))

from headrace.pipelines.stages.pii import stage as pii

HEADER = ["corpus", "texts", "bytes", "entity", "findings", "per 1000", "date", "commit", "cpu", "load"]
THRESHOLD = 0.4
KEPT = ("DATE_TIME", "URL")
NAMED = ("gsm8k", "llm-adapters", "mmlu", "bbh", "spider", "bfcl", "gpteacher")  # which tell of people
LINES = 100  # of a piece of code
MOST = 4_000_000  # characters of installed code
AROUND = 60  # characters beside a finding that are shown


def humaneval() -> Iterator[str]:
    """Problems with their solutions and tests."""
    for line in gzip.decompress((DATA / "eval/humaneval/HumanEval.jsonl.gz").read_bytes()).splitlines():
        row = json.loads(line)
        yield row["prompt"] + row["canonical_solution"] + row["test"]


def mbpp() -> Iterator[str]:
    """Problems with their solutions and tests."""
    for line in (DATA / "eval/mbpp/mbpp.jsonl").read_text().splitlines():
        row = json.loads(line)
        yield "\n".join([row["text"], row["code"], *row["test_list"]])


def spider() -> Iterator[str]:
    """Questions with their queries, and the columns of their tables."""
    for row in json.loads(gzip.decompress((DATA / "structured/spider/dev.json.gz").read_bytes())):
        yield f"{row['question']}\n{row['query']}"
    for row in json.loads((DATA / "structured/spider/tables.json").read_text()):
        yield "\n".join(name for _, name in row["column_names_original"])


def gpteacher() -> Iterator[str]:
    """Instructions that ask for code."""
    raw = (DATA / "instruct/gpteacher/codegen-instruct.json.gz").read_bytes()
    for row in json.loads(gzip.decompress(raw)):
        yield f"{row['instruction']}\n{row['input']}\n{row['response']}"


def bfcl() -> Iterator[str]:
    """Calls of functions, as JSON."""
    with tarfile.open(DATA / "structured/bfcl/bfcl_v4.tar.gz") as members:
        for member in members:
            stream = members.extractfile(member)
            if stream and member.name.endswith(".json"):
                yield from stream.read().decode().splitlines()


def gsm8k() -> Iterator[str]:
    """Questions with their answers."""
    for line in gzip.decompress((DATA / "instruct/gsm8k/train.jsonl.gz").read_bytes()).splitlines():
        row = json.loads(line)
        yield f"{row['question']}\n{row['answer']}"


def adapters() -> Iterator[str]:
    """Sums in words, with their answers."""
    raw = (DATA / "instruct/llm-adapters/math_data.json.gz").read_bytes()
    for row in json.loads(gzip.decompress(raw)):
        yield f"{row['instruction']}\n{row['output']}"


def mmlu() -> Iterator[str]:
    """Questions of the subjects that calculate or programme."""
    subjects = ("math", "algebra", "computer", "statistics", "physics", "machine", "econometrics", "logic")
    with zipfile.ZipFile(DATA / "eval/mmlu/mmlu.zip") as packed:
        for name in packed.namelist():
            if name.endswith(".csv") and any(subject in name for subject in subjects):
                rows = csv.reader(io.StringIO(packed.read(name).decode()))
                yield from ("\n".join(row) for row in rows)


def bbh() -> Iterator[str]:
    """Tasks of arithmetic, brackets, words and objects."""
    with tarfile.open(DATA / "eval/bbh/bbh.tar.gz") as members:
        for member in members:
            stream = members.extractfile(member)
            if stream and member.name.endswith(".json"):
                for row in json.load(stream)["examples"]:
                    yield f"{row['input']}\n{row['target']}"


def installed(folder: Path, suffix: str) -> Iterator[str]:
    """Code in pieces of `LINES` lines."""
    size = 0
    for path in sorted(folder.rglob(f"*{suffix}")):
        if "site-packages" in path.relative_to(folder).parts or size > MOST:
            continue
        lines = path.read_text("utf-8", "replace").splitlines()
        for at in range(0, len(lines), LINES):
            text = "\n".join(lines[at : at + LINES])
            size += len(text)
            yield text


def corpora() -> Iterator[tuple[str, list[str]]]:
    """(name, texts)."""
    yield "humaneval", list(humaneval())
    yield "mbpp", list(mbpp())
    yield "spider", list(spider())
    yield "gpteacher", list(gpteacher())
    yield "bfcl", list(bfcl())
    yield "gsm8k", list(gsm8k())
    yield "llm-adapters", list(adapters())
    yield "mmlu", list(mmlu())
    yield "bbh", list(bbh())
    yield "standard library", list(installed(Path(sysconfig.get_paths()["stdlib"]), ".py"))
    yield "pyarrow headers", list(installed(Path(pa.get_include()), ".h"))


def main() -> None:
    """Count, print, write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=HERE / "pii_alarms.csv")
    parser.add_argument("--show", type=Path)
    chosen = parser.parse_args()
    shown: list[dict[str, object]] = []
    where = place()
    with chosen.out.open("w", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(HEADER)
        for name, texts in corpora():
            count: Counter[str] = Counter()
            for one in pii.find(pa.array(texts, pa.large_string())).to_pylist():
                kept = one["entity"] in KEPT or (one["entity"] == "PERSON" and name in NAMED)
                if one["score"] < THRESHOLD or kept:
                    continue
                count[one["entity"]] += 1
                text, start, end = texts[one["row"]], one["start"], one["end"]
                around = text[max(0, start - AROUND) : start], text[end : end + AROUND]
                shown.append({"corpus": name, **one, "said": text[start:end], "around": around})
            size = sum(len(text.encode("utf-8", "replace")) for text in texts)
            for entity, n in [*sorted(count.items()), ("all", count.total())]:
                line = [name, len(texts), size, entity, n, f"{1000 * n / len(texts):.3g}"]
                writer.writerow([*line, *where])
                print(*line, sep="\t", flush=True)
    if chosen.show:
        chosen.show.write_text("".join(json.dumps(one) + "\n" for one in shown))


if __name__ == "__main__":
    main()
