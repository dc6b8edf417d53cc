"""What a chat template puts around contents, taken off decoded runs again: "user" is nobody's word.

A template is rendered on conversations of placeholders; what stands between those, cut at special tokens,
is a *frame*: heads before a content, tails behind one, whole runs of its own (a default system prompt).
Templates without special tokens have separators, at which a run is cut.

Left on, frames would change what is found: context words lie in role names.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from headrace.pipelines.stages.tokenise.template import SLOT, Refusal
from headrace.pipelines.stages.tokenise.tokenizer import Tokenizer

SHAPES = (
    ("user", "assistant"),
    ("system", "user", "assistant", "user", "assistant"),
    ("user", "assistant", "tool", "assistant"),
    ("user", "user", "assistant", "assistant", "user"),
)


class Contents(NamedTuple):
    """What runs hold but for their frames: large_string[M], the place of each one's role in `Frames.roles`,
    and of its run among the runs, int64[M]."""

    texts: pa.Array
    speakers: NDArray[np.int64]
    runs: NDArray[np.int64]


class Frames(NamedTuple):
    """Heads and tails of runs, runs without a content, and what stands between contents in one run.

    Each head with the special token before it (-1: none) and the role that speaks after it, or "" where
    several do.
    """

    heads: tuple[tuple[str, int, str], ...]
    tails: tuple[str, ...]
    alone: frozenset[str]
    between: tuple[str, ...]

    @property
    def roles(self) -> tuple[str, ...]:
        """Roles by number; the first is "", which says that it cannot be told."""
        return ("", *sorted({role for _, _, role in self.heads} - {""}))

    def contents(self, runs: pa.Array, before: NDArray[np.int64]) -> Contents:
        """What runs (large_string[N]) hold but for their frames, empty ones left out.

        `before` int64[N]: the special token before each.
        """
        places = np.flatnonzero(~_mask(pc.is_in(runs, pa.array(sorted(self.alone), pa.large_string()))))
        if len(places) < len(runs):
            runs, before = runs.take(pa.array(places)), before[places]
        heads, tails = np.zeros(len(runs), np.int64), np.zeros(len(runs), np.int64)
        speakers, headed = np.zeros(len(runs), np.int64), np.zeros(len(runs), np.bool_)
        for head, token, role in self.heads:
            here = ~headed & (before == token) & _mask(pc.starts_with(runs, head))
            heads[here], speakers[here] = len(head.encode()), self.roles.index(role)
            headed |= here
        left = pc.binary_length(runs).to_numpy() - heads
        for tail in self.tails:
            size = len(tail.encode())
            tails[(tails == 0) & (left >= size) & _mask(pc.ends_with(runs, tail))] = size
        texts = _trimmed(runs, heads, tails)
        if self.between:
            parts = pc.split_pattern_regex(texts, "|".join(map(_quoted, self.between)))
            sizes = pc.list_value_length(parts).to_numpy().astype(np.int64)
            texts = parts.flatten()
            speakers = np.repeat(np.where(sizes == 1, speakers, 0), sizes)
            places = np.repeat(places, sizes)
        said = _mask(pc.greater(pc.binary_length(texts), 0))
        return Contents(texts.filter(pa.array(said)), speakers[said], places[said])


def _mask(found: pa.Array) -> NDArray[np.bool_]:
    return np.asarray(found.to_numpy(zero_copy_only=False), np.bool_)


def _trimmed(texts: pa.Array, heads: NDArray[np.int64], tails: NDArray[np.int64]) -> pa.Array:
    """Texts (large_string[N], no nulls) less so many bytes at their begins and ends."""
    if not len(texts) or not (heads.any() or tails.any()):
        return texts
    ends = np.frombuffer(texts.buffers()[1], np.int64)[texts.offset : texts.offset + len(texts) + 1]
    cut = np.empty(2 * len(texts) + 1, np.int64)  # what is trimmed and what is left in turn
    cut[0], cut[1::2], cut[2::2] = ends[0], ends[:-1] + heads, ends[1:] - tails
    pieces = pa.LargeStringArray.from_buffers(len(cut) - 1, pa.py_buffer(cut), texts.buffers()[2])
    return pieces.take(pa.array(np.arange(1, len(cut), 2)))


def _quoted(text: str) -> str:
    """Pattern of RE2 for nothing but `text`."""
    return "".join(f"\\x{{{ord(character):x}}}" for character in text)


def frames(tokenizer: Tokenizer) -> Frames:
    """The frames of the tokenizer's chat template."""
    heads: dict[tuple[str, int], set[str]] = {}
    tails, alone, between = set[str](), set[str](), set[str]()
    for roles, constants in _constants(tokenizer):
        for place, constant in enumerate(constants):
            first, *rest = tokenizer.specials.split(constant) if tokenizer.special else [constant]
            last = place == len(constants) - 1
            if rest:
                tails.add(first)
                alone |= {*rest[:-1], *(rest[-1:] if last else ())}
            elif last:
                tails.add(constant)
            elif place and not constant.isspace():
                between.add(constant)
            if not last and (rest or not place):
                token = tokenizer.specials.findall(constant)[-1] if rest else None
                key = (rest or [constant])[-1], tokenizer.special[token] if token else -1
                heads.setdefault(key, set()).add(roles[place])
    ordered = sorted(heads, key=lambda key: (-len(key[0]), key))
    said = [(*key, min(heads[key]) if len(heads[key]) == 1 else "") for key in ordered]
    return Frames(tuple(said), _long_first(tails), frozenset(alone), _long_first(between))


def _constants(tokenizer: Tokenizer) -> Iterator[tuple[tuple[str, ...], list[str]]]:
    """Roles of each shape that the template takes, and what stands before, between and behind contents."""
    for roles in SHAPES if tokenizer.template is not None else ():
        try:
            parts = tokenizer.marking.cut(tuple((role, SLOT) for role in roles)).parts
        except Refusal:
            continue
        constants = [""]
        for part in parts:
            if part.slot >= 0:
                constants.append("")
            else:
                constants[-1] += part.text
        yield roles, constants


def _long_first(texts: set[str]) -> tuple[str, ...]:
    return tuple(sorted(texts - {""}, key=lambda text: (-len(text), text)))
