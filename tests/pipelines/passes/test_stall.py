"""A pass that stands still names what is at work, where, and since when; one that goes on says nothing."""

import json
import os
import time

import pytest

from headrace.cluster import running
from headrace.cluster.running import Running
from headrace.pipelines.passes import stall

TICK = 0.2 / 60  # minutes


@pytest.fixture(autouse=True)
def _at_work(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [Running("source 'chat', 'a.jsonl'", "10.0.0.7", 4711, time.time() - 700)]
    monkeypatch.setattr(running, "tasks", lambda: found)


def warned(capsys: pytest.CaptureFixture[str]) -> list[str]:
    """Lines on standard error; nothing is on standard output."""
    out, err = capsys.readouterr()
    assert out == ""
    return err.splitlines()


def test_a_pass_that_stands_still_is_told_again_and_again(capsys: pytest.CaptureFixture[str]) -> None:
    with stall.Watch("prepare", TICK, lambda: 3, "plain"):
        time.sleep(1)
    lines = warned(capsys)
    assert len(lines) >= 2
    assert lines[0].startswith("prepare: nothing was committed for ")
    assert "3 units are left" in lines[0]
    assert "source 'chat', 'a.jsonl' (node 10.0.0.7, process 4711, for 11 min 40 s)" in lines[0]


def test_machines_get_the_same_as_fields(capsys: pytest.CaptureFixture[str]) -> None:
    with stall.Watch("pack", TICK, lambda: 1, "json"):
        time.sleep(0.5)
    told = json.loads(warned(capsys)[0])
    assert (told["event"], told["stalled"], told["left"]) == ("warning", "pack", 1)
    assert told["running"][0]["process"] == 4711


def test_a_pass_that_commits_or_has_ended_is_not_told(capsys: pytest.CaptureFixture[str]) -> None:
    with stall.Watch("prepare", 1 / 60, lambda: 3, "plain") as watch:
        for _ in range(15):
            time.sleep(0.1)
            watch.committed()
    time.sleep(1.2)
    assert warned(capsys) == []


def test_nothing_at_work_is_told_as_that(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running, "tasks", list)
    monkeypatch.setattr(stall, "_room", lambda: "the cluster has 2 CPUs on 1 nodes")
    text, fields = stall.Watch("gate", 10, lambda: 2, "plain").words()
    assert "no task is at work: the cluster has 2 CPUs" in text
    assert fields["running"] == []


def test_a_process_that_has_ended_is_not_at_work() -> None:
    assert running._lives(os.getpid())
    assert not running._lives(2**22 + 1)
