"""Speed of the kernels on one core, beside blake2b over the same bytes in the same run.

Nothing is timed before it is right: each kernel is first compared with its reference on a part of the very
data. Texts are made from a seed (a vocabulary with Zipf's frequencies; one set of Chinese characters).

    python tests/benchmarks/bench_kernels.py [--out FILE] [--threads N] [--million] [--faiss [ROWS]]

writes a CSV with a line a measurement: kernel, case, figure, unit, its ratio to blake2b (for texts), and
date, commit, processor, threads and the load of the machine. Hamming searches run on all cores. `--million`
adds tables over 1 and 10 million signatures, `--faiss` the range search of Faiss over the same signatures
(quadratic: a million take minutes). The default run takes half a minute.
"""

import argparse
import csv
import hashlib
import os
import platform
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from headrace import kernels

CHUNKS = {"smallest": 64, "average": 128, "largest": 512}  # as the stage has them by default
HERE = Path(__file__).resolve().parent
Figure = tuple[str, str, float, str, float | None]


def best(function: Callable[[], object], repeats: int = 5) -> float:
    """Least seconds of some runs: what the machine does undisturbed."""
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def make_documents(count: int, size: int, alphabet: str, seed: int) -> pa.Array:
    """`count` texts of about `size` bytes in words of a Zipfian vocabulary."""
    rng = np.random.default_rng(seed)
    letters = list(alphabet)
    words = ["".join(rng.choice(letters, rng.integers(1, 11))) for _ in range(5000)]
    picks = np.minimum(rng.zipf(1.2, count * size // 4), len(words)) - 1
    marks = rng.integers(0, 12, len(picks))
    running = "".join(
        words[w] + (", " if m == 0 else ". " if m == 1 else " ") for w, m in zip(picks, marks, strict=True)
    )
    step = size * len(running) // len(running.encode())
    return pa.array(
        [running[i * step : (i + 1) * step].capitalize() for i in range(count)], pa.large_string()
    )


def check_texts(documents: pa.Array) -> None:
    """The first texts by reference and by the fast path, to the bit."""
    some = documents[:20]
    folded = kernels.fold(some)
    assert folded.equals(kernels.fold(some, implementation="reference"))
    for bits in (64, 128):
        ours = kernels.fingerprint(folded, bits=bits)
        plain = kernels.fingerprint(folded, bits=bits, implementation="reference")
        for fast, slow in zip(ours, plain, strict=True):
            np.testing.assert_array_equal(fast, slow)
    assert np.array_equal(kernels.content_hash(some), kernels.content_hash(some, implementation="reference"))
    chunked = (kernels.chunks(some, **CHUNKS, implementation=name) for name in ("cpu", "reference"))
    assert all(map(np.array_equal, *chunked))
    pairs = np.stack(np.triu_indices(len(some), 1), axis=1)
    assert np.array_equal(
        kernels.overlap(folded, pairs), kernels.overlap(folded, pairs, implementation="reference")
    )


def measure_texts(case: str, documents: pa.Array) -> Iterator[Figure]:
    """MB/s of every kernel over texts, and its ratio to blake2b."""
    check_texts(documents)
    raw = [text.as_py().encode() for text in documents]
    folded = kernels.fold(documents)
    size, folded_size = (
        sum(len(text.as_py().encode()) for text in texts) / 1e6 for texts in (documents, folded)
    )
    hashing = size / best(lambda: [hashlib.blake2b(text).digest() for text in raw])
    yield "blake2b", case, hashing, "MB/s", 1.0
    whole = b"".join(raw)
    undivided = size / best(lambda: hashlib.blake2b(whole).digest())
    yield "blake2b, one text", case, undivided, "MB/s", undivided / hashing
    half = len(folded) // 2
    pairs = np.stack([np.arange(half), np.arange(half) + half], axis=1)
    runs: list[tuple[str, float, Callable[[], object]]] = [
        ("fold", size, lambda: kernels.fold(documents)),
        ("simhash", folded_size, lambda: kernels.simhash(folded)),
        ("simhash 128", folded_size, lambda: kernels.simhash(folded, bits=128)),
        ("fingerprint", folded_size, lambda: kernels.fingerprint(folded)),
        ("fold + simhash", size, lambda: kernels.simhash(kernels.fold(documents))),
        ("fold + fingerprint", size, lambda: kernels.fingerprint(kernels.fold(documents))),
        ("content_hash", size, lambda: kernels.content_hash(documents)),
        ("chunks", size, lambda: kernels.chunks(documents, **CHUNKS)),
        ("jaccard", folded_size, lambda: kernels.jaccard(folded, pairs)),
    ]
    for name, megabytes, run in runs:
        speed = megabytes / best(run)
        yield name, case, speed, "MB/s", speed / hashing


def make_signatures(count: int) -> NDArray[np.uint64]:
    """Distinct signatures, a tenth of them 1 to 8 flipped bits from another one."""
    rng = np.random.default_rng(count)
    near = count // 10
    base = rng.integers(0, 2**64, count - near, np.uint64)
    twins, flips = base[:near].copy(), rng.integers(1, 9, near)
    for flip in range(8):
        bit = np.uint64(1) << rng.integers(0, 64, near, np.uint64)
        twins = np.where(flip < flips, twins ^ bit, twins)
    return rng.permutation(np.unique(np.concatenate([base, twins])))


def measure_hamming(million: bool, with_faiss: int, cores: int) -> Iterator[Figure]:
    """Exact search, and tables whose recall the exact search measures, on `cores` cores."""
    small = make_signatures(3000)
    assert np.array_equal(
        kernels.hamming_pairs(small, 8), kernels.hamming_pairs(small, 8, implementation="reference")
    )
    on = f"{cores} cores"
    signatures = make_signatures(100_000)
    every: list[NDArray[np.int64]] = []
    seconds = best(lambda: every.append(kernels.hamming_pairs(signatures, 8)), 1)
    yield "hamming_pairs", f"100k, all, {on}", seconds, "s", None
    yield from _recall("100k", signatures, kernels.hamming_pairs(signatures, 8, 0.99), every[0])
    for count in (100_000, *((1_000_000,) if million else ())):
        rows = make_signatures(count)
        found: list[NDArray[np.int64]] = []
        seconds = best(lambda rows=rows, found=found: found.append(kernels.hamming_pairs(rows, 8, 0.99)), 3)  # type: ignore[misc]
        yield "hamming_pairs", f"{count // 1000}k, recall .99, {on}", seconds, "s", None
        if million and count == 1_000_000:
            yield from _recall("1000k, 1,000 rows", rows, *_of_some(rows, found[0], 1000))
    if million:
        with ProcessPoolExecutor(1, get_context("spawn")) as pool:
            seconds, used, before, peak = pool.submit(large, 10_000_000).result()
        yield "hamming_pairs", f"10M, recall .99, {on}", seconds, "s", None
        yield "hamming_pairs", "10M, recall .99, CPU time", used, "s", None
        yield "hamming_pairs", "10M, memory at the peak", peak, "GB", None
        yield "hamming_pairs", "10M, memory before the call", before, "GB", None
    if with_faiss:
        yield from measure_faiss(with_faiss, cores)


def _recall(
    case: str, rows: NDArray[np.uint64], found: NDArray[np.int64], truth: NDArray[np.int64]
) -> Iterator[Figure]:
    """Share of the true pairs that were found, and of those at exactly distance 8; none may be false."""
    known, held = set(map(tuple, truth.tolist())), set(map(tuple, found.tolist()))
    assert held <= known
    distances = np.bitwise_count(np.bitwise_xor(*rows[truth.T]))
    far = {tuple(pair) for pair in truth[distances == 8].tolist()}
    yield "hamming_pairs", f"{case}, recall", len(held) / len(known), "share", None
    yield "hamming_pairs", f"{case}, recall at 8", len(far & held) / len(far), "share", None
    assert len(held) / len(known) >= 0.99


def _of_some(
    rows: NDArray[np.uint64], found: NDArray[np.int64], some: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The pairs of the first `some` rows with all others: those found, and those that there are."""
    truth = []
    for row in range(some):
        near = np.flatnonzero(np.bitwise_count(rows ^ rows[row]) <= 8)
        truth += [(row, int(other)) for other in near if other > row]
    return found[found[:, 0] < some], np.array(truth)


def large(count: int) -> tuple[float, float, float, float]:
    """Seconds of one search by the clock and of the processor, and GB of memory before it and at the peak."""
    rows = make_signatures(count)
    kernels.hamming_pairs(rows[:1000], 8, 0.99)
    status = Path("/proc/self/status").read_text()  # of the process now: making rows took more
    before = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS")) / 1e6
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    began = time.perf_counter(), time.process_time()
    kernels.hamming_pairs(rows, 8, 0.99)
    seconds = time.perf_counter() - began[0], time.process_time() - began[1]
    status = Path("/proc/self/status").read_text()
    peak = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")) / 1e6
    return *seconds, before, peak


def measure_faiss(count: int, cores: int) -> Iterator[Figure]:
    """Faiss over the same signatures on the same cores, right after ours."""
    import faiss

    faiss.omp_set_num_threads(cores)
    rows = make_signatures(count)
    ours = best(lambda: kernels.hamming_pairs(rows, 8, 0.99), 3)
    index = faiss.IndexBinaryFlat(64)
    codes = rows.view(np.uint8).reshape(-1, 8)
    index.add(codes)
    theirs = best(lambda: index.range_search(codes, 9), 1)  # its radius is exclusive
    case = f"{count // 1000}k, {cores} cores"
    yield "hamming_pairs", f"beside Faiss, {case}", ours, "s", None
    yield "faiss range_search", case, theirs, "s", None
    yield "hamming_pairs", f"times as fast as Faiss, {case}", theirs / ours, "x", None


def measure_rest() -> Iterator[Figure]:
    """Packing and components, in items a second."""
    rng = np.random.default_rng(5)
    lengths = np.minimum(rng.lognormal(5.5, 1, 1_000_000).astype(np.int64), 4096)
    few = lengths[:2000]
    assert np.array_equal(kernels.pack(few, 4096), kernels.pack(few, 4096, implementation="reference"))
    yield "pack", "1M samples", len(lengths) / best(lambda: kernels.pack(lengths, 4096), 3) / 1e6, "M/s", None
    pairs = rng.integers(0, 1_000_000, (500_000, 2))
    low = pairs[:2000] % 1000
    assert np.array_equal(
        kernels.components(low, 1000), kernels.components(low, 1000, implementation="reference")
    )
    seconds = best(lambda: kernels.components(pairs, 1_000_000), 3)
    yield "components", "500k pairs", len(pairs) / seconds / 1e6, "M/s", None


def processor() -> str:
    """Model of the processor and whether it has AVX-512."""
    info = Path("/proc/cpuinfo")
    text = info.read_text() if info.exists() else ""
    model = [line.partition(":")[2].strip() for line in text.splitlines() if line.startswith("model name")]
    return f"{model[0] if model else platform.processor()}{' avx512' if 'avx512f' in text else ''}"


def commit() -> str:
    """Commit of the working tree, marked where the kernels in it have changed since."""

    def git(*arguments: str) -> str:
        done = subprocess.run(["git", *arguments], cwd=HERE.parents[1], capture_output=True, text=True)
        return done.stdout.strip()

    return git("rev-parse", "--short", "HEAD") + ("-dirty" if git("status", "--porcelain", "kernels") else "")


def append(target: Path, columns: Sequence[str], lines: Iterable[Mapping[str, Any]]) -> None:
    """Put lines behind those of a CSV file, each as it comes; a new file gets a header."""
    new = not target.exists()
    with target.open("a", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns)
        if new:
            writer.writeheader()
        for line in lines:
            writer.writerow(line)
            file.flush()


def main() -> None:
    """Check, measure, print and write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--out", type=Path, default=HERE / "kernels.csv")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--million", action="store_true")
    parser.add_argument("--faiss", type=int, nargs="?", const=100_000, default=0, metavar="ROWS")
    options = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = str(options.threads)
    load = f"{os.getloadavg()[0]:.1f}"  # others on the machine slow what is timed by the clock
    place = (datetime.now(UTC).date(), commit(), processor(), options.threads, load)
    kernels.warm()
    ascii_letters, chinese = "etaoinshrdlucmfwypvbgkjqxz", "".join(map(chr, range(0x4E00, 0x5000)))
    cores = len(os.sched_getaffinity(0))
    figures = [
        *measure_texts("2 KB", make_documents(6000, 2048, ascii_letters, 1)),
        *measure_texts("200 B", make_documents(60_000, 200, ascii_letters, 2)),
        *measure_texts("2 KB Chinese", make_documents(3000, 2048, chinese, 3)),
        *measure_rest(),
    ]
    os.environ["OMP_NUM_THREADS"] = str(cores)
    figures += measure_hamming(options.million, options.faiss, cores)
    with options.out.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(
            ["kernel", "case", "figure", "unit", "blake2b_ratio", "date", "commit", "cpu", "threads", "load"]
        )
        for kernel, case, value, unit, ratio in figures:
            shown = "" if ratio is None else f"{ratio:.2f}"
            writer.writerow([kernel, case, f"{value:.4g}", unit, shown, *place])
            print(f"{kernel:20} {case:20} {value:10.4g} {unit:6} {shown}")


if __name__ == "__main__":
    main()
