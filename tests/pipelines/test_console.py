"""Every way of telling the user, with a clock that the test moves."""

import io
import json
import re
from typing import Any

import pytest

from headrace.pipelines import console
from headrace.pipelines.console import Progress


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Screen(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_plain_prints_at_most_every_few_seconds_and_once_at_the_end() -> None:
    clock, out = Clock(), io.StringIO()
    with Progress("prepare", 10_000_000, 4, "plain", clock=clock, stream=out) as shown:
        clock.now += 1
        shown.update(rows=100, bytes=1_000_000, kept=90, dropped=10, fragments=1)
        assert out.getvalue() == ""
        clock.now += 4
        shown.update(rows=1_000, bytes=4_000_000, kept=1_000, fragments=1)
        shown.update(rows=1, kept=1)
        clock.now += 5
        shown.update(quarantined=2, rows=2, bytes=5_000_000, fragments=2)
    assert out.getvalue().splitlines() == [
        "prepare: 50%, 1,100 rows, 1.0 MB/s, 1,090 kept, 10 dropped, 5 s left",
        "prepare: 100%, 1,103 rows, 1.0 MB/s, 1,091 kept, 10 dropped, 2 quarantined, 0 s left",
        "prepare: 1,103 rows, 1.0 MB/s, 1,091 kept, 10 dropped, 2 quarantined, done in 10 s",
    ]


def test_json_is_one_object_a_line_with_all_counts() -> None:
    clock, out = Clock(), io.StringIO()
    with Progress("dedup", 4_000_000, 2, "json", clock=clock, stream=out) as shown:
        clock.now += 5
        shown.update(rows=3, bytes=1_000_000, kept=1, dropped=1, quarantined=1, fragments=1)
        clock.now += 5
        shown.update(bytes=3_000_000, fragments=1)
    running, _, done = lines(out)
    assert running == {
        "event": "progress",
        "pass": "dedup",
        "state": "running",
        "rows": 3,
        "kept": 1,
        "dropped": 1,
        "quarantined": 1,
        "bytes": 1_000_000,
        "total_bytes": 4_000_000,
        "fragments": 1,
        "total_fragments": 2,
        "seconds": 5.0,
        "megabytes_per_second": 0.2,
        "share": 0.25,
        "seconds_left": 15.0,
    }
    assert (done["state"], done["seconds"], done["seconds_left"]) == ("done", 10.0, None)


def test_terminal_shows_one_live_line_and_leaves_it_standing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "140")
    clock, out = Clock(), Screen()
    with Progress("prepare", 0, 0, "terminal", clock=clock, stream=out) as shown:
        clock.now += 2
        shown.update(rows=1234, bytes=3_000_000, kept=1200, dropped=30, quarantined=4)
    text = out.getvalue()
    last = text.split("prepare")[-1]
    for part in ("1,234 rows", "1.5 MB/s", "1,200 kept", "30 dropped", "4 quarantined", "done in 2 s"):
        assert part in plain(last)
    assert plain(text).count("\n") == 1  # redrawn in place: one line stays


def plain(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)


def test_terminal_fits_a_narrow_window(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    clock, out = Clock(), Screen()
    with Progress("prepare", 100, 1, "terminal", clock=clock, stream=out) as shown:
        clock.now += 1
        shown.update(rows=10**9, bytes=50, kept=10**9, dropped=10**9)
    shown_lines = plain(out.getvalue()).replace("\r", "\n").splitlines()
    assert max(len(line.rstrip()) for line in shown_lines) <= 40
    assert "1,000,000,000 dropped" in " ".join(x.strip() for x in shown_lines)


def test_quiet_prints_nothing() -> None:
    clock, out = Clock(), io.StringIO()
    with Progress("prepare", 10, 1, "quiet", clock=clock, stream=out) as shown:
        clock.now += 100
        shown.update(rows=1, bytes=10, kept=1, fragments=1)
    assert out.getvalue() == ""
    assert shown.rows == 1


def test_a_failed_pass_is_not_called_done() -> None:
    clock, out = Clock(), io.StringIO()
    with pytest.raises(RuntimeError), Progress("train", 10, 1, "json", clock=clock, stream=out):
        raise RuntimeError
    assert [line["state"] for line in lines(out)] == ["failed"]


def test_close_twice_prints_once() -> None:
    clock, out = Clock(), io.StringIO()
    shown = Progress("prepare", 10, 1, "plain", clock=clock, stream=out)
    clock.now += 3
    shown.close()
    clock.now += 3
    shown.close()
    assert out.getvalue() == "prepare: 0 rows, 0 rows/s, 0 kept, 0 dropped, done in 3 s\n"


@pytest.mark.parametrize(
    ("total_bytes", "total_fragments", "done", "share", "left"),
    [
        (1000, 4, {"bytes": 250, "fragments": 1}, 0.25, 30.0),
        (0, 4, {"bytes": 250, "fragments": 2}, 0.5, 10.0),
        (0, 0, {"bytes": 250}, None, None),
        (1000, 4, {"fragments": 1}, 0.0, None),
        (100, 4, {"bytes": 250, "fragments": 3}, 0.99, 10 * 0.01 / 0.99),
        (100, 4, {"bytes": 250, "fragments": 4}, 1.0, 0.0),
    ],
)
def test_time_left_follows_bytes_then_fragments(
    total_bytes: int, total_fragments: int, done: dict[str, int], share: float | None, left: float | None
) -> None:
    clock = Clock()
    shown = Progress("prepare", total_bytes, total_fragments, "quiet", clock=clock, stream=io.StringIO())
    clock.now += 10
    shown.update(**done)
    assert shown.share == share
    assert shown.seconds_left == (None if left is None else pytest.approx(left))


def test_no_time_passed_is_no_division_by_zero() -> None:
    shown = Progress("prepare", 10, 1, "quiet", clock=Clock(), stream=io.StringIO())
    shown.update(bytes=10)
    assert shown.speed == 0.0


@pytest.mark.parametrize(
    ("json_lines", "quiet", "stream", "mode"),
    [
        (False, False, Screen(), "terminal"),
        (False, False, io.StringIO(), "plain"),
        (True, False, Screen(), "json"),
        (True, True, Screen(), "json"),
        (False, True, Screen(), "quiet"),
    ],
)
def test_mode_follows_flags_then_the_stream(json_lines: bool, quiet: bool, stream: Any, mode: str) -> None:
    assert console.choose(json_lines=json_lines, quiet=quiet, stream=stream) == mode


@pytest.mark.parametrize("mode", ["terminal", "plain"])
def test_say_to_people(mode: console.Mode, capsys: pytest.CaptureFixture[str]) -> None:
    console.say(mode, "done", "All is well.", digest="abc")
    console.say(mode, "warning", "Mind the gap.")
    shown = capsys.readouterr()
    assert (shown.out, shown.err) == ("All is well.\n", "Mind the gap.\n")


def test_say_to_machines(capsys: pytest.CaptureFixture[str]) -> None:
    console.say("json", "done", 'All is "well".\nReally.', digest="abc", rows=3)
    console.say("json", "error", "No.", exit_code=2)
    shown = capsys.readouterr()
    assert json.loads(shown.out) == {
        "event": "done",
        "text": 'All is "well".\nReally.',
        "digest": "abc",
        "rows": 3,
    }
    assert shown.out.count("\n") == 1
    assert json.loads(shown.err) == {"event": "error", "text": "No.", "exit_code": 2}


def test_quiet_says_warnings_and_errors_alone(capsys: pytest.CaptureFixture[str]) -> None:
    console.say("quiet", "done", "All is well.")
    console.say("quiet", "error", "No.")
    shown = capsys.readouterr()
    assert (shown.out, shown.err) == ("", "No.\n")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.4, "0 s"),
        (59.4, "59 s"),
        (59.6, "1 min 00 s"),
        (200, "3 min 20 s"),
        (3599.7, "1 h 00 min"),
        (7500, "2 h 05 min"),
    ],
)
def test_duration(seconds: float, text: str) -> None:
    assert console.duration(seconds) == text
