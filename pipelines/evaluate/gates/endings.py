"""Answers that do not end, go in circles, say nothing, or say the prompt again.

What: an answer is endless where no end token came before the limit, though its reference has room within it,
or where its end is one piece of up to 20 words four times over. It is empty where nothing but white space is
left, though the reference says something. It copies where it is, or begins with, what was asked, though the
reference does not.

Why: an end token without loss, a template without one, or answers cut in training leave a model that has
never seen an end.
Cost: 20 us an answer.
"""

from collections.abc import Sequence

import numpy as np

from headrace.pipelines.evaluate.gates.collapse import Words, words_of
from headrace.pipelines.evaluate.gates.gate import Bools, Outcome, of_share

PERIOD, TIMES = 20, 4  # words of a piece, how often it stands at the end
SHORTEST = 8  # words of a loop, or of what counts as copied
FIX = {
    "endless": "Look whether each training answer has loss on its end token and none is cut (tokenise, and "
    "`headrace explain` of a row); remove rows whose answers were cut",
    "empty": "Look for training rows with empty answers, and for a template whose end token comes first",
    "copied": "Look for training rows whose answers say the prompt again, and whether prompts carry no loss",
}


def in_circles(words: Words) -> bool:
    """Whether a text ends in a piece of up to `PERIOD` words that stands there `TIMES` times or more."""
    for period in range(1, min(PERIOD, len(words) // TIMES) + 1):
        times = max(TIMES, -(-SHORTEST // period))
        tail = words[-period * times :]
        if len(tail) == period * times and all(tail[k] == tail[k % period] for k in range(len(tail))):
            return True
    return False


def endless(answers: Sequence[str], finished: Bools, room: Bools) -> Outcome:
    """finished: whether an end token came, ``bool[N]``; room: whether the reference fits in the limit."""
    circles = np.array([in_circles(words) for words in words_of(answers)], np.bool_)
    cut = ~finished & room
    facts = {
        "no_end": int(cut.sum()),
        "in_circles": int(circles.sum()),
        "longer_than_the_limit": int((~finished & ~room).sum()),
    }
    return of_share(cut | circles, "answers do not end, or go in circles", FIX["endless"], facts)


def empty(answers: Sequence[str], references: Sequence[str]) -> Outcome:
    """Answers that are nothing but white space, of those whose references are not."""
    nothing = [not a.strip() and bool(r.strip()) for a, r in zip(answers, references, strict=True)]
    return of_share(np.array(nothing, np.bool_), "answers say nothing", FIX["empty"])


def copied(prompts: Sequence[str], answers: Sequence[str], references: Sequence[str]) -> Outcome:
    """Answers that are, or begin with, the last thing asked. prompts: that text, without a template."""
    asked = words_of(prompts)
    says, should = (_says(asked, words_of(texts)) for texts in (answers, references))
    return of_share(says & ~should, "answers say the prompt again", FIX["copied"])


def _says(asked: Sequence[Words], texts: Sequence[Words]) -> Bools:
    """Which texts are what was asked, or begin with its first words (`SHORTEST` or all, if 3 or more)."""
    found = []
    for words, text in zip(asked, texts, strict=True):
        n = min(len(words), SHORTEST)
        found.append(n >= 3 and text[:n] == words[:n])
    return np.array(found, np.bool_)
