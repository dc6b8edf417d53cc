"""Label noise over the files of a run: each file's short answers, the sources that are labelled, their rows.

What: tasks over files write a hash of each short answer; one task tells which sources are labelled sets (few
short answers over nearly all rows) and draws the rows that are judged; tasks over files bring their texts; a
task a source judges them (`judge`). Why: nobody has to say which sources hold labels.
Cost: texts are read twice, the second time those of labelled sets alone; in no task more than a
source's draw.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from headrace import kernels
from headrace.cluster import storage
from headrace.pipelines.examine import rows
from headrace.pipelines.examine.label_noise import judge
from headrace.pipelines.examine.label_noise.config import Config as Config

NAME = "label_noise"
VERSION = 3
REASON = "label_noise.suspect"
WORK = f"findings/work/{NAME}"
NO_LABELS = (
    "no label was looked at: in no source nearly all answers are few short ones that come again and again"
)
Each = Callable[..., Iterator[Any]]
FOUND = pa.schema(
    [
        ("row_id", pa.uint64()),
        ("source", pa.string()),
        ("label", pa.uint64()),  # hash of the folded answer
        ("suggested", pa.uint64()),
        ("like", pa.uint64()),  # a row that bears the suggested label
        ("score", pa.float64()),
        ("rule", pa.string()),
    ]
)
DROPS = pa.schema([("row_id", pa.uint64()), ("reason", pa.string())])


def looking(run: str, config: Config, each: Each) -> rows.Look:
    """What writes a hash of each short answer of some files, and says where."""
    return partial(_labels, work=rows.emptied(run, WORK))


def run(
    prepared: Sequence[str],
    run: str,
    config: Config,
    each: Each,
    looked: Sequence[str] | None = None,
) -> dict[str, Any]:
    """Judge the labels of the rows of prepared files and write findings/label_noise.parquet.

    prepared: paths; run: the run directory; ``each(function, items, name=...)`` runs tasks and gives their
    results in order. Returns counts: of each labelled source its rows, those judged, labels, agreement, and
    suspects by rule; `words` where no source has labels.
    """
    work = storage.join(run, WORK)
    if looked is None:
        looked = rows.alone(looking(run, config, each), prepared, run, each, name="label noise labels")
    drawn = partial(_plan, work=work, config=config)
    plan, wanted = rows.planned(drawn, looked, prepared, each, name="label noise plan")
    texts = list(each(partial(_texts, run=run, work=work), wanted, name="label noise texts"))
    judging = partial(_judged, texts=texts, work=work, config=config)
    reports = list(each(judging, enumerate(plan["sources"]), name="label noise judge"))
    found = [storage.read_table(report.pop("path")) for report in reports]
    table = pa.concat_tables([FOUND.empty_table(), *found]).sort_by("row_id")
    storage.write_table(storage.join(run, f"findings/{NAME}.parquet"), table)
    gone = table if config.policy != "keep" else table.slice(0, 0)
    drops = pa.table([gone["row_id"], pa.repeat(REASON, gone.num_rows)], schema=DROPS)
    storage.write_table(storage.join(run, f"findings/{NAME}.drops.parquet"), drops)
    storage.delete(work)
    report = {"rows": plan["rows"], "suspects": table.num_rows, "policy": config.policy, "sources": reports}
    return report if reports else report | {"words": NO_LABELS}


def _labels(files: rows.Files, work: str) -> str:
    """Hash of the folded answer of each row of some files; 0 where it is empty, long or of several lines."""
    table, found = files.table, files.exchanges
    answers = found["answer"].combine_chunks()
    short = pc.and_(
        pc.less_equal(pc.binary_length(answers), judge.SHORT),
        pc.invert(pc.match_substring(pc.utf8_trim_whitespace(answers), "\n")),
    )
    asked = pc.greater(pc.binary_length(found["prompt"].combine_chunks()), 0)
    label = np.where(pc.and_(short, asked).to_numpy(zero_copy_only=False), hashed(answers), 0)
    kept = {"row_id": table["row_id"], "source": table["source"], "label": pa.array(label, pa.uint64())}
    target = storage.join(work, f"labels-{files.number}.parquet")
    numbers = pa.repeat(files.number, table.num_rows)
    storage.write_table(target, pa.table(kept).append_column("file", numbers))
    return target


def hashed(answers: pa.Array) -> np.ndarray:
    """Hash of each answer without regard to case and spaces: ``uint64[N]``; 0 where there is none."""
    return kernels.content_hash(kernels.fold(answers, keep_punctuation=True))[0]


def _plan(paths: Sequence[str], work: str, config: Config) -> dict[str, Any]:
    """Labelled sources with their counts, and the files of the rows to judge; writes those rows."""
    by_file = [_polars(storage.read_table(path)).group_by("source", "label").len("n") for path in paths]
    empty = _polars(_none()).group_by("source", "label").len("n")
    every = pl.concat([empty, *by_file]).group_by("source", "label").agg(pl.col("n").sum())
    counts = every.filter((pl.col("label") != 0) & (pl.col("n") >= judge.FOLDS))
    per_source = (
        every.group_by("source")
        .agg(pl.col("n").sum().alias("rows"))
        .join(
            counts.group_by("source").agg(pl.col("n").sum().alias("covered"), pl.len().alias("labels")),
            on="source",
        )
    )
    labelled = per_source.filter(
        (pl.col("rows") >= judge.FEW)
        & (pl.col("covered") >= judge.SHARE * pl.col("rows"))
        & (pl.col("labels") >= 2)
        & (pl.col("labels") <= config.most_labels)
        & (pl.col("covered") >= judge.EACH * pl.col("labels"))
    ).sort("source")
    sources, chosen = [], [_none()]
    for one in labelled.iter_rows(named=True):
        bearing = counts.filter(pl.col("source") == one["source"])
        judged = _bearing(paths, bearing).sort("row_id")
        places = judge.drawn(judged["row_id"].to_numpy(), one["labels"], config)
        chosen.append(judged[places].to_arrow().cast(_none().schema))
        sources.append({"source": one["source"], "rows": one["rows"], "labels": one["labels"]})
    rows_chosen = pa.concat_tables(chosen)
    storage.write_table(storage.join(work, "chosen.parquet"), rows_chosen)
    files = set(rows_chosen["file"].to_pylist())
    return {"sources": sources, "files": files, "rows": int(every["n"].sum())}


def _bearing(paths: Sequence[str], labels: pl.DataFrame) -> pl.DataFrame:
    """Rows of all files that bear some labels (source, label): a file at a time, as most rows bear none."""
    by = ["source", "label"]
    found = (_polars(storage.read_table(path)).join(labels, on=by, how="semi") for path in paths)
    return pl.concat([_polars(_none()), *found])


def _none() -> pa.Table:
    fields = [("row_id", pa.uint64()), ("source", pa.string()), ("label", pa.uint64()), ("file", pa.int64())]
    return pa.schema(fields).empty_table()


def _polars(table: pa.Table) -> pl.DataFrame:
    found = pl.from_arrow(table.cast(_none().schema))
    assert isinstance(found, pl.DataFrame)
    return found


def _texts(item: tuple[int, Sequence[str]], run: str, work: str) -> str:
    """The prompts of the chosen rows of some files, with their labels."""
    number, paths = item
    chosen = storage.read_table(storage.join(work, "chosen.parquet"), filters=[("file", "==", number)])
    table = rows.left(paths, run, ["messages"])
    at = pc.index_in(chosen["row_id"].combine_chunks(), table["row_id"].combine_chunks())
    prompts = rows.exchanges(table.take(at))["prompt"]
    target = storage.join(work, f"texts-{number}.parquet")
    storage.write_table(target, chosen.append_column("text", prompts))
    return target


def _judged(
    item: tuple[int, dict[str, Any]], texts: Sequence[str], work: str, config: Config
) -> dict[str, Any]:
    """Judge one source; returns its report, and the path of what was found under "path"."""
    number, source = item
    tables = [storage.read_table(path, filters=[("source", "==", source["source"])]) for path in texts]
    table = pa.concat_tables(tables).sort_by("row_id").combine_chunks()
    hashes = table["label"].to_numpy()
    values, codes = np.unique(hashes, return_inverse=True)
    judged = judge.judge(table["text"].combine_chunks().cast(pa.large_string()), codes, config)
    at = np.flatnonzero(judge.suspects(judged, config))
    ids = table["row_id"].to_numpy()
    trusted = np.flatnonzero(~judge.suspects(judged, config))
    first = np.zeros(len(values), np.uint64)
    first[codes[trusted][::-1]] = ids[trusted][::-1]  # the first trusted row of each label
    found = {
        "row_id": ids[at],
        "source": pa.repeat(source["source"], len(at)),
        "label": hashes[at],
        "suggested": values[judged.suggested[at]],
        "like": first[judged.suggested[at]],
        "score": judged.score[at],
        "rule": judge.named_rules(judged, at),
    }
    path = storage.join(work, f"found-{number}.parquet")
    storage.write_table(path, pa.Table.from_pydict(found, FOUND))
    by_rule = {name: int(mask.sum()) for name, mask in sorted(judged.rules.items()) if mask.any()}
    return {
        **source,
        "judged": len(ids),
        "agreement": round(judged.kappa, 4),
        "told": judged.told,
        "noise": round(judged.noise, 4),
        "suspects": len(at),
        "by_rule": by_rule,
        "words": words(source, len(ids), judged, len(at)),
        "path": path,
    }


def words(source: dict[str, Any], looked: int, judged: judge.Judged, suspects: int) -> str:
    """What was found in a source, in a sentence."""
    of = f"{looked:,} of {source['rows']:,} rows" if looked < source["rows"] else f"{looked:,} rows"
    where = f"source {source['source']!r}, {source['labels']} labels, {of} looked at"
    if not judged.told:
        return (
            f"{where}: the prompts hardly tell the labels (agreement {judged.kappa:.2f}), so none is judged"
        )
    found = f"{where}: {suspects:,} labels are likely wrong ({suspects / max(looked, 1):.1%})"
    return found + f"; of all labels some {judged.noise:.1%} are, as estimated"
