"""Drawn rows as tasks of Label Studio, with the labelling config that asks what the sheet asks.

Source: https://labelstud.io/guide/tasks (tasks), https://labelstud.io/tags (labelling config).
"""

import json
from collections.abc import Sequence

from headrace.cluster import storage
from headrace.pipelines.commands.draw.sheet import RATE, Card, Form
from headrace.pipelines.console import Line
from headrace.pipelines.examine.spot_check.ratings import SCORES


def write(path: str, cards: Sequence[Card], form: Form = RATE) -> Line:
    """Write tasks to `path` (JSON) and the labelling config beside it (.xml)."""
    tasks = [{"data": _data(card)} for card in cards]
    storage.put(path, json.dumps(tasks, indent=1, ensure_ascii=False).encode())
    beside = f"{path.removesuffix('.json')}.xml"
    storage.put(beside, config(form).encode())
    return Line(
        f"Label Studio: import {path}; the project's labelling config is {beside}",
        {"label_studio": path, "config": beside},
    )


def _data(card: Card) -> dict[str, object]:
    about = {name: value for name, value in card.about.items() if value is not None}
    turns = [{"role": turn.role, "content": turn.text} for turn in card.turns]
    return {"row_id": str(card.row_id), "mark": card.mark, "place": card.place, **about, "turns": turns}


def config(form: Form) -> str:
    """The labelling config: the turns as a dialogue, and a question for each rating."""
    choices = "".join(f'<Choice value="{value}"/>' for value in form.verdicts)
    scores = "".join(
        f'  <Header value="{name.capitalize()}: {question}" size="6"/>\n'
        f'  <Rating name="{name}" toName="turns" maxRating="{SCORES[-1]}"/>\n'
        for name, question in form.criteria.items()
    )
    return (
        "<View>\n"
        '  <Header value="$place" size="6"/>\n'
        '  <Paragraphs name="turns" value="$turns" layout="dialogue" nameKey="role" textKey="content"/>\n'
        f'  <Header value="{form.question}" size="6"/>\n'
        f'  <Choices name="verdict" toName="turns" choice="single" showInLine="true">{choices}</Choices>\n'
        f"{scores}"
        '  <TextArea name="note" toName="turns" rows="2" placeholder="Note"/>\n'
        "</View>\n"
    )
