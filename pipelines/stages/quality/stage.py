"""Quality: a score for every row, and named rules that drop what cannot be worth learning.

What: each message is measured once (`kernels.textstats`): characters, letters and digits of any script,
U+FFFD, and how much of it stood in it before. A row that breaks a rule is dropped:

==========================  =============================================================================
``quality.too_short``       fewer than `shortest` characters that are not white space, over all messages
``quality.too_long``        more than `longest` characters
``quality.no_letters``      not one letter, digit or ideograph of any script
``quality.symbols``         more than `symbols` of what is visible is neither letter nor digit
``quality.replacements``    more than `replacements` of the characters are U+FFFD, the mark of a lost one
``quality.repetition``      more than `repetition` of the row, or of one answer or plain text, repeats itself
``quality.echo``            every assistant turn is the turn before it over again, and no system prompt asks
                            for a text to be corrected, reworded or the like, which some need not be
``quality.empty_answer``    every assistant turn is blank (only where clean keeps empty messages)
``quality.phrase``          an assistant turn or plain text holds one of `phrases`
==========================  =============================================================================

The first that holds, in this order, is the reason. Every rule is off when its setting is null (or false, or
empty). The defaults are meant to drop nothing that is language: no rule asks for Latin letters, for English
words or for a least length of an answer ("true" and "7" are answers), and the shares are judged only in
texts long enough to have one.

The score, kept as `quality.score` (float32, 0 to 1), is the product of three shares over the whole row:

    text    = min(1, 2 * (letters + digits) / visible characters)
    fresh   = 1 - repeated windows / windows             (1 where there are none)
    intact  = max(0, 1 - 20 * replacements / characters)

so it is 1 for text that is mostly letters, says nothing twice and lost nothing. Among duplicates the row
with the higher score stays. It says nothing about whether an answer is right.

Cost: one pass over the bytes, about 200 MB/s; `phrases` another.
Source: rules in the manner of Gopher (https://arxiv.org/abs/2112.11446, appendix A), without those that are
about English.
"""

import unicodedata

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from headrace.kernels.textstats import Statistics, measure
from headrace.pipelines import arrays, schema
from headrace.pipelines.stages.quality.config import Config as Config

NAME = "quality"
VERSION = 2
LEAST_VISIBLE = 100  # characters from which on a share of symbols or lost characters means something
LEAST_WINDOWS = 400  # windows (about bytes) from which on repetition means something
# What a system prompt asks for that gives some texts back as they are.
GIVES_BACK = (
    r"(?i)\b(?:grammar|grammatical|spelling|proofread|punctuation|rewrites?|rephrase|paraphrase|reword|polish"
    r"|translates?|translator|anonymi[sz]e|redact|transcribe|normali[sz]e"
    r"|correct (?:the|any|all|what|errors|mistakes)|copy|repeat|grammatik|rechtschreibung|korrigier\w*"
    r"|corrige\w*|orthographe|grammaire|ortograf\w*|gramática)\b"
)
LEAST_ECHO = 16  # characters of an answer from which on an echo is no greeting or label
RULES = (
    "too_short",
    "too_long",
    "no_letters",
    "symbols",
    "replacements",
    "repetition",
    "echo",
    "empty_answer",
    "phrase",
)


def versions() -> dict[str, str]:
    """Libraries that decide what this stage writes."""
    return {"pyarrow": pa.__version__, "unicode": unicodedata.unidata_version}


def apply(table: pa.Table, config: Config) -> pa.Table:
    """`table` with the column `quality` (``schema.QUALITY``, null for marked rows) and rows marked."""
    live = schema.live(table)
    roles, rows, texts = schema.contents(table)
    messages = measure(texts)
    edges = np.searchsorted(rows, np.arange(table.num_rows + 1))
    whole = Statistics(*(np.diff(arrays.offsets(counts)[edges]) for counts in messages))  # sums of each row
    said = pc.is_in(roles, pa.array(["assistant", "text", schema.REJECTED])).to_numpy(zero_copy_only=False)
    broken = _shares(whole, config)
    if config.repetition is not None:
        loops = said & _repeats(messages, config.repetition)
        broken["repetition"] = _repeats(whole, config.repetition) | _any(loops, rows, table.num_rows)
    if config.echo:
        broken["echo"] = _echoes(roles, rows, texts, messages, table.num_rows)
    if config.empty_answer:
        answers = pc.equal(roles, "assistant").to_numpy(zero_copy_only=False)
        blank = messages.characters == messages.spaces
        answered = _any(answers & ~blank, rows, table.num_rows)
        broken["empty_answer"] = _any(answers, rows, table.num_rows) & ~answered
    if config.phrases:
        broken["phrase"] = _any(said & _phrases(texts, config.phrases), rows, table.num_rows)
    score = pa.StructArray.from_arrays(
        [pa.array(_score(whole))], fields=list(schema.QUALITY), mask=pc.invert(live)
    )
    return schema.mark(table.append_column("quality", score), "drop", _reasons(broken, table.num_rows))


def _shares(whole: Statistics, config: Config) -> dict[str, NDArray[np.bool_]]:
    """The rules that look at counts of the whole row: ``bool[rows]`` each."""
    visible = whole.characters - whole.spaces
    words = whole.letters + whole.digits
    long = visible >= LEAST_VISIBLE
    broken: dict[str, NDArray[np.bool_]] = {}
    if config.shortest is not None:
        broken["too_short"] = visible < config.shortest
    if config.longest is not None:
        broken["too_long"] = whole.characters > config.longest
    if config.letters:
        broken["no_letters"] = words == 0
    if config.symbols is not None:
        broken["symbols"] = long & (visible - words - whole.replacements > config.symbols * visible)
    if config.replacements is not None:
        broken["replacements"] = long & (whole.replacements > config.replacements * whole.characters)
    return broken


def _repeats(counts: Statistics, share: float) -> NDArray[np.bool_]:
    looped: NDArray[np.bool_] = counts.repeated > share * counts.windows
    return looped & (counts.windows >= LEAST_WINDOWS)


def _echoes(
    roles: pa.Array, rows: NDArray[np.int64], texts: pa.Array, messages: Statistics, n_rows: int
) -> NDArray[np.bool_]:
    """Rows whose every assistant turn equals the turn before it, one of them worth the name."""
    answers = pc.equal(roles, "assistant").to_numpy(zero_copy_only=False)
    alike = np.zeros(len(rows), np.bool_)
    # Equal folded texts have as many visible characters: only such neighbours are compared.
    visible = messages.characters - messages.spaces
    pairs = 1 + np.flatnonzero(answers[1:] & (rows[1:] == rows[:-1]) & (visible[1:] == visible[:-1]))
    folded = [pc.utf8_lower(pc.utf8_trim_whitespace(texts.take(pa.array(pairs - back)))) for back in (0, 1)]
    alike[pairs] = pc.equal(*folded).fill_null(False).to_numpy(zero_copy_only=False)
    systems = np.flatnonzero(pc.equal(roles, "system").to_numpy(zero_copy_only=False))
    named = texts.take(pa.array(systems)).dictionary_encode()
    back = pc.match_substring_regex(named.dictionary, GIVES_BACK).take(named.indices).fill_null(False)
    other = _any(answers & ~alike, rows, n_rows)
    other[rows[systems[back.to_numpy(zero_copy_only=False)]]] = True
    return _any(alike & (messages.characters >= LEAST_ECHO), rows, n_rows) & ~other


def _phrases(texts: pa.Array, phrases: tuple[str, ...]) -> NDArray[np.bool_]:
    found = np.zeros(len(texts), np.bool_)
    for phrase in phrases:
        hit = pc.match_substring(texts, pattern=phrase, ignore_case=True).fill_null(False)
        found |= hit.to_numpy(zero_copy_only=False)
    return found


def _score(whole: Statistics) -> NDArray[np.float32]:
    """The score of the module's docstring: ``float32[rows]``."""
    visible = np.maximum(whole.characters - whole.spaces, 1)
    text = np.minimum(1.0, 2.0 * (whole.letters + whole.digits) / visible)
    fresh = 1.0 - whole.repeated / np.maximum(whole.windows, 1)
    intact = np.maximum(0.0, 1.0 - 20.0 * whole.replacements / np.maximum(whole.characters, 1))
    score: NDArray[np.float32] = (text * fresh * intact).astype(np.float32)
    return score


def _reasons(broken: dict[str, NDArray[np.bool_]], n_rows: int) -> pa.Array:
    """The first broken rule of each row, as a reason or null."""
    first = np.full(n_rows, len(RULES), np.int8)
    for at, rule in reversed(list(enumerate(RULES))):
        if rule in broken:
            first[broken[rule]] = at
    return pa.array([*(f"quality.{rule}" for rule in RULES), None], pa.string()).take(pa.array(first))


def _any(mask: NDArray[np.bool_], rows: NDArray[np.int64], n_rows: int) -> NDArray[np.bool_]:
    """Whether a row has a message under `mask`: ``bool[n_rows]``."""
    owners = np.zeros(n_rows, np.bool_)
    owners[rows[mask]] = True
    return owners
