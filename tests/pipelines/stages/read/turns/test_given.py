"""Turns in every form that files give them."""

import json
from typing import Any

import pytest
from hypothesis import given as drawn
from hypothesis import strategies as st

from headrace.pipelines import structure
from headrace.pipelines.stages.read.mappers import Told, mapper
from headrace.pipelines.stages.read.records import ReadError
from headrace.pipelines.stages.read.shapes import Columns, complete

SAID = [("user", "Where is it?"), ("assistant", "On the left.")]
MAPPINGS = [{"role": role, "content": text} for role, text in SAID]


def turns(value: Any, beside: dict[str, Any] | None = None, **columns: Any) -> Any:
    """Turns of a record with `value` in its column `messages`; the cause where there are none."""
    try:
        return mapper("messages", complete("messages", Columns(**columns)))(
            {"messages": value, **(beside or {})}
        )
    except ReadError as bad:
        return bad.cause, bad.detail


@pytest.mark.parametrize(
    "value",
    [
        MAPPINGS,
        [list(turn.items()) for turn in MAPPINGS],  # an Arrow map, as Spark writes it
        {"role": ["user", "assistant"], "content": [text for _, text in SAID]},
        [list(turn) for turn in SAID],
        json.dumps(MAPPINGS),
        str(MAPPINGS),  # as a table holds it that pandas has written
        [{"role": role, "content": [{"type": "text", "text": text}]} for role, text in SAID],
    ],
)
def test_one_conversation_in_many_forms(value: Any) -> None:
    assert turns(value) == SAID


@pytest.mark.parametrize("printed", ["{(1, 2): 'x'}", "{'x', 'y'}", "[{b'k': 1}]"])
@pytest.mark.parametrize("key", ["messages", "tools"])
def test_what_python_prints_and_json_has_no_place_for_costs_the_record(key: str, printed: str) -> None:
    value = f"[{{'role': 'tool', 'name': 'f', 'content': {printed}}}]"
    beside = {"tools": value} if key == "tools" else {}
    cause, detail = turns(value if key == "messages" else MAPPINGS, beside)
    assert cause == "read.wrong_type"
    assert detail.startswith(f"'{key}' is text that is no JSON")


def test_turns_that_name_no_speaker() -> None:
    texts = [text for _, text in SAID]
    both = ("user", "assistant")
    assert turns(texts, speakers=both) == SAID
    assert turns([texts, ["And then?", None]], speakers=both) == [
        *SAID,
        ("user", "And then?"),
        ("assistant", ""),
    ]
    assert turns(texts)[0] == "read.wrong_type"


@pytest.mark.parametrize(
    "value",
    [
        "[{'role': open('x')}]",
        "[{" * 300,
        {"role": ["user"], "content": []},
        {"a": 1},
        {},
        7,
        "words",
        [["a"]],
    ],
)
def test_what_is_no_turns_is_set_aside(value: Any) -> None:
    assert turns(value)[0] == "read.wrong_type"


def test_columns_that_follow_each_other() -> None:
    names: dict[str, Any] = {"messages": ("first", "messages")}
    assert turns(MAPPINGS[1:], {"first": MAPPINGS[0]}, **names) == SAID
    assert turns(MAPPINGS, {"first": None}, **names) == SAID
    assert turns(MAPPINGS, **names) == SAID


def test_who_asks_is_named_beside_the_turns() -> None:
    comments = [{"author": {"id": 7}, "body": "Where?"}, {"author": {"id": 9}, "body": "There."}]
    names: dict[str, Any] = {"role": "author.id", "content": "body", "asker": "requester"}
    assert turns(comments, {"requester": "7"}, **names) == [("user", "Where?"), ("assistant", "There.")]


def test_a_speaker_is_named_only_by_a_usual_name() -> None:
    cause, detail = turns([{"role": "function_call", "content": "{}"}])
    assert cause == "read.unknown_role"
    assert "`columns: {roles: {function_call: assistant}}`" in detail
    assert "Ann" not in turns([{"role": "Ann Lee", "content": "x"}])[1]
    assert turns([{"role": True, "content": "x"}], roles={"true": "assistant"}) == [("assistant", "x")]


def node(parent: str | None, children: list[str], role: str = "", text: str = "") -> dict[str, Any]:
    content = {"content_type": "text", "parts": [text]}
    message = {"author": {"role": role}, "content": content} if role else None
    return {"parent": parent, "children": children, "message": message}


NODES = {
    "root": node(None, ["a"]),
    "a": node("root", ["b", "c"], "user", "Where is it?"),
    "b": node("a", [], "assistant", "On the right."),
    "c": node("a", [], "assistant", "On the left."),
}


def test_of_a_tree_one_path_is_read_and_the_rest_is_counted() -> None:
    found = turns(NODES)
    assert found == SAID
    assert isinstance(found, Told)
    assert found.left == {"branch_turns": 1}
    other = turns(NODES, {"current_node": "b"})
    assert other[1] == ("assistant", "On the right.")
    loop = {"a": node("b", ["b"], "user", "x"), "b": node("a", ["a"], "assistant", "y")}
    assert turns(loop)[0] == "read.wrong_type"
    assert turns(loop, {"current_node": "a"})[0] == "read.wrong_type"


def test_of_replies_the_best_are_read() -> None:
    worse = {"role": "assistant", "text": "No.", "rank": 1, "replies": [{"role": "user", "text": "Oh."}]}
    best = {"role": "assistant", "text": "On the left.", "rank": 0, "replies": []}
    found = turns({"role": "user", "text": "Where is it?", "replies": [worse, best]}, content="text")
    assert found == SAID
    assert found.left == {"branch_turns": 2}


def test_blocks_become_turns_of_their_own() -> None:
    call = {"type": "tool_use", "id": "t1", "name": "look", "input": {"n": 1}}
    result = {"type": "tool_result", "tool_use_id": "t1", "content": [{"type": "text", "text": "left"}]}
    value = [
        {"role": "user", "content": "Where is it?"},
        {"role": "assistant", "content": [{"type": "text", "text": "I look."}, call]},
        {"role": "user", "content": [result, {"type": "text", "text": "Well?"}]},
        {
            "role": "assistant",
            "content": [{"type": "thinking", "thinking": "Left."}, {"type": "text", "text": "Left."}],
        },
    ]
    found = turns(value)
    assert [role for role, _ in found] == ["user", "assistant", "tool", "user", "assistant"]
    said, beside = structure.unsealed(*found[1])
    assert said == "I look."
    called = {"id": "t1", "type": "function", "function": {"name": "look", "arguments": {"n": 1}}}
    assert beside == {"tool_calls": [called]}
    assert structure.unsealed(*found[2]) == ("left", {"tool_call_id": "t1"})
    assert found[3] == ("user", "Well?")
    assert found[4] == ("assistant", "<think>\nLeft.\n</think>\n\nLeft.")


def test_parts_that_are_no_text_are_counted_beside_text_and_refused_alone() -> None:
    image = {"type": "image_url", "image_url": {"url": "x"}}
    found = turns([{"role": "user", "content": [image, {"type": "text", "text": "What?"}, image]}])
    assert found == [("user", "What?")]
    assert found.left == {"dropped_parts": 2}
    assert turns([{"role": "user", "content": [image]}])[0] == "read.wrong_type"


def test_a_structure_is_somebodys_words_only_where_a_tool_gives_it_back() -> None:
    assert turns([{"role": "tool", "content": {"n": 1}}]) == [("tool", '{"n":1}')]
    for content in ({"n": 1}, ["a"], []):
        cause, detail = turns([{"role": "user", "content": content}])
        assert cause == "read.wrong_type"
        assert "'content'" in detail


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "role",
                    "content",
                    "type",
                    "text",
                    "parent",
                    "children",
                    "message",
                    "replies",
                    "parts",
                    "author",
                    "x",
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


def test_a_reply_that_is_no_mapping_costs_its_record() -> None:
    found = turns({"children": [], "role": "user", "content": "hi", "replies": [None]})
    assert found == ("read.wrong_type", "'replies' holds a reply that is not a mapping")


@drawn(value=JSON)
def test_whatever_stands_there_gives_turns_or_a_cause(value: Any) -> None:
    found = turns(value, {"current_node": "x"}, speakers=("user", "assistant"), asker="current_node")
    if isinstance(found, tuple):
        assert found[0].startswith("read.")
    else:
        assert all(isinstance(role, str) and isinstance(text, str) for role, text in found)
