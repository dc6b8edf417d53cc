"""What was found in texts: a finding, a table of findings, and the form of the tags that stand in for it."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

TAG = r"<[A-Z][A-Z_]*_(?:[0-9]+|[a-p]{16})>"  # of any kind: a number or a hash


class Finding(NamedTuple):
    """One finding: characters ``start:end`` of its text."""

    start: int
    end: int
    entity: str
    score: float
    recognizer: str


class Kinds(dict[tuple[str, str], int]):
    """Number of each (entity, recogniser) that this process has met; a new one gets the next."""

    def __missing__(self, kind: tuple[str, str]) -> int:
        self[kind] = number = len(self)
        return number


KINDS = Kinds()


class Findings(NamedTuple):
    """Findings in many texts, a column each: characters ``starts[i]:ends[i]`` of text ``rows[i]``.

    rows, starts, ends, kinds int64[N]; scores float64[N]. kinds: the numbers in `KINDS` of entity and
    recogniser. `failures`: why a text, by its number, has none.
    """

    rows: NDArray[np.int64]
    starts: NDArray[np.int64]
    ends: NDArray[np.int64]
    kinds: NDArray[np.int64]
    scores: NDArray[np.float64]
    failures: Mapping[int, str]

    @property
    def findings(self) -> list[Finding]:
        """One by one, as what judges a finding takes it."""
        known = list(KINDS)
        columns = (column.tolist() for column in self[1:5])
        return [
            Finding(a, b, known[k][0], score, known[k][1]) for a, b, k, score in zip(*columns, strict=True)
        ]

    def taken(self, chosen: NDArray[Any]) -> "Findings":
        """Those that are `chosen`: a mask, or numbers in the order that is asked for."""
        return Findings(
            self.rows[chosen],
            self.starts[chosen],
            self.ends[chosen],
            self.kinds[chosen],
            self.scores[chosen],
            self.failures,
        )

    def of_texts(self, texts: Iterable[int]) -> NDArray[np.bool_]:
        """Which findings are in one of `texts`."""
        return np.isin(self.rows, np.fromiter(texts, np.int64))


def listed(
    rows: Sequence[int], found: Iterable[tuple[int, int, int, float]], failures: Mapping[int, str]
) -> Findings:
    """A table of what was found in texts `rows`: (start, end, number of its kind, score) each."""
    columns = list(zip(*found, strict=True)) or [()] * 4
    starts, ends, kinds = (np.array(column, np.int64) for column in columns[:3])
    return Findings(np.array(rows, np.int64), starts, ends, kinds, np.array(columns[3], np.float64), failures)


def collected(rows: Sequence[int], found: Iterable[Finding], failures: Mapping[int, str]) -> Findings:
    """A table of findings, ``found[i]`` in text ``rows[i]``."""
    items = ((start, end, KINDS[entity, name], score) for start, end, entity, score, name in found)
    return listed(rows, items, failures)


def joined(parts: Sequence[Findings]) -> Findings:
    """One table of several, the findings as they come, without those in texts that one of them failed on."""
    failures = {text: cause for part in parts for text, cause in part.failures.items()}
    found = Findings(
        np.concatenate([part.rows for part in parts]),
        np.concatenate([part.starts for part in parts]),
        np.concatenate([part.ends for part in parts]),
        np.concatenate([part.kinds for part in parts]),
        np.concatenate([part.scores for part in parts]),
        failures,
    )
    return found.taken(~found.of_texts(failures)) if failures else found


def ordered(found: Findings) -> Findings:
    """The same in the order of texts, and in a text sorted as `Finding` is."""
    entities, names = (ranked([kind[at] for kind in KINDS])[0][found.kinds] for at in (0, 1))
    return found.taken(np.lexsort((names, found.scores, entities, found.ends, found.starts, found.rows)))


def ranked(names: Sequence[str]) -> tuple[NDArray[np.int64], list[str]]:
    """The place of each name among the different ones, sorted, and these: ``int64[N]``, list of str."""
    different = sorted(set(names))
    places = {name: at for at, name in enumerate(different)}
    return np.array([places[name] for name in names], np.int64), different
