"""The gate's own look at values in other dress: a folded form and patterns that recognisers do not share.

What: what `pii` looks through in plain dress (`dress`) is its own idea of dress, and what that
overlooks, its recognisers overlook twice. Here a text is decoded (percent-encoding, entities, escapes; again
and again), brought to NFKC, and rid of all format characters, whatever stands beside them; dashes of all
kinds are hyphens, other separators blanks. In that form patterns look for what a checksum, a known suffix or
prefix or a numbering plan proves. What stands there as it stood in the text counts nothing: recognisers have
seen it. The steps of `overlaps` follow, as in the search.

Cost: RE2 reads all texts; NFKC and patterns those that could hold any dress and a letter or digit of ASCII
behind it, at some 50 MB/s; where each character stands is worked out for the few in which something is found.
"""

import functools
import html
import ipaddress
import re
import unicodedata
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import phonenumbers
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from headrace.pipelines.stages.pii.config import Config
from headrace.pipelines.stages.pii.dress import matching
from headrace.pipelines.stages.pii.findings import Finding
from headrace.pipelines.stages.pii.overlaps import resolved
from headrace.pipelines.stages.pii.recognizers.checksums import is_account, is_card
from headrace.pipelines.stages.pii.recognizers.recognizer import digits
from headrace.pipelines.stages.pii.recognizers.secrets import KEYS
from headrace.pipelines.stages.pii.recognizers.wrapped import LENGTHS
from headrace.pipelines.stages.pii.search import looked_for

NAME = "gate"
ROUNDS = 6  # of decoding
PLAIN_DRESSED = (
    r"%[0-9A-Fa-f]{2}|&(?:#|[A-Za-z]{2,31};)|\\[uxU@._+-]|=(?:40|2[BDE]|5F)[A-Za-z]|"
    r"[0-9A-Za-z_@.+-]<(?:/|!--|wbr|(?:b|i|u|em|strong|span|font|a|nobr)[ >])|\[(?:[.@]|::?|dot|at)\]|"
    r"[0-9A-Za-z.@_-]=\r?\n[0-9A-Za-z.@_-]"
)
LATIN = r"\x00-\x7f\x{a1}-\x{a7}\x{c0}-\x{24f}\x{2018}-\x{201f}\x{2026}\x{20ac}"
DRESSED = f"{PLAIN_DRESSED}|[^{LATIN}]"
CODE = re.compile(
    r"(?P<percent>%[0-7][0-9A-Fa-f]|(?:%[89A-Fa-f][0-9A-Fa-f]){2,4})|"
    r"(?P<entity>&(?:#[0-9]{1,7};?|#[xX][0-9A-Fa-f]{1,6};?|[0-9A-Za-z]{2,31};))|"
    r"(?P<escape>\\u[0-9A-Fa-f]{4}|\\u\{[0-9A-Fa-f]{1,6}\}|\\U[0-9A-Fa-f]{8}|\\x[0-9A-Fa-f]{2})|"
    r"(?P<nothing>\\(?=[@._+-])|</?[a-z][a-z0-9]*\b[^<>]{0,60}>|<!--[^<>]{0,60}-->)|(?P<bracket>\[(?:[.@]|::?|dot|at)\])|"
    r"(?P<broken>(?<=[\w.@-])=\r?\n(?=[\w.@-]))|"
    r"(?P<quoted>(?<=\w)=(?:40|2[BDE]|5F)(?=[A-Za-z]))"
)
BEGINS = r"%&\\<\[="  # of what `CODE` finds, in a class of characters
# For RE2: whatever `CODE` finds has one of these in it.
CODED = (
    r"%[0-9A-Fa-f]{2}|&(?:#[0-9xX]|[0-9A-Za-z]{2,31};)|\\[uUx@._+-]|</?[a-z][^<>]*>|<!--|"
    r"\[(?:[.@]|::?|dot|at)\]|=\r?\n|=(?:40|2[BDE]|5F)[A-Za-z]"
)
# What stands in every text that could match when it is decoded and folded, for RE2: letters and digits of
# ASCII, an @, what is folded to these, or the begin of a code.
ABLE = (
    rf"[0-9A-Za-z@{BEGINS}\p{{N}}\x{{80}}-\x{{36f}}\x{{1d00}}-\x{{1eff}}\x{{2070}}-\x{{24ff}}\x{{2c60}}-\x{{2c7f}}"
    r"\x{3200}-\x{33ff}\x{a640}-\x{a7ff}\x{ab30}-\x{ab6f}\x{fb00}-\x{fb4f}\x{fe50}-\x{fe6f}\x{ff10}-\x{ff19}"
    r"\x{ff20}-\x{ff5a}\x{10000}-\x{10ffff}]"
)
LIKELY = re.compile(r"@[\w-]+\.|\d[ .()-]?\d[ .()-]?\d|[A-Z]{2}\d\d|[A-Za-z]{2}[_-]|AKIA|eyJ")


class Proof(NamedTuple):
    """A pattern of the gate's own, for what `_is_proven` proves."""

    entity: str
    pattern: re.Pattern[str]


PROOFS = (
    Proof("EMAIL_ADDRESS", re.compile(r"(?<![\w.+-])\w[\w.+-]{0,63}@((?:[\w-]{1,63}\.)+[a-zA-Z]{2,24})\b")),
    Proof("CREDIT_CARD", re.compile(r"(?<![\w.,-])[3-6]\d{3}(?:([ -]?)\d{4}\1\d{4}\1\d{4})(?![\w-])")),
    Proof("CREDIT_CARD", re.compile(r"(?<![\w.,-])3[47]\d{2}[ -]?\d{6}[ -]?\d{5}(?![\w-])")),
    Proof("IBAN_CODE", re.compile(r"(?<!\w)[A-Z]{2}\d{2}(?:[ -]?[A-Z0-9]){11,27}(?!\w)")),
    Proof("PHONE_NUMBER", re.compile(r"(?<![\w+])\+[1-9](?:[ .()/-]{0,2}\d){6,14}(?!\w)")),
    Proof("PHONE_NUMBER", re.compile(r"(?<![\w+])\([2-9]\d\d\) ?[2-9]\d\d[ .-]\d{4}(?!\w)")),
    Proof("US_SSN", re.compile(r"(?<![\w-])(?!000|666|9)\d{3}-(?!00)\d{2}-(?!0000)\d{4}(?![\w-])")),
    Proof("IP_ADDRESS", re.compile(r"(?<![\w.-])(?:\d{1,3}\.){3}\d{1,3}(?![\w-]|\.\d)")),
    Proof("IP_ADDRESS", re.compile(r"(?<![\w:.])(?:[0-9A-Fa-f]{1,4}:{1,2}){2,7}[0-9A-Fa-f]{1,4}(?![\w:.])")),
    Proof("API_KEY", re.compile(rf"(?<![\w.-])(?:{KEYS})(?![\w-])")),
)  # fmt: skip
# What stands in every match, for RE2, which reads many texts at once; `\d` is ASCII in what is folded.
POSSIBLE = (
    r"@\S*\.|\d{4}[ -]?\d{4}[ -]?\d{4}|3[47]\d{2}[ -]?\d{6}[ -]?\d{5}|[A-Z]{2}\d{2}(?:[ -]?[A-Z0-9]){11}|"
    r"\+[1-9](?:[ .()/-]{0,2}\d){6}|\([2-9]\d\d\) ?[2-9]\d\d[ .-]\d{4}|\d{3}-\d{2}-\d{4}|"
    r"\d\.\d{1,3}\.\d{1,3}\.\d|(?:[0-9A-Fa-f]{1,4}:{1,2}){2}|"
) + re.sub(r"(?<=\d,)\d+(?=\})", "", KEYS.replace(r"[\w-]", r"\S").replace(r"\w", r"\S"))


def look(texts: pa.Array, config: Config) -> Iterator[tuple[int, Finding]]:
    """(row, finding) of what texts (large_string[N]) hold in other dress, as it stands in them."""
    known: set[str] = set()  # what recognisers look for, who take seconds to set up
    rows = matching(texts, PLAIN_DRESSED, DRESSED)
    dressed = texts.take(pa.array(rows))
    able = pc.match_substring_regex(dressed, ABLE)
    rows = rows[able.to_numpy(zero_copy_only=False)]
    for row, text in _possible(rows, dressed.filter(able)):
        for finding in proven(text):
            known = known or {entity for listed in looked_for(config).values() for entity in listed}
            if finding.entity in known:
                yield row, finding


def _possible(rows: NDArray[np.int64], texts: pa.Array) -> Iterator[tuple[int, str]]:
    """The rows with their texts (large_string[N]) in which something could be proven."""
    coded, held = pc.match_substring_regex(texts, CODED).to_pylist(), texts.to_pylist()
    plain = [_folded(_decoded(text) if code else text) for text, code in zip(held, coded, strict=True)]
    able = pc.match_substring_regex(pa.array(plain, pa.large_string()), POSSIBLE)
    yield from ((int(rows[n]), held[n]) for n in np.flatnonzero(able.to_numpy(zero_copy_only=False)))


def proven(text: str) -> list[Finding]:
    """What a text holds in other dress."""
    short = _folded(_decoded(text))
    if short == text or not LIKELY.search(short) or not any(True for _ in _matches(short)):
        return []
    plain, origins = located(text)
    found = [
        Finding(*match.span(), proof.entity, 1.0, NAME)
        for proof, match in _matches(plain)
        if text[origins[match.start()][0] : origins[match.end() - 1][1]] != match[0]
    ]
    kept = resolved(plain, found, frozenset(), frozenset())
    return [one._replace(start=origins[one.start][0], end=origins[one.end - 1][1]) for one in kept]


def _matches(plain: str) -> Iterator[tuple[Proof, re.Match[str]]]:
    for proof in PROOFS:
        for match in proof.pattern.finditer(plain):
            if _is_proven(proof.entity, match):
                yield proof, match


def _is_proven(entity: str, match: re.Match[str]) -> bool:
    """Whether a match is what it looks like, by its checksum, suffix or plan."""
    if entity == "EMAIL_ADDRESS":
        return bool(_suffixes()(match[1]).suffix)
    if entity == "CREDIT_CARD":
        return is_card(digits(match[0]))
    if entity == "IBAN_CODE":
        said = re.sub(r"[^A-Z0-9]", "", match[0])
        return len(said) == LENGTHS.get(said[:2]) and is_account(said)
    if entity == "PHONE_NUMBER":
        try:
            return bool(phonenumbers.is_valid_number(phonenumbers.parse(match[0], "US")))
        except phonenumbers.NumberParseException:
            return False
    if entity == "IP_ADDRESS":
        try:
            return ipaddress.ip_address(match[0]).is_global
        except ValueError:
            return False
    return True


@functools.cache
def _suffixes() -> Any:
    import tldextract

    return tldextract.TLDExtract(suffix_list_urls=(), cache_dir=None)


def _decoded(text: str) -> str:
    for _ in range(ROUNDS):
        decoded = CODE.sub(_said, text)
        if decoded == text:
            return text
        text = decoded
    return text


def _said(match: re.Match[str]) -> str:
    """What a code stands for."""
    kind, said = match.lastgroup, match[0]
    if kind == "percent":
        return bytes.fromhex(said.replace("%", "")).decode("utf-8", "replace")
    if kind == "entity":
        return html.unescape(said)
    if kind in ("nothing", "broken"):
        return ""
    if kind == "bracket":
        return {"dot": ".", "at": "@"}.get(said[1:-1], said[1:-1])
    code = int(said.strip("\\uUx{}="), 16)
    return chr(code) if code < 0xD800 or 0xDFFF < code < 0x110000 else "\ufffd"  # half of a pair


@functools.lru_cache(8192)
def _one(character: str) -> str:
    """A character that is no ASCII, as it is folded."""
    kind = unicodedata.category(character)
    if kind in ("Cf", "Mn", "Me") or character in "\u115f\u1160\u3164\uffa0":
        return ""
    if kind[0] == "Z":
        return "\n" if kind in ("Zl", "Zp") else " "
    if kind == "Pd" or character == "\u2212":
        return "-"
    value = unicodedata.digit(character, -1)  # also in circles and above the line
    if value >= 0:
        return str(value)
    if character in "\u00b7\u2022\u2027\u2219\u22c5":
        return "-"
    if character in "\u3002\uff61\u2024":
        return "."
    return unicodedata.normalize("NFKC", character)


class _Folds(dict[int, str]):
    """What each character that was met is folded to, as `str.translate` asks for it."""

    def __missing__(self, code: int) -> str:
        self[code] = folded = _one(chr(code))
        return folded


FOLDS = _Folds()
NO_ASCII = re.compile(r"[^\x00-\x7f]+")


def _folded(text: str) -> str:
    return text if text.isascii() else NO_ASCII.sub(lambda match: match[0].translate(FOLDS), text)


def located(text: str) -> tuple[str, list[tuple[int, int]]]:
    """A text as it is folded, and where each of its characters stands in the text."""
    origins = [(at, at + 1) for at in range(len(text))]
    for _ in range(ROUNDS):
        parts: list[str] = []
        places: list[tuple[int, int]] = []
        last = 0
        for match in CODE.finditer(text):
            new = _said(match)
            span = origins[match.start()][0], origins[match.end() - 1][1]
            parts += [text[last : match.start()], new]
            places += origins[last : match.start()] + [span] * len(new)
            last = match.end()
        if not last:
            break
        text, origins = "".join([*parts, text[last:]]), places + origins[last:]
    folded = [(_one(c) if ord(c) > 127 else c, span) for c, span in zip(text, origins, strict=True)]
    return "".join(new for new, _ in folded), [span for new, span in folded for _ in new]
