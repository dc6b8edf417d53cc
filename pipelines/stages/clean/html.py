"""HTML turned into the text that a browser shows, and inline tags out of texts that are no HTML.

What is HTML: a message that begins with a tag that HTML has for blocks, or its doctype, ends with a tag, has
no tag but HTML's, one of them closed, and no code fence. So XML is none, nor are generics (``List<T>``), nor
an answer that says something and then shows HTML. Where its text would be changed again by another round
(what stands in it is HTML or an entity once more), a message stays as it is.

Whether a message that is HTML is meant to be is told by the row: where all its messages are, the markup is
the dress of a web page; where a question has plain words and the answer is HTML, it is what was asked for.

``<pre>`` becomes a code fence: what is code stands apart afterwards, too. Resiliparse does the rest: blocks,
lists and tables as lines, scripts and styles left out.

Cost: a look by RE2 at the two ends of every text; Resiliparse, at tens of MB/s, for what is HTML.
Source: https://resiliparse.chatnoir.eu
"""

import re

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from headrace.kernels.arrow import one_span
from headrace.pipelines.stages.clean.spans import in_prose

BLOCKS = (
    *("html", "head", "body", "main", "article", "section", "header", "footer", "nav", "div", "p", "table"),
    *("ul", "ol", "dl", "h1", "h2", "h3", "h4", "h5", "h6", "blockquote", "pre", "center", "figure"),
)
INLINE = (
    *("b", "i", "u", "s", "em", "strong", "span", "font", "small", "big", "sub", "sup", "mark", "del", "ins"),
    *("strike", "tt", "abbr", "cite"),
)
KNOWN = {
    *BLOCKS,
    *INLINE,
    *("title", "meta", "link", "script", "style", "noscript", "base", "aside", "a", "br", "hr", "img"),
    *("thead", "tbody", "tfoot", "tr", "td", "th", "caption", "colgroup", "col", "li", "dt", "dd", "label"),
    *("figcaption", "kbd", "samp", "var", "q", "dfn", "time", "wbr", "address", "hgroup", "details"),
    *("summary", "code"),
    *("form", "input", "button", "select", "option", "textarea", "fieldset", "legend", "iframe", "picture"),
    *("source", "video", "audio", "ruby", "rt", "rp", "bdi", "bdo", "data", "nobr", "acronym"),
}
# RE2, over the texts that are `framed`: those that begin and end as HTML does.
SUSPECTS = rf"(?is)\A\s*<(?:!doctype\s+html|{'|'.join(BLOCKS)})[\s>].*>\s*\z"
INLINE_SUSPECTS = rf"(?i)<(?:{'|'.join(INLINE)}|br)[\s/>]"
TAG = re.compile(r"<(/?)([A-Za-z][\w:.-]*)")
FENCED = re.compile(r"^\s*(?:```|~~~)", re.MULTILINE)
PRE = re.compile(r"<pre\b[^>]*>(.*?)</pre\s*>", re.IGNORECASE | re.DOTALL)
# The marks of structures, which no text has: as they are, and as Resiliparse would make them of references.
MARKS = re.compile("[\ufdd0\ufdd1]|&#(?:x0*fdd[01](?![0-9a-f])|0*6497[67](?![0-9]));?", re.IGNORECASE)
INLINE_TAG = re.compile(
    rf"<(?P<close>/?)(?P<name>{'|'.join(INLINE)})(?:\s[^<>]*)?>|<(?P<line>br)\s*/?>", re.IGNORECASE
)

QUOTED_TAG = re.compile(r"['\"]</?[A-Za-z]|<[^<>]*>['\"]")
PLAIN_TAGS = {*INLINE, "br"}


def framed(texts: pa.Array) -> NDArray[np.bool_]:
    """Which texts begin and end with the signs of a tag, or with white space: ``bool[N]``."""
    span = one_span(texts)
    found: NDArray[np.bool_] = span.stops > span.starts
    for sign, places in (("<", span.starts), (">", span.stops - 1)):
        fits = np.isin(np.arange(256), [*b" \t\n\v\f\r", ord(sign)])
        found[found] = fits[span.data[places[found]]]
    return found


def looks(text: str) -> bool:
    """Whether `text` begins and ends as HTML does."""
    return re.search(SUSPECTS.replace(r"\z", r"\Z"), text) is not None


def is_html(text: str) -> bool:
    """Whether `text`, which begins and ends as HTML does (`SUSPECTS`), is HTML throughout."""
    if FENCED.search(text):
        return False
    tags = TAG.findall(re.sub(r"<(script|style)\b.*?</\1\s*>", "", text, flags=re.IGNORECASE | re.DOTALL))
    names = {name.lower() for _, name in tags}
    return names <= KNOWN and any(slash for slash, _ in tags)


def as_text(html: str) -> str:
    """The text of HTML as a browser would show it, with code in fences."""
    from resiliparse.extract.html2text import extract_plain_text  # only where there is HTML

    html = MARKS.sub("", html)
    blocks: list[str] = []

    def fenced(match: re.Match[str]) -> str:
        code = extract_plain_text(f"<pre>{match[1]}</pre>", preserve_formatting=True).strip("\n")
        if not code.strip():
            return ""
        blocks.append(f"```\n{code}\n```")
        return f"<p>\ufdd1{len(blocks) - 1}\ufdd1</p>"

    marked = PRE.sub(fenced, html)
    text = str(extract_plain_text(marked, preserve_formatting=True, list_bullets=True, alt_texts=True))
    text = re.sub("\ufdd1([0-9]+)\ufdd1", lambda match: blocks[int(match[1])], text)
    return re.sub(r"\n{3,}", "\n\n", text) if not blocks else text


def without_inline(text: str) -> tuple[str, int]:
    """`text` without inline tags in its prose, and how many there were.

    They stay where one of them is not closed, as a generic's parameter is not, where one stands beside a
    straight quotation mark, as in code, and where there are tags of other kinds as well.
    """
    if QUOTED_TAG.search(text) or any(name.lower() not in PLAIN_TAGS for _, name in TAG.findall(text)):
        return text, 0
    names: list[str] = []

    def look(piece: str) -> tuple[str, int]:
        for tag in INLINE_TAG.finditer(piece):
            if tag["line"]:
                continue
            name = tag["name"].lower()
            if not tag["close"]:
                names.append(name)
            elif names and names[-1] == name:
                names.pop()
            else:
                names.append("/")
        return piece, 0

    in_prose(text, look)
    if names:
        return text, 0

    def remove(piece: str) -> tuple[str, int]:
        return INLINE_TAG.subn(lambda tag: "\n" if tag["line"] else "", piece)

    return in_prose(text, remove)
