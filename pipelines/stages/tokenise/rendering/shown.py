"""A cut of a conversation, held against what the template renders, on made-up contents.

Cost: two renderings a shape.
"""

from headrace.pipelines.stages.tokenise.rendering.marking import Cut
from headrace.pipelines.stages.tokenise.template import NUMBERED, SLOT, Refusal, Shape, Template

# What stands in a slot while its cut is proved: whatever a template may change is in it.
MADE_UP = (
    "aB \"quoted\" \\ 'x' <b>&amp; {{ name }} {% if %} Ünïcödé straße 漢字 1.5\n\ttab\r\n\n\nand   spaces"
)


def made_up(template: Template, shape: Shape) -> list[list[str]]:
    """Texts for the slots of `shape`, in which the template finds nothing that it looks for."""
    content = MADE_UP
    for trigger in template.triggers:
        content = content.replace(trigger, "-")
    slots = range(sum(skeleton.count(SLOT) for _, skeleton in shape))
    bare = [f"x{k} {content} y" for k in slots]
    return [bare] if template.sees_edges else [bare, [f" \n{text}\t " for text in bare]]


def same_text(template: Template, shape: Shape, cut: Cut, texts: list[str]) -> bool:
    """Whether the cut gives what the template renders where `texts` are in the slots; of one with reasoning
    put back, whether the renderings that it is made of do.
    """
    try:
        if not cut.altered:
            text = "".join(texts[p.slot] if p.slot >= 0 else p.text for p in cut.parts)
            return text == template.render(template.messages(shape, texts.__getitem__))
        return all(
            NUMBERED.sub(lambda slot: texts[int(slot[1])], template.marked(one))
            == template.render(template.messages(one, texts.__getitem__))
            for one in (shape, *cut.put_back)
        )
    except Refusal:
        return False
