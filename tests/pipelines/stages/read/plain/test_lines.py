"""JSON lines that are read without records of them: the same rows, errors and names as by Python's parser."""

import json
import tempfile
from pathlib import Path
from typing import Any
from unittest import mock

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.pipelines import schema
from headrace.pipelines.stages.read import inputs, json_text
from headrace.pipelines.stages.read import rows as read_rows
from headrace.pipelines.stages.read.plain import batches, lines
from headrace.pipelines.stages.read.records import Noted, Turns
from headrace.pipelines.stages.read.shapes import Columns
from headrace.pipelines.stages.read.source import Source

MESSAGES = Source(name="s", path="p", shape="messages")
ALPACA = Source(name="s", path="p", shape="alpaca")
TEXT = st.sampled_from(
    ["", "hi", "größer", "漢字", "\U0001f600", 'a "b" \\', "x\n\ty\r", "\u2028", "\x00\x7f", "a" * 30]
)
ODD_TEXT = st.sampled_from(["\ud83d", "\udc00x", "\ufdd0{}\ufdd1", "\ufdd1"])
OTHER = st.sampled_from(
    [None, 3, -2.5e-7, 1e22, True, False, [], {}, [[], [1, {"a": []}]], {"b": {"c": "\\"}}, "7"]
)
VALUE = TEXT | TEXT | TEXT | ODD_TEXT | OTHER
ROLE = st.sampled_from(["user", "assistant", "human", "gpt", "system", "nobody"])
TURN = st.fixed_dictionaries({"role": ROLE, "content": TEXT}) | st.fixed_dictionaries(
    {"role": ROLE},
    optional={
        "content": VALUE,
        "name": VALUE,
        "weight": OTHER,
        "reasoning": VALUE,
        "tool_calls": OTHER,
        "id": VALUE,
    },
)
NAMES = {"id": VALUE, "größe": VALUE, 'a"b': VALUE, "tools": OTHER, "x" * 60: VALUE}
SHAPES: dict[str, Any] = {
    "messages": {"messages": st.lists(TURN, max_size=4) | VALUE},
    "alpaca": {"instruction": TEXT, "input": TEXT | OTHER, "output": TEXT},
    "prompt_completion": {"prompt": TEXT, "completion": VALUE},
    "preference": {"prompt": TEXT, "chosen": TEXT, "rejected": VALUE},
    "text_label": {"text": TEXT, "label": VALUE},
    "text": {"text": VALUE},
}
CUT = st.sampled_from(
    ['"', "\\", "\\u", "{", "}", "[", "]", ",", ":", " ", "\t", "\r", "\n", "0", "-", "e", "\x01", "\ufeff"]
)


@st.composite
def files(draw: st.DrawFn, shape: str) -> bytes:
    """A file of lines, some of them odd, and some damaged."""
    record = st.fixed_dictionaries(SHAPES[shape], optional=NAMES)
    written = []
    for one in draw(st.lists(record, max_size=4)):
        spaced = draw(st.sampled_from([None, (",", ":"), (" ,\t", "  : ")]))
        written.append(json.dumps(one, ensure_ascii=draw(st.booleans()), separators=spaced))
    text = draw(st.sampled_from(["\n", "\r\n", "\n \n"])).join(written) + draw(st.sampled_from(["", "\n"]))
    for _ in range(draw(st.integers(0, 2))):
        at = draw(st.integers(0, len(text)))
        text = text[:at] + draw(CUT | st.just("")) + text[at + draw(st.integers(0, 2)) :]
    return (text or "{}").encode("utf-8", "surrogatepass")


def read(path: Path, source: Source, size: int) -> tuple[pa.Table, set[str]]:
    """All rows of a file, and the names that nobody asked for."""
    noted = Noted()
    own = source.model_copy(update={"path": str(path), "format": "jsonl"})
    parts = [
        part
        for fragment in inputs.plan(own, size)
        for part in read_rows.read(fragment, own, fragment_size=2**25, seed=0, noted=noted)
    ]
    return pa.concat_tables([schema.ROW.empty_table(), *parts], promote_options="default"), noted.unread


def same(raw: bytes, source: Source, size: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "x.jsonl")
        path.write_bytes(raw)
        found = read(path, source, size)
        with mock.patch.object(batches, "asked", return_value=None):
            assert read(path, source, size) == found


@pytest.mark.parametrize("shape", SHAPES)
@settings(deadline=None)
@given(st.data(), st.sampled_from([2**25, 60]))
def test_rows_and_errors_are_those_of_records(shape: str, data: st.DataObject, size: int) -> None:
    same(data.draw(files(shape)), Source.model_validate({"name": "s", "path": "p", "shape": shape}), size)


@pytest.mark.parametrize(
    "line",
    [
        '{"messages": []}',
        '{"messages": [], "messages": []}',
        '{"mess\\u0061ges": []}',
        '{"messages": [{"role": "user", "content": "\\ud83d\\ude00 \\u00e9 \\u0041 \\uFFFD \\/"}]}',
        '{"messages": [{"role": "user", "content": "\\ud83d"}]}',
        '{"messages": [{"role": "user", "content": "\\ud83d\\u0041"}]}',
        '{"messages": [{"role": "user", "content": "\\ufdd0{}\\ufdd1"}]}',
        '{"messages": [{"role": "user", "content": "a", "content": "b"}]}',
        '{"messages": [{"role": "user", "content": "a",}]}',
        '{"messages": [{"role": "user", "content": "a"},]}',
        '{"messages": [{"role": "user", "content": "a"}]},',
        '{"messages": [{"role": "user", "content": "a"}]} x',
        '{"messages": [{"role": "user", "content": "a"}]}\x0b',
        '{"messages": [{}]}',
        "{}",
        '{"messages": [], "n": 01}',
        '{"messages": [], "n": 1.}',
        '{"messages": [], "n": -}',
        '{"messages": [], "n": NaN}',
        '{"messages": [], "n": -0.5E+3}',
        '{"messages": [], "n": nul}',
        '{"messages": [], "n": ' + "7" * 5000 + "}",
        '{"messages": [], "n": ' + "[" * 100 + "]" * 100 + "}",
        '{"messages": [], "n": ' + "[" * 300 + "]" * 300 + "}",
        '{"messages": [], "n": {"a": [1, 2, {"b": null}], "c": {}}}',
        '{"messages": [], "n": {"a" 1}}',
        '{"messages": [], "n": {"a": 1,}}',
        '{"messages": [], "n": [1 2]}',
        '{"messages": [], "n": "a\tb"}',
        '{"messages": [',
        '{"messages": [{"role": "user", "content": "\\u00',
        '{"messages": [{"role": "user", "content": "a',
        "\x0b",
        "[]",
        '"text"',
        '\ufeff{"messages": []}',
    ],
)
def test_odd_lines_are_read_as_records_are(line: str) -> None:
    plain = b'{"messages": [{"role": "user", "content": "b"}]}\n'
    same(plain + line.encode("utf-8", "surrogatepass") + b"\n" + plain, MESSAGES, 2**25)
    same(line.encode("utf-8", "surrogatepass"), MESSAGES, 2**25)


def test_bytes_that_are_no_text_too() -> None:
    same(b'{"messages": [{"role": "user", "content": "caf\xe9 \xff and more text here"}]}\n', MESSAGES, 2**25)


def test_more_names_than_are_kept_in_mind() -> None:
    records = [{"messages": [], **{f"n{i}_{k}": i for i in range(k)}} for k in (3, 70)]
    same("\n".join(map(json.dumps, records)).encode(), MESSAGES, 2**25)


def read_lines(text: str, source: Source, place: int, *, numbered: bool) -> tuple[Turns, tuple[str, ...]]:
    asked = batches.asked(source)
    assert asked is not None
    found = lines.read(text.encode(), asked, place, numbered=numbered)
    assert found is not None
    return found


def test_plain_turns_make_no_records() -> None:
    turns = (
        '[{"role":"human","content":"a\\n\\u00e9"},{"content": "b", "role": "gpt", "name": null, "id": [1]}]'
    )
    first = f'{{"id": {{"a": 1}}, "messages": {turns}}}\n\n'
    text = first + ' {"messages": [ ], "tools": []}'
    found, others = read_lines(text, MESSAGES, 7, numbered=True)
    assert found.roles.to_pylist() == ["user", "assistant"]
    assert found.contents.to_pylist() == ["a\né", "b"]
    assert found.lengths.tolist() == [2, 0]
    assert found.places.tolist() == [7, 9]
    assert others == ("id",)
    assert read_lines(text, MESSAGES, 7, numbered=False)[0].places.tolist() == [7, 7 + len(first)]


def test_plain_pairs_too() -> None:
    other = '{"output": "e", "input": null, "instruction": "d"}'
    text = f'{{"instruction": "a", "input": "b", "output": "c"}}\n{other}\n'
    found, _ = read_lines(text, ALPACA, 0, numbered=True)
    assert found.roles.to_pylist() == ["user", "assistant"] * 2
    assert found.contents.to_pylist() == ["a\n\nb", "c", "d", "e"]


@pytest.mark.parametrize(
    "keys",
    [
        {"meta": ["lang"]},
        {"group": "customer"},
        {"only": {"split": "train"}},
        {"columns": Columns(messages="body.messages")},
        {"columns": Columns(messages=("first", "then"))},
        {"columns": Columns(system="system")},
        {"columns": Columns(role="name")},
        {"records": "data.items"},
    ],
)
def test_sources_that_take_more_than_turns_are_read_as_records(keys: dict[str, Any]) -> None:
    assert (
        batches.asked(Source.model_validate({"name": "s", "path": "p", "shape": "messages", **keys})) is None
    )


def tried(plain: list[bool]) -> list[int]:
    """Numbers of the blocks that are tried, of which each says whether it is plain."""
    tries, found = lines.Tries(), []
    for number, one in enumerate(plain):
        if tries.due():
            found.append(number)
            tries.tried(plain=one)
    return found


def test_blocks_are_tried_the_less_the_more_were_tried_in_vain() -> None:
    assert tried([True] * 9) == list(range(9))
    assert tried([False, True] * 5) == list(range(10))
    assert tried([False] * 32) == [0, 1, 2, 6, 11, 17, 24]
    assert tried([*[False] * 6, *[True] * 4]) == [0, 1, 2, 6, 7, 8, 9]


def test_a_file_with_an_odd_line_in_every_block_is_read_as_records_after_some(tmp_path: Path) -> None:
    row = {"messages": [{"role": "user", "content": "x" * 2**16}, {"role": "assistant", "content": "y"}]}
    odd = json.dumps({**row, "n": float("nan")})
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join([*[json.dumps(row)] * 20, odd] * 16), encoding="utf-8")
    asked = lines.Asked(("content",), turns="messages", speaker="role", words={"user": "user"})
    with mock.patch.object(lines, "read", wraps=lines.read) as reading:
        found = list(json_text.lines(str(path), asked=asked))
    blocks = len(found)
    assert blocks > 12
    assert reading.call_count == len(tried([False] * blocks))
    assert sum(len(batch.records) for batch in found) == 21 * 16
