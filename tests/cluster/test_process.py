"""What a process knows of itself: the memory that it held, not that of what started it."""

import subprocess
import sys

from headrace.cluster import process

CHILD = "from headrace.cluster import process; print(process.peak())"


def test_memory_of_what_started_a_process_is_not_its_own() -> None:
    held = bytearray(b"\1") * (300 * 2**20)
    assert process.peak() >= len(held)
    # As `fork` and `exec` do, so that the child begins as a copy of this process.
    told = subprocess.run(
        [sys.executable, "-c", CHILD], check=True, capture_output=True, text=True, preexec_fn=lambda: None
    )
    assert 5 * 2**20 < int(told.stdout) < 200 * 2**20


def test_what_a_step_remembers_is_forgotten_when_another_begins() -> None:
    read: list[str] = []
    remembered = process.of_step(lambda path: read.append(path) or len(read))
    process.begins("search")
    assert [remembered("a"), remembered("a")] == [1, 1]
    process.begins("search")
    assert remembered("a") == 1
    process.begins("pack")
    assert remembered("a") == 2
    assert read == ["a", "a"]
