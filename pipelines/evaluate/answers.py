r"""What of a model's words is its answer: reasoning set apart, and the part that is compared taken out.

What: `apart` tells reasoning from answer by the marks of the families that write some. `taken` takes from an
answer what the recipe says is to be compared: its last line, what stands in ``\boxed{}``, a value of its
JSON, what a pattern finds. Base, tuned and reference go through the same, so that a trace that differs word
by word but ends in the right number is right.

Why it is told where nothing is found: a reference without its answer makes every model wrong.
Cost: a pass over each answer.
"""

import json
import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

# What ends reasoning, in the forms of the families that write some; what begins it.
MUSED = re.compile(
    r"</[a-z:_]*think[a-z]*>|\[/THINK\]|<\|END_THINKING\|>|<\|channel\|>final<\|message\|>", re.IGNORECASE
)
MUSING = re.compile(
    r"\s*(?:<[a-z:_]*think[a-z]*>|\[THINK\]|<\|START_THINKING\|>|<\|channel\|>analysis)", re.IGNORECASE
)
# What people set before a result in a line of its own.
LEADS = re.compile(r"\s*(?:#{2,}|(?:the )?(?:final )?answer(?: is)?\s*:|=>|[-*>]\s)\s*", re.IGNORECASE)
BOXED = re.compile(r"\\(?:boxed|fbox)\s*\{")
FENCE = re.compile(r"```[\w+-]*\n(.*?)(?:```|\Z)", re.DOTALL)
STEP = re.compile(r"[^.\[\]]+|\[(-?\d+)\]")


class Taken(NamedTuple):
    """What is compared of each answer, in their order; missing: places of those where nothing was found."""

    texts: list[str]
    missing: list[int]


def apart(text: str) -> tuple[str, str]:
    """Reasoning and answer of what a model has said, special tokens as their strings.

    All is answer where there is no reasoning; reasoning that was cut off is followed by an empty answer.
    """
    ends = list(MUSED.finditer(text))
    if ends:
        return text[: ends[-1].end()], text[ends[-1].end() :].lstrip()
    return (text, "") if MUSING.match(text) else ("", text)


def taken(answers: Sequence[str], how: str) -> Taken:
    """The part of each answer that is compared, "" where it is not there.

    how: "after_reasoning" (all of it), "last_line", "boxed", "json:PATH" or "regex:PATTERN", as `require` has
    let it pass.
    """
    find = _finder(how)
    found = [find(answer) for answer in answers]
    missing = [place for place, text in enumerate(found) if text is None]
    return Taken([text or "" for text in found], missing)


def require(how: str) -> str:
    """`how`, where `taken` understands it.

    Raises: ValueError that says what can be written.
    """
    kind, _, rest = how.partition(":")
    if how in ("after_reasoning", "last_line", "boxed"):
        return how
    if kind == "json" and rest and "".join(m[0] for m in STEP.finditer(rest)) == rest.replace(".", ""):
        return how
    if kind == "regex" and rest:
        try:
            re.compile(rest)
        except re.error as error:
            raise ValueError(f"{rest!r} is no regular expression: {error}") from error
        return how
    raise ValueError(
        f"{how!r} names no part of an answer: write after_reasoning, last_line, boxed, json:PATH "
        "(as json:items[0].name) or regex:PATTERN (its first group, or all, where it is found "
        "last)"
    )


def _finder(how: str) -> Callable[[str], str | None]:
    kind, _, rest = how.partition(":")
    if kind == "json":
        return lambda text: _value(text, rest)
    if kind == "regex":
        pattern = re.compile(rest, re.MULTILINE)
        return lambda text: _last_group(pattern, text)
    by_name: dict[str, Callable[[str], str | None]] = {
        "after_reasoning": str,
        "last_line": _last_line,
        "boxed": _boxed,
    }
    return by_name[how]


def _last_line(text: str) -> str | None:
    """The last line that says something, without what leads a result in."""
    line = next((line for line in reversed(text.splitlines()) if line.strip()), None)
    if line is None:
        return None
    lead = LEADS.match(line)
    bare = line[lead.end() :] if lead else line
    return bare.strip() or line.strip()


def _boxed(text: str) -> str | None:
    """What stands in the last box, braces within it counted."""
    for start in reversed(list(BOXED.finditer(text))):
        depth = 1
        for place in range(start.end(), len(text)):
            depth += {"{": 1, "}": -1}.get(text[place], 0)
            if not depth:
                return text[start.end() : place].strip()
    return None


def _last_group(pattern: re.Pattern[str], text: str) -> str | None:
    """The first group of the last match, or all of it."""
    found = list(pattern.finditer(text))
    if not found:
        return None
    return str(found[-1][1] if pattern.groups else found[-1][0] or "").strip()


def parsed(text: str) -> object | None:
    """The JSON of an answer, alone or in a fence; None where there is none."""
    fenced = FENCE.search(text)
    try:
        return json.loads(fenced[1] if fenced else text)  # type: ignore[no-any-return]
    except (ValueError, RecursionError):
        return None


def _value(text: str, path: str) -> str | None:
    """The value at ``a.b[0]`` in an answer's JSON, as one way to write it."""
    held = parsed(text)
    for step in STEP.finditer(path):
        try:
            if step[1] is not None:
                held = held[int(step[1])] if isinstance(held, list) else None
            else:
                held = held.get(step[0]) if isinstance(held, dict) else None
        except IndexError:
            return None
    if held is None:
        return None
    return held if isinstance(held, str) else json.dumps(held, sort_keys=True, ensure_ascii=False)
