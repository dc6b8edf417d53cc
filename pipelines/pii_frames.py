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

    Each head with the role that speaks after it, or "" where several do.
    """

    heads: tuple[tuple[str, str], ...]
    tails: tuple[str, ...]
    alone: frozenset[str]
    between: re.Pattern[str] | None

    def contents(self, run: str) -> list[tuple[str, str]]:
        """What a run holds but for its frame, each with its role, or "" where that cannot be told."""
        if run in self.alone:
            return []
        head, role = next((h for h in self.heads if run.startswith(h[0])), ("", ""))
        run = run[len(head) :]
        tail = next((t for t in self.tails if run.endswith(t)), "")
        run = run[: len(run) - len(tail)]
        parts = self.between.split(run) if self.between else [run]
        return [(role if len(parts) == 1 else "", part) for part in parts if part]


def frames(tokenizer: Tokenizer) -> Frames:
    """The frames of the tokenizer's chat template."""
    heads: dict[str, set[str]] = {}
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
                heads.setdefault((rest or [constant])[-1], set()).add(roles[place])
    cut = re.compile("|".join(map(re.escape, _long_first(between)))) if between - {""} else None
    said = [(head, min(heads[head]) if len(heads[head]) == 1 else "") for head in _long_first(set(heads))]
    return Frames(tuple(said), _long_first(tails), frozenset(alone), cut)


def _long_first(texts: set[str]) -> tuple[str, ...]:
    return tuple(sorted(texts - {""}, key=lambda text: (-len(text), text)))


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
