"""Fixtures of all tests of the pipelines: one finished run, one toy model, one key."""

import shutil
from collections.abc import Iterator

import pytest

from tests.builders import PII_KEY, Finished, finish


@pytest.fixture(scope="session")
def finished(ray_local: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Finished]:
    """One run over the messy sample for the whole session; a test that changes a run copies it."""
    folder = tmp_path_factory.mktemp("finished")
    yield finish(folder)
    shutil.rmtree(folder)


@pytest.fixture
def pii_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """The key that stand-ins hang on."""
    monkeypatch.setenv("HEADRACE_PII_KEY", PII_KEY)


@pytest.fixture(scope="session")
def toy_model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Directory of `toys.model`."""
    from tests.pipelines import toys  # torch takes seconds to import

    return toys.model(tmp_path_factory.mktemp("model"))
