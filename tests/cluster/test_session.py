"""The Ray that a run starts for itself: what is there, and that it works."""

import os
import subprocess
import sys

import pytest

from tests.conftest import REPOSITORY

SCRIPT = """
import psutil
from headrace.cluster import metrics, session, stream

session.start(2)
print(list(stream.each(str, [1, 2, 3], workers=2, name="probe")))
metrics.Recorder().units("probe", 1, 4)
for one in psutil.Process().children(recursive=True):
    print(one.name(), *one.cmdline())
session.stop()
"""


@pytest.mark.ray
def test_a_local_ray_has_nothing_that_only_people_look_at() -> None:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("RAY_")}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        env={**environment, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    results, *processes = done.stdout.splitlines()
    assert results == "['1', '2', '3']"
    assert sum(line.startswith(("raylet ", "gcs_server ")) for line in processes) == 2
    for script in ("/dashboard.py", "/monitor.py", "/log_monitor.py"):
        assert not [line for line in processes if script in line]
