"""Do two answers come to the same result? Of two long solutions that are nearly the same text and end in 23
and in 31, neither is a copy of the other: one is wrong, and which one nobody knows here.

What: a turn's result is what it marks as such (behind ####, in a box, after "the answer is"), else the
numbers of its last sentence; beside it the yes or no that it begins with, what its code returns, a structured
text as a whole, and its numbers and negations where all other words are the same. Two turns differ where both
have one of these and not the same one.

Cost: some 50 us a kilobyte, of rows that are alike.
"""

import re
from collections.abc import Callable, Sequence
from decimal import Context, Decimal, InvalidOperation
from typing import NamedTuple

YES = frozenset(
    "yes yeah yep true correct right ja oui si sí sim sì да 是 是的 对 正确 はい".split()  # noqa: SIM905
)
NO = frozenset(
    "no nope false incorrect wrong nein non não нет 否 不 不是 错误 いいえ".split()  # noqa: SIM905
)
NEGATED = frozenset("not never none cannot without nicht kein pas nunca jamais".split())  # noqa: SIM905
# Each with what stands in a text, case folded, that it can be found in.
MARKED = (
    ("####", re.compile(r"####\s*(.+?)\s*$", re.DOTALL)),
    ("\\boxed", re.compile(r"\\boxed\{([^{}]*)\}")),
    (
        "answer",
        re.compile(
            r"\b(?:final answer|(?:the )?(?:correct )?answer)\s*(?:is|:|=)\s*:?\s*([^\n]+?)\.?\s*(?:\n|$)",
            re.I,
        ),
    ),
)
NUMBER = re.compile(r"-?\d[\d,]*(?:\.\d+)?|-?\.\d+")
DIGITS = Context(prec=12)
WORD = re.compile(r"[^\W_]+(?:[.'’][^\W_]+)*|[+-]")
RETURNED = re.compile(r"^[ \t]*return\b[ \t]*(.*?)[ \t]*;?[ \t]*$", re.MULTILINE)
SENTENCE = re.compile(r"(?<=[.!?])\s+|\n+")
STRUCTURED = re.compile(r"\s*(?:\{.*\}|\[.*\]|<.*>)\s*", re.DOTALL)


class Result(NamedTuple):
    """What a turn comes to; None where it has none of the kind. `figures` count where `words` are equal."""

    final: str | None
    yes: bool | None
    returned: str | None
    structured: str | None
    words: str
    figures: str


def of(answer: str) -> Result:
    """The result of a turn."""
    final, numbers = marked(answer), NUMBER.findall(answer)
    shown = _numbers(NUMBER.findall(_last_sentence(answer) if final is None else final))
    returned = RETURNED.findall(answer) if "return" in answer else []
    plain = [word for word in words(answer) if word.isalpha() or not any(map(str.isdigit, word))]
    return Result(
        shown or (final and " ".join(words(final))) or None,
        opening(final if final is not None else answer),
        "\n".join(returned) if any(returned) else None,
        "".join(answer.split()) if STRUCTURED.fullmatch(answer) else None,
        " ".join(word for word in plain if word not in NEGATED),
        " ".join([_numbers(numbers), *(word for word in plain if word in NEGATED)]),
    )


def _last_sentence(answer: str) -> str:
    lines = [line for line in SENTENCE.split(answer.strip()) if line.strip()]
    return lines[-1] if lines else ""


def _numbers(found: Sequence[str]) -> str:
    return " ".join(str(number(one)) for one in found)


def differ(a: Sequence[str], b: Sequence[str], of: Callable[[str], Result]) -> bool:
    """Whether two conversations, the texts of their turns, come to another result at the same turn.

    of: the result of a turn, for whoever keeps those that were asked for before.
    """
    return any(left != right and _differ(of(left), of(right)) for left, right in zip(a, b, strict=False))


def _differ(a: Result, b: Result) -> bool:
    told = ("final", "yes", "returned", "structured")
    for x, y in ((getattr(a, name), getattr(b, name)) for name in told):
        if x is not None and y is not None and x != y:
            return True
    return bool(a.words) and a.words == b.words and a.figures != b.figures


def marked(answer: str) -> str | None:
    """What an answer marks as its result."""
    letters = answer.casefold()
    found = (pattern.findall(answer) for needed, pattern in MARKED if needed in letters)
    return next((finals[-1] for finals in found if finals), None)


def opening(text: str) -> bool | None:
    """Whether a text begins with yes or with no; None for neither."""
    begin = words(text[:64])[:1]
    return True if begin and begin[0] in YES else False if begin and begin[0] in NO else None


def number(text: str) -> Decimal:
    """A number as it is written, to 12 digits: 1,000 and 1000.0 are one."""
    try:
        return DIGITS.create_decimal(text.replace(",", "")).normalize(DIGITS)
    except InvalidOperation:
        return Decimal(0)


def words(text: str) -> list[str]:
    """Words and signs of a text, in one case."""
    return WORD.findall(text.casefold())
