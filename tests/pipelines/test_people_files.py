"""What people's files do to a run: each costs itself and is named, or is refused; nothing is lost unsaid."""

import json
import os
import signal
import socket
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from headrace.cluster import storage
from headrace.cluster.errors import Fault, HeadraceError, OutputError, RecipeError, SourceError, StorageError
from headrace.cluster.fragments import Fragment
from headrace.pipelines import recipe, rundir
from headrace.pipelines.commands.init import starter
from headrace.pipelines.stages.read import formats, inputs, records, tabular
from headrace.pipelines.stages.read import rows as read_rows
from headrace.pipelines.stages.read.records import Batch
from headrace.pipelines.stages.read.source import Source
from tests.builders import recipe_of, run_command, save_recipe, sums, write_jsonl

PAIRS = {"shape": "question_answer"}
BIG = "x" * 1_000_000


def rows_of(path: Path, **keys: Any) -> list[dict[str, Any]]:
    source = Source(name="s", path=str(path), **{**PAIRS, **keys})
    found: list[dict[str, Any]] = []
    for fragment in inputs.plan(source, 2**25):
        for part in read_rows.read(fragment, source, fragment_size=2**25, seed=0):
            found += part.to_pylist()
    return found


def batches(path: Path, **keys: Any) -> list[Batch]:
    return list(formats.read(str(path), path.stat().st_size, "parquet", **keys))


def problems(found: list[Batch]) -> list[records.ReadError]:
    return [e for b in found for e in b.errors.values()]


# ---- Parquet files that would end a worker, or a machine


def repeated(path: Path, n: int) -> Path:
    """One value of a million characters, stored once and meant `n` times."""
    texts = pa.DictionaryArray.from_arrays(pa.array([0] * n, pa.int32()), pa.array([BIG]))
    table = pa.table({"question": texts, "answer": texts})
    pq.write_table(table, path, dictionary_pagesize_limit=2**24, store_schema=False)
    return path


def test_a_value_that_stands_for_thousands_comes_in_small_batches_up_to_a_bound(tmp_path: Path) -> None:
    path = repeated(tmp_path / "x.parquet", 3000)
    assert path.stat().st_size < 200_000
    found = []
    for batch in formats.read(str(path), path.stat().st_size, "parquet"):
        assert sum(len(r["question"]) for r in batch.records if r) <= records.SPARE
        found.append(batch)
    (problem,) = problems(found)
    assert (problem.cause, problem.detail) == (
        "read.corrupt",
        "row group 1: it unpacks to more than 1000 times its stored bytes",
    )
    assert problem.bytes_lost is not None
    assert problem.bytes_lost > 0


def test_a_few_equal_values_are_whole(tmp_path: Path) -> None:
    found = batches(repeated(tmp_path / "x.parquet", 20))
    assert problems(found) == []
    assert [r["answer"] == BIG for b in found for r in b.records] == [True] * 20


def test_one_row_that_takes_more_than_the_memory_is_read_in_a_process_of_its_own(tmp_path: Path) -> None:
    turns = pa.array([{"role": "user", "content": BIG}] * 400)
    table = pa.table({"messages": pa.ListArray.from_arrays(pa.array([0, 400], pa.int32()), turns)})
    pq.write_table(table, tmp_path / "x.parquet", dictionary_pagesize_limit=2**24, write_batch_size=10)
    (problem,) = problems(batches(tmp_path / "x.parquet", memory=2**26))
    assert problem.cause in ("read.corrupt", "read.fatal")


def test_rows_that_no_byte_stands_for_are_no_rows(tmp_path: Path) -> None:
    pq.write_table(pa.table({"question": pa.nulls(50_000_000)}), tmp_path / "x.parquet", row_group_size=2**30)
    (batch,) = batches(tmp_path / "x.parquet", columns=["absent"])
    (problem,) = problems([batch])
    assert problem.cause == "read.corrupt"
    assert "50000000 rows are claimed in" in problem.detail


def die_at_11(path: str, size: int, columns: Any, start: int, stop: int, memory: int) -> Iterator[Batch]:
    yield from tabular.parquet(path, size, columns, 0, 1, memory, alone=True)
    os.abort()


def test_a_file_that_ends_the_process_that_reads_it_is_told_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pq.write_table(pa.Table.from_pylist(sums(30)), tmp_path / "x.parquet", row_group_size=10)
    monkeypatch.setattr(tabular, "_alone", die_at_11)
    found = batches(tmp_path / "x.parquet", guarded=True)
    (problem,) = problems(found)
    assert problem.cause == "read.fatal"
    assert "signal 6" in problem.detail
    assert [p for b in found for p in b.places] == list(range(1, 12))


def killed_once(path: str, size: int, columns: Any, start: int, stop: int, memory: int) -> Iterator[Batch]:
    yield from tabular.parquet(path, size, columns, 0, 1, memory, alone=True)
    try:
        os.mkdir(f"{path}.seen")
    except FileExistsError:
        yield from tabular.parquet(path, size, columns, 1, stop, memory, alone=True)
    else:
        os.kill(os.getpid(), signal.SIGKILL)


def killed(path: str, size: int, columns: Any, start: int, stop: int, memory: int) -> Iterator[Batch]:
    yield from tabular.parquet(path, size, columns, 0, 1, memory, alone=True)
    os.kill(os.getpid(), signal.SIGKILL)


def test_what_a_machine_does_to_a_process_costs_no_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x.parquet"
    pq.write_table(pa.Table.from_pylist(sums(30)), path, row_group_size=10)
    usual = batches(path)
    monkeypatch.setattr(tabular, "_alone", killed_once)
    assert batches(path, guarded=True) == usual
    monkeypatch.setattr(tabular, "_alone", killed)
    with pytest.raises(Fault, match=rf"^{path}: .*3 times in vain: it was ended by signal 9"):
        batches(path, guarded=True)


def test_a_task_that_has_lost_two_processes_reads_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pq.write_table(pa.Table.from_pylist(sums(30)), tmp_path / "x.parquet")
    usual = rows_of(tmp_path / "x.parquet")
    monkeypatch.setattr("headrace.cluster.process._attempt", 2)
    assert rows_of(tmp_path / "x.parquet") == usual
    monkeypatch.setattr(tabular, "_alone", die_at_11)
    found = rows_of(tmp_path / "x.parquet")
    assert [r["error"] for r in found] == [None] * 30 + ["read.fatal"]
    assert found[-1]["file"] == "x.parquet"


def test_dates_and_zones_that_python_has_not_cost_their_row(tmp_path: Path) -> None:
    days = pa.array([1, 2**31 - 1, 3], pa.int32()).cast(pa.date32())
    zoned = pa.array([1, 2, 3], pa.timestamp("us", "No/Where"))
    text = pa.array(["a", "b", "c"])
    pq.write_table(pa.table({"question": text, "answer": text, "d": days}), tmp_path / "x.parquet")
    pq.write_table(pa.table({"question": text, "answer": text, "d": zoned}), tmp_path / "y.parquet")
    assert [r["error"] for r in rows_of(tmp_path / "x.parquet", meta=["d"])] == [
        None,
        "read.wrong_type",
        None,
    ]
    assert {r["error"] for r in rows_of(tmp_path / "y.parquet", meta=["d"])} <= {None, "read.wrong_type"}


@pytest.mark.parametrize(
    "line",
    [
        '{"text": "t", "label": %s}' % ("1" * 10_000),
        '{"text": "t", "label": "%s"}' % ("1" * 10_000),
        '{"text": "t", "label": %s}' % ("[" * 50_000 + "]" * 50_000),
        '{"text": "t", "label": 1e999}',
        '{"text": "t", "label": "7"}',
    ],
)
def test_numbers_without_end_and_deep_lists_cost_their_row(tmp_path: Path, line: str) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text(line + '\n{"text": "t", "label": 1}\n')
    keys = {"shape": "text_label", "label_names": ["no", "yes"], "time": "label", "meta": ["label"]}
    first, second = rows_of(path, **keys)
    assert second["error"] is None
    assert first["error"] in ("read.malformed_json", "read.wrong_type", None)


def test_a_name_that_is_no_utf8(tmp_path: Path) -> None:
    folder = os.fsencode(tmp_path / "in")
    os.mkdir(folder)
    with open(folder + b"/caf\xe9.jsonl", "wb") as file:
        file.write(b'{"question": "q", "answer": "a"}\n')
    source = Source(name="s", path=str(tmp_path / "in"), **PAIRS)
    (fragment,) = inputs.plan(source, 2**25)
    again = Fragment.from_json(json.loads(json.dumps(fragment.to_json())))
    (part,) = read_rows.read(again, source, fragment_size=2**25, seed=0)
    assert part["file"].to_pylist() == ["caf?.jsonl"]


def test_a_run_claims_a_name_that_is_no_utf8(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    names = [os.fsdecode(b"caf\xe9.jsonl"), os.fsdecode(b"caf\xea.jsonl")]
    for name in names:
        write_jsonl(tmp_path / "in" / name, sums(3))
    data = recipe_of(tmp_path / "run", tmp_path / "in")
    loaded = recipe.validate(data, "x")
    run = rundir.claim(loaded)
    assert [r.relative for f in run.fragments for r in f.ranges] == names
    assert rundir.claim(loaded).fragments == run.fragments
    (plan,) = (tmp_path / "run/ledger/plan").iterdir()
    assert "caf\\udce9.jsonl" in plan.read_text(encoding="utf-8")


def test_a_folder_that_is_no_utf8_is_looked_at_and_named(tmp_path: Path) -> None:
    folder = os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9")
    os.mkdir(folder)
    write_jsonl(Path(folder) / os.fsdecode(b"\xff.jsonl"), sums(100))
    for path in (folder, f"{folder}/{os.fsdecode(bytes([255]))}.jsonl"):
        text = starter(path).encode().decode()
        assert yaml.safe_load(text)["sources"][0]["path"] == path
        data = {**recipe_of(tmp_path / "run", path), "output": str(tmp_path / "run")}
        del data["sources"][0]["name"]
        code, out, err = run_command(["check", save_recipe(tmp_path / "r.yaml", data)])
        assert code == 0, err
        assert "source caf?:" in out or "source ?:" in out


# ---- inputs that change


def changes(path: str, then: Any) -> None:
    """Read an input that `then` changes meanwhile: it must be refused by name, and planned anew."""
    source = Source(name="s", path=path, **PAIRS)
    plan = inputs.plan(source, 2**25)
    parts = read_rows.read(plan[0], source, fragment_size=2**12, seed=0)
    next(parts)
    then()
    with pytest.raises(SourceError, match=r"changed while it was read.*run the same command again"):
        list(parts)
    again = inputs.plan(source, 2**25, [Fragment.from_json({**plan[0].to_json(), "ordinal": 0})])
    assert [f.ordinal for f in again] == [-1]
    assert sum(t.num_rows for t in read_rows.read(again[0], source, fragment_size=2**25, seed=0)) > 0
    with pytest.raises(SourceError, match="changed while it was read"):
        list(read_rows.read(plan[0], source, fragment_size=2**25, seed=0))


@pytest.mark.parametrize("how", ["cut", "appended", "rewritten", "replaced"])
@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
def test_an_input_that_changes_while_it_is_read(tmp_path: Path, how: str, suffix: str) -> None:
    path = tmp_path / f"x.{suffix}"
    other = tmp_path / f"other.{suffix}"
    if suffix == "parquet":
        pq.write_table(pa.Table.from_pylist(sums(20_000)), path, row_group_size=500)
        pq.write_table(pa.Table.from_pylist(sums(10_000)), other)
    else:
        write_jsonl(path, sums(20_000))
        write_jsonl(other, sums(10_000))
    size = path.stat().st_size

    def change() -> None:
        if how == "cut":
            os.truncate(path, size // 2)
        elif how == "appended":
            with open(path, "ab") as file:
                file.write(b"\n" * 100)
        elif how == "rewritten":
            path.write_bytes(other.read_bytes())
        else:
            os.replace(other, path)

    changes(str(path), change)


@pytest.mark.s3
def test_an_object_that_changes_while_it_is_read(s3: str, tmp_path: Path) -> None:
    lines = [json.dumps(r).encode() + b"\n" for r in sums(20_000)]
    storage.put(f"{s3}/x.jsonl", b"".join(lines))
    changes(f"{s3}/x.jsonl", partial(storage.put, f"{s3}/x.jsonl", b"".join(reversed(lines))))


# ---- links, and what is no file


def test_links_are_followed_and_each_file_is_read_once(tmp_path: Path) -> None:
    store, folder = tmp_path / "store", tmp_path / "in"
    write_jsonl(store / "blob", sums(3))
    write_jsonl(store / "deep/b.jsonl", sums(4))
    (folder / "sub").mkdir(parents=True)
    (folder / "a.jsonl").symlink_to(store / "blob")
    (folder / "again.jsonl").symlink_to("a.jsonl")
    (folder / "sub/deep").symlink_to(store / "deep")
    (folder / "sub/up").symlink_to(folder)
    found = inputs.found(Source(name="s", path=str(folder)))
    assert [(f.relative, f.size > 0) for f in found.files] == [("a.jsonl", True), ("sub/deep/b.jsonl", True)]
    assert found.linked == 2
    assert found.notes == [
        "source 's': 'sub/up' is a link to a directory that it lies in: left out",
        "source 's': 1 paths lead to files that are there already, such as 'again.jsonl' to 'a.jsonl': "
        "each file is read once",
    ]
    for pattern, expected in {
        "*.jsonl": ["a.jsonl"],
        "**/*.jsonl": ["a.jsonl", "sub/deep/b.jsonl"],
        "sub/d*/b.jsonl": ["sub/deep/b.jsonl"],
    }.items():
        globbed = inputs.found(Source(name="s", path=f"{folder}/{pattern}"))
        assert [f.relative.removeprefix("deep/") for f in globbed.files] == [
            e.removeprefix("sub/deep/") if "sub/d" in pattern else e for e in expected
        ]
    assert len(rows_of(folder)) == 7


def test_a_file_has_its_own_path_before_a_links(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "in/z.jsonl", sums(3))
    (tmp_path / "in/a.jsonl").symlink_to("z.jsonl")
    os.link(tmp_path / "in/z.jsonl", tmp_path / "in/hard.jsonl")
    assert [f.relative for f in inputs.files(Source(name="s", path=str(tmp_path / "in")))] == [
        "hard.jsonl",
        "z.jsonl",
    ]


def test_what_is_no_file_is_named_and_never_opened(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "in/a.jsonl", sums(3))
    os.mkfifo(tmp_path / "in/pipe.jsonl")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "in/socket.jsonl"))
    (tmp_path / "in/null.jsonl").symlink_to("/dev/null")
    found = inputs.found(Source(name="s", path=str(tmp_path / "in")))
    assert [f.relative for f in found.files] == ["a.jsonl"]
    assert found.notes == [
        f"source 's': '{name}.jsonl' is a {kind}: left out"
        for name, kind in (("null", "device"), ("pipe", "FIFO"), ("socket", "socket"))
    ]
    for name, kind in (("null", "device"), ("pipe", "FIFO"), ("socket", "socket")):
        with pytest.raises(SourceError, match=f"{name}.jsonl is a {kind}; save its content to a file"):
            inputs.files(Source(name="s", path=str(tmp_path / f"in/{name}.jsonl")))


@pytest.mark.parametrize("path", ["in", "in/*.jsonl", "in/gone.jsonl"])
def test_a_link_to_nothing_is_refused(tmp_path: Path, path: str) -> None:
    write_jsonl(tmp_path / "in/a.jsonl", sums(3))
    (tmp_path / "in/gone.jsonl").symlink_to("nowhere.jsonl")
    with pytest.raises(
        SourceError, match=r"gone\.jsonl is a link to what is not there; fetch it, or remove it"
    ):
        inputs.files(Source(name="s", path=str(tmp_path / path)))


# ---- output and input


@pytest.mark.parametrize(
    ("path", "output", "refused"),
    [
        ("in", "in/run", True),
        ("in", "in", True),
        ("in/a.jsonl", "in", True),
        ("in/**/*.json*", "in/run", True),
        ("in/*/*.json", "in/run", True),
        ("link", "in/run", True),
        ("in", "link/run", True),
        ("in/*.jsonl", "in/run", False),
        ("in/a.jsonl", "in/run", False),
        ("in", "in-run", False),
    ],
)
def test_a_run_among_its_inputs_is_refused(tmp_path: Path, path: str, output: str, refused: bool) -> None:
    write_jsonl(tmp_path / "in/a.jsonl", sums(100))
    (tmp_path / "link").symlink_to("in")
    sources = [Source(name="s", path=f"{tmp_path}/{path}")]
    if not refused:
        inputs.require_apart(sources, f"{tmp_path}/{output}")
        return
    with pytest.raises(OutputError, match=r"name (a|another) directory"):
        inputs.require_apart(sources, f"{tmp_path}/{output}")
    saved = save_recipe(tmp_path / "r.yaml", recipe_of(tmp_path / output, tmp_path / path))
    for command in ("prepare", "check"):
        code, _, err = run_command([command, saved])
        assert (code, "lies in" in err) == (2, True)
    assert not (tmp_path / "in/run").exists()


# ---- recipes


def load(tmp_path: Path, text: str, *overrides: str) -> recipe.Recipe:
    (tmp_path / "r.yaml").write_text(text)
    return recipe.load(str(tmp_path / "r.yaml"), overrides)


GOOD = "output: run\nsources:\n- path: in.jsonl\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (GOOD + "seed: 1\noutput: other\n", "the key 'output' stands twice, in line 1 and in line 5"),
        (
            GOOD + "dedup:\n  threshold: 0.8\n  threshold: 0.9\n",
            "the key 'threshold' stands twice, in line 5 and",
        ),
        (GOOD + "pii: " + "[" * 5000, "nested deeper than"),
        (GOOD + "pii: " + "[" * 60 + "]" * 60, "line 4: nested deeper than"),
        (GOOD + "pii: &a [*a]\n", "an alias that stands for itself"),
        (
            "a: &a [x,x,x,x,x,x,x,x,x,x]\n"
            + "".join(
                f"{b}: &{b} [{', '.join([f'*{a}'] * 10)}]\n" for a, b in zip("abcdef", "bcdefg", strict=True)
            ),
            "more than 100,000 values",
        ),
        (GOOD + f"seed: {'1' * 10_000}\n", "line 4: a number that is too long, or a date"),
        (GOOD + "seed: 2026-02-30\n", "line 4: a number that is too long, or a date"),
        (GOOD.replace("run", "s3://", 1), "'output': names no bucket"),
        (GOOD.replace("run", "s3:///x", 1), "'output': names no bucket"),
        (GOOD.replace("run", "''", 1), "'output': is empty"),
        (GOOD.replace("in.jsonl", '"a\\0b"'), "a character that no path can have"),
        (GOOD.replace("in.jsonl", '"\\ud800"'), "a character that no path can have"),
        (GOOD.replace("in.jsonl", "s3://"), "names no bucket"),
        (GOOD + "? [a, b]\n: 1\n", "not valid YAML"),
        (GOOD + "1: 2\n", "Keys should be strings"),
        ("", "a recipe is a mapping"),
        ("x" * 2**21, "more than any recipe"),
    ],
)
def test_a_recipe_that_cannot_be_is_refused_in_words(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(RecipeError) as error:
        load(tmp_path, text)
    assert said in str(error.value)
    assert run_command(["prepare", str(tmp_path / "r.yaml")])[0] == 2


@pytest.mark.parametrize(
    "override", ["output=s3://", "seed=[", "seed=" + "1" * 9999, "pii=" + "[" * 3000, "output="]
)
def test_an_override_that_cannot_be_is_refused_in_words(tmp_path: Path, override: str) -> None:
    with pytest.raises(RecipeError):
        load(tmp_path, GOOD, override)


def test_a_recipe_that_is_no_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.yaml")
    for path, said in (
        (str(tmp_path / "pipe.yaml"), "is no file but a FIFO"),
        ("s3://", "names no file"),
        ("", "no file"),
    ):
        with pytest.raises((RecipeError, StorageError)) as error:
            recipe.load(path)
        assert said in str(error.value)


def test_a_kept_recipe_that_is_cut_is_not_taken_for_whole(tmp_path: Path) -> None:
    whole = recipe.dump(recipe.validate(yaml.safe_load(GOOD), "x"))
    last = range(whole.index("evaluate:"), len(whole))
    for length in (*last, len(whole) // 2, len(whole) // 4, 60, 20, 11):
        (tmp_path / "recipe.yaml").write_text(whole[:length])
        with pytest.raises(OutputError, match="is cut off: put it back from a copy"):
            recipe.kept(str(tmp_path))
    (tmp_path / "recipe.yaml").write_text(whole)
    assert recipe.kept(str(tmp_path))[0] == recipe.FORMAT
    without_marks = f"headrace: {recipe.FORMAT}\n{whole.split(chr(10), 1)[1].removesuffix(recipe.END)}"
    for text in (f"headrace: {recipe.FORMAT}\n{GOOD}...\n", without_marks):
        (tmp_path / "recipe.yaml").write_text(text)
        assert recipe.kept(str(tmp_path))[0] == recipe.FORMAT


# ---- values in messages

PERSON = ("Ann Lee", "ann.lee@example.com", "+1 425 882 8080", "My invoice is wrong")


@pytest.mark.parametrize("suffix", ["csv", "tsv", "json"])
def test_a_table_without_names_is_told_without_its_first_record(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"x.{suffix}"
    if suffix == "json":
        path.write_text(json.dumps([dict.fromkeys(PERSON, "x")] * 3))
    else:
        path.write_text("\n".join([("," if suffix == "csv" else "\t").join(PERSON)] * 3))
    saved = save_recipe(tmp_path / "r.yaml", recipe_of(tmp_path / "run", path))
    named = save_recipe(tmp_path / "n.yaml", recipe_of(tmp_path / "run", path))
    data = yaml.safe_load(Path(named).read_text())
    data["sources"][0] |= {"shape": "text", "columns": {"text": "body"}}
    save_recipe(tmp_path / "n.yaml", data)
    texts = [starter(str(path))]
    for one in (saved, named):
        code, out, err = run_command(["check", one])
        assert code == 2
        texts.append(out + err)
    for text in texts:
        assert not [value for value in PERSON if value in text]
        assert "look like" in text
    assert "column 2: text" in texts[0]
    assert yaml.safe_load(texts[0])["sources"][0]["path"] == str(path)


def test_a_key_of_a_turn_that_is_a_value_is_not_written(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text(json.dumps([{"talk": [{"ann.lee@example.com": "hello"}]}]))
    assert "ann.lee" not in starter(str(tmp_path / "x.json"))


def test_usual_names_are_named() -> None:
    from headrace.pipelines.stages.read.turns import paths

    for name in ("question", "First Name", "created_at", "sales_2024", "What did the customer ask?", "0"):
        assert not paths.is_value(name)


def test_a_starter_of_a_folder_does_not_put_the_run_into_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "in").mkdir()
    monkeypatch.chdir(tmp_path / "in")
    write_jsonl(tmp_path / "in/a.jsonl", sums(10))
    data = yaml.safe_load(starter("."))
    inputs.require_apart([Source(path=data["sources"][0]["path"])], data["output"])


def test_every_refusal_is_ours() -> None:
    assert all(issubclass(e, HeadraceError) for e in (OutputError, RecipeError, SourceError))
