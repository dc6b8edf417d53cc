"""Texts of the first records of a source, for what is true of all of it and must be known before it is read.

Cost: at most `RECORDS` records and `BYTES` bytes, from `FILES` files.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from headrace.cluster.fragments import File
from headrace.pipelines.stages.read import formats, shapes
from headrace.pipelines.stages.read.source import Source

FILES = 16
RECORDS = 8192  # of all files together, as many of each
BYTES = 16 * 2**20


def texts(source: Source, files: Sequence[File]) -> Iterator[str]:
    """What the first records of some files hold in the columns that their turns are made of.

    source: resolved; files: all that it has, of which some are taken, evenly from the first to the last.
    Records that cannot be read are passed by. Raises: SourceError, StorageError; never for content.
    """
    filled = [file for file in files if file.size]
    n = min(FILES, len(filled))
    names = shapes.wanted(source.shape or "messages", source.completed())
    for file in (filled[k * len(filled) // n] for k in range(n)):
        left, most = BYTES // n, RECORDS // n
        form = source.format_of(file.relative)
        stored = formats.read(
            file.path, file.size, form, memory=source.memory, guarded=True, manner=source.manner
        )
        for record in (r for batch in source.opened(stored, file.relative) for r in batch.records):
            for text in _leaves([record.get(name) for name in names]):
                yield text
                left -= len(text)
            most -= 1
            if most <= 0 or left <= 0:
                break


def _leaves(value: Any) -> Iterator[str]:
    """The texts in a value of any depth."""
    pending = [value]
    while pending:
        value = pending.pop()
        if isinstance(value, str):
            yield value
        elif isinstance(value, dict):
            pending += reversed(value.values())
        elif isinstance(value, list | tuple):
            pending += reversed(value)
