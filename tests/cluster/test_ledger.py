"""The ledger: records, snapshots and claims."""

from pathlib import Path

import pytest

from headrace.cluster import ledger, storage
from headrace.cluster.errors import LedgerError
from headrace.cluster.fragments import Fragment, Range


def fragment(name: str) -> Fragment:
    return Fragment("s", "ranges", (Range(f"/data/{name}", name, 10, "stamp"),))


def test_records_come_back_sorted_by_unit(tmp_path: Path) -> None:
    run = str(tmp_path)
    ledger.commit(run, "p", "2", {"n": 2})
    ledger.commit(run, "p", "1", {"n": 1})
    assert list(ledger.load(run, "p").items()) == [("1", {"n": 1}), ("2", {"n": 2})]
    assert ledger.load(run, "other") == {}


def test_snapshot_answers_without_the_records(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = str(tmp_path)
    for n in range(5):
        ledger.commit(run, "p", str(n), {"n": n})
    before = ledger.load(run, "p")
    ledger.compact(run, "p", before)
    read: list[str] = []
    whole = storage.read_bytes
    monkeypatch.setattr(storage, "read_bytes", lambda path: read.append(path) or whole(path))
    assert ledger.load(run, "p") == before
    assert [p.rsplit("/", 1)[-1] for p in read] == [ledger.SNAPSHOT]


def test_a_record_written_after_the_snapshot_counts(tmp_path: Path) -> None:
    run = str(tmp_path)
    ledger.commit(run, "p", "0", {"key": "old"})
    ledger.compact(run, "p", ["0"])
    ledger.commit(run, "p", "0", {"key": "new"})
    ledger.commit(run, "p", "1", {"key": "x"})
    assert ledger.load(run, "p") == {"0": {"key": "new"}, "1": {"key": "x"}}


def test_compaction_forgets_units_that_are_not_live(tmp_path: Path) -> None:
    run = str(tmp_path)
    for n in range(3):
        ledger.commit(run, "p", str(n), {"n": n})
    ledger.compact(run, "p", ["1"])
    assert ledger.load(run, "p") == {"1": {"n": 1}}


def test_a_damaged_record_is_named(tmp_path: Path) -> None:
    storage.put(str(tmp_path / "ledger/p/7.json"), b"{half")
    with pytest.raises(LedgerError, match=r"7.json is not JSON; the run directory is damaged"):
        ledger.load(str(tmp_path), "p")


def test_ordinals_go_on_where_the_last_plan_ended(tmp_path: Path) -> None:
    run = str(tmp_path)
    first = ledger.claim(run, {}, [fragment("a"), fragment("b")])
    second = ledger.claim(run, ledger.plans(run), [fragment("c")])
    assert [f.ordinal for f in [*first, *second]] == [0, 1, 2]
    assert ledger.plans(run) == [first, second]


def test_nothing_new_claims_nothing(tmp_path: Path) -> None:
    assert ledger.claim(str(tmp_path), [], []) == []
    assert ledger.plans(str(tmp_path)) == []


def test_claiming_the_same_again_is_the_same(tmp_path: Path) -> None:
    run = str(tmp_path)
    assert ledger.claim(run, {}, [fragment("a")]) == ledger.claim(run, [], [fragment("a")])


def test_two_runs_that_plan_at_once_do_not_mix(tmp_path: Path) -> None:
    run = str(tmp_path)
    ledger.claim(run, {}, [fragment("a")])
    with pytest.raises(LedgerError, match="another run is writing into"):
        ledger.claim(run, {}, [fragment("b")])


def test_keys_depend_on_values_alone() -> None:
    assert ledger.key({"a": 1, "b": [2]}) == ledger.key({"b": [2], "a": 1})
    assert ledger.key("ab", "c") != ledger.key("a", "bc")


def test_buckets_share_their_ranges_in_the_plan(tmp_path: Path) -> None:
    run = str(tmp_path)
    ranges = tuple(Range(f"/data/{n}", str(n), 10, "stamp") for n in range(50))
    buckets = [Fragment("g", "grouped", ranges, bucket=k, buckets=20) for k in range(20)]
    claimed = ledger.claim(run, {}, [fragment("a"), *buckets, fragment("z")])
    assert ledger.plans(run) == [claimed]
    assert storage.entry(f"{run}/ledger/plan/00000.json").size < 10_000
