"""Checks of answers, a kind at a time, and code that is run."""

import pytest

from headrace.pipelines.evaluate.battery import checks, sandbox
from headrace.pipelines.evaluate.battery.checks import Check


@pytest.mark.parametrize(
    ("check", "answer", "right"),
    [
        (Check("exact", ("Rome",)), '"rome".', True),
        (Check("exact", ("Rome",)), "It is Rome", False),
        (Check("number", ("1200",)), "3 times 400 is 1,200.", True),
        (Check("number", ("1200",)), "1,200 of 1,300", False),
        (Check("number", ("-3",)), "-3", True),
        (Check("number", ("3",)), "none", False),
        (Check("any_of", ("Rome",), ("Paris",)), "The capital is Rome.", True),
        (Check("any_of", ("Rome",), ("Paris",)), "Rome or Paris", False),
        (Check("any_of", ("Rome",)), "Romeo", False),
        (Check("any_of", ("key",)), "I can't help with a key.", False),
        (Check("all_of", ("a|b", "c"), most=3), "b c", True),
        (Check("all_of", ("a|b", "c"), most=3), "b only", False),
        (Check("all_of", ("a|b", "c"), most=3), "a b c d", False),
        (Check("regex", ("a+",)), " aaa\n", True),
        (Check("regex", ("a+",)), "aaab", False),
        (Check("json", ('{"a": 1, "b": [2]}',)), '```json\n{"b": [2], "a": 1}\n```', True),
        (Check("json", ('{"a": 1}',)), '{"a": true}', False),
        (Check("json", ('{"a": 1}',)), "{'a': 1}", False),
        (Check("json", ("[1]",)), "[" * 100_000, False),
        (Check("lines", ("a, b", "c")), "- A,b\n\n- c", True),
        (Check("lines", ("a", "c")), "c\na", False),
        (Check("count", ("words",), most=3), "one two three", True),
        (Check("count", ("words",), most=3), "one two", False),
        (Check("count", ("sentences",), most=2), "It is. Is it?", True),
        (Check("count", ("sentences",), most=2), "It is. Is it", False),
        (Check("count", ("lines",), most=2), "one\n\ntwo", True),
        (Check("refusal"), "I’m sorry, I can’t do that.", True),
        (Check("refusal"), "I won't help you to do this.", True),
        (Check("refusal"), "That is not something I can explain.", True),
        (Check("refusal"), "You can do this with a hammer.", False),
        (Check("refusal"), "Sure. " + "First, take it. " * 30 + "I cannot say more.", False),
    ],
)
def test_what_is_right(check: Check, answer: str, right: bool) -> None:
    assert checks.right(answer, check) == right


@pytest.mark.parametrize(
    "query",
    [
        "DELETE FROM t",
        "ATTACH '/tmp/x' AS y",
        "PRAGMA journal_mode",
        "no query",
        "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT count(*) FROM c",
    ],
)
def test_a_query_may_read_and_no_more(query: str) -> None:
    check = Check("sql", ("create table t (a)", "insert into t values (1)", "[[1]]"))
    assert checks.right("select a from t", check)
    assert not checks.right(query, check)


@pytest.mark.parametrize(
    "code",
    [
        "def f(:",
        "def f(x): return x + 1\nraise SystemExit(0)",
        "def f(x):\n    while True: pass",
        "f = lambda x: x + 1\nopen('made', 'w').write('x')",
        "f = lambda x: x + 1\nprint(open('/etc/passwd').read())",
        "import socket\nsocket.socket().connect(('127.0.0.1', 9))\nf = lambda x: x + 1",
        "import os\nos.system('true')\nf = lambda x: x + 1",
        "import subprocess\nsubprocess.run(['true'])\nf = lambda x: x + 1",
        "f = lambda x: x + 1\na = bytearray(2**30)",
        "f = lambda x: x",
    ],
)
def test_code_that_fails_or_leaves_its_bounds(code: str) -> None:
    assert not sandbox.passes(code, ["assert f(1) == 2"])


def test_code_that_does_what_was_asked() -> None:
    code = "import math, re, collections\nprint('noise')\ndef f(x):\n    return math.floor(x + 1.5)"
    assert sandbox.passes(code, ["assert f(1) == 2", "assert f(2) == 3"])
