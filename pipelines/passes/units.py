"""What every incremental pass does: leave out what is done, run the rest, show it, balance, tidy up.

A pass says what its units are (fragments, windows), the key of each and how to work on some of them; `resume`
does the rest. A record of a unit that has today's key stands for work that need not be done again.

The driver holds one small record a part or window, never a row.
"""

import importlib.metadata
import platform
import time
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import Any, Literal, TypeVar

from headrace.cluster import ledger, session, storage, stream
from headrace.cluster.errors import BooksError
from headrace.cluster.metrics import Recorder
from headrace.pipelines.console import Mode, Progress, say
from headrace.pipelines.passes import outputs as written
from headrace.pipelines.passes.stall import Watch
from headrace.pipelines.rundir import Run

# Libraries whose version can change the bytes of a pass.
PREPARE_LIBRARIES = (
    *("ftfy", "presidio-analyzer", "phonenumbers", "spacy", "tldextract", "pyarrow", "charset-normalizer"),
)
PACK_LIBRARIES = ("tokenizers", "gigatoken", "transformers", "jinja2", "pyarrow")

# Records of one unit by their name in the ledger: a fragment has one a part, a window one.
Records = dict[str, ledger.Record]
Item = TypeVar("Item")
# Works on the units with these numbers, of which these records are done already; gives records as they come.
Work = Callable[[Sequence[int], Mapping[int, Records]], Iterator[ledger.Record]]


@dataclass(frozen=True)
class Pass:
    """An incremental pass: what it is called and how its records are told apart.

    number: the field of a record that says of which unit it is ("run": there is one unit, number 0). unit: a
    record's name in the ledger. complete: whether the records of one unit are all of it. outputs: what its
    outputs' paths begin with; other files there, which no live record names, are removed at the end. least:
    what a record stands for that names no outputs, as those of older versions.
    """

    name: str
    number: Literal["ordinal", "window", "run", "check"]
    unit: Callable[[ledger.Record], str]
    complete: Callable[[Records], bool] = bool
    outputs: tuple[str, ...] = ()
    least: tuple[str, ...] = ()

    @property
    def folders(self) -> set[str]:
        """Folders of the run that its outputs lie in."""
        return {path.partition("/")[0] for path in self.outputs}


def resume(
    run: Run, which: Pass, keys: Mapping[int, str], work: Work, *, sizes: Mapping[int, int], mode: Mode
) -> list[ledger.Record]:
    """Run the units that have no record with their key, or not its outputs; returns the records of all, in
    the order of `keys`.

    keys: pass key by number of the unit; sizes: stored bytes that each reads, for progress.

    Raises: BooksError where a unit has no complete record in the end; what `work` raises.
    """
    stored = written.sizes(run.path, which.folders)
    records = _standing(run, which, keys, stored, mode)
    todo = [number for number in keys if not which.complete(records[number])]
    if len(todo) < len(keys):
        say_skipped(mode, which.name, len(keys) - len(todo), len(keys))
    metrics, snapshots = Recorder(), ledger.Snapshots(run.path, which.name)
    total = sum(sizes[number] for number in todo)
    shown = mode if todo else "quiet"
    with (
        Progress(which.name, total, len(todo), shown) as bar,
        Watch(which.name, run.recipe.stall_after, lambda: len(todo) - bar.fragments, shown) as stall,
    ):
        for record in work(todo, records) if todo else ():
            number = record[which.number]
            records[number][which.unit(record)] = record
            stall.committed()
            run.written.update(output["path"] for output in record["outputs"])
            snapshots.add(which.unit(record), record)
            whole = which.complete(records[number])
            _show(bar, metrics, record, sizes[number] if whole else 0, int(whole))
            metrics.units(which.name, len(keys) - len(todo) + bar.fragments, len(keys))
    for number in keys:
        if not which.complete(records[number]):
            raise BooksError(f"pass {which.name}: unit {number} has parts that were not committed")
    live = {unit: records[number][unit] for number in keys for unit in sorted(records[number])}
    _tidy(run, which, live, stored)
    return list(live.values())


def _standing(
    run: Run, which: Pass, keys: Mapping[int, str], stored: Mapping[str, int], mode: Mode
) -> dict[int, Records]:
    """Records with today's key whose outputs are there, by number of the unit; what fails is told.

    stored: bytes by path of what lies in the pass's folders.
    """
    records: dict[int, Records] = {number: {} for number in keys}
    held = ledger.read(run.path, which.name)
    failed = []
    for path in (written.below(run.path, damaged) for damaged in held.damaged):
        if ledger.is_snapshot(path):
            text = f"{which.name}: {path} is damaged and written anew; the records that it held are all there"
            say(mode, "warning", text, path=path)
        else:
            failed.append(written.Wrong(path, "record"))
    for unit, record in held.records.items():
        number = record.get(which.number)
        if number is None or keys.get(number) != record.get("key"):
            continue
        wrong = written.wrong(record["outputs"] or [{"path": path} for path in which.least], stored)
        failed += wrong
        if not wrong:
            records[number][unit] = record
    written.say_wrong(mode, which.name, [one for one in failed if one.path not in run.remade])
    for one in failed:
        run.remade.setdefault(one.path, one.what)
    return records


def tasks(
    run: Run, which: Pass, function: Callable[[Item], ledger.Record], items: Mapping[int, Item]
) -> Work:
    """What `resume` calls where a unit is one task: `function` over the units' `items`, as many as fit."""

    def work(todo: Sequence[int], done: Mapping[int, Records]) -> Iterator[ledger.Record]:
        return stream.each(function, [items[n] for n in todo], workers=workers(run), name=which.name)

    return work


def each_measured(
    function: Callable[[Any], Any],
    items: Iterable[Any],
    *,
    name: str,
    workers: int,
    spent: list[float],
    gpus: float = 0,
) -> Iterator[Any]:
    """`stream.each`, adding the CPU seconds of every task to `spent`."""
    measured = partial(_measured, function)
    for result, seconds in stream.each(measured, items, workers=workers, name=name, gpus=gpus):
        spent.append(seconds)
        yield result


def _measured(function: Callable[[Any], Any], item: Any) -> tuple[Any, float]:
    started = time.process_time()
    return function(item), time.process_time() - started


def say_skipped(mode: Mode, name: str, done: int, units: int) -> None:
    """Say how many units of a pass an earlier start has done."""
    say(mode, "resumed", f"{name}: {done} of {units} units were done before", done=done, units=units)


def _show(bar: Progress, metrics: Recorder, record: ledger.Record, size: int, units: int) -> None:
    """Show and count one commit; `size`: the stored bytes, `units`: the units that it finished."""
    entered = int(next(iter(record["stages"].values()))["bytes"])
    book = record.get("books")
    if book is None:  # a pass that looks and takes nothing in
        gone = record.get("removed", 0)
        bar.update(rows=record["rows"], kept=record["rows"] - gone, dropped=gone, bytes=size, fragments=units)
        metrics.commit(bar.pass_name, bytes=entered, stages=record["stages"])
        return
    counts = {
        "kept": book["kept"],
        "dropped": sum(book["dropped"].values()),
        "quarantined": sum(book["quarantined"].values()),
    }
    bar.update(rows=book["in"], bytes=size, fragments=units, **counts)
    metrics.commit(bar.pass_name, **counts, bytes=entered, stages=record["stages"])


def _tidy(run: Run, which: Pass, live: Mapping[str, ledger.Record], stored: Iterable[str]) -> None:
    """Compact the ledger and remove outputs that no live record names, of those that lay there before."""
    ledger.compact(run.path, which.name, live)
    named = {o["path"] for r in live.values() for o in r["outputs"]}
    if which.number == "run" and not named:  # of an older version: all that lies there may be its
        return
    for path in stored:
        if path.startswith(which.outputs) and path not in named:
            storage.delete(storage.join(run.path, path))


def workers(run: Run) -> int:
    """Most tasks at once."""
    return run.recipe.workers or session.cpus()


@cache
def versions(libraries: tuple[str, ...]) -> dict[str, str]:
    """Installed versions, with Python's and Unicode's."""
    installed = {name: importlib.metadata.version(name) for name in libraries}
    return {**installed, "python": platform.python_version(), "unicode": unicodedata.unidata_version}


def config_key(stage: Any, config: Any) -> list[Any]:
    """What a stage's version and config say of its bytes: keys in its `NOT_IN_KEY` say nothing of them."""
    return [
        stage.NAME,
        stage.VERSION,
        config.model_dump(mode="json", exclude=getattr(stage, "NOT_IN_KEY", None)),
    ]
