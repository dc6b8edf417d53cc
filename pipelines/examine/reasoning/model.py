"""What a model's chat template does with reasoning: found out by rendering it.

Cost: a few renderings of made-up turns; loading the tokenizer takes a second.
"""

import re
from typing import Any, NamedTuple

import yaml

from headrace.cluster import storage
from headrace.pipelines.stages.tokenise.config import Config as Tokenise

MUSED, SAID = "headrace considered", "headrace answered"
FORMS = {
    "think": ("<think>", "</think>"),
    "thinking": ("<thinking>", "</thinking>"),
    "reasoning": ("<reasoning>", "</reasoning>"),
    "thought": ("<Thought>", "</Thought>"),
    "mistral": ("[THINK]", "[/THINK]"),
    "channel": ("<|channel|>analysis", "<|end|>"),
}
ASK = {"role": "user", "content": "headrace asked"}
_BEGUN = re.compile(r"<think>\s*$|<thinking>\s*$|\[THINK\]\s*$|<\|channel\|>analysis(?:<\|message\|>)?\s*$")
_EMPTY = re.compile(r"<think(?:ing)?>\s*</think(?:ing)?>|\[THINK\]\s*\[/THINK\]")


class Facts(NamedTuple):
    """reasons: the template writes reasoning; form: in which of `FORMS`; keeps_earlier: also in turns that
    others follow; opens: its prompt for the next turn begins reasoning; adds_empty: an answer without any is
    given an empty block.
    """

    reasons: bool
    form: str | None
    keeps_earlier: bool
    opens: bool
    adds_empty: bool


def of_run(run: str) -> Facts | None:
    """`facts` of the model that the recipe of a run directory names; None where it has no template."""
    from headrace.pipelines.stages.tokenise import stage as tokenise

    recipe = yaml.safe_load(storage.read_bytes(storage.join(run, "recipe.yaml")))
    tokenizer = tokenise.tokenizer(recipe.get("model"), Tokenise.model_validate(recipe.get("tokenise") or {}))
    return None if tokenizer.template is None else facts(tokenizer.template)


def facts(template: Any) -> Facts:
    """What `template` (`stages.tokenise.template.Template`) does with reasoning."""
    fielded = {"reasoning_content": MUSED, "thinking": MUSED, "reasoning": MUSED}
    field = {"role": "assistant", "content": SAID, **fielded}
    inside = {"role": "assistant", "content": f"<think>\n{MUSED}\n</think>\n\n{SAID}"}
    plain = {"role": "assistant", "content": SAID}
    last, with_tags = _rendered(template, [ASK, field]), _rendered(template, [ASK, inside])
    prompt, bare = _rendered(template, [ASK], generation=True), _rendered(template, [ASK, plain])
    written = last if MUSED in last else ""
    form = _form(written)
    # Tags of a content that any template puts out say nothing of this one.
    own = form is not None or bool(_BEGUN.search(prompt)) or bool(_EMPTY.search(bare))
    handled = form is not None or _handles(template)
    turn = field if written else inside
    earlier = _rendered(template, [ASK, turn, ASK, plain])
    reasons = own or handled
    form = form or (_form(with_tags) if reasons else None)
    if reasons and form is None:
        form = _form(prompt) or _form(bare)
    return Facts(reasons, form, MUSED in earlier, bool(_BEGUN.search(prompt)), bool(_EMPTY.search(bare)))


def _handles(template: Any) -> bool:
    """Whether the template looks for the end of reasoning in contents."""
    return any(end in template.source for _, end in FORMS.values() if end != "<|end|>")


def _form(text: str) -> str | None:
    return next((name for name, (begin, _) in FORMS.items() if begin in text), None)


def _rendered(template: Any, messages: list[dict[str, Any]], generation: bool = False) -> str:
    from headrace.pipelines.stages.tokenise.template import Refusal

    try:
        return str(template.render(messages, generation=generation))
    except Refusal:
        return ""
