"""Characters that nobody sees: gone where nothing needs them, kept where a script or an emoji does."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.pipelines import schema
from headrace.pipelines.stages.clean import stage as clean
from headrace.pipelines.stages.clean.invisible import seen
from headrace.pipelines.stages.clean.stage import Config
from tests.builders import contents_of, table


@pytest.mark.parametrize(
    ("content", "left"),
    [
        ("zero\u200bwidth", "zerowidth"),
        ("\u200bends\u200d", "ends"),
        ("so\u00adft hy\u00adphen", "soft hyphen"),
        ("mark\u200b\u200c\u200d\u2060ed", "marked"),
        ("漢\u200b字", "漢字"),
        ("слово\u200c", "слово"),
        ("if (\u202e)x\u202c == 1", "if ()x == 1"),
        ("left\u200eright\u2066x\u2069", "leftrightx"),
        ("hid\U000e0041\U000e0042den", "hidden"),
        ("x\ufe0f\ufe01\U000e0100\U000e01efy", "x\ufe0fy"),
    ],
)
def test_what_nothing_needs_goes(content: str, left: str) -> None:
    assert seen(content) == left
    done = clean.apply(table([("text", content)]), Config())
    assert contents_of(done) == [[left]]
    assert schema.changes(done).to_pylist() == [
        {"row_id": 0, "kind": "clean.invisible", "n": len(content) - len(left)}
    ]
    kept = clean.apply(table([("text", content)]), Config(invisible=False))
    assert contents_of(kept) == [[content]]


@pytest.mark.parametrize(
    "content",
    [
        "می\u200cخواهم",
        "क्\u200dष and क्\u200cष",
        "\U0001f469\u200d\U0001f4bb \u2764\ufe0f\u200d\U0001f525",
        "\U0001f3f4\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f",
        "ไทย\u200bคำ",
        "ភាសា\u200bខ្មែរ",
        "ꦥꦿ\u200bꦚꦠ",
        "שלום \u200fabc\u200e!",
        "\u202bعربي\u202c (\u2067x\u2069)",
        "葛\U000e0100",
        "write `\u200b` or '\u202e' or \"\u00ad\"",
        "plain",
    ],
)
def test_what_a_script_an_emoji_or_a_sentence_about_it_needs_stays(content: str) -> None:
    done = clean.apply(table([("text", content)]), Config(normalise=None))
    assert contents_of(done) == [[content]]
    assert "changed" not in done.column_names


SOME = st.text(
    st.one_of(
        st.sampled_from(
            "\u00ad\u200b\u200c\u200d\u200e\u202e\u2060\u2066\u061c\ufe0f\U000e0100\U000e0041a'`क ب ก漢"
        ),
        st.sampled_from("\U0001f3f4\U000e0067\U000e007f\U0001f469\u05d0"),
        st.characters(codec="utf-8"),
    ),
    max_size=10,
)


@given(content=SOME)
@settings(max_examples=120, deadline=None)
def test_only_invisible_characters_go_and_once(content: str) -> None:
    left = seen(content)
    rest = iter(content)
    assert all(any(c == other for other in rest) for c in left), "something else than removing"
    gone = set(content) - set(left)
    assert all(c.isspace() is False and not c.isalnum() for c in gone)
    done = clean.apply(table([("text", f"|{content}|")]), Config())
    assert clean.apply(done, Config()).equals(done)
