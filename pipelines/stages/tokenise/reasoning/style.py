"""Reasoning in other tags than the model's own, put into the model's own form (`reasoning.style: own`).

What: turns of assistants that begin with reasoning (`traces`) get it in the form that the chat
template takes (`facts`); a template with a field of its own for it takes ``<think>``. What stands
around the answer in such a form (``<Output>`` behind ``<Thought>``, the final channel) goes with it. A turn
stays as it is, and is counted, where it is not known where its answer begins, or the model's own tags stand
in it.

Cost: a search for tags in all answers; ~10 us for a turn that holds some.
"""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from headrace.pipelines import arrays, schema, structure
from headrace.pipelines.stages.tokenise.config import STYLES, Reasoning
from headrace.pipelines.stages.tokenise.reasoning.facts import Facts
from headrace.pipelines.stages.tokenise.reasoning.traces import ANY, FORMS, trace, written

Counts = dict[str, NDArray[np.int64]]


def apply(table: pa.Table, config: Reasoning, facts: Facts | None) -> tuple[pa.Table, Counts]:
    """`table` with the reasoning of its turns in the model's own form, and how many turns of each row were
    changed, or left, by kind: ``int64[N]`` each.
    """
    if config.style == "as_written" or facts is None or not facts.reasons:
        return table, {}
    counts = {
        kind: np.zeros(table.num_rows, np.int64) for kind in (*(f"style_{s}" for s in STYLES), "style_left")
    }
    roles, rows, texts = schema.contents(table)
    tagged = pc.and_(pc.equal(roles, "assistant"), pc.match_substring_regex(texts, ANY))
    places, changed = np.flatnonzero(pc.fill_null(tagged, False).to_numpy(zero_copy_only=False)), {}
    for place, text in zip(places.tolist(), texts.take(pa.array(places)).to_pylist(), strict=True):
        kind, said = own(text, facts.takes)
        if kind is not None:
            counts[f"style_{kind}"][rows[place]] += 1
        if said != text:
            changed[place] = said
    if not changed:
        return table, counts
    texts = arrays.put(texts, list(changed), pa.array(list(changed.values()), texts.type))
    return schema.rebuild(table, rows, roles, texts), counts


def own(text: str, form: str | None) -> tuple[str | None, str]:
    """The kind that a turn is counted as (a form of `STYLES`, "left", or None), and the turn with its
    reasoning in `form`.
    """
    head, mark, beside = text.partition(structure.OPEN)
    found = trace(head)
    if found is None or (found.form == form and not found.clear):
        return None, text
    if form is None or not found.clear:
        return "left", text
    tags = FORMS[form]
    if (found.begins.strip(), found.ends) == tags:
        return None, text
    if any(tag in part for tag in tags for part in (found.reasoning, found.answer)):
        return "left", text
    return found.form, written(found, form) + mark + beside
