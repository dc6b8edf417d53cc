"""The gauntlet's model half in small: faults go through the product's own training, and alarms ring."""

from pathlib import Path

import pytest

from tests.benchmarks.gauntlet.models import __main__ as gauntlet
from tests.benchmarks.gauntlet.models import exports, made, plants, trial, world


@pytest.fixture(scope="module")
def taught(tmp_path_factory: pytest.TempPathFactory) -> world.World:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(world, "COPIED", 200)
        return world.made(tmp_path_factory.mktemp("base"), 1, 4)


def test_a_planted_fault_rings_its_gate_and_is_named(taught: world.World) -> None:
    plant = plants.PLANTS["empty answers"]
    said = trial.tried(taught, plant, "empty answers", 0)
    assert set(plant.must) <= said.rang
    assert said.diagnosis in plant.named
    assert said.decision != "ship"
    assert said.measured["empty"] > 0.1
    assert {"confusion", "copied", "contamination", "memorised"} <= said.measured.keys()


def test_the_same_seed_plants_the_same(taught: world.World) -> None:
    import random

    for plant in plants.PLANTS.values():
        first, again = (plant.make(taught, random.Random("3")) for _ in range(2))
        assert first == again
        assert not {*first.held} & {*first.rows} or plant.must == ("contamination",)


@pytest.mark.parametrize("name", exports.FAULTS)
def test_an_export_is_refused_where_it_is_broken(name: str) -> None:
    fault, words = exports.FAULTS[name]
    why = exports.refused(fault, 1)
    assert bool(why) == (fault is not None)
    assert words in why


def test_recall_is_of_faults_and_false_alarms_of_clean_runs(tmp_path: Path) -> None:
    tally = gauntlet.Tally()
    for rang in (True, True, False, True):
        tally.note("hot", "endless", "model", rang=rang)
    for rang in (False, True):
        tally.note("clean, x", "endless", "model", rang=rang)
        tally.note("clean, x", gauntlet.ANY, "model", rang=rang)
        tally.note("hot", gauntlet.DIAGNOSIS, "model", rang=rang)
    assert tally.share(clean=False) == (3, 4)
    assert tally.share(clean=True) == (1, 2)
    assert tally.share(clean=True, alarm=gauntlet.ANY) == (1, 2)
    assert tally.share(clean=False, alarm=gauntlet.DIAGNOSIS) == (1, 2)
    gauntlet.write(tmp_path / "out.csv", tally)
    lines = (tmp_path / "out.csv").read_text().splitlines()
    assert lines[0] == "plant,alarm,by,runs,rang,share"
    assert '"clean, x",endless,model,2,1,0.5' in lines
    assert "hot,endless,model,4,3,0.75" in lines


def test_made_answers_ring_where_they_are_broken() -> None:
    tally = gauntlet.Tally()
    gauntlet.of_made(tally, range(4))
    assert {plant for plant, _, _ in tally.runs} >= {"clean", "too sure", "slow", "skills lost"}
    assert len(list(made.drawn(0))) == 16
    assert tally.share(clean=True)[0] == 0
    assert tally.share(clean=False)[0] > 0.9 * tally.share(clean=False)[1]
