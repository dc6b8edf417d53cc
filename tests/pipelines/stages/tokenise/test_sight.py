"""A row's ids hang on that row alone, whatever its template looks at."""

import pytest
from jinja2 import Environment

from headrace.pipelines.stages.tokenise.sight import sight
from tests.pipelines.stages.tokenise.chats import TEMPLATES, Make, native, spans, tokens

CHATML = TEMPLATES["chatml"]
ASK, SAY = ("user", "What is 2 + 2?"), ("assistant", "It is 4.")


def replaced(by: str) -> str:
    """ChatML with something else where it puts out a content."""
    return CHATML.replace("message.content", by)


# No marker ends a turn here: the end token does.
BLANKS = (
    "{% for m in messages %}{{ m.role + ': ' + (m.content | replace('\n\n', '\n')) + '\n\n' }}{% endfor %}"
    "{% if add_generation_prompt %}assistant:{% endif %}"
)
ODD = {
    "blank lines": BLANKS,
    "long ones cut": replaced("message.content[:40]"),
    "long ones marked": replaced("('long: ' if message.content | length > 30 else '') + message.content"),
    "by case": replaced("('loud: ' if message.content | upper == message.content else '') + message.content"),
    "a word": replaced("('asked: ' if 'please' in message.content else '') + message.content"),
    "the whole message": replaced("message | tojson"),
    "letter by letter": replaced("message.content | list | join('.')"),
    "numbers": replaced("message.content | int(default=message.content)"),
}
CONTENTS = (
    "Plain.",
    "With\n\na blank line.\n\n\nTwo.",
    "A longer content, of more than forty characters.",
    "LOUD",
    "42",
    "Say please, 'please'!",
)


@pytest.mark.parametrize("name", ODD)
def test_ids_do_not_hang_on_the_rows_before(make: Make, name: str) -> None:
    conversations = [[("user", ask), ("assistant", say)] for ask in CONTENTS for say in CONTENTS[:4]]
    for order in (conversations, conversations[::-1]):
        chat = make("odd", template=ODD[name])
        for sample, conversation in zip(tokens(chat, *order), order, strict=True):
            wanted = native(chat, conversation)
            ended = [chat.eos_id] if name == "blank lines" else []
            assert sample["input_ids"] == wanted + ended, conversation


@pytest.mark.parametrize("filtered", ["replace('\n\n', '\n')", "upper"])
def test_an_end_token_is_put_however_the_row_was_rendered(make: Make, filtered: str) -> None:
    chat = make("odd", template=BLANKS.replace("replace('\n\n', '\n')", filtered))
    (sample,) = tokens(chat, [ASK, SAY])
    assert sample["input_ids"][-1] == chat.eos_id
    assert spans(chat, sample)[-1].endswith("</s>")


@pytest.mark.parametrize(
    ("source", "strings", "edges", "anything"),
    [
        ("{{ messages[0].content }}", [], False, False),
        ("{{ messages[0]['content'] | trim }}", [], True, False),
        ("{{ messages[0]['content'].lstrip('\n') }}", [], True, False),
        ("{{ messages[0]['content'].strip('-') }}", [], True, True),
        ("{% if 'x' in messages[0].content %}{% endif %}", ["x"], False, False),
        ("{% if messages[0].role == 'user' %}{% endif %}", [], False, False),
        ("{% set a = messages[0].content %}{{ a.split('</t>')[-1].lstrip() }}", ["</t>"], True, False),
        ("{% set a = messages[0].content %}{{ a.split('a')[0].split('b')[1] }}", ["a", "b"], False, False),
        ("{{ messages[0].content.split() }}", [], False, True),
        ("{{ messages[0].content | length }}", [], False, True),
        ("{% if messages[0].content | length > 0 %}{% endif %}", [], False, False),
        ("{% if messages[0].content | length > 1 %}{% endif %}", [], False, True),
        ("{{ messages | length }}{{ tools | tojson }}{{ messages[1:] }}", [], False, False),
        ("{% for m in messages %}{{ m | tojson }}{% endfor %}", [], False, True),
        ("{% for m in messages %}{{ m.tool_calls | tojson }}{% endfor %}", [], False, False),
        ("{% if messages[0].content[0].type == 'image' %}{% endif %}", [], False, False),
        ("{% if messages[0].content[0] == '<' %}{% endif %}", [], False, True),
        ("{% for part in messages[0].content %}{{ part.type == 'x' }}{% endfor %}", [], False, False),
        ("{% macro f(c) %}{{ c[:9] }}{% endmacro %}{{ f(messages[0].content) }}", [], False, True),
        ("{% set n = namespace(a='') %}{% set n.a = messages[0].content %}{{ n.a[1] }}", [], False, True),
        ("{% set n = namespace(a='') %}{% set n.b = messages[0].content %}{{ n.a[1] }}", [], False, False),
        ("{{ messages[0].content.endswith(bos_token) }}", [], False, True),
        ("{% if 'x' in messages[0].content | lower %}{% endif %}", ["x"], False, True),
        ("{{ messages[0].content | replace('\n\n', bos_token) }}", ["\n\n"], False, False),
    ],
)
def test_what_a_template_sees(source: str, strings: list[str], edges: bool, anything: bool) -> None:
    seen = sight(Environment().parse(source))
    assert (sorted(seen.strings), seen.edges, seen.anything) == (strings, edges, anything)
