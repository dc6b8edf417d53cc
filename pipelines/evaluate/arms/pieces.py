"""What a long evaluation has measured so far, batch by batch, so that one that was killed goes on.

::

    evaluation/answers/<key>/<what>-<number>-<samples>-of-<all>.json    samples, and what was found

What: which samples make a batch hangs on their lengths alone. A batch that is done is put whole, under the
key of all that it hangs on; whoever comes next takes it from there. So several workers can share the batches
of one evaluation, each every so many, and whoever puts them together finds the same, whatever their number
and whatever was killed in between.

Cost: one small object a batch; they are removed once the whole is written.
"""

import re
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from headrace.cluster import ledger, storage

FOLDER = "evaluation/answers"
NAME = re.compile(r"/([0-9a-f]+)/(\w+)-\d+-(\d+)-of-(\d+)\.json$")

Group = list[int]
Found = list[Any]  # of each sample of a group, in its order, as JSON holds it


class Share(NamedTuple):
    """Every `of`-th batch, from `first` on."""

    first: int
    of: int


class Pieces(NamedTuple):
    """Where the batches of one arm are kept: its key in a run; with no run nowhere. share: the batches that
    are asked here, where others ask the rest.
    """

    run: str | None = None
    key: str = ""
    share: Share | None = None

    def all(
        self, what: str, groups: Sequence[Group], count: int, ask: Callable[[Group], Found]
    ) -> Found | None:
        """`ask` of each group, from storage where it is there: one value for each of `count` samples.

        None where batches are left to others. Raises: StorageError.
        """
        there = self._there()
        found: Found = [None] * count
        left = False
        for number, group in enumerate(groups):
            name = f"{what}-{number:06d}-{len(group)}-of-{count}.json"
            values = self._kept(name, group) if name in there else None
            if values is None and self.share is not None and number % self.share.of != self.share.first:
                left = True
                continue
            if values is None:
                values = ask(group)
                self._keep(name, group, values)
            for place, value in zip(group, values, strict=True):
                found[place] = value
        return None if left else found

    def _path(self, name: str) -> str:
        assert self.run is not None
        return storage.join(self.run, FOLDER, self.key, name)

    def _there(self) -> set[str]:
        if self.run is None:
            return set()
        return {entry.path.rpartition("/")[2] for entry in storage.listing(self._path(""))}

    def _kept(self, name: str, group: Group) -> Found | None:
        """What a batch has given; None where it is of other samples."""
        held = storage.read_object(self._path(name)) or {}
        return held["values"] if held.get("samples") == group else None

    def _keep(self, name: str, group: Group, values: Found) -> None:
        if self.run is not None:
            storage.put(self._path(name), ledger.dumps({"samples": group, "values": values}))


def progress(run: str) -> dict[tuple[str, str], tuple[int, int]]:
    """By key and what is measured how many samples are done, and of how many. Raises: StorageError."""
    done: Counter[tuple[str, str]] = Counter()
    count: dict[tuple[str, str], int] = {}
    for entry in storage.listing(storage.join(run, FOLDER)):
        if match := NAME.search(entry.path):
            done[match[1], match[2]] += int(match[3])
            count[match[1], match[2]] = int(match[4])
    return {at: (n, count[at]) for at, n in sorted(done.items())}


def remove(run: str) -> None:
    """Take away what is put together now. Raises: StorageError."""
    storage.delete(storage.join(run, FOLDER))
