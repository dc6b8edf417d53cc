"""The engine: an automaton never rules out a match; numbers and context words are judged as elsewhere."""

import os
import re
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.kernels.scan import scan, scan_from
from headrace.pipelines.stages.pii import stage as pii
from headrace.pipelines.stages.pii.automaton.graph import Graph, Needed, Pattern
from headrace.pipelines.stages.pii.automaton.machine import Machine
from headrace.pipelines.stages.pii.automaton.symbols import Symbols, UnreadableError, named
from headrace.pipelines.stages.pii.presidio.context import takes_letters
from headrace.pipelines.stages.pii.presidio.patterns import is_quick
from headrace.pipelines.stages.pii.presidio.scanner import Scanner, scanner
from headrace.pipelines.stages.pii.presidio.setup import engine
from tests.pipelines.identifiers import ours, plain


def accepted(pattern: Pattern, text: str) -> list[int]:
    """Characters from which the automaton of `pattern` accepts."""
    machine = made(pattern)
    return scan([text], machine.tables, machine.learn).start.tolist()


def made(pattern: Pattern) -> Machine:
    """The automaton of `pattern`."""
    graph = Graph(Symbols(named(pattern.source + pattern.between)))
    return Machine(graph, graph.pattern(0, pattern).starts)


@pytest.mark.parametrize(
    ("source", "text", "due"),
    [
        (r"\b\d{3}-\d{2}\b", "x123-45 123-456 123-45", [16]),
        (r"\b\d{2}\b", "12é 34 ٣٤", [4, 7]),
        (r"(?<![a-z])b+(?!\d)", "ab b1 b", [6]),
        (r"(?:cat|car|cot)s?\b", "cats carx cot", [0, 10]),
        (r"(?i)[a-c]k", "aK bK xk", [0, 3]),
        (r"\w+@\w+", "ab@c é@é", [0, 5]),
        (r"[a-z.]{1,3}\.(?:de|com)", "xx.abcd.de a.com", [0, 11]),  # where a run begins
        (r"(x\d)?[a-c]+!", "x1ab! dab!", [0, 2, 7]),
        (r"(a|b)-\1", "a-b b-b", [0, 4]),  # weaker than the pattern
        (r"-a{200}", "-" + "a" * 200, [0]),
    ],
)
def test_an_automaton_accepts_where_a_pattern_may_match(source: str, text: str, due: list[int]) -> None:
    found = accepted(Pattern(source), text)
    assert found == due


SOURCES = st.sampled_from([p.regex for r in scanner(False).recognizers for p in getattr(r, "patterns", [])])


@given(data=st.data(), chosen=SOURCES)
@settings(max_examples=150, deadline=None)
def test_what_follows_a_pattern_is_found_as_presidio_does(data: st.DataObject, chosen: str) -> None:
    flags = re.IGNORECASE | re.MULTILINE | re.DOTALL
    found = data.draw(st.from_regex(re.compile(chosen, flags)).filter(lambda text: len(text) < 200))
    text = data.draw(st.sampled_from(["", " ", "a", "1", "(", "é", "K"])) + found
    assert ours(text, context=False) == plain(text, context=False)


@pytest.mark.parametrize(
    "text",
    [
        "x" * 300 + ".com and " + "y." * 200 + "com",
        "a.comfort.com/b.de'c.org",
        "call me :- a:1 the phone is a 425 882 8080",
        "number\n\n  \t4258828080  x",
        "the " * 60 + "phone " + "of the " * 40 + "425-882-8080",
        "w" * 400 + " passport 123456789",
        "ssn:078-05-1121 is the ssn 078-05-1121",
        "call 1x2x3x45678901 or 1xxx5551234567 now",
        "12 " * 300 + "425 882 8080 " + "1 x 2 " * 40,
        "1x2x3x4567 or 5 ext 5551234567 or +49 (0)30 123456; 12 # 425 882 8080",
        "٤٢٥ ٨٨٢ ٨٠٨٠ and ４２５-882-8080 or $4258828080 4258828080% K4258828080",
        "2012-01-02 08:00 2012-01-02 08 3/10/2011 211-227 (2003) (425) 882-8080 / x12 4258828080",
        "326-889#7920384808478746745 and 5 ext 123456789012345678908478746745",  # behind extensions
        "1-" * 20 + "9" * 20 + "8478746745 now",
        "1" * 840 + "4258828080, " + "1" * 419 + "4258828080 " + "3" * 500,
        "10 - 20 . 30 425-882-8080/12.5 (030) 123456 / 7 8 9",
        "a." * 60 + "a@b." * 40 + "com and " + "x.y@" * 30 + "example.org",
        "İGB82 WEST 1234 5698 7654 32 ſ12345678 K1234567",
    ],
)
@pytest.mark.parametrize("context", [False, True])
def test_hard_texts_are_as_with_presidio(text: str, context: bool) -> None:
    assert ours(text, context=context) == plain(text, context=context)


def test_no_default_recogniser_is_asked_about_whole_texts() -> None:
    assert scanner(False).whole == []
    assert scanner(False).phone is not None
    assert len(scanner(False).searched) > 40


@pytest.mark.parametrize("source", [r"\bQ(?>\p{Lu})\d\b", r"(?:Q){e<=1}\d{3}", r"(?r)Q\d{3}"])
def test_an_unreadable_pattern_is_searched_for_in_whole_texts_with_a_warning(
    source: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    recognizer = next(r for r in engine().registry.recognizers if r.name == "UsItinRecognizer")
    pattern = recognizer.patterns[0]
    monkeypatch.setattr(pattern, "regex", source)
    monkeypatch.setattr(pattern, "compiled_regex", None)
    with pytest.warns(UserWarning, match="UsItinRecognizer is unknown"):
        changed = Scanner(context=False)
    text = "Q123 QÉ1 912-70-1234 078-05-1121 4258828080"
    assert changed.find(pa.array([text], pa.large_string())).findings == plain(text, context=False)
    monkeypatch.undo()
    pattern.compiled_regex = None


def test_a_changed_pattern_that_is_readable_is_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    recognizer = next(r for r in engine().registry.recognizers if r.name == "UsItinRecognizer")
    pattern = recognizer.patterns[0]
    monkeypatch.setattr(pattern, "regex", r"\bQ-\d{3}\b")
    monkeypatch.setattr(pattern, "compiled_regex", None)
    changed = Scanner(context=False)
    text = "Q-123 912-70-1234"
    found = changed.find(pa.array([text], pa.large_string())).findings
    assert found == plain(text, context=False)
    assert ("US_ITIN", 0, 5) in {(f.entity, f.start, f.end) for f in found}
    monkeypatch.undo()
    pattern.compiled_regex = None


@pytest.mark.parametrize("source", [r"a(?i:b)", r"\X", "a[b", r"(?P<x>a)(?(x)b|c)", "[Ā-ɏ]"])
def test_what_is_not_understood_is_refused(source: str) -> None:
    with pytest.raises(UnreadableError):
        made(Pattern(source))


def test_only_what_begins_anywhere_or_with_a_run_needs_a_character() -> None:
    needed = [needed for needed, _ in scanner(False).machines]
    assert [one and one.character for one in needed] == [None, "@", "."]
    assert needed[2] is not None
    assert needed[2].behind is not None
    assert " " not in needed[2].behind

    def needs(source: str) -> Needed | None:
        graph = Graph(Symbols([]))
        return graph.needed(graph.pattern(0, Pattern(source)))

    assert needs(r"[a-z]+\.[xy]") == Needed(".", "xy")  # it has a run
    assert needs(r"[a-z]+\.[xy]?") == Needed(".", None)
    assert needs(r"\b(?:\w|\w\w*)@[0-3]") == Needed("@", "0123")
    assert needs(r"\b(?:\w|\w\w*)(?:@|-)\w") is None
    assert needs(r"x\w*@") is None


def test_a_text_without_what_a_run_needs_is_told_from_one_with_it() -> None:
    texts = ["An end. Another.", "see example.com", "x.", ".com", "a .com", "é.com", "co.é", "", "com"]
    whole = pa.array(texts, pa.large_string())
    for array in (whole, whole.slice(1), whole.slice(0, 3), pa.array([None, *texts], pa.large_string())):
        found = scanner(False).find(array)
        for row, text in enumerate(array.to_pylist()):
            one = [f for at, f in zip(found.rows, found.findings, strict=True) if at == row]
            assert one == (scanner(False).find(pa.array([text], pa.large_string())).findings if text else [])
    assert [texts[row] for row in scanner(False).find(whole).rows] == ["see example.com"]


def test_states_are_forgotten_when_there_is_no_room(monkeypatch: pytest.MonkeyPatch) -> None:
    pattern = Pattern(r"\b(?:[a-f]{2,9}\d?|x[a-z]{6}y|0[0-9]{8})\b")
    texts = ["abc1 fed xyz aaaa", "b2 bb2 xabcdefy 012345678"] * 3
    whole, learned = made(pattern), []
    due = scan(texts, whole.tables, whole.learn)
    monkeypatch.setattr("headrace.pipelines.stages.pii.automaton.machine.MOST", 30)
    machine = made(pattern)

    def learn(state: int) -> None:
        learned.append(state)
        machine.learn(state)

    np.testing.assert_array_equal(scan(texts, machine.tables, learn).start, due.start)
    assert len(learned) > 2 * whole.states.used[0]


def test_a_walk_that_needs_more_states_than_there_is_room_for_accepts_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("headrace.pipelines.stages.pii.automaton.machine.MOST", 14)
    pattern = Pattern(r"(?:ab?c?d?e?f?){2,9}[0-9]")
    machine, text = made(pattern), "abcdefabcdefabcdefabcdef1 aa7"
    places = scan([text], machine.tables, machine.learn)
    found = [
        (m.start(), m.end()) for at in range(len(text)) if (m := re.compile(pattern.source).match(text, at))
    ]
    assert {start for start, _ in found} <= set(places.start.tolist())
    assert set(places.accepted.tolist()) == {1}
    rows = np.zeros(len(text), np.int64)
    taken = scan_from([text], rows, np.arange(len(text)), machine.tables, machine.learn)
    assert all(taken[start] == 1 for start, _ in found)


def test_a_process_that_only_looks_for_patterns_imports_no_models_until_asked() -> None:
    code = """
import sys
from headrace.pipelines.stages.pii.presidio import setup
setup.engine()
assert not {"torch", "transformers"} & set(sys.modules)
import torch
setup.complete()
from presidio_analyzer.nlp_engine import transformers_nlp_engine
from thinc.api import get_torch_default_device
assert transformers_nlp_engine.is_available()
assert get_torch_default_device() == torch.device("cpu")
"""
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.mark.parametrize(
    ("source", "flags", "due"),
    [
        (r"^[§%$]|\.\.+", 0, False),
        (r"(?<=[0-9])(?:km|m²)$|'s$", 0, False),
        (r"(?<=[a-z]),(?=[a-z])", 0, False),
        (r"[^0-9]", 0, True),
        (r"1|$", 0, True),
        (r"(?<!\d)", 0, True),
        (r"", 0, True),
        (r"[à-ÿm]", 0, True),
        (r"[à-ÿ]+", 0, False),
        (r"(?:-x)?", 0, True),
        ("(?i:\u017f)", 0, True),  # which matches s
        ("\u212a", re.IGNORECASE, True),
    ],
)
def test_whether_a_rule_could_apply_to_words_of_letters(source: str, flags: int, due: bool) -> None:
    assert takes_letters(re.compile(source, flags)) == due


def test_spacys_rules_leave_words_of_letters_whole() -> None:
    assert takes_letters(None)
    words = scanner(True).words
    assert words is not None
    assert words.whole_words


def test_find_takes_nulls_slices_and_chunks() -> None:
    texts = pa.array([None, "x", "4258828080", None, "a.b@c.com"], pa.string())
    whole = pii.find(texts).to_pylist()
    assert {row["row"] for row in whole} == {2, 4}
    sliced = pii.find(pa.chunked_array([texts.slice(1, 2), texts.slice(3)])).to_pylist()
    assert [{**row, "row": row["row"] + 1} for row in sliced] == whole


@pytest.mark.parametrize(
    ("source", "quick"),
    [
        (r"[a-z]{1,253}[.](?:com|org)(?:/[^ ]*)?", True),
        (r"(?:ab|c+d)x", True),
        (r"\d{3}-\d{4}", True),
        (r"a+b+", False),
        (r"(?:ab)+", False),
        (r"(?:a+b){2}", False),
        (r"(?:a+|b)?", True),
        (r"(a+)\1", False),
    ],
)
def test_one_class_that_is_repeated_without_end_takes_no_limit_of_time(source: str, *, quick: bool) -> None:
    assert is_quick(Pattern(source)) is quick
