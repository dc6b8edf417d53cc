"""Run a Python script with little to spend: limits are set here, and then the script takes this process over.

    python -I -S -B alone.py SCRIPT SECONDS BYTES

A script of its own, and not a function called between fork and exec, as the parent has threads.
"""

import ctypes
import os
import resource
import sys
from contextlib import suppress

FILE = 10 << 20  # bytes of a file
PROCESSES = 64
NEW_USER, NEW_NETWORK = 0x10000000, 0x40000000  # of unshare(2)


def main(script: str, seconds: int, memory: int) -> None:
    """Give up what can be given up, and become the script."""
    limits = {
        resource.RLIMIT_CPU: seconds,
        resource.RLIMIT_AS: memory,
        resource.RLIMIT_FSIZE: FILE,
        resource.RLIMIT_CORE: 0,
    }
    for what, most in limits.items():
        resource.setrlimit(what, (most, most))
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NPROC, (PROCESSES, PROCESSES))
    with suppress(AttributeError, OSError):  # not on every system, and not allowed on all
        ctypes.CDLL(None).unshare(NEW_NETWORK if os.geteuid() == 0 else NEW_USER | NEW_NETWORK)
    os.execv(sys.executable, [sys.executable, "-I", "-S", "-B", script])  # noqa: S606


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
