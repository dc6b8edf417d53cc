"""Whether evaluation rows stand in the training rows: a score on them shows memory, not skill.

What: the examiner's match (`examine.leaks`) looks for each evaluation row in the training rows. One that
stands there whole (`WHOLE` of its words, the rarer the heavier, in their order) is contaminated; one that is
merely alike is told and rings nothing, because rows of one template are alike without having leaked. The
verdict should stand on the clean ones; `shares` says which.

Cost: that of `examine.leaks`: a second or two for a million words.
"""

from collections.abc import Sequence

import numpy as np

from headrace.pipelines.evaluate.gates.gate import Floats, Outcome, of_share
from headrace.pipelines.examine.leaks import memory

WHOLE = 0.98
FIX = (
    "Name the evaluation set under `decontaminate.against`, or split by what the rows have in common "
    "(split.by), and prepare again; trust no score but that of the clean rows"
)


def shares(held: Sequence[str], training: Sequence[str]) -> Floats:
    """How much of each held-out text stands in some training text, 0 if it is not alike: ``float64[N]``."""
    found = np.zeros(len(held))
    if len(held) and len(training):
        hits = memory.leaks(list(training), list(held))
        np.maximum.at(found, hits["item"].to_numpy(), hits["share"].to_numpy())
    return found


def contamination(shares: Floats, threshold: float) -> Outcome:
    """Share of evaluation rows that stand in training, of what `shares` returns."""
    what = "evaluation rows stand in the training rows"
    whole = shares >= WHOLE
    facts = {"clean": int((~whole).sum()), "alike": int(((shares > 0) & ~whole).sum())}
    return of_share("contamination", whole, threshold, what, FIX, facts)
