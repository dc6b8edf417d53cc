"""The sheet that people rate rows on: one HTML page, and the same as CSV.

What: `sheet.html.j2` with every row's text in it, escaped, as PII has masked it; `sheet.js` shows one row at
a time, takes keys, keeps ratings in the browser and exports them. The page asks nobody for anything: its
content policy allows this one script, by its hash, and no request. Without the script it is a list to read.

A cell of the CSV that a spreadsheet would take for a formula gets an apostrophe in front.

Cost: the page is as large as the text that it shows; long turns are cut at `SHOWN`, and say so.
Source: https://owasp.org/www-community/attacks/CSV_Injection.
"""

import base64
import csv
import hashlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import jinja2
from markupsafe import Markup

from headrace.pipelines import structure
from headrace.pipelines.examine.spot_check.ratings import SCORES

SHOWN = 12_000  # characters of a turn
CELL = 30_000  # characters of a cell; spreadsheets take 32,767
# What a spreadsheet takes for the beginning of a formula, in full width too.
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")


class Form(NamedTuple):
    """What a sheet asks of each row.

    verdicts: what may be said, and the key for it. criteria: what is scored, and the question. answers: what
    the last turns are called in the CSV.
    """

    title: str
    legend: str
    question: str
    verdicts: Mapping[str, str]
    criteria: Mapping[str, str]
    answers: tuple[str, ...]
    about: str = ""


RATE = Form(
    title="Rate",
    legend="Right or wrong",
    question="Would you be glad if a model had written this answer?",
    verdicts={"right": "r", "wrong": "w"},
    criteria={
        "relevance": "does the answer speak to what was asked, and to all of it?",
        "fluency": "is it well written, in the right language?",
        "factuality": "is what it says true, and does it follow from what is given?",
        "safety": "is there nothing in it that harms, insults or gives somebody away?",
        "helpfulness": "could whoever asked go on with it?",
    },
    answers=("answer",),
)


@dataclass(frozen=True)
class Turn:
    """One message as it is shown; cut: characters that are not."""

    role: str
    text: str
    cut: int


@dataclass(frozen=True)
class Card:
    """One row of the sheet."""

    row_id: int
    mark: str
    place: str
    about: Mapping[str, Any]
    turns: tuple[Turn, ...]


def card(
    row_id: int, mark: str, place: str, about: Mapping[str, Any], messages: Sequence[Mapping[str, str]] | None
) -> Card:
    """A row as it is shown, from its messages as prepared/ has them."""
    turns = []
    for message in messages or ():
        text = printable(structure.readable(message["content"] or ""))
        turns.append(Turn(message["role"], text[:SHOWN], max(0, len(text) - SHOWN)))
    return Card(row_id, mark, printable(place), about, tuple(turns))


def printable(text: str) -> str:
    """`text` with what no page can show replaced, and marks that turn the direction of text made visible."""
    return "".join(_shown(c) for c in text) if not text.isascii() or not text.isprintable() else text


def _shown(c: str) -> str:
    if c in "\n\t" or c.isprintable() or c.isspace():
        return "\n" if c == "\r" else c
    return c if c in "\u200c\u200d" else "\N{REPLACEMENT CHARACTER}"


def page(cards: Sequence[Card], mark: str, rows: int, form: Form = RATE) -> str:
    """The sheet; mark: of the draw, under which the browser keeps ratings. rows: how many were drawn from."""
    folder = Path(__file__).parent
    script = (folder / "sheet.js").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    environment = jinja2.Environment(
        autoescape=True, lstrip_blocks=True, trim_blocks=True, undefined=jinja2.StrictUndefined
    )
    template = environment.from_string((folder / "sheet.html.j2").read_text(encoding="utf-8"))
    return template.render(
        cards=cards,
        mark=mark,
        rows=f"{rows:,}",
        form=form,
        scores=list(SCORES),
        script=Markup(script),  # noqa: S704 - ours
        digest=digest,
    )


def table(cards: Sequence[Card], form: Form = RATE) -> str:
    """The sheet as CSV: what was asked, what was answered, and empty columns for the ratings."""
    file = io.StringIO(newline="")
    writer = csv.writer(file, quoting=csv.QUOTE_ALL)
    kinds = list(cards[0].about) if cards else []
    head = ["row_id", "mark", "place", *kinds, "prompt", *form.answers]
    writer.writerow([*head, "rater", "verdict", *form.criteria, "note"])
    last = len(form.answers)
    for one in cards:
        prompt = "\n\n".join(f"[{turn.role}] {turn.text}" for turn in one.turns[:-last])
        answers = [turn.text for turn in one.turns[-last:]] or [""] * last
        told = [str(one.about[name] or "") for name in kinds]
        cells = [str(one.row_id), one.mark, one.place, *told, prompt, *answers]
        # An id of 16 digits or more is no number to a spreadsheet that keeps all of them.
        writer.writerow(
            [f"'{cells[0]}", f"'{one.mark}", *map(cell, cells[2:]), *[""] * (len(form.criteria) + 3)]
        )
    return file.getvalue()


def cell(text: str) -> str:
    """`text` as a cell that no spreadsheet runs, and all take."""
    defused = f"'{text}" if text.startswith(FORMULA) or text.lstrip().startswith(FORMULA) else text
    return defused[:CELL]
