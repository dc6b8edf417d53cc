"""Candidates by bands, by SimHash, by both: first whether what they find is right, then at what cost.

What is looked at: labelled pairs of twelve kinds (see `labelled`) by their Jaccard similarity, at the
default threshold, and by how many bits their SimHashes differ. Removals of documents with planted edits,
where each way must find what bands find above .95; then MB/s, CPU time and memory of the whole pass by each
way, on the same documents of 1 to 2 KB in memory. `--faiss`: pairs of signatures, ours beside Faiss's.

    python tests/benchmarks/bench_simhash.py [--out FILE] [--pairs N] [--documents N ...] [--faiss N ...]

writes a CSV with a line a measurement: measure, case, way, figure, unit, date, commit, processor, threads,
load. `--documents 100000 1000000` takes some minutes and 7 GB.
"""

import argparse
import csv
import ctypes
import gc
import os
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from bench_kernels import commit, processor
from judging import BANDS, truth_of_windows
from labelled import KINDS, make_documents, pairs_of
from numpy.typing import NDArray

from headrace import kernels
from headrace.pipelines.stages.dedup import blocks, in_memory, signatures
from headrace.pipelines.stages.dedup.config import Config
from headrace.pipelines.stages.fingerprint import stage as fingerprint

HERE = Path(__file__).resolve().parent
WAYS: tuple[Literal["bands", "simhash", "both"], ...] = ("bands", "simhash", "both")
FLOOR = {"bands": 0.99, "simhash": 0.98, "both": 0.99}  # of the pairs from .90 up that are looked at
Figure = tuple[str, str, str, float, str]


def measure_recall(pairs: int) -> Iterator[Figure]:
    """Share of the true pairs of each similarity that each way looks at, and bits between their SimHashes."""
    measured: list[NDArray[np.float64]] = []  # similarity, bits, and whether each way looks at it
    for seed, kind in enumerate(KINDS):
        texts = pairs_of(kind, pairs, seed)
        truth = truth_of_windows(texts)
        table = fingerprint.apply(in_memory.as_rows(pa.array(texts)), fingerprint.Config())
        rows = blocks.Rows(table)
        _, best = blocks.exact_copies(rows)
        stands = np.zeros(len(texts), np.bool_)  # copies are decided before near pairs are looked for
        stands[rows.place[best]] = True
        first, second = np.nonzero(
            np.triu((truth >= BANDS[0][0]) & (truth < 1) & stands & stands[:, None], 1)
        )
        simhash = table["simhash"].to_numpy()
        bits = np.bitwise_count(simhash[first] ^ simhash[second])
        looked = [_looked_at(rows, best, Config(candidates=way), first, second) for way in WAYS]
        measured.append(np.stack([truth[first, second], bits, *looked]).astype(np.float64))
    similarity, bits, *seen = np.concatenate(measured, axis=1)
    for low, high in BANDS:
        band = (similarity >= low) & (similarity < high)
        case = f"Jaccard {low:.2f} to {min(high, 1):.2f}"
        yield "pairs", case, "", int(band.sum()), "pairs"
        yield "SimHash, mean distance", case, "", float(bits[band].mean()), "bits"
        yield "SimHash, 98 of 100 pairs within", case, "", float(np.percentile(bits[band], 98)), "bits"
        for way, found in zip(WAYS, seen, strict=True):
            yield "pairs looked at", case, way, float(found[band].mean()), "share"
            assert low < 0.9 or found[band].mean() >= FLOOR[way], (way, case)


def _looked_at(
    rows: blocks.Rows,
    best: NDArray[np.bool_],
    config: Config,
    first: NDArray[np.int64],
    second: NDArray[np.int64],
) -> NDArray[np.bool_]:
    pairs = np.sort(rows.place[in_memory.all_candidates(rows, best, config)], axis=1)
    found = set(map(tuple, pairs.tolist()))
    return np.array([(a, b) in found for a, b in zip(first.tolist(), second.tolist(), strict=True)], np.bool_)


def measure_ways(count: int) -> Iterator[Figure]:
    """Removals, then MB/s, CPU time and memory of each way on the same documents."""
    documents, planted = make_documents(count, count)
    case, megabytes = f"{count:,} documents", documents.nbytes / 1e6
    removed: dict[str, dict[int, float]] = {}
    for way in WAYS:
        config = Config(candidates=way)
        table, used = clocked(lambda config=config: in_memory.duplicates(documents, config))  # type: ignore[misc]
        rows = table["removed"].to_pylist()
        removed[way] = dict(zip(rows, table["similarity"].to_pylist(), strict=True))
        gone = np.zeros(count, np.bool_)
        gone[rows] = True
        yield "planted pairs found", case, way, float(gone[planted].any(axis=1).mean()), "share"
        yield "rows removed", case, way, len(rows), "rows"
        yield from _used("whole pass", case, way, used, megabytes)
    sure = {row for row, similarity in removed["bands"].items() if similarity >= 0.95}
    for way in WAYS:
        share = len(sure & removed[way].keys()) / len(sure)
        yield "removals of bands from .95 up that go", case, way, share, "share"
        assert share >= FLOOR[way], (way, share)
    yield from _candidates(documents, case, megabytes)


def _candidates(documents: pa.Array, case: str, megabytes: float) -> Iterator[Figure]:
    """What finding candidates takes alone, and how many there are."""
    rows = blocks.Rows(fingerprint.apply(in_memory.as_rows(documents), fingerprint.Config()))
    _, best = blocks.exact_copies(rows)
    for way in WAYS:
        config = Config(candidates=way)
        pairs, used = clocked(lambda config=config: in_memory.all_candidates(rows, best, config))  # type: ignore[misc]
        yield "candidate pairs", case, way, len(pairs), "pairs"
        yield from _used("candidates", case, way, used, megabytes)
    yield "tables", case, "simhash", len(signatures.tables(int(best.sum()), config)), "tables"


def _used(name: str, case: str, way: str, used: dict[str, float], megabytes: float) -> Iterator[Figure]:
    yield name, case, way, megabytes / used["wall"], "MB/s"
    yield f"{name}, CPU time", case, way, megabytes / used["cpu"], "MB/s a core"
    yield f"{name}, CPU seconds", case, way, used["cpu"], "s"
    yield f"{name}, memory at the peak", case, way, used["peak"], "GB"
    yield f"{name}, memory before", case, way, used["before"], "GB"


def clocked(function: Callable[[], Any]) -> tuple[Any, dict[str, float]]:
    """What it returns, and seconds by the clock and of the processor, GB before it and at its peak."""
    gc.collect()
    pa.default_memory_pool().release_unused()
    ctypes.CDLL(None).malloc_trim(0)  # what making documents took, and has given back, must not hide a peak
    before = _status("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    began = time.perf_counter(), time.process_time()
    found = function()
    used = {"wall": time.perf_counter() - began[0], "cpu": time.process_time() - began[1]}
    return found, {**used, "before": before, "peak": _status("VmHWM")}


def _status(name: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name)) / 1e6


def measure_faiss(count: int) -> Iterator[Figure]:
    """CPU seconds for all pairs of signatures within 3, 8 and 12 bits, a tenth planted: ours and Faiss's.

    Faiss is asked for some rows' neighbours, and its time multiplied.
    """
    import faiss

    faiss.omp_set_num_threads(len(os.sched_getaffinity(0)))
    # Hashes, bits of each and flips: every pair within 3 bits agrees in one of four quarters, one of 8 bits
    # lies within two flips of it in one, one of 12 within three.
    flips = {3: 0, 8: 2, 12: 3}
    for distance in (3, 8, 12):
        rows = _planted(count, distance)
        case = f"{count:,} signatures, {distance} bits"
        exact, used = clocked(lambda: kernels.hamming_pairs(rows, distance))  # noqa: B023
        found, tables = clocked(lambda: kernels.hamming_pairs(rows, distance, 0.95))  # noqa: B023
        assert set(map(tuple, found.tolist())) <= set(map(tuple, exact.tolist()))
        yield "pairs found at recall .95", case, "", len(found) / len(exact), "share"
        yield "hamming_pairs, exact", case, "", used["cpu"], "s CPU"
        yield "hamming_pairs, recall .95", case, "", tables["cpu"], "s CPU"
        codes = rows.view(np.uint8).reshape(-1, 8)
        flat, hashes = faiss.IndexBinaryFlat(64), faiss.IndexBinaryMultiHash(64, 4, 16)
        hashes.nflip = flips[distance]
        for name, index, some in (("IndexBinaryFlat", flat, 5_000), ("IndexBinaryMultiHash", hashes, 500)):
            asked = codes[:some]
            _, adding = clocked(lambda: index.add(codes))  # noqa: B023
            _, searching = clocked(lambda: index.range_search(asked, distance + 1))  # noqa: B023
            seconds = adding["cpu"] + searching["cpu"] * count / len(asked)
            yield f"Faiss {name}, exact", case, "", seconds, "s CPU"


def _planted(count: int, distance: int) -> NDArray[np.uint64]:
    """Distinct signatures, a tenth of them up to `distance` flipped bits from another one."""
    rng = np.random.default_rng(count + distance)
    base = rng.integers(0, 2**64, count - count // 10, np.uint64)
    twins = base[: count // 10].copy()
    places = np.argsort(rng.random((len(twins), 64)), axis=1)[:, :distance].astype(np.uint64)
    flips = rng.integers(1, distance + 1, len(twins))
    for at in range(distance):
        twins = np.where(at < flips, twins ^ (np.uint64(1) << places[:, at]), twins)
    return rng.permutation(np.unique(np.concatenate([base, twins])))


def main() -> None:
    """Check, measure, print and write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--out", type=Path, default=HERE / "simhash.csv")
    parser.add_argument("--pairs", type=int, default=200, help="pairs of each kind")
    parser.add_argument("--documents", type=int, nargs="*", default=[100_000])
    parser.add_argument("--faiss", type=int, nargs="*", default=[])
    options = parser.parse_args()
    threads = len(os.sched_getaffinity(0))
    os.environ["OMP_NUM_THREADS"] = str(threads)
    kernels.warm()
    in_memory.duplicates(make_documents(2000, 1)[0], Config(candidates="both"))  # compiles the rest
    place = (datetime.now(UTC).date(), commit(), processor(), threads)
    measures = [
        measure_recall(options.pairs),
        *map(measure_ways, options.documents),
        *map(measure_faiss, options.faiss),
    ]
    with options.out.open("w", newline="") as file:
        writer = csv.writer(file)
        names = ["measure", "case", "way", "figure", "unit", "date", "commit", "cpu", "threads", "load"]
        writer.writerow(names)
        for figure in (figure for measure in measures for figure in measure):
            measure, case, way, value, unit = figure
            load = f"{os.getloadavg()[0]:.1f}"  # others on the machine slow what is timed by the clock
            writer.writerow([measure, case, way, f"{value:.4g}", unit, *place, load])
            file.flush()
            print(f"{measure:40} {case:28} {way:8} {value:10.4g} {unit}", flush=True)


if __name__ == "__main__":
    main()
