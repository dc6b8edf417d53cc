"""Commands that look at a finished run, `dedup.against` over whole runs, and the alarm."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from headrace.cluster import storage
from tests.builders import Finished, messy_recipe, run_command, save_recipe

pytestmark = pytest.mark.ray


def lines(arguments: list[str]) -> list[dict[str, Any]]:
    """What a command prints with `--json`."""
    code, out, err = run_command([*arguments, "--json"])
    assert (code, err) == (0, "")
    return [json.loads(line) for line in out.splitlines()]


def table(run: Path, name: str) -> list[dict[str, Any]]:
    return storage.read_table(str(run / f"duplicates/{name}.parquet")).to_pylist()


def rows(run: Path, folder: str) -> list[dict[str, Any]]:
    """Rows of `prepared/` or `rejected/`."""
    found: list[dict[str, Any]] = []
    for path in sorted((run / folder).glob("part-*.parquet")):
        found += storage.read_table(str(path)).to_pylist()
    return found


def test_duplicates_tells_what_went_and_shows_pairs(finished: Finished) -> None:
    report = finished.json["duplicates"]
    said = lines(["duplicates", str(finished.path), "--pairs", "4", "--borderline", "0"])
    assert (said[0]["removed"], said[0]["exact"], said[0]["near"]) == (
        report["exact"] + report["near"],
        report["exact"],
        report["near"],
    )
    sources = {x["source"]: x["removed"] for x in said if "source" in x}
    assert sum(sources.values()) == said[0]["removed"]
    assert [x["threshold"] for x in said if "threshold" in x] == [0.7, 0.75, 0.8, 0.85, 0.9, 0.95]
    pairs = [x for x in said if "pair" in x]
    assert len(pairs) == 4
    listed = {(r["removed"], r["kept"]) for r in table(finished.path, "removed")}
    assert {(p["removed"], p["kept"]) for p in pairs} <= listed
    near = next(p for p in pairs if p["rule"] == "near")
    assert "[-" in near["texts"][0] or "{+" in near["texts"][1]


def test_the_story_of_a_row_that_was_kept(finished: Finished) -> None:
    gone = {r["removed"] for r in table(finished.path, "removed")}
    row = next(r for r in rows(finished.path, "prepared") if r["row_id"] not in gone)
    said = lines(["explain", str(finished.path), str(row["row_id"])])
    stages = [x["stage"] for x in said if "stage" in x]
    assert stages == ["read", "clean", "quality", "traits", "pii", "fingerprint", "dedup", "split", "pack"]
    assert any(x.get("messages") == row["messages"] for x in said)
    last = next(x for x in said if x.get("stage") == "pack")
    side = next(x["split"] for x in said if x.get("stage") == "split")
    packed = storage.read_table(str(finished.path / f"packed/{side}/part-{last['window']:08d}.parquet"))
    owned = [
        segments.count(n + 1)
        for owners, segments in zip(
            packed["row_ids"].to_pylist(), packed["segment_ids"].to_pylist(), strict=True
        )
        for n, owner in enumerate(owners)
        if owner == row["row_id"]
    ]
    assert (last["samples"], last["tokens"]) == (len(owned), sum(owned))


def test_the_story_of_a_duplicate_shows_both_texts(finished: Finished) -> None:
    pair = next(r for r in table(finished.path, "removed") if r["rule"] == "near")
    said = lines(["explain", str(finished.path), str(pair["removed"])])
    assert next(x for x in said if x.get("stage") == "dedup")["reason"] == "dedup.near"
    shown = next(x for x in said if "pair" in x)
    assert (shown["removed"], shown["kept"]) == (pair["removed"], pair["kept"])
    assert shown["similarity"] == pytest.approx(pair["similarity"])
    assert all(shown["texts"])
    kept = lines(["explain", str(finished.path), str(pair["kept"])])
    assert any(x.get("stands_for", 0) >= 1 for x in kept)


def test_the_story_of_a_rejected_row_withholds_what_was_never_masked(finished: Finished) -> None:
    rejected = {r["error"] or r["reason"]: r for r in rows(finished.path, "rejected")}
    for reason, row in rejected.items():
        said = lines(["explain", str(finished.path), str(row["row_id"])])
        last = next(x for x in said if x.get("stage") == row["stage"])
        assert reason in (last["reason"], last["error"])
        assert not any("messages" in x for x in said)
    assert {reason.split(".")[0] for reason in rejected} >= {"read", "clean"}


def test_a_row_that_is_not_there(finished: Finished) -> None:
    code, _, err = run_command(["explain", str(finished.path), str(2**40)])
    assert code == 2
    assert f"has no row {2**40}" in err


def test_lookup_finds_a_text_again_and_what_is_like_it(finished: Finished, tmp_path: Path) -> None:
    gone = {r["removed"] for r in table(finished.path, "removed")}
    kept = [r for r in rows(finished.path, "prepared") if r["row_id"] not in gone]
    chats = [r for r in kept if r["messages"][0]["role"] == "user" and r["prompt_features"] < 400]
    row = max(chats, key=lambda r: r["prompt_features"])
    text = row["messages"][0]["content"]
    held = " ".join(m["content"] for m in row["messages"] if m["role"] != "assistant")
    found = [x for x in lines(["lookup", str(finished.path), held]) if "row_id" in x]
    assert (found[0]["row_id"], found[0]["part"]) == (row["row_id"], "prompt")
    assert found[0]["similarity"] > 0.95
    (tmp_path / "asked.txt").write_text(held + " And one thing more.", encoding="utf-8")
    near = [x for x in lines(["lookup", str(finished.path), str(tmp_path / "asked.txt")]) if "row_id" in x]
    assert near[0]["row_id"] == row["row_id"]
    assert 0.5 < near[0]["similarity"] < found[0]["similarity"]
    assert text[:10] in near[0]["shown"]
    nothing = lines(["lookup", str(finished.path), "zzz qqq xxx " * 20])
    assert [x["text"] for x in nothing] == ["no row is like it by 0.3 or more"]


def test_lookup_by_simhash(finished: Finished, tmp_path: Path) -> None:
    gone = {r["removed"] for r in table(finished.path, "removed")}
    kept = [r for r in rows(finished.path, "prepared") if r["row_id"] not in gone]
    row = max(kept, key=lambda r: r["size"])
    sides: tuple[list[str], list[str]] = ([], [])
    for message in row["messages"]:
        sides[message["role"] in ("assistant", "text")].append(message["content"])
    whole = "\n".join([*sides[0], *sides[1]])
    near = lines(["lookup", str(finished.path), whole, "--distance", "3"])
    found = [x for x in near if "row_id" in x]
    assert (found[0]["row_id"], found[0]["part"]) == (row["row_id"], "row")
    assert found[0]["similarity"] > 0.9
    signatures = {r["row_id"]: r["simhash"] for r in kept}
    far = [
        x
        for x in lines(["lookup", str(finished.path), whole, "--distance", "40", "--count", "5"])
        if "row_id" in x
    ]
    assert len(far) == 5
    assert [x["distance"] for x in far] == sorted(x["distance"] for x in far)
    for hit in far:  # the text lies `found[0]["distance"]` bits from the row itself
        apart = (signatures[hit["row_id"]] ^ row["simhash"]).bit_count()
        assert abs(apart - hit["distance"]) <= found[0]["distance"]
    nothing = lines(["lookup", str(finished.path), "zzz qqq xxx " * 20, "--distance", "2"])
    assert [x["text"] for x in nothing] == ["no row lies within 2 bits of it"]
    code, _, err = run_command(["lookup", str(finished.path), "hm", "--distance", "2"])
    assert code == 2
    assert "the text has no SimHash" in err
    code, _, err = run_command(["lookup", str(tmp_path), "anything at all", "--distance", "2"])
    assert code == 2
    assert "nothing is prepared" in err


def test_a_run_without_simhashes(finished: Finished, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(finished.path, run)
    for path in (run / "prepared").glob("*.parquet"):
        held = storage.read_table(str(path))
        path.unlink()
        storage.write_table(str(path), held.drop_columns(["simhash"]))
    code, _, err = run_command(["lookup", str(run), "a text that is long enough", "--distance", "2"])
    assert code == 2
    assert "holds no SimHashes; run `headrace prepare`" in err


def test_candidates_by_simhash_repeat_pass_2_and_say_so(finished: Finished, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(finished.path, run)
    data = messy_recipe(Path(finished.recipe).parent / "in", run, dedup={"candidates": "simhash"})
    code, _, err = run_command(["prepare", save_recipe(tmp_path / "a.yaml", data)])
    assert (code, err) == (0, "")
    found = json.loads((run / "run.json").read_bytes())["duplicates"]
    assert (found["signatures"]["distance"], found["signatures"]["recall"]) == (12, 0.95)
    assert found["exact"] == finished.json["duplicates"]["exact"]
    assert found["near"] > 0.9 * finished.json["duplicates"]["near"]
    said = lines(["duplicates", str(run), "--pairs", "0", "--borderline", "0"])
    assert [x["signatures"]["distance"] for x in said if "signatures" in x] == [12]
    assert "looked for by SimHash, within 12 of 64 bits" in (run / "report.html").read_text()


def test_a_run_drops_what_an_earlier_run_and_its_fingerprints_hold(
    finished: Finished, tmp_path: Path
) -> None:
    """The same chats once more, against the run itself and against its fingerprints."""
    assert run_command(["fingerprints", str(finished.path), str(tmp_path / "prints")])[0] == 0
    inputs = finished.inputs
    counts = {}
    for name, corpus in (("beside", str(finished.path)), ("sketched", str(tmp_path / "prints"))):
        data = messy_recipe(inputs, tmp_path / name, dedup={"against": [corpus]})
        data["sources"] = data["sources"][:1]
        code, _, err = run_command(["prepare", save_recipe(tmp_path / f"{name}.yaml", data)])
        assert code == 2
        assert "nothing is left to pack: none of " in err
        assert f"`headrace rejected {tmp_path / name} --reason dedup." in err
        found = json.loads((tmp_path / name / "run.json").read_bytes())
        prepared = found["passes"]["pack"]["in"]
        assert found["rows"]["kept"] == 0
        assert sum(n for r, n in found["rows"]["dropped"].items() if r.startswith("dedup.")) == prepared
        assert {r["run"] for r in table(tmp_path / name, "removed")} == {corpus}
        counts[name] = found["duplicates"]
        said = lines(["duplicates", str(tmp_path / name), "--pairs", "2"])
        assert any(x.get("against") == counts[name]["against"] for x in said)
        shown = next(x for x in said if "pair" in x)
        assert shown["run"] == corpus
        assert bool(shown["texts"][1]) == (name == "beside")
    assert counts["sketched"]["exact"] == counts["beside"]["exact"]
    assert counts["sketched"]["sketch"] == counts["beside"]["near"]


def test_the_alarm_warns_or_stops_before_packing(finished: Finished, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(finished.path, run)
    inputs = finished.inputs
    loud = {"alarm": 0.0001, "on_alarm": "stop"}
    code, _, err = run_command(
        ["prepare", save_recipe(tmp_path / "a.yaml", messy_recipe(inputs, run, dedup=loud))]
    )
    assert code == 3
    assert "over dedup.alarm 0.0%" in err
    assert "set dedup.on_alarm to warn" in err
    code, _, err = run_command(
        ["prepare", save_recipe(tmp_path / "b.yaml", messy_recipe(inputs, run, dedup={"alarm": 0.0001}))]
    )
    assert code == 0
    assert "rows (" in err
    assert json.loads((run / "run.json").read_bytes())["digest"] == finished.json["digest"]


def test_the_index_holds_no_text(finished: Finished) -> None:
    words = {
        word
        for row in rows(finished.path, "prepared")[:20]
        for message in row["messages"]
        for word in message["content"].split()
        if len(word) > 8 and word.isascii()
    }
    for path in (finished.path / "duplicates/index").iterdir():
        data = path.read_bytes()
        assert not [w for w in words if w.encode() in data]


def test_a_run_without_an_index(tmp_path: Path, finished: Finished) -> None:
    shutil.copytree(finished.path, tmp_path / "run")
    shutil.rmtree(tmp_path / "run/duplicates/index")
    code, _, err = run_command(["lookup", str(tmp_path / "run"), "anything"])
    assert code == 2
    assert "nothing is indexed" in err
