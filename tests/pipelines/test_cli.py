"""The command from end to end: `prepare` over a small messy sample, and what can be asked of its run."""

import gzip
import json
import re
import signal
from importlib.metadata import version
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml

from headrace.pipelines import recipe
from headrace.pipelines.cli import main as cli
from headrace.pipelines.cli import run_commands
from tests.builders import Finished, balanced, commits, run_command

pytestmark = pytest.mark.ray
STAGES = {
    "read",
    "clean",
    "steps",
    "quality",
    "traits",
    "pii",
    "fingerprint",
    "dedup",
    "examine",
    "split",
    "tokenise",
    "pack",
    "gate",
}


def test_prepare_ends_with_0_and_every_line_of_json_can_be_read(finished: Finished) -> None:
    lines = [json.loads(line) for line in finished.out.splitlines()]
    assert {"progress", "books", "packed", "digest", "report"} <= {x["event"] for x in lines}
    done = [x["pass"] for x in lines if x["event"] == "progress" and x["state"] == "done"]
    assert done == ["prepare", "dedup", "examine", "pack", "proof", "gate"]
    assert next(x for x in lines if x["event"] == "digest")["digest"] == finished.json["digest"]


def test_run_json_has_its_keys_and_forms(finished: Finished) -> None:
    found = finished.json
    assert set(found["rows"]) == {"in", "kept", "dropped", "quarantined"}
    reasons = [*found["rows"]["dropped"], *found["rows"]["quarantined"]]
    assert all(re.fullmatch(r"[a-z]+\.[a-z0-9_]+", r) for r in reasons), reasons
    assert set(found["packed"]) == {"train", "validation", "test"}
    for counts in found["packed"].values():
        assert set(counts) == {"rows", "samples", "tokens", "fill", "digest"}
        assert counts["fill"] == pytest.approx(counts["tokens"] / (counts["rows"] * 256), abs=1e-6)
    assert set(found["stages"]) == STAGES
    for name, figures in found["stages"].items():
        assert set(figures) == {"seconds", "rows", "bytes"}
        assert figures["seconds"] > 0, name
        assert figures["bytes"] > figures["rows"] > 0, name
    assert re.fullmatch(r"[0-9a-f]{32}", found["digest"])
    assert {"python", "headrace", "ray", "pyarrow", "tokenizers"} <= set(found["versions"])
    for histogram in found["histograms"].values():
        assert len(histogram["edges"]) == len(histogram["counts"]) + 1


def test_books_balance_for_the_run_every_pass_and_every_source(finished: Finished) -> None:
    found = finished.json
    books = [found["rows"], *found["passes"].values(), *found["sources"].values()]
    assert all(balanced(b) for b in books)
    assert found["passes"]["pack"]["in"] == found["passes"]["prepare"]["kept"]
    assert set(found["sources"]) == {"chat", "forms", "archive", "turns"}
    for name in ("in", "kept"):
        assert sum(s[name] for s in found["sources"].values()) == found["rows"][name]
    for kind in ("dropped", "quarantined"):
        for reason, count in found["rows"][kind].items():
            assert sum(s[kind].get(reason, 0) for s in found["sources"].values()) == count, reason


def test_the_faults_of_the_sample_are_all_found(finished: Finished) -> None:
    found = finished.json
    chat = found["sources"]["chat"]["quarantined"]
    # In each of three files: a line cut short, one of no JSON, one of a wrong type; one in Latin-1 is read.
    assert chat == {"read.malformed_json": 6, "read.wrong_type": 3}
    assert found["sources"]["forms"]["quarantined"] == {"read.wrong_columns": 2}
    assert found["sources"]["archive"]["quarantined"] == {"read.wrong_type": 1}
    assert found["rows"]["dropped"]["dedup.exact"] >= 1
    assert found["rows"]["dropped"]["dedup.near"] >= 1
    assert min(found["pii"][e] for e in ("CREDIT_CARD", "EMAIL_ADDRESS", "IBAN_CODE", "PHONE_NUMBER")) >= 1


def test_records_in_are_the_records_of_the_files(finished: Finished) -> None:
    folder = finished.inputs
    lines = sum(len((folder / f"chat/{n}.jsonl").read_bytes().splitlines()) for n in (0, 1))
    lines += len(gzip.decompress((folder / "chat/2.jsonl.gz").read_bytes()).splitlines())
    turns = sum(pq.read_metadata(p).num_rows for p in (folder / "turns").glob("*.parquet"))
    found = finished.json["sources"]
    assert found["chat"]["in"] == lines
    assert found["turns"]["in"] == turns
    assert found["archive"]["in"] == len(json.loads((folder / "archive.json").read_bytes()))


def test_rejected_rows_have_a_reason_and_only_masked_text(finished: Finished) -> None:
    rows = [r for p in sorted((finished.path / "rejected").iterdir()) for r in pq.read_table(p).to_pylist()]
    counted: dict[str, int] = {}
    for row in rows:
        assert row["file"]
        assert row["place"]
        reason = row["error"] or row["reason"]
        assert reason.startswith(f"{row['stage']}.")
        assert (row["messages"] is None) == (row["stage"] in ("read", "clean", "quality", "traits", "pii"))
        counted[reason] = counted.get(reason, 0) + row["n_records"]
    found = finished.json["rows"]
    assert counted == {**found["dropped"], **found["quarantined"]}


def test_nothing_unmasked_is_stored(finished: Finished) -> None:
    marks = ("@example.", "4000 00", ") 555-01")
    raw = b"".join(p.read_bytes() for p in sorted(finished.inputs.glob("chat/*.jsonl")))
    assert all(mark.encode() in raw for mark in marks)
    texts = []
    for folder in ("prepared", "rejected"):
        for path in sorted((finished.path / folder).iterdir()):
            messages = pq.read_table(path, columns=["messages"])["messages"].to_pylist()
            texts += [m["content"] for row in messages for m in row or ()]
    assert len(texts) > 100
    for mark in marks:
        assert not [t for t in texts if mark in t]
    assert any("<EMAIL_ADDRESS_1>" in t for t in texts)


def test_digest_of_the_command_is_that_of_run_json(finished: Finished) -> None:
    assert run_command(["digest", str(finished.path)]) == (0, finished.json["digest"] + "\n", "")


def test_a_second_run_finds_all_done_and_does_nothing(finished: Finished) -> None:
    before = {n: commits(finished.path, n) for n in ("plan", "prepare", "pack")}
    outputs = {p: p.stat().st_mtime_ns for p in finished.path.rglob("*.parquet")}
    digest = finished.json["digest"]
    code, out, err = run_command(["prepare", finished.recipe])
    assert (code, err) == (0, "")
    units, windows = len({n[:8] for n in before["prepare"]}), len(before["pack"])
    assert f"prepare: {units} of {units} units were done before" in out
    assert "dedup: 1 of 1 units were done before" in out
    assert f"pack: {windows} of {windows} units were done before" in out
    assert {n: commits(finished.path, n) for n in before} == before
    assert {p: p.stat().st_mtime_ns for p in finished.path.rglob("*.parquet")} == outputs
    assert finished.json["digest"] == digest


def test_quiet_says_nothing(finished: Finished) -> None:
    assert run_command(["prepare", finished.recipe, "--quiet"]) == (0, "", "")


def test_check_says_what_the_run_leans_on(finished: Finished) -> None:
    code, out, err = run_command(["check", finished.recipe])
    assert (code, err) == (0, "")
    assert re.search(r"^source chat: 3 files, [\d,]+ bytes, jsonl, messages$", out, re.MULTILINE)
    assert f"output: {finished.path} (goes on)" in out
    assert re.search(r"^sample of chat: [\d,]+ records, the first 200 of 3 files: ", out, re.MULTILINE)
    assert out.splitlines()[-1].startswith("everything that the run leans on is there; of ")


def test_status_tells_how_far_the_run_is(finished: Finished) -> None:
    code, out, _ = run_command(["status", finished.recipe])
    assert code == 0
    units = finished.json["fragments"]
    assert f"prepare: {units} of {units} fragments, {finished.json['rows']['in']:,} records in" in out
    assert "run.json: there" in out
    assert "adapter: not there" in out
    code, out, _ = run_command(["status", finished.recipe, "--json"])
    lines = [json.loads(line) for line in out.splitlines()]
    assert next(x for x in lines if x["pass"] == "prepare")["done"] == units


def test_report_is_written_anew(finished: Finished) -> None:
    page = finished.path / "report.html"
    page.unlink()
    code, out, err = run_command(["report", finished.recipe])
    assert (code, out, err) == (0, f"report: {page}\n", "")
    assert finished.json["digest"] in page.read_text(encoding="utf-8")


def test_the_kept_recipe_names_what_was_found(finished: Finished) -> None:
    _, kept = recipe.kept(str(finished.path))
    assert kept is not None
    assert {s.name: (s.format, s.shape) for s in kept.sources} == {
        "chat": ("jsonl", "messages"),
        "forms": ("csv", "question_answer"),
        "archive": ("json", "question_answer"),
        "turns": ("parquet", "messages"),
    }


def test_the_starter_recipe_prepares_once_output_is_set(finished: Finished, tmp_path: Path) -> None:
    written = tmp_path / "starter.yaml"
    code, _, err = run_command(["init", str(finished.inputs / "forms"), "-o", str(written)])
    assert (code, err) == (0, "")
    code, _, err = run_command(
        ["prepare", str(written), f"output={tmp_path / 'run'}", "quarantine.limit=0.2"]
    )
    assert (code, err) == (0, "")
    found = json.loads((tmp_path / "run/run.json").read_bytes())
    assert found["rows"]["in"] == finished.json["sources"]["forms"]["in"]
    code, _, err = run_command(["init", str(finished.inputs / "forms"), "-o", str(written)])
    assert code == 2
    assert err == f"error: {str(written)!r} exists; name another file, or remove it\n"


def test_schema_is_one_that_the_recipe_keeps(finished: Finished) -> None:
    import jsonschema

    code, out, _ = run_command(["schema"])
    assert code == 0
    schema = json.loads(out)
    data = yaml.safe_load(Path(finished.recipe).read_text(encoding="utf-8"))
    jsonschema.validate({**data, "fragment_size": 4096}, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**data, "sauces": []}, schema)


@pytest.mark.parametrize("arguments", [["nonsense"], ["prepare"], ["prepare", "--no-such-option", "x"]])
def test_a_wrong_argument_is_a_user_error(arguments: list[str]) -> None:
    assert run_command(arguments)[0] == 2


def test_help_tells_the_exit_codes() -> None:
    code, out, _ = run_command(["--help"])
    assert code == 0
    assert "0 done, 1 fault, 2 user error, 3 gate failed" in " ".join(out.split())


def test_version_and_short_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out == f"headrace {version('headrace')}\n"
    assert cli.main(["verify", "-h"]) == 0
    assert "--deep" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("end", "code"), [(KeyboardInterrupt(), 130), (SystemExit(int(signal.SIGTERM)), 143)]
)
def test_who_stops_a_command_is_told_that_the_same_one_goes_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], end: BaseException, code: int
) -> None:
    """By Ctrl-C; by SIGTERM, of which Ray makes an exit with its number."""

    def stopped(*_: object) -> None:
        raise end

    monkeypatch.setattr(run_commands, "run_of", stopped)
    assert cli.main(["digest", "run"]) == code
    assert "interrupted: the same command goes on where it was" in capsys.readouterr().err
