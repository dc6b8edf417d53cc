"""Presidio's recognisers, as far as they do nothing but what their patterns say.

What: the patterns of a recogniser, put into a graph, and what it makes of their matches. Nothing here knows
them beforehand: a recogniser of another kind, or with a pattern that is not understood, has none.
"""

import re
from re import _constants as op  # type: ignore[attr-defined]
from typing import Any, NamedTuple

from headrace.pipelines.stages.pii.automaton.graph import Added, Graph, Pattern, parsed
from headrace.pipelines.stages.pii.automaton.symbols import Symbols, UnreadableError
from headrace.pipelines.stages.pii.examined import matcher

TIMEOUT = 60  # seconds for one match, as Presidio has it
MANY = 2  # or more
READABLE = re.IGNORECASE | re.MULTILINE | re.DOTALL | re.VERBOSE | re.UNICODE


class Searched(NamedTuple):
    """A pattern, compiled when it is first tried."""

    owner: int  # number of its recogniser
    entity: str
    match: Any
    search: Any
    score: float
    run: tuple[frozenset[str], int] | None  # characters it begins with, and at most how many
    parts: bool  # whether it is of the recogniser of bank accounts, which shortens matches group by group
    validates: bool  # whether its recogniser makes anything of a match
    invalidates: bool


def patterns_of(recognizer: Any) -> list[Pattern] | None:
    """Patterns of a recogniser that does what its patterns say; null where that is not known."""
    from presidio_analyzer import EntityRecognizer, PatternRecognizer

    kind = type(recognizer)
    if not isinstance(recognizer, PatternRecognizer) or not recognizer.patterns:
        return None
    if kind.enhance_using_context is not EntityRecognizer.enhance_using_context:
        return None
    if kind.analyze is not PatternRecognizer.analyze and not shortens(recognizer):
        return None
    flags = int(recognizer.global_regex_flags)
    return [Pattern(of.regex, flags) for of in recognizer.patterns] if not flags & ~READABLE else None


def graphed(
    graph: Graph, bit: int, patterns: list[Pattern] | None
) -> list[tuple[int, Pattern, Added]] | None:
    """(number, pattern, what it is in the graph) of a recogniser's patterns from `bit` on; null if one of
    them is not understood."""
    try:
        return [(at, one, graph.pattern(bit + at, one)) for at, one in enumerate(patterns or ())]
    except UnreadableError:
        return None


def shortens(recognizer: Any) -> bool:
    """Whether it is the recogniser of bank accounts, which has a way of its own."""
    from presidio_analyzer.predefined_recognizers import IbanRecognizer

    return type(recognizer).analyze is IbanRecognizer.analyze


def is_phones(recognizer: Any) -> bool:
    from presidio_analyzer.predefined_recognizers import PhoneRecognizer

    return type(recognizer) is PhoneRecognizer


def searched(
    recognizer: Any, at: int, number: int, pattern: Pattern, added: Added, symbols: Symbols
) -> Searched:
    match, search = matcher(pattern.source, pattern.flags, TIMEOUT)
    if not added.endless or is_quick(pattern):  # they cannot take long, and a limit costs as much as they do
        match = matcher(pattern.source, pattern.flags)[0]
    inside = (frozenset(symbols.texts(added.run.symbols)), added.run.most) if added.run else None
    score, parts = recognizer.patterns[number].score, shortens(recognizer)
    validates = _changes(recognizer, "validate_result")
    invalidates = not parts and _changes(recognizer, "invalidate_result")
    entity = recognizer.supported_entities[0]
    return Searched(at, entity, match, search, score, inside, parts, validates, invalidates)


def is_quick(pattern: Pattern) -> bool:
    """Whether a pattern repeats one character of a class without end, once at most: ``(?:/[^ ]*)?``.

    What stands before that has a length at most, so the time of a match grows as the text does, no faster.
    """
    return _endless(parsed(pattern)) < MANY


def _endless(items: Any) -> int:
    """How often what `items` say is repeated without end; `MANY` where that is more than one character."""
    found = 0
    for kind, argument in items:
        if kind in (op.MAX_REPEAT, op.MIN_REPEAT, op.POSSESSIVE_REPEAT):
            _, most, inner = argument
            single = len(inner) == 1 and inner[0][0] in (op.IN, op.LITERAL, op.NOT_LITERAL, op.ANY)
            again = _endless(inner)
            found += (1 if single else MANY) if most is op.MAXREPEAT else MANY * again * (most > 1) + again
        elif kind is op.BRANCH:
            found += sum(map(_endless, argument[1]))
        elif kind is op.SUBPATTERN:
            found += _endless(argument[3])
        elif kind in (op.ASSERT, op.ASSERT_NOT):
            found += _endless(argument[1])
        elif kind is op.ATOMIC_GROUP:
            found += _endless(argument)
        elif kind in (op.GROUPREF, op.GROUPREF_EXISTS):
            found += MANY
    return found


def _changes(recognizer: Any, name: str) -> bool:
    """Whether a recogniser has a method of its own, not the one that all inherit, which does nothing."""
    from presidio_analyzer import PatternRecognizer

    return getattr(getattr(recognizer, name), "__func__", None) is not getattr(PatternRecognizer, name)
