"""Fixtures of all tests of the pipelines: one finished run, one toy model, one key."""

import fcntl
import os

import pytest

from tests.builders import PII_KEY, Finished, finish


@pytest.fixture(scope="session")
def finished(ray_local: None, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """One run over the messy sample for all test processes; a test that changes a run copies it."""
    folder = tmp_path_factory.getbasetemp() / "finished"
    if "PYTEST_XDIST_WORKER" in os.environ:  # below the directory that the processes share
        folder = tmp_path_factory.getbasetemp().parent / "finished"
    folder.mkdir(exist_ok=True)
    printed = folder / "printed"
    with open(folder / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not printed.exists():
            printed.write_text(finish(folder).out)
    return Finished(folder / "in", str(folder / "recipe.yaml"), folder / "run", printed.read_text())


@pytest.fixture
def pii_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """The key that stand-ins hang on."""
    monkeypatch.setenv("HEADRACE_PII_KEY", PII_KEY)


@pytest.fixture(scope="session")
def toy_model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Directory of `toys.model`."""
    from tests.pipelines import toys  # torch takes seconds to import

    return toys.model(tmp_path_factory.mktemp("model"))
