"""Reasoning told apart from the answer behind it, whatever tags it stands between.

What: a turn that begins with a tag of `FORMS`, or, as models whose prompt opens the block write it, closes
one that it never opened. Tags that a text merely talks about are no trace: in the middle of prose, in a
code fence, between backticks, or two of them in one sentence.

Why: data sets write reasoning in the tags of whatever model made them, and each model reads its own alone.

Cost: one look at the beginning of a text that holds a tag (`ANY`), and a search for what closes it.
"""

import re
from typing import NamedTuple

FORMS = {  # as models write them
    "think": ("<think>", "</think>"),
    "thinking": ("<thinking>", "</thinking>"),
    "reasoning": ("<reasoning>", "</reasoning>"),
    "thought": ("<Thought>", "</Thought>"),
    "mistral": ("[THINK]", "[/THINK]"),
    "channel": ("<|channel|>analysis", "<|end|>"),
}
TAGS = {  # what opens and what closes a block, in every dress
    "think": (r"(?i:<(?:seed:)?think>)", r"(?i:</(?:seed:)?think>)"),
    "thinking": (r"(?i:<thinking>)", r"(?i:</thinking>)"),
    "reasoning": (r"(?i:<reasoning>)", r"(?i:</reasoning>)"),
    "thought": (r"(?i:<thoughts?>)|<\|begin_of_thought\|>", r"(?i:</thoughts?>)|<\|end_of_thought\|>"),
    "mistral": (r"\[THINK\]", r"\[/THINK\]"),
    "channel": (
        r"(?:<\|start\|>assistant)?<\|channel\|>\s*analysis(?:\s*<\|message\|>)?",
        r"(?:<\|end\|>)?\s*(?:<\|start\|>assistant)?\s*<\|channel\|>\s*final(?:\s*<\|message\|>)?",
    ),
}
ANY = (  # RE2, for Arrow
    r"(?i)</?(?:(?:seed:)?think|thinking|reasoning|thoughts?)>|\[/?THINK\]|<\|channel\|>"
    r"|<\|(?:begin|end)_of_thought\|>"
)
_OPENS = {form: re.compile(rf"\s*(?:{opens})") for form, (opens, _) in TAGS.items()}
_OPEN = {form: re.compile(opens) for form, (opens, _) in TAGS.items()}
_CLOSE = {form: re.compile(closes) for form, (_, closes) in TAGS.items()}
_KIN = ("think", "thinking", "reasoning", "thought", "mistral")  # any of which may close another, by mistake
_CLOSE_KIN = re.compile("|".join(TAGS[form][1] for form in _KIN))
_OPEN_KIN = re.compile("|".join(TAGS[form][0] for form in _KIN))
# What stands around the answer where reasoning has these tags.
_ANSWER = {
    "thought": re.compile(
        r"\s*(?:<output>\n?(.*?)\n?</output>|<\|begin_of_solution\|>\s*(.*?)\s*<\|end_of_solution\|>)\s*",
        re.DOTALL | re.IGNORECASE,
    ),
    "channel": re.compile(r"(.*?)(?:<\|(?:end|return)\|>\s*)?", re.DOTALL),
}
SENTENCE = 200  # characters between two tags of which one sentence may talk
_LEADS = re.compile(  # what stands before the second of them
    r",$|(?:^|\s)(?:and|or|to|with|by|until|a|the|und|oder|mit|bis|et|ou|avec|y|e|o|con|и|или|或|和)$",
    re.IGNORECASE,
)


class Trace(NamedTuple):
    """Reasoning at the beginning of a turn. begins, ends: the tags as they are written, empty where one is
    missing; clear: it is known where the answer begins.
    """

    form: str
    begins: str
    reasoning: str
    ends: str
    answer: str
    clear: bool

    @property
    def balanced(self) -> bool:
        """Whether it is opened once and closed once, by its own tags."""
        opened = bool(_OPEN[self.form].fullmatch(self.begins.strip()))
        return self.clear and opened and bool(_CLOSE[self.form].fullmatch(self.ends))

    @property
    def empty(self) -> bool:
        """Whether nothing stands in it."""
        return self.clear and not self.reasoning.strip()


def trace(text: str) -> Trace | None:
    """The reasoning that `text` begins with; None where it has none."""
    for form, opens in _OPENS.items():
        if begun := opens.match(text):
            return _opened(text, form, begun.group(), begun.end())
    return _closed(text)


def written(found: Trace, form: str) -> str:
    """A turn with `found` (`clear`) in the tags of another form: its reasoning, and the answer behind it."""
    begins, ends = FORMS[form]
    return f"{begins}\n{found.reasoning.strip(chr(10))}\n{ends}\n\n{_answer(found).lstrip(chr(10))}"


def _answer(found: Trace) -> str:
    around = _ANSWER.get(found.form)
    whole = around.fullmatch(found.answer) if around is not None else None
    return next((group for group in whole.groups() if group is not None), "") if whole else found.answer


def _opened(text: str, form: str, begins: str, at: int) -> Trace | None:
    """A trace that is opened at the beginning of `text`, which goes on at `at`."""
    own = list(_CLOSE[form].finditer(text, at))
    again = _OPEN[form].search(text, at)
    kin = list(_CLOSE_KIN.finditer(text, at)) if not own and form in _KIN else []
    close = own[0] if own else kin[0] if len(kin) == 1 else None
    if close is None:
        answer = re.compile(r"\s*<output>", re.IGNORECASE).search(text, at) if form == "thought" else None
        end = answer.start() if answer else len(text)
        return Trace(form, begins, text[at:end], "", text[end:], answer is not None)
    if _talks(text[at : close.start()]):
        return None
    once = len(own) <= 1 and again is None
    return Trace(form, begins, text[at : close.start()], close.group(), text[close.end() :], once)


def _closed(text: str) -> Trace | None:
    """A trace that is closed and was never opened."""
    closes = list(_CLOSE_KIN.finditer(text))
    if len(closes) != 1 or _OPEN_KIN.search(text):
        return None
    start, end = closes[0].span()
    before, after = text[:start], text[end:]
    if sum(line.lstrip().startswith("```") for line in before.splitlines()) % 2:
        return None  # in a code fence
    line = before.rstrip(" \t")
    alone = (not line or line.endswith("\n")) and (not after.strip() or after.lstrip(" \t").startswith("\n"))
    behind = before[-1:].strip() not in ("", "`", '"', "'") and after.startswith("\n\n")
    if not (alone or behind) or not before.strip():
        return None
    form = next(form for form in _KIN if _CLOSE[form].fullmatch(closes[0].group()))
    return Trace(form, "", before, closes[0].group(), after, True)


def _talks(inner: str) -> bool:
    """Whether one sentence talks about two tags that `inner` stands between: it leads up to the second."""
    if len(inner) > SENTENCE or "\n" in inner or inner[:1].isalnum():
        return False
    return _LEADS.search(inner.rstrip(" `\"'")) is not None
