"""Two commands after each other, of which the first has a changed recipe: what is stale, and what is said.

    python tests/benchmarks/staleness.py DIRECTORY [CHANGE ...] [--out staleness.csv]

A run is prepared, trained, evaluated and reported. Then a key is changed, and two of the four commands are
run with the changed recipe, in every order. For each: exit codes, warnings and errors, what run.json says is
stale, and whether the report gives a verdict. A verdict is right where packed rows, adapter and evaluation
are those of one another; whatever the recipe says beside it is said as a warning.

Cost: a training of two steps or an evaluation for most of 96 commands; ten minutes on a calm machine.
"""

import argparse
import contextlib
import csv
import io
import json
import os
import re
import shutil
import sys
from dataclasses import dataclass
from itertools import permutations
from pathlib import Path
from typing import Any

import torch
import yaml
from transformers import LlamaConfig, LlamaForCausalLM

from headrace.pipelines.cli import main as cli
from headrace.pipelines.stages.tokenise import assets

COMMANDS = ("prepare", "train", "evaluate", "report")
CHANGES: dict[str, str] = {
    "seed": "seed=4",
    "split": "split.test=0.35",
    "train key": "train.learning_rate=0.02",
    "model": "model=other",
}


NOISE = re.compile("it/s]|Warning: |warnings.warn")  # of libraries, on standard error


@dataclass(frozen=True)
class Said:
    """How one command ended: exit code, and the warnings and errors among what it said."""

    command: str
    code: int
    words: tuple[str, ...]


@dataclass(frozen=True)
class State:
    """What a run says of itself: what is stale, and whether its report has a verdict on evaluation."""

    stale: dict[str, str]
    verdict: bool


def model(folder: Path, seed: int) -> str:
    """A Llama of one layer with the tokenizer that ships with headrace."""
    torch.manual_seed(seed)
    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = LlamaConfig(vocab_size=4096, max_position_embeddings=256, num_key_value_heads=1, **sizes)
    LlamaForCausalLM(config).save_pretrained(folder)
    for file in (Path(assets.__file__).parent / "tokenizer").iterdir():
        shutil.copy(file, folder)
    return str(folder)


def begin(folder: Path) -> Path:
    """A recipe over some sums, and two models; returns the recipe's path."""
    model(folder / "model", 1), model(folder / "other", 2)
    lines = [
        json.dumps({"question": f"what is {n} plus {n}?", "answer": f"it is {2 * n}"}) for n in range(90)
    ]
    (folder / "sums.jsonl").write_text("\n".join(lines) + "\n")
    recipe = {
        "output": str(folder / "run"),
        "sources": [{"name": "sums", "path": str(folder / "sums.jsonl")}],
        "model": str(folder / "model"),
        "pii": {"enabled": False},
        "split": {"validation": 0.1, "test": 0.3},
        "tokenise": {"max_length": 64},
        "train": {"rank": 2, "max_steps": 2, "batch_size": 4, "workers": 1, "use_gpu": False},
        "evaluate": {"metrics": ["loss"]},
    }
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump(recipe))
    return path


def run(command: str, recipe: Path, *overrides: str) -> Said:
    """One command in this process."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = cli.main([command, str(recipe), *overrides, "--json"])
    events = [json.loads(line) for line in out.getvalue().splitlines() if line.startswith("{")]
    words = [
        str(e.get("text", e.get("message", ""))) for e in events if e.get("event") in ("warning", "error")
    ]
    words += [line for line in err.getvalue().splitlines() if line]
    return Said(command, code, tuple(dict.fromkeys(words)))


def state(path: Path) -> State:
    """What run.json and the report of a run say."""
    written: dict[str, Any] = json.loads((path / "run.json").read_bytes())
    evaluated = written.get("evaluate") or {}
    return State(written.get("stale") or {}, bool(evaluated) and not evaluated.get("stale"))


def override(change: str, folder: Path) -> str:
    """The override of a change; a model is a path below the folder."""
    key, _, value = CHANGES[change].partition("=")
    return f"{key}={folder / value}" if key == "model" else CHANGES[change]


def after(folder: Path, base: Path, change: str, commands: tuple[str, ...]) -> tuple[list[Said], State]:
    """Some commands with a changed recipe on a copy of a finished run."""
    target = folder / "copy"
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(base, target)
    given = (f"output={target}", override(change, folder))
    said = [run(command, folder / "recipe.yaml", *given) for command in commands]
    return said, state(target)


def finished(folder: Path) -> Path:
    """A run that is prepared, trained, evaluated and reported."""
    recipe = begin(folder)
    for command in COMMANDS:
        said = run(command, recipe)
        assert said.code == 0, said
    return folder / "run"


def told(said: Said, folder: Path) -> str:
    """What one command said, in one line, without the folder of this machine."""
    words = (w.replace(str(folder / "copy"), "RUN").replace(str(folder), "DIR") for w in said.words)
    return f"{said.command} {said.code}" + "".join(f" [{w}]" for w in words if not NOISE.search(w))


def main() -> int:
    """Write the table, a line as soon as it is known."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", type=Path)
    parser.add_argument("changes", nargs="*", choices=[*CHANGES, []], default=[])
    parser.add_argument("--out", type=argparse.FileType("w", encoding="utf-8"), default=sys.stdout)
    options = parser.parse_args()
    folder = options.directory.resolve()
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    base = finished(folder)
    writer = csv.writer(options.out, lineterminator="\n")
    writer.writerow(["change", "first", "then", "stale", "verdict"])
    for change in options.changes or CHANGES:
        for commands in permutations(COMMANDS, 2):
            said, left = after(folder, base, change, commands)
            words = [told(one, folder) for one in said]
            writer.writerow([change, *words, " ".join(left.stale), "yes" if left.verdict else "no"])
            options.out.flush()
    return 0


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    raise SystemExit(main())
