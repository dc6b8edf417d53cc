"""Small work is done here, large work by tasks; the results are the same."""

import os
from pathlib import Path

import pytest
import ray

from headrace.cluster import here


def of(path: str) -> tuple[str, int]:
    """What a path is called, and in which process that was found out."""
    return Path(path).name, os.getpid()


def test_small_work_stays_in_this_process() -> None:
    assert list(here.each(of, ["a/b", "a/c"], name="of", size=here.SMALL)) == [
        ("b", os.getpid()),
        ("c", os.getpid()),
    ]


@pytest.mark.ray
def test_large_work_is_done_by_tasks(ray_local: None) -> None:
    assert ray.is_initialized()
    results = list(here.each(of, ["a/b", "a/c"], name="of", size=here.SMALL + 1))
    assert [name for name, _ in results] == ["b", "c"]
    assert os.getpid() not in {process for _, process in results}
