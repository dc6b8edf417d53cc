"""Which steps of `text` could change a text, told by the characters that it holds.

What: a class of every code point, one bit a step (`table`): a text without a character of the step's class
is not changed by it. The classes are asked of what the steps are made of: of their patterns, and of Arrow's
own normalisation and white space, as its Unicode may be another than Python's.

Cost: some 30 ms once a process.
"""

import functools
import re
import unicodedata

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from ftfy.badness import BADNESS_RE
from ftfy.chardata import LIGATURES, WIDTH_MAP
from numpy.typing import NDArray

from headrace.kernels.arrow import strings
from headrace.pipelines.stages.clean import invisible

BREAKS = r"[\x0b\x0c\x{85}\x{2028}\x{2029}]"
CONTROLS = r"[\x00-\x08\x0e-\x1f\x7f\x{80}-\x{9f}\x{206a}-\x{206f}\x{feff}\x{fff9}-\x{fffc}]"
QUOTES = "\u02bc\u2018\u2019\u201a\u201b\u201c\u201d\u201e\u201f"
WIDE = r"[^\x00-\x7f]"
# Bits of a character: what it may make a step do.
RETURN, ESCAPE, AMPERSAND, BAD, CONTROL, HIDDEN, FORM, BLANK = (np.uint16(1 << bit) for bit in range(8))
ALL = np.uint16(0xFF)
# Where something is assigned, but for planes of private use.
ASSIGNED = ((0, 0xD800), (0xE000, 0x32400), (0xE0000, 0xE0200))
# Ideographs and syllables: none is composed with what stands before it.
STABLE = ((0x3400, 0xA000), (0xAC00, 0xD7A4), (0x20000, 0x2F800), (0x30000, 0x32400))


def compact(pattern: str) -> str:
    """A verbose regular expression without its white space and comments."""
    kept, at, in_class = [], 0, False
    while at < len(pattern):
        character = pattern[at]
        size = 2 if character == "\\" else 1
        if not in_class and character == "#":
            size = pattern.find("\n", at) - at + 1 or len(pattern) - at
        elif in_class or not character.isspace():
            kept.append(pattern[at : at + size])
            in_class = character != "]" if in_class else character == "["
        at += size
    return "".join(kept)


@functools.cache
def mojibake(ligatures: bool, widths: bool, quotes: bool) -> str:
    """RE2 pattern that is found in every text that ftfy, so configured, would change.

    Where RE2 does not take the pattern of this ftfy: every text with a character beyond ASCII.
    """
    loose = re.sub(r"\\[ws]", "(?s:.)", compact(BADNESS_RE.pattern))
    loose = re.sub(r"(?<![\[\\])\^", "", loose)
    characters = set(map(chr, LIGATURES) if ligatures else ()) | set(map(chr, WIDTH_MAP) if widths else ())
    characters |= set(QUOTES if quotes else ())
    listed = f"|[{''.join(sorted(characters))}]" if characters else ""
    pattern = loose + listed
    try:
        pc.match_substring_regex(pa.array([""]), pattern=pattern)
    except pa.ArrowInvalid:
        return WIDE
    return pattern


@functools.cache
def table(form: str | None, suspects: str) -> NDArray[np.uint16]:
    """The bits of each code point: ``uint16[0x110000]``.

    form: of `text.Repair`; suspects: what `mojibake` gives. Each of its alternatives names a character beyond
    ASCII, or it is `WIDE`.
    """
    bits = np.zeros(0x110000, np.uint16)
    bits[13] = RETURN
    bits[0x1B] = ESCAPE
    bits[ord("&")] = AMPERSAND
    named = re.findall(rf"{WIDE}-{WIDE}|{WIDE}|\\x[0-9a-f]{{2}}|\\u[0-9a-fA-F]{{4}}", suspects)
    bits[_all_of(f"[{''.join(named)}]" if suspects != WIDE else WIDE)] |= BAD
    for pattern in (BREAKS, CONTROLS):
        bits[_all_of(re.sub(r"\\x\{(\w+)\}", lambda found: f"\\u{found[1]:>04}", pattern))] |= CONTROL
    named_hidden = invisible.ZERO + invisible.DIRECTIONS + invisible.SELECTORS + invisible.TAGS
    bits[_all_of(f"[{named_hidden}]")] |= HIDDEN
    codes, texts, _ = _characters()
    blank = pc.equal(pc.binary_length(pc.utf8_trim_whitespace(texts)), 0)
    bits[codes[blank.to_numpy(zero_copy_only=False)]] |= BLANK
    if form is not None:
        _note_unstable(bits, form)
    return bits


def _note_unstable(bits: NDArray[np.uint16], form: str) -> None:
    """Mark what a normalisation form replaces, composes with what stands before it, or puts in order; and
    what this Unicode does not know.
    """
    codes, texts, _ = _characters()
    replaced = pc.not_equal(pc.utf8_normalize(texts, form=form), texts).to_numpy(zero_copy_only=False)
    apart = pc.utf8_normalize(texts, form="NFD")
    behind = {c for text in apart.filter(pc.not_equal(apart, texts)).to_pylist() for c in text[1:]}
    stable = np.zeros(0x110000, np.bool_)
    for first, last in STABLE:
        stable[first:last] = True
    loose = codes[~stable[codes]]
    characters = loose.astype("<u4").tobytes().decode("utf-32-le")
    kinds = zip(map(unicodedata.category, characters), map(unicodedata.combining, characters), strict=True)
    unknown = [kind == "Cn" or place != 0 for kind, place in kinds]
    some = np.ones(0x110000, np.bool_)
    some[codes] = replaced
    some[[*map(ord, behind)]] = True
    some[loose[unknown]] = True
    bits[some] |= FORM


@functools.cache
def _characters() -> tuple[NDArray[np.int64], pa.Array, str]:
    """All characters: their code points, each as a text, and all as one."""
    codes = np.concatenate([np.arange(first, last) for first, last in ASSIGNED])
    whole = codes.astype("<u4").tobytes().decode("utf-32-le")
    sizes = 1 + np.searchsorted((0x80, 0x800, 0x10000), codes, side="right")
    offsets = np.concatenate([[0], np.cumsum(sizes)])
    return codes, strings(np.frombuffer(whole.encode(), np.uint8), offsets, None), whole


def _all_of(pattern: str) -> NDArray[np.int64]:
    """Code points of the characters that a class of Python's regular expressions has."""
    codes, _, whole = _characters()
    return codes[[found.start() for found in re.finditer(pattern, whole)]]
