"""Run a generator in a process of its own, with limits of memory and time: nothing it does ends this one.

The process is a fresh interpreter, not a fork: the callers have threads. What it is given and what it gives
is pickled. It ends with its caller: a write into the closed pipe fails.

How it ended is told apart by whether it would end so again. `Ended`: by what it does itself, on any machine
(a fault in memory, an abort, the limits of memory and of CPU time). `Stopped`: by what may be the machine's
(a kill, as by the kernel for want of memory; no answer for long, as from a slow store), or by a defect.

Cost: 0.3 seconds to start, for pyarrow; 1 to 2 microseconds a record that comes back.
"""

import os
import pickle
import resource
import select
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any, BinaryIO, TypeVar

from headrace.cluster import process
from headrace.cluster.errors import AGAIN, Fault, HeadraceError, place

ATTEMPTS = 3  # at what is stopped by what is not its own doing
SECONDS = 600.0  # without an answer
CPU_SECONDS = (
    600  # for one answer, which takes a few by rights: an endless loop ends, however busy the machine is
)
OUT_OF_MEMORY = 77  # exit code
BY_ITSELF = (signal.SIGABRT, signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE)
Item = TypeVar("Item")
_MODULE = "headrace.cluster.apart"
# Allocators that take address space in advance would count it against the limit.
_ENVIRONMENT = {**process.THREADS, "ARROW_DEFAULT_MEMORY_POOL": "system", "MALLOC_ARENA_MAX": "2"}


class Ended(Exception):  # noqa: N818 - it says what became of the process
    """The process ended by what it does, and would again; `why` says how, in words of ours."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


class Stopped(Exception):  # noqa: N818 - as above
    """The process ended before its work was done, which says nothing of the work; `why` as in `Ended`."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


def each(
    function: Callable[..., Iterator[Item]], *arguments: Any, memory: int, seconds: float = SECONDS
) -> Iterator[Item]:
    """What `function(*arguments)` yields in a process of its own.

    memory: bytes that it may take beside what it takes to start. seconds: that it may be silent.

    Raises: Ended, Stopped; an error of ours that `function` raised.
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
            if isinstance(answer, str):
                raise Stopped(f"it failed: {answer}")
            if isinstance(answer, HeadraceError):
                raise answer
            yield answer[0]
    except (EOFError, BrokenPipeError):
        raise _end(worker.wait()) from None
    finally:
        worker.stdout.close()
        worker.kill()
        worker.wait()


def insist(
    path: str, function: Callable[..., Iterator[Item]], *arguments: Any, memory: int
) -> Iterator[Item]:
    """`each` of a function that always yields the same, begun again where it is stopped; none comes twice.

    path: what is read there, for the message.

    Raises: Ended; Fault where it was stopped each time: what a machine does to it says nothing of the file.
    """
    given = 0
    for attempt in range(1, ATTEMPTS + 1):
        try:
            for item in islice(each(function, *arguments, memory=memory), given, None):
                given += 1
                yield item
            return
        except Stopped as stopped:
            if attempt == ATTEMPTS:
                raise Fault(
                    f"{path}: it was to be read in a process of its own, {ATTEMPTS} times in vain: "
                    f"{stopped.why}. {AGAIN}"
                ) from None


def _answer(pipe: Any, seconds: float) -> Any:
    """The next answer: an item in a tuple, an error of ours, the place of another error, None at the end.

    Raises: EOFError, Stopped where none comes in time.
    """
    until = time.monotonic() + seconds
    size = int.from_bytes(_bytes(pipe, 8, until), "little")
    return pickle.loads(_bytes(pipe, size, until))  # noqa: S301 - a process of ours wrote it


def _bytes(pipe: Any, size: int, until: float) -> bytes:
    pieces = []
    while size:
        if not select.select([pipe], [], [], max(until - time.monotonic(), 0))[0]:
            raise Stopped("it gave no answer for too long")
        piece = os.read(pipe.fileno(), min(size, 2**20))
        if not piece:
            raise EOFError
        pieces.append(piece)
        size -= len(piece)
    return b"".join(pieces)


def _end(code: int) -> Ended | Stopped:
    """How a process ended that has not said so itself."""
    if code == OUT_OF_MEMORY:
        return Ended("it took more memory than it may")
    if -code == signal.SIGXCPU:
        return Ended("it took more CPU time than it may")
    if -code in BY_ITSELF:
        return Ended(f"it was ended by signal {-code}")
    return Stopped(f"it was ended by signal {-code}" if code < 0 else f"it ended with exit code {code}")


def _send(pipe: BinaryIO, answer: Any) -> None:
    data = pickle.dumps(answer)
    pipe.write(len(data).to_bytes(8, "little"))
    pipe.write(data)
    pipe.flush()


def _limit_cpu() -> None:
    """Let this process have `CPU_SECONDS` from now on; it ends by SIGXCPU."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
    soft = int(used.ru_utime + used.ru_stime) + 1 + CPU_SECONDS
    resource.setrlimit(resource.RLIMIT_CPU, (soft if hard < 0 else min(soft, hard), hard))


def _main() -> None:
    pipe = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints is no answer
    try:
        process.single_threaded()
        memory, function, arguments = pickle.load(sys.stdin.buffer)  # noqa: S301 - our caller wrote it
        with open("/proc/self/statm", encoding="ascii") as file:
            held = int(file.read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (held + memory, held + memory))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        _limit_cpu()
        for item in function(*arguments):
            _send(pipe, (item,))
            _limit_cpu()
        _send(pipe, None)
    except HeadraceError as error:
        _send(pipe, error)
    except MemoryError:
        os._exit(OUT_OF_MEMORY)  # at once: whatever else is done may take memory
    except Exception as error:  # noqa: BLE001 - the caller says what it is, and where
        if os.environ.get("HEADRACE_DEBUG"):
            traceback.print_exc()
        _send(pipe, place(error))


if __name__ == "__main__":
    _main()
