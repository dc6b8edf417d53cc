"""The only place that starts or joins Ray.

With `RAY_ADDRESS` set (as `ray job submit` and KubeRay do) the running cluster is joined;
otherwise a local Ray is started with as many logical CPUs as the recipe's caps ask for, so that
`workers: 4` means four tasks at once on a laptop of two cores as well.
"""

import logging
import os
import re
import signal
import sys
import threading
import warnings
from collections.abc import Callable
from typing import Any

import ray
from ray.exceptions import AuthenticationError

from headrace.cluster import gcs, watch
from headrace.cluster.errors import Fault, UserError, place

OFFLINE = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_TRAIN_V2_ENABLED": "1",
    "RAY_DATA_DISABLE_PROGRESS_BARS": "1",
    # A task that failed beside the one that is told would print its whole traceback.
    "RAY_IGNORE_UNHANDLED_ERRORS": "1",
    # A task that asks for no GPU sees none: kernels take the one that they are given, and no other.
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "1",
}
LOCAL = {
    # Ray ends a worker that idles for a second where there are more than CPUs; ours take seconds of imports
    # to start again, and passes need them in turns.
    "RAY_idle_worker_killing_time_threshold_ms": "60000",
    # What Ray counts of itself and its tasks goes to a dashboard, and here is none.
    "RAY_enable_metrics_collection": "0",
    "RAY_task_events_report_interval_ms": "0",
}


ANSWER_SECONDS = 15  # in which a cluster has to answer
UNAUTHENTICATED = re.compile(r"(?i)unauthenticated|authentication|invalid auth|token")


Say = Callable[[str], None]
_asked = threading.Event()  # by SIGTERM, to end


def start(cpus: int, say: Say = lambda text: None, line: Callable[[str], str] = "error: {}".format) -> None:
    """Join the cluster of `RAY_ADDRESS`, or start a local Ray with at least `cpus` logical CPUs.

    Does nothing where this process is connected already. `say` is told at once what takes the next seconds,
    `line` makes an error a line of standard error, where Ray is lost and nothing here can say so (`watch`).

    Raises: UserError (no such cluster, or a wrong token), Fault (Ray does not start here).
    """
    if ray.is_initialized():
        _quieten()
        return
    address = os.environ.get("RAY_ADDRESS")
    say(f"joining Ray at {address}" if address else "starting Ray")
    os.environ.update(OFFLINE)
    # Ray prints its own errors to standard output, which is ours; what they mean for a run is told by us.
    ray._private.worker.print_to_stdstream = lambda *_, **__: None
    options: dict[str, Any] = {
        "log_to_driver": False,
        "logging_level": logging.ERROR,
        "configure_logging": True,
    }
    if address:
        _join(address, options)
    else:
        # One node cannot be partitioned from itself: a machine under load must not be declared dead.
        os.environ.setdefault("RAY_health_check_failure_threshold", "100")
        os.environ.update({**LOCAL, **os.environ})
        _leave_off()
        logical = max(os.cpu_count() or 1, cpus)
        _start_here({"num_cpus": logical, "include_dashboard": False, **options}, say)
    _take_signals()
    watch.begin(line)
    _quieten()


def _leave_off() -> None:
    """Leave off what a cluster has for people who look at it, and one machine for one run has not: 2 s of CPU
    and 350 MiB.

    What workers print (`log_to_driver` is off), a monitor that starts and ends machines, the server behind
    the dashboard, and of each node's agent what it measures for that. The agent itself must be there.
    """
    node = ray._private.node.Node
    node.start_log_monitor = node.start_monitor = node.start_api_server = lambda *_, **__: None
    without = ImportError("a local Ray has no dashboard")
    ray._private.utils.get_dashboard_dependency_error = lambda: without


def _take_signals() -> None:
    """Take SIGTERM from Ray, whose core prints a stack and aborts the process three seconds later, in the
    midst of what ends a run; and whose `ray.get` makes exit code 1 of what its own handler raises.
    """
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, _ended)


def _ended(number: int, frame: Any) -> None:
    if _asked.is_set():  # what ends the run is under way
        return
    _asked.set()
    watch.leave()  # where all processes of this machine are asked to end, Ray's may be faster
    sys.exit(number)


def asked_to_end() -> bool:
    """Whether this process got a SIGTERM."""
    return _asked.is_set()


def _join(address: str, options: dict[str, Any]) -> None:
    """Raises: UserError where no cluster answers, or it wants another token."""
    try:
        _ask(address)
        ray.init(runtime_env={"env_vars": {**OFFLINE}}, **options)
    except Exception as error:
        if isinstance(error, AuthenticationError) or UNAUTHENTICATED.search(str(error)):
            what = "refuses the token" if os.environ.get("RAY_AUTH_MODE") == "token" else "asks for a token"
            raise UserError(
                f"the Ray cluster at RAY_ADDRESS={address!r} {what}: set RAY_AUTH_MODE=token, and "
                "RAY_AUTH_TOKEN to the one that `ray get-auth-token` prints on the cluster's head"
            ) from error
        if isinstance(error, ConnectionError):
            raise UserError(
                f"no Ray cluster answers at RAY_ADDRESS={address!r}; start one, or unset RAY_ADDRESS to run "
                "locally"
            ) from error
        raise


def _ask(address: str) -> None:
    """Ask the GCS at ``host:port`` who it is.

    Raises: ConnectionError where nobody answers, AuthenticationError.
    """
    host, _, port = address.rpartition(":")
    if host and "/" not in host and port.isdecimal():
        gcs.ask(address, ANSWER_SECONDS)


def _start_here(options: dict[str, Any], say: Callable[[str], None]) -> None:
    """Start a local Ray, at the second try where the first one fails. Raises: Fault."""
    for again in (False, True):
        try:
            ray.init(**options)
            return
        except Exception as error:  # Ray raises what it likes: a timeout, a lost connection, a bare Exception
            ray.shutdown()
            if again:
                raise Fault(
                    f"Ray did not start on this machine, twice ({place(error)}): it is under heavy load, or "
                    "out of memory, disk space or ports. Try again when it is calmer; the logs of Ray's "
                    "newest session say more"
                ) from error
            say(f"Ray did not start ({type(error).__name__}), as happens under load: trying once more")


def stop() -> None:
    """Leave the cluster; a local Ray ends."""
    watch.leave()
    ray.shutdown()


def cpus() -> int:
    """Logical CPUs of the cluster."""
    return max(1, int(ray.cluster_resources().get("CPU", 1)))


def gpus() -> int:
    """Whole GPUs of the cluster."""
    return int(ray.cluster_resources().get("GPU", 0))


def nodes() -> list[str]:
    """Ids of the nodes that run tasks."""
    return [node["NodeID"] for node in ray.nodes() if node["Alive"] and node["Resources"].get("CPU")]


def configure_data() -> None:
    """Set Ray Data up in this process; called before any stream of it."""
    from ray.data import DataContext

    context = DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    # A fragment travels as one row that holds an Arrow stream. With a target of one byte every
    # row is a block of its own, so that no operator joins or cuts fragments.
    context.target_max_block_size = 1
    context.execution_options.preserve_order = False
    _quieten()  # again: Ray Data sets up its logging when it is imported


def _quieten() -> None:
    # Deprecations inside Ray, and advice about the few large blocks that are meant to be so.
    warnings.filterwarnings("ignore", module=r"ray\.")
    # What a task ends with is told by us, in a line; Ray prints its whole traceback, which may quote.
    level = logging.ERROR if os.environ.get("HEADRACE_DEBUG") else logging.CRITICAL
    for name in ("ray.data", "ray.train", "ray.tune"):
        logging.getLogger(name).setLevel(level)
