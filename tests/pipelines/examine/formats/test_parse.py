"""Structured answers: in which format they begin, and where they break."""

import re

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.pipelines.examine.formats import parse as parsing
from headrace.pipelines.examine.formats.parse import CLUES, parse

VALID = [
    ("json", '{"a": [1, 2.5, null], "b": {"c": "d"}}'),
    ("json", "[]"),
    ("json", f"[{'7' * 5_000}]"),
    ("json", '{"a": 1}\n{"a": 2}\n{"a": 3}'),
    ("json", '{"mail": "<EMAIL_ADDRESS_1>", "phone": <PHONE_NUMBER>}'),
    ("json", '<think>\nhm {\n</think>\n\n{"a": 1}'),
    ("xml", "<plan><step n='1'>wait</step><step/></plan>"),
    ("xml", '<?xml version="1.0"?>\n<a>ü</a>'),
    ("yaml", "name: pump\nparts:\n  - valve\n  - hose"),
    ("call", 'look(place="Rome", n=2)'),
    ("call", '[look(place="Rome"), wait(5)]'),
    ("call", "look(a=1)\nwait(2)"),
    ("fence", "```python\nx = [1, 2]\n```\nThis makes a list."),
    ("fence", '```json\n{"a": 1}\n```'),
    ("fence", "```\nanything (goes\n```"),
    ("sql", "SELECT name FROM ships WHERE year > 1900 ORDER BY name LIMIT 3"),
    ("sql", "select count(*) from ships group by kind having count(*) > 2"),
    ("sql", "select t1.name, t2.year from ships as t1 join years as t2 on t1.id = t2.id"),
    ("sql", "WITH t AS (SELECT 1 AS a) SELECT a FROM t; DELETE FROM ships WHERE a = 1;"),
    ("csv", 'name,age,town\nAnn,31,"Rome, Italy"\nBo,4,Oslo'),
]


@pytest.mark.parametrize(("name", "answer"), VALID)
def test_what_is_valid(name: str, answer: str) -> None:
    assert parse(answer) == (name, True, True, None)
    assert parse(f"\n {answer} \n") == (name, True, True, None)


@pytest.mark.parametrize(
    "answer",
    [
        "",
        "No.",
        "The function look(x) waits.",
        "Python (the language) is old.",
        "Note: it rains.",
        "Note: it rains.\nAnd it pours.",
        "Select a book from the shelf.",
        "With luck, it works.",
        "[citation needed] is what they write.",
        "<EMAIL_ADDRESS_1> is where to write.",
        "<p>One & two<br>three",
        '<ul class="a"><li>one<li>two</ul>',
        "Ann, Bo, and Cy came. They\nsat, ate, and left.",
        "| a | b | c |\n|---|---|---|\n| 1 | 2 | 3 |",
        "{curly} is a word",
        "load('a.json')\n    .then(read => show(read));",
        "count() {\n  ls | wc -l\n}",
    ],
)
def test_what_is_in_no_format(answer: str) -> None:
    assert parse(answer) is None


@pytest.mark.parametrize(
    ("name", "answer", "at"),
    [
        ("json", '{"a": 1} Hope this helps!', "Hope"),
        ("json", '{"a": 1, "b": [1, 2}', "}"),
        ("json", '{"a": 1}\n{"a": 2}\nand so on', "and"),
        ("json", '{"longer": 1, "b": "cut of', '"cut'),
        ("xml", "<a><b>x</b></a> That is all.", "That"),
        ("yaml", "name: pump\nparts:\n  - valve\n- that is\n all: it\n", "- that"),
        ("call", 'look(place="Rome") is what I would call', "is"),
        ("sql", "SELECT name FROM ships WHERE year > 1900\n\nThis lists the ships.", "This"),
        ("csv", "name,age,town\nAnn,31,Rome\nBo,4,Oslo\nThat is all.", "That"),
        ("fence", '```json\n{"a": 1,}\n```', "}"),
        ("fence", "```python\nx = 1\ny = = 2\n```", "= 2"),
    ],
)
def test_where_an_answer_breaks(name: str, answer: str, at: str) -> None:
    found = parse(answer)
    assert found is not None
    assert (found.format, found.valid_head, found.valid) == (name, True, False)
    assert found.breaks_at == answer.rindex(at)


def test_a_fence_that_is_not_closed_breaks_at_its_end() -> None:
    answer = "```python\nx = 1\n"
    assert parse(answer) == ("fence", True, False, len(answer.rstrip()))


def test_a_broken_beginning_is_no_valid_head() -> None:
    assert parse('{"a" 1}') == ("json", False, False, 5)


def test_the_recipes_own_expression() -> None:
    pattern = re.compile(r"ID-\d+(; ID-\d+)*")
    assert parse("ID-1; ID-22", pattern) == ("pattern", True, True, None)
    assert parse("ID-1; none", pattern) == ("pattern", True, False, 4)
    assert parse("none", pattern) is None


@pytest.mark.parametrize(
    "answer",
    [
        "[" * 100_000,
        '{"a":' * 50_000,
        "f(" * 20_000 + "1",
        "<a>" * 50_000,
        "SELECT " + "(" * 3_000 + "1",
        'f(a="\0")',
        '<!DOCTYPE a [<!ENTITY b "cc">]><a>&b;</a>',
        '<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><a>&b;</a>',
        "a: &x [1]\nb: *x\nc: !!python/object:os.system x\n",
    ],
)
def test_what_is_hostile_is_only_broken_or_right(answer: str) -> None:
    found = parse(answer)
    assert found is None or found.valid or 0 <= (found.breaks_at or 0) <= len(answer)


def test_no_text_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    assert parse("ALTER TABLE secret FROBNICATE x y z") == ("sql", True, True, None)
    assert caplog.records == []


def test_nothing_is_fetched_or_expanded() -> None:
    found = parse('<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b "cc">]><a>&b;</a>')
    assert found is not None
    assert not found.valid


@given(
    st.text(alphabet=st.sampled_from(list("{}[]()<>\"':,;=-|`\n\t aA1é\\/*")) | st.characters(), max_size=60)
)
def test_it_never_raises(text: str) -> None:
    for start in ("", "{", "[", "<a>", "```json\n", "f(a=", "SELECT a FROM ", "a: b\nc: ", "a,b,c\nd,e,f\n"):
        found = parse(start + text)
        if found is not None:
            assert found.valid == (found.breaks_at is None)
            assert found.breaks_at is None or 0 <= found.breaks_at <= len(start + text)


def test_what_is_parsed_has_a_clue() -> None:
    answers = [answer for _, answer in VALID]
    assert pc.match_substring_regex(pa.array(answers), CLUES).to_pylist() == [True] * len(answers)
    assert set(parsing.FENCED) >= {"json", "python", "sql", "yaml", "xml"}
