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

Rows with one stand in ``findings/reasoning.parquet`` (row_id, kind, form); no row goes by it.

Cost: a look at the beginning of each answer for tags, and the whole of those that have some.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from headrace.cluster import storage
from headrace.pipelines import schema
from headrace.pipelines.examine import rows
from headrace.pipelines.examine.reasoning import model
from headrace.pipelines.examine.reasoning.config import Config as Config
from headrace.pipelines.examine.reasoning.model import Facts
from headrace.pipelines.stages.traits.form import OPEN

NAME = "reasoning"
VERSION = 1
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
CLOSE = {
    "think": r"</think>",
    "thinking": r"</thinking>",
    "reasoning": r"</reasoning>",
    "thought": r"(?i)</thoughts?>",
    "mistral": r"\[/THINK\]",
    "channel": r"<\|channel\|>\s*final",
}
ANY = r"(?i)</?(?:think|thinking|reasoning|thoughts?)>|\[/?THINK\]|<\|channel\|>"
EMPTY = r"(?i)<(?:think|thinking|reasoning|thoughts?)>\s*</|\[THINK\]\s*\[/THINK\]"
Mask = NDArray[np.bool_]


def run(
    prepared: Sequence[str], run: str, config: Config, each: Callable[..., Iterator[Any]]
) -> dict[str, Any]:
    """Write the findings, return the report. Raises: StorageError, and what loading the tokenizer raises."""
    # In a task: the driver has no use for a tokenizer.
    facts = next(iter(each(model.of_run, [run], name=NAME)))
    looked = partial(_file, run=run, facts=facts)
    results = list(each(looked, list(prepared), name=NAME))
    found = pa.concat_tables([FINDINGS.empty_table(), *(one for one, _ in results)])
    table = found.sort_by([("row_id", "ascending"), ("kind", "ascending")])
    storage.write_ranges(storage.join(run, f"findings/{NAME}.parquet"), table)
    counts = Counter[str]()
    for _, counted in results:
        counts.update(counted)
    kinds = {value["values"]: value["counts"] for value in pc.value_counts(table["kind"]).to_pylist()}
    return _report(counts, kinds, facts, config)


def traces(texts: pa.Array) -> pa.Table:
    """Of each answer `form` (of `OPEN`; null where there is none), `balanced` and `empty` (bool): [N]."""
    n = len(texts)
    form, balanced, empty = np.full(n, -1, np.int8), np.ones(n, np.bool_), np.zeros(n, np.bool_)
    places = np.flatnonzero(_true(pc.match_substring_regex(texts, ANY)))
    some = texts.take(pa.array(places))
    for at, name in reversed(list(enumerate(OPEN))):
        opens, closes = (pc.count_substring_regex(some, p) for p in (OPEN[name], CLOSE[name]))
        begins = _true(pc.match_substring_regex(some, rf"^\s*{OPEN[name]}")) | (
            # Models whose prompt opens a block leave answers that only close it.
            _true(pc.equal(opens, 0)) & _true(pc.equal(closes, 1))
        )
        own = places[begins]
        form[own] = at
        balanced[own] = _true(pc.equal(opens, closes))[begins]
        empty[own] = _true(pc.match_substring_regex(some, EMPTY))[begins]
    names = pa.array([*OPEN, None], pa.string())
    return pa.table(
        {
            "form": names.take(pa.array(np.where(form < 0, len(OPEN), form))),
            "balanced": pa.array(balanced),
            "empty": pa.array(empty),
        }
    )


def _file(path: str, run: str, facts: Facts | None) -> tuple[pa.Table, Counter[str]]:
    """Findings of one file, and rows by form (`rows` of all that have an answer)."""
    table = rows.left(path, run, ["messages"])
    roles, owners, texts = schema.contents(table)
    spoken = np.flatnonzero(_true(pc.equal(roles, "assistant")))
    owner, n = owners[spoken], table.num_rows
    own = traces(texts.take(pa.array(spoken)).fill_null(""))
    has = own["form"].is_valid().to_numpy()
    last = np.ones(len(owner), np.bool_)
    last[:-1] = owner[1:] != owner[:-1]
    kinds = {
        "empty": own["empty"].to_numpy(),
        "unbalanced": has & ~own["balanced"].to_numpy(),
    }
    if facts is not None and facts.reasons:
        whole = has & ~own["empty"].to_numpy()
        without = np.zeros(n, np.bool_)
        without[owner] = True
        without[owner[whole]] = False
        kinds["earlier"] = has & ~last if not facts.keeps_earlier else np.zeros(len(has), np.bool_)
        kinds["style"] = has & _true(pc.not_equal(own["form"].combine_chunks(), facts.form or ""))
    elif facts is not None:
        kinds["unasked"], without = has, np.zeros(n, np.bool_)
    else:
        without = np.zeros(n, np.bool_)
    found = [_found(table, np.flatnonzero(without), "without", None)]
    forms = own["form"].combine_chunks()
    found += [_of(table, owner, mask, kind, forms) for kind, mask in kinds.items()]
    counts = Counter({"rows": len(np.unique(owner)), "with": len(np.unique(owner[has]))})
    for name in OPEN:
        counts[name] = len(np.unique(owner[_true(pc.equal(forms, name))]))
    return pa.concat_tables(found), counts


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


def _report(
    counts: Counter[str], kinds: dict[str, int], facts: Facts | None, config: Config
) -> dict[str, Any]:
    total = counts["rows"]
    words = [
        f"{kinds[kind]:,} of {total:,} {what}"
        for kind, what in KINDS.items()
        if kinds.get(kind, 0) > config.most * total
    ]
    said = [] if config.policy == "allow" else words
    return {
        "rows": total,
        "with_traces": counts["with"],
        "forms": {name: counts[name] for name in OPEN if counts[name]},
        "model": None if facts is None else facts._asdict(),
        "kinds": {kind: kinds.get(kind, 0) for kind in KINDS},
        "alarm": bool(said) and config.policy == "fail",
        "verdict": "mend" if said else "fine",
        "words": said,
    }
