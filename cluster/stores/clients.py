"""The fsspec clients of a process, one for its disks and one for S3, with our limits of time.

Endpoint, region and credentials come from the provider's usual environment variables. Listings are not
cached: what another process has written is to be seen at once.

Cost: the first one for S3 takes some 100 ms of imports.
"""

from functools import lru_cache
from typing import Any

import fsspec

CONNECT_SECONDS = 10
READ_SECONDS = 30
ATTEMPTS = 3


@lru_cache(maxsize=1)
def local() -> Any:
    """The local disk's."""
    return fsspec.filesystem("file", auto_mkdir=False)


@lru_cache(maxsize=1)
def s3(process: int) -> Any:
    """That of S3, one a process: s3fs runs an event loop of its own that a fork must not share."""
    return made(connect=CONNECT_SECONDS, read=READ_SECONDS, attempts=ATTEMPTS)


def made(*, connect: int, read: int, attempts: int) -> Any:
    """A new one for S3 that waits so many seconds, and tries so many times."""
    return fsspec.filesystem(
        "s3",
        config_kwargs={
            "connect_timeout": connect,
            "read_timeout": read,
            "retries": {"max_attempts": attempts, "mode": "standard"},
        },
        use_listings_cache=False,
        skip_instance_cache=True,
        default_cache_type="readahead",
    )
