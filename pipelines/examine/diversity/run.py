"""Diversity over the files of a run: a hash of every prompt, and the terms of those that are drawn.

What: tasks over files write a hash a prompt; one task counts equal ones over all rows and draws `sample` of
them; tasks over files bring the terms of the drawn ones; one compares them (`measure`). No text is kept but
for an embedding model, and that is deleted.
Cost: 20 bytes a row in the task that draws; texts are read twice, the second time those of drawn rows.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headrace.cluster import storage
from headrace.pipelines.examine import by_line, rows, vectors
from headrace.pipelines.examine.diversity import measure
from headrace.pipelines.examine.diversity.config import Config as Config
from headrace.pipelines.examine.diversity.counted import LARGE, once

NAME = "diversity"
VERSION = 4
WORK = f"findings/work/{NAME}"
OFTEN = 10  # rows of a template or an opener that is listed
REPETITIVE, REWORDED = 0.5, 0.1  # effective prompts a row, below which a set is said to be so
ONE = 0.1  # share of the largest cluster, above which it is named
Each = Callable[..., Iterator[Any]]


def looking(run: str, config: Config, each: Each) -> rows.Look:
    """What writes a hash of each prompt of some files, and says where."""
    return partial(_keys, work=rows.emptied(run, WORK))


def run(
    prepared: Sequence[str],
    run: str,
    config: Config,
    each: Each,
    looked: Sequence[str] | None = None,
) -> dict[str, Any]:
    """Tell how many different things the rows of prepared files ask; write findings/diversity.parquet.

    prepared: paths; run: the run directory; ``each(function, items, name=...)`` runs tasks and gives their
    results in order. The file holds a line a compared row: row_id, its cluster, and its group of each kind,
    by the row id of their first. Returns the report: numbers, row ids, a verdict in words.
    """
    work = storage.join(run, WORK)
    if looked is None:
        looked = rows.alone(looking(run, config, each), prepared, run, each, name="diversity keys")
    drawn = partial(_draw, work=work, config=config)
    plan, wanted = rows.planned(drawn, looked, prepared, each, name="diversity draw")
    bringing = partial(_terms, run=run, work=work, texts=config.model is not None)
    brought = list(each(bringing, wanted, name="diversity terms"))
    target = storage.join(run, f"findings/{NAME}.parquet")
    measuring = partial(_measured, plan=plan, target=target, config=config)
    report: dict[str, Any] = next(each(measuring, [brought], name="diversity measure"))
    storage.delete(work)
    return report


def _keys(files: rows.Files, work: str) -> str:
    """A hash of each prompt of some files."""
    keys = measure.hashed(files.exchanges["prompt"].combine_chunks())
    asked = keys != 0
    target = storage.join(work, f"keys-{files.number}.parquet")
    ids = files.table["row_id"].to_numpy()[asked]
    storage.write_table(target, pa.table({"row_id": ids, "key": keys[asked]}), dictionary=False)
    return target


def _draw(paths: Sequence[str], work: str, config: Config) -> dict[str, Any]:
    """Count equal prompts, and draw; writes the drawn rows of each of them."""
    none = pa.table({"row_id": pa.array([], pa.uint64()), "key": pa.array([], pa.uint64())})
    tables = [storage.read_table(path) for path in paths]
    file = np.repeat(np.arange(len(tables)), [t.num_rows for t in tables])
    table = pa.concat_tables([none, *tables])
    ids, keys = table["row_id"].to_numpy(), table["key"].to_numpy()
    chosen = measure.drawn(ids, config.sample)
    files = sorted({int(f) for f in np.unique(file[chosen])})
    for number in files:
        mine = chosen[file[chosen] == number]
        storage.write_table(storage.join(work, f"drawn-{number}.parquet"), table.take(pa.array(mine)))
    exact = measure.effective_number(keys)
    return {"rows": len(ids), "exact": exact, "equal": len(measure.sizes(keys)), "files": files}


def _terms(item: tuple[int, Sequence[str]], run: str, work: str, texts: bool) -> str:
    """Terms of the drawn prompts of some files; their texts too where a model reads them."""
    number, paths = item
    drawn = storage.read_table(storage.join(work, f"drawn-{number}.parquet"))
    table = rows.left(paths, run, ["messages"])
    at = pc.index_in(drawn["row_id"].combine_chunks(), table["row_id"].combine_chunks())
    prompts = rows.exchanges(table.take(at))["prompt"].combine_chunks()
    found = by_line.of(prompts)
    held = pa.LargeListArray.from_arrays(pa.array(found.terms.offsets), pa.array(found.terms.hashes))
    drawn = drawn.append_column("lines", pa.LargeListArray.from_arrays(pa.array(found.ends), held))
    if texts:
        drawn = drawn.append_column("text", prompts)
    target = storage.join(work, f"terms-{number}.parquet")
    storage.write_table(target, drawn, dictionary=False)
    return target


def _measured(brought: Sequence[str], plan: dict[str, Any], target: str, config: Config) -> dict[str, Any]:
    """Compare the drawn prompts; write their groups; report."""
    empty = pa.table(
        {
            "row_id": pa.array([], pa.uint64()),
            "key": pa.array([], pa.uint64()),
            "lines": pa.array([], pa.large_list(pa.large_list(pa.uint32()))),
        }
    )
    tables = [storage.read_table(path) for path in brought] or [empty]
    table = pa.concat_tables(tables).sort_by("row_id").combine_chunks()
    listed = table["lines"].combine_chunks()
    terms = vectors.Terms(listed.values.offsets.to_numpy(), listed.values.values.to_numpy())
    held = by_line.Lines(terms, listed.offsets.to_numpy())
    embedded = None
    if config.model is not None and table.num_rows:
        from headrace.pipelines.examine.diversity import model

        texts = by_line.without(table["text"].combine_chunks(), held)
        embedded = model.embedded(texts.to_pylist(), config.model, config.model_length)
    ids = table["row_id"].to_numpy()
    prompts = measure.Prompts(ids, table["key"].to_numpy(), held, embedded)
    groups = measure.grouped(prompts, config)
    columns = {"row_id": ids, "cluster": ids[groups.cluster]}
    columns |= {name: ids[labels] for name, labels in groups.by.items()}
    storage.write_table(target, pa.table(columns))
    return report(prompts, groups, plan)


def report(prompts: measure.Prompts, groups: measure.Groups, plan: dict[str, Any]) -> dict[str, Any]:
    """What is known of the prompts: counts, shares, row ids of examples, a verdict; no text."""
    ids, whole, drawn = prompts.ids, plan["rows"], len(prompts.ids)
    if not drawn:
        return {"effective_prompts": 0, "rows": 0, "verdict": "none", "words": "no row has a prompt"}
    number = measure.estimate(groups.cluster, ids, whole, plan["exact"])
    asked = by_line.asked(prompts.lines)
    opened = measure.openers(asked)
    clusters = measure.largest(groups.cluster, ids)
    told = {
        "effective_prompts": round(number, 1),
        "rows": whole,
        "compared": drawn,
        "estimated": drawn < whole,
        "equal_apart": plan["equal"],
        "by": {name: round(measure.effective_number(g), 1) for name, g in sorted(groups.by.items())},
        "largest": clusters,
        "templates": measure.largest(groups.by["template"], ids, least=OFTEN),
        "openers": measure.largest(opened[opened != 0], ids[opened != 0], least=OFTEN),
        "distinct": {n: round(share, 4) for n, share in measure.distinct_shares(asked).items()},
        "vocabulary": measure.vocabulary(asked, ids),
    }
    return told | verdict(number, whole, clusters, drawn)


def verdict(number: float, rows: int, clusters: Sequence[dict[str, Any]], drawn: int) -> dict[str, str]:
    """A verdict and its sentence: how many different things `rows` rows ask.

    clusters: share and some row ids of the largest; drawn: rows that were compared. A set is reworded or
    repetitive by what it asks beside its large clusters, which are counted as one each.
    """
    large = [float(one["share"]) for one in clusters if one["share"] > LARGE]
    share = once(number, large) / max(rows, 1)
    most, examples = (clusters[0]["share"], clusters[0]["row_ids"]) if clusters else (0.0, [])
    looked = "" if drawn >= rows else f" (estimated from {drawn:,} rows)"
    words = f"{rows:,} rows ask about {number:,.0f} different things{looked}"
    one = f"; {most:.0%} ask one of them, as row {examples[0]} does" if examples and most > ONE else ""
    if share < REWORDED and rows >= 100:
        code, advice = "reworded", ": few questions in other words; more rows of this kind teach nothing new"
    elif share < REPETITIVE and rows >= 100:
        code, advice = "repetitive", ": many rows ask what others ask; look at the largest clusters"
    elif one:
        code, advice = "one-sided", ": leave out some of it, or weigh its source less"
    else:
        code, advice = "varied", ""
    return {"verdict": code, "words": words + one + advice}
