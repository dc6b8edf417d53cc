"""Whether evaluation rows stand in the training rows: a score on them shows memory, not skill.

What: the examiner's match (`examine.leaks`) looks for the prompts and references of evaluation rows in
training rows. The verdict should stand on the clean ones; `clean` says which.

Cost: that of `examine.leaks`: a second or two for a million words.
"""

from collections.abc import Sequence

import numpy as np

from headrace.pipelines.evaluate.gates.gate import Bools, Outcome, of_share
from headrace.pipelines.examine.leaks import memory

FIX = (
    "Name the evaluation set under `decontaminate.against`, or split by what the rows have in common "
    "(split.by), and prepare again; trust no score but that of the clean rows"
)


def clean(held: Sequence[str], training: Sequence[str]) -> Bools:
    """Which held-out texts do not stand in the training texts, ``bool[N]``."""
    found = np.ones(len(held), np.bool_)
    if len(held) and len(training):
        hits = memory.leaks(list(training), list(held))
        found[hits["item"].to_numpy()] = False
    return found


def contamination(clean: Bools, threshold: float) -> Outcome:
    """Share of evaluation rows that stand in training, of what `clean` returns."""
    what = "evaluation rows stand in the training rows"
    return of_share("contamination", ~clean, threshold, what, FIX, {"clean": int(clean.sum())})
