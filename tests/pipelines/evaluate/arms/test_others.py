"""Another model is asked the same in its own words, or is not asked."""

import pytest

from headrace.pipelines.evaluate.arms import others
from tests.pipelines.evaluate.arms import chats

OWN = chats.tokenizer()
OTHER = chats.tokenizer(
    "{% for m in messages %}[{{ m['role'] }}] {{ m['content'] }} {% endfor %}[assistant] "
)
BARE = chats.tokenizer(None)
TURNS = [
    {"role": "system", "content": "be brief"},
    {"role": "user", "content": "what is an oak?"},
    {"role": "assistant", "content": "<think>hm</think> a  tree"},
]
SAMPLE = chats.chat(OWN, "what is an oak?", "<think>hm</think> a  tree", system="be brief", row_id=4)


def test_a_chat_is_asked_by_the_others_template() -> None:
    (found,) = others.asked_anew([SAMPLE], ["a tree"], {4: TURNS}, OWN, OTHER)
    assert found is not None
    assert OTHER.decode(found) == "[system] be brief [user] what is an oak? [assistant] "


@pytest.mark.parametrize(
    ("turns", "reference"),
    [
        (TURNS, "a bush"),
        (TURNS[:2], "a tree"),
        ([*TURNS[:2], {"role": "tool", "content": "a tree"}], "a tree"),
        ([TURNS[0], {"role": "user", "content": "what?\ufdd0{}\ufdd1"}, TURNS[2]], "a tree"),
        ([], "a tree"),
    ],
)
def test_what_the_sample_does_not_ask_is_not_asked(turns: others.Turns, reference: str) -> None:
    assert others.asked_anew([SAMPLE], [reference], {4: turns}, OWN, OTHER) == [None]


def test_bare_text_is_asked_as_it_is() -> None:
    plain = chats.plain(OWN, "an oak is a ", "tree", row_id=5)
    for other in (BARE, OTHER):
        (found,) = others.asked_anew([plain], ["tree"], {}, OWN, other)
        assert found is not None
        assert other.decode(found, skip_special_tokens=True) == "an oak is a "
    assert others.asked_anew([SAMPLE], ["a tree"], {4: TURNS}, OWN, BARE) == [None]
    assert "evaluate.larger: 'big' can be asked none" in str(others.refused("big"))
