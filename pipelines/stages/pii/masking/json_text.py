"""Replacing inside JSON so that it stays JSON: numbers whole, strings between their quotes and escapes.

What: a text is JSON as a whole, in some of its lines or blocks, or holds objects (a call's arguments, what a
tool gave back); a string of it may hold JSON again, as the arguments of OpenAI's calls are.
`JsonText.fitted` cuts what is to be replaced into pieces of which each is a number or lies in a string, and
`JsonText.shown` writes a stand-in there: quoted where a number stood, or as the recipe's `pii.json_numbers`
says, escaped where a string has escapes.

Cost: nothing for texts without a brace or bracket; else that of parsing, where something is replaced.
"""

import json
import re
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from headrace.pipelines.stages.pii.findings import Finding

OBJECT = re.compile(r"\{(?=\s*[\"}])")
BEGIN = re.compile(rf"{OBJECT.pattern}|^[^\S\n]*(?:[`>]*)(\[)(?=\s*[\[{{\"\d-])", re.MULTILINE)
END = re.compile(r"[^\S\n]*(?:\n|<|`|\Z)")
TOKEN = re.compile(r'"(?P<string>(?:[^"\\]|\\.)*)"|(?P<number>-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)')
PAIR = r"u[Dd][89ABab][0-9A-Fa-f]{2}\\u[Dd][C-Fc-f][0-9A-Fa-f]{2}"  # halves that are one character
ESCAPE = re.compile(rf"\\(?:{PAIR}|u[0-9A-Fa-f]{{4}}|.)|.", re.DOTALL)
HALF = re.compile(r"[\ud800-\udfff]")  # of a pair without the other, which UTF-8 cannot say
NUMBER = re.compile(r"-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?")
ATTEMPTS = 64  # at beginnings of JSON that are none; more are taken for code
DEEP = 3  # strings that hold JSON, one in the other


class Token(NamedTuple):
    """A number, or what stands between the quotes of a string (`bounds`: where it may be cut), in JSON.

    `depth`: in how many strings that hold JSON it is.
    """

    start: int
    end: int
    bounds: list[int] | None  # null: a number
    depth: int


class JsonText:
    """The JSON in a text."""

    def __init__(self, text: str) -> None:
        self.text = text
        parts = list(_regions(text)) if "{" in text or "[" in text else []
        self.tokens = [one for start, end in parts for one in _tokens(text[start:end], start)]
        self.starts = [one.start for one in self.tokens]

    def fitted(self, stretches: list[Finding]) -> list[Finding]:
        """Stretches (apart, sorted), those in JSON cut into pieces of one token; a number is one piece."""
        if not self.tokens:
            return stretches
        pieces: dict[tuple[int, int], Finding] = {}
        for one in stretches:
            inside = self._over(one.start, one.end)
            if not inside:
                pieces[one.start, one.end] = one
            for token in inside:
                start, end = _cut(token, one.start, one.end)
                if start < end:
                    pieces.setdefault((start, end), one._replace(start=start, end=end))
        return [pieces[span] for span in sorted(pieces)]

    def _over(self, start: int, end: int) -> list[Token]:
        """Tokens that share characters with ``start:end``."""
        first = max(0, bisect_right(self.starts, start) - 1)
        last = bisect_right(self.starts, end - 1)
        return [one for one in self.tokens[first:last] if one.end > start]

    def shown(self, start: int, end: int, form: str, make: Callable[[str], str]) -> tuple[str, int, int]:
        """(what stands for characters ``start:end``, and how much of it lies before and behind the stand-in).

        make: gives the stand-in of a value. form: what stands for a number: string, zero or null.
        """
        spelt = self.text[start:end]
        if not self.tokens:
            return make(spelt), 0, 0
        inside = [one for one in self._over(start, end) if one.start <= start and end <= one.end]
        if not inside:
            return make(spelt), 0, 0
        token = inside[0]
        if token.bounds is not None:
            if "\\" not in spelt:
                return _escaped(make(spelt), token.depth), 0, 0
            return _escaped(make(_plain(spelt, token.depth)), token.depth), 0, 0
        new = make(spelt)
        if NUMBER.fullmatch(new):
            return new, 0, 0
        if form != "string":
            return ("0" if form == "zero" else "null"), 0, 0
        quote = _escaped('"', token.depth - 1)
        return f"{quote}{_escaped(new, token.depth)}{quote}", len(quote), len(quote)


def _regions(text: str) -> Iterator[tuple[int, int]]:
    """Where JSON stands in `text`: objects anywhere, arrays that fill lines."""
    decode, at, left = json.JSONDecoder().raw_decode, 0, ATTEMPTS
    while left and (match := BEGIN.search(text, at)):
        start = match.end() - 1
        try:
            _, end = decode(text, start)
        except (ValueError, RecursionError):
            at, left = match.end(), left - 1
            continue
        if text[start] == "{" or END.match(text, end):
            yield start, end
        at = max(end, match.end())


def _tokens(text: str, shift: int = 0, depth: int = 1) -> Iterator[Token]:
    """Tokens of `text`, which is JSON, those of strings that hold JSON in their place."""
    for match in TOKEN.finditer(text):
        if match["string"] is None:
            yield Token(match.start() + shift, match.end() + shift, None, depth)
            continue
        start, end = match.span("string")
        bounds = [*(m.start() for m in ESCAPE.finditer(text, start, end)), end]
        inner = list(_inner(text[start:end], depth)) if depth < DEEP and match["string"][:1] in "{[" else []
        for one in inner:
            cuts = None if one.bounds is None else [bounds[at] + shift for at in one.bounds]
            yield Token(bounds[one.start] + shift, bounds[one.end] + shift, cuts, one.depth)
        if not inner:
            yield Token(start + shift, end + shift, [at + shift for at in bounds], depth)


def _inner(string: str, depth: int) -> Iterable[Token]:
    """Tokens of JSON in a string, in characters of what the string says; none where that is none."""
    try:
        said = json.loads(f'"{string}"')
        json.loads(said)
    except (ValueError, RecursionError):
        return ()
    return _tokens(said, 0, depth + 1)


def _cut(token: Token, start: int, end: int) -> tuple[int, int]:
    """What of ``start:end`` lies in a token: all of a number; of a string whole characters, or else the one
    in whose escape it lies."""
    if token.bounds is None:
        return token.start, token.end
    first, last = max(start, token.start), min(end, token.end)
    begin = bisect_left(token.bounds, first)
    end = bisect_left(token.bounds, last)
    if begin == end and first < last:
        begin -= 1
    return token.bounds[begin], token.bounds[end]


def _escaped(said: str, depth: int) -> str:
    """`said` as it is written in strings that hold JSON, `depth` of them."""
    for _ in range(depth):
        said = HALF.sub(lambda half: f"\\u{ord(half[0]):04x}", json.dumps(said, ensure_ascii=False)[1:-1])
    return said


def _plain(spelt: str, depth: int) -> str:
    """What a piece of a string says."""
    for _ in range(depth):
        try:
            spelt = json.loads(f'"{spelt}"')
        except ValueError:
            return spelt
    return spelt
