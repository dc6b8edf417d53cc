"""Faults of a set that each row by itself hides: what the rows of a source look like beside each other.

- *one_answer*: the answer that most rows give, where they are more than `wording.SAME` of them, or more than
  `LABEL` where nearly all others are few as well, or it says that there is nothing: of yes and no one is
  always given by half, and most texts may hold no name;
- *blank*: answers that say that there is none ("None", "N/A"), where the others are texts;
- *spelled*: labels that most rows write in another way;
- *rare_label*: labels that hardly a row gives;
- *some_system*: rows with a system prompt, where others of their source have none;
- *tagged*: answers with tags of HTML, where others have none;
- *cut_off*: answers of several sentences that end in a letter or a comma, as where a limit cut them off; not
  those that end with a short line of its own ("Label: refund", a name, a verse); and prompts and answers of
  which many are as long as the longest, and end within a sentence;
- *shifted*: answers that stand beside another prompt: the words of last turns stand in the answers some rows
  before or behind (`beside.REACH` at most) much more often than in their own, rows of one conversation apart;
- *unrelated*: answers that have no more to do with their prompts than with any other; not asked of
  conversations, which end with what all end with;
- *given*: answers that stand in their own prompt, always behind the same words;
- *exchanged*: prompts that tell and answers that ask, as where two columns were taken for each other;
- *begun*: rows with which another begins, and goes on: a conversation that stands there turn by turn, whose
  earlier answers are learned with each row. Not asked where the loss is on the last answer alone;
- *pieces*: answers that stand in the prompt of another row, a line or a turn of it, and not in their own: a
  conversation in pieces, or a translation both ways, of which the test holds what was trained on. Not asked
  of rows with a `group`;
- *backwards*: conversations that end with a greeting or begin with a farewell.

Cost: 30 to 110 us a row, at most `MOST` rows of a source, in their order.
"""

from collections import Counter
from collections.abc import Collection
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from headrace.pipelines import schema, structure
from headrace.pipelines.examine import rows
from headrace.pipelines.examine.advice import beside, pieces, wording

MOST = 5000  # rows of a source
SINGLE = 0.9  # share of rows of one exchange
FEW = 50  # rows of a source below which nothing is said of it
CODES = (
    *(
        "one_answer",
        "blank",
        "spelled",
        "rare_label",
        "some_system",
        "tagged",
        "cut_off",
        "shifted",
        "unrelated",
        "given",
    ),
    *("exchanged", "begun", "pieces", "backwards"),
)


class Forms(NamedTuple):
    """Rows that were looked at; of each of `CODES` how many rows, and the first of them by place."""

    rows: int
    counts: dict[str, int]
    places: dict[str, list[int]]


def look(table: pa.Table, last: Collection[str] = ()) -> Forms:
    """What the rows of `table` (source, group, messages), source by source in their order, look like.

    last: sources of which the last answer alone is learned.
    """
    sources = table["source"].to_pylist()
    looked, counts, places = 0, Counter[str](), dict[str, list[int]]()
    for source in sorted(set(sources)):
        at = np.flatnonzero([name == source for name in sources])[:MOST]
        if len(at) < FEW:
            continue
        looked += len(at)
        for code, found in _of_source(table.take(pa.array(at)), source in last).items():
            counts[code] += int(found.sum())
            places.setdefault(code, []).extend(at[np.flatnonzero(found)][:5].tolist())
    return Forms(looked, dict(counts), places)


def _of_source(table: pa.Table, last: bool) -> dict[str, NDArray[np.bool_]]:
    """Rows of one source by code; last: their last answers alone are learned."""
    none = np.zeros(table.num_rows, np.bool_)
    before, told = _turns(table)
    asked = [turns[-1] if turns else "" for turns in before]
    common = wording.one_answer(told)
    found = {
        "one_answer": none if common is None else np.array([answer == common for answer in told]),
        "blank": wording.blank(told),
        "spelled": wording.spelled(told),
        "rare_label": wording.rare_label(told),
        "some_system": _some_system(table),
        "tagged": wording.tagged(told),
        "cut_off": np.array([wording.breaks_off(answer) for answer in told])
        | wording.at_one_length(told)
        | wording.at_one_length(asked),
    }
    return found | _beside(before, told, _single(table)) | _pieces(table, before, told, last)


def _some_system(table: pa.Table) -> NDArray[np.bool_]:
    """Rows with a system prompt, where not all have one."""
    roles, owners, _ = schema.contents(table)
    system = np.zeros(table.num_rows, np.bool_)
    system[owners[pc.equal(roles, "system").to_numpy(zero_copy_only=False)]] = True
    return system if not system.all() else np.zeros_like(system)


def _single(table: pa.Table) -> bool:
    """Whether nearly all rows have one turn of a user."""
    roles, owners, _ = schema.contents(table)
    asked = owners[pc.equal(roles, "user").to_numpy(zero_copy_only=False)]
    return bool(np.mean(np.bincount(asked, minlength=table.num_rows) == 1) >= SINGLE)


def _beside(before: list[list[str]], told: list[str], single: bool) -> dict[str, NDArray[np.bool_]]:
    """Codes of prompts beside answers, some of the whole source; single: its rows are of one exchange."""
    none = np.zeros(len(told), np.bool_)
    both = beside.matrix(before, told)
    shifted = beside.shift(before, told, both) != 0
    exchanged = beside.exchanged(before, told)
    return {
        "shifted": none | shifted,
        "unrelated": none | (single and not shifted and not exchanged and beside.unrelated(told, both)),
        "given": beside.given(before, told),
        "exchanged": none | exchanged,
    }


def _pieces(
    table: pa.Table, before: list[list[str]], told: list[str], last: bool
) -> dict[str, NDArray[np.bool_]]:
    """Codes of conversations."""
    none = np.zeros(len(told), np.bool_)
    known = pieces.begun(before, told)
    grouped = table["group"].is_valid().to_numpy() if "group" in table.column_names else none
    talks = [[*turns, answer] for turns, answer in zip(before, told, strict=True)]
    return {
        "begun": none if last else known,
        "pieces": pieces.pieces(before, told) & ~known & ~grouped,
        "backwards": pieces.backwards(talks),
    }


def _turns(table: pa.Table) -> tuple[list[list[str]], list[str]]:
    """Of each row the turns before its last answer, and that answer; neither where it has none."""
    roles, owners, texts = schema.contents(table)
    said = structure.bare(texts).to_pylist()
    last = rows.answered(roles, owners, table.num_rows)
    first = np.searchsorted(owners, np.arange(table.num_rows))
    there = last < len(owners)
    before = [said[a:b] if ok else [] for a, b, ok in zip(first, last, there, strict=True)]
    return before, [said[at] if ok else "" for at, ok in zip(last, there, strict=True)]
