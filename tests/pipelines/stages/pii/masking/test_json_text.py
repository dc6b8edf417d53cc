"""What was JSON stays JSON, and says the same but for what was replaced."""

import json
from typing import Any

import pytest
from hypothesis import assume, given, settings
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
    assume(f"[[{NUMBER}" not in text)  # two brackets side by side are no telephone number's
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


def test_much_that_is_no_json_costs_little() -> None:
    for text in ('{"a": ' * 20_000, "[1, " * 20_000, '{"a" ' * 20_000):
        assert JsonText(text).tokens == []
