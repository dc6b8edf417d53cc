"""Drawing down the pools of `mix` to their shares of the tokens to train on, before rows are packed.

What: the tokens of the task's rows on the train side are counted, and those of each row of a pool. Of a pool
with a share s beside tokens T of the task, rows stay until they make up ``s * T / (1 - all shares)`` tokens:
those with the lowest hash of row_id and seed, so that the same rows stay whatever the files' order, and a
greater share takes the same rows and more. No row is taken twice; a pool that is too small stays whole, and
that is said. The others are marked `mix.not_drawn` when they are packed.

Why counted, and not told by bytes: the tokens a byte makes differ by language and form, by a fifth and more.

Cost: tokenising once more, where a recipe has a `mix`; 16 bytes a row of the pools in one task.
"""

import time
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from headrace.cluster import here, ledger
from headrace.pipelines import arrays, books, schema
from headrace.pipelines.console import Mode, say
from headrace.pipelines.passes import outputs, pack, pack_worker, parts, prepare_worker, units
from headrace.pipelines.passes.parts import Window
from headrace.pipelines.rundir import Run
from headrace.pipelines.stages.split import draw

FOLDER = "mix"
PASS = units.Pass(
    parts.MIX,
    number="window",
    unit=lambda record: parts.window(record["window"]),
    outputs=(f"{FOLDER}/part-",),
)
ROWS = pa.schema([("row_id", pa.uint64()), ("source", pa.string()), ("tokens", pa.int64())])
Record = ledger.Record


def settle(run: Run, planned: pack.Planned, mode: Mode) -> dict[str, Any]:
    """Which rows of the pools stay; empty where the recipe has no `mix`.

    planned: what packing would do without a draw. Returns of each pool, by the
    name of its source: `share` as asked for, `tokens`, `rows`, `of_tokens` and `of_rows` of what there was,
    `is` (the share that it has), `below` (the hash that rows must be under; null: all stay), `words`.
    """
    mixed = run.recipe.mix
    if mixed is None:
        return {}
    measuring = partial(measured, job=planned.job, pools=tuple(mixed.shares))
    work = units.tasks(run, PASS, measuring, planned.windows)
    records = units.resume(run, PASS, planned.keys, work, sizes=planned.sizes, mode=mode)
    told = here.once(partial(drawn, run.path, records, mixed.shares, run.recipe.seed), name="mix")
    for pool in told.values():
        say(mode, "warning" if pool["below"] is None else "told", f"mix: {pool['words']}", **pool)
    return told


def measured(window: Window, job: pack_worker.Job, pools: Sequence[str]) -> Record:
    """Count one window's tokens of the train side by source, and write those of each row of a pool."""
    started = time.process_time()
    done = pack_worker.tokenised(window, job)
    lengths = pc.list_value_length(done.samples["input_ids"]).to_numpy().astype(np.int64)
    kept = done.table.filter(pc.and_(schema.live(done.table), pc.equal(done.table["split"], "train")))
    at = pc.index_in(done.samples["row_id"], kept["row_id"].combine_chunks())
    ours = at.is_valid().to_numpy()
    tokens = np.bincount(at.drop_null().to_numpy(), lengths[ours], kept.num_rows).astype(np.int64)
    rows = pa.table([kept["row_id"], kept["source"], pa.array(tokens)], schema=ROWS)
    in_pool = pc.is_in(rows["source"], pa.array(pools, pa.string()))
    path = f"{FOLDER}/part-{window.unit}.parquet"
    record: Record = {
        "window": window.number,
        "key": job.keys[window.number],
        "outputs": [prepare_worker.write(job.recipe.output, path, rows.filter(in_pool))],
        "tokens": int(pc.sum(rows.filter(pc.invert(in_pool))["tokens"]).as_py() or 0),
        "rows": rows.num_rows,
        "stages": {"mix": books.timing(time.process_time() - started, kept)},
    }
    ledger.commit(job.recipe.output, parts.MIX, window.unit, record)
    return record


def drawn(
    run: str, records: Sequence[Record], shares: Mapping[str, float], seed: int
) -> dict[str, dict[str, Any]]:
    """What `settle` returns, from the records of all windows."""
    tables = [outputs.read(run, o["path"], o.get("xxh3")) for r in records for o in r["outputs"]]
    rows = pa.concat_tables([ROWS.empty_table(), *tables])
    task = sum(record["tokens"] for record in records)
    whole = task / (1 - sum(shares.values()))
    told = {}
    for name, share in shares.items():
        own = rows.filter(pc.equal(rows["source"], name))
        tokens, keys = own["tokens"].to_numpy(), draw.hashes(own["row_id"].to_numpy(), seed)
        told[name] = _pool(name, share, tokens, keys, share * whole)
    whole = task + sum(pool["tokens"] for pool in told.values())
    for name, pool in told.items():
        pool["is"] = round(pool["tokens"] / whole, 6) if whole else 0.0
        pool["words"] = _words(name, pool)
    return told


def _pool(
    name: str, share: float, tokens: NDArray[np.int64], keys: NDArray[np.uint64], wanted: float
) -> dict[str, Any]:
    """The rows with the lowest keys that come nearest to the wanted tokens."""
    order = np.argsort(keys, kind="stable")
    sums = arrays.offsets(tokens[order])
    stay = int(np.abs(sums - wanted).argmin())
    return {
        "share": share,
        "tokens": int(sums[stay]),
        "rows": stay,
        "of_tokens": int(sums[-1]),
        "of_rows": len(tokens),
        "wanted": round(wanted),
        "below": int(keys[order[stay]]) if stay < len(tokens) else None,
    }


def _words(name: str, pool: Mapping[str, Any]) -> str:
    """What is said of a pool."""
    stay = f"{pool['rows']:,} of {pool['of_rows']:,} rows of {name!r}, {pool['tokens']:,} tokens"
    if pool["below"] is not None:
        return f"{stay}, are drawn: {pool['is']:.1%} of the tokens to train on"
    return (
        f"{stay}, are all there are, and {pool['share']:.0%} asks for {pool['wanted']:,} tokens: they are "
        f"{pool['is']:.1%} of the tokens to train on; give it more rows, or a smaller share"
    )
