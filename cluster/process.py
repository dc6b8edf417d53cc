"""What a worker process does to itself before it works: one thread a library, a garbage collector at rest.

Ray is not imported here, so that whoever only reads what a pass has written need not load it.
"""

import ctypes
import functools
import gc
import os
import resource
import sys
from collections.abc import Callable
from typing import ParamSpec, TypeVar, cast

# One thread a task: parallelism comes from Ray, and results must not depend on thread counts.
THREADS = {
    "OMP_NUM_THREADS": "1",
    "RAYON_NUM_THREADS": "1",
    "POLARS_MAX_THREADS": "1",
    "NUMBA_NUM_THREADS": "1",
    "TOKENIZERS_PARALLELISM": "false",
}


_attempt = 0
_step = ""
_forget: list[Callable[[], None]] = []  # what tasks of a step remember
Given = ParamSpec("Given")
Answer = TypeVar("Answer")


def began(attempt: int) -> None:
    """Remember which attempt at its task this process makes: 0 is the first one."""
    global _attempt
    _attempt = attempt


def of_step(function: Callable[Given, Answer]) -> Callable[Given, Answer]:
    """`function`, whose last answer is remembered while this process works on tasks of one name: for what all
    tasks of a step read and nobody behind them, which would stay until the run's end."""
    held = functools.lru_cache(maxsize=1)(function)
    _forget.append(held.cache_clear)
    return cast(Callable[Given, Answer], held)


def begins(step: str) -> None:
    """Forget what tasks of another name remembered (see `of_step`)."""
    global _step
    if step != _step:
        for forget in _forget:
            forget()
    _step = step


def deaths() -> int:
    """How often a process has ended at the task that this one works on."""
    return _attempt


@functools.cache
def settle() -> None:
    """Tell this process' garbage collector that what is loaded stays: it need not walk it again and again."""
    gc.freeze()


def give_back() -> None:
    """Give memory that nothing uses back to the machine: a worker that was large once would stay so.

    Cost: 5 to 15 ms where there are hundreds of MiB, a tenth of one where there is nothing. What is done next
    is as fast as it was.
    """
    import pyarrow as pa

    pa.default_memory_pool().release_unused()
    if trim := getattr(_library(), "malloc_trim", None):  # glibc alone has it
        trim(0)


def peak() -> int:
    """Bytes that this process has held at most, since it runs what it runs.

    Linux hands on what `getrusage` tells to what a process starts: a command would have the memory of its
    shell, or of a notebook.
    """
    try:
        with open("/proc/self/status", encoding="ascii") as file:
            return next(int(line.split()[1]) * 1024 for line in file if line.startswith("VmHWM"))
    except (OSError, StopIteration):  # no Linux
        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


@functools.cache
def _library() -> ctypes.CDLL:
    return ctypes.CDLL(None)


def single_threaded() -> None:
    """Hold this worker process to one thread a library; called first by every task."""
    for name, value in THREADS.items():
        os.environ.setdefault(name, value)
    import pyarrow as pa  # after the environment, which its thread pools read

    pa.set_cpu_count(1)
    pa.set_io_thread_count(4)
