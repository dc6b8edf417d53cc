"""Rows with the words of one group exchanged for another's: a model's answers to both show what hangs on it.

A row is taken where all that it names of a list is one group, in words that have a counterpart. "her" may be
"him" or "his", so rows with it are left. "a" and "an" follow the word behind them; names, and what else
agrees in gender, stay as they are: read rows before you rely on them.

Cost: some milliseconds a row; the rows that may be exchanged are written as they are counted.
"""

import re
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headrace.cluster import storage
from headrace.pipelines import arrays, schema, structure
from headrace.pipelines.examine.bias import groups
from headrace.pipelines.examine.bias.config import folded
from headrace.pipelines.examine.bias.groups import Lists

SWAPS = pa.schema(
    [
        ("row_id", pa.uint64()),
        ("list", pa.string()),
        ("group_from", pa.string()),
        ("group_to", pa.string()),
        ("messages", schema.MESSAGES),
    ]
)
ARTICLE = re.compile(r"\b(an?)(\s+)$", re.IGNORECASE)


def made(item: tuple[str, Sequence[Sequence[int]]], given: Lists) -> list[dict[str, Any]]:
    """Exchanged rows of one file of rows (path, and row_ids by list), as `SWAPS`."""
    path, wanted = item
    table = storage.read_table(path, ["row_id", "messages"]).combine_chunks()
    found = []
    for kind, ids in zip(given.kinds, wanted, strict=True):
        rows = table.filter(pc.is_in(table["row_id"], pa.array(ids, pa.uint64()))).combine_chunks()
        found += _of_list(rows, kind, given)
    return found


def _of_list(table: pa.Table, kind: str, given: Lists) -> list[dict[str, Any]]:
    _, rows, texts = schema.contents(table)
    named = groups.named(texts, rows, table.num_rows, given)
    meanings = groups.meanings_of(given)
    found: dict[int, list[tuple[int, int, int, str]]] = {}
    for message, meaning, start, stop in zip(*(column.tolist() for column in named), strict=True):
        of, group = meanings[meaning]
        if of == kind:
            found.setdefault(int(rows[message]), []).append((message, start, stop, group))
    contents = texts.to_pylist()
    made = []
    for row, words in found.items():
        own = np.flatnonzero(rows == row).tolist()
        row_id = table["row_id"][row].as_py()
        if any(structure.OPEN in contents[at] for at in own):
            continue
        target = _target(kind, row_id, words, contents, given)
        if target is None:
            continue
        messages = table["messages"][row].as_py()
        for at in own:
            edits = [(a, b) for message, a, b, _ in words if message == at]
            messages[own.index(at)]["content"] = exchanged(
                contents[at], edits, kind, words[0][3], target, given
            )
        about = {"row_id": row_id, "list": kind, "group_from": words[0][3], "group_to": target}
        made.append({**about, "messages": messages})
    return made


def _target(
    kind: str, row_id: int, words: Sequence[tuple[int, int, int, str]], contents: Sequence[str], given: Lists
) -> str | None:
    """A group that has a counterpart of all words, chosen by the row; None where there is none."""
    if len({group for *_, group in words}) != 1:
        return None
    options: set[str] | None = None
    for message, start, stop, group in words:
        text = folded(contents[message].encode()[start:stop].decode())
        others = set(given.counterparts.get((kind, group, text), {}))
        options = others if options is None else options & others
    if not options:
        return None
    chance = int(arrays.finalised(np.array([row_id], np.uint64))[0])
    return sorted(options)[chance % len(options)]


def exchanged(
    text: str, edits: Sequence[tuple[int, int]], kind: str, group: str, target: str, given: Lists
) -> str:
    """`text` with what stands at bytes `edits` put in the words of group `target`, written as they were."""
    data, pieces, at = text.encode(), [], 0
    for start, stop in sorted(edits):
        before, old = data[at:start].decode(), data[start:stop].decode()
        new = _cased(given.counterparts[kind, group, folded(old)][target], old)
        pieces += [ARTICLE.sub(partial(_article, word=new), before), new]
        at = stop
    return "".join([*pieces, data[at:].decode()])


def _cased(new: str, old: str) -> str:
    if len(old) > 1 and old.isupper():
        return new.upper()
    return new[:1].upper() + new[1:] if old[:1].isupper() else new


def _article(found: re.Match[str], word: str) -> str:
    vowel = word[:1].lower() in "aeiou" and not word.lower().startswith(("eu", "uk", "un"))
    article = "an" if vowel else "a"
    old = found[1]
    return (article.upper() if old == "AN" else article.capitalize() if old[0] == "A" else article) + found[2]
