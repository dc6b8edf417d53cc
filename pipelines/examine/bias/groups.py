"""Groups of people by the words that name them: lists that come with headrace, and the recipe's own.

What: `words/*.txt` hold a block a language. In a row only the words of its own language count, which is told
by frequent small words; all count where none of those is there. A word may stand in several lists.

Cost: `kernels.terms` over the texts.
Source: the lists are our own.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from headrace.kernels import terms
from headrace.kernels.arrow import one_span
from headrace.kernels.terms import Terms
from headrace.pipelines.examine.bias.config import Config, folded

WORDS = Path(__file__).with_name("words")


@dataclass(frozen=True)
class Word:
    """A word of a group; place: what of other groups stands in its stead, -1 where nothing does."""

    text: str
    kind: str  # the list
    group: str
    language: str  # "" for the recipe's own
    capital: bool
    place: int
    kept: bool  # never exchanged


class Lists(NamedTuple):
    """All words, searched in one walk. Meanings of phrase c: ``firsts[c]:firsts[c + 1]``."""

    table: Terms
    firsts: NDArray[np.int64]
    kinds: tuple[str, ...]
    groups: dict[str, tuple[str, ...]]  # by list, in order
    kind: NDArray[np.int64]  # of each meaning: its list, its group's place there, language, and so on
    group: NDArray[np.int64]
    language: NDArray[np.int64]  # -1: any
    capital: NDArray[np.bool_]
    counterparts: dict[tuple[str, str, str], dict[str, str]]  # (list, group, word) -> by other group
    languages: tuple[str, ...]


class Named(NamedTuple):
    """What was found: message, meaning, and bytes of the message: int64[M] each."""

    messages: NDArray[np.int64]
    meanings: NDArray[np.int64]
    starts: NDArray[np.int64]
    stops: NDArray[np.int64]


def lists(config: Config) -> Lists:
    """The lists that a config asks for."""
    own = [
        Word(folded(word), kind, group, "", False, place, False)
        for kind, groups in config.groups.items()
        for group, words in groups.items()
        for place, word in enumerate(words)
    ]
    every = [word for kind in config.lists for word in shipped(kind)] + own
    kinds = tuple(dict.fromkeys(word.kind for word in every))
    groups = {k: tuple(dict.fromkeys(w.group for w in every if w.kind == k)) for k in kinds}
    languages = tuple(sorted({word.language for word in every if word.language}))
    meanings: dict[str, list[Word]] = {}
    for word in every:
        same = meanings.setdefault(word.text, [])
        if not any((w.kind, w.group, w.language) == (word.kind, word.group, word.language) for w in same):
            same.append(word)
    flat = [word for same in meanings.values() for word in same]
    return Lists(
        table=terms.terms(list(meanings)),
        firsts=np.cumsum([0, *map(len, meanings.values())]),
        kinds=kinds,
        groups=groups,
        kind=np.array([kinds.index(w.kind) for w in flat], np.int64),
        group=np.array([groups[w.kind].index(w.group) for w in flat], np.int64),
        language=np.array([languages.index(w.language) if w.language else -1 for w in flat], np.int64),
        capital=np.array([w.capital for w in flat], np.bool_),
        counterparts=_counterparts(every),
        languages=languages,
    )


@cache
def shipped(kind: str) -> tuple[Word, ...]:
    """The words of a list that comes with headrace."""
    found: list[Word] = []
    marks: Sequence[str] = ()
    place = 0
    for line in (WORDS / f"{kind}.txt").read_text(encoding="utf-8").splitlines():
        if line.startswith("["):
            marks = line.strip("[]").split()
            place += 1000
        elif not line:
            place += 1000
        elif not line.startswith("#"):
            group, _, words = line.partition(":")
            found += _line(kind, group, words.split(), marks, place)
    return tuple(found)


def _line(kind: str, group: str, words: list[str], marks: Sequence[str], place: int) -> Iterator[Word]:
    for at, word in enumerate(words):
        if word == "-":
            continue
        text = word.strip("^?").replace("_", " ")
        capital = "capital" in marks or word.startswith("^")
        kept = word.endswith("?") or "exchange" not in marks
        yield Word(text, kind, group, marks[0], capital, place + at, kept)


def _counterparts(every: Sequence[Word]) -> dict[tuple[str, str, str], dict[str, str]]:
    """Of each word that may be exchanged, the word that stands in its place in each other group."""
    places: dict[tuple[str, str, int], dict[str, str]] = {}
    for word in every:
        places.setdefault((word.kind, word.language, word.place), {}).setdefault(word.group, word.text)
    found: dict[tuple[str, str, str], dict[str, str]] = {}
    for word in every:
        if not word.kept:
            others = places[word.kind, word.language, word.place]
            own = found.setdefault((word.kind, word.group, word.text), {})
            for group, text in others.items():
                if group != word.group:
                    own.setdefault(group, text)
    return found


@cache
def _markers() -> tuple[Terms, tuple[str, ...], NDArray[np.bool_]]:
    """Small words of languages: bool[W, L] says whose each is."""
    own: dict[str, list[str]] = {}
    for line in (WORDS / "languages.txt").read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            language, _, words = line.partition(":")
            own[language] = words.split()
    languages = tuple(sorted(own))
    phrases = sorted({word for words in own.values() for word in words})
    grid = np.array([[phrase in own[language] for language in languages] for phrase in phrases])
    return terms.terms(phrases), languages, grid


def _spoken(owners: NDArray[np.int64], codes: NDArray[np.int64], n: int) -> NDArray[np.bool_]:
    """Whether a row may be in each language of the lists, in alphabetical order: ``bool[n, L]``.

    owners, codes: int64[M]: rows with small words, and which these are (`_markers`). Those languages that
    have the most of a row's; all where it has none.
    """
    _, languages, grid = _markers()
    counts = np.array([np.bincount(owners[grid[:, at][codes]], minlength=n) for at in range(len(languages))])
    most: NDArray[np.bool_] = (counts == counts.max(axis=0, initial=0)).T
    return most


def named(texts: pa.Array, rows: NDArray[np.int64], n: int, given: Lists) -> Named:
    """Every word of the lists in ``large_string[M]`` of rows ``int64[M]``, ascending, that counts there."""
    found, small = terms.find_beside(texts, rows, given.table, _markers()[0])
    sizes = np.diff(given.firsts)[found.codes]
    at = np.repeat(np.arange(len(found.rows)), sizes)
    meanings = np.repeat(given.firsts[found.codes] - (np.cumsum(sizes) - sizes), sizes) + np.arange(
        sizes.sum()
    )
    messages = found.rows[at]
    every = _markers()[1]
    column = np.array([every.index(language) for language in given.languages], np.int64)
    tongue = given.language[meanings]
    fits = tongue < 0
    if len(column):
        hit = np.zeros(n, np.bool_)
        hit[rows[messages]] = True
        place = np.cumsum(hit) - 1
        tongues = _spoken(place[rows[small.rows]], small.codes, int(hit.sum()))
        fits = fits | tongues[place[rows[messages]], column[np.maximum(tongue, 0)]]
    fits &= ~given.capital[meanings] | _capital(texts, messages, found.starts[at])
    return Named(messages[fits], meanings[fits], found.starts[at][fits], found.stops[at][fits])


def _capital(texts: pa.Array, messages: NDArray[np.int64], starts: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether an ASCII capital stands at some bytes of texts."""
    spans = one_span(texts)
    if not len(messages):
        return np.zeros(0, np.bool_)
    letters = spans.data[spans.starts[messages] + starts]
    capital: NDArray[np.bool_] = (letters >= 65) & (letters <= 90)
    return capital


def meanings_of(given: Lists) -> Mapping[int, tuple[str, str]]:
    """List and group of each meaning."""
    kinds = [given.kinds[k] for k in given.kind]
    return {
        at: (kind, given.groups[kind][group])
        for at, (kind, group) in enumerate(zip(kinds, given.group.tolist(), strict=True))
    }
