"""Replacing what was found in one conversation: the same value, the same stand-in, wherever it is said.

What: of a text's findings, those to be replaced are joined where they overlap, and each such stretch is
replaced as a whole, so that no digits of a weaker finding stay behind. The finding that counts most names
it: higher score, then longer, then earlier, then by the entity's name. A value that was found once is
replaced wherever its conversation says it again (`pipelines.pii_values`), if it is long enough for that.

`Conversation` holds the texts of one row and what was issued in them. It is given findings until there is
nothing left to do: a finding inside what was issued is none.

Cost: a Python step a finding; conversations without one are never touched.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from pipelines.pii_config import Config, Kind
from pipelines.pii_presidio import Finding
from pipelines.pii_surrogates import Surrogates
from pipelines.pii_values import BETWEEN, Folded, folded

LETTER = re.compile(r"[^\W_]")
TAG = r"<[A-Z][A-Z_]*_(?:[0-9]+|[a-p]{16})>"  # of any kind: a number or a hash


class Issued(NamedTuple):
    """What stands in characters ``start:end`` of a text."""

    start: int
    end: int
    entity: str
    kind: Kind
    recognizer: str


class Value(NamedTuple):
    """A value of a conversation: the finding that names it, and the value as that has it."""

    finding: Finding
    said: str


def stretches(findings: Iterable[Finding]) -> list[Finding]:
    """Findings that overlap joined into one that spans them all, with the entity of the strongest; sorted."""
    joined: list[list[Finding]] = []
    end = -1
    for finding in sorted(findings):
        if finding.start < end:
            joined[-1].append(finding)
        else:
            joined.append([finding])
        end = max(end, finding.end)
    return [_widened(group) for group in joined]


def _widened(group: list[Finding]) -> Finding:
    strongest = min(group, key=_weight)
    return strongest._replace(start=min(f.start for f in group), end=max(f.end for f in group))


def _weight(finding: Finding) -> tuple[float, int, int, str]:
    """What counts most is least."""
    return -finding.score, finding.start - finding.end, finding.start, finding.entity


class Conversation:
    """The texts of one row, each with the role that says it; what is done to them grows with `replace`."""

    def __init__(
        self, texts: Sequence[str], roles: Sequence[str], config: Config, surrogates: Surrogates | None
    ) -> None:
        self.texts, self.roles = list(texts), roles
        self.config, self.surrogates = config, surrogates
        self.issued: list[list[Issued]] = [[] for _ in texts]
        self.values: dict[str, Value] = {}
        self.numbers: dict[tuple[str, str], int] = {}
        self.seen: Counter[str] = Counter()

    def due(self, text: int, findings: Iterable[Finding]) -> list[Finding]:
        """Those of the findings in text `text` that are to be replaced."""
        return [finding for finding in findings if self._is_due(text, finding)]

    def _is_due(self, text: int, finding: Finding) -> bool:
        kind = self.config.kind_of(finding.entity, self.roles[text])
        if finding.score < self.config.threshold or kind == "keep":
            return False
        return not any(one.start <= finding.start and finding.end <= one.end for one in self.issued[text])

    def gone(self) -> dict[str, Value]:
        """Values (folded) that may not be said any more: those that are replaced wherever they are said."""
        return {value: held for value, held in self.values.items() if len(value) >= self._least(held)}

    def replace(self, due: dict[int, list[Finding]]) -> list[int]:
        """Replace what is `due` (by text), and its values elsewhere; the texts that have changed.

        Texts are in the order of the conversation, so numbers follow the order in which values appear.
        """
        joined = {text: self._joined(text, findings) for text, findings in due.items()}
        for text, found in joined.items():
            for finding in found:
                self._note(finding, self.texts[text][finding.start : finding.end])
        for text, findings in self._said_again(joined):
            joined[text] = self._joined(text, [*joined.get(text, ()), *findings])
        for text in sorted(joined):
            self._put(text, joined[text])
        return sorted(joined)

    def _joined(self, text: int, findings: Iterable[Finding]) -> list[Finding]:
        """Stretches of the findings; what was issued is replaced again as a whole or not at all."""
        found = list(findings)
        issued = [Finding(i.start, i.end, i.entity, 0.0, i.recognizer) for i in self.issued[text]]
        return [one for one in stretches([*found, *issued]) if any(_meet(one, f) for f in found)]

    def _note(self, finding: Finding, said: str) -> None:
        held = self.values.get(folded(said) or said)
        if held is None or _weight(finding) < _weight(held.finding):
            self.values[folded(said) or said] = Value(finding, said)

    def _said_again(self, joined: dict[int, list[Finding]]) -> Iterator[tuple[int, list[Finding]]]:
        """Places of known values that are in no stretch yet, by text."""
        known = {f: v for f, v in self.values.items() if len(f) >= self._least(v) - 1}
        if not known:
            return
        for number, content in enumerate(self.texts):
            text, taken = Folded(content), [*joined.get(number, ()), *self.issued[number]]
            found = []
            for value, (finding, said) in known.items():
                if (
                    value not in text.letters
                    or self.config.kind_of(finding.entity, self.roles[number]) == "keep"
                ):
                    continue
                exact = BETWEEN.sub("", said) if len(value) < self.config.least_of(finding.entity) else None
                for start, end in text.places(value, exact):
                    if not any(one.start <= start and end <= one.end for one in taken):
                        found.append(finding._replace(start=start, end=end))
            if found:
                yield number, found

    def _least(self, value: Value) -> int:
        return self.config.least_of(value.finding.entity)

    def _put(self, text: int, found: list[Finding]) -> None:
        """Replace the stretches `found` (apart, sorted) in one text; what was issued before moves along."""
        content, parts, at, shift = self.texts[text], [], 0, 0
        issued: list[Issued] = []
        shifts: list[tuple[int, int]] = []  # (end of a stretch, by how much all behind it moves)
        for finding in found:
            entity, kind, new = self._stand_in(
                content[finding.start : finding.end], finding, self.roles[text]
            )
            start = finding.start + shift
            issued.append(Issued(start, start + len(new), entity, kind, finding.recognizer))
            parts += [content[at : finding.start], new]
            at = finding.end
            shift += len(new) - (finding.end - finding.start)
            shifts.append((at, shift))
        self.texts[text] = "".join([*parts, content[at:]])
        for one in self.issued[text]:
            if not any(_meet(finding, one) for finding in found):
                by = max((moved for moved in shifts if moved[0] <= one.start), default=(0, 0))[1]
                issued.append(one._replace(start=one.start + by, end=one.end + by))
        self.issued[text] = sorted(issued)

    def _stand_in(self, said: str, finding: Finding, role: str) -> tuple[str, Kind, str]:
        """(entity, kind, what stands there) for the value `said`."""
        value = folded(said) or said
        held = self.values.get(value)
        entity = held.finding.entity if held else finding.entity
        kind = self.config.kind_of(entity, role)
        if kind == "keep":  # another role names the value by an entity that this one keeps
            entity = finding.entity
            kind = self.config.kind_of(entity, role)
        return entity, kind, self._made(kind, entity, value, said)

    def _made(self, kind: Kind, entity: str, value: str, said: str) -> str:
        if kind == "mask":
            return LETTER.sub("*", said)
        if kind == "redact":
            return ""
        if kind == "tag":
            if (entity, value) not in self.numbers:
                self.seen[entity] += 1
                self.numbers[entity, value] = self.seen[entity]
            return f"<{entity}_{self.numbers[entity, value]}>"
        assert self.surrogates is not None
        if kind == "hash":
            return f"<{entity}_{self.surrogates.hashed(entity, said)}>"
        return self.surrogates.surrogate(entity, said)


def _meet(one: Finding, other: Finding | Issued) -> bool:
    """Whether two spans have a character in common, or are the same."""
    return (one.start < other.end and other.start < one.end) or (one.start, one.end) == (
        other.start,
        other.end,
    )
