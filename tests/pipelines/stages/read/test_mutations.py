"""Damaged files of every format, read in a process that is watched: none raises, ends it or hangs."""

import json

import pytest

from tests.benchmarks import mutations


def test_valid_files_are_read_whole(tmp_path) -> None:  # type: ignore[no-untyped-def]
    for name, data in mutations.valid().items():
        (tmp_path / name).write_bytes(data)
        found = mutations.read(tmp_path / name, {"shape": "question_answer"})
        assert found == {"": mutations.ROWS}, name


@pytest.mark.timeout(300)
def test_damaged_files_cost_themselves() -> None:
    found = list(mutations.watched(0, 300))
    assert [(what, seed, more) for what, seed, more in found if what != "done"] == []
    assert len(found) == 300
    causes = {cause for _, _, more in found for cause in json.loads(more)}
    assert {"", "read.corrupt", "read.truncated", "read.malformed_json"} <= causes


def test_the_same_seed_is_the_same_file() -> None:
    assert mutations.mutated(17) == mutations.mutated(17)
    assert mutations.mutated(17) != mutations.mutated(18)
