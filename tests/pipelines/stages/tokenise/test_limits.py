"""A chat template ends: by what it does, not by the clock."""

import pytest

from headrace.cluster.errors import ModelError
from headrace.pipelines.stages.tokenise import stage as tokenise
from tests.builders import table
from tests.pipelines.stages.tokenise.chats import TEMPLATES, Make

CHATML = TEMPLATES["chatml"]
ASK, SAY = ("user", "What is 2 + 2?"), ("assistant", "It is 4.")


def grown(by: str, put_out: str = "") -> str:
    """A template that makes `n.x` larger sixty times, by an expression, and then puts something out."""
    start = "{% set n = namespace(x='aa', l=['aa']) %}"
    return start + "{% for i in range(60) %}{% set " + by + " %}{% endfor %}" + put_out


NESTED = "n.l = [n.l, n.l]"
BIG = "{% set b = 'x' * 1000000 %}"
ENDLESS = {
    "loops in loops": "{% for i in range(9999) %}{% for j in range(9999) %}{% endfor %}{% endfor %}",
    "times": "{{ 'x' * 10 ** 12 }}",
    "doubled by ~": grown("n.x = n.x ~ n.x"),
    "doubled by +": grown("n.x = n.x + n.x"),
    "lists in lists": grown(NESTED, "{{ n.l }}"),
    "lists as JSON": grown(NESTED, "{{ n.l | tojson }}"),
    "lists in a format": grown(NESTED, "{{ '{}'.format(n.l) }}"),
    "lists by %": grown(NESTED, "{{ '%s' % n.l }}"),
    "a macro of itself": "{% macro f(x) %}{{ f(x) }}{% endmacro %}{{ f(1) }}",
    "a loop of itself": "{% for a in [1] recursive %}{{ loop([1]) }}{% endfor %}",
    "a wide centre": "{{ 'x' | center(10 ** 11) }}",
    "a wide format": "{{ '%099999999999d' % 1 }}",
    "a width that is a value": "{{ '{:>{}}'.format(1, 10 ** 11) }}",
    "replaced by more": grown("n.x = n.x.replace('a', 'aa')"),
    "filtered by more": grown("n.x = n.x | replace('a', 'aa')"),
    "joined": BIG + "{{ ([b] * 100000) | join }}",
    "put out": BIG + "{% for i in range(9999) %}{{ b }}{% endfor %}",
    "set": BIG + "{% set c %}{% for i in range(9999) %}{{ b }}{% endfor %}{% endset %}",
    "translated": "{{ ('a' * 100000).translate({97: 'x' * 100000}) }}",
    "passed over": "{% for i in range(99999) %}{% for j in range(99999) if false %}{% endfor %}{% endfor %}",
    "bytes": "{{ ('x'.encode() * 4000000000) | length }}",
    "a width that is a text": "{{ '{:{}}'.format('x', '200000000') }}",
    "a width within a value": "{{ '{0[a]:{0[b]}}'.format({'a': 'x', 'b': '200000000'}) }}",
    "joined by more": "{{ range(1000) | join('x' * 500000) }}",
    "indented by a text": "{{ ('x\n' * 1000) | indent('y' * 100000) }}",
    "filler": "{{ lipsum(100000) }}",
}


@pytest.mark.parametrize("name", ENDLESS)
def test_a_template_that_never_ends_is_stopped(make: Make, name: str) -> None:
    evil = "{% if 'evil' in messages[0].content %}" + ENDLESS[name] + "{% endif %}"
    chat = make("endless", template=evil + CHATML)
    marked, samples = tokenise.apply(
        table([("user", "evil"), SAY], [ASK, SAY]), tokenise.Config(), chat, {"s": "assistant"}
    )
    assert marked["error"].to_pylist() == ["tokenise.error", None]
    assert samples["row_id"].to_pylist() == [1]
    with pytest.raises(ModelError, match="refuses a question and its answer"):
        make("endless", template=ENDLESS[name] + CHATML)


@pytest.mark.parametrize(
    "source",
    [
        "{{ " + "(" * 3000 + "1" + ")" * 3000 + " }}",
        "{% if x %}" * 3000 + "{% endif %}" * 3000,
        "x" * (1 << 20) + "y",
    ],
)
def test_a_template_that_is_too_deep_or_too_long_is_refused(make: Make, source: str) -> None:
    with pytest.raises(ModelError, match=r"is no Jinja: it (is nested too deep|has more than)"):
        make("deep", template=source)


@pytest.mark.parametrize("name", TEMPLATES)
def test_limits_change_nothing_of_a_rendering(make: Make, name: str) -> None:
    chat = make(name)
    assert chat.template is not None
    conversation = [
        ASK,
        ("assistant", "<think>\nTwo and two.\n</think>\n\nIt is 4."),
        ("user", "and\n\n <b>'it'</b> "),
        SAY,
    ]
    messages = [{"role": r, "content": c} for r, c in conversation]
    wanted = chat.hf.apply_chat_template(messages, tokenize=False)
    assert chat.template.render(messages) == wanted
    wanted = chat.hf.apply_chat_template(messages[:3], tokenize=False, add_generation_prompt=True)
    assert chat.template.render(messages[:3], generation=True) == wanted
