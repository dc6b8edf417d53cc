"""The numbers that advice is made from: of a prepared run, or of a sample of the sources before any run.

A sample goes, in this process, through reading and the stages that change or mark rows, without masking, as
nothing of it is shown; then through the search for duplicates and the checks of `examine` that work in
memory. Rows are named by file and place there, by their id in a run; no text leaves this module.

Cost: a run: run.json, and a few columns of its first files. A sample: some MB of text a second, and half a
minute for the comparison of 10,000 prompts.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib import import_module
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headrace.cluster import ledger, storage
from headrace.pipelines import books, rundir, schema
from headrace.pipelines.commands import check_sample
from headrace.pipelines.examine import rows as examined
from headrace.pipelines.examine.advice import forms
from headrace.pipelines.examine.advice.cost import TOKEN
from headrace.pipelines.examine.advice.facts import MOST, Facts, of_run, traced
from headrace.pipelines.passes import parts, prepare_worker, summary
from headrace.pipelines.recipe import Recipe, learned_last
from headrace.pipelines.recipe import kept as kept_recipe
from headrace.pipelines.stages.dedup import in_memory
from headrace.pipelines.stages.fingerprint import stage as fingerprint
from headrace.pipelines.stages.read import inputs
from headrace.pipelines.stages.read.records import Noted

APART = (".pii.stage", ".fingerprint.stage")  # of pass 1, and change nothing that is counted here
ROWS, EACH_SOURCE = 100_000, 5_000  # of a run that are looked into: of all sources; of one, at least
LABELS, SHARE, EACH = 64, 0.9, 10  # bytes of a label; share of rows that bear a frequent one; rows a label
CHECKS = {
    "diversity": "diversity.measure",
    "contradictions": "contradictions.compare",
    "label_noise": "label_noise.judge",
    "formats": "formats.run",
}


class Gathered(NamedTuple):
    """Facts, where they come from in words, and mean tokens of a prompt and of an answer (0: not known)."""

    facts: Facts
    origin: str
    prompt: int
    answer: int


class First(NamedTuple):
    """The first rows of a source, and how many it has in all."""

    table: pa.Table
    rows: int


def gathered(recipe: Recipe, stages: Sequence[str], count: int) -> Gathered:
    """Of the recipe's run where it has been prepared, else of its sources.

    stages: modules of pass 1; count: as in `sources`. Raises: what reading raises.
    """
    rundir.reachable(recipe)
    if "digest" in summary.read(recipe.output):
        return run(recipe.output)
    resolved = rundir.resolve(recipe, None)
    return sources(resolved, [name for name in stages if not name.endswith(APART)], count)


def run(path: str) -> Gathered:
    """Of a prepared run. Raises: OutputError where nothing is prepared there."""
    summary.require_prepared(path)
    found = _first(path)
    facts = _told(path, summary.read(path), path, found)
    prompt, answer = _means([(_lengths(first.table), first.rows) for first in found])
    return Gathered(facts, f"run {path}", prompt, answer)


def told(path: str, whole: Mapping[str, Any], name: str) -> Facts:
    """What a prepared run says of itself, and what the first rows of each source look like.

    whole: its run.json, or the sections that are to be in it; name: what advice calls it.
    """
    return _told(path, whole, name, _first(path))


def _told(path: str, whole: Mapping[str, Any], name: str, found: Sequence[First]) -> Facts:
    """The same of these first rows, which are read once."""
    if not found:
        return of_run(whole, name, {})
    table = pa.concat_tables([first.table for first in found], promote_options="permissive").combine_chunks()
    ids = table["row_id"].to_pylist()
    named: dict[str, list[Any]] = {}
    _add(named, table, ids)
    recipe = kept_recipe(path)[1]
    formed = forms.look(table, learned_last(recipe) if recipe else ())
    named |= {code: [ids[at] for at in places] for code, places in formed.places.items()}
    return replace(of_run(whole, name, named), forms=formed.counts, formed=formed.rows)


def _first(path: str) -> list[First]:
    """The first rows of each source in prepared/ that stay, in the order of names."""
    files: dict[str, list[tuple[int, int, str, int]]] = {}
    for record in ledger.load(path, parts.PREPARE).values():
        if record["rows"]["kept"]:
            place = storage.join(path, record["outputs"][0]["path"])
            held = record["ordinal"], record["part"], place, record["rows"]["kept"]
            files.setdefault(record["source"], []).append(held)
    most = max(EACH_SOURCE, ROWS // max(1, len(files)))
    columns = ["source", "group", "messages", "traits"]
    found = []
    for _, parted in sorted(files.items()):
        table = examined.left([place for _, _, place, _ in sorted(parted)], path, columns, most)
        found.append(First(table, sum(rows for _, _, _, rows in parted)))
    return found


def sources(recipe: Recipe, stages: Sequence[str], count: int) -> Gathered:
    """Of the first records of every source, `count` of each at most, spread over its files.

    recipe: resolved; stages: modules that change or mark rows. Raises: as reading does.
    """
    tables, files, looked, partial = [], 0, 0, False
    for source in recipe.sources:
        found = [f for f in inputs.files(source) if f.size]
        chosen = found[:: max(1, -(-len(found) // check_sample.FILES))]
        each = -(-count // max(len(chosen), 1))
        table = check_sample.read(recipe, source, chosen, each, Noted())
        for module, config in prepare_worker.placed(stages, recipe):
            table = prepare_worker.isolated(module, table, config).combine_chunks()
        partial |= len(chosen) < len(found) or _filled(table, each)
        files, looked = files + len(found), looked + len(chosen)
        tables.append(table)
    table = pa.concat_tables(tables, promote_options="default").combine_chunks()
    book = books.of(table)
    what = "the first records, a sample" if partial else "all records"
    of = f"{looked} of {files} files" if looked < files else f"{files} file{'s' * (files != 1)}"
    return _gathered(recipe, table, f"{what}: {book['in']:,} of {of}; no run was made", partial)


def _filled(table: pa.Table, each: int) -> bool:
    """Whether a file gave as many records as were asked for, so that it may hold more."""
    sums = table.group_by("file").aggregate([("n_records", "sum")])["n_records_sum"]
    return len(sums) > 0 and int(pc.max(sums).as_py()) >= each


def _gathered(recipe: Recipe, table: pa.Table, origin: str, partial: bool) -> Gathered:
    book = books.of(table)
    kept = table.filter(schema.live(table)).combine_chunks()
    both = examined.exchanges(kept)
    numbered = kept.set_column(
        kept.schema.get_field_index("row_id"), "row_id", pa.array(np.arange(kept.num_rows, dtype=np.uint64))
    )
    sketched = fingerprint.apply(numbered, recipe.fingerprint)
    gone = in_memory.removed(sketched, recipe.dedup, learned_last(recipe)) if kept.num_rows else None
    lost: dict[str, int] = {**book["dropped"], **book["quarantined"]}
    if gone is not None and gone.num_rows:
        stays = pc.invert(
            pc.is_in(pa.array(range(kept.num_rows)), gone["removed"].combine_chunks().cast(pa.int64()))
        )
        kept, both = kept.filter(stays).combine_chunks(), both.filter(stays)
        lost["dedup.removed"] = gone.num_rows
    formed = forms.look(kept, learned_last(recipe))
    where = [f"{f}: {p}" for f, p in zip(kept["file"].to_pylist(), kept["place"].to_pylist(), strict=True)]
    named = {code: [where[at] for at in places] for code, places in formed.places.items()}
    _add(named, kept, where)
    prompt, answer = _means([(_lengths(kept), kept.num_rows)])
    traits = books.traits(kept)
    size = sum(int(pc.sum(pc.binary_length(c)).as_py() or 0) for c in both.columns)
    held = _sides(recipe, kept.num_rows)
    share = 1.0 if held is None else held["train"] / max(kept.num_rows, 1)
    length = recipe.pack.length or recipe.tokenise.max_length
    tokens = int(size * share) // TOKEN
    facts = Facts(
        rows=kept.num_rows,
        records=book["in"],
        partial=partial,
        lost=lost,
        changed=books.changed(schema.changes(table), {}),
        tasks=traits.get("task"),
        rules=traits.get("rule"),
        flags=traits.get("flags"),
        by_source=_flagged(kept),
        traced=traced(traits),
        told=sum(traits["task"].values()) if traits.get("task") else 0,
        checks=_checks(recipe, kept, both, where),
        sides=held,
        samples=round(kept.num_rows * share),
        packed=max(1, -(-tokens // length)) if tokens else 0,
        tokens=tokens,
        estimated=True,
        megabytes=size / 1e6,
        examples=named,
        forms=formed.counts,
        formed=formed.rows,
    )
    return Gathered(facts, origin, prompt, answer)


def _flagged(kept: pa.Table) -> dict[str, Mapping[str, Any]]:
    """By source `books.flagged`."""
    told = kept.drop_columns(["messages"])  # or their texts are copied
    sources = told["source"].unique().to_pylist()
    mixes = {source: books.traits(told.filter(pc.equal(told["source"], source))) for source in sources}
    return {source: books.flagged(own) for source, own in mixes.items()}


def _sides(recipe: Recipe, rows: int) -> Counter[str] | None:
    """Rows by side, about as the split would put them; None where sources are sides themselves."""
    if any(source.side for source in recipe.sources):
        return None
    held = {side: getattr(recipe.split, side) for side in ("validation", "test")}
    sizes = {side: round(size if size >= 1 else size * rows) for side, size in held.items()}
    return Counter({**sizes, "train": max(0, rows - sum(sizes.values()))})


def _add(named: dict[str, list[Any]], table: pa.Table, names: Sequence[Any]) -> None:
    """The first rows of each task and flag, by what they are called."""
    if "traits" not in table.column_names:
        return
    column = table["traits"].combine_chunks()
    tasks = pc.struct_field(column, "task").to_pylist()
    flags = pc.struct_field(column, "flags").to_pylist()
    for name, task, own in zip(names, tasks, flags, strict=True):
        for value in (task, *(own or ())):
            if value is not None and len(named.setdefault(value, [])) < MOST:
                named[value].append(name)


def _lengths(table: pa.Table) -> tuple[int, int, int]:
    """Bytes of prompts and of answers, and rows."""
    both = examined.exchanges(table)
    sums = [int(pc.sum(pc.binary_length(both[name])).as_py() or 0) for name in ("prompt", "answer")]
    return sums[0], sums[1], table.num_rows


def _means(lengths: Sequence[tuple[tuple[int, int, int], int]]) -> tuple[int, int]:
    """Mean tokens of a prompt and of an answer, told from bytes: of each source those of some rows (bytes of
    prompts and of answers, and how many rows), and all of its rows."""
    known = [(prompt / n, answer / n, rows) for (prompt, answer, n), rows in lengths if n]
    every = sum(rows for _, _, rows in known) * TOKEN
    prompt, answer = (sum(one[k] * one[2] for one in known) for k in (0, 1))
    return (int(prompt // every), int(answer // every)) if every else (0, 0)


def _wanted(recipe: Recipe, name: str) -> tuple[Any, Any]:
    """A check that works in memory and its config; None and None where it is off."""
    config = getattr(recipe.examine, name)
    if not config.enabled:
        return None, None
    return import_module(f"headrace.pipelines.examine.{CHECKS[name]}"), config


def _checks(
    recipe: Recipe, kept: pa.Table, both: pa.Table, where: Sequence[str]
) -> dict[str, Mapping[str, Any]]:
    """Reports of checks that work in memory, as a run's; those that are off, or cannot, are left out."""
    found: dict[str, Mapping[str, Any]] = {}
    prompts, answers = (both[name].combine_chunks() for name in ("prompt", "answer"))
    module, config = _wanted(recipe, "formats")
    if module is not None and kept.num_rows:
        found["formats"] = module.sampled(kept, both, config)
    for name, look in (("diversity", _diversity), ("contradictions", _contradictions)):
        module, config = _wanted(recipe, name)
        if module is not None and kept.num_rows:
            found[name] = look(module, config, prompts, answers, where)
    module, config = _wanted(recipe, "label_noise")
    if module is not None and kept.num_rows:
        found["label_noise"] = _label_noise(module, config, kept["source"].combine_chunks(), both, where)
    return found


def _diversity(module: Any, config: Any, prompts: Any, answers: Any, where: Sequence[str]) -> dict[str, Any]:
    keys = module.hashed(prompts)
    asked = np.flatnonzero(keys)
    if not len(asked):
        return {"effective_prompts": 0.0, "rows": 0}
    ids = asked.astype(np.uint64)
    drawn = module.drawn(ids, config.sample)
    lines = module.by_line.of(prompts.take(pa.array(asked[drawn])))
    groups = module.grouped(module.Prompts(ids[drawn], keys[asked[drawn]], lines), config)
    exact = module.effective_number(keys[asked])
    number = module.estimate(groups.cluster, ids[drawn], len(ids), exact)
    largest = [
        {**cluster, "row_ids": [where[at] for at in cluster["row_ids"]]}
        for cluster in module.largest(groups.cluster, ids[drawn])
    ]
    return {"effective_prompts": round(float(number), 1), "rows": len(ids), "largest": largest}


def _contradictions(
    module: Any, config: Any, prompts: Any, answers: Any, where: Sequence[str]
) -> dict[str, Any]:
    places = module.conflicting(prompts, answers, config)
    largest = [{"row_ids": [where[at] for at in places[:MOST]]}] if len(places) else []
    return {"rows": len(prompts), "conflicting": len(places), "largest": largest}


def _label_noise(
    module: Any, config: Any, of: pa.Array, both: pa.Table, where: Sequence[str]
) -> dict[str, Any]:
    """Sources whose answers are few short ones, each judged."""
    sources, suspects, listed = [], 0, list[str]()
    for source in sorted(set(of.to_pylist())):
        places = pc.indices_nonzero(pc.equal(of, source))
        own = both.take(places)
        answers = own["answer"].combine_chunks()
        counts = pc.value_counts(answers)
        often = pc.filter(counts.field("values"), pc.greater_equal(counts.field("counts"), EACH))
        often = often.filter(pc.less_equal(pc.binary_length(often), LABELS))
        labelled = pc.is_in(answers, often)
        n = int(pc.sum(labelled).as_py() or 0)
        if len(often) < 2 or n < SHARE * len(answers):
            continue
        of_label = own.filter(labelled)
        found, told = module.looked_at(
            of_label["prompt"].combine_chunks(), of_label["answer"].combine_chunks(), config
        )
        back = places.filter(labelled)
        listed += [where[back[at].as_py()] for at in found["row"].slice(0, MOST).to_pylist()]
        suspects += found.num_rows
        sources.append(
            {"source": source, "rows": len(answers), "labels": len(often), "judged": n, "told": told}
        )
    return {"suspects": suspects, "sources": sources, "policy": "keep", "rows_listed": listed[:MOST]}
