"""What a task works in, and what the cluster's processes are at: each task notes it where the driver can
read it.

Why: a run that stands still is told by what it waits for, not by silence.

Where: in the key-value store of the cluster's GCS, a key a process. A note that cannot be written or read
ends no task.

Cost: two small requests a task.
"""

import contextlib
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import ray
from ray.experimental import internal_kv

from headrace.cluster import process
from headrace.cluster.errors import Fault, discreet

SPACE = "headrace-running"
RESTARTS = 10  # of a task whose process ended; Ray Data itself starts it again without end


class Running(NamedTuple):
    """A task at work: what on, the node's address and the process there, seconds since 1970 at its start."""

    what: str
    node: str
    process: int
    since: float


@contextmanager
def task(what: str) -> Iterator[None]:
    """What every task works in: errors that name what it works on, and a note for whoever waits for it.

    At its end the memory that it has no more use for goes back: its process may wait long for the next one.
    """
    name = str(ray.get_runtime_context().get_task_name())
    with discreet(what), noted(what or name):
        _begin(what or "a task", name)
        try:
            yield
        finally:
            process.give_back()


def _begin(what: str, name: str) -> None:
    """What every task does first. A task knows which attempt at it this is: see `process.deaths`.

    Raises: Fault where the processes of `what` have ended too often.
    """
    process.single_threaded()
    process.begins(name)
    process.began(ray._private.worker.global_worker.core_worker.get_current_task_attempt_number())
    if process.deaths() > RESTARTS:
        raise Fault(
            f"{what}: the process that works on it has ended {process.deaths()} times, for want of memory or "
            "by a fault in a library; use fewer workers or a smaller fragment_size, and look into Ray's logs"
        )


@contextmanager
def noted(what: str) -> Iterator[None]:
    """Note that this process is at `what`."""
    if not ray.is_initialized():
        yield
        return
    key = ray.get_runtime_context().get_worker_id()
    here = Running(what, ray.util.get_node_ip_address(), os.getpid(), time.time())
    with contextlib.suppress(Exception):
        internal_kv._internal_kv_put(key, json.dumps(here), namespace=SPACE)
    try:
        yield
    finally:
        with contextlib.suppress(Exception):
            internal_kv._internal_kv_del(key, namespace=SPACE)


def tasks() -> list[Running]:
    """What is at work now, the longest first; empty where that cannot be read."""
    found = []
    with contextlib.suppress(Exception):
        here = ray.util.get_node_ip_address()
        for key in internal_kv._internal_kv_list("", namespace=SPACE):
            note = internal_kv._internal_kv_get(key, namespace=SPACE)
            one = Running(*json.loads(note)) if note else None
            if one is not None and (one.node != here or _lives(one.process)):
                found.append(one)
    return sorted(found, key=lambda one: (one.since, one.what))


def _lives(number: int) -> bool:
    """Whether a process of this machine is there: one that was ended has left its note."""
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
