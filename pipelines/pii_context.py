"""Context words: which recognisers have one near a finding, as Presidio tells it from spaCy's tokens.

What: Presidio tokenises the whole text, takes for its keywords all tokens that are neither stop words nor
punctuation, cut at colons, and looks for a recogniser's context words inside the keywords at a finding, five
before it and none behind. Here only the text around a finding is tokenised, a stretch without white space
at a time, and remembered: spaCy's rules never look beyond white space. A stop word is a keyword where some
token with a colon in it has it as a piece, anywhere in the text ("a:1" makes "a" one).

Cost: about 5 microseconds a finding.
"""

import functools
import re
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

REMEMBERED = 1 << 16
STRETCH = re.compile(r"\S+|\s+")
BORDER = re.compile(r"\s(?=\S)")
AROUND = 96  # characters looked at first
KEYWORD, PERHAPS, NEVER = range(3)


class Token(NamedTuple):
    """Token ``start:end`` of a stretch, whether it is a keyword, and recognisers (bits) it speaks for."""

    start: int
    end: int
    kind: int
    bits: int
    lowered: str


class Words:
    """Context words of recognisers; `contexts` has those of each."""

    def __init__(
        self, nlp_engine: Any, enhancer: Any, contexts: Sequence[Iterable[str]], language: str
    ) -> None:
        self.nlp_engine, self.language = nlp_engine, language
        self.tokenizer = nlp_engine.nlp[language].tokenizer
        self.before = enhancer.context_prefix_count + 1
        self.behind = enhancer.context_suffix_count + 1
        self.whole = enhancer.context_matching_mode == "whole_word"
        self.contexts = [[word.lower() for word in words or ()] for words in contexts]
        self.tokens = functools.lru_cache(REMEMBERED)(self._tokens)

    def near(self, text: str, start: int, pieces: "Pieces") -> int:
        """Recognisers (bits) that have a context word near what was found at character `start`."""
        reach = AROUND
        while True:
            first = self._border(text, start - reach)
            tokens, at = self._around(text, first, start)
            bits, missing = self._gather(tokens[at::-1], self.before, pieces)
            if not missing or first == 0:
                break
            reach *= 4
        forward, missing = self._gather(tokens[at:], self.behind, pieces)
        place = tokens[-1].end if tokens else 0
        while missing and place < len(text):
            stop = min(len(text), place + AROUND)
            more = self._cut(text, place, stop)
            place = more[-1].end if more else stop
            found, missing = self._gather(more, missing, pieces)
            forward |= found
        return bits | forward

    def _border(self, text: str, at: int) -> int:
        """The next place at or before `at`, or at the start, at which a stretch of no white space begins."""
        while at > 0:
            if not text[at].isspace() and text[at - 1].isspace():
                return at
            at -= 1
        return 0

    def _around(self, text: str, first: int, start: int) -> tuple[list[Token], int]:
        """Tokens from `first` until one lies at or behind `start`, and the number of that one."""
        tokens: list[Token] = []
        for stretch in STRETCH.finditer(text, first):
            before = len(tokens)
            tokens += self._placed(text, stretch.start(), stretch.end())
            for at in range(before, len(tokens)):
                if start < tokens[at].end or start == tokens[at].start:
                    return tokens, at
        raise ValueError("no token at a finding")

    def _cut(self, text: str, start: int, stop: int) -> list[Token]:
        """Tokens of the stretches that begin in ``start:stop``; the first begins at `start`."""
        tokens: list[Token] = []
        for stretch in STRETCH.finditer(text, start):
            if stretch.start() >= stop:
                break
            tokens += self._placed(text, stretch.start(), stretch.end())
        return tokens

    def _placed(self, text: str, start: int, stop: int) -> list[Token]:
        """Tokens of one stretch; a space between two words belongs to the first of them."""
        if start and text[start] == " ":
            start += 1
        if start == stop:
            return []
        return [
            token._replace(start=token.start + start, end=token.end + start)
            for token in self.tokens(text[start:stop])
        ]

    def _gather(self, tokens: Iterable[Token], count: int, pieces: "Pieces") -> tuple[int, int]:
        """(bits of the first `count` keywords, how many of them are missing)."""
        bits = 0
        for token in tokens:
            if token.kind == KEYWORD or (token.kind == PERHAPS and token.lowered in pieces.all):
                bits |= token.bits
                count -= 1
                if not count:
                    break
        return bits, count

    def _tokens(self, stretch: str) -> tuple[Token, ...]:
        """Tokens of a stretch."""
        return tuple(
            Token(token.idx, token.idx + len(token), *self._judged(token.text))
            for token in self.tokenizer(stretch)
        )

    def _judged(self, text: str) -> tuple[int, int, str]:
        lowered = text.lower()
        bits = 0
        for at, words in enumerate(self.contexts):
            if any(word == lowered if self.whole else word in lowered for word in words):
                bits |= 1 << at
        kind = KEYWORD if self.counts(text) else PERHAPS
        return (NEVER if ":" in lowered else kind), bits, lowered

    def counts(self, text: str) -> bool:
        """Whether a token makes keywords."""
        engine, language = self.nlp_engine, self.language
        said = not engine.is_stopword(text, language) and not engine.is_punct(text, language)
        return said and text not in ("-PRON-", "be")


class Pieces:
    """Of one text, the pieces of keywords that have a colon in them."""

    def __init__(self, words: Words, text: str) -> None:
        self.words, self.text = words, text

    @functools.cached_property
    def all(self) -> frozenset[str]:
        """The pieces, in lower case."""
        if ":" not in self.text:
            return frozenset()
        found: set[str] = set()
        for stretch in STRETCH.findall(self.text):
            if ":" in stretch:
                for token in self.words.tokens(stretch):
                    if token.kind == NEVER and self.words.counts(stretch[token.start : token.end]):
                        found.update(token.lowered.split(":"))
        return frozenset(found)
