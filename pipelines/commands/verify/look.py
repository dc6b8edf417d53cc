"""What `headrace verify` tells: whether what a run says that it has is what is stored.

Looked at, and named where it does not stand: the ledger's own objects; every output by size and hash; the
books against the rows in the files, of each part, of each window and of the run; packed rows against the
rows that were kept; the digest; the rows that stand for removed ones; checkpoints. With `deep`, removed rows
are measured again, text against text. Nothing is written, but that `remove` takes away what is damaged.

Cost: every file of the run is read once (`deep`: those of `prepared/` again), in tasks where they are large.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from headrace.cluster import here, ledger, storage
from headrace.cluster.errors import BooksError, GateError, LedgerError, OutputError
from headrace.pipelines import recipe, trainings
from headrace.pipelines.commands.verify import books as verify_books
from headrace.pipelines.commands.verify import tasks
from headrace.pipelines.commands.verify.books import Records
from headrace.pipelines.commands.verify.tasks import Report
from headrace.pipelines.console import Line
from headrace.pipelines.passes import dedup as dedup_pass
from headrace.pipelines.passes import examine as examine_pass
from headrace.pipelines.passes import mix as mix_pass
from headrace.pipelines.passes import outputs, parts, summary
from headrace.pipelines.passes import pack as pack_pass
from headrace.pipelines.passes import prepare as prepare_pass
from headrace.pipelines.recipe import Recipe

PASSES = (
    *(prepare_pass.PASS, dedup_pass.DEDUP, dedup_pass.PASSAGES, examine_pass.PASS),
    *(mix_pass.PASS, pack_pass.PASS),
)
CHECKS = ("ledger", "files", "unnamed", "books", "packed", "removals", "digest", "summary", "training")
REMOVED = "duplicates/removed.parquet"
NEEDED = "`headrace train` makes again what it needs of it"
PAIRS = 4096  # removed rows that one task measures


def lines(run: str, *, deep: bool = False, remove: bool = False) -> Iterator[Line]:
    """One line a check that stands, and one for everything that does not; at the end, what to do. What could
    not be looked at to its end, because files are damaged, stands neither way: `stands` is None.

    Raises: GateError where something does not stand; OutputError where `run` is no run; StorageError.
    """
    report = look(run, deep=deep)
    for check in CHECKS:
        failed = [f for f in report.findings if f.check == check]
        for one in failed:
            yield Line(f"{check}: {one.text}", {"check": check, "stands": False, "path": one.path})
        if not failed and check in report.notes:
            known: dict[str, Any] = {"stands": True}
            if unread := report.unread.get(check):
                known = {"stands": None, "path": unread[0], "unread": len(unread)}
            yield Line(f"{check}: {report.notes[check]}", {"check": check, **known})
    if not report.findings:
        return
    bad = sorted({f.path for f in report.findings if f.check == "files"})
    if remove:
        for path in bad:
            storage.delete(storage.join(run, path))
        how = f"{len(bad)} damaged files were removed: `headrace prepare` on its recipe makes them again"
    else:
        how = (
            "Remove the files that are named under `files` (`headrace verify RUN --remove` does), then "
            "`headrace prepare` on its recipe makes again, with the same bytes, what does not stand"
        )
    raise GateError(f"{len(report.findings)} things that {run} says do not stand. {how}")


def look(run: str, *, deep: bool) -> Report:
    """Look at everything. Raises: OutputError, StorageError."""
    settings = _recipe(run)
    report = Report()
    # The listing first: what is written and committed meanwhile is then named, and not taken for a left-over.
    stored = _stored(run)
    records = _ledger(run, report)
    _listed(run, records, stored, report)
    cut = _windows(run, settings, records, report)
    each = partial(here.each, size=sum(stored.values()))
    rest = [
        o for name in ("dedup", "passages", "examine") for r in records[name].values() for o in r["outputs"]
    ]
    sums = each(partial(tasks.sums, run=run), rest, name="checksums")
    report.findings += [f for f in sums if f is not None]
    readable = REMOVED in stored and not any(f.path == REMOVED for f in report.findings)
    windows = [
        tasks.Window(
            w.unit, tuple(records["prepare"][u] for u in w.units), records["pack"].get(w.unit), readable
        )
        for w in cut
    ]
    seen = list(each(partial(tasks.window, run=run), windows, name="verify"))
    hashes = {path: rows for one in seen for path, rows in one.hashes.items()}
    report.findings += [f for one in seen for f in one.findings]
    _files_note(seen, len(rest), records, report)
    _unread(seen, records, report)
    verify_books.books_of(run, records, windows, report)
    verify_books.digest_of(run, records, hashes, report)
    if readable:
        _removals(run, settings, each, report, deep=deep)
    _training(run, report)
    return report


def _recipe(run: str) -> Recipe:
    number, settings = recipe.kept(run)
    if number is None:
        raise OutputError(f"{run!r} is not a run directory: it has no recipe.yaml of headrace")
    if settings is None:
        raise OutputError(f"{run!r} was written by another version of headrace (format {number})")
    return settings


def _ledger(run: str, report: Report) -> Records:
    """The records of every pass; objects of the ledger that are damaged are told."""
    records, count = {}, 0
    for name in (*(which.name for which in PASSES), parts.PROOF, parts.GATE):
        held = ledger.read(run, name)
        records[name], count = held.records, count + len(held.records)
        for path in (outputs.below(run, damaged) for damaged in held.damaged):
            what = "its unit is done again by the next start"
            if ledger.is_snapshot(path):
                what = "its records stand by themselves, the next start writes it anew"
            report.fail("ledger", path, f"{path} is damaged; {what}, nothing has to be removed")
    try:
        count += len(ledger.plans(run))
    except LedgerError as error:
        report.fail("ledger", f"{ledger.FOLDER}/plan", str(error))
    report.notes["ledger"] = f"{count:,} records can be read"
    return records


def _stored(run: str) -> dict[str, int]:
    return outputs.sizes(run, {folder for which in PASSES for folder in which.folders})


def _unread(seen: Sequence[tasks.Seen], records: Records, report: Report) -> None:
    """Which files of rows could not be looked at: damaged ones, and those of windows that nobody knows."""
    looked = {path for one in seen for path in one.looked}
    written = {o["path"] for n in ("prepare", "pack") for r in records[n].values() for o in r["outputs"]}
    rows = {r["outputs"][0]["path"] for r in records["prepare"].values()}
    rows |= {o["path"] for r in records["pack"].values() for o in r["outputs"]}
    for check, needed in (("books", written), ("packed", rows)):
        if left := sorted(needed - looked):
            report.unread[check] = left


def _listed(run: str, records: Records, stored: Mapping[str, int], report: Report) -> None:
    """Existence and size of all outputs, and files that no record names."""
    every = [o for which in PASSES for r in records[which.name].values() for o in r["outputs"]]
    # What was committed after the listing is in a second one.
    now = _stored(run) if outputs.wrong(every, stored) else stored
    left: list[str] = []
    for which in PASSES:
        named = set()
        for record in records[which.name].values():
            written = record["outputs"] or [{"path": path} for path in which.least]
            named |= {o["path"] for o in written}
            for path, what in outputs.wrong(written, now):
                report.fail("files", path, f"{path} {outputs.WORDS[what]}")
        # Of an older version's pass 2, all that lies there may be its.
        silent = which.number == "run" and not any(r["outputs"] for r in records[which.name].values())
        if not silent:
            left += [p for p in sorted(stored) if p.startswith(which.outputs) and p not in named]
    if left and _is_under_way(run):
        report.notes["unnamed"] = (
            f"{len(left):,} files are named by no commit record, as are those that a run under way has just "
            f"written, or one that was killed; `headrace prepare` removes what is left over ({left[0]})"
        )
        return
    for path in left:
        text = f"{path} is named by no commit record; `headrace prepare` on the recipe removes it"
        report.fail("unnamed", path, text)


def _is_under_way(run: str) -> bool:
    """Whether a command may be writing into the run: the last one has not said how it ended."""
    try:
        said = summary.read(run)
    except BooksError:
        return False
    ended = said.get("ended")
    return "digest" not in said if not isinstance(ended, dict) else ended.get("code") is None


def _windows(run: str, settings: Recipe, records: Records, report: Report) -> list[parts.Window]:
    try:
        plans = ledger.plans(run)
    except LedgerError:
        return []
    epochs = {f.ordinal: n for n, plan in enumerate(plans.values()) for f in plan}
    known = [r for r in records["prepare"].values() if r["ordinal"] in epochs]
    for record in records["prepare"].values():
        if record["ordinal"] not in epochs:
            path = record["outputs"][0]["path"]
            report.fail("ledger", path, f"{path}: no plan says which input it was made of")
    return parts.windows(known, epochs, settings.pack.window)


def _files_note(seen: Sequence[tasks.Seen], rest: int, records: Records, report: Report) -> None:
    count, unsummed = sum(s.files for s in seen) + rest, sum(s.unsummed for s in seen)
    note = f"{count:,} outputs hold the bytes that were written"
    if unsummed:
        note += f"; {unsummed:,} have no hash in their records, there rows alone were counted"
    nameless = [
        which.name
        for which in PASSES
        if which.number == "run" and any(not r["outputs"] for r in records[which.name].values())
    ]
    if nameless:
        note += (
            f"; records of {', '.join(nameless)} are of an older version and have no hashes: of those "
            "files it was only seen that they are there"
        )
    report.notes["files"] = note


def _removals(run: str, settings: Recipe, each: tasks.Each, report: Report, *, deep: bool) -> None:
    """Every removed row has one that stays and stands for it; with `deep`, so alike as was said."""
    path = REMOVED
    table = storage.read_table(storage.join(run, path), [*tasks.REMOVED, "run"]).combine_chunks()
    own = table.filter(table["run"].is_null())
    gone = np.intersect1d(own["kept"].to_numpy(), table["removed"].to_numpy())
    if len(gone):
        report.fail(
            "removals", path, f"{path}: {len(gone):,} rows stand for others and are removed themselves"
        )
    note = (
        f"none of the rows that stand for {table.num_rows:,} removed ones is removed itself (whether they "
        "are in prepared/, and as like as was said, is looked at with --deep)"
    )
    if deep:
        unread = [p for p in report.unread.get("packed", []) if p.startswith("prepared/")]
        pairs = own.select(tasks.REMOVED).sort_by([("kept", "ascending")]).to_pylist()
        chunks = [pairs[at : at + PAIRS] for at in range(0, len(pairs), PAIRS)]
        measure = partial(
            tasks.removals,
            run=run,
            unread=frozenset(unread),
            min_features=settings.dedup.min_features,
            ngram=settings.fingerprint.ngram,
        )
        measured = list(each(measure, chunks, name="removals"))
        report.findings += [f for found, _ in measured for f in found]
        note = f"each of {table.num_rows:,} removed rows has one that stands for it, as like as was said"
        if left := sum(unmeasured for _, unmeasured in measured):
            note += f", but for {left:,} whose files could not be looked at"
            report.unread["removals"] = unread
        if table.num_rows > own.num_rows:
            note += (
                f"; {table.num_rows - own.num_rows:,} stand for rows of earlier runs and were not measured"
            )
    report.notes["removals"] = note


def _training(run: str, report: Report) -> None:
    """Checkpoints, against what their markers say, and the adapter, against its card."""
    card = storage.read_object(storage.join(run, trainings.CARD))
    there = any(e.path.endswith(".json") for e in storage.listing(storage.join(run, trainings.FOLDER)))
    if card is None and not there:
        return
    notes = []
    if there:
        from headrace.pipelines.train import checkpoints  # PyTorch

        home = storage.join(run, trainings.FOLDER)
        folders = checkpoints.found(run)
        for folder in folders:
            record = checkpoints.read(home, folder)
            if record is None or not _whole(storage.join(home, folder), record["files"]):
                path = f"{trainings.FOLDER}/{folder}"
                text = f"{path} is not what its {checkpoints.MARKER} says: remove that directory; {NEEDED}"
                report.fail("training", path, text)
        notes.append(f"{len(folders)} checkpoints are what their markers say")
        for key in trainings.keys(run):
            kept = trainings.home(run, key)
            held = storage.read_object(storage.join(kept, trainings.CARD)) or {}
            if not _whole(storage.join(kept, "adapter"), held.get("files") or {}):
                path = f"{trainings.FOLDER}/{key}/adapter"
                text = f"{path} is not what its headrace.json says: remove that directory; {NEEDED}"
                report.fail("training", path, text)
    if card is not None and isinstance(card.get("files"), dict):
        if not _whole(storage.join(run, "adapter"), card["files"]):
            text = f"adapter/ is not what its headrace.json says: remove that directory; {NEEDED}"
            report.fail("training", "adapter", text)
        notes.append("the adapter is what its card says")
    elif card is not None:
        notes.append("the adapter's card is of an older version and has no hashes")
    report.notes["training"] = "; ".join(notes)


def _whole(folder: str, files: Mapping[str, Mapping[str, Any]]) -> bool:
    """Whether files of a folder hold the bytes that a record says."""
    return all(outputs.checksum(storage.join(folder, f)) == about["xxh3"] for f, about in files.items())
