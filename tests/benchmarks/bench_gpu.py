"""Speed of the GPU kernels: texts on the device and from pinned memory, and pairs of signatures.

Nothing is timed before it is right: every kernel is first compared, to the bit, with the CPU's over random
and adversarial input (rows of nothing, of one letter, of megabytes, null rows, slices; crowded and spread
signatures). Texts are random letters, the worst case for the bins: no window comes twice.

    python tests/benchmarks/bench_gpu.py [--out FILE] [--megabytes N] [--rows N]

writes a CSV with a line a measurement: kernel, case, figure, unit, for texts from the host the share of
the rate at which pinned memory is copied (measured in the same run), date, commit, GPU, driver, versions.
Figures are medians: of device events where all is on the device, of the clock where the host takes part.
Aims on an H200: 100 GB/s on the device, 0.8 of the copy rate from pinned memory.

Without a GPU it says so and ends. Under TRITON_INTERPRET=1 it runs to try itself out (--megabytes .002
--rows 100) and writes nothing.
"""

import argparse
import csv
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from bench_kernels import commit, make_signatures, processor
from numpy.typing import NDArray

from headrace import kernels
from headrace.kernels.dispatch import gpu_missing

HERE = Path(__file__).resolve().parent
Figure = tuple[str, str, float, str, float | None]


def clocked(function: Callable[[], object], repeats: int = 7) -> float:
    """Median seconds by the host's clock, after a first call that compiles."""
    function()
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


def on_device(function: Callable[[], object], repeats: int = 11) -> float:
    """Median seconds between device events, after two calls that compile and fill PyTorch's cache."""
    import torch

    if not torch.cuda.is_available():
        return clocked(function, 1)
    function()
    function()
    marks = [[torch.cuda.Event(enable_timing=True) for _ in range(2)] for _ in range(repeats)]
    for begin, end in marks:
        begin.record()
        function()
        end.record()
    torch.cuda.synchronize()
    return float(statistics.median(begin.elapsed_time(end) for begin, end in marks)) / 1e3


def make_lengths(total: int, kind: str, seed: int) -> NDArray[np.int64]:
    """Lengths of rows that sum to about `total` bytes."""
    rng = np.random.default_rng(seed)
    if kind == "one row":
        return np.array([total])
    if kind == "50 B to MB":
        return np.clip(np.exp(rng.normal(6, 2.2, max(1, total // 4000))), 50, total / 4).astype(np.int64)
    return rng.poisson(int(kind.removesuffix(" B")), total // int(kind.removesuffix(" B")))


def as_texts(data: NDArray[np.uint8], lengths: NDArray[np.int64]) -> pa.Array:
    """Rows over `data`, which is not copied."""
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    buffers = [None, pa.py_buffer(offsets), pa.py_buffer(data)]
    return pa.Array.from_buffers(pa.large_binary(), len(lengths), buffers)


def make_letters(size: int, seed: int) -> NDArray[np.uint8]:
    """Random letters."""
    return np.random.default_rng(seed).integers(97, 123, size, np.uint8)


def check_texts(size: int) -> None:
    """Random and adversarial texts, the whole output, to the bit."""
    seed = time.time_ns() % 2**32  # fresh input each time, named where it fails
    lengths = make_lengths(size, "50 B to MB", seed)
    mixed = as_texts(make_letters(int(lengths.sum()), seed), lengths)
    odd = [b"", None, b"short", b"a" * (size // 4), b"ab" * 70, b"", *(b"x" * n for n in range(140)), None]
    small = as_texts(make_letters(100 * len(lengths), seed + 1), np.arange(len(lengths)) % 190)
    cases = [mixed, mixed[1:-1], pa.array(odd, pa.binary()), pa.array(odd, pa.binary())[3:], small]
    for ngram, bits, bins, bands in ((8, 64, 32, 8), (8, 128, 32, 32), (16, 64, 64, 4), (1, 128, 2, 1)):
        shape: dict[str, Any] = {"ngram": ngram, "bits": bits, "bins": bins, "bands": bands}
        for number, texts in enumerate((*cases, pa.chunked_array([odd, odd[2:]], pa.large_binary()))):
            fast = kernels.fingerprint(texts, **shape, implementation="gpu")
            slow = kernels.fingerprint(texts, **shape, implementation="cpu")
            for ours, theirs in zip(fast, slow, strict=True):
                np.testing.assert_array_equal(ours, theirs, f"case {number}, {shape}, seed {seed}")
            alone = kernels.simhash(texts, ngram=ngram, bits=bits, implementation="gpu")
            np.testing.assert_array_equal(alone, slow[0], f"case {number}, {shape}, seed {seed}")


def check_pairs(rows: int) -> None:
    """Spread and crowded signatures of one and two words, whole and by tables."""
    spread = make_signatures(rows)
    crowded = np.random.default_rng(1).permutation(rows // 8).astype(np.uint64) * np.uint64(8)
    wide = np.stack([spread, np.roll(spread, 1)], axis=1)
    for signatures, distance in ((spread, 8), (spread[: rows // 10], 31), (crowded, 2), (wide, 17)):
        for recall in (1.0, 0.9):
            fast = kernels.hamming_pairs(signatures, distance, recall, implementation="gpu")
            slow = kernels.hamming_pairs(signatures, distance, recall, implementation="cpu")
            np.testing.assert_array_equal(fast, slow)


def measure_texts(size: int) -> Iterator[Figure]:
    """GB/s on the device, then from pinned and from ordinary memory of the host."""
    import torch

    from headrace.kernels.device import device, pinned
    from headrace.kernels.sketch.gpu import sketch_tensors

    size -= size % 8
    text = pinned((size,), torch.uint8)
    text.copy_(torch.from_numpy(make_letters(size, 2)))
    there = text.to(device())
    copying = size / 1e9 / on_device(lambda: there.copy_(text, non_blocking=True))
    yield "copy", "pinned to device", copying, "GB/s", 1.0
    other = torch.empty_like(there)
    yield "copy", "device, read + write", 2 * size / 1e9 / on_device(lambda: other.copy_(there)), "GB/s", None
    for kind in ("2048 B", "200 B", "60 B", "50 B to MB", "one row"):
        lengths = make_lengths(size, kind, 3)
        lengths = lengths[: np.searchsorted(np.cumsum(lengths), size, "right")]
        used = int(lengths.sum()) / 1e9
        offsets = torch.from_numpy(np.concatenate([[0], np.cumsum(lengths)])).to(device())
        alone = {"bins": 0, "bands": 0}
        for name, shape in (("simhash", alone), ("simhash 128", {"bits": 128, **alone}), ("fingerprint", {})):
            seconds = on_device(lambda: sketch_tensors(there, offsets, **shape))  # noqa: B023 - called at once
            yield name, f"{kind}, on the device", used / seconds, "GB/s", None
        held = as_texts(text.numpy(), lengths)
        speed = used / clocked(lambda: kernels.fingerprint(held, implementation="gpu"))  # noqa: B023
        yield "fingerprint", f"{kind}, from pinned", speed, "GB/s", speed / copying
        if kind == "2048 B":
            plain = as_texts(text.numpy().copy(), lengths)
            speed = used / clocked(lambda: kernels.fingerprint(plain, implementation="gpu"))  # noqa: B023
            yield "fingerprint", f"{kind}, from pageable", speed, "GB/s", speed / copying
    there.fill_(97)  # one window a row: all its threads meet in one bin
    offsets = torch.arange(0, size + 1, 2048, device=device())
    speed = size / 1e9 / on_device(lambda: sketch_tensors(there, offsets))
    yield "fingerprint", "2048 B of one letter, on the device", speed, "GB/s", None


def measure_pairs(rows: int) -> Iterator[Figure]:
    """Comparisons a second of the exhaustive search, and seconds of the tables."""
    import torch

    from headrace.kernels.device import device
    from headrace.kernels.hamming.gpu import pairs_in_buckets

    one = make_signatures(rows)
    for words in (1, 2):
        signatures = np.stack([np.roll(one, word) for word in range(words)], axis=1)
        there = torch.from_numpy(signatures.view(np.int64)).to(device())
        whole = torch.zeros(1, dtype=torch.int64, device=device())
        compared = len(one) * (len(one) - 1) / 2
        seconds = on_device(lambda: pairs_in_buckets(there, whole, 8 * words), 3)  # noqa: B023
        case = f"{len(one) / 1e6:.3g}M, {64 * words} bits"
        yield "all pairs", f"{case}, on the device", compared / seconds / 1e9, "G pairs/s", None
        buckets = torch.arange(0, len(one), 100, device=device())
        seconds = on_device(lambda: pairs_in_buckets(there, buckets, 8 * words))  # noqa: B023
        pairs = len(one) * 99 / 2
        yield "pairs in buckets of 100", f"{case}, on the device", pairs / seconds / 1e9, "G pairs/s", None
    for recall in (1.0, 0.99):
        seconds = clocked(lambda: kernels.hamming_pairs(one, 8, recall, implementation="gpu"), 3)  # noqa: B023
        yield "hamming_pairs", f"{len(one) / 1e6:.3g}M, recall {recall}", seconds, "s", None
    many = make_signatures(10 * rows)
    seconds = clocked(lambda: kernels.hamming_pairs(many, 8, 0.99, implementation="gpu"), 1)
    yield "hamming_pairs", f"{len(many) / 1e6:.3g}M, recall 0.99", seconds, "s", None


def machine() -> tuple[str, ...]:
    """GPU, driver, versions of torch and triton, processor."""
    import torch
    import triton

    name = torch.cuda.get_device_name() if torch.cuda.is_available() else "interpreter"
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        driver = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()[0]
    except (OSError, subprocess.CalledProcessError, IndexError):
        driver = "unknown"
    return name, driver, torch.__version__, triton.__version__, processor()


def main() -> None:
    """Check, measure, print and write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--out", type=Path, default=HERE / "gpu.csv")
    parser.add_argument("--megabytes", type=float, default=2048.0, help="text of each case")
    parser.add_argument("--rows", type=int, default=1_000_000, help="signatures; ten times that in tables")
    options = parser.parse_args()
    if why := gpu_missing():
        print(f"no GPU, nothing measured: {why}")
        return
    size = int(options.megabytes * 1e6)
    check_texts(size // 32)
    check_pairs(options.rows // 20)
    print("parity: equal to the CPU's, to the bit")
    place = datetime.now(UTC).date(), commit(), *machine()
    lines = []
    for kernel, case, value, unit, share in (*measure_texts(size), *measure_pairs(options.rows)):
        shown = "" if share is None else f"{share:.2f}"
        lines.append([kernel, case, f"{value:.4g}", unit, shown, *place])
        print(f"{kernel:24} {case:38} {value:10.4g} {unit:10} {shown}", flush=True)
    if "interpreter" in place:
        print("interpreted: these figures say nothing of a GPU and are not written")
        return
    with options.out.open("w", newline="") as file:
        writer = csv.writer(file)
        head = "kernel,case,figure,unit,copy_share,date,commit,gpu,driver,torch,triton,cpu"
        writer.writerows([head.split(","), *lines])


if __name__ == "__main__":
    main()
