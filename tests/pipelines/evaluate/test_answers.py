"""What of a model's words is compared."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.pipelines.evaluate import answers


@pytest.mark.parametrize(
    ("how", "said", "wanted"),
    [
        ("after_reasoning", " as it is\n", " as it is\n"),
        ("last_line", "Three and four.\nThat makes seven.\n#### 7\n\n", "7"),
        ("last_line", "so\nThe final answer is: 1,200 kg", "1,200 kg"),
        ("last_line", "- 4", "4"),
        ("last_line", "-4", "-4"),
        ("last_line", "####", "####"),
        ("boxed", r"first \boxed{1}, then \boxed{\frac{1}{2}} it is", r"\frac{1}{2}"),
        ("boxed", r"\fbox{6} and \boxed{7", "6"),
        ("json:a.b[1]", '```json\n{"a": {"b": [1, {"z": 1, "c": "ü"}]}}\n```', '{"c": "ü", "z": 1}'),
        ("json:name", '{"name": "Ada"}', "Ada"),
        ("json:[-1]", "[1, 2, 3]", "3"),
        (r"regex:answer (\w+)", "answer one, no: answer two", "two"),
        (r"regex:^\d+$", "12\nof\n13", "13"),
    ],
)
def test_the_part_that_is_compared(how: str, said: str, wanted: str) -> None:
    assert answers.taken([said], answers.require(how)) == ([wanted], [])


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("last_line", " \n\n"),
        ("boxed", "no box, and one that is open: \\boxed{1"),
        ("json:a.b", '{"a": [1]}'),
        ("json:a[3]", '{"a": [1]}'),
        ("json:a", "{'a': 1}"),
        ("json:a", "[" * 100_000),
        ("regex:x+", "none"),
    ],
)
def test_what_is_not_there_is_empty_and_named(how: str, said: str) -> None:
    assert answers.taken(["", said][1:], how) == ([""], [0])


@pytest.mark.parametrize("how", ["", "lastline", "json:", "regex:", "regex:(", "json:a[b]", "json:a..[x"])
def test_other_ways_are_refused(how: str) -> None:
    with pytest.raises(ValueError, match=r"names no part of an answer|is no regular expression"):
        answers.require(how)


@given(st.recursive(st.none() | st.integers() | st.text(), lambda inner: st.lists(inner, max_size=3)))
def test_any_json_is_read_back(value: object) -> None:
    said = json.dumps({"v": value})
    (text,), missing = answers.taken([said], "json:v")
    assert missing == ([0] if value is None else [])
    assert text == ("" if value is None else value if isinstance(value, str) else text)


@pytest.mark.parametrize(
    ("said", "answer"),
    [
        ("It is 4.", "It is 4."),
        ("<think>\n\n</think>\n\nIt is 4.", "It is 4."),
        ("<think>Two and two.</think>It is 4.", "It is 4."),
        ("Two and two.\n</think>\n\nIt is 4.", "It is 4."),
        ("<|channel|>analysis<|message|>Sum.<|end|><|start|>assistant<|channel|>final<|message|>4", "4"),
        ("[THINK]Sum.[/THINK]4", "4"),
        ("<seed:think>Sum.</seed:think>4", "4"),
        ("<think>Two and two and", ""),
        ("I think it is 4.", "I think it is 4."),
    ],
)
def test_reasoning_stands_apart_from_the_answer(said: str, answer: str) -> None:
    assert answers.apart(said)[1] == answer
    assert "".join(answers.apart(said)).replace("\n", "") == said.replace("\n", "")


def written(tmp_path: Path, text: str) -> str:
    (tmp_path / "own.py").write_text(text)
    return f"python:{tmp_path}/own.py:f"


def test_a_function_takes_the_part(tmp_path: Path) -> None:
    how = written(tmp_path, "def f(text):\n    return text.partition('=')[2] or None\n")
    assert answers.taken(["a=1", "b", "c=3"], answers.require(how)) == (["1", "", "3"], [1])


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ("1 / (text != 'secret')", "failed with ZeroDivisionError"),
        ("5 if text == 'secret' else ''", "gave a int"),
    ],
)
def test_a_function_that_fails_says_where_and_quotes_nothing(tmp_path: Path, body: str, why: str) -> None:
    how = written(tmp_path, f"def f(text):\n    {body}\n    return {body if 'if' in body else 'text'}\n")
    with pytest.raises(answers.Unusable) as raised:
        answers.taken(["fine", "secret"], how)
    assert raised.value.place == 1
    assert raised.value.why.startswith(why)
    assert "secret" not in str(raised.value)


def test_a_function_scores(tmp_path: Path) -> None:
    how = written(tmp_path, "def f(prompt, answer, reference):\n    return answer in prompt + reference\n")
    assert answers.scored(how, ["a", "b", "c"], ["a", "x", "d"], ["x", "y", "cd"]) == [1.0, 0.0, 1.0]


@pytest.mark.parametrize("value", ["1.5", "-1", "float('nan')", "'good'", "None"])
def test_a_score_is_a_number_from_0_to_1(tmp_path: Path, value: str) -> None:
    how = written(tmp_path, f"def f(p, a, r):\n    return {value} if a == 'x' else 1\n")
    with pytest.raises(answers.Unusable) as raised:
        answers.scored(how, ["p", "p"], ["y", "x"], ["", ""])
    assert raised.value.place == 1
