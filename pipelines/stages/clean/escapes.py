r"""Texts that were written as JSON and read as plain text: ``\n`` for a line break, ``\u00e9`` for a letter.

What: a text without a line break of its own, in which ``\n`` stands before what is no small letter (a command
of TeX, a path), or a letter as ``\u`` and four digits. As a string of JSON it is decoded whole; where it is
none (a quotation mark is bare), line breaks, tabs, letters and quotation marks are. JSON itself stays: its
strings are to be escaped.

Cost: a look by RE2; some microseconds a text that has one.
"""

import json
import re

SUSPECTS = r"\\n(?:[^a-z'\"]|\z)|\\u[0-9a-fA-F]{4}"
ONE = re.compile(r"\\(?:(u[0-9a-fA-F]{4})|r\\n|([nrt\"]))")
KNOWN = {"n": "\n", "r": "\n", "t": "\t", '"': '"'}


def decoded(text: str) -> tuple[str, int]:
    """`text` with its escapes decoded, and 1; or as it is, and 0."""
    if "\n" in text or text.lstrip()[:1] in ("{", "["):
        return text, 0
    try:
        made = json.loads(f'"{text}"', strict=False)
    except ValueError:
        made = ONE.sub(_one, text)
    if not isinstance(made, str) or any("\ud800" <= c <= "\udfff" for c in made):  # half a pair is no text
        return text, 0
    return made, int(made != text)


def _one(found: re.Match[str]) -> str:
    if found[1]:
        return chr(int(found[1][1:], 16))
    return KNOWN[found[2]] if found[2] else "\n"
