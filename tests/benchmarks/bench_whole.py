"""The whole preparation, raw JSONL on disk to packed shards and advice: speed, memory, time by stage.

    python tests/benchmarks/bench_whole.py [DIRECTORY] [--megabytes N ...] [--check N] [--rows real|copies]
        [--peers PYTHON] [--peer-megabytes N]

Everything that prepares is on but models: cleaning, traits, personal data and its gate, deduplication, every
check of the examiner, and all evaluation sets of HEADRACE_TEST_DATA to look for.

`--rows real` (the default): 111 MB of real sets, and beyond these rows that are as much like each other as
real ones are (`corpus.rows`, which says how that is measured). `--rows copies`, for lines that compare with
older ones: 13 MB of four real sets (`scale.real_rows`), and beyond these the same with three of four words
exchanged, so that at 500 MB each prompt has 37 others that are alike.

First right: a corpus of `--check` MB must give the same digest with one worker and with two, and in every run
each record must come out again, kept or with its reason. Then fast: CPU seconds are of the tasks of each
stage, and of all processes together, Ray's among them; memory is the peak of driver and workers. Appends to
whole.csv.

`--peers` names the Python of an environment with the peers of `stitched.py`, which says what is in it;
without it nothing is compared. They are given the first `--peer-megabytes` of the same rows (which are
shuffled) before our own run, and stand in whole.csv as `peers.STEP`.
"""

import argparse
import json
import os
import random
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import corpus
import psutil
import real_run
import scale
import yaml
from bench_kernels import append, commit, processor

HERE = Path(__file__).resolve().parent
TOKENIZER = HERE.parents[1] / "pipelines/stages/tokenise/assets/tokenizer"
COLUMNS = (
    *("date", "commit", "cpu", "load", "data", "megabytes", "rows", "workers", "wall_seconds"),
    *("driver_mib", "worker_mib", "stage", "cpu_seconds", "mb_s", "share"),
)


def recipe(folder: Path, output: Path, workers: int) -> dict[str, Any]:
    """Everything on but models."""
    sets = [str(path) for path in sorted((real_run.DATA / "eval").iterdir()) if path.is_dir()]
    return {
        "output": str(output),
        "sources": [{"name": "rows", "path": str(folder)}],
        "decontaminate": {"against": sets},
        "workers": workers,
        "seed": 7,
    }


def watched(command: list[str]) -> float:
    """CPU seconds of a command and all processes below it, looked at twice a second."""
    spent: dict[tuple[int, float], float] = {}
    started = psutil.Popen(command)
    while started.poll() is None:
        try:
            below = [started, *started.children(recursive=True)]
        except psutil.Error:
            below = []
        for process in below:
            try:
                times = process.cpu_times()
                spent[process.pid, process.create_time()] = times.user + times.system
            except psutil.Error:
                continue
        time.sleep(0.5)
    if started.returncode:
        raise SystemExit(f"{' '.join(command)}: exit {started.returncode}")
    return sum(spent.values())


def prepare(folder: Path, rows: int, workers: int) -> tuple[dict[str, Any], float, float]:
    """One run and its advice; run.json, seconds, and CPU seconds of all processes."""
    output = folder / f"run-{workers}"
    shutil.rmtree(output, ignore_errors=True)
    path = folder / f"recipe-{workers}.yaml"
    path.write_text(yaml.safe_dump(recipe(folder / "in", output, workers)), encoding="utf-8")
    began = time.monotonic()
    spent = watched([*real_run.HEADRACE, "prepare", str(path)])
    spent += watched([*real_run.HEADRACE, "advise", str(path)])
    seconds = time.monotonic() - began
    told = real_run.told(str(output))
    gone = sum(told["rows"]["dropped"].values()) + sum(told["rows"]["quarantined"].values())
    if not told["rows"]["in"] == rows == told["rows"]["kept"] + gone:
        raise SystemExit(f"the books do not balance: {rows} rows written, {told['rows']}")
    return told, seconds, spent


def stages(told: dict[str, Any], output: Path) -> dict[str, float]:
    """CPU seconds by stage, the examiner's by check as well."""
    found = {name: float(t["seconds"]) for name, t in told["stages"].items()}
    for path in sorted((output / "ledger" / "examine").glob("*.json")):
        record = json.loads(path.read_text(encoding="utf-8"))
        if "name" in record:
            found[f"examine.{record['name']}"] = record["stages"]["examine"]["seconds"]
    return found


def peers(python: str, directory: Path, data: str, megabytes: int) -> list[dict[str, Any]]:
    """Figures of the pipeline of peers. Raises: CalledProcessError."""
    folder = directory / "whole-peers"
    shutil.rmtree(folder, ignore_errors=True)
    rows, _ = scale.write(folder, DATA[data](), megabytes * 10**6)
    shards = b"".join(path.read_bytes() for path in sorted(folder.iterdir(), key=lambda path: int(path.stem)))
    (folder / "rows.jsonl").write_bytes(shards)
    load = os.getloadavg()[0]
    arguments = [str(folder / "rows.jsonl"), str(TOKENIZER), str(megabytes * 10**6)]
    done = subprocess.run(
        [python, str(HERE / "stitched.py"), *arguments], check=True, stdout=subprocess.PIPE, text=True
    )
    answer = json.loads(done.stdout.splitlines()[-1])
    if answer["told"]["rows"] != rows:
        raise SystemExit(f"the peers were given {rows} rows and read {answer['told']['rows']}")
    print(f"peers, {megabytes} MB: {answer['told']} {answer['versions']}")
    shutil.rmtree(folder)
    by_step = {f"peers.{step}": seconds for step, seconds in answer["seconds"].items()}
    whole = sum(by_step.values())
    return figures(about(data, megabytes, rows, 1, load), {**by_step, "peers": whole}, whole)


def about(data: str, megabytes: int, rows: int, workers: int, load: float) -> dict[str, Any]:
    """What stands in each line of a run."""
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "commit": commit(),
        "cpu": processor(),
        "load": round(load, 1),
        "data": data,
        "megabytes": megabytes,
        "rows": rows,
        "workers": workers,
    }


def figures(common: dict[str, Any], seconds_by: dict[str, float], whole: float) -> list[dict[str, Any]]:
    """A line a stage, with its share of `whole` seconds."""
    return [
        {
            **common,
            "stage": name,
            "cpu_seconds": round(seconds, 2),
            "mb_s": round(common["megabytes"] / seconds, 3) if seconds else "",
            "share": round(seconds / whole, 3),
        }
        for name, seconds in seconds_by.items()
    ]


def measure(
    directory: Path, data: str, megabytes: int, workers: int, peer: float | None
) -> list[dict[str, Any]]:
    """Figures of one size. `peer` is what the peers do, in MB/s of a core."""
    folder = directory / f"whole-{megabytes}"
    shutil.rmtree(folder, ignore_errors=True)
    rows, _ = scale.write(folder / "in", DATA[data](), megabytes * 10**6)
    load = os.getloadavg()[0]
    told, wall, spent = prepare(folder, rows, workers)
    by_stage = stages(told, folder / f"run-{workers}")
    whole = sum(seconds for name, seconds in by_stage.items() if "." not in name)
    common = about(data, megabytes, rows, workers, load) | {
        "wall_seconds": round(wall),
        "driver_mib": told["memory"]["driver"] >> 20,
        "worker_mib": told["memory"]["worker"] >> 20,
    }
    lines = figures(common, {**by_stage, "all tasks": whole, "all processes": spent}, whole)
    say(lines, told, peer)
    shutil.rmtree(folder)
    return lines


def copies() -> Iterator[dict[str, Any]]:
    """Rows of four sets, and copies of them."""
    rows = scale.real_rows()
    random.Random(0).shuffle(rows)
    return corpus.copies(rows)


DATA = {"real": corpus.rows, "copies": copies}


def say(lines: list[dict[str, Any]], told: dict[str, Any], peer: float | None) -> None:
    """Print the figures, and the stage that takes the most."""
    one = lines[0]
    print(f"{one['megabytes']} MB, {one['rows']:,} rows, load {one['load']}; {told['rows']}")
    for line in lines:
        spent = f"{line['cpu_seconds']:9.2f} CPU s {line['mb_s']:>8} MB/s {line['share']:7.1%}"
        print(f"  {line['stage']:<24} {spent}")
    tasks = next(line for line in lines if line["stage"] == "all tasks")
    most = max(lines[:-2], key=lambda line: float(line["cpu_seconds"]))
    beside = f", {tasks['mb_s'] / peer:.1f} times the peers ({peer} MB/s)" if peer else ""
    print(
        f"  {tasks['mb_s']} MB/s a core{beside}; driver {one['driver_mib']} MiB, "
        f"worker {one['worker_mib']} MiB; the next bottleneck: {most['stage']}",
        flush=True,
    )


def check(directory: Path, data: str, megabytes: int) -> None:
    """One digest with one worker and with two. Raises: SystemExit."""
    folder = directory / "whole-check"
    shutil.rmtree(folder, ignore_errors=True)
    rows, _ = scale.write(folder / "in", DATA[data](), megabytes * 10**6)
    digests = {workers: prepare(folder, rows, workers)[0]["digest"] for workers in (1, 2)}
    if len(set(digests.values())) != 1:
        raise SystemExit(f"the digests differ: {digests}")
    print(f"{megabytes} MB, {rows:,} rows: the books balance, digest {digests[1]} with 1 and with 2 workers")
    shutil.rmtree(folder)


def main() -> None:
    """Check, measure, print and write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("directory", type=Path, nargs="?", help="scratch; a temporary one if left out")
    parser.add_argument("--megabytes", type=int, nargs="+", default=[100])
    parser.add_argument("--check", type=int, default=2, help="MB of the corpus for the digests; 0: none")
    parser.add_argument("--rows", choices=[*DATA], default="real")
    parser.add_argument("--peers", metavar="PYTHON", help="Python of an environment with the peers")
    parser.add_argument("--peer-megabytes", type=int, default=3)
    options = parser.parse_args()
    directory = options.directory or Path(tempfile.mkdtemp(prefix="headrace-bench-"))
    if options.check:
        check(directory, options.rows, options.check)
    peer = None
    if options.peers:
        lines = peers(options.peers, directory, options.rows, options.peer_megabytes)
        append(HERE / "whole.csv", COLUMNS, lines)
        peer = lines[-1]["mb_s"]
    for megabytes in options.megabytes:
        lines = measure(directory, options.rows, megabytes, os.cpu_count() or 1, peer)
        append(HERE / "whole.csv", COLUMNS, lines)


if __name__ == "__main__":
    main()
