"""Whole runs that cut repeated passages: only what shares one changes, whoever works on it."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from headrace.pipelines.stages.tokenise import stage as tokenise
from tests.builders import balanced, commits, prepare, story

pytestmark = pytest.mark.ray
SHARED = story(1, 220)
CJK = "".join(chr(0x4E00 + (7 * n * n + 11 * n) % 5003) for n in range(400))


def pages() -> dict[str, list[str]]:
    """Three files: texts of the first two share passages; the last two of the third are nearly equal."""
    plain = {name: [story(100 * at + n, 150) for n in range(12)] for at, name in enumerate("abc", 1)}
    for name in "ab":
        plain[name][3] += f"\n\n{SHARED}"
        plain[name][7] = f"{SHARED}\n\n{plain[name][7]}"
        plain[name][5] = CJK + "".join(chr(0x6000 + 13 * n + ord(name)) for n in range(99))
    plain["b"][9] = SHARED  # and nothing else
    plain["b"][10] = CJK + "異" * 20
    plain["c"][10] = plain["c"][11] + " once more"
    return plain


def write(folder: Path) -> Path:
    """The pages as JSONL, a file each."""
    folder.mkdir()
    for name, texts in pages().items():
        lines = [json.dumps({"text": text}, ensure_ascii=False) + "\n" for text in texts]
        (folder / f"{name}.jsonl").write_text("".join(lines), encoding="utf-8")
    return folder


def make(inputs: Path, run: Path, workers: int = 4, **section: Any) -> dict[str, Any]:
    return {
        "output": str(run),
        "sources": [{"name": "pages", "path": str(inputs), "shape": "text"}],
        "fragment_size": "20KiB",  # a fragment, and a window, for each file
        "pack": {"window": 12},
        "workers": workers,
        **({"dedup": {"passages": section}} if section else {}),
    }


def packed(run: Path) -> list[str]:
    """The text of every packed sample."""
    hf = tokenise.tokenizer(None, tokenise.Config()).hf
    found = []
    for path in sorted((run / "packed").rglob("*.parquet")):
        for row in pq.read_table(path).to_pylist():
            for segment in range(1, len(row["row_ids"]) + 1):
                pairs = zip(row["input_ids"], row["segment_ids"], strict=True)
                found.append(hf.decode([t for t, s in pairs if s == segment], skip_special_tokens=True))
    return found


class Runs:
    """A run that cuts nothing and one that cuts, over the same pages."""

    def __init__(self, folder: Path) -> None:
        self.inputs = write(folder / "in")
        self.off, self.on = folder / "off", folder / "on"
        self.plain = prepare(folder / "off.yaml", make(self.inputs, self.off))
        self.json = prepare(folder / "on.yaml", make(self.inputs, self.on, enabled=True))


@pytest.fixture(scope="module")
def runs(ray_local: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runs]:
    folder = tmp_path_factory.mktemp("passages-run")
    yield Runs(folder)
    shutil.rmtree(folder)


def test_passages_are_cut_from_all_rows_but_one_and_the_books_balance(runs: Runs) -> None:
    texts, before = packed(runs.on), packed(runs.off)
    assert sum(SHARED in text for text in before) == 5
    assert sum(SHARED in text for text in texts) == 1
    # Where a passage begins and ends it may be cut into other chunks, but its middle is cut alike.
    assert [SHARED in text for text in texts if SHARED[700:1000] in text] == [True]
    assert runs.json["rows"]["dropped"]["dedup.passages"] == 1
    assert all(balanced(book) for book in (runs.json["rows"], *runs.json["passes"].values()))
    assert runs.json["rows"]["kept"] == runs.plain["rows"]["kept"] - 1
    told = runs.json["passages"]
    assert told["rows"] == told["cut"]["rows"]
    assert 0 < told["cut"]["bytes"] <= told["bytes"] + told["cut"]["rows"] * 2
    rejected = [pq.read_table(p).to_pylist() for p in sorted((runs.on / "rejected").glob("pack-*"))]
    (gone,) = [r for table in rejected for r in table if r["reason"] == "dedup.passages"]
    assert gone["messages"] == [{"role": "text", "content": SHARED}]


def test_scripts_without_spaces_are_cut_between_characters(runs: Runs) -> None:
    texts = packed(runs.on)
    assert sum(CJK in text for text in texts) == 1
    ends = [text for text in texts if "異" * 20 in text]
    assert [len(text) < 400 for text in ends] == [True]
    assert "\ufffd" not in "".join(texts)


def test_rows_that_share_nothing_and_near_duplicates_are_as_before(runs: Runs) -> None:
    removed = [(run / "duplicates/removed.parquet").read_bytes() for run in (runs.off, runs.on)]
    assert removed[0] == removed[1]
    assert runs.json["duplicates"] == runs.plain["duplicates"]
    assert runs.json["rows"]["dropped"]["dedup.near"] == 1
    assert set(packed(runs.off)) - set(packed(runs.on)) <= {
        text for name in "ab" for text in pages()[name] if SHARED in text or CJK in text
    }


def test_without_it_a_run_is_what_it_was_before_there_were_passages(runs: Runs, tmp_path: Path) -> None:
    assert runs.plain["passages"] is None
    assert "passages" not in runs.plain["stages"]
    found = prepare(tmp_path / "r.yaml", make(runs.inputs, tmp_path / "run", enabled=False, copies=2))
    assert found["digest"] == runs.plain["digest"] != runs.json["digest"]
    assert sorted(p.name for p in (tmp_path / "run/duplicates").iterdir()) == sorted(
        p.name for p in (runs.off / "duplicates").iterdir()
    )


def test_workers_change_nothing(runs: Runs, tmp_path: Path) -> None:
    found = prepare(tmp_path / "r.yaml", make(runs.inputs, tmp_path / "run", workers=1, enabled=True))
    assert (found["digest"], found["rows"], found["passages"]) == (
        runs.json["digest"],
        runs.json["rows"],
        runs.json["passages"],
    )
    for folder in ("duplicates", "packed"):
        ours = {p.relative_to(runs.on): p.read_bytes() for p in (runs.on / folder).rglob("*.parquet")}
        run = tmp_path / "run"
        assert {p.relative_to(run): p.read_bytes() for p in (run / folder).rglob("*.parquet")} == ours


def test_asking_for_it_later_does_again_only_the_windows_that_change(runs: Runs, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(runs.off, run)
    before = {name: commits(run, name) for name in ("prepare", "pack")}
    duplicates = (run / "ledger/dedup/all.json").stat().st_mtime_ns
    found = prepare(tmp_path / "r.yaml", make(runs.inputs, run, enabled=True))
    assert (found["digest"], found["passages"]) == (runs.json["digest"], runs.json["passages"])
    assert commits(run, "prepare") == before["prepare"]
    assert (run / "ledger/dedup/all.json").stat().st_mtime_ns == duplicates
    again = {name for name, stat in commits(run, "pack").items() if stat != before["pack"][name]}
    assert again == {"00000000.json", "00000001.json"}
    # As if killed midway: files that no record speaks for.
    (run / "ledger/passages/all.json").unlink()
    (run / "duplicates/cuts/part-00000007-0000.parquet").write_bytes(b"half")
    windows = commits(run, "pack")
    assert prepare(tmp_path / "r.yaml", make(runs.inputs, run, enabled=True))["digest"] == runs.json["digest"]
    assert commits(run, "pack") == windows
    assert not (run / "duplicates/cuts/part-00000007-0000.parquet").exists()
    # Only listed, or not looked for any more: what was cut comes back, and nothing is counted anew.
    found = prepare(tmp_path / "r.yaml", make(runs.inputs, run, enabled=True, action="mark"))
    assert found["digest"] == runs.plain["digest"]
    assert found["passages"] == {**runs.json["passages"], "cut": {"rows": 0, "bytes": 0}}
    assert "dedup.passages" not in found["rows"]["dropped"]
    found = prepare(tmp_path / "r.yaml", make(runs.inputs, run))
    assert (found["digest"], found["passages"]) == (runs.plain["digest"], None)
    assert not (run / "duplicates/passages").exists()
    assert not (run / "duplicates/cuts").exists()
