"""Clean: broken text repaired, turns put in order, empty ones removed.

What, for each row that no stage has marked:

1. Every text is repaired (`text`): mojibake, HTML entities, control characters and terminal
   escapes, characters that nobody sees (`invisible`), line breaks, Unicode form, white space at the ends.
2. Empty messages go.
3. What stands before the first user turn goes, but for the system message (`opening`).
4. Consecutive turns of one role become one, joined by `separator`. Tool turns stay apart: they are the
   answers to several calls. A conversation of user turns alone becomes one user turn.
5. The order is enforced (`alternation`): system first and only first, then user and assistant in turn;
   tool turns follow an assistant or a tool turn. Plain texts (role `text`) are left alone.
6. Escapes are decoded where the recipe says so, rows of HTML become text; dates, abbreviations and the
   indentation of code become what the recipe says (`rewrite`).

What was done to a row stands in its column `changed`, by kind: messages whose `line_breaks` became ``\\n``,
whose `entities` or `escapes` were decoded, that were `repaired`, `normalised`, turned from `html` into text,
or given one `indentation`; characters that were `controls`, `invisible` or `stripped` from the ends; `dates`,
`inline_tags` and `abbreviations` that were replaced; turns that were removed (`empty_turns`,
`opening_turns`) or `merged_turns`. `ambiguous_dates` were left as they are.

Chat templates refuse what breaks that order, or silently teach it. What cannot be mended is dropped:

=========================  ==============================================================================
``clean.empty``            nothing is left: no message had any content
``clean.empty_answer``     the assistant turns are all empty, or one of two answers to one prompt is
``clean.no_user``          turns, but none of a user's (with `opening: remove`)
``clean.late_system``      a system message after the conversation has begun
``clean.stray_tool``       a tool turn that follows no assistant turn
``clean.no_alternation``   the same role twice (with `merge: false`), plain text among turns, or a rejected
                           answer that does not end its row right behind the chosen one
``clean.unknown_role``     a role that is none of system, user, assistant, tool, text, rejected
=========================  ==============================================================================

``clean.error`` quarantines a row whose text could not be worked on. A row that is dropped or quarantined
here keeps its messages as they came.

Cost: vectorised; see `text` for the repair, which is most of it.
"""

from functools import partial
from importlib.metadata import version
from itertools import chain, islice

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from headrace.pipelines import arrays, schema, structure
from headrace.pipelines.schema import quarantine
from headrace.pipelines.stages.clean.config import Config as Config
from headrace.pipelines.stages.clean.rewrite import rewritten
from headrace.pipelines.stages.clean.text import CHARACTERS, Changes, Repair, Repaired
from headrace.pipelines.stages.clean.turns import (
    EMPTY,
    REASONS,
    Turns,
    join,
    judge_content,
    judge_order,
    opened,
)

NAME = "clean"
VERSION = 3


def versions() -> dict[str, str]:
    """Libraries that decide what this stage writes."""
    return {
        **{name: version(name) for name in ("ftfy", "resiliparse", "dateparser")},
        "pyarrow": pa.__version__,
    }


def apply(table: pa.Table, config: Config) -> pa.Table:
    """`table` (``schema.ROW``) with its texts repaired and its turns in order; same length."""
    live = schema.live(table).to_numpy(zero_copy_only=False)
    roles, rows, texts = schema.contents(table)
    ours = live[rows]
    if not ours.all():
        roles, rows, texts = roles.filter(pa.array(ours)), rows[ours], texts.filter(pa.array(ours))
    texts, causes, changes = _repaired(texts, config)
    counts = _of_rows(changes, rows, table.num_rows)
    turns = Turns(rows, pc.index_in(roles, pa.array(schema.ROLES)).fill_null(-1).to_numpy(), texts)
    turns, reasons, moved = _order(turns, config, table.num_rows)
    failed = {int(rows[message]): cause for message, cause in causes.items()}
    settled = live & (reasons == 0)
    settled[list(failed)] = False
    orders = config.orders(table["source"])
    words = rewritten(turns, settled[turns.rows], config, partial(_repaired, config=config), orders)
    for message, cause in words.failures.items():
        failed[int(turns.rows[message])] = cause
        settled[turns.rows[message]] = False
    for kind, n in _of_rows(words.changes, turns.rows, table.num_rows).items():
        counts[kind] = counts.get(kind, 0) + n
    turns = Turns(turns.rows, turns.roles, words.texts)
    messages = _messages(table, turns, settled)
    if failed:
        table = quarantine(table, [failed.get(row) for row in range(table.num_rows)], "clean.error")
    table = schema.changed(table, NAME, {k: np.where(settled, n, 0) for k, n in {**counts, **moved}.items()})
    names = pa.array([None if reason == "" else f"clean.{reason}" for reason in REASONS], pa.string())
    return schema.mark(schema.replace_messages(table, messages), "drop", names.take(pa.array(reasons)))


def _repaired(texts: pa.Array, config: Config) -> Repaired:
    """`texts` repaired; of those with a structure behind them each text in it by itself, as it is spaced."""
    odd = np.flatnonzero(structure.held_by(texts))
    if not len(odd):
        return _repair(config)(texts)
    contents = texts.take(pa.array(odd)).to_pylist()
    none = pa.array([""] * len(odd), pa.large_string())
    done = _repair(config)(arrays.put(texts, odd, none))
    changes = {kind: counts.copy() for kind, counts in done.changes.items()}
    failures = dict(done.failures)
    leaves = [(structure.leaves(content), content.count(structure.OPEN) + 1) for content in contents]
    made: list[list[str]] = [[] for _ in contents]
    outside, inside = [found[:n] for found, n in leaves], [found[n:] for found, n in leaves]
    for parts, strip in ((outside, config.strip), (inside, "none")):
        owners = np.repeat(odd, [len(part) for part in parts])
        flat = pa.array(chain.from_iterable(parts), pa.large_string())
        found = _repair(config.model_copy(update={"strip": strip}))(flat)
        shown = iter(found.texts.to_pylist())
        for whole, part in zip(made, parts, strict=True):
            whole += islice(shown, len(part))
        failures |= {int(owners[at]): "in a structure" for at in found.failures}
        for kind, counts in found.changes.items():
            (np.add if kind in CHARACTERS else np.maximum).at(changes[kind], owners, counts)
    whole_again = [structure.with_leaves(*pair) for pair in zip(contents, made, strict=True)]
    return Repaired(arrays.put(done.texts, odd, pa.array(whole_again, pa.large_string())), failures, changes)


def _repair(config: Config) -> Repair:
    return Repair(
        mojibake=config.ftfy,
        entities=config.entities,
        ligatures=config.ligatures,
        widths=config.widths,
        quotes=config.quotes,
        controls=config.controls,
        hidden=config.invisible,
        form=config.normalise,
        strip=config.strip,
    )


def _per_row(rows: NDArray[np.int64], counts: NDArray[np.int64] | None, n_rows: int) -> NDArray[np.int64]:
    """Sum of counts, or number of turns, of each row: ``int64[M], int64[M] -> int64[n_rows]``."""
    return np.bincount(rows, counts, n_rows).astype(np.int64)


def _of_rows(changes: Changes, rows: NDArray[np.int64], n_rows: int) -> dict[str, NDArray[np.int64]]:
    """What was changed of each row, by the kinds of which there is any: ``int64[n_rows]``."""
    return {kind: _per_row(rows, of_texts, n_rows) for kind, of_texts in changes.items() if of_texts.any()}


def _order(
    came: Turns, config: Config, n_rows: int
) -> tuple[Turns, NDArray[np.int8], dict[str, NDArray[np.int64]]]:
    """Turns after removing and merging, for each row an index into `REASONS` (``int8[n_rows]``), and how many
    turns went how (``int64[n_rows]``).
    """
    enforce = config.alternation == "enforce"
    remove = enforce and config.opening == "remove"
    filled = came.keep(came.filled()) if config.drop_empty else came
    kept = opened(filled) if remove else filled
    turns = join(kept, config.separator) if config.merge else kept
    steps = {"empty_turns": (came, filled), "opening_turns": (filled, kept), "merged_turns": (kept, turns)}
    moved = {
        kind: _per_row(before.rows, None, n_rows) - _per_row(after.rows, None, n_rows)
        for kind, (before, after) in steps.items()
        if len(after.rows) < len(before.rows)
    }
    if turns is not kept and not (config.separator == "\n" and config.drop_empty):
        # New neighbours on one line may look broken, an empty first turn leaves a blank line.
        turns = Turns(turns.rows, turns.roles, _repaired(turns.texts, config).texts)
    reasons = judge_content(came, n_rows, needs_answer=config.drop_empty)
    left = judge_content(turns, n_rows, needs_answer=False)  # what was removed may have been all there was
    reasons = np.where((reasons == 0) & (left == EMPTY), EMPTY, reasons)
    if enforce:
        reasons = np.where(reasons > 0, reasons, judge_order(turns, n_rows, needs_user=remove))
    return turns, reasons, moved


def _messages(table: pa.Table, turns: Turns, settled: NDArray[np.bool_]) -> pa.Array:
    """The messages column: of settled rows their turns, of all others what stood there."""
    turns = turns.keep(settled[turns.rows])
    roles = pa.array(schema.ROLES).take(pa.array(turns.roles))
    rebuilt = schema.rebuild(table, turns.rows, roles, turns.texts)["messages"].combine_chunks()
    if settled.all():
        return rebuilt
    return pc.if_else(pa.array(settled), rebuilt, table["messages"].combine_chunks())
