"""A process of Ray's own is killed, and the command ends with words of ours and exit 1."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import grpc  # type: ignore[import-untyped]
import psutil
import pytest

from headrace.cluster import gcs, session, watch
from headrace.cluster.errors import Fault, UserError
from tests.conftest import REPOSITORY

DAWDLE = """
import sys, time
from functools import partial
from headrace.cluster import session, stream
from headrace.pipelines import console
from headrace.pipelines.cli import arguments, main as cli

def slow(n):
    time.sleep(300)

@arguments.app.command()
def dawdle(json_lines: arguments.Json = False):
    session.start(2, line=partial(console.line, "json", "error", exit_code=1))
    try:
        print("up", flush=True)
        list(stream.each(slow, [1, 2, 3], workers=2, name="slow"))
    except SystemExit:
        time.sleep(4)  # as a report takes
        print("written", flush=True)
        raise

sys.exit(cli.main(sys.argv[1:]))
"""
TOKEN = "a" * 64
# Process titles of what is killed, and what the message names.
KILLED = {
    "raylet": ("raylet", "has lost its raylet"),
    "gcs": ("gcs_server", "has lost its GCS"),
    "dashboard agent": ("ray::DashboardAgent", "one of its agents"),
    "runtime agent": ("ray::RuntimeEnvAgent", "one of its agents"),
}


@pytest.fixture
def dawdling() -> Iterator[subprocess.Popen[str]]:
    """A command that waits for tasks of a Ray of its own."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("RAY_")}
    process = subprocess.Popen(
        [sys.executable, "-c", DAWDLE, "dawdle", "--json"],
        env={**environment, "PYTHONPATH": str(REPOSITORY)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    if process.stdout.readline() != "up\n":
        process.kill()
        pytest.fail(f"it did not come up: {process.communicate()[1]}")
    family = psutil.Process(process.pid).children(recursive=True)
    yield process
    process.kill()
    process.wait()
    for left in psutil.wait_procs(family, timeout=30)[1]:
        left.kill()


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.parametrize("which", KILLED if "HEADRACE_SLOW" in os.environ else ["raylet", "gcs"])
def test_the_death_of_a_process_of_rays_is_told(dawdling: subprocess.Popen[str], which: str) -> None:
    title, words = KILLED[which]
    _kill(dawdling.pid, title)
    out, err = dawdling.communicate(timeout=120)
    assert dawdling.returncode == 1
    assert out == ""
    (told,) = [json.loads(line) for line in err.splitlines() if line.startswith("{")]
    assert told["event"] == "error"
    assert told["exit_code"] == 1
    assert words in told["text"]
    assert "the same command goes on where it was" in told["text"]
    assert "Traceback" not in err


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.parametrize("kill", [os.kill, os.killpg])
def test_who_is_asked_to_end_comes_to_an_end(
    dawdling: subprocess.Popen[str], kill: Callable[[int, int], None]
) -> None:
    """By SIGTERM, to itself or to all processes beside it: Ray's core would abort it three seconds later."""
    kill(dawdling.pid, signal.SIGTERM)
    out, err = dawdling.communicate(timeout=120)
    assert dawdling.returncode == 128 + signal.SIGTERM
    assert out == "written\n"
    (told,) = err.splitlines()
    assert json.loads(told)["text"] == "interrupted: the same command goes on where it was"


def _kill(driver: int, title: str) -> None:
    until = time.monotonic() + 60
    while time.monotonic() < until:
        for one in psutil.Process(driver).children(recursive=True):
            names = {one.name(), " ".join(one.cmdline()).strip()}
            if any(name.startswith(title[:15]) for name in names) and (title == "raylet") == (
                one.name() == "raylet"
            ):
                one.kill()
                return
        time.sleep(0.2)
    raise AssertionError(f"there is no {title}")


@pytest.mark.parametrize(
    ("listening", "farewell", "said"),
    [(False, b"", "error: lost\n"), (True, b"", ""), (False, b".", ""), (True, b".", "")],
)
def test_a_witness_speaks_where_the_driver_was_ended_by_the_end_of_its_raylet(
    tmp_path: Path, listening: bool, farewell: bytes, said: str
) -> None:
    path = str(tmp_path / "raylet")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as raylet:
        raylet.bind(path)
        if listening:
            raylet.listen()
        done = subprocess.run(
            [sys.executable, "-I", "-S", watch.WITNESS, path, "error: lost"],
            input=farewell,
            capture_output=True,
            check=True,
        )
    assert (done.stdout, done.stderr.decode()) == (b"", said)


def test_only_what_the_watch_has_found_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(KeyboardInterrupt), watch.explained():
        raise KeyboardInterrupt
    with pytest.raises(ValueError, match="mine"), watch.explained():
        raise ValueError("mine")
    monkeypatch.setattr(watch, "_lost", "the raylet has ended")
    with pytest.raises(Fault, match="the raylet has ended"), watch.explained():
        pytest.fail("nothing is begun any more")


def test_what_ends_while_a_process_takes_leave_of_ray_is_not_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray ends its own raylet then, and waits for that: an interruption would end as a traceback."""
    node = SimpleNamespace()
    monkeypatch.setattr("ray._private.worker._global_node", node)
    monkeypatch.setattr(watch, "_lost", "")
    dismissed: list[bool] = []

    def look() -> str:
        watch.leave()
        return "the raylet has ended"

    watch._watch(node, look, str, lambda: dismissed.append(True))  # type: ignore[arg-type]
    watch._leaving.clear()
    assert (watch.lost(), dismissed) == ("", [True])


@pytest.fixture
def silent() -> Iterator[str]:
    """An address where somebody listens and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


def test_an_address_where_nobody_answers_is_told_at_once(
    monkeypatch: pytest.MonkeyPatch, silent: str
) -> None:
    monkeypatch.setattr(session.ray, "init", lambda **_: pytest.fail("Ray would wait for minutes"))
    monkeypatch.setattr(session, "ANSWER_SECONDS", 1)
    for address in ("127.0.0.1:1", silent):
        with pytest.raises(UserError, match=f"no Ray cluster answers at RAY_ADDRESS='{address}'"):
            session._join(address, {})


@pytest.mark.parametrize("hangs", [True, False])
def test_a_head_that_connects_and_never_answers_is_lost_after_the_patience(
    monkeypatch: pytest.MonkeyPatch, silent: str, tmp_path: Path, hangs: bool
) -> None:
    monkeypatch.setattr(watch, "PATIENCE", 0.2)
    address = silent if hangs else "127.0.0.1:1"
    path = str(tmp_path / "raylet")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as raylet:
        raylet.bind(path)
        raylet.listen()
        look = watch._joined(SimpleNamespace(gcs_address=address, raylet_socket_name=path))
        found = [look()]
        while not found[-1] and len(found) < 1000:
            found.append(look())
    assert found[0] == ""
    assert found[-1] == f"the head of the Ray cluster at {address} has not answered for 0.2 s"


@pytest.fixture
def guarded() -> Iterator[str]:
    """The address of a GCS that wants a token."""

    def answer(request: bytes, context: grpc.ServicerContext) -> bytes:
        if ("authorization", f"Bearer {TOKEN}") not in [(k, v) for k, v in context.invocation_metadata()]:
            context.abort(grpc.StatusCode.UNAUTHENTICATED, "InvalidAuthToken")
        return b""

    server = grpc.server(ThreadPoolExecutor(1))
    _, service, method = gcs.METHOD.split("/")
    handler = grpc.unary_unary_rpc_method_handler(answer)
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(service, {method: handler})])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield f"127.0.0.1:{port}"
    server.stop(None)


def test_a_cluster_that_refuses_the_token_is_told_as_that(
    monkeypatch: pytest.MonkeyPatch, guarded: str
) -> None:
    monkeypatch.setattr(session.ray, "init", lambda **_: pytest.fail("Ray would wait for minutes"))
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    with pytest.raises(UserError, match="asks for a token: set RAY_AUTH_MODE=token"):
        session._join(guarded, {})


def test_a_token_that_is_there_is_used_as_ray_uses_it(guarded: str) -> None:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("RAY_")}
    done = subprocess.run(
        [sys.executable, "-c", f"from headrace.cluster import session; session._ask({guarded!r})"],
        env={**environment, "PYTHONPATH": str(REPOSITORY), "RAY_AUTH_TOKEN": TOKEN},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_a_start_that_fails_is_told_and_tried_once_more(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[int] = []
    told: list[str] = []

    def init(**_: object) -> None:
        tried.append(1)
        raise TimeoutError("it took too long")

    monkeypatch.setattr(session.ray, "init", init)
    monkeypatch.setattr(session.ray, "shutdown", lambda: None)
    with pytest.raises(Fault, match="did not start on this machine, twice"):
        session._start_here({}, told.append)
    assert len(tried) == 2
    assert told == ["Ray did not start (TimeoutError), as happens under load: trying once more"]


@pytest.mark.parametrize(
    "error", [RuntimeError("InvalidAuthToken: wrong"), ConnectionError("UNAUTHENTICATED")]
)
def test_a_wrong_token_is_no_missing_cluster(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def init(**_: object) -> None:
        raise error

    monkeypatch.setattr(session.ray, "init", init)
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    with pytest.raises(UserError, match="refuses the token"):
        session._join("auto", {})
