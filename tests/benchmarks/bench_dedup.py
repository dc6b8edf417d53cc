"""Near-duplicates: first whether the right rows go, then how fast, in the same run.

Quality on labelled pairs of twelve kinds (see `labelled`, `judging`): precision, recall and F1 by kind and by
Jaccard band, and the share of true pairs that are looked at. Templates that differ in one slot have a line of
their own, without a floor. Speed: documents of 1 to 2 KB with a tenth near-duplicates, texts in memory to
decided removals, and how the cost of a row grows. Other tools on the same data: `bench_peers.py`.

    python tests/benchmarks/bench_dedup.py [--out FILE] [--pairs N] [--documents N ...] [--threads N]

writes a CSV with a line a measurement: measure, case, figure, unit, date, commit, processor, threads, load.
The default run takes some minutes; `--documents 20000 100000 1000000` needs 7 GB.
"""

import argparse
import csv
import os
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
from bench_kernels import commit, processor
from judging import BANDS, MARGIN, THRESHOLD, TRUTHS, Counts, Truth, headrace, judge, short_pairs
from labelled import KINDS, make_documents, pairs_of, templates
from numpy.typing import NDArray

from headrace import kernels
from headrace.cluster import process
from headrace.pipelines.stages.dedup import blocks, in_memory
from headrace.pipelines.stages.dedup import config as dedup_config
from headrace.pipelines.stages.fingerprint import stage as fingerprint

HERE = Path(__file__).resolve().parent
FLOOR = 0.995
SMALL = 200_000  # documents up to which a figure is the best of three runs; beyond, of two
Figure = tuple[str, str, float, str]


def measure_quality(pairs: int) -> Iterator[Figure]:
    """Precision, recall and F1 by kind, all kinds and band, under each truth; floors for the verifier's."""
    total: dict[str, Counts] = {}
    looked_at: list[tuple[float, bool]] = []
    for seed, kind in enumerate(KINDS):
        texts = pairs_of(kind, pairs, seed)
        removals = headrace(texts)
        for space, measure in TRUTHS.items():
            truth = measure(texts)
            counts = judge(removals, truth)
            total[space] = total[space] + counts if space in total else counts
            yield from _scores(f"{kind}", space, counts)
            if space == "windows":
                assert min(counts.scores[0], counts.scores[2]) >= FLOOR, (kind, counts)
                looked_at += _looked_at(texts, truth)
        if kind == "short":
            yield "true pairs told apart as too short", kind, short_pairs(texts), "pairs"
    for space, counts in total.items():
        yield from _scores("all kinds", space, counts)
        yield from _by_band(space, counts)
    assert min(total["windows"].scores[::2]) >= FLOOR
    similarity, seen = np.array([s for s, _ in looked_at]), np.array([s for _, s in looked_at])
    for low, high in BANDS:
        band = (similarity >= low) & (similarity < high)
        yield "pairs looked at", f"Jaccard {low:.2f} to {min(high, 1):.2f}", float(seen[band].mean()), "share"
    texts = templates(400, 99)
    for space, measure in TRUTHS.items():
        yield from _scores("templates, one slot", space, judge(headrace(texts), measure(texts)))


def _scores(case: str, space: str, counts: Counts) -> Iterator[Figure]:
    for name, value in zip(("precision", "recall", "F1"), counts.scores, strict=True):
        yield f"{name} ({space})", case, value, "share"
    yield f"scored removals ({space})", case, counts.right + counts.wrong, "rows"
    yield f"removals near the threshold ({space})", case, counts.unscored, "rows"


def _by_band(space: str, counts: Counts) -> Iterator[Figure]:
    """Share of the pairs of a band with a row removed: recall above the threshold and its margin."""
    for (low, high), pairs, gone in zip(BANDS, counts.pairs, counts.gone, strict=True):
        case = f"Jaccard {low:.2f} to {min(high, 1):.2f}"
        yield f"pairs parted ({space})", case, gone / max(1, pairs), "share"
        yield f"pairs ({space})", case, int(pairs), "pairs"
        if low > THRESHOLD + MARGIN - 1e-9:
            precision, recall = counts.scores[0], gone / max(1, pairs)
            yield f"F1 ({space})", case, 2 * precision * recall / (precision + recall), "share"


def _looked_at(texts: list[str], truth: Truth) -> list[tuple[float, bool]]:
    """Similarity of each pair from .7 up, and whether it is a candidate (with the sketch's cut at .65)."""
    config = dedup_config.Config(threshold=0.7)
    table = fingerprint.apply(in_memory.as_rows(pa.array(texts)), fingerprint.Config())
    rows = blocks.Rows(table)
    _, representative = blocks.exact_copies(rows)
    pairs = rows.place[blocks.candidate_pairs(rows, representative, config)]
    found = {(int(a), int(b)) for a, b in np.sort(pairs, axis=1)}
    best = np.zeros(len(texts), np.bool_)  # copies are decided before near pairs are looked for
    best[rows.place[representative]] = True
    firsts, seconds = np.nonzero(np.triu((truth >= 0.7) & (truth < 1) & best & best[:, None], 1))
    return [(float(truth[a, b]), (int(a), int(b)) in found) for a, b in zip(firsts, seconds, strict=True)]


def planted_found(
    documents: pa.Array, planted: NDArray[np.int64], removed: NDArray[np.int64]
) -> tuple[float, int]:
    """Share of the planted pairs above the threshold with a row removed; removals that were not planted."""
    folded = pa.array([t + " " for t in kernels.fold(documents.take(pa.array(planted.ravel()))).to_pylist()])
    truth = kernels.jaccard(folded, np.arange(planted.size).reshape(-1, 2))
    gone = np.zeros(len(documents), np.bool_)
    gone[removed] = True
    wanted = planted[truth > THRESHOLD + MARGIN]
    gone_unplanted = gone.copy()
    gone_unplanted[planted.ravel()] = False
    return float(gone[wanted].any(axis=1).mean()), int(gone_unplanted.sum())


def measure_speed(count: int) -> Iterator[Figure]:
    """MB/s of the whole pass and of fingerprinting, after a look at what was removed."""
    documents, planted = make_documents(count, count)
    megabytes = documents.nbytes / 1e6
    case = f"{count:,} documents"
    repeats = 3 if count <= SMALL else 2
    table, *whole = timed(lambda: in_memory.duplicates(documents), repeats)
    found, others = planted_found(documents, planted, table["removed"].to_numpy().astype(np.int64))
    yield "planted pairs found", case, found, "share"
    yield "removed, not planted", case, others, "rows"
    assert found >= FLOOR, found
    assert min(table["similarity"].to_pylist()) >= THRESHOLD
    rows = in_memory.as_rows(documents)
    _, *sketched = timed(lambda: fingerprint.apply(rows, fingerprint.Config()), repeats)
    for name, (wall, processor_time) in (("whole pass", whole), ("fingerprint", sketched)):
        yield name, case, megabytes / wall, "MB/s"
        yield f"{name}, CPU time", case, megabytes / processor_time, "MB/s a core"
        yield f"{name}, a row", case, processor_time / count * 1e6, "us CPU"
        yield f"{name}, a row by the clock", case, wall / count * 1e6, "us"
    yield "peak memory", case, process.peak() / 1e9, "GB"


def measure_growth(figures: list[Figure]) -> Iterator[Figure]:
    """How much more a row costs at each size than at the size before."""
    for name in ("whole pass, a row", "whole pass, a row by the clock"):
        costs = [(case, value) for measure, case, value, _ in figures if measure == name]
        for (_, before), (case, after) in pairwise(costs):
            yield f"{name}, to the size before", case, after / before, "x"


def timed(function: Callable[[], pa.Table], repeats: int) -> tuple[pa.Table, float, float]:
    """What it returns, and the least seconds by the clock and of the processor (others may be at work)."""
    clock, processor_time = [], []
    for _ in range(repeats):
        started = time.perf_counter(), time.process_time()
        table = function()
        clock.append(time.perf_counter() - started[0])
        processor_time.append(time.process_time() - started[1])
    return table, min(clock), min(processor_time)


def main() -> None:
    """Check, measure, print and write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--out", type=Path, default=HERE / "dedup.csv")
    parser.add_argument("--documents", type=int, nargs="+", default=[20_000, 100_000])
    parser.add_argument("--pairs", type=int, default=200, help="pairs of each kind")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    options = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = str(options.threads)
    kernels.warm()
    rows: list[tuple[object, ...]] = []
    place = (datetime.now(UTC).date(), commit(), processor(), options.threads)

    def add(figures: list[Figure]) -> None:
        load = f"{os.getloadavg()[0]:.1f}"  # others on the machine slow what is timed by the clock
        for measure, case, value, unit in figures:
            rows.append((measure, case, f"{value:.4g}", unit, *place, load))
            print(f"{measure:42} {case:26} {value:10.4g} {unit}", flush=True)

    add(list(measure_quality(options.pairs)))
    speed: list[Figure] = []
    for count in options.documents:
        found = list(measure_speed(count))
        add(found)
        speed += found
    add(list(measure_growth(speed)))
    with options.out.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["measure", "case", "figure", "unit", "date", "commit", "cpu", "threads", "load"])
        writer.writerows(rows)


if __name__ == "__main__":
    main()
