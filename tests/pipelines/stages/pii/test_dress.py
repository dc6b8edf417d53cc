"""Values in other dress are found where they stand, whole; what wears none is looked through as before."""

import itertools
import re

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.pipelines.stages.pii import dress
from headrace.pipelines.stages.pii import stage as pii
from headrace.pipelines.stages.pii.config import Config
from tests.builders import contents_of, table, text_table
from tests.pipelines.dresses import DRESSES, VALUES, Case, cases
from tests.pipelines.identifiers import SAMPLES, plain

CASES = list(cases())
PIECES = [*"aZ19@.-+ _(:\\%&=<>", "%40", "%2E", "%C3%A9", "&#64;", "&amp;#64;", "&commat;", "\\u0040", "\\n"]
PIECES += [
    *"\u00a0\u200b\u00ad\u2011\u2013\u00b7\uff20\uff11\u0663\u3002\U0001d41a\u2014é中",
    "<b>",
    "<!-- x -->",
]


def found(texts: list[str], **switches: object) -> list[list[tuple[int, int, str]]]:
    spans: list[list[tuple[int, int, str]]] = [[] for _ in texts]
    for r in pii.find(texts, Config.model_validate(switches)).to_pylist():
        if r["score"] >= 0.4 and r["entity"] not in ("URL", "DATE_TIME"):
            spans[r["row"]].append((r["start"], r["end"], r["entity"]))
    return spans


@pytest.fixture(scope="module")
def all_found() -> list[list[tuple[int, int, str]]]:
    return found([case.text for case in CASES])


@pytest.mark.parametrize("kind", VALUES)
def test_a_value_in_any_dress_is_found_whole(kind: str, all_found: list[list[tuple[int, int, str]]]) -> None:
    missed = [
        (case.dress, case.text, spans)
        for case, spans in zip(CASES, all_found, strict=True)
        if case.kind == kind and (case.start, case.end, case.entity) not in spans
    ]
    assert not missed


def test_it_is_replaced_and_its_stand_in_says_where() -> None:
    done = pii.apply(text_table([case.text for case in CASES]), Config())
    for case, (text,), spans in zip(CASES, contents_of(done), done["spans"].to_pylist(), strict=True):
        (tag,) = {text[s["start"] : s["end"]] for s in spans}
        # An encoded password looks like a key.
        assert tag in (f"<{case.entity}_1>", "<API_KEY_1>")
        assert text == case.text[: case.start] + tag + case.text[case.end :]


@pytest.mark.parametrize(
    ("text", "due"),
    [
        (
            "Open https://portal.example.org/reset?email=jane.doe%40example.org&t=1 now.",
            "Open https://portal.example.org/reset?email=<EMAIL_ADDRESS_1>&t=1 now.",
        ),
        ("My name is\u00a0Jane Doe.", "My name is <PERSON_1>."),
        ("to=jane.doe%2540example.org%26cc%3D", "to=<EMAIL_ADDRESS_1>%26cc%3D"),
        ("git%40github.com and xs[1%3A%3A2]", "git%40github.com and xs[1%3A%3A2]"),
        ("so 3·4·5 — and 1990–1995, 50%20 off", "so 3·4·5 — and 1990–1995, 50%20 off"),
        ("你好，世界：再见。", "你好，世界：再见。"),
    ],
)
def test_what_is_around_stays(text: str, due: str) -> None:
    (said,) = contents_of(pii.apply(text_table([text]), Config()))[0]
    assert said == due.replace("is <", "is\u00a0<") if "\u00a0" in text else said == due


def test_one_value_in_two_dresses_is_one_value() -> None:
    plain_mail, other = VALUES["EMAIL_ADDRESS"], DRESSES["percent-encoded"](VALUES["EMAIL_ADDRESS"])
    talk = [
        ("user", f"to {plain_mail}"),
        ("assistant", f"?to={other}"),
        ("user", DRESSES["full width"](plain_mail)),
    ]
    assert contents_of(pii.apply(table(talk), Config()))[0] == [
        "to <EMAIL_ADDRESS_1>",
        "?to=<EMAIL_ADDRESS_1>",
        "<EMAIL_ADDRESS_1>",
    ]


@pytest.mark.usefixtures("pii_key")
@pytest.mark.parametrize("kind", ["hash", "surrogate"])
def test_a_dressed_value_has_the_stand_in_of_the_plain_one(kind: str) -> None:
    for name in ("EMAIL_ADDRESS", "PHONE_NUMBER"):
        worn = [VALUES[name], *(DRESSES[d](VALUES[name]) for d in ("percent-encoded", "entities"))]
        done = contents_of(pii.apply(table(*[[("text", f"at {one}")] for one in worn]), Config(kind=kind)))
        assert len({text for (text,) in done}) == 1
        assert VALUES[name] not in done[0][0]


def test_what_one_role_alone_must_not_say_is_replaced_there() -> None:
    talk = [("user", "to ann%40example.org"), ("assistant", "to ann%40example.org")]
    config = Config(kinds={"EMAIL_ADDRESS": "keep"}, roles={"assistant": {"EMAIL_ADDRESS": "tag"}})
    assert contents_of(pii.apply(table(talk), config))[0] == ["to ann%40example.org", "to <EMAIL_ADDRESS_1>"]


def test_presidio_alone_and_a_step_left_out_see_what_stands_there() -> None:
    texts = [case.text for case in CASES if case.dress == "percent-encoded"]
    for text in texts:
        rows = pii.find([text], Config(recognizers="presidio")).to_pylist()
        assert [(r["start"], r["end"], r["entity"]) for r in rows] == [
            one[:3] for one in plain(text, context=True)
        ]
    assert not any(found(["jane%40example.org"], without=["dress"]))


@given(text=st.lists(st.sampled_from(PIECES), max_size=30).map("".join))
@settings(max_examples=300, deadline=None)
def test_what_is_undressed_stands_where_it_says(text: str) -> None:
    made = dress.undressed(text)
    suspects = dress.may_be_dressed(pa.array([text], pa.large_string()))
    if made is None:
        assert dress.plain(text) == text
        return
    assert np.array_equal(suspects, [0])
    places = [made.origin(at, at + 1) for at in range(len(made.text))]
    assert all(0 <= a < b <= len(text) for a, b in places)
    assert places == sorted(places)
    kept = {at for at, (a, b) in enumerate(places) if b - a == 1 and text[a] == made.text[at]}
    dressed = {
        at for begin, size in zip(made.begins, made.sizes, strict=True) for at in range(begin, begin + size)
    }
    assert kept | dressed == set(range(len(made.text)))


@given(parts=st.lists(st.sampled_from(SAMPLES + [case.text for case in CASES]), max_size=5))
@settings(max_examples=60, deadline=None)
def test_nothing_is_uncovered_by_it(parts: list[str]) -> None:
    text = " ".join(parts)
    (without,), (every,) = found([text], without=["dress"]), found([text])
    covered = [{at for start, end, _ in spans for at in range(start, end)} for spans in (without, every)]
    assert covered[0] <= covered[1]
    assert all(0 <= start < end <= len(text) for start, end, _ in every)


@given(case=st.sampled_from(CASES), ahead=st.integers(0, 900), behind=st.integers(0, 900), line=st.booleans())
@settings(max_examples=80, deadline=None)
def test_it_is_found_in_long_texts(case: Case, ahead: int, behind: int, line: bool) -> None:
    filler = "so it is said, " * 60
    gap = "\n" if line else " "
    before = filler[:ahead].rstrip() + gap
    text = f"{before}{case.text}{gap}{filler[:behind]}"
    (spans,) = found([text])
    assert (len(before) + case.start, len(before) + case.end, case.entity) in spans


@given(
    text=st.lists(st.sampled_from([*PIECES, "word ", "\n", "x" * 300, "so it is " * 40]), max_size=20).map(
        "".join
    )
)
@settings(max_examples=200, deadline=None)
def test_windows_hold_all_dress_and_are_apart(text: str) -> None:
    made = dress.undressed(text)
    if made is None:
        return
    windows = made.windows()
    assert all(0 <= a <= b <= len(made.text) for a, b in windows)
    assert all(one[1] < two[0] for one, two in itertools.pairwise(windows))
    for begin, size in zip(made.begins, made.sizes, strict=True):
        assert any(a <= begin and begin + size <= b for a, b in windows)


def test_dress_begins_with_these_characters() -> None:
    pattern = re.compile(dress.BEGINS.replace("{digits}", dress._digits()))
    codes = [*range(0xD800), *range(0xE000, 0x30000), 0x10FFFF]
    assert [bool(pattern.match(chr(code))) for code in codes] == dress._begins()[codes].tolist()


def test_the_cases_are_of_every_kind() -> None:
    assert {case.kind for case in CASES} == set(VALUES)
    assert {case.dress for case in CASES} == set(DRESSES)
    assert all(isinstance(case, Case) and case.start < case.end for case in CASES)
