"""What the command says while it works, in one of four ways.

- "terminal": a live line a pass (records, MB/s or rows/s, kept, dropped, quarantined, time left), by rich;
- "plain": a line every few seconds and one at the end of a pass, for logs and pipes;
- "json": one JSON object a line, for machines;
- "quiet": nothing but warnings and errors.

Progress and results go to standard output, warnings and errors to standard error (in "json" too: the
stream on standard output stays whole, and so parseable). Only counts are shown, never a row.

Cost: an update is a few additions; it prints at most every `EVERY` seconds ("terminal": ten times a
second, by rich).
"""

import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Literal, Self, TextIO

from rich.console import Console
from rich.live import Live
from rich.text import Text

Mode = Literal["terminal", "plain", "json", "quiet"]
EVERY = 5.0  # seconds between two lines of "plain" and "json"
MEGA = 1_000_000
BAR = 12  # cells of the bar
OUT_OF_BAND = ("warning", "error")  # events that go to standard error, in every mode


@dataclass(frozen=True)
class Line:
    """Something that a command tells: text for people, fields for machines."""

    text: str
    fields: dict[str, Any] = field(default_factory=dict)


def choose(*, json_lines: bool = False, quiet: bool = False, stream: TextIO | None = None) -> Mode:
    """The mode by the user's flags, then by whether `stream` (default: standard output) is a terminal."""
    if json_lines:
        return "json"
    if quiet:
        return "quiet"
    return "terminal" if (stream or sys.stdout).isatty() else "plain"


def say(mode: Mode, event: str, text: str, **fields: Any) -> None:
    """Tell the user something that is not progress.

    `event` names its kind for machines ("done", "warning", "error", ...), `text` is for people and
    `fields` are what "json" adds. "quiet" keeps to warnings and errors.
    """
    stream = sys.stderr if event in OUT_OF_BAND else sys.stdout
    if mode != "quiet" or event in OUT_OF_BAND:
        print(line(mode, event, text, **fields), file=stream, flush=True)


def line(mode: Mode, event: str, text: str, **fields: Any) -> str:
    """What `say` prints."""
    return _object({"event": event, "text": text, **fields}) if mode == "json" else text


class Progress:
    """Progress of one pass: counts what is reported and shows it.

    Use it as a context, or call `close`. `total_bytes` is the content that the pass will read (0: not
    known, then fragments say how far it is) and `total_fragments` its units of work; both are what is
    left to do, not what earlier starts have done.
    """

    def __init__(
        self,
        pass_name: str,
        total_bytes: int,
        total_fragments: int,
        mode: Mode,
        *,
        clock: Callable[[], float] = time.monotonic,
        stream: TextIO | None = None,
    ) -> None:
        self.pass_name = pass_name
        self.total_bytes = total_bytes
        self.total_fragments = total_fragments
        self.rows = self.bytes = self.kept = self.dropped = self.quarantined = self.fragments = 0
        self._mode = mode
        self._clock = clock
        self._stream = stream or sys.stdout
        self._start = self._shown = clock()
        self._end: float | None = None
        self._state = "running"
        self._live = self._open_live() if mode == "terminal" else None

    def _open_live(self) -> Live:
        console = Console(file=self._stream, highlight=False)
        # `get_renderable` is asked at every refresh, so that speed and time left move between updates.
        live = Live(console=console, refresh_per_second=10, get_renderable=self._render)
        live.start()
        return live

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close(failed=error is not None)

    def update(
        self,
        *,
        rows: int = 0,
        bytes: int = 0,
        kept: int = 0,
        dropped: int = 0,
        quarantined: int = 0,
        fragments: int = 0,
    ) -> None:
        """Add what one commit brought; all are counts since the last update, `bytes` of content."""
        self.rows += rows
        self.bytes += bytes
        self.kept += kept
        self.dropped += dropped
        self.quarantined += quarantined
        self.fragments += fragments
        now = self._clock()
        if self._mode in ("plain", "json") and now - self._shown >= EVERY:
            self._shown = now
            self._print()

    def close(self, *, failed: bool = False) -> None:
        """Show the final counts once; a pass that `failed` is not called done."""
        if self._end is not None:
            return
        self._end = self._clock()
        self._state = "failed" if failed else "done"
        if self._live is not None:
            self._live.stop()
        elif self._mode != "quiet":
            self._print()

    def _print(self) -> None:
        if self._mode == "json":
            print(_object(self.snapshot()), file=self._stream, flush=True)
        else:
            print(self.describe(), file=self._stream, flush=True)

    @property
    def seconds(self) -> float:
        """Seconds since the pass began; stands still after `close`."""
        return (self._clock() if self._end is None else self._end) - self._start

    @property
    def speed(self) -> float:
        """Content read, in bytes a second; 0 while nothing can be told."""
        return self.bytes / self.seconds if self.seconds > 0 else 0.0

    @property
    def share(self) -> float | None:
        """How much of the pass is done, 0 to 1: by bytes, else by fragments; None where neither is known."""
        if self.total_bytes > 0:
            # The total is often an estimate (a compressed file): not all while fragments are open.
            most = 0.99 if self.fragments < self.total_fragments else 1.0
            return min(most, self.bytes / self.total_bytes)
        if self.total_fragments > 0:
            return min(1.0, self.fragments / self.total_fragments)
        return None

    @property
    def seconds_left(self) -> float | None:
        """Estimate of the seconds left at the speed so far; None while nothing can be told."""
        if self._end is not None or not self.share:
            return None
        return self.seconds * (1 - self.share) / self.share

    def snapshot(self) -> dict[str, Any]:
        """The counts as "json" prints them.

        `state` is "running", "done" or "failed"; `seconds_left` and `share` are null where unknown.
        """
        left, share = self.seconds_left, self.share
        return {
            "event": "progress",
            "pass": self.pass_name,
            "state": self._state,
            "rows": self.rows,
            "kept": self.kept,
            "dropped": self.dropped,
            "quarantined": self.quarantined,
            "bytes": self.bytes,
            "total_bytes": self.total_bytes,
            "fragments": self.fragments,
            "total_fragments": self.total_fragments,
            "seconds": round(self.seconds, 3),
            "megabytes_per_second": round(self.speed / MEGA, 3),
            "share": None if share is None else round(share, 4),
            "seconds_left": None if left is None else round(left, 1),
        }

    def describe(self) -> str:
        """The counts as one line of plain text."""
        parts = [f"{self.pass_name}:"]
        if self.share is not None and self._end is None:
            parts.append(f"{self.share:.0%},")
        parts.append(f"{self.rows:,} rows, {self._rate()}, {self._outcomes()}")
        if self._end is not None:
            parts.append(f", {self._state} in {duration(self.seconds)}")
        elif self.seconds_left is not None:
            parts.append(f", {duration(self.seconds_left)} left")
        return " ".join(parts).replace(" ,", ",")

    def _rate(self) -> str:
        """MB/s; rows a second where that would read 0.0."""
        if self.speed >= MEGA / 20:
            return f"{self.speed / MEGA:.1f} MB/s"
        return f"{self.rows / self.seconds if self.seconds > 0 else 0.0:,.0f} rows/s"

    def _outcomes(self) -> str:
        text = f"{self.kept:,} kept, {self.dropped:,} dropped"
        return f"{text}, {self.quarantined:,} quarantined" if self.quarantined else text

    def _render(self) -> Text:
        done = BAR if self._end is not None and self.share is None else round(BAR * (self.share or 0))
        line = Text()  # folds where the window is narrow; no count is cut off
        line.append(f"{self.pass_name:<12} ", style="bold")
        line.append("━" * done, style="green")
        line.append("━" * (BAR - done), style="bright_black")
        line.append(f" {self.rows:,} rows, {self._rate()}, ")
        line.append(f"{self.kept:,} kept", style="green")
        line.append(f", {self.dropped:,} dropped", style="yellow" if self.dropped else "")
        if self.quarantined:
            line.append(f", {self.quarantined:,} quarantined", style="red")
        if self._end is not None:
            style = "red" if self._state == "failed" else "bright_black"
            line.append(f", {self._state} in {duration(self.seconds)}", style=style)
        elif self.seconds_left is not None:
            line.append(f", {duration(self.seconds_left)} left", style="bright_black")
        return line


def duration(seconds: float) -> str:
    """Seconds as people say them: "4 s", "3 min 20 s", "2 h 05 min"."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60:02d} min"


def _object(value: dict[str, Any]) -> str:
    return json.dumps(value, ensure_ascii=False)
