"""A row's ids hang on that row alone, whatever its template looks at."""

import pytest
from jinja2 import Environment

from headrace.pipelines.stages.tokenise.sight import sight
from headrace.pipelines.stages.tokenise.template import WHOLE
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
    "case by a name": (
        "{% for message in messages %}{% set low = message.content | lower %}"
        "{% if 'please' in low %}[asked]{% endif %}" + CHATML.partition("%}")[2]
    ),
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


def test_strings_that_overlap_are_both_seen(make: Make) -> None:
    """As 'aab' and 'baa' do in 'baab': a shape would show one of them."""
    looks = "('[B]' if 'aab' in message.content else '') + ('[C]' if 'baa' in message.content else '')"
    chat = make("odd", template=replaced(f"{looks} + message.content"))
    conversations = [[("user", ask), SAY] for ask in ("baab", "aab baa", "aab", "x baa", "aabaab", "none")]
    for sample, conversation in zip(tokens(chat, *conversations), conversations, strict=True):
        assert sample["input_ids"] == native(chat, conversation), conversation
    assert [chat.template.skeleton(*c[0])[0] == WHOLE for c in conversations] == [  # type: ignore[union-attr]
        *(True, False, False, False, True, False)
    ]


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
        ("{% if messages[0].content[0] == '<' %}{% endif %}", ["<"], False, True),
        ("{% for part in messages[0].content %}{{ part.type == 'x' }}{% endfor %}", [], False, False),
        ("{% macro f(c) %}{{ c[:9] }}{% endmacro %}{{ f(messages[0].content) }}", [], False, True),
        ("{% set n = namespace(a='') %}{% set n.a = messages[0].content %}{{ n.a[1] }}", [], False, True),
        ("{% set n = namespace(a='') %}{% set n.b = messages[0].content %}{{ n.a[1] }}", [], False, False),
        ("{{ messages[0].content.endswith(bos_token) }}", [], False, True),
        ("{% if 'x' in messages[0].content | lower %}{% endif %}", [], False, True),
        ("{% set c = messages[0].content | lower %}{% if 'x' in c %}{% endif %}", [], False, True),
        ("{% set c = messages[0].content | lower %}{{ c.startswith('x') }}", ["x"], False, True),
        (
            "{% for l in messages[0].content.split('x') %}{{ l.startswith('#') }}{% endfor %}",
            ["x"],
            False,
            True,
        ),
        ("{% for c in messages[0].content %}{% if c == 'x' %}{% endif %}{% endfor %}", [], False, True),
        ("{% for c in messages[0].content %}{% if 'image' in c %}{% endif %}{% endfor %}", [], False, False),
        ("{% for c in messages[0].content %}{{ c | length }}{% endfor %}", [], False, True),
        ("{% for c in [messages[0].content] %}{{ c[:9] }}{% endfor %}", [], False, True),
        ("{{ messages[0].get('content') | length }}", [], False, True),
        ("{{ messages[0] | attr('content') | length }}", [], False, True),
        ("{{ messages | map(attribute='content') | list | length }}", [], False, True),
        ("{% if messages[0].content in 'yes or no' %}{% endif %}", ["yes or no"], False, True),
        ("{% if messages[0].content > 'm' %}{% endif %}", ["m"], False, True),
        ("{{ messages[0].content | replace('\n\n', bos_token) }}", ["\n\n"], False, False),
    ],
)
def test_what_a_template_sees(source: str, strings: list[str], edges: bool, anything: bool) -> None:
    seen = sight(Environment().parse(source))
    assert (sorted(seen.strings), seen.edges, seen.anything) == (strings, edges, anything)
