"""The text of an HTML page: what a reader sees, without scripts and styles.

Paragraphs, headings, list items and cells of tables come on lines of their own; the title is the first.

Cost: ~5 MB/s a core (`html.parser`).
"""

import re
from html.parser import HTMLParser

HIDDEN = frozenset(("script", "style", "template", "noscript", "svg", "math", "iframe", "object", "head"))
BREAKING = frozenset(
    (
        *("p", "div", "br", "hr", "h1", "h2", "h3", "h4", "h5", "h6", "ul", "ol", "li", "dl", "dt", "dd"),
        *(
            "table",
            "tr",
            "pre",
            "blockquote",
            "section",
            "article",
            "header",
            "footer",
            "nav",
            "main",
            "aside",
        ),
        *(
            "figure",
            "figcaption",
            "form",
            "fieldset",
            "option",
            "body",
            "title",
            "address",
            "details",
            "summary",
        ),
    )
)
CELLS = frozenset(("td", "th"))
EMPTY = frozenset(
    ("br", "hr", "img", "input", "meta", "link", "base", "wbr", "area", "col", "embed", "source")
)
_CHARSET = re.compile(
    rb"<meta[^>]+charset\s*=\s*[\"']?\s*([\w.:-]+)|<\?xml[^>]+encoding\s*=\s*[\"']([\w.:-]+)", re.I
)
_SECTION = re.compile(r"<!\[(?:CDATA\[(.*?)\]\]|[^<>]*)>", re.DOTALL)


class _Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.pieces: list[str] = []
        self.hidden: list[str] = []  # open elements of which nothing is seen
        self.verbatim = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "body":
            self.hidden = []  # a head that was never closed
        if tag in HIDDEN and tag not in EMPTY:
            self.hidden.append(tag)
        elif tag in BREAKING:
            self.pieces.append("\n")
        elif tag in CELLS:
            self.pieces.append("\t")
        self.verbatim += tag == "pre"

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in BREAKING:
            self.pieces.append("\n")

    def handle_endtag(self, tag: str) -> None:
        if tag in self.hidden:
            while self.hidden.pop() != tag:
                pass
        elif tag in BREAKING:
            self.pieces.append("\n")
        self.verbatim = max(self.verbatim - (tag == "pre"), 0)

    def handle_data(self, data: str) -> None:
        if self.hidden and not (self.hidden == ["head"] and self.lasttag == "title"):
            return
        self.pieces.append(data if self.verbatim else re.sub(r"[ \t\n\r\f]+", " ", data))


def text(page: str) -> str:
    """What a reader sees of an HTML page."""
    parser = _Page()
    # Marked sections, as Office writes them, which html.parser refuses.
    parser.feed(_SECTION.sub(r"\1", page).replace("<![", "&lt;!["))
    parser.close()
    lines = "".join(parser.pieces).split("\n")
    kept = [line.rstrip() if line.startswith("    ") else line.strip() for line in lines]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(kept)).strip("\n")


def charset(start: bytes) -> str | None:
    """The encoding that a page names in its head."""
    found = _CHARSET.search(start)
    return (found.group(1) or found.group(2)).decode("ascii") if found else None
