"""Repairing texts: mojibake, control characters, line breaks, Unicode form, white space at the ends.

What: each text is taken through the same steps until they change nothing more, so that cleaning twice is
cleaning once:

1. ``\\r\\n`` and ``\\r`` become ``\\n``; terminal escapes go (colours, cursor moves, titles, character
   sets).
2. HTML entities ("&amp;") are decoded in texts that are escaped throughout, and ftfy repairs what it can
   prove broken ("doesnâ€™t").
3. Other line breaks (U+0085, U+2028, U+2029, vertical tab, form feed) become ``\\n``; control characters
   go: C0 but ``\\n`` and ``\\t``, DEL, C1, byte order marks, deprecated and interlinear format characters,
   U+FFFC. What nobody sees and no script needs where it stands goes as well (`invisible`).
4. The Unicode normalisation form. 5. White space at the ends.

Why not ftfy over everything: it costs a few MB/s. It is asked only where it could change something: a text
with a ligature (or whatever else is switched on), or one that its own test for mojibake
(`ftfy.badness`) could find bad. That test is run over whole columns by RE2 with `\\w`, `\\s` and `^`
loosened to "anything", so that it holds wherever ftfy's holds.

Cost: about a nanosecond a byte where nothing is to be done; 100 MB/s for other scripts than Latin; ftfy's
own few MB/s for texts that look broken.

Source: https://ftfy.readthedocs.io
"""

import functools
import re
from typing import NamedTuple

import ftfy
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from ftfy.badness import BADNESS_RE
from ftfy.chardata import LIGATURES, WIDTH_MAP
from numpy.typing import NDArray

from headrace.kernels.arrow import one_span
from headrace.kernels.textstats import byte_classes
from headrace.pipelines import arrays
from headrace.pipelines.stages.clean import invisible

# What is counted of a text: characters that went, or else 1 where the step changed it.
CHARACTERS = ("controls", "invisible", "stripped")
CHANGES = ("line_breaks", *CHARACTERS, "entities", "repaired", "normalised")
Changes = dict[str, NDArray[np.int64]]  # by kind, int64[N]
BLANK = {" ", "\u00a0"}  # bare anywhere, whether a text is escaped or not
ROUNDS = 10  # texts settle after one or two; one that does not is set aside
CONTROL, RETURN, AMPERSAND, WIDE = (np.uint64(1 << bit) for bit in range(4))

RETURNS = r"\r\n?"
ESCAPES = r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[()*+][0-9A-Za-z]|[=>78])"
BREAKS = r"[\x0b\x0c\x{85}\x{2028}\x{2029}]"
CONTROLS = r"[\x00-\x08\x0e-\x1f\x7f\x{80}-\x{9f}\x{206a}-\x{206f}\x{feff}\x{fff9}-\x{fffc}]"
ENTITY = r"&#?[0-9A-Za-z]{1,24};"
# An entity that stands between backticks or quotation marks is written about, not meant.
QUOTED = re.compile(rf"[`'\"\u2018\u201c\u00ab]{ENTITY}[`'\"\u2019\u201d\u00bb]", re.ASCII)
ENTITIES = re.compile(ENTITY, re.ASCII)
QUOTES = "\u02bc\u2018\u2019\u201a\u201b\u201c\u201d\u201e\u201f"


@functools.cache
def _table() -> NDArray[np.uint64]:
    """Class of each byte: ``uint64[256]``; 0 = needs nothing."""
    table = np.zeros(256, np.uint64)
    table[:32] = CONTROL
    table[127] = CONTROL
    table[[9, 10]] = 0
    table[13] = RETURN
    table[ord("&")] = AMPERSAND
    table[128:] = WIDE
    return table


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
def _suspects(ligatures: bool, widths: bool, quotes: bool) -> str:
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
        return r"[^\x00-\x7f]"
    return pattern


def decoded(text: str) -> str:
    """`text` with its HTML entities decoded where it is escaped throughout; else as it is.

    It is where none of the characters that its entities stand for, nor ``&`` or ``<``, stands in it bare, and
    no entity stands between quotation marks: "write &amp; for &" is about entities and no HTML. A text whose
    entities stand for entities ("&amp;lt;") stays, too.
    """
    once = _decoded_once(text)
    return text if once != text and _decoded_once(once) != once else once


def _decoded_once(text: str) -> str:
    meant = {entity: ftfy.fixes.unescape_html(entity) for entity in set(ENTITIES.findall(text))}
    meant = {entity: character for entity, character in meant.items() if character != entity}
    if not meant or QUOTED.search(text):
        return text
    bare = ENTITIES.sub(lambda match: "" if match[0] in meant else match[0], text)
    if any(character in bare for character in {"&", "<", *meant.values()} - BLANK):
        return text
    return ENTITIES.sub(lambda match: meant.get(match[0], match[0]), text)


class Repaired(NamedTuple):
    """Texts, ``large_string[N]``; by index why some could not be repaired; what was changed of each."""

    texts: pa.Array
    failures: dict[int, str]
    changes: Changes


def _counted(kind: str, before: pa.Array, after: pa.Array, counts: Changes) -> pa.Array:
    """`after`, once what makes it another than `before` is added to `counts`."""
    if after is before:
        return after
    changed = pc.not_equal(before, after).to_numpy(zero_copy_only=False)
    if changed.any():
        number = changed.astype(np.int64)
        if kind in CHARACTERS:
            mask = pa.array(changed)
            lengths = [pc.utf8_length(texts.filter(mask)).to_numpy() for texts in (before, after)]
            number[changed] = lengths[0] - lengths[1]
            counts[kind] = counts.get(kind, 0) + number
        else:
            counts[kind] = counts.get(kind, 0) | number
    return after


class Repair:
    """The steps, as configured; see `stage.Config` for what each switch means."""

    def __init__(
        self,
        *,
        mojibake: bool,
        entities: bool,
        ligatures: bool,
        widths: bool,
        quotes: bool,
        controls: bool,
        hidden: bool,
        form: str | None,
        strip: str,
    ) -> None:
        self.suspects = _suspects(ligatures, widths, quotes) if mojibake else None
        self.entities = entities and mojibake
        self.ftfy = ftfy.TextFixerConfig(
            unescape_html=False,  # `decoded` does
            fix_latin_ligatures=ligatures,
            fix_character_width=widths,
            uncurl_quotes=quotes,
            fix_line_breaks=False,
            remove_terminal_escapes=False,
            remove_control_chars=False,
            normalization=None,
            explain=False,
        )
        self.controls = controls
        self.invisible = hidden
        self.form = form
        self.strip = strip

    def __call__(self, texts: pa.Array) -> Repaired:
        """Repaired texts (null becomes empty), by index why a text could not be, and what was changed.

        A text that could not be repaired is given back as it is.
        """
        texts = texts.fill_null("") if texts.null_count else texts
        failures: dict[int, str] = {}
        changes = {kind: np.zeros(len(texts), np.int64) for kind in CHANGES}
        pending = np.flatnonzero(self._dirty(texts))
        for _ in range(ROUNDS):
            if not len(pending):
                return Repaired(texts, failures, changes)
            before = texts.take(pa.array(pending))
            after, failed, counts = self._once(before)
            for kind, counted in counts.items():
                if kind in CHARACTERS:
                    changes[kind][pending] += counted
                else:  # a text that two rounds work on was changed once
                    changes[kind][pending] |= counted
            failures |= {int(pending[at]): cause for at, cause in failed.items()}
            changed = pc.not_equal(after, before).to_numpy(zero_copy_only=False)
            pending = pending[changed]
            texts = arrays.put(texts, pending, after.filter(pa.array(changed)))
        return Repaired(texts, failures | {int(at): "does not settle" for at in pending}, changes)

    def _dirty(self, texts: pa.Array) -> NDArray[np.bool_]:
        """Which texts any step could change: ``bool[N]``."""
        flags = byte_classes(texts, _table())
        dirty: NDArray[np.bool_] = flags != 0
        if self.strip != "none" and len(texts):
            span = one_span(texts)
            filled = span.stops > span.starts
            blank = np.ones(256, np.bool_)
            blank[33:127] = False
            at, last = span.starts[filled], span.stops[filled] - 1
            dirty[filled] |= blank[span.data[at]] | blank[span.data[last]]
        return dirty

    def _once(self, texts: pa.Array) -> tuple[pa.Array, dict[int, str], Changes]:
        flags = np.bitwise_or.reduce(byte_classes(texts, _table()), initial=np.uint64(0))
        failures: dict[int, str] = {}
        counts: Changes = {}

        def replaced(kind: str, pattern: str, by: str) -> pa.Array:
            return _counted(
                kind, texts, pc.replace_substring_regex(texts, pattern=pattern, replacement=by), counts
            )

        if flags & RETURN and self.controls:
            texts = replaced("line_breaks", RETURNS, "\n")
        if flags & CONTROL and self.controls:
            texts = replaced("controls", ESCAPES, "")
        if flags & (AMPERSAND | WIDE) and self.entities:
            texts = _counted("entities", texts, self._decoded(texts), counts)
            flags |= WIDE  # an entity may stand for anything
        if flags & (AMPERSAND | WIDE) and self.suspects:
            repaired, failures = self._ftfy(texts)
            texts = _counted("repaired", texts, repaired, counts)
        if flags & (CONTROL | WIDE) and self.controls:
            texts = replaced("line_breaks", BREAKS, "\n")
            texts = replaced("controls", CONTROLS, "")
        if flags & WIDE and self.invisible:
            texts = _counted("invisible", texts, self._seen(texts), counts)
        if flags & WIDE and self.form:
            texts = _counted("normalised", texts, pc.utf8_normalize(texts, form=self.form), counts)
        return _counted("stripped", texts, self._stripped(texts), counts), failures, counts

    def _seen(self, texts: pa.Array) -> pa.Array:
        found = pc.match_substring_regex(texts, pattern=invisible.SUSPECTS).to_numpy(zero_copy_only=False)
        suspects = np.flatnonzero(found)
        if not len(suspects):
            return texts
        after = [invisible.seen(text) for text in texts.take(pa.array(suspects)).to_pylist()]
        return arrays.put(texts, suspects, pa.array(after, pa.large_string()))

    def _decoded(self, texts: pa.Array) -> pa.Array:
        found = pc.match_substring_regex(texts, pattern=ENTITY).to_numpy(zero_copy_only=False)
        suspects = np.flatnonzero(found)
        if not len(suspects):
            return texts
        after = [decoded(text) for text in texts.take(pa.array(suspects)).to_pylist()]
        return arrays.put(texts, suspects, pa.array(after, pa.large_string()))

    def _ftfy(self, texts: pa.Array) -> tuple[pa.Array, dict[int, str]]:
        found = pc.match_substring_regex(texts, pattern=self.suspects).to_numpy(zero_copy_only=False)
        suspects = np.flatnonzero(found)
        repaired, failures = [], {}
        for at, text in zip(suspects, texts.take(pa.array(suspects)).to_pylist(), strict=True):
            try:
                repaired.append(ftfy.fix_text(text, self.ftfy))
            except Exception as error:  # noqa: BLE001 - whatever it is, it costs this row only
                failures[int(at)] = type(error).__name__
                repaired.append(text)
        return arrays.put(texts, suspects, pa.array(repaired, pa.large_string())), failures

    def _stripped(self, texts: pa.Array) -> pa.Array:
        if self.strip == "none":
            return texts
        if self.strip == "all":
            return pc.utf8_trim_whitespace(texts)
        texts = pc.utf8_rtrim_whitespace(texts)
        texts = pc.replace_substring_regex(texts, pattern=r"\A\s*\n", replacement="")
        return pc.replace_substring_regex(texts, pattern=r"\A ([^ \t])", replacement=r"\1")
