"""Running a recipe on a Ray cluster that is already there, through its job API.

`headrace submit RECIPE` stands on it; `ray job submit --working-dir DIR -- headrace run recipe.yaml` does
the same. The recipe alone is sent; headrace itself has to be installed on the nodes (see infra/Dockerfile),
as a command or as a module of the Python on their PATH, and what the recipe names has to be where every node
can read it: on `s3://` or on a shared disk.

A cluster with `RAY_AUTH_MODE=token` asks for its token: Ray's client takes it from
`RAY_AUTH_TOKEN`, `RAY_AUTH_TOKEN_PATH` or ~/.ray/auth_token, where `RAY_AUTH_MODE=token` is set
here as well.
"""

import os
import shlex
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import requests
from ray.exceptions import AuthenticationError
from ray.job_submission import JobStatus, JobSubmissionClient

from headrace.cluster.errors import UserError

RECIPE = "recipe.yaml"
# The job's shell looks for the command first, then for the module in the Pythons that it knows.
ENTRYPOINT = (
    "if command -v headrace >/dev/null 2>&1; then exec headrace {arguments}; fi; "
    "for p in python python3; do if $p -c 'import headrace' >/dev/null 2>&1; then "
    "exec $p -m headrace {arguments}; fi; done; exit 127"
)
NOT_FOUND = 127  # a shell's exit code where there is no such command
AGENT_SECONDS = 60  # how long a head that has just started may be without an agent
NO_AGENT = "No available agent"


def submit(address: str, recipe: bytes, command: str = "run", overrides: Sequence[str] = ()) -> str:
    """Start `headrace COMMAND recipe.yaml OVERRIDES` on the cluster; returns the job's id at once.

    `address` is the cluster's dashboard, such as ``http://10.0.0.1:8265``; `recipe` is the text
    of the recipe, which becomes the only file in the job's working directory.

    Raises: UserError (nobody answers there, the token is missing or wrong, or the head has no agent).
    """
    entrypoint = ENTRYPOINT.format(arguments=shlex.join([command, RECIPE, *overrides]))
    with _explained(address), tempfile.TemporaryDirectory() as directory:
        with open(os.path.join(directory, RECIPE), "wb") as file:
            file.write(recipe)
        return _submitted(_client(address), entrypoint, {"working_dir": directory})


def _submitted(client: Any, entrypoint: str, runtime_env: dict[str, Any]) -> str:
    """The id of the job; a head that has no agent yet is asked again for a while."""
    until = time.monotonic() + AGENT_SECONDS
    while True:
        try:
            job: str = client.submit_job(entrypoint=entrypoint, runtime_env=runtime_env)
            return job
        except RuntimeError as error:
            if NO_AGENT not in str(error) or time.monotonic() > until:
                raise
            time.sleep(2)


def status(address: str, job: str) -> str:
    """PENDING, RUNNING, STOPPED, SUCCEEDED or FAILED. Raises: UserError."""
    with _explained(address, job):
        return str(_client(address).get_job_status(job))


def logs(address: str, job: str) -> str:
    """What the job has printed so far. Raises: UserError."""
    with _explained(address, job):
        return str(_client(address).get_job_logs(job))


def follow(address: str, job: str, every: float = 1.0) -> Iterator[str]:
    """What the job prints, piece by piece, until it has ended. Raises: UserError."""
    shown = 0
    ended = False
    while not ended:
        ended = JobStatus(status(address, job)).is_terminal()  # asked first: nothing printed is missed
        text = logs(address, job)
        if len(text) > shown:
            yield text[shown:]
            shown = len(text)
        if not ended:
            time.sleep(every)


def exit_code(address: str, job: str) -> int:
    """What the job's command returned; 1 where it was stopped or never began.

    Raises: UserError, also where the cluster has no headrace.
    """
    with _explained(address, job):
        told = _client(address).get_job_info(job)
    if told.status == JobStatus.SUCCEEDED:
        return 0
    if told.driver_exit_code == NOT_FOUND:
        raise UserError(
            f"job {job}: the cluster at {address} has no headrace: there is no command `headrace` on the "
            "PATH of its head, and neither `python -m headrace` nor `python3 -m headrace` runs there. "
            "Install it into the Python that Ray runs in on every node (infra/Dockerfile does), or start Ray "
            "with that Python's bin directory on the PATH"
        )
    return int(told.driver_exit_code or 1)


def _client(address: str) -> Any:
    return JobSubmissionClient(address)


@contextmanager
def _explained(address: str, job: str | None = None) -> Iterator[None]:
    """Turn what the job API raises into a `UserError` that says what to do."""
    try:
        yield
    except AuthenticationError as error:
        if os.environ.get("RAY_AUTH_MODE") == "token":
            raise UserError(
                f"{address} refuses the token that is sent (of RAY_AUTH_TOKEN, RAY_AUTH_TOKEN_PATH or "
                "~/.ray/auth_token); set RAY_AUTH_TOKEN to the one that `ray get-auth-token` prints on the "
                "cluster's head"
            ) from error
        raise UserError(
            f"{address} asks for a token: set RAY_AUTH_MODE=token, and RAY_AUTH_TOKEN to the one that "
            "`ray get-auth-token` prints on the cluster's head"
        ) from error
    except (ConnectionError, requests.exceptions.RequestException) as error:
        raise UserError(
            f"no Ray cluster answers at {address}; give the address of its dashboard, such as "
            "http://HEAD:8265, and check that the port can be reached"
        ) from error
    except RuntimeError as error:
        if NO_AGENT in str(error):
            raise UserError(
                f"the head at {address} has no agent that could take the job: it answers, but is still "
                "starting, or its agent has ended (dashboard_agent.log on the head says why). Submit again "
                "in a minute"
            ) from error
        if job is not None and "404" in str(error):
            raise UserError(
                f"{address} knows no job {job!r}; `ray job list` shows those that it knows"
            ) from error
        raise
