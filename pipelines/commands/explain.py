"""What `headrace explain` tells: the way of one row, from its file to the tokens it became.

Cost: the run's commit records, the files of `prepared/` and `rejected/` of one fragment, and one packed
window; of a row whose text was changed also its fragment's input (`changed`).
"""

from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from headrace.cluster import ledger, storage
from headrace.cluster.errors import OutputError
from headrace.pipelines import recipe, stored
from headrace.pipelines.commands import duplicates
from headrace.pipelines.commands.explained import changed, stripped
from headrace.pipelines.console import Line
from headrace.pipelines.passes import parts
from headrace.pipelines.report import pairs
from headrace.pipelines.schema import REJECTED, SPLITS
from headrace.pipelines.stages import reasons

LISTED = 3  # pairs of each kind that are shown


def lines(run: str, row_id: int, stages: Sequence[str]) -> Iterator[Line]:
    """Every stage's verdict on row `row_id`; of a duplicate both texts with the differences marked.

    `stages`: names of the stages, in the order in which a row meets them.

    Raises: OutputError where the run has no such row; StorageError.
    """
    ordinal = row_id >> 32
    owner = next((f for plan in ledger.plans(run).values() for f in plan if f.ordinal == ordinal), None)
    records = ledger.load(run, parts.PREPARE)
    units = [unit for unit, record in records.items() if record["ordinal"] == ordinal]
    kept = _row(run, [f"prepared/part-{u}.parquet" for u in units], row_id)
    lost = _row(run, [f"rejected/part-{u}.parquet" for u in units], row_id)
    row = kept or lost
    if owner is None or row is None:
        raise OutputError(
            f"{run!r} has no row {row_id}; ids stand in rejected/, duplicates/ and packed/ (row_ids)"
        )
    yield Line(f"row {row_id}: source {row['source']}, {row['file']}, {row['place']}", {"row_id": row_id})
    if row["n_records"] != 1:
        yield Line(f"  made of {row['n_records']} records", {"n_records": row["n_records"]})
    if kept is None:
        yield from _lost(row, stages)
        return
    changes = _changes(run, [f"changed/part-{u}.parquet" for u in units], row_id)
    counted = all("changed" in records[u] for u in units)
    _, settings = recipe.kept(run)
    own = settings is not None and bool(settings.steps.root)
    yield from _first(kept, changes, counted=counted, steps=own)
    if settings is not None and any(kind.startswith(("clean.", "steps.")) for kind in changes):
        first = stages[1 : stages.index("pii")]
        yield from changed.lines(settings, owner, row_id, first)
    yield Line(stored.as_text(kept["messages"]), {"messages": kept["messages"]})
    compared, stays = _compared(run, row_id)
    yield from compared
    if stays:
        yield from _last(run, row_id, records, units, kept["messages"])


def row_id(run: str, row: str) -> int:
    """The id of a row that is named by its id, or by its place as reports name it ("file, line 12").

    Raises: OutputError where no row stands there, or several do; StorageError.
    """
    if row.strip().isdecimal():
        return int(row)
    file, _, place = row.rpartition(", ")
    source, _, rest = file.partition(": ")  # "source: file", as some lines have it
    found: list[tuple[int, str]] = []
    for folder in ("prepared", "rejected"):
        for entry in storage.listing(storage.join(run, folder)):
            table = storage.read_table(entry.path, ["row_id", "source", "file", "place"])
            here = pc.or_(
                pc.equal(table["file"], file),
                pc.and_(pc.equal(table["file"], rest), pc.equal(table["source"], source)),
            )
            table = table.filter(pc.and_(here, pc.equal(table["place"], place)))
            found += zip(table["row_id"].to_pylist(), table["source"].to_pylist(), strict=True)
    rows = dict(found)  # a row that pass 3 marked stands in both
    if not rows:
        raise OutputError(
            f"{run!r} has no row at {row!r}: give an id, or file and place as the report has them, such as "
            '"chat/0.jsonl, line 12"'
        )
    if len(rows) > 1:
        each = ", ".join(f"{source}: row {number}" for number, source in sorted(rows.items()))
        raise OutputError(f"{len(rows)} rows of {run!r} stand at {row!r} ({each}): give one of the ids")
    return next(iter(rows))


def _row(run: str, paths: list[str], row_id: int) -> dict[str, Any] | None:
    """The row with this id in one of the files, some of which may not be there."""
    for path in paths:
        try:
            table = storage.read_table(storage.join(run, path), filters=[("row_id", "==", row_id)])
        except FileNotFoundError:
            continue
        if table.num_rows:
            row: dict[str, Any] = table.to_pylist()[0]
            return row
    return None


def _verdict(row: dict[str, Any]) -> Line:
    """What a row of `rejected/` says of itself."""
    what = "dropped" if row["reason"] else "quarantined"
    cause = row["reason"] or row["error"]
    detail = f" ({row['detail']})" if row["detail"] else ""
    fields = {k: row[k] for k in ("stage", "reason", "error", "detail", "bytes_lost")}
    return Line(f"{row['stage']}: {what}, {cause}{detail}{_meaning(cause)}", fields)


def _meaning(cause: str) -> str:
    """What a reason means and what to do about it, on a line of their own."""
    known = reasons.of(cause)
    return f"\n  {known.means}; what to do: {known.remedy}" if known else ""


def _lost(row: dict[str, Any], stages: Sequence[str]) -> Iterator[Line]:
    """Pass 1 of a row that it marked."""
    for stage in stages[: stages.index(row["stage"])] if row["stage"] in stages else ():
        yield Line(f"{stage}: passed", {"stage": stage})
    yield _verdict(row)
    if row["messages"] is None:
        yield Line("  its text is withheld: it was never masked (quarantine.text keeps it)")


def _changes(run: str, paths: list[str], row_id: int) -> dict[str, int]:
    """What was changed of a row, by kind; some of the files may not be there."""
    changes: dict[str, int] = {}
    for path in paths:
        try:
            table = storage.read_table(storage.join(run, path), filters=[("row_id", "==", row_id)])
        except FileNotFoundError:
            continue
        changes |= dict(zip(table["kind"].to_pylist(), table["n"].to_pylist(), strict=True))
    return changes


def _changed(changes: dict[str, int]) -> str:
    return ", ".join(f"{kind.partition('.')[2]} {n:,}" for kind, n in sorted(changes.items()))


def _first(kept: dict[str, Any], changes: dict[str, int], *, counted: bool, steps: bool) -> Iterator[Line]:
    """Pass 1 of a row that it kept. counted: whether its changes were. steps: whether the recipe has any."""
    scores = ", ".join(f"{k} {_figure(v)}" for k, v in (kept["quality"] or {}).items())
    counts = dict(kept["pii"] or ())
    entities = ", ".join(f"{entity} {n}" for entity, n in sorted(counts.items())) or "nothing found"
    sizes = {f"{part}_features": kept[f"{part}_features"] for part in ("prompt", "answer")}
    joined = {kind: n for kind, n in changes.items() if kind.startswith("read.")}
    told = f"; {_changed(joined)}" if joined else ""
    yield Line(f"read: passed{told}", {"stage": "read", "changed": joined})
    cleaned = {kind: n for kind, n in changes.items() if kind.startswith("clean.")}
    how = f"; changed: {_changed(cleaned)}" if cleaned else "; nothing changed" if counted else ""
    yield Line(f"clean: passed{how}", {"stage": "clean", "changed": cleaned})
    if steps:
        stepped = {kind: n for kind, n in changes.items() if kind.startswith("steps.")}
        how = (
            f"; changed by {', '.join(kind.partition('.')[2] for kind in sorted(stepped))}" if stepped else ""
        )
        yield Line(f"steps: passed{how}", {"stage": "steps", "changed": stepped})
    yield Line(f"quality: passed; {scores}", {"stage": "quality", "quality": kept["quality"]})
    traits = kept.get("traits") or {}
    yield Line(f"traits: {_traits(traits)}", {"stage": "traits", "traits": traits})
    yield Line(f"pii: {entities}", {"stage": "pii", "pii": counts})
    text = f"fingerprint: {kept['size']:,} bytes, SimHash {kept['simhash']:016x}"
    yield Line(text, {"stage": "fingerprint", "simhash": f"{kept['simhash']:016x}", **sizes})


def _traits(traits: dict[str, Any]) -> str:
    if not traits:
        return "not told"
    listed = {k: ", ".join(v) if isinstance(v, list) else v for k, v in traits.items() if v}
    return "; ".join(f"{name.replace('_', ' ')} {value}" for name, value in listed.items())


def _figure(value: object) -> str:
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def _compared(run: str, row_id: int) -> tuple[list[Line], bool]:
    """Pass 2, and whether it leaves the row to pass 3."""
    try:
        removed = _pairs(run, "removed", "removed", row_id)
    except FileNotFoundError:
        return [Line("dedup: not decided yet", {"stage": "dedup"})], False
    if removed:
        reason = f"dedup.{removed[0]['rule']}"
        earlier = removed[0]["run"]
        why = f", as a row of {earlier} is like it (dedup.against)" if earlier else ""
        fields = {"stage": "dedup", "reason": reason, "against": earlier}
        lines = [Line(f"dedup: dropped, {reason}{why}{_meaning(reason)}", fields)]
        return [*lines, *duplicates.beside("removed", pairs.beside(run, removed)[0])], False
    lines = [Line("dedup: kept", {"stage": "dedup"})]
    stood = [r for r in _pairs(run, "removed", "kept", row_id) if r["run"] is None]
    if stood:
        lines.append(Line(f"  {len(stood):,} rows were removed for it", {"stands_for": len(stood)}))
    close = _pairs(run, "borderline", "removed", row_id)
    close += [r for r in _pairs(run, "borderline", "kept", row_id) if r["run"] is None]
    for title, listed in (("removed", stood), ("borderline", close)):
        for pair in pairs.beside(run, listed[:LISTED]):
            lines += duplicates.beside(title, pair)
    return lines, True


def _pairs(run: str, name: str, column: str, row_id: int) -> list[dict[str, Any]]:
    path = storage.join(run, "duplicates", f"{name}.parquet")
    listed: list[dict[str, Any]] = storage.read_table(path, filters=[(column, "==", row_id)]).to_pylist()
    return listed


def _last(
    run: str, row_id: int, records: dict[str, Any], units: list[str], messages: list[dict[str, Any]]
) -> Iterator[Line]:
    """Pass 3: the window that the row stands in."""
    _, settings = recipe.kept(run)
    if settings is None:
        raise OutputError(f"{run!r} was written by another version of headrace")
    epochs = {f.ordinal: n for n, plan in enumerate(ledger.plans(run).values()) for f in plan}
    cut = parts.windows(list(records.values()), epochs, settings.pack.window)
    done = ledger.load(run, parts.PACK)
    for window in (w for w in cut if set(w.units) & set(units)):
        if window.unit not in done:
            continue
        lost = _row(run, [f"rejected/pack-{window.unit}.parquet"], row_id)
        if lost is not None:
            yield _verdict(lost)
            return
        for side in SPLITS:
            samples = _packed(run, f"packed/{side}/part-{window.unit}.parquet", row_id)
            if samples:
                tokens = sum(n for _, n in samples)
                where = ", ".join(str(place) for place, _ in samples)
                yield Line(f"split: {side}", {"stage": "split", "split": side})
                changes = _changes(run, [f"changed/pack-{window.unit}.parquet"], row_id)
                if changes:
                    yield Line(f"tokenise: {_changed(changes)}", {"stage": "tokenise", "changed": changes})
                yield from stripped.lines(settings, messages)
                file = f"packed/{side}/part-{window.unit}.parquet"
                pair = any(m["role"] == REJECTED for m in messages)
                what = "samples, the chosen and the rejected answer" if pair else "samples"
                text = f"pack: {len(samples)} {what}, {tokens:,} tokens, in {file}"
                fields = {"stage": "pack", "samples": len(samples), "tokens": tokens, "window": window.number}
                yield Line(f"{text}, rows {where}", fields)
                return
    yield Line("pack: not done yet", {"stage": "pack"})


def _packed(run: str, path: str, row_id: int) -> list[tuple[int, int]]:
    """(packed row, tokens) of each sample of the row in one packed file."""
    try:
        table = storage.read_table(storage.join(run, path), ["row_ids", "segment_ids"]).combine_chunks()
    except FileNotFoundError:
        return []
    owners = table["row_ids"].combine_chunks()
    flat = pc.equal(pc.list_flatten(owners), pa.scalar(row_id, pa.uint64()))
    rows = pc.unique(pc.list_parent_indices(owners).filter(flat)).to_pylist()
    samples = []
    for row in rows:
        segments = table["segment_ids"][row].as_py()
        for segment, owner in enumerate(table["row_ids"][row].as_py()):
            if owner == row_id:
                samples.append((int(row), segments.count(segment + 1)))  # 0 is padding
    return samples
