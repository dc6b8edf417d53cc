"""The report's part on records: what came in, what was kept, why the rest was not, what was changed, and what
the kept ones became on their way to the model.

Cost: none to speak of; run.json alone.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from headrace.pipelines.report import histograms, plots
from headrace.pipelines.schema import SPLITS
from headrace.pipelines.stages import reasons as glossary
from headrace.pipelines.stages.read.turns import advice
from headrace.pipelines.stages.tokenise.config import TOLD

Run = dict[str, Any]

ROWS = 40  # of a table
STEPS = 14  # reasons in the flow plot, the rest is summed up
VALUES = 8  # of a trait

# What is counted of each kind of change.
CHANGED = {
    "clean.controls": "control characters and terminal escapes removed",
    "clean.empty_turns": "turns without content removed",
    "clean.entities": "messages, escaped throughout, whose HTML entities were decoded",
    "clean.abbreviations": "words replaced by the recipe's table",
    "clean.ambiguous_dates": "dates left as they are, as day and month cannot be told apart",
    "clean.dates": "dates written as YYYY-MM-DD",
    "clean.escapes": "messages whose line breaks and letters, written as in JSON, were decoded",
    "clean.html": "messages that were HTML turned into text",
    "clean.indentation": "messages whose indentation of code was made one kind",
    "clean.inline_tags": "HTML tags within a text removed",
    "clean.invisible": "characters that nobody sees removed: zero-width, of direction, hidden tags",
    "clean.line_breaks": "messages whose line breaks were made one kind",
    "clean.merged_turns": "turns joined to the one before, of the same role",
    "clean.normalised": "messages brought into one Unicode form",
    "clean.opening_turns": "turns before the first of a user removed",
    "clean.repaired": "messages with mojibake or ligatures repaired",
    "clean.stripped": "characters of white space removed at the ends of messages",
    "dedup.passages": "bytes of passages cut that another row keeps",
    "read.bad_bytes": "bytes that are no text in their file: replaced by U+FFFD, or read as Windows-1252",
    "read.branch_turns": "turns on other branches of a tree than the one path that is read",
    "read.dropped_parts": "parts of contents that are no text, images and sounds, left out",
    "read.other_tools": "turns with other tools than the first of their conversation, which stand for all",
    "read.as_text_turns": "turns put in order by a text that is neither a number nor an ISO 8601 time",
    "read.tied_turns": "turns that share their place in the order with another: as they lie",
    "read.unordered_turns": "turns without a value that orders them: after the others, as they lie",
    "pii.masked": "pieces of personal data replaced",
    "tokenise.pieces": "samples of rows that were too long for one, or have one for each turn with reasoning",
    "tokenise.shortened": "rows of which a part is in no sample",
    **TOLD,
}


def rows_of(run: Run) -> dict[str, Any] | None:
    """Books of the whole run with their sums; None where there are none."""
    return _book(run["rows"]) if run.get("rows") else None


def traits(run: Run) -> list[dict[str, Any]]:
    """Rows by trait: the commonest values of each, how many rows the others have, and where rows are weighed
    how often training draws rows of these values.
    """
    shown = []
    drawn = (run.get("weights") or {}).get("traits") or {}
    for name, counts in (run.get("traits") or {}).items():
        common = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
        rest = sum(n for _, n in common[VALUES:])
        told = {"name": name.replace("_", " "), "values": common[:VALUES], "rest": rest}
        own = drawn.get(name, {})
        shown.append({**told, "drawn": [(value, own.get(value, 0)) for value, _ in common[:VALUES]]})
    return [trait for trait in shown if trait["values"]]


def _book(book: Mapping[str, Any]) -> dict[str, Any]:
    dropped = {str(k): int(n) for k, n in (book.get("dropped") or {}).items()}
    quarantined = {str(k): int(n) for k, n in (book.get("quarantined") or {}).items()}
    entered, kept = int(book.get("in", 0)), int(book.get("kept", 0))
    out = sum(dropped.values()) + sum(quarantined.values())
    return {
        "in": entered,
        "kept": kept,
        "dropped": dropped,
        "quarantined": quarantined,
        "n_dropped": sum(dropped.values()),
        "n_quarantined": sum(quarantined.values()),
        "share": kept / entered if entered else 0.0,
        "balanced": entered == kept + out,
        "missing": entered - kept - out,
    }


def passes(run: Run) -> list[dict[str, Any]]:
    books = {str(name): _book(book) for name, book in (run.get("passes") or {}).items()}
    return [{"name": name, **book} for name, book in books.items()]


def _marks(book: Mapping[str, Any], stages: Sequence[str]) -> list[tuple[str, int, str]]:
    """(reason, records, kind) in the order of the stages, the largest of a stage first."""
    marks = [(r, n, "quarantined") for r, n in book["quarantined"].items()]
    marks += [(r, n, "dropped") for r, n in book["dropped"].items()]

    def order(mark: tuple[str, int, str]) -> tuple[int, int, str]:
        reason, records, _ = mark
        stage = reason.partition(".")[0]
        return (stages.index(stage) if stage in stages else len(stages), -records, reason)

    return sorted(marks, key=order)


def flow_of(run: Run, stages: Sequence[str]) -> Any:
    """The plot from what came in to what was kept; None without books."""
    rows = rows_of(run)
    if rows is None:
        return None
    marks = _marks(rows, stages)
    largest = sorted(marks, key=lambda m: -m[1])[:STEPS]
    steps = [(reason, n, kind) for reason, n, kind in marks if (reason, n, kind) in largest]
    rest = sum(n for _, n, _ in marks) - sum(n for _, n, _ in largest)
    if rest:
        steps.append((f"{len(marks) - len(largest)} more reasons", rest, "dropped"))
    return plots.waterfall([("records in", rows["in"], "in"), *steps, ("records kept", rows["kept"], "kept")])


def reasons(run: Run, stages: Sequence[str]) -> list[dict[str, Any]]:
    """One entry a reason: what it means and what to do about it, how many records went by it."""
    rows = rows_of(run)
    marks = _marks(rows, stages)[: 2 * ROWS] if rows else []
    most = max((n for _, n, _ in marks), default=1) or 1
    entries = []
    for reason, n, kind in marks:
        known = glossary.of(reason)
        share = n / rows["in"] if rows and rows["in"] else 0.0
        words = {"means": known.means, "remedy": known.remedy} if known else {"means": "", "remedy": ""}
        entries.append(
            {"reason": reason, "kind": kind, "records": n, "share": share, "bar": n / most, **words}
        )
    return entries


def units(run: Run) -> list[tuple[int, str, str]]:
    """What the kept records became: how many, of what, and why that is another number than the one before."""
    splits, packed = splits_of(run), packed_of(run)
    if not run.get("rows"):
        return []
    chain = [(int(run["rows"]["kept"]), "records", "lines or entries of the files; all books count these")]
    if splits and "rows" in splits["columns"]:
        rows = sum(side.get("rows", 0) for side in splits["sides"].values())
        chain.append((rows, "rows", "conversations or texts: the records of one conversation are one row"))
    if packed:
        chain.append((packed["samples"], "samples", "rows as the model sees them: a long row may be several"))
        chain.append((packed["rows"], "packed rows", "sequences of one length, filled with samples"))
        chain.append((packed["tokens"], "tokens", "pieces of words in them, padding aside"))
    return chain


def splits_of(run: Run) -> dict[str, Any] | None:
    """Train, validation and test with their sizes; None before they are made."""
    splits = run.get("splits") or {}
    sides = {s: splits[s] for s in SPLITS if isinstance(splits.get(s), dict)}
    if not sides:
        return None
    columns = [c for c in ("rows", "records", "clusters", "samples") if any(c in v for v in sides.values())]
    measure = columns[0] if columns else "rows"
    total = sum(v.get(measure, 0) for v in sides.values()) or 1
    shares = {s: v.get(measure, 0) / total for s, v in sides.items()}
    heads = [f"#{column.capitalize()}" for column in columns]
    return {"sides": sides, "columns": columns, "heads": heads, "shares": shares}


def packed_of(run: Run) -> dict[str, Any] | None:
    """Packed rows by side, and their sums; None before packing."""
    packed = run.get("packed") or {}
    sides = {s: packed[s] for s in SPLITS if isinstance(packed.get(s), dict)}
    if not sides:
        return None
    totals = {n: sum(v.get(n, 0) for v in sides.values()) for n in ("rows", "samples", "tokens")}
    # fill = tokens / (rows x length), so rows / fill-weighted tokens give back the room of all sides.
    room = sum(v["tokens"] / v["fill"] for v in sides.values() if v.get("fill"))
    return {"sides": sides, **totals, "fill": totals["tokens"] / room if room else 0.0}


def lengths(run: Run) -> dict[str, Any]:
    """Plots of the rows' characters and the samples' tokens, as far as they were counted."""
    filled = {name: h for name, h in (run.get("histograms") or {}).items() if sum(h.get("counts") or [])}
    named = {"characters.in": "read", "characters.kept": "kept"}
    characters = [
        histograms.Series(words, filled[name]["edges"], filled[name]["counts"])
        for name, words in named.items()
        if name in filled
    ]
    shown: dict[str, Any] = {"characters": None, "tokens": None}
    if characters:
        title = "Rows by their length in characters, as they were read and as pass 1 kept them."
        shown["characters"] = histograms.lengths("characters", characters, "characters", "rows", title)
    if "tokens" in filled:
        tokens = [histograms.Series("", filled["tokens"]["edges"], filled["tokens"]["counts"])]
        title = "Samples by their length in tokens."
        shown["tokens"] = histograms.lengths("tokens", tokens, "tokens", "samples", title)
    return shown


def changes(run: Run) -> list[tuple[str, int, str]]:
    """What was changed of rows: kind, how many, of what."""
    changed = run.get("changed") or {}
    own = "rows changed by this step of the recipe"
    return [
        (str(kind), int(n), CHANGED.get(str(kind), own if str(kind).startswith("steps.") else ""))
        for kind, n in sorted(changed.items())
    ]


def sources(run: Run, stages: Sequence[str]) -> dict[str, Any]:
    """Books by source, the largest first, and their reasons."""
    books = [{"name": str(name), **_book(book)} for name, book in (run.get("sources") or {}).items()]
    books.sort(key=lambda b: (-b["in"], b["name"]))
    for book in books:
        book["reasons"] = sorted(_marks(book, stages), key=lambda m: -m[1])[:6]
        book["empty"] = book["in"] > 0 and not book["kept"]
    return {"shown": books[:ROWS], "more": max(0, len(books) - ROWS)}


def unread(run: Run) -> list[dict[str, str]]:
    """By source what is said of the columns that nobody looks at."""
    found = run.get("unread") or {}
    return [
        {"source": str(name), "words": advice.unread(own.get("columns") or [], int(own.get("more") or 0))}
        for name, own in sorted(found.items())[:ROWS]
    ]
