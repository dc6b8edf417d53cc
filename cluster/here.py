"""Work so small that starting Ray for it would take longer than doing it."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

SMALL = 256 * 2**20  # bytes


def each(function: Callable[[Any], Any], items: Sequence[Any], *, name: str, size: int) -> Iterator[Any]:
    """`function` over `items`, results in their order: in this process, or as Ray tasks.

    size: bytes that all of it reads; up to `SMALL` of them Ray is not started.
    """
    if size <= SMALL:
        return map(function, items)
    from headrace.cluster import session, stream

    session.start(1)
    return stream.each(function, items, workers=session.cpus(), name=name)
