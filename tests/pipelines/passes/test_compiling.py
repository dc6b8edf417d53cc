"""Kernels are compiled once: all of them, counted as they are done, and never again with a stamp."""

import re
import sys
from pathlib import Path

import pytest

from headrace.cluster.errors import UserError
from headrace.pipelines.passes import compiling

REPOSITORY = Path(__file__).resolve().parents[3]


def test_no_module_that_compiles_is_left_out() -> None:
    jitted = [
        path
        for floor in ("kernels", "pipelines")
        for path in (REPOSITORY / floor).rglob("*.py")
        if re.search(r"^@(numba\.)?njit\(.*cache=True", path.read_text(), re.MULTILINE)
    ]
    named = {"headrace." + ".".join(p.relative_to(REPOSITORY).with_suffix("").parts) for p in jitted}
    # What these compile is compiled by whoever calls them.
    traits = {
        f"headrace.pipelines.stages.traits.{name}" for name in ("damage", "form", "language", "signals")
    }
    kernels = {f"headrace.kernels.{name}" for name in ("bits", "grams.aligned")}
    inner = {"headrace.pipelines.stages.tokenise.programs", *kernels, *traits}
    assert named - inner <= set(compiling.modules())


@pytest.fixture
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three modules that leave a file when they are warmed, in place of ours; their folder."""
    for n in range(3):
        code = "from pathlib import Path\ndef warm():\n    Path(__file__ + '.warmed').touch()\n"
        (tmp_path / f"module_{n}.py").write_text(code)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    monkeypatch.setattr(compiling, "modules", lambda: [f"module_{n}" for n in range(3)])
    monkeypatch.setattr(compiling, "_stamp", lambda: tmp_path / "cache" / "stamp")
    return tmp_path


def test_each_is_compiled_once_and_counted(modules: Path) -> None:
    told: list[tuple[int, int]] = []
    assert compiling.warm(lambda done, of: told.append((done, of))) == 3
    assert told == [(0, 3), (1, 3), (2, 3), (3, 3)]
    assert len(list(modules.glob("*.warmed"))) == 3
    assert compiling.warm(lambda done, of: told.append((done, of))) == 0
    assert len(told) == 4


def test_what_cannot_be_compiled_is_said_and_leaves_no_stamp(modules: Path) -> None:
    (modules / "module_1.py").write_text("def warm():\n    raise RuntimeError('no locator available')\n")
    with pytest.raises(UserError, match="NUMBA_CACHE_DIR"):
        compiling.warm(lambda done, of: None)
    assert not (modules / "cache" / "stamp").exists()


def test_the_stamp_is_of_these_sources(monkeypatch: pytest.MonkeyPatch) -> None:
    before = compiling._stamp()
    assert before == compiling._stamp()
    monkeypatch.setattr(compiling, "version", lambda name: "another")
    assert before != compiling._stamp()
    assert before.parent == compiling._stamp().parent
