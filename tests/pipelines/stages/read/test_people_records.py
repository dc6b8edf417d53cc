"""Records as services, trainers and annotators write them: `init` finds their turns, or says why not."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import yaml

from headrace.cluster.errors import RecipeError, SourceError
from headrace.pipelines import recipe as recipes
from headrace.pipelines import structure
from headrace.pipelines.commands import init
from headrace.pipelines.stages.read import grouping, inputs
from headrace.pipelines.stages.read.files import notes
from headrace.pipelines.stages.read.source import Source
from tests.pipelines.stages.read.rows_of import rows_of

ASK, SAY = {"role": "user", "content": "Where is it?"}, {"role": "assistant", "content": "On the left."}
KIND = ("system", "Be kind.")
TALK = [("user", "Where is it?"), ("assistant", "On the left.")]
CALL = {"name": "shop", "arguments": {"n": 1}}


def put(folder: Path, *records: Any, name: str = "rows.jsonl") -> Path:
    path = folder / name
    path.write_text("".join(json.dumps(r) + "\n" for r in records))
    return path


def started(path: Path) -> dict[str, Any]:
    """The one source that `init` writes."""
    (source,) = yaml.safe_load(init.starter(str(path)))["sources"]
    assert isinstance(source, dict)
    return source


def turns(path: Path) -> list[list[tuple[str, str]]]:
    """What is read by the recipe that `init` writes: the turns of each row, or why it is not kept."""
    (source,) = recipes.validate({"output": "out", "sources": [started(path)]}, "r.yaml").sources
    given = source.model_dump(exclude={"path", "name"}, exclude_defaults=True)
    return [
        [(m["role"], m["content"]) for m in row["messages"] or ()] if not row["drop"] else [("", row["drop"])]
        for row in rows_of(path, **given)
    ]


PARTS = {"text": "On the left."}
FORMS: dict[str, tuple[dict[str, Any], list[tuple[str, str]]]] = {
    "logs": ({"request": {"messages": [ASK]}, "response": {"choices": [{"message": SAY}]}}, TALK),
    "traces": ({"id": 1, "input": [ASK], "output": SAY}, TALK),
    "items": (
        {"instructions": "Be kind.", "input": [ASK], "output": [{"type": "message", **SAY}]},
        [KIND, *TALK],
    ),
    "Bedrock": (
        {
            "system": [{"text": "Be kind."}],
            "messages": [{**ASK, "content": [{"text": ASK["content"]}]}, {**SAY, "content": [PARTS]}],
        },
        [KIND, *TALK],
    ),
    "Gemini": (
        {
            "systemInstruction": {"parts": [{"text": "Be kind."}]},
            "contents": [
                {"role": "user", "parts": [{"text": ASK["content"]}]},
                {"role": "model", "parts": [PARTS]},
            ],
        },
        [KIND, *TALK],
    ),
    "numbers": ({"id": 1, "messages": {"1": SAY, "0": ASK}}, TALK),
    "context": (
        {"instruction": "Where is it?", "context": "A shop.", "response": "Left."},
        [("user", "Where is it?\n\nA shop."), ("assistant", "Left.")],
    ),
    "history": (
        {"instruction": "Where?", "input": "", "output": "Left.", "history": [["Hm?", "Yes?"]]},
        [("user", "Hm?"), ("assistant", "Yes?"), ("user", "Where?"), ("assistant", "Left.")],
    ),
    "names": ({"Frage": "Where?", "Réponse": "Left."}, [("user", "Where?"), ("assistant", "Left.")]),
    "words of a label": (
        {"text": "It is good.", "label": 1, "label_text": "praise"},
        [("user", "It is good."), ("assistant", "praise")],
    ),
    "JSON of turns under text": ({"text": json.dumps([ASK, SAY])}, TALK),
    "JSON of turns under prompt": ({"prompt": json.dumps([ASK]), "completion": json.dumps([SAY])}, TALK),
    "what is ideal": ({"input": [ASK], "ideal": "On the left."}, TALK),
    "a refusal": (
        {"messages": [ASK, {"role": "assistant", "content": None, "refusal": "On the left."}]},
        TALK,
    ),
    "OpenAI's pairs": (
        {
            "input": {"messages": [ASK]},
            "preferred_output": [SAY],
            "non_preferred_output": [{**SAY, "content": "No."}],
        },
        [*TALK, ("rejected", "No.")],
    ),
}


@pytest.mark.parametrize("name", FORMS)
def test_init_finds_the_turns(tmp_path: Path, name: str) -> None:
    record, wanted = FORMS[name]
    assert turns(put(tmp_path, *[record] * 3)) == [wanted] * 3


def test_a_list_of_turns_is_a_record(tmp_path: Path) -> None:
    assert turns(put(tmp_path, [ASK, SAY], [ASK, SAY])) == [TALK, TALK]
    whole = tmp_path / "whole"
    whole.mkdir()
    (whole / "rows.json").write_text(json.dumps([[ASK, SAY], [ASK, SAY]]))
    assert turns(whole / "rows.json") == [TALK, TALK]


def test_calls_and_results_without_types_are_calls_and_results(tmp_path: Path) -> None:
    used = {"toolUse": {"toolUseId": "t", "name": "shop", "input": {"n": 1}}}
    back = {"toolResult": {"toolUseId": "t", "content": [{"json": {"open": True}}]}}
    said = [ASK, {"role": "assistant", "content": [used]}, {"role": "user", "content": [back]}, SAY]
    (row,) = turns(put(tmp_path, {"messages": said}))
    assert [role for role, _ in row] == ["user", "assistant", "tool", "assistant"]
    calls = structure.unsealed("assistant", row[1][1])[1]["tool_calls"]
    assert calls == [{"id": "t", "type": "function", "function": CALL}]
    assert structure.unsealed("tool", row[2][1]) == ('{"open":true}', {"tool_call_id": "t"})


def test_items_of_agents_are_turns_with_calls_and_reasoning(tmp_path: Path) -> None:
    items = [
        {"type": "reasoning", "summary": [{"type": "summary_text", "text": "I look."}]},
        {"type": "function_call", "call_id": "c", "name": "shop", "arguments": '{"n": 1}'},
        {"type": "function_call_output", "call_id": "c", "output": "open"},
        {"type": "reasoning", "summary": [], "encrypted_content": "x"},
        {"type": "web_search_call", "id": "w"},
        {"type": "message", **SAY},
    ]
    path = put(tmp_path, *[{"input": [ASK], "output": items}] * 3)
    row, _, _ = turns(path)
    assert [role for role, _ in row] == ["user", "assistant", "tool", "assistant"]
    text, held = structure.unsealed("assistant", row[1][1])
    assert (text, held["tool_calls"][0]["function"]) == ("<think>\nI look.\n</think>\n\n", CALL)
    assert structure.unsealed("tool", row[2][1]) == ("open", {"tool_call_id": "c"})
    assert row[3] == ("assistant", "On the left.")


def test_sessions_of_agents_are_put_together_with_their_calls(tmp_path: Path) -> None:
    called = [
        {"type": "text", "text": "I look."},
        {"type": "tool_use", "id": "t", "name": "shop", "input": {"n": 1}},
    ]
    back = [{"type": "tool_result", "tool_use_id": "t", "content": "open"}]
    said = [ASK, {"role": "assistant", "content": called}, {"role": "user", "content": back}, SAY]
    records = [
        {
            "sessionId": s,
            "uuid": f"{s}{n}",
            "parentUuid": f"{s}{n - 1}" if n else None,
            "type": turn["role"],
            "message": turn,
        }
        for s in "xy"
        for n, turn in enumerate(said)
    ]
    path = put(tmp_path, *records)
    assert started(path)["columns"]["content"] == "message.content"
    loaded = recipes.validate({"output": "out", "sources": [started(path)]}, "r.yaml").sources
    (source,) = inputs.resolve(loaded)
    (whole,) = inputs.plan(source, 2**25)
    parts = [*grouping.read_grouped(whole, source, buckets=1, fragment_size=2**25, seed=0)]
    rows = grouping.assemble(pa.concat_tables(parts), whole, source, 0)["messages"].to_pylist()
    assert len(rows) == 2
    for row in ([(m["role"], m["content"]) for m in row] for row in rows):
        assert [role for role, _ in row] == ["user", "assistant", "tool", "assistant"]
        text, held = structure.unsealed("assistant", row[1][1])
        assert (text, held["tool_calls"][0]["function"]) == ("I look.", CALL)
        assert structure.unsealed("tool", row[2][1]) == ("open", {"tool_call_id": "t"})


def test_answers_that_are_calls_are_calls_where_there_are_tools(tmp_path: Path) -> None:
    record = {"query": "Open?", "answers": json.dumps([CALL]), "tools": json.dumps([{"name": "shop"}])}
    (row,) = turns(put(tmp_path, record))
    assert structure.unsealed("assistant", row[-1][1]) == (
        "",
        {"tool_calls": [{"type": "function", "function": CALL}], "content": None},
    )
    others = [{**record, "tools": None}, {**record, "answers": '[{"name": "Ann"}]'}]
    others += [{**record, "answers": json.dumps([{**CALL, "name": "bill"}])}]
    (source,) = inputs.resolve([Source(name="s", path=str(put(tmp_path, record)))])
    for other in others:
        assert source.mapper()(other)[-1] == ("assistant", other["answers"])


def test_only_what_is_asked_for_is_read(tmp_path: Path) -> None:
    records = [{"prompt": "a", "completion": str(n), "label": n % 2 == 0} for n in range(4)]
    path = put(tmp_path, *records)
    assert started(path)["only"] == {"label": True}
    assert turns(path) == [
        [("user", "a"), ("assistant", str(n))] if n % 2 == 0 else [("", "read.only")] for n in range(4)
    ]
    table = tmp_path / "rows.csv"
    table.write_text("question,answer,split\na,b,train\nc,d,TEST\ne,f,dev\n")
    kept = rows_of(table, only={"split": ("Train", "dev")})
    assert [row["drop"] for row in kept] == [None, "read.only", None]


def test_wanted_rows_are_told_where_all_are_read(tmp_path: Path) -> None:
    records = [{"text": "t", "label": "x", "answer": answer} for answer in ("accept", "reject", "accept")]
    path = put(tmp_path, *records)
    (source,) = inputs.resolve([Source(name="s", path=str(path), shape="text_label")])
    assert notes.of(source, inputs.files(source)) == [
        "source 's': 'answer' says which rows are wanted, and all are learned: `only: {answer: accept}` "
        "leaves the others out"
    ]
    assert started(path)["only"] == {"answer": "accept"}


def test_a_label_of_another_kind_leaves_nothing_out(tmp_path: Path) -> None:
    path = put(tmp_path, *({"prompt": "a", "response": str(n), "label": n % 2 == 0} for n in range(4)))
    assert "only" not in started(path)


def test_answers_in_json_and_texts_of_json_stay_texts(tmp_path: Path) -> None:
    pair = {"prompt": "Which shop?", "completion": '{"shop": 1}'}
    assert turns(put(tmp_path, pair)) == [[("user", "Which shop?"), ("assistant", '{"shop": 1}')]]
    text = {"text": '[{"name": "Ann", "content": "x"}]'}
    assert turns(put(tmp_path, text)) == [[("text", text["text"])]]


def test_several_texts_are_not_taken_for_parts_of_one(tmp_path: Path) -> None:
    several = {"question": "a", "answer": [{"text": "b"}, {"text": "c"}]}
    path = put(tmp_path, *[several] * 3)
    assert [row["error"] for row in rows_of(path, shape="question_answer")] == ["read.wrong_type"] * 3


def test_articles_under_a_key_are_texts_whoever_wrote_them(tmp_path: Path) -> None:
    articles = [{"author": f"a{n}", "text": f"Article {n}."} for n in range(6)]
    assert turns(put(tmp_path, {"data": articles}, name="a.json")) == [
        [("text", a["text"])] for a in articles
    ]


def test_only_is_for_rows(tmp_path: Path) -> None:
    path = put(tmp_path, {"id": 1, "role": "user", "content": "a"})
    with pytest.raises(RecipeError, match="group_by puts several together"):
        inputs.resolve([Source(path=str(path), group_by="id", only={"id": 1})])
    with pytest.raises(SourceError, match=r"no column 'kind' \(only\)"):
        inputs.resolve([Source(path=str(put(tmp_path, FORMS["history"][0])), only={"kind": "x"})])


PEOPLE = [{"sender_name": n, "content": "words"} for n in ("Ann", "Bo", "Ann", "Bo")]
REFUSED: dict[str, tuple[Any, str]] = {
    "two conversations": (
        {"conversation_a": [ASK, SAY], "conversation_b": [ASK, SAY]},
        "'conversation_a' and 'conversation_b' hold a conversation each",
    ),
    "people": ({"messages": PEOPLE}, "role: sender_name, content: content, roles: {NAME: assistant"),
    "a table": ({"columns": ["question", "answer"], "data": [["a", "b"]]}, "orient='records', lines=True"),
    "only questions": ({"input": [ASK], "n": 1}, "There is no assistant's turn in 'input'"),
    "parts of a prompt": ({"prompt": "a", "choices": [{"text": "b"}]}, "'choices' holds lists of records"),
    "records in records": (
        {"data": [{"title": "t", "parts": [{"body": "b"}]}]},
        "`records: data` reads these",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_row_is_refused_by_name(tmp_path: Path, name: str) -> None:
    record, why = REFUSED[name]
    several = [record] if name in ("a table", "people") else [record] * 3
    with pytest.raises(SourceError) as caught:
        inputs.resolve([Source(name="s", path=str(put(tmp_path, *several)))])
    assert why in str(caught.value)


def test_columns_beside_the_records_are_named(tmp_path: Path) -> None:
    path = put(
        tmp_path, {"Definition": "Be kind.", "Instances": [{"input": "a", "output": "b"}] * 3}, name="a.json"
    )
    look = init.look(str(path))
    assert "nobody reads 'Definition'" in look.lines[0]
    assert turns(path) == [[("user", "a"), ("assistant", "b")]] * 3
