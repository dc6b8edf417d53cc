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
    assert [p.rsplit("/", 1)[-1] for p in read] == [f"{ledger.SNAPSHOT}.json"]


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


@pytest.mark.parametrize("data", [b"{half", b"{}", b"[]", b"", b'{"n":7,"seal":"0123456789abcdef"}'])
def test_a_damaged_record_counts_as_not_written(tmp_path: Path, data: bytes) -> None:
    run = str(tmp_path)
    ledger.commit(run, "p", "1", {"n": 1})
    storage.put(f"{run}/ledger/p/7.json", data)
    held = ledger.read(run, "p")
    assert held.records == {"1": {"n": 1}}
    assert [p.rsplit("/", 1)[-1] for p in held.damaged] == ["7.json"]
    ledger.compact(run, "p", ["1"])
    assert ledger.read(run, "p") == ledger.Ledger({"1": {"n": 1}}, ())


@pytest.mark.parametrize("data", [b"{half", b"{}", b"[]", b'{"1":5}', b'{"records":{},"seal":"0"}'])
def test_a_damaged_snapshot_is_passed_over(tmp_path: Path, data: bytes) -> None:
    run = str(tmp_path)
    ledger.commit(run, "p", "1", {"n": 1})
    ledger.compact(run, "p", ["1"])
    storage.put(f"{run}/ledger/p/{ledger.SNAPSHOT}.json", data)
    assert ledger.load(run, "p") == {"1": {"n": 1}}


def test_records_and_snapshots_without_seals_are_read(tmp_path: Path) -> None:
    """As older versions wrote them."""
    run = str(tmp_path)
    storage.put(f"{run}/ledger/p/1.json", b'{"n":1}')
    stamp = storage.entry(f"{run}/ledger/p/1.json").stamp
    storage.put(f"{run}/ledger/p/snapshot.json", ledger.dumps({"1": {"stamp": stamp, "record": {"n": 1}}}))
    assert ledger.read(run, "p") == ledger.Ledger({"1": {"n": 1}}, ())


def test_a_killed_start_leaves_few_records_outside_of_snapshots(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, records = str(tmp_path), {f"{n:08d}": {"n": n} for n in range(10)}
    monkeypatch.setattr(ledger, "SNAPSHOT_EVERY", 4)
    for start in (range(6), range(6, 10)):  # two starts, neither of which ends
        snapshots = ledger.Snapshots(run, "p")
        for n in start:
            ledger.commit(run, "p", f"{n:08d}", {"n": n})
            snapshots.add(f"{n:08d}", {"n": n})
    read: list[str] = []
    whole = storage.read_bytes
    monkeypatch.setattr(
        storage, "read_bytes", lambda path: read.append(path.rsplit("/", 1)[-1]) or whole(path)
    )
    assert ledger.load(run, "p") == records
    assert sorted(read) == ["00000004.json", "00000005.json", "snapshot-00000.json", "snapshot-00001.json"]
    ledger.compact(run, "p", records)
    assert [p.name for p in sorted((tmp_path / "ledger/p").glob("snapshot*"))] == ["snapshot.json"]
    assert ledger.load(run, "p") == records


def test_ordinals_go_on_where_the_last_plan_ended(tmp_path: Path) -> None:
    run = str(tmp_path)
    first = ledger.claim(run, {}, [fragment("a"), fragment("b")])
    second = ledger.claim(run, ledger.plans(run), [fragment("c")])
    assert [f.ordinal for f in [*first, *second]] == [0, 1, 2]
    assert ledger.plans(run) == {0: first, 1: second}


def test_nothing_new_claims_nothing(tmp_path: Path) -> None:
    assert ledger.claim(str(tmp_path), {}, []) == []
    assert ledger.plans(str(tmp_path)) == {}


def test_claiming_the_same_again_is_the_same(tmp_path: Path) -> None:
    run = str(tmp_path)
    assert ledger.claim(run, {}, [fragment("a")]) == ledger.claim(run, {}, [fragment("a")])


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
    assert ledger.plans(run) == {0: claimed}
    assert storage.entry(f"{run}/ledger/plan/00000.json").size < 10_000


@pytest.mark.parametrize("removed", [0, 1, 2])
def test_a_plan_that_was_removed_is_claimed_anew_with_its_ordinals(tmp_path: Path, removed: int) -> None:
    run = str(tmp_path)
    plans = [[fragment("a"), fragment("b")], [fragment("c")], [fragment("d"), fragment("e")]]
    claimed = [ledger.claim(run, ledger.plans(run), plan) for plan in plans]
    (tmp_path / f"ledger/plan/{removed:05d}.json").unlink()
    assert ledger.claim(run, ledger.plans(run), plans[removed]) == claimed[removed]
    assert ledger.plans(run) == dict(enumerate(claimed))


def test_what_does_not_fit_where_a_plan_was_removed_comes_last(tmp_path: Path) -> None:
    run = str(tmp_path)
    for plan in ([fragment("a")], [fragment("b")]):
        ledger.claim(run, ledger.plans(run), plan)
    (tmp_path / "ledger/plan/00000.json").unlink()
    assert [f.ordinal for f in ledger.claim(run, ledger.plans(run), [fragment("x"), fragment("y")])] == [2, 3]
    assert sorted(ledger.plans(run)) == [1, 2]


@pytest.mark.parametrize("data", [b"{half", b"{}", b'{"fragments":3}'])
def test_a_damaged_plan_is_named_with_what_to_do(tmp_path: Path, data: bytes) -> None:
    storage.put(f"{tmp_path}/ledger/plan/00000.json", data)
    with pytest.raises(LedgerError, match=r"00000\.json is damaged.*Remove that file and start again"):
        ledger.plans(str(tmp_path))
