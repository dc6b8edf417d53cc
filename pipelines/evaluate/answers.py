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

from headrace.pipelines.evaluate.judged import function

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


class Unusable(Exception):  # noqa: N818 - whoever takes it makes an error with a row's name of it
    """A function of the recipe's author that failed: on the answer at `place`, and `why` without its text."""

    def __init__(self, place: int, why: str) -> None:
        super().__init__(place, why)
        self.place, self.why = place, why


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

    how: "after_reasoning" (all of it), "last_line", "boxed", "json:PATH", "regex:PATTERN" or
    "python:FILE:FUNCTION", as `require` has let it pass.

    Raises: Unusable where a function fails on one; RecipeError where it cannot be run at all.
    """
    found = _by_function(answers, how) if function.FORM.fullmatch(how) else [*map(_finder(how), answers)]
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
    if function.FORM.fullmatch(how):
        return how
    if kind == "regex" and rest:
        try:
            re.compile(rest)
        except re.error as error:
            raise ValueError(f"{rest!r} is no regular expression: {error}") from error
        return how
    raise ValueError(
        f"{how!r} names no part of an answer: write after_reasoning, last_line, boxed, json:PATH "
        "(as json:items[0].name), regex:PATTERN (its first group, or all, where it is found "
        "last) or python:FILE.py:FUNCTION"
    )


def _by_function(answers: Sequence[str], how: str) -> list[str | None]:
    """What a function of the recipe's author takes of each answer."""
    named = function.Named("evaluate.answer", how, takes=1)
    take = function.made(named, function.text(named))
    found: list[str | None] = []
    for place, answer in enumerate(answers):
        try:
            part = take(answer)
        except Exception as error:  # noqa: BLE001 - its message may quote the answer
            raise Unusable(place, f"failed with {type(error).__name__}") from None
        if not isinstance(part, str | None):
            raise Unusable(place, f"gave a {type(part).__name__}, and neither a text nor None,")
        found.append(part)
    return found


def scored(
    how: str, prompts: Sequence[str], answers: Sequence[str], references: Sequence[str]
) -> list[float]:
    """What a function of the recipe's author gives for each answer, 0 to 1.

    Raises: as `taken`.
    """
    named = function.Named("evaluate.score", how, takes=3)
    score = function.made(named, function.text(named))
    values: list[float] = []
    for place, given in enumerate(zip(prompts, answers, references, strict=True)):
        try:
            value = float(score(*given))
        except Exception as error:  # noqa: BLE001 - as above
            raise Unusable(place, f"failed with {type(error).__name__}, or gave no number,") from None
        if not 0 <= value <= 1:
            raise Unusable(place, f"gave {value:g}, which is not between 0 and 1,")
        values.append(value)
    return values


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
