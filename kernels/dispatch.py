"""Which implementation of a kernel runs, and on how many threads.

Every kernel is a folder with `reference.py` (the plainest definition) and `cpu.py` (Numba), some with
`gpu.py` (Triton), that hold the same functions with the same signatures and give the same bits; the
folder's `__init__.py` states the contract.
"""

import ctypes
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from itertools import pairwise
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

Implementation = Literal["auto", "cpu", "gpu", "reference"]


def choose(package: str, implementation: Implementation) -> Any:
    """Module of `package` that implements the kernel.

    "auto" is the GPU where the kernel has code for one and this process was given one (`gpu_given`), else
    the CPU.

    Raises: ValueError for a name that is not an implementation of the kernel; RuntimeError for "gpu"
    where none can be used.
    """
    if implementation not in get_args(Implementation):
        raise ValueError(f"implementation must be auto, cpu, gpu or reference, got {implementation!r}")
    if implementation == "auto":
        implementation = "gpu" if gpu_given() and find_spec(f"{package}.gpu") else "cpu"
    elif implementation == "gpu":
        if not find_spec(f"{package}.gpu"):
            raise ValueError(f"{package} has no gpu implementation: use auto, cpu or reference")
        if why := gpu_missing():
            raise RuntimeError(f"no GPU for {package}: {why}")
    return import_module(f"{package}.{implementation}")


@cache
def gpu_given() -> bool:
    """Whether this process was given a GPU: ``CUDA_VISIBLE_DEVICES`` names one, and it can be used.

    A GPU that is merely there is not taken unasked: Ray lets tasks without one see all of a node's, and
    each process on a device holds some of its memory. Found out once.
    """
    named = os.environ.get("CUDA_VISIBLE_DEVICES", "").strip()
    if not named or named.startswith("-"):
        return False
    return not gpu_missing()


@cache
def gpu_missing() -> str:
    """Why GPU kernels cannot run here, empty if they can; under ``TRITON_INTERPRET=1`` they need no GPU."""
    for name in ("torch", "triton"):
        if find_spec(name) is None:
            return f"{name} is not installed"
    if os.environ.get("TRITON_INTERPRET") == "1":
        return ""
    try:
        ctypes.CDLL("libcuda.so.1")  # before torch, whose import takes seconds
    except OSError:
        return "there is no CUDA driver (libcuda.so.1)"
    import torch

    return "" if torch.cuda.is_available() else "PyTorch sees no CUDA device"


def threads() -> int:
    """Threads a kernel may use: ``OMP_NUM_THREADS``, which Ray sets to a task's CPUs, else all cores."""
    stated = os.environ.get("OMP_NUM_THREADS", "")
    return max(1, int(stated)) if stated.isdecimal() else len(os.sched_getaffinity(0))


def cut(weights: NDArray[np.int64], least: int) -> list[tuple[int, int]]:
    """Ranges (start, stop) of rows, at most one a thread, of about equal weight and at least `least`.

    `weights` int64[N + 1] are running sums, such as byte offsets.
    """
    rows, total = len(weights) - 1, int(weights[-1] - weights[0])
    parts = max(1, min(threads(), total // max(1, least), rows))
    inner = np.searchsorted(weights, weights[0] + np.arange(1, parts) * (total / parts))
    edges = [0, *(int(e) for e in inner), rows]
    return [(a, b) for a, b in pairwise(edges) if a < b] or [(0, rows)]


def each(function: Callable[[int, int], None], ranges: list[tuple[int, int]]) -> None:
    """Call ``function(start, stop)`` for every range, each on its own thread (jitted code frees the GIL)."""
    if len(ranges) == 1:
        function(*ranges[0])
        return
    with ThreadPoolExecutor(len(ranges)) as pool:
        for done in [pool.submit(function, *span) for span in ranges]:
            done.result()
