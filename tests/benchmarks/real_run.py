"""The real run: one recipe over five real sets, in every format, and the same bytes every time.

    python tests/benchmarks/real_run.py shards DIRECTORY        unpack the sets into shards
    python tests/benchmarks/real_run.py once DIRECTORY          one run, with its figures
    python tests/benchmarks/real_run.py matrix DIRECTORY        workers, listing order, kills, S3

`matrix` runs the same recipe with 1, 2 and 4 workers, with the shards listed in another order,
with `kill -9` of the driver and of a worker midway, and with input and output on S3 (where
AWS_ENDPOINT_URL is set; once with the driver killed); all must give one digest.
Data: HEADRACE_TEST_DATA, default ../shared/data.
"""

import csv
import gzip
import json
import os
import random
import signal
import subprocess
import sys
import tarfile
import time
import uuid
from pathlib import Path
from typing import IO, Any, cast

import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import yaml

ROOT = Path(__file__).parents[2]
DATA = Path(os.environ.get("HEADRACE_TEST_DATA", ROOT.parent / "shared" / "data"))
HEADRACE = [sys.executable, "-m", "headrace"]


def opened(path: Path, mode: str) -> IO[str]:
    """A text file, gzipped where its name says so."""
    return cast(IO[str], (gzip.open if path.suffix == ".gz" else open)(path, mode, encoding="utf-8"))


def read_json(path: Path) -> Any:
    with opened(path, "rt") as file:
        return json.load(file)


def write_jsonl(path: Path, rows: list[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with opened(path, "wt") as file:
        file.writelines(json.dumps(r, ensure_ascii=False) + "\n" for r in rows)


def shards(directory: Path) -> None:
    """Write the five sets as JSONL, gzipped JSONL, JSON, CSV, TSV and Parquet shards."""
    gsm8k(directory / "gsm8k")
    gpteacher(directory / "gpteacher")
    llm_adapters(directory / "llm-adapters")
    multidogo(directory / "multidogo")
    taskmaster(directory / "taskmaster", directory / "taskmaster-turns")


def gsm8k(to: Path) -> None:
    with gzip.open(DATA / "instruct/gsm8k/train.jsonl.gz", "rt", encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    for i in range(3):
        write_jsonl(to / f"train-{i}.jsonl{'.gz' if i == 2 else ''}", rows[i::3])
    with (DATA / "instruct/gsm8k/test.jsonl").open(encoding="utf-8") as file:
        write_jsonl(to / "test.jsonl", [json.loads(line) for line in file])


def gpteacher(to: Path) -> None:
    to.mkdir(parents=True, exist_ok=True)
    for path in sorted((DATA / "instruct/gpteacher").glob("*.json.gz")):
        rows = read_json(path)
        if path.name.startswith("codegen"):
            pq.write_table(pa.Table.from_pylist(rows), to / "codegen.parquet", row_group_size=500)
        else:
            (to / path.name.removesuffix(".gz")).write_text(json.dumps(rows), encoding="utf-8")


def llm_adapters(to: Path) -> None:
    to.mkdir(parents=True, exist_ok=True)
    for path in sorted((DATA / "instruct/llm-adapters").glob("*.json*")):
        rows = read_json(path)
        stem = path.name.split(".")[0]
        if stem.startswith(("ARC", "piqa")):
            with (to / f"{stem}.csv").open("w", encoding="utf-8", newline="") as file:
                writer = csv.DictWriter(file, ["instruction", "input", "output", "answer"])
                writer.writeheader()
                writer.writerows({k: r.get(k, "") for k in writer.fieldnames} for r in rows)
        elif stem.startswith("boolq"):
            columns = {
                k: [str(r.get(k, "")) for r in rows] for k in ("instruction", "input", "output", "answer")
            }
            pq.write_table(pa.table(columns), to / f"{stem}.parquet", row_group_size=1000)
        else:
            write_jsonl(to / f"{stem}.jsonl", rows)


def multidogo(to: Path) -> None:
    with tarfile.open(DATA / "dialogue/multidogo/multidogo_turn_level.tar.gz") as tar:
        for member in tar.getmembers():
            stream = tar.extractfile(member)
            if stream is not None:
                (to / member.name).parent.mkdir(parents=True, exist_ok=True)
                (to / member.name).write_bytes(stream.read())


def taskmaster(whole: Path, turns: Path) -> None:
    """Once as it is, once a record a turn, shuffled over seven files."""
    flat = []
    whole.mkdir(parents=True, exist_ok=True)
    for path in sorted((DATA / "dialogue/taskmaster4").glob("*.json.gz")):
        dialogues = read_json(path)
        (whole / path.name.removesuffix(".gz")).write_text(json.dumps(dialogues), encoding="utf-8")
        for dialogue in dialogues:
            for n, turn in enumerate(dialogue["utterances"]):
                speaker, text = turn["speaker"], turn.get("text")
                flat.append(
                    {"dialogue": dialogue["conversation_id"], "n": n, "speaker": speaker, "text": text}
                )
    random.Random(0).shuffle(flat)
    for i in range(7):
        write_jsonl(turns / f"turns-{i}.jsonl", flat[i::7])


def recipe(root: str, output: str, *, reverse: bool = False) -> dict[str, Any]:
    """The recipe; `reverse` lists the same shards in another order."""
    names = sorted(p.name for p in (Path(root) / "gsm8k").iterdir()) if "://" not in root else None
    listed: Any = [f"{root}/gsm8k/{n}" for n in reversed(names)] if reverse and names else f"{root}/gsm8k"
    sources = [
        {"name": "gsm8k", "path": listed, "shape": "question_answer"},
        {
            "name": "gpteacher",
            "path": f"{root}/gpteacher",
            "shape": "alpaca",
            "columns": {"output": "response"},
        },
        {"name": "llm-adapters", "path": f"{root}/llm-adapters", "shape": "alpaca"},
        {
            "name": "multidogo",
            "path": f"{root}/multidogo/**/*.tsv",
            "group_by": "conversationId",
            "order_by": "turnNumber",
            "columns": {"content": "utterance", "roles": {"*": "user"}},
            "loss": "all",
        },
        {
            "name": "taskmaster",
            "path": f"{root}/taskmaster",
            "shape": "messages",
            "columns": {"messages": "utterances", "role": "speaker", "content": "text"},
        },
        {
            "name": "taskmaster-turns",
            "path": f"{root}/taskmaster-turns",
            "group_by": "dialogue",
            "order_by": "n",
            "columns": {"role": "speaker", "content": "text"},
        },
    ]
    return {
        "output": output,
        "sources": sources[::-1] if reverse else sources,
        "fragment_size": "256KiB",
        "seed": 7,
    }


def write_recipe(path: Path, content: dict[str, Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    return path


def prepare(path: Path, *overrides: str) -> tuple[int, float]:
    """`headrace prepare`; returns exit code and seconds."""
    started = time.monotonic()
    code = subprocess.run([*HEADRACE, "prepare", str(path), *overrides], check=False).returncode
    return code, time.monotonic() - started


def killed(path: Path, who: str, *, after: int, overrides: tuple[str, ...] = ()) -> None:
    """Start `headrace prepare`, wait for `after` commits, then `kill -9` the driver or a worker."""
    from headrace.cluster import storage

    output = yaml.safe_load(path.read_text(encoding="utf-8"))["output"]
    driver = subprocess.Popen([*HEADRACE, "prepare", str(path), *overrides])
    commits = 0
    while driver.poll() is None and commits < after:
        time.sleep(0.2)
        commits = len(storage.listing(storage.join(output, "ledger/prepare")))
    if driver.poll() is not None:
        raise SystemExit(f"the run ended before {after} commits: nothing was killed")
    print(f"--- killing the {who} after {commits} commits", flush=True)
    if who == "driver":
        driver.send_signal(signal.SIGKILL)
        driver.wait()
        return
    children = psutil.Process(driver.pid).children(recursive=True)
    workers = [p for p in children if "".join(p.cmdline()).startswith("ray::MapBatches")]
    for worker in workers[:1]:
        worker.kill()
    print(f"--- killed {len(workers[:1])} worker; driver exit {driver.wait()}", flush=True)


def told(output: str) -> dict[str, Any]:
    return json.loads((Path(output) / "run.json").read_text(encoding="utf-8"))


def once(directory: Path) -> None:
    """One run and its figures."""
    output = str(directory / "runs" / "once")
    path = write_recipe(directory / "recipes" / "once.yaml", recipe(str(directory), output))
    code, seconds = prepare(path)
    print(f"exit {code}, {seconds:.0f} s")
    run = told(output)
    print(json.dumps({k: run[k] for k in ("rows", "sources", "packed", "pii", "memory", "digest")}, indent=1))
    for stage, t in run["stages"].items():
        speed = t["bytes"] / t["seconds"] / 1e6 if t["seconds"] else float("inf")
        print(f"{stage:<12} {t['seconds']:8.2f} CPU s {t['bytes'] / 1e6:8.2f} MB {speed:8.1f} MB/s")


def matrix(directory: Path) -> None:
    """Every way to the same bytes; exits 1 where two digests differ."""
    digests = {}
    for name, overrides in (
        ("workers-1", ["workers=1"]),
        ("workers-2", ["workers=2"]),
        ("workers-4", ["workers=4"]),
    ):
        digests[name] = run_as(directory, name, recipe(str(directory), ""), overrides)
    digests["reversed"] = run_as(
        directory, "reversed", recipe(str(directory), "", reverse=True), ["workers=2"]
    )
    for who in ("driver", "worker"):
        name = f"kill-{who}"
        content = recipe(str(directory), str(directory / "runs" / name))
        path = write_recipe(directory / "recipes" / f"{name}.yaml", content)
        killed(path, who, after=20, overrides=("workers=2",))
        digests[name] = run_as(directory, name, content, ["workers=2"])
    if os.environ.get("AWS_ENDPOINT_URL"):
        digests |= on_s3(directory)
    print(json.dumps(digests, indent=1))
    if len(set(digests.values())) != 1:
        raise SystemExit("the digests differ")


def run_as(directory: Path, name: str, content: dict[str, Any], overrides: list[str]) -> str:
    content = {**content, "output": str(directory / "runs" / name)}
    path = write_recipe(directory / "recipes" / f"{name}.yaml", content)
    code, seconds = prepare(path, *overrides)
    digest = told(content["output"])["digest"]
    print(f"=== {name}: exit {code}, {seconds:.0f} s, digest {digest}", flush=True)
    return digest


def on_s3(directory: Path) -> dict[str, str]:
    """The same with shards and run directory in a fresh bucket: left alone, and with the driver killed."""
    from headrace.cluster import storage

    bucket = f"headrace-{uuid.uuid4().hex[:12]}"
    storage.filesystem("s3://x")[0].mkdir(bucket)
    for folder in ("gsm8k", "gpteacher", "llm-adapters", "multidogo", "taskmaster", "taskmaster-turns"):
        for path in sorted((directory / folder).rglob("*")):
            if path.is_file():
                storage.put(f"s3://{bucket}/in/{path.relative_to(directory)}", path.read_bytes())
    digests = {}
    for name in ("s3", "s3-kill-driver"):
        output = f"s3://{bucket}/{name}"
        path = write_recipe(directory / "recipes" / f"{name}.yaml", recipe(f"s3://{bucket}/in", output))
        if name == "s3-kill-driver":
            killed(path, "driver", after=20, overrides=("workers=2",))
        code, seconds = prepare(path, "workers=2")
        digests[name] = str(json.loads(storage.read_bytes(f"{output}/run.json"))["digest"])
        print(f"=== {name}: exit {code}, {seconds:.0f} s, digest {digests[name]}", flush=True)
    return digests


if __name__ == "__main__":
    commands = {"shards": shards, "once": once, "matrix": matrix}
    commands[sys.argv[1]](Path(sys.argv[2]).resolve())
