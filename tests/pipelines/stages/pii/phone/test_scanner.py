"""Telephone numbers: judged, found and given up on as by the library that Presidio asks."""

import gc
import random
import warnings

import phonenumbers
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.pipelines.stages.pii.phone import matcher as phone_matcher
from headrace.pipelines.stages.pii.phone import scanner as phone_scanner
from headrace.pipelines.stages.pii.phone import validity
from headrace.pipelines.stages.pii.presidio.scanner import scanner
from headrace.pipelines.stages.pii.presidio.setup import engine
from tests.pipelines.identifiers import ours, plain


def numbers(seed: int, count: int) -> list[tuple[str, str]]:
    """(region, digits): of valid numbers with some changed, and any."""
    draw = random.Random(seed)
    regions = ("US", "GB", "DE", "FR", "IL", "IN", "CA", "BR")
    made = []
    for _ in range(count):
        region = draw.choice(regions)
        number = phonenumbers.example_number_for_type(region, draw.choice([0, 1, 2, 3, 4]))
        digits = list(phonenumbers.national_significant_number(number)) if number else []
        digits += draw.choices("0123456789", k=draw.choice([0, 0, 0, 1]) if digits else draw.randint(3, 16))
        for _ in range(draw.randint(0, 4)):
            digits[draw.randrange(len(digits))] = draw.choice("0123456789")
        code = str(phonenumbers.country_code_for_region(region))
        prefix = draw.choice(["", "", "0", "1", code, code + "0", "90", "031", "00", "011"])
        made.append((draw.choice([region, draw.choice(regions)]), prefix + "".join(digits)))
    return made


def test_digits_are_judged_as_by_the_library() -> None:
    assert validity.unchanged()
    taken = 0
    for region, digits in numbers(seed=5, count=4000):
        matcher = phonenumbers.PhoneNumberMatcher(digits, region, leniency=1)
        due = matcher._parse_and_verify(digits, 0) is not None
        known = validity.dialled(region)
        assert known is not None
        got = known.takes(digits)
        assert got is None or got == due, (region, digits)
        taken += due
    assert taken > 400


def test_digits_behind_a_plus_are_judged_as_by_the_library() -> None:
    taken = refused = 0
    examples = [(region, phonenumbers.example_number(region)) for region in phonenumbers.SUPPORTED_REGIONS]
    every = [(r, phonenumbers.national_significant_number(number)) for r, number in examples if number]
    assert len(every) > 200
    odd = [("US", "999123456"), ("DE", "0049301234567")]
    for region, digits in [*every, *numbers(seed=6, count=3000), *odd]:
        code = str(phonenumbers.country_code_for_region(region))
        for dialled in (digits, code + digits):
            matcher = phonenumbers.PhoneNumberMatcher("+" + dialled, "DE", leniency=1)
            due = matcher._parse_and_verify("+" + dialled, 0) is not None
            got = validity.abroad(dialled)
            assert got is None or got == due, dialled
            taken += got is True
            refused += got is False
    assert taken > 300
    assert refused > 300


BEHIND_NO_CODE = (
    "+0",
    "+ 0",
    "+00",
    "+011",
    "+210 ",
    "+999",
    "+80",
    "+(0)",
    "+0049",
    "+21049",
    "+214 001",
    "00833",
    "010",
)


def test_numbers_behind_a_code_that_there_is_not_are_judged_as_by_the_library() -> None:
    taken = 0
    for at, (region, digits) in enumerate(numbers(seed=8, count=4000)):
        text = f"call {BEHIND_NO_CODE[at % len(BEHIND_NO_CODE)]}{digits}."
        due = [(m.start, m.end) for m in phonenumbers.PhoneNumberMatcher(text, region, leniency=1)]
        got = [(m.start, m.end) for m in phone_matcher.Matcher(text, region, 1)]
        assert got == due, (region, text)
        taken += bool(due)
    assert taken > 100


def test_numbers_that_are_none_leave_no_garbage() -> None:
    """What the library raises stays in a cycle with its frame, which keeps all callers' values alive."""
    spans = phone_scanner.Phones(("US", "GB", "DE", "IL"), 1)
    texts = ["+0123456789", "+ 0.08333333333333333", "0.08333333333333333", "0021 12345", "010-58576688"]
    gc.collect()
    gc.disable()
    try:
        for text in texts:
            spans.spans(text, [(0, phone_scanner.ANY)])
        assert gc.collect() == 0
    finally:
        gc.enable()


def test_another_library_is_asked_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(validity, "KNOWN", "another")
    validity.unchanged.cache_clear()
    with pytest.warns(UserWarning, match="another phonenumbers"):
        assert not validity.unchanged()
    assert ours("(425) 882-8080 or 030 123456", context=False) == plain(
        "(425) 882-8080 or 030 123456", context=False
    )
    monkeypatch.undo()
    validity.unchanged.cache_clear()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert validity.unchanged()


PHONE_TEXT = st.text(st.sampled_from("0123456789 -./()+[]x#;,:\t~extinaoéд–\u00a0１"), max_size=40)


@given(text=PHONE_TEXT)
@settings(max_examples=300, deadline=None)
def test_spans_of_numbers_are_the_librarys(text: str) -> None:
    _require_the_librarys(text)


@pytest.mark.parametrize("seed", range(4))
def test_spans_in_lists_of_numbers_are_the_librarys(seed: int) -> None:
    draw = random.Random(seed)
    between = [" ", " ", ", ", "; ", "\n", " - ", ".", "/", ") (", "+", " +", " x", "a", "$", "#", "％", ""]
    for _ in range(60):
        dialled = numbers(seed=draw.randrange(1 << 30), count=draw.choice([2, 5, 25]))
        cut = [digits[:3] + draw.choice(["", "-", " ", ". "]) + digits[3:] for _, digits in dialled]
        _require_the_librarys("".join(one + draw.choice(between) for one in ["+", *cut]))


@pytest.mark.parametrize(
    "text",
    [
        "19721919#19191236568１3012255#22556 8002-2123456 x",
        "4401int12123456782 74104701x0470123 x+011 ext 2015550123#",
        "3 0 6 0 6 2 8 0 5 0 7 2 7 3 1 5 1 2 3 8 988528161099933738001939121458 031502345278 (1) ",
        "1 9 0 4 6 5 8 1 3 4 6 8 3 1 5 5 9 6 8 3-6083868756349170100101235/30722459 (1) ",
        "x+1-264-461-2345; +00 996 312 123 456, ++49 30 12345678",
    ],
)
def test_a_number_may_begin_elsewhere_beside_letters_and_among_digits(text: str) -> None:
    _require_the_librarys(text)


@pytest.mark.parametrize("region", ["US", "FR", "DE", "IL", "IN", "BR"])
@pytest.mark.parametrize("text", ["0043 1111", "011 43 1111", "12 (0043) 1111 / 0043 1111", "+43 1111, 1111"])
def test_each_regions_matcher_is_the_librarys(region: str, text: str) -> None:
    due = [(m.start, m.end) for m in phonenumbers.PhoneNumberMatcher(text, region, leniency=1)]
    assert [(m.start, m.end) for m in phone_matcher.Matcher(text, region, 1)] == due


def _require_the_librarys(text: str) -> None:
    engine_ = scanner(False)
    assert engine_.phone is not None
    _, phones = engine_.phone
    due = {
        (match.start, match.end)
        for region in phones.regions
        for match in phonenumbers.PhoneNumberMatcher(text, region, leniency=phones.leniency)
    }
    outermost = {one for one in due if not any(o != one and o[0] <= one[0] and one[1] <= o[1] for o in due)}
    found = {(f.start, f.end) for f in ours(text, context=False) if f.entity == "PHONE_NUMBER"}
    assert found == outermost


@pytest.mark.parametrize("count", [30, 11_000])
def test_the_matcher_gives_up_as_the_library_does(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(phone_scanner, "SAFE", 100)
    draw = random.Random(count)
    lines = [f"{draw.randint(1, 999)} - {draw.randint(0, 99)}" for _ in range(count)]
    text = "\n".join([*lines, "call 425-882-8080 now", "1x2x3x4567, (030) 1234567"])
    found = [(f.start, f.end) for f in ours(text, context=False) if f.entity == "PHONE_NUMBER"]
    results = engine().registry.get_recognizers(language="en", entities=["PHONE_NUMBER"])
    due = results[0].analyze(text, ["PHONE_NUMBER"])
    assert found == sorted((r.start, r.end) for r in due)
    assert (len(text) - len("425-882-8080 now\n1x2x3x4567, (030) 1234567") < found[-1][0]) == (count == 30)
