r"""What a text shows of the machines that it went through: missing values, escapes, markers, lost letters.

What: of each text the flags

- *missing*: it is what a program writes where nothing stood ("nan", "#N/A", "[object Object]", "[deleted]"),
  or a line of it names a field and then that ("Context: nan");
- *escaped*: line breaks as the two characters ``\n``, letters as ``\u00e9``, and no line break of its own;
- *placeholder*: "{name}", "{{ order number }}" or "[Your Name]", which nobody filled in, but for code;
- *markers*: those of a chat template or a tokenizer ("<|im_start|>", "[INST]", "<pad>", "Ġ");
- *lost_letters*: a character that a decoder could not read (U+FFFD), or question marks within words;
- *broken_words*: words that a hyphen parts over two lines, as where they came out of a PDF;
- *unbroken*: `LONG` letters and digits without a break, as data in base64 is;
- *pasted*: what a chat window shows beside an answer (a line "Copy code", "【4†source】");
- *media*: a place where an image, sound or video stood ("<image>");

and of answers alone

- *next_turn*: it goes on as the next speaker ("User:", "### Instruction:");
- *printed*: it is how Python prints a value (``b'...'``, ``['...']``).

Why: models learn to write all of these, and each is seen in sets that people publish. Rows are flagged and
stay; `traits.drop` leaves them out.

Cost: some 500 MB/s, as one walk over the bytes tells which texts could have any; only these are matched.
"""

from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numba import njit
from numpy.typing import NDArray

from headrace.kernels.arrow import one_span
from headrace.kernels.bits import pointer

LONG = 200  # letters and digits without a break
CITED = 12  # letters of a run that may name a source
SHORT = 60  # bytes of a text of which one escape alone tells nothing
FAR = 34  # bytes within which a bracket closes that may hold a marker or a placeholder
LEAST = 2  # question marks within words, broken words
TOKENS = 3  # signs of a tokenizer for a space or a line break
# Bits of what a walk finds.
MISSING, ESCAPED, BRACE, SQUARE, ANGLE, LOST, BROKEN, UNBROKEN, NEXT, PIECES, PRINTED, PASTED = (
    1 << k for k in range(12)
)
NOTHING = r"nan|NaN|NaT|<NA>|undefined|\[object Object\]|#N/A|#REF!|#VALUE!|#NAME\?|#DIV/0!"
WHOLE = rf"\A\s*(?:{NOTHING}|NAN|\[(?:deleted|removed)\])\s*\z"
FIELD = rf"(?m)^[^\n:]{{1,40}}:[ \t]*(?:{NOTHING})[ \t]*$"
FILLED = (  # what stands in "{ }" and may be a placeholder: words, with spaces or "_" between
    r"(?:^|[\s(>,\"“:])\{\{?\s?[A-Za-z][A-Za-z0-9]+(?:[ _][A-Za-z0-9]+)*\s?\}\}?(?:$|[\s.,!?:;)'\"’”<])"
)
CODE = (
    r"```|;\s*\n|;\s*\z|\bdef |\bfunction\b|\breturn\b|\bf[\"']|\.format\(|\$\{|</|\\[a-z]+\{|\bimport |=>"
    r"|printf|\{%|\{\s*\n|\"\s*:"
)
ASKED = (
    r"\[(?:(?:[Yy]our|[Ii]nsert|[Ee]nter|[Aa]dd|[Rr]ecipient|[Cc]ustomer|[Cc]lient|[Cc]ompany|[Ff]irst|[Ll]ast"
    r"|[Cc]ontact|[Pp]hone|[Ee]mail|[Pp]roduct|[Ss]ender|[Mm]anager)(?:['’]s)?[ /][A-Za-z' /’]{2,30}"
    r"|Name|Date|Address|City|Company|Title|Position|Link|Location|Amount|Signature)\](?:$|[^(:\[])"
)
MARKERS = (
    r"<\|(?:im_[a-z]+|eo[tm]_id|(?:start|end)_header_id|(?:begin|end)_of_[a-z]+|endoftext|system|user|assistant"
    r"|pad|python_tag|fim_[a-z]+)\|>|<｜[^｜]{2,24}｜>|\[/?INST\]|<</?SYS>>|\A\s*<s>|</s>\s*\z"
    r"|<(?:pad|unk|eos|bos|(?:start|end)_of_turn)>|\[(?:PAD|CLS|SEP|UNK)\]"
)
MEDIA = (
    r"<image(?:_?\d+)?>|<ImageHere>|<\|(?:image|video|audio|vision_start)(?:_pad)?\|>|\A\s*<(?:video|audio)>"
)
WINDOW = (
    r"(?m)^(?:Copy code|Regenerate response|ChatGPT said:?|Was this response better or worse\?.*)\s*$"
    r"|【\d+(?::\d+)?†[^】\n]{0,80}】|[\x{E200}-\x{E20F}]|\bcite(?:turn\d+(?:search|view|file|news)\d+)+"
)
SPEAKER = r"\n[#*\s<\[]{0,6}(?:[Hh]uman|HUMAN|[Uu]ser|USER|Instructions?)[\]*>]{0,2}\s?:"
VALUE = (
    r"\A\s*(?:b'[^\n]*'\s*\z|b\"[^\n]*\"\s*\z|\['[^'\n]{20,}'\]\s*\z|array\(\[|Timestamp\('"
    r"|<[\w.]+ object at 0x)"
)


class Damage(NamedTuple):
    """``bool[N]`` for each flag."""

    missing: NDArray[np.bool_]
    escaped: NDArray[np.bool_]
    placeholder: NDArray[np.bool_]
    markers: NDArray[np.bool_]
    lost_letters: NDArray[np.bool_]
    broken_words: NDArray[np.bool_]
    unbroken: NDArray[np.bool_]
    pasted: NDArray[np.bool_]
    media: NDArray[np.bool_]
    next_turn: NDArray[np.bool_]
    printed: NDArray[np.bool_]


NAMES = Damage._fields


def look(texts: pa.Array, answers: NDArray[np.bool_]) -> Damage:
    """`Damage` of ``large_string[N]``; answers bool[N]: which are answers. A null text has none."""
    given = one_span(texts)
    seen = np.zeros(len(given), np.uint32)
    _walk(given.data, given.starts, given.stops, seen)
    missing = _has(seen, MISSING)
    braces = _matched(texts, _has(seen, BRACE), FILLED)
    braces &= ~_matched(texts, braces, CODE)
    angles, squares = _has(seen, ANGLE), _has(seen, SQUARE)
    return Damage(
        missing=_matched(texts, missing, WHOLE) | _matched(texts, missing, FIELD),
        escaped=_has(seen, ESCAPED),
        placeholder=braces | _matched(texts, squares, ASKED),
        markers=_matched(texts, angles | squares, MARKERS) | _has(seen, PIECES),
        lost_letters=_has(seen, LOST),
        broken_words=_has(seen, BROKEN),
        unbroken=_has(seen, UNBROKEN),
        pasted=_matched(texts, _has(seen, PASTED), WINDOW),
        media=_matched(texts, angles, MEDIA),
        next_turn=_matched(texts, answers & _has(seen, NEXT), SPEAKER),
        printed=_matched(texts, answers & _has(seen, PRINTED), VALUE),
    )


def _has(seen: NDArray[np.uint32], bit: int) -> NDArray[np.bool_]:
    found: NDArray[np.bool_] = (seen & np.uint32(bit)) != 0
    return found


def _matched(texts: pa.Array, some: NDArray[np.bool_], pattern: str) -> NDArray[np.bool_]:
    """Which of `some` texts hold `pattern`."""
    found = np.zeros(len(texts), np.bool_)
    at = np.flatnonzero(some)
    if len(at):
        hit = pc.match_substring_regex(texts.take(pa.array(at)), pattern).fill_null(False)
        found[at] = hit.to_numpy(zero_copy_only=False)
    return found


def _kinds() -> NDArray[np.uint8]:
    """What each byte is to the walk: 0 goes on, 1 breaks a run, 2 is looked at."""
    kinds = np.ones(256, np.uint8)
    kinds[[ord(c) for c in "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+/=_-"]] = 0
    kinds[[ord(c) for c in "\n\\?{[<"]] = 2
    kinds[[0xC4, 0xE2, 0xEE, 0xEF]] = 2
    return kinds


KINDS = _kinds()


@njit(inline="always")
def _lower(byte):  # type: ignore[no-untyped-def]
    return 97 <= byte <= 122


@njit(inline="always")
def _letter(byte):  # type: ignore[no-untyped-def]
    return 97 <= byte <= 122 or 65 <= byte <= 90


@njit(nogil=True, cache=True)
def _data(data, at, stop):  # type: ignore[no-untyped-def]
    """Whether a run is of data: digits and letters of either case, and no more of one sign than a quarter."""
    digits, letters, signs = 0, 0, 0
    for k in range(at, stop):
        digits += 48 <= data[k] <= 57
        letters += _letter(data[k])
        signs += data[k] in (45, 61, 95)
    return digits >= 8 and letters >= 8 and signs < (stop - at) // 4


@njit(nogil=True, cache=True)
def _of_run(data, at, stop):  # type: ignore[no-untyped-def]
    """What a run of letters and digits shows."""
    if data[at] == 99 and data[at + 4] == 116 and 48 <= data[at + 8] <= 57:  # citeturn0
        return PASTED
    return UNBROKEN if stop - at >= LONG and _data(data, at, stop) else 0


@njit(nogil=True, cache=True)
def _escapes(data, start, at, stop):  # type: ignore[no-untyped-def]
    """Whether the backslash at `at` writes a line break or a letter, and is no command or path."""
    if at + 1 >= stop or (at > start and data[at - 1] == 92):
        return False
    following = data[at + 1]
    if following == 110:  # n
        return at + 2 == stop or not (_lower(data[at + 2]) or data[at + 2] in (34, 39))
    if following != 117 or at + 6 > stop:  # u
        return False
    digits = 0
    for k in range(at + 2, at + 6):
        digits += 48 <= data[k] <= 57 or 97 <= data[k] | 0x20 <= 102
    return digits == 4


@njit(nogil=True, cache=True)
def _within(data, start, at, stop):  # type: ignore[no-untyped-def]
    """Whether the question mark at `at` stands for a letter of a word: no address, no code."""
    if at < start + 2 or at + 1 >= stop:
        return False
    wide = data[at - 1] >= 0x80 and 0xC3 <= data[at - 2] <= 0xDF  # a letter of two bytes
    if not (_lower(data[at - 1]) or wide) or not (_lower(data[at + 1]) or 0xC3 <= data[at + 1] <= 0xDF):
        return False
    k = at - 1
    while k >= start and data[k] > 32 and at - k < 40:
        if not (_letter(data[k]) or data[k] >= 0x80 or data[k] == 63 or data[k] == 39):
            return False
        k -= 1
    k = at + 1
    while k < stop and data[k] > 32 and k - at < 40:
        if data[k] in (47, 61, 58, 38, 40, 59, 124):
            return False
        k += 1
    return True


@njit(nogil=True, cache=True)
def _closes(data, at, stop, sign):  # type: ignore[no-untyped-def]
    """Whether `sign` follows within `FAR` bytes on the line."""
    for k in range(at + 1, min(stop, at + FAR)):
        if data[k] == sign:
            return True
        if data[k] == 10:
            return False
    return False


@njit(nogil=True, cache=True)
def _nothing(data, start, at):  # type: ignore[no-untyped-def]
    """Whether a line that ends at `at` may end in a value that was missing."""
    while at > start and data[at - 1] in (32, 9, 13):
        at -= 1
    if at - start < 3:
        return False
    one, two, three = data[at - 1], data[at - 2], data[at - 3]
    nan = three in (78, 110) and two == 97 and one in (78, 84, 110)  # nan, NaN, NaT
    undefined = one == 100 and two == 101 and three == 110
    bracket = one == 62 and two == 65  # <NA>
    printed = one == 93 and two in (100, 116)  # [deleted], [object Object]
    sheet = (one in (33, 63) and two in (48, 69, 70)) or (one == 65 and two == 47)  # #REF!, #NAME?, #N/A
    return nan or undefined or bracket or printed or sheet


@njit(nogil=True, cache=True)
def _speaks(data, at, stop):  # type: ignore[no-untyped-def]
    """Whether a line that begins at `at` may name a speaker."""
    k = at
    while k < stop and k - at < 6 and data[k] in (32, 35, 42, 60, 91):
        k += 1
    if k >= stop or data[k] | 0x20 not in (104, 117, 105):  # h, u, i
        return False
    colons = 0
    for end in range(k + 4, min(stop, k + 16)):
        colons += data[end] == 58
    return colons > 0


@njit(nogil=True, cache=True)
def _prints(data, start, stop):  # type: ignore[no-untyped-def]
    """Whether a text may be a value as Python prints it: it begins as one."""
    while start < stop and data[start] <= 32:
        start += 1
    if start + 4 > stop:
        return False
    one, two = data[start], data[start + 1]
    quote = two in (34, 39)
    return (
        (one == 98 and quote)
        or (one == 91 and two == 39)
        or (one in (60, 84, 97) and data[stop - 1] in (41, 62))
    )


@njit(inline="always")
def _window(data, at, stop):  # type: ignore[no-untyped-def]
    """Whether a line that begins at `at` may be one that a chat window shows."""
    if at + 9 > stop:
        return False
    one, two, five = data[at], data[at + 1], data[at + 4]
    return (one == 67 and ((two == 111 and five == 32) or (two == 104 and five == 71))) or (  # Copy c, ChatG
        (one == 82 and two == 101 and five == 110)
        or (one == 87 and two == 97 and five == 116)  # Regen, Was t
    )


@njit(nogil=True, cache=True)
def _of_line(data, start, at, stop):  # type: ignore[no-untyped-def]
    """What the line break at `at` shows, but for broken words."""
    found = MISSING if _nothing(data, start, at) else 0
    found |= PASTED if _window(data, at + 1, stop) else 0
    return found | NEXT if _speaks(data, at + 1, stop) else found


@njit(nogil=True, cache=True)
def _of_sign(data, at, stop, byte):  # type: ignore[no-untyped-def]
    """What the bracket or wide character at `at` may show; `PIECES` for one sign of a tokenizer."""
    if byte == 123:
        return BRACE if _closes(data, at, stop, 125) else 0
    if byte == 91:
        return SQUARE if _closes(data, at, stop, 93) else 0
    if byte == 60:
        return ANGLE if _closes(data, at, stop, 62) else 0
    if byte == 0xEF:
        return LOST if at + 2 < stop and data[at + 1] == 0xBF and data[at + 2] == 0xBD else 0
    if byte == 0xEE:
        return PASTED if at + 1 < stop and data[at + 1] == 0x88 else 0
    if byte == 0xE2 and at + 2 < stop and data[at + 1] == 0x80 and data[at + 2] == 0xA0:
        return PASTED
    if byte == 0xC4:
        return PIECES if at + 1 < stop and data[at + 1] in (0xA0, 0x8A) else 0
    return PIECES if at + 2 < stop and data[at + 1] == 0x96 and data[at + 2] == 0x81 else 0


@njit(nogil=True, cache=True)
def _walk(lying, starts, stops, seen):  # type: ignore[no-untyped-def]
    data, kinds = pointer(lying), KINDS
    for row in range(len(starts)):
        start, stop = starts[row], stops[row]
        at, since, found = start, start, 0
        lines, escapes, within, broken, pieces = 0, 0, 0, 0, 0
        while at < stop:
            byte = data[at]
            kind = kinds[byte]
            if kind == 0:
                at += 1
                continue
            if at - since >= CITED:
                found |= _of_run(data, since, at)
            since = at + 1
            if kind == 2:
                if byte == 10:
                    lines += 1
                    hyphen = at - 1 > start and data[at - 1] == 45 and _lower(data[at - 2])
                    broken += hyphen and at + 1 < stop and _lower(data[at + 1])
                    found |= _of_line(data, start, at, stop)
                elif byte == 92:
                    escapes += _escapes(data, start, at, stop)
                elif byte == 63:
                    within += _within(data, start, at, stop)
                else:
                    shown = _of_sign(data, at, stop, byte)
                    pieces += shown == PIECES
                    found |= shown & ~PIECES
            at += 1
        if at - since >= CITED:
            found |= _of_run(data, since, at)
        if _window(data, start, stop):
            found |= PASTED
        if _nothing(data, start, stop):
            found |= MISSING
        if _prints(data, start, stop):
            found |= PRINTED
        found |= BROKEN if broken >= LEAST else 0
        found |= LOST if within >= LEAST else 0
        found |= PIECES if pieces >= TOKENS else 0
        if escapes and lines == 0 and (escapes > 1 or stop - start >= SHORT) and data[start] not in (91, 123):
            found |= ESCAPED
        seen[row] = found


def warm() -> None:
    """Compile, or load from Numba's cache."""
    look(pa.array(["a"], pa.large_string()), np.ones(1, np.bool_))
