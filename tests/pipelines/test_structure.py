"""Structures behind texts: found again, forged by nobody, and readable after masking."""

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.kernels import fold as folded
from headrace.pipelines import schema, structure
from headrace.pipelines.stages.clean import stage as clean
from headrace.pipelines.stages.fingerprint import stage as fingerprint
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


def test_rows_that_offer_the_same_tools_are_told_apart_by_what_they_ask() -> None:
    words = [f"This tool does thing {n} for whoever asks, in all of the {7 * n} places." for n in range(20)]
    tools = [
        {"type": "function", "function": {"name": f"t{n}", "description": w}} for n, w in enumerate(words)
    ]
    offer = structure.sealed("", {"tools": tools})
    call = structure.sealed("", {"tool_calls": [{"type": "function", "function": {"name": "t3"}}]})
    asked = ["How warm is it in Rome?", "Who wrote this letter, and why in May?", "Book a table for two."]
    rows = table(*[[("system", offer), ("user", one), ("assistant", call)] for one in asked])
    parted = fingerprint.parts(*schema.contents(rows), len(asked)).both.to_pylist()
    alone = folded(pa.array(asked, pa.large_string())).to_pylist()
    assert [prompt.strip() for prompt in parted[::2]] == [one.strip() for one in alone]
    assert all("t3" in answer for answer in parted[1::2])


def test_many_structures_are_cleaned_as_each_by_itself() -> None:
    each = [
        structure.sealed(
            " It\r\nis. ", {"tool_calls": [{"function": {"name": "a", "arguments": {"x": text}}}]}
        )
        for text in ("doesn\u00e2\u20ac\u2122t", "plain", "a\x07b")
    ]
    talks = [[("user", "Well?"), ("assistant", content)] for content in each]
    together = clean.apply(table(*talks), clean.Config())
    alone = [clean.apply(table(talk), clean.Config()) for talk in talks]
    assert contents_of(together) == [row for one in alone for row in contents_of(one)]
    assert together["changed"].to_pylist() == [row for one in alone for row in one["changed"].to_pylist()]


def test_a_column_without_its_structures() -> None:
    offered = structure.sealed("Help.", {"tools": [{"name": "look"}]})
    came = pa.array([offered, None, "", "plain", structure.sealed("", {"name": "x"})], pa.large_string())
    assert structure.bare(came).to_pylist() == ["Help.", None, "", "plain", ""]
    assert structure.bare(came.slice(3, 0)).equals(came.slice(3, 0))
