"""Memory of a training as it is told before, beside what it took: several shapes, batches and lengths.

    python -m tests.benchmarks.memory_told [--out FILE] [--case N ...]

Each case is a training of three steps in a process of its own, on a CPU. Told is `train.memory.estimated`, as
`headrace check` says it; taken is `train.memory.Peak`, as run.json has it: the memory by which a process
grew that has loaded its libraries already.

Cost: some three minutes on one core.
"""

import argparse
import csv
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from headrace.pipelines.schema import IGNORE
from tests.benchmarks.bench_train import RANK, RATE, REPOSITORY, SHAPES, made_rows, sizes

STEPS = 3
TRIED = SHAPES | {
    "wide": sizes("LlamaConfig", 1024, 2816, 6, 16, 8, 32_000),
    "wide-tied": sizes("Qwen2Config", 896, 4864, 6, 14, 2, 60_000, tied=True),
    "deep": sizes("LlamaConfig", 576, 1536, 20, 9, 3, 49_152, tied=True),
    "narrow": sizes("Qwen2Config", 256, 1024, 4, 4, 4, 16_000),
    "gpt2": sizes("Qwen3Config", 768, 3072, 12, 12, 12, 50_257, tied=True),
    "llama-tall": sizes("LlamaConfig", 448, 1792, 14, 7, 7, 24_000),
    "qwen3-flat": sizes("Qwen3Config", 640, 1920, 6, 10, 2, 36_000, tied=True),
    "mistral": sizes("MistralConfig", 704, 2464, 7, 11, 1, 20_000),
    "stub": sizes("LlamaConfig", 384, 1024, 10, 6, 2, 12_000),
    "broad": sizes("Qwen2Config", 1152, 3072, 4, 9, 3, 40_000, tied=True),
    "lean": sizes("MistralConfig", 288, 768, 16, 6, 3, 64_000),
    "square": sizes("Qwen3Config", 832, 2048, 5, 13, 13, 28_000),
}


class Case(NamedTuple):
    """What is trained. how: of gradient_checkpointing; targets: layers under an adapter; saved: trained whole
    beside it; paired: rows of pairs of answers.
    """

    shape: str
    length: int
    batch: int
    precision: str = "float32"
    how: bool | str = False
    rank: int = RANK
    method: str = "lora"
    targets: tuple[str, ...] = ()
    saved: tuple[str, ...] = ()
    paired: bool = False


FITTED = 19  # first cases, from which the heap's shares were taken
CASES = (
    Case("tiny", 256, 4),
    Case("small", 512, 1),
    Case("small", 1024, 2),
    Case("small", 2048, 2),
    Case("small", 1024, 2, how=True),
    Case("small", 1024, 2, how="selective"),
    Case("small", 1024, 2, "bfloat16"),
    Case("small", 1024, 2, rank=64),
    Case("small-qwen", 1024, 2),
    Case("wide", 1024, 1),
    Case("wide-tied", 1024, 1),
    Case("gpt2", 1024, 1),
    Case("wide", 1024, 2, how=True),
    Case("deep", 768, 2),
    Case("deep", 768, 2, how="selective", rank=32),
    Case("gpt2", 512, 2, "bfloat16"),
    Case("wide-tied", 2048, 1, rank=8),
    Case("small-qwen", 512, 4, how=True),
    Case("narrow", 512, 8),
    Case("llama-tall", 1024, 1),
    Case("llama-tall", 512, 2, how=True),
    Case("qwen3-flat", 1024, 2),
    Case("qwen3-flat", 2048, 1, "bfloat16"),
    Case("qwen3-flat", 512, 2, how="selective", rank=4),
    Case("mistral", 1536, 1),
    Case("mistral", 768, 2, "bfloat16", rank=32),
    Case("wide", 2048, 1, how=True),
    Case("stub", 768, 3, method="dora"),
    Case("broad", 1024, 1, rank=8, method="dora"),
    Case("square", 640, 2, "bfloat16", True, method="dora"),
    Case("stub", 512, 4, method="full"),
    Case("square", 768, 1, how=True, method="full"),
    Case("lean", 640, 2, "bfloat16", method="full"),
    Case("stub", 1024, 2, paired=True),
    Case("broad", 512, 2, "bfloat16", paired=True),
    Case("square", 1280, 1, targets=("q_proj", "v_proj")),
    Case("lean", 896, 2, how=True, targets=("q_proj", "v_proj", "o_proj", "down_proj")),
    Case("stub", 512, 4, saved=("lm_head",)),
    Case("broad", 1536, 1, "bfloat16", rank=24),
    Case("lean", 1024, 2, how="selective", rank=48),
    Case("square", 2560, 1),
)
NAMES = (
    "case",
    "shape",
    "length",
    "batch",
    "precision",
    "checkpointing",
    "rank",
    "method",
    "targets",
    "saved",
    "pairs",
    "seen",
    "told GiB",
    "taken GiB",
    "told/taken",
)


def child(case: Case) -> None:
    """Train the case, and print what was told and taken."""
    import torch
    import transformers

    from headrace.pipelines.train import adapter, batches, memory, models, preference, speed, steps
    from headrace.pipelines.train.config import Config
    from headrace.pipelines.train.running import attention, forward, ways

    torch.set_num_threads(1)
    about = dict(TRIED[case.shape])
    described = getattr(transformers, about.pop("kind"))(**about)
    with tempfile.TemporaryDirectory() as folder:
        dtype = getattr(torch, case.precision)
        if os.fork() == 0:  # the process that is measured has had no such model
            transformers.AutoModelForCausalLM.from_config(described, dtype=dtype).save_pretrained(folder)
            os._exit(0)
        os.wait()
        config = Config(
            rank=case.rank,
            alpha=2 * case.rank,
            gradient_checkpointing=case.how,
            batch_size=case.batch,
            rows_per_step=case.batch,
            method=case.method,
            target_modules=case.targets or "all-linear",
            modules_to_save=case.saved,
            workers=1,
        )
        peak = memory.Peak(torch.device("cpu"))
        kinds = ways.candidates(True, "auto", segments=True)
        base = models.load(folder, dtype, kinds[0].attention)
        way = ways.proved(base, kinds, "it")
        speed.checkpointed(base, case.how)
        model = adapter.fitted(base, config, folder)
        masked = way.attention != attention.VARLEN
        asked = memory.Asked(case.length, dtype.itemsize, gpu=False, masked=masked, paired=case.paired)
        need = memory.estimated(described, config, asked)
        model = speed.prepared(model.train(), config)
        optimizer = speed.optimizer([p for p in model.parameters() if p.requires_grad], config)
        rank = steps.Rank(0, 1, torch.device("cpu"))
        rows = made_rows(case.batch * STEPS, case.length, about["vocab_size"], 1)
        pairs = preference.Objective(config.preference, rank.device) if case.paired else None
        if case.paired:  # a chosen answer in each odd segment, the rejected one behind it
            chosen = np.where(rows["segment_ids"] % 2, 1, -1)
            rows[batches.PREFERRED] = np.where(rows["labels"] != IGNORE, chosen, 0)
        for step in range(STEPS):
            cut = slice(step * case.batch, (step + 1) * case.batch)
            micro = [
                forward.tensors(p, rank.device) for p in way.inputs({n: v[cut] for n, v in rows.items()})
            ]
            steps.step(model, optimizer, micro, rank, RATE, 1.0, pairs=pairs)
        print(json.dumps({"told": need.grown, "taken": peak.taken(), "parts": need.parts}))


def ran(number: int) -> dict[str, Any]:
    """A case in a process of its own. Exits where it fails."""
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, "-m", "tests.benchmarks.memory_told", "--child", str(number)]
    done = subprocess.run(
        command, capture_output=True, text=True, env=environment, cwd=REPOSITORY, check=False
    )
    if done.returncode:
        raise SystemExit(f"{CASES[number]}: {done.stderr[-2000:]}")
    told: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return told


def main() -> None:
    """Print a line a case."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--case", type=int, nargs="*", choices=range(len(CASES)))
    parser.add_argument("--child", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child is not None:
        child(CASES[given.child])
        return
    for number in given.case or range(len(CASES)):
        told = ran(number)
        ratio = told["told"] / told["taken"]
        case = CASES[number]
        case = case._replace(targets=" ".join(case.targets), saved=" ".join(case.saved))
        fitted = "fitted" if number < FITTED else "fresh"
        line = [number, *case, fitted, round(told["told"], 3), round(told["taken"], 3), round(ratio, 2)]
        print(*line, json.dumps({k: round(v, 3) for k, v in told["parts"].items()}), flush=True)
        if given.out:
            keep(given.out, [str(value) for value in line])


def keep(path: Path, line: list[str]) -> None:
    """Put a case's line into the table; lines of other cases stay as they are."""
    before = list(csv.reader(path.read_text().splitlines()))[1:] if path.exists() else []
    lines = [one for one in before if one[0] != line[0]] + [line]
    with path.open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([NAMES, *sorted(lines, key=lambda one: int(one[0]))])


if __name__ == "__main__":
    main()
