"""What is committed is not asked again, and workers that share the batches find what one alone would."""

from pathlib import Path

import pytest

from headrace.cluster import storage
from headrace.pipelines.evaluate.arms import pieces
from headrace.pipelines.evaluate.arms.pieces import Group, Pieces, Share

GROUPS = [[3, 0], [1, 2], [4]]
KEY = "0f"


def asked(log: list[Group], dies_at: int | None = None) -> pieces.Callable[[Group], pieces.Found]:
    """Ten times each sample; `dies_at`: calls after which it ends as if it was killed."""

    def ask(group: Group) -> pieces.Found:
        if dies_at is not None and len(log) == dies_at:
            raise KeyboardInterrupt
        log.append(group)
        return [[10 * sample] for sample in group]

    return ask


def test_a_killed_one_goes_on_where_it_was(tmp_path: Path) -> None:
    own, log = Pieces(str(tmp_path), KEY), list[Group]()
    with pytest.raises(KeyboardInterrupt):
        own.all("answers", GROUPS, 5, asked(log, dies_at=2))
    assert pieces.progress(str(tmp_path)) == {(KEY, "answers"): (4, 5)}
    assert own.all("answers", GROUPS, 5, asked(log)) == [[0], [10], [20], [30], [40]]
    assert log == GROUPS, "each once"
    assert own.all("losses", GROUPS, 5, asked(log)) is not None
    assert log == GROUPS * 2, "something else of the same samples"
    pieces.remove(str(tmp_path))
    assert pieces.progress(str(tmp_path)) == {}
    assert storage.listing(str(tmp_path)) == []


def test_batches_of_other_samples_are_asked_again(tmp_path: Path) -> None:
    own, log = Pieces(str(tmp_path), KEY), list[Group]()
    own.all("answers", [[0, 1]], 2, asked(log))
    assert own.all("answers", [[1, 0]], 2, asked(log)) == [[0], [10]]
    assert len(log) == 2


@pytest.mark.parametrize("workers", [2, 3, 5])
def test_shares_are_put_together_without_asking(tmp_path: Path, workers: int) -> None:
    alone = Pieces().all("answers", GROUPS, 5, asked([]))
    for first in range(workers):
        log: list[Group] = []
        own = Pieces(str(tmp_path), KEY, Share(first, workers)).all("answers", GROUPS, 5, asked(log))
        assert (own is None) == (first + 1 < min(workers, len(GROUPS))), "the last one finds all the others"
        assert log == GROUPS[first::workers]
    log = []
    assert Pieces(str(tmp_path), KEY).all("answers", GROUPS, 5, asked(log)) == alone
    assert not log


def test_of_nothing_there_is_nothing(tmp_path: Path) -> None:
    assert Pieces(str(tmp_path), KEY).all("answers", [], 0, asked([])) == []
    assert Pieces(str(tmp_path), KEY, Share(0, 2)).all("answers", [], 0, asked([])) == []
