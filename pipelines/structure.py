"""What a turn holds beside its text: tools, calls, the names of results, kept at the end of its content.

What: a system turn may hold `tools`, an assistant's `tool_calls`, a tool's turn `name` and `tool_call_id`;
`learned: false` stands behind an answer from which nothing is to be learned.
They stand as JSON behind the text, between two characters that no text has (Unicode's noncharacters), and so
in the one column that every stage reads: what looks for personal data, copies or broken letters sees them.

The JSON has line breaks as they are, and each value on a line of its own: a value stands between other
characters than letters, as in any text. Values that masking left without quotation marks are read as text.
"""

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from headrace.kernels.textstats import contains

OPEN, CLOSE = "\ufdd0", "\ufdd1"
KEYS = {
    "system": ("tools",),
    "assistant": ("tool_calls", "content", "learned"),
    "tool": ("name", "tool_call_id"),
    "rejected": ("tool_calls", "content"),
}
_SEALED = re.compile(f"{OPEN}([^{CLOSE}]*){CLOSE}")
# A text in quotation marks, or what stands where a value should and has none.
_VALUE = re.compile(r'"(?:[^"\\]|\\.)*"|[^\s\[\]{}:,"][^\[\]{},"\n]*', re.DOTALL)
_ESCAPED = {r"\n": "\n", r"\t": "\t", r"\r": "\r", r"\f": "\f", r"\b": "\b"}
_CONTROL = re.compile(r"\\(?:[ntrfb\"/\\]|u00[01][0-9a-f])")
# How the arguments of a call were written where they came as JSON text: `json.dumps` with these.
ARGUMENTS: dict[str, dict[str, Any]] = {
    "text": {"ensure_ascii": False},
    "compact": {"ensure_ascii": False, "separators": (",", ":")},
}
Structure = dict[str, Any]


class Sealed(str):
    """A content with a structure that we put there."""

    __slots__ = ()


def sealed(text: str, structure: Mapping[str, Any]) -> Sealed:
    """`text` with `structure` behind it."""
    return Sealed(f"{unmarked(text)}{OPEN}{unmarked(_written(structure))}{CLOSE}")


def unmarked(text: str) -> str:
    """`text` without the two characters: nobody's words are a structure."""
    return text.replace(OPEN, "\ufffd").replace(CLOSE, "\ufffd") if OPEN in text or CLOSE in text else text


def readable(content: str) -> str:
    """`content` as people are shown it: its structure in lines of its own."""
    return content.replace(OPEN, "\n").replace(CLOSE, "") if OPEN in content else content


def text(content: str) -> str:
    """`content` without its structure."""
    return _SEALED.sub("", content)


def bare(contents: pa.Array) -> pa.Array:
    """`contents` without their structures: ``large_string[N] -> large_string[N]``; nulls stay."""
    held = held_by(contents)
    if not held.any():
        return contents
    texts = [text(content) for content in contents.filter(pa.array(held)).to_pylist()]
    return pc.replace_with_mask(contents, held, pa.array(texts, pa.large_string()))


def held_by(contents: pa.Array) -> NDArray[np.bool_]:
    """Which contents hold a structure: ``bool[N]``; a null holds none."""
    return contains(contents, OPEN.encode())


def calling(contents: pa.Array) -> NDArray[np.bool_]:
    """Which contents hold calls of tools: ``bool[N]``."""
    found = held_by(contents)
    held = contents.filter(pa.array(found)).to_pylist()
    found[found] = ['"tool_calls"' in content.partition(OPEN)[2] for content in held]
    return found


def unsealed(role: str, content: str) -> tuple[str, Structure]:
    """The text and the structure of a turn; several (of turns that were merged) become one.

    Raises: ValueError where it is no JSON any more.
    """
    if OPEN not in content:
        return content, {}
    pieces = _SEALED.split(content)
    if any(OPEN in piece or CLOSE in piece for piece in pieces):
        raise ValueError("a structure that is cut")
    texts = [piece for piece in pieces[::2] if piece.strip()] if len(pieces) > 3 else pieces[::2]
    structure: Structure = {}
    for piece in pieces[1::2]:
        for key, value in _read(piece).items():
            if key not in KEYS.get(role, ()):
                continue
            if isinstance(value, list) and isinstance(structure.get(key), list):
                structure[key] = [*structure[key], *value]
            else:
                structure.setdefault(key, value)
    return "".join(texts) if len(pieces) == 3 else "\n".join(t.strip("\n") for t in texts), structure


def unlearned(content: str) -> bool:
    """Whether an assistant's turn says that nothing is to be learned from it."""
    try:
        return unsealed("assistant", content)[1].get("learned") is False
    except ValueError:
        return False


def leaves(content: str) -> list[str]:
    """The texts of which `content` is made: what stands outside of structures, then every text in them."""
    pieces = _SEALED.split(content)
    found = list(pieces[::2])
    for piece in pieces[1::2]:
        _mapped(_read(piece), lambda text: found.append(text) or text)  # type: ignore[func-returns-value]
    return found


def with_leaves(content: str, texts: list[str]) -> str:
    """`content` made of other texts, in the order of `leaves`."""
    pieces = _SEALED.split(content)
    outside, inside = texts[: len(pieces[::2])], iter(texts[len(pieces[::2]) :])
    made = [unmarked(outside[0])]
    for piece, behind in zip(pieces[1::2], outside[1:], strict=True):
        made.append(f"{OPEN}{unmarked(_written(_mapped(_read(piece), lambda _: next(inside))))}{CLOSE}")
        made.append(unmarked(behind))
    return "".join(made)


def _mapped(value: Any, change: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return change(value)
    if isinstance(value, list):
        return [_mapped(one, change) for one in value]
    if isinstance(value, dict):
        return {key: _mapped(one, change) for key, one in value.items()}
    return value


def _written(structure: Any) -> str:
    """JSON with line breaks and the like as they are."""
    written = json.dumps(structure, ensure_ascii=False, indent=0, separators=(",", ": "), default=str)
    return _CONTROL.sub(lambda m: _ESCAPED.get(m[0], m[0]), written)


def _read(written: str) -> Any:
    """What `_written` wrote, also where masking has put something without quotation marks.

    Raises: ValueError.
    """
    try:
        value = json.loads(written, strict=False)
    except ValueError:
        value = json.loads(_VALUE.sub(_quoted, written), strict=False)
    if not isinstance(value, dict):
        raise ValueError("a structure that is no mapping")
    return value


def _quoted(found: re.Match[str]) -> str:
    text = found[0]
    if text.startswith('"'):
        return text
    try:
        json.loads(text)
    except ValueError:
        return json.dumps(text.strip(), ensure_ascii=False)
    return text
