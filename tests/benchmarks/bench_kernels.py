"""Speed of the kernels on one core, beside blake2b over the same bytes in the same run.

Nothing is timed before it is right: each kernel is first compared with its reference on a part of the very
data. Texts are made from a seed (a vocabulary with Zipf's frequencies; one set of Chinese characters).

    python tests/benchmarks/bench_kernels.py [--out FILE] [--threads N] [--million] [--faiss]

writes a CSV with a line a measurement: kernel, case, figure, unit, its ratio to blake2b (for texts), and
date, commit, processor, threads and the load of the machine. `--million` adds Hamming tables over 1 and 10
million signatures, `--faiss` the range search of Faiss over the same 100,000 signatures. The default run
takes half a minute.
"""

import argparse
import csv
import hashlib
import os
import platform
import subprocess
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

import kernels

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


def measure_hamming(million: bool, with_faiss: bool) -> Iterator[Figure]:
    """Exact search, and tables whose recall the exact search measures."""
    small = make_signatures(3000)
    assert np.array_equal(
        kernels.hamming_pairs(small, 8), kernels.hamming_pairs(small, 8, implementation="reference")
    )
    signatures = make_signatures(100_000)
    every: list[NDArray[np.int64]] = []
    seconds = best(lambda: every.append(kernels.hamming_pairs(signatures, 8)), 1)
    yield "hamming_pairs", "100k, all", seconds, "s", None
    found = kernels.hamming_pairs(signatures, 8, 0.99)
    truth = set(map(tuple, every[0].tolist()))
    assert set(map(tuple, found.tolist())) <= truth
    distances = np.bitwise_count(np.bitwise_xor(*signatures[every[0].T]))
    far = {tuple(pair) for pair in every[0][distances == 8].tolist()}
    yield "hamming_pairs", "100k, recall", len(found) / len(truth), "share", None
    missed = len(far - set(map(tuple, found.tolist())))
    yield "hamming_pairs", "100k, recall at 8", 1 - missed / len(far), "share", None
    for count in (100_000, *((1_000_000, 10_000_000) if million else ())):
        rows = make_signatures(count)
        seconds = best(lambda rows=rows: kernels.hamming_pairs(rows, 8, 0.99), 1 if count > 1_000_000 else 3)  # type: ignore[misc]
        yield "hamming_pairs", f"{count // 1000}k, recall .99", seconds, "s", None
    if with_faiss:
        import faiss

        faiss.omp_set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
        index = faiss.IndexBinaryFlat(64)
        codes = signatures.view(np.uint8).reshape(-1, 8)
        index.add(codes)
        yield "faiss range_search", "100k", best(lambda: index.range_search(codes, 9), 1), "s", None


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


def main() -> None:
    """Check, measure, print and write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--out", type=Path, default=HERE / "kernels.csv")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--million", action="store_true")
    parser.add_argument("--faiss", action="store_true")
    options = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = str(options.threads)
    load = f"{os.getloadavg()[0]:.1f}"  # others on the machine slow what is timed by the clock
    place = (datetime.now(UTC).date(), commit(), processor(), options.threads, load)
    kernels.warm()
    ascii_letters, chinese = "etaoinshrdlucmfwypvbgkjqxz", "".join(map(chr, range(0x4E00, 0x5000)))
    figures = [
        *measure_texts("2 KB", make_documents(6000, 2048, ascii_letters, 1)),
        *measure_texts("200 B", make_documents(60_000, 200, ascii_letters, 2)),
        *measure_texts("2 KB Chinese", make_documents(3000, 2048, chinese, 3)),
        *measure_hamming(options.million, options.faiss),
        *measure_rest(),
    ]
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
