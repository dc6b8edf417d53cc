"""What changes the words of a text: HTML, dates, words of a table, indentation; each counted, and once."""

import pickle
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.cluster.errors import RecipeError
from headrace.pipelines import recipe, schema, structure
from headrace.pipelines.stages.clean import dates
from headrace.pipelines.stages.clean import stage as clean
from headrace.pipelines.stages.clean.stage import Config
from tests.builders import Turn, contents_of, recipe_of, table

Counts = dict[str, int]


def cleaned(*messages: Turn, **switches: Any) -> tuple[list[str], Counts]:
    """Contents of one conversation after cleaning, and what was counted of it."""
    done = clean.apply(table(list(messages)), Config(**switches))
    assert done["drop"].null_count == done["error"].null_count == 1
    counted = {c["kind"].removeprefix("clean."): c["n"] for c in schema.changes(done).to_pylist()}
    return contents_of(done)[0], counted


def text(content: str, **switches: Any) -> tuple[str, Counts]:
    (made,), counted = cleaned(("text", content), **switches)
    return made, counted


# HTML.

PAGE = (
    "<!DOCTYPE html>\n<html><head><title>Fares</title><style>p {color: red}</style></head><body>"
    "<h1>Fares</h1><p>Trams &amp; buses:<br>two coins.</p><script>var x = '<q>';</script>"
    "<ul><li>day</li><li>week</li></ul></body></html>"
)


def test_a_page_becomes_its_text() -> None:
    made, counted = text(PAGE)
    assert made == "Fares\n\nTrams & buses:\ntwo coins.\n\n  • day\n  • week"
    assert counted == {"html": 1}
    assert text(PAGE, html=None) == (PAGE, {})


def test_a_row_of_html_becomes_text_with_its_code_in_fences() -> None:
    asked = "<p>How do I print a list with its <b>numbers</b>?</p>"
    code = "for n, x in enumerate(xs):\n    print(n &lt; 3, x)\n"
    answer = f"<p>Like this:</p>\n<pre><code>{code}</code></pre><p>Done.</p>"
    made, counted = cleaned(("user", asked), ("assistant", answer))
    assert made == [
        "How do I print a list with its numbers?",
        "Like this:\n\n```\nfor n, x in enumerate(xs):\n    print(n < 3, x)\n```\n\nDone.",
    ]
    assert counted == {"html": 2}


HTML_ANSWER = "<ul>\n  <li>one</li>\n  <li>two</li>\n</ul>"


@pytest.mark.parametrize("mark", ["&#xFDD{};", "&#x00fdd{}", "&#6497{};"])
def test_a_page_makes_no_mark_of_a_structure(mark: str) -> None:
    first, last = (mark.format(n) for n in ((6, 7) if "6497" in mark else (0, 1)))
    page = f"<div><pre>code</pre><p>{first} {{}} {last} 0 {last} 7 {last}</p></div>"
    made, counted = text(page)
    assert made.split() == ["```", "code", "```", "{}", "0", "7"]
    assert counted["html"] == 1


def test_html_that_was_asked_for_stays() -> None:
    turns = [("user", "Write a list of two in HTML."), ("assistant", HTML_ANSWER)]
    assert cleaned(*turns) == ([content for _, content in turns], {})
    both = [turns[0][1], "  • one\n  • two"]
    assert cleaned(*turns, html="messages") == (both, {"html": 1})


@pytest.mark.parametrize(
    "content",
    [
        "<note><to>Ann</to><body>hello</body></note>",
        "<?xml version='1.0'?>\n<p>x</p>",
        "<div><MyWidget>x</MyWidget></div>",
        "<svg><path/></svg>",
        "Map<K, List<T>> is a type, and a < b > c is none",
        "Put it between <b> and </b> to make it bold.",
        "```html\n<p>x</p>\n```",
        "<p>\n```\n<b>x</b>\n```\n</p>",
        "<p>",
        "<p></p>",
        "<p>Write &amp;lt; for it</p>",
        "<p>&lt;p&gt;x&lt;/p&gt;</p>",
        "<think>so it is</think> yes",
    ],
)
def test_what_is_no_html_or_about_it_stays(content: str) -> None:
    for which in ("rows", "messages"):
        assert text(content, html=which) == (content, {})


@pytest.mark.parametrize(
    ("content", "made", "n"),
    [
        ("a <b>bold</b> word<br/>and <span class='x'>more</span>", "a bold word\nand more", 5),
        ("<i>one</i> and `<i>two</i>`", "one and `<i>two</i>`", 2),
        ("not <b>closed", "not <b>closed", 0),
        ("Map<b> and <b>x</b>", "Map<b> and <b>x</b>", 0),
        ("<b></b>", "<b></b>", 0),
        ("<x>kept</x>", "<x>kept</x>", 0),
        ("<b>kept</b> <x/>", "<b>kept</b> <x/>", 0),
        ("print('<b>' + x + '</b>')", "print('<b>' + x + '</b>')", 0),
        ("```\n<b>x</b>\n```\n<b>y</b>", "```\n<b>x</b>\n```\ny", 2),
    ],
)
def test_inline_tags_go_where_the_recipe_says_so(content: str, made: str, n: int) -> None:
    assert text(content) == (content, {})
    assert text(content, inline_tags=True) == (made, {"inline_tags": n} if n else {})


@pytest.mark.parametrize(
    ("content", "made"),
    [
        (r"First.\nThen \"that\".\n\nCaf\u00e9 \ud83d\ude00\tend", 'First.\nThen "that".\n\nCafé 😀\tend'),
        (r'He said "so".\r\nThen', 'He said "so".\nThen'),
        (r"caf\u00e9", "café"),
        (r"a\\nB", "a\nB"),  # twice
        (r"half \ud83d of a pair", r"half \ud83d of a pair"),
        (r'half \ud83d of a "pair"', r'half \ud83d of a "pair"'),
        (r"the gradient \nabla f \neq 0", r"the gradient \nabla f \neq 0"),
        (r"C:\new\files", r"C:\new\files"),
        ("a line\nand \\nMore", "a line\nand \\nMore"),
        (r'{"text": "one\nTwo"}', r'{"text": "one\nTwo"}'),
        (r"print('a\n')", r"print('a\n')"),
    ],
)
def test_escapes_are_decoded_where_the_recipe_says_so(content: str, made: str) -> None:
    assert text(content) == (content, {})
    assert text(content, escapes=True) == (
        made,
        {"escapes": 1 + content.startswith("a\\\\")} if made != content else {},
    )


# Dates.


@pytest.mark.parametrize(
    ("content", "made"),
    [
        ("on 3 May 2024.", "on 2024-05-03."),
        ("on May 3rd, 2024, at 5", "on 2024-05-03, at 5"),
        ("the 3rd of May 2024", "the 2024-05-03"),
        ("Sept. 9, 1999", "1999-09-09"),
        ("(25/12/2024)", "(2024-12-25)"),
        ("12/25/2024", "2024-12-25"),
        ("5/5/2024", "2024-05-05"),
        ("31.12.1999", "1999-12-31"),
        ("2024/5/3 and 2024.05.03", "2024-05-03 and 2024-05-03"),
        ("2024年5月3日", "2024-05-03"),
    ],
)
def test_a_date_becomes_iso_8601(content: str, made: str) -> None:
    n = made.count("-") // 2
    assert text(content, dates={}) == (made, {"dates": n})
    assert text(content) == (content, {})


@pytest.mark.parametrize(
    "content",
    [
        "2024-05-03",
        "31/02/2024",
        "30 February 2024",
        "version 1.2.2024.5 of 10.0.0.2020",
        "24-05-03",
        "may 2024 and 3 May",
        "536-22-1999",
        "https://example.com/2024/05/03/page",
        "`3 May 2024`",
        "```\n3 May 2024\n```",
        "call 12-11-20245",
        "valid('03-11-2000')",
        "3 Mai 2024",
    ],
)
def test_what_is_no_date_stays(content: str) -> None:
    assert text(content, dates={}) == (content, {})


def test_an_ambiguous_date_is_read_as_the_recipe_or_its_row_says() -> None:
    asked, answer = ("user", "From 03/04/2024?"), ("assistant", "Until 25/12/2024.")
    assert cleaned(asked, answer, dates={}) == (["From 2024-04-03?", "Until 2024-12-25."], {"dates": 2})
    assert cleaned(asked, ("assistant", "Yes."), dates={"order": "mdy"})[0][0] == "From 2024-03-04?"
    assert cleaned(asked, ("assistant", "Yes."), dates={"order": "dmy"})[0][0] == "From 2024-04-03?"
    assert cleaned(asked, ("assistant", "Yes."), dates={}) == ([asked[1], "Yes."], {"ambiguous_dates": 1})
    torn = ("assistant", "12/25/2024, 25/12/2024")
    assert cleaned(asked, torn, dates={}) == (
        [asked[1], "2024-12-25, 2024-12-25"],
        {"ambiguous_dates": 1, "dates": 2},
    )


def test_a_row_that_does_not_tell_is_read_as_its_source() -> None:
    asked = ["Due 03/04/2024.", "Due 03/04/2024, not 25/12/2024.", "03/04/2024, 25/12/2024, 12/25/2024"]
    rows = table(*([("text", one)] for one in [*asked, asked[0]]), source=["us", "us", "us", "other"])
    config = Config(dates={}).ordered({"us": "mdy"})
    config = pickle.loads(pickle.dumps(config.loaded()))
    done = clean.apply(rows, config)
    assert contents_of(done) == [
        ["Due 2024-03-04."],
        ["Due 2024-04-03, not 2024-12-25."],
        ["03/04/2024, 2024-12-25, 2024-12-25"],
        ["Due 03/04/2024."],
    ]
    counted = [(c["row_id"], c["kind"], c["n"]) for c in schema.changes(done).to_pylist()]
    ambiguous, changed = "clean.ambiguous_dates", "clean.dates"
    assert counted == [
        (0, changed, 1),
        (1, changed, 2),
        (2, ambiguous, 1),
        (2, changed, 2),
        (3, ambiguous, 1),
    ]


@pytest.mark.parametrize(
    ("texts", "order"),
    [
        (["12/25/2024", "by 3/31/2023 or 3/4/2023", "1.13.2024"], "mdy"),
        (["25/12/2024 and 31/3/2023", "13.1.2024", "3/4/2023"], "dmy"),
        (["12/25/2024", "3/31/2023"], "row"),
        (["12/25/2024", "3/31/2023", "1/13/2024", "13/1/2024"], "row"),
        (["`12/25/2024`", "3/31/2023", "1/13/2024"], "row"),
        (["2024/12/25", "5/5/2024", "3/4/2024", "1 March 2024"], "row"),
        ([], "row"),
    ],
)
def test_the_order_of_dates_of_a_source(texts: list[str], order: str) -> None:
    assert dates.order_of_source(texts) == order


def test_a_month_in_long_s_is_no_date_and_no_fault() -> None:
    assert text("On 3 Augu\u017ft 1790 it rained.", dates={}) == ("On 3 Augu\u017ft 1790 it rained.", {})


def test_months_are_known_in_the_languages_of_the_recipe() -> None:
    assert text("am 3. März 2024", dates={"languages": ["de"]}) == ("am 2024-03-03", {"dates": 1})
    assert text("el 3 de mayo de 2024", dates={"languages": ["es"]}) == ("el 2024-05-03", {"dates": 1})
    both = {"languages": ["hr", "pl"]}
    assert text("3 listopad 2024", dates={"languages": ["pl"]})[0] == "2024-11-03"
    assert text("3 listopad 2024", dates=both)[1] == {}
    with pytest.raises(RecipeError, match="'xx' is no language that dateparser knows"):
        recipe.validate(recipe_of("run", "in", clean={"dates": {"languages": ["xx"]}}), "r")


# Words.

WORDS = {"pls": "please", "asap": "as soon as possible", "US": "United States", "e.g.": "for example"}


@pytest.mark.parametrize(
    ("content", "made", "n"),
    [
        ("pls call. Pls! PLS", "please call. Please! PLEASE", 3),
        ("the US, not us", "the United States, not us", 1),
        ("fruit, e.g. figs", "fruit, for example figs", 1),
        ("plsx, xpls, pls_x, pLs", "plsx, xpls, pls_x, pLs", 0),
        ("pls@example.com https://pls.org `pls`", "pls@example.com https://pls.org `pls`", 0),
        ("```\npls\n```", "```\npls\n```", 0),
        ("ASAP", "AS SOON AS POSSIBLE", 1),
    ],
)
def test_words_of_a_table_are_replaced_whole_and_in_their_case(content: str, made: str, n: int) -> None:
    assert text(content, abbreviations=WORDS) == (made, {"abbreviations": n} if n else {})


def test_a_long_table_finds_the_same_as_a_short_one() -> None:
    many = {**WORDS, **{f"zq{n}x": "z" for n in range(600)}}
    for content in ("Pls! ASAP, the US, e.g. \u212aelvin", "nothing", "zq5x"):
        short = text(content, abbreviations={**WORDS, "zq5x": "z"})
        assert text(content, abbreviations=many) == short


def test_a_table_may_be_a_file_which_no_worker_needs(tmp_path: Path) -> None:
    path = tmp_path / "words.csv"
    path.write_text('pls,please\n"w/o","with no"\n', encoding="utf-8-sig")
    config = Config(abbreviations=str(path))
    first = config.digests()
    sent = pickle.dumps(config.loaded())
    path.write_text("pls,pleased\n")
    assert config.digests() != first
    path.unlink()
    there = pickle.loads(sent)
    assert there.digests() == first
    assert contents_of(clean.apply(table([("text", "Pls, w/o it")]), there)) == [["Please, with no it"]]
    with pytest.raises(RecipeError, match="there is no file"):
        config.loaded()


@pytest.mark.parametrize(
    ("name", "lines", "words"),
    [
        ("w.txt", "a,b", "neither .csv nor .tsv"),
        ("w.csv", "a,b,c", "line 1 has 3 columns"),
        ("w.csv", "a,b\n\na,c", "line 3 says something else"),
        ("w.tsv", "a\t ", "entry 1 has nothing to write"),
        ("w.tsv", "!a\tb", "entry 1 must begin with a letter"),
        ("w.csv", "a,b\nb,c", "what entry 1 writes holds a word that the table has as well"),
    ],
)
def test_a_table_that_cannot_be_followed_is_refused(
    tmp_path: Path, name: str, lines: str, words: str
) -> None:
    (tmp_path / name).write_text(lines)
    with pytest.raises(RecipeError, match=words):
        clean.apply(table([("text", "x")]), Config(abbreviations=str(tmp_path / name)).loaded())


# Indentation.


def test_code_in_fences_is_indented_by_one_kind() -> None:
    mixed = "```py\nif a:\n\tb\n\tif c:\n\t    d\n```\n\tprose\n```make\nall:\n\tdo\n```"
    spaces = "```py\nif a:\n    b\n    if c:\n        d\n```\n\tprose\n```make\nall:\n\tdo\n```"
    assert text(mixed, indentation="spaces") == (spaces, {"indentation": 1})
    tabs = "```py\nif a:\n\tb\n\tif c:\n\t\td\n```\n\tprose\n```make\nall:\n\tdo\n```"
    assert text(spaces, indentation="tabs") == (tabs, {"indentation": 1})
    assert text("~~~\na\n\tb\n~~~", indentation="spaces", tab_width=2)[0] == "~~~\na\n  b\n~~~"


@pytest.mark.parametrize(
    "content",
    [
        "```yaml\na:\n  - b\n```",
        "```\na\n   b\n  c\n```",
        "```\na\n\tb\n```",
        "a\n    b",
        "```\na\n```\n    b",
    ],
)
def test_what_has_no_step_or_needs_its_spaces_gets_no_tabs(content: str) -> None:
    assert text(content, indentation="tabs") == (content, {})


# All of them.


def test_structures_stay_as_they_are() -> None:
    calls = structure.sealed(
        "on 3 May 2024", {"tool_calls": [{"function": {"arguments": {"on": "3 May 2024"}}}]}
    )
    made, counted = cleaned(("user", "q"), ("assistant", calls), dates={}, abbreviations={"may": "can"})
    assert structure.unsealed("assistant", made[1])[0] == "on 2024-05-03"
    assert made[1].count("3 May 2024") == 1
    assert counted == {"dates": 1}


PIECES = st.lists(
    st.one_of(
        st.sampled_from(
            [
                *("<p>", "</p>", "<b>", "</b>", "<br>", "<pre>", "</pre>", "&lt;", "&amp;", "<x>", "<li>"),
                *("3 May 2024", "03/04/2024", "25/12/2024", "2024/5/3", "May 3, 2024", "5/5/2024 "),
                *("pls", "PLS ", "asap", "```\n", "```py\n", "\n\tx", "\n    y\n", "`", "~~~\n", " ", "\n"),
                *("\\n", "\\nA", "\\u00e9", "\\ud83d", '\\"', '"', "\\", "\\t", "\\\\n "),
                *("\u200b", "\u202e", "\u200d", "\u00ad", "\u05d0", "a", "क", "https://x.org/", "@"),
            ]
        ),
        st.text(max_size=4),
    ),
    max_size=9,
).map("".join)
SWITCHES = st.fixed_dictionaries(
    {},
    optional={
        "html": st.sampled_from(["rows", "messages", None]),
        "inline_tags": st.booleans(),
        "escapes": st.booleans(),
        "dates": st.sampled_from([{}, {"order": "dmy"}, {"order": "mdy", "languages": ["en", "de"]}]),
        "indentation": st.sampled_from(["spaces", "tabs"]),
        "abbreviations": st.just(WORDS),
        "invisible": st.booleans(),
        "strip": st.sampled_from(["keep_indent", "all", "none"]),
        "separator": st.sampled_from(["\n", " "]),
    },
)
CONVERSATIONS = st.lists(st.lists(PIECES, min_size=1, max_size=4), min_size=1, max_size=4)


def rows_of(conversations: list[list[str]]) -> pa.Table:
    return table(
        *[[(("user", "assistant")[n % 2], c) for n, c in enumerate(turns)] for turns in conversations]
    )


@given(conversations=CONVERSATIONS, switches=SWITCHES)
@settings(max_examples=120, deadline=None)
def test_cleaning_twice_is_cleaning_once_and_what_is_other_is_counted(
    conversations: list[list[str]], switches: dict[str, Any]
) -> None:
    came, config = rows_of(conversations), Config(**switches)
    done = clean.apply(came, config)
    assert done["messages"].equals(clean.apply(done, config)["messages"])
    counted = {c["row_id"] for c in schema.changes(done).to_pylist() if c["kind"] != "clean.ambiguous_dates"}
    other = {n for n in range(came.num_rows) if done["messages"][n] != came["messages"][n]}
    assert counted == other


@given(conversations=CONVERSATIONS)
@settings(max_examples=50, deadline=None)
def test_what_is_off_or_has_nothing_to_do_changes_no_byte(conversations: list[list[str]]) -> None:
    """Texts without the kind come out as with all of it switched off."""
    bare = [
        [c.replace("<", "").replace("&", "").translate({ord(d): "x" for d in "0123456789\t"}) for c in t]
        for t in conversations
    ]
    off = Config(html=None)
    on = Config(
        html="messages", inline_tags=True, dates={}, indentation="spaces", abbreviations={"zzzq": "z"}
    )
    assert clean.apply(rows_of(bare), on).equals(clean.apply(rows_of(bare), off))
