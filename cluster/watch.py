"""What Ray's failures mean: a process of its own that has ended, and an error of ours behind one of Ray's.

What: a thread of the driver looks every second whether the raylet and the head's server of state (GCS) still
are there; that of a cluster that was joined is asked. Where one is not, it interrupts the main thread, and
`explained` makes a Fault of that. Where Ray is faster and ends the driver, a `witness` beside it says so.

Why: Ray itself waits for a raylet that may only be slow, minutes by our settings (`session`), and ends the
driver without a word a minute after the GCS has ended. An agent that ends takes its raylet along.

Cost: a look at two processes, or a connection and a question, a second; a small process.
"""

import atexit
import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import ray
from ray.exceptions import AuthenticationError, RayError, RayTaskError

from headrace.cluster import gcs
from headrace.cluster.errors import DamagedError, Fault, HeadraceError

EVERY = 1.0  # seconds
# Seconds that the GCS of a cluster may be silent: it may be started again, and after 60 Ray ends the driver.
PATIENCE = 30
ANSWER = 5  # seconds in which it answers when it is asked
GOES_ON = "Nothing that was committed is lost; the same command goes on where it was"
KINDS = {"raylet": "its raylet, which starts tasks", "gcs_server": "its GCS, which knows of nodes and tasks"}

WITNESS = os.path.join(os.path.dirname(__file__), "witness.py")
RELEASE = 20  # seconds that the main thread may take to notice that it was interrupted
FAREWELL = 10  # seconds that Ray may take, at the end of the interpreter, to leave a cluster that is lost

# Ray Data appends to the first argument of whatever a task raises: how often it tried, and which settings of
# its own to change.
GLUED = re.compile(r"\n?Failed to [^\n]* after \d+/\d+ attempts \(total backoff .*", re.DOTALL)

_lost = ""
_noticed = threading.Event()
_leaving = threading.Event()  # this process takes leave of Ray, or ends


def lost() -> str:
    """What has ended, for a message; "" while all is well."""
    return _lost


def begin(line: Callable[[str], str]) -> None:
    """Watch the Ray that this process has just started or joined. `line` makes an error a line of standard
    error, for where this process can no longer be asked.
    """
    global _lost
    _lost = ""
    _noticed.clear()
    _leaving.clear()
    atexit.register(leave)  # after Ray's own and so before it
    node = ray._private.worker._global_node
    if node is None:
        return
    look = _started(node) if node.all_processes else _joined(node)
    dismiss = _witness(node.raylet_socket_name, line(f"Ray has lost {KINDS['raylet']}. {GOES_ON}"))
    threading.Thread(
        target=_watch, args=(node, look, line, dismiss), name="headrace-watch", daemon=True
    ).start()


def leave() -> None:
    """Say that this process is about to take leave of Ray: what of it ends from now on is not lost."""
    _leaving.set()


def _witness(raylet: str, line: str) -> Callable[[], None]:
    """Start a witness of this process's end; call what is returned where it ends by itself.

    Registered for the end of the interpreter too, after Ray's own and so before it.
    """
    process = subprocess.Popen(  # noqa: S603 - our own interpreter and script
        [sys.executable, "-I", "-S", WITNESS, raylet, line],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        start_new_session=True,  # Ctrl-C is not for it
    )
    assert process.stdin is not None
    pipe = process.stdin

    def dismiss() -> None:
        with contextlib.suppress(OSError, ValueError):
            pipe.write(b".")
            pipe.close()
            process.wait(5)

    atexit.register(dismiss)
    return dismiss


@contextmanager
def explained() -> Iterator[None]:
    """Raises: Fault for an interruption, or whatever else is raised, because a process of Ray's has ended."""
    if _lost:
        raise Fault(_lost)
    try:
        yield
    except (KeyboardInterrupt, Exception) as error:
        if not _lost and not (isinstance(error, RayError) and _soon()):
            raise
        _noticed.set()
        raise Fault(_lost) from None


def _soon() -> bool:
    """Whether the watch finds something within two looks: Ray's own error may come first."""
    until = time.monotonic() + 2 * EVERY
    while not _lost and time.monotonic() < until:
        time.sleep(EVERY / 10)
    return bool(_lost)


def _watch(
    node: object, look: Callable[[], str], line: Callable[[str], str], dismiss: Callable[[], None]
) -> None:
    global _lost
    while ray._private.worker._global_node is node:
        words = look()
        if _leaving.is_set():
            break
        if words:
            _lost = f"{words}. {GOES_ON}"
            os.kill(os.getpid(), signal.SIGINT)  # wakes the main thread from whatever it waits for
            if not _noticed.wait(RELEASE):
                dismiss()
                sys.stderr.write(f"{line(_lost)}\n")
                sys.stderr.flush()
                os._exit(1)
            # Whoever caught the Fault may go on without Ray. At the end Ray takes leave of its GCS, and one
            # that is only silent is waited for without end.
            _leaving.wait()
            time.sleep(FAREWELL)
            os._exit(1)
        time.sleep(EVERY)
    dismiss()


def _started(node: "ray._private.node.Node") -> Callable[[], str]:
    """A look at the processes of a local Ray."""
    logs = os.path.join(node.get_session_dir_path(), "logs")

    def look() -> str:
        for kind, process in node.dead_processes():
            if kind in KINDS:
                code = process.poll()
                why = (
                    "for want of memory or because somebody ended it" if code else "as one of its agents did"
                )
                return (
                    f"Ray on this machine has lost {KINDS[kind]}: it ended with {code}, mostly {why}; "
                    f"{logs}/{kind}.out says more"
                )
        return ""

    return look


def _joined(node: "ray._private.node.Node") -> Callable[[], str]:
    """A look at the raylet of this machine and at the head of a cluster that was joined."""
    address = node.gcs_address
    answered = time.monotonic()

    def look() -> str:
        nonlocal answered
        if _refuses(node.raylet_socket_name):
            return f"the raylet of this node has ended, so that Ray at {address} gives it no more work"
        left = PATIENCE - (time.monotonic() - answered)
        if left <= 0:
            return f"the head of the Ray cluster at {address} has not answered for {PATIENCE} s"
        try:
            gcs.ask(address, min(ANSWER, left))
        except ConnectionError:
            return ""
        except AuthenticationError:
            pass  # it refuses, and so it is there
        answered = time.monotonic()
        return ""

    return look


def _refuses(path: str) -> bool:
    """Whether nobody listens at a socket of this machine."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(5)
        try:
            probe.connect(path)
        except (ConnectionRefusedError, FileNotFoundError):
            return True
        except OSError:
            return False
    return False


@contextmanager
def own_errors() -> Iterator[None]:
    """Raise the error of ours that a task ended with, instead of Ray's wrapping of it."""
    try:
        with explained():
            yield
    except RayError as error:
        if ours := own_cause(error):
            raise ours.with_traceback(None) from None
        # Ray's message holds the whole remote traceback; ours names the kind of error alone.
        inner = error.cause if isinstance(error, RayTaskError) and error.cause is not None else error
        raise Fault(f"a task ended with {type(inner).__name__}; see Ray's logs for the traceback") from error


def own_cause(error: BaseException) -> HeadraceError | None:
    """The error of ours behind one of Ray's, from wherever Ray has put it; None where there is none."""
    waiting: list[BaseException | None] = [error]
    seen: set[int] = set()
    while waiting:
        current = waiting.pop()
        if current is None or id(current) in seen:
            continue
        seen.add(id(current))
        # Ray raises a class that is both its own and the cause's, whose message holds the traceback: look
        # inside that.
        if isinstance(current, HeadraceError) and not isinstance(current, RayError):
            return _unglued(current)
        waiting += [current.__cause__, current.__context__, getattr(current, "cause", None)]
        waiting += [
            *getattr(current, "worker_failures", {}).values(),
            getattr(current, "controller_failure", None),
        ]
    return None


def _unglued(error: HeadraceError) -> HeadraceError:
    kept = [GLUED.sub("", one) if isinstance(one, str) else one for one in error.args]
    error.args = tuple(one for one, was in zip(kept, error.args, strict=True) if one or one == was)
    if isinstance(error, DamagedError):
        error.path = GLUED.sub("", error.path)
    return error
