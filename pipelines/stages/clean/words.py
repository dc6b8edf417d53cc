"""Abbreviations and misspelt words, replaced by a user's own table.

What: whole words of a text's prose (no code, no addresses) that the table has. An entry in lower case stands
for its other cases, too, and what is written takes their case: with ``pls: please``, "Pls" becomes "Please"
and "PLS" "PLEASE". An entry with a capital in it stands for itself alone ("US: United States" leaves "us" as
it is). Of two entries that fit, the longer counts.

Cost: one look-up a word, however long the table is: 4 MB/s; with up to `LISTED` words only of the texts in
which RE2 finds one of them, at about 100 MB/s.
"""

import re
from collections.abc import Mapping

from headrace.cluster.errors import RecipeError
from headrace.pipelines.stages.clean.spans import in_prose

WORD = re.compile(r"\w+")
LISTED = 500  # words of which RE2 makes one pattern


class Words:
    """A table, by the first word of each entry."""

    def __init__(self, table: Mapping[str, str]) -> None:
        self.by_first: dict[str, list[tuple[str, str, bool]]] = {}
        for word in sorted(table, key=lambda w: (-len(w), w)):
            first = WORD.match(word)
            assert first is not None, "an entry begins with a letter or a digit"
            alike = word == word.lower()
            self.by_first.setdefault(first[0].lower(), []).append((word, table[word], alike))
        firsts = "|".join(map(re.escape, sorted(self.by_first)))
        # RE2, over whole columns: texts that could hold an entry.
        self.suspects = f"(?i)(?:{firsts})" if 0 < len(self.by_first) <= LISTED else None
        for number, meant in enumerate(table.values(), 1):
            if any(self(form)[1] for form in (meant, _titled(meant), meant.upper())):
                raise RecipeError(
                    f"clean.abbreviations: what entry {number} writes holds a word that the table has as well"
                )

    def __call__(self, text: str) -> tuple[str, int]:
        """`text` with the words replaced in its prose, and how many were."""
        return in_prose(text, self._replaced)

    def _replaced(self, text: str) -> tuple[str, int]:
        pieces: list[str] = []
        last = n = 0
        for token in WORD.finditer(text):
            at = token.start()
            entries = self.by_first.get(token[0].lower()) if at >= last else None
            for word, meant, alike in entries or ():
                there = text[at : at + len(word)]
                fits = there == word or (alike and there.lower() == word and _cased(there) is not None)
                after = text[at + len(word) : at + len(word) + 1]
                if fits and not ((after.isalnum() or after == "_") and word[-1].isalnum()):
                    pieces += [text[last:at], _as(there, meant) if alike else meant]
                    last, n = at + len(word), n + 1
                    break
        return "".join([*pieces, text[last:]]), n


def _cased(there: str) -> str | None:
    """How a word is written: lower, title or upper; None for a mixture."""
    if there == there.lower():
        return "lower"
    letters = [c for c in there if c.isalpha()]
    if there == there.upper() and len(letters) > 1:
        return "upper"
    return "title" if there == _titled(there.lower()) else None


def _as(there: str, meant: str) -> str:
    case = _cased(there)
    return meant.upper() if case == "upper" else _titled(meant) if case == "title" else meant


def _titled(text: str) -> str:
    return text[:1].upper() + text[1:]
