"""Books from pass to pass, what run.json says, and the digest: held against the ledger by `headrace verify`.

Cost: a look at every record that is at hand, and at three files.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from headrace.cluster import ledger, storage
from headrace.pipelines import books
from headrace.pipelines.commands.verify import tasks
from headrace.pipelines.commands.verify.tasks import Report
from headrace.pipelines.passes import digest, summary
from headrace.pipelines.passes.gate import audit as pii_audit
from headrace.pipelines.schema import SPLITS

ANEW = "`headrace prepare` on the recipe writes it anew"
# What is written at the end, and what raises ValueError where it is not whole.
WRITTEN: dict[str, Callable[[str], Any]] = {
    pii_audit.FILE: json.loads,
    "report.html": lambda text: text.rindex("</html>"),
}
Records = dict[str, dict[str, ledger.Record]]  # by pass and unit


def books_of(run: str, records: Records, windows: Sequence[tasks.Window], report: Report) -> None:
    """Books of every record, from pass to pass, and of run.json."""
    for name in ("prepare", "pack"):
        for unit, record in records[name].items():
            book = record["books"]
            out = book["kept"] + sum(book["dropped"].values()) + sum(book["quarantined"].values())
            if book["in"] != out:
                path = f"{ledger.FOLDER}/{name}/{unit}.json"
                report.fail("books", path, f"{path}: {book['in']:,} records came in, {out:,} went out")
    if records["pack"] and not records["dedup"]:
        path = f"{ledger.FOLDER}/dedup/all.json"
        report.fail("ledger", path, f"{path} is gone; `headrace prepare` decides duplicates again")
    waiting = [w.unit for w in windows if w.packed is None]
    first = books.total(r["books"] for r in records["prepare"].values())
    if waiting:
        report.notes["packed"] = f"{len(waiting):,} of {len(windows):,} windows are not packed yet"
    else:
        report.notes["packed"] = f"every row that was kept is packed once, in {len(windows):,} windows"
        if "packed" in report.unread:
            report.notes["packed"] = _whole_windows(windows, report.unread["packed"])
        last = books.total(r["books"] for r in records["pack"].values())
        if windows and last["in"] != first["kept"]:
            text = f"pass 1 kept {first['kept']:,} records, pass 3 took in {last['in']:,}"
            report.fail("books", f"{ledger.FOLDER}/pack", text)
        _summary(run, first, last, windows, report)
    report.notes["books"] = f"{first['in']:,} records in, and the rows in the files are those of the books"
    if unread := report.unread.get("books"):
        report.notes["books"] += f", but for {len(unread):,} files that could not be looked at"


def _whole_windows(windows: Sequence[tasks.Window], files: Sequence[str]) -> str:
    """What is said of packed rows where `files` of some windows could not be looked at."""
    unread = set(files)
    whole = sum(
        not any(o["path"] in unread for r in (*w.parts, w.packed) if r is not None for o in r["outputs"])
        for w in windows
    )
    return (
        f"every row that was kept is packed once in {whole:,} of {len(windows):,} windows; "
        f"{len(unread):,} files could not be looked at"
    )


def _summary(
    run: str, first: books.Books, last: books.Books, windows: Sequence[tasks.Window], report: Report
) -> None:
    """What run.json says, against the ledger."""
    try:
        said = summary.read(run)
    except Exception as error:  # noqa: BLE001 - whatever it holds instead of a run
        report.fail(
            "summary",
            "run.json",
            f"run.json cannot be read ({type(error).__name__}); {ANEW}",
        )
        return
    if "digest" not in said:
        if said or not windows:
            report.notes["summary"] = "run.json is not written to its end yet"
        else:
            report.fail("summary", "run.json", f"run.json is gone; {ANEW}")
        return
    whole = {**books.total([first, last]), "in": first["in"], "kept": last["kept"]}
    if said.get("rows") != whole:
        text = "run.json has other books than the ledger: `headrace prepare` on the recipe writes it anew"
        report.fail("summary", "run.json", text)
    for file, check_whole in WRITTEN.items():
        try:
            check_whole(storage.read_bytes(storage.join(run, file)).decode())
        except FileNotFoundError:
            if file != pii_audit.FILE or said["pii_coverage"]["names"] != "off":
                report.fail("summary", file, f"{file} is gone; {ANEW}")
        except ValueError:
            report.fail("summary", file, f"{file} is damaged; {ANEW}")
    report.notes["summary"] = "run.json has the books of the ledger; pii.json and report are there"


def digest_of(run: str, records: Records, hashes: Mapping[str, bytes], report: Report) -> None:
    """The digest of run.json, against what is packed."""
    said = (storage.read_object(storage.join(run, "run.json")) or {}).get("digest")
    shards = [o for r in records["pack"].values() for o in r["outputs"] if "split" in o]
    if said is None or any(o["path"] not in hashes for o in shards):
        return  # told above
    order = sorted(shards, key=lambda o: (SPLITS.index(o["split"]), o["path"]))
    found = digest.of((o["split"], hashes[o["path"]]) for o in order)
    if found != said:
        report.fail("digest", "run.json", f"packed/ has the digest {found}, run.json says {said}")
    report.notes["digest"] = f"packed/ has the digest that run.json says, {said}"
