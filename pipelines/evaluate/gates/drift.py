"""Answers that break the format of their references: whole at the head and not at the end, or not at all.

What: references that begin in a format (JSON, XML, SQL, calls, tables, ...) and are valid say that their
answers should be; references of few different short texts are labels, and an answer should be one of them.
An answer that was cut where the reference itself has no room counts for nothing. Where answers break is told
by position, in tenths of the answer.

Source: formats as the examiner parses them (`examine.formats.parse`).
Cost: 5 to 500 us an answer.
"""

from collections.abc import Sequence

import numpy as np

from headrace.pipelines.evaluate import metrics
from headrace.pipelines.evaluate.gates.gate import LEAST, Bools, Outcome, Unmeasured, of_share
from headrace.pipelines.examine.formats import parse

LABELS, WORDS = 50, 5  # most different labels, and most words of one
TIMES = 4  # how often a label stands there on average, at the least
FIX = (
    "Look for training answers that end in prose or break off (the examiner's `formats` lists them), and add "
    "rows of every length of the format"
)
FAULTS = ("right", "breaks_later", "other_format")


def labels_of(references: Sequence[str]) -> set[str]:
    """The labels that references are, folded; none where they are no labels."""
    known = {metrics.normalise(text) for text in references}
    short = all(0 < len(label.split()) <= WORDS for label in known)
    few = len(known) <= LABELS and len(references) >= TIMES * len(known)
    return known if short and few and references else set()


def fault(answer: str, wanted: parse.Parsed) -> tuple[str, float]:
    """One of `FAULTS`, and where it breaks as a share of the answer's length."""
    found = parse.parse(answer)
    if found is None or found.format != wanted.format:
        return "other_format", 0.0
    if found.valid:
        return "right", 1.0
    return "breaks_later", (found.breaks_at or 0) / max(1, len(answer))


def drift(answers: Sequence[str], references: Sequence[str], room: Bools) -> Outcome:
    """Answers that are not in the format of their references. room: whether a reference fits in the limit."""
    labels = labels_of(references)
    if labels:
        wrong = np.array([metrics.normalise(answer) not in labels for answer in answers], np.bool_)
        facts: dict[str, object] = {"format": "labels", "labels": len(labels)}
        return of_share(wrong, "answers are none of the labels", FIX, facts)
    wanted = [parse.parse(text) if fits else None for text, fits in zip(references, room, strict=True)]
    own = [at for at, parsed in enumerate(wanted) if parsed is not None and parsed.valid]
    if len(own) < LEAST:
        return Unmeasured(
            f"{len(own)} references are in a format or labels, and fewer than {LEAST} show nothing"
        )
    faults = [fault(answers[at], parsed) for at in own if (parsed := wanted[at]) is not None]
    broken = np.array([name != "right" for name, _ in faults], np.bool_)
    tenths = [0] * 10
    for name, at in faults:
        if name == "breaks_later":
            tenths[min(9, int(10 * at))] += 1
    counts = {name: sum(of == name for of, _ in faults) for name in FAULTS}
    gate = of_share(
        broken, "answers break the format of their reference", FIX,
        {**counts, "breaks_by_tenth": tenths},
    )  # fmt: skip
    if isinstance(gate, Unmeasured):
        return gate
    return gate._replace(rows=tuple(own[int(row)] for row in gate.rows))
