"""Speed of every stage and memory of driver and workers, at 50 and at 500 MB of text.

    python tests/benchmarks/scale.py DIRECTORY [real|generated] [MEGABYTES ...]

`real`: rows of gsm8k, gpteacher, llm-adapters and sgd, repeated until there is enough text, with
`dedup` off (they would all be copies). `generated`: seeded documents of 1 to 2 KB, a tenth of them
near-duplicates, with `dedup` on and PII off. The books are checked first: every record must come out
again, and of the generated documents at least 99% of the planted copies must go and no other.
Writes scale.csv beside this file.
"""

import csv
import datetime
import json
import os
import platform
import random
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import real_run
import yaml

HERE = Path(__file__).parent
SHARD = 48_000_000  # bytes of a shard


def real_rows() -> list[dict[str, Any]]:
    """Rows of four sets as `messages`."""
    rows = []
    for path in sorted((real_run.DATA / "instruct/gpteacher").glob("*.json.gz")):
        for r in real_run.read_json(path):
            prompt = "\n\n".join(t for t in (r["instruction"], r["input"]) if t)
            rows.append([("user", prompt), ("assistant", r["response"])])
    for path in sorted((real_run.DATA / "instruct/llm-adapters").glob("*.json*")):
        rows += [
            [("user", r["instruction"]), ("assistant", r["output"])]
            for r in real_run.read_json(path)
            if r["output"].strip()
        ]
    with (real_run.DATA / "instruct/gsm8k/test.jsonl").open(encoding="utf-8") as file:
        for line in file:
            r = json.loads(line)
            rows.append([("user", r["question"]), ("assistant", r["answer"])])
    with tarfile.open(real_run.DATA / "dialogue/sgd/sgd_dev.tar.gz") as tar:
        for member in tar.getmembers():
            stream = tar.extractfile(member)
            if stream is None or "dialogues_" not in member.name:
                continue
            for dialogue in json.load(stream):
                roles = {"USER": "user", "SYSTEM": "assistant"}
                rows.append([(roles[t["speaker"]], t["utterance"]) for t in dialogue["turns"]])
    return [{"messages": [{"role": a, "content": b} for a, b in row]} for row in rows]


def repeated() -> Iterator[dict[str, Any]]:
    rows = real_rows()
    random.Random(0).shuffle(rows)
    while True:
        yield from rows


def generated() -> Iterator[dict[str, Any]]:
    """Documents of 1 to 2 KB; one in ten is an earlier one with three words of some two hundred changed."""
    draw = random.Random(0)
    letters = "abcdefghijklmnopqrstuvwxyz"
    words = ["".join(draw.choices(letters, k=draw.randint(2, 9))) for _ in range(20_000)]
    recent: list[list[str]] = []
    while True:
        if recent and draw.random() < 0.1:
            text = list(draw.choice(recent))
            for _ in range(3):
                text[draw.randrange(len(text))] = draw.choice(words)
            yield {"text": " ".join(text), "copy": True}
            continue
        text = draw.choices(words, k=draw.randint(160, 320))
        recent = [*recent[-999:], text]
        yield {"text": " ".join(text), "copy": False}


def content(row: dict[str, Any]) -> int:
    texts = [row["text"]] if "text" in row else [m["content"] for m in row["messages"]]
    return sum(len(t.encode()) for t in texts)


def write(folder: Path, rows: Iterator[dict[str, Any]], size: int) -> tuple[int, int]:
    """Shards with `size` bytes of content; returns rows and planted copies."""
    folder.mkdir(parents=True)
    total = count = copies = shard = held = 0
    file = (folder / "0.jsonl").open("w", encoding="utf-8")
    while total < size:
        row = next(rows)
        n = content(row)
        total, held, count, copies = total + n, held + n, count + 1, copies + bool(row.get("copy"))
        if held > SHARD:
            file.close()
            shard, held = shard + 1, 0
            file = (folder / f"{shard}.jsonl").open("w", encoding="utf-8")
        file.write(json.dumps(row, ensure_ascii=False) + "\n")
    file.close()
    return count, copies


def run(directory: Path, kind: str, megabytes: int) -> list[dict[str, Any]]:
    folder = directory / f"{kind}-{megabytes}"
    rows = repeated() if kind == "real" else generated()
    count, copies = write(folder / "in", rows, megabytes * 10**6)
    recipe: dict[str, Any] = {
        "output": str(folder / "run"),
        "sources": [{"name": "rows", "path": str(folder / "in")}],
        "workers": os.cpu_count(),
    }
    recipe |= {"dedup": {"exact": False, "near": False}} if kind == "real" else {"pii": {"enabled": False}}
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump(recipe, sort_keys=False), encoding="utf-8")
    started = time.monotonic()
    subprocess.run([*real_run.HEADRACE, "prepare", str(path)], check=True)
    seconds = time.monotonic() - started
    told = real_run.told(recipe["output"])
    assert told["rows"]["in"] == count, (told["rows"], count)
    if kind == "generated":
        gone = sum(told["rows"]["dropped"].values())
        assert 0.99 * copies <= gone <= copies, (gone, copies)
    return figures(kind, megabytes, seconds, told)


def figures(kind: str, megabytes: int, seconds: float, told: dict[str, Any]) -> list[dict[str, Any]]:
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], check=True, capture_output=True, text=True, cwd=HERE
    ).stdout.strip()
    common = {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "commit": commit,
        "hardware": f"{platform.machine()}, {os.cpu_count()} cores",
        "data": kind,
        "megabytes": megabytes,
        "wall_seconds": round(seconds, 1),
        "driver_mib": told["memory"]["driver"] >> 20,
        "worker_mib": told["memory"]["worker"] >> 20,
    }
    found = []
    for stage, t in told["stages"].items():
        speed = t["bytes"] / t["seconds"] / 1e6 if t["seconds"] else 0.0
        found.append(
            {**common, "stage": stage, "cpu_seconds": round(t["seconds"], 2), "mb_s": round(speed, 1)}
        )
    for row in found:
        print(f"{row['stage']:<12} {row['cpu_seconds']:8} CPU s {row['mb_s']:8} MB/s a core")
    print(
        f"{seconds:.0f} s, driver {common['driver_mib']} MiB, worker {common['worker_mib']} MiB", flush=True
    )
    return found


if __name__ == "__main__":
    target, kinds = Path(sys.argv[1]).resolve(), sys.argv[2:3] or ["real", "generated"]
    sizes = [int(a) for a in sys.argv[3:]] or [50, 500]
    results = [row for kind in kinds for size in sizes for row in run(target, kind, size)]
    with (HERE / "scale.csv").open("w", newline="", encoding="utf-8") as out:
        writer = csv.DictWriter(out, list(results[0]))
        writer.writeheader()
        writer.writerows(results)
