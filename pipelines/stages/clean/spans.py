"""What of a text is prose: everything but code in fences and between backticks, addresses and structures.

Cost: one regular expression over texts that hold a backtick, a tilde, an at sign or ``://``.
"""

import re
from collections.abc import Callable, Iterator

from headrace.pipelines.structure import CLOSE, OPEN

FENCE = re.compile(
    r"^([ \t]{0,3}(?:> ?)*)(?P<fence>`{3,}|~{3,})(?P<about>[^\n`]*)\n(?P<code>.*?)"
    r"(?:^[ \t]{0,3}(?:> ?)*(?P=fence)[`~]*[ \t]*$|\Z)",
    re.DOTALL | re.MULTILINE,
)
# Code between backticks stays within its line; one address, mail or path of the web, is no prose either.
APART = re.compile(
    rf"{FENCE.pattern}|(?P<ticks>`+)(?!`)[^\n]*?(?<!`)(?P=ticks)(?!`)"
    rf"|[^\s<>\"']*(?:://|@)[^\s<>\"']*|\bwww\.\S+|{OPEN}[^{CLOSE}]*{CLOSE}",
    re.DOTALL | re.MULTILINE,
)


def prose(text: str) -> Iterator[tuple[bool, str]]:
    """`text` in pieces, each with whether it is prose."""
    last = 0
    for apart in APART.finditer(text):
        if apart.start() > last:
            yield True, text[last : apart.start()]
        yield False, apart[0]
        last = apart.end()
    if last < len(text):
        yield True, text[last:]


def in_prose(text: str, change: Callable[[str], tuple[str, int]]) -> tuple[str, int]:
    """`text` with its prose changed, and how often it was: `change` says both of a piece."""
    pieces, changes = [], 0
    for is_prose, piece in prose(text):
        if is_prose:
            piece, n = change(piece)
            changes += n
        pieces.append(piece)
    return "".join(pieces), changes
