"""Indentation of code within fences, made one kind.

What: with ``spaces`` the tabs before a line's first character become spaces, up to the next of `width`
columns. With ``tabs`` the spaces become tabs, one for each step of the block: the largest number of spaces
that all its lines are indented by a multiple of; a block that is indented in no such steps stays. Fences of
make keep their tabs and those of YAML their spaces, as the languages ask for; the text of a line stays.

Cost: a look by RE2; a pass over texts with a fence and an indented line.
"""

import math
import re
from typing import Literal

from headrace.pipelines.stages.clean.spans import FENCE

SUSPECTS = r"(?s)(?:```|~~~).*\n[ \t]"
INDENT = re.compile(r"^[ \t]+(?=[^ \t\n])", re.MULTILINE)
KEEPS = {"spaces": {"make", "makefile", "mk"}, "tabs": {"yaml", "yml"}}


def one_kind(text: str, kind: Literal["spaces", "tabs"], width: int) -> str:
    """`text` with the code in its fences indented by one kind of white space."""

    def change(match: re.Match[str]) -> str:
        language = match["about"].strip().lower().split(" ")[0]
        if language in KEEPS[kind]:
            return match[0]
        start, end = (at - match.start() for at in match.span("code"))
        code = match["code"]
        return match[0][:start] + _code(code, kind, width) + match[0][end:]

    return FENCE.sub(change, text)


def _code(code: str, kind: Literal["spaces", "tabs"], width: int) -> str:
    if kind == "spaces":
        return INDENT.sub(lambda indent: indent[0].expandtabs(width), code)
    found = [indent[0] for indent in INDENT.finditer(code)]
    if not any(" " in indent for indent in found):
        return code
    step = width if any("\t" in indent for indent in found) else 0
    step = math.gcd(step, *(len(indent.expandtabs(width)) for indent in found))
    if step < 2:
        return code
    return INDENT.sub(lambda indent: "\t" * (len(indent[0].expandtabs(width)) // step), code)
