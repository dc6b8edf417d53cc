"""What the driver does itself, what it leaves to a task, and how it looks how far that is.

Small work is done here, as starting Ray for it would take longer. And where Ray is up, what needs heavy
libraries but little else goes to a task: a driver on a head node has little memory and seldom a core to give.
"""

import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from headrace.cluster.errors import Fault

SMALL = 256 * 2**20  # bytes
Answer = TypeVar("Answer")


def each(function: Callable[[Any], Any], items: Sequence[Any], *, name: str, size: int) -> Iterator[Any]:
    """`function` over `items`, results in their order: in this process, or as Ray tasks.

    size: bytes that all of it reads; up to `SMALL` of them Ray is not started.
    """
    if size <= SMALL:
        return map(function, items)
    from headrace.cluster import session, stream

    session.start(1)
    return stream.each(function, items, workers=session.cpus(), name=name)


def once(function: Callable[[], Answer], *, name: str) -> Answer:
    """What `function` returns: from a task where Ray is up, else from this process."""
    ray = sys.modules.get("ray")
    if ray is None or not ray.is_initialized():
        return function()
    from headrace.cluster import stream

    try:
        return next(stream.each(lambda _: function(), [None], workers=1, name=name))
    except Fault as error:
        if type(error) is not Fault:
            raise
        return function()  # Ray may be what failed


@contextmanager
def looking(
    look: Callable[[], None], every: float, name: str, last: Callable[[], None] | None = None
) -> Iterator[None]:
    """Call `look` every `every` seconds while the context is open, in the thread `headrace-<name>`; `last`
    once at its end, in this thread, unless a look has failed.

    What a look raises ends the looking and not the work, and is raised at the end.
    """
    over = threading.Event()
    failed: list[Exception] = []

    def looks() -> None:
        try:
            while not over.wait(every):
                look()
        except Exception as error:  # noqa: BLE001  it is raised below
            failed.append(error)

    thread = threading.Thread(target=looks, name=f"headrace-{name}", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        if last is not None and not failed:
            last()
    if failed:
        raise failed[0]
