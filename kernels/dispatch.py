"""Which implementation of a kernel runs, and on how many threads.

Every kernel is a folder with `reference.py` (the plainest definition) and `cpu.py` (Numba) that
hold the same functions with the same signatures; the folder's `__init__.py` states the contract.
"""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from itertools import pairwise
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Implementation = Literal["auto", "cpu", "reference"]


def choose(package: str, implementation: Implementation) -> Any:
    """Module of `package` that implements the kernel; "auto" is the CPU.

    Raises: ValueError for a name that is not an implementation.
    """
    if implementation not in ("auto", "cpu", "reference"):
        raise ValueError(f"implementation must be auto, cpu or reference, got {implementation!r}")
    return import_module(f"{package}.{'cpu' if implementation == 'auto' else implementation}")


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
