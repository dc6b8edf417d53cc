"""Room on a disk, and bytes in words."""

import errno
import os
import shutil

FULL = (errno.ENOSPC, errno.EDQUOT)  # of an OSError: nothing more can be written


def free(path: str) -> int | None:
    """Bytes that are free on the disk that `path` lies on, or would; None for object storage."""
    if "://" in path:
        return None
    folder = os.path.abspath(path)
    while not os.path.exists(folder):
        folder = os.path.dirname(folder)
    return shutil.disk_usage(folder).free


def in_words(count: float) -> str:
    """Bytes with a unit of thousands, as MB/s is meant everywhere."""
    for unit, name in ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if count >= unit:
            return f"{count / unit:.3g} {name}"
    return f"{count:.0f} bytes"
