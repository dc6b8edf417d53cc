"""run.json: what the whole run did, for machines; built from commit records alone."""

import json
from collections import Counter
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

import xxhash

from headrace.cluster import ledger, process, storage
from headrace.cluster.errors import BooksError, OutputError
from headrace.pipelines import books
from headrace.pipelines.console import Mode, say
from headrace.pipelines.examine import sides as comparing
from headrace.pipelines.passes import parts, units
from headrace.pipelines.recipe import Recipe
from headrace.pipelines.rundir import Run
from headrace.pipelines.schema import SPLITS
from headrace.pipelines.stages.pack import stage as pack
from headrace.pipelines.stages.pii import coverage as pii_coverage
from headrace.pipelines.stages.read.turns import advice
from headrace.pipelines.stages.tokenise.config import TOLD

SPOT_CHECK = "spot_check.json"  # what people said of a draw of rows
NAMED = 40  # columns that nobody reads, by name
LIBRARIES = (
    "headrace",
    "ray",
    "torch",
    "peft",
    "polars",
    "numba",
    *units.PREPARE_LIBRARIES,
    *units.PACK_LIBRARIES,
)


def prepare(
    run: Run,
    rows: Sequence[ledger.Record],
    duplicates: ledger.Record,
    shared: ledger.Record,
    examined: Sequence[ledger.Record],
    windows: Sequence[ledger.Record],
    scanned: Sequence[ledger.Record],
    digest: str,
) -> dict[str, Any]:
    """Everything that passes 1 to 3 and the gate have to say, with the run's books. Raises: BooksError."""
    first = books.total(r["books"] for r in rows)
    last = books.total(r["books"] for r in windows)
    whole = _whole(first, last)
    books.check(whole, first["in"], "the run")
    return {
        "rows": whole,
        "packed": _packed(run, windows),
        "stages": books.add_timings(
            r["stages"] for r in [*rows, duplicates, shared, *examined, *windows, *scanned]
        ),
        "digest": digest,
        "versions": {"python": units.versions(())["python"], **{n: version(n) for n in LIBRARIES}},
        "sources": _sources(run, rows, windows),
        **_told(run, rows),
        "passes": {parts.PREPARE: first, parts.PACK: last},
        "histograms": _histograms(rows, windows),
        "pii": books.add_counts(r["pii"] for r in rows),
        "traits": books.add_mixes(r.get("traits", {}) for r in rows),
        "flagged": _flagged(rows),
        "pii_coverage": {
            **pii_coverage.coverage(run.recipe.pii),
            "mark": pii_coverage.model_digest(run.recipe.pii),
        },
        "duplicates": duplicates["report"],
        "passages": _passages(shared, windows),
        "splits": {**_splits(windows), "assignment": duplicates["sides"]},
        "weights": _weights(run.recipe, windows),
        "bytes_lost": sum(r["bytes_lost"] for r in rows),
        "changed": books.add_counts(r.get("changed", {}) for r in [*rows, *windows]),
        "uncounted": sum("changed" not in r for r in [*rows, *windows]),
        "shortened": sum(r["shortened"] for r in windows),
        "tokenizer": {"engine": sorted({r["engine"] for r in windows})},
        "memory": {
            "driver": process.peak(),
            "worker": max((r["memory"] for r in [*rows, *windows]), default=0),
        },
        "fragments": len(run.fragments),
    }


# What run.json says of passes that a start has not come to: true of an earlier one at most.
LATER = (
    "packed",
    "digest",
    "duplicates",
    "passages",
    "examine",
    "advice",
    "splits",
    "weights",
    "mix",
    "shortened",
    "tokenizer",
    "histograms",
)


def begun(
    run: Run,
    rows: Sequence[ledger.Record],
    duplicates: ledger.Record | None,
    windows: Sequence[ledger.Record],
) -> dict[str, Any]:
    """What a run that is stopped has to say: its books so far. Goes with `without` `LATER` into `write`."""
    first = books.total(r["books"] for r in rows)
    last = books.total(r["books"] for r in windows) if windows else first
    return {
        "rows": _whole(first, last) if windows else first,
        "stages": books.add_timings(r["stages"] for r in [*rows, *windows]),
        "sources": {
            str(source.name): books.total(r["books"] for r in rows if r["source"] == source.name)
            for source in run.recipe.sources
        },
        "passes": {parts.PREPARE: first, **({parts.PACK: last} if windows else {})},
        **_told(run, rows),
        "pii": books.add_counts(r["pii"] for r in rows),
        "traits": books.add_mixes(r.get("traits", {}) for r in rows),
        "flagged": _flagged(rows),
        "changed": books.add_counts(r.get("changed", {}) for r in [*rows, *windows]),
        "uncounted": sum("changed" not in r for r in [*rows, *windows]),
        "fragments": len(run.fragments),
        **({"duplicates": duplicates["report"]} if duplicates else {}),
    }


def _whole(first: books.Books, last: books.Books) -> books.Books:
    """Books of the run: what pass 1 took in, what pass 3 kept, and every reason of both."""
    both = books.total([first, last])
    return {**both, "in": first["in"], "kept": last["kept"]}


def _passages(shared: ledger.Record, windows: Sequence[ledger.Record]) -> dict[str, Any] | None:
    """Repeated passages, and what pass 3 cut of them; None where none were looked for."""
    if shared["report"] is None:
        return None
    cut = {n: sum(r.get("passages", {}).get(n, 0) for r in windows) for n in ("rows", "bytes")}
    return {**shared["report"], "cut": cut}


def _packed(run: Run, windows: Sequence[ledger.Record]) -> dict[str, dict[str, Any]]:
    length = pack.length(run.recipe.pack, run.recipe.tokenise)
    sides = {}
    for side in SPLITS:
        sums = {
            n: sum(r["packed"].get(side, {}).get(n, 0) for r in windows)
            for n in ("rows", "samples", "tokens")
        }
        fill = sums["tokens"] / (sums["rows"] * length) if sums["rows"] else 0.0
        sums_of_files = [o["xxh3"] for r in windows for o in r["outputs"] if o.get("split") == side]
        digest = xxhash.xxh3_128_hexdigest(ledger.dumps(sums_of_files))
        pairs = sum(r["packed"].get(side, {}).get("pairs", 0) for r in windows)
        of_pairs = {"pairs": pairs} if pairs else {}  # of a chosen and a rejected answer, two samples each
        sides[side] = {**sums, **of_pairs, "fill": round(fill, 6), "digest": digest}
    return sides


def _sources(
    run: Run, rows: Sequence[ledger.Record], windows: Sequence[ledger.Record]
) -> dict[str, dict[str, Any]]:
    sources = {}
    for source in run.recipe.sources:
        name = str(source.name)
        first = books.total(r["books"] for r in rows if r["source"] == name)
        last = books.total(r["by_source"][name] for r in windows if name in r["by_source"])
        sources[name] = _whole(first, last)
        books.check(sources[name], first["in"], f"source {name!r}")
    return sources


def _flagged(rows: Sequence[ledger.Record]) -> dict[str, Any]:
    """By source `books.flagged`."""
    mixes: dict[str, list[Any]] = {}
    for record in rows:
        mixes.setdefault(str(record["source"]), []).append(record.get("traits", {}))
    return {source: books.flagged(books.add_mixes(own)) for source, own in sorted(mixes.items())}


def _told(run: Run, rows: Sequence[ledger.Record]) -> dict[str, Any]:
    """What a run leaves unread, and what is to be said of how its sources are read."""
    left: dict[str, Counter[str]] = {}
    for record in rows:
        if record.get("left_out"):
            left.setdefault(str(record["source"]), Counter()).update(record["left_out"])
    warned = {str(s.name): advice.preferences(s.columns) for s in run.recipe.sources}
    return {
        "unread": _unread(rows),
        "left_out": {source: dict(sorted(own.items())) for source, own in sorted(left.items())},
        "warnings": [f"source {name!r}: {words}" for name, words in warned.items() if words],
    }


def _unread(rows: Sequence[ledger.Record]) -> dict[str, dict[str, Any]]:
    """By source the columns that its files have and nobody looks at; sources without any are left out."""
    found: dict[str, dict[str, Any]] = {}
    for record in rows:
        own = record.get("unread") or {}
        if own.get("columns") or own.get("more"):
            source = found.setdefault(str(record["source"]), {"columns": [], "more": 0})
            names = sorted({*source["columns"], *own["columns"]})
            source["columns"] = names[:NAMED]
            source["more"] = max(source["more"], own["more"], len(names) - NAMED)
    return found


def _histograms(rows: Sequence[ledger.Record], windows: Sequence[ledger.Record]) -> dict[str, Any]:
    named = {
        "characters.in": [r["histograms"]["characters.in"] for r in rows],
        "characters.kept": [r["histograms"]["characters.kept"] for r in rows],
        "tokens": [r["histograms"]["tokens"] for r in windows],
    }
    return {name: books.add(counts) for name, counts in named.items()}


def _splits(windows: Sequence[ledger.Record]) -> dict[str, dict[str, int]]:
    return {
        side: {n: sum(r["splits"][side][n] for r in windows) for n in ("rows", "records")} for side in SPLITS
    }


def _weights(recipe: Recipe, windows: Sequence[ledger.Record]) -> dict[str, Any] | None:
    """Rows to train on, those that are never drawn, and how often an epoch draws rows of each trait's values,
    on average; None where nothing is weighed.
    """
    if all(s.weight == 1 and not s.weights for s in recipe.sources):
        return None
    rows, never, mixes = 0, 0, []
    for source in recipe.sources:
        for own in (r["drawn"][str(source.name)] for r in windows if str(source.name) in r.get("drawn", {})):
            rows += own["rows"]
            never += own["never"] if source.weight else own["rows"]
            mixes.append({t: {v: source.weight * n for v, n in m.items()} for t, m in own["traits"].items()})
    summed = books.add_mixes(mixes)
    told = {trait: {v: round(n, 3) for v, n in mix.items()} for trait, mix in summed.items()}
    return {"rows": rows, "never": never, "traits": told}


def sides(windows: Sequence[ledger.Record]) -> dict[str, Any]:
    """Whether the sides are large enough to tell anything, and alike (`examine.sides.report`)."""
    samples = {s: sum(r["packed"].get(s, {}).get("samples", 0) for r in windows) for s in SPLITS}
    mixes = {s: books.add_mixes(r["splits"][s].get("traits", {}) for r in windows) for s in SPLITS}
    return comparing.report(samples, mixes)


def write(path: str, section: dict[str, Any], without: Sequence[str] = ()) -> dict[str, Any]:
    """Merge `section` into run.json and write it; returns the whole. One that is damaged is written anew.

    without: sections of an earlier start that are not true any more.
    """
    try:
        earlier = read(path)
    except BooksError:  # it holds nothing that the run's other files do not
        earlier = {}
    whole = {**{k: v for k, v in earlier.items() if k not in without}, **section}
    storage.put(storage.join(path, "run.json"), json.dumps(whole, indent=1, ensure_ascii=False).encode())
    return whole


def spot_check(path: str, digest: str) -> dict[str, Any] | None:
    """What people said of a draw of the rows that are packed as `digest`; None where they said nothing."""
    said = storage.read_object(storage.join(path, SPOT_CHECK))
    if said is None or said.get("digest") != digest:
        return None
    return {name: value for name, value in said.items() if name != "digest"}


def gates(path: str) -> dict[str, Any]:
    """What run.json says of gates so far: by gate whether it was passed, and why not."""
    try:
        return dict(read(path).get("gates") or {})
    except BooksError:
        return {}


def passed(recipe: Recipe) -> dict[str, Any]:
    """Gates of `prepare` that a run has passed when it comes to its end; what then fails is told after."""
    config = recipe.pii
    asked = {
        "quarantine.limit": True,
        "dedup.alarm": recipe.dedup.on_alarm == "stop",
        "pii.gate": config.enabled and config.gate == "fail",
        "kept": True,
    }
    return {name: {"passed": True, "words": ""} for name, on in asked.items() if on}


def require_prepared(path: str) -> None:
    """Raises: OutputError where run directory `path` has not been prepared to the end."""
    if "digest" not in read(path):
        raise OutputError(f"nothing is prepared in {path!r}; run `headrace prepare` on its recipe first")


def read(path: str) -> dict[str, Any]:
    """run.json as it stands, empty where there is none yet. Raises: BooksError (no JSON object)."""
    file = storage.join(path, "run.json")
    try:
        return dict(json.loads(storage.read_bytes(file)))
    except FileNotFoundError:
        return {}
    except (ValueError, TypeError) as error:
        raise BooksError(f"{file} is damaged; `headrace prepare` on the recipe writes it anew") from error


def say_prepared(run_json: dict[str, Any], mode: Mode) -> None:
    """What `prepare` says in the end: books, what was left, sides, advice, digest."""
    rows = run_json["rows"]
    dropped, bad = sum(rows["dropped"].values()), sum(rows["quarantined"].values())
    text = f"records: {rows['in']:,} in = {rows['kept']:,} kept + {dropped:,} dropped + {bad:,} quarantined"
    say(mode, "books", text, **rows)
    for kind in ("dropped", "quarantined"):
        for reason, count in sorted(rows[kind].items(), key=lambda p: (-p[1], p[0])):
            say(mode, "reason", f"  {kind} {reason}: {count:,}", kind=kind, reason=reason, count=count)
    for name, own in run_json["unread"].items():
        say(
            mode, "unread", f"source {name}: {advice.unread(own['columns'], own['more'])}", source=name, **own
        )
    for name, own in run_json["left_out"].items():
        for why, count in own.items():
            text = f"source {name}: {count:,} files in archives left out: {why}"
            say(mode, "left_out", text, source=name, reason=why, count=count)
    covered = run_json["pii_coverage"]
    say(mode, "coverage", pii_coverage.sentence(covered), **covered)
    for side in SPLITS:
        counts = run_json["packed"][side]
        size = f"{counts['samples']:,} samples in {counts['rows']:,} rows, fill {counts['fill']:.1%}"
        size += f", {counts['pairs']:,} pairs of answers" if counts.get("pairs") else ""
        text = f"packed {side}: {size}"
        say(mode, "packed", text, split=side, **counts)
    for kind, words in TOLD.items():
        if n := run_json["changed"].get(kind):
            event = "warning" if "lost" in kind or "unended" in kind else "told"
            say(mode, event, f"  {n:,} {words}", kind=kind, count=n)
    said = run_json["advice"]
    grave = [f"{r['code']}: {r['words']}" for r in said["reasons"] if r["level"] in ("stop", "mend")]
    text = f"verdict: {'; '.join([said['verdict'], *grave[:2]])}"
    say(mode, "advice", f"{text} (`headrace advise` says more)", **said)
    say(mode, "digest", f"digest: {run_json['digest']}", digest=run_json["digest"])


def nothing_kept(rows: dict[str, Any], path: str) -> str:
    """Why a run that kept no record has nothing to pack: its most frequent reason first."""
    counts = {**rows["dropped"], **rows["quarantined"]}
    if not counts:
        return f"nothing is left to pack: the sources of {path} hold no record; look at sources[].path"
    first = min(counts, key=lambda reason: (-counts[reason], reason))
    return (
        f"nothing is left to pack: none of {rows['in']:,} records was kept, {counts[first]:,} of them for "
        f"{first}. `headrace rejected {path} --reason {first}` shows them; look at shape and columns first"
    )
