"""Replacing what was found in one conversation: the same value, the same stand-in, wherever it is said.

What: of a text's findings, those to be replaced are joined where they overlap, and each such stretch is
replaced as a whole, so that no digits of a weaker finding stay behind. The finding that counts most names
it: higher score, then longer, then earlier, then by the entity's name. A value that was found once is
replaced wherever its conversation says it again (`masking.values`), if it is long enough for that.

What is replaced inside JSON leaves JSON (`masking.json_text`). Hashes and surrogates are those of the value
in plain dress (`dress`).

`Conversation` holds the texts of one row and what was issued in them. `replaced` is given conversations and
their findings until there is nothing left to do: a finding inside what was issued is none.

Cost: a Python step a finding; conversations without one are never touched.
"""

import functools
import re
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from headrace.kernels.letters import said
from headrace.pipelines import arrays
from headrace.pipelines.stages.pii.config import Config, Kind
from headrace.pipelines.stages.pii.dress import plain
from headrace.pipelines.stages.pii.findings import Finding
from headrace.pipelines.stages.pii.masking.json_text import JsonText
from headrace.pipelines.stages.pii.masking.surrogates import Surrogates
from headrace.pipelines.stages.pii.masking.values import BETWEEN, Folded, folded, identity

LETTER = re.compile(r"[^\W_]")


OLD = -1.0  # score of what was issued, among findings


class Issued(NamedTuple):
    """What stands in characters ``start:end`` of a text."""

    start: int
    end: int
    entity: str
    kind: Kind
    recognizer: str


class Value(NamedTuple):
    """A value of a conversation: the finding that names it, the value as that has it, and what it is part of.

    `whole`: identity of the stretch that it was replaced with; they share a tag. `letters`: `folded` of it as
    it is spelt and as it is known.
    """

    finding: Finding
    text: str
    whole: str
    letters: tuple[str, ...]


class Spans:
    """Spans apart from each other, to tell what lies in one of them."""

    def __init__(self, spans: Iterable[Finding | Issued]) -> None:
        pairs = sorted((one.start, one.end) for one in spans)
        self.starts, self.ends = [start for start, _ in pairs], [end for _, end in pairs]

    def cover(self, start: int, end: int) -> bool:
        """Whether characters ``start:end`` lie in one span."""
        at = bisect_right(self.starts, start) - 1
        return at >= 0 and end <= self.ends[at]


def stretches(findings: Iterable[Finding]) -> list[Finding]:
    """Findings that overlap joined into one that spans them all, with the entity of the strongest; sorted."""
    ordered = sorted(findings)
    if len(ordered) < 2:  # most
        return ordered
    joined: list[list[Finding]] = []
    end = -1
    for finding in ordered:
        if finding.start < end:
            joined[-1].append(finding)
        else:
            joined.append([finding])
        end = max(end, finding.end)
    return [_widened(group) for group in joined]


def _widened(group: list[Finding]) -> Finding:
    if len(group) == 1:
        return group[0]
    strongest = min(group, key=_weight)
    return strongest._replace(start=min(f.start for f in group), end=max(f.end for f in group))


def _weight(finding: Finding) -> tuple[float, int, int, str]:
    """What counts most is least."""
    return -finding.score, finding.start - finding.end, finding.start, finding.entity


class Conversation:
    """The texts of one row, each with the role that says it; what is done to them grows with `replaced`.

    texts: those in which something is found, by their numbers; the others need not be held.
    kind_of: that of `config`, where many conversations share one that remembers.
    """

    def __init__(
        self,
        texts: dict[int, str],
        roles: Sequence[str],
        config: Config,
        surrogates: Surrogates | None,
        kind_of: Callable[[str, str], Kind] | None = None,
    ) -> None:
        self.texts, self.roles = texts, roles
        self.config, self.surrogates = config, surrogates
        self.kind_of = kind_of or config.kind_of
        self.issued: dict[int, list[Issued]] = {}  # by text
        self.values: dict[str, Value] = {}
        self.numbers: dict[tuple[str, str], int] = {}
        self.seen: dict[str, int] = {}
        self._parsed: dict[int, JsonText] = {}
        # How often values have changed, had when all texts were last seen to say none of them again, and what
        # was written since.
        self._changes, self._settled = 0, -1
        self._written: set[int] = set()

    def text(self, number: int) -> str:
        """A text that is held, as it is now."""
        return self.texts[number]

    def due(self, text: int, findings: Iterable[Finding]) -> list[Finding]:
        """Those of the findings in text `text` that are to be replaced.

        A value that stays because of its role alone is remembered: where other roles say it, it goes.
        """
        due = []
        issued = Spans(self.issued[text]) if text in self.issued else None
        for finding in findings:
            if finding.score < self.config.threshold:
                continue
            if issued and issued.cover(finding.start, finding.end):
                continue
            if issued and all(issued.cover(*one[:2]) for one in self._json(text).fitted([finding])):
                continue
            if self.kind_of(finding.entity, self.roles[text]) != "keep":
                due.append(finding)
            elif self.kind_of(finding.entity, "") != "keep":
                self._note(finding, self.text(text))
        return due

    def gone(self) -> dict[str, Value]:
        """Values (by letters and digits) that are replaced wherever they are said, so that none is left."""
        replaced = {folded(known.text): known for known in self.values.values()}
        return {value: known for value, known in replaced.items() if len(value) >= self._least(known)}

    def begun(self, due: dict[int, list[Finding]]) -> "Begun":
        """Remember the values of what is `due` (by text); what is then to be replaced, and to be looked for.

        Texts are in the order of the conversation, so numbers follow the order in which values appear.
        """
        joined = {text: self._joined(text, found) for text, found in due.items()}
        for text, widened in joined.items():
            inner = iter(sorted(due[text]))
            finding = next(inner, None)
            for stretch in widened:
                whole = self._note(stretch, self.text(text))
                while finding is not None and finding.start < stretch.end:
                    if finding != stretch:
                        self._note(finding, self.text(text), whole)
                    finding = next(inner, None)
        known: dict[str, list[tuple[str, Value]]] = {}
        for value, remembered in self.values.items():
            least = max(1, self._least(remembered) - 1)
            for letters in remembered.letters:
                if len(letters) >= least:
                    known.setdefault(letters, []).append((value, remembered))
        every = self._settled != self._changes
        asked = (range(len(self.roles)) if every else sorted(self._written)) if known else ()
        return Begun(joined, known, asked)

    def finished(self, begun: "Begun", again: list[str], there: Iterable[int]) -> list[int]:
        """Replace what `begun` says, and values `again` in the texts `there`; the texts that have changed."""
        joined = begun.joined
        self._settled = self._changes
        self._written.clear()
        if not joined and not again:
            return []
        for text in there:
            repeats = self._repeated(text, again, begun)
            if repeats:
                joined[text] = self._joined(text, [*joined.get(text, ()), *repeats])
        for text in sorted(joined):
            self._write(text, joined[text])
        return sorted(text for text, widened in joined.items() if widened)

    def _joined(self, text: int, findings: Iterable[Finding]) -> list[Finding]:
        """Stretches of the findings; what was issued is replaced again as a whole or not at all."""
        issued = [Finding(i.start, i.end, i.entity, OLD, i.recognizer) for i in self.issued.get(text, ())]
        joined = stretches([*findings, *issued])
        return self._json(text).fitted([one for one in joined if one.score > OLD] if issued else joined)

    def _json(self, text: int) -> JsonText:
        """The JSON in a text as it is now."""
        if text not in self._parsed:
            self._parsed[text] = JsonText(self.text(text))
        return self._parsed[text]

    def _note(self, finding: Finding, text: str, whole: str | None = None) -> str:
        """Remember a value; returns its identity."""
        spelt = text[finding.start : finding.end]
        value = identity(finding.entity, spelt)
        known = self.values.get(value)
        if known is None or _weight(finding) < _weight(known.finding):
            self._changes += 1
            letters = tuple(dict.fromkeys((folded(spelt), folded(value))))
            self.values[value] = Value(finding, spelt, known.whole if known else whole or value, letters)
        return value

    def _repeated(self, text: int, again: list[str], begun: "Begun") -> list[Finding]:
        """Places in a text of values with the letters `again` that are in no stretch yet."""
        content = self.text(text)
        letters, repeats = folded(content), []
        taken = Spans([*begun.joined.get(text, ()), *self.issued.get(text, ())])
        there = [value for value in again if value in letters]
        for start, end, value in Folded(content, letters).occurrences(there):
            if taken.cover(start, end):
                continue
            meant = self._meant(begun.known[value], content[start:end], self.roles[text])
            if meant is not None:
                repeats.append(meant.finding._replace(start=start, end=end))
        return repeats

    def _meant(self, known: list[tuple[str, Value]], spelt: str, role: str) -> Value | None:
        """Which of the values that have the letters of `spelt` it is, where `role` may not say that."""
        for value, one in known:
            entity = one.finding.entity
            if self.kind_of(entity, role) == "keep" or identity(entity, spelt) != value:
                continue
            short = len(folded(spelt)) < self._least(one)
            if not short or BETWEEN.sub("", spelt) == BETWEEN.sub("", one.text):
                return one
        return None

    def _least(self, value: Value) -> int:
        return self.config.least_of(value.finding.entity)

    def _write(self, text: int, replaced: list[Finding]) -> None:
        """Replace these stretches (apart, sorted) of one text; what was issued before moves along."""
        content, parts, at, shift = self.text(text), [], 0, 0
        issued: list[Issued] = []
        ends, shifts = [0], [0]  # of each stretch, and by how much what follows it moves
        for finding in replaced:
            spelt = content[finding.start : finding.end]
            entity, kind, make = self._stand_in(spelt, finding, self.roles[text])
            new, ahead, behind = self._json(text).shown(
                finding.start, finding.end, self.config.json_numbers, make
            )
            start = finding.start + shift
            stands = start + ahead, start + len(new) - behind
            issued.append(Issued(*stands, entity, kind, finding.recognizer))
            parts += [content[at : finding.start], new]
            at = finding.end
            shift += len(new) - (finding.end - finding.start)
            ends.append(at)
            shifts.append(shift)
        self.texts[text] = "".join([*parts, content[at:]])
        self._parsed.pop(text, None)
        self._written.add(text)
        swallowed = Spans(replaced)
        for one in self.issued.get(text, ()):
            if not swallowed.cover(one.start, max(one.end, one.start + 1)):
                by = shifts[bisect_right(ends, one.start) - 1]
                issued.append(one._replace(start=one.start + by, end=one.end + by))
        self.issued[text] = sorted(issued)

    def _stand_in(self, spelt: str, finding: Finding, role: str) -> tuple[str, Kind, Callable[[str], str]]:
        """(entity, kind, what gives the stand-in of the value as it is spelt) for the value `spelt`."""
        value = identity(finding.entity, spelt)
        known = self.values.get(value)
        entity = known.finding.entity if known else finding.entity
        kind = self.kind_of(entity, role)
        if kind == "keep":  # another role names the value by an entity that this one keeps
            entity = finding.entity
            kind = self.kind_of(entity, role)
        return entity, kind, functools.partial(self._made, kind, entity, known.whole if known else value)

    def _made(self, kind: Kind, entity: str, value: str, spelt: str) -> str:
        if kind == "mask":
            return LETTER.sub("*", spelt)
        if kind == "redact":
            return ""
        if kind == "tag":
            if (entity, value) not in self.numbers:
                self.seen[entity] = self.seen.get(entity, 0) + 1
                self.numbers[entity, value] = self.seen[entity]
            return f"<{entity}_{self.numbers[entity, value]}>"
        assert self.surrogates is not None
        if kind == "hash":
            return f"<{entity}_{self.surrogates.hashed(entity, plain(spelt))}>"
        return self.surrogates.surrogate(entity, plain(spelt))


class Begun(NamedTuple):
    """What is to be done to a conversation: stretches by text (`joined`), values by their letters (`known`),
    and texts that may say some of these once more (`asked`).
    """

    joined: dict[int, list[Finding]]
    known: dict[str, list[tuple[str, Value]]]
    asked: Sequence[int]

    def parts(self, conversation: Conversation) -> Iterator[str]:
        """What stands, in the texts that are asked, in stretches, and in what was issued and touches none."""
        every = isinstance(self.asked, range)
        for number in sorted(self.joined.keys() | conversation.issued.keys()) if every else self.asked:
            text, joined = conversation.text(number), self.joined.get(number, ())
            for start, end, *_ in joined:
                yield text[start:end]
            for start, end, *_ in conversation.issued.get(number, ()):
                if not any(one.start < end and start < one.end for one in joined):
                    yield text[start:end]


Due = tuple[Conversation, dict[int, list[Finding]]]
Place = tuple[int, int]  # of a conversation, and of a text in it


def replaced(dues: Sequence[Due], unread: Callable[[list[Place]], pa.Array] | None = None) -> list[list[int]]:
    """Replace in each conversation what is due there, and its values elsewhere; the texts that have changed.

    unread: gives texts (large_string) that the conversations do not hold: nothing was found there.
    Most values are said once, which is seen of all conversations together.
    """
    begun = [conversation.begun(due) for conversation, due in dues]
    asked = [(at, number) for at, one in enumerate(begun) for number in one.asked]
    texts = pa.array([dues[at][0].texts.get(number) for at, number in asked], pa.large_string())
    missing = np.flatnonzero(texts.is_null().to_numpy(zero_copy_only=False))
    if len(missing) and unread is not None:
        texts = arrays.put(texts, missing, unread([asked[n] for n in missing.tolist()]))
    values = [(at, letters) for at, one in enumerate(begun) for letters in one.known]
    parts = [(at, part) for at, one in enumerate(begun) for part in one.parts(dues[at][0])]
    again, there = said(texts, _firsts(asked), *_by_owner(values), *_by_owner(parts))
    more: list[list[str]] = [[] for _ in dues]
    where: list[list[int]] = [[] for _ in dues]
    for number in np.flatnonzero(again).tolist():
        more[values[number][0]].append(values[number][1])
    for number in np.flatnonzero(there).tolist():
        at, text = asked[number]
        where[at].append(text)
        dues[at][0].texts[text] = texts[number].as_py()
    every = zip(dues, begun, more, where, strict=True)
    return [conversation.finished(one, letters, found) for (conversation, _), one, letters, found in every]


def _firsts(items: Sequence[tuple[int, Any]]) -> NDArray[np.int64]:
    return np.array([at for at, _ in items], np.int64)


def _by_owner(items: Sequence[tuple[int, str]]) -> tuple[pa.Array, NDArray[np.int64]]:
    return pa.array([text for _, text in items], pa.large_string()), _firsts(items)
