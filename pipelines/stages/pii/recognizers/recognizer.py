"""What a recogniser of ours is: data. A name, an entity, patterns with scores, and a judge of matches.

A pattern is a regular expression for `regex` that `automaton.graph` can read. What is found is its group
`it`, or all of it. Patterns begin where something rare stands (a cue, a separator, a provider's name), so
that the automaton dies soon elsewhere; what lies before it, a judge takes in.
"""

import re
from collections.abc import Callable
from typing import Any, NamedTuple

Span = tuple[int, int, float]  # start, end, score
Judge = Callable[[Any, float], Span | None]  # match and its pattern's score


class Recognizer(NamedTuple):
    """A recogniser of ours; the names are those of the column `recognizer` and of the key `without`."""

    name: str
    entity: str
    patterns: tuple[tuple[str, float], ...]
    judge: Judge | None = None
    # Where a pattern could match, one of these does as well if the judge is to take it; none: no such thing.
    # They are read at those places alone, by an automaton, and spare what most matches would cost.
    narrow: tuple[str, ...] = ()
    often: int = (
        0  # of its patterns that match often, the first ones: each is tried only where it could match
    )


def span(match: Any) -> tuple[int, int]:
    """Where the group `it` of a match is, or all of it."""
    found: tuple[int, int] = match.span("it" if "it" in match.re.groupindex else 0)
    return found


def before(text: str, start: int, size: int = 40) -> str:
    """At most `size` characters before `start`."""
    return text[max(0, start - size) : start]


def digits(text: str) -> str:
    """The ASCII digits of `text`."""
    return re.sub(r"[^0-9]", "", text)


LETTER = r"[^\W\d_]"
CAPITAL = r"[^\W\d_a-z]"  # no lower-case ASCII letter; a judge looks at others
