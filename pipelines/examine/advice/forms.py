"""Faults of a set that each row by itself hides: what the rows of a source look like beside each other.

- *one_answer*: the answer that most rows give, where they are more than `SAME` of them;
- *some_system*: rows with a system prompt, where others of their source have none;
- *cut_off*: answers of several sentences that end in a letter or a comma, as where a limit cut them off;
- *markers*: turns that hold markers of a chat template (`MARKERS`), which a model would learn to write;
- *shifted*: answers that stand beside another prompt: the words of prompts stand in the answers some rows
  before or behind (`REACH` at most) much more often than in their own;
- *exchanged*: prompts that tell and answers that ask, as where two columns were taken for each other.

Cost: some 20 us a row, at most `MOST` rows of a source, in their order.
"""

import re
from collections import Counter
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from headrace.pipelines import schema
from headrace.pipelines.examine import rows, vectors

MOST = 5000  # rows of a source
FEW = 50  # rows of a source below which nothing is said of it
SAME = 0.5
REACH = 3
BETTER = 1.5, 0.02  # how much more the words of prompts stand in other answers: times, and share of words
LONG = 80  # bytes of an answer that may be cut off
ASKS = 0.5, 0.1  # share of answers that end in a question mark, at least, and of prompts, at most
BROKEN = re.compile(r"[a-z,]\s*\Z")
MARKERS = (
    r"<\|(?:im_start|im_end|eot_id|start_header_id|endoftext|user|assistant)\|>|\[/?INST\]|</?s>"
    r"|<start_of_turn>"
)
SENTENCE = re.compile(r"[.!?][\"')\]]*\s")
CODES = ("one_answer", "some_system", "cut_off", "markers", "shifted", "exchanged")


class Forms(NamedTuple):
    """Rows that were looked at; of each of `CODES` how many rows, and the first of them by place."""

    rows: int
    counts: dict[str, int]
    places: dict[str, list[int]]


def look(table: pa.Table) -> Forms:
    """What the rows of `table` (source, messages), source by source in their order, look like."""
    sources = table["source"].to_pylist()
    looked, counts, places = 0, Counter[str](), dict[str, list[int]]()
    for source in sorted(set(sources)):
        at = np.flatnonzero([name == source for name in sources])[:MOST]
        if len(at) < FEW:
            continue
        looked += len(at)
        for code, found in _of_source(table.take(pa.array(at))).items():
            counts[code] += int(found.sum())
            places.setdefault(code, []).extend(at[np.flatnonzero(found)][:5].tolist())
    return Forms(looked, dict(counts), places)


def _of_source(table: pa.Table) -> dict[str, NDArray[np.bool_]]:
    """Rows of one source by code."""
    n = table.num_rows
    both = rows.exchanges(table)
    prompts, answers = (both[name].combine_chunks() for name in ("prompt", "answer"))
    told, asked = answers.to_pylist(), prompts.to_pylist()
    roles, owners, texts = schema.contents(table)
    none = np.zeros(n, np.bool_)
    system, marked = none.copy(), none.copy()
    system[owners[pc.equal(roles, "system").to_numpy(zero_copy_only=False)]] = True
    marked[owners[pc.match_substring_regex(texts, MARKERS).to_numpy(zero_copy_only=False)]] = True
    common, times = Counter(told).most_common(1)[0]
    same = np.array([answer == common for answer in told]) if times > SAME * n and common.strip() else none
    cut = np.array([len(a) >= LONG and bool(BROKEN.search(a[-8:]) and SENTENCE.search(a)) for a in told])
    mixed = system if not system.all() else none
    found = {"one_answer": same, "some_system": mixed, "cut_off": cut, "markers": marked}
    ask = [np.array([text.rstrip().endswith(("?", "？")) for text in side]).mean() for side in (told, asked)]
    exchanged = ask[0] >= ASKS[0] and ask[1] <= ASKS[1]
    shifted = shift(prompts, answers) != 0
    return found | {"exchanged": none | exchanged, "shifted": none | shifted}


def shift(prompts: pa.Array, answers: pa.Array) -> int:
    """By how many rows the answers stand away from their prompts, as far as words tell it; 0: by none.

    How many of a prompt's words, the rarer the heavier, stand in an answer is told for the answers of the
    same rows and of those up to `REACH` before or behind.
    """
    n = len(prompts)
    both = vectors.terms(pa.concat_arrays([prompts, answers]))
    matrix = vectors.weighted(both, alone=False)
    asked, told = matrix[:n], matrix[n:]
    inside = range(REACH, n - REACH)
    if not len(inside):
        return 0
    own = asked[inside.start : inside.stop]
    like = {
        by: float(own.multiply(told[inside.start + by : inside.stop + by]).sum()) / len(inside)
        for by in range(-REACH, REACH + 1)
    }
    best = max(like, key=lambda by: (like[by], -abs(by)))
    return best if like[best] > BETTER[0] * like[0] + BETTER[1] else 0
