"""Small work is done here, large work by tasks; the results are the same. A look at it ends with it."""

import os
import threading
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


def test_it_looks_again_and_again_and_once_at_the_end() -> None:
    seen: list[str] = []
    enough = threading.Event()

    def look() -> None:
        seen.append(threading.current_thread().name)
        if len(seen) == 3:
            enough.set()

    with here.looking(look, 0.001, "counting", lambda: seen.append("last")):
        assert enough.wait(30)
    assert set(seen[:-1]) == {"headrace-counting"}
    assert seen[-1] == "last"
    assert "headrace-counting" not in [thread.name for thread in threading.enumerate()]


def test_what_a_look_raises_is_raised_at_the_end_and_ends_the_looking() -> None:
    looked, last, done = threading.Event(), [], []

    def look() -> None:
        looked.set()
        raise ValueError("no look")

    def work(error: Exception | None) -> None:
        looked.clear()
        with here.looking(look, 0.001, "failing", lambda: last.append(1)):
            assert looked.wait(30)
            if error is not None:
                raise error
            done.append(1)

    with pytest.raises(ValueError, match="no look"):
        work(None)
    with pytest.raises(KeyError, match="of the work"):
        work(KeyError("of the work"))
    assert (done, last) == ([1], [])
