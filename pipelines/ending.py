"""How a command ends, whatever ends it: said in run.json, and shown in a report."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from functools import partial
from typing import Any, NamedTuple

import xxhash

from headrace.cluster import here, storage
from headrace.cluster.errors import AGAIN, INTERRUPTED, BooksError, HeadraceError, place
from headrace.pipelines import rundir, trainings
from headrace.pipelines.console import Mode, say
from headrace.pipelines.evaluate import standing
from headrace.pipelines.evaluate.gates.config import THRESHOLDS
from headrace.pipelines.examine.spot_check import ratings

EVALUATED = "evaluate.gate"
SWEPT = "sweep.best"
# Gates by the command that holds a run against them: those of training are in `train.watch` and `train.used`.
GATES = {
    "prepare": ("quarantine.limit", "dedup.alarm", "pii.gate", "kept"),
    "train": (ratings.GATE, "train.loss", "train.watch", "train.rows"),
    "evaluate": (EVALUATED, *THRESHOLDS),
    "sweep": (SWEPT,),
}
# What the gates of a command are of: while that is as it was, so are they.
OF = {"train": trainings.CARD, "evaluate": standing.SCORES}


class Begun(NamedTuple):
    """A command that has begun on a run. parts: the commands that it stands for; gates: what they have said
    before; marks: digest of what each part's gates were of, "" where nobody can say.
    """

    path: str
    parts: tuple[str, ...]
    gates: dict[str, Any]
    marks: dict[str, str]


@contextmanager
def recorded(
    command: str, stages: Sequence[str], path: str, mode: Mode, parts: Sequence[str] = ()
) -> Iterator[None]:
    """Say in run.json how the work within ends, and leave a report however that is.

    parts: the commands that it stands for, itself if none are named. While it is under way, or was killed,
    `ended` has no code, and nothing stands of their gates: what an earlier start said of them is about to be
    true no more. Where it breaks off before that, they are put back; else `unheld` names the commands whose
    gates are gone, and nothing is decided, as one that rang may be among them. stages: what the report calls
    stages.
    """
    from headrace.cluster import watch

    ended: dict[str, Any] = {"command": command, "code": None, "gate": None, "words": ""}
    begun = _begin(path, ended, tuple(parts or (command,)))
    try:
        with watch.explained():
            yield
        _end(begun, {**ended, "code": 0}, stages, mode)
    except HeadraceError as error:
        ended |= {"code": error.exit_code, "gate": error.gate or None, "words": str(error)}
        _end_badly(begun, ended, stages, mode)
        raise
    except (KeyboardInterrupt, SystemExit) as stop:  # by a second one of these the report is left out
        ended |= {"code": 130 if isinstance(stop, KeyboardInterrupt) else 143, "words": INTERRUPTED}
        with suppress(Exception):
            if _note(begun, ended):
                _built(path, stages)  # in this process: Ray may be on its way down
        raise
    except Exception as error:
        ended |= {"code": 1, "words": f"fault: {place(error)}. {AGAIN}"}
        _end_badly(begun, ended, stages, mode)
        raise


def _begin(path: str, ended: dict[str, Any], parts: tuple[str, ...]) -> Begun:
    from headrace.pipelines.passes import summary

    gates, own = summary.gates(path), {gate for part in parts for gate in GATES[part]}
    if storage.exists(storage.join(path, "run.json")):
        kept = {name: gate for name, gate in gates.items() if name not in own}
        summary.write(path, {"ended": ended, "gates": kept, "unheld": sorted(_unheld(path) | {*parts})})
    return Begun(path, parts, gates, {part: _mark(path, part) for part in parts})


def _unheld(path: str) -> set[str]:
    """Commands whose gates are gone and were not held anew."""
    from headrace.pipelines.passes import summary

    try:
        return set(summary.read(path).get("unheld") or ())
    except BooksError:  # it is written anew
        return set()


def _mark(path: str, part: str) -> str:
    place = storage.join(path, OF[part]) if part in OF else ""
    return xxhash.xxh3_64_hexdigest(storage.read_bytes(place)) if place and storage.exists(place) else ""


def _held(begun: Begun, ended: dict[str, Any], gates: dict[str, Any]) -> tuple[set[str], dict[str, Any]]:
    """The parts whose gates stand now, and those gates of theirs that are put back."""
    held: set[str] = set()
    back: dict[str, Any] = {}
    for part in begun.parts:
        before = {name: gate for name, gate in begun.gates.items() if name in GATES[part]}
        anew = any(name in gates for name in GATES[part])
        same = bool(begun.marks[part]) and begun.marks[part] == _mark(begun.path, part)
        if not anew and same:  # refused, or a command that holds none of them, as `train --probe`
            back |= before
        if anew or (same and before) or ended["code"] == 0:
            held.add(part)
    return held, back


def _end_badly(begun: Begun, ended: dict[str, Any], stages: Sequence[str], mode: Mode) -> None:
    """`_end`, where an error is on its way: that one is told, whatever else fails, such as a full disk."""
    try:
        _end(begun, ended, stages, mode)
    except Exception as also:  # noqa: BLE001 - the error that came first is the one that is raised
        why = str(also) if isinstance(also, HeadraceError) else place(also)
        say(mode, "warning", f"no report could be written: {why}")


def _end(begun: Begun, ended: dict[str, Any], stages: Sequence[str], mode: Mode) -> None:
    if _note(begun, ended):
        report(begun.path, stages, mode)


def _note(begun: Begun, ended: dict[str, Any]) -> bool:
    """Write how a command ended; False, and nothing is written, where the directory is no run."""
    from headrace.pipelines.passes import summary

    path = begun.path
    if not any(storage.exists(storage.join(path, name)) for name in (rundir.RECIPE, "run.json")):
        return False
    gates = summary.gates(path)
    if ended["gate"]:
        told = gates.get(ended["gate"], {})
        gates |= {ended["gate"]: {**told, "passed": False, "words": ended["words"]}}
    held, back = _held(begun, ended, gates)
    unheld = sorted(_unheld(path) - held)
    now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    summary.write(path, {"ended": ended, "gates": {**back, **gates}, "unheld": unheld, "date": now})
    return True


def report(run: str, stages: Sequence[str], mode: Mode) -> str:
    """Look at what still stands, write the report of that and of `stages`; returns the path of its page."""
    from headrace.pipelines.passes import summary

    said = standing.sections(run, summary.read(run))
    gates = summary.gates(run)
    if "evaluate" in said["stale"]:
        gates = {name: gate for name, gate in gates.items() if name not in GATES["evaluate"]}
    summary.write(run, {**said, "gates": gates})
    for name, why in said["stale"].items():
        what = "the adapter" if name == "train" else "the evaluation"
        say(mode, "warning", f"stale: {what} {why}", stale=name)
    path = here.once(partial(_built, run, stages), name="report")
    say(mode, "report", f"report: {path}", path=path)
    return path


def _built(run: str, stages: Sequence[str]) -> str:
    from headrace.pipelines.report import page  # matplotlib

    return page.build(run, stages)
