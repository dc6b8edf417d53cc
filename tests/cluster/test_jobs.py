"""A recipe is submitted to a real head node with token authentication, and refused without a token."""

import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil  # type: ignore[import-untyped]
import pytest
import requests

from headrace.cluster import jobs
from headrace.cluster.errors import UserError
from tests.builders import balanced, write_jsonl

BIN = Path(sys.executable).parent
REPOSITORY = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Head:
    """A running head node: the address of its dashboard, and the environment of a client."""

    address: str
    environment: dict[str, str]


def free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


def end(process: subprocess.Popen[bytes]) -> None:
    """End the head and all that it started: it leads a process group of its own."""
    os.killpg(process.pid, signal.SIGTERM)
    deadline = time.monotonic() + 5
    while _alive(process) and time.monotonic() < deadline:
        time.sleep(0.2)
    if _alive(process):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(10)


def _alive(process: subprocess.Popen[bytes]) -> bool:
    """Whether any process of the group runs; those that nobody has reaped do not."""
    process.poll()
    return any(
        other.info["status"] != psutil.STATUS_ZOMBIE and _group(other.pid) == process.pid
        for other in psutil.process_iter(["status"])
    )


def _group(pid: int) -> int | None:
    try:
        return os.getpgid(pid)
    except ProcessLookupError:
        return None


@pytest.fixture(scope="module")
def head() -> Iterator[Head]:
    """`ray start --head` with RAY_AUTH_MODE=token on free ports and a directory of its own."""
    # Not pytest's directory: the paths of sockets below it may have 107 bytes, and Ray takes 63 of them.
    with tempfile.TemporaryDirectory(prefix="hr-", ignore_cleanup_errors=True) as name:
        for attempt in ("a", "b"):  # a head gives up by itself where a busy machine is slow for a minute
            (home := Path(name, attempt)).mkdir()
            try:
                process, head = _started(home)
                break
            except AssertionError:
                if attempt == "b":
                    raise
        yield head
        end(process)


def _started(home: Path) -> tuple[subprocess.Popen[bytes], Head]:
    """A head node that answers. Raises: AssertionError."""
    dashboard, client, agent, metrics = free_ports(4)
    environment = {k: v for k, v in os.environ.items() if not k.startswith("RAY_")} | {
        "HOME": str(home),
        "PATH": f"{BIN}:{os.environ['PATH']}",
        "PYTHONPATH": str(REPOSITORY),
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
    }
    command = [
        *(
            str(BIN / "ray"),
            "start",
            "--head",
            "--block",
            "--disable-usage-stats",
            "--port=0",
            "--num-cpus=2",
        ),
        *(f"--temp-dir={home}/t", f"--dashboard-port={dashboard}", f"--ray-client-server-port={client}"),
        *(f"--dashboard-agent-listen-port={agent}", f"--metrics-export-port={metrics}"),
        "--object-store-memory=200000000",
    ]
    with open(home / "head.log", "wb") as log:
        process = subprocess.Popen(
            command, env=environment, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
        )
    address = f"http://127.0.0.1:{dashboard}"
    try:
        _until_it_answers(address, environment["RAY_AUTH_TOKEN"], process, home / "head.log")
    except BaseException:
        end(process)
        raise
    return process, Head(address, environment)


def _until_it_answers(address: str, token: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text()[-2000:]
        try:
            asked = requests.get(
                f"{address}/api/jobs/", headers={"Authorization": f"Bearer {token}"}, timeout=5
            )
        except requests.exceptions.RequestException:
            asked = None
        if asked is not None and asked.status_code == 200:
            return
        time.sleep(0.5)
    raise AssertionError(f"the head node does not answer: {log.read_text()[-2000:]}")


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    """A small recipe whose paths every node of this machine can read."""
    rows = (
        {"question": f"What is {a} plus {b} times {a * b + 7}?", "answer": f"It is {a + b * (a * b + 7)}."}
        for a in range(8)
        for b in range(8)
    )
    write_jsonl(tmp_path / "sums.jsonl", rows)
    path = tmp_path / "job" / "recipe.yaml"
    path.parent.mkdir()
    path.write_text(
        f"output: {tmp_path}/run\n"
        "sources:\n"
        f"  - {{name: sums, path: {tmp_path}/sums.jsonl, shape: question_answer}}\n"
    )
    return path


def check_prepared(run: Path) -> None:
    rows = json.loads((run / "run.json").read_text())["rows"]
    assert rows["in"] == 64
    assert balanced(rows)
    assert list((run / "packed" / "train").glob("*.parquet"))


def ray_job_submit(head: Head, environment: dict[str, str], recipe: Path) -> subprocess.CompletedProcess[str]:
    """The command as README has it."""
    submit = f"ray job submit --address {head.address} --working-dir {recipe.parent}"
    return subprocess.run(
        [*submit.split(), "--", "headrace", "prepare", recipe.name],
        env=environment, capture_output=True, text=True, timeout=300,
    )  # fmt: skip


@pytest.mark.ray
def test_ray_job_submit_runs_a_recipe(head: Head, recipe: Path) -> None:
    done = ray_job_submit(head, head.environment, recipe)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]
    check_prepared(recipe.parents[1] / "run")


def headrace_submit(head: Head, recipe: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [
        sys.executable,
        "-m",
        "headrace",
        "submit",
        str(recipe),
        "--address",
        head.address,
        *arguments,
    ]
    return subprocess.run(
        command, env=head.environment, cwd=recipe.parent, capture_output=True, text=True, timeout=300
    )


@pytest.mark.ray
def test_submit_runs_a_recipe_and_shows_what_it_prints(head: Head, recipe: Path) -> None:
    output = f"output={recipe.parents[1]}/other run"
    done = headrace_submit(head, recipe, output, "--command", "prepare")
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]
    assert "records: 64 in = 64 kept" in done.stdout
    check_prepared(recipe.parents[1] / "other run")


@pytest.mark.ray
def test_submit_ends_with_what_the_command_returned(head: Head, recipe: Path) -> None:
    (recipe.parents[1] / "sums.jsonl").unlink()
    done = headrace_submit(head, recipe, "--command", "prepare")
    assert done.returncode == 2, done.stdout[-3000:] + done.stderr[-1000:]
    assert "path matched no files" in done.stdout


@pytest.mark.ray
def test_a_bad_recipe_is_not_submitted(head: Head, recipe: Path) -> None:
    done = headrace_submit(head, recipe, "dedupe.threshold=0.9")
    assert done.returncode == 2
    assert "dedupe" in done.stderr
    assert "job" not in done.stdout


@pytest.mark.ray
def test_a_detached_job_goes_on_by_itself(head: Head, recipe: Path) -> None:
    done = headrace_submit(head, recipe, "--command", "check", "--detach")
    assert done.returncode == 0, done.stderr[-1000:]
    told = _python(
        head,
        "import sys; from headrace.cluster import jobs; a, job = sys.argv[1:];"
        "print(*jobs.follow(a, job)); print(jobs.exit_code(a, job))",
        done.stdout.strip(),
    )
    assert "everything that the run leans on is there" in told.stdout
    assert told.stdout.splitlines()[-1] == "0"


@pytest.mark.ray
@pytest.mark.parametrize("token", [None, "0" * 64])
def test_no_job_without_the_token(head: Head, recipe: Path, token: str | None) -> None:
    environment = {k: v for k, v in head.environment.items() if not k.startswith("RAY_AUTH")}
    environment |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": token} if token else {}
    done = ray_job_submit(head, environment, recipe)
    assert done.returncode != 0
    assert "Authentication" in done.stdout + done.stderr
    assert not (recipe.parents[1] / "run").exists()
    asked = requests.post(f"{head.address}/api/jobs/", json={"entrypoint": "true"}, timeout=10)
    assert asked.status_code == 401
    refused = _python(Head(head.address, environment), ATTEMPT.format(call="submit(sys.argv[1], b'')"))
    assert "RAY_AUTH_TOKEN" in refused.stdout, refused.stderr[-1000:]


ATTEMPT = """
import sys
from headrace.cluster import jobs
try:
    jobs.{call}
except jobs.UserError as error:
    print(error)
"""


@pytest.mark.ray
def test_an_unknown_job_is_named(head: Head) -> None:
    asked = _python(head, ATTEMPT.format(call="status(sys.argv[1], 'other')"))
    assert "knows no job 'other'" in asked.stdout, asked.stderr[-1000:]


def test_nobody_answers() -> None:
    (port,) = free_ports(1)
    with pytest.raises(UserError, match=f"no Ray cluster answers at http://127.0.0.1:{port}"):
        jobs.status(f"http://127.0.0.1:{port}", "job")


def _python(head: Head, code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `code` as a client of `head`: Ray reads its token once a process."""
    return subprocess.run(
        [sys.executable, "-c", code, head.address, *arguments],
        env=head.environment, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
