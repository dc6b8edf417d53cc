"""headrace beside other deduplication tools: same texts, same cores, same run; first right, then fast.

Quality by kind and Jaccard band, under two truths (see `judging`): our own feature space, and word 3-grams,
which suits tools that count words. Speed: documents of 1 to 2 KB with a tenth near-duplicates, texts in
memory to decided removals; ratios are headrace's MB/s over the tool's.

    python tests/benchmarks/bench_peers.py --python PEERS/bin/python [--pairs N] [--documents N ...]

`PEERS` is an environment with the other tools (`peer_tools.py` says which; HEADRACE_PEERS names it too);
without it, nothing is compared. A tool stops at the last size that it would finish within `--limit`
seconds. Writes a CSV with a line a measurement.
"""

import argparse
import csv
import json
import os
import subprocess
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from bench_dedup import planted_found, timed
from bench_kernels import commit, processor
from judging import BANDS, TRUTHS, Counts, Removals, headrace, judge
from labelled import KINDS, LANGUAGE, make_documents, pairs_of, templates
from peer_tools import TOOLS

from headrace import kernels
from headrace.pipelines.stages.dedup import in_memory

HERE = Path(__file__).resolve().parent
OURS, VERSION = "headrace", "this commit"
TRIAL = 2_000  # documents from which the seconds of a larger run are foreseen
SHORT = 30.0  # seconds below which a figure is the better of two runs
Figure = tuple[str, str, str, str, float, str, float | None]  # tool, version, measure, case, ..., ratio


class Answer(NamedTuple):
    removed: list[int] | None
    version: str
    wall: float
    cpu: float


def ask(python: str, tool: str, texts: pa.Array, language: str, cores: int, limit: float) -> Answer | None:
    """What the tool removes in a process of its own; None where it fails or takes too long."""
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/texts.arrow"
        table = pa.table({"text": texts})
        with pa.OSFile(path, "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
            writer.write_table(table)
        command = [python, str(HERE / "peer_tools.py"), tool, path, language, str(cores)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=limit + 120)
        except subprocess.TimeoutExpired:
            return None
        if done.returncode:
            print(f"{tool} failed: {done.stderr.strip().splitlines()[-1:]}")
            return None
        return Answer(**json.loads(done.stdout))


def measure_quality(python: str, tools: list[str], pairs: int, cores: int) -> Iterator[Figure]:
    """Precision, recall and F1 of every tool by kind, and the pairs parted by band."""
    total: dict[tuple[str, str], Counts] = {}
    versions = {OURS: VERSION}
    for seed, kind in enumerate([*KINDS, "templates, one slot"]):
        texts = pairs_of(kind, pairs, seed) if kind in KINDS else templates(2 * pairs, 99)
        truths = {space: measure(texts) for space, measure in TRUTHS.items()}
        found: dict[str, Removals] = {OURS: headrace(texts)}
        for tool in tools:
            answer = ask(python, tool, pa.array(texts), LANGUAGE.get(kind, "en"), cores, 600)
            if answer is not None and answer.removed is not None:
                versions[tool] = answer.version
                found[tool] = Removals(np.array(answer.removed, np.int64), None)
        for tool, removals in found.items():
            for space, truth in truths.items():
                counts = judge(removals, truth)
                yield from _scores(tool, versions[tool], kind, space, counts)
                if kind in KINDS:
                    at = tool, space
                    total[at] = total[at] + counts if at in total else counts
    for (tool, space), counts in total.items():
        yield from _scores(tool, versions[tool], "all kinds", space, counts)
        for (low, high), every, gone in zip(BANDS, counts.pairs, counts.gone, strict=True):
            case = f"Jaccard {low:.2f} to {min(high, 1):.2f}"
            share = gone / max(1, every)
            yield tool, versions[tool], f"pairs parted ({space})", case, share, "share", None


def _scores(tool: str, version: str, case: str, space: str, counts: Counts) -> Iterator[Figure]:
    for name, value in zip(("precision", "recall", "F1"), counts.scores, strict=True):
        yield tool, version, f"{name} ({space})", case, value, "share", None


def worse_than_a_peer(figures: list[Figure]) -> list[str]:
    """Kinds where a tool's F1 is above ours."""
    found = []
    ours = {(m, c): v for tool, _, m, c, v, *_ in figures if tool == OURS}
    for tool, _, measure, case, value, *_ in figures:
        if tool != OURS and measure.startswith("F1") and value > ours[measure, case] + 1e-6:
            found.append(f"{measure}, {case}: {tool} {value:.4f}, {OURS} {ours[measure, case]:.4f}")
    return found


def measure_speed(
    python: str, tools: list[str], sizes: list[int], cores: int, limit: float
) -> Iterator[Figure]:
    """MB/s of every tool at every size that it would finish within the limit."""
    foreseen = dict.fromkeys(tools, 0.0)  # seconds a document
    for count in [TRIAL, *sizes]:
        documents, planted = make_documents(count, count)
        megabytes, case = documents.nbytes / 1e6, f"{count:,} documents"
        table, wall, cpu = timed(lambda documents=documents: in_memory.duplicates(documents), 2)  # type: ignore[misc]
        answers = {OURS: Answer(table["removed"].to_pylist(), VERSION, wall, cpu)}
        for tool in tools:
            if foreseen[tool] * count > limit:
                continue
            runs = [ask(python, tool, documents, "en", cores, limit)]
            if count != TRIAL and runs[0] and runs[0].wall < SHORT:
                runs.append(ask(python, tool, documents, "en", cores, limit))
            done = [run for run in runs if run is not None]
            if not done:
                foreseen[tool] = float("inf")
                continue
            answers[tool] = min(done, key=lambda run: run.wall)
            foreseen[tool] = answers[tool].wall / count
        if count == TRIAL:
            continue
        for tool, answer in answers.items():
            if answer.removed is not None:
                removed = np.array(answer.removed, np.int64)
                found, others = planted_found(documents, planted, removed)
                yield tool, answer.version, "planted pairs found", case, found, "share", None
                yield tool, answer.version, "removed, not planted", case, others, "rows", None
            for name, ours, theirs, unit in (
                ("whole pass", wall, answer.wall, "MB/s"),
                ("whole pass, CPU time", cpu, answer.cpu, "MB/s a core"),
            ):
                yield tool, answer.version, name, case, megabytes / theirs, unit, theirs / ours


def main() -> None:
    """Check, measure, print and write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--out", type=Path, default=HERE / "peers.csv")
    parser.add_argument("--python", default=os.environ.get("HEADRACE_PEERS"))
    parser.add_argument("--tools", nargs="+", default=list(TOOLS), choices=list(TOOLS))
    parser.add_argument("--pairs", type=int, default=200, help="pairs of each kind")
    parser.add_argument("--documents", type=int, nargs="*", default=[20_000])
    parser.add_argument("--limit", type=float, default=300, help="seconds of one run of another tool")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    options = parser.parse_args()
    if not options.python:
        print("no other tools: --python names the interpreter that has them")
        return
    os.environ |= {"OMP_NUM_THREADS": str(options.threads), "RAYON_NUM_THREADS": str(options.threads)}
    kernels.warm()
    place = (datetime.now(UTC).date(), commit(), processor(), options.threads)
    rows: list[tuple[Any, ...]] = []

    def add(figure: Figure) -> Figure:
        *given, ratio = figure
        tool, _, measure, case, value, unit = given
        shown = "" if ratio is None else f"{ratio:.3g}"
        load = f"{os.getloadavg()[0]:.1f}"
        rows.append((*given[:4], f"{value:.4g}", unit, shown, *place, load))
        print(f"{tool:24} {measure:28} {case:22} {value:9.4g} {unit:12} {shown}", flush=True)
        return figure

    if options.pairs:
        quality = [
            add(f) for f in measure_quality(options.python, options.tools, options.pairs, options.threads)
        ]
        print("\n".join(["kinds where another tool's F1 is higher:", *worse_than_a_peer(quality)]))
    sizes = options.documents, options.threads, options.limit
    for figure in measure_speed(options.python, options.tools, *sizes):
        add(figure)
    with options.out.open("w", newline="") as file:
        writer = csv.writer(file)
        heads = ["tool", "version", "measure", "case", "figure", "unit", "headrace_ratio"]
        writer.writerow([*heads, "date", "commit", "cpu", "threads", "load"])
        writer.writerows(rows)


if __name__ == "__main__":
    main()
