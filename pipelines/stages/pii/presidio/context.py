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
from re import _constants as op  # type: ignore[attr-defined]
from re import _parser  # type: ignore[attr-defined]
from typing import Any, NamedTuple

REMEMBERED = 1 << 16
STRETCH = re.compile(r"\S+|\s+")
AROUND = 72  # characters looked at first
KEYWORD, PERHAPS, NEVER = range(3)


class Token(NamedTuple):
    """A token that ends at `end` of its stretch, whether it is a keyword, and recognisers it speaks for."""

    end: int
    kind: int
    bits: int
    lowered: str


class Stretch(NamedTuple):
    """Tokens of a stretch of text, and of its keywords how many there are and all their bits.

    `pieces`: what keywords with a colon in them make keywords, of that which would be none by itself.
    """

    tokens: tuple[Token, ...]
    keywords: int
    bits: int
    pieces: frozenset[str]


class Words:
    """Context words of recognisers; `contexts` has those of each."""

    def __init__(
        self, nlp_engine: Any, enhancer: Any, contexts: Sequence[Iterable[str]], language: str
    ) -> None:
        from spacy.attrs import IS_PUNCT, IS_STOP

        self.tokenizer = nlp_engine.nlp[language].tokenizer
        judges = nlp_engine.nlp[language].vocab.lex_attr_getters
        self.is_stop, self.is_punct = judges[IS_STOP], judges[IS_PUNCT]
        self.rules = frozenset(self.tokenizer.rules)
        self.before = enhancer.context_prefix_count + 1
        self.behind = enhancer.context_suffix_count + 1
        self.whole = enhancer.context_matching_mode == "whole_word"
        self.contexts = [[word.lower() for word in words or ()] for words in contexts]
        every = {word for words in self.contexts for word in words}
        self.any = re.compile("|".join(map(re.escape, sorted(every))) or "(?!)")
        digits = "".join(str(number) for number in range(40))
        numbers = [digits[start : start + size] for start in range(40) for size in range(1, 30)]
        self.whole_numbers = all(len(self.tokenizer(number)) == 1 for number in numbers)
        cutting = (self.tokenizer.prefix_search, self.tokenizer.suffix_search, self.tokenizer.infix_finditer)
        self.whole_words = not any(takes_letters(getattr(search, "__self__", None)) for search in cutting)
        self.stretch = functools.lru_cache(REMEMBERED)(self._stretch)

    def owners_in(self, text: str, owners: Iterable[int]) -> set[int]:
        """Which recognisers have a context word anywhere in `text`; the others have none near anything."""
        lowered = text.lower()
        present = set()
        for owner in owners:
            for word in self.contexts[owner]:
                if word in lowered:
                    present.add(owner)
                    break
        return present

    def near(self, text: str, start: int, pieces: "Pieces") -> int:
        """Recognisers (bits) that have a context word near what was found at character `start`."""
        reach = AROUND
        while True:
            first = max(0, start - reach)
            reach *= 4
            before = _stretches(text[first:start])
            if first:
                before = before[1:]  # may have been cut
                if not before:
                    continue
            whole = STRETCH.match(text, start)
            end = whole.end() if whole else start
            head = before.pop() if before and before[-1].isspace() == text[start].isspace() else ""
            at = start - len(head)
            stretch, skipped = self._stretch_at(at, text[at:end])
            tokens, after = stretch.tokens, start - at - skipped
            own = next((number for number, token in enumerate(tokens) if after < token.end), -1)
            if own < 0:  # a space, which belongs to the word before: the next word counts
                return self.near(text, end, pieces)
            bits, missing = self._gather(tokens[own::-1], self.before, pieces)
            earlier, missing = self._backward(at, before, missing, pieces)
            if missing and first:
                continue
            ahead, wanted = self._gather(tokens[own:], self.behind, pieces)
            return bits | earlier | ahead | self._forward(text, end, wanted, pieces)

    def _backward(self, at: int, before: list[str], missing: int, pieces: "Pieces") -> tuple[int, int]:
        """(bits, how many are missing) of the last `missing` keywords of the stretches that end at `at`."""
        bits = 0
        stretches = self.stretch
        for one in reversed(before):
            if not missing:
                break
            at -= len(one)
            if one == " " and at:
                continue
            stretch = stretches(one) if one[0] != " " else self._stretch_at(at, one)[0]
            if stretch.keywords <= missing and not pieces.all:
                bits |= stretch.bits
                missing -= stretch.keywords
            else:
                more, missing = self._gather(stretch.tokens[::-1], missing, pieces)
                bits |= more
        return bits, missing

    def _forward(self, text: str, at: int, wanted: int, pieces: "Pieces") -> int:
        """Bits of the first `wanted` keywords from a stretch's begin on."""
        bits = 0
        for one in STRETCH.finditer(text, at) if wanted else ():
            stretch, _ = self._stretch_at(one.start(), one.group())
            more, wanted = self._gather(stretch.tokens, wanted, pieces)
            bits |= more
            if not wanted:
                break
        return bits

    def _stretch_at(self, at: int, one: str) -> tuple[Stretch, int]:
        """The stretch `one` at `at`, and how much of it belongs to the word before: a space, if any."""
        if one.isdecimal() and one.isascii() and self.whole_numbers:
            return Stretch((Token(len(one), KEYWORD, 0, one),), 1, 0, frozenset()), 0
        if at and one[0] == " ":
            return self.stretch(one[1:]), 1
        return self.stretch(one), 0

    def _gather(self, tokens: Iterable[Token], count: int, pieces: "Pieces") -> tuple[int, int]:
        """(bits of the first `count` keywords, how many of them are missing)."""
        bits = 0
        for token in tokens:
            if not count:
                break
            if token.kind == KEYWORD or (token.kind == PERHAPS and token.lowered in pieces.all):
                bits |= token.bits
                count -= 1
        return bits, count

    def _stretch(self, text: str) -> Stretch:
        if self._is_one(text):
            token = Token(len(text), *self._judged(text))
            counts = token.kind == KEYWORD
            return Stretch((token,), int(counts), token.bits if counts else 0, frozenset())
        tokens = tuple(
            Token(token.idx + len(token), *self._judged(token.text)) for token in self.tokenizer(text)
        )
        keywords = [token.bits for token in tokens if token.kind == KEYWORD]
        bits = functools.reduce(int.__or__, keywords, 0)
        return Stretch(
            tokens, len(keywords), bits, self._pieces(text, tokens) if ":" in text else frozenset()
        )

    def _pieces(self, text: str, tokens: Iterable[Token]) -> frozenset[str]:
        found: set[str] = set()
        begin = 0
        for token in tokens:
            if token.kind == NEVER and self.counts(text[begin : token.end]):
                found.update(token.lowered.split(":"))
            begin = token.end
        return frozenset(piece for piece in found if not self.counts(piece))

    def _is_one(self, text: str) -> bool:
        """Whether letters and digits are one token, as no rule of the tokenizer applies to them."""
        rules = self.tokenizer
        if self.whole_words and text.isascii() and text.isalpha():
            return text not in self.rules
        if not text.isalnum() or text in self.rules:
            return False
        return not (rules.prefix_search(text) or rules.suffix_search(text) or any(rules.infix_finditer(text)))

    def _judged(self, text: str) -> tuple[int, int, str]:
        lowered = text.lower()
        bits = 0
        for at, words in enumerate(self.contexts if self.any.search(lowered) else ()):
            if any(word == lowered if self.whole else word in lowered for word in words):
                bits |= 1 << at
        kind = KEYWORD if self.counts(text) else PERHAPS
        return (NEVER if ":" in lowered else kind), bits, lowered

    def counts(self, text: str) -> bool:
        """Whether a token makes keywords."""
        return not self.is_stop(text) and not self.is_punct(text) and text not in ("-PRON-", "be")


def takes_letters(pattern: object) -> bool:
    """Whether `pattern` could match something in a text of nothing but ASCII letters; true in doubt."""
    if not isinstance(pattern, re.Pattern) or pattern.flags & re.IGNORECASE:
        return True
    return _takes_letters(_parser.parse(pattern.pattern, pattern.flags))


def _takes_letters(items: Any) -> bool:
    return all(_takes_letter(kind, argument) for kind, argument in items)


def _takes_letter(kind: Any, argument: Any) -> bool:
    if kind is op.LITERAL:
        return _any_letter(argument, argument)
    if kind is op.IN:
        return any(
            _any_letter(what, what) if one is op.LITERAL else one is not op.RANGE or _any_letter(*what)
            for one, what in argument
        )
    if kind is op.BRANCH:
        return any(map(_takes_letters, argument[1]))
    if kind is op.SUBPATTERN:
        return bool(argument[1] & re.IGNORECASE) or _takes_letters(argument[3])
    if kind is op.ASSERT:
        return _takes_letters(argument[1])
    if kind is op.MAX_REPEAT or kind is op.MIN_REPEAT:
        return argument[0] == 0 or _takes_letters(argument[2])
    return True


def _any_letter(first: int, last: int) -> bool:
    """Whether there is an ASCII letter among the code points from `first` to `last`."""
    return any(first <= ord(end) and ord(begin) <= last for begin, end in ("AZ", "az"))


def _stretches(text: str) -> list[str]:
    """Stretches of white space and of none in turn."""
    if text.isprintable():  # no white space but spaces
        words = text.split(" ")
        if "" not in words:
            made = [" "] * (2 * len(words) - 1)
            made[::2] = words
            return made
        if words[-1] == "" and "" not in words[:-1]:
            made = [" "] * (2 * len(words) - 2)
            made[::2] = words[:-1]
            return made
    return STRETCH.findall(text)


class Pieces:
    """What keywords with a colon in them make keywords in all of a text."""

    def __init__(self, words: Words, text: str) -> None:
        self.words, self.text = words, text

    @functools.cached_property
    def all(self) -> frozenset[str]:
        """The pieces, in lower case."""
        found: frozenset[str] = frozenset()
        at = self.text.find(":")
        while at >= 0:
            before = self.text[:at].rsplit(None, 1)[-1:] if at and not self.text[at - 1].isspace() else []
            start = at - len("".join(before))
            end = at + 1
            while end < len(self.text) and not self.text[end].isspace():
                end += 1
            found |= self.words.stretch(self.text[start:end]).pieces
            at = self.text.find(":", end)
        return found
