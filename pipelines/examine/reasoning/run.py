"""Reasoning: traces in answers, beside what the model's chat template makes of them.

What: every answer's reasoning is told by its tags (``<think>``, ``<thinking>``, ``<reasoning>``,
``<Thought>``, ``[THINK]``, ``<|channel|>analysis``; traces in fields of their own come as ``<think>``),
whether they are balanced, whether nothing stands between them, and whether a turn follows. What does not go
with the model is an alarm:

``without``     the model reasons and the row has no trace: tuning unlearns reasoning
``empty``       a block with nothing in it
``unbalanced``  a block that is not closed, or closed and not opened
``earlier``     a trace in a turn that others follow, which the template strips
``style``       tags that are not the model's own
``unasked``     a trace, and the model does not reason

Of a source with `loss: last` the last answer alone is looked at: nothing else is learned.

What `tokenise.reasoning` mends is none: traces that it puts into the model's own form (`style: own`), and
earlier ones that are learned as the model is asked (`by_turn`). They are counted under `mended`.

Rows with one stand in ``findings/reasoning.parquet`` (row_id, kind, form); no row goes by it.

Cost: a search for tags in all answers; ~10 us for a turn that holds some.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from headrace.cluster import storage
from headrace.pipelines import schema, structure
from headrace.pipelines.examine import rows
from headrace.pipelines.examine.reasoning import model
from headrace.pipelines.examine.reasoning.config import Config as Config
from headrace.pipelines.examine.reasoning.model import Model
from headrace.pipelines.stages.tokenise.reasoning import style
from headrace.pipelines.stages.tokenise.reasoning.traces import ANY, FORMS, trace

NAME = "reasoning"
VERSION = 3
LIBRARIES = ("transformers", "jinja2")
KINDS = {
    "without": "rows have no reasoning, and the model's chat template reasons",
    "empty": "rows have a block of reasoning with nothing in it",
    "unbalanced": "rows have reasoning that is not closed, or closed and not opened",
    "earlier": "rows have reasoning in earlier turns, which the chat template strips",
    "style": "rows have reasoning in other tags than the model's own",
    "unasked": "rows have reasoning, and the model's chat template has none",
}
FINDINGS = pa.schema([("row_id", pa.uint64()), ("kind", pa.string()), ("form", pa.string())])
Each = Callable[..., Iterator[Any]]
Mask = NDArray[np.bool_]


def looking(run: str, config: Config, each: Each) -> rows.Look:
    """What looks for traces in some files. Raises: StorageError, and what loading the tokenizer raises."""
    # In a task: the driver has no use for a tokenizer.
    return partial(_file, known=next(iter(each(model.of_run, [run], name=NAME))))


def run(
    prepared: Sequence[str],
    run: str,
    config: Config,
    each: Each,
    looked: Sequence["Looked"] | None = None,
) -> dict[str, Any]:
    """Write the findings, return the report. Raises: StorageError, and as `looking`."""
    if looked is None:
        looked = rows.alone(looking(run, config, each), prepared, run, each, name=NAME)
    known = looked[0].known if looked else next(iter(each(model.of_run, [run], name=NAME)))
    found = pa.concat_tables([FINDINGS.empty_table(), *(one.findings for one in looked)])
    table = found.sort_by([("row_id", "ascending"), ("kind", "ascending")])
    storage.write_ranges(storage.join(run, f"findings/{NAME}.parquet"), table)
    counts = Counter[str]()
    for one in looked:
        counts.update(one.counts)
    kinds = {value["values"]: value["counts"] for value in pc.value_counts(table["kind"]).to_pylist()}
    return _report(counts, kinds, known, config)


def traces(texts: pa.Array, takes: str | None = None) -> pa.Table:
    """Of each answer, ``[N]``: `form` (of `FORMS`; null where it begins with no trace), `balanced` and
    `empty` (bool), `own` (bool: the trace is as the model takes it, in the form `takes`), `mends` (bool:
    `style: own` puts it into that form).
    """
    n = len(texts)
    forms: list[str | None] = [None] * n
    balanced, empty, own, mends = np.ones(n, np.bool_), *np.zeros((3, n), np.bool_)
    places = np.flatnonzero(_true(pc.match_substring_regex(texts, ANY)))
    for at, text in zip(places.tolist(), texts.take(pa.array(places)).to_pylist(), strict=True):
        found = trace(text.partition(structure.OPEN)[0])
        if found is None:
            continue
        forms[at], balanced[at], empty[at] = found.form, found.balanced, found.empty
        own[at] = takes is not None and found.begins.strip() in ("", FORMS[takes][0])
        kind, _ = style.own(text, takes)
        mends[at] = kind not in (None, "left")
    named = {"form": pa.array(forms, pa.string()), "balanced": pa.array(balanced), "empty": pa.array(empty)}
    return pa.table({**named, "own": pa.array(own), "mends": pa.array(mends)})


class Looked(NamedTuple):
    """Findings of some files, rows by form (`rows` of all that have an answer), and what the model is."""

    findings: pa.Table
    counts: Counter[str]
    known: Model


def _file(files: rows.Files, known: Model) -> Looked:
    """Look at the answers of some files."""
    table = files.table
    roles, owners, texts = schema.contents(table)
    n, (facts, reasoning, loss) = table.num_rows, known
    answers, alone = _true(pc.equal(roles, "assistant")), rows.last_alone(table, loss)[owners]
    final = np.arange(len(owners)) == rows.answered(roles, owners, n)[owners]
    spoken = np.flatnonzero(answers & (final | ~alone))
    owner = owners[spoken]
    seen = traces(texts.take(pa.array(spoken)).fill_null(""), facts.takes if facts is not None else None)
    forms = seen["form"].combine_chunks()
    balanced, empty, own, mends = (seen[name].to_numpy() for name in ("balanced", "empty", "own", "mends"))
    has = forms.is_valid().to_numpy(zero_copy_only=False)
    last = np.ones(len(owner), np.bool_)
    last[:-1] = owner[1:] != owner[:-1]
    without, mended = np.zeros(n, np.bool_), np.zeros(len(owner), np.bool_)
    kinds = {"empty": empty, "unbalanced": has & ~balanced}
    if facts is not None and facts.reasons:
        without[owner] = True
        without[owner[has & ~empty]] = False
        if reasoning.style == "own":
            mended, kinds["unbalanced"] = mends, kinds["unbalanced"] & ~mends
        kinds["style"] = has & ~own & ~mended
        stripped = has & ~last if not facts.keeps_earlier else np.zeros(len(has), np.bool_)
        by_turn = reasoning.earlier == "by_turn"
        mended = mended | stripped if by_turn else mended
        kinds["earlier"] = np.zeros(len(has), np.bool_) if by_turn else stripped
    elif facts is not None:
        kinds["unasked"] = has
    found = [_found(table, np.flatnonzero(without), "without", None)]
    found += [_of(table, owner, mask, kind, forms) for kind, mask in kinds.items()]
    counts = Counter(
        {name: len(np.unique(owner[mask])) for name, mask in (("with", has), ("mended", mended))}
    )
    counts["rows"] = len(np.unique(owner))
    for name in FORMS:
        counts[name] = len(np.unique(owner[_true(pc.equal(forms, name))]))
    return Looked(pa.concat_tables(found), counts, known)


def _of(table: pa.Table, owner: NDArray[np.int64], mask: Mask, kind: str, forms: pa.Array) -> pa.Table:
    """One finding a row that has a turn under `mask`, with the form of the first."""
    at = np.flatnonzero(mask)
    whose, first = np.unique(owner[at], return_index=True)
    return _found(table, whose, kind, forms.take(pa.array(at[first])))


def _found(table: pa.Table, whose: NDArray[np.int64], kind: str, forms: pa.Array | None) -> pa.Table:
    columns = {
        "row_id": table["row_id"].take(pa.array(whose)),
        "kind": pa.repeat(kind, len(whose)),
        "form": pa.nulls(len(whose), pa.string()) if forms is None else forms,
    }
    return pa.table(columns).cast(FINDINGS).combine_chunks()


def _true(mask: pa.Array | pa.ChunkedArray) -> Mask:
    array: Mask = pc.fill_null(mask, False).to_numpy(zero_copy_only=False)
    return array


def _report(counts: Counter[str], kinds: dict[str, int], known: Model, config: Config) -> dict[str, Any]:
    total, facts, then = counts["rows"], known.facts, _then(known)
    words = [
        f"{kinds[kind]:,} of {total:,} {what}{then.get(kind, '')}"
        for kind, what in KINDS.items()
        if kinds.get(kind, 0) > config.most * total
    ]
    said = [] if config.policy == "allow" else words
    return {
        "rows": total,
        "with_traces": counts["with"],
        "forms": {name: counts[name] for name in FORMS if counts[name]},
        "model": None if facts is None else facts._asdict(),
        "mended": counts["mended"],
        "kinds": {kind: kinds.get(kind, 0) for kind in KINDS},
        "alarm": bool(said) and config.policy == "fail",
        "verdict": "mend" if said else "fine",
        "words": said,
    }


def _then(known: Model) -> dict[str, str]:
    """What becomes of a kind, and what to do."""
    earlier = {
        "keep": ": it is put back, and later turns are learned behind it, which the model does not see when "
        "it answers (`tokenise.reasoning: by_turn` learns each turn as it is asked)",
        "as_template": ": it is not learned (`tokenise.reasoning: by_turn` learns each turn as it is asked)",
    }
    then = {"earlier": earlier.get(known.reasoning.earlier, "")}
    if known.facts is not None and known.facts.takes and known.reasoning.style == "as_written":
        then["style"] = " (`tokenise: {reasoning: {style: own}}` puts it into them)"
    return then
