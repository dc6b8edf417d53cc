"""All training rows are looked at, in whatever parts; membership compares rows of the same files."""

from pathlib import Path

import numpy as np
import pytest

from headrace.cluster import storage
from headrace.pipelines.evaluate.gates import probing, training
from headrace.pipelines.train.watch.samples import Sample
from tests.pipelines import toys

PLAIN = [toys.WORDS.index(word) for word in (*toys.KINDS, "what", "is", "a", "it")]


def answer(number: int, words: int = 12) -> str:
    """Words that nothing foretells."""
    drawn = np.random.default_rng(number).choice(PLAIN, words)
    return " ".join(toys.WORDS[at] for at in drawn)


def packed(run: Path, answers: list[str], row_group: int, side: str = "train", ordinal: int = 0) -> str:
    """Rows `? ANSWER` of one fragment."""
    given = []
    for text in answers:
        ids = [toys.WORDS.index(word) for word in ("?", *text.split(), "<end>")]
        given.append((ids, [-100, *ids[1:]]))
    ids_of = [ordinal << 32 | at for at in range(len(given))]
    place = storage.join(str(run), "packed", side, f"part-{ordinal:08d}.parquet")
    storage.write_table(place, toys.pack(given, ids_of), row_group=row_group)
    return str(run)


def looked(run: str, model: str, answers: list[str], references: list[str], seed: int) -> training.Seen:
    prompts = ["?"] * len(answers)
    rows = [f"? {reference}" for reference in references]
    return training.look(run, model, training.Sought(answers, references, prompts, rows), seed)


@pytest.mark.parametrize("row_group", [1, 7, 100])
def test_every_row_is_looked_at(tmp_path: Path, toy_model: str, row_group: int) -> None:
    run = packed(tmp_path, [answer(at) for at in range(90)], row_group)
    said = [answer(at) for at in range(60, 80)] + [answer(at) for at in range(200, 220)]
    wanted = [answer(at) for at in range(300, 339)] + [answer(17)]
    seen = looked(run, toy_model, said, wanted, seed=1)
    assert seen.repeats.answers == seen.leaks.rows == 90
    assert seen.repeats.whole().tolist() == [at < 20 or at == 79 for at in range(80)]
    assert np.flatnonzero(seen.leaks.shares() >= 0.98).tolist() == [39]
    assert sorted(seen.answers) == sorted(answer(at) for at in range(90))


def test_what_is_drawn_hangs_on_seed_and_row_alone(
    tmp_path: Path, toy_model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "DRAWN", 10)
    texts = [answer(at) for at in range(40)]
    runs = [packed(tmp_path / str(group), texts, group) for group in (3, 50)]
    drawn = [
        looked(run, toy_model, texts[:20], texts[:20], seed=seed).answers for run in runs for seed in (1, 2)
    ]
    assert drawn[0] == drawn[2] != drawn[1] == drawn[3]
    assert len(drawn[0]) == 10


def test_membership_compares_rows_of_files_that_rows_are_held_out_of(tmp_path: Path) -> None:
    run = packed(tmp_path, [answer(1), answer(2)], 10, "test", ordinal=3)
    some = [Sample(np.arange(3), np.arange(3), ordinal << 32 | 7) for ordinal in (0, 3, 4, 3)]
    assert [sample.row_id >> 32 for sample in probing._alike(some, run, "test")] == [3, 3]
