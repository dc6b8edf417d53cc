"""Clean: exact texts, exact turns, exact reasons."""

import gzip
import json
import re
import unicodedata
from pathlib import Path
from typing import Any

import ftfy
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.pipelines import schema
from headrace.pipelines.stages.clean import stage as clean
from headrace.pipelines.stages.clean import suspects
from headrace.pipelines.stages.clean import turns as clean_turns
from headrace.pipelines.stages.clean.stage import Config
from tests.builders import Turn, table


def turns(done: pa.Table, row: int = 0) -> list[Turn]:
    return [(m["role"], m["content"]) for m in done["messages"][row].as_py() or []]


def text(content: str, config: Config | None = None) -> str:
    return turns(clean.apply(table([("text", f"|{content}|")]), config or Config()))[0][1][1:-1]  # type: ignore[index]


def cleaned(*messages: Turn, **switches: Any) -> tuple[str | None, list[Turn]]:
    done = clean.apply(table(list(messages)), Config(**switches))
    return done["drop"][0].as_py(), turns(done)


@pytest.mark.parametrize(
    ("broken", "mended"),
    [
        ("it doesnâ€™t", "it doesn’t"),
        ("tea &amp; scones &#x2014; now", "tea & scones — now"),
        ("<p>tea &amp; scones", "<p>tea &amp; scones"),
        ("one\r\ntwo\rthree\u2028four\x0bfive", "one\ntwo\nthree\nfour\nfive"),
        ("\x1b[31;1mred\x1b[0m \x1b]0;title\x07text \x1b(Bx", "red text x"),
        ("nul\x00 bell\x07 del\x7f c1\x81 bom\ufeff keep\ttab", "nul bell del c1 bom keep\ttab"),
        ("e\u0301", "é"),
        ("of\ufb01ce", "office"),
        ("“curly” ‘quotes’", "“curly” ‘quotes’"),
        ("你好，世界！", "你好，世界！"),
        ("می‌خواهم 👩‍💻", "می‌خواهم 👩‍💻"),
    ],
)
def test_texts_are_repaired(broken: str, mended: str) -> None:
    assert text(broken) == mended


@pytest.mark.parametrize(
    ("switch", "content", "kept"),
    [
        ({"ftfy": False}, "doesnâ€™t &amp;", "doesnâ€™t &amp;"),
        ({"entities": False}, "doesnâ€™t &amp;", "doesn’t &amp;"),
        ({"ligatures": False}, "of\ufb01ce", "of\ufb01ce"),
        ({"widths": True}, "ＡＢＣ，", "ABC,"),
        ({"quotes": True}, "“curly” ‘quotes’", "\"curly\" 'quotes'"),
        ({"controls": False}, "a\r\nb\x1b[0m", "a\r\nb\x1b[0m"),
        ({"normalise": None}, "e\u0301", "e\u0301"),
        ({"normalise": "NFKC"}, "①", "1"),
    ],
)
def test_every_repair_can_be_switched(switch: dict[str, Any], content: str, kept: str) -> None:
    assert text(content, Config(**switch)) == kept


@pytest.mark.parametrize(
    ("strip", "kept"),
    [("keep_indent", "    return 1"), ("all", "return 1"), ("none", "\n \n    return 1\n ")],
)
def test_white_space_at_the_ends(strip: str, kept: str) -> None:
    assert cleaned(("text", "\n \n    return 1\n "), strip=strip)[1] == [("text", kept)]
    assert cleaned(("text", " positive"), strip="keep_indent")[1] == [("text", "positive")]


def test_consecutive_turns_merge_but_tools_do_not() -> None:
    came = [
        ("user", "a"),
        ("user", "b"),
        ("assistant", "c"),
        ("tool", "1"),
        ("tool", "2"),
        ("assistant", "d"),
    ]
    merged = [("user", "a\nb"), *came[2:]]
    assert cleaned(*came) == (None, merged)
    assert cleaned(*came, separator=" + ")[1][0] == ("user", "a + b")
    assert cleaned(*came, merge=False) == ("clean.no_alternation", came)
    assert cleaned(*came, merge=False, alternation="keep") == (None, came)


def test_a_conversation_of_one_side_becomes_one_turn() -> None:
    assert cleaned(("user", "hi"), ("user", "lost my card"), ("user", "ok")) == (
        None,
        [("user", "hi\nlost my card\nok")],
    )


def test_an_empty_turn_between_lets_its_neighbours_merge() -> None:
    assert cleaned(("user", "a"), ("assistant", "\x00 "), ("user", "b"), ("assistant", "c")) == (
        None,
        [("user", "a\nb"), ("assistant", "c")],
    )


def test_what_stands_before_the_first_user_turn() -> None:
    came = [("system", "s"), ("assistant", "hello"), ("user", "hi"), ("assistant", "yes")]
    assert cleaned(*came) == (None, [came[0], *came[2:]])
    assert cleaned(*came, opening="keep") == (None, came)
    assert cleaned(("assistant", "alone"), opening="keep") == (None, [("assistant", "alone")])


@pytest.mark.parametrize(
    ("reason", "messages"),
    [
        ("empty", []),
        ("empty", [("user", " "), ("assistant", "\x00")]),
        ("empty", [("user", None)]),
        ("empty_answer", [("user", "q"), ("assistant", "\r\n")]),
        ("no_user", [("assistant", "a")]),
        ("no_user", [("system", "s")]),
        ("late_system", [("user", "q"), ("system", "s"), ("assistant", "a")]),
        ("stray_tool", [("user", "q"), ("tool", "t"), ("assistant", "a")]),
        ("no_alternation", [("text", "t"), ("user", "q")]),
        ("unknown_role", [("bot", "b"), ("user", "q")]),
    ],
)
def test_what_cannot_be_mended_is_dropped_as_it_came(reason: str, messages: list[Turn]) -> None:
    assert cleaned(*messages) == (f"clean.{reason}", messages)


def test_every_reason_is_documented() -> None:
    assert clean.__doc__ is not None
    named = set(re.findall(r"^``clean\.(\w+)``  ", clean.__doc__, re.MULTILINE))
    assert named == set(clean_turns.REASONS) - {""}


def test_rows_without_messages_are_empty_and_stay_null() -> None:
    done = clean.apply(table(None, [("user", "q")]), Config())
    assert done["drop"].to_pylist() == ["clean.empty", None]
    assert done["messages"].null_count == 1


def test_a_failure_costs_its_row_only(monkeypatch: pytest.MonkeyPatch) -> None:
    real = ftfy.fix_text

    def fail(content: str, config: ftfy.TextFixerConfig) -> str:
        if "fatal" in content:
            raise RecursionError(content)
        return str(real(content, config))

    monkeypatch.setattr(ftfy, "fix_text", fail)
    came = table([("user", "fatal â€™")], [("user", "fine â€™")], [("user", "â€™"), ("user", "fatal â€œ")])
    done = clean.apply(came, Config())
    assert done["error"].to_pylist() == ["clean.error", None, "clean.error"]
    assert done["detail"].to_pylist() == ["RecursionError", None, "RecursionError"]
    assert turns(done, 0) == [("user", "fatal â€™")]
    assert turns(done, 1) == [("user", "fine ’")]
    assert "fatal" not in "".join(filter(None, done["detail"].to_pylist()))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("tea &amp; scones, &lt;5 each&gt;", "tea & scones, <5 each>"),
        ("&Auml;rger &uuml;ber K&auml;se", "Ärger über Käse"),
        ("write &amp; instead of &", None),
        ("AT&T &amp; others", None),
        ("a < b and c &gt; d", None),
        ("5 > 3 and 2 &gt; 1", None),
        ('say "x" as &quot;x&quot;', None),
        ("Write `&lt;` for it.", None),
        ('Write "&nbsp;" there.', None),
        ("Write &amp;lt; for it.", None),
        ("&notanentity; &amp;", None),
        ("one\nline &amp;\nand <b>", None),
    ],
)
def test_entities_are_decoded_only_where_all_is_escaped(text: str, expected: str | None) -> None:
    done = clean.apply(table([("user", text), ("assistant", "Yes.")]), Config())
    assert turns(done, 0)[0] == ("user", text if expected is None else expected)
    counted = dict(zip(*(schema.changes(done)[c].to_pylist() for c in ("kind", "n")), strict=True))
    assert counted == ({} if expected is None else {"clean.entities": 1})


def test_marked_rows_are_not_touched() -> None:
    dirty: list[Turn] = [("assistant", "\x00doesnâ€™t"), ("tool", "")]
    came = table(dirty, drop="quality.x")
    assert clean.apply(came, Config()).equals(came)
    came = table(dirty, error="read.x")
    assert clean.apply(came, Config()).equals(came)


MESSY = st.text(
    st.one_of(
        st.sampled_from(
            "aZ <&;#x0139Ã¢âÂ€™œžŸ\x80\x85\x9d°\ufb01é\u0301\t\n\r\x1b[31m\x00\ufeff\u2028，Ａ“\xa0 "
        ),
        st.characters(codec="utf-8"),
    ),
    max_size=24,
)
ROLE = st.sampled_from([*schema.ROLES, "bot"])
ROWS = st.lists(st.lists(st.tuples(ROLE, MESSY), max_size=6), min_size=1, max_size=5)
SWITCHES = st.fixed_dictionaries(
    {},
    optional={
        "ftfy": st.booleans(),
        "quotes": st.booleans(),
        "widths": st.booleans(),
        "merge": st.booleans(),
        "drop_empty": st.booleans(),
        "separator": st.sampled_from(["\n", " ", "\n\n"]),
        "strip": st.sampled_from(["keep_indent", "all", "none"]),
        "alternation": st.sampled_from(["enforce", "keep"]),
        "opening": st.sampled_from(["remove", "keep"]),
    },
)


@given(rows=ROWS, switches=SWITCHES)
@settings(max_examples=150, deadline=None)
def test_invariants(rows: list[list[Turn]], switches: dict[str, Any]) -> None:
    came, config = table(*rows), Config(**switches)
    done = clean.apply(came, config)
    assert done.num_rows == came.num_rows
    assert done.select(came.column_names).schema == came.schema
    assert set(done.column_names) - set(came.column_names) <= {"changed"}
    assert clean.apply(done, config).equals(done)
    for at in range(done.num_rows):
        if done["drop"][at].as_py() or done["error"][at].as_py():
            assert done["messages"][at] == came["messages"][at]
            continue
        kept = turns(done, at)
        assert not any(unicodedata.category(c) == "Cc" and c not in "\n\t" for _, t in kept for c in t or "")
        if config.alternation == "enforce":
            assert in_order([role for role, _ in kept]), kept


def in_order(roles: list[str]) -> bool:
    """The order as a regular expression over the roles' initials (`text` as x)."""
    initials = "".join("x" if role == "text" else role[0] for role in roles)
    return bool(re.fullmatch(r"x+|s?a?t*(a?t*)?(u(a(t+a?)*)?)*", initials)) and not re.search(
        r"uu|ut|xx", initials
    )


@given(content=MESSY, quotes=st.booleans(), widths=st.booleans(), entities=st.booleans())
@settings(max_examples=400, deadline=None)
def test_ftfy_changes_nothing_where_it_is_not_asked(
    content: str, quotes: bool, widths: bool, entities: bool
) -> None:
    repair = clean._repair(Config(quotes=quotes, widths=widths, entities=entities))
    suspected = pc.match_substring_regex(pa.array([content]), pattern=repair.suspects)[0].as_py()
    assert suspected or ftfy.fix_text(content, repair.ftfy) == content


def test_ftfy_changes_nothing_where_it_is_not_asked_in_pairs_of_all_its_characters() -> None:
    repair = clean._repair(Config(quotes=True, widths=True))
    special = sorted({c for c in ftfy.badness.BADNESS_RE.pattern if ord(c) > 127} | set("aZ ?\x85\x9d"))
    texts = [a + b + tail for a in special for b in special for tail in ("", "a", "²")]
    suspected = pc.match_substring_regex(pa.array(texts), pattern=repair.suspects)
    quiet = [texts[at] for at in np.flatnonzero(~suspected.to_numpy(zero_copy_only=False))]
    assert len(quiet) > 1000
    assert not [t for t in quiet if ftfy.badness.is_bad(t)]


def test_an_unknown_pattern_sends_every_other_script_to_ftfy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(suspects, "BADNESS_RE", re.compile(r"(?<=é)x"))
    suspects.mojibake.cache_clear()
    assert suspects.mojibake(True, False, False) == r"[^\x00-\x7f]"
    suspects.mojibake.cache_clear()


def alone(original: str) -> str:
    """What ftfy by itself makes of the text between two bars."""
    return str(ftfy.fix_text(f"|{original}|"))[1:-1]


@pytest.mark.data
def test_known_repairs(shared_data: Path) -> None:
    cases = [
        c for file in sorted((shared_data / "web/ftfy").glob("*.json")) for c in json.loads(file.read_text())
    ]
    config = Config(quotes=True, widths=True)
    due = [case for case in cases if case["expect"] == "pass"]
    got = [text(case["original"], config) for case in due]
    wrong = [
        case["label"]
        for case, mended in zip(due, got, strict=True)
        if mended not in [re.sub(r"[\x80-\x9f]", "", t) for t in (case["fixed"], alone(case["original"]))]
    ]
    assert len(due) > 100
    assert wrong == []
    # Right to the character, of all: what ftfy itself says it fails at among them.
    fixed = [{case["fixed"], re.sub(r"[\x80-\x9f]", "", case["fixed"])} for case in cases]
    right = sum(text(c["original"], config) in meant for c, meant in zip(cases, fixed, strict=True))
    assert (right, len(cases)) == (152, 161)


@pytest.mark.data
def test_plain_text_of_a_real_set_is_not_repaired(shared_data: Path) -> None:
    with gzip.open(shared_data / "instruct/gsm8k/train.jsonl.gz", "rt", encoding="utf-8") as file:
        asked = [[("text", json.loads(line)["question"])] for line in file]
    done = clean.apply(table(*asked), Config(strip="none"))
    changes = schema.changes(done)
    # One zero-width space and one line separator stand in it.
    assert changes["kind"].to_pylist() == ["clean.line_breaks", "clean.invisible"]


@pytest.mark.parametrize(
    ("last", "reason"),
    [
        ([("assistant", "good"), ("rejected", " bad ")], None),
        ([("assistant", "good"), ("rejected", " ")], "clean.empty_answer"),
        ([("assistant", ""), ("rejected", "bad")], "clean.empty_answer"),
        ([("rejected", "bad")], "clean.no_alternation"),
        ([("rejected", "bad"), ("assistant", "good")], "clean.no_alternation"),
        ([("assistant", "good"), ("rejected", "bad"), ("user", "more")], "clean.no_alternation"),
    ],
)
def test_a_pair_of_answers_stays_one_or_goes(last: list[Turn], reason: str | None) -> None:
    before = [("user", "a"), ("assistant", "b"), ("user", "c")]
    drop, left = cleaned(*before, *last)
    assert drop == reason
    if reason is None:
        assert left == [*before, ("assistant", "good"), ("rejected", "bad")]
