"""Faults of a set that each row by itself hides: what the rows of a source look like beside each other.

- *one_answer*: the answer that most rows give, where they are more than `SAME` of them, or more than `LABEL`
  where nearly all others are few as well, or it says that there is nothing: of yes and no one is always given
  by half, and most texts may hold no name;
- *some_system*: rows with a system prompt, where others of their source have none;
- *cut_off*: answers of several sentences that end in a letter or a comma, as where a limit cut them off; not
  those that end with a short line of its own ("Label: refund", a name, a verse);
- *markers*: turns that hold markers of a chat template (`MARKERS`), which a model would learn to write;
- *shifted*: answers that stand beside another prompt: the words of last turns stand in the answers some rows
  before or behind (`REACH` at most) much more often than in their own, rows of one conversation apart;
- *begun*: rows with which another begins, and goes on: a conversation that stands there turn by turn, whose
  earlier answers are learned with each row. Not asked where the loss is on the last answer alone;
- *pieces*: answers that stand in the prompt of another row, a line or a turn of it, and not in their own: a
  conversation in pieces, or a translation both ways, of which the test holds what was trained on. Not asked
  of rows with a `group`;
- *exchanged*: prompts that tell and answers that ask, as where two columns were taken for each other.

Cost: some 40 us a row, at most `MOST` rows of a source, in their order.
"""

import re
from collections import Counter
from collections.abc import Collection, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from headrace.pipelines import schema, structure
from headrace.pipelines.examine import rows, vectors

MOST = 5000  # rows of a source
FEW = 50  # rows of a source below which nothing is said of it
SAME, LABEL = 0.5, 0.9
OFTEN = 0.01, 3  # share of rows, and rows, that give an answer which is one of few, as labels are
REACH = 3
BETTER = 1.5, 0.02  # how much more the words of prompts stand in other answers: times, and share of words
SAID = 4  # words of an answer that is told from a phrase
LONG = 80  # bytes of an answer that may be cut off
ASKS = 0.5, 0.1  # share of answers that end in a question mark, at least, and of prompts, at most
NOTHING = re.compile(
    r"\W*(?:none|null|n/?a|nothing|no|unknown|not found|empty|keine?s?|rien|aucune?|nada)?\W*", re.I
)
BROKEN = re.compile(r"[a-z,]\s*\Z")
MARKERS = (
    r"<\|(?:im_start|im_end|eot_id|start_header_id|endoftext|user|assistant)\|>|\[/?INST\]|</?s>"
    r"|<start_of_turn>"
)
SPEAKER = re.compile(r"\A\W{0,4}\w{1,12}\W{0,3}[:>：]\W{0,3}(?=\w+\W+\w+\W+\w+\W+\w)")  # before four words
SENTENCE = re.compile(r"[.!?][\"')\]]*\s")
CODES = ("one_answer", "some_system", "cut_off", "markers", "shifted", "begun", "pieces", "exchanged")


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
    n = table.num_rows
    before, told = _turns(table)
    asked = [turns[-1] if turns else "" for turns in before]
    roles, owners, texts = schema.contents(table)
    none = np.zeros(n, np.bool_)
    system, marked = none.copy(), none.copy()
    system[owners[pc.equal(roles, "system").to_numpy(zero_copy_only=False)]] = True
    marked[owners[pc.match_substring_regex(texts, MARKERS).to_numpy(zero_copy_only=False)]] = True
    common = _one_answer(told)
    same = none if common is None else np.array([answer == common for answer in told])
    cut = np.array([_breaks_off(answer) for answer in told])
    mixed = system if not system.all() else none
    found = {"one_answer": same, "some_system": mixed, "cut_off": cut, "markers": marked}
    ask = [np.array([text.rstrip().endswith(("?", "？")) for text in side]).mean() for side in (told, asked)]
    exchanged = ask[0] >= ASKS[0] and ask[1] <= ASKS[1]
    shifted = shift(before, told) != 0
    known = begun(before, told)
    found["begun"] = none if last else known
    grouped = table["group"].is_valid().to_numpy() if "group" in table.column_names else none
    found["pieces"] = pieces(before, told) & ~known & ~grouped
    return found | {"exchanged": none | exchanged, "shifted": none | shifted}


def _breaks_off(answer: str) -> bool:
    """Whether an answer of some sentences ends within one."""
    if len(answer) < LONG or not BROKEN.search(answer[-8:]):
        return False
    line = answer.rstrip().rpartition("\n")[2]
    return bool(SENTENCE.search(line) or (len(line) >= LONG and SENTENCE.search(answer)))


def _one_answer(told: Sequence[str]) -> str | None:
    """The answer that too many rows give; None where there is none."""
    counts = Counter(told)
    common, times = counts.most_common(1)[0]
    least = max(OFTEN[0] * len(told), OFTEN[1])
    often = sum(n for answer, n in counts.items() if n >= least and answer != common)
    labels = often > LABEL * (len(told) - times)
    labels |= bool(NOTHING.fullmatch(common))
    return common if common.strip() and times > (LABEL if labels else SAME) * len(told) else None


def _turns(table: pa.Table) -> tuple[list[list[str]], list[str]]:
    """Of each row the turns before its last answer, and that answer; neither where it has none."""
    roles, owners, texts = schema.contents(table)
    said = structure.bare(texts).to_pylist()
    last = rows.answered(roles, owners, table.num_rows)
    first = np.searchsorted(owners, np.arange(table.num_rows))
    there = last < len(owners)
    before = [said[a:b] if ok else [] for a, b, ok in zip(first, last, there, strict=True)]
    return before, [said[at] if ok else "" for at, ok in zip(last, there, strict=True)]


def begun(before: Sequence[Sequence[str]], told: Sequence[str]) -> NDArray[np.bool_]:
    """Which of N rows another row goes on: the turns before its last answer begin with all of the row.

    before: turns before each answer; told: the answers, empty where there is none.
    """
    begins, whole = set[int](), list[int]()
    for turns, answer in zip(before, told, strict=True):
        key = 0
        for turn in turns:
            begins.add(key)
            key = hash((key, turn))
        begins.add(key)
        whole.append(hash((key, answer)))
    return np.array([bool(a) and key in begins for a, key in zip(told, whole, strict=True)], np.bool_)


def pieces(before: Sequence[Sequence[str]], told: Sequence[str]) -> NDArray[np.bool_]:
    """Which of N answers, of `SAID` words and more, are a line or a turn of another row's prompt, and not of
    their own; before, told: as `begun` takes them."""
    held = [_lines(turns) for turns in before]
    every = frozenset().union(*held)
    known = [a not in lines and a in every for a, lines in zip(told, held, strict=True)]
    return np.array([at and len(a.split()) >= SAID for at, a in zip(known, told, strict=True)], np.bool_)


def _lines(turns: Sequence[str]) -> frozenset[str]:
    """Turns and their lines, with and without who speaks."""
    lines = {line for turn in turns for line in (turn, *turn.split("\n"))}
    return frozenset(lines | {SPEAKER.sub("", line) for line in lines})


def shift(before: Sequence[Sequence[str]], told: Sequence[str]) -> int:
    """By how many rows the answers stand away from their prompts, as far as words tell it; 0: by none.

    before: turns before each answer; told: the answers. How many of a last turn's words, the rarer the
    heavier, stand in an answer is told for the answers of the same rows and of those up to `REACH` before or
    behind, less the rows of which one goes on where the other ended: there the words of an answer come again.
    """
    n = len(told)
    inside = range(REACH, n - REACH)
    if not len(inside):
        return 0
    asked = [turns[-1] if turns else "" for turns in before]
    both = vectors.terms(pa.array([*asked, *told], pa.large_string()))
    matrix = vectors.weighted(both, alone=False)
    own = matrix[inside.start : inside.stop]
    held = [_lines(turns) for turns in before]

    def goes_on(a: int, b: int) -> bool:
        echoed = told[a] in held[b] or (told[a] in asked[b] and 2 * len(told[a]) >= len(asked[b]))
        return bool(told[a]) and (echoed or (bool(asked[a]) and asked[b].startswith(asked[a])))

    like = {}
    for by in range(-REACH, REACH + 1):
        apart = np.array([not by or not (goes_on(k, k + by) or goes_on(k + by, k)) for k in inside])
        other = matrix[n + inside.start + by : n + inside.stop + by]
        like[by] = float(np.asarray(own.multiply(other).sum(1)).ravel()[apart].sum()) / len(inside)
    best = max(like, key=lambda by: (like[by], -abs(by)))
    return best if like[best] > BETTER[0] * like[0] + BETTER[1] else 0
