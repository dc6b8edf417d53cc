"""Cutting files into fragments."""

import json
import random
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.cluster.fragments import Cut, File, Fragment, cut, inputs


def by_suffix(file: File) -> Cut | None:
    """How the tests' files may be cut."""
    if file.relative.endswith(".jsonl"):
        return "bytes"
    return "row_groups" if file.relative.endswith(".parquet") else None


def a_file(relative: str, size: int, stamp: str = "1", source: str = "s") -> File:
    return File(source, f"/data/{relative}", relative, size, stamp)


listings = st.lists(
    st.tuples(
        st.sampled_from("abcdefgh"), st.sampled_from([".jsonl", ".json", ".jsonl.gz"]), st.integers(0, 5000)
    ),
    max_size=12,
    unique_by=lambda t: t[:2],
).map(lambda names: [a_file(n + suffix, size) for n, suffix, size in names])


@settings(max_examples=60, deadline=None)
@given(listings, st.integers(1, 3000), st.randoms())
def test_every_byte_is_in_one_fragment_whatever_the_order_of_the_listing(
    files: list[File], fragment_size: int, shuffle: random.Random
) -> None:
    fragments = cut(files, fragment_size, by_suffix)
    shuffled = list(files)
    shuffle.shuffle(shuffled)
    assert cut(shuffled, fragment_size, by_suffix) == fragments
    owned: dict[str, list[tuple[int, int]]] = {}
    for fragment in fragments:
        for r in fragment.ranges:
            owned.setdefault(r.relative, []).append((r.start, r.size if r.stop < 0 else r.stop))
    assert sorted(owned) == sorted(f.relative for f in files)
    for file in files:
        spans = sorted(owned[file.relative])
        assert spans[0][0] == 0
        assert spans[-1][1] == file.size
        assert all(a[1] == b[0] for a, b in pairwise(spans))
        if len(spans) > 1:
            assert all(b - a <= fragment_size for a, b in spans)
    assert [f.order for f in fragments] == sorted(f.order for f in fragments)
    assert len({f.identity for f in fragments}) == len(fragments)


def test_small_files_are_combined_and_big_ones_cut_or_streamed() -> None:
    files = [a_file(n, s) for n, s in [("a.jsonl", 40), ("b.json", 50), ("c.jsonl", 250), ("d.json", 300)]]
    files += [a_file("e.jsonl.gz", 20), a_file("f.jsonl.gz", 30)]
    fragments = cut(files, 100, by_suffix)
    kinds = [(f.kind, [(r.relative, r.start, r.stop) for r in f.ranges]) for f in fragments]
    assert kinds == [
        ("ranges", [("a.jsonl", 0, -1), ("b.json", 0, -1)]),
        ("ranges", [("c.jsonl", 0, 83)]),
        ("ranges", [("c.jsonl", 83, 166)]),
        ("ranges", [("c.jsonl", 166, 250)]),
        ("stream", [("d.json", 0, -1)]),
        ("ranges", [("e.jsonl.gz", 0, -1)]),  # counts 80: four times what it stores
        ("stream", [("f.jsonl.gz", 0, -1)]),
    ]


def test_identity_leaves_out_root_and_ordinal_but_not_content() -> None:
    (one,) = cut([a_file("a.jsonl", 10)], 100, by_suffix)
    elsewhere = replace(one.ranges[0], path="s3://bucket/a.jsonl")
    assert replace(one, ordinal=7, ranges=(elsewhere,)).identity == one.identity
    (changed,) = cut([a_file("a.jsonl", 10, stamp="2")], 100, by_suffix)
    assert changed.identity != one.identity


def test_json_round_trip() -> None:
    for fragment in cut([a_file("a.jsonl", 1000)], 100, by_suffix, grouped={"s"}):
        assert Fragment.from_json(json.loads(json.dumps(fragment.to_json()))) == fragment


def test_known_fragments_stay_as_they_are_when_files_come_and_go() -> None:
    first = [a_file("b.jsonl", 40), a_file("c.jsonl", 40), a_file("d.jsonl", 90)]
    known = [replace(f, ordinal=i) for i, f in enumerate(cut(first, 100, by_suffix))]
    assert [[r.relative for r in f.ranges] for f in known] == [["b.jsonl", "c.jsonl"], ["d.jsonl"]]
    added = cut([*first, a_file("a.jsonl", 5)], 100, by_suffix, known=known)
    assert added[:2] == known
    assert [(f.ordinal, [r.relative for r in f.ranges]) for f in added[2:]] == [(-1, ["a.jsonl"])]
    # c has changed: b, which stood beside it, is cut anew with it; d stays.
    changed = cut([first[0], a_file("c.jsonl", 41, stamp="2"), first[2]], 100, by_suffix, known=known)
    assert [(f.ordinal, [r.relative for r in f.ranges]) for f in changed] == [
        (1, ["d.jsonl"]),
        (-1, ["b.jsonl", "c.jsonl"]),
    ]


def test_known_fragments_are_read_where_the_files_lie_now() -> None:
    known = [replace(f, ordinal=0) for f in cut([a_file("a.jsonl", 10)], 100, by_suffix)]
    moved = File("s", "s3://bucket/a.jsonl", "a.jsonl", 10, "1")
    (kept,) = cut([moved], 100, by_suffix, known=known)
    assert (kept.ordinal, kept.ranges[0].path) == (0, "s3://bucket/a.jsonl")


def test_a_file_that_can_no_longer_be_cut_is_cut_anew() -> None:
    known = [replace(f, ordinal=i) for i, f in enumerate(cut([a_file("a.jsonl", 200)], 100, by_suffix))]
    (whole,) = cut([a_file("a.jsonl", 200)], 100, lambda f: None, known=known)
    assert (whole.kind, whole.ordinal) == ("stream", -1)


def test_a_grouped_source_becomes_buckets_and_is_redone_whole() -> None:
    files = [a_file("a.jsonl", 150), a_file("b.jsonl", 90), a_file("x.jsonl", 10, source="other")]
    fragments = cut(files, 100, by_suffix, grouped={"s"})
    buckets = [f for f in fragments if f.source == "s"]
    assert [(f.kind, f.bucket, f.buckets) for f in buckets] == [("grouped", k, 3) for k in range(3)]
    assert all(f.ranges == buckets[0].ranges for f in buckets)
    assert [(r.relative, r.start, r.stop) for r in buckets[0].ranges] == [
        ("a.jsonl", 0, 75),
        ("a.jsonl", 75, 150),
        ("b.jsonl", 0, -1),
    ]
    assert [len(f.ranges) for f in inputs(buckets[1], 100)] == [1, 1, 1]
    assert sum(f.bytes for f in inputs(buckets[0])) == 240
    known = [replace(f, ordinal=i) for i, f in enumerate(fragments)]
    assert cut(files, 100, by_suffix, grouped={"s"}, known=known) == known
    more = cut([*files, a_file("c.jsonl", 10)], 100, by_suffix, grouped={"s"}, known=known)
    assert [f.ordinal for f in more if f.source == "s"] == [-1, -1, -1]
    assert [f.ordinal for f in more if f.source == "other"] == [0]


@pytest.mark.parametrize("fragment_size", [1, 3000, 10**6])
def test_parquet_is_cut_by_row_groups(tmp_path: Path, fragment_size: int) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"x": list(range(2000))}), path, row_group_size=250)
    size = path.stat().st_size
    fragments = cut([File("s", str(path), "a.parquet", size, "1")], fragment_size, by_suffix)
    spans = [(f.ranges[0].start, f.ranges[0].stop) for f in fragments]
    if fragment_size > size:
        assert spans == [(0, -1)]
    else:
        assert spans[0][0] == 0
        assert spans[-1][1] == 8
        assert all(a[1] == b[0] for a, b in pairwise(spans))
        assert all(f.bytes <= fragment_size or f.ranges[0].stop == f.ranges[0].start + 1 for f in fragments)


def test_a_truncated_parquet_file_is_left_to_its_reader(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"x": list(range(2000))}), path)
    path.write_bytes(path.read_bytes()[:-100])
    (one,) = cut([File("s", str(path), "a.parquet", path.stat().st_size, "1")], 100, by_suffix)
    assert (one.kind, one.ranges[0].stop) == ("ranges", -1)
