"""The package: cheap to import, and compiled at once."""

import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from headrace import kernels
from headrace.kernels.dispatch import choose, cut, threads

REPOSITORY = Path(__file__).resolve().parents[2]


def run(code: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=REPOSITORY,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout.strip()


def test_import_is_cheap() -> None:
    code = "import sys, headrace.kernels; print(sorted({'numba', 'numpy', 'pyarrow'} & set(sys.modules)))"
    assert run(code) == "[]"


def test_public_names_exist_and_have_contracts() -> None:
    for name in kernels.__all__:
        assert getattr(kernels, name).__doc__.strip(), name
    assert set(kernels.__all__) <= set(dir(kernels))
    with pytest.raises(AttributeError, match="no_such"):
        _ = kernels.no_such


def test_every_kernel_has_both_implementations() -> None:
    for home in sorted(path.parent for path in (REPOSITORY / "kernels").glob("*/__init__.py")):
        for implementation in ("reference", "cpu"):
            assert (home / f"{implementation}.py").exists(), home


def test_dispatch_takes_the_path_it_names() -> None:
    assert choose("headrace.kernels.graph", "auto").__name__ == "headrace.kernels.graph.cpu"
    assert choose("headrace.kernels.graph", "cpu").__name__ == "headrace.kernels.graph.cpu"
    assert choose("headrace.kernels.graph", "reference").__name__ == "headrace.kernels.graph.reference"
    with pytest.raises(ValueError, match="gnu"):
        choose("headrace.kernels.graph", "gnu")  # type: ignore[arg-type]


def test_threads_follow_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert threads() == 3
    ranges = cut(np.array([0, 5, 5, 6, 20, 21, 30]), 1)
    assert ranges[0][0] == 0
    assert ranges[-1][1] == 6
    assert all(a[1] == b[0] for a, b in pairwise(ranges))
    assert len(ranges) <= 3
    monkeypatch.delenv("OMP_NUM_THREADS")
    assert threads() == len(os.sched_getaffinity(0))


def test_warm_compiles_everything() -> None:
    """What runs after it, over whatever layout, finds its code compiled."""
    code = """
import numpy as np, pyarrow as pa, importlib, pkgutil
from headrace import kernels
from numba.core.dispatcher import Dispatcher

def compiled():
    homes = [module.name for module in pkgutil.iter_modules(kernels.__path__) if module.ispkg]
    modules = [importlib.import_module(f"headrace.kernels.{home}.cpu") for home in homes]
    named = {(m.__name__, k): v for m in modules for k, v in vars(m).items() if isinstance(v, Dispatcher)}
    return {name: len(function.signatures) for name, function in named.items()}

kernels.warm()
before = compiled()
words = ["some words that are long enough", "others", None, "héllo wörld " * 20]
large = pa.array(words, pa.large_string())
for texts in (words, pa.array(words), large[1:], pa.chunked_array([large[:2], large])):
    folded = kernels.fold(texts)
    kernels.simhash(folded, bits=128), kernels.fingerprint(folded, ngram=5), kernels.content_hash(texts)
    kernels.chunks(texts, smallest=16, average=64, largest=256)
    kernels.jaccard(folded, [[0, 1]]), kernels.containment(texts, np.array([[0, 2], [0, 1]]))
    kernels.content_hash_lists([0, 1, 3], [1] * len(texts), texts)
kernels.components([[0, 1]], 3), kernels.pack([1, 2], 4), kernels.pack(np.arange(3, dtype=np.int32), 100_000)
for shape in ((100,), (100, 2)):
    signatures = np.random.default_rng(1).integers(0, 2**64, shape, np.uint64)
    kernels.hamming_pairs(signatures, 8), kernels.hamming_pairs(signatures, 8, 0.9)
after = compiled()
print({name: count for name, count in after.items() if count != before[name]})
"""
    assert run(code) == "{}"
