"""Fixtures that every test may ask for, and the order in which two processes share the tests.

Tests that use Ray come first. Of two processes (`make test`) the first takes files from the front, the second
from the end: so one local Ray, one finished run and one set of warm workers serve nearly all tests, and what
needs one core runs beside them.
"""

import fcntl
import logging
import os
import secrets
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

REPOSITORY = Path(__file__).resolve().parents[1]
S3_SERVER = REPOSITORY.parent / "shared" / "tools" / "s3-server"
S3_SECONDS = 180  # installation of the packages included

# Processes share the cores: threads of one wait for those of the other many times as long as they work.
os.environ["OMP_NUM_THREADS"] = "1"

settings.register_profile("local", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True, max_examples=50)
settings.load_profile("ci" if os.environ.get("CI") else "local")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with a test that uses Ray come first; else the order stays."""
    with_ray = {item.path for item in items if item.get_closest_marker("ray")}
    items.sort(key=lambda item: item.path not in with_ray)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Whole files to each process, to the first from the front and to the others from the end."""
    from xdist.scheduler import LoadFileScheduling

    class FromBothEnds(LoadFileScheduling):  # type: ignore[misc]
        def _assign_work_unit(self, node: Any) -> None:
            if node is not self.nodes[0]:
                self.workqueue.move_to_end(next(reversed(self.workqueue)), last=False)
            super()._assign_work_unit(node)

    config.option.loadscopereorder = False
    return FromBothEnds(config, log)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Directory of the shared data sets; skips where there is none."""
    path = Path(os.environ.get("HEADRACE_TEST_DATA", REPOSITORY.parent / "shared" / "data"))
    if not path.is_dir():
        pytest.skip(f"no shared data sets at {path}; set HEADRACE_TEST_DATA")
    return path


@pytest.fixture(scope="session")
def s3_plan() -> dict[str, str]:
    """Environment of the S3 server that `s3` will start; empty where the caller's own is used.

    It is settled before any server runs, so that a Ray started earlier already carries it.
    """
    if os.environ.get("AWS_ENDPOINT_URL"):
        return {}
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    return {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_ACCESS_KEY_ID": "s3test",
        "AWS_SECRET_ACCESS_KEY": "s3testsecret",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_REQUEST_CHECKSUM_CALCULATION": "when_required",
        "AWS_RESPONSE_CHECKSUM_VALIDATION": "when_required",
    }


@pytest.fixture(scope="session")
def s3_server(s3_plan: dict[str, str]) -> Iterator[None]:
    """A running S3 server, named by the usual AWS variables of this process.

    A server that the caller names in AWS_ENDPOINT_URL is used as it is; otherwise one of our own
    runs on a free port for the session.
    """
    if not s3_plan:
        yield
        return
    if not S3_SERVER.exists():
        pytest.skip(f"no S3 server: AWS_ENDPOINT_URL is not set and {S3_SERVER} does not exist")
    port = s3_plan["AWS_ENDPOINT_URL"].rpartition(":")[2]
    with open(Path(tempfile.gettempdir()) / f"headrace-s3-install.{os.getuid()}", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two sessions must not run the package manager at once
        _s3_server("install")
    _s3_server("start", "--port", port, "--store", "memstore")
    patch = pytest.MonkeyPatch()
    for name, value in s3_plan.items():
        patch.setenv(name, value)
    yield
    patch.undo()
    subprocess.run(
        [S3_SERVER, "stop", "--port", port, "--purge"], check=True, capture_output=True, timeout=S3_SECONDS
    )


def _s3_server(*arguments: str) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("S3_")}
    done = subprocess.run(
        [S3_SERVER, *arguments], env=environment, capture_output=True, text=True, timeout=S3_SECONDS
    )
    if done.returncode:
        pytest.skip(f"no S3 server: {S3_SERVER.name} {arguments[0]} failed: {done.stderr.strip()[-300:]}")


@pytest.fixture
def s3(s3_server: None) -> Iterator[str]:
    """URL of a fresh, empty bucket, removed with all that it holds after the test."""
    import s3fs

    bucket = f"headrace-test-{secrets.token_hex(6)}"
    client = s3fs.S3FileSystem(skip_instance_cache=True, use_listings_cache=False)
    client.mkdir(bucket)
    yield f"s3://{bucket}"
    client.rm(bucket, recursive=True)


@pytest.fixture(scope="session")
def ray_local(s3_plan: dict[str, str]) -> Iterator[None]:
    """One local Ray of 4 logical CPUs for the whole session; its workers import this checkout."""
    import ray

    patch = pytest.MonkeyPatch()
    patch.setenv("PYTHONPATH", os.pathsep.join([str(REPOSITORY), os.environ.get("PYTHONPATH", "")]))
    patch.setenv("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    # As `cluster.session` starts its own: a busy machine is not dead, and a worker costs seconds to start.
    patch.setenv("RAY_health_check_failure_threshold", "100")
    patch.setenv("RAY_idle_worker_killing_time_threshold_ms", "60000")
    for name, value in s3_plan.items():  # raylet and workers inherit what stands here at init
        patch.setenv(name, value)
    ray.shutdown()  # one that a command of an earlier test has started, where tests are run in another order
    ray.init(
        address="local",
        num_cpus=4,
        include_dashboard=False,
        logging_level=logging.ERROR,
        log_to_driver=False,
        object_store_memory=256 * 1024 * 1024,
    )
    patch.undo()
    yield
    ray.shutdown()
