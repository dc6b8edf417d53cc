"""Regular expressions as graphs, read by the parser of `re`.

What: nodes with edges that read a symbol (`automaton.symbols`) and edges that read nothing, some of them
under a condition on the symbol before or behind (Thompson's construction). A graph lets everything through
that its patterns match, and may let through more: long repetitions are taken as endless, look-around of
more than one character and back-references as weaker than they are.

A pattern that begins with a repeated class ("letters, then a dot") would match from every character of a
word. Its graph begins only where such a run begins (`run_of`).
Source: Thompson, "Regular expression search algorithm" (1968), https://doi.org/10.1145/363347.363387
"""

import functools
import re
from collections.abc import Iterable
from re import _constants as op  # type: ignore[attr-defined]
from re import _parser  # type: ignore[attr-defined]
from typing import Any, NamedTuple

from headrace.pipelines.stages.pii.automaton.symbols import Symbols, UnreadableError

COPIES = 128  # of a repeated part that are written out; more are taken as endless
BROAD = 32  # symbols with which a pattern begins that may begin anywhere
FUZZY = re.compile(r"\{(?:[idse][,}]|[^{}\[\]]*<)")  # which the module regex knows and re takes for text


class Pattern(NamedTuple):
    """A regular expression, and a class of what may stand after each of its characters."""

    source: str
    flags: int = 0
    between: str = ""


class Run(NamedTuple):
    """What a pattern begins with: characters of a class (`symbols`), `most` of them."""

    symbols: int
    most: int


class Added(NamedTuple):
    """A pattern in a graph: its first nodes, what it begins with, and whether a match may have any length."""

    starts: list[int]
    run: Run | None
    endless: bool


class Needed(NamedTuple):
    """A character without which a pattern does not match, and what ASCII may stand behind the first one in a
    match; None: anything, or nothing.
    """

    character: str
    behind: str | None


def alphabet(pattern: Pattern, symbols: Symbols) -> int:
    """Symbols of which a match of `pattern` may consist."""
    graph = Graph(symbols)
    graph.pattern(0, pattern)
    return graph.read(range(len(graph.reads)))


class Graph:
    """Nodes with at most one edge that reads a symbol, and any number that read nothing."""

    def __init__(self, symbols: Symbols) -> None:
        self.symbols = symbols
        self.reads: list[tuple[int, int] | None] = []  # (symbols, next node)
        self.skips: list[list[tuple[int, str, int]]] = []  # (next node, condition, its symbols)
        self.owners: list[int] = []
        self.ends: dict[int, int] = {}
        self.owner, self.folds = 0, False
        self.between = 0
        self.groups: dict[int, Any] = {}
        self.members: dict[tuple[Any, int], int] = {}  # of what a parsed pattern holds
        self.endless = False

    def pattern(self, owner: int, pattern: Pattern) -> Added:
        """Add a pattern.

        Raises: UnreadableError for one that is not understood; what was added of it leads nowhere.
        """
        items = parsed(pattern)
        self.owner, self.groups, self.members, self.endless = owner, {}, {}, False
        self.folds = bool((pattern.flags | items.state.flags) & re.IGNORECASE)
        self.between = self._members(pattern.between) if pattern.between else 0
        run = _leading(items)
        if run is None:
            return Added([self._whole(items, self._node())], None, self.endless)
        characters = Run(self.symbols.members(*run[0], folds=self.folds), run[1])
        start = self._node()
        only = self._skip(start, "before", self.symbols.surely(*run[0], folds=self.folds))
        bare, full = _opened(items, least=0), _opened(items, least=1)
        self._whole(bare, only)
        starts = [start] if bare == full else [start, self._whole(full, self._node())]
        return Added(starts, characters, self.endless)

    def _members(self, source: str) -> int:
        ((kind, argument),) = _parser.parse(source)
        return self.symbols.members(kind, argument, folds=False)

    def _whole(self, items: Any, start: int) -> int:
        self.ends[self._sequence(items, start)] = self.owner
        return start

    def _node(self) -> int:
        self.reads.append(None)
        self.skips.append([])
        self.owners.append(self.owner)
        return len(self.reads) - 1

    def _skip(self, start: int, condition: str = "", members: int = 0, to: int | None = None) -> int:
        end = self._node() if to is None else to
        self.skips[start].append((end, condition, members))
        return end

    def _sequence(self, items: Any, start: int) -> int:
        for kind, argument in items:
            start = self._item(kind, argument, start)
        return start

    def _item(self, kind: Any, argument: Any, start: int) -> int:
        if kind is op.AT:
            return self._skip(start, "boundary" if argument is op.AT_BOUNDARY else "")
        if kind in (op.ASSERT, op.ASSERT_NOT):
            return self._look(kind, argument, start)
        if kind is op.GROUPREF:
            return self._sequence(self.groups[argument], start)
        if kind is op.BRANCH:
            return self._branch(argument[1], start)
        if kind is op.SUBPATTERN:
            group, added, removed, inner = argument
            if added or removed:
                raise UnreadableError("flags inside a group")
            self.groups[group] = inner
            return self._sequence(inner, start)
        if kind is op.ATOMIC_GROUP:
            return self._sequence(argument, start)
        if kind in (op.MAX_REPEAT, op.MIN_REPEAT, op.POSSESSIVE_REPEAT):
            least, most, inner = argument
            return self._repeat(least, most, inner, start)
        key = kind, id(argument)  # repeated parts are walked again and again
        if key not in self.members:
            self.members[key] = self.symbols.members(kind, argument, folds=self.folds)
        return self._read(self.members[key], start)

    def _read(self, members: int, start: int) -> int:
        start = self._skip(start)
        end = self._node()
        self.reads[start] = (members, end)
        if self.between:
            loop = self._skip(end)
            self.reads[loop] = (self.between, end)
        return end

    def _look(self, kind: Any, argument: Any, start: int) -> int:
        direction, inner = argument
        single = len(inner) == 1 and inner[0][0] in (op.IN, op.LITERAL)
        if kind is op.ASSERT or not single:
            return self._skip(start)
        members = self.symbols.surely(*inner[0], folds=self.folds)
        return self._skip(start, "before" if direction < 0 else "behind", members)

    def _branch(self, branches: Any, start: int) -> int:
        """Alternatives; those of mere characters share what they begin with."""
        end = self._node()
        trie: dict[tuple[int, int], int] = {}
        for branch in branches:
            letters = _literal(branch)
            if letters is None or self.between:
                self._skip(self._sequence(branch, self._skip(start)), to=end)
                continue
            at = start
            for letter in letters:
                if (at, letter) not in trie:
                    members = self.symbols.members(op.LITERAL, letter, folds=self.folds)
                    trie[at, letter] = self._read(members, at)
                at = trie[at, letter]
            self._skip(at, to=end)
        return end

    def _repeat(self, least: int, most: Any, inner: Any, start: int) -> int:
        for _ in range(min(least, COPIES)):
            start = self._sequence(inner, start)
        if most is op.MAXREPEAT or most - least > COPIES or least > COPIES:
            self.endless |= most is op.MAXREPEAT
            again = self._skip(start)
            self._skip(self._sequence(inner, again), to=again)
            return self._skip(again)
        end = self._skip(start)
        for _ in range(most - least):
            start = self._sequence(inner, start)
            self._skip(start, to=end)
        return end

    def needed(self, added: Added) -> Needed | None:
        """What a pattern does not match without, if it may begin anywhere and have any length, or with a run.

        Walking such a pattern from everywhere in a long stretch is quadratic; without that it need not be. A
        run begins with every word, and most texts hold none with a dot and a letter behind it.
        """
        broad = self.read(self.anywhere(added.starts))
        if not added.run and (not added.endless or broad.bit_count() < BROAD):
            return None
        singles = {members for members in self._path(added.starts) if members.bit_count() == 1}
        for character in map(chr, range(127, 32, -1)):  # an @ is rarer than a dot
            only = 1 << self.symbols.of[character]
            if only not in singles:  # there is a match without it
                continue
            reached = self.anywhere(added.starts, without=only)
            if not self.ends.keys() & reached:
                return Needed(character, self._behind(reached, only))
        return None

    def _path(self, starts: Iterable[int]) -> list[int]:
        """Symbols that the nodes on a way from `starts` to an end read, one way of many."""
        came: dict[int, tuple[int, int]] = dict.fromkeys(starts, (-1, 0))
        queue = list(came)
        for node in queue:
            if node in self.ends:
                members: list[int] = []
                while node >= 0:
                    node, read = came[node]
                    members.append(read)
                return members
            edges = [(to, 0) for to, _, _ in self.skips[node]]
            edge = self.reads[node]
            for to, read in [*edges, (edge[1], edge[0])] if edge else edges:
                if to not in came:
                    came[to] = node, read
                    queue.append(to)
        return []

    def _behind(self, nodes: Iterable[int], only: int) -> str | None:
        """ASCII characters that may stand behind the first of the symbols `only` read from `nodes`."""
        edges = (self.reads[node] for node in nodes)
        after = self.anywhere(read[1] for read in edges if read and read[0] & only)
        if self.ends.keys() & after:
            return None
        members = self.read(after)
        return "".join(c for c in map(chr, range(128)) if members >> self.symbols.of[c] & 1)

    def read(self, nodes: Iterable[int]) -> int:
        """Symbols that any of the nodes reads."""
        edges = (self.reads[node] for node in nodes)
        return functools.reduce(lambda found, read: found | (read[0] if read else 0), edges, 0)

    def anywhere(self, items: Iterable[int], without: int = 0) -> set[int]:
        """Nodes that are reached from `items`: without reading, or (`without`) by any but these symbols."""
        found = set(items)
        pending = list(found)
        while pending:
            node = pending.pop()
            read = self.reads[node] if without else None
            following = [to for to, _, _ in self.skips[node]]
            for to in [*following, read[1]] if read and read[0] & ~without else following:
                if to not in found:
                    found.add(to)
                    pending.append(to)
        return found


@functools.cache
def parsed(pattern: Pattern) -> Any:
    """What a pattern says, as `re` reads it. Raises: UnreadableError for one that is not understood."""
    if FUZZY.search(pattern.source):
        raise UnreadableError("approximate matching")
    try:
        return _parser.parse(pattern.source, pattern.flags & re.IGNORECASE)
    except re.error as error:
        raise UnreadableError(str(error)) from None


def _literal(branch: Any) -> list[int] | None:
    """Code points of a branch that is nothing but characters."""
    letters: list[int] = []
    for kind, argument in branch:
        if kind is op.LITERAL:
            letters.append(argument)
            continue
        inner = _literal(argument[3]) if kind is op.SUBPATTERN and not (argument[1] or argument[2]) else None
        if inner is None:
            return None
        letters += inner
    return letters


def _leading(items: Any) -> tuple[tuple[Any, Any], int] | None:
    """((kind, argument), most) of the repeated class with which `items` begin, optional parts left out."""
    for kind, argument in items:
        if kind is op.SUBPATTERN and not (argument[1] or argument[2]):
            return _leading(argument[3])
        if kind is not op.MAX_REPEAT:
            return None
        least, most, inner = argument
        if (least, most) == (0, 1):
            continue
        wanted = least == 1 and most > 1 and len(inner) == 1 and inner[0][0] is op.IN
        return ((inner[0][0], inner[0][1]), int(most)) if wanted else None
    return None


def _opened(items: Any, least: int) -> list[Any]:
    """`items`, which begin as `_leading` says, with an endless run and the optional parts before it left out
    or (1) made to stay."""
    made: list[Any] = []
    rest = list(items)
    while rest:
        kind, argument = rest[0]
        if kind is op.SUBPATTERN:
            inner = _opened(argument[3], least)
            return [*made, (kind, (*argument[:3], inner)), *rest[1:]]
        if argument[:2] != (0, 1):  # the run itself, which may be longer than the pattern takes
            return [*made, (kind, (argument[0], op.MAXREPEAT, argument[2])), *rest[1:]]
        made += list(argument[2]) if least else []
        rest = rest[1:]
    return made + rest
