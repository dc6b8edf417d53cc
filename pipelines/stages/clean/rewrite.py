"""What changes the words of a text, not only characters: escapes, HTML, dates, abbreviations, indentation.

What: the turns of a row, once they are in order, go through the steps that the recipe has on, and what they
change is repaired again, until nothing changes more: cleaning twice is cleaning once, but for dates of a row
that were told by others, which are ISO 8601 then. No step empties a text.

Cost: a look by RE2 a step; Python for the texts that it finds, as each step's module says.
"""

import re
from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from headrace.pipelines import arrays
from headrace.pipelines.stages.clean import dates, escapes, html, indents
from headrace.pipelines.stages.clean.config import Config, Dates
from headrace.pipelines.stages.clean.text import CHARACTERS, ROUNDS, Changes, Repaired, decoded
from headrace.pipelines.stages.clean.turns import Turns
from headrace.pipelines.stages.clean.words import Words
from headrace.pipelines.structure import CLOSE, OPEN

KINDS = ("escapes", "html", "inline_tags", "dates", "ambiguous_dates", "abbreviations", "indentation")
SEALED = re.compile(f"({OPEN}[^{CLOSE}]*{CLOSE})")
# A text's new form, and how often it was changed.
Change = Callable[[str], tuple[str, int]]
# The order of the dates of a row with these texts.
Say = Callable[[int, Sequence[str]], dates.Order]


def rewritten(
    turns: Turns,
    ours: NDArray[np.bool_],
    config: Config,
    repair: Callable[[pa.Array], Repaired],
    orders: Sequence[dates.Order | None] = (),
) -> Repaired:
    """The texts of `turns`, those of `ours` (``bool[M]``) taken through the steps; the others as they are.

    repair: what every changed text is repaired by again. orders: of dates, of each row's source; empty: none
    is known.
    """
    texts, failures = turns.texts, dict[int, str]()
    changes = {kind: np.zeros(len(texts), np.int64) for kind in KINDS}
    pending = np.flatnonzero(ours)
    words = _words(tuple(config.words.items()))
    said: dict[int, dates.Order] = {}
    for _ in range(ROUNDS):
        if not len(pending):
            return Repaired(texts, failures, changes)
        now = Turns(turns.rows, turns.roles, texts)
        after = _once(now, pending, config, words, changes, partial(_said, orders=orders, said=said))
        if after is texts:
            return Repaired(texts, failures, changes)
        other = pc.not_equal(after, texts).to_numpy(zero_copy_only=False)
        pending = np.flatnonzero(other)
        again = repair(after.take(pa.array(pending)))
        failures |= {int(pending[at]): cause for at, cause in again.failures.items()}
        for kind, counted in again.changes.items():
            own = changes.setdefault(kind, np.zeros(len(texts), np.int64))
            own[pending] = own[pending] + counted if kind in CHARACTERS else own[pending] | counted
        texts = arrays.put(texts, pending, again.texts)
    return Repaired(texts, failures | {int(at): "does not settle" for at in pending}, changes)


@lru_cache(maxsize=2)
def _words(table: tuple[tuple[str, str], ...]) -> Words:
    """Made once a process: each part of a run brings the same table, and a long one takes seconds."""
    return Words(dict(table))


def _once(
    turns: Turns,
    pending: NDArray[np.int64],
    config: Config,
    words: Words,
    changes: Changes,
    say: Say,
) -> pa.Array:
    """All texts after one round of the steps over those that are `pending`; `changes` are added to."""
    texts = turns.texts
    if config.escapes:
        at = pending[_found(texts.take(pa.array(pending)), escapes.SUSPECTS)]
        texts = _changed(texts, at, escapes.decoded, changes["escapes"])
    if config.html:
        texts = _from_html(Turns(turns.rows, turns.roles, texts), pending, config.html, changes)
    if config.inline_tags:
        at = pending[_found(texts.take(pa.array(pending)), html.INLINE_SUSPECTS)]
        texts = _changed(texts, at, html.without_inline, changes["inline_tags"])
    if config.dates is not None:
        texts = _dated(Turns(turns.rows, turns.roles, texts), pending, config.dates, changes, say)
    if words.by_first:
        at = pending
        if words.suspects is not None:
            at = pending[_found(texts.take(pa.array(pending)), words.suspects)]
        texts = _changed(texts, at, words, changes["abbreviations"])
    if config.indentation:
        indent = partial(_indented, kind=config.indentation, width=config.tab_width)
        at = pending[_found(texts.take(pa.array(pending)), indents.SUSPECTS)]
        texts = _changed(texts, at, indent, changes["indentation"])
    return texts


def _indented(text: str, kind: Literal["spaces", "tabs"], width: int) -> tuple[str, int]:
    made = indents.one_kind(text, kind, width)
    return made, int(made != text)


def _found(texts: pa.Array, pattern: str) -> NDArray[np.bool_]:
    found: NDArray[np.bool_] = pc.match_substring_regex(texts, pattern=pattern).to_numpy(zero_copy_only=False)
    return found


def _changed(texts: pa.Array, at: NDArray[np.int64], change: Change, counts: NDArray[np.int64]) -> pa.Array:
    """`texts`, those `at` these places changed outside of their structures; `counts` are added to."""
    made = []
    for place, text in zip(at.tolist(), texts.take(pa.array(at)).to_pylist(), strict=True):
        pieces = SEALED.split(text) if OPEN in text else [text]
        n = 0
        for number in range(0, len(pieces), 2):
            pieces[number], more = change(pieces[number])
            n += more
        after = "".join(pieces)
        blank = not after.strip()
        made.append(text if blank else after)
        counts[place] += 0 if blank else n
    return arrays.put(texts, at, pa.array(made, pa.large_string())) if len(at) else texts


def _said(
    row: int, texts: Sequence[str], orders: Sequence[dates.Order | None], said: dict[int, dates.Order]
) -> dates.Order:
    """The order of a row's dates, by its own or its source's, as it was before any of them was changed."""
    if row not in said:
        said[row] = dates.order_of(texts) or (orders[row] if orders else None) or "auto"
    return said[row]


def _from_html(turns: Turns, pending: NDArray[np.int64], which: str, changes: Changes) -> pa.Array:
    """`turns.texts` with HTML turned into text: of whole rows, or message by message."""
    suspects = pending[html.framed(turns.texts)[pending]]
    suspects = suspects[_found(turns.texts.take(pa.array(suspects)), html.SUSPECTS)]
    if not len(suspects):
        return turns.texts
    if which == "rows":
        in_row = np.bincount(turns.rows[turns.filled()], minlength=int(turns.rows[-1]) + 1)
        own = np.bincount(turns.rows[suspects], minlength=len(in_row))
        suspects = suspects[(own == in_row)[turns.rows[suspects]]]
    made: dict[int, str] = {}
    stay: set[int] = set()
    for at, text in zip(suspects.tolist(), turns.texts.take(pa.array(suspects)).to_pylist(), strict=True):
        shown = html.as_text(text) if html.is_html(text) else ""
        if shown.strip() and decoded(shown) == shown and not html.looks(shown):
            made[at] = shown
        elif which == "rows":
            stay.add(int(turns.rows[at]))
    made = {at: text for at, text in made.items() if int(turns.rows[at]) not in stay}
    places = np.array(list(made), np.int64)
    changes["html"][places] |= 1
    return (
        arrays.put(turns.texts, places, pa.array(made.values(), pa.large_string())) if made else turns.texts
    )


def _dated(
    turns: Turns,
    pending: NDArray[np.int64],
    config: Dates,
    changes: Changes,
    say: Say,
) -> pa.Array:
    """`turns.texts` with dates as ISO 8601; their order may hang on the rest of their row, and its source."""
    at = pending[_found(turns.texts.take(pa.array(pending)), dates.SUSPECTS)]
    if not len(at):
        return turns.texts
    rows, contents = turns.rows[at].tolist(), turns.texts.take(pa.array(at)).to_pylist()
    said: dict[int, dates.Order] = {}
    if config.order == "auto":
        by_row: dict[int, list[str]] = {}
        for row, text in zip(rows, contents, strict=True):
            by_row.setdefault(row, []).append(text)
        said = {row: say(row, own) for row, own in by_row.items()}
    made = []
    for place, row, text in zip(at.tolist(), rows, contents, strict=True):
        after, n, left = dates.iso(text, said.get(row, config.order), config.languages)
        made.append(after)
        changes["dates"][place] += n
        changes["ambiguous_dates"][place] = left
    return arrays.put(turns.texts, at, pa.array(made, pa.large_string()))
