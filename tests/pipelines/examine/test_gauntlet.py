"""The gauntlet counts rightly, and a planted fault goes through the product's own check."""

import numpy as np
import pytest

from tests.benchmarks.gauntlet import __main__ as gauntlet
from tests.benchmarks.gauntlet import alarms, plants
from tests.benchmarks.gauntlet.plants import Planted
from tests.benchmarks.gauntlet.sets import Row, answer, asked


@pytest.mark.parametrize(
    ("found", "wrong", "line"),
    [
        (20, 2, (20, 20, 1.0, 100, 2, 0.02, "yes")),
        (19, 0, (20, 19, 0.95, 100, 0, 0.0, "yes")),
        (18, 0, (20, 18, 0.9, 100, 0, 0.0, "no")),
        (20, 3, (20, 20, 1.0, 100, 3, 0.03, "no")),
    ],
)
def test_recall_is_of_planted_rows_and_false_alarms_of_clean_ones(
    found: int, wrong: int, line: tuple[object, ...]
) -> None:
    flags = np.zeros(100, np.bool_)
    flags[30:] = True  # flags on rows that are not planted are no recall
    flags[:30] = False
    flags[:found] = True
    quiet = np.arange(100) < wrong
    assert gauntlet.scored(Planted([], [*range(20)], {}), flags, quiet) == line


def test_a_plant_hangs_on_its_seed_alone_and_names_its_places() -> None:
    rows = forms(200)
    first, again, other = (plants.drift(rows, np.random.default_rng(seed)) for seed in (3, 3, 4))
    assert first == again
    assert first.places != other.places
    assert [at for at, row in enumerate(first.rows) if row != rows[at]] == first.places


def test_answers_that_do_not_end_as_they_began_are_flagged_and_no_others() -> None:
    planted = plants.drift(forms(60), np.random.default_rng(0))
    trial = gauntlet.Trial(("own",), plants.drift, alarms.drift)
    lines = [*gauntlet.measured(trial, forms(60), 1, {})]
    assert lines == [(0, "headrace", 3, 3, 1.0, 60, 0, 0.0, "yes")]
    assert len(planted.places) == 3


def test_an_alarm_has_to_say_what_was_planted() -> None:
    rows = [asked(f"Où est la clé de la cave numéro {n} ?", "Derrière la porte.") for n in range(40)]
    planted = plants.mojibake(rows, np.random.default_rng(1))
    at = planted.places[0]
    assert planted.truth[at] != planted.rows[at][0][1]
    assert alarms.mojibake(planted.rows, planted.truth)[planted.places].all()
    assert not alarms.mojibake(planted.rows, {at: "Où est la porte ?"})[at]
    assert not alarms.mojibake(rows).any()


def forms(count: int) -> list[Row]:
    """Questions whose answers are JSON."""
    kinds = ("small", "large", "round", "flat", "old")
    made = [
        asked(f"Describe object number {n} of the cellar", f'{{"number": {n}, "kind": "{kinds[n % 5]}"}}')
        for n in range(count)
    ]
    assert len({answer(row) for row in made}) == count
    return made
