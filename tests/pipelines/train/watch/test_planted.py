"""Planted faults ring the alarms of a whole training, and a clean one rings none: the benchmark in small."""

from pathlib import Path

import pytest

from tests.benchmarks import watch_alarms

STEPS = 30


@pytest.fixture(scope="module")
def taught(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, watch_alarms.World]:
    world = watch_alarms.World(0)
    return watch_alarms.base(tmp_path_factory.mktemp("base"), world, 300), world


@pytest.mark.parametrize("name", ["clean 0", "no number", "rate 1e30", "rate too low"])
def test_an_alarm_rings_where_something_is_wrong(
    taught: tuple[str, watch_alarms.World], tmp_path: Path, name: str
) -> None:
    case = next(c for c in watch_alarms.cases(1, STEPS, 1) if c.name == name)
    found = dict(
        zip(
            watch_alarms.NAMES,
            watch_alarms.line(case._replace(rows=160, validation=24), tmp_path, *taught),
            strict=True,
        )
    )
    assert found["right"], found
