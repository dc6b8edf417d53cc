"""A text in plain dress: characters, escapes and entities that stand for others are these others.

What: "jane%40example.org", "jane&#64;example.org", "jane@<zero width>example.org" and one of full width all
say jane@example.org. `undressed` gives a text as it is meant, and where each of its characters stands in the
text that it was. Recognisers, who know plain values, look through it as well (`search`).

What is undressed (`DRESS`): percent-encoding, entities, escapes of JSON and of source code; characters of
full width, of mathematical alphabets and digits of all scripts; white space other than the blank; hyphens,
and beside digits the longer dashes; dots in the middle of the line between groups of digits; what has no
width, between characters that have; tags, backslashes and soft line breaks of mail inside a word, brackets
around a dot in one.

What stays: whatever else a script writes with such characters. An em dash between words and a full-width
comma between ideographs say nothing of a value.

Cost: RE2 reads all texts at several hundred MB/s (`may_be_dressed`); the others only, some MB/s.
"""

import functools
import html
import re
import unicodedata
from bisect import bisect_right
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from headrace.kernels.scan import CODE_POINTS

SPACES = "\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000"
THIN = "\u00ad\u034f\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufe00-\ufe0f\ufeff\u20e3"
HYPHENS = "\u2010\u2011\u2043\ufe63\uff0d"
DASHES = "\u2012-\u2015\u2212\ufe58"
DOTS = "\u00b7\u2022\u2027\u2219\u22c5\u30fb\uff65"
STOPS = "\u3002\uff0e\uff61\ufe52"
WIDE = "\uff10-\uff19\uff21-\uff3a\uff41-\uff5a"
WIDE_SIGNS = "\uff01-\uff0f\uff1a-\uff20\uff3b-\uff40\uff5b-\uff5e\ufe50-\ufe6b"
LETTERS = "\U0001d400-\U0001d7ff\u2102\u210a-\u2113\u2115\u2119-\u211d\u2124\u2128\u212c\u212d\u212f-\u2134"
TAG = r"</?(?:b|i|em|strong|span|wbr|u|font|a|nobr)\b[^<>]{0,60}/?>|<!--[^<>]{0,60}-->"
PLANES = 0x20000  # code points among which all of these are
NESTED = r"(?:25){0,3}"  # a percent sign that was encoded again


@functools.cache
def _digits() -> str:
    """Digits of all scripts but ASCII's, as ranges of a class."""
    every = re.findall(r"\d", "".join(map(chr, range(128, PLANES))))
    zeros = [ord(c) for c in every if unicodedata.decimal(c) == 0]
    return "".join(f"{chr(zero)}-{chr(zero + 9)}" for zero in zeros if not 0x1D400 <= zero <= 0x1D7FF)


# What a text has that is not plain: without it none of `DRESS` matches. For RE2, which knows no look-around.
PLAIN_SUSPECT = (
    r"%[0-9A-Fa-f]{2}|&(?:#|[A-Za-z]{2,24};)|\\(?:u[0-9A-Fa-f{]|x[2-7]|[@._+-][A-Za-z0-9]|[nrt][+(]?[0-9]|"
    r"[nrt][0-9A-Za-z_.+-]{1,64}@)|=(?:40|2E|2D|5F)[A-Za-z]|[0-9A-Za-z_@.+-]<(?:/?(?:b|i|em|"
    r"strong|span|wbr|u|font|a|nobr)[ />]|!--)|[\[({][.@:][\])}]|\[(?:dot|at|::)\]|"
    r"[0-9A-Za-z.@_-]=\r?\n[0-9A-Za-z.@_-]"
)
SUSPECT = (
    f"{PLAIN_SUSPECT}|[{SPACES}{THIN}{HYPHENS}{DASHES}{STOPS}{WIDE}{WIDE_SIGNS}{LETTERS}]"
    r"|[{digits}][{digits}0-9 .()/+:-]{6,}[{digits}]"
    f"|[0-9)][{DOTS}][0-9]"
)
BEGINS = rf"[%&\\=<\[({{{{{SPACES}{THIN}{HYPHENS}{DASHES}{DOTS}{STOPS}{WIDE}{WIDE_SIGNS}{LETTERS}{{digits}}]"
PLAIN = rf"0-9A-Za-z{WIDE}"


@functools.cache
def _dress() -> re.Pattern[str]:
    return re.compile(
        rf"(?P<percent>%{NESTED}(?:[2-7][0-9A-Fa-f]|0[9AaDd]|[CcDd][0-9A-Fa-f]%{NESTED}[89ABab][0-9A-Fa-f]|"
        rf"[Ee][0-9A-Fa-f](?:%{NESTED}[89ABab][0-9A-Fa-f]){{2}}))"
        r"|(?P<entity>&(?:amp;){0,3}(?:#[0-9]{1,7};?|#[xX][0-9A-Fa-f]{1,6};?|[A-Za-z]{2,24};))"
        r"|(?P<escape>\\u[0-9A-Fa-f]{4}|\\u\{[0-9A-Fa-f]{1,6}\}|\\x[2-7][0-9A-Fa-f])"
        r"|(?P<break>(?<!\\)\\[nrt](?=[+(]?[0-9]|[0-9A-Za-z_.+-]{1,64}@))"
        r"|(?P<printable>(?<=\w)=(?:40|2E|2D|5F)(?=[A-Za-z]))"
        rf"|(?P<nothing>(?<=[0-9A-Za-z.@_-])=\r?\n(?=[0-9A-Za-z.@_-])|"
        rf"(?<=\w)\\(?=[@._+-][A-Za-z0-9])|(?<=[0-9A-Za-z_@.+-])(?:{TAG})+(?=[\w@.+-])"
        rf"|(?<=[{PLAIN}@.+:/_\-(\)])[{THIN}]+|[{THIN}]+(?=[{PLAIN}@.+:/_\-(\)]))"
        rf"|(?P<space>[{SPACES}])"
        rf"|(?P<hyphen>[{HYPHENS}]|(?<=[0-9{WIDE}])[{DASHES}]|[{DASHES}](?=[0-9{WIDE}])"
        rf"|(?:(?<=[0-9][0-9])|(?<=\)))[{DOTS}](?=[0-9][0-9]))"
        rf"|(?P<stop>(?<=[{PLAIN}])[{STOPS}](?=[{PLAIN}]))"
        rf"|(?P<bracket>(?<=[{PLAIN}])(?:\[(?:[.@]|::?|dot|at)\]|\([.@]\)|\{{[.@]\}})(?=[{PLAIN}]))"
        rf"|(?P<other>[{WIDE}{LETTERS}{_digits()}]+|(?<=[{PLAIN}])[{WIDE_SIGNS}]|[{WIDE_SIGNS}](?=[{PLAIN}]))"
    )


@functools.cache
def _suspect() -> str:
    return SUSPECT.replace("{digits}", _digits())


@functools.cache
def _suspected() -> re.Pattern[str]:
    return re.compile(_suspect())


@functools.cache
def _begins() -> NDArray[np.bool_]:
    """Whether dress begins with a character, bool[code points]: `_dress` is slow wherever it is tried."""
    begins = np.zeros(CODE_POINTS, np.bool_)
    every = np.arange(PLANES, dtype=np.uint32).tobytes().decode("utf-32-le", "surrogatepass")
    for match in re.finditer(BEGINS.replace("{digits}", _digits()) + "+", every):
        begins[slice(*match.span())] = True
    return begins


def may_be_dressed(texts: pa.Array) -> NDArray[np.int64]:
    """Numbers of the texts (large_string[N]) that `undressed` could change; null holds nothing."""
    return matching(texts, PLAIN_SUSPECT, _suspect())


def matching(texts: pa.Array, plain: str, pattern: str) -> NDArray[np.int64]:
    """Numbers of the texts (large_string[N]) that match `pattern`, of which ASCII can match `plain` alone.

    Large classes take RE2 milliseconds to read, which most tables of texts need not pay.
    """
    is_ascii = np.asarray(pc.string_is_ascii(texts).fill_null(True).to_numpy(zero_copy_only=False), np.bool_)
    matched = pc.match_substring_regex(texts, plain).fill_null(False)
    found: NDArray[np.bool_] = np.array(matched.to_numpy(zero_copy_only=False), np.bool_)
    others = np.flatnonzero(~is_ascii)
    if len(others):
        matched = pc.match_substring_regex(texts.take(pa.array(others)), pattern)
        found[others] = matched.to_numpy(zero_copy_only=False)
    return np.flatnonzero(found)


AROUND = 100  # characters beside what was undressed that are looked through with it
LONGEST = 500  # characters of a line that are looked through beyond these


class Plain(NamedTuple):
    """A text in plain dress, and what was undressed in it, in order.

    ``begins[i]:begins[i] + sizes[i]`` of `text` stands in ``origins[i][0]:origins[i][1]`` of what it was,
    character by character where both have as many.
    """

    text: str
    begins: list[int]
    sizes: list[int]
    origins: list[tuple[int, int]]

    def origin(self, start: int, end: int) -> tuple[int, int]:
        """Where characters ``start:end`` of `text` (one or more) stand in the text that it was."""
        return self._at(start)[0], self._at(end - 1)[1]

    def windows(self) -> list[tuple[int, int]]:
        """Parts of `text` around what was undressed: whole lines, or to a blank where lines are long."""
        made: list[tuple[int, int]] = []
        for begin, size in zip(self.begins, self.sizes, strict=True):
            if made and begin + size + AROUND <= made[-1][1]:
                continue
            start, end = self._opened(begin - AROUND, begin + size + AROUND)
            if made and start <= made[-1][1]:
                made[-1] = made[-1][0], max(end, made[-1][1])
            else:
                made.append((start, end))
        return made

    def _opened(self, start: int, end: int) -> tuple[int, int]:
        """``start:end`` widened to where a line begins and ends, or else to blanks."""
        first, last = max(0, start), min(len(self.text), end)
        for mark in ("\n", " "):
            line = self.text.rfind(mark, max(0, first - LONGEST), first) + 1
            if line or first <= LONGEST:
                first = line
                break
        for mark in ("\n", " "):
            line = self.text.find(mark, last, last + LONGEST)
            if line >= 0 or last + LONGEST >= len(self.text):
                last = line if line >= 0 else len(self.text)
                break
        return first, last

    def _at(self, place: int) -> tuple[int, int]:
        number = bisect_right(self.begins, place) - 1
        if number < 0:
            return place, place + 1
        first, last = self.origins[number]
        if place < self.begins[number] + self.sizes[number]:
            if self.sizes[number] != last - first:
                return first, last
            return first + place - self.begins[number], first + place - self.begins[number] + 1
        start = last + place - self.begins[number] - self.sizes[number]
        return start, start + 1


def undressed(text: str) -> Plain | None:
    """`text` in plain dress; None where it wears no other.

    Digits of other scripts are no dress where none of their numbers is long: most are years and amounts.
    """
    return undressed_suspect(text) if _suspected().search(text) else None


def undressed_suspect(text: str) -> Plain | None:
    """`undressed` of a text that `may_be_dressed` names already."""
    parts: list[str] = []
    made = Plain("", [], [], [])
    last = size = 0
    dressed = _dress().match
    codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)
    for begin in np.flatnonzero(_begins()[codes]).tolist():
        match = dressed(text, begin) if begin >= last else None
        new = _meant(match) if match else None
        if match is None or new is None:
            continue
        start, end = match.span()
        parts += [text[last:start], new]
        size += start - last
        made.begins.append(size)
        made.sizes.append(len(new))
        made.origins.append((start, end))
        size, last = size + len(new), end
    if not made.begins:
        return None
    return made._replace(text="".join([*parts, text[last:]]))


def plain(text: str) -> str:
    """`text` in plain dress."""
    made = undressed(text)
    return made.text if made else text


def _meant(match: re.Match[str]) -> str | None:
    """What a piece of dress stands for; None for what stands for nothing."""
    kind, said = match.lastgroup, match[0]
    if kind == "nothing":
        return ""
    if kind in ("space", "break"):
        return " "
    if kind == "hyphen":
        return "-"
    if kind == "stop":
        return "."
    if kind == "bracket":
        return {"dot": ".", "at": "@"}.get(said[1:-1], said[1:-1])
    if kind == "other":
        return "".join(map(_folded, said))
    if kind == "percent":
        raw = bytes.fromhex("".join(part[-2:] for part in said.split("%")[1:]))
        return _shown(raw.decode("utf-8", "replace"))
    if kind == "printable":
        return chr(int(said[1:], 16))
    if kind == "escape":
        code = int(said.strip("\\ux{}"), 16)
        return _shown(chr(code)) if code < 0xD800 or 0xDFFF < code < 0x110000 else None  # halves of pairs
    character = html.unescape("&" + said.replace("amp;", "").lstrip("&")) if said != "&amp;" else "&"
    return _shown(character) if len(character) == 1 else None


@functools.lru_cache(4096)
def _folded(character: str) -> str:
    value = unicodedata.decimal(character, -1)
    return str(value) if value >= 0 else unicodedata.normalize("NFKC", character)


@functools.lru_cache(4096)
def _shown(character: str) -> str:
    """A decoded character as it counts among plain ones."""
    if character.isascii():
        return character if character.isprintable() else " "
    if re.fullmatch(f"[{THIN}]", character):
        return ""
    if re.fullmatch(f"[{SPACES}]", character):
        return " "
    if re.fullmatch(f"[{HYPHENS}{DASHES}]", character):
        return "-"
    return (
        _folded(character) if re.fullmatch(f"[{WIDE}{WIDE_SIGNS}{LETTERS}{STOPS}]", character) else character
    )
