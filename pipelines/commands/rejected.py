"""What `headrace rejected` tells: rows that were not kept, as text, with why and where they came from.

Text is shown as it is stored: masked, or withheld where the row was set aside before PII was looked for.
Where `quarantine.text` kept that text as it came, it is masked before it is shown, as everything else is.

Cost: reads `rejected/`, one file at a time; of texts only those that are shown.
"""

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from headrace.cluster import storage
from headrace.cluster.errors import OutputError
from headrace.pipelines import recipe, schema, stored
from headrace.pipelines.console import Line
from headrace.pipelines.passes import prepare_worker
from headrace.pipelines.section import hint
from headrace.pipelines.stages.pii import stage as pii

WIDTH = 100
SHOWN = 1_400  # characters of a text


def lines(
    run: str, stages: tuple[str, ...], *, reason: str | None, source: str | None, count: int
) -> Iterator[Line]:
    """How many rows there are for each reason, then the first `count` of them.

    stages: names of the stages of pass 1. reason: of these alone, such as `read` or `read.unknown_role`;
    source: of this source alone.

    Raises: OutputError where `run` is no run, or has no such reason or source; StorageError.
    """
    number, settings = recipe.kept(run)
    if number is None or settings is None:
        raise OutputError(
            f"{run!r} is not a run directory of this version: it has no recipe.yaml that it can read"
        )
    counts: Counter[tuple[str, str]] = Counter()
    known: tuple[set[str], set[str]] = (set(), set())
    rows: list[dict[str, Any]] = []
    for entry in storage.listing(storage.join(run, "rejected")):
        table = storage.read_table(entry.path)
        table = table.append_column("cause", pc.coalesce(table["reason"], table["error"]))
        known[0].update(pc.unique(table["cause"]).to_pylist())
        known[1].update(pc.unique(table["source"]).to_pylist())
        table = _chosen(table, reason, source)
        counts.update(zip(table["cause"].to_pylist(), table["source"].to_pylist(), strict=True))
        rows += table.slice(0, count - len(rows)).to_pylist()
    _require(run, "reason", reason, known[0])
    _require(run, "source", source, known[1])
    for (cause, name), n in sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])):
        fields = {"reason": cause, "source": name, "rows": n}
        yield Line(f"{n:,} rows of {name}: {cause}", fields)
    if not counts:
        yield Line("no row was rejected", {"rows": 0})
    unmasked = prepare_worker.unmasked(stages)
    for row in rows:
        yield from _row(row, settings.pii, unmasked)


def _chosen(table: pa.Table, reason: str | None, source: str | None) -> pa.Table:
    if reason is not None:
        same = pc.equal(table["cause"], reason)
        table = table.filter(pc.or_(same, pc.starts_with(table["cause"], f"{reason}.")))
    return table if source is None else table.filter(pc.equal(table["source"], source))


def _require(run: str, what: str, given: str | None, known: set[str]) -> None:
    """Raises: OutputError where no row of the run has the `given` reason or source."""
    if given is None or any(one == given or one.startswith(f"{given}.") for one in known):
        return
    like = hint(given, known) if known else "nothing was rejected"
    raise OutputError(f"{run!r} has no rejected row of {what} {given!r}; {like}")


def _row(row: dict[str, Any], config: Any, unmasked: tuple[str, ...]) -> Iterator[Line]:
    """One row: where it stands, why it went, its text."""
    what = "dropped" if row["reason"] else "quarantined"
    detail = f" ({row['detail']})" if row["detail"] else ""
    text = _text(row, config, unmasked)
    fields = {k: row[k] for k in ("row_id", "source", "file", "place", "detail", "n_records")}
    yield Line("-" * WIDTH)
    yield Line(
        f"row {row['row_id']}: {what}, {row['cause']}{detail}; {row['source']}: {row['file']}, "
        f"{row['place']}",
        {**fields, "reason": row["cause"], "shown": text},
    )
    if text is None:
        text = "its text is withheld: it was never masked (quarantine.text keeps it)"
    more = f" ... {len(text) - SHOWN:,} characters more" if len(text) > SHOWN else ""
    yield Line(text[:SHOWN] + more)


def _text(row: dict[str, Any], config: Any, unmasked: tuple[str, ...]) -> str | None:
    """The row's messages as text; None where they are withheld, or could not be masked."""
    if row["messages"] is None:
        return None
    messages = row["messages"]
    if row["stage"] in unmasked and config.enabled:
        names = ("row_id", "n_records", "source", "file", "place", "messages")
        masked = pii.apply(schema.from_rows([{name: row[name] for name in names}]), config)
        if masked["error"][0].is_valid:
            return None
        messages = masked["messages"][0].as_py()
    return stored.as_text(messages)
