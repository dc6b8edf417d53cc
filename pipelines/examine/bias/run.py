"""The check `bias`: how often groups of people are named, how answers differ beside them, and rows exchanged.

What: counts, ratios and differences with intervals by group of each list (`groups`), in run.json and in
``findings/bias.parquet``; the labels of labelled sets by group in ``findings/bias.labels.parquet``; and in
``findings/bias.swaps.parquet`` rows in which the words of a group are exchanged, masked as in prepared/, for
an evaluation. No row goes by any of it.

Why: what a model says of people follows what it was shown of them, and a set shows it in counts.

Cost: 60 to 100 MB/s of text a core; rows that may be exchanged are written and read again.
Source: `compare`; swaps: Zhao et al. 2018, https://aclanthology.org/N18-2003.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import pyarrow as pa

from headrace.cluster import storage
from headrace.pipelines.examine import rows
from headrace.pipelines.examine.bias import compare, counts, groups, swaps
from headrace.pipelines.examine.bias.config import Config
from headrace.pipelines.examine.bias.counts import File
from headrace.pipelines.examine.bias.groups import Lists

NAME = "bias"
VERSION = 1
NOT_IN_KEY = ("enabled",)
WORK = f"findings/work/{NAME}"
Each = Callable[..., Iterator[Any]]
UNSEEN = (
    "groups named by nothing but a person's name, a place, or what is said of them",
    "languages without a list (gender and age: en, de, fr, es, it, pt; nationality: en), and scripts without "
    "spaces between words",
    "irony, tone, and how good an answer is",
    "people of no gender or another than two, whom the lists do not name",
    "whether a difference is wrong: it may be what the subject asks for",
)
FINDINGS = pa.schema(
    [
        *((name, pa.string()) for name in ("list", "group", "beside")),
        *((name, pa.int64()) for name in ("rows", "prompts", "answers", "asked")),
        *(
            (f"{of}_{end}", pa.float64())
            for of in ("named", "length", "refusals")
            for end in ("value", "low", "high")
        ),
    ]
)
LABELS = pa.schema(
    [("list", pa.string()), ("group", pa.string()), ("label", pa.string()), ("rows", pa.int64())]
)


def looking(run: str, config: Config, each: Each) -> rows.Look:
    """What counts the rows of some files; see `headrace.pipelines.examine.checks`."""
    work = rows.emptied(run, WORK)
    return partial(counts.look, given=groups.lists(config), swaps=config.swaps, work=work)


def run(
    prepared: Sequence[str],
    run: str,
    config: Config,
    each: Each,
    looked: Sequence[File] | None = None,
) -> dict[str, Any]:
    """What run.json says; see `headrace.pipelines.examine.checks`."""
    given = groups.lists(config)
    if looked is None:
        looked = rows.alone(looking(run, config, each), prepared, run, each, name=NAME)
    total = counts.added(looked, given, config.swaps)
    labelled = 2 * total.short > total.rows and not total.free
    said: dict[str, Any] = {}
    for kind, one in zip(given.kinds, total.lists, strict=True):
        said[kind] = compare.report(one, given.groups[kind], flagged=total.flagged > 0, labelled=labelled)
    exchanged = _exchanged(storage.join(run, WORK), total, given, config.swaps, each)
    storage.delete(storage.join(run, WORK))
    for kind, one in zip(given.kinds, total.lists, strict=True):
        made = sum(row["list"] == kind for row in exchanged)
        said[kind]["swaps"] = {"rows": made, "of": one.swappable}
    where = storage.join(run, "findings")
    storage.write_table(storage.join(where, "bias.parquet"), _findings(said))
    storage.write_table(storage.join(where, "bias.labels.parquet"), _labels(total, given, labelled))
    storage.write_table(
        storage.join(where, "bias.swaps.parquet"), pa.Table.from_pylist(exchanged, schema=swaps.SWAPS)
    )
    return {"rows": total.rows, "lists": said, "unseen": list(UNSEEN)}


def _exchanged(work: str, total: File, given: Lists, most: int, each: Each) -> list[dict[str, Any]]:
    """Up to `most` rows of each list with the words of another group, by list and row."""
    wanted = [[row for _, row, _ in one.chosen] for one in total.lists]
    numbers = sorted({number for one in total.lists for _, _, number in one.chosen})
    items = [(counts.held(work, number), wanted) for number in numbers]
    found = [
        row for of_file in each(partial(swaps.made, given=given), items, name="swaps") for row in of_file
    ]
    kept = []
    for kind, one in zip(given.kinds, total.lists, strict=True):
        place = {row: number for number, (_, row, _) in enumerate(one.chosen)}
        own = sorted((r for r in found if r["list"] == kind), key=lambda r: place[r["row_id"]])[:most]
        kept += sorted(own, key=lambda r: int(r["row_id"]))
    return kept


def _findings(said: dict[str, Any]) -> pa.Table:
    """The report as a table, a row a group."""
    flat = []
    for kind, of_list in said.items():
        for group, own in of_list["groups"].items():
            row = {"list": kind, "group": group, "beside": of_list["beside"]}
            row |= {name: own[name] for name in ("rows", "prompts", "answers", "asked")}
            for name, key in (("named", "ratio"), ("length", "value"), ("refusals", "value")):
                one = own.get(name) or {"interval": [None, None]}
                row |= {f"{name}_value": one.get(key)}
                row |= dict(zip((f"{name}_low", f"{name}_high"), one["interval"], strict=True))
            flat.append(row)
    return pa.Table.from_pylist(flat, schema=FINDINGS)


def _labels(total: File, given: Lists, labelled: bool) -> pa.Table:
    """Rows by list, group and label; empty where answers are no labels."""
    flat = [
        {"list": kind, "group": given.groups[kind][group], "label": text, "rows": n}
        for kind, one in zip(given.kinds, total.lists, strict=True)
        if labelled
        for (text, group), n in sorted(one.labels.items())
    ]
    return pa.Table.from_pylist(flat, schema=LABELS)
