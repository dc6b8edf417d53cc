"""Files that are there whole or not at all: written under another name beside it, then given theirs."""

import io
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import IO, Any

import xxhash

PREFIX = ".headrace-"  # of our temporaries: a killed writer may leave one behind


def written(key: str, data: bytes) -> str:
    """A finished, synced temporary in the target's directory."""
    with opened(key) as (name, file):
        file.write(data)
    return name


@contextmanager
def opened(key: str, *, kept: bool = True) -> Iterator[tuple[str, IO[bytes]]]:
    """Name and file of a new temporary in the target's directory, synced at the end if it is to be `kept`;
    gone if that fails."""
    folder = os.path.dirname(key)
    os.makedirs(folder, exist_ok=True)
    name = os.path.join(folder, f"{PREFIX}{uuid.uuid4().hex}")
    try:
        with open(name, "wb") as file:
            yield name, file
            file.flush()
            if kept:
                os.fsync(file.fileno())
    except BaseException:
        with suppress(FileNotFoundError):  # where it could not be made: why is what is to be said
            os.unlink(name)
        raise


class Hashed(io.RawIOBase):
    """A file to write to that hashes and counts what passes."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file, self.size, self.hash = file, 0, xxhash.xxh3_64()

    def writable(self) -> bool:
        return True

    def tell(self) -> int:
        return self.size

    def write(self, data: Any, /) -> int:
        self.hash.update(data)
        self.size += len(data)
        return self.file.write(data)
