"""The sheet: hostile text stays text, no cell is a formula, no request is made; its script, by node."""

import base64
import csv
import hashlib
import io
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pytest

from headrace.pipelines import structure
from headrace.pipelines.commands.draw import label_studio, sheet
from headrace.pipelines.examine.spot_check.ratings import CRITERIA, VERDICTS

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)> {{ 7*7 }} \u202egnp \x00\x1b[2J"
SCRIPT = Path(sheet.__file__).with_name("sheet.js")


def cards(*turns: tuple[str, str]) -> list[sheet.Card]:
    """A sheet of one row."""
    messages = [{"role": role, "content": content} for role, content in turns]
    about = {"source": '"><b>s', "side": "train", "task": None, "language": None}
    return [sheet.card(2**40 + 7, "0123456789abcdef", "=cmd.jsonl, line 3", about, messages)]


class Tags(HTMLParser):
    """The tags of a page, their attributes, and the text of its script."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.script = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        if self.tags[-1:] == ["script"] and not self.script:
            self.script = data


def test_hostile_text_stays_text() -> None:
    page = sheet.page(cards(("user", HOSTILE), ("assistant", HOSTILE)), "m", 10)
    tags = Tags(page)
    assert tags.tags.count("script") == 1
    assert "img" not in tags.tags
    assert "b" not in tags.tags
    assert not [name for name, _ in tags.attributes if name.startswith("on")]
    assert not [value for name, value in tags.attributes if name in ("src", "href", "action")]
    assert "{{ 7*7 }}" in page
    assert not re.search("[\x00-\x08\x0b-\x1f\u202e]", page)
    assert tags.script == SCRIPT.read_text()


def test_the_policy_allows_this_script_and_no_request() -> None:
    page = sheet.page(cards(("user", "a")), "m", 10)
    digest = base64.b64encode(hashlib.sha256(Tags(page).script.encode()).digest()).decode()
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]+)"', page)
    assert policy == (
        f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'; base-uri 'none'; "
        "form-action 'none'"
    )
    assert not re.search(r"fetch\(|XMLHttpRequest|WebSocket|https?://|@import|url\(", page)


@pytest.mark.parametrize("start", ["=1+1", "+1", "-1", "@a", "\t=1", "\r=1", "\n=1", "  =1", "＝1"])
def test_no_cell_is_a_formula(start: str) -> None:
    (head, row) = csv.reader(io.StringIO(sheet.table(cards(("user", "q"), ("assistant", start)))))
    assert head[-8:] == ["rater", "verdict", *CRITERIA, "note"]
    assert all(not value.lstrip().startswith(sheet.FORMULA) for value in row)
    assert dict(zip(head, row, strict=True))["answer"].startswith("'")
    assert dict(zip(head, row, strict=True))["place"] == "'=cmd.jsonl, line 3"


def test_an_id_stays_what_it_is_in_a_spreadsheet() -> None:
    (_, row) = csv.reader(io.StringIO(sheet.table(cards(("user", "q")))))
    assert row[:2] == [f"'{2**40 + 7}", "'0123456789abcdef"]


def test_what_is_asked_is_what_is_taken_back() -> None:
    assert tuple(sheet.RATE.verdicts) == VERDICTS
    assert tuple(sheet.RATE.criteria) == CRITERIA


def test_long_turns_are_cut_and_say_so() -> None:
    made = cards(("user", "x" * (sheet.SHOWN + 1234)))
    assert "1,234 characters more" in sheet.page(made, "m", 10)
    (_, row) = csv.reader(io.StringIO(sheet.table(made)))
    assert "x" * sheet.SHOWN in row


def test_tools_are_shown_in_lines_of_their_own() -> None:
    offer = structure.sealed("be brief", {"tools": [{"name": "look"}]})
    (card,) = cards(("system", offer), ("user", "q"))
    assert '"name": "look"' in card.turns[0].text
    assert structure.OPEN not in card.turns[0].text


def test_label_studio_asks_what_the_sheet_asks(tmp_path: Path) -> None:
    label_studio.write(str(tmp_path / "tasks.json"), cards(("user", "q"), ("assistant", "a")))
    (task,) = json.loads((tmp_path / "tasks.json").read_text())
    turns = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]
    assert task["data"]["turns"] == turns
    assert task["data"]["row_id"] == str(2**40 + 7)
    config = (tmp_path / "tasks.xml").read_text()
    assert re.findall(r'<(?:Rating|Choices|TextArea) name="(\w+)"', config) == ["verdict", *CRITERIA, "note"]


@pytest.mark.skipif(shutil.which("node") is None, reason="no node to run the sheet's script")
def test_the_script_exports_no_formula_and_finds_what_is_unrated() -> None:
    code = (
        f"const s = require({json.dumps(str(SCRIPT))});"
        'const one = {row_id: "7", mark: "ab", source: "=x", rater: "@me", verdict: "right",'
        "note: 'a \"b\"\\n-1'};"
        f"console.log(JSON.stringify([s.csv([one], {json.dumps(CRITERIA)}), s.rated({{note: 'x'}}),"
        "s.rated({fluency: '3'}),"
        "s.nextOpen(['a', 'b', 'c'], {b: {verdict: 'wrong'}}, 0),"
        "s.nextOpen(['a'], {a: {verdict: 'wrong'}}, 0)]))"
    )
    done = subprocess.run(["node", "-e", code], capture_output=True, text=True, check=True, timeout=60)
    written, note, score, after, none = json.loads(done.stdout)
    (_, row) = csv.reader(io.StringIO(written.removeprefix("\ufeff"), newline=""))
    assert row == ["7", "ab", "'=x", "'@me", "right", *[""] * 5, 'a "b"\n-1']
    assert (note, score, after, none) == (False, True, 2, -1)
