"""Whether evaluation rows stand in the training rows: a score on them shows memory, not skill.

What: the examiner's match (`examine.leaks`) looks for each evaluation row in the training rows. One that
stands there whole (`WHOLE` of its words, the rarer the heavier, in their order) is contaminated; one that is
merely alike is told and rings nothing, because rows of one template are alike without having leaked. The
verdict should stand on the clean ones; `Leaks.shares` says which.

Cost: that of `examine.leaks`: a second or two for a million words.
"""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headrace import kernels
from headrace.kernels import grams
from headrace.pipelines.evaluate.gates.gate import Floats, Outcome, of_share
from headrace.pipelines.examine.leaks import index, items, match
from headrace.pipelines.examine.leaks.config import Config

WHOLE = 0.98
BEST = 16  # matches of a held-out text that are kept
CONFIG = Config()
FIX = (
    "Name the evaluation set under `decontaminate.against`, or split by what the rows have in common "
    "(split.by), and prepare again; trust no score but that of the clean rows"
)


class Leaks:
    """How much of each held-out text stands in some training row, which are shown a part at a time.

    Memory: that of the held-out texts, of one part, and of `BEST` matches a held-out text.
    """

    def __init__(self, held: Sequence[str]) -> None:
        self._held, self.rows = len(held), 0
        self._index = index.build(items.of_texts(list(held)), CONFIG)
        self.counts = np.zeros(len(self._index.table.keys), np.int64)
        self.pairs = match.FOUND.empty_table()

    def look(self, training: Sequence[str]) -> None:
        """Show some training rows."""
        if self._held and len(training):
            numbers = np.arange(self.rows, self.rows + len(training))
            words = grams.words(kernels.fold(items.strings(list(training))))
            found = match.search(words, numbers, self._index, CONFIG)
            match.add(self.counts, found.counts)
            self.pairs = _best(pa.concat_tables([self.pairs, found.pairs]))
        self.rows += len(training)

    def add(self, other: "Leaks") -> None:
        """What another of the same texts was shown: other rows than this one."""
        theirs = other.pairs
        moved = pc.add(theirs["row"], pa.scalar(self.rows, pa.int64()))
        theirs = theirs.set_column(theirs.column_names.index("row"), "row", moved)
        self.counts = self.counts + other.counts
        self.pairs = _best(pa.concat_tables([self.pairs, theirs]))
        self.rows += other.rows

    def shares(self) -> Floats:
        """How much of each held-out text stands in a training row, 0 if none is alike: ``float64[N]``."""
        found = np.zeros(self._held)
        if self._held and self.rows:
            settled = match.settled(self.pairs, self.counts, self.rows, self._index, CONFIG)
            hits = match.hits(settled, self._index)
            np.maximum.at(found, hits["item"].to_numpy(), hits["share"].to_numpy())
        return found


def shares(held: Sequence[str], training: Sequence[str]) -> Floats:
    """How much of each held-out text stands in some text of those in memory: as `Leaks.shares`."""
    one = Leaks(held)
    one.look(training)
    return one.shares()


def _best(pairs: pa.Table) -> pa.Table:
    """The `BEST` matches of each held-out text."""
    if not pairs.num_rows:
        return pairs
    pairs = pairs.sort_by([("entry", "ascending"), ("share", "descending"), ("row", "ascending")])
    entry = pairs["entry"].to_numpy()
    first = np.flatnonzero(np.append(True, np.diff(entry) != 0))
    nth = np.arange(len(entry)) - np.repeat(first, np.diff(np.append(first, len(entry))))
    return pairs.filter(pa.array(nth < BEST)).combine_chunks()


def contamination(shares: Floats, rows: int) -> Outcome:
    """Share of evaluation rows that stand in training, of what `Leaks.shares` returns of so many rows."""
    what = "evaluation rows stand in the training rows"
    whole = shares >= WHOLE
    facts = {
        "clean": int((~whole).sum()),
        "alike": int(((shares > 0) & ~whole).sum()),
        "training_rows": rows,
    }
    return of_share(whole, what, FIX, facts)
