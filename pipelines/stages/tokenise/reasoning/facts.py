"""What a chat template does with reasoning: found out by rendering made-up turns.

Cost: seven renderings.
"""

import re
from typing import Any, NamedTuple

from headrace.pipelines.stages.tokenise.reasoning.traces import FORMS
from headrace.pipelines.stages.tokenise.template import Refusal, Template

MUSED, SAID = "headrace considered", "headrace answered"
ASK = {"role": "user", "content": "headrace asked"}
_BEGUN = re.compile(r"<think>\s*$|<thinking>\s*$|\[THINK\]\s*$|<\|channel\|>analysis(?:<\|message\|>)?\s*$")
_EMPTY = re.compile(r"<think(?:ing)?>\s*</think(?:ing)?>|\[THINK\]\s*\[/THINK\]")


class Facts(NamedTuple):
    """reasons: the template writes reasoning; form: in which of `FORMS` (None: in none of them); takes: the
    form in which a turn's text must have it, so that it comes out as the model's own (None: there is none);
    keeps_earlier: also in turns that others follow; opens: its prompt for the next turn begins reasoning;
    adds_empty: an answer without any is given an empty block.
    """

    reasons: bool
    form: str | None
    takes: str | None
    keeps_earlier: bool
    opens: bool
    adds_empty: bool


def facts(template: Template) -> Facts:
    """What `template` does with reasoning."""
    fielded = {"reasoning_content": MUSED, "thinking": MUSED, "reasoning": MUSED}
    field = {"role": "assistant", "content": SAID, **fielded}
    plain = {"role": "assistant", "content": SAID}
    last, prompt = _rendered(template, [ASK, field]), _rendered(template, [ASK], generation=True)
    bare = _rendered(template, [ASK, plain])
    written = last if MUSED in last else ""
    opens, adds_empty = bool(_BEGUN.search(prompt)), bool(_EMPTY.search(bare))
    form = _form(written) or _handled(template)
    # Tags of a content that any template puts out say nothing of this one.
    reasons = bool(written) or form is not None or opens or adds_empty
    if reasons and form is None and not written:
        form = _form(prompt) or _form(bare)
    begins, ends = FORMS[form or "think"]
    inside = {"role": "assistant", "content": f"{begins}\n{MUSED}\n{ends}\n\n{SAID}"}
    earlier = _rendered(template, [ASK, field if written else inside, ASK, plain])
    takes = _takes(template, form, bool(written)) if reasons else None
    return Facts(reasons, form, takes, MUSED in earlier, opens, adds_empty)


def _takes(template: Template, form: str | None, fielded: bool) -> str | None:
    """`Facts.takes`: `tokenise` hands what stands in ``<think>`` to the template's own field."""
    if template.field is not None or (fielded and form == "think"):
        return "think"
    if form is None or any(template.specials.search(tag) for tag in FORMS[form]):
        return None  # a content's special tokens are ordinary text
    return form


def _handled(template: Template) -> str | None:
    """The form whose end the template looks for in contents."""
    return next((f for f, (_, end) in FORMS.items() if end != "<|end|>" and end in template.source), None)


def _form(text: str) -> str | None:
    return next((name for name, (begin, _) in FORMS.items() if begin in text), None)


def _rendered(template: Template, messages: list[dict[str, Any]], generation: bool = False) -> str:
    try:
        return template.render(messages, generation=generation)
    except Refusal:
        return ""
