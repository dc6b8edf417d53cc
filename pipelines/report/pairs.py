"""Pairs of rows for people to look at: a removed duplicate beside the row that stands for it.

What: picks a few pairs that show the whole range of similarity, takes their rows from `prepared/` (text as
masked by PII; nothing else is ever read) and marks where the two texts differ.

Why: a removal that nobody can look at is a removal that nobody can trust.

Cost: reads `duplicates/` up to `LISTED` rows (about 40 bytes each), and what `stored` reads for the picked
rows. Texts are compared up to `COMPARED` characters.
"""

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from headrace.cluster import storage
from headrace.pipelines import stored
from headrace.pipelines.stored import Stored

COLUMNS = ["removed", "kept", "distance", "similarity", "rule", "run", "error"]
LISTED = 1_000_000  # duplicates among which pairs are picked
COMPARED = 12_000  # characters of a text that are compared
SHOWN = 1_400  # characters of a text that are shown
CONTEXT = 70  # characters kept on either side of a difference

# Words with the space before them, single marks; scripts written without spaces by the character.
UNSPACED = r"\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af"
TOKENS = re.compile(rf"\s*(?:[{UNSPACED}]|[^\W{UNSPACED}]+|[^\w\s])|\s+")

Piece = tuple[str, str]  # ("same" | "changed" | "gap", text)


@dataclass(frozen=True)
class Pair:
    """Two rows side by side; a row that is not in `prepared/` (any more) is None and has no pieces.

    run: the earlier run that the kept row is of; None for this one. error: standard error of a
    similarity that was told by a sketch.
    """

    rule: str
    similarity: float | None
    error: float
    distance: int | None
    removed_id: int
    kept_id: int
    run: str | None
    removed: Stored | None
    kept: Stored | None
    removed_pieces: tuple[Piece, ...]
    kept_pieces: tuple[Piece, ...]

    @property
    def identical(self) -> bool:
        """Whether both texts are there and the same, to the character."""
        return self.removed is not None and self.kept is not None and self.removed.text == self.kept.text


def pairs(run: str, prefix: str, count: int, exact: int | None = None) -> list[Pair]:
    """Up to `count` pairs from `duplicates/<prefix>*.parquet`, every rule in turn, least alike first.

    exact: most of those that are the same to the character, of which one looks like the other.

    Raises: StorageError.
    """
    table = _listed(run, prefix)
    if table is None or not table.num_rows:
        return []
    return beside(run, _pick(table, count, exact).to_pylist())


def beside(run: str, listed: Sequence[dict[str, Any]]) -> list[Pair]:
    """Rows of `removed.parquet` or `borderline.parquet` with both texts. Raises: StorageError."""
    rows = stored.find(run, [r["removed"] for r in listed])
    kept: dict[str | None, dict[int, Stored]] = {}
    for where in sorted({r["run"] for r in listed}, key=str):
        kept[where] = stored.find(where or run, [r["kept"] for r in listed if r["run"] == where])
    return [_pair(r, rows.get(r["removed"]), kept[r["run"]].get(r["kept"])) for r in listed]


def _listed(run: str, prefix: str) -> pa.Table | None:
    """Rows of the files of `duplicates/` that begin with `prefix`, the first `LISTED` or so."""
    files = [
        e.path
        for e in storage.listing(storage.join(run, "duplicates"))
        if e.path.rsplit("/", 1)[-1].startswith(prefix) and e.path.endswith(".parquet")
    ]
    batches: list[pa.RecordBatch] = []
    for path in files:
        with storage.intact(path), storage.open_input(path) as file:
            opened = pq.ParquetFile(file)
            if not set(COLUMNS) <= set(opened.schema_arrow.names):
                continue  # of another version: examples are a courtesy, no reason to fail
            for batch in opened.iter_batches(columns=COLUMNS):
                batches.append(batch)
                if sum(b.num_rows for b in batches) >= LISTED:
                    return pa.Table.from_batches(batches)
    return pa.Table.from_batches(batches) if batches else None


def _pick(table: pa.Table, count: int, exact: int | None = None) -> pa.Table:
    """`count` rows: an equal share for each rule, evenly spread from the least to the most alike."""
    order = [("similarity", "ascending"), ("removed", "ascending"), ("kept", "ascending")]
    groups = []
    rules = sorted(pc.unique(table["rule"]).to_pylist(), key=lambda r: (r == "exact", str(r)))
    left = count
    for position, rule in enumerate(rules):
        group = table.filter(pc.equal(table["rule"], rule)).sort_by(order)
        most = group.num_rows if rule != "exact" or exact is None else min(exact, group.num_rows)
        share = min(most, -(-left // (len(rules) - position)))
        places = np.unique(np.linspace(0, group.num_rows - 1, share).round().astype(np.int64))
        groups.append(group.take(pa.array(places)))
        left -= len(places)
    return pa.concat_tables(groups)


def _pair(listed: dict[str, Any], removed: Stored | None, kept: Stored | None) -> Pair:
    left: tuple[Piece, ...] = ()
    right: tuple[Piece, ...] = ()
    if removed and kept:
        left, right = differences(removed.text, kept.text)
    elif removed or kept:
        left, right = (tuple(shortened([("same", row.text)])) if row else () for row in (removed, kept))
    return Pair(
        rule=listed["rule"],
        similarity=listed["similarity"],
        error=listed["error"] or 0.0,
        distance=listed["distance"],
        removed_id=listed["removed"],
        kept_id=listed["kept"],
        run=listed["run"],
        removed=removed,
        kept=kept,
        removed_pieces=left,
        kept_pieces=right,
    )


def differences(left: str, right: str) -> tuple[tuple[Piece, ...], tuple[Piece, ...]]:
    """Both texts in pieces: "same", "changed", or "gap" (how many characters are not shown).

    Long stretches that are the same, and what is beyond the limits, become gaps.
    """
    a, b = TOKENS.findall(left[:COMPARED]), TOKENS.findall(right[:COMPARED])
    ours: list[Piece] = []
    theirs: list[Piece] = []
    for kind, i, j, k, m in difflib.SequenceMatcher(None, a, b, autojunk=len(a) > 1000).get_opcodes():
        name = "same" if kind == "equal" else "changed"
        if j > i:
            ours.append((name, "".join(a[i:j])))
        if m > k:
            theirs.append((name, "".join(b[k:m])))
    for pieces, text in ((ours, left), (theirs, right)):
        if len(text) > COMPARED:
            pieces.append(("gap", _gap(len(text) - COMPARED)))
    return tuple(shortened(ours)), tuple(shortened(theirs))


def shortened(pieces: Sequence[Piece]) -> list[Piece]:
    """Cut the middle out of long equal pieces, and all that is beyond the limit."""
    shorter: list[Piece] = []
    room = SHOWN
    for position, (kind, text) in enumerate(pieces):
        if room <= 0:
            rest = sum(len(t) for k, t in pieces[position:] if k != "gap")
            return [*shorter, ("gap", _gap(rest))] if rest else shorter
        if kind == "same" and len(pieces) > 1 and len(text) > 4 * CONTEXT:
            head = text[:CONTEXT] if position else ""
            tail = text[-CONTEXT:] if position < len(pieces) - 1 else ""
            cut = [("same", head), ("gap", _gap(len(text) - len(head) - len(tail))), ("same", tail)]
        elif kind != "gap" and len(text) > room:
            cut = [(kind, text[:room]), ("gap", _gap(len(text) - room))]
        else:
            cut = [(kind, text)]
        shorter += [piece for piece in cut if piece[1]]
        room -= sum(len(t) for k, t in cut if k != "gap")
    return shorter


def _gap(characters: int) -> str:
    return f"… {characters:,} characters …"
