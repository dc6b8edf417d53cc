"""Run a generator in a process of its own, with limits of memory and time: nothing it does ends this one.

The process is a fresh interpreter, not a fork: the callers have threads. What it is given and what it gives
is pickled. It ends with its caller: a write into the closed pipe fails.

Cost: 0.3 seconds to start, for pyarrow; 1 to 2 microseconds a record that comes back.
"""

import os
import pickle
import resource
import select
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO, TypeVar

from headrace.cluster import process
from headrace.cluster.errors import HeadraceError

SECONDS = 120.0  # without an answer
CPU_SECONDS = 6 * 3600  # of the whole process: where nobody is left to end it
Item = TypeVar("Item")
_MODULE = "headrace.cluster.apart"
# Allocators that take address space in advance would count it against the limit.
_ENVIRONMENT = {**process.THREADS, "ARROW_DEFAULT_MEMORY_POOL": "system", "MALLOC_ARENA_MAX": "2"}


class Ended(Exception):  # noqa: N818 - it says what became of the process
    """The process ended, or was ended, before its work was done; `why` says how, in words of ours."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


def each(
    function: Callable[..., Iterator[Item]], *arguments: Any, memory: int, seconds: float = SECONDS
) -> Iterator[Item]:
    """What `function(*arguments)` yields in a process of its own.

    memory: bytes that it may take beside what it takes to start. seconds: that it may be silent.

    Raises: Ended; an error of ours that `function` raised.
    """
    environment = {**os.environ, **_ENVIRONMENT, "PYTHONPATH": os.pathsep.join(sys.path)}
    quiet = None if os.environ.get("HEADRACE_DEBUG") else subprocess.DEVNULL  # it may quote what was read
    worker = subprocess.Popen(  # noqa: S603 - our own interpreter and module
        [sys.executable, "-P", "-m", _MODULE],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=quiet,
        env=environment,
    )
    assert worker.stdin is not None
    assert worker.stdout is not None
    try:
        with worker.stdin as pipe:
            pickle.dump((memory, function, arguments), pipe)
        while (answer := _answer(worker.stdout, seconds)) is not None:
            if isinstance(answer, HeadraceError):
                raise answer
            yield answer[0]
    except (EOFError, BrokenPipeError):
        raise Ended(_how(worker.wait())) from None
    finally:
        worker.stdout.close()
        worker.kill()
        worker.wait()


def _answer(pipe: Any, seconds: float) -> Any:
    """The next pickled answer. Raises: EOFError, Ended where none comes in time."""
    until = time.monotonic() + seconds
    size = int.from_bytes(_bytes(pipe, 8, until), "little")
    return pickle.loads(_bytes(pipe, size, until))  # noqa: S301 - a process of ours wrote it


def _bytes(pipe: Any, size: int, until: float) -> bytes:
    pieces = []
    while size:
        if not select.select([pipe], [], [], max(until - time.monotonic(), 0))[0]:
            raise Ended("it took too long")
        piece = os.read(pipe.fileno(), min(size, 2**20))
        if not piece:
            raise EOFError
        pieces.append(piece)
        size -= len(piece)
    return b"".join(pieces)


def _how(code: int) -> str:
    """How a process ended, in words."""
    return f"it was ended by signal {-code}" if code < 0 else "it took more memory than it may"


def _send(pipe: BinaryIO, answer: Any) -> None:
    data = pickle.dumps(answer)
    pipe.write(len(data).to_bytes(8, "little"))
    pipe.write(data)
    pipe.flush()


def _main() -> None:
    pipe = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints is no answer
    process.single_threaded()
    memory, function, arguments = pickle.load(sys.stdin.buffer)  # noqa: S301 - our caller wrote it
    with open("/proc/self/statm", encoding="ascii") as file:
        held = int(file.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (held + memory, held + memory))
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        for item in function(*arguments):
            _send(pipe, (item,))
        _send(pipe, None)
    except HeadraceError as error:
        _send(pipe, error)


if __name__ == "__main__":
    _main()
