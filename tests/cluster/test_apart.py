"""A process of its own: what it gives comes back, and however it ends, this one goes on."""

import os
import signal
import time
from collections.abc import Iterator

import pytest

from headrace.cluster import apart
from headrace.cluster.errors import Fault, SourceError

MEMORY = 2**28


def count(n: int) -> Iterator[int]:
    yield from range(n)


def end_after(n: int, how: int) -> Iterator[int]:
    yield from range(n)
    os.kill(os.getpid(), how)


def fail() -> Iterator[int]:
    yield 1
    raise FileNotFoundError("the text of a row")


def leave() -> Iterator[int]:
    yield 1
    os._exit(3)


def compute() -> Iterator[int]:
    apart.CPU_SECONDS = 1
    apart._limit_cpu()
    yield from ()
    while True:
        pass


def sleep() -> Iterator[int]:
    yield 1
    time.sleep(60)


def grow() -> Iterator[int]:
    yield 1
    yield len(bytearray(2**30))


def refuse() -> Iterator[int]:
    yield 1
    raise SourceError("x.jsonl is gone")


def chatter() -> Iterator[int]:
    print("what a library prints")
    yield 1


def test_what_is_given_comes_back() -> None:
    assert list(apart.each(count, 1000, memory=MEMORY)) == list(range(1000))
    assert list(apart.each(chatter, memory=MEMORY)) == [1]


@pytest.mark.parametrize("how", [signal.SIGABRT, signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE])
def test_a_process_that_ends_by_itself_has_given_what_it_gave(how: int) -> None:
    found = []
    with pytest.raises(apart.Ended, match=f"signal {how}"):
        found.extend(apart.each(end_after, 3, int(how), memory=MEMORY))
    given = apart.each(end_after, 3, int(how), memory=MEMORY)
    assert [next(given) for _ in range(3)] == [0, 1, 2]


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_a_process_that_is_killed_was_stopped(how: int) -> None:
    with pytest.raises(apart.Stopped, match=f"signal {how}"):
        list(apart.each(end_after, 3, int(how), memory=MEMORY))


def test_a_process_that_gives_no_answer_is_stopped() -> None:
    with pytest.raises(apart.Stopped, match="no answer for too long"):
        list(apart.each(sleep, memory=MEMORY, seconds=2))


def test_limits_of_memory_and_cpu_time_are_limits_of_the_work() -> None:
    with pytest.raises(apart.Ended, match="more memory"):
        list(apart.each(grow, memory=MEMORY))
    with pytest.raises(apart.Ended, match="more CPU time"):
        list(apart.each(compute, memory=MEMORY))


def test_a_defect_is_told_by_its_place_and_not_by_its_message() -> None:
    with pytest.raises(apart.Stopped, match=r"^it failed: FileNotFoundError in fail \(test_apart") as caught:
        list(apart.each(fail, memory=MEMORY))
    assert "row" not in str(caught.value)
    with pytest.raises(apart.Stopped, match="exit code 3"):
        list(apart.each(leave, memory=MEMORY))


def test_an_error_of_ours_is_raised_here() -> None:
    with pytest.raises(SourceError, match="is gone"):
        list(apart.each(refuse, memory=MEMORY))


def test_what_is_stopped_is_begun_again_and_nothing_comes_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[int] = []

    def each(function: object, *arguments: object, memory: int) -> Iterator[int]:
        begun.append(memory)
        yield from range(len(begun) + 1)
        if len(begun) < 3:
            raise apart.Stopped("it was ended by signal 9")

    monkeypatch.setattr(apart, "each", each)
    assert list(apart.insist("a.arrow", count, memory=MEMORY)) == [0, 1, 2, 3]
    assert begun == [MEMORY] * 3


def test_what_is_stopped_each_time_is_no_word_on_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    def each(*_: object, **__: object) -> Iterator[int]:
        yield 1
        raise apart.Stopped("it was ended by signal 9")

    monkeypatch.setattr(apart, "each", each)
    with pytest.raises(Fault, match=r"a\.arrow: it was to be read .* 3 times in vain: .* signal 9"):
        list(apart.insist("a.arrow", count, memory=MEMORY))
