"""A pass that stands still says so: what is running, where, and since when. Nothing is ended."""

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self

from headrace.cluster import running, session
from headrace.pipelines.console import Mode, duration, say

SHOWN = 5  # tasks that are named


class Watch:
    """Warns every `after` minutes in which nothing was committed. A context; `committed` is told of commits.

    left: units that are not done yet.
    """

    def __init__(self, name: str, after: float, left: Callable[[], int], mode: Mode) -> None:
        self.name, self.after, self.left, self.mode = name, after * 60, left, mode
        self.last = self.told = time.time()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, name="headrace-stall", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._done.set()

    def committed(self) -> None:
        """A unit, or a part of one, was committed."""
        self.last = self.told = time.time()

    def _run(self) -> None:
        while not self._done.wait(max(0.05, self.told + self.after - time.time())):
            if time.time() - self.told >= self.after:
                self.told = time.time()
                text, fields = self.words()
                if not self._done.is_set():
                    say(self.mode, "warning", text, **fields)

    def words(self) -> tuple[str, dict[str, Any]]:
        """What stands still, as a line and as fields."""
        now, at_work, left = time.time(), running.tasks(), self.left()
        since = datetime.fromtimestamp(self.last, UTC).isoformat(timespec="seconds")
        shown = [
            f"{one.what} (node {one.node}, process {one.process}, for {duration(now - one.since)})"
            for one in at_work[:SHOWN]
        ]
        more = f" and {len(at_work) - SHOWN} more" if len(at_work) > SHOWN else ""
        doing = f"at work: {'; '.join(shown)}{more}" if at_work else f"no task is at work: {_room()}"
        text = (
            f"{self.name}: nothing was committed for {duration(now - self.last)} (since {since}), {left:,} "
            f"units are left; {doing}. Nothing is ended for that; `stall_after` sets when it is said"
        )
        fields = {"stalled": self.name, "since": since, "seconds": round(now - self.last), "left": left}
        return text, {**fields, "running": [one._asdict() for one in at_work]}


def _room() -> str:
    """What tasks could run on."""
    try:
        nodes = len(session.nodes())
        return f"the cluster has {session.cpus()} CPUs on {nodes} nodes, perhaps with others' work on them"
    except Exception as error:  # noqa: BLE001 - of Ray, which may be what stands still
        return f"Ray does not answer ({type(error).__name__})"
