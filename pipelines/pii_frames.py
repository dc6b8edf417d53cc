"""What a chat template puts around contents, taken off decoded runs again: "user" is nobody's word.

A template is rendered on conversations of placeholders; what stands between those, cut at special tokens,
is a *frame*: heads before a content, tails behind one, whole runs of its own (a default system prompt).
Templates without special tokens have separators, at which a run is cut.

Left on, frames would change what is found: context words lie in role names.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

from pipelines.template import SLOT, Refusal
from pipelines.tokenizer import Tokenizer

SHAPES = (
    ("user", "assistant"),
    ("system", "user", "assistant", "user", "assistant"),
    ("user", "assistant", "tool", "assistant"),
    ("user", "user", "assistant", "assistant", "user"),
)


class Frames(NamedTuple):
    """Heads and tails of runs, runs without a content, and what stands between contents in one run.

    Each head with the special token before it (-1: none) and the role that speaks after it, or "" where
    several do.
    """

    heads: tuple[tuple[str, int, str], ...]
    tails: tuple[str, ...]
    alone: frozenset[str]
    between: re.Pattern[str] | None

    def contents(self, run: str, before: int) -> list[tuple[str, str]]:
        """What a run behind special token `before` holds but for its frame, each with its role.

        The role is "" where it cannot be told.
        """
        if run in self.alone:
            return []
        matching = (h for h in self.heads if h[1] == before and run.startswith(h[0]))
        head, _, role = next(matching, ("", before, ""))
        run = run[len(head) :]
        tail = next((t for t in self.tails if run.endswith(t)), "")
        run = run[: len(run) - len(tail)]
        parts = self.between.split(run) if self.between else [run]
        return [(role if len(parts) == 1 else "", part) for part in parts if part]


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
    cut = re.compile("|".join(map(re.escape, _long_first(between)))) if between - {""} else None
    ordered = sorted(heads, key=lambda key: (-len(key[0]), key))
    said = [(*key, min(heads[key]) if len(heads[key]) == 1 else "") for key in ordered]
    return Frames(tuple(said), _long_first(tails), frozenset(alone), cut)


def _constants(tokenizer: Tokenizer) -> Iterator[tuple[tuple[str, ...], list[str]]]:
    """Roles of each shape that the template takes, and what stands before, between and behind contents."""
    for roles in SHAPES if tokenizer.template is not None else ():
        assert tokenizer.template is not None
        try:
            parts = tokenizer.template.cut(tuple((role, SLOT) for role in roles))
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
