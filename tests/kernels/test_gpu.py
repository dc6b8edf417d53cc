"""GPU kernels: parity in a process of its own, machine code for Hopper, and who gets a GPU at all."""

import inspect
import os
import subprocess
import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import pytest

from headrace.kernels import dispatch

HERE = Path(__file__).parent
REPOSITORY = HERE.parents[1]
HOMES = ("sketch", "hamming")
# Past their caches, for each is found out once; and before the fixture that stands for the first of them.
GIVEN, MISSING = dispatch.gpu_given.__wrapped__, dispatch.gpu_missing.__wrapped__

pytestmark = pytest.mark.skipif(
    find_spec("torch") is None or find_spec("triton") is None, reason="torch or triton is not installed"
)


def python(*arguments: str, **environment: str) -> str:
    """Standard output of a Python process of its own."""
    kept = {k: v for k, v in os.environ.items() if k not in ("TRITON_INTERPRET", "CUDA_VISIBLE_DEVICES")}
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=REPOSITORY,
        env={**kept, **environment},
        capture_output=True,
        text=True,
        timeout=500,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    return done.stdout


def test_parity() -> None:
    """Compiled where there is a GPU, else interpreted."""
    environment = {"TRITON_INTERPRET": "1"} if dispatch.gpu_missing() else {}
    printed = python("-m", "pytest", "-q", "-p", "no:randomly", str(HERE / "gpu_parity.py"), **environment)
    assert " passed" in printed
    assert "skipped" not in printed


COMPILED = '''
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from headrace.kernels.hamming import gpu as hamming
from headrace.kernels.sketch import warps

WORDS = ("words", "least", "dense", "planes", "signatures", "keys")
LONGS = ("starts", "stops", "ends", "order", "behind", "pairs", "masks")
KINDS = {**dict.fromkeys(WORDS, "*u64"), **dict.fromkeys(LONGS, "*i64")}
KINDS |= {"rows": "*i32", "counts": "*i32", "filled": "*u8", "keep": "*i1"}

def compiled(kernel, **fixed):
    """PTX; a count of 1 is a constant to Triton's launcher, as it is here where `fixed` holds it."""
    fixed["block"] = 128
    kinds = {name: "constexpr" if name in fixed else KINDS.get(name, "i32") for name in kernel.arg_names}
    made = triton.compile(ASTSource(kernel, kinds, fixed), target=GPUTarget("cuda", 90, 32))
    assert b"ELF" in made.asm["cubin"][:8] and ".target sm_90" in made.asm["ptx"], kernel
    assert ".local" not in made.asm["ptx"], kernel
    return made.asm["ptx"]

for ngram, bins, upper in ((8, 32, False), (8, 0, True), (3, 64, False), (16, 1024, False)):
    ptx = compiled(warps.count_chunks, ngram=ngram, bins=bins, shift=65 - bins.bit_length(), upper=upper)
    assert ptx.count("min.u64") == (8 if bins else 0) and ptx.count(".cg.b64") == (8 if bins else 0)
compiled(warps.count_chunks, ngram=8, bins=32, shift=59, upper=False, n=1, chunks=1)
for few in ({}, {"n": 1, "chunks": 1, "step": 1}):
    compiled(warps.join_chunks, **few)
compiled(warps.majority, ngram=8)
compiled(warps.majority, ngram=8, n=1, chunks=1)
compiled(warps.densify, bins=32)
compiled(warps.band_keys, bins=2, bands=1, total=1)
compiled(warps.band_keys, bins=32, bands=8)
for width in (1, 2):
    for fill in (False, True):
        assert compiled(hamming.compare, width=width, fill=fill).count("popc.b64") == 8 * width
        compiled(hamming.compare, width=width, fill=fill, strips=1, span=1, max_distance=1)
    compiled(hamming.found_first, width=width, total=1, table=1)
KINDS["words"] = "*i64"
compiled(hamming.found_first, width=2)
print("compiled")
'''


def test_kernels_compile_for_hopper(tmp_path: Path) -> None:
    """To machine code, with the instructions that their speed rests on; needs no GPU."""
    assert python("-c", COMPILED, TRITON_CACHE_DIR=str(tmp_path)) == "compiled\n"


@pytest.mark.parametrize("home", HOMES)
def test_same_functions_as_the_cpu(home: str) -> None:
    cpu, gpu = (import_module(f"headrace.kernels.{home}.{name}") for name in ("cpu", "gpu"))
    shared = ("sketch",) if home == "sketch" else ("all_pairs", "table_pairs")
    for name in shared:
        assert inspect.signature(getattr(gpu, name)) == inspect.signature(getattr(cpu, name))


def test_no_gpu_code_is_loaded_unasked() -> None:
    code = (
        "import sys, numpy\nfrom headrace import kernels\n"
        "kernels.fingerprint(['some text']), kernels.hamming_pairs(numpy.arange(3, dtype='u8'), 1)\n"
        "print({'torch', 'triton'} & set(sys.modules))\n"
    )
    assert python("-c", code) == "set()\n"


def test_a_gpu_that_is_there_is_taken_only_if_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dispatch, "gpu_missing", lambda: "")
    for named, taken in ((None, False), ("", False), ("-1", False), ("0", True), ("GPU-8f1c", True)):
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
        if named is not None:
            monkeypatch.setenv("CUDA_VISIBLE_DEVICES", named)
        assert GIVEN() is taken
    monkeypatch.setattr(dispatch, "gpu_missing", lambda: "it is broken")
    assert not GIVEN()


def test_refuses_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dispatch, "gpu_missing", lambda: "PyTorch sees no CUDA device")
    with pytest.raises(RuntimeError, match=r"kernels\.sketch: PyTorch sees no CUDA device"):
        dispatch.choose("headrace.kernels.sketch", "gpu")
    with pytest.raises(ValueError, match=r"kernels\.graph has no gpu"):
        dispatch.choose("headrace.kernels.graph", "gpu")


def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)

    def no_driver(name: str) -> None:
        raise OSError(name)

    monkeypatch.setattr("ctypes.CDLL", no_driver)
    assert "libcuda" in MISSING()
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    assert MISSING() == ""
    monkeypatch.setattr(dispatch, "find_spec", lambda name: None if name == "triton" else object())
    assert MISSING() == "triton is not installed"
