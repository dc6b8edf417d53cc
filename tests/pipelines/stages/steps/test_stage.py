"""A recipe's own functions: what they may do to a row, and what becomes of it where they do more."""

import pickle
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.cluster.errors import RecipeError
from headrace.pipelines import recipe, schema, structure
from headrace.pipelines.passes import prepare_worker
from headrace.pipelines.stages.steps import code
from headrace.pipelines.stages.steps import stage as steps
from headrace.pipelines.stages.steps.stage import Config
from tests.builders import contents_of, recipe_of, table

SHOUTS = """
def shout(row):
    text = row["messages"][-1]["content"]
    if "spam" in text:
        return None
    if "fatal" in text:
        print(text)
        raise KeyError(text)
    row["messages"][-1]["content"] = text.upper()
    return row
"""


def config(folder: Path, text: str, name: str, **more: Any) -> Config:
    """One step of a file with this text."""
    (folder / "own.py").write_text(text, encoding="utf-8")
    return Config.model_validate([{"python": f"{folder}/own.py:{name}", **more}])


def changes(done: pa.Table) -> list[tuple[int, str, int]]:
    return [tuple(row.values()) for row in schema.changes(done).to_pylist()]


def test_a_row_is_changed_dropped_or_set_aside_under_the_name_of_the_step(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    came = table(*[[("user", "q"), ("assistant", answer)] for answer in ("yes", "spam", "fatal 1", "DONE")])
    done = steps.apply(came, config(tmp_path, SHOUTS, "shout"))
    assert contents_of(done) == [["q", "YES"], ["q", "spam"], ["q", "fatal 1"], ["q", "DONE"]]
    assert done["drop"].to_pylist() == [None, "steps.shout", None, None]
    assert done["error"].to_pylist() == [None, None, "steps.error", None]
    assert done["detail"].to_pylist() == [None, None, "shout: KeyError in line 8", None]
    assert changes(done) == [(0, "steps.shout", 1)]
    assert capsys.readouterr() == ("", "")


def test_marked_rows_are_no_business_of_a_step(tmp_path: Path) -> None:
    came = table([("text", "a")], [("text", "b")], drop=["quality.x", None])
    done = steps.apply(came, config(tmp_path, SHOUTS, "shout"))
    assert contents_of(done) == [["a"], ["B"]]
    assert done["drop"].to_pylist() == ["quality.x", None]


def test_steps_run_in_their_order_and_are_counted_apart(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(
        "def one(row):\n    row['meta']['agent'] = 'x'\n    return row\n"
        "def two(row):\n    row['messages'].append({'role': 'assistant', 'content': row['meta']['agent']})\n"
        "    return row\n"
    )
    both = Config.model_validate([{"python": f"{tmp_path}/own.py:{name}"} for name in ("one", "two")])
    done = steps.apply(table([("user", "q")], meta=[[("agent", "ann")]]), both)
    assert contents_of(done) == [["q", "x"]]
    assert done["meta"].to_pylist() == [[("agent", "x")]]
    assert changes(done) == [(0, "steps.one", 1), (0, "steps.two", 1)]
    assert done.schema.field("messages").type == schema.MESSAGES


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        ("return 3", "returned type int, where a dict or None is asked for"),
        ("return {**row, 'row_id': 9}", "changed row_id"),
        ("return {**row, 'place': 'x'}", "changed place"),
        ("return {**row, 'extra': 1}", "returned a key that a row does not have"),
        ("return {'meta': {}}", "returned messages of type NoneType, where a list is asked for"),
        ("return {**row, 'messages': []}", "returned no messages; None drops a row"),
        ("return {**row, 'messages': ['x']}", "returned a message of type str, where a dict is asked for"),
        (
            "row['messages'][0]['role'] = 'bot'; return row",
            "returned a role that is none of system, user, assistant, tool, text, rejected",
        ),
        (
            "row['messages'][0]['content'] = None; return row",
            "returned a content of type NoneType, where text is asked for",
        ),
        (
            "row['messages'][0]['content'] = '\\ud800'; return row",
            "returned a content with half of a surrogate pair",
        ),
        (
            "row['messages'][0]['content'] = '\\ufdd0'; return row",
            "returned a content with U+FDD0 or U+FDD1, which no text has",
        ),
        (
            "row['messages'][0]['tools'] = []; return row",
            "returned a message with a key that its role does not have",
        ),
        (
            "row['meta'] = {'a': 1}; return row",
            "returned a value of meta of type int, where text is asked for",
        ),
        ("raise SystemExit(1)", "SystemExit in line 2"),
        ("return row['messages'][7]", "IndexError in line 2"),
    ],
)
def test_what_a_step_may_not_do_is_named(tmp_path: Path, body: str, detail: str) -> None:
    done = steps.apply(table([("user", "secret")]), config(tmp_path, f"def own(row):\n    {body}\n", "own"))
    assert done["error"].to_pylist() == ["steps.error"]
    assert done["detail"].to_pylist() == [f"own: {detail}"]
    assert contents_of(done) == [["secret"]]
    assert "changed" not in done.column_names


CALLS = structure.sealed("let me look", {"tool_calls": [{"function": {"name": "find", "arguments": {}}}]})


def test_tools_and_calls_are_seen_as_what_they_are(tmp_path: Path) -> None:
    came = table([("user", "q"), ("assistant", CALLS), ("tool", structure.sealed("3", {"name": "find"}))])
    looks = "def own(row):\n    assert row['messages'][1]['tool_calls'][0]['function']['name'] == 'find'\n"
    same = steps.apply(came, config(tmp_path, f"{looks}    return row\n", "own"))
    assert same.equals(came)
    other = f"{looks}    row['messages'][2]['name'] = 'seek'\n    return row\n"
    done = steps.apply(came, config(tmp_path, other, "own"))
    assert structure.unsealed("tool", contents_of(done)[0][2]) == ("3", {"name": "seek"})
    assert contents_of(done)[0][1] == CALLS


@pytest.mark.parametrize(
    ("change", "detail"),
    [
        ("[1]['tool_calls'] = 5", "returned tool_calls that are no list of dicts"),
        ("[1]['tool_calls'] = [{'name': 'find'}]", "returned a call without the name of a function"),
        ("[1]['tool_calls'][0]['function']['name'] = '\\ud800'", "returned a structure that is no JSON"),
        ("[2]['name'] = None", "returned a name of type NoneType, where text is asked for"),
    ],
)
def test_calls_that_no_template_could_be_given_are_named(tmp_path: Path, change: str, detail: str) -> None:
    came = table([("user", "q"), ("assistant", CALLS), ("tool", structure.sealed("3", {"name": "find"}))])
    body = f"def own(row):\n    row['messages']{change}\n    return row\n"
    done = steps.apply(came, config(tmp_path, body, "own"))
    assert (done["error"].to_pylist(), done["detail"].to_pylist()) == (["steps.error"], [f"own: {detail}"])
    assert done["messages"].equals(came["messages"])


def test_a_content_that_is_null_stays_so(tmp_path: Path) -> None:
    came = table([("user", None), ("assistant", "a")])
    assert steps.apply(came, config(tmp_path, "def own(row):\n    return row\n", "own")).equals(came)


TABLES = """
import pyarrow as pa
import pyarrow.compute as pc

def last(table):
    rows = table["messages"].to_pylist()
    if any("fatal" in m["content"] for row in rows for m in row):
        raise ValueError("fatal")
    made = [[*row[:-1], {"role": row[-1]["role"], "content": row[-1]["content"].upper()}] for row in rows]
    at = table.schema.get_field_index("messages")
    drop = pa.array([row[-1]["content"] == "spam" for row in rows])
    made = pa.array(made, table.schema.field(at).type)
    return table.set_column(at, table.schema.field(at), made).append_column("drop", drop)

def bots(table):
    at = table.schema.get_field_index("messages")
    user = lambda text: [{"role": "user", "content": text}]
    made = [[{"role": "bot", "content": "x"}], [], user(None), user("ok")]
    return table.set_column(at, table.schema.field(at), pa.array(made, table.schema.field(at).type))

def fewer(table):
    return table.slice(1)

def backwards(table):
    return table.take(list(range(table.num_rows))[::-1])

def rows(table):
    return table.to_pylist()

def flat(table):
    return table.set_column(4, "messages", pa.array(["x"] * table.num_rows))

def twice(table):
    goes = pa.array([True] * table.num_rows)
    return table.append_column("drop", goes).append_column("drop", goes)
"""


def test_a_function_of_a_table_costs_the_rows_alone_that_make_it_raise(tmp_path: Path) -> None:
    answers = ["yes", "spam", "fatal", "no", "fatal", "DONE"]
    came = table(*[[("user", "q"), ("assistant", answer)] for answer in answers])
    done = steps.apply(came, config(tmp_path, TABLES, "last", table=True))
    assert [row[1] for row in contents_of(done)] == ["YES", "spam", "fatal", "NO", "fatal", "DONE"]
    assert done["drop"].to_pylist() == [None, "steps.last", None, None, None, None]
    failed = ["last: ValueError in line 8" if a == "fatal" else None for a in answers]
    assert done["detail"].to_pylist() == failed
    assert changes(done) == [(0, "steps.last", 1), (3, "steps.last", 1)]


def test_rows_of_a_table_that_cannot_be_rows_are_set_aside(tmp_path: Path) -> None:
    came = table(*[[("user", "q")]] * 4)
    done = steps.apply(came, config(tmp_path, TABLES, "bots", table=True))
    assert done["detail"].to_pylist() == [
        "bots: returned a role that is none of system, user, assistant, tool, text, rejected",
        "bots: returned no messages; `drop` drops a row",
        "bots: returned a content that is null, where text is asked for",
        None,
    ]
    assert contents_of(done) == [["q"], ["q"], ["q"], ["ok"]]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("fewer", "returned 1 rows for 2: a column `drop` says which of them go"),
        ("backwards", "changed row_id, or the order of the rows"),
        ("rows", "did not return an Arrow table"),
        ("flat", "returned messages, meta or drop of another type"),
        ("twice", "must return the columns row_id, source, file, place, messages, meta, and may add `drop`"),
    ],
)
def test_a_table_of_other_rows_ends_the_run(tmp_path: Path, name: str, words: str) -> None:
    with pytest.raises(RecipeError, match=words):
        steps.apply(table([("user", "q")], [("user", "r")]), config(tmp_path, TABLES, name, table=True))


def test_what_stands_behind_a_text_may_not_be_touched_by_a_table(tmp_path: Path) -> None:
    cut = (
        "import pyarrow as pa\ndef own(table):\n    rows = table['messages'].to_pylist()\n"
        "    made = [[{**m, 'content': m['content'][:6]} for m in row] for row in rows]\n"
        "    return table.set_column(4, table.schema.field(4), pa.array(made, table.schema.field(4).type))\n"
    )
    open_ended = cut.replace("[:6]", "[:-1]")
    came = table([("user", "q"), ("assistant", CALLS)])
    done = steps.apply(came, config(tmp_path, open_ended, "own", table=True))
    assert done["detail"].to_pylist() == [
        "own: changed what stands between U+FDD0 and U+FDD1: tools, calls, names of results"
    ]


@pytest.mark.parametrize(
    ("text", "name", "words"),
    [
        ("def own(row): return row", "other", "has no function 'other'"),
        ("def own(: pass", "own", "is no Python that can be read in line 1"),
        ("def own(): return 1", "own", "must take one argument"),
        ("def own(row, key): return row", "own", "must take one argument"),
        ("def own(row):\n    yield row", "own", "is a generator or a coroutine"),
        ("own = 3", "own", "has no function 'own'"),
        ("from . import helper", "own", r"imports '\.' from its own folder, in line 1"),
        ("def own(row):\n    import beside\n    return row", "own", "imports 'beside' from its own folder"),
        ("import package.inner", "own", "imports 'package' from its own folder"),
        ("x = 1\nimport nowhere_at_all", "own", r"ModuleNotFoundError \(nowhere_at_all\) in line 2"),
        ("x = 1 / 0", "own", "cannot be run: ZeroDivisionError in line 1"),
    ],
)
def test_a_step_that_cannot_run_is_refused_before_any_work(
    tmp_path: Path, text: str, name: str, words: str
) -> None:
    (tmp_path / "beside.py").touch()
    (tmp_path / "package").mkdir()
    (tmp_path / "package/__init__.py").touch()
    with pytest.raises(RecipeError, match=words):
        code.require(config(tmp_path, text, name))


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"there is no file '.*gone.py'"):
        code.require(Config.model_validate([{"python": f"{tmp_path}/gone.py:own"}]))


@pytest.mark.parametrize(
    ("step", "words"),
    [
        ({"python": "own.py"}, "names no function of a Python file"),
        ({"python": "own.txt:f"}, "names no function of a Python file"),
        ({"python": "own.py:error"}, "a step cannot be called error"),
        ({"python": "own.py:f", "after": "pii"}, "a step runs before personal data is masked"),
        ({"python": "own.py:f", "befor": "pii"}, r"unknown key 'steps\[0\].befor'; known keys: after"),
        ({}, r"'steps\[0\].python' is missing"),
    ],
)
def test_a_step_that_is_wrong_in_the_recipe_is_named(step: dict[str, str], words: str) -> None:
    with pytest.raises(RecipeError, match=words):
        recipe.validate(recipe_of("run", "in", steps=[step]), "r.yaml")


def test_two_steps_of_one_name_are_refused() -> None:
    with pytest.raises(ValueError, match="two steps are called 'f'"):
        Config.model_validate([{"python": "a.py:f"}, {"python": "b.py:f"}])


def test_a_worker_needs_no_file_and_the_text_is_the_key(tmp_path: Path) -> None:
    before = config(tmp_path, SHOUTS, "shout")
    sent = pickle.dumps(before.loaded())
    first = before.digests()
    (tmp_path / "own.py").write_text(f"{SHOUTS}# more\n")
    assert before.digests() != first
    (tmp_path / "own.py").unlink()
    there = pickle.loads(sent)
    assert there.digests() == first
    assert contents_of(steps.apply(table([("text", "a")]), there)) == [["A"]]
    assert "shout(row)" not in recipe.dump(
        recipe.validate(recipe_of("run", "in"), "r").model_copy(update={"steps": there})
    )


def test_steps_stand_behind_the_stages_that_they_name() -> None:
    names = [f"headrace.pipelines.stages.{name}.stage" for name in ("clean", "steps", "quality")]

    def order(*places: str) -> list[tuple[str, list[str]]]:
        own = [{"python": f"own.py:f{n}", "after": place} for n, place in enumerate(places)]
        loaded = recipe.validate(recipe_of("run", "in", steps=own), "r")
        placed = prepare_worker.placed(names, loaded)
        return [(m.NAME, [s.name for s in c.root] if m is steps else []) for m, c in placed]

    assert order() == [("clean", []), ("steps", []), ("quality", [])]
    assert order("clean", "read", "clean") == [
        ("steps", ["f1"]),
        ("clean", []),
        ("steps", ["f0", "f2"]),
        ("quality", []),
    ]
    assert order("quality") == [("clean", []), ("quality", []), ("steps", ["f0"])]
    assert (
        prepare_worker.placed(names[2:], recipe.validate(recipe_of("run", "in"), "r"))[0][0].NAME == "quality"
    )


@given(
    contents=st.lists(st.lists(st.text(max_size=6), min_size=1, max_size=3), min_size=1, max_size=9),
    touched=st.sets(st.integers(0, 8)),
    several=st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_counts_are_those_of_the_rows_that_are_other_than_before(
    tmp_path_factory: pytest.TempPathFactory, contents: list[list[str]], touched: set[int], several: bool
) -> None:
    folder = tmp_path_factory.mktemp("own")
    by_row = (
        f"def own(row):\n    if row['row_id'] in {sorted(touched)}:\n"
        "        row['messages'][0]['content'] += '!'\n    return row\n"
    )
    by_table = (
        "import pyarrow as pa\ndef own(table):\n    rows = table['messages'].to_pylist()\n"
        f"    for row, n in zip(rows, table['row_id'].to_pylist()):\n        if n in {sorted(touched)}:\n"
        "            row[0]['content'] += '!'\n"
        "    return table.set_column(4, table.schema.field(4), pa.array(rows, table.schema.field(4).type))\n"
    )
    clean = [[c.replace("\ufdd0", "").replace("\ufdd1", "") for c in row] for row in contents]
    came = table(*[[("user", c) for c in row] for row in clean])
    done = steps.apply(came, config(folder, by_table if several else by_row, "own", table=several))
    live = [row for row in sorted(touched) if row < len(clean)]
    assert changes(done) == [(row, "steps.own", 1) for row in live]
    assert contents_of(done) == [
        [f"{row[0]}!", *row[1:]] if at in live else row for at, row in enumerate(clean)
    ]
