"""A few seeded faults (`tests.benchmarks.faults` strikes with hundreds): the same bytes in the end."""

import os
from pathlib import Path

import pytest

from tests.benchmarks import faults
from tests.builders import Finished

pytestmark = [pytest.mark.ray, pytest.mark.slow]
# By default one fault that ends a run midway; kills and damage have tests of their own.
SEEDS = range(len(faults.ON_DISK) - 1) if "HEADRACE_SLOW" in os.environ else (6,)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_run_ends_with_its_bytes_whatever_befell_it(seed: int, finished: Finished, tmp_path: Path) -> None:
    usual = faults.Usual(finished.digest, 30.0, 150)
    name, wrong, codes = faults.one(seed, str(tmp_path), finished.inputs, usual)
    assert not wrong, (name, codes)
