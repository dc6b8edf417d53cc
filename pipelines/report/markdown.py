"""report.md: the decision, its reasons and the numbers under it, for a pull request.

What: GitHub's Markdown out of what the page shows. Every text of a run is escaped: no name of a source, model
or reason becomes a table's cell end, markup, a mention of a person or a link to an issue.

GitHub takes a comment of 65,536 characters; this stays far below, as every list is capped.

Cost: none.
"""

import html
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2

from headrace.pipelines.report import opening, plots

LONGEST = 65_000  # characters
CELL = 300  # characters of one value
SPECIAL = re.compile(r"([\\`*_\[\]~|])")
LEADING = re.compile(r"^([-+=])")
# What GitHub makes a mention, a link to an issue or an address of.
ENTITIES = str.maketrans({"@": "&#64;", "#": "&#35;"})


class Safe(str):
    """A text that is Markdown already."""

    __slots__ = ()


def render(view: Mapping[str, Any]) -> str:
    """The Markdown of what `page.gathered` gave."""
    environment = jinja2.Environment(  # noqa: S701 - `escaped` does it: HTML's way is wrong in Markdown
        finalize=_finalised,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        loader=jinja2.FileSystemLoader(Path(__file__).with_name("templates")),
    )
    environment.filters.update(
        count=lambda n: f"{n:,}",
        figures=lambda n: Safe(plots.figures(n)),
        signed=lambda n: Safe(plots.signed(n)),
        code=code,
        told=_told,
        sentence=lambda words: words[:1].upper() + words[1:],
    )
    text = environment.get_template("report.md.j2").render(view)
    text = re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"
    more = "\n\nThe rest is in report.html.\n"
    return text if len(text) <= LONGEST else text[: LONGEST - len(more)].rstrip() + more


def escaped(text: str) -> Safe:
    """A text as Markdown that shows it: one line, no markup, no table cell's end, nobody mentioned."""
    line = " ".join(text.split())
    line = line if len(line) <= CELL else f"{line[:CELL]} …"
    line = SPECIAL.sub(r"\\\1", html.escape(line, quote=False).translate(ENTITIES))
    return Safe(LEADING.sub(r"\\\1", line).replace("://", "&#58;//").replace("www.", "www&#46;"))


def code(text: str) -> Safe:
    """A text as a span of code, in which GitHub sees no markup, no mention and no link."""
    line = " ".join(str(text).split())[:CELL].replace("`", "'").replace("|", "\\|")
    return Safe(f"`{line}`" if line else "")


def _told(text: str) -> Safe:
    """A sentence of ours: what stands between backticks is code, the rest is text."""
    return Safe(
        "".join(code(piece) if quoted else escaped_piece(piece) for piece, quoted in opening.quoted(text))
    )


def escaped_piece(piece: str) -> str:
    """`escaped`, of a part of a line: the spaces at its ends stay."""
    head, tail = piece[: len(piece) - len(piece.lstrip())], piece[len(piece.rstrip()) :]
    return f"{head and ' '}{escaped(piece)}{tail and ' '}" if piece.strip() else " "


def _finalised(value: Any) -> Any:
    """What an expression of the template writes."""
    return escaped(value) if isinstance(value, str) and not isinstance(value, Safe) else value
