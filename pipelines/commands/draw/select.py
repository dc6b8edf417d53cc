"""What `headrace select` writes: the best rows by score, as many at random of the same mix, a recipe each.

What: of the rows to train on, the `n` with the highest quality score, and beside them `n` drawn at random
with the same numbers of each source and task. What differs between the two sets is the score alone, not what
they are about. The held-out rows of the run go with them, and a recipe for each set: both are judged on the
same rows. `manifest.json` says n, mix, seed and digests.

Why: at many rows hardly any published way to choose does better than chance; a score that picks
better rows than a coin has to show it on the model and the data at hand.

Cost: `rows.packed`, and the files of prepared/ that hold a chosen row; memory of the rows of one set.
Source: https://arxiv.org/abs/2410.09335.
"""

import json
import os
from collections.abc import Iterator, Sequence
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import xxhash
import yaml
from numpy.typing import NDArray

from headrace.cluster import storage
from headrace.cluster.errors import OutputError, UserError
from headrace.pipelines import recipe, structure
from headrace.pipelines.commands.draw import rows
from headrace.pipelines.console import Line
from headrace.pipelines.passes import summary

FOLDER = "select"
SETS = ("best", "random")
HELD_OUT = ("validation", "test")
MIX = ("source", "task")
# Sections that both recipes have from the run's; what else decides rows has been decided.
SECTIONS = {"model", "workers", "seed", "quality", "pii", "fingerprint", "dedup", "tokenise", "pack"}
SECTIONS |= {"train", "evaluate"}
Form = Literal["jsonl", "parquet"]


def select(run: str, count: int, seed: int | None, out: str, form: Form) -> Iterator[Line]:
    """Write both sets, the held-out rows, a recipe for each set and manifest.json to folder `out`.

    Raises: OutputError where the run is not prepared or the folder holds something else; UserError where
    there are no more rows than asked for; StorageError.
    """
    out = out or storage.join(run, FOLDER)
    if storage.listing(out) and "of_run" not in (
        storage.read_object(storage.join(out, "manifest.json")) or {}
    ):
        raise OutputError(f"{out!r} is not empty and is no selection of ours: name another folder")
    table = rows.packed(run)
    _, settings = recipe.kept(run)
    if settings is None:
        raise OutputError(f"{run!r} was written by another version of headrace")
    seed = settings.seed if seed is None else seed
    train = table.filter(pc.equal(table["side"], "train"))
    if count >= train.num_rows:
        raise UserError(
            f"{run!r} has {train.num_rows:,} rows to train on: choose fewer than that, not {count:,}"
        )
    order = rows.shuffled(train["row_id"].to_numpy(), seed, 3)
    best = highest(train, rows.shuffled(train["row_id"].to_numpy(), seed, 4), count)
    chosen = dict(
        zip(SETS, (train.take(pa.array(at)) for at in (best, alike(train, order, best))), strict=True)
    )
    held = {side: table.filter(pc.equal(table["side"], side)) for side in HELD_OUT}
    written: dict[str, dict[str, Any]] = {}
    for name, part in {**chosen, **held}.items():
        storage.delete(storage.join(out, name))
        written[name] = _write(run, storage.join(out, name), part, form)
    for name in SETS:
        made = _recipe(settings, out, name, written)
        storage.put(storage.join(out, f"{name}.yaml"), made.encode())
    both = len(np.intersect1d(*(part["row_id"].to_numpy() for part in chosen.values())))
    manifest = {
        "of_run": summary.read(run)["digest"],
        "n": count,
        "of": train.num_rows,
        "seed": seed,
        "in_both": both,
        "tied": _tied(train, best),
        "mix": rows.mix(chosen["best"], MIX),
        "mix_of_run": rows.mix(train, MIX),
        "sets": {name: {**written[name], **_scores(part)} for name, part in chosen.items()},
        "held_out": {name: written[name] for name in held},
    }
    text = json.dumps(manifest, indent=1, ensure_ascii=False)
    storage.put(storage.join(out, "manifest.json"), text.encode())
    yield from _lines(manifest, out)


def highest(train: pa.Table, order: NDArray[np.uint64], count: int) -> NDArray[np.int64]:
    """Places of the rows with the highest scores, ``int64[count]``, ascending; of equal ones the first by
    `order` (``uint64[N]``); those without a score come last.
    """
    scores = np.nan_to_num(train["score"].to_numpy().astype(np.float64), nan=-np.inf)
    return np.sort(np.lexsort([order, -scores])[:count])


def alike(train: pa.Table, order: NDArray[np.uint64], best: NDArray[np.int64]) -> NDArray[np.int64]:
    """Places of rows drawn by `order`, as many of each source and task as `best` has: ``int64[K]``."""
    strata = np.zeros(train.num_rows, np.int64)
    for name in MIX:
        coded = train[name].fill_null("").combine_chunks().dictionary_encode()
        strata = strata * max(1, len(coded.dictionary)) + coded.indices.to_numpy()
        _, strata = np.unique(strata, return_inverse=True)
    wanted = np.bincount(strata[best], minlength=int(strata.max(initial=0)) + 1)
    by = np.lexsort([order, strata])
    sizes = np.bincount(strata, minlength=len(wanted))
    rank = np.arange(len(by)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    return np.sort(by[rank < wanted[strata[by]]])


def _tied(train: pa.Table, best: NDArray[np.int64]) -> dict[str, int]:
    """How many rows have the lowest score of the best, and how many of these are in."""
    scores = np.nan_to_num(train["score"].to_numpy().astype(np.float64), nan=-np.inf)
    least = scores[best].min()
    return {"rows": int((scores == least).sum()), "taken": int((scores[best] == least).sum())}


def _write(run: str, folder: str, part: pa.Table, form: Form) -> dict[str, Any]:
    """The rows of `part` as files below `folder`, conversations and plain texts apart; rows and digest."""
    scores = dict(zip(part["row_id"].to_pylist(), part["score"].to_pylist(), strict=True))
    digest, files = xxhash.xxh3_128(), {}
    held: dict[str, list[dict[str, Any]]] = {"messages": [], "text": []}
    for row in rows.read(run, scores, ["source", "messages"]):
        record = _record(row)
        shape = "text" if "text" in record else "messages"
        about = {"row_id": str(row["row_id"]), "source": row["source"], "score": scores[row["row_id"]]}
        held[shape].append({**about, **record})
    for shape, records in held.items():
        if records:
            files[shape] = f"{shape}.{form}"
            data = _encoded(records, form)
            digest.update(data)
            storage.put(storage.join(folder, files[shape]), data)
    return {"rows": part.num_rows, "files": files, "digest": digest.hexdigest()}


def _record(row: dict[str, Any]) -> dict[str, Any]:
    """A row as a record of OpenAI's form, or of plain text."""
    turns, tools = [], None
    for message in row["messages"] or ():
        text, held = structure.unsealed(message["role"], message["content"] or "")
        tools = tools or held.pop("tools", None)
        if message["role"] == "text":
            return {"text": text}
        if text or held or structure.OPEN not in (message["content"] or ""):
            turns.append({"role": message["role"], "content": text, **held})
    return {"messages": turns, **({"tools": tools} if tools else {})}


def _encoded(records: Sequence[dict[str, Any]], form: Form) -> bytes:
    """A file of records; in Parquet turns and tools are JSON, for they differ from row to row."""
    if form == "jsonl":
        return "".join(f"{json.dumps(r, ensure_ascii=False)}\n" for r in records).encode()
    flat = [
        {k: json.dumps(v, ensure_ascii=False) if isinstance(v, list) else v for k, v in record.items()}
        for record in records
    ]
    names = [
        n for n in ("row_id", "source", "score", "messages", "tools", "text") if any(n in r for r in flat)
    ]
    types = {name: pa.float32() if name == "score" else pa.large_string() for name in names}
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist(flat, schema=pa.schema(types.items())), sink, compression="zstd")
    return bytes(sink.getvalue())


def _recipe(settings: recipe.Recipe, out: str, name: str, written: dict[str, dict[str, Any]]) -> str:
    """The recipe that trains on one set and holds out what the run held out."""
    here = out if storage.is_remote(out) else os.path.abspath(out)
    sources = []
    for part in (name, *HELD_OUT):
        for shape, file in written[part]["files"].items():
            about = {"name": f"{part}-{shape}", "path": storage.join(here, part, file), "shape": shape}
            side = "train" if part == name else part
            sources.append({**about, "meta": ["row_id", "source"], "side": side})
    kept = settings.model_dump(mode="json", include=SECTIONS, exclude_defaults=True)
    body = {"output": storage.join(here, f"run-{name}"), "sources": sources, **kept}
    return yaml.safe_dump(body, sort_keys=False, allow_unicode=True, width=100)


def _scores(part: pa.Table) -> dict[str, Any]:
    scores = part["score"].drop_null().to_numpy()
    if not len(scores):
        return {"scores": None}
    names = ("least", "mean", "highest")
    values = (float(scores.min()), float(scores.mean(dtype=np.float64)), float(scores.max()))
    return {"scores": dict(zip(names, (round(v, 4) for v in values), strict=True))}


def _lines(manifest: dict[str, Any], out: str) -> Iterator[Line]:
    for name, of in manifest["sets"].items():
        score = of["scores"]
        told = (
            f"score {score['least']:.3f} to {score['highest']:.3f}, mean {score['mean']:.3f}" if score else ""
        )
        yield Line(f"{name}: {of['rows']:,} of {manifest['of']:,} rows, {told}", {"set": name, **of})
    mix = "; ".join(
        f"{kind} {', '.join(f'{value} {n:,}' for value, n in counts.items())}"
        for kind, counts in manifest["mix"].items()
    )
    yield Line(f"  both have the same mix ({mix}); {manifest['in_both']:,} rows are in both", manifest["mix"])
    tied = manifest["tied"]
    if tied["rows"] > tied["taken"]:
        text = (
            f"  {tied['rows']:,} rows have the lowest score of the best, {tied['taken']:,} of them are in: "
            "which ones is chance"
        )
        yield Line(text, {"tied": tied})
    held = ", ".join(f"{name} {of['rows']:,}" for name, of in manifest["held_out"].items())
    yield Line(f"held out for both: {held} rows")
    yield Line(
        f"compare: headrace run {storage.join(out, 'best.yaml')} and headrace run "
        f"{storage.join(out, 'random.yaml')}; the score is worth it where best does better",
        {"manifest": storage.join(out, "manifest.json")},
    )
