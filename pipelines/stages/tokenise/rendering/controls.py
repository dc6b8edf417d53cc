"""Which tokens frame turns, and whether a template leaves the last turn as the last."""

import re
from collections.abc import Collection, Iterator

from headrace.pipelines.stages.tokenise.template import NUMBERED, SLOT, Refusal, Template, common

MUSING = re.compile("think|thought|reason", re.IGNORECASE)  # a model writes these itself
LEAST = 3  # characters of a marker


def framing(template: Template, plain: Collection[str]) -> set[str]:
    """Of added tokens that are not flagged as special, those that the template puts around turns.

    Not those of reasoning, nor what the template looks for in contents: a model writes them itself.
    """
    written = list(_frames(template))
    candidates = [
        token
        for token in plain
        if len(token) >= LEAST and not token.isspace() and not token.isalnum() and not MUSING.search(token)
    ]
    looked_for = set(template.triggers)
    return {t for t in candidates if t not in looked_for and any(t in text for text in written)}


def _frames(template: Template) -> Iterator[str]:
    """What the template writes around contents in conversations without calls."""
    shapes = (
        ("user",),
        ("system", "user"),
        ("user", "assistant", "user"),
        ("user", "assistant"),
        ("user", "assistant", "tool"),
    )
    for roles in shapes:
        for generation in (False, True):
            try:
                text = template.marked(tuple((role, SLOT) for role in roles), generation=generation)
            except Refusal:
                continue
            yield from NUMBERED.split(text)[::3]


def opened(template: Template) -> str:
    """What the template opens behind the last turn of every conversation; empty where it opens nothing."""
    try:
        two, three = (
            NUMBERED.split(template.marked(tuple((role, SLOT) for role in roles)))
            for roles in (("user", "assistant"), ("user", "assistant", "user"))
        )
    except Refusal:
        return ""
    if len(two) < 7 or len(three) < 10:  # it does not put contents out as they are
        return ""
    asked, behind, between = two[3], two[6], three[6]
    place = common(behind, between)
    for found in template.specials.finditer(behind):  # no part of a special token
        if found.start() < place < found.end():
            place = found.start()
    left = behind[place:].strip()
    first, ending = template.specials.search(asked), template.specials.search(between)
    if first and ending and first[0] == ending[0]:  # what ends the user's turn is no head of the next
        asked = asked[first.end() :]
    return left if left and left in asked else ""
