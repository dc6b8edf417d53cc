"""The pass after packing: every window's token shards looked through for PII (`worker`).

And what a run says of PII (`audit`), the gate's verdict with it.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any

from headrace.cluster import ledger, stream
from headrace.cluster.errors import GateError
from headrace.pipelines.console import Mode, say
from headrace.pipelines.passes import pack_worker, parts, units
from headrace.pipelines.passes.gate import audit as pii_audit
from headrace.pipelines.passes.gate import worker as gate_worker
from headrace.pipelines.rundir import Run
from headrace.pipelines.stages.pii import coverage as pii_coverage
from headrace.pipelines.stages.pii import stage as pii

PASS = units.Pass(parts.GATE, number="window", unit=lambda record: parts.window(record["window"]))


def scan(
    run: Run,
    rows: Sequence[ledger.Record],
    shared: ledger.Record,
    windows: Sequence[ledger.Record],
    tokens: pack_worker.Tokens,
    mode: Mode,
) -> list[ledger.Record]:
    """Look through what packing wrote; commits in order.

    `rows`, `windows`: commits of passes 1 and 3; `shared`: of the passages that rows have in common;
    `tokens`: what was settled of the tokenizer.

    Empty where the recipe has no PII stage or no gate.
    """
    recipe = run.recipe
    if not recipe.pii.enabled or recipe.pii.gate == "off":
        return []
    cut = {w.number: w for w in parts.windows(rows, run.epochs, recipe.pack.window)}
    shards = {w["window"]: [o for o in w["outputs"] if "split" in o] for w in windows}
    keys = {number: _key(run, outputs, tokens.fingerprint) for number, outputs in shards.items()}
    sizes = {number: sum(o["size"] for o in outputs) for number, outputs in shards.items()}
    job = gate_worker.Job(recipe, keys, frozenset(pack_worker.cuts(recipe, shared)))
    items = {number: (cut[number], outputs) for number, outputs in shards.items()}
    work = units.tasks(run, PASS, partial(gate_worker.work, job=job), items)
    return units.resume(run, PASS, keys, work, sizes=sizes, mode=mode)


def _key(run: Run, outputs: Sequence[dict[str, Any]], fingerprint: str) -> str:
    config = run.recipe.pii
    return ledger.key(
        [[o["path"], o["xxh3"]] for o in outputs],
        [
            gate_worker.VERSION,
            *units.config_key(pii, config),
            config.secret_digest,
        ],
        [pii.versions(), pii_coverage.model_digest(config), fingerprint],
    )


def summary(records: Sequence[ledger.Record]) -> dict[str, Any] | None:
    """What the gate saw over all windows; None where it did not look."""
    if not records:
        return None
    leaks: dict[tuple[str, str], dict[str, Any]] = {}
    for leak in (leak for record in records for leak in record["leaks"]):
        total = leaks.setdefault((leak["split"], leak["entity"]), {**leak, "n": 0, "rows": []})
        total["n"] += leak["n"]
        total["rows"] = [*total["rows"], *leak["rows"]][: gate_worker.NAMED]
    counts = {name: sum(r[name] for r in records) for name in ("messages", "bytes")}
    return {**counts, "leaks": [leaks[key] for key in sorted(leaks)]}


def audit(run: Run, rows: Sequence[ledger.Record], seen: dict[str, Any] | None) -> None:
    """Write ``pii.json``.

    What was looked for and the rows that it shows pieces of come from a task: the driver reads no file, and
    recognisers, which take seconds to set up, are there already.
    """
    config = run.recipe.pii
    if not config.enabled:
        return
    look = partial(pii_audit.shown, run=run.path, config=config)
    shown = next(stream.each(look, [pii_audit.places(rows)], workers=1, name="review"))
    pii_audit.build(run.path, rows, config, seen, shown)


def judge(run: Run, seen: dict[str, Any] | None, mode: Mode) -> None:
    """Say what the gate saw.

    Raises: GateError where something leaks and the recipe says so (after everything else was written).
    """
    if seen is None:
        return
    if not seen["leaks"]:
        text = f"gate: no PII in {seen['messages']:,} decoded messages ({seen['bytes']:,} bytes)"
        say(mode, "gate", text, **seen)
        return
    text = (
        f"gate: PII in the packed shards: {gate_worker.note(seen['leaks'])}. Nothing shows the values; "
        f"`headrace explain {run.path} ROW` shows such a row as it is stored. Mend pii in the recipe, or set "
        "pii.gate: warn"
    )
    if run.recipe.pii.gate == "fail":
        raise GateError(text).at("pii.gate")
    say(mode, "warning", text, **seen)
