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
from collections.abc import Callable
from itertools import chain, islice
from typing import NamedTuple

import ftfy
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from headrace.kernels.arrow import one_span
from headrace.kernels.textstats import character_classes
from headrace.pipelines import arrays
from headrace.pipelines.stages.clean import invisible, suspects
from headrace.pipelines.stages.clean.suspects import (
    AMPERSAND,
    BAD,
    BLANK,
    CONTROL,
    ESCAPE,
    FORM,
    HIDDEN,
    RETURN,
)

# What is counted of a text: characters that went, or else 1 where the step changed it.
CHARACTERS = ("controls", "invisible", "stripped")
CHANGES = ("line_breaks", *CHARACTERS, "entities", "repaired", "normalised")
Changes = dict[str, NDArray[np.int64]]  # by kind, int64[N]
Flags = NDArray[np.uint16]  # of each text, bits of `suspects`
BARE = {" ", "\u00a0"}  # anywhere, whether a text is escaped or not
ROUNDS = 10  # texts settle after one or two; one that does not is set aside

FIRSTS = np.isin(np.arange(256), [*b"\t\n\f\r "])  # what RE2 has for white space
RETURNS = r"\r\n?"
ESCAPES = r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[()*+][0-9A-Za-z]|[=>78])"
ENTITY = r"&#?[0-9A-Za-z]{1,24};"
# An entity that stands between backticks or quotation marks is written about, not meant.
QUOTED = re.compile(rf"[`'\"\u2018\u201c\u00ab]{ENTITY}[`'\"\u2019\u201d\u00bb]", re.ASCII)
ENTITIES = re.compile(ENTITY, re.ASCII)


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
    if any(character in bare for character in {"&", "<", *meant.values()} - BARE):
        return text
    return ENTITIES.sub(lambda match: meant.get(match[0], match[0]), text)


class Repaired(NamedTuple):
    """Texts, ``large_string[N]``; by index why some could not be repaired; what was changed of each."""

    texts: pa.Array
    failures: dict[int, str]
    changes: Changes


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
        self.mojibake = mojibake
        self.suspects = suspects.mojibake(ligatures, widths, quotes)
        self.table = suspects.table(form, self.suspects)
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
        self.blank = np.uint16(0) if strip == "none" else BLANK
        self.asked = self._asked()

    def _asked(self) -> np.uint16:
        """The bits of the steps that are on."""
        on = {
            RETURN | ESCAPE | CONTROL: self.controls,
            AMPERSAND: self.entities,
            BAD: self.mojibake,
            HIDDEN: self.invisible,
            FORM: self.form is not None,
        }
        bits: np.uint16 = np.bitwise_or.reduce([np.uint16(0), *(own for own, asked in on.items() if asked)])
        return bits

    def __call__(self, texts: pa.Array) -> Repaired:
        """Repaired texts (null becomes empty), by index why a text could not be, and what was changed.

        A text that could not be repaired is given back as it is.
        """
        texts = texts.fill_null("") if texts.null_count else texts
        failures: dict[int, str] = {}
        changes = {kind: np.zeros(len(texts), np.int64) for kind in CHANGES}
        flags = self._flags(texts)
        # Most have nothing but white space at their ends, which one look settles.
        ends = np.flatnonzero(flags == BLANK)
        settled, made = [ends], [self._trimmed(texts.take(pa.array(ends)), ends, changes["stripped"])]
        pending = np.flatnonzero(flags & ~BLANK)
        those, flags = texts.take(pa.array(pending)), flags[pending]
        for _ in range(ROUNDS):
            if not len(pending):
                break
            work = _Work(those, flags)
            failures |= {int(pending[at]): cause for at, cause in self._once(work).items()}
            for kind, counted in work.counts.items():
                if kind in CHARACTERS:
                    changes[kind][pending] += counted
                else:  # a text that two rounds work on was changed once
                    changes[kind][pending] |= counted
            flags = np.zeros(len(pending), np.uint16)
            flags[work.changed] = self._flags(work.texts.filter(pa.array(work.changed)))
            again = flags != 0
            settled.append(pending[~again])
            made.append(work.texts.filter(pa.array(~again)))
            pending, those, flags = pending[again], work.texts.filter(pa.array(again)), flags[again]
        failures |= {int(at): "does not settle" for at in pending}
        places = np.concatenate([*settled, pending])
        return Repaired(arrays.put(texts, places, pa.concat_arrays([*made, those])), failures, changes)

    def _trimmed(self, texts: pa.Array, at: NDArray[np.int64], counts: NDArray[np.int64]) -> pa.Array:
        """Texts that nothing could change but this, stripped; their places in `counts` are added to."""
        after = self._stripped(texts)
        counts[at] += pc.subtract(pc.utf8_length(texts), pc.utf8_length(after)).to_numpy()
        return after

    def _flags(self, texts: pa.Array) -> Flags:
        """What could be done to each text."""
        inside, edges = character_classes(texts, self.table)
        flags = (inside & self.asked) | (edges & self.blank)
        bad = np.flatnonzero(flags & BAD)
        found = _found(texts.take(pa.array(bad)), self.suspects)
        flags[bad[~found]] &= ~BAD
        return flags

    def _once(self, work: "_Work") -> dict[int, str]:
        """One round of the steps; returns by index why some texts could not be repaired."""
        failures: dict[int, str] = {}

        def repaired(texts: pa.Array, at: NDArray[np.int64]) -> pa.Array:
            after, failed = self._ftfy(texts)
            failures.update({int(at[place]): cause for place, cause in failed.items()})
            return after

        if self.controls:
            work.step("line_breaks", RETURN, _replacing(RETURNS, "\n"))
            work.step("controls", ESCAPE, _replacing(ESCAPES, ""))
        if self.entities:
            work.step("entities", AMPERSAND, _decoded)
        if self.mojibake:
            work.step("repaired", BAD, repaired)
        if self.controls:
            work.step("line_breaks", CONTROL, _replacing(suspects.BREAKS, "\n"))
            work.step("controls", CONTROL, _replacing(suspects.CONTROLS, ""))
        if self.invisible:
            work.step("invisible", HIDDEN, _seen)
        if self.form:
            work.step("normalised", FORM, lambda texts, _: pc.utf8_normalize(texts, form=self.form))
        if self.strip != "none":
            work.step("stripped", BLANK, lambda texts, _: self._stripped(texts))
        return failures

    def _ftfy(self, texts: pa.Array) -> tuple[pa.Array, dict[int, str]]:
        """What ftfy makes of each line that looks broken: it takes texts line by line itself."""
        bad = np.flatnonzero(_found(texts, self.suspects))
        lines = [_lines(text) for text in texts.take(pa.array(bad)).to_pylist()]
        broken = iter(_found(pa.array(chain.from_iterable(lines), pa.large_string()), self.suspects).tolist())
        repaired, failures = [], {}
        fixed = functools.cache(functools.partial(ftfy.fix_text, config=self.ftfy))  # lines come twice
        for at, own in zip(bad, lines, strict=True):
            asked = list(islice(broken, len(own)))
            try:
                made = [fixed(line) if odd else line for line, odd in zip(own, asked, strict=True)]
            except Exception as error:  # noqa: BLE001 - whatever it is, it costs this row only
                failures[int(at)] = type(error).__name__
                made = own
            repaired.append("".join(made))
        return arrays.put(texts, bad, pa.array(repaired, pa.large_string())), failures

    def _stripped(self, texts: pa.Array) -> pa.Array:
        if self.strip == "all":
            return pc.utf8_trim_whitespace(texts)
        texts = pc.utf8_rtrim_whitespace(texts)
        span = one_span(texts)
        blank = span.stops > span.starts
        blank[blank] = FIRSTS[span.data[span.starts[blank]]]
        at = np.flatnonzero(blank)  # few: most end in white space
        some = pc.replace_substring_regex(texts.take(pa.array(at)), pattern=r"\A\s*\n", replacement="")
        some = pc.replace_substring_regex(some, pattern=r"\A ([^ \t])", replacement=r"\1")
        return arrays.put(texts, at, some)


# From some of the texts, and their places among those of the round, to what becomes of them.
Change = Callable[[pa.Array, NDArray[np.int64]], pa.Array]


class _Work:
    """The texts of a round: as they are by now, what could still be done to each, and what was counted."""

    def __init__(self, texts: pa.Array, flags: Flags) -> None:
        self.texts = texts
        self.flags = flags
        self.changed = np.zeros(len(texts), np.bool_)
        self.counts: Changes = {}

    def step(self, kind: str, bit: np.uint16, change: Change) -> None:
        """Change the texts that have this bit; those that became others may need any later step."""
        at = np.flatnonzero(self.flags & bit)
        if not len(at):
            return
        before = self.texts.take(pa.array(at))
        after = change(before, at)
        changed = pc.not_equal(before, after).to_numpy(zero_copy_only=False)
        if not changed.any():
            return
        if changed.all() and len(at) == len(self.texts):
            self.texts = after
        else:
            mask, at = pa.array(changed), at[changed]
            before, after = before.filter(mask), after.filter(mask)
            self.texts = arrays.put(self.texts, at, after)
        self.changed[at] = True
        self.flags[at] = suspects.ALL
        counted = self.counts.setdefault(kind, np.zeros(len(self.texts), np.int64))
        if kind in CHARACTERS:
            counted[at] += pc.subtract(pc.utf8_length(before), pc.utf8_length(after)).to_numpy()
        else:
            counted[at] = 1


def _lines(text: str) -> list[str]:
    """The lines of a text, each with the line break that ends it."""
    *ended, last = text.split("\n")
    return [*(f"{line}\n" for line in ended), last]


def _replacing(pattern: str, by: str) -> Change:
    return lambda texts, _: pc.replace_substring_regex(texts, pattern=pattern, replacement=by)


def _found(texts: pa.Array, pattern: str) -> NDArray[np.bool_]:
    found: NDArray[np.bool_] = pc.match_substring_regex(texts, pattern=pattern).to_numpy(zero_copy_only=False)
    return found


def _each(texts: pa.Array, pattern: str, change: Callable[[str], str]) -> pa.Array:
    """`texts`, those changed that hold `pattern`."""
    at = np.flatnonzero(_found(texts, pattern))
    after = [change(text) for text in texts.take(pa.array(at)).to_pylist()]
    return arrays.put(texts, at, pa.array(after, pa.large_string()))


def _decoded(texts: pa.Array, _: NDArray[np.int64]) -> pa.Array:
    return _each(texts, ENTITY, decoded)


def _seen(texts: pa.Array, _: NDArray[np.int64]) -> pa.Array:
    return _each(texts, invisible.SUSPECTS, invisible.seen)
