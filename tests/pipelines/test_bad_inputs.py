"""What users get wrong, and what they are told: exit code 2, a line that names it, and nothing lost."""

import json
import os
import random
import re
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from headrace.cluster.stores import clients
from headrace.pipelines.commands.demo import sample
from tests.builders import (
    commits,
    messy_recipe,
    prepare,
    recipe_of,
    run_command,
    save_recipe,
    sums,
    write_jsonl,
)

FULL = "HEADRACE_SLOW" in os.environ


def refused(tmp_path: Path, data: dict[str, Any], *arguments: str) -> str:
    """`prepare` on recipe `data` must be refused as the user's error; returns what is said of it."""
    return refusal(["prepare", save_recipe(tmp_path / "recipe.yaml", data), *arguments])


def refusal(arguments: list[str]) -> str:
    code, _, err = run_command(arguments)
    assert code == 2, err
    assert err.startswith("error: ")
    assert "Traceback" not in err
    return err.removeprefix("error: ").rstrip("\n")


def simple(tmp_path: Path, path: object, **source: Any) -> dict[str, Any]:
    """A recipe over one source that has these keys."""
    data = recipe_of(tmp_path / "run", path)
    data["sources"][0] |= source
    return data


def tree(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_an_unknown_key_names_the_nearest(tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    data = simple(tmp_path, write_jsonl(tmp_path / "in.jsonl", sums(100)), shap="messages")
    message = refused(tmp_path, {**data, "dedup": {"treshold": 0.8}, "sede": 1})
    assert message.splitlines() == [
        f"{path}: unknown key 'sources[0].shap'; did you mean 'shape'?",
        f"{path}: unknown key 'dedup.treshold'; did you mean 'threshold'?",
        f"{path}: unknown key 'sede'; did you mean 'seed'?",
    ]
    assert not (tmp_path / "run").exists()


def test_an_unknown_override_is_no_less_wrong(tmp_path: Path) -> None:
    data = simple(tmp_path, write_jsonl(tmp_path / "in.jsonl", sums(100)))
    assert "unknown key 'dedup.treshold'" in refused(tmp_path, data, "dedup.treshold=0.8")
    assert "write key=value" in refused(tmp_path, data, "dedup.threshold")


def test_a_recipe_that_is_not_there_or_no_yaml(tmp_path: Path) -> None:
    gone = str(tmp_path / "gone.yaml")
    assert refusal(["prepare", gone]) == (
        f"no recipe at {gone!r}; write one with `headrace init PATH_TO_DATA`"
    )
    (tmp_path / "bad.yaml").write_text("output: [", encoding="utf-8")
    assert "bad.yaml, line 1" in refusal(["prepare", str(tmp_path / "bad.yaml")])


def test_a_missing_file(tmp_path: Path) -> None:
    gone = str(tmp_path / "gone.jsonl")
    assert refused(tmp_path, simple(tmp_path, gone)) == f"source 'sums': path matched no files: {gone!r}"
    assert not (tmp_path / "run").exists()


def test_a_wrong_column_lists_those_that_are_there(tmp_path: Path) -> None:
    data = simple(tmp_path, write_jsonl(tmp_path / "in.jsonl", sums(100)), shape="question_answer")
    data["sources"][0]["columns"] = {"question": "frage"}
    assert refused(tmp_path, data) == (
        "source 'sums': no column 'frage' (columns) in 'in.jsonl'; the columns there are 'question', 'answer'"
    )


def test_a_shape_that_does_not_fit(tmp_path: Path) -> None:
    data = simple(tmp_path, write_jsonl(tmp_path / "in.jsonl", [{"colour": "red"}]))
    assert "do not fit any known shape: 'colour'; set shape:" in refused(tmp_path, data)


@pytest.mark.parametrize("files", [[], ["a.jsonl"], ["a.jsonl", "b.jsonl"]])
def test_an_empty_source(tmp_path: Path, files: list[str]) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for name in files:
        (folder / name).touch()
    message = refused(tmp_path, simple(tmp_path, folder))
    if files:
        assert message == f"source 'sums' is empty: {len(files)} files of 0 bytes in '{folder}'"
    else:
        assert message == f"source 'sums': path matched no files: '{folder}'"


def test_a_source_of_blank_lines(tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    path.write_text("\n\n\n", encoding="utf-8")
    assert "'in.jsonl' holds no records" in refused(tmp_path, simple(tmp_path, path))


def test_a_directory_that_is_no_model(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    data = simple(tmp_path, write_jsonl(tmp_path / "in.jsonl", sums(100)))
    message = refused(tmp_path, {**data, "model": str(tmp_path / "model")})
    assert str(tmp_path / "model") in message
    assert "okenizer" in message
    assert not list((tmp_path / "run").glob("*"))


def test_a_directory_of_somebody_else(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run/thesis.tex").write_text("years of work", encoding="utf-8")
    data = simple(tmp_path, write_jsonl(tmp_path / "in.jsonl", sums(100)))
    assert "is not empty and holds no recipe.yaml of headrace" in refused(tmp_path, data)
    assert tree(tmp_path / "run") == {"thesis.tex": b"years of work"}


def test_a_source_in_two_formats(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "in/a.jsonl", sums(100))
    (tmp_path / "in/words").write_text("words", encoding="utf-8")
    assert "holds files of several formats" in refused(tmp_path, simple(tmp_path, tmp_path / "in"))


def test_commands_that_need_a_run_say_which_comes_first(tmp_path: Path) -> None:
    path = save_recipe(
        tmp_path / "recipe.yaml", simple(tmp_path, write_jsonl(tmp_path / "in.jsonl", sums(100)))
    )
    run = str(tmp_path / "run")
    for command in ("train", "evaluate", "report"):
        message = refusal([command, path])
        assert message == f"nothing is prepared in {run!r}; run `headrace prepare` on its recipe first"
    assert "is not a run directory" in refusal(["status", path])


# Storage that does not answer.


@pytest.fixture
def fresh() -> Iterator[None]:
    """Clients that see today's environment: a process keeps the client that it made first."""
    clients.s3.cache_clear()
    yield
    clients.s3.cache_clear()


@pytest.fixture
def keys(monkeypatch: pytest.MonkeyPatch, fresh: None) -> None:
    for name, value in (("ACCESS_KEY_ID", "id"), ("SECRET_ACCESS_KEY", "a-secret-of-ours")):
        monkeypatch.setenv(f"AWS_{name}", value)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")


@pytest.fixture
def silent() -> Iterator[str]:
    """An endpoint that takes connections and never replies."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


@pytest.fixture
def closed() -> str:
    """An endpoint that refuses connections."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return f"http://127.0.0.1:{server.getsockname()[1]}"


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    ("where", "endpoint"),
    [
        *((where, "closed") for where in ("input", "output", "recipe")),
        *((where, "silent") for where in (("input", "output", "recipe") if FULL else ("input",))),
    ],
)
def test_an_endpoint_that_does_not_answer(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
    keys: None,
    endpoint: str,
    where: str,
) -> None:
    url = request.getfixturevalue(endpoint)
    monkeypatch.setenv("AWS_ENDPOINT_URL", url)
    data = simple(tmp_path, write_jsonl(tmp_path / "in.jsonl", sums(100)))
    if where == "recipe":
        message = refusal(["prepare", "s3://bucket/recipe.yaml"])
    elif where == "input":
        message = refused(tmp_path, {**data, "sources": [{"path": "s3://bucket/in"}]})
    else:
        message = refused(tmp_path, {**data, "output": "s3://bucket/run"})
    assert message.startswith("cannot ")
    assert f"the endpoint does not answer ({url}); check AWS_ENDPOINT_URL and the network" in message
    assert "secret-of-ours" not in message


@pytest.mark.timeout(60)
@pytest.mark.parametrize("command", ["digest", "init"])
def test_commands_on_a_path_name_a_dead_endpoint_too(
    monkeypatch: pytest.MonkeyPatch, keys: None, closed: str, command: str
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", closed)
    assert "the endpoint does not answer" in refusal([command, "s3://bucket/run"])


@pytest.mark.s3
@pytest.mark.timeout(60)
def test_wrong_credentials(tmp_path: Path, s3: str, fresh: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not-the-secret")
    data = simple(tmp_path, f"{s3}/in")
    message = refused(tmp_path, data)
    assert message == (
        f"cannot reach {s3}/in: access denied; check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY "
        "(or the profile) and the bucket's policy"
    )
    assert "not-the-secret" not in message


@pytest.mark.s3
@pytest.mark.timeout(60)
def test_no_credentials(tmp_path: Path, s3: str, fresh: None, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert "no credentials found; set AWS_ACCESS_KEY_ID" in refused(tmp_path, simple(tmp_path, f"{s3}/in"))


@pytest.mark.s3
@pytest.mark.timeout(60)
def test_a_bucket_that_is_not_there(tmp_path: Path, s3: str) -> None:
    message = refused(tmp_path, simple(tmp_path, "s3://headrace-no-such-bucket/in"))
    assert message.startswith("cannot reach s3://headrace-no-such-bucket/in: ")
    assert "bucket 'headrace-no-such-bucket'" in message


@pytest.mark.s3
def test_a_missing_prefix_in_a_bucket(tmp_path: Path, s3: str) -> None:
    message = refused(tmp_path, simple(tmp_path, f"{s3}/gone"))
    assert message == f"source 'sums': path matched no files: '{s3}/gone'"


# Bad content: the record is set apart and the run goes on, up to the limit.


@pytest.fixture(scope="module")
def messy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("messy")
    sample.write(str(folder), seed=7, tickets=60)
    return folder


def truncate(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 2 // 3])


def test_a_truncated_parquet_file_alone(tmp_path: Path, messy: Path) -> None:
    path = tmp_path / "in.parquet"
    path.write_bytes((messy / "turns/0.parquet").read_bytes())
    truncate(path)
    message = refused(tmp_path, simple(tmp_path, path))
    assert "no record of 'in.parquet' can be read, so its shape cannot be told: read.truncated" in message


def binary(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(random.Random(3).randbytes(40_000))
    return path


def test_a_binary_file_named_jsonl_alone(tmp_path: Path) -> None:
    message = refused(tmp_path, simple(tmp_path, binary(tmp_path / "in.jsonl")))
    assert re.match(
        r"source 'sums': no record of 'in\.jsonl' can be read, so its shape cannot be told: read\.\w+",
        message,
    )


@pytest.mark.ray
def test_unreadable_files_beside_good_ones(tmp_path: Path, messy: Path, ray_local: None) -> None:
    """The remainder of a truncated Parquet file is one record, a binary file some lines."""
    turns = tmp_path / "turns"
    turns.mkdir()
    for n in range(2):
        (turns / f"{n}.parquet").write_bytes((messy / f"turns/{n}.parquet").read_bytes())
    good = pq.read_metadata(turns / "0.parquet").num_rows
    truncate(turns / "1.parquet")
    lines = tmp_path / "sums"
    write_jsonl(lines / "0.jsonl", sums(100))
    noise = binary(lines / "1.jsonl").read_bytes()
    data = messy_recipe(tmp_path, tmp_path / "run", quarantine={"limit": 0.9})
    data["sources"] = [data["sources"][3], {"name": "sums", "path": str(lines)}]
    code, _, err = run_command(["prepare", save_recipe(tmp_path / "recipe.yaml", data)])
    assert code == 0, err
    assert "source 'sums': '1.jsonl' is no UTF-8, and of no encoding that is sure" in err
    found = json.loads((tmp_path / "run/run.json").read_text())
    assert found["sources"]["turns"]["quarantined"] == {"read.truncated": 1}
    assert found["sources"]["turns"]["in"] == good + 1
    bad = found["sources"]["sums"]["quarantined"]
    assert sum(bad.values()) == found["sources"]["sums"]["in"] - 100
    assert 1 <= sum(bad.values()) <= noise.count(b"\n") + 1
    assert found["bytes_lost"] >= (turns / "1.parquet").stat().st_size
    rows = [r for p in sorted((tmp_path / "run/rejected").iterdir()) for r in pq.read_table(p).to_pylist()]
    (lost,) = [r for r in rows if r["error"] == "read.truncated"]
    assert (lost["file"], lost["messages"]) == ("1.parquet", None)
    assert lost["detail"]
    assert {r["file"] for r in rows if r["source"] == "sums" and r["error"]} == {"1.jsonl"}


@pytest.mark.ray
def test_over_the_limit_the_run_stops_and_goes_on_where_it_is_raised(tmp_path: Path, ray_local: None) -> None:
    lines = [json.dumps(record) for record in sums(100)]
    write_jsonl(tmp_path / "in.jsonl", [x[:20] if n % 4 == 0 else x for n, x in enumerate(lines)])
    data = {**simple(tmp_path, tmp_path / "in.jsonl"), "fragment_size": "4KiB"}
    run = tmp_path / "run"
    said = refused(tmp_path, data).splitlines()
    assert said[0] == (
        "source 'sums': 25 of 100 records (25.0%) could not be used, over quarantine.limit 5.0%:"
    )
    assert said[1].startswith("  25 read.malformed_json: ")
    assert said[1].endswith(" (in in.jsonl)")
    assert said[2].startswith("    in the source: `format:` ")
    assert said[3].startswith(f"`headrace rejected {run} --source sums` shows them; ")
    rejected = [r for p in sorted((run / "rejected").iterdir()) for r in pq.read_table(p).to_pylist()]
    assert [r["place"] for r in rejected if r["error"]] == [
        r["place"] for r in sorted(rejected, key=lambda r: r["row_id"])
    ]
    assert len(rejected) == 25
    written = json.loads((run / "run.json").read_bytes())
    assert written["ended"] == {
        "command": "prepare",
        "code": 2,
        "gate": "quarantine.limit",
        "words": "\n".join(said),
    }
    assert "digest" not in written
    assert written["rows"]["quarantined"] == {"read.malformed_json": 25}
    assert "quarantine.limit" in (run / "report.html").read_text()
    before = commits(run, "prepare")
    assert before
    found = prepare(tmp_path / "recipe.yaml", {**data, "quarantine": {"limit": 0.3}})
    assert commits(run, "prepare") == before
    assert found["rows"]["quarantined"] == {"read.malformed_json": 25}
    other = {"name": "letters", "path": str(tmp_path / "in.jsonl")}
    held = tree(run)
    message = refused(tmp_path, {**data, "sources": [other]})
    assert message == (
        f"output {str(run)!r} belongs to another recipe: its sources are sums, this recipe's letters; "
        "name another directory"
    )
    assert tree(run) == held
