"""Replacing what was found in one conversation: the same value, the same stand-in, wherever it is said.

What: of a text's findings, those to be replaced are joined where they overlap, and each such stretch is
replaced as a whole, so that no digits of a weaker finding stay behind. The finding that counts most names
it: higher score, then longer, then earlier, then by the entity's name. A value that was found once is
replaced wherever its conversation says it again (`masking.values`), if it is long enough for that.

What is replaced inside JSON leaves JSON (`masking.json_text`). Hashes and surrogates are those of the value
in plain dress (`dress`).

`Conversation` holds the texts of one row and what was issued in them. It is given findings until there is
nothing left to do: a finding inside what was issued is none.

Cost: a Python step a finding; conversations without one are never touched.
"""

import functools
import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

from headrace.pipelines.stages.pii.config import Config, Kind
from headrace.pipelines.stages.pii.dress import plain
from headrace.pipelines.stages.pii.findings import Finding
from headrace.pipelines.stages.pii.masking.json_text import JsonText
from headrace.pipelines.stages.pii.masking.surrogates import Surrogates
from headrace.pipelines.stages.pii.masking.values import APART, BETWEEN, Folded, folded, folded_each, identity

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
    if len(group) == 1:
        return group[0]
    strongest = min(group, key=_weight)
    return strongest._replace(start=min(f.start for f in group), end=max(f.end for f in group))


def _stands(letters: str, text: str, times: int) -> bool:
    """Whether `letters` stand so many times in `text`, over each other or not."""
    at = -1
    for _ in range(times):
        at = text.find(letters, at + 1)
        if at < 0:
            return False
    return True


def _weight(finding: Finding) -> tuple[float, int, int, str]:
    """What counts most is least."""
    return -finding.score, finding.start - finding.end, finding.start, finding.entity


class Conversation:
    """The texts of one row, each with the role that says it; what is done to them grows with `replace`.

    kind_of: that of `config`, where many conversations share one that remembers.
    """

    def __init__(
        self,
        texts: Sequence[str],
        roles: Sequence[str],
        config: Config,
        surrogates: Surrogates | None,
        kind_of: Callable[[str, str], Kind] | None = None,
    ) -> None:
        self.texts, self.roles = list(texts), roles
        self.config, self.surrogates = config, surrogates
        self.kind_of = kind_of or config.kind_of
        self.issued: list[list[Issued]] = [[] for _ in texts]
        self.values: dict[str, Value] = {}
        self.numbers: dict[tuple[str, str], int] = {}
        self.seen: Counter[str] = Counter()
        self._parsed: dict[int, JsonText] = {}
        self.letters: dict[int, str] = {}  # of texts as they are
        # How often values had changed when a text, as it still is, was seen to say none of them.
        self._free: dict[int, int] = {}
        self._changes = 0

    def unfolded(self) -> list[int]:
        """Texts whose letters and digits are not known."""
        return [number for number in range(len(self.texts)) if number not in self.letters]

    def due(self, text: int, findings: Iterable[Finding]) -> list[Finding]:
        """Those of the findings in text `text` that are to be replaced.

        A value that stays because of its role alone is remembered: where other roles say it, it goes.
        """
        due = []
        issued = Spans(self.issued[text]) if self.issued[text] else None
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
                self._note(finding, self.texts[text])
        return due

    def gone(self) -> dict[str, Value]:
        """Values (by letters and digits) that are replaced wherever they are said, so that none is left."""
        replaced = {folded(known.text): known for known in self.values.values()}
        return {value: known for value, known in replaced.items() if len(value) >= self._least(known)}

    def replace(self, due: dict[int, list[Finding]]) -> list[int]:
        """Replace what is `due` (by text), and its values elsewhere; the texts that have changed.

        Texts are in the order of the conversation, so numbers follow the order in which values appear.
        """
        joined = {text: self._joined(text, found) for text, found in due.items()}
        for text, widened in joined.items():
            inner = iter(sorted(due[text]))
            finding = next(inner, None)
            for stretch in widened:
                whole = self._note(stretch, self.texts[text])
                while finding is not None and finding.start < stretch.end:
                    if finding != stretch:
                        self._note(finding, self.texts[text], whole)
                    finding = next(inner, None)
        for text, findings in self._repeated(due, joined):
            joined[text] = self._joined(text, [*joined.get(text, ()), *findings])
        for text in sorted(joined):
            self._write(text, joined[text])
        return sorted(text for text, widened in joined.items() if widened)

    def _joined(self, text: int, findings: Iterable[Finding]) -> list[Finding]:
        """Stretches of the findings; what was issued is replaced again as a whole or not at all."""
        issued = [Finding(i.start, i.end, i.entity, OLD, i.recognizer) for i in self.issued[text]]
        joined = [one for one in stretches([*findings, *issued]) if one.score > OLD]
        return self._json(text).fitted(joined)

    def _json(self, text: int) -> JsonText:
        """The JSON in a text as it is now."""
        if text not in self._parsed:
            self._parsed[text] = JsonText(self.texts[text])
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

    def _repeated(
        self, due: dict[int, list[Finding]], joined: dict[int, list[Finding]]
    ) -> Iterator[tuple[int, list[Finding]]]:
        """Places of known values that are in no stretch yet (`joined`, of what is `due`), by text."""
        known: dict[str, list[tuple[str, Value]]] = {}
        for value, remembered in self.values.items():
            for letters in remembered.letters:
                if len(letters) >= self._least(remembered) - 1 > 0:
                    known.setdefault(letters, []).append((value, remembered))
        asked = [n for n in range(len(self.texts)) if self._free.get(n) != self._changes] if known else []
        if not self.letters.keys() >= set(asked):
            fold([self])
        again = self._said_again(known, asked, due, joined) if asked else []
        for number in asked:
            content, letters = self.texts[number], self.letters[number]
            there = [value for value in again if value in letters]
            if not there:
                if number not in joined:
                    self._free[number] = self._changes
                continue
            taken, repeats = Spans([*joined.get(number, ()), *self.issued[number]]), []
            for start, end, value in Folded(content, letters).occurrences(known):
                meant = self._meant(known[value], content[start:end], self.roles[number])
                if meant is not None and not taken.cover(start, end):
                    repeats.append(meant.finding._replace(start=start, end=end))
            if repeats:
                yield number, repeats

    def _said_again(
        self,
        known: Iterable[str],
        asked: Iterable[int],
        due: dict[int, list[Finding]],
        joined: dict[int, list[Finding]],
    ) -> list[str]:
        """Those of the `known` letters that the texts `asked` have more often than they are replaced there.

        Most values are said once. To see that costs far less than to work out where each letter stands.
        """
        own: dict[str, int] = {}
        for number in asked:
            for whole in joined.get(number, ()):
                inside = [one for one in due[number] if whole.start <= one.start and one.end <= whole.end]
                spans = {one[:2] for one in (whole, *inside)}
                for letters in {folded(self.texts[number][start:end]) for start, end in spans}:
                    own[letters] = own.get(letters, 0) + 1
        every = APART.join([self.letters[number] for number in asked])
        return [letters for letters in known if _stands(letters, every, own.get(letters, 0) + 1)]

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
        content, parts, at, shift = self.texts[text], [], 0, 0
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
        for remembered in (self._parsed, self.letters, self._free):
            remembered.pop(text, None)
        swallowed = Spans(replaced)
        for one in self.issued[text]:
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
                self.seen[entity] += 1
                self.numbers[entity, value] = self.seen[entity]
            return f"<{entity}_{self.numbers[entity, value]}>"
        assert self.surrogates is not None
        if kind == "hash":
            return f"<{entity}_{self.surrogates.hashed(entity, plain(spelt))}>"
        return self.surrogates.surrogate(entity, plain(spelt))


def fold(conversations: Iterable[Conversation]) -> None:
    """Work out the letters and digits of the texts of conversations, all at once."""
    new = [(one, number) for one in conversations for number in one.unfolded()]
    each = folded_each([one.texts[number] for one, number in new])
    for (one, number), letters in zip(new, each, strict=True):
        one.letters[number] = letters
