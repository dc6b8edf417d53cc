"""Answers that are Python: each is run against its tests, in a process of its own that may do little.

What: the code of an answer (from its fence, where it has one) with the tests behind it, as one script, in an
empty directory, without the user's environment or site-packages. It passes where it ends with 0.

How far that holds: limits of time, memory, file size and processes, and no network where the system lets a
process give it up. It is no prison against somebody who wants to get out: model's code is run only where the
recipe asks for it.

Cost: the start of a Python each, and at most `SECONDS`.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import numpy as np
from numpy.typing import NDArray

from headrace.pipelines.evaluate import answers, metrics

Floats = NDArray[np.float64]

SECONDS = 10
MEMORY = 1 << 30
ALONE = os.path.join(os.path.dirname(__file__), "alone.py")


def passed(said: Sequence[str], tests: Sequence[str | None], workers: int = 1) -> Floats:
    """1.0 where an answer's code ends well with its tests behind it: ``float64[N]``, nan without tests."""
    with ThreadPoolExecutor(max(1, workers)) as pool:
        return np.array(list(pool.map(_passes, said, tests)), np.float64)


def read(data: bytes) -> dict[str, str]:
    """Tests by their prompt, from lines of JSON. Raises: ValueError that names a line."""
    tests: dict[str, str] = {}
    for number, line in enumerate(data.decode("utf-8").splitlines(), 1):
        try:
            held = json.loads(line) if line.strip() else {"prompt": "", "tests": ""}
        except ValueError as error:
            raise ValueError(f"line {number} is no JSON") from error
        pair = (held.get("prompt"), held.get("tests")) if isinstance(held, dict) else (None, None)
        if not (isinstance(pair[0], str) and isinstance(pair[1], str)):
            raise ValueError(f"line {number} has no texts `prompt` and `tests`")
        if pair[0].strip():
            tests[pair[0]] = pair[1]
    return tests


def found(prompts: Sequence[str], tests: Mapping[str, str]) -> list[str | None]:
    """The tests of each prompt: of those whose own prompt stands in it, the longest; None where none does."""
    known = sorted(((metrics.normalise(prompt), test) for prompt, test in tests.items()), key=_longest)
    spoken = [metrics.normalise(prompt) for prompt in prompts]
    return [next((test for prompt, test in known if prompt in text), None) for text in spoken]


def _longest(pair: tuple[str, str]) -> tuple[int, str]:
    return -len(pair[0]), pair[0]


def code(answer: str) -> str:
    """The code of an answer: what its first fence holds, else all of it."""
    fenced = answers.FENCE.search(answer)
    return fenced[1] if fenced else answer


def _passes(answer: str, tests: str | None) -> float:
    if tests is None:
        return float("nan")
    with tempfile.TemporaryDirectory(prefix="headrace-code-", ignore_cleanup_errors=True) as folder:
        script = os.path.join(folder, "answer.py")
        with open(script, "w", encoding="utf-8", errors="replace") as file:
            file.write(f"{code(answer)}\n\n{tests}\n")
        process = subprocess.Popen(  # noqa: S603 - what the recipe asks for
            [sys.executable, "-I", "-S", "-B", ALONE, script, str(SECONDS), str(MEMORY)],
            cwd=folder,
            env={"HOME": folder, "TMPDIR": folder, "PYTHONHASHSEED": "0"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            return float(process.wait(SECONDS) == 0)
        except subprocess.TimeoutExpired:
            return 0.0
        finally:
            with suppress(ProcessLookupError):  # and what it has started
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
