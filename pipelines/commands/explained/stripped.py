"""What the model's chat template makes of the reasoning in one row, for `headrace explain`.

What: a turn of the assistant loses its reasoning where the template renders the conversation alike with and
without it. Shown are such turns, with what the recipe makes of them, and turns whose reasoning was put into
the model's own form. The row's text is that of `prepared/`, which is masked.

Cost: loads the tokenizer where a turn holds tags of reasoning; two renderings for each such turn.
"""

from collections.abc import Iterator
from typing import Any

from headrace.cluster.errors import HeadraceError
from headrace.pipelines import structure
from headrace.pipelines.console import Line
from headrace.pipelines.recipe import Recipe
from headrace.pipelines.schema import REJECTED
from headrace.pipelines.stages.tokenise.config import STYLES
from headrace.pipelines.stages.tokenise.reasoning.traces import Trace, trace

SHOWN = 60  # characters of reasoning
THEN = {
    "keep": "put back, and learned; later turns are learned behind it",
    "as_template": "not learned",
    "by_turn": "learned in a sample that ends with this turn, and not there in those of later turns",
}


def lines(recipe: Recipe, messages: list[dict[str, Any]]) -> Iterator[Line]:
    """A line for each turn whose reasoning the template strips, or whose form was changed; nothing for a row
    without reasoning.
    """
    messages = [m for m in messages if m["role"] != REJECTED]  # which no template knows
    if not any(_trace(m) for m in messages):
        return
    from headrace.pipelines.stages.tokenise import stage as tokenise  # transformers takes a second
    from headrace.pipelines.stages.tokenise import whole
    from headrace.pipelines.stages.tokenise.reasoning import style

    try:
        tokenizer = tokenise.tokenizer(recipe.model, recipe.tokenise)
    except HeadraceError:
        yield Line("  what the chat template strips is not shown: the model is not there any more")
        return
    facts = tokenizer.facts
    if facts is None:
        return
    plain = [{"role": m["role"], "content": m["content"] or ""} for m in messages]
    for at, message in enumerate(plain):
        converts = recipe.tokenise.reasoning.style == "own" and facts.reasons and _trace(message)
        kind, said = style.own(message["content"], facts.takes) if converts else (None, "")
        if kind is None or kind == "left":
            continue
        plain[at] = {**message, "content": said}
        text = f"  turn {at + 1}: reasoning in {STYLES[kind]} gets the model's own form"
        yield Line(text, {"turn": at + 1, "style": kind})
    wanted = whole.rendered(plain, tokenizer)
    for at, message in enumerate(plain):
        found = _trace(message)
        if found is None or wanted is None:
            continue
        _, mark, beside = message["content"].partition(structure.OPEN)
        bare = {**message, "content": found.answer.lstrip("\n") + mark + beside}
        if whole.rendered([*plain[:at], bare, *plain[at + 1 :]], tokenizer) == wanted:
            yield _stripped(at + 1, found, recipe.tokenise.reasoning.earlier)


def _trace(message: dict[str, Any]) -> Trace | None:
    if message["role"] != "assistant":
        return None
    return trace((message["content"] or "").partition(structure.OPEN)[0])


def _stripped(turn: int, found: Trace, earlier: str) -> Line:
    text = " ".join(found.reasoning.split())
    fields = {"turn": turn, "stripped": len(text), "then": earlier if text else "not learned"}
    if not text:
        return Line(f"  turn {turn}: the chat template strips its empty block of reasoning", fields)
    shown = text if len(text) <= SHOWN else f"{text[:SHOWN]}..."
    what = f"the chat template strips {len(text):,} characters of reasoning ({shown!r})"
    return Line(f"  turn {turn}: {what}: {THEN[earlier]} (tokenise.reasoning: {earlier})", fields)
