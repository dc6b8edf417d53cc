"""The structure of a whole report, read without a browser: what a screen reader, a keyboard and a narrow
window need of it. `test_browser` looks at the same page where there is Chromium.
"""

import html.parser
import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from headrace.pipelines import flow
from headrace.pipelines.report import page as report
from tests.pipelines.report.runs import Page, whole_run, write_run

VOID = Page.VOID
STYLE = (report.TEMPLATES / "style.css").read_text(encoding="utf-8")


class Element:
    """A tag with its attributes, what stands in it, and its text."""

    def __init__(self, tag: str, attributes: dict[str, str | None], above: "Element | None") -> None:
        self.tag, self.attributes, self.above = tag, attributes, above
        self.inner: list[Element] = []
        self.words: list[str] = []

    def all(self, *tags: str) -> "list[Element]":
        """Everything in it of these tags, in order."""
        found = []
        for one in self.inner:
            found += [one] if one.tag in tags else []
            found += one.all(*tags)
        return found

    @property
    def text(self) -> str:
        return " ".join("".join([*self.words, *(one.text for one in self.inner)]).split())

    def within(self, matches: "Any") -> bool:
        return self.above is not None and (matches(self.above) or self.above.within(matches))

    @property
    def classes(self) -> list[str]:
        return (self.attributes.get("class") or "").split()


class Tree(html.parser.HTMLParser):
    """A page as nested elements."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.root = self.here = Element("", {}, None)
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        one = Element(tag, dict(attrs), self.here)
        self.here.inner.append(one)
        self.here = self.here if tag in VOID else one

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.here.inner.append(Element(tag, dict(attrs), self.here))

    def handle_endtag(self, tag: str) -> None:
        assert self.here.tag == tag, f"</{tag}> closes <{self.here.tag}> at {self.getpos()}"
        assert self.here.above is not None
        self.here = self.here.above

    def handle_data(self, data: str) -> None:
        self.here.words.append(data)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Element:
    """A run with everything that a report can show."""
    run = whole_run()
    run["verdict"] = {"decision": "mend", "words": "Mend it first", "reasons": []}
    rang = {"passed": True, "state": "warn", "value": 0.5, "interval": [0.4, 0.6], "threshold": 0.02}
    run["gates"] = {"endless": {**rang, "words": "half do not end. Look at the end token", "rows": [1]}}
    path = write_run(str(tmp_path_factory.mktemp("page") / "run"), run)
    return Tree(Path(report.build(path, flow.STAGES)).read_text(encoding="utf-8")).root


def test_the_document_says_what_it_is(page: Element) -> None:
    (root,) = page.all("html")
    assert root.attributes["lang"] == "en"
    (title,) = page.all("title")[:1]
    assert title.text.startswith("Mend it first")
    views = [m.attributes["content"] for m in page.all("meta") if m.attributes.get("name") == "viewport"]
    assert views == ["width=device-width, initial-scale=1"], "whoever needs to may zoom"


def test_everything_stands_in_one_landmark(page: Element) -> None:
    for name in ("header", "main", "footer", "nav"):
        assert len(page.all(name)) == 1, name
    (body,) = page.all("body")
    assert [one.tag for one in body.inner] == ["a", "header", "main", "footer"]
    skip = body.inner[0]
    assert skip.classes == ["skip"]
    assert (skip.attributes["href"] or "")[1:] in {one.attributes.get("id") for one in page.all("section")}


def test_headings_have_words_and_leave_no_level_out(page: Element) -> None:
    headings = page.all("h1", "h2", "h3", "h4", "h5", "h6")
    assert all(one.text for one in headings)
    levels = [int(one.tag[1]) for one in headings]
    assert levels[0] == levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    ids = {one.attributes["id"]: one for one in headings if one.attributes.get("id")}
    for section in page.all("section"):
        name = section.attributes.get("aria-labelledby") or ""
        assert section.attributes.get("aria-label") or ids[name].text


def test_tables_have_names_and_headed_columns(page: Element) -> None:
    tables = page.all("table")
    assert len(tables) > 10
    for table in tables:
        named = table.all("caption") or table.attributes.get("aria-label") or table.attributes.get("class")
        assert named or table.within(lambda one: one.tag == "details" or bool(one.all("h3", "h4"))), (
            table.text
        )
        heads = table.all("th")
        assert heads, table.text
        assert all(one.attributes.get("scope") in ("col", "row", "colgroup", "rowgroup") for one in heads)
        assert all(one.text or one.inner for one in table.all("thead")), table.text


def test_what_is_wide_scrolls_in_a_place_that_the_keyboard_reaches(page: Element) -> None:
    for wide in page.all("table"):
        assert wide.within(lambda one: "scroll" in one.classes), wide.text[:80]
    boxes = [one for one in page.all("div") if "scroll" in one.classes]
    assert boxes
    assert all(box.attributes.get("tabindex") == "0" for box in boxes)
    assert all(box.attributes.get("role") == "region" for box in boxes)
    assert all(box.attributes.get("aria-label") or box.attributes.get("aria-labelledby") for box in boxes)


def test_drawings_links_and_folds_have_names(page: Element) -> None:
    ids = {one.attributes["id"]: one for one in everything(page) if one.attributes.get("id")}
    for drawing in page.all("svg"):
        if drawing.attributes.get("aria-hidden") == "true":
            continue
        names = (drawing.attributes.get("aria-labelledby") or "").split()
        assert drawing.attributes["role"] == "img"
        assert names
        assert all(ids[name].text for name in names), "a name that says something"
    assert all(link.text for link in page.all("a"))
    assert all(fold.inner[0].tag == "summary" and fold.inner[0].text for fold in page.all("details"))
    for one in everything(page):
        for key in ("aria-labelledby", "aria-describedby", "for", "headers"):
            assert set((one.attributes.get(key) or "").split()) <= set(ids), (one.tag, key)


def everything(page: Element) -> list[Element]:
    return [one for inner in page.inner for one in (inner, *everything(inner))]


def test_lists_hold_items_alone(page: Element) -> None:
    for one in page.all("ul", "ol"):
        assert {inner.tag for inner in one.inner} <= {"li"}
    for one in page.all("dl"):
        assert {inner.tag for inner in one.inner} <= {"dt", "dd", "div"}


def test_no_id_stands_twice(page: Element) -> None:
    ids = [one.attributes["id"] for one in everything(page) if one.attributes.get("id")]
    assert len(ids) == len(set(ids))


def test_it_asks_for_nothing_and_runs_nothing(page: Element) -> None:
    outside = {"script", "link", "img", "iframe", "object", "embed", "audio", "video", "form", "base"}
    assert not {one.tag for one in everything(page)} & outside
    for one in everything(page):
        assert not any(name.startswith("on") or name in ("src", "srcset") for name in one.attributes)
        assert "url(" not in (one.attributes.get("style") or "")
    assert not re.search(r"url\(|@import|@font-face", STYLE)


def test_no_width_is_fixed_that_a_telephone_does_not_have() -> None:
    """390 pixels: whatever is wider must give way, which `max-width` and scrolling do."""
    rules = re.sub(r"/\*.*?\*/|@media print \{.*", "", STYLE, flags=re.DOTALL)
    for amount, unit in re.findall(r"(?<![\w-])(?:min-)?width: ?([\d.]+)(px|rem|em|ch)", rules):
        if f"width: {amount}{unit}" in "".join(re.findall(r"@media[^{]*", rules)):
            continue
        pixels = float(amount) * {"px": 1, "rem": 16, "em": 16, "ch": 9}[unit]
        assert pixels <= 320, f"{amount}{unit}"
