"""A run that says "done" has what it says: what is deleted, cut or changed is seen, named and made again."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

import headrace
from headrace.cluster import ledger, storage
from headrace.pipelines.passes import outputs, units
from tests.builders import run_command, save_recipe
from tests.pipelines import damage

pytestmark = pytest.mark.ray


class Whole:
    """A prepared run, its recipe and run.json."""

    def __init__(self, inputs: Path, folder: Path, output: str) -> None:
        self.inputs, self.output = inputs, output
        self.data = damage.recipe(inputs, output)
        self.recipe = save_recipe(folder / "recipe.yaml", self.data)

    @property
    def json(self) -> dict[str, Any]:
        """run.json as it stands."""
        written: dict[str, Any] = json.loads(storage.read_bytes(storage.join(self.output, "run.json")))
        return written

    def copy(self, folder: Path) -> "Whole":
        """The same run in another folder."""
        shutil.copytree(self.output, folder / "run")
        return Whole(self.inputs, folder, str(folder / "run"))

    def prepare(self) -> tuple[int, str]:
        """The same command: exit code and what it said on standard error."""
        code, _, err = run_command(["prepare", self.recipe])
        return code, err

    def verify(self, *flags: str) -> tuple[int, set[str], str]:
        """Exit code of `headrace verify`, paths of what does not stand, and what it said in the end."""
        code, out, err = run_command(["verify", self.output, "--json", *flags])
        said = [json.loads(line) for line in out.splitlines()]
        return code, {line["path"] for line in said if not line["stands"]}, err


@pytest.fixture(scope="module")
def whole(ray_local: None, tmp_path_factory: pytest.TempPathFactory) -> Whole:
    folder = tmp_path_factory.mktemp("whole")
    run = Whole(damage.write_inputs(folder / "in"), folder, str(folder / "run"))
    assert run.prepare() == (0, "")
    return run


def test_a_run_that_is_whole_stands(whole: Whole) -> None:
    assert whole.verify("--deep") == (0, set(), "")
    assert whole.json["remade"]["n"] == 0
    assert headrace.verify(whole.output) == []
    for pattern in damage.KINDS.values():
        assert damage.file_of(whole.output, pattern)


@pytest.mark.parametrize("fault", damage.FAULTS)
def test_damaged_outputs_are_named_and_made_again(whole: Whole, tmp_path: Path, fault: str) -> None:
    run = whole.copy(tmp_path)
    hurt = {kind: damage.file_of(run.output, pattern) for kind, pattern in damage.OUTPUTS.items()}
    for path in hurt.values():
        damage.FAULTS[fault](storage.join(run.output, path))
    code, named, said = run.verify()
    assert code == 3
    assert set(hurt.values()) <= named
    assert "headrace prepare" in said

    code, said = run.prepare()
    assert code == 0, said
    seen = {path for kind, path in hurt.items() if fault != "flipped" or kind not in damage.UNREAD}
    assert run.json["digest"] == whole.json["digest"]
    assert run.json["rows"] == whole.json["rows"]
    assert seen <= set(run.json["remade"]["paths"]) <= set(hurt.values())
    assert "what it held is made again" in said

    if fault == "flipped":
        assert run.verify("--remove")[1] == set(hurt.values()) - set(run.json["remade"]["paths"])
        code, said = run.prepare()
        assert code == 0, said
    assert run.verify("--deep") == (0, set(), "")
    assert run.json["digest"] == whole.json["digest"]
    for path in hurt.values():
        assert storage.read_bytes(storage.join(run.output, path)) == storage.read_bytes(
            storage.join(whole.output, path)
        )


def test_what_nobody_damaged_is_not_made_again(whole: Whole, tmp_path: Path) -> None:
    run = whole.copy(tmp_path)
    gone = Path(run.output, damage.file_of(run.output, damage.OUTPUTS["prepared"]))
    gone.unlink()
    before = {p: p.stat().st_mtime_ns for p in Path(run.output).rglob("*.parquet")}
    assert run.prepare()[0] == 0
    assert gone.exists()
    anew = {p for p in before if p.stat().st_mtime_ns != before[p]}
    # A record stands for all that its unit wrote.
    assert {p.name for p in anew} <= {gone.name}
    assert run.json["remade"]["missing"] == 1


def test_files_that_no_record_names_are_told(whole: Whole, tmp_path: Path) -> None:
    run = whole.copy(tmp_path)
    first = Path(run.output, damage.file_of(run.output, damage.OUTPUTS["packed, train"]))
    shutil.copy(first, first.with_name("part-99999999.parquet"))
    stray = "packed/train/part-99999999.parquet"
    assert run.verify()[:2] == (3, {stray})
    # It may be an output of a run under way, whose record comes next.
    assert run.verify("--remove")[:2] == (3, {stray})
    assert Path(run.output, stray).exists()
    (Path(run.output) / "run.json").write_text(
        json.dumps({**run.json, "ended": {"command": "prepare", "code": None, "gate": None, "words": ""}})
    )
    code, out, _ = run_command(["verify", run.output])
    assert code == 0
    assert "unnamed: 1 files are named by no commit record, as are those that a run" in out
    assert stray in out
    assert run.prepare()[0] == 0
    assert not Path(run.output, stray).exists()
    assert run.verify() == (0, set(), "")


def test_what_is_committed_while_verify_reads_is_no_damage(
    whole: Whole, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the listing and the ledger a run under way writes outputs and their records."""
    run = whole.copy(tmp_path)
    part = damage.file_of(run.output, damage.OUTPUTS["prepared"])
    record = damage.file_of(run.output, "ledger/prepare/0*.json")
    late = [Path(run.output, path) for path in (part, record)]
    held = [path.read_bytes() for path in late]
    Path(run.output, damage.file_of(run.output, damage.BOOKS["snapshot"])).unlink()
    for path in late:
        path.unlink()
    real = ledger.read

    def read(path: str, name: str) -> ledger.Ledger:
        for file, data in zip(late, held, strict=True):
            file.write_bytes(data)
        return real(path, name)

    monkeypatch.setattr(ledger, "read", read)
    assert headrace.verify(run.output) == []


@pytest.mark.parametrize("kind", ["prepared", "packed, train", "rejected, pass 1"])
@pytest.mark.parametrize("fault", damage.FAULTS)
def test_what_could_not_be_looked_at_is_not_said_to_stand(
    whole: Whole, tmp_path: Path, kind: str, fault: str
) -> None:
    run = whole.copy(tmp_path)
    path = damage.file_of(run.output, damage.OUTPUTS[kind])
    damage.FAULTS[fault](storage.join(run.output, path))
    code, out, _ = run_command(["verify", run.output, "--json", "--deep"])
    assert code == 3
    said = {line["check"]: line for line in map(json.loads, out.splitlines())}
    assert (said["files"]["stands"], said["files"]["path"]) == (False, path)
    for check in ("books", "packed"):
        if (check, kind) == ("packed", "rejected, pass 1"):
            assert said[check]["stands"] is True
            continue
        assert (said[check]["stands"], said[check]["unread"]) == (None, 1)
        assert "1 files" in said[check]["text"]
        assert "could not be looked at" in said[check]["text"]
    assert said["removals"]["stands"] is (None if kind == "prepared" else True)
    assert said["summary"]["stands"] is True


def test_a_lost_plan_leaves_nothing_said_of_its_files(whole: Whole, tmp_path: Path) -> None:
    run = whole.copy(tmp_path)
    damage.cut(storage.join(run.output, damage.file_of(run.output, damage.BOOKS["plan"])))
    _, out, _ = run_command(["verify", run.output, "--json"])
    said = {line["check"]: line for line in map(json.loads, out.splitlines())}
    assert said["books"]["stands"] is None
    assert said["packed"]["stands"] is None


@pytest.mark.parametrize("fault", damage.FAULTS)
def test_a_damaged_ledger_never_bricks_a_run(whole: Whole, tmp_path: Path, fault: str) -> None:
    run = whole.copy(tmp_path)
    for kind in (
        "record of pass 1",
        "record of pass 2",
        "record of pass 3",
        "snapshot",
        "run.json",
        "pii.json",
    ):
        damage.FAULTS[fault](storage.join(run.output, damage.file_of(run.output, damage.BOOKS[kind])))
    code, said = run.prepare()
    assert code == 0, said
    assert run.json["digest"] == whole.json["digest"]
    assert run.verify() == (0, set(), "")


@pytest.mark.parametrize("kind", ["snapshot", "record of pass 1"])
def test_what_is_damaged_in_the_ledger_is_told_as_what_it_is(
    whole: Whole, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """A snapshot holds nothing of its own; the output is named relatively."""
    run = whole.copy(tmp_path)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "named").mkdir()
    named = Whole(whole.inputs, tmp_path / "named", "run")
    path = damage.file_of(run.output, damage.BOOKS[kind])
    # Once it is damaged, a record is read for itself.
    damage.cut(storage.join(run.output, path))
    if kind != "snapshot":
        damage.cut(storage.join(run.output, damage.file_of(run.output, damage.BOOKS["snapshot"])))
    code, found, _ = named.verify()
    assert code == 3
    assert path in found
    assert outputs.below("run", str(tmp_path / "run" / path)) == path
    code, said = run.prepare()
    assert code == 0, said
    again = [] if kind == "snapshot" else [path]
    assert run.json["remade"]["paths"] == again
    assert ("is made again" in said) == bool(again)
    assert "snapshot.json is damaged and written anew" in said
    assert str(tmp_path) not in said
    assert run.json["digest"] == whole.json["digest"]
    assert named.verify() == (0, set(), "")


@pytest.mark.parametrize("fault", damage.FAULTS)
def test_a_damaged_plan_is_removed_and_all_stands(whole: Whole, tmp_path: Path, fault: str) -> None:
    run = whole.copy(tmp_path)
    plan = Path(run.output, damage.file_of(run.output, damage.BOOKS["plan"]))
    damage.FAULTS[fault](str(plan))
    if plan.exists():
        code, said = run.prepare()
        assert code == 1
        assert f"{plan.name} is damaged" in said
        plan.unlink()
    before = {p: p.stat().st_mtime_ns for p in Path(run.output).rglob("*.parquet")}
    assert run.prepare() == (0, "")
    assert {p: p.stat().st_mtime_ns for p in Path(run.output).rglob("*.parquet")} == before
    assert run.json["digest"] == whole.json["digest"]


def test_a_run_of_an_older_version_is_read(whole: Whole, tmp_path: Path) -> None:
    """Its records have no seal, those of pass 2 name no outputs."""
    run = whole.copy(tmp_path)
    for path in Path(run.output, "ledger").rglob("*.json"):
        record = json.loads(path.read_bytes())
        record.pop("seal")
        if path.parent.name in ("dedup", "passages"):
            record["outputs"] = []
        if path.name == "snapshot.json":
            path.unlink()
        else:
            path.write_text(json.dumps(record))
    before = {p: p.stat().st_mtime_ns for p in Path(run.output).rglob("*.parquet")}
    assert run.prepare() == (0, "")
    assert {p: p.stat().st_mtime_ns for p in Path(run.output).rglob("*.parquet")} == before
    code, out, _ = run_command(["verify", run.output])
    assert code == 0
    assert "are of an older version and have no hashes" in out
    Path(run.output, "duplicates/sides.parquet").unlink()
    assert run.prepare()[0] == 0
    assert run.json["remade"]["paths"] == ["duplicates/sides.parquet"]
    assert run.json["digest"] == whole.json["digest"]


@pytest.mark.s3
@pytest.mark.parametrize("fault", damage.FAULTS)
def test_damaged_outputs_on_s3(whole: Whole, s3: str, tmp_path: Path, fault: str) -> None:
    run = Whole(whole.inputs, tmp_path, f"{s3}/run")
    for path in (p for p in Path(whole.output).rglob("*") if p.is_file()):
        storage.put(storage.join(run.output, str(path.relative_to(whole.output))), path.read_bytes())
    for kind in ("prepared", "rejected, pass 1", "removed", "packed, train", "record of pass 3"):
        damage.FAULTS[fault](storage.join(run.output, damage.file_of(run.output, damage.KINDS[kind])))
    assert run.verify()[0] == 3
    code, said = run.prepare()
    assert code == 0, said
    assert run.json["digest"] == whole.json["digest"]
    assert run.verify() == (0, set(), "")


def test_one_listing_a_folder_and_no_look_at_single_files(
    whole: Whole, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed: list[str] = []
    real = storage.listing
    monkeypatch.setattr(storage, "listing", lambda path: listed.append(path) or real(path))
    monkeypatch.setattr(storage, "entry", lambda path: pytest.fail(path))
    sizes = outputs.sizes(whole.output, {"prepared", "rejected"})
    assert [path.rpartition("/")[2] for path in listed] == ["prepared", "rejected"]
    assert all(size > 0 for size in sizes.values())
    assert {p.partition("/")[0] for p in sizes} == {"prepared", "rejected"}
    assert units.Pass("p", "run", str, outputs=("a/b", "a/c", "d/")).folders == {"a", "d"}
