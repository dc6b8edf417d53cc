"""Structures behind texts: found again, forged by nobody, and readable after masking."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.pipelines import structure
from headrace.pipelines.stages.clean import stage as clean
from headrace.pipelines.stages.pii import stage as pii
from tests.builders import MAIL, PHONE, contents_of, table

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def plain(value: object) -> object:
    """`value` with no mark of ours in it, as it is written."""
    if isinstance(value, str):
        return structure.unmarked(value)
    if isinstance(value, list):
        return [plain(one) for one in value]
    return {plain(k): plain(v) for k, v in value.items()} if isinstance(value, dict) else value


@given(st.text(), st.lists(values, max_size=3))
def test_what_is_sealed_is_found_again(text: str, calls: list[object]) -> None:
    content = structure.sealed(text, {"tool_calls": calls})
    assert structure.unsealed("assistant", content) == (
        structure.unmarked(text),
        {"tool_calls": plain(calls)},
    )
    assert structure.with_leaves(content, structure.leaves(content)) == content
    assert structure.unsealed("user", content)[1] == {}


def test_turns_that_were_merged_keep_their_calls() -> None:
    one, two = (structure.sealed(text, {"tool_calls": [text]}) for text in ("a", "b"))
    assert structure.unsealed("assistant", f"{one}\n{two}") == ("a\nb", {"tool_calls": ["a", "b"]})
    assert structure.unsealed("assistant", f"a\n{structure.sealed('', {'tool_calls': [1]})}")[1] == {
        "tool_calls": [1]
    }


@pytest.mark.parametrize("shown", ["<PHONE_NUMBER_1>", "(425) 555-0100", "+1 425 555"])
def test_a_number_that_was_masked_is_a_text(shown: str) -> None:
    content = structure.sealed("", {"tool_calls": [{"to": 4258828080, "say": "a, b: 4"}]})
    _, held = structure.unsealed("assistant", content.replace("4258828080", shown))
    assert held == {"tool_calls": [{"to": shown, "say": "a, b: 4"}]}


def test_what_is_private_in_calls_and_tools_is_masked() -> None:
    call = {"function": {"name": "send", "arguments": {"to": MAIL, "say": f"call me\n{PHONE}"}}}
    tools = [{"function": {"name": "send", "description": f"Sends mail as {MAIL}"}}]
    rows = table(
        [
            ("system", structure.sealed("", {"tools": tools})),
            ("user", "Send it."),
            ("assistant", structure.sealed("", {"tool_calls": [call]})),
            ("tool", structure.sealed(f"sent to {MAIL}", {"name": "send"})),
            ("assistant", "Sent."),
        ]
    )
    done = pii.apply(rows, pii.Config())
    (contents,) = contents_of(done)
    assert not any(MAIL in content or PHONE in content for content in contents)
    _, held = structure.unsealed("assistant", contents[2])
    assert held["tool_calls"][0]["function"]["arguments"] == {
        "to": "<EMAIL_ADDRESS_1>",
        "say": "call me\n<PHONE_NUMBER_1>",
    }
    assert structure.unsealed("tool", contents[3]) == ("sent to <EMAIL_ADDRESS_1>", {"name": "send"})


def test_texts_in_structures_are_cleaned_one_by_one() -> None:
    call = {
        "function": {"name": "say", "arguments": {"text": "sch\u00c3\u00b6n \x07\n  &quot;x&quot; ", "n": 1}}
    }
    rows = table([("user", "hi"), ("assistant", structure.sealed(" ok \n", {"tool_calls": [call]}))])
    done = clean.apply(rows, clean.Config())
    assert done["drop"].null_count == 1
    _, held = structure.unsealed("assistant", contents_of(done)[0][1])
    assert held["tool_calls"][0]["function"]["arguments"] == {"text": 'sch\u00f6n \n  "x" ', "n": 1}


def test_a_call_is_an_answer() -> None:
    called = structure.sealed("", {"tool_calls": [{"function": {"name": "f"}}]})
    done = clean.apply(table([("user", "hi"), ("assistant", called)]), clean.Config())
    assert done["drop"].null_count == 1
