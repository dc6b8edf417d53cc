"""Runs under seeded faults: whatever happens, the same command ends with the same bytes, or says what is
wrong.

    python -m tests.benchmarks.faults 0 100                           # seeds 0 to 99, on disk
    python -m tests.benchmarks.faults 0 20 --s3 s3://BUCKET/faults    # on S3, through a bad proxy

Each seed draws a kind of fault and its moment. It strikes a `headrace prepare` in a process of its own;
then the same command is given until it ends well, at most `STARTS` times. In the end the digest must be that
of a run that nothing befell, the books must balance, `headrace verify` must find that all stands, and no
temporary file may be left. A start that ends with an error must have said so in our words.
"""

import argparse
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from headrace.cluster import storage
from tests.benchmarks import bad_proxy
from tests.builders import balanced, messy_recipe, save_recipe, write_messy
from tests.conftest import REPOSITORY

STARTS = 4
PATIENCE = 600  # seconds for one start
OURS = re.compile(r"^(error|warning|interrupted|stopped)", re.MULTILINE)


@dataclass(frozen=True)
class Usual:
    """A run that nothing befalls: its digest, its seconds, and the files that were there at some time."""

    digest: str
    seconds: float
    files: int


def below(folder: Path) -> set[str]:
    """All files below a folder."""
    return {os.path.join(at, name) for at, _, names in os.walk(folder) for name in names}


@dataclass
class Case:
    """One fault: where its run is, and what was said by each start."""

    seed: int
    folder: Path
    output: str
    inputs: Path
    usual: Usual
    environment: dict[str, str] = field(default_factory=dict)
    said: list[tuple[int, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.draw = random.Random(self.seed)
        self.recipe = save_recipe(
            self.folder / "recipe.yaml", messy_recipe(self.inputs, self.output, workers=2)
        )

    def start(self) -> subprocess.Popen[str]:
        """The command, in a session of its own."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith("RAY_")}
        return subprocess.Popen(
            [sys.executable, "-m", "headrace", "prepare", self.recipe, "--quiet"],
            env={**kept, "PYTHONPATH": str(REPOSITORY), **self.environment},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            # A shell has what it runs in the background ignore SIGINT, which would be inherited.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )

    def end(self, process: subprocess.Popen[str]) -> int:
        """Wait for a start, and keep what it said."""
        family = _family(process)
        try:
            _, err = process.communicate(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            _, err = process.communicate()
            err += "\nIT HUNG"
        for left in psutil.wait_procs(family, timeout=30)[1]:
            left.kill()
        self.said.append((process.returncode, err))
        return process.returncode

    def later(self, process: subprocess.Popen[str], share: float = 1.0) -> None:
        """Wait until a start has come some way: that many files have been seen, or so long has passed."""
        way, began = self.draw.uniform(0.0, share), time.monotonic()
        seen: set[str] = set()
        while process.poll() is None:
            if storage.is_remote(self.output):
                if time.monotonic() - began > way * self.usual.seconds:
                    return
                time.sleep(0.1)
                continue
            seen |= below(Path(self.output))
            if len(seen) > way * self.usual.files:
                return
            time.sleep(0.01)

    def files(self) -> list[str]:
        """Everything that lies below the run, as paths."""
        return [e.path for e in storage.listing(self.output)]


def _family(process: subprocess.Popen[str]) -> list[psutil.Process]:
    try:
        return psutil.Process(process.pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def driver(case: Case, how: signal.Signals = signal.SIGKILL) -> None:
    """The driver is killed, or asked to stop."""
    process = case.start()
    case.later(process)
    process.send_signal(how)
    case.end(process)


def interrupted(case: Case) -> None:
    """Ctrl-C, or a scheduler's SIGTERM."""
    driver(case, case.draw.choice([signal.SIGINT, signal.SIGTERM]))


def _one_of_ray(case: Case, name: str) -> None:
    process = case.start()
    until = time.monotonic() + PATIENCE
    case.later(process)
    while process.poll() is None and time.monotonic() < until:
        found = [p for p in _family(process) if name in " ".join(_command(p))]
        if found:
            case.draw.choice(found).kill()
            break
        time.sleep(0.1)
    case.end(process)


def _command(process: psutil.Process) -> list[str]:
    try:
        return list(process.cmdline())
    except psutil.Error:
        return []


def worker(case: Case) -> None:
    """A worker of Ray's is killed."""
    _one_of_ray(case, "ray::")


def raylet(case: Case) -> None:
    """Ray's raylet is killed."""
    _one_of_ray(case, "raylet/raylet")


def gcs(case: Case) -> None:
    """Ray's GCS is killed."""
    _one_of_ray(case, "gcs_server")


def damaged(case: Case) -> None:
    """An output is deleted, cut or changed by a bit, after a run that was whole or one that was killed."""
    if case.draw.random() < 0.5:
        case.end(case.start())
    else:
        driver(case)
    names = [f for f in case.files() if "/ledger/" not in f and storage.TEMPORARY not in f]
    for path in case.draw.sample(names, min(2, len(names))):
        data = storage.read_bytes(path)
        fault = case.draw.choice(["deleted", "cut", "flipped"])
        if fault == "deleted" or not data:
            storage.delete(path)
        elif fault == "cut":
            storage.put(path, data[: case.draw.randrange(len(data))])
        else:
            place = case.draw.randrange(len(data))
            storage.put(
                path, data[:place] + bytes([data[place] ^ (1 << case.draw.randrange(8))]) + data[place + 1 :]
            )
    case.end(case.start())
    _run(["verify", case.output, "--remove"], case)  # what nothing reads when all is done is seen by it alone
    case.end(case.start())


def changed_input(case: Case) -> None:
    """An input is appended to, cut or rewritten while it may be read, and then put back as it was."""
    mine = case.folder / "in"
    shutil.copytree(case.inputs, mine, copy_function=shutil.copy2)
    case.inputs = mine
    case.recipe = save_recipe(case.folder / "recipe.yaml", messy_recipe(mine, case.output, workers=2))
    path = case.draw.choice(sorted(p for p in mine.rglob("*") if p.is_file()))
    before, about = path.read_bytes(), path.stat()
    process = case.start()
    case.later(process, 0.6)
    match case.draw.choice(["appended", "cut", "rewritten"]):
        case "appended":
            path.write_bytes(before + before[-200:])
        case "cut":
            path.write_bytes(before[: len(before) // 2])
        case _:
            path.write_bytes(before[::-1])
    case.end(process)
    path.write_bytes(before)
    os.utime(path, ns=(about.st_atime_ns, about.st_mtime_ns))


def twice(case: Case) -> None:
    """The same command is given twice at once."""
    first = case.start()
    case.later(first, 0.5)
    second = case.start()
    case.end(second)
    case.end(first)


def full_disk(case: Case) -> None:
    """The disk of the output is full somewhere on the way, and then has room again."""
    place = Path(case.output)
    place.mkdir(parents=True)
    size = case.draw.randrange(60, 400)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}k", "tmpfs", str(place)], check=True)
    try:
        case.end(case.start())
        subprocess.run(["mount", "-o", "remount,size=500m", str(place)], check=True)
        case.end(case.start())
        kept = case.folder / "kept"
        shutil.copytree(place, kept, copy_function=shutil.copy2)
    finally:
        subprocess.run(["umount", str(place)], check=True)
    shutil.copytree(kept, place, copy_function=shutil.copy2, dirs_exist_ok=True)


def store(case: Case) -> None:
    """The object store answers with errors, resets, cut bodies and late, for one start."""
    with bad_proxy.serve(
        os.environ["AWS_ENDPOINT_URL"], case.seed, case.draw.choice([0.01, 0.05, 0.2])
    ) as url:
        case.environment = {"AWS_ENDPOINT_URL": url}
        case.end(case.start())
    case.environment = {}


ON_DISK: dict[str, Callable[[Case], None]] = {
    "driver killed": driver,
    "driver stopped": interrupted,
    "worker killed": worker,
    "raylet killed": raylet,
    "GCS killed": gcs,
    "outputs damaged": damaged,
    "input changed": changed_input,
    "two at once": twice,
    "disk full": full_disk,
}
ON_S3: dict[str, Callable[[Case], None]] = {
    "store's errors": store,
    "driver killed": driver,
    "outputs damaged": damaged,
}


def _run(arguments: list[str], case: Case) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-m", "headrace", *arguments],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def look(case: Case, digest: str) -> list[str]:
    """What is wrong with a run after its fault; nothing where all is as it should be."""
    wrong = []
    while (not case.said or case.said[-1][0]) and len(case.said) < STARTS:
        case.end(case.start())
    wrong += ["the same command never ended well"] if case.said[-1][0] else []
    for code, err in case.said:
        if code > 0 and not OURS.search(err):
            wrong.append(f"exit {code} without a word of ours: {err[-200:]!r}")
        if "Traceback" in err or "IT HUNG" in err:
            wrong.append(f"a traceback, or it hung: {err[-300:]!r}")
    written: dict[str, Any] = json.loads(storage.read_bytes(storage.join(case.output, "run.json")))
    if written.get("digest") != digest:
        wrong.append(f"digest {written.get('digest')}")
    if not balanced(written["rows"]):
        wrong.append("books do not balance")
    if left := [f for f in case.files() if storage.TEMPORARY in f]:
        wrong.append(f"{len(left)} temporaries are left")
    code, text = _run(["verify", case.output], case)
    if code:
        wrong.append(f"verify: {code} {text[-300:]!r}")
    return wrong


def one(seed: int, root: str, inputs: Path, usual: Usual) -> tuple[str, list[str], list[int]]:
    """Strike with fault `seed`; returns its kind, what is wrong in the end, and the starts' exit codes."""
    kinds = ON_S3 if storage.is_remote(root) else ON_DISK
    name = list(kinds)[seed % len(kinds)]
    folder = Path(tempfile.mkdtemp(prefix=f"fault-{seed}-"))
    output = storage.join(root, f"run-{seed}") if storage.is_remote(root) else str(folder / "run")
    case = Case(seed, folder, output, inputs, usual)
    kinds[name](case)
    wrong = look(case, usual.digest)
    if not wrong:
        shutil.rmtree(folder, ignore_errors=True)
        if storage.is_remote(root):
            storage.delete(output)
    return name, wrong, [code for code, _ in case.said]


def unhurt(folder: Path, inputs: Path) -> Usual:
    """A run that nothing befalls, watched."""
    case = Case(-1, folder, str(folder / "run"), inputs, Usual("", 0.0, 10**9))
    process, began = case.start(), time.monotonic()
    seen: set[str] = set()
    while process.poll() is None:
        seen |= below(folder / "run")
        time.sleep(0.01)
    assert case.end(process) == 0, case.said
    written = json.loads((folder / "run/run.json").read_bytes())
    return Usual(str(written["digest"]), time.monotonic() - began, len(seen))


def main() -> int:
    """Strike with every seed asked for, and print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("first", type=int)
    parser.add_argument("stop", type=int)
    parser.add_argument("--s3", default="")
    asked = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="faults-"))
    inputs = write_messy(folder / "in")
    usual = unhurt(folder, inputs)
    print(f"unhurt: {usual.digest}, {usual.seconds:.0f} s, {usual.files} files", flush=True)
    counts: Counter[str] = Counter()
    failed: Counter[str] = Counter()
    for seed in range(asked.first, asked.stop):
        name, wrong, codes = one(seed, asked.s3 or str(folder), inputs, usual)
        counts[name] += 1
        failed[name] += bool(wrong)
        print(f"{seed:4} {name:16} starts {codes} {'; '.join(wrong) or 'as it should be'}", flush=True)
    for name, count in counts.items():
        print(f"{name:16} {count - failed[name]} of {count}")
    return int(sum(failed.values()) > 0)


if __name__ == "__main__":
    raise SystemExit(main())
