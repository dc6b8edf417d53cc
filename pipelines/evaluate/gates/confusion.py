"""Whether prompts that have nothing to do with the task are answered as the task.

What: an answer is the task's where it is one of the training labels, where it is in the format that most
training answers are in though the prompt does not ask for it, or where half of its runs of four words stand
in training answers (or all of it is one). Battery prompts are asked of base and tuned model; the base's
answers say how often that happens by chance.

Cost: 10 us an answer; the runs of the training answers in memory, of which `training` draws some.
"""

from collections import Counter
from collections.abc import Sequence

import numpy as np

from headrace.pipelines.evaluate import metrics
from headrace.pipelines.evaluate.gates.collapse import grams, words_of
from headrace.pipelines.evaluate.gates.drift import labels_of
from headrace.pipelines.evaluate.gates.gate import Bools, Outcome, of_pairs
from headrace.pipelines.examine.formats import parse

RUN = 4  # words
LIKE = 0.5  # share of an answer's runs
DOMINANT = 0.8  # share of training answers in one format
FIX = (
    "Add rows outside the task, answered as they should be (replay), and name the task in the system prompt "
    "of its rows, so that the model can tell when it is asked for"
)


def as_task(answers: Sequence[str], training: Sequence[str], formatted: Bools) -> Bools:
    """Which answers look like the training answers, ``bool[N]``.

    formatted: prompts that ask for a format themselves, whose answers may be in it.
    """
    labels = labels_of(training)
    format = _format(training)
    known = {gram for words in words_of(training) for gram in grams(words, RUN)}
    whole = {metrics.normalise(text) for text in training}
    found = []
    for answer, words, asked in zip(answers, words_of(answers), formatted, strict=True):
        folded = metrics.normalise(answer)
        own = grams(words, RUN)
        like = sum(gram in known for gram in own) >= LIKE * len(own) if own else False
        parsed = parse.parse(answer) if format and not asked else None
        found.append(
            folded in labels or (bool(words) and folded in whole) or like
            or (parsed is not None and parsed.format == format)
        )  # fmt: skip
    return np.array(found, np.bool_)


def _format(training: Sequence[str]) -> str | None:
    """The format that most training answers are in; None where there is none."""
    counts = Counter(parsed.format for text in training if (parsed := parse.parse(text)) is not None)
    name, count = counts.most_common(1)[0] if counts else ("", 0)
    return name if count and count >= DOMINANT * len(training) else None


def confusion(
    base: Sequence[str], tuned: Sequence[str], training: Sequence[str], formatted: Bools
) -> Outcome:
    """Share of prompts outside the task that the tuned model answers as the task, over the base's share."""
    sides = [as_task(answers, training, formatted) for answers in (base, tuned)]
    what = "prompts outside the task are answered as the task"
    return of_pairs(sides[0], sides[1], what, "by the base", FIX, {})
