"""What was JSON stays JSON, and says the same but for what was replaced."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.pipelines.stages.pii import stage as pii
from headrace.pipelines.stages.pii.config import Config
from headrace.pipelines.stages.pii.findings import Finding
from headrace.pipelines.stages.pii.masking.json_text import JsonText
from tests.builders import MAIL, contents_of, table, text_table

pytestmark = pytest.mark.usefixtures("pii_key")
NUMBER = 4258828080
KINDS = ("tag", "mask", "redact", "hash", "surrogate")
BLOCK = "-----BEGIN RSA PRIVATE KEY-----\nMIIEpAIBAAKCAQEA7x9Kd0Lq\n-----END RSA PRIVATE KEY-----"


def said(text: str, **switches: Any) -> str:
    return contents_of(pii.apply(text_table([text]), Config(**switches)))[0][0]


@pytest.mark.parametrize(("form", "due"), [("string", '"<PHONE_NUMBER_1>"'), ("zero", "0"), ("null", "null")])
def test_a_number_is_replaced_as_the_recipe_says(form: str, due: str) -> None:
    assert said(f'{{"phone": {NUMBER}, "n": 3}}', json_numbers=form) == f'{{"phone": {due}, "n": 3}}'


def test_the_stand_in_lies_between_the_quotes() -> None:
    done = pii.apply(text_table([f'{{"phone": {NUMBER}}}']), Config())
    (text,), (span,) = contents_of(done)[0], done["spans"].to_pylist()[0]
    assert text[span["start"] : span["end"]] == "<PHONE_NUMBER_1>"


@pytest.mark.parametrize(
    ("text", "due"),
    [
        (
            f'Here:\n```json\n{{"phone": {NUMBER}}}\n```\n',
            'Here:\n```json\n{"phone": "<PHONE_NUMBER_1>"}\n```\n',
        ),
        (
            f'<tool_call>{{"name": "f", "arguments": {{"phone": {NUMBER}}}}}</tool_call>',
            '<tool_call>{"name": "f", "arguments": {"phone": "<PHONE_NUMBER_1>"}}</tool_call>',
        ),
        (f'so f({{"phone": {NUMBER}}}) it is', 'so f({"phone": "<PHONE_NUMBER_1>"}) it is'),
        (
            f'{{"phone": {NUMBER}}}\n{{"phone": {NUMBER}}}',
            '{"phone": "<PHONE_NUMBER_1>"}\n{"phone": "<PHONE_NUMBER_1>"}',
        ),
        (f"[{NUMBER}, 1]", '["<PHONE_NUMBER_1>", 1]'),
        (f"phone: {NUMBER}, {{not: json}}", "phone: <PHONE_NUMBER_1>, {not: json}"),
        (f'{{"phone": {NUMBER}', '{"phone": <PHONE_NUMBER_1>'),
    ],
)
def test_json_is_seen_wherever_it_stands(text: str, due: str) -> None:
    assert said(text) == due


def test_a_number_in_a_string_that_holds_json() -> None:
    call = {"name": "f", "arguments": json.dumps({"phone": NUMBER, "mail": f"a\n{MAIL}", "n": [1]})}
    done = json.loads(said(json.dumps(call)))
    inner = json.loads(done["arguments"])
    assert inner == {"phone": "<PHONE_NUMBER_1>", "mail": "a\n<EMAIL_ADDRESS_1>", "n": [1]}


LEAVES = st.one_of(
    st.integers(-99, 99),
    st.sampled_from([NUMBER, 4111111111111111, 12.5]),
    st.sampled_from(
        [
            MAIL,
            f"x\n{MAIL}",
            f'"{MAIL}"\\',
            "425 882 8080",
            "My password is hunter2\\",
            BLOCK,
            "é\u2028😀",
            "",
        ]
    ),
    st.booleans(),
    st.none(),
)
KEYS = st.sampled_from(["phone", "card", "mail", "a", MAIL])
VALUES = st.recursive(
    LEAVES, lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(KEYS, inner, max_size=3))
)


@given(
    value=st.dictionaries(KEYS, VALUES, min_size=1, max_size=4),
    kind=st.sampled_from(KINDS),
    form=st.sampled_from(["string", "zero", "null"]),
    ascii_only=st.booleans(),
    nested=st.booleans(),
    indent=st.sampled_from([None, 2]),
)
@settings(max_examples=120, deadline=None)
def test_json_stays_json(
    value: Any, kind: str, form: str, ascii_only: bool, nested: bool, indent: int | None
) -> None:
    text = json.dumps(value, ensure_ascii=ascii_only, indent=indent)
    if nested:
        text = json.dumps({"name": "f", "arguments": text}, ensure_ascii=ascii_only)
    done = pii.apply(table([("assistant", text)]), Config(kind=kind, json_numbers=form))
    assert done["error"].to_pylist() == [None]
    masked = json.loads(contents_of(done)[0][0])
    if nested:
        masked = json.loads(masked["arguments"])
    assert str(NUMBER) not in str(masked)
    assert MAIL not in str(masked)
    assert_shape(masked, value, redacted=kind in ("redact", "mask"))


def assert_shape(masked: Any, value: Any, redacted: bool) -> None:
    """The same containers; keys may have been replaced."""
    assert isinstance(masked, dict | list) == isinstance(value, dict | list)
    if isinstance(value, list):
        assert len(masked) == len(value)
        for one, other in zip(masked, value, strict=True):
            assert_shape(one, other, redacted)
    elif isinstance(value, dict):
        assert len(masked) == len(value) or redacted
        for key in masked.keys() & value.keys():
            assert_shape(masked[key], value[key], redacted)


def test_pieces_are_tokens() -> None:
    text = '{"a": "x\\ny", "b": 12345}'
    whole = Finding(0, len(text), "X", 1.0, "r")
    assert [text[one.start : one.end] for one in JsonText(text).fitted([whole])] == [
        "a",
        "x\\ny",
        "b",
        "12345",
    ]
    inside = Finding(text.index("ny"), text.index("ny") + 2, "X", 1.0, "r")
    assert [text[one.start : one.end] for one in JsonText(text).fitted([inside])] == ["y"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("half", [r"\ud9b7", r"\uDE00"])
@pytest.mark.parametrize("nested", [False, True])
def test_half_a_surrogate_stays_where_something_beside_it_goes(kind: str, half: str, nested: bool) -> None:
    text = rf'{{"a": "{half} my password is hunter2{half}, {half}", "{half}b": "x"}}'
    if nested:
        text = json.dumps({"arguments": text})
    done = pii.apply(table([("assistant", text)]), Config(kind=kind))
    assert done["error"].to_pylist() == [None]
    masked = json.loads(contents_of(done)[0][0])
    masked = json.loads(masked["arguments"]) if nested else masked
    character = json.loads(f'"{half}"')
    assert list(masked) == ["a", f"{character}b"]
    assert masked["a"].startswith(f"{character} my password is ")
    assert "hunter2" not in masked["a"]


def test_an_emoji_in_nested_json_leaves_it_json() -> None:
    text = json.dumps({"arguments": json.dumps({"phone": NUMBER, "a": "\U0001f600"}, ensure_ascii=False)})
    assert r"\ud83d\ude00" in text
    inner = json.loads(json.loads(said(text))["arguments"])
    assert inner == {"phone": "<PHONE_NUMBER_1>", "a": "\U0001f600"}


def test_an_escape_is_nobodys() -> None:
    text = '{"driving": ["\\uc7d5, \\uc886\\ud710", "\\ud9b7\\U0001F60", "\\u{1F600}"]}'
    assert said(text) == text


@pytest.mark.parametrize("text", ['{"driving": "\\uc886, x"}', '{"driving": {"x\\uc886": ""}}'])
def test_a_finding_within_an_escape_takes_all_of_it(text: str) -> None:
    masked = said(text, recognizers="presidio")
    assert masked == text.replace("\\uc886", "<US_DRIVER_LICENSE_1>")


ESCAPES = st.one_of(
    st.integers(0, 0xFFFF).map(lambda code: f"\\u{code:04x}"),
    st.integers(0xD800, 0xDFFF).map(lambda code: f"\\u{code:04X}"),
    st.integers(0, 0x1FF).map(lambda code: f"\\uc{code % 1000:03d}"),
    st.sampled_from(['\\"', "\\\\", "\\/", "\\b", "\\f", "\\n", "\\r", "\\t", "", " ", "driving ", "a", "é"]),
)
STRINGS = st.lists(ESCAPES, max_size=6).map(lambda parts: f'"{"".join(parts)}"')
WRITTEN = st.recursive(
    STRINGS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda items: f"[{', '.join(items)}]"),
        st.lists(st.tuples(STRINGS, inner), max_size=3).map(
            lambda items: "{" + ", ".join(f"{key}: {item}" for key, item in items) + "}"
        ),
    ),
    max_leaves=6,
)


@given(st.lists(WRITTEN, min_size=1, max_size=4), st.booleans(), st.sampled_from(KINDS))
@settings(max_examples=150, deadline=None)
def test_whatever_escapes_json_has_it_is_examined_to_the_end(
    written: list[str], nested: bool, kind: str
) -> None:
    texts = [f'{{"driving": {one}}}' for one in written]
    texts = [json.dumps({"arguments": one}) if nested else one for one in texts]
    done = pii.apply(
        table([(role, one) for one in texts for role in ("user", "assistant")]), Config(kind=kind)
    )
    assert done["error"].to_pylist() == [None]
    assert contents_of(done)[0] == [one for one in texts for _ in range(2)]


def test_much_that_is_no_json_costs_little() -> None:
    for text in ('{"a": ' * 20_000, "[1, " * 20_000, '{"a" ' * 20_000):
        assert JsonText(text).tokens == []
